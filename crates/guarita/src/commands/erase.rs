//! `guarita erase --sender X`: forgets a person. A running gateway does it, asked over its control socket; where none runs,
//! this command opens the storage folder itself.

use crate::{
    commands::people::{local_actor, open_store},
    config::Settings,
    operators::NoGateway,
};
use bytes::Bytes;
use clap::Args;
use guarita_console::{CONTROL_SOCKET, Desk, Parts};
use guarita_media::{DiskBlobs, MediaIndex, MediaKeys};
use guarita_spool::SqliteSpool;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::net::UnixStream;

#[derive(Args, Debug)]
pub struct EraseArgs {
    /// The sender's phone number (as Meta writes it, digits only) or user id.
    #[arg(long)]
    pub sender: String,
    /// Why; kept in the audit. Do not name the person in it.
    #[arg(long)]
    pub reason: String,
}

/// Erasing many messages takes its time.
const ANSWER_MAX: Duration = Duration::from_secs(600);

pub async fn erase(args: &EraseArgs, settings: &Settings) -> u8 {
    let socket = settings.storage.path.join(CONTROL_SOCKET);
    let erased = match UnixStream::connect(&socket).await {
        Ok(stream) => ask(stream, args).await,
        Err(_) => alone(args, settings).await,
    };
    match erased {
        Ok(erased) => {
            println!("{} messages and {} files erased", erased["entries"], erased["files"]);
            if erased["left"].as_u64().unwrap_or(0) > 0 {
                println!(
                    "{} are still on their way to the backend: run this again when they have ended",
                    erased["left"]
                );
            }
            0
        }
        Err(problem) => {
            eprintln!("guarita erase: {problem}");
            1
        }
    }
}

async fn ask(stream: UnixStream, args: &EraseArgs) -> Result<Value, String> {
    let text = |error: &dyn std::fmt::Display| format!("the gateway did not answer: {error}");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|error| text(&error))?;
    tokio::spawn(connection);
    let body = json!({"sender": args.sender, "reason": args.reason}).to_string();
    let request = http::Request::post("/api/v1/erase")
        .header("host", "control")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| text(&error))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    let answered = tokio::time::timeout(ANSWER_MAX, answer).await.map_err(|error| text(&error))?;
    let (status, body) = answered.map_err(|error| text(&error))?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| text(&error))?;
    if status.is_success() {
        return Ok(value);
    }
    Err(value["detail"].as_str().unwrap_or("the gateway refused").to_owned())
}

async fn alone(args: &EraseArgs, settings: &Settings) -> Result<Value, String> {
    let folder = &settings.storage.path;
    if !folder.join("spool.db").exists() {
        return Err(format!("{}: nothing is stored here; check storage.path", folder.display()));
    }
    let spool = SqliteSpool::open(&settings.storage).map_err(|error| error.to_string())?;
    let keys = MediaKeys::derive(&spool.key().derive("media"));
    let index = MediaIndex::open(&folder.join("media.sqlite"), &keys).map_err(|error| error.to_string())?;
    let blobs = DiskBlobs::open(folder.join("media"), &keys).map_err(|error| error.to_string())?;
    let desk = Desk::new(Parts {
        config: settings.console.clone(),
        spool: Arc::new(spool),
        index,
        blobs: Arc::new(blobs),
        gateway: Arc::new(NoGateway),
        store: open_store(settings)?,
    });
    let erased = desk.erase_sender(&local_actor(), &args.sender, &args.reason).await;
    serde_json::to_value(erased.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}
