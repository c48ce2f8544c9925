//! Messenger and Instagram Direct: attachments by url, fetched without a token, scanned, served from our door; stories are
//! looked at in memory and never kept.

use crate::{
    rig::{APP_SECRET, Rig, TOKEN, has_clamd},
    routes::post,
};
use guarita_testkit::{Media, MetaStandIn, Received, SampleBackend, payload, samples};
use serde_json::{Value, json};

const PAGE: &str = "1906385232743451";
const ACCOUNT: &str = "17841400008460056";
const CUSTOMER: &str = "7890123456789";

struct Inboxes {
    rig: Rig,
    page: SampleBackend,
    instagram: SampleBackend,
}

async fn inboxes(environment: &[(&str, &str)]) -> Inboxes {
    let page = SampleBackend::start("127.0.0.1:0", "p").await.expect("loopback");
    let instagram = SampleBackend::start("127.0.0.1:0", "i").await.expect("loopback");
    let mut rig = Rig::prepare(None).await;
    rig.configure(&format!(
        "[[routes]]\nname = \"page\"\nmatch = {{ page = \"{PAGE}\" }}\nbackend = {{ url = \"{}\", secret = \"p\" }}\n\
         [[routes]]\nname = \"insta\"\nmatch = {{ instagram = {ACCOUNT} }}\nbackend = {{ url = \"{}\", secret = \"i\" }}\n",
        page.url(),
        instagram.url()
    ));
    rig.launch(environment).await;
    Inboxes { rig, page, instagram }
}

impl Inboxes {
    async fn send(&self, object: &str, content: Value) {
        let account = if object == "page" { PAGE } else { ACCOUNT };
        let body = payload::direct(object, account, CUSTOMER, 1_763_800_000_000, content);
        assert_eq!(post(&self.rig, "/webhook", APP_SECRET, &body).await, 200);
    }

    async fn arrived(&self, object: &str, mid: &str) -> Received {
        let backend = if object == "page" { &self.page } else { &self.instagram };
        let found = |all: &[Received]| all.iter().any(|one| one.message()["mid"] == mid);
        assert!(backend.wait_until(60, found).await, "{mid} did not arrive\n{}", self.rig.log());
        backend.received().into_iter().find(|one| one.message()["mid"] == mid).expect("it was just found")
    }
}

/// Everything the gateway keeps, as one haystack of file sizes and names.
fn kept_files(rig: &Rig) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).map(|all| all.flatten().collect::<Vec<_>>()).unwrap_or_default();
        entries.iter().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
    }
    count(&rig.path_of("data").join("media"))
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_fetched_scanned_and_served() {
    if !has_clamd() {
        return;
    }
    let inboxes = inboxes(&[]).await;
    inboxes.rig.wait_ready().await;
    let meta = &inboxes.rig.meta;
    meta.put_media("img1", Media::new(samples::png(), "image/png"));
    meta.put_media("vir1", Media::new(samples::eicar(), "application/pdf"));
    for (object, mid) in [("page", "m_P1"), ("instagram", "m_I1")] {
        inboxes.send(object, payload::attachment(mid, "image", &meta.cdn_url("img1"))).await;
        let got = inboxes.arrived(object, mid).await;
        let message = got.message();
        assert_eq!(message["guarita"]["verdict"], "clean", "{message}\n{}", inboxes.rig.log());
        assert_eq!((&message["attachments"][0]["type"], got.signature_fits), (&json!("image"), true));
        let url = message["attachments"][0]["payload"]["url"].as_str().expect("a url").to_owned();
        assert!(url.starts_with(&inboxes.rig.door()), "{url}");
        assert_eq!(MetaStandIn::get(&url, None).await.unwrap().2, samples::png(), "no token is asked for");
        let bad = format!("{mid}-virus");
        inboxes.send(object, payload::attachment(&bad, "file", &meta.cdn_url("vir1"))).await;
        let got = inboxes.arrived(object, &bad).await;
        let message = got.message();
        assert_eq!(message["guarita"]["action"], "withhold");
        assert!(message["text"].as_str().is_some_and(|text| text.contains("Guarita")), "{message}");
        assert!(!String::from_utf8_lossy(&got.body).contains("vir1"), "{message}");
    }
    // Texts are judged, echoes and postbacks pass.
    inboxes.send("page", json!({"message": {"mid": "m_L1", "text": "https://correios-taxa-pagamento.top/x"}})).await;
    assert_eq!(inboxes.arrived("page", "m_L1").await.message()["text"], "hxxps://correios-taxa-pagamento[.]top/x");
    let said = "o golpe vem assim: https://correios-taxa-pagamento.top/x";
    let echo = json!({"message": {"mid": "m_E1", "is_echo": true, "app_id": 1, "text": said}});
    inboxes.send("instagram", echo).await;
    let echo = inboxes.arrived("instagram", "m_E1").await.message();
    assert_eq!((&echo["text"], &echo["guarita"]), (&json!(said), &Value::Null), "as the business wrote it");
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_are_looked_at_and_never_kept() {
    if !has_clamd() {
        return;
    }
    let inboxes = inboxes(&[]).await;
    inboxes.rig.wait_ready().await;
    let meta = &inboxes.rig.meta;
    meta.put_media("sto1", Media::new(samples::png(), "image/png"));
    meta.put_media("sto2", Media::new(samples::eicar(), "image/jpeg"));
    let url = meta.cdn_url("sto1");
    inboxes.send("instagram", payload::attachment("m_S1", "story_mention", &url)).await;
    let message = inboxes.arrived("instagram", "m_S1").await.message();
    assert_eq!(message["attachments"][0]["payload"]["url"], url, "clean: Meta's own url stays");
    assert_eq!(message["guarita"]["verdict"], "clean", "it was looked at");
    assert!(message["guarita"]["files"][0]["sha256"].is_string(), "{message}");
    let reply = json!({"message": {"mid": "m_S2", "text": "linda!", "reply_to": {"story": {"id": "1", "url": url}}}});
    inboxes.send("instagram", reply).await;
    let message = inboxes.arrived("instagram", "m_S2").await.message();
    assert_eq!((&message["reply_to"]["story"]["url"], &message["text"]), (&json!(url), &json!("linda!")));
    inboxes.send("instagram", payload::attachment("m_S3", "story_mention", &meta.cdn_url("sto2"))).await;
    let got = inboxes.arrived("instagram", "m_S3").await;
    assert_eq!(got.message()["guarita"]["action"], "withhold");
    assert!(!String::from_utf8_lossy(&got.body).contains("sto2"));
    assert!(meta.lookups().iter().any(|id| id == "sto1") && meta.lookups().iter().any(|id| id == "sto2"));
    assert_eq!(kept_files(&inboxes.rig), 0, "a story was written to disk");
    let (status, ..) = MetaStandIn::get(&format!("{}/v23.0/me", inboxes.rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 200, "the door passes other calls");
}
