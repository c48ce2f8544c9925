//! One entry, from claim to its end.

use crate::{
    Annotate, Brains, Parts, RouteSettings, Routes,
    file_lists::note_listed_files,
    files::{Look, SeenFile, fetch_deadline, inspect_files, password_candidates},
    in_work::{Claim, InWork, Refusals},
    observe::{Nobody, Observer, Seen, Stage, Stages},
    outgoing::{findings_header, media_states, order, released},
    shares::{FilesPlace, Shares},
    terms::{summary, terms},
    texts::{FollowedLinks, follow_links, inspect_texts, keep_worst, links_to_follow},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use guarita_deliver::{GIVE_UP_MILLIS, Outcome, Outgoing, REFUSALS_MAX, wait_before_retry};
use guarita_media::{MediaKey, MediaState};
use guarita_message::{
    Channel, Decision, DeliveryId, Inspection, Lane, Message, PartBody, UNMATCHED, Verdict, base_route, held_because,
};
use guarita_policy::{Circumstances, decide, except};
use guarita_spool::{Claimed, Decided, Filter, Finish, Spool, SpoolError};
use serde::Serialize;
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The story, and what it needs.
pub struct Pipeline {
    pub(crate) parts: Parts,
    pub(crate) shares: Shares,
    in_work: InWork,
    refusals: Refusals,
    /// Findings by rule since the start, for the console.
    hits: Mutex<HashMap<String, Hits>>,
    observer: Arc<dyn Observer>,
    /// Deadlines count from here at the earliest: what waited through an outage of ours still gets its scan.
    started_ms: u64,
}

/// One message with everything that was seen and decided.
pub(crate) struct JudgedMessage {
    pub message: Message,
    pub inspection: Inspection,
    pub decision: Decision,
    pub files: Vec<SeenFile>,
    pub first_contact: bool,
}

/// What judging an entry came to.
pub enum Judged {
    Decided(Decided),
    LookAgainAt(u64),
    /// Stored bytes that are no webhook any more: for a person to look at.
    Unreadable,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Index(#[from] guarita_media::IndexError),
}

/// How often a rule spoke, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hits {
    pub count: u64,
    pub last_ms: u64,
}

/// Rules whose hits are counted.
const HITS_MAX: usize = 5_000;
/// How long an attempt whose lease ran out waits to be leased again: several rounds of the loop that claims.
const LEASE_AGAIN_EVERY: Duration = Duration::from_millis(100);
const LEASE_AGAIN_TRIES: u32 = 30;
/// How many of a conversation's last messages may hold an archive's password.
const PASSWORD_MESSAGES_MAX: usize = 5;
/// A body above this is judged off the event loop.
const BLOCKING_BYTES_MIN: usize = 16 * 1024;

impl Pipeline {
    pub fn new(parts: Parts) -> Self {
        let started_ms = parts.now_ms();
        Pipeline {
            shares: Shares::new(&parts.config),
            parts,
            in_work: InWork::default(),
            refusals: Refusals::default(),
            observer: Arc::new(Nobody),
            hits: Mutex::default(),
            started_ms,
        }
    }

    /// Who is told of what happens.
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Pipeline { observer, ..self }
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// Live traffic needs the scanners: a quarter of the places for files is taken, or somebody waits for one.
    pub(crate) fn is_busy_with_files(&self) -> bool {
        self.shares.is_busy_with_files()
    }

    pub(crate) fn route(&self, name: &str) -> Option<Arc<RouteSettings>> {
        self.routes().get(base_route(name)).cloned()
    }

    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Claims what is due, as [`Spool::claim_shared`] does, for this process to work on: entries that nobody here is at, or
    /// was at when they were claimed. [`Self::process`] or [`Self::put_back`] must follow for each.
    pub(crate) async fn claim(&self, most: usize, most_of_one: usize) -> Result<Vec<Claimed>, SpoolError> {
        let lease = self.parts.config.lease_seconds * 1000;
        self.in_work.asking();
        let claimed = self.parts.spool.claim_shared(self.parts.now_ms(), lease, most, most_of_one).await?;
        let claims = self.in_work.begin(claimed.iter().map(|entry| &entry.id));
        let mut ours = Vec::with_capacity(claimed.len());
        for (entry, claim) in claimed.into_iter().zip(claims) {
            match claim {
                Claim::Begun => ours.push(entry),
                Claim::Busy => {}
                Claim::Stale => self.give_back(&entry.id).await,
            }
        }
        Ok(ours)
    }

    /// Takes one claimed entry to its end, or to its next try. A fault of our own disk leaves the entry to its lease:
    /// it is claimed again, and nothing is lost.
    pub(crate) async fn process(&self, claimed: Claimed) {
        let id = claimed.id.clone();
        self.process_alone(claimed).await;
        self.end(&id).await;
    }

    /// Puts an entry that was claimed back in its line, to be claimed again at `at`.
    pub(crate) async fn put_back(&self, id: &DeliveryId, at: u64) {
        if let Err(error) = self.parts.spool.finish(self.parts.now_ms(), id, Finish::LookAgainAt { at }).await {
            tracing::warn!(%id, %error, "an entry was not put back; it comes again when its lease ends");
        }
        self.end(id).await;
    }

    async fn end(&self, id: &DeliveryId) {
        if self.in_work.end(id) {
            // Most often our result was taken for the later claim, too. If it was not, that claim is of before our work.
            self.give_back(id).await;
        }
    }

    /// A claim of before what this process did last: the entry is put back and claimed as it is now. If it has ended, there is
    /// nothing to put back.
    async fn give_back(&self, id: &DeliveryId) {
        let now = self.parts.now_ms();
        let _ = self.parts.spool.finish(now, id, Finish::LookAgainAt { at: now }).await;
    }

    async fn process_alone(&self, claimed: Claimed) {
        let id = claimed.id.clone();
        let work = AssertUnwindSafe(self.process_claimed(claimed)).catch_unwind();
        tokio::pin!(work);
        let lease = Duration::from_secs(self.parts.config.lease_seconds);
        let mut renewals = tokio::time::interval_at(tokio::time::Instant::now() + lease / 3, lease / 3);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                _ = renewals.tick() => {
                    if let Err(error) = self.parts.spool.renew(self.parts.now_ms(), &id, lease.as_millis() as u64).await {
                        tracing::warn!(%id, %error, "the hold on an entry was not renewed");
                    }
                }
            }
        };
        let fault = match result {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => fault,
            // A defect of ours. The entry must not come back for ever and hold up its conversation: a person decides.
            Err(_) => {
                let error = "processing it crashed; please report this".into();
                match self.parts.spool.finish(self.parts.now_ms(), &id, Finish::DeadLettered { error }).await {
                    Ok(()) => return,
                    Err(error) => Fault::from(error),
                }
            }
        };
        tracing::error!(%id, error = %fault, "an entry waits for its next turn");
    }

    async fn process_claimed(&self, claimed: Claimed) -> Result<(), Fault> {
        let stages = Stages::new(self.observer.wants_stages(&claimed.id));
        let (id, received_ms) = (claimed.id.clone(), claimed.received_ms);
        if claimed.looks == 0 && claimed.attempts == 0 && claimed.decided.is_none() {
            // From receipt until a worker took it up.
            stages.end("receive", received_ms * 1_000_000, false, &[]);
        }
        let result = self.process_watched(claimed, &stages).await;
        let mut noted = stages.take();
        if let Some(last) = noted.last().filter(|last| last.ends_the_entry()) {
            let start = received_ms * 1_000_000;
            noted.push(Stage { name: "entry", start, ..last.clone() });
        }
        if !noted.is_empty() {
            self.observer.stages(&id, noted);
        }
        result
    }

    async fn process_watched(&self, claimed: Claimed, stages: &Stages) -> Result<(), Fault> {
        let spool = &self.parts.spool;
        let held = held_because(&claimed.route);
        if let Some(why) = held.filter(|_| claimed.released_by.is_none()) {
            return self.quarantine(&claimed, why).await;
        }
        let name = match held {
            Some(UNMATCHED) => (self.parts.reroute)(&claimed.route, &claimed.body),
            _ => Some(base_route(&claimed.route).to_owned()),
        };
        let routes = self.routes();
        let Some(route) = name.as_ref().and_then(|name| routes.get(name)) else {
            let error = match name {
                Some(name) => format!("no route `{name}` in the configuration; add it and replay"),
                None => "still no route wants it; add one and replay".into(),
            };
            return Ok(spool.finish(self.parts.now_ms(), &claimed.id, Finish::DeadLettered { error }).await?);
        };
        let decided = match claimed.decided.clone() {
            Some(decided) => decided,
            None => match self.judge(route, &claimed, stages).await? {
                Judged::LookAgainAt(at) => {
                    return Ok(spool.finish(self.parts.now_ms(), &claimed.id, Finish::LookAgainAt { at }).await?);
                }
                Judged::Unreadable => {
                    let error = "the stored body does not parse; look at it in the console".into();
                    return Ok(spool.finish(self.parts.now_ms(), &claimed.id, Finish::DeadLettered { error }).await?);
                }
                Judged::Decided(decided) => {
                    // A crash after this goes on from here: no second opinion.
                    spool.record_decided(self.parts.now_ms(), &claimed.id, decided.clone()).await?;
                    decided
                }
            },
        };
        let finish = self.deliver(route, &claimed, decided, stages).await;
        self.finish_delivery(&claimed.id, finish).await
    }

    /// What came of an attempt. When the clock was set forward during it, the lease is over although this process works on the
    /// entry alone; claims go on meanwhile, and the next one leases it to us again. Not to wait for that would send it twice.
    async fn finish_delivery(&self, id: &DeliveryId, finish: Finish) -> Result<(), Fault> {
        let mut tries_left = LEASE_AGAIN_TRIES;
        loop {
            match self.parts.spool.finish(self.parts.now_ms(), id, finish.clone()).await {
                Err(SpoolError::LeaseLost(_)) if tries_left > 0 => tries_left -= 1,
                result => return Ok(result?),
            }
            tokio::time::sleep(LEASE_AGAIN_EVERY).await;
        }
    }

    /// Stored, but not let through: nothing of it is looked at, and nothing goes out until a person releases it.
    async fn quarantine(&self, claimed: &Claimed, why: &str) -> Result<(), Fault> {
        let report = serde_json::json!({"version": 1, "messages": [], "held": why}).to_string().into_bytes();
        let verdict = Verdict::Unscanned;
        let terms = vec![format!("held:{why}")];
        let summary = serde_json::json!({"from": [], "kind": "held", "action": why}).to_string().into_bytes();
        let decided = Decided { verdict, body: None, findings_header: None, report, quarantine: true, terms, summary };
        self.parts.spool.record_decided(self.parts.now_ms(), &claimed.id, decided).await?;
        metrics::counter!("guarita_deliveries_total", "outcome" => "quarantined").increment(1);
        Ok(self.parts.spool.finish(self.parts.now_ms(), &claimed.id, Finish::Quarantined).await?)
    }

    /// Whether nothing of this conversation is kept from before.
    async fn is_first_contact(&self, route: &RouteSettings, claimed: &Claimed) -> Result<bool, Fault> {
        if !route.first_contact || claimed.lane != Lane::Message {
            return Ok(false);
        }
        let filter = Filter {
            conversation: Some(claimed.conversation.clone()),
            before: Some(claimed.id.clone()),
            ..Filter::default()
        };
        Ok(self.parts.spool.list(filter, 1).await?.is_empty())
    }

    /// Parse, fetch, look, decide, rewrite.
    async fn judge(&self, route: &RouteSettings, claimed: &Claimed, stages: &Stages) -> Result<Judged, Fault> {
        let now = self.parts.now_ms();
        let body = &claimed.body;
        // The door parsed it before storing it, so this is a damaged entry or a parser that became stricter.
        let Ok(delivery) = guarita_webhook::parse(body) else { return Ok(Judged::Unreadable) };
        for problem in &delivery.problems {
            tracing::debug!(id = %claimed.id, problem, "an update has a shape we do not know; it passes");
        }
        let has_files = delivery.messages.iter().any(has_file);
        let _place = match self.place_for_files(&claimed.route, has_files).await {
            Ok(place) => place,
            Err(()) => return Ok(Judged::LookAgainAt(now + 500)),
        };
        let begin_ms = claimed.since_ms.max(self.started_ms);
        let deadline_ms = begin_ms + self.parts.config.scan_deadline_seconds * 1000;
        let patience_ms = (begin_ms + self.parts.config.fetch_patience_seconds * 1000).min(deadline_ms);
        let passwords = if has_files { self.passwords(claimed, &delivery.messages).await? } else { Vec::new() };
        let brains = self.brains();
        let first_contact = self.is_first_contact(route, claimed).await?;
        let mut judged = Vec::with_capacity(delivery.messages.len());
        for message in delivery.messages {
            let (files, mut inspection) = if has_file(&message) {
                let deadline = fetch_deadline(deadline_ms, now);
                let scan_deadline = crate::files::scan_deadline(deadline_ms, now);
                let (parts, passwords) = (&self.parts, &passwords[..]);
                let (message, now_ms) = (&message, now);
                let look = Look { parts, route, message, passwords, now_ms, deadline, scan_deadline, stages };
                inspect_files(&look).await?
            } else {
                (Vec::new(), Inspection::default())
            };
            let began = stages.begin();
            let message = self.round_two(message, &mut inspection, &brains, body.len()).await;
            stages.end("scan", began, false, &[("scanner", "texts")]);
            let began = stages.begin();
            note_listed_files(&mut inspection, &brains);
            let excepted = except(&message, &mut inspection, &brains.exceptions);
            // Asked now: a look may have lasted until the deadline.
            let circumstances = Circumstances { deadline_passed: self.parts.now_ms() >= deadline_ms };
            let mut decision = decide(&message, &inspection, &route.policy, circumstances);
            decision.because.extend(excepted);
            if claimed.released_by.is_some() {
                decision = released(decision);
            }
            let (verdict, action) = (decision.verdict.as_str(), decision.action.as_str());
            stages.end("decide", began, false, &[("verdict", verdict), ("action", action)]);
            keep_worst(&mut inspection, self.parts.config.findings_max);
            judged.push(JudgedMessage { message, inspection, decision, files, first_contact });
        }
        if judged.iter().any(|judged| judged.decision.hold) {
            return Ok(Judged::LookAgainAt(look_again_at(claimed.looks, self.parts.now_ms(), deadline_ms)));
        }
        // Meta is busy or out of reach for a moment: better a late message than one without its file.
        let may_mend = judged.iter().flat_map(|judged| &judged.files).any(|file| file.may_mend);
        if may_mend && claimed.released_by.is_none() && self.parts.now_ms() < patience_ms {
            return Ok(Judged::LookAgainAt(look_again_at(claimed.looks, self.parts.now_ms(), patience_ms)));
        }
        self.count(&judged);
        for JudgedMessage { message, inspection, decision, .. } in &judged {
            self.observer.decided(&Seen {
                delivery: &claimed.id,
                route: &claimed.route,
                received_ms: claimed.received_ms,
                decided_ms: now,
                message,
                inspection,
                decision,
                released: claimed.released_by.is_some(),
            });
        }
        let orders: Vec<_> = judged
            .iter()
            .map(|judged| order(&self.parts, route, &claimed.id, judged, claimed.released_by.as_deref(), now))
            .collect();
        let rewritten = guarita_webhook::rewrite(body, &orders);
        let states: Vec<_> = judged.iter().flat_map(|judged| media_states(&self.parts, judged)).collect();
        let quarantine = judged.iter().any(|judged| judged.decision.quarantine);
        if !states.is_empty() {
            self.keep_contents(route, quarantine, &states, now).await?;
            self.parts.index.decide_with(now, &claimed.id, states).await?;
        }
        Ok(Judged::Decided(Decided {
            verdict: judged.iter().map(|judged| judged.decision.verdict).max().unwrap_or(Verdict::Clean),
            body: (rewritten[..] != body[..]).then_some(rewritten),
            findings_header: (route.annotate == Annotate::Headers).then(|| findings_header(&judged)),
            report: report(&judged),
            quarantine,
            terms: terms(&judged),
            summary: summary(&judged),
        }))
    }

    /// Says how long the contents stay, where the common retention is not the whole answer: in quarantine, and as soon as
    /// any route has a retention of its own, since routes may be sent the same file.
    pub(crate) async fn keep_contents(
        &self,
        route: &RouteSettings,
        quarantine: bool,
        states: &[(MediaKey, MediaState)],
        now: u64,
    ) -> Result<(), Fault> {
        let keep = route.keep.unwrap_or(self.parts.config.keep);
        let longer = if quarantine { keep.quarantine } else { 0 };
        if !quarantine && self.routes().values().all(|route| route.keep.is_none()) {
            return Ok(());
        }
        let hashes: Vec<_> = states.iter().filter_map(|(_, state)| Some(state.content()?.hash)).collect();
        if !hashes.is_empty() {
            self.parts.index.keep_until(now.saturating_add(keep.content.max(longer)), hashes).await?;
        }
        Ok(())
    }

    pub(crate) async fn round_two(
        &self,
        message: Message,
        inspection: &mut Inspection,
        brains: &Brains,
        size: usize,
    ) -> Message {
        let started = Instant::now();
        // What round 1 saw must outlive a crash of round 2.
        let before = Inspection { found: Vec::new(), ..inspection.clone() };
        let mut seen = std::mem::take(inspection);
        let message = Arc::new(message);
        let followed = match &self.parts.follower {
            Some(follower) => {
                let (read, found) = (message.clone(), seen.found.clone());
                let (in_force, asks) = (brains.clone(), follower.clone());
                let listing = move || links_to_follow(&read, &found, &in_force, asks.as_ref());
                // A crash in there is one in round two as well, and a gap there.
                let wanted = tokio::task::spawn_blocking(listing).await.unwrap_or_default();
                follow_links(wanted, follower.as_ref()).await
            }
            None => FollowedLinks::new(),
        };
        let (read, in_force) = (message.clone(), brains.clone());
        let look = move || {
            let looking = AssertUnwindSafe(|| inspect_texts(&read, &mut seen, &in_force, &followed));
            std::panic::catch_unwind(looking).map(|()| seen)
        };
        let looked = if !self.parts.ambient.threads || (size < BLOCKING_BYTES_MIN && before.files.is_empty()) {
            look().ok()
        } else {
            tokio::task::spawn_blocking(look).await.ok().and_then(Result::ok)
        };
        *inspection = looked.unwrap_or_else(|| {
            // A defect of ours: what it did not see is a gap, at each file too, whose links and texts it did not judge.
            let mut before = before;
            let places = before.files.iter().map(|file| file.place.clone()).chain([message.pointer.clone()]);
            before.gaps.extend(places.collect::<Vec<_>>().into_iter().map(|place| guarita_message::Gap {
                reason: guarita_message::GapReason::Crashed,
                place,
                inside: String::new(),
                scanner: "texts".into(),
                detail: "our own text inspection crashed; please report it".into(),
                class: guarita_message::FileClass::Other,
            }));
            before
        });
        let message = Arc::unwrap_or_clone(message);
        metrics::histogram!("guarita_scan_seconds", "scanner" => "texts").record(started.elapsed().as_secs_f64());
        message
    }

    async fn deliver(&self, route: &RouteSettings, claimed: &Claimed, decided: Decided, stages: &Stages) -> Finish {
        let began = stages.begin();
        let body = decided.body.map_or_else(|| claimed.body.clone(), Bytes::from);
        let outcome = route
            .backend
            .deliver(Outgoing {
                id: claimed.id.clone(),
                attempt: claimed.attempts + 1,
                verdict: decided.verdict,
                lane: claimed.lane,
                findings_header: decided.findings_header,
                released_by: claimed.released_by.clone(),
                body,
            })
            .await;
        let now = self.parts.now_ms();
        // What a person put back in line gets its time anew.
        let age = now.saturating_sub(claimed.since_ms);
        let attempts = claimed.attempts + 1;
        let retry = |asked, error: String| {
            let wait = wait_before_retry(attempts, asked, (self.parts.ambient.random)());
            Finish::RetryAt { at: now + wait.as_millis() as u64, error }
        };
        let (finish, outcome) = match outcome {
            Outcome::Accepted => {
                let took = now.saturating_sub(claimed.received_ms);
                metrics::histogram!("guarita_end_to_end_seconds").record(took as f64 / 1000.0);
                (Finish::Delivered, "accepted")
            }
            Outcome::Spared { wait } => (
                Finish::LookAgainAt {
                    at: now + wait.as_millis() as u64 + u64::from((self.parts.ambient.random)() % 500),
                },
                "spared",
            ),
            Outcome::RetryAfter { error, .. } if age > GIVE_UP_MILLIS => {
                (Finish::DeadLettered { error }, "dead_lettered")
            }
            // An event the backend does not know must not hold up the ones behind it for a week.
            Outcome::RetryAfter { error, .. } if claimed.lane == Lane::Account && attempts >= 8 => {
                (Finish::DeadLettered { error }, "dead_lettered")
            }
            Outcome::RetryAfter { asked, error } => (retry(asked, error), "retry"),
            Outcome::Refused { error } if self.refusals.count(&claimed.id) >= REFUSALS_MAX => {
                (Finish::DeadLettered { error }, "dead_lettered")
            }
            Outcome::Refused { error } => (retry(None, error), "refused"),
        };
        metrics::counter!("guarita_deliveries_total", "outcome" => outcome).increment(1);
        stages.end("deliver", began, outcome != "accepted", &[("outcome", outcome)]);
        if matches!(finish, Finish::Delivered | Finish::DeadLettered { .. }) {
            self.refusals.forget(&claimed.id);
        }
        if let Finish::DeadLettered { error } = &finish {
            tracing::warn!(id = %claimed.id, attempts, error, "a delivery became a dead letter; mend the backend and replay it");
        }
        finish
    }

    /// A place among the files in work; `Err`: too many of the route's wait already.
    pub(crate) async fn place_for_files(&self, route: &str, wanted: bool) -> Result<Option<FilesPlace>, ()> {
        if !wanted {
            return Ok(None);
        }
        self.shares.place_for_files(route, self.routes().len()).await.map(Some).ok_or(())
    }

    /// Words that may open an encrypted archive: from this message and from the conversation's last ones.
    async fn passwords(&self, claimed: &Claimed, messages: &[Message]) -> Result<Vec<String>, Fault> {
        let mut texts: Vec<String> = messages.iter().flat_map(texts_of).collect();
        let filter = Filter { conversation: Some(claimed.conversation.clone()), ..Filter::default() };
        for record in self.parts.spool.list(filter, PASSWORD_MESSAGES_MAX + 1).await? {
            if record.id != claimed.id
                && let Some(body) = self.parts.spool.content(&record.id).await?.received
                && let Ok(delivery) = guarita_webhook::parse(&body)
            {
                texts.extend(delivery.messages.iter().flat_map(texts_of));
            }
        }
        Ok(password_candidates(texts.iter().map(String::as_str)))
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<Routes> {
        self.parts.routes.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Puts other routes in force; entries in work end with the old ones.
    pub fn replace_routes(&self, routes: Routes) {
        *self.parts.routes.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(routes);
        self.shares.forget();
    }

    /// The rules and lists in force.
    pub fn brains(&self) -> Brains {
        self.parts.brains.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Puts new rules, lists or exceptions in force; entries in work end with the old ones.
    pub fn change_brains(&self, change: impl FnOnce(&mut Brains)) {
        change(&mut self.parts.brains.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// How often each rule spoke since the start; at most [`HITS_MAX`] rules.
    pub fn hits(&self) -> HashMap<String, Hits> {
        self.hits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn note_hits<'a>(&self, rules: impl Iterator<Item = &'a str>) {
        let now = self.parts.now_ms();
        let mut hits = self.hits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for rule in rules {
            // Names of signatures come from outside: there may be any number of them.
            if let Some(known) = hits.get_mut(rule) {
                *known = Hits { count: known.count + 1, last_ms: now };
            } else if hits.len() < HITS_MAX {
                hits.insert(rule.to_owned(), Hits { count: 1, last_ms: now });
            }
        }
    }

    fn count(&self, judged: &[JudgedMessage]) {
        let findings = judged.iter().flat_map(|judged| &judged.inspection.findings);
        self.note_hits(findings.map(|finding| finding.rule.as_str()));
        for JudgedMessage { message, inspection, decision, .. } in judged {
            metrics::counter!("guarita_messages_total", "channel" => message.channel.as_str(), "verdict" => decision.verdict.as_str())
                .increment(1);
            for finding in &inspection.findings {
                metrics::counter!("guarita_findings_total", "category" => finding.category.as_str()).increment(1);
                if finding.shadow {
                    metrics::counter!("guarita_shadow_findings_total", "category" => finding.category.as_str())
                        .increment(1);
                }
            }
            for gap in &inspection.gaps {
                metrics::counter!("guarita_gaps_total", "reason" => gap.reason.as_str()).increment(1);
            }
        }
    }
}

fn has_file(message: &Message) -> bool {
    message.parts.iter().any(|part| matches!(part.body, PartBody::File(_)))
}

pub(crate) fn texts_of(message: &Message) -> Vec<String> {
    let texts = message.parts.iter().filter_map(|part| match &part.body {
        PartBody::Text { text, .. } => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

/// What the console shows of it later: everything seen and decided, message by message.
fn report(judged: &[JudgedMessage]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Report<'a> {
        version: u32,
        messages: Vec<Reported<'a>>,
    }
    #[derive(Serialize)]
    struct Reported<'a> {
        id: &'a str,
        kind: &'a str,
        pointer: &'a str,
        channel: Channel,
        inspection: &'a Inspection,
        decision: &'a Decision,
        media: Vec<Media<'a>>,
    }
    #[derive(Serialize)]
    struct Media<'a> {
        r#where: &'a str,
        id: &'a str,
    }
    let messages = judged.iter().map(|JudgedMessage { message, inspection, decision, files, .. }| Reported {
        id: &message.id,
        kind: &message.kind,
        pointer: &message.pointer,
        channel: message.channel,
        inspection,
        decision,
        media: files.iter().filter_map(|file| Some(Media { r#where: &file.place, id: file.id.as_deref()? })).collect(),
    });
    // Words, numbers and lists: there is nothing in them that cannot be written.
    serde_json::to_vec(&Report { version: 1, messages: messages.collect() }).unwrap_or_default()
}

/// Growing waits while a scanner is blind, and a last look right at the deadline.
fn look_again_at(looks: u32, now: u64, deadline_ms: u64) -> u64 {
    let wait = 500u64 << looks.min(5);
    (now + wait.min(10_000)).min(deadline_ms.max(now + 100))
}

/// For `run`.
pub(crate) fn spool(pipeline: &Pipeline) -> Arc<dyn Spool> {
    pipeline.parts.spool.clone()
}
