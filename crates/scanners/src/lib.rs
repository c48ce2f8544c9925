//! Inspectors that ask someone else: clamd first of all, and short links' servers where the operator wants it.
//!
//! [`ClamAv`] is what the binary wires: it holds a [`Clamd`] (the protocol, several addresses, self-test) and, where the
//! configuration says `managed`, a [`ManagedClamd`] (a clamd of our own, started and watched). [`Cached`] remembers what
//! an inspector said of a content. Nothing here knows the spool, policy, rules or another inspector; nothing here turns
//! an error, a limit or an unknown reply into "clean": what could not be looked at is a gap.

/// What the fuzz targets reach: readers of what clamd and a file worker answer. Not part of the interface.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::sandboxed::read_answer;

    /// `Some(true)`: clamd said that there is nothing; `Some(false)`: that there is something; `None`: a gap.
    pub fn clamd_reply(bytes: &[u8]) -> Option<bool> {
        let _ = crate::reply::read_version(bytes);
        match crate::reply::read_reply(bytes) {
            crate::reply::Reply::Ok => Some(true),
            crate::reply::Reply::Found(_) => Some(false),
            crate::reply::Reply::NotLookedAt(..) => None,
        }
    }
}

mod cached;
mod clamav;
mod clamd;
mod config;
mod content;
mod database;
mod freshclam;
mod judge;
mod managed;
mod preview;
mod redirects;
mod reply;
mod sandboxed;
mod selftest;
mod status;
mod test_set;
mod titles;
mod wire;

pub use cached::{CacheConfig, Cached, Keyed};
pub use clamav::ClamAv;
pub use clamd::Clamd;
pub use config::{Address, Addresses, Config, ConfigError, FreshclamConfig, ManagedConfig};
pub use managed::{ManagedClamd, managed_socket};
pub use redirects::{Follow, REDIRECTS, Redirects, RedirectsConfig, RedirectsError};
pub use sandboxed::{FILES, SandboxedFiles};
pub use status::{AddressStatus, ChildState, FreshclamStatus, ManagedStatus, SelfTestStatus, Signatures, Status};
pub use test_set::eicar;
pub use titles::Titles;

/// Names gaps, rules (`clamav/<name>`) and metrics.
pub const CLAMAV: &str = "clamav";
