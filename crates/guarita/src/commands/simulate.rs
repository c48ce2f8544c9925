//! `guarita simulate`: the stand-in for Meta alone. Serves media, and sends signed deliveries typed as lines, so that bot
//! authors can develop offline.

use clap::Args;
use guarita_testkit::{
    Media, MetaStandIn,
    payload::{self, Customer},
};
use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// Where Graph's stand-in listens.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: String,
    /// Where deliveries are sent: the gateway's door, or a bot's own webhook.
    #[arg(long, default_value = "http://127.0.0.1:8080/webhook")]
    pub webhook: String,
    /// Signs deliveries, as the app secret does.
    #[arg(long, env = "GUARITA__RECEIVE__APP_SECRET", default_value = "simulate-app-secret", hide_env_values = true)]
    pub app_secret: String,
    /// The bearer token that the stand-in takes.
    #[arg(long, env = "GUARITA__GRAPH__ACCESS_TOKEN", default_value = "simulate-graph-token", hide_env_values = true)]
    pub token: String,
    /// The customer's phone number.
    #[arg(long, default_value = "5511987654321")]
    pub from: String,
    /// Send these and end: a text, or `@path` for a file. Without any, lines are read from standard input.
    pub messages: Vec<String>,
}

pub async fn simulate(args: SimulateArgs) -> u8 {
    let meta = match MetaStandIn::start(&args.listen, &args.token).await {
        Ok(meta) => meta,
        Err(error) => {
            eprintln!("guarita simulate: cannot listen on {}: {error}; give another --listen", args.listen);
            return 1;
        }
    };
    eprintln!("Stand-in for Meta at {} (graph.base_url); sends to {}", meta.base_url(), args.webhook);
    eprintln!(
        "In guarita.toml: graph.media_hosts must name \"{}\", and graph.access_token be the token given here.",
        meta.address()
    );
    let customer = Customer::new("Ana Souza", &args.from);
    let mut number = 0;
    if !args.messages.is_empty() {
        let mut worst = 0;
        for message in &args.messages {
            worst = worst.max(send(&args, &meta, &customer, message, &mut number).await);
        }
        // The gateway fetches media after its answer: stay a while for it, or until it is ended.
        if args.messages.iter().any(|message| message.starts_with('@')) {
            eprintln!("serving media until Ctrl-C");
            let _ = tokio::signal::ctrl_c().await;
        }
        return worst;
    }
    eprintln!("Type a text and Enter to send it; @path sends a file; !path sends a recorded delivery. Ctrl-D ends.");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            send(&args, &meta, &customer, line.trim(), &mut number).await;
        }
    }
    0
}

async fn send(args: &SimulateArgs, meta: &MetaStandIn, customer: &Customer, line: &str, number: &mut u64) -> u8 {
    *number += 1;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let id = format!("wamid.SIMULATED{now}{number:04}");
    let body = if let Some(path) = line.strip_prefix('!') {
        std::fs::read(path).map_err(|error| format!("{path}: {error}"))
    } else if let Some(path) = line.strip_prefix('@') {
        file(meta, Path::new(path), *number + now)
            .map(|content| payload::whatsapp(customer, &id, now, content).to_string().into_bytes())
    } else {
        Ok(payload::whatsapp(customer, &id, now, payload::text(line)).to_string().into_bytes())
    };
    let sent = match body {
        Ok(body) => {
            MetaStandIn::deliver(&args.webhook, &args.app_secret, &body).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    match sent {
        Ok(sent) => {
            println!("{id}  answered {}", sent.status);
            u8::from(sent.status != 200)
        }
        Err(error) => {
            eprintln!("not sent: {error}");
            1
        }
    }
}

fn file(meta: &MetaStandIn, path: &Path, number: u64) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (kind, mime) = match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => ("image", "image/jpeg"),
        "png" => ("image", "image/png"),
        "webp" => ("sticker", "image/webp"),
        "ogg" | "opus" => ("audio", "audio/ogg; codecs=opus"),
        "mp3" => ("audio", "audio/mpeg"),
        "mp4" => ("video", "video/mp4"),
        "pdf" => ("document", "application/pdf"),
        "txt" => ("document", "text/plain"),
        "zip" => ("document", "application/zip"),
        "docx" => ("document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        "xlsx" => ("document", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        _ => ("document", "application/octet-stream"),
    };
    let id = format!("8{number:014}");
    let media = Media::new(bytes, mime);
    meta.put_media(&id, media.clone());
    let shown = (kind == "document").then_some(name.as_str());
    Ok(payload::media(kind, &id, &media, Some(meta.media_url(&id)), shown, None))
}
