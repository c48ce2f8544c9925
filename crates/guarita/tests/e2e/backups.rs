//! A backup taken under way, looked at, put back, started: nothing is missed. And a folder that the first version left.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use crate::rig::{Rig, TOKEN, ana};
use guarita_testkit::{Media, MetaStandIn, payload, samples};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

fn guarita(storage: &Path, arguments: &[&str]) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_guarita"))
        .args(arguments)
        .env("GUARITA__STORAGE__PATH", storage)
        .output()
        .expect("the binary was just built");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), said)
}

async fn post_text(rig: &Rig, id: &str, at: u64) {
    rig.deliver(&payload::whatsapp(&ana(), id, at, payload::text("oi"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_way_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let copy = folder.path().join("backup").display().to_string();
    let environment = [
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__POLICY__ON_DEADLINE", "pass"),
        ("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "1"),
    ];
    let mut rig = Rig::prepare(Some(first.clone())).await;
    rig.launch(&environment).await;
    let picture = Media::new(samples::png(), "image/png");
    rig.meta.put_media("970001", picture.clone());
    let content = payload::media("image", "970001", &picture, None, None, None);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.K0", 1, content)).await;
    rig.arrived("wamid.K0").await;
    // What waits at the moment of the backup must not be lost with it.
    rig.backend.answer_with(503);
    for number in 1..=5 {
        post_text(&rig, &format!("wamid.K{number}"), number).await;
    }
    let (done, said) = guarita(&first, &["backup", &copy]);
    assert!(done, "{said}");
    let (done, said) = guarita(&first, &["backup", "--verify", &copy]);
    assert!(done && said.contains("whole. 6 entries"), "{said}");
    assert!(said.contains("1 ids served, 1 of them with their content"), "{said}");

    // The machine is lost; so is Graph's copy of the picture.
    rig.kill();
    std::fs::remove_dir_all(&first).unwrap();
    let (done, said) = guarita(&second, &["restore", &copy]);
    assert!(done && said.contains("restored. 6 entries"), "{said}");
    let before = rig.backend.received().len();
    rig.backend.answer_with(200);
    let storage = second.display().to_string();
    let mut with_storage = environment.to_vec();
    with_storage.push(("GUARITA__STORAGE__PATH", &storage));
    rig.launch(&with_storage).await;
    for number in 1..=5 {
        rig.arrived(&format!("wamid.K{number}")).await;
    }
    let after: Vec<String> = rig.backend.received()[before..]
        .iter()
        .map(|one| one.message()["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(after, ["wamid.K1", "wamid.K2", "wamid.K3", "wamid.K4", "wamid.K5"], "in order, and K0 not again");
    let looked = rig.meta.lookups().len();
    let (status, _, body) = MetaStandIn::get(&format!("{}/v23.0/970001", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 200);
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let (status, _, bytes) = MetaStandIn::get(found["url"].as_str().unwrap(), None).await.unwrap();
    assert_eq!((status, &bytes[..]), (200, &samples::png()[..]));
    assert_eq!(rig.meta.lookups().len(), looked, "it is served from the restored store");
    // What Meta sends again is known.
    post_text(&rig, "wamid.K3", 3).await;
    post_text(&rig, "wamid.K6", 6).await;
    rig.arrived("wamid.K6").await;
    let third = rig.backend.received().iter().filter(|one| one.message()["id"] == "wamid.K3").count();
    let third_before = rig.backend.received()[..before].iter().filter(|one| one.message()["id"] == "wamid.K3").count();
    assert_eq!(third - third_before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_that_are_not_whole_are_named_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("data");
    let mut rig = Rig::prepare(Some(storage.clone())).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    post_text(&rig, "wamid.L1", 1).await;
    rig.arrived("wamid.L1").await;
    let take = |name: &str, more: &[&str]| {
        let to = folder.path().join(name);
        let shown = to.display().to_string();
        let arguments: Vec<&str> = ["backup", &shown].into_iter().chain(more.iter().copied()).collect();
        let (done, said) = guarita(&storage, &arguments);
        assert!(done, "{said}");
        to
    };
    let verify = |backup: &Path| {
        guarita(&folder.path().join("elsewhere"), &["backup", "--verify", &backup.display().to_string()])
    };

    let without_key = take("without-key", &["--without-key"]);
    let (done, said) = verify(&without_key);
    assert!(!done && said.contains("the key is not in it"), "{said}");

    let damaged = take("damaged", &[]);
    let database = damaged.join("spool.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    bytes[8192..8192 + 64].fill(0xff);
    std::fs::write(&database, bytes).unwrap();
    let (done, said) = verify(&damaged);
    assert!(!done && said.contains("spool"), "{said}");

    let other_key = take("other-key", &[]);
    std::fs::write(other_key.join("key"), [7; 32]).unwrap();
    let (done, said) = verify(&other_key);
    assert!(!done && said.contains("key"), "{said}");

    let (done, said) = verify(&folder.path().join("nothing"));
    assert!(!done && said.contains("no backup"), "{said}");
    let whole = take("whole", &[]);
    let (done, said) = guarita(&storage, &["restore", &whole.display().to_string()]);
    assert!(!done && said.contains("is not empty"), "{said}");
    let (done, said) = guarita(&storage, &["backup", &whole.display().to_string()]);
    assert!(!done && said.contains("is not empty"), "{said}");
}

/// The folder that the first version left; its times are made young again, or retention would do its work before the test.
fn of_the_first_version(folder: &Path) -> std::path::PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/storage-v1.tar.gz");
    let unpacked = Command::new("tar").arg("-xzmf").arg(archive).arg("-C").arg(folder).status().expect("tar is there");
    assert!(unpacked.success());
    let data = folder.join("data");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let media = rusqlite::Connection::open(data.join("media.sqlite")).unwrap();
    media.execute("UPDATE media SET seen_ms = ?1", [now]).unwrap();
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_first_version_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = of_the_first_version(folder.path());
    let shown = data.display().to_string();
    let (done, said) = guarita(&folder.path().join("elsewhere"), &["backup", "--verify", &shown]);
    assert!(done && said.contains("7 entries"), "{said}");
    let spool = rusqlite::Connection::open(data.join("spool.db")).unwrap();
    let layout: i64 = spool.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(layout, 1, "looking changes nothing");
    drop(spool);

    let mut rig = Rig::prepare(Some(data)).await;
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__STORAGE__RETENTION_DAYS", "36500"),
        ("GUARITA__STORAGE__QUARANTINE_DAYS", "36500"),
    ])
    .await;
    rig.arrived("wamid.OLD7").await;
    let ids: Vec<String> =
        rig.backend.received().iter().map(|one| one.message()["id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(ids, ["wamid.OLD4", "wamid.OLD5", "wamid.OLD6", "wamid.OLD7"], "in order, and none twice");
    let door = async |id: &str| MetaStandIn::get(&format!("{}/v23.0/{id}", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(door("980002").await.0, 404, "what was withheld stays withheld");
    let (status, _, body) = door("980001").await;
    assert_eq!(status, 200);
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let (status, _, bytes) = MetaStandIn::get(found["url"].as_str().unwrap(), None).await.unwrap();
    assert_eq!(status, 200);
    assert!(bytes.starts_with(b"\x89PNG"));
    assert!(rig.meta.lookups().is_empty(), "nothing is fetched anew");
    post_text(&rig, "wamid.NEW1", 9).await;
    rig.arrived("wamid.NEW1").await;
    // The backend has it a moment before it is noted.
    let end = Instant::now() + Duration::from_secs(10);
    while !rig.console_get("/metrics").await.1.contains("guarita_spool_entries{state=\"delivered\"} 8") {
        assert!(Instant::now() < end, "{}", rig.console_get("/metrics").await.1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
