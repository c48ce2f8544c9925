//! The operators' door: is it alive, is it ready, what are its figures.
//!
//! It looks and explains; it must not deliver, judge or know the pipeline. What it shows comes through handles: a
//! readiness probe and a metrics renderer given by the binary.

mod health;

pub use health::{Check, Health, Readiness, router};

use std::{future::Future, net::SocketAddr};

/// `[console]` of the configuration.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
}

/// Serves until `shutdown` ends.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
        tracing::error!(%error, "the operators' door closed");
    }
}
