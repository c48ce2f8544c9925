//! Settings of this crate: `[graph]` (how Meta is reached) and `[media]` (the door the backend fetches from), with
//! defaults. It reads no file and no environment; the binary does.

use serde::Deserialize;
use std::fmt;

/// The table `[graph]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphConfig {
    /// Where Graph answers. A plain `http` address, a host without dots or one with a port is taken as named on purpose
    /// and may be private (a stand-in for Meta, a proxy of one's own).
    pub base_url: String,
    /// The token media is looked up with; routes may have their own.
    pub access_token: String,
    /// Version in the paths of our own look-ups.
    pub version: String,
    /// The only hosts attachments are fetched from. `*.example.com` matches subdomains alone. An entry that is an IP
    /// address, a host without dots (`localhost`) or has a port (`media.internal:9000`) may be private and plain `http`.
    pub media_hosts: Vec<String>,
    /// How fetching is bounded.
    pub fetch: FetchConfig,
}

/// The table `[graph.fetch]`: every bound of a look-up and a download.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchConfig {
    /// Largest attachment taken. Meta's own limit is 100 MB; the slack covers its way of counting.
    pub bytes_max: u64,
    /// Largest attachment taken into memory (content that may not be stored).
    pub in_memory_bytes_max: u64,
    /// What all attachments in memory may take together.
    pub in_memory_total_bytes_max: u64,
    /// Fetches at a time; the rest wait in line.
    pub concurrent_max: usize,
    /// Redirects followed, each checked like the first address.
    pub redirects_max: usize,
    /// Tries at one step that failed in a way that may pass (network, 5xx, 429).
    pub attempts_max: u32,
    /// First wait between tries; doubled each time, jittered.
    pub retry_wait_ms: u64,
    /// Longest wait between tries.
    pub retry_wait_max_ms: u64,
    /// TCP connect (each address), and name resolution.
    pub connect_timeout_ms: u64,
    /// From the request to the answer's head.
    pub head_timeout_ms: u64,
    /// Longest silence inside a body.
    pub idle_timeout_ms: u64,
    /// One fetch with all its tries, if the caller's deadline is not earlier.
    pub total_timeout_ms: u64,
    /// Largest answer to a look-up.
    pub lookup_bytes_max: usize,
    /// Failed look-ups an hour and token before we stop asking; Meta blocks at 20.
    pub lookup_failures_max: usize,
}

/// The table `[telegram]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelegramConfig {
    /// Where the Bot API answers: Telegram's, or a server of one's own (not in `--local` mode, whose files lie on its disk).
    pub api_url: String,
    /// Bots that set or delete their webhook through the door are told that it is done, and nothing is.
    pub keep_webhook: bool,
}

impl TelegramConfig {
    pub(crate) fn parsed(&self) -> Result<url::Url, crate::BuildError> {
        let wrong = || crate::BuildError::Config("telegram.api_url must be an http or https url".into());
        let url = url::Url::parse(&self.api_url).map_err(|_| wrong())?;
        if matches!(url.scheme(), "http" | "https") && url.query().is_none() { Ok(url) } else { Err(wrong()) }
    }
}

impl Default for TelegramConfig {
    fn default() -> Self {
        TelegramConfig { api_url: "https://api.telegram.org".into(), keep_webhook: true }
    }
}

/// The table `[media]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoorConfig {
    pub enabled: bool,
    pub listen: String,
    /// How the backend reaches this door; the urls we hand out begin with it.
    pub public_url: String,
    /// Bearer tokens that may look media up, besides `graph.access_token` and those of routes.
    pub tokens: Vec<String>,
    /// How long the url of a look-up works; Meta's own works five minutes.
    pub lookup_url_seconds: u64,
    /// How long a url inside a webhook works: as long as a delivery may be retried.
    pub webhook_url_seconds: u64,
    pub connections_max: usize,
    /// From the first byte of a request (or the last answer) to the end of its head.
    pub head_timeout_ms: u64,
    /// Longest silence of either side inside a body, and longest time without a byte taken by a slow reader.
    pub idle_timeout_ms: u64,
    /// How long Graph may take to begin its answer to a call that passes through.
    pub upstream_timeout_ms: u64,
    pub head_bytes_max: usize,
    /// Largest body of a call that passes through (uploads).
    pub body_bytes_max: u64,
    /// Largest body of a batch call; it is read whole, to see that it asks for no media.
    pub batch_bytes_max: usize,
    /// How long open downloads may go on after a stop was asked for.
    pub drain_ms: u64,
}

impl Default for GraphConfig {
    fn default() -> Self {
        GraphConfig {
            base_url: "https://graph.facebook.com".into(),
            access_token: String::new(),
            version: "v23.0".into(),
            media_hosts: ["lookaside.fbsbx.com", "*.fbcdn.net", "*.whatsapp.net", "*.cdninstagram.com", "*.fbsbx.com"]
                .map(String::from)
                .to_vec(),
            fetch: FetchConfig::default(),
        }
    }
}

impl Default for FetchConfig {
    fn default() -> Self {
        FetchConfig {
            bytes_max: 110 * 1024 * 1024,
            in_memory_bytes_max: 32 * 1024 * 1024,
            in_memory_total_bytes_max: 64 * 1024 * 1024,
            concurrent_max: 32,
            redirects_max: 3,
            attempts_max: 4,
            retry_wait_ms: 250,
            retry_wait_max_ms: 5_000,
            connect_timeout_ms: 5_000,
            head_timeout_ms: 15_000,
            idle_timeout_ms: 15_000,
            total_timeout_ms: 120_000,
            lookup_bytes_max: 64 * 1024,
            lookup_failures_max: 15,
        }
    }
}

impl Default for DoorConfig {
    fn default() -> Self {
        DoorConfig {
            enabled: true,
            listen: "127.0.0.1:8082".into(),
            public_url: "http://127.0.0.1:8082".into(),
            tokens: Vec::new(),
            lookup_url_seconds: 300,
            webhook_url_seconds: 7 * 24 * 3600,
            connections_max: 512,
            head_timeout_ms: 30_000,
            idle_timeout_ms: 30_000,
            upstream_timeout_ms: 60_000,
            head_bytes_max: 64 * 1024,
            body_bytes_max: 110 * 1024 * 1024,
            batch_bytes_max: 1024 * 1024,
            drain_ms: 5_000,
        }
    }
}

impl fmt::Debug for GraphConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphConfig")
            .field("base_url", &self.base_url)
            .field("access_token", &hidden(&self.access_token))
            .field("version", &self.version)
            .field("media_hosts", &self.media_hosts)
            .field("fetch", &self.fetch)
            .finish()
    }
}

impl fmt::Debug for DoorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoorConfig")
            .field("enabled", &self.enabled)
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("tokens", &format_args!("[{} hidden]", self.tokens.len()))
            .field("lookup_url_seconds", &self.lookup_url_seconds)
            .field("webhook_url_seconds", &self.webhook_url_seconds)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

fn hidden(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "(hidden)" }
}
