//! Alerts and events against real servers: what arrives, how it is signed, and what a server that is down costs.

use guarita_alerts::{
    Alerts, ChatConfig, ChatFormat, Config, Event, EventTarget, Kind, MailConfig, MailTls, Outbox, Span, SyslogConfig,
    Traces, TracesConfig, WebhookConfig,
};
use guarita_testkit::SampleBackend;
use std::time::{Duration, Instant};

fn config(webhook: &str, chat: &str) -> Config {
    Config {
        kinds: Kind::ALL.to_vec(),
        language: Default::default(),
        group_seconds: 2,
        settle_seconds: 0,
        repeat_hours: 0,
        quiet_hours: String::new(),
        utc_offset: String::new(),
        quiet_passes: Vec::new(),
        per_hour_max: 30,
        queue_entries_max: 1,
        queue_seconds_max: 1,
        signature_days_max: 1,
        disk_free_bytes_min: 1,
        webhook: WebhookConfig { url: webhook.into(), secret: "hush".into() },
        chat: ChatConfig { url: chat.into(), format: ChatFormat::Slack },
        mail: MailConfig {
            server: String::new(),
            tls: MailTls::Off,
            ca: Default::default(),
            user: String::new(),
            password: String::new(),
            from: String::new(),
            to: Vec::new(),
        },
        syslog: SyslogConfig { address: String::new(), facility: 16 },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_arrives_signed_and_grouped() {
    let hook = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    hook.answer_with(204);
    let chat = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    chat.answer_with(204);
    let alerts = Alerts::start(&config(&hook.url(), &chat.url()), "https://console.example").unwrap();
    alerts.happened(Kind::MalwareHeld, "01ABC", "category malware");
    assert!(hook.wait_until(10, |all| !all.is_empty()).await);
    for number in 0..20 {
        alerts.happened(Kind::MalwareHeld, &format!("01DEF{number}"), "category malware");
    }
    assert!(hook.wait_until(10, |all| all.len() == 2).await);
    let got = hook.received();
    for one in &got {
        let signed = guarita_testkit_sign(b"hush", &one.body);
        assert_eq!(one.header("x-guarita-signature-256"), signed);
        assert_eq!(one.header("x-guarita-event"), "alert");
    }
    let (first, second) = (got[0].json(), got[1].json());
    assert_eq!((&first["kind"], &first["count"]), (&"malware_held".into(), &1.into()));
    assert_eq!(first["deliveries"][0]["url"], "https://console.example/messages/01ABC");
    assert_eq!((&second["count"], second["deliveries"].as_array().unwrap().len()), (&20.into(), 5));
    assert!(chat.wait_until(10, |all| all.len() == 2).await);
    assert!(chat.received()[0].json()["text"].as_str().unwrap().starts_with("*Arquivo malicioso retido*"));
    assert_eq!(alerts.recent().len(), 2);
    let tried = alerts.test().await;
    assert_eq!(tried.len(), 2);
    assert!(tried.iter().all(|one| one.sent), "{tried:?}");
}

fn guarita_testkit_sign(secret: &[u8], body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(secret).expect("any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_down_delays_nobody() {
    let chat = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    chat.answer_with(204);
    // A server that takes connections and never answers.
    let stalling = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", stalling.local_addr().unwrap());
    let alerts = Alerts::start(&config(&url, &chat.url()), "").unwrap();
    let began = Instant::now();
    for number in 0..100_000 {
        alerts.happened(Kind::VerdictChanged, &number.to_string(), "");
        alerts.holds(Kind::BackendDown, "default", true, "");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(chat.wait_until(5, |all| all.len() >= 2).await, "the other channel waits for the one that stalls");
    assert_eq!(alerts.active(), [(Kind::BackendDown, "default".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_on_disk_until_the_backend_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sqlite");
    let backend = SampleBackend::start("127.0.0.1:0", "backend-secret").await.unwrap();
    backend.answer_with(503);
    let url = backend.url();
    let target = move |route: &str| {
        (route == "default").then(|| EventTarget { url: url.clone(), secret: "backend-secret".into() })
    };
    let event = |id: &str| Event {
        id: id.into(),
        route: "default".into(),
        body: br#"{"ref":"01ABC","message":"wamid.5511","media":"7","findings":[{"rule":"r","evidence":"e"}]}"#
            .to_vec(),
    };
    {
        let outbox = Outbox::open(&path, [7; 32]).unwrap();
        assert!(outbox.note(event("e1"), true).await.unwrap());
        assert!(!outbox.note(event("e1"), true).await.unwrap(), "the same thing is noted once");
        assert!(outbox.note(event("e2"), false).await.unwrap());
        let sender = tokio::spawn(outbox.clone().run_sender(target.clone(), std::future::pending()));
        assert!(backend.wait_until(10, |all| !all.is_empty()).await);
        tokio::time::sleep(Duration::from_millis(300)).await;
        sender.abort(); // a crash
        let _ = sender.await;
    }
    let stored = std::fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("5511"), "message ids hold numbers and are sealed");
    let outbox = Outbox::open(&path, [7; 32]).unwrap();
    backend.answer_with(200);
    let sender = tokio::spawn(outbox.clone().run_sender(target, std::future::pending()));
    assert!(backend.wait_until(20, |all| all.len() >= 2).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let got = backend.received();
    let last = got.last().unwrap();
    assert!(last.signature_fits);
    assert_eq!(last.header("x-guarita-event"), "guarita.verdict_changed");
    assert_eq!(last.header("x-guarita-event-id"), "e1");
    assert_ne!(last.header("x-guarita-attempt"), "1");
    assert!(got.iter().all(|one| one.body == last.body
        && one.json()["message"] == "wamid.5511"
        && one.header("x-guarita-event-id") == "e1"));
    let recent = outbox.recent(10).await.unwrap();
    let state = |id: &str| recent.iter().find(|one| one.id == id).unwrap().state;
    assert_eq!((state("e1"), state("e2")), ("sent", "not_sent"));
    for ended in &recent {
        let kept = serde_json::json!({"ref": "01ABC", "findings": [{"rule": "r"}]});
        assert_eq!(ended.body, kept, "what has ended names nobody");
    }
    let untold: Vec<_> = outbox.untold(10).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(untold.len(), 2);
    outbox.mark_told(vec!["e1".into()]).await.unwrap();
    assert_eq!(outbox.untold(10).await.unwrap().len(), 1);
    sender.abort();
    assert!(Outbox::open(&path, [8; 32]).unwrap().recent(10).await.is_err(), "another key reads nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_a_collector() {
    let collector = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    collector.answer_with(202);
    let base = collector.url().replace("/webhook", "");
    let config = TracesConfig { endpoint: base, authorization: "Bearer hush".into(), ratio: 1.0, queue_max: 100 };
    assert!(!format!("{config:?}").contains("hush"));
    let traces = Traces::start(&config).unwrap().unwrap();
    let span = |name| Span { delivery: "01ABC".into(), name, start: 1, end: 2, attributes: Vec::new(), failed: false };
    traces.note(vec![span("scan"), span(Span::WHOLE)]);
    assert!(collector.wait_until(10, |all| !all.is_empty()).await);
    let got = &collector.received()[0];
    assert_eq!(got.header("authorization"), "Bearer hush");
    let spans = got.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
    assert_eq!(spans.as_array().unwrap().len(), 2);
    assert_eq!(spans[1]["name"], "entry");
}
