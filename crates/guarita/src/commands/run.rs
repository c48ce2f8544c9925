//! `guarita run`: the gateway, until a signal ends it.

use crate::{config::Settings, gateway::Gateway};
use tokio::signal::unix::{SignalKind, signal};

pub async fn run(settings: Settings, file: &str) -> u8 {
    if let Err(error) = settings.check_for_run(file) {
        eprintln!("{error}");
        return 64;
    }
    if settings.graph.access_token.is_empty() {
        tracing::warn!("graph.access_token is empty: attachments cannot be fetched, and go on unscanned and unserved");
    }
    let gateway = match Gateway::start(settings).await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("guarita run: {error}");
            return 1;
        }
    };
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("guarita run: the system gives no signals");
        return 1;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: what is in work ends, what waits stays on disk");
    gateway.stop().await;
    0
}
