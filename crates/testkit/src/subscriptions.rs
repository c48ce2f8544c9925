//! The stand-in's settings of where Meta posts to: overrides of numbers, subscriptions of apps and pages. As Meta does, it
//! makes the handshake before it takes a callback.

use crate::http::send;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

#[derive(Default)]
pub(crate) struct Subscriptions {
    /// Override of each phone number.
    numbers: Mutex<BTreeMap<String, String>>,
    /// Callback and fields of an app, by object.
    apps: Mutex<BTreeMap<String, (String, String)>>,
    /// Fields each page or account is subscribed to.
    pages: Mutex<BTreeMap<String, String>>,
}

impl Subscriptions {
    /// All that is set, as `number 1: url`, `app page: url`, `page 2: fields`.
    pub fn shown(&self) -> Vec<String> {
        let numbers = lock(&self.numbers).iter().map(|(id, url)| format!("number {id}: {url}")).collect::<Vec<_>>();
        let apps = lock(&self.apps).iter().map(|(object, (url, _))| format!("app {object}: {url}")).collect::<Vec<_>>();
        let pages = lock(&self.pages).iter().map(|(id, fields)| format!("page {id}: {fields}")).collect::<Vec<_>>();
        [numbers, apps, pages].concat()
    }

    pub fn set_app(&self, object: &str, url: &str) {
        lock(&self.apps).insert(object.into(), (url.into(), "messages".into()));
    }

    /// `None`: the call is not about subscriptions.
    pub async fn answer(&self, request: &Request<Bytes>) -> Option<Response<Full<Bytes>>> {
        let segments: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        let success = json!({"success": true});
        let answer = match (request.method(), segments.as_slice()) {
            (&Method::GET, [_, id]) if query.contains("fields=webhook_configuration") => {
                let set = lock(&self.numbers).get(*id).cloned();
                let app = lock(&self.apps).get("whatsapp_business_account").map(|(url, _)| url.clone());
                json!({"id": id, "webhook_configuration": {"phone_number": set, "application": app}})
            }
            (&Method::POST, [_, id]) if body["webhook_configuration"].is_object() => {
                let wanted = &body["webhook_configuration"];
                let url = wanted["override_callback_uri"].as_str().unwrap_or_default();
                if url.is_empty() {
                    lock(&self.numbers).remove(*id);
                } else if handshake(url, &wanted["verify_token"]).await {
                    lock(&self.numbers).insert((*id).into(), url.into());
                } else {
                    return Some(refused());
                }
                success
            }
            (&Method::GET, [_, _, "subscriptions"]) => {
                let apps = lock(&self.apps);
                let data = apps.iter().map(|(object, (url, fields))| {
                    let fields = fields.split(',').map(|name| json!({"name": name, "version": "v23.0"}));
                    json!({"object": object, "callback_url": url, "active": true, "fields": fields.collect::<Vec<_>>()})
                });
                json!({"data": data.collect::<Vec<_>>()})
            }
            (&Method::POST, [_, _, "subscriptions"]) => {
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                if !handshake(&text("callback_url"), &body["verify_token"]).await {
                    return Some(refused());
                }
                lock(&self.apps).insert(text("object"), (text("callback_url"), text("fields")));
                success
            }
            (&Method::POST, [_, id, "subscribed_apps"]) => {
                let fields = body["subscribed_fields"].as_str().unwrap_or_default();
                lock(&self.pages).insert((*id).into(), fields.into());
                success
            }
            (&Method::DELETE, [_, id, "subscribed_apps"]) => {
                lock(&self.pages).remove(*id);
                success
            }
            _ => return None,
        };
        Some(respond(StatusCode::OK, &answer))
    }
}

async fn handshake(url: &str, verify_token: &Value) -> bool {
    let token = verify_token.as_str().unwrap_or_default();
    let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
    let asked = format!("{url}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
    let Ok(request) = Request::get(asked).body(Full::default()) else { return false };
    send(request).await.is_ok_and(|answer| answer.status() == StatusCode::OK && answer.body() == "1158201444")
}

fn refused() -> Response<Full<Bytes>> {
    let message = "(#2200) Callback verification failed: the url did not answer the challenge";
    respond(StatusCode::BAD_REQUEST, &json!({"error": {"message": message, "type": "OAuthException", "code": 2200}}))
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().expect("no holder of this lock panics")
}
