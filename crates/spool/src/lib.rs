//! Keeps each delivery safe until the backend has it.
//!
//! An entry is record and work item in one: one write stores it, one write ends it. The spool knows no wire format and
//! no HTTP; bodies and inspections are opaque bytes to it, encrypted at rest. `sqlite` is the default, `memory` is for
//! tests; one conformance suite (`tests/conformance.rs`) holds both to the same promises.

mod config;
mod keep;
pub mod key;
mod memory;
mod place;
mod queue;
mod seal;
mod sqlite;

pub use config::Config;
pub use keep::{Keep, Retention};
pub use key::{KeyError, StorageKey};
pub use memory::MemorySpool;
pub use sqlite::{OpenError, SqliteSpool};

use bytes::Bytes;
use guarita_message::{Channel, ConversationKey, DedupeKey, DeliveryId, Lane, Verdict};
use std::{future::Future, pin::Pin, sync::Arc};

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, SpoolError>> + Send + 'a>>;

/// Milliseconds since 1970. Time is an argument everywhere: the spool reads no clock.
pub type Millis = u64;

/// What `receive` hands over: one entry a conversation (or a message, where the route splits).
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub route: String,
    pub channel: Channel,
    pub account: String,
    pub lane: Lane,
    /// Entries of one conversation are claimed one at a time, in order of receipt.
    pub conversation: ConversationKey,
    /// One key an update in the body. Remembered for [`DEDUPE_MILLIS`].
    pub dedupe: Vec<DedupeKey>,
    /// Names of the sender, for search and erasure; kept only as keyed hashes.
    pub senders: Vec<String>,
    pub body: Vec<u8>,
}

/// Meta repeats a delivery for at most seven days.
pub const DEDUPE_MILLIS: u64 = 7 * 24 * 3600 * 1000;

#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    /// On disk, fsynced.
    Stored(DeliveryId),
    /// Every key was seen before; nothing stored.
    Duplicate,
    /// Some keys were seen before; nothing stored. Cut those updates out of the body and append what is left.
    PartlySeen(Vec<DedupeKey>),
}

/// An entry that one worker holds until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub id: DeliveryId,
    pub route: String,
    pub channel: Channel,
    pub lane: Lane,
    pub conversation: ConversationKey,
    pub received_ms: Millis,
    /// Its age counts from here: receipt, or the last time a person put it back in line.
    pub since_ms: Millis,
    /// The body as Meta sent it (or the part of it that belongs to this conversation).
    pub body: Bytes,
    /// What was decided before a crash or a failed attempt; never judged a second time.
    pub decided: Option<Decided>,
    /// Attempts at delivery since `since_ms`. Looks while held for a scanner are in `looks`.
    pub attempts: u32,
    pub looks: u32,
    /// Released by a person: deliver the original body, marked so.
    pub released_by: Option<String>,
}

/// The outcome of judging, stored before the first attempt at delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub verdict: Verdict,
    /// The exact body to send; `None`: the received bytes, untouched.
    pub body: Option<Vec<u8>>,
    /// Value of `X-Guarita-Findings`, if that mode is on.
    pub findings_header: Option<String>,
    /// Inspections and decisions of its messages as JSON, for the console. Opaque here.
    pub report: Vec<u8>,
    /// Keep the received body for `quarantine_days` instead of `retention_days`.
    pub quarantine: bool,
    /// Facts by which the entry can be found (docs/lexicon.md holds the vocabulary); at most [`TERMS_MAX`], the first
    /// ones count. Kept only as keyed hashes, as long as the content: they never come back.
    pub terms: Vec<String>,
    /// What a list shows of the entry without its content: opaque, sealed, at most [`SUMMARY_BYTES_MAX`] bytes (a longer
    /// one is not kept).
    pub summary: Vec<u8>,
}

/// Terms of one entry that are kept.
pub const TERMS_MAX: usize = 64;
/// Bytes of a summary.
pub const SUMMARY_BYTES_MAX: usize = 1024;

/// How a claim ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    Delivered,
    /// Try delivery again at this time; the conversation waits behind it.
    RetryAt {
        at: Millis,
        error: String,
    },
    /// Look again at this time (a gap that may close); not an attempt at delivery.
    LookAgainAt {
        at: Millis,
    },
    /// Policy said that the backend gets nothing of it.
    Quarantined,
    DeadLettered {
        error: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting to be judged (or held for a scanner).
    Received,
    /// Judged; waiting for its (next) delivery.
    Decided,
    Delivered,
    Quarantined,
    DeadLettered,
}

/// One entry as the console sees it. No content: `content` fetches that apart, and is audited.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Record {
    pub id: DeliveryId,
    pub route: String,
    pub channel: Channel,
    pub account: String,
    pub lane: Lane,
    pub state: State,
    pub verdict: Option<Verdict>,
    pub quarantine: bool,
    pub received_ms: Millis,
    pub decided_ms: Option<Millis>,
    pub finished_ms: Option<Millis>,
    pub next_ms: Option<Millis>,
    /// Since it was last put back in line.
    pub attempts: u32,
    pub looks: u32,
    pub last_error: Option<String>,
    pub released_by: Option<String>,
    /// When a person last put it back in line; its age and its attempts count from then.
    pub put_back_ms: Option<Millis>,
}

/// An entry's content, decrypted; each part `None` once its retention is over.
#[derive(Clone, Debug)]
pub struct ContentOf {
    pub received: Option<Vec<u8>>,
    pub sent: Option<Vec<u8>>,
    pub report: Option<Vec<u8>>,
}

/// What the console lists; every field narrows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub states: Vec<State>,
    /// `true`: what is on its way yet; `false`: what came to an end.
    pub unfinished: Option<bool>,
    pub verdicts: Vec<Verdict>,
    pub quarantine: Option<bool>,
    /// `true`: what a person let go; `false`: what nobody did.
    pub released: Option<bool>,
    pub channel: Option<Channel>,
    pub route: Option<String>,
    /// Exact name of a sender; compared by keyed hash.
    pub sender: Option<String>,
    /// Exact conversation (the file worker's passwords come from its last messages).
    pub conversation: Option<ConversationKey>,
    /// Entries that bear each of these terms; compared by keyed hash. Beyond [`FILTER_TERMS_MAX`] nothing is found.
    pub terms: Vec<String>,
    pub received_from: Option<Millis>,
    pub received_until: Option<Millis>,
    /// For paging: only entries older than this one.
    pub before: Option<DeliveryId>,
    /// For paging back: only entries younger than this one.
    pub after: Option<DeliveryId>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
}

/// Terms of one filter.
pub const FILTER_TERMS_MAX: usize = 16;

/// A piece of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where to go on (as `before`, or as `after` where the oldest come first). There may be a next page after one
    /// that is short or empty: a look stops at a bound. `None`: that was all.
    pub next: Option<DeliveryId>,
}

/// What came in within one stretch of time, and how it stands now (or stood when it was removed).
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Bucket {
    /// Where the stretch begins.
    pub at: Millis,
    /// Entries received.
    pub received: u64,
    /// By the last verdict, in the order of [`Verdict::ALL`]; entries not judged yet are in none.
    pub by_verdict: Vec<(Verdict, u64)>,
    pub by_state: Vec<(State, u64)>,
}

/// The finest stretch that `history` tells apart.
pub const HISTORY_STEP_MILLIS: u64 = 60_000;
/// Stretches of one answer; where more were asked for, the stretches are longer.
pub const HISTORY_BUCKETS_MAX: u64 = 2000;
/// How long figures are kept; they outlive the entries.
pub const HISTORY_MILLIS: u64 = 90 * 24 * 3600 * 1000;

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Counts {
    /// Entries by state; delivered ones only as long as they are kept.
    pub by_state: Vec<(State, u64)>,
    /// Receipt of the oldest entry that is not finished.
    pub oldest_unfinished_ms: Option<Millis>,
    /// In flight now.
    pub claimed: u64,
}

/// Summaries asked for at a time.
pub const SUMMARIES_MAX: usize = 1000;

/// What retention removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Swept {
    pub entries: u64,
    pub contents: u64,
    pub dedupe_keys: u64,
    /// Some entries were looked at that are kept, and there may be others behind them: call again.
    pub unfinished: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Our disk is at fault; a retry can help once there is room.
    #[error("the spool is full or its disk is: free space under storage.path, or raise storage.bytes_max")]
    Full,
    /// Our disk is at fault; `doctor` says more.
    #[error("the spool cannot use its disk: {0}")]
    Disk(String),
    /// The caller's claim ran out, or another worker finished it; its result is not taken.
    #[error("the lease of {0} is over")]
    LeaseLost(DeliveryId),
    #[error("no entry {0}")]
    NotFound(DeliveryId),
    /// The caller asks what does not fit the entry's state: a release of one that is on its way, a retry of one that
    /// was delivered, or either once its content is gone. A retry cannot help.
    #[error("{0} cannot be put back in line: it is on its way, was delivered, or its content is gone")]
    NotNow(DeliveryId),
    /// The stored bytes do not decrypt: wrong key file or a damaged database. A retry cannot help.
    #[error("stored content does not decrypt: {0}; restore the key file that belongs to this folder")]
    Damaged(String),
}

/// The promises are written at each method and tested in the conformance suite.
pub trait Spool: Send + Sync {
    /// Stores entries, all of one POST in one transaction, and returns once they are fsynced. Results stand in the
    /// order of `entries`. Two concurrent appends of the same key store it once.
    fn append(&self, now: Millis, entries: Vec<NewEntry>) -> Pending<'_, Vec<Appended>>;

    /// Hands out at most `most` entries that are due, each leased until `now + lease`. Never two of one conversation at
    /// a time, never a later one while an earlier one of the conversation is unfinished. Released entries come as new work.
    fn claim(&self, now: Millis, lease: Millis, most: usize) -> Pending<'_, Vec<Claimed>>;

    /// The same, but of one route at most `most_of_one` entries are out at a time, and routes take turns. Conversations
    /// whose keys begin with the route's name and a unit separator (`\u{1f}`) belong to that route, all others to none.
    fn claim_shared(&self, now: Millis, lease: Millis, most: usize, most_of_one: usize) -> Pending<'_, Vec<Claimed>> {
        let _ = most_of_one;
        self.claim(now, lease, most)
    }

    /// Waits until `claim` may have something (an append, a release, a finish), or the earliest due time comes. Spurious
    /// wake-ups are allowed; callers bound the wait themselves.
    fn wait_for_work<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// Stores what was decided; durable when it returns.
    fn record_decided(&self, now: Millis, id: &DeliveryId, decided: Decided) -> Pending<'_, ()>;

    /// Ends a claim. After `Delivered`, `Quarantined` or `DeadLettered` the conversation's next entry is free.
    fn finish(&self, now: Millis, id: &DeliveryId, finish: Finish) -> Pending<'_, ()>;

    /// Makes the claim last until `now + lease` (a slow scan).
    fn renew(&self, now: Millis, id: &DeliveryId, lease: Millis) -> Pending<'_, ()>;

    fn record(&self, id: &DeliveryId) -> Pending<'_, Option<Record>>;
    fn content(&self, id: &DeliveryId) -> Pending<'_, ContentOf>;
    /// One piece of what `filter` finds: at most `most` entries, found with bounded work.
    fn page(&self, filter: Filter, most: usize) -> Pending<'_, Page>;

    /// The first `most` entries that `filter` finds, page by page: where few of many match, this takes its time.
    fn list(&self, mut filter: Filter, most: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(async move {
            let mut found: Vec<Record> = Vec::new();
            while found.len() < most {
                let page = self.page(filter.clone(), most - found.len()).await?;
                found.extend(page.records);
                match page.next {
                    Some(next) if filter.oldest_first => filter.after = Some(next),
                    Some(next) => filter.before = Some(next),
                    None => break,
                }
            }
            Ok(found)
        })
    }

    /// The summaries of decided entries, in the order of `ids`; `None`: no such entry, not decided, no summary, content
    /// gone, or damaged. At most [`SUMMARIES_MAX`] at a time; beyond, `None`.
    fn summaries(&self, ids: &[DeliveryId]) -> Pending<'_, Vec<Option<Vec<u8>>>>;

    fn counts(&self) -> Pending<'_, Counts>;

    /// What came in from `from` until `until`, in stretches of `bucket` (a multiple of [`HISTORY_STEP_MILLIS`] is made
    /// of it), empty ones included; at most [`HISTORY_BUCKETS_MAX`].
    fn history(&self, from: Millis, until: Millis, bucket: Millis) -> Pending<'_, Vec<Bucket>>;

    /// A person lets a withheld entry go: it is claimed again, with `released_by` set and no decision. Attempts and age
    /// begin anew.
    fn release(&self, now: Millis, id: &DeliveryId, by: &str) -> Pending<'_, ()>;

    /// Puts a dead letter back in line, with attempts and age anew, or hurries a waiting retry; what was decided stays.
    fn retry(&self, now: Millis, id: &DeliveryId) -> Pending<'_, ()>;

    /// Removes content older than its route's retention and forgotten keys; unfinished entries are never touched. Bounded
    /// work a call (it is called often); returns the default when there is nothing to do.
    fn sweep(&self, now: Millis, retention: Arc<Retention>) -> Pending<'_, Swept>;

    /// Removes the content, the terms and the sender hashes of every finished entry of `sender`; returns how many.
    fn erase_sender(&self, sender: &str) -> Pending<'_, u64>;

    /// The same for one entry; [`SpoolError::NotNow`] while it is on its way.
    fn erase_entry(&self, id: &DeliveryId) -> Pending<'_, ()>;

    /// Can an append succeed now? Writes and fsyncs for real; `readyz` asks it.
    fn writable(&self) -> Pending<'_, ()> {
        Box::pin(async { self.append(0, Vec::new()).await.map(drop) })
    }
}
