//! Calls to Graph and to the Bot API that an operator's command makes: where deliveries are sent to. One at a time, its
//! answer bounded; no token and no url in any error.

use crate::{BuildError, GraphConfig, TelegramConfig, addresses::Reach, connect, connect::HttpClient, fetch::base_url};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CONNECT_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A status and its JSON (null where it was none).
pub type Answer = (u16, Value);

/// Who is called.
pub struct Caller {
    client: HttpClient,
    /// Without a slash at its end.
    base: String,
}

impl Caller {
    pub fn graph(config: &GraphConfig) -> Result<Self, BuildError> {
        let base = base_url(config)?;
        let version = &config.version;
        Self::of(&base, format!("{}/{version}", base.as_str().trim_end_matches('/')))
    }

    pub fn telegram(config: &TelegramConfig) -> Result<Self, BuildError> {
        let base = config.parsed()?;
        Self::of(&base, base.as_str().trim_end_matches('/').to_owned())
    }

    fn of(reached: &url::Url, base: String) -> Result<Self, BuildError> {
        let reach = Arc::new(Reach::new(&[], reached).map_err(BuildError::Config)?);
        Ok(Caller { client: connect::client(reach, CONNECT_MAX)?, base })
    }

    /// `path` without a slash in front. `bearer`: the token, if it does not stand in the path.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(header::USER_AGENT, concat!("guarita/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Bytes::from(body.map(Value::to_string).unwrap_or_default());
        let request = request
            .body(Full::new(body).map_err(|never| match never {}).boxed_unsync())
            .map_err(|_| "an id or a token holds characters that HTTP does not allow".to_owned())?;
        let asked = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() { "no connection".to_owned() } else { "the connection broke".to_owned() }
            })?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| "the answer broke off, or is too long".to_owned())?.to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        tokio::time::timeout(ANSWER_MAX, asked)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs())))
    }
}
