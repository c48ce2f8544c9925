//! Every payload that was collected from the field goes through the running gateway, each channel by its own route: nothing is
//! lost, repeated or changed. Runs where that collection lies beside the checkout, or where `GUARITA_PAYLOADS` says.

use crate::rig::{APP_SECRET, Rig};
use guarita_testkit::{MetaStandIn, SampleBackend, TelegramStandIn};
use guarita_webhook::{SplitBy, split};
use serde_json::Value;
use std::{collections::HashSet, path::PathBuf};

const CHANNELS: [&str; 4] = ["whatsapp", "messenger", "instagram", "telegram"];

fn payloads() -> Vec<(&'static str, String, Vec<u8>)> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/payloads");
    let folder = std::env::var_os("GUARITA_PAYLOADS").map_or(beside, PathBuf::from);
    let mut found = Vec::new();
    for channel in CHANNELS {
        let Ok(files) = std::fs::read_dir(folder.join(channel)) else { continue };
        for file in files.flatten().filter(|file| file.path().extension().is_some_and(|ext| ext == "json")) {
            let body = std::fs::read(file.path()).expect("it was just listed");
            found.push((channel, file.file_name().to_string_lossy().into_owned(), body));
        }
    }
    found.sort();
    if found.is_empty() {
        eprintln!("SKIPPED: no collection of payloads at {}", folder.display());
    }
    found
}

/// Addresses of files lead to the media door; all else stays.
fn without_addresses(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let (url, link) = (members.contains_key("url"), members.contains_key("link"));
            for (key, inner) in members.iter_mut() {
                if inner.is_string() && (url && key == "url" || link && key == "link") {
                    *inner = Value::Null;
                }
                without_addresses(inner);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_addresses),
        _ => {}
    }
}

fn shown(body: &[u8]) -> String {
    let mut value: Value = serde_json::from_slice(body).expect("a delivery is JSON");
    without_addresses(&mut value);
    value.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_payload_of_the_field_arrives_as_it_was() {
    let payloads = payloads();
    if payloads.is_empty() {
        return;
    }
    let backend = SampleBackend::start("127.0.0.1:0", "b").await.expect("loopback");
    let mut rig = Rig::prepare(None).await;
    let policy = rig.path_of("pass.toml");
    let lines = "[[line]]\nname = \"all\"\nfinding = {}\naction = \"pass\"\n[[line]]\nname = \"gaps\"\ngap = {}\naction = \"pass\"\n";
    std::fs::write(&policy, lines).expect("the folder is ours");
    let to = format!("backend = {{ url = \"{}\", secret = \"b\", annotate = \"off\" }}", backend.url());
    rig.configure(&format!(
        "[[routes]]\nname = \"messenger\"\nmatch = {{ object = \"messenger\" }}\n{to}\n\
         [[routes]]\nname = \"instagram\"\nmatch = {{ object = \"instagram\" }}\n{to}\n\
         [[routes]]\nname = \"whatsapp\"\n{to}\n\
         [[routes]]\nname = \"telegram\"\nmatch = {{ path = \"/telegram\" }}\n{to}\n\
         telegram = {{ bot_token = \"1:a\", secret_token = \"t\" }}\n",
    ));
    // No files are fetched here: hosts of the field are not ours to knock at.
    let hosts = format!("[\"{}\"]", rig.meta.address());
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__GRAPH__MEDIA_HOSTS", &hosts),
        ("GUARITA__GRAPH__FETCH__LOOKUP_FAILURES_MAX", "100000"),
        ("GUARITA__TELEGRAM__API_URL", "http://127.0.0.1:9"),
        ("GUARITA__GRAPH__FETCH__ATTEMPTS_MAX", "1"),
        ("GUARITA__POLICY__FILE", &policy.display().to_string()),
        ("GUARITA__POLICY__FETCH_PATIENCE_SECONDS", "0"),
    ])
    .await;
    let (mut expected, mut seen) = (Vec::new(), HashSet::new());
    for (channel, name, body) in &payloads {
        let status = if *channel == "telegram" {
            let url = format!("http://127.0.0.1:{}/telegram", rig.public);
            TelegramStandIn::deliver(&url, "t", body).await.expect("the door is open").status
        } else {
            MetaStandIn::deliver(&rig.webhook(), APP_SECRET, body).await.expect("the door is open").status
        };
        assert_eq!(status, 200, "{name}");
        let telegram = *channel == "telegram";
        for unit in split(body, SplitBy::Message).unwrap_or_else(|error| panic!("{name}: {error}")) {
            // Samples share ids; what Meta repeats is delivered once, by each route.
            let route = if ["page", "instagram"].contains(&unit.object.as_str()) || telegram {
                unit.object.clone()
            } else {
                "rest".into()
            };
            let new: Vec<bool> = unit.dedupe.iter().map(|key| seen.insert((route.clone(), key.0.clone()))).collect();
            if new.contains(&true) && (telegram == (unit.channel == Some(guarita_message::Channel::Telegram))) {
                expected.push(shown(&unit.body));
            }
        }
    }
    let all = |received: &[guarita_testkit::Received]| received.len() >= expected.len();
    assert!(
        backend.wait_until(90, all).await,
        "{} of {} arrived\n{}",
        backend.received().len(),
        expected.len(),
        rig.log()
    );
    let mut got: Vec<String> = backend.received().iter().map(|one| shown(&one.body)).collect();
    assert!(backend.received().iter().all(|one| one.signature_fits));
    got.sort();
    expected.sort();
    for (got, expect) in got.iter().zip(&expected) {
        assert_eq!(got, expect);
    }
    assert_eq!(got.len(), expected.len());
    println!("{} payloads, {} deliveries, nothing lost or changed", payloads.len(), got.len());
}
