//! Outside things that fail: clamd, the backend, Graph, the disk.

use crate::rig::{APP_SECRET, Rig, TOKEN, ana, has_clamd};
use guarita_testkit::{Media, MetaStandIn, payload, samples};
use serde_json::json;
use std::{
    process::Command,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn clamd_killed_and_back() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let kill = Command::new("pkill").args(["-KILL", "-P", &rig.pid().to_string(), "clamd"]).status().unwrap();
    assert!(kill.success(), "the gateway's clamd was not found");
    let picture = Media::new(samples::pdf("um"), "application/pdf");
    rig.meta.put_media("920001", picture.clone());
    let content = payload::media("document", "920001", &picture, None, Some("um.pdf"), None);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.S1", 1, content)).await;
    // A text of somebody else waits for nobody.
    let bia = payload::Customer::new("Bia", "5511900000001");
    rig.deliver(&payload::whatsapp(&bia, "wamid.S2", 1, payload::text("oi"))).await;
    rig.arrived("wamid.S2").await;
    // It is held, scanned once clamd is back, and then clean: never unscanned by accident.
    let message = rig.arrived("wamid.S1").await.message();
    assert_eq!(message["guarita"]["verdict"], "clean", "{message}");
    let by = message["guarita"]["files"][0]["scanned_by"].to_string();
    assert!(by.contains("clamav"), "{by}");
    rig.wait_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_clamd_means_withheld_at_the_deadline_or_passed_as_unscanned() {
    for (on_deadline, kind, action) in [("withhold", "text", "withhold"), ("pass", "document", "annotate")] {
        let mut rig = Rig::prepare(None).await;
        rig.launch(&[
            ("GUARITA__CLAMAV__ADDRESS", "tcp:127.0.0.1:1"),
            ("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "3"),
            ("GUARITA__POLICY__ON_DEADLINE", on_deadline),
        ])
        .await;
        let (status, body) = rig.console_get("/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("clamav") && body.contains("mend"), "{body}");
        let file = Media::new(samples::pdf("um"), "application/pdf");
        rig.meta.put_media("930001", file.clone());
        let content = payload::media("document", "930001", &file, None, Some("um.pdf"), None);
        rig.deliver(&payload::whatsapp(&ana(), "wamid.D1", 1, content)).await;
        let message = rig.arrived("wamid.D1").await.message();
        assert_eq!(message["type"], kind);
        assert_eq!(message["guarita"]["verdict"], "unscanned", "{message}");
        assert_eq!(message["guarita"]["action"], action);
        assert!(message["guarita"]["gaps"].to_string().contains("scanner_unavailable"), "{message}");
        let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/930001", rig.door()), Some(TOKEN)).await.unwrap();
        assert_eq!(status, if on_deadline == "pass" { 200 } else { 404 });
    }
}

/// It takes the file and says nothing, for longer than `clamav.scan_seconds_max` would notice: the deadline holds all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_clamd_that_hangs_holds_a_file_until_the_deadline_and_no_longer() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "4")]).await;
    let signal = |name: &str| {
        let told = Command::new("pkill").args([name, "-P", &rig.pid().to_string(), "clamd"]).status().unwrap();
        assert!(told.success(), "the gateway's clamd was not found");
    };
    signal("-STOP");
    let file = Media::new(samples::pdf("um"), "application/pdf");
    rig.meta.put_media("940001", file.clone());
    let content = payload::media("document", "940001", &file, None, Some("um.pdf"), None);
    let began = Instant::now();
    rig.deliver(&payload::whatsapp(&ana(), "wamid.H1", 1, content)).await;
    let message = rig.arrived("wamid.H1").await.message();
    let took = began.elapsed();
    signal("-CONT");
    assert!((3..20).contains(&took.as_secs()), "{took:?}");
    assert_eq!((&message["type"], &message["guarita"]["verdict"]), (&json!("text"), &json!("unscanned")), "{message}");
    let gaps = &message["guarita"]["gaps"];
    assert!(gaps[0]["scanner"] == "clamav" && gaps[0]["reason"] == "timeout", "{gaps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn backend_down_and_back() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    rig.backend.answer_with(503);
    for number in 0..5 {
        rig.deliver(&payload::whatsapp(&ana(), &format!("wamid.B{number}"), number, payload::text("oi"))).await;
    }
    assert!(rig.backend.wait_until(10, |all| !all.is_empty()).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let early = rig.backend.received();
    assert!(early.iter().all(|one| one.message()["id"] == "wamid.B0"), "a later message overtook the first");
    rig.backend.answer_with(200);
    rig.arrived("wamid.B4").await;
    let all = rig.backend.received();
    let accepted: Vec<_> =
        all[all.len() - 5..].iter().map(|one| one.message()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(accepted, ["wamid.B0", "wamid.B1", "wamid.B2", "wamid.B3", "wamid.B4"]);
    let again: Vec<_> = all.iter().filter(|one| one.message()["id"] == "wamid.B0").collect();
    assert!(
        again.len() > 1
            && again.iter().all(|one| one.header("x-guarita-delivery") == again[0].header("x-guarita-delivery"))
    );
    assert!(again.iter().all(|one| one.body == again[0].body), "a retry sends the stored bytes");
    let attempts: Vec<u32> = again.iter().map(|one| one.header("x-guarita-attempt").parse().unwrap()).collect();
    assert!(attempts.windows(2).all(|two| two[1] == two[0] + 1), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_that_fails_or_lies() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__GRAPH__FETCH__TOTAL_TIMEOUT_MS", "3000"),
        ("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "2"),
    ])
    .await;
    // An id that Graph does not know: the message goes on, its file is not served, and it is not called clean.
    let missing = Media::new(samples::png(), "image/png");
    rig.deliver(&payload::whatsapp(
        &ana(),
        "wamid.G1",
        1,
        payload::media("image", "940001", &missing, None, None, None),
    ))
    .await;
    let message = rig.arrived("wamid.G1").await.message();
    assert_eq!((message["type"].as_str(), message["guarita"]["verdict"].as_str()), (Some("image"), Some("unscanned")));
    let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/940001", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 404);
    // Bytes that are not those of the digest in the webhook.
    rig.meta.put_media("940002", Media::new(samples::pdf("outro"), "image/png"));
    rig.deliver(&payload::whatsapp(
        &ana(),
        "wamid.G2",
        2,
        payload::media("image", "940002", &missing, None, None, None),
    ))
    .await;
    let message = rig.arrived("wamid.G2").await.message();
    assert_eq!(message["guarita"]["gaps"][0]["reason"], "fetch_failed", "{message}");
    // A url in the webhook that leads elsewhere is neither fetched nor passed on.
    rig.meta.put_media("940003", missing.clone());
    let elsewhere = Some("http://169.254.169.254/latest/meta-data/".to_owned());
    rig.deliver(&payload::whatsapp(
        &ana(),
        "wamid.G3",
        3,
        payload::media("image", "940003", &missing, elsewhere, None, None),
    ))
    .await;
    let got = rig.arrived("wamid.G3").await;
    assert!(!String::from_utf8_lossy(&got.body).contains("169.254"), "{}", String::from_utf8_lossy(&got.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_that_is_busy_for_a_moment_costs_no_file() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let picture = Media::new(samples::png(), "image/png");
    rig.meta.put_media("945001", picture.clone());
    rig.meta.busy_for(Duration::from_secs(5));
    let content = payload::media("image", "945001", &picture, None, None, None);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.M1", 1, content)).await;
    // Somebody else's text does not wait for it.
    let bia = payload::Customer::new("Bia", "5511900000001");
    rig.deliver(&payload::whatsapp(&bia, "wamid.M2", 1, payload::text("oi"))).await;
    rig.arrived("wamid.M2").await;
    assert!(!rig.backend.received().iter().any(|one| one.message()["id"] == "wamid.M1"), "it was given up at once");
    let message = rig.arrived("wamid.M1").await.message();
    assert_eq!(message["guarita"]["verdict"], "clean", "{message}");
    let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/945001", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_with_graph_ends() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"), ("GUARITA__POLICY__FETCH_PATIENCE_SECONDS", "3")])
        .await;
    let picture = Media::new(samples::png(), "image/png");
    rig.meta.put_media("946001", picture.clone());
    rig.meta.busy_for(Duration::from_secs(600));
    let content = payload::media("image", "946001", &picture, None, None, None);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.N1", 1, content)).await;
    let message = rig.arrived("wamid.N1").await.message();
    assert_eq!(message["type"], "image");
    assert_eq!(message["guarita"]["gaps"][0]["reason"], "fetch_failed", "{message}");
    let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/946001", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_at_the_nth_byte_answer_503_and_lose_nothing() {
    let mut rig = Rig::prepare(None).await;
    // A write beyond the process's bound on a file's size fails (EFBIG); by default it would be killed for trying.
    let mut bounded = Command::new("sh");
    let binary = rig.binary();
    bounded.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary.get_program()).args(binary.get_args());
    let nowhere = std::fs::File::create("/dev/null").unwrap();
    let environment = [("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"), ("GUARITA__PIPELINE__LEASE_SECONDS", "3")];
    rig.launch_by(bounded, nowhere, &environment).await;
    rig.deliver(&payload::whatsapp(&ana(), "wamid.E0", 1, payload::text("antes"))).await;
    rig.arrived("wamid.E0").await;
    let pid = rig.pid().to_string();
    let bound = |bytes: &str| {
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit (util-linux) sets a bound");
    };
    let text = "x".repeat(3_000);
    let (mut number, mut acknowledged) = (0, Vec::new());
    let mut post = async |rig: &Rig| {
        number += 1;
        let id = format!("wamid.E{number}");
        let body = payload::whatsapp(&ana(), &id, number, payload::text(&text)).to_string();
        let status = MetaStandIn::deliver(&rig.webhook(), APP_SECRET, body.as_bytes()).await.unwrap().status;
        assert!(status == 200 || status == 503, "{status}");
        (id, status)
    };
    for nth in 1..=12 {
        let journal = std::fs::metadata(rig.storage().join("spool.db-wal")).map_or(0, |journal| journal.len());
        bound(&(journal + nth * 1_900).to_string());
        let mut refused = false;
        for _ in 0..400 {
            let (id, status) = post(&rig).await;
            refused |= status == 503;
            if status == 200 {
                acknowledged.push(id);
            } else {
                break;
            }
        }
        bound("unlimited");
        assert!(refused, "no write ever failed with a bound {} bytes above the journal", nth * 1_900);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let (id, status) = post(&rig).await;
            if status == 200 {
                acknowledged.push(id);
                break;
            }
            assert!(std::time::Instant::now() < end, "no recovery after bound {nth}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    for id in &acknowledged {
        rig.arrived(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_costs_nobody_a_message() {
    let mut rig = Rig::prepare(None).await;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has one");
    let environment = [("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"), ("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "2")];
    rig.launch_by(rig.binary(), full, &environment).await;
    rig.backend.answer_with(503);
    let file = Media::new(samples::pdf("um"), "application/pdf");
    rig.meta.put_media("970001", file.clone());
    let content = payload::media("document", "970001", &file, None, Some("um.pdf"), None);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.L1", 1, content)).await;
    rig.deliver(&payload::whatsapp(&ana(), "wamid.L2", 2, payload::text("oi"))).await;
    assert!(rig.backend.wait_until(20, |all| !all.is_empty()).await, "nothing was tried");
    rig.backend.answer_with(200);
    rig.arrived("wamid.L1").await;
    rig.arrived("wamid.L2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_full_answers_503_and_recovers() {
    let mount = tempfile::tempdir().unwrap();
    let path = mount.path().display().to_string();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs", &path]).output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: no permission to mount a small file system");
        return;
    }
    let mut rig = Rig::prepare(Some(mount.path().join("data"))).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    rig.deliver(&payload::whatsapp(&ana(), "wamid.F0", 1, payload::text("antes"))).await;
    rig.arrived("wamid.F0").await;
    std::fs::write(mount.path().join("ballast"), vec![1; 64 << 20]).ok();
    let mut refused = false;
    for number in 0..200 {
        let body =
            payload::whatsapp(&ana(), &format!("wamid.F1.{number}"), 2, payload::text(&"x".repeat(3000))).to_string();
        let status = MetaStandIn::deliver(&rig.webhook(), APP_SECRET, body.as_bytes()).await.unwrap().status;
        assert!(status == 200 || status == 503, "{status}");
        if status == 503 {
            refused = true;
            break;
        }
    }
    assert!(refused, "a full disk was never noticed");
    let (status, told) = rig.console_get("/readyz").await;
    assert_eq!(status, 503, "{told}");
    assert!(told.contains("free space in"), "{told}");
    std::fs::remove_file(mount.path().join("ballast")).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(30);
    let body = payload::whatsapp(&ana(), "wamid.F2", 3, payload::text("depois")).to_string();
    while MetaStandIn::deliver(&rig.webhook(), APP_SECRET, body.as_bytes()).await.unwrap().status != 200 {
        assert!(std::time::Instant::now() < end, "no recovery\n{}", rig.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rig.arrived("wamid.F2").await;
    drop(rig);
    let _ = Command::new("umount").args(["-l", &path]).status();
}

/// A real clock under a real gateway, set forward by hours and back by days between the messages of one conversation.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_loses_repeats_and_reorders_nothing() {
    let Some(library) = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        eprintln!("SKIPPED: libfaketime is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    let set = |offset: &str| {
        // Renamed into place: the library must never read half of it.
        std::fs::write(folder.path().join("new"), offset).unwrap();
        std::fs::rename(folder.path().join("new"), &clock).unwrap();
    };
    set("+0s");
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("LD_PRELOAD", &library),
        ("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ])
    .await;
    let mut sent = Vec::new();
    for (round, offset) in ["+0s", "+5h", "+9d", "-2d", "+1s", "-30d", "+0s"].into_iter().enumerate() {
        set(offset);
        for number in 0..4 {
            let id = format!("wamid.T{round}.{number}");
            let body = payload::whatsapp(&ana(), &id, round as u64 + 1, payload::text("que horas são?"));
            // The clock also moves while some are on their way.
            rig.deliver(&body).await;
            rig.deliver(&body).await;
            sent.push(id);
        }
    }
    rig.arrived(sent.last().unwrap()).await;
    let got: Vec<String> =
        rig.backend.received().iter().map(|one| one.message()["id"].as_str().unwrap().to_owned()).collect();
    let log = rig.log();
    assert_eq!(got, sent, "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
