//! The stand-in for Telegram's Bot API: files, webhooks, and whatever else a bot calls.

use crate::{
    Media, Sent,
    http::{Serving, send, serve},
    meta::Call,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

#[derive(Default)]
struct State {
    /// By file id: the path and what lies there.
    files: Mutex<HashMap<String, (String, Media)>>,
    calls: Mutex<Vec<Call>>,
    looked_up: Mutex<Vec<String>>,
    webhook: Mutex<String>,
}

pub struct TelegramStandIn {
    state: Arc<State>,
    serving: Serving,
    token: String,
}

impl TelegramStandIn {
    /// `token`: the only bot there is.
    pub async fn start(listen: &str, token: &str) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let (shared, known) = (state.clone(), token.to_owned());
        let serving = serve(listen, move |request: Request<Bytes>| {
            let (state, known) = (shared.clone(), known.clone());
            async move { answer(&state, &known, request) }
        })
        .await?;
        Ok(TelegramStandIn { state, serving, token: token.to_owned() })
    }

    pub fn api_url(&self) -> String {
        format!("http://{}", self.serving.address)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn put_file(&self, id: &str, path: &str, media: Media) {
        lock(&self.state.files).insert(id.to_owned(), (path.to_owned(), media));
    }

    /// Calls other than for files; the token is left out of their paths.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// File ids that were looked up or downloaded, in order.
    pub fn lookups(&self) -> Vec<String> {
        lock(&self.state.looked_up).clone()
    }

    /// The webhook that was set last; empty: none.
    pub fn webhook(&self) -> String {
        lock(&self.state.webhook).clone()
    }

    /// POSTs an update as Telegram does.
    pub async fn deliver(webhook_url: &str, secret_token: &str, body: &[u8]) -> std::io::Result<Sent> {
        let request = Request::post(webhook_url)
            .header("content-type", "application/json")
            .header("x-telegram-bot-api-secret-token", secret_token)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(std::io::Error::other)?;
        let response = send(request).await?;
        Ok(Sent { status: response.status().as_u16(), body: response.into_body() })
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().expect("no holder of this lock panics")
}

fn answer(state: &State, known: &str, request: Request<Bytes>) -> Response<Full<Bytes>> {
    let path = request.uri().path().replace("%3A", ":");
    let file = path.strip_prefix(&format!("/file/bot{known}/"));
    if let Some(path) = file {
        let files = lock(&state.files);
        let Some((id, (_, media))) = files.iter().find(|(_, (at, _))| at == path) else {
            return error(StatusCode::NOT_FOUND, "Not Found");
        };
        lock(&state.looked_up).push(id.clone());
        return Response::new(Full::new(media.bytes.clone()));
    }
    let Some(method) = path.strip_prefix(&format!("/bot{known}/")) else {
        return error(StatusCode::UNAUTHORIZED, "Unauthorized");
    };
    let asked = arguments(&request);
    if method.eq_ignore_ascii_case("getFile") {
        let id = asked["file_id"].as_str().unwrap_or_default();
        lock(&state.looked_up).push(id.to_owned());
        return match lock(&state.files).get(id) {
            None => error(StatusCode::BAD_REQUEST, "Bad Request: invalid file_id"),
            Some((_, media)) if media.bytes.len() > 20 << 20 => {
                error(StatusCode::BAD_REQUEST, "Bad Request: file is too big")
            }
            Some((path, media)) => ok(&json!({
                "file_id": id, "file_unique_id": format!("u{id}"), "file_size": media.bytes.len(), "file_path": path,
            })),
        };
    }
    lock(&state.calls).push(Call {
        method: request.method().to_string(),
        path: method.to_owned(),
        headers: request.headers().clone(),
        body: request.body().clone(),
    });
    let bot = json!({"id": 1, "is_bot": true, "first_name": "Bot", "username": "stand_in_bot"});
    match method.to_ascii_lowercase().as_str() {
        "getme" => ok(&bot),
        "setwebhook" => {
            asked["url"].as_str().unwrap_or_default().clone_into(&mut lock(&state.webhook));
            ok(&json!(true))
        }
        "deletewebhook" => {
            lock(&state.webhook).clear();
            ok(&json!(true))
        }
        "getwebhookinfo" => {
            let url = lock(&state.webhook).clone();
            ok(&json!({"url": url, "has_custom_certificate": false, "pending_update_count": 0}))
        }
        "sendmessage" => {
            let chat = asked["chat_id"].as_i64().or_else(|| asked["chat_id"].as_str()?.parse().ok()).unwrap_or(1);
            ok(&json!({
                "message_id": 1, "date": 1_763_800_000, "from": bot, "text": asked["text"],
                "chat": {"id": chat, "type": "private", "first_name": "Ana"},
            }))
        }
        _ => ok(&json!(true)),
    }
}

/// Arguments in the query, a form, multipart or JSON, as bots send them.
fn arguments(request: &Request<Bytes>) -> Value {
    let body = String::from_utf8_lossy(request.body());
    if let Ok(Value::Object(object)) = serde_json::from_str(&body) {
        return Value::Object(object);
    }
    let mut found = json!({});
    if body.starts_with("--") {
        for part in body.split("\r\n--") {
            let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
            if let Some(name) = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                found[name] = json!(value.trim_end_matches("\r\n"));
            }
        }
        return found;
    }
    for pair in request.uri().query().unwrap_or_default().split('&').chain(body.split('&')) {
        if let Some((name, value)) = pair.split_once('=') {
            let plain = percent_encoding::percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
            found[name] = json!(plain);
        }
    }
    found
}

fn ok(result: &Value) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, &json!({"ok": true, "result": result}))
}

fn error(status: StatusCode, description: &str) -> Response<Full<Bytes>> {
    respond(status, &json!({"ok": false, "error_code": status.as_u16(), "description": description}))
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
