//! The operators' door: is it alive, what came in, what was held and why; release, replay, lists, people, audit.
//!
//! It looks, explains and asks; it must not deliver, judge or know the pipeline. What lives in the running gateway comes
//! through [`Gateway`]; everything else it can do stands in [`Desk`], which pages and API share. A release is written into
//! the spool and taken up by the pipeline like any entry: one road to the backend.

mod actor;
pub mod api;
pub mod archive;
mod audit;
mod config;
mod desk;
mod gateway;
mod health;
pub mod pages;
pub mod people;
mod picture;
#[cfg(any(test, feature = "seeded"))]
pub mod seeded;
mod store;
pub mod web;

pub use actor::{Actor, Role, Scope};
pub use audit::{Action, Audit, Audited, Broken, Checker, Row};
pub use config::Config;
pub use desk::*;
pub use gateway::{
    Answer, BackendInfo, Check, FileToShow, Gateway, Readiness, RuleHits, RuleInfo, Rules, Setting, Snapshot, Tried,
};
pub use people::People;
pub use store::{Store, StoreError};
pub use web::{CONTROL_SOCKET, bind_control, serve, serve_control};

use std::sync::Arc;

/// The admin API for commands on this machine; see [`serve_control`].
pub fn control_router(desk: Arc<Desk>) -> axum::Router {
    axum::Router::new().nest("/api/v1", api::router()).with_state(desk)
}

/// Everything at the operators' door.
pub fn router(desk: Arc<Desk>) -> axum::Router {
    let guarded = axum::Router::new()
        .nest("/api/v1", api::router())
        .merge(pages::router())
        .with_state(desk.clone())
        .layer(axum::middleware::from_fn_with_state(desk.clone(), web::guard));
    health::router(desk.shared_gateway()).merge(guarded)
}
