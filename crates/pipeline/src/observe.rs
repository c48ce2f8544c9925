//! Who is told of what happened: alerts, a SIEM, traces. The story only says it; who listens is handed in, must answer at
//! once and cannot change anything.

use guarita_message::{ContentHash, Decision, DeliveryId, Finding, Inspection, Message, Verdict};
use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// A message with what was seen in it and decided about it.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub delivery: &'a DeliveryId,
    pub route: &'a str,
    pub received_ms: u64,
    pub decided_ms: u64,
    pub message: &'a Message,
    pub inspection: &'a Inspection,
    pub decision: &'a Decision,
    /// A person let it go.
    pub released: bool,
}

/// One station on an entry's way.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `receive fetch scan decide deliver`; `entry` is the whole way.
    pub name: &'static str,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<(&'static str, String)>,
    pub failed: bool,
}

impl Stage {
    /// A delivery that was taken, or given up.
    pub(crate) fn ends_the_entry(&self) -> bool {
        self.name == "deliver"
            && self.attributes.iter().any(|(_, value)| value == "accepted" || value == "dead_lettered")
    }
}

/// A file that was let through is now known to be worse.
#[derive(Clone, Debug)]
pub struct VerdictChanged {
    /// The same for the same news: told once, however often it is found.
    pub id: String,
    pub at_ms: u64,
    pub route: Option<String>,
    /// What it came with; `None` where that is forgotten.
    pub delivery: Option<DeliveryId>,
    pub message: Option<String>,
    pub media: Option<String>,
    pub place: String,
    pub sha256: ContentHash,
    pub before: Verdict,
    pub after: Verdict,
    /// The media door serves it no longer.
    pub revoked: bool,
    pub findings: Vec<Finding>,
    pub scanned_by: Vec<String>,
}

impl VerdictChanged {
    /// As the backend is told (`guarita.verdict_changed`, version 1); the words are those of SPEC 6's annotation.
    pub fn event(&self) -> serde_json::Value {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "rule": finding.rule, "category": finding.category, "severity": finding.severity,
                    "where": finding.place, "title": finding.title, "evidence": finding.evidence,
                })
            })
            .collect();
        serde_json::json!({
            "event": "guarita.verdict_changed", "version": 1, "id": self.id, "timestamp": self.at_ms / 1000,
            "ref": self.delivery, "message": self.message, "media": self.media, "where": self.place,
            "sha256": self.sha256, "before": self.before, "after": self.after, "revoked": self.revoked,
            "findings": findings, "scanned_by": self.scanned_by,
        })
    }
}

/// `Ok(false)`: it was told before. `Err`: it could not be noted, and must be tried again.
pub type Noted<'a> = Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>>;

/// Everything but `verdict_changed` returns at once.
pub trait Observer: Send + Sync {
    fn decided(&self, seen: &Seen<'_>);
    /// Whether this entry's stations are wanted.
    fn wants_stages(&self, delivery: &DeliveryId) -> bool;
    fn stages(&self, delivery: &DeliveryId, stages: Vec<Stage>);
    /// On disk when it returns, so that the news outlives a crash.
    fn verdict_changed<'a>(&'a self, change: &'a VerdictChanged) -> Noted<'a>;
}

/// Nobody listens.
pub struct Nobody;

impl Observer for Nobody {
    fn decided(&self, _: &Seen<'_>) {}

    fn wants_stages(&self, _: &DeliveryId) -> bool {
        false
    }

    fn stages(&self, _: &DeliveryId, _: Vec<Stage>) {}

    fn verdict_changed<'a>(&'a self, _: &'a VerdictChanged) -> Noted<'a> {
        Box::pin(async { Ok(true) })
    }
}

/// Stations of one turn of an entry; further ones are left out (a delivery may hold hundreds of files).
const STAGES_MAX: usize = 64;

/// Notes stations where they are wanted; costs nothing where not.
pub(crate) struct Stages {
    kept: Option<Mutex<Vec<Stage>>>,
}

impl Stages {
    pub(crate) fn new(wanted: bool) -> Self {
        Stages { kept: wanted.then(Mutex::default) }
    }

    /// When a station begins; 0 where nobody wants to know.
    pub(crate) fn begin(&self) -> u64 {
        if self.kept.is_some() { now_ns() } else { 0 }
    }

    pub(crate) fn end(&self, name: &'static str, start: u64, failed: bool, attributes: &[(&'static str, &str)]) {
        let Some(kept) = &self.kept else { return };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < STAGES_MAX {
            let attributes = attributes.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
            kept.push(Stage { name, start, end: now_ns(), attributes, failed });
        }
    }

    pub(crate) fn take(self) -> Vec<Stage> {
        self.kept.map(|kept| kept.into_inner().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default()
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
