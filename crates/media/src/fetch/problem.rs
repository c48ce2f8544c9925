//! Why a fetch failed: inside, by what can be done about it; outside, as the gap it makes.

use crate::connect::{BodyError, refusal_in};
use guarita_message::GapReason;
use std::{fmt, time::Duration};

/// A fetch that gave nothing. `detail` says who is at fault and how to mend it, and holds no id, token or url.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchProblem {
    /// `expired`, `fetch_failed` or `too_large`.
    pub reason: GapReason,
    /// Whether fetching again in a moment may work.
    pub retry_can_help: bool,
    pub detail: String,
}

impl FetchProblem {
    pub fn new(reason: GapReason, retry_can_help: bool, detail: impl Into<String>) -> Self {
        FetchProblem { reason, retry_can_help, detail: detail.into() }
    }
}

impl fmt::Display for FetchProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for FetchProblem {}

/// One step that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Meta no longer knows it, or the url's time is over.
    Gone,
    /// Meta refuses the token.
    Refused,
    /// The network, or Meta is busy: tried again, not before this wait.
    Passing(Option<Duration>),
    TooLarge,
    /// The bytes are not those that were announced.
    Digest,
    /// We stopped asking for a while.
    Braked,
    /// Our own disk or memory.
    Ours,
    /// Trying again gives the same.
    Final,
}

impl Failure {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Failure { kind, detail: detail.into() }
    }

    /// From the HTTP client: our own refusal to connect is final, everything else may pass.
    pub(super) fn of_client(e: &(dyn std::error::Error + 'static)) -> Self {
        use crate::connect::ConnectError::{NoHost, PrivateAddress};
        match refusal_in(e) {
            Some(refusal @ (PrivateAddress | NoHost)) => Failure::new(Kind::Final, refusal.to_string()),
            Some(refusal) => Failure::new(Kind::Passing(None), refusal.to_string()),
            None => Failure::new(Kind::Passing(None), format!("the connection failed ({})", deepest(e))),
        }
    }

    pub(super) fn of_body(e: &BodyError) -> Self {
        Failure::new(Kind::Passing(None), format!("the file broke off ({})", deepest(&**e)))
    }
}

impl From<Failure> for FetchProblem {
    fn from(failure: Failure) -> Self {
        let (reason, retry_can_help) = match failure.kind {
            Kind::Gone => (GapReason::Expired, false),
            Kind::TooLarge => (GapReason::TooLarge, false),
            // The brake holds for up to an hour: nobody waits for that.
            Kind::Refused | Kind::Final | Kind::Braked => (GapReason::FetchFailed, false),
            Kind::Passing(_) | Kind::Digest | Kind::Ours => (GapReason::FetchFailed, true),
        };
        FetchProblem { reason, retry_can_help, detail: failure.detail }
    }
}

/// The first cause of an error; the outer layers of the client only repeat it, and none of them names the url.
fn deepest<'a>(e: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    let mut e: &(dyn std::error::Error + 'static) = e;
    while let Some(inner) = e.source() {
        e = inner;
    }
    e
}
