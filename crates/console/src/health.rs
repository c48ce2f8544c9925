//! `/healthz`, `/readyz` and `/metrics`.

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

async fn metrics(State(health): State<Arc<dyn Health>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics().await).into_response()
}
