//! One POST: what alerts, events and traces need of HTTP. Follows no redirect, reads no more of an answer than it must,
//! and its errors name neither url nor body, for both may hold secrets.

use crate::{ConfigError, tls};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{path::Path, time::Duration};

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// What is read of an answer, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why a POST came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PostError {
    #[error("cannot connect")]
    NotConnected,
    #[error("the connection broke")]
    Broken,
    #[error("no answer in time")]
    Late,
    #[error("it answered {0}")]
    Status(u16),
    #[error("the url or a header cannot be sent")]
    Unsendable,
}

impl PostError {
    /// Whether the same POST may work later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            PostError::NotConnected | PostError::Broken | PostError::Late => true,
            PostError::Status(status) => matches!(status, 408 | 429 | 500..=599),
            PostError::Unsendable => false,
        }
    }
}

impl HttpClient {
    pub(crate) fn new() -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_MAX));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(Path::new(""))?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(2)
            .build(connector);
        Ok(HttpClient { client })
    }

    pub(crate) async fn post_json(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<(), PostError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| PostError::Unsendable)?;
        let set = request.headers_mut();
        set.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        set.insert(header::USER_AGENT, HeaderValue::from_static(concat!("guarita/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in headers {
            set.insert(*name, HeaderValue::from_str(value).map_err(|_| PostError::Unsendable)?);
        }
        let response = match tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await {
            Err(_) => return Err(PostError::Late),
            Ok(Err(error)) if error.is_connect() => return Err(PostError::NotConnected),
            Ok(Err(_)) => return Err(PostError::Broken),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        read_away(response.into_body()).await;
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status.as_u16())) }
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
    let _ = tokio::time::timeout(Duration::from_secs(2), reading).await;
}

/// An http or https url with a host. The url itself stays out of the error: it may hold a token.
pub(crate) fn check_url(key: &'static str, url: &str) -> Result<(), ConfigError> {
    let fits = url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
    });
    match fits {
        true => Ok(()),
        false => Err(ConfigError::new(key, "is no http or https url", "url = \"https://…\", or empty for off")),
    }
}

/// `sha256=<hex>` over the body, as Meta's own signature header is written.
pub(crate) fn signature(secret: &[u8], body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
