//! What the console asks of the running gateway, as a trait that the binary implements: its health, its rules, its
//! backends, its settings. This module must not know how any of it is done.

use crate::desk::Exception;
use guarita_message::{Inspection, Language, Preview};
use serde::{Deserialize, Serialize};
use std::{future::Future, io, pin::Pin};

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One thing that must work, and how to mend it when it does not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    /// A check that is not ok but only warns does not make the gateway unready (test signatures, old signatures).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    pub detail: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mend: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    pub checks: Vec<Check>,
}

impl Readiness {
    pub fn of(checks: Vec<Check>) -> Self {
        Readiness { ready: checks.iter().all(|check| check.ok || check.warning), checks }
    }
}

/// A rule as the console shows it.
#[derive(Clone, Debug, Serialize)]
pub struct RuleInfo {
    pub id: String,
    pub category: String,
    pub severity: String,
    pub title: String,
    pub why: String,
    /// Counts and shows, decides nothing.
    pub shadow: bool,
    /// Where it is written: `links/hosts.toml:12`.
    pub written: String,
    /// Findings since the gateway started.
    pub hits: u64,
    pub last_hit_ms: Option<u64>,
}

/// The rules in force.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rules {
    pub version: String,
    pub rules: Vec<RuleInfo>,
    /// Findings of rules that are no file of ours (ClamAV's signatures), most frequent first.
    pub outside: Vec<RuleHits>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RuleHits {
    pub rule: String,
    pub hits: u64,
    pub last_hit_ms: u64,
}

/// What a try of a text, link or file came to.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    pub verdict: String,
    pub score: f32,
    pub inspection: Inspection,
}

/// A file of which a preview is wanted.
pub struct FileToShow {
    pub name: String,
    pub declared_type: String,
    /// Opens its bytes; called on a thread that may block, and read by nobody but the locked worker.
    pub open: Box<dyn FnOnce() -> io::Result<Box<dyn io::Read + Send>> + Send>,
}

/// One backend and its breaker.
#[derive(Clone, Debug, Serialize)]
pub struct BackendInfo {
    pub route: String,
    /// Host and port only: an url may hold a token.
    pub host: String,
    /// `closed open probing`, of messages.
    pub messages: String,
    /// The same, of everything else (statuses, calls, account events).
    pub others: String,
}

/// A key of the configuration. Secrets are shown as `(set)` or `(empty)`.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    pub key: String,
    pub value: String,
    /// The default file's comment.
    pub meaning: String,
    pub secret: bool,
    /// Differs from the default.
    pub changed: bool,
}

/// Figures of the moment that no store holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// `clamav 1.4.6/27800`, or why it does not answer.
    pub scanner: String,
    pub scanner_ready: bool,
    pub signature_age_seconds: Option<u64>,
    pub rules_version: String,
    pub uptime_seconds: u64,
}

/// Handles into the running gateway.
pub trait Gateway: Send + Sync {
    fn readiness(&self) -> Answer<'_, Readiness>;

    /// The Prometheus text.
    fn metrics(&self) -> Answer<'_, String>;

    fn snapshot(&self) -> Snapshot;

    /// Everything `guarita doctor` would try; slower than readiness, and asks outside things.
    fn doctor(&self) -> Answer<'_, Vec<Check>> {
        Box::pin(async { self.readiness().await.checks })
    }

    /// Titles and reasons in `language`; in the operator's where none is named.
    fn rules(&self, language: Option<Language>) -> Rules;
    fn try_text(&self, text: String) -> Answer<'_, Result<Tried, String>>;
    fn try_url(&self, url: String) -> Answer<'_, Result<Tried, String>>;
    fn try_file(&self, name: String, bytes: Vec<u8>) -> Answer<'_, Result<Tried, String>>;
    /// Has a file drawn in the locked room. What keeps it from being shown is in the answer.
    fn preview(&self, file: FileToShow) -> Answer<'_, Preview>;
    fn backends(&self) -> Vec<BackendInfo>;
    fn settings(&self) -> Vec<Setting>;

    /// Puts these in force: the console's lists and exceptions, whole. Called at start and on every change.
    fn apply_exceptions(&self, all: Vec<Exception>) -> Answer<'_, ()>;

    /// Reads rules, lists and policy anew. Says what is in force now, or what is wrong with the files.
    fn reload(&self) -> Answer<'_, Result<String, String>>;

    /// Begins a rescan of what is kept. Says what will be looked at.
    fn rescan(&self) -> Answer<'_, Result<String, String>>;

    /// Sends a test alert to every target. Says what each answered.
    fn test_alert(&self) -> Answer<'_, Result<String, String>>;
}
