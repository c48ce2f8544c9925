//! The stand-in for Meta: Graph's media look-up and download, and signed deliveries.

use crate::{
    http::{Serving, send, serve},
    subscriptions::Subscriptions,
};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// An attachment that Graph serves.
#[derive(Clone, Debug)]
pub struct Media {
    pub bytes: Bytes,
    pub mime_type: String,
}

impl Media {
    pub fn new(bytes: impl Into<Bytes>, mime_type: &str) -> Self {
        Media { bytes: bytes.into(), mime_type: mime_type.into() }
    }

    /// As webhooks give it.
    pub fn sha256_base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&self.bytes))
    }

    /// As the media look-up gives it.
    pub fn sha256_hex(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }
}

/// How a delivery was answered.
#[derive(Clone, Debug)]
pub struct Sent {
    pub status: u16,
    pub body: Bytes,
}

/// A Graph call other than a media look-up, as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Default)]
struct State {
    media: Mutex<HashMap<String, Media>>,
    calls: Mutex<Vec<Call>>,
    lookups: Mutex<Vec<String>>,
    subscriptions: Subscriptions,
    busy_until: Mutex<Option<Instant>>,
}

pub struct MetaStandIn {
    state: Arc<State>,
    serving: Serving,
    token: String,
}

impl MetaStandIn {
    /// `token`: the only bearer token that Graph takes.
    pub async fn start(listen: &str, token: &str) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let (shared, wanted) = (state.clone(), format!("Bearer {token}"));
        let serving = serve(listen, move |request: Request<Bytes>| {
            let (state, wanted) = (shared.clone(), wanted.clone());
            async move {
                let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                // An app's own token is its id and its secret.
                if bearer.is_some_and(|bearer| bearer == wanted || bearer.contains('|'))
                    && let Some(answer) = state.subscriptions.answer(&request).await
                {
                    return answer;
                }
                answer(&state, &wanted, request)
            }
        })
        .await?;
        Ok(MetaStandIn { state, serving, token: token.to_owned() })
    }

    pub fn address(&self) -> SocketAddr {
        self.serving.address
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.serving.address)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn put_media(&self, id: &str, media: Media) {
        self.state.media.lock().expect("no holder of this lock panics").insert(id.to_owned(), media);
    }

    /// Until then look-ups and downloads of media are answered 503, as when Meta has a bad minute.
    pub fn busy_for(&self, time: Duration) {
        *self.state.busy_until.lock().expect("no holder of this lock panics") = Some(Instant::now() + time);
    }

    /// The url that a webhook carries for `id` since late 2025.
    pub fn media_url(&self, id: &str) -> String {
        format!("{}/whatsapp_business/attachments/?mid={id}&ext=1&hash=stand-in", self.base_url())
    }

    /// A public address of the kind that Messenger and Instagram give: whoever knows it gets the file, and a token there
    /// would be a leak.
    pub fn cdn_url(&self, id: &str) -> String {
        format!("{}/cdn/{id}/file?asset_id={id}&signature=stand-in", self.base_url())
    }

    /// Where Meta posts to, as it was set: `number 1: url`, `app page: url`, `page 2: fields`.
    pub fn subscriptions(&self) -> Vec<String> {
        self.state.subscriptions.shown()
    }

    /// As if somebody had set an app's callback before.
    pub fn set_app_callback(&self, object: &str, url: &str) {
        self.state.subscriptions.set_app(object, url);
    }

    /// Graph calls that were not media look-ups (what a bot sends).
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().expect("no holder of this lock panics").clone()
    }

    /// Media ids that were looked up or downloaded, in order.
    pub fn lookups(&self) -> Vec<String> {
        self.state.lookups.lock().expect("no holder of this lock panics").clone()
    }

    /// POSTs `body` to `webhook_url`, signed as Meta signs.
    pub async fn deliver(webhook_url: &str, app_secret: &str, body: &[u8]) -> std::io::Result<Sent> {
        let signature = guarita_webhook::sign(app_secret.as_bytes(), body);
        let request = Request::post(webhook_url)
            .header("content-type", "application/json")
            .header("user-agent", "facebookexternalua")
            .header("x-hub-signature-256", signature)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(std::io::Error::other)?;
        let response = send(request).await?;
        Ok(Sent { status: response.status().as_u16(), body: response.into_body() })
    }

    /// A GET with optional bearer token, for looking at the gateway's doors.
    pub async fn get(url: &str, bearer: Option<&str>) -> std::io::Result<(u16, HeaderMap, Bytes)> {
        let mut request = Request::get(url);
        if let Some(token) = bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = send(request.body(Full::default()).map_err(std::io::Error::other)?).await?;
        let (head, body) = response.into_parts();
        Ok((head.status.as_u16(), head.headers, body))
    }
}

fn answer(state: &State, wanted: &str, request: Request<Bytes>) -> Response<Full<Bytes>> {
    let authorized = request.headers().get("authorization").is_some_and(|value| value.as_bytes() == wanted.as_bytes());
    let path = request.uri().path().to_owned();
    let host = request.headers().get("host").and_then(|value| value.to_str().ok()).unwrap_or("localhost").to_owned();
    let media = state.media.lock().expect("no holder of this lock panics");
    let query_id = request.uri().query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("mid=")));
    let downloads = path.starts_with("/whatsapp_business/attachments");
    if let Some(id) = path.strip_prefix("/cdn/").and_then(|rest| rest.split('/').next()) {
        state.lookups.lock().expect("no holder of this lock panics").push(id.to_owned());
        let found = media.get(id).filter(|_| !request.headers().contains_key("authorization"));
        let Some(found) = found else { return graph_error(StatusCode::FORBIDDEN, 1, "URL signature mismatch") };
        let mut response = Response::new(Full::new(found.bytes.clone()));
        if let Ok(value) = found.mime_type.parse() {
            response.headers_mut().insert("content-type", value);
        }
        return response;
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let id = if downloads { query_id.unwrap_or_default() } else { last };
    if request.method() == http::Method::GET
        && let Some(found) = media.get(id)
    {
        state.lookups.lock().expect("no holder of this lock panics").push(id.to_owned());
        if !authorized {
            return graph_error(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token.");
        }
        if state.busy_until.lock().expect("no holder of this lock panics").is_some_and(|until| Instant::now() < until) {
            return graph_error(StatusCode::SERVICE_UNAVAILABLE, 2, "Service temporarily unavailable");
        }
        if downloads {
            let mut response = Response::new(Full::new(found.bytes.clone()));
            if let Ok(value) = found.mime_type.parse() {
                response.headers_mut().insert("content-type", value);
            }
            return response;
        }
        return json(
            StatusCode::OK,
            &serde_json::json!({
                "url": format!("http://{host}/whatsapp_business/attachments/?mid={id}&ext=1&hash=stand-in"),
                "mime_type": found.mime_type, "sha256": found.sha256_hex(), "file_size": found.bytes.len(),
                "id": id, "messaging_product": "whatsapp",
            }),
        );
    }
    if !authorized {
        return graph_error(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token.");
    }
    if downloads || request.method() == http::Method::GET && id.chars().all(|c| c.is_ascii_digit()) {
        return graph_error(StatusCode::NOT_FOUND, 100, "Unsupported get request.");
    }
    let sends = request.method() == http::Method::POST && last == "messages";
    state.calls.lock().expect("no holder of this lock panics").push(Call {
        method: request.method().to_string(),
        path,
        headers: request.headers().clone(),
        body: request.body().clone(),
    });
    let body = if sends {
        // Graph names whom it went to, and clients read that.
        let asked: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let to = asked["to"].as_str().or(asked["recipient"].as_str()).unwrap_or_default();
        serde_json::json!({
            "messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to}],
            "messages": [{"id": "wamid.STANDIN"}],
        })
    } else {
        serde_json::json!({"success": true})
    };
    json(StatusCode::OK, &body)
}

fn graph_error(status: StatusCode, code: u32, message: &str) -> Response<Full<Bytes>> {
    let subcode = if code == 100 { serde_json::json!(33) } else { serde_json::Value::Null };
    json(
        status,
        &serde_json::json!({"error": {"message": message, "type": "OAuthException", "code": code, "error_subcode": subcode, "fbtrace_id": "stand-in"}}),
    )
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
