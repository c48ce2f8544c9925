//! Many at once: connections that do nothing, connections that drip, more deliveries than are taken. Whoever behaves is
//! served; what is too much is refused by name, and when it is over all is as before.

use crate::rig::{APP_SECRET, Rig, ana};
use guarita_testkit::{MetaStandIn, payload};
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::TcpStream};

fn memory_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) / 1024
}

async fn acknowledged_within(rig: &Rig, id: &str, limit: Duration) {
    let body = payload::whatsapp(&ana(), id, 1, payload::text("oi")).to_string();
    let began = Instant::now();
    let sent = MetaStandIn::deliver(&rig.webhook(), APP_SECRET, body.as_bytes()).await.expect("the door is open");
    assert_eq!(sent.status, 200);
    assert!(began.elapsed() < limit, "{id} took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_slow_connections_hold_up_nobody() {
    const IDLE: usize = 300;
    const SLOW: usize = 60;
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    let before = memory_mib(rig.pid());
    let mut held = Vec::new();
    for _ in 0..IDLE {
        held.push(TcpStream::connect(("127.0.0.1", rig.public)).await.unwrap());
    }
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(("127.0.0.1", rig.public)).await.unwrap();
        let head = "POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                    x-hub-signature-256: sha256=00\r\ncontent-length: 4000000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    for number in 0..20 {
        acknowledged_within(&rig, &format!("wamid.I{number}"), Duration::from_secs(5)).await;
    }
    let grown = memory_mib(rig.pid()).saturating_sub(before);
    assert!(grown < 60, "{grown} MiB for {} connections that do nothing", held.len());
    drop(held);
    acknowledged_within(&rig, "wamid.I99", Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_with_503_and_it_recovers_at_once() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        // A small house, so that a flood of fifty times what it holds can be small, too.
        ("GUARITA__RECEIVE__IN_FLIGHT_BYTES_MAX", "1048576"),
        ("GUARITA__RECEIVE__BODY_BYTES_MAX", "524288"),
    ])
    .await;
    let before = memory_mib(rig.pid());
    let text = "x".repeat(300_000);
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..180 {
        let webhook = rig.webhook();
        let body =
            payload::whatsapp(&ana(), &format!("wamid.F{number}"), 1, payload::text(&text)).to_string().into_bytes();
        flood.spawn(async move { MetaStandIn::deliver(&webhook, APP_SECRET, &body).await.map(|sent| sent.status) });
    }
    let (mut taken, mut shed) = (0, 0);
    while let Some(answer) = flood.join_next().await {
        match answer.unwrap() {
            Ok(200) => taken += 1,
            // Refused while the sender still writes: it may see the closed connection before the answer.
            Ok(503) | Err(_) => shed += 1,
            Ok(other) => panic!("{other}"),
        }
    }
    assert!(shed > 0 && taken > 0, "{taken} taken, {shed} shed: no flood, or nobody served");
    acknowledged_within(&rig, "wamid.after", Duration::from_secs(5)).await;
    let grown = memory_mib(rig.pid()).saturating_sub(before);
    assert!(grown < 200, "{grown} MiB after a flood");
    let (_, metrics) = rig.console_get("/metrics").await;
    assert!(metrics.contains("guarita_received_total{outcome=\"overloaded\"}"), "{metrics}");
}
