//! What the writer is asked to do, and what it answers.

use crate::{
    Claimed, DeliveryId, Finish, Millis, Retention, SpoolError, Swept,
    place::{Place, Seq},
    seal::Name,
};
use guarita_message::{Channel, DedupeKey, Lane, Verdict};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::oneshot;

/// Answers the caller who waits. Dropped unanswered only if the writer died.
pub(super) type Reply<T> = oneshot::Sender<Result<T, SpoolError>>;

/// A new entry, hashed and sealed by its caller, so that the writer only writes.
pub(super) struct Prepared {
    pub received_ms: Millis,
    pub salt: u64,
    pub route: String,
    pub channel: Channel,
    pub account: String,
    pub lane: Lane,
    pub conversation: Name,
    /// Names one after the other.
    pub senders: Vec<u8>,
    /// Hashes of `keys`, one after the other.
    pub dedupe: Vec<u8>,
    pub keys: Vec<DedupeKey>,
    pub sealed: Vec<u8>,
    /// The entry as `claim` hands it out, without its id, for the cache.
    pub fresh: Option<Claimed>,
}

/// What became of one [`Prepared`] within a transaction.
pub(super) enum AppendOutcome {
    Stored(Place),
    Duplicate,
    /// Positions in `keys`.
    PartlySeen(Vec<usize>),
}

pub(super) enum Command {
    Append { now: Millis, entries: Vec<Prepared>, bytes: usize, reply: Reply<Vec<crate::Appended>> },
    Decide { now: Millis, id: DeliveryId, decision: Decision, reply: Reply<()> },
    Finish { now: Millis, id: DeliveryId, finish: Finish, reply: Reply<()> },
    Release { now: Millis, id: DeliveryId, by: String, reply: Reply<()> },
    Retry { now: Millis, id: DeliveryId, reply: Reply<()> },
    Sweep { now: Millis, retention: Arc<Retention>, reply: Reply<Swept> },
    Erase { sender: Name, reply: Reply<u64> },
    EraseEntry { id: DeliveryId, reply: Reply<()> },
    Probe { reply: Reply<()> },
}

pub(super) struct Decision {
    pub verdict: Verdict,
    pub quarantine: bool,
    pub sealed: Vec<u8>,
    /// Hashes of its terms, 8 bytes each, each once.
    pub terms: Vec<u8>,
    /// The summary, sealed apart where the decision is large.
    pub summary: Option<Vec<u8>>,
}

impl Decision {
    /// Need the entry's own row not tell of it yet?
    pub fn deferred(&self) -> bool {
        self.verdict == Verdict::Clean && !self.quarantine
    }
}

/// What a command comes to, if its transaction is committed.
pub(super) enum Outcome {
    Appended(Vec<AppendOutcome>),
    Done,
    /// Decided; the entry's row does not say so yet.
    Deferred,
    Swept(Swept),
    /// Entries emptied, and the (cut) names taken from them.
    Erased(u64, HashSet<(i64, Seq)>),
    /// Nothing was written for it; the reason is the answer.
    Refused(SpoolError),
}

impl Command {
    /// The transaction failed.
    pub fn fail(self, error: SpoolError) {
        match self {
            Command::Append { reply, .. } => answer(reply, Err(error)),
            Command::Decide { reply, .. }
            | Command::Finish { reply, .. }
            | Command::Release { reply, .. }
            | Command::Retry { reply, .. }
            | Command::EraseEntry { reply, .. }
            | Command::Probe { reply } => answer(reply, Err(error)),
            Command::Sweep { reply, .. } => answer(reply, Err(error)),
            Command::Erase { reply, .. } => answer(reply, Err(error)),
        }
    }
}

/// A caller who went away meanwhile is not an error.
pub(super) fn answer<T>(reply: Reply<T>, result: Result<T, SpoolError>) {
    let _ = reply.send(result);
}
