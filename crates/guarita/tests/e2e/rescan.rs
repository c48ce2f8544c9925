//! A file that was let through and is known to be malicious a day later.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use crate::rig::{BACKEND_SECRET, Rig, TOKEN, ana, has_clamd};
use guarita_testkit::{Media, MetaStandIn, SampleBackend, payload, samples};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A database folder with one signature that hits nothing here.
fn database(folder: &Path) {
    std::fs::write(folder.join("first.hdb"), "00000000000000000000000000000000:1:Guarita.Nothing\n").unwrap();
    open_to_clamd(folder);
}

/// clamd runs as a user of its own.
fn open_to_clamd(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
}

fn md5_hdb(bytes: &[u8], name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, bytes).unwrap();
    let out = std::process::Command::new("md5sum").arg(&file).output().expect("coreutils");
    let sum = String::from_utf8(out.stdout).unwrap();
    format!("{}:{}:{name}\n", &sum[..32], bytes.len())
}

async fn door(rig: &Rig, id: &str) -> u16 {
    MetaStandIn::get(&format!("{}/v23.0/{id}", rig.door()), Some(TOKEN)).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signature_takes_a_delivered_file_back_and_says_so() {
    if !has_clamd() {
        return;
    }
    let signatures = tempfile::tempdir().unwrap();
    database(signatures.path());
    let events = SampleBackend::start("127.0.0.1:0", BACKEND_SECRET).await.unwrap();
    let hook = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    hook.answer_with(204);
    let chosen = signatures.path().display().to_string();
    let lists = tempfile::tempdir().unwrap();
    let lists_folder = lists.path().display().to_string();
    let environment = [
        ("GUARITA__CLAMAV__DATABASE", chosen.as_str()),
        ("GUARITA__CLAMAV__MANAGED__DATABASE_CHECK_SECONDS", "1"),
        ("GUARITA__POLICY__LISTS", &lists_folder),
        ("GUARITA__RESCAN__CHECK_SECONDS", "1"),
        ("GUARITA__RESCAN__PAUSE_MS", "1"),
        ("GUARITA__BACKEND__EVENTS_URL", &events.url()),
        ("GUARITA__ALERTS__WEBHOOK__URL", &hook.url()),
        ("GUARITA__ALERTS__KINDS", "verdict_changed"),
        ("GUARITA__ALERTS__SETTLE_SECONDS", "1"),
        ("GUARITA__CONSOLE__PUBLIC_URL", "https://console.example"),
    ];
    let mut rig = Rig::prepare(None).await;
    rig.launch(&environment).await;
    rig.wait_ready().await;

    // Two customers send the same contract, one a picture: all clean today.
    let contract = Media::new(samples::pdf("contrato"), "application/pdf");
    let picture = Media::new(samples::png(), "image/png");
    let bia = payload::Customer::new("Bia", "5511900000001");
    for (id, customer, media, kind) in [
        ("950001", &ana(), &contract, "document"),
        ("950002", &bia, &contract, "document"),
        ("950003", &bia, &picture, "image"),
    ] {
        rig.meta.put_media(id, media.clone());
        let name = (kind == "document").then_some("contrato.pdf");
        let content = payload::media(kind, id, media, None, name, None);
        rig.deliver(&payload::whatsapp(customer, &format!("wamid.R{id}"), 1, content)).await;
        let message = rig.arrived(&format!("wamid.R{id}")).await.message();
        assert_eq!(message["guarita"]["verdict"], "clean", "{message}");
        assert_eq!(door(&rig, id).await, 200);
    }
    let reference = rig.arrived("wamid.R950001").await.header("x-guarita-delivery").to_owned();

    // The contract turns out to be malware. The backend is not well at that moment; the event waits.
    events.answer_with(503);
    std::fs::write(signatures.path().join("second.hdb"), md5_hdb(&contract.bytes, "Guarita.Test.Contrato")).unwrap();
    open_to_clamd(signatures.path());
    let heard = events.wait_until(60, |all| all.len() >= 2).await;
    assert!(heard, "no event\n{}", rig.log());
    // The news is on disk before the door closes, and may be out a moment earlier.
    let end = Instant::now() + Duration::from_secs(10);
    while (door(&rig, "950001").await, door(&rig, "950002").await) != (404, 404) {
        assert!(Instant::now() < end, "not revoked for both\n{}", rig.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(door(&rig, "950003").await, 200, "the picture stays");

    // A crash in between loses no event.
    rig.kill();
    events.answer_with(200);
    let before = events.received().len();
    rig.launch(&environment).await;
    assert!(events.wait_until(60, |all| all.len() >= before + 2).await, "{}", rig.log());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let got: Vec<_> = events.received().into_iter().skip(before).collect();
    assert_eq!(got.len(), 2, "each event is taken once: {got:?}");
    for one in &got {
        assert!(one.signature_fits);
        assert_eq!(one.header("x-guarita-event"), "guarita.verdict_changed");
    }
    let event = |message: &str| got.iter().map(|one| one.json()).find(|json| json["message"] == message).unwrap();
    let event = event("wamid.R950001");
    assert_eq!(event["event"], "guarita.verdict_changed");
    assert_eq!(
        (&event["before"], &event["after"], &event["revoked"]),
        (&"clean".into(), &"malicious".into(), &true.into())
    );
    assert_eq!((&event["media"], &event["where"]), (&"950001".into(), &"/document".into()));
    assert_eq!(event["ref"], reference);
    assert_eq!(event["sha256"], contract.sha256_hex());
    let finding = &event["findings"][0];
    assert_eq!(finding["rule"], "clamav/Guarita.Test.Contrato.UNOFFICIAL");
    assert_eq!(finding["category"], "malware");

    // The alert: ids and a link, nothing of the customers.
    assert!(hook.wait_until(20, |all| !all.is_empty()).await, "no alert\n{}", rig.log());
    let alert = hook.received()[0].json();
    assert_eq!(alert["kind"], "verdict_changed");
    let text = String::from_utf8_lossy(&hook.received()[0].body).into_owned();
    assert!(text.contains("https://console.example/messages/"), "{text}");
    for private in ["contrato", "5511", "Ana", "wamid"] {
        assert!(!text.contains(private), "{private} in {text}");
    }

    // Who follows the link finds it in the entry's timeline.
    let token = rig.token("read");
    let (status, entry) = rig.api(&token, "GET", &format!("/messages/{reference}"), &Value::Null).await;
    assert_eq!(status, 200, "{entry}");
    let revoked = entry["timeline"].as_array().unwrap().iter().find(|moment| moment["kind"] == "revoked");
    assert!(
        revoked.is_some_and(
            |moment| moment["note"] == "guarita: clean → malicious · clamav/Guarita.Test.Contrato.UNOFFICIAL"
        ),
        "{entry}"
    );

    // The same file, sent again, is withheld like any other; and the figures say what the rescan did.
    rig.wait_ready().await;
    let content = payload::media("document", "950001", &contract, None, Some("contrato.pdf"), None);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.R9", 2, content)).await;
    assert_eq!(rig.arrived("wamid.R9").await.message()["guarita"]["verdict"], "malicious");
    let (_, figures) = rig.console_get("/metrics").await;
    assert!(figures.contains("guarita_rescan_files_total{outcome=\"worse\"}"), "{figures}");
    let done: f64 = figures
        .lines()
        .find_map(|line| line.strip_prefix("guarita_rescan_finished_timestamp_seconds ")?.parse().ok())
        .unwrap();
    assert!(done > 1.7e9, "{done}");

    // A list that denies the picture's content does the same.
    assert_eq!(door(&rig, "950003").await, 200);
    std::fs::write(lists.path().join("deny-files.txt"), format!("{}\n", picture.sha256_hex())).unwrap();
    let denied = |all: &[guarita_testkit::Received]| all.iter().any(|one| one.json()["media"] == "950003");
    assert!(events.wait_until(60, denied).await, "{}", rig.log());
    let end = Instant::now() + Duration::from_secs(10);
    while door(&rig, "950003").await != 404 {
        assert!(Instant::now() < end, "not revoked\n{}", rig.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_malware_alerts_logs_and_traces() {
    if !has_clamd() {
        return;
    }
    let hook = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    hook.answer_with(204);
    let collector = SampleBackend::start("127.0.0.1:0", "-").await.unwrap();
    collector.answer_with(204);
    let folder = tempfile::tempdir().unwrap();
    let findings = folder.path().join("findings.jsonl");
    let rig = Rig::start(&[
        ("GUARITA__ALERTS__WEBHOOK__URL", &hook.url()),
        ("GUARITA__ALERTS__WEBHOOK__SECRET", "hush"),
        ("GUARITA__ALERTS__KINDS", "malware_held,backend_down"),
        ("GUARITA__ALERTS__SETTLE_SECONDS", "1"),
        ("GUARITA__LOG__FINDINGS__FILE", &findings.display().to_string()),
        ("GUARITA__TRACES__ENDPOINT", &collector.url().replace("/webhook", "")),
    ])
    .await;
    let virus = Media::new(samples::eicar(), "application/pdf");
    rig.meta.put_media("960001", virus.clone());
    let content = payload::media("document", "960001", &virus, None, Some("fatura da Ana.pdf"), Some("segue"));
    rig.deliver(&payload::whatsapp(&ana(), "wamid.H1", 1, content)).await;
    let got = rig.arrived("wamid.H1").await;
    let reference = got.header("x-guarita-delivery").to_owned();

    assert!(hook.wait_until(20, |all| !all.is_empty()).await, "no alert\n{}", rig.log());
    let alert = hook.received()[0].clone();
    assert!(alert.header("x-guarita-signature-256").starts_with("sha256="));
    assert_eq!((&alert.json()["kind"], &alert.json()["count"]), (&"malware_held".into(), &1.into()));
    assert_eq!(alert.json()["deliveries"][0]["id"], reference);

    let log = std::fs::read_to_string(&findings).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let malware = lines.iter().find(|line| line["malware"].is_array()).expect("a line of clamav's finding");
    assert_eq!((&malware["class_uid"], &malware["disposition"]), (&2004.into(), &"Quarantined".into()));
    assert_eq!(malware["evidences"][0]["file"]["hashes"][0]["value"], virus.sha256_hex());

    let whole = |all: &[guarita_testkit::Received]| {
        all.iter().any(|one| String::from_utf8_lossy(&one.body).contains("\"entry\""))
    };
    assert!(collector.wait_until(20, whole).await, "no spans\n{}", rig.log());
    let spans: Vec<Value> = collector
        .received()
        .iter()
        .flat_map(|one| {
            one.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default()
        })
        .collect();
    for name in ["receive", "fetch", "scan", "decide", "deliver", "entry"] {
        assert!(spans.iter().any(|span| span["name"] == name), "{name} is missing in {spans:?}");
    }
    let mut said = log + &String::from_utf8_lossy(&alert.body);
    spans.iter().for_each(|span| said.push_str(&span.to_string()));
    for private in ["5511987654321", "Ana", "segue", "wamid"] {
        assert!(!said.contains(private), "{private} leaves the gateway");
    }

    // A backend that is down is told, and that it is back.
    rig.backend.answer_with(503);
    for number in 0..12 {
        let customer = payload::Customer::new("Bia", &format!("55119000000{number:02}"));
        rig.deliver(&payload::whatsapp(&customer, &format!("wamid.H2{number}"), 1, payload::text("oi"))).await;
    }
    let is = |phase: &'static str| {
        move |all: &[guarita_testkit::Received]| {
            all.iter().any(|one| one.json()["kind"] == "backend_down" && one.json()["phase"] == phase)
        }
    };
    assert!(hook.wait_until(40, is("raised")).await, "{}", rig.log());
    rig.backend.answer_with(200);
    assert!(hook.wait_until(60, is("recovered")).await, "{}", rig.log());
}
