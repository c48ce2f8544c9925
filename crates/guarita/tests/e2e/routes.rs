//! Several numbers, apps and backends behind one gateway: each delivery goes where the configuration says, and nowhere else.

use crate::rig::{APP_SECRET, Rig, ana};
use guarita_testkit::{MetaStandIn, Received, SampleBackend, payload};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A text to a number.
pub fn to_number(phone_number_id: &str, id: &str, text: &str) -> Value {
    let mut body = payload::whatsapp(&ana(), id, 1, payload::text(text));
    body["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = json!(phone_number_id);
    body
}

pub async fn post(rig: &Rig, path: &str, secret: &str, body: &Value) -> u16 {
    let url = format!("http://127.0.0.1:{}{path}", rig.public);
    MetaStandIn::deliver(&url, secret, body.to_string().as_bytes()).await.expect("the door is open").status
}

pub async fn has(backend: &SampleBackend, id: &str) -> bool {
    backend.wait_until(20, |all| all.iter().any(|one| one.message()["id"] == id)).await
}

pub fn ids(received: &[Received]) -> Vec<String> {
    received.iter().map(|one| one.message()["id"].as_str().unwrap_or("?").to_owned()).collect()
}

async fn rig(text: &str) -> Rig {
    let mut rig = Rig::prepare(None).await;
    rig.configure(text);
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    rig
}

async fn backend(secret: &str) -> SampleBackend {
    SampleBackend::start("127.0.0.1:0", secret).await.expect("loopback")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_number_has_its_own_backend_secret_language_and_policy() {
    let (sales, support, other) = (backend("s1").await, backend("s2").await, backend("s3").await);
    let policy = "[[line]]\nname = \"all-pass\"\nfinding = {}\naction = \"pass\"\n";
    let rig = rig(&format!(
        "[[routes]]\nname = \"sales\"\nmatch = {{ phone_number_id = \"111\" }}\nbackend = {{ url = \"{}\", secret = \"s1\" }}\n\
         [[routes]]\nname = \"support\"\nmatch = {{ phone_number_id = [222, 333] }}\n\
         backend = {{ url = \"{}\", secret = \"s2\", annotate = \"off\", split = false }}\npolicy = {{ file = \"POLICY\" }}\n\
         [[routes]]\nname = \"other-app\"\nmatch = {{ path = \"/webhook\" }}\napp = \"two\"\nbackend = {{ url = \"{}\", secret = \"s3\" }}\n\
         [apps.two]\napp_secret = \"second-secret\"\nverify_token = \"second-verify\"\n",
        sales.url(),
        support.url(),
        other.url()
    ).replace("POLICY", &policy_file(policy)))
    .await;
    let link = "veja https://correios-taxa-pagamento.top/x";
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &to_number("111", "wamid.S1", link)).await, 200);
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &to_number("222", "wamid.U1", link)).await, 200);
    assert_eq!(post(&rig, "/webhook", "second-secret", &to_number("111", "wamid.O1", link)).await, 200);
    assert!(
        has(&sales, "wamid.S1").await && has(&support, "wamid.U1").await && has(&other, "wamid.O1").await,
        "{}",
        rig.log()
    );
    let (got, same) = (sales.received().remove(0), support.received().remove(0));
    assert!(got.signature_fits && same.signature_fits, "each is signed with its own backend's secret");
    assert_eq!(got.message()["text"]["body"], "veja hxxps://correios-taxa-pagamento[.]top/x");
    assert_eq!(got.message()["guarita"]["verdict"], "malicious");
    assert_eq!(same.body, to_number("222", "wamid.U1", link).to_string().as_bytes(), "its own policy: as it came");

    // The other app's secret opens none of the first app's numbers, and a wrong one nothing.
    assert_eq!(
        (ids(&sales.received()), ids(&support.received()), ids(&other.received())),
        (vec!["wamid.S1".into()], vec!["wamid.U1".into()], vec!["wamid.O1".into()],)
    );
    assert_eq!(post(&rig, "/webhook", "no secret at all", &to_number("111", "wamid.S9", "x")).await, 401);
    assert_eq!(post(&rig, "/elsewhere", APP_SECRET, &to_number("111", "wamid.S9", "x")).await, 404);
    // Both verify tokens answer Meta's handshake.
    for (token, status) in [("e2e-verify-token", 200), ("second-verify", 200), ("wrong", 403)] {
        let query = format!("hub.mode=subscribe&hub.challenge=42&hub.verify_token={token}");
        assert_eq!(MetaStandIn::get(&format!("{}?{query}", rig.webhook()), None).await.unwrap().0, status);
    }
    // One POST for two numbers is cut; the one that nobody wants is counted, not lost in silence.
    let mut mixed = to_number("111", "wamid.S2", "a");
    for body in [to_number("333", "wamid.U2", "b"), to_number("999", "wamid.X2", "c")] {
        let change = body["entry"][0]["changes"][0].clone();
        mixed["entry"][0]["changes"].as_array_mut().unwrap().push(change);
    }
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &mixed).await, 200);
    assert!(has(&sales, "wamid.S2").await && has(&support, "wamid.U2").await, "{}", rig.log());
    assert_eq!((sales.received().len(), support.received().len()), (2, 2));
    let (_, metrics) = rig.console_get("/metrics").await;
    assert!(metrics.contains("guarita_unmatched_total{action=\"refused\"} 1"), "{metrics}");
    // The same message for two apps is two deliveries; a repeat to one of them is none.
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &to_number("111", "wamid.S1", link)).await, 200);
    assert_eq!(post(&rig, "/webhook", "second-secret", &to_number("111", "wamid.S1", link)).await, 200);
    assert!(has(&other, "wamid.S1").await);
    assert_eq!(sales.received().len(), 2);
}

/// A policy of its own, in a file that outlives the test's configuration text.
fn policy_file(text: &str) -> String {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it is ours");
    let (_, path) = file.keep().expect("it stays until the machine tidies up");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_backends_each_with_their_own_retries() {
    let (first, second) = (backend("s1").await, backend("s2").await);
    second.answer_with(503);
    let rig = rig(&format!(
        "[[routes]]\nname = \"both\"\n[[routes.backends]]\nurl = \"{}\"\nsecret = \"s1\"\n\
         [[routes.backends]]\nurl = \"{}\"\nsecret = \"s2\"\nannotate = \"headers\"\n",
        first.url(),
        second.url()
    ))
    .await;
    for n in 0..5 {
        assert_eq!(post(&rig, "/webhook", APP_SECRET, &to_number("1", &format!("wamid.B{n}"), "oi")).await, 200);
    }
    assert!(has(&first, "wamid.B4").await, "a backend that is down holds up no other\n{}", rig.log());
    assert_eq!(ids(&first.received()), ["wamid.B0", "wamid.B1", "wamid.B2", "wamid.B3", "wamid.B4"]);
    second.answer_with(200);
    assert!(has(&second, "wamid.B4").await, "{}", rig.log());
    let fine: Vec<_> = second.received().into_iter().filter(|one| one.message()["id"] != "wamid.B0").collect();
    assert_eq!(ids(&fine), ["wamid.B1", "wamid.B2", "wamid.B3", "wamid.B4"], "in order there, too");
    let (one, two) = (first.received().remove(0), second.received().remove(0));
    assert!(one.message()["guarita"].is_object() && two.message()["guarita"].is_null());
    assert_ne!(one.header("x-guarita-delivery"), two.header("x-guarita-delivery"));
    // A repeat goes to neither.
    let before = (first.received().len(), second.received().len());
    post(&rig, "/webhook", APP_SECRET, &to_number("1", "wamid.B3", "oi")).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((first.received().len(), second.received().len()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_wants_is_parked_where_asked() {
    let first = backend("s1").await;
    let mut rig = Rig::prepare(None).await;
    rig.configure(&format!(
        "[[routes]]\nname = \"one\"\nmatch = {{ phone_number_id = \"1\" }}\nbackend = {{ url = \"{}\", secret = \"s1\" }}\n",
        first.url()
    ));
    let environment = [("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"), ("GUARITA__RECEIVE__UNMATCHED", "park")];
    rig.launch(&environment).await;
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &to_number("2", "wamid.P1", "oi")).await, 200);
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, metrics) = rig.console_get("/metrics").await;
        if metrics.contains("guarita_spool_entries{state=\"quarantined\"} 1") {
            assert!(metrics.contains("guarita_unmatched_total{action=\"parked\"} 1"), "{metrics}");
            break;
        }
        assert!(Instant::now() < end, "{metrics}\n{}", rig.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(first.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_read_anew_all_or_nothing() {
    let (old, new) = (backend("s1").await, backend("s2").await);
    let rig = rig(&format!(
        "[[routes]]\nname = \"one\"\nmatch = {{ phone_number_id = \"1\" }}\nbackend = {{ url = \"{}\", secret = \"s1\" }}\n",
        old.url()
    ))
    .await;
    post(&rig, "/webhook", APP_SECRET, &to_number("1", "wamid.A1", "oi")).await;
    assert!(has(&old, "wamid.A1").await, "{}", rig.log());
    // A mistake: nothing changes, and it is said.
    rig.reconfigure(|text| text.replace("secret = \"s1\"", "secrett = \"s1\""));
    rig.hang_up();
    let end = Instant::now() + Duration::from_secs(10);
    while !rig.console_get("/readyz").await.1.contains("stays in force") {
        assert!(Instant::now() < end, "{}", rig.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    post(&rig, "/webhook", APP_SECRET, &to_number("1", "wamid.A2", "oi")).await;
    assert!(has(&old, "wamid.A2").await, "{}", rig.log());
    // Mended, with another backend, another secret and a second number; without a signal this time.
    let url = new.url();
    rig.reconfigure(|text| {
        text.replace("secrett = \"s1\"", "secret = \"s2\"").replace(&old.url(), &url).replace(APP_SECRET, "rotated")
    });
    let end = Instant::now() + Duration::from_secs(15);
    while post(&rig, "/webhook", "rotated", &to_number("1", "wamid.A3", "oi")).await != 200 {
        assert!(Instant::now() < end, "{}", rig.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(has(&new, "wamid.A3").await, "{}", rig.log());
    assert_eq!(
        post(&rig, "/webhook", APP_SECRET, &to_number("1", "wamid.A4", "oi")).await,
        401,
        "the old secret is over"
    );
    assert!(!rig.console_get("/readyz").await.1.contains("stays in force"));
    assert_eq!(old.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_routes_name_line_and_mend() {
    let rig = Rig::prepare(None).await;
    let lines = std::fs::read_to_string(rig.path_of("guarita.toml")).unwrap().lines().count();
    rig.configure("[[routes]]\nname = \"a\"\nmatch = { phone_number_id = \"1\" }\n[[routes]]\nname = \"b\"\n");
    let (well, said) = rig.run(&["check-config"]);
    assert!(well, "{said}");
    for part in ["1. a", "number 1", "2. b", "everything", "anything else    refused"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(APP_SECRET), "{said}");
    for (text, line, part) in [
        ("[[routes]]\nname = \"c\"\n", 6, "`c` can never match"),
        ("[[routes]]\nname = \"a\"\n", 6, "two routes are named `a`"),
        ("[[routes]]\nname = \"Ö\"\n", 7, "small letters"),
        ("[[routes]]\nname = \"c\"\nmatch = { phone = \"1\" }\n", 8, "unknown field `phone`"),
        ("[[routes]]\nname = \"c\"\napp = \"x\"\n", 8, "there is no app `x`"),
        ("[[routes]]\nname = \"c\"\napp_secret_file = \"/no/such\"\n", 8, "cannot be read"),
        ("[[routes]]\nname = \"c\"\ntelegram = { bot_token = \"1:a\" }\n", 8, "secret_token"),
    ] {
        let whole = std::fs::read_to_string(rig.path_of("guarita.toml")).unwrap();
        rig.configure(text);
        let (well, said) = rig.run(&["check-config"]);
        assert!(!well && said.contains(part) && said.contains("mend: "), "{text}: {said}");
        assert!(said.contains(&format!("guarita.toml:{}", lines + line)), "line {}: {said}", lines + line);
        rig.reconfigure(|_| whole.clone());
    }
}
