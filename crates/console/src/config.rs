//! What an operator may set about the console: the `[console]` table. Knows no file and no environment; the binary fills
//! it. Each key is documented in `guarita.default.toml`.

use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// How people reach it; with `https://` cookies are bound to TLS. Empty: as the request says.
    pub public_url: String,
    /// Whether every account must have a second step.
    pub second_step: bool,
    pub session_idle_minutes: u64,
    pub session_hours: u64,
    /// A header in which a proxy says who was logged in; empty: none is believed.
    pub proxy_user_header: String,
    /// The proxies that are believed, and whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub proxy_addresses: Vec<IpAddr>,
    pub connections_max: usize,
    pub request_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            public_url: String::new(),
            second_step: true,
            session_idle_minutes: 60,
            session_hours: 12,
            proxy_user_header: String::new(),
            proxy_addresses: Vec::new(),
            connections_max: 256,
            request_seconds_max: 60,
        }
    }
}
