//! One backend: its connections, its signature, its breaker.

use crate::{
    Breaker, BreakerState, Transport, Trust,
    transport::{Answer, Broken, Http},
};
use bytes::Bytes;
use guarita_message::{DeliveryId, Lane, Verdict};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What it takes to reach a backend.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub url: String,
    pub secret: String,
    pub connect_seconds_max: u64,
    /// From the first byte sent to the last header received.
    pub response_seconds_max: u64,
    /// Kept-alive connections that are idle; those in use are bounded by the number of deliveries in flight.
    pub idle_connections_max: usize,
    /// Value of `X-Telegram-Bot-Api-Secret-Token`, by which a bot's library knows Telegram; empty: none is sent.
    #[serde(default)]
    pub telegram_token: String,
}

impl Config {
    /// Whether it takes certificate authorities.
    pub fn needs_trust(&self) -> bool {
        self.url.trim_start().to_ascii_lowercase().starts_with("https:")
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("deliver::Config").finish_non_exhaustive() // the url may hold a token
    }
}

/// The operator's configuration is at fault.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("backend.url is not an http or https url: {0}")]
    Url(String),
    #[error("no TLS root certificates found for https backends: {0}; install ca-certificates")]
    Roots(String),
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub id: DeliveryId,
    /// 1 for the first.
    pub attempt: u32,
    pub verdict: Verdict,
    pub lane: Lane,
    /// Value of `X-Guarita-Findings`, if that mode is on.
    pub findings_header: Option<String>,
    /// Who released it, shown in `X-Guarita-Released`.
    pub released_by: Option<String>,
    pub body: Bytes,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Accepted,
    /// The backend is at fault and may be well later: time-outs, 408, 429, 5xx, broken connections.
    RetryAfter {
        asked: Option<Duration>,
        error: String,
    },
    /// The backend does not want it: any other answer. A few more tries, then a dead letter.
    Refused {
        error: String,
    },
    /// Not sent: the breaker is open. Not an attempt.
    Spared {
        wait: Duration,
    },
}

pub struct Backend {
    transport: Arc<dyn Transport>,
    url: Uri,
    secret: Vec<u8>,
    telegram_token: Option<HeaderValue>,
    response_max: Duration,
    /// Messages have a breaker of their own: a backend that answers 503 to statuses must not hold them up.
    messages: Breaker,
    others: Breaker,
}

impl Backend {
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        Self::through(config, Arc::new(Http::new(config)?))
    }

    /// The same, with certificate authorities that were read before.
    pub fn trusting(config: &Config, trust: &Trust) -> Result<Self, SetupError> {
        Self::through(config, Arc::new(Http::trusting(config, trust)))
    }

    /// The same with another way there.
    pub fn through(config: &Config, transport: Arc<dyn Transport>) -> Result<Self, SetupError> {
        let url = url(config)?;
        Ok(Backend {
            transport,
            url,
            secret: config.secret.clone().into_bytes(),
            telegram_token: HeaderValue::from_str(&config.telegram_token).ok().filter(|token| !token.is_empty()),
            response_max: Duration::from_secs(config.response_seconds_max),
            messages: Breaker::default(),
            others: Breaker::default(),
        })
    }

    /// One attempt. Never fails: what went wrong is in the outcome.
    pub async fn deliver(&self, outgoing: Outgoing) -> Outcome {
        let breaker = if outgoing.lane == Lane::Message { &self.messages } else { &self.others };
        if let Err(wait) = breaker.ask(now()) {
            return Outcome::Spared { wait };
        }
        let mut outage = true;
        let request = self.request(outgoing);
        let answer = tokio::time::timeout(self.response_max, self.transport.send(request)).await;
        let outcome = match answer {
            Err(_) => Outcome::RetryAfter { asked: None, error: "the backend did not answer in time".into() },
            Ok(Err(Broken::Connect)) => {
                Outcome::RetryAfter { asked: None, error: "cannot connect to the backend".into() }
            }
            Ok(Err(Broken::Connection)) => {
                Outcome::RetryAfter { asked: None, error: "the backend broke the connection".into() }
            }
            Ok(Ok(Answer { status, retry_after, rest })) => {
                rest.await;
                outage = matches!(status.as_u16(), 429 | 502 | 503 | 504);
                judge(status, retry_after)
            }
        };
        if outage {
            breaker.failed(now());
        } else {
            breaker.succeeded();
        }
        outcome
    }

    /// Host and port, to be shown; the rest of the url may hold a token.
    pub fn host(&self) -> String {
        let port = self.url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.url.host().unwrap_or_default())
    }

    /// The breakers of messages and of everything else.
    pub fn breakers(&self) -> [BreakerState; 2] {
        [self.messages.state(), self.others.state()]
    }

    fn request(&self, outgoing: Outgoing) -> Request<Full<Bytes>> {
        let signature = guarita_webhook::sign(&self.secret, &outgoing.body);
        let legacy = guarita_webhook::sign_legacy(&self.secret, &outgoing.body);
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set("content-type", "application/json");
        set("user-agent", concat!("guarita/", env!("CARGO_PKG_VERSION")));
        set("x-hub-signature-256", &signature);
        set("x-hub-signature", &legacy);
        set("x-guarita-delivery", &outgoing.id.0);
        set("x-guarita-attempt", &outgoing.attempt.to_string());
        set("x-guarita-verdict", outgoing.verdict.as_str());
        if let Some(findings) = &outgoing.findings_header {
            set("x-guarita-findings", findings);
        }
        if let Some(by) = &outgoing.released_by {
            set(
                "x-guarita-released",
                &percent_encoding::utf8_percent_encode(by, percent_encoding::NON_ALPHANUMERIC).to_string(),
            );
        }
        if let Some(token) = &self.telegram_token {
            headers.insert("x-telegram-bot-api-secret-token", token.clone());
        }
        request
    }
}

/// As the runtime tells it, so that a simulation's hours pass here, too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn url(config: &Config) -> Result<Uri, SetupError> {
    let url: Uri = config.url.parse().map_err(|error| SetupError::Url(format!("{error}")))?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
    if !is_http {
        return Err(SetupError::Url("it must begin with http:// or https:// and name a host".into()));
    }
    Ok(url)
}

fn judge(status: StatusCode, asked: Option<Duration>) -> Outcome {
    let error = format!("the backend answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Outcome::Accepted,
        408 | 429 | 500..=599 => Outcome::RetryAfter { asked, error },
        _ => Outcome::Refused { error },
    }
}
