//! Who may write and how much: Meta gets its 200 either way, and nobody else waits.

use crate::{
    rig::{APP_SECRET, Rig},
    routes::{has, ids, post},
};
use guarita_testkit::{SampleBackend, payload, payload::Customer};
use serde_json::Value;
use std::time::{Duration, Instant};

async fn rig(limits: &str) -> (Rig, SampleBackend) {
    let backend = SampleBackend::start("127.0.0.1:0", "s").await.expect("loopback");
    let mut rig = Rig::prepare(None).await;
    rig.configure(&format!(
        "[[routes]]\nname = \"one\"\nbackend = {{ url = \"{}\", secret = \"s\" }}\n[routes.limits]\n{limits}\n",
        backend.url()
    ));
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    (rig, backend)
}

fn from(phone: &str, id: &str) -> Value {
    payload::whatsapp(&Customer::new("Ana", phone), id, 1, payload::text("oi"))
}

async fn metric(rig: &Rig, wanted: &str) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, metrics) = rig.console_get("/metrics").await;
        if metrics.contains(wanted) || Instant::now() > end {
            return metrics;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_lists() {
    let (rig, backend) = rig(
        "sender_messages_per_minute = 3\nover = \"keep\"\nblock = [\"+55 11 90000-0000\"]\nblocked = \"drop\"\nallow_countries = [\"55\"]",
    )
    .await;
    for n in 0..5 {
        assert_eq!(post(&rig, "/webhook", APP_SECRET, &from("5511911111111", &format!("wamid.Q{n}"))).await, 200);
    }
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &from("5511900000000", "wamid.B1")).await, 200);
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &from("5511922222222", "wamid.OK")).await, 200);
    assert!(has(&backend, "wamid.OK").await, "{}", rig.log());
    let metrics = metric(&rig, "guarita_spool_entries{state=\"quarantined\"} 2").await;
    for part in [
        "guarita_limited_total{reason=\"sender_quota\"} 2",
        "guarita_limited_total{reason=\"blocked\"} 1",
        "guarita_spool_entries{state=\"quarantined\"} 2",
        "guarita_received_total{outcome=\"limited\"} 1",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    let mut got = ids(&backend.received());
    got.sort();
    assert_eq!(got, ["wamid.OK", "wamid.Q0", "wamid.Q1", "wamid.Q2"]);
    assert!(!rig.whole_log().contains("5511900000000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_contact_is_marked_once() {
    let (rig, backend) = rig("first_contact = true").await;
    for id in ["wamid.F1", "wamid.F2"] {
        post(&rig, "/webhook", APP_SECRET, &from("5511933333333", id)).await;
        assert!(has(&backend, id).await, "{}", rig.log());
    }
    let marks: Vec<Value> =
        backend.received().iter().map(|one| one.message()["guarita"]["first_contact"].clone()).collect();
    assert_eq!(marks, [Value::Bool(true), Value::Null]);
}

/// One sender writes a thousand messages at once; another's message is there at once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_from_one_sender_starves_nobody() {
    let (rig, backend) = rig("").await;
    let mut burst = from("5511944444444", "wamid.X0");
    for n in 1..900 {
        let message =
            from("5511944444444", &format!("wamid.X{n}"))["entry"][0]["changes"][0]["value"]["messages"][0].clone();
        burst["entry"][0]["changes"][0]["value"]["messages"].as_array_mut().expect("it is a list").push(message);
    }
    assert_eq!(post(&rig, "/webhook", APP_SECRET, &burst).await, 200);
    let began = Instant::now();
    post(&rig, "/webhook", APP_SECRET, &from("5511955555555", "wamid.QUICK")).await;
    assert!(has(&backend, "wamid.QUICK").await, "{}", rig.log());
    let took = began.elapsed();
    let burst_done = backend.received().iter().filter(|one| one.message()["id"] != "wamid.QUICK").count();
    assert!(took < Duration::from_secs(2), "{took:?}, after {burst_done} of the burst");
    assert!(backend.wait_until(60, |all| all.len() == 901).await, "{}", rig.log());
}
