//! Sends a payload to the backend and says what came of it.
//!
//! Knows HTTP, the signature and when to try again; must not know the spool or any scanning. The bytes it gets are the
//! bytes it sends.

mod backend;
mod breaker;
mod retry;
mod transport;

pub use backend::{Backend, Config, Outcome, Outgoing, SetupError};
pub use breaker::{Breaker, BreakerState};
pub use retry::{GIVE_UP_MILLIS, REFUSALS_MAX, wait_before_retry};
pub use transport::{Answer, Broken, Sending, Transport, Trust};
