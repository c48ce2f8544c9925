//! Lists: taken while the gateway runs, their age told, and an allow list that does not outweigh malware.

use crate::rig::{Rig, ana, has_clamd};
use guarita_testkit::payload;
use std::time::{Duration, Instant};

/// A change is looked for every 10 seconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

async fn verdict(rig: &Rig, id: &str, number: u32, link: &str) -> String {
    rig.deliver(&payload::whatsapp(&ana(), id, number.into(), payload::text(&format!("veja {link}")))).await;
    let message = rig.arrived(id).await.message();
    message["guarita"]["verdict"].as_str().unwrap_or_default().to_owned()
}

async fn wait_for(rig: &Rig, line: &str) -> String {
    let start = Instant::now();
    loop {
        let (_, metrics) = rig.console_get("/metrics").await;
        if metrics.contains(line) {
            return metrics;
        }
        assert!(start.elapsed() < TAKEN_WITHIN, "no `{line}` in\n{metrics}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_taken_without_a_restart() {
    if !has_clamd() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rig = Rig::start(&[("GUARITA__POLICY__LISTS", &folder.path().display().to_string())]).await;
    let link = "https://padariacentral.com.br/cardapio";
    assert_eq!(verdict(&rig, "wamid.L1", 1, link).await, "clean");

    std::fs::write(folder.path().join("deny-ours.txt"), "domain padariacentral.com.br\n").expect("the folder is ours");
    let metrics = wait_for(&rig, "guarita_list_entries{list=\"deny-ours.txt\"} 1").await;
    let age = metrics.lines().find_map(|line| line.strip_prefix("guarita_list_age_seconds{list=\"deny-ours.txt\"} "));
    let age: f64 = age.expect("its age is told").parse().expect("an age is a number");
    assert!((0.0..120.0).contains(&age), "{age}");
    assert_ne!(verdict(&rig, "wamid.L2", 2, link).await, "clean");

    // Who is denied and allowed is allowed; who spreads malware is not.
    std::fs::write(folder.path().join("allow-ours.txt"), "domain padariacentral.com.br\n").expect("the folder is ours");
    wait_for(&rig, "guarita_list_entries{list=\"allow-ours.txt\"} 1").await;
    assert_eq!(verdict(&rig, "wamid.L3", 3, link).await, "clean");
    let malware = "host padariacentral.com.br\nhost other.example.com\n";
    std::fs::write(folder.path().join("malware-feed.txt"), malware).expect("the folder is ours");
    wait_for(&rig, "guarita_list_entries{list=\"malware-feed.txt\"} 2").await;
    assert_ne!(verdict(&rig, "wamid.L4", 4, link).await, "clean");
}
