//! How one request gets to the backend and its answer back. Apart from [`crate::Backend`], so that a simulation can put a
//! misbehaving backend in its place; it must not know what an answer means.

use crate::{Config, SetupError};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{future::Future, pin::Pin, time::Duration};

/// What is read of an answer's body, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The head of an answer.
pub struct Answer {
    pub status: StatusCode,
    /// `Retry-After`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// Reads the rest away; bounded.
    pub rest: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// No answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// There was no connection.
    Connect,
    /// It broke before the end of the answer's head.
    Connection,
}

pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Answer, Broken>> + Send + 'a>>;

pub trait Transport: Send + Sync {
    fn send(&self, request: Request<Full<Bytes>>) -> Sending<'_>;
}

/// HTTP/1.1 over connections that are kept.
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What https backends trust: read once, shared by all of them.
#[derive(Clone)]
pub struct Trust(rustls::ClientConfig);

impl Trust {
    /// The system's certificate authorities.
    pub fn of_system() -> Result<Self, SetupError> {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
            return Err(SetupError::Roots(why));
        }
        Self::of(roots)
    }

    /// Nobody: enough for backends without TLS, on machines without authorities.
    pub fn nobody() -> Result<Self, SetupError> {
        Self::of(rustls::RootCertStore::empty())
    }

    fn of(roots: rustls::RootCertStore) -> Result<Self, SetupError> {
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::Roots(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust(config))
    }
}

impl Http {
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        // No roots are needed without TLS, and a machine without any must still be able to use a backend next door.
        let trust = if config.needs_trust() { Trust::of_system()? } else { Trust::nobody()? };
        Ok(Self::trusting(config, &trust))
    }

    pub fn trusting(config: &Config, trust: &Trust) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(config.connect_seconds_max)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(trust.0.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(config.idle_connections_max)
            .build(connector.https_or_http().enable_http1().wrap_connector(http));
        Http { client }
    }
}

impl Transport for Http {
    fn send(&self, request: Request<Full<Bytes>>) -> Sending<'_> {
        let answer = self.client.request(request);
        Box::pin(async move {
            let response =
                answer.await.map_err(|error| if error.is_connect() { Broken::Connect } else { Broken::Connection })?;
            let retry_after = response
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            let status = response.status();
            Ok(Answer { status, retry_after, rest: Box::pin(read_away(response.into_body())) })
        })
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
