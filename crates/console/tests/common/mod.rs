//! A console on a real socket, over a seeded desk, and a client for it.
#![allow(dead_code, reason = "each test file uses its part")]

use bytes::Bytes;
use guarita_console::{
    Actor, Config, Scope,
    people::NewToken,
    router,
    seeded::{Seeded, seeded},
    serve,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

pub struct Console {
    pub seeded: Seeded,
    pub base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _serving: tokio::task::JoinHandle<()>,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub async fn console() -> Console {
    console_with(Config { second_step: false, ..Config::default() }).await
}

pub async fn console_with(config: Config) -> Console {
    let seeded = seeded(config).await;
    seeded.add_people().await.expect("nobody is there yet");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let base = format!("http://{}", listener.local_addr().expect("it is bound"));
    let served = serve(listener, router(seeded.desk.clone()), 64, std::future::pending());
    let client = Client::builder(TokioExecutor::new()).build_http();
    Console { seeded, base, client, _serving: tokio::spawn(served) }
}

impl Console {
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a test's request is well formed");
        let response = self.client.request(request).await.expect("the console answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the body ends").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// With a token; `body` as JSON unless it is null.
    pub async fn api(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        let mut bytes = Vec::new();
        if !body.is_null() {
            headers.push(("content-type", "application/json"));
            bytes = body.to_string().into_bytes();
        }
        self.send(method, &format!("/api/v1{path}"), &headers, bytes).await
    }

    pub async fn token(&self, scopes: &[Scope]) -> String {
        let new = NewToken { name: "test".into(), scopes: scopes.to_vec(), days: 1 };
        let (token, _) = self.seeded.desk.add_token(&Actor::local("test"), &new).await.expect("a token");
        token
    }

    /// Cookie and CSRF token of someone who logged in.
    pub async fn session(&self, name: &str) -> (String, String) {
        let people = self.seeded.desk.people();
        let new = people.log_in(name, &Seeded::password_of(name), None).await.expect("a seeded account");
        let session = people.session(&new.secret).await.expect("the store works").expect("it was just made");
        (format!("guarita={}", new.secret), session.csrf)
    }
}
