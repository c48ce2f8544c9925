//! `/healthz`, `/readyz`, `/metrics`, and one page that shows them to a person.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{future::Future, pin::Pin, sync::Arc};

/// One thing that must work, and how to mend it when it does not.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    /// A check that is not ok but only warns does not make the gateway unready (test signatures, old signatures).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    pub detail: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mend: String,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Readiness {
    pub ready: bool,
    pub checks: Vec<Check>,
}

impl Readiness {
    pub fn of(checks: Vec<Check>) -> Self {
        Readiness { ready: checks.iter().all(|check| check.ok || check.warning), checks }
    }
}

/// Handles into the running gateway.
pub trait Health: Send + Sync {
    fn readiness(&self) -> Pin<Box<dyn Future<Output = Readiness> + Send + '_>>;
    /// The Prometheus text.
    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;
}

pub fn router(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn readyz(State(health): State<Arc<dyn Health>>) -> Response {
    let readiness = health.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(readiness)).into_response()
}

/// No script, no outside asset; everything shown is escaped, though none of it comes from customers.
async fn page(State(health): State<Arc<dyn Health>>) -> Response {
    let readiness = health.readiness().await;
    let rows: String = readiness.checks.iter().map(row).collect();
    let state = if readiness.ready { "ready" } else { "NOT READY" };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"5\"><title>Guarita: {state}</title><style>{STYLE}</style>\
         <main><h1>Guarita is {state}</h1><table>{rows}</table>\
         <p><a href=\"/readyz\">readyz</a> <a href=\"/metrics\">metrics</a></p></main></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, html).into_response()
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}\
    main{max-width:52rem;margin:0 auto;padding:1rem}table{border-collapse:collapse;width:100%}\
    td{padding:.5rem;border-top:1px solid #8884;vertical-align:top;overflow-wrap:anywhere}\
    td:first-child{font-weight:600}td:nth-child(-n+2){white-space:nowrap}small{display:block;opacity:.8}";

fn row(check: &Check) -> String {
    let mark = if check.ok {
        "\u{2714} ok"
    } else if check.warning {
        "! note"
    } else {
        "\u{2718} fails"
    };
    let mend =
        if check.mend.is_empty() { String::new() } else { format!("<small>Mend: {}</small>", escape(&check.mend)) };
    format!("<tr><td>{mark}<td>{}<td>{}{mend}", escape(&check.name), escape(&check.detail))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

async fn metrics(State(health): State<Arc<dyn Health>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics().await).into_response()
}
