//! What is known of clamd right now, for `/readyz`, the console and `doctor`. Plain data: no content, no secrets.

use serde::Serialize;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Some address passed its last self-test: files are scanned.
    pub ready: bool,
    /// While not ready: what is wrong, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// While not ready: how to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// `1.4.6`, of the address that is asked first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Number of the daily database (`27800`); `0` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Age of the daily database; `None` where it is not known, as for the test set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_age_seconds: Option<u64>,
    pub signatures: Signatures,
    pub addresses: Vec<AddressStatus>,
    pub scans_running: usize,
    /// Scans waiting for one of `concurrent_scans` places.
    pub scans_waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedStatus>,
}

/// What clamd looks with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signatures {
    /// Nothing answered yet, or an outside clamd without a daily database.
    #[default]
    Unknown,
    /// A database folder with signatures.
    Database,
    /// Only the bundled test set: EICAR and Debian's test file are found, real malware is NOT.
    TestSetOnly,
}

impl Signatures {
    /// For people: `test set only`.
    pub fn label(self) -> &'static str {
        match self {
            Signatures::Unknown => "unknown",
            Signatures::Database => "database",
            Signatures::TestSetOnly => "test set only",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddressStatus {
    pub address: String,
    pub healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_test: Option<SelfTestStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SelfTestStatus {
    pub passed: bool,
    /// Seconds since 1970.
    pub at: u64,
    /// What the test saw.
    pub detail: String,
}

/// The clamd of our own.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ManagedStatus {
    pub state: ChildState,
    /// What it said or how it ended, when something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Times it ended by itself and was started again.
    pub restarts: u64,
    /// Databases loaded since start, the first included.
    pub loads: u64,
    /// The folder its signatures come from.
    pub database: String,
    pub freshclam: FreshclamStatus,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildState {
    #[default]
    Starting,
    Running,
    /// It ended; the next start waits.
    Restarting,
    /// No clamd on this machine.
    Missing,
    /// Another Guarita process on the same storage runs it; we ask that one.
    Shared,
    Stopped,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum FreshclamStatus {
    /// Turned off, not installed, or the folder is not ours to write.
    Off {
        why: String,
    },
    #[default]
    Waiting,
    Running,
    Updated {
        at: u64,
    },
    Failed {
        at: u64,
        why: String,
    },
}
