//! `guarita simulate`: the stand-in for Meta alone. Serves media, and sends signed deliveries typed as lines, so that bot
//! authors can develop offline.

use clap::{Args, ValueEnum};
use guarita_testkit::{
    Media, MetaStandIn, Sent, TelegramStandIn,
    payload::{self, Customer},
};
use serde_json::{Value, json};
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
    /// Which of Meta's channels, or Telegram.
    #[arg(long, value_enum, default_value_t = Channel::Whatsapp)]
    pub channel: Channel,
    /// The number's id, page or Instagram account that is written to. Default: one that is made up.
    #[arg(long)]
    pub account: Option<String>,
    /// Where Telegram's stand-in listens (telegram.api_url).
    #[arg(long, default_value = "127.0.0.1:8091")]
    pub telegram_listen: String,
    /// The bot that Telegram's stand-in knows.
    #[arg(long, default_value = "123456:simulate-bot-token", hide_default_value = true)]
    pub bot_token: String,
    /// Sent with each of Telegram's updates.
    #[arg(long, default_value = "simulate-secret-token")]
    pub secret_token: String,
    /// The customer's phone number; of other channels, the customer's id.
    #[arg(long, default_value = "5511987654321")]
    pub from: String,
    /// Send these and end: a text, or `@path` for a file. Without any, lines are read from standard input.
    pub messages: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Channel {
    Whatsapp,
    Messenger,
    Instagram,
    Telegram,
}

/// The page or Instagram account, if none is named.
const ACCOUNT: &str = "1906385232743451";

/// The stand-ins that run.
struct World {
    meta: MetaStandIn,
    telegram: Option<TelegramStandIn>,
    customer: Customer,
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
    let telegram = if args.channel == Channel::Telegram {
        match TelegramStandIn::start(&args.telegram_listen, &args.bot_token).await {
            Ok(telegram) => {
                eprintln!("Stand-in for Telegram at {} (telegram.api_url)", telegram.api_url());
                Some(telegram)
            }
            Err(error) => {
                let listen = &args.telegram_listen;
                eprintln!("guarita simulate: cannot listen on {listen}: {error}; give another --telegram-listen");
                return 1;
            }
        }
    } else {
        None
    };
    let world = World { meta, telegram, customer: Customer::new("Ana Souza", &args.from) };
    let mut number = 0;
    if !args.messages.is_empty() {
        let mut worst = 0;
        for message in &args.messages {
            worst = worst.max(send(&args, &world, message, &mut number).await);
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
            send(&args, &world, line.trim(), &mut number).await;
        }
    }
    0
}

async fn send(args: &SimulateArgs, world: &World, line: &str, number: &mut u64) -> u8 {
    *number += 1;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let id = match args.channel {
        Channel::Whatsapp => format!("wamid.SIMULATED{now}{number:04}"),
        Channel::Messenger | Channel::Instagram => format!("m_SIMULATED{now}{number:04}"),
        Channel::Telegram => (now % 1_000_000 * 1000 + *number).to_string(),
    };
    let body = if let Some(path) = line.strip_prefix('!') {
        std::fs::read(path).map_err(|error| format!("{path}: {error}"))
    } else {
        body_of(args, world, &id, line, *number + now).map(|body| body.to_string().into_bytes())
    };
    let sent = match body {
        Ok(body) => deliver(args, &body).await.map_err(|error| error.to_string()),
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

async fn deliver(args: &SimulateArgs, body: &[u8]) -> std::io::Result<Sent> {
    if args.channel == Channel::Telegram {
        return TelegramStandIn::deliver(&args.webhook, &args.secret_token, body).await;
    }
    MetaStandIn::deliver(&args.webhook, &args.app_secret, body).await
}

/// What the customer's line is as a delivery.
fn body_of(args: &SimulateArgs, world: &World, id: &str, line: &str, number: u64) -> Result<Value, String> {
    let path = line.strip_prefix('@').map(Path::new);
    let now = number;
    match args.channel {
        Channel::Whatsapp => {
            let content = match path {
                Some(path) => file(&world.meta, path, number)?,
                None => payload::text(line),
            };
            let mut body = payload::whatsapp(&world.customer, id, now, content);
            if let (Some(account), Some(number)) =
                (&args.account, body.pointer_mut("/entry/0/changes/0/value/metadata/phone_number_id"))
            {
                *number = json!(account);
            }
            Ok(body)
        }
        Channel::Messenger | Channel::Instagram => {
            let object = if args.channel == Channel::Messenger { "page" } else { "instagram" };
            let content = match path {
                Some(path) => {
                    let read = read(path)?;
                    let media = format!("9{number:014}");
                    world.meta.put_media(&media, Media::new(read.bytes, read.mime));
                    let kind = if read.kind == "document" || read.kind == "sticker" { "file" } else { read.kind };
                    payload::attachment(id, kind, &world.meta.cdn_url(&media))
                }
                None => json!({"message": {"mid": id, "text": line}}),
            };
            let account = args.account.as_deref().unwrap_or(ACCOUNT);
            Ok(payload::direct(object, account, &args.from, now * 1000, content))
        }
        Channel::Telegram => {
            let content = match (path, &world.telegram) {
                (Some(path), Some(telegram)) => {
                    let read = read(path)?;
                    let (file, size) = (format!("SIM{number}"), read.bytes.len());
                    telegram.put_file(&file, &format!("files/{file}"), Media::new(read.bytes, read.mime));
                    let about = json!({"file_id": file, "file_unique_id": format!("U{number}"), "file_size": size});
                    telegram_file(&read.name, read.kind, read.mime, about)
                }
                _ => json!({"text": line}),
            };
            Ok(payload::telegram(id.parse().unwrap_or(number), content))
        }
    }
}

fn telegram_file(name: &str, kind: &str, mime: &str, mut about: Value) -> Value {
    if kind == "image" {
        about["width"] = json!(48);
        about["height"] = json!(48);
        return json!({"photo": [about]});
    }
    about["file_name"] = json!(name);
    about["mime_type"] = json!(mime);
    json!({"document": about})
}

/// A file from this machine, and what a phone would call it.
struct Read {
    bytes: Vec<u8>,
    name: String,
    kind: &'static str,
    mime: &'static str,
}

fn read(path: &Path) -> Result<Read, String> {
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
    Ok(Read { bytes, name, kind, mime })
}

fn file(meta: &MetaStandIn, path: &Path, number: u64) -> Result<Value, String> {
    let Read { bytes, name, kind, mime } = read(path)?;
    let id = format!("8{number:014}");
    let media = Media::new(bytes, mime);
    meta.put_media(&id, media.clone());
    let shown = (kind == "document").then_some(name.as_str());
    Ok(payload::media(kind, &id, &media, Some(meta.media_url(&id)), shown, None))
}
