//! A sample backend: takes webhooks, checks their signature, keeps what it got.

use crate::http::{Serving, serve};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};
use tokio::sync::Notify;

/// One POST as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
    pub signature_fits: bool,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The (first) message object, wherever it stands in the delivery.
    pub fn message(&self) -> serde_json::Value {
        let json = self.json();
        let value = &json["entry"][0]["changes"][0]["value"];
        [
            &value["messages"][0],
            &value["message_echoes"][0],
            &json["entry"][0]["messaging"][0]["message"],
            &json["message"],
        ]
        .into_iter()
        .find(|found| !found.is_null())
        .cloned()
        .unwrap_or_default()
    }
}

struct State {
    secret: Vec<u8>,
    received: Mutex<Vec<Received>>,
    status: AtomicU16,
    came: Notify,
}

/// Answers 200, or what it was told to.
pub struct SampleBackend {
    state: Arc<State>,
    serving: Serving,
}

impl SampleBackend {
    pub async fn start(listen: &str, secret: &str) -> std::io::Result<Self> {
        let state = Arc::new(State {
            secret: secret.as_bytes().to_vec(),
            received: Mutex::default(),
            status: AtomicU16::new(200),
            came: Notify::new(),
        });
        let shared = state.clone();
        let serving = serve(listen, move |request: Request<Bytes>| {
            let state = shared.clone();
            async move {
                let (head, body) = request.into_parts();
                let signature = head.headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
                let signature_fits = guarita_webhook::verify_signature(&state.secret, &body, signature).is_ok();
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() = match state.status.load(Ordering::Relaxed) {
                    200 if !signature_fits => StatusCode::UNAUTHORIZED,
                    status => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                };
                let received = Received { headers: head.headers, body, signature_fits };
                state.received.lock().expect("no holder of this lock panics").push(received);
                state.came.notify_waiters();
                response
            }
        })
        .await?;
        Ok(SampleBackend { state, serving })
    }

    pub fn url(&self) -> String {
        format!("http://{}/webhook", self.serving.address)
    }

    /// What it answers from now on.
    pub fn answer_with(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().expect("no holder of this lock panics").clone()
    }

    /// Waits until `enough` holds of what was received; `false` after `seconds`.
    pub async fn wait_until(&self, seconds: u64, enough: impl Fn(&[Received]) -> bool) -> bool {
        let waiting = async {
            loop {
                let came = self.state.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if enough(&self.received()) {
                    return;
                }
                came.await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(seconds), waiting).await.is_ok()
    }
}
