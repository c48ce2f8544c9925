//! `[receive]` of the configuration.

use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf};

/// Bounds and secrets of the public door. Defaults stand in the program's default file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub path: String,
    pub verify_token: String,
    pub app_secret: String,
    /// Largest body taken. Meta sends up to 3 MB.
    pub body_bytes_max: usize,
    /// Longest wait for a request's headers; a kept-alive connection that stays idle this long is closed, too.
    pub header_seconds_max: u64,
    /// From the end of the headers to the end of the body; above it 408.
    pub body_seconds_max: u64,
    /// Above it new connections are closed at once.
    pub connections_max: usize,
    /// Bodies in memory at one time, all connections together; above it 503.
    pub in_flight_bytes_max: usize,
    /// Longest wait for the spool's append; above it 503.
    pub append_seconds_max: u64,
    /// What becomes of a rightly signed update that no route wants.
    pub unmatched: Unmatched,
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("receive::Config")
            .field("listen", &self.listen)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// `receive.unmatched`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// Answered 200, counted, logged; not stored.
    #[default]
    Refuse,
    /// Stored as a quarantined entry: a person sees it, and may let it go once a route fits.
    Park,
}

/// `[receive.tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM, the whole chain.
    pub cert: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// PEM; turns on Meta's mTLS: a client without a certificate from it is refused in the handshake.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// The name such a certificate must carry.
    #[serde(default = "meta_client_name")]
    pub client_name: String,
}

fn meta_client_name() -> String {
    "client.webhooks.fbclientcerts.com".into()
}
