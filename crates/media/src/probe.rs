//! One question to Graph for `doctor`: does it answer, and does it take the token? Fetches and keeps nothing.

use crate::{GraphConfig, addresses::Reach, connect, fetch::base_url};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use std::{sync::Arc, time::Duration};

/// The status of `GET /{version}/me`, or why there was none; without token or url in it.
pub async fn probe(config: &GraphConfig, longest: Duration) -> Result<u16, String> {
    let base = base_url(config).map_err(|error| error.to_string())?;
    let reach = Arc::new(Reach::new(&config.media_hosts, &base)?);
    let client = connect::client(reach, longest).map_err(|error| error.to_string())?;
    let url = format!("{}/{}/me", base.as_str().trim_end_matches('/'), config.version);
    let request = Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::USER_AGENT, concat!("guarita/", env!("CARGO_PKG_VERSION")))
        .header(header::AUTHORIZATION, format!("Bearer {}", config.access_token))
        .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
        .map_err(|_| "graph.base_url or the token holds characters that HTTP does not allow".to_owned())?;
    match tokio::time::timeout(longest, client.request(request)).await {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(error)) if error.is_connect() => Err("no connection".into()),
        Ok(Err(_)) => Err("the connection broke".into()),
        Err(_) => Err(format!("no answer within {} s", longest.as_secs())),
    }
}
