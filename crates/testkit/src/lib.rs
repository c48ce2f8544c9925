//! Stand-ins for the outside world: Meta's Graph and webhooks, and a backend. Real servers on real sockets.
//!
//! A development dependency of the tests, and what `guarita demo` and `guarita simulate` run; the gateway proper never
//! uses it.

mod backend;
mod http;
mod meta;
pub mod payload;
pub mod samples;
mod subscriptions;
mod telegram;

pub use backend::{Received, SampleBackend};
pub use meta::{Call, Media, MetaStandIn, Sent};
pub use telegram::TelegramStandIn;
