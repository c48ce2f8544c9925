//! Every payload that was collected from the field, where that collection lies beside the checkout: all of them parse, an
//! order-less rewrite keeps the bytes, an annotation changes nothing else, and cutting loses nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use guarita_message::{Channel, PartBody};
use guarita_webhook::{Order, SplitBy, parse, rewrite, split, without};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn payloads() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/payloads");
    let mut found = vec![];
    for channel in ["whatsapp", "messenger", "instagram", "telegram"] {
        let Ok(files) = std::fs::read_dir(folder.join(channel)) else { continue };
        for file in files.flatten().filter(|file| file.path().extension().is_some_and(|ext| ext == "json")) {
            let name = format!("{channel}/{}", file.file_name().to_string_lossy());
            found.push((name, std::fs::read(file.path()).unwrap()));
        }
    }
    found.sort();
    if found.is_empty() {
        eprintln!("skipped: no collection of payloads at {}", folder.display());
    }
    found
}

fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn all_parse_and_rewrites_change_only_what_is_asked() {
    for (name, body) in payloads() {
        let delivery = parse(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let orders: Vec<Order> = delivery.messages.iter().map(|message| Order::of(&message.pointer)).collect();
        assert!(rewrite(&body, &orders) == body, "{name}: an empty order changed the body");

        let before = value(&body);
        let annotated = orders.iter().cloned().map(|order| Order { annotation: Some(r#"{"v":"é"}"#.into()), ..order });
        let after = rewrite(&body, &annotated.collect::<Vec<_>>());
        assert!(after.is_ascii() || after == body, "{name}");
        let mut after = value(&after);
        for message in &delivery.messages {
            let object = after.pointer_mut(&message.pointer).and_then(Value::as_object_mut).expect(&message.pointer);
            assert_eq!(object.shift_remove("guarita"), Some(serde_json::json!({"v": "é"})), "{name}");
            for part in &message.parts {
                let there = before.pointer(&part.pointer).unwrap_or_else(|| panic!("{name}: {}", part.pointer));
                match &part.body {
                    PartBody::Text { text, .. } => assert_eq!(there.as_str(), Some(text.as_str()), "{name}"),
                    PartBody::Link { url } => assert_eq!(there.as_str(), Some(url.as_str()), "{name}"),
                    PartBody::File(media) => {
                        assert!(there.is_object(), "{name}");
                        let url = media.url_pointer.as_deref().and_then(|pointer| before.pointer(pointer));
                        assert_eq!(url.and_then(Value::as_str), media.url.as_deref(), "{name}");
                    }
                }
            }
        }
        assert_eq!(after, before, "{name}");
    }
}

#[test]
fn all_split_without_loss() {
    for (name, body) in payloads() {
        let whole = parse(&body).unwrap();
        for by in [SplitBy::Message, SplitBy::Conversation] {
            let units = split(&body, by).unwrap();
            assert!(!units.is_empty(), "{name}");
            if units.len() == 1 {
                assert!(units[0].body == body, "{name}: one unit keeps its bytes");
            }
            let mut ids = vec![];
            for unit in &units {
                let part = parse(&unit.body).unwrap();
                assert_eq!(part.channel, whole.channel, "{name}");
                ids.extend(part.messages.iter().map(|message| (message.id.clone(), message.parts.len())));
                let again = split(&unit.body, SplitBy::Conversation).unwrap();
                assert_eq!(again.len(), 1, "{name}: a unit is not cut again");
                assert_eq!(again[0].dedupe, unit.dedupe, "{name}: keys hold after the cut");
                assert!(again[0].conversation == unit.conversation, "{name}: so do conversations");
                assert_eq!(without(&unit.body, &unit.dedupe), None, "{name}");
            }
            let mut expect: Vec<_> =
                whole.messages.iter().map(|message| (message.id.clone(), message.parts.len())).collect();
            ids.sort();
            expect.sort();
            assert_eq!(ids, expect, "{name}");
            let keys: BTreeSet<_> = units.iter().flat_map(|unit| unit.dedupe.clone()).collect();
            assert_eq!(without(&body, &keys.into_iter().collect::<Vec<_>>()), None, "{name}");
            assert!(without(&body, &[]).as_deref() == Some(body.as_slice()), "{name}");
        }
    }
}

#[test]
fn no_url_in_a_message_goes_unseen() {
    for (name, body) in payloads() {
        let delivery = parse(&body).unwrap();
        if delivery.channel != Some(Channel::Whatsapp) {
            continue;
        }
        let before = value(&body);
        for message in &delivery.messages {
            let object = before.pointer(&message.pointer).unwrap();
            let told: Vec<String> = message
                .parts
                .iter()
                .filter_map(|part| match &part.body {
                    PartBody::Text { text, .. } => Some(text.clone()),
                    PartBody::Link { url } => Some(url.clone()),
                    PartBody::File(media) => media.url.clone(),
                })
                .collect();
            for text in strings(object).into_iter().filter(|text| text.contains("://")) {
                assert!(told.contains(&text), "{name}: {text}");
            }
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => {
            members.iter().filter(|(key, _)| *key != "errors").flat_map(|(_, item)| strings(item)).collect()
        }
        _ => vec![],
    }
}
