//! The spool without a disk, for tests: every promise of the trait but durability, in the plainest words. The model that
//! the SQLite spool is compared with, so it shares no code with it beyond the delivery id.

use crate::{
    Appended, Bucket, Claimed, ContentOf, Counts, DEDUPE_MILLIS, Decided, FILTER_TERMS_MAX, Filter, Finish,
    HISTORY_BUCKETS_MAX, HISTORY_STEP_MILLIS, Millis, NewEntry, Page, Pending, Record, Retention, SUMMARIES_MAX,
    SUMMARY_BYTES_MAX, Spool, SpoolError, State, Swept, TERMS_MAX,
    place::{Place, Seq},
};
use guarita_message::{DedupeKey, DeliveryId, Verdict};
use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct MemorySpool {
    inside: Mutex<Inside>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    entries: BTreeMap<Seq, Entry>,
    seen: HashMap<DedupeKey, Millis>,
    last_seq: Seq,
    /// The last `now` a caller gave, and when.
    clock: Option<(Millis, Instant)>,
}

#[derive(Debug)]
struct Entry {
    new: NewEntry,
    record: Record,
    due: Millis,
    leased_until: Option<Millis>,
    decided: Option<Decided>,
    terms: Vec<String>,
    content: bool,
    forgotten: bool,
}

impl Entry {
    fn erase(&mut self) {
        (self.content, self.forgotten) = (false, true);
        self.terms.clear();
    }

    fn unfinished(&self) -> bool {
        matches!(self.record.state, State::Received | State::Decided)
    }

    fn held(&self, now: Millis) -> bool {
        self.leased_until.is_some_and(|until| now < until)
    }
}

impl Inside {
    fn find(&mut self, id: &DeliveryId) -> Result<&mut Entry, SpoolError> {
        Place::of(id)
            .and_then(|place| self.entries.get_mut(&place.seq))
            .filter(|entry| entry.record.id == *id)
            .ok_or_else(|| SpoolError::NotFound(id.clone()))
    }

    fn find_held(&mut self, now: Millis, id: &DeliveryId) -> Result<&mut Entry, SpoolError> {
        let entry = self.find(id)?;
        if entry.held(now) { Ok(entry) } else { Err(SpoolError::LeaseLost(id.clone())) }
    }

    fn append_one(&mut self, now: Millis, mut new: NewEntry) -> Appended {
        let remembers = |at: &Millis| now < at.saturating_add(DEDUPE_MILLIS);
        let (seen, fresh): (Vec<_>, Vec<_>) =
            new.dedupe.iter().cloned().partition(|key| self.seen.get(key).is_some_and(remembers));
        if !seen.is_empty() {
            return if fresh.is_empty() { Appended::Duplicate } else { Appended::PartlySeen(seen) };
        }
        fresh.into_iter().for_each(|key| {
            self.seen.insert(key, now);
        });
        self.last_seq += 1;
        let mut salt = [0; 8];
        // Ids need not be unguessable in tests; a system without random bytes still gets distinct ones.
        let _ = getrandom::fill(&mut salt);
        let place = Place::new(now, self.last_seq, u64::from_be_bytes(salt));
        let record = Record {
            id: place.id(),
            route: new.route.clone(),
            channel: new.channel,
            account: new.account.clone(),
            lane: new.lane,
            state: State::Received,
            verdict: None,
            quarantine: false,
            received_ms: now,
            decided_ms: None,
            finished_ms: None,
            next_ms: None,
            attempts: 0,
            looks: 0,
            last_error: None,
            released_by: None,
            put_back_ms: None,
        };
        new.dedupe.sort();
        let entry = Entry {
            new,
            record,
            due: 0,
            leased_until: None,
            decided: None,
            terms: Vec::new(),
            content: true,
            forgotten: false,
        };
        self.entries.insert(self.last_seq, entry);
        Appended::Stored(place.id())
    }

    fn claim(&mut self, now: Millis, lease: Millis, most: usize) -> Vec<Claimed> {
        let mut claimed = Vec::new();
        for entry in self.entries.values_mut().filter(|entry| entry.leased_until.is_some_and(|until| until <= now)) {
            entry.leased_until = None;
            entry.due = 0;
        }
        let mut busy: std::collections::HashSet<_> =
            self.entries.values().filter(|e| e.held(now)).map(|e| e.new.conversation.clone()).collect();
        for entry in self.entries.values_mut().filter(|entry| entry.unfinished()) {
            let front = busy.insert(entry.new.conversation.clone());
            if !front || claimed.len() >= most {
                continue;
            }
            if entry.due > now {
                continue;
            }
            entry.leased_until = Some(now.saturating_add(lease));
            claimed.push(Claimed {
                id: entry.record.id.clone(),
                route: entry.new.route.clone(),
                channel: entry.new.channel,
                lane: entry.new.lane,
                conversation: entry.new.conversation.clone(),
                received_ms: entry.record.received_ms,
                since_ms: entry.record.put_back_ms.unwrap_or(entry.record.received_ms),
                body: entry.new.body.clone().into(),
                decided: entry.decided.clone().filter(|_| entry.record.state == State::Decided),
                attempts: entry.record.attempts,
                looks: entry.record.looks,
                released_by: entry.record.released_by.clone(),
            });
        }
        claimed
    }

    fn finish(&mut self, now: Millis, id: &DeliveryId, finish: Finish) -> Result<(), SpoolError> {
        let entry = self.find_held(now, id)?;
        entry.leased_until = None;
        let mut done = None;
        match finish {
            Finish::Delivered => {
                entry.record.attempts += 1;
                done = Some(State::Delivered);
            }
            Finish::RetryAt { at, error } => {
                entry.record.attempts += 1;
                entry.record.last_error = Some(error);
                entry.due = at;
            }
            Finish::LookAgainAt { at } => {
                entry.record.looks += 1;
                entry.due = at;
            }
            Finish::Quarantined => {
                entry.record.quarantine = true;
                done = Some(State::Quarantined);
            }
            Finish::DeadLettered { error } => {
                entry.record.attempts += 1;
                entry.record.last_error = Some(error);
                done = Some(State::DeadLettered);
            }
        }
        entry.record.next_ms = Some(entry.due).filter(|_| done.is_none());
        if let Some(state) = done {
            entry.record.state = state;
            entry.record.finished_ms = Some(now);
        }
        Ok(())
    }

    fn put_back(&mut self, now: Millis, id: &DeliveryId, state: State) -> Result<&mut Entry, SpoolError> {
        let entry = self.find(id)?;
        if entry.unfinished() || !entry.content {
            return Err(SpoolError::NotNow(id.clone()));
        }
        entry.record.state = state;
        entry.record.finished_ms = None;
        entry.record.next_ms = None;
        entry.record.put_back_ms = Some(now);
        (entry.record.attempts, entry.record.looks) = (0, 0);
        entry.due = 0;
        Ok(entry)
    }

    fn sweep(&mut self, now: Millis, retention: &Retention) -> Swept {
        let mut swept = Swept::default();
        let old = |since: Millis, keep: Millis| since.saturating_add(keep) <= now;
        for entry in self.entries.values_mut() {
            let keep = retention.of(&entry.record.route).of(entry.record.quarantine);
            if entry.content && entry.record.finished_ms.is_some_and(|at| old(at, keep)) {
                entry.content = false;
                entry.terms.clear();
                swept.contents += 1;
            }
        }
        let keep = retention.longest();
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            let done = entry.record.finished_ms.is_some_and(|at| old(at, keep));
            entry.content || !done || !old(entry.record.received_ms, DEDUPE_MILLIS)
        });
        swept.entries = (before - self.entries.len()) as u64;
        let before = self.seen.len();
        self.seen.retain(|_, at| !old(*at, DEDUPE_MILLIS));
        swept.dedupe_keys = (before - self.seen.len()) as u64;
        swept
    }

    fn matches(entry: &Entry, filter: &Filter) -> bool {
        let record = &entry.record;
        (filter.states.is_empty() || filter.states.contains(&record.state))
            && filter.unfinished.is_none_or(|wanted| entry.unfinished() == wanted)
            && filter.terms.len() <= FILTER_TERMS_MAX
            && filter.terms.iter().all(|term| entry.terms.contains(term))
            && (filter.verdicts.is_empty() || record.verdict.is_some_and(|verdict| filter.verdicts.contains(&verdict)))
            && filter.quarantine.is_none_or(|wanted| record.quarantine == wanted)
            && filter.released.is_none_or(|wanted| record.released_by.is_some() == wanted)
            && filter.channel.is_none_or(|wanted| record.channel == wanted)
            && filter.route.as_ref().is_none_or(|wanted| record.route == *wanted)
            && filter.sender.as_ref().is_none_or(|wanted| !entry.forgotten && entry.new.senders.contains(wanted))
            && filter.conversation.as_ref().is_none_or(|wanted| entry.new.conversation == *wanted)
            && filter.received_from.is_none_or(|from| record.received_ms >= from)
            && filter.received_until.is_none_or(|until| record.received_ms < until)
    }

    fn earliest(&self, now: Millis) -> Option<Millis> {
        let mut fronts = HashMap::new();
        for entry in self.entries.values().filter(|entry| entry.unfinished()) {
            fronts.entry(&entry.new.conversation).or_insert(entry.due);
        }
        for entry in self.entries.values().filter(|entry| entry.held(now)) {
            fronts.insert(&entry.new.conversation, entry.leased_until.unwrap_or(0));
        }
        fronts.into_values().min()
    }
}

impl MemorySpool {
    pub fn new() -> Self {
        Self::default()
    }

    /// As after a crash: nobody holds anything any more, and everything that was stored is there.
    pub fn forget_claims(&self) {
        self.inside().entries.values_mut().for_each(|entry| entry.leased_until = None);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` at once; the future only carries the result.
    fn at<T: Send + 'static>(
        &self,
        now: Option<Millis>,
        work: impl FnOnce(&mut Inside) -> Result<T, SpoolError>,
    ) -> Pending<'_, T> {
        let result = {
            let mut inside = self.inside();
            if let Some(now) = now {
                inside.clock = Some((now, Instant::now()));
            }
            work(&mut inside)
        };
        self.changed.notify_waiters();
        Box::pin(std::future::ready(result))
    }
}

impl Spool for MemorySpool {
    fn append(&self, now: Millis, entries: Vec<NewEntry>) -> Pending<'_, Vec<Appended>> {
        self.at(Some(now), |inside| Ok(entries.into_iter().map(|new| inside.append_one(now, new)).collect()))
    }

    fn claim(&self, now: Millis, lease: Millis, most: usize) -> Pending<'_, Vec<Claimed>> {
        let mut inside = self.inside();
        inside.clock = Some((now, Instant::now()));
        let claimed = inside.claim(now, lease, most);
        Box::pin(std::future::ready(Ok(claimed)))
    }

    fn wait_for_work<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let changed = self.changed.notified();
            let wait = {
                let inside = self.inside();
                let now = inside.clock.map_or(0, |(now, at)| now + at.elapsed().as_millis() as u64);
                inside.earliest(now).map(|due| due.saturating_sub(now))
            };
            match wait {
                Some(0) => {}
                Some(millis) => {
                    let _ = tokio::time::timeout(std::time::Duration::from_millis(millis), changed).await;
                }
                None => changed.await,
            }
        })
    }

    fn record_decided(&self, now: Millis, id: &DeliveryId, decided: Decided) -> Pending<'_, ()> {
        self.at(Some(now), |inside| {
            let entry = inside.find_held(now, id)?;
            entry.record.state = State::Decided;
            entry.record.decided_ms = Some(now);
            entry.record.verdict = Some(decided.verdict);
            entry.record.quarantine = decided.quarantine;
            entry.terms = decided.terms.iter().take(TERMS_MAX).cloned().collect();
            let summary = Some(decided.summary).filter(|summary| summary.len() <= SUMMARY_BYTES_MAX);
            entry.decided = Some(Decided { terms: Vec::new(), summary: summary.unwrap_or_default(), ..decided });
            Ok(())
        })
    }

    fn finish(&self, now: Millis, id: &DeliveryId, finish: Finish) -> Pending<'_, ()> {
        self.at(Some(now), |inside| inside.finish(now, id, finish))
    }

    fn renew(&self, now: Millis, id: &DeliveryId, lease: Millis) -> Pending<'_, ()> {
        self.at(Some(now), |inside| {
            inside.find_held(now, id)?.leased_until = Some(now.saturating_add(lease));
            Ok(())
        })
    }

    fn record(&self, id: &DeliveryId) -> Pending<'_, Option<Record>> {
        self.at(None, |inside| Ok(inside.find(id).ok().map(|entry| entry.record.clone())))
    }

    fn content(&self, id: &DeliveryId) -> Pending<'_, ContentOf> {
        self.at(None, |inside| {
            let entry = inside.find(id)?;
            let decided = entry.decided.as_ref().filter(|_| entry.content);
            Ok(ContentOf {
                received: Some(entry.new.body.clone()).filter(|_| entry.content),
                sent: decided
                    .filter(|_| entry.record.state != State::Quarantined)
                    .map(|decided| decided.body.clone().unwrap_or_else(|| entry.new.body.clone())),
                report: decided.map(|decided| decided.report.clone()),
            })
        })
    }

    fn page(&self, filter: Filter, most: usize) -> Pending<'_, Page> {
        self.at(None, |inside| {
            let seq =
                |id: &Option<DeliveryId>, unknown| id.as_ref().map_or(unknown, |id| Place::of(id).map_or(0, |p| p.seq));
            let (after, before) = (seq(&filter.after, 0), seq(&filter.before, Seq::MAX));
            let mut found: Vec<Record> = inside
                .entries
                .iter()
                .filter(|(seq, entry)| **seq > after && **seq < before && Inside::matches(entry, &filter))
                .map(|(_, entry)| entry.record.clone())
                .collect();
            if !filter.oldest_first {
                found.reverse();
            }
            let more = found.len() > most;
            found.truncate(most);
            let next = found.last().filter(|_| more).map(|record| record.id.clone());
            Ok(Page { records: found, next })
        })
    }

    fn summaries(&self, ids: &[DeliveryId]) -> Pending<'_, Vec<Option<Vec<u8>>>> {
        self.at(None, |inside| {
            let mut summary = |(at, id): (usize, &DeliveryId)| {
                let entry = inside.find(id).ok().filter(|entry| at < SUMMARIES_MAX && entry.content)?;
                entry.decided.as_ref().map(|decided| decided.summary.clone()).filter(|summary| !summary.is_empty())
            };
            Ok(ids.iter().enumerate().map(&mut summary).collect())
        })
    }

    fn history(&self, from: Millis, until: Millis, bucket: Millis) -> Pending<'_, Vec<Bucket>> {
        self.at(None, |inside| {
            let states = [State::Received, State::Decided, State::Delivered, State::Quarantined, State::DeadLettered];
            let minute = |millis: Millis| millis / HISTORY_STEP_MILLIS;
            let steps = |millis: Millis| millis.div_ceil(HISTORY_STEP_MILLIS).max(1);
            let width = steps(bucket).max(steps(until.saturating_sub(from) / HISTORY_BUCKETS_MAX + 1));
            let (mut first, end) = (minute(from), until.div_ceil(HISTORY_STEP_MILLIS));
            let mut buckets = Vec::new();
            while first < end {
                let within = first..first.saturating_add(width).min(end);
                let all = inside.entries.values().map(|entry| &entry.record);
                let of: Vec<&Record> = all.filter(|record| within.contains(&minute(record.received_ms))).collect();
                let count = |fits: &dyn Fn(&Record) -> bool| of.iter().filter(|record| fits(record)).count() as u64;
                let verdict = |verdict: &Verdict| (*verdict, count(&|record| record.verdict == Some(*verdict)));
                buckets.push(Bucket {
                    at: first * HISTORY_STEP_MILLIS,
                    received: of.len() as u64,
                    by_verdict: Verdict::ALL.iter().map(verdict).collect(),
                    by_state: states.iter().map(|state| (*state, count(&|record| record.state == *state))).collect(),
                });
                first = first.saturating_add(width);
            }
            Ok(buckets)
        })
    }

    fn counts(&self) -> Pending<'_, Counts> {
        self.at(None, |inside| {
            let states = [State::Received, State::Decided, State::Delivered, State::Quarantined, State::DeadLettered];
            let count = |state| inside.entries.values().filter(|entry| entry.record.state == state).count() as u64;
            let unfinished = inside.entries.values().find(|entry| entry.unfinished());
            Ok(Counts {
                by_state: states.map(|state| (state, count(state))).to_vec(),
                oldest_unfinished_ms: unfinished.map(|entry| entry.record.received_ms),
                claimed: inside.entries.values().filter(|entry| entry.leased_until.is_some()).count() as u64,
            })
        })
    }

    fn release(&self, now: Millis, id: &DeliveryId, by: &str) -> Pending<'_, ()> {
        self.at(Some(now), |inside| {
            let entry = inside.put_back(now, id, State::Received)?;
            (entry.record.decided_ms, entry.record.verdict, entry.record.quarantine) = (None, None, false);
            entry.record.released_by = Some(by.to_owned());
            entry.terms.clear();
            Ok(())
        })
    }

    fn retry(&self, now: Millis, id: &DeliveryId) -> Pending<'_, ()> {
        self.at(Some(now), |inside| {
            let entry = inside.find(id)?;
            if entry.unfinished() {
                entry.due = 0;
                entry.record.next_ms = entry.record.next_ms.map(|_| now);
                return Ok(());
            }
            if entry.record.state != State::DeadLettered {
                return Err(SpoolError::NotNow(id.clone()));
            }
            let state = if entry.record.decided_ms.is_some() { State::Decided } else { State::Received };
            inside.put_back(now, id, state).map(drop)
        })
    }

    fn sweep(&self, now: Millis, retention: Arc<Retention>) -> Pending<'_, Swept> {
        self.at(Some(now), |inside| Ok(inside.sweep(now, &retention)))
    }

    fn erase_sender(&self, sender: &str) -> Pending<'_, u64> {
        self.at(None, |inside| {
            let mut erased = 0;
            for entry in inside.entries.values_mut().filter(|entry| !entry.unfinished() && !entry.forgotten) {
                if entry.new.senders.iter().any(|name| name == sender) {
                    entry.erase();
                    erased += 1;
                }
            }
            Ok(erased)
        })
    }

    fn erase_entry(&self, id: &DeliveryId) -> Pending<'_, ()> {
        self.at(None, |inside| {
            let entry = inside.find(id)?;
            if entry.unfinished() {
                return Err(SpoolError::NotNow(id.clone()));
            }
            entry.erase();
            Ok(())
        })
    }
}
