//! One backend: its connections, its signature, its breaker.

use crate::{Breaker, BreakerState};
use bytes::Bytes;
use guarita_message::{DeliveryId, Lane, Verdict};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Deserialize;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// What it takes to reach a backend.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub url: String,
    pub secret: String,
    pub connect_seconds_max: u64,
    /// From the first byte sent to the last header received.
    pub response_seconds_max: u64,
    /// Kept-alive connections that are idle; those in use are bounded by the number of deliveries in flight.
    pub idle_connections_max: usize,
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

/// What is read of an answer's body, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub struct Backend {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    secret: Vec<u8>,
    response_max: Duration,
    /// Messages have a breaker of their own: a backend that answers 503 to statuses must not hold them up.
    messages: Breaker,
    others: Breaker,
}

impl Backend {
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let url: Uri = config.url.parse().map_err(|error| SetupError::Url(format!("{error}")))?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        if !is_http {
            return Err(SetupError::Url("it must begin with http:// or https:// and name a host".into()));
        }
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(config.connect_seconds_max)));
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = if url.scheme_str() == Some("https") {
            builder.with_native_roots().map_err(|error| SetupError::Roots(error.to_string()))?
        } else {
            // No roots are needed, and a machine without any must still be able to use a backend next door.
            let none = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(|error| SetupError::Roots(error.to_string()))?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder.with_tls_config(none)
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(config.idle_connections_max)
            .build(connector.https_or_http().enable_http1().wrap_connector(http));
        Ok(Backend {
            client,
            url,
            secret: config.secret.clone().into_bytes(),
            response_max: Duration::from_secs(config.response_seconds_max),
            messages: Breaker::default(),
            others: Breaker::default(),
        })
    }

    /// One attempt. Never fails: what went wrong is in the outcome.
    pub async fn deliver(&self, outgoing: Outgoing) -> Outcome {
        let breaker = if outgoing.lane == Lane::Message { &self.messages } else { &self.others };
        if let Err(wait) = breaker.ask(Instant::now()) {
            return Outcome::Spared { wait };
        }
        let mut outage = true;
        let request = self.request(outgoing);
        let answer = tokio::time::timeout(self.response_max, self.client.request(request)).await;
        let outcome = match answer {
            Err(_) => Outcome::RetryAfter { asked: None, error: "the backend did not answer in time".into() },
            Ok(Err(error)) if error.is_connect() => {
                Outcome::RetryAfter { asked: None, error: "cannot connect to the backend".into() }
            }
            Ok(Err(_)) => Outcome::RetryAfter { asked: None, error: "the backend broke the connection".into() },
            Ok(Ok(response)) => {
                let status = response.status();
                let asked = response
                    .headers()
                    .get(header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs);
                read_away(response.into_body()).await;
                outage = matches!(status.as_u16(), 429 | 502 | 503 | 504);
                judge(status, asked)
            }
        };
        if outage {
            breaker.failed(Instant::now());
        } else {
            breaker.succeeded();
        }
        outcome
    }

    /// The breakers of messages and of everything else.
    pub fn breakers(&self) -> [BreakerState; 2] {
        [self.messages.state(), self.others.state()]
    }

    fn request(&self, outgoing: Outgoing) -> Request<Full<Bytes>> {
        let signature = guarita_webhook::sign(&self.secret, &outgoing.body);
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
        request
    }
}

fn judge(status: StatusCode, asked: Option<Duration>) -> Outcome {
    let error = format!("the backend answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Outcome::Accepted,
        408 | 429 | 500..=599 => Outcome::RetryAfter { asked, error },
        _ => Outcome::Refused { error },
    }
}

async fn read_away(mut body: hyper::body::Incoming) {
    let mut left = ANSWER_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
}
