//! The demo's second part: a page, an Instagram account and a Telegram bot behind the same gateway, one delivery each.

use crate::gateway::Gateway;
use guarita_testkit::{Media, MetaStandIn, Received, SampleBackend, TelegramStandIn, payload, samples};
use serde_json::{Value, json};

pub const BOT_TOKEN: &str = "7000001:demo-bot-token";
pub const SECRET_TOKEN: &str = "demo-secret-token";
const PAGE: &str = "1906385232743451";
const ACCOUNT: &str = "17841400008460056";
const CUSTOMER: &str = "7890123456789";

/// The routes beside WhatsApp's.
pub fn routes() -> Value {
    json!([
        {"name": "whatsapp", "match": {"object": "whatsapp"}},
        {"name": "page", "match": {"page": PAGE}},
        {"name": "instagram", "match": {"instagram": ACCOUNT}},
        {"name": "bot", "match": {"path": "/telegram"},
         "telegram": {"bot_token": BOT_TOKEN, "secret_token": SECRET_TOKEN}},
    ])
}

/// Sends one delivery by each channel and shows what arrived. `false`: something did not arrive as it should.
pub async fn show(
    gateway: &Gateway,
    meta: &MetaStandIn,
    telegram: &TelegramStandIn,
    backend: &SampleBackend,
    app_secret: &str,
) -> std::io::Result<bool> {
    println!("Other channels, each by its own route:\n");
    meta.put_media("demo-image", Media::new(samples::png(), "image/png"));
    telegram.put_file("DEMO_FILE", "documents/1", Media::new(samples::eicar(), "text/plain"));
    let image = payload::attachment("m_DEMO1", "image", &meta.cdn_url("demo-image"));
    let link =
        json!({"message": {"mid": "m_DEMO2", "text": "Ganhe 1000 seguidores: https://correios-taxa-pagamento.top/ig"}});
    let virus = json!({"document": {"file_id": "DEMO_FILE", "file_unique_id": "u1", "file_name": "comprovante.txt"}});
    let mut right = true;
    let webhook = format!("http://{}/webhook", gateway.receive);
    for (title, object, account, content, mid) in [
        ("Messenger: a picture", "page", PAGE, image, "m_DEMO1"),
        ("Instagram: a phishing link", "instagram", ACCOUNT, link, "m_DEMO2"),
    ] {
        let body = payload::direct(object, account, CUSTOMER, 1_763_800_000_000, content);
        MetaStandIn::deliver(&webhook, app_secret, body.to_string().as_bytes()).await?;
        let received = arrived(backend, |message| message["mid"] == mid).await;
        right &= tell(title, received.as_ref(), |message, text| match object {
            "page" => text.contains("/guarita/media/") && message["guarita"]["verdict"] == "clean",
            _ => text.contains("hxxps://") && !text.contains("https://correios"),
        });
    }
    let body = payload::telegram(9001, virus);
    let webhook = format!("http://{}/telegram", gateway.receive);
    TelegramStandIn::deliver(&webhook, SECRET_TOKEN, body.to_string().as_bytes()).await?;
    let received = arrived(backend, |message| message["message_id"] == 9001).await;
    right &= tell("Telegram: a virus (the EICAR test file)", received.as_ref(), |message, text| {
        message["guarita"]["action"] == "withhold" && !text.contains("DEMO_FILE")
    });
    Ok(right)
}

async fn arrived(backend: &SampleBackend, is: impl Fn(&Value) -> bool) -> Option<Received> {
    backend.wait_until(150, |all| all.iter().any(|one| is(&one.message()))).await;
    backend.received().into_iter().find(|one| is(&one.message()))
}

fn tell(title: &str, received: Option<&Received>, fits: impl Fn(&Value, &str) -> bool) -> bool {
    println!("{title}");
    let Some(received) = received else {
        println!("  arrived   NOTHING within 150 s\n");
        return false;
    };
    let (message, text) = (received.message(), String::from_utf8_lossy(&received.body).into_owned());
    let seen = &message["guarita"];
    println!("  seen      verdict {}, action {}", word(&seen["verdict"]), word(&seen["action"]));
    let shown = if message["text"].is_string() { &message["text"] } else { &message["attachments"] };
    println!("  arrived   {}", word(shown));
    println!("            signature {}\n", if received.signature_fits { "fits" } else { "DOES NOT FIT" });
    let well = received.signature_fits && fits(&message, &text);
    if !well {
        println!("  !!        this is not what should have arrived\n");
    }
    well
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\n', " / "))
}
