//! `guarita run`: the gateway, until a signal ends it.

use crate::{commands::people::base_url, config::Settings, gateway::Gateway};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

pub async fn run(settings: Settings, path: Option<&Path>, file: &str) -> u8 {
    if let Err(error) = settings.check_for_run(file) {
        eprintln!("{error}");
        return 64;
    }
    if settings.graph.access_token.is_empty() && settings.routes.is_empty() {
        tracing::warn!("graph.access_token is empty: attachments cannot be fetched, and go on unscanned and unserved");
    }
    let base = base_url(&settings);
    let gateway = match Gateway::start_watching(settings, path.map(Path::to_owned)).await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("guarita run: {error}");
            return 1;
        }
    };
    // On the terminal, never in the log: whoever has it becomes the first admin.
    match gateway.desk().people().first_link().await {
        Ok(Some(secret)) => println!(
            "\nNobody may enter the console yet. Make the first admin, within a day, at\n  {base}/setup/{secret}\n"
        ),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "no set-up link could be made; `guarita user add` makes an account"),
    }
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
