//! `guarita demo`: a gateway with a stand-in for Meta and a sample backend on loopback. Sends a conversation and shows,
//! side by side, what was sent, what was seen and what arrived.

use super::demo_channels;
use crate::{config::Settings, gateway::Gateway};
use clap::Args;
use guarita_testkit::{
    Media, MetaStandIn, Received, SampleBackend, TelegramStandIn,
    payload::{self, Customer},
    samples,
};
use serde_json::{Value, json};
use std::{
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub struct DemoArgs {
    /// End after the conversation instead of staying up with the console open.
    #[arg(long)]
    pub once: bool,
    /// Folder for the demo's data; a temporary one that is removed at the end by default.
    #[arg(long)]
    pub storage: Option<PathBuf>,
    /// Where the console listens; the next free port if it is taken.
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub console: String,
}

const APP_SECRET: &str = "demo-app-secret";
const BACKEND_SECRET: &str = "demo-backend-secret";
const GRAPH_TOKEN: &str = "demo-graph-token";

/// One message of the conversation.
struct Scene {
    /// What a person would call it.
    title: &'static str,
    content: Value,
    /// The attachment's media id, if it has one.
    media: Option<&'static str>,
    /// What must come of it, so that the demo is a test as well.
    expect: Expect,
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Untouched,
    Annotated,
    Defanged,
    Redacted,
    Withheld,
}

pub async fn demo(args: DemoArgs) -> u8 {
    match show(&args).await {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("guarita demo: {error}");
            1
        }
    }
}

async fn show(args: &DemoArgs) -> Result<bool, Box<dyn std::error::Error>> {
    let temporary = match &args.storage {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("guarita-demo-").tempdir()?),
    };
    let storage = args.storage.clone().or_else(|| Some(temporary.as_ref()?.path().join("data"))).unwrap_or_default();
    let meta = MetaStandIn::start("127.0.0.1:0", GRAPH_TOKEN).await?;
    let backend = SampleBackend::start("127.0.0.1:0", BACKEND_SECRET).await?;
    println!("Guarita demo: a stand-in for Meta, the gateway, and a sample backend, all on this machine.\n");
    let started = Instant::now();
    let telegram = TelegramStandIn::start("127.0.0.1:0", demo_channels::BOT_TOKEN).await?;
    let gateway = Gateway::start(settings(args, &meta, &telegram, &backend, &storage)?).await?;
    println!("  Meta (stand-in)   {}", meta.base_url());
    println!("  gateway           http://{}/webhook", gateway.receive);
    println!("  media door        http://{}", gateway.media.map(|door| door.to_string()).unwrap_or_default());
    println!("  console           http://{}", gateway.console);
    println!("  backend (sample)  {}\n", backend.url());
    let readiness = gateway.wait_until_ready(Duration::from_secs(90)).await;
    for check in &readiness.checks {
        let mark = if check.ok {
            "ok  "
        } else if check.warning {
            "note"
        } else {
            "FAIL"
        };
        println!("  {mark} {:<12} {}", check.name, check.detail);
        if !check.ok && !check.mend.is_empty() {
            println!("       {:<12} mend: {}", "", check.mend);
        }
    }
    println!("\n  ready after {:.1} s\n", started.elapsed().as_secs_f32());

    let customer = Customer::new("Ana Souza", "5511987654321");
    let webhook = format!("http://{}/webhook", gateway.receive);
    let mut right = readiness.ready;
    let scenes = scenes(&meta)?;
    let total = scenes.len();
    for (index, scene) in scenes.into_iter().enumerate() {
        let id = format!("wamid.DEMO{index:02}");
        let body = payload::whatsapp(&customer, &id, 1_763_800_000 + index as u64, scene.content.clone());
        let bytes = serde_json::to_vec(&body)?;
        let sent_at = Instant::now();
        let answer = MetaStandIn::deliver(&webhook, APP_SECRET, &bytes).await?;
        let acknowledged = sent_at.elapsed();
        let arrived = backend
            .wait_until(150, |received| received.iter().any(|received| received.message()["id"] == id.as_str()))
            .await;
        let took = sent_at.elapsed();
        let received = backend.received().into_iter().find(|received| received.message()["id"] == id.as_str());
        println!("{}", heading(&format!("{}/{total}  {}", index + 1, scene.title)));
        println!("  sent      {}", describe(&scene.content));
        println!("            answered {} in {:.1} ms", answer.status, acknowledged.as_secs_f64() * 1000.0);
        let (Some(received), true) = (received, arrived) else {
            println!("  arrived   NOTHING within 150 s");
            right = false;
            continue;
        };
        let looked_up = match scene.media {
            None => String::new(),
            Some(media) => look_up(&gateway, media).await,
        };
        tell(&scene, &received, took, &looked_up);
        if !fits(scene.expect, &scene, &received, &looked_up) {
            println!("  !!        this is not what should have arrived");
            right = false;
        }
        println!();
    }
    right &= demo_channels::show(&gateway, &meta, &telegram, &backend, APP_SECRET).await?;
    let verdict =
        if right { "Everything arrived as it should." } else { "Something did not arrive as it should: see above." };
    println!("{verdict} Each delivery was signed, and the backend checked it.");
    if args.once {
        gateway.stop().await;
        return Ok(right);
    }
    println!("\nThe console stays open at http://{}. Ctrl-C ends the demo.", gateway.console);
    match demo_account(&gateway).await {
        Ok(password) => println!("  log in as  demo\n  password   {password}"),
        Err(error) => println!("  log in as before: {error}"),
    }
    let _ = tokio::signal::ctrl_c().await;
    gateway.stop().await;
    Ok(right)
}

/// An admin for whoever watches; a password of this demo alone.
async fn demo_account(gateway: &Gateway) -> Result<String, Box<dyn std::error::Error>> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    let text = hex::encode(random);
    let pieces: Vec<&str> = (0..4).map(|at| &text[at * 4..at * 4 + 4]).collect();
    let password = pieces.join("-");
    let by = guarita_console::Actor::local("demo");
    let role = guarita_console::Role::Admin;
    gateway.desk().people().add_with_password(&by, "demo", role, &password).await?;
    Ok(password)
}

fn settings(
    args: &DemoArgs,
    meta: &MetaStandIn,
    telegram: &TelegramStandIn,
    backend: &SampleBackend,
    storage: &std::path::Path,
) -> Result<Settings, Box<dyn std::error::Error>> {
    let console = match std::net::TcpListener::bind(&args.console) {
        Ok(_) => args.console.clone(),
        Err(_) => "127.0.0.1:0".into(),
    };
    let host = meta.address();
    let file = toml::to_string(&json!({
        "receive": {"listen": "127.0.0.1:0", "verify_token": "demo", "app_secret": APP_SECRET},
        "graph": {"base_url": meta.base_url(), "access_token": GRAPH_TOKEN, "media_hosts": [host.to_string()]},
        "backend": {"url": backend.url(), "secret": BACKEND_SECRET},
        "media": {"listen": "127.0.0.1:0", "public_url": ""},
        "storage": {"path": storage.display().to_string()},
        "console": {"listen": console, "second_step": false},
        "telegram": {"api_url": telegram.api_url()},
        "routes": demo_channels::routes(),
    }))?;
    // What the operator set in the environment (a clamd elsewhere, a language) counts for the demo as well.
    Ok(Settings::layer(
        Some(("the demo's configuration", &file)),
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
    )?)
}

fn scenes(meta: &MetaStandIn) -> std::io::Result<Vec<Scene>> {
    let put = |id: &'static str, bytes: Vec<u8>, mime: &str| {
        let media = Media::new(bytes, mime);
        meta.put_media(id, media.clone());
        media
    };
    let url = |id: &str| Some(meta.media_url(id));
    let image = put("700000000000001", samples::png(), "image/png");
    let statement = put("700000000000002", samples::pdf("Pedido 4711"), "application/pdf");
    let program = put("700000000000003", samples::windows_program(), "application/pdf");
    let worm = put(
        "700000000000004",
        samples::zip(&[("Fatura_2026-11.pdf.lnk", &samples::windows_shortcut())]),
        "application/zip",
    );
    let macros = put("700000000000005", samples::macro_document()?, "application/vnd.ms-word.document.macroEnabled.12");
    let virus = put("700000000000006", samples::eicar(), "text/plain");
    let document = |id: &'static str, media: &Media, name: &str, caption: Option<&str>| {
        payload::media("document", id, media, url(id), Some(name), caption)
    };
    let scene = |title, content, media, expect| Scene { title, content, media, expect };
    Ok(vec![
        scene(
            "An ordinary question",
            payload::text("Bom dia! Voc\u{ea}s entregam no s\u{e1}bado?"),
            None,
            Expect::Annotated,
        ),
        scene(
            "A picture",
            payload::media("image", "700000000000001", &image, url("700000000000001"), None, Some("Chegou assim")),
            Some("700000000000001"),
            Expect::Annotated,
        ),
        scene(
            "An ordinary PDF",
            document("700000000000002", &statement, "pedido.pdf", None),
            Some("700000000000002"),
            Expect::Annotated,
        ),
        scene(
            "A cloned parcel service",
            payload::text(
                "Correios: sua encomenda foi taxada. Regularize em https://correios-taxa-pagamento.top/rastreio hoje",
            ),
            None,
            Expect::Defanged,
        ),
        scene(
            "Somebody wants the verification code",
            payload::text(
                "Oi, sem querer mandei um c\u{f3}digo de 6 d\u{ed}gitos por SMS para o seu n\u{fa}mero. Pode me enviar o c\u{f3}digo que chegou, por favor?",
            ),
            None,
            Expect::Annotated,
        ),
        scene(
            "A card number in the chat",
            payload::text("Pode cobrar no cart\u{e3}o 4111 1111 1111 1111, validade 11/29"),
            None,
            Expect::Redacted,
        ),
        scene(
            "A program that calls itself PDF",
            document("700000000000003", &program, "fatura.pdf", Some("Segue a fatura")),
            Some("700000000000003"),
            Expect::Withheld,
        ),
        scene(
            "A shortcut in a zip, as the SORVEPOTEL worm came",
            document("700000000000004", &worm, "Fatura_2026-11.zip", None),
            Some("700000000000004"),
            Expect::Withheld,
        ),
        scene(
            "A document whose macro starts by itself",
            document("700000000000005", &macros, "contrato.docm", None),
            Some("700000000000005"),
            Expect::Withheld,
        ),
        scene(
            "A virus (the EICAR test file)",
            document("700000000000006", &virus, "comprovante.txt", None),
            Some("700000000000006"),
            Expect::Withheld,
        ),
        scene(
            "A message type nobody knows yet",
            json!({"type": "hologram", "hologram": {"id": "h1"}}),
            None,
            Expect::Untouched,
        ),
    ])
}

async fn look_up(gateway: &Gateway, media: &str) -> String {
    let Some(door) = gateway.media else { return String::new() };
    match MetaStandIn::get(&format!("http://{door}/v23.0/{media}"), Some(GRAPH_TOKEN)).await {
        Err(error) => format!("the media door did not answer: {error}"),
        Ok((200, _, body)) => {
            let found: Value = serde_json::from_slice(&body).unwrap_or_default();
            match MetaStandIn::get(found["url"].as_str().unwrap_or_default(), None).await {
                Ok((200, _, bytes)) => format!("served by the media door, {} bytes", bytes.len()),
                Ok((status, _, _)) => format!("download answered {status}"),
                Err(error) => format!("download failed: {error}"),
            }
        }
        Ok((status, _, _)) => format!("the media door answers {status}: as if it did not exist"),
    }
}

fn tell(scene: &Scene, received: &Received, took: Duration, looked_up: &str) {
    let message = received.message();
    let seen = &message["guarita"];
    println!("  seen      verdict {}, action {}", word(&seen["verdict"]), word(&seen["action"]));
    for finding in seen["findings"].as_array().into_iter().flatten() {
        let inside = finding["inside"].as_str().map(|inside| format!(" in {inside}")).unwrap_or_default();
        println!("            {:<8} {}{inside}", word(&finding["severity"]), word(&finding["title"]));
        println!("                     {} ({})", word(&finding["evidence"]), word(&finding["rule"]));
    }
    for gap in seen["gaps"].as_array().into_iter().flatten() {
        println!("            gap      {} ({})", word(&gap["reason"]), word(&gap["scanner"]));
    }
    println!("  arrived   {}", describe(&message));
    if scene.media.is_some() {
        println!("            its file: {looked_up}");
    }
    println!(
        "            after {:.0} ms, signature {}, X-Guarita-Verdict: {}",
        took.as_secs_f64() * 1000.0,
        if received.signature_fits { "fits" } else { "DOES NOT FIT" },
        received.header("x-guarita-verdict"),
    );
}

fn fits(expect: Expect, scene: &Scene, received: &Received, looked_up: &str) -> bool {
    let message = received.message();
    let action = message["guarita"]["action"].as_str().unwrap_or_default();
    let served = looked_up.starts_with("served");
    let text = String::from_utf8_lossy(&received.body).into_owned();
    let no_meta_url = !text.contains("whatsapp_business/attachments");
    received.signature_fits
        && no_meta_url
        && match expect {
            Expect::Untouched => message["type"] == scene.content["type"],
            Expect::Annotated => {
                action != "withhold" && message["type"] == scene.content["type"] && (scene.media.is_none() || served)
            }
            Expect::Defanged => action == "defang" && text.contains("hxxps://") && !text.contains("https://correios"),
            Expect::Redacted => action == "redact" && !text.contains("4111 1111 1111 1111"),
            Expect::Withheld => {
                action == "withhold"
                    && message["type"] == "text"
                    && !served
                    && scene.media.is_some_and(|id| !text.contains(id))
            }
        }
}

fn describe(message: &Value) -> String {
    let kind = message["type"].as_str().unwrap_or_default();
    let object = &message[kind];
    match kind {
        "text" => format!("text: {}", word(&object["body"])),
        "image" | "document" | "audio" | "video" | "sticker" => {
            let name = object["filename"].as_str().map(|name| format!(" {name:?}")).unwrap_or_default();
            let caption =
                object["caption"].as_str().map(|caption| format!(", caption {caption:?}")).unwrap_or_default();
            format!("{kind}{name}, declared {}{caption}", word(&object["mime_type"]))
        }
        kind => format!("{kind}: {object}"),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\n', " / "))
}

fn heading(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}
