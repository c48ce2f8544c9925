//! Two tenants: one's backend hangs, its customers flood it, its files never come; the other's messages are as fast as ever.

use crate::{
    rig::{APP_SECRET, Rig},
    routes::{has, post, to_number},
};
use guarita_testkit::{Media, SampleBackend, payload, payload::Customer, samples};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Takes connections and never says anything.
async fn hanging_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address.to_string()
}

fn flood(number: &str, from: usize, to: usize) -> Value {
    let mut body = to_number(number, "wamid.FLOOD", "oi");
    let value = &mut body["entry"][0]["changes"][0]["value"];
    let messages = (from..to).map(|n| {
        let customer = Customer::new("X", &format!("55119{n:08}"));
        let one = payload::whatsapp(&customer, &format!("wamid.FLOOD{n}"), 1, payload::text("oi"));
        one["entry"][0]["changes"][0]["value"]["messages"][0].clone()
    });
    value["messages"] = messages.collect();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_backend_a_flood_and_files_that_never_come_slow_nobody_else() {
    let (hung, well) = (hanging_server().await, SampleBackend::start("127.0.0.1:0", "w").await.expect("loopback"));
    let mut rig = Rig::prepare(None).await;
    rig.configure(&format!(
        "[[routes]]\nname = \"hung\"\nmatch = {{ phone_number_id = \"1\" }}\nbackend = {{ url = \"http://{hung}/\", response_seconds_max = 20 }}\n\
         [[routes]]\nname = \"well\"\nmatch = {{ phone_number_id = \"2\" }}\nbackend = {{ url = \"{}\", secret = \"w\" }}\n",
        well.url()
    ));
    let hosts = format!("[\"{}\", \"{hung}\"]", rig.meta.address());
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__GRAPH__MEDIA_HOSTS", &hosts),
        ("GUARITA__POLICY__ON_DEADLINE", "pass"),
        ("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "3"),
    ])
    .await;
    let picture = Media::new(samples::png(), "image/png");
    rig.meta.put_media("900001", picture.clone());
    async fn latency(rig: &Rig, well: &SampleBackend, picture: &Media, id: &str) -> (Duration, Duration) {
        let began = Instant::now();
        post(rig, "/webhook", APP_SECRET, &to_number("2", &format!("wamid.T{id}"), "oi")).await;
        assert!(has(well, &format!("wamid.T{id}")).await, "{}", rig.log());
        let text = began.elapsed();
        let began = Instant::now();
        let mut file = payload::whatsapp(
            &Customer::new("Bia", &format!("5521{id}")),
            &format!("wamid.P{id}"),
            1,
            payload::media("image", "900001", picture, Some(rig.meta.media_url("900001")), None, None),
        );
        file["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = json!("2");
        post(rig, "/webhook", APP_SECRET, &file).await;
        assert!(has(well, &format!("wamid.P{id}")).await, "{}", rig.log());
        (text, began.elapsed())
    }
    // What it takes on a quiet machine; without a clamd, a file waits for the scan deadline.
    let quiet = latency(&rig, &well, &picture, "0").await;

    // 3,000 conversations for a backend that never answers, and 100 files from a host that never does.
    for part in 0..5 {
        assert_eq!(post(&rig, "/webhook", APP_SECRET, &flood("1", part * 600, (part + 1) * 600)).await, 200);
    }
    for n in 0..100 {
        let content =
            payload::media("image", &format!("7{n:05}"), &picture, Some(format!("http://{hung}/x")), None, None);
        let mut body =
            payload::whatsapp(&Customer::new("Y", &format!("5531{n:05}")), &format!("wamid.HF{n}"), 1, content);
        body["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = json!("1");
        assert_eq!(post(&rig, "/webhook", APP_SECRET, &body).await, 200);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut worst = (Duration::ZERO, Duration::ZERO);
    for n in 1..=5 {
        let took = latency(&rig, &well, &picture, &n.to_string()).await;
        worst = (worst.0.max(took.0), worst.1.max(took.1));
    }
    println!(
        "quiet: text {:?}, file {:?}; beside a hung tenant: text {:?}, file {:?}",
        quiet.0, quiet.1, worst.0, worst.1
    );
    assert!(worst.0 < quiet.0 + Duration::from_secs(2), "texts: {quiet:?} {worst:?}\n{}", rig.log());
    assert!(worst.1 < quiet.1 + Duration::from_secs(3), "files: {quiet:?} {worst:?}\n{}", rig.log());
}
