//! A Telegram bot behind the gateway: its updates, its files, and the Bot API door it takes for Telegram.

use crate::{
    rig::{Rig, has_clamd},
    routes::ids,
};
use guarita_testkit::{Media, MetaStandIn, SampleBackend, TelegramStandIn, payload, samples};
use serde_json::{Value, json};

const BOT: &str = "7654321:AAE2e-bot_token";
const SECRET: &str = "E2e-secret_token";

struct Bots {
    rig: Rig,
    telegram: TelegramStandIn,
    backend: SampleBackend,
}

async fn bots(clamd: bool) -> Bots {
    let telegram = TelegramStandIn::start("127.0.0.1:0", BOT).await.expect("loopback");
    let backend = SampleBackend::start("127.0.0.1:0", "tg").await.expect("loopback");
    let mut rig = Rig::prepare(None).await;
    rig.configure(&format!(
        "[telegram]\napi_url = \"{}\"\n[[routes]]\nname = \"bot\"\nmatch = {{ path = \"/telegram\" }}\n\
         telegram = {{ bot_token = \"{BOT}\", secret_token = \"{SECRET}\" }}\n\
         backend = {{ url = \"{}\", secret = \"tg\" }}\n[[routes]]\nname = \"other\"\n",
        telegram.api_url(),
        backend.url()
    ));
    let nowhere = [("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")];
    rig.launch(if clamd { &[] } else { &nowhere }).await;
    if clamd {
        rig.wait_ready().await;
    }
    Bots { rig, telegram, backend }
}

impl Bots {
    async fn send(&self, secret: &str, body: &Value) -> u16 {
        let url = format!("http://127.0.0.1:{}/telegram", self.rig.public);
        TelegramStandIn::deliver(&url, secret, body.to_string().as_bytes()).await.expect("the door is open").status
    }

    async fn arrived(&self, update_id: u64) -> guarita_testkit::Received {
        let found = |all: &[guarita_testkit::Received]| all.iter().any(|one| one.json()["update_id"] == update_id);
        assert!(self.backend.wait_until(60, found).await, "{update_id} did not arrive\n{}", self.rig.log());
        self.backend.received().into_iter().find(|one| one.json()["update_id"] == update_id).expect("it was just found")
    }

    async fn api(&self, path: &str) -> (u16, Value, Vec<u8>) {
        let (status, _, body) =
            MetaStandIn::get(&format!("{}{path}", self.rig.door()), None).await.expect("it answers");
        (status, serde_json::from_slice(&body).unwrap_or_default(), body.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_updates_and_files_go_through() {
    if !has_clamd() {
        return;
    }
    let bots = bots(true).await;
    // Only who knows the secret token speaks for Telegram, and for this bot alone.
    let text = payload::telegram(1, json!({"text": "veja https://correios-taxa-pagamento.top/x"}));
    assert_eq!(bots.send("wrong", &text).await, 401);
    assert_eq!(bots.send(SECRET, &text).await, 200);
    let got = bots.arrived(1).await;
    assert!(got.signature_fits);
    assert_eq!(got.header("x-telegram-bot-api-secret-token"), SECRET, "the bot's library knows Telegram by it");
    assert_eq!(got.message()["text"], "veja hxxps://correios-taxa-pagamento[.]top/x");
    assert_eq!(got.message()["guarita"]["verdict"], "malicious");
    let as_whatsapp = crate::routes::to_number("1", "wamid.T9", "oi");
    assert_eq!(bots.send(SECRET, &as_whatsapp).await, 200, "counted, and not stored");

    // Updates of other kinds come as they are; a repeat comes once.
    let query = json!({"update_id": 2, "callback_query": {"id": "9", "from": {"id": 4242, "is_bot": false, "first_name": "Ana"}, "chat_instance": "1", "data": "sim"}});
    assert_eq!((bots.send(SECRET, &query).await, bots.send(SECRET, &query).await), (200, 200));
    bots.arrived(2).await;

    // A clean file: the bot asks our door, and gets what was scanned.
    let pdf = samples::pdf("ola");
    bots.telegram.put_file("DOC_clean-1", "documents/file_1.pdf", Media::new(pdf.clone(), "application/pdf"));
    let document = json!({"document": {"file_id": "DOC_clean-1", "file_unique_id": "u1", "file_name": "conta.pdf",
        "mime_type": "application/pdf", "file_size": pdf.len()}});
    bots.send(SECRET, &payload::telegram(3, document)).await;
    let message = bots.arrived(3).await.message();
    assert_eq!(
        (&message["document"]["file_id"], &message["guarita"]["verdict"]),
        (&json!("DOC_clean-1"), &json!("clean"))
    );
    let (status, found, _) = bots.api(&format!("/bot{BOT}/getFile?file_id=DOC_clean-1")).await;
    assert_eq!(
        (status, &found["ok"], &found["result"]["file_size"]),
        (200, &json!(true), &json!(pdf.len())),
        "{found}"
    );
    let path = found["result"]["file_path"].as_str().expect("a path").to_owned();
    assert!(path.ends_with("/conta.pdf"), "{path}");
    assert_eq!(bots.api(&format!("/file/bot{BOT}/{path}")).await.2, pdf);
    assert_eq!(bots.api(&format!("/file/bot1:other/{path}")).await.0, 401, "another bot's token");
    // Telegram's own path leads nowhere here, or unscanned bytes would come that way.
    assert_eq!(bots.api(&format!("/file/bot{BOT}/documents/file_1.pdf")).await.0, 404);

    // A virus: a notice in its place; its id and all that leads to it answers as if it did not exist.
    bots.telegram.put_file("DOC_virus-2", "documents/file_2.pdf", Media::new(samples::eicar(), "application/pdf"));
    let document = json!({"document": {"file_id": "DOC_virus-2", "file_unique_id": "u2", "file_name": "fatura.pdf"}, "caption": "a fatura"});
    bots.send(SECRET, &payload::telegram(4, document)).await;
    let got = bots.arrived(4).await;
    let text = got.message()["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("Guarita") && text.ends_with("a fatura"), "{}", got.message());
    assert!(!String::from_utf8_lossy(&got.body).contains("DOC_virus-2"));
    let (status, refused, _) = bots.api(&format!("/bot{BOT}/getFile?file_id=DOC_virus-2")).await;
    assert_eq!((status, refused), (404, json!({"ok": false, "error_code": 404, "description": "Not Found"})));
    assert_eq!(
        bots.api(&format!("/bot{BOT}/GETFILE?file_id=DOC_virus-2")).await.0,
        404,
        "methods are taken in any case"
    );

    // A file that no update brought (a profile photo) is looked at when it is asked for.
    bots.telegram.put_file("PHOTO-3", "photos/file_3.png", Media::new(samples::png(), "image/png"));
    bots.telegram.put_file("PHOTO-4", "photos/file_4.png", Media::new(samples::eicar(), "image/png"));
    let (status, found, _) = bots.api(&format!("/bot{BOT}/getFile?file_id=PHOTO-3")).await;
    assert_eq!(status, 200, "{found}\n{}", bots.rig.log());
    let path = found["result"]["file_path"].as_str().expect("a path").to_owned();
    assert_eq!(bots.api(&format!("/file/bot{BOT}/{path}")).await.2, samples::png());
    assert_eq!(bots.api(&format!("/bot{BOT}/getFile?file_id=PHOTO-4")).await.0, 404);
    assert_eq!(bots.api(&format!("/bot{BOT}/getFile?file_id=NOSUCH")).await.0, 404);

    // The log has no token, no text, no id.
    let log = bots.rig.whole_log();
    for secret in [BOT, "AAE2e", SECRET, "correios-taxa", "a fatura", "DOC_virus-2", "4242"] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
    assert!(ids(&bots.backend.received()).len() >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_call_passes_and_the_webhook_stays() {
    let bots = bots(false).await;
    let (status, found, _) = bots.api(&format!("/bot{BOT}/sendMessage?chat_id=5&text=ol%C3%A1+a")).await;
    assert_eq!(
        (status, &found["result"]["text"], &found["result"]["chat"]["id"]),
        (200, &json!("olá a"), &json!(5)),
        "{found}"
    );
    assert_eq!(bots.api(&format!("/bot{BOT}/getMe")).await.1["result"]["is_bot"], true);
    assert_eq!(
        bots.telegram.calls().iter().map(|call| call.path.clone()).collect::<Vec<_>>(),
        ["sendMessage", "getMe"]
    );
    // A bot that sets its webhook at the start would go around the gateway.
    for method in ["setWebhook?url=https://bot.example/x", "deleteWebhook", "SETWEBHOOK?url=x"] {
        let (status, found, _) = bots.api(&format!("/bot{BOT}/{method}")).await;
        assert_eq!((status, &found["ok"]), (200, &json!(true)));
    }
    assert_eq!((bots.telegram.calls().len(), bots.telegram.webhook()), (2, String::new()));
    assert_eq!(bots.api("/bot1:unknown/getMe").await.0, 401, "no open way to Telegram");
    assert_eq!(bots.api(&format!("/bot{BOT}/x/getFile?file_id=1")).await.0, 404);
    assert_eq!(bots.api(&format!("/bot{BOT}/get%46ile?file_id=1")).await.0, 404);
}
