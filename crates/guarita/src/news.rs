//! Wires what happens to those who should know: the pipeline's news, readiness, the queue and the disk go to alerts, to
//! the backend's events, to the SIEM and to traces. What each of them does with it stands in `guarita-alerts`.

use crate::{config::Settings, gateway::Inner};
use guarita_alerts::{Alerts, Detection, Event, EventTarget, FindingsLog, Kind, Outbox, OutboxError, Span, Traces};
use guarita_console::Desk;
use guarita_message::{BACKEND, DeliveryId, Verdict, base_route};
use guarita_pipeline::{Noted, Observer, Seen, Stage, VerdictChanged};
use guarita_spool::{Spool as _, State};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Stands in the id of an event for a further backend, between the news' own id and the backend's name.
const FURTHER: char = '-';

/// Listens to the pipeline.
pub struct Watch {
    pub alerts: Alerts,
    pub outbox: Outbox,
    findings: Option<FindingsLog>,
    traces: Option<Traces>,
    /// Where each route's events go.
    events: RwLock<HashMap<String, EventTarget>>,
}

impl Watch {
    /// `key`: what the outbox is sealed with.
    pub fn start(settings: &Settings, key: [u8; 32]) -> Result<Watch, String> {
        let console = settings.console.public_url.as_str();
        let path = settings.storage.path.join("events.sqlite");
        Ok(Watch {
            alerts: Alerts::start(&settings.alerts, console)?,
            outbox: Outbox::open(&path, key).map_err(|error| error.to_string())?,
            findings: FindingsLog::start(&settings.log.findings, console)?,
            traces: Traces::start(&settings.traces)?,
            events: RwLock::default(),
        })
    }

    /// Where events go from now on, by route. Those without a url are left out.
    pub fn send_events_to(&self, targets: HashMap<String, EventTarget>) {
        *self.events.write().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// Names under which the backends of an entry's route want events.
    fn targets(&self, route: &str) -> Vec<String> {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        events.keys().filter(|name| are_of_one_route(name, route)).cloned().collect()
    }

    fn target(&self, route: &str) -> Option<EventTarget> {
        self.events.read().unwrap_or_else(PoisonError::into_inner).get(route).cloned()
    }

    /// Sends the backend's events until `stopped`.
    pub async fn send_events(self: Arc<Self>, stopped: impl Future<Output = ()>) {
        let watch = self.clone();
        self.outbox.clone().run_sender(move |route| watch.target(route), stopped).await;
    }
}

impl Observer for Watch {
    fn decided(&self, seen: &Seen<'_>) {
        let decision = seen.decision;
        if decision.verdict == Verdict::Malicious && !decision.withheld.is_empty() && !seen.released {
            let worst = seen.inspection.findings.iter().filter(|f| !f.shadow).max_by_key(|finding| finding.severity);
            let detail = worst.map(|finding| format!("{} · {}", finding.category, finding.rule)).unwrap_or_default();
            self.alerts.happened(Kind::MalwareHeld, &seen.delivery.0, &detail);
        }
        if let Some(findings) = &self.findings {
            findings.note(&Detection {
                delivery: &seen.delivery.0,
                message: &seen.message.id,
                channel: seen.message.channel,
                route: seen.route,
                received: seen.received_ms,
                decided: seen.decided_ms,
                findings: &seen.inspection.findings,
                files: &seen.inspection.files,
                withheld: &decision.withheld,
                quarantined: decision.quarantine,
            });
        }
    }

    fn wants_stages(&self, delivery: &DeliveryId) -> bool {
        self.traces.as_ref().is_some_and(|traces| traces.wants(&delivery.0))
    }

    fn stages(&self, delivery: &DeliveryId, stages: Vec<Stage>) {
        let Some(traces) = &self.traces else { return };
        let span = |stage: Stage| Span {
            delivery: delivery.0.clone(),
            name: stage.name,
            start: stage.start,
            end: stage.end,
            attributes: stage.attributes,
            failed: stage.failed,
        };
        traces.note(stages.into_iter().map(span).collect());
    }

    fn verdict_changed<'a>(&'a self, change: &'a VerdictChanged) -> Noted<'a> {
        Box::pin(async {
            let route = change.route.clone().unwrap_or_default();
            // People are alerted by `alert_of_events`, from what is on disk.
            let (said, said_error) = (change.event(), |error: OutboxError| error.to_string());
            let targets = self.targets(&route);
            let body = said.to_string().into_bytes();
            let event = Event { id: change.id.clone(), route: route.clone(), body };
            let first = self.outbox.note(event, targets.contains(&route)).await.map_err(said_error)?;
            // The further backends of the route were given the file as well.
            for other in targets.into_iter().filter(|other| *other != route) {
                let id = format!("{}{FURTHER}{other}", change.id);
                let mut said = said.clone();
                said["id"] = id.clone().into();
                let event = Event { id, route: other, body: said.to_string().into_bytes() };
                self.outbox.note(event, true).await.map_err(said_error)?;
            }
            Ok(first)
        })
    }
}

/// Looks at what must hold, until `stopped`: tells alerts, and keeps the gauges that alert rules ask.
pub async fn watch_conditions(
    inner: Arc<Inner>,
    watch: Arc<Watch>,
    desk: Arc<Desk>,
    stopped: impl Future<Output = ()>,
) {
    let watching = async {
        let (mut told, mut checks_before) = (Vec::new(), HashSet::new());
        loop {
            checks_before = look(&inner, &watch.alerts, checks_before).await;
            told = match alert_of_events(&watch, &desk, told).await {
                Ok(told) => told,
                Err(error) => {
                    tracing::warn!(%error, "alerts of changed verdicts wait");
                    Vec::new()
                }
            };
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped => {}
    }
}

/// Alerts of events that nobody was alerted of, and puts them into the timeline of their entry. Those of the look before
/// are marked now: the desk had time to pass them on, and a crash in between tells them twice rather than never.
async fn alert_of_events(watch: &Watch, desk: &Desk, told_before: Vec<String>) -> Result<Vec<String>, OutboxError> {
    watch.outbox.mark_told(told_before).await?;
    let untold = watch.outbox.untold(1000).await?;
    for event in untold.iter().filter(|event| !event.id.contains(FURTHER)) {
        let word = |key: &str| event.body[key].as_str().unwrap_or("?").to_owned();
        let detail = format!("{} → {}", word("before"), word("after"));
        let delivery = event.body["ref"].as_str().unwrap_or_default();
        watch.alerts.happened(Kind::VerdictChanged, delivery, &detail);
        if event.body["revoked"] == true && !delivery.is_empty() {
            let rule = event.body["findings"][0]["rule"].as_str().unwrap_or_default();
            if let Err(error) = desk.note_revoked(delivery, &format!("{detail} · {rule}")).await {
                tracing::warn!(delivery, %error, "that a file was revoked is not in the audit");
            }
        }
    }
    Ok(untold.into_iter().map(|event| event.id).collect())
}

/// The checks that were there; one that is there no longer (a route that went, one of many backends that came back) is
/// nothing to worry about any more.
async fn look(inner: &Inner, alerts: &Alerts, before: HashSet<String>) -> HashSet<String> {
    let config = &inner.settings.alerts;
    let checks = inner.readiness().await.checks;
    let names: HashSet<String> = checks.iter().map(|check| check.name.clone()).collect();
    for gone in before.into_iter().filter(|name| !names.contains(name)) {
        if let Some(route) = gone.strip_prefix("backend ") {
            alerts.holds(Kind::BackendDown, route, false, "");
        }
        metrics::gauge!("guarita_ready", "check" => gone).set(1.0);
    }
    for check in checks {
        metrics::gauge!("guarita_ready", "check" => check.name.clone()).set(if check.ok { 1.0 } else { 0.0 });
        let (name, down) = (check.name.as_str(), !check.ok && !check.warning);
        if matches!(name, "clamav" | "sandbox") {
            alerts.holds(Kind::ScannerBlind, name, down, &check.detail);
        } else if let Some(route) = name.strip_prefix("backend ") {
            alerts.holds(Kind::BackendDown, route, !check.ok, &check.detail);
        }
    }
    let age = inner.engine.signature_age_seconds();
    let old = age.is_none_or(|age| age > config.signature_days_max * 24 * 3600);
    let detail = age.map_or_else(|| "their age is not known".to_owned(), |age| format!("{} days", age / 86_400));
    alerts.holds(Kind::SignaturesOld, "", old, &detail);
    if let Ok(counts) = inner.spool.counts().await {
        let waiting = counts.by_state.iter().filter(|(state, _)| matches!(state, State::Received | State::Decided));
        let waiting: u64 = waiting.map(|(_, entries)| entries).sum();
        let oldest = counts.oldest_unfinished_ms.map_or(0, |received| now_ms().saturating_sub(received) / 1000);
        let growing = waiting > config.queue_entries_max || oldest > config.queue_seconds_max;
        alerts.holds(Kind::QueueGrowing, "", growing, &format!("{waiting} wait, the oldest for {oldest} s"));
    }
    if let Some(free) = free_bytes(&inner.storage) {
        metrics::gauge!("guarita_disk_free_bytes").set(free as f64);
        let low = free < config.disk_free_bytes_min;
        alerts.holds(Kind::DiskNearlyFull, "", low, &format!("{:.1} GB free", free as f64 / 1e9));
    }
    names
}

pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// `sales`, `sales#2` (its second backend) and `sales!blocked` (held) are of one route.
fn are_of_one_route(one: &str, other: &str) -> bool {
    let plain = |name: &str| base_route(name).split(BACKEND).next().unwrap_or_default().to_owned();
    plain(one) == plain(other)
}

/// What files are looked at with, as one text; `None` while a scanner is not ready.
pub fn stamp(inner: &Inner) -> Option<String> {
    let mut pieces = Vec::new();
    for inspector in &inner.engine.file_inspectors {
        pieces.push(inspector.version()?);
    }
    pieces.push(format!("rules {}", inner.pipeline.brains().rules.version));
    let lists = inner.list_files.lock().unwrap_or_else(PoisonError::into_inner);
    let lists: Vec<_> = lists.iter().map(|file| (&file.name, file.entries, file.modified)).collect();
    pieces.push(format!("lists {:x}", stamp_of(&lists)));
    pieces.push(format!("exceptions {:x}", inner.exceptions_stamp.load(Ordering::Relaxed)));
    Some(pieces.join("; "))
}

/// The same for the same value, also after a restart.
pub fn stamp_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_of_a_route_is_told_and_no_other() {
        for (one, other, same) in [
            ("sales", "sales", true),
            ("sales#2", "sales", true),
            ("sales", "sales#3!blocked", true),
            ("sales", "sales-2", false),
            ("sales", "support#2", false),
        ] {
            assert_eq!(are_of_one_route(one, other), same, "{one} {other}");
        }
    }
}
