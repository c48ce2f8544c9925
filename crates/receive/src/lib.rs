//! The public door: a bounded body, its signature, the append, then exactly 200.
//!
//! Knows HTTP, the webhook's signature and the spool's `append`; must not know media, inspection or delivery. What it
//! answers never depends on the backend, the scanner or Graph. Bodies go into the spool as they came, split by
//! conversation (or by message), so that no conversation waits for another.

mod config;
mod door;
mod limits;
mod serve;
mod table;
mod tls;

pub use config::{Config, TlsConfig, Unmatched};
pub use door::{Clock, Door};
pub use limits::{Limits, Unwanted};
pub use serve::serve;
pub use table::{APPS_PER_PATH_MAX, Proof, Route, Table, TableError, Wishes};
pub use tls::{TlsError, acceptor};
