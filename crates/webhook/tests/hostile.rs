//! Input that nobody should send: broken, huge, contradictory. Nothing panics, nothing hangs, and whatever comes out of a
//! rewrite is JSON again with nothing of what was withheld.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use guarita_message::{Action, PartBody, TextEdit};
use guarita_webhook::{Order, SplitBy, WithheldAs, Withhold, parse, rewrite, split, without};
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn golden() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path.join("delivery.json")).ok()).collect()
}

const ENVELOPE: [&str; 10] =
    ["from", "to", "id", "timestamp", "type", "from_user_id", "to_user_id", "group_id", "mid", "message_id"];

const FORMS: [WithheldAs; 3] = [WithheldAs::Text, WithheldAs::Keep, WithheldAs::Unsupported];

/// Orders that touch every part of every message.
fn orders(body: &[u8], form: WithheldAs) -> Vec<Order> {
    let Ok(delivery) = parse(body) else { return vec![] };
    let order = |message: guarita_message::Message| {
        let mut order = Order { annotation: Some(r#"{"v":1}"#.into()), ..Order::of(&message.pointer) };
        for (i, part) in message.parts.iter().enumerate() {
            match &part.body {
                PartBody::File(_) => order.withhold.push(Withhold {
                    place: part.place.clone(),
                    form,
                    notice: "retido: ação".into(),
                    replacement_id: "guarita-1".into(),
                    caption: (i % 2 == 0).then(|| "legenda".into()),
                }),
                PartBody::Text { text, .. } | PartBody::Link { url: text } => order.edits.push(TextEdit {
                    pointer: part.pointer.clone(),
                    start: text.len() / 3,
                    end: text.len() / 2,
                    replacement: "\"é\\".into(),
                    action: Action::Redact,
                }),
            }
        }
        order
    };
    delivery.messages.into_iter().map(order).collect()
}

/// Runs everything over a body and checks what must hold for any.
fn survive(body: &[u8]) {
    for by in [SplitBy::Message, SplitBy::Conversation] {
        let Ok(units) = split(body, by) else {
            assert!(parse(body).is_err(), "split and parse agree on what they take");
            return;
        };
        for unit in &units {
            assert_eq!(without(&unit.body, &unit.dedupe), None);
            assert_eq!(split(&unit.body, SplitBy::Conversation).unwrap()[0].dedupe, unit.dedupe);
        }
        if let [first, _, ..] = units.as_slice() {
            let rest = without(body, &first.dedupe);
            let left = rest.map_or(0, |rest| split(&rest, by).unwrap().len());
            assert!(left < units.len(), "{left} of {} left: {}", units.len(), String::from_utf8_lossy(body));
        }
    }
    for form in FORMS {
        let orders = orders(body, form);
        let out = rewrite(body, &orders);
        let readable = parse(&out).map(drop);
        assert_eq!(readable, Ok(()), "{form:?}\n{}\n{}", String::from_utf8_lossy(body), String::from_utf8_lossy(&out));
        if out != body {
            assert!(out.iter().all(|byte| *byte < 0x7f));
        }
        let (before, Ok(after)) = (parse(body).unwrap(), serde_json::from_slice::<Value>(&out)) else { continue };
        for message in &before.messages {
            let mut shown = after.pointer(&message.pointer).cloned().unwrap_or_default();
            // What names the message stays whatever it holds; a file is not fetched by it.
            if let Some(members) = shown.as_object_mut() {
                members.retain(|key, value| value.is_object() || value.is_array() || !ENVELOPE.contains(&key.as_str()));
            }
            let shown = shown.to_string();
            for part in &message.parts {
                let PartBody::File(media) = &part.body else { continue };
                for secret in [&media.id, &media.url].into_iter().flatten().filter(|secret| secret.len() >= 12) {
                    let secret = Value::from(secret.as_str()).to_string();
                    assert!(!shown.contains(secret.trim_matches('"')), "{secret} in {shown}");
                }
            }
        }
    }
}

#[test]
fn golden_deliveries_survive_whole_and_cut_short() {
    for body in golden() {
        survive(&body);
        for end in (0..body.len()).step_by(7) {
            survive(&body[..end]);
        }
    }
}

#[test]
fn collected_payloads_survive() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/payloads");
    let channels =
        ["whatsapp", "messenger", "instagram", "telegram"].map(|channel| std::fs::read_dir(folder.join(channel)));
    let files: Vec<PathBuf> = channels.into_iter().flatten().flatten().map(|file| file.unwrap().path()).collect();
    if files.is_empty() {
        eprintln!("skipped: no collection of payloads at {}", folder.display());
    }
    files.iter().for_each(|file| survive(&std::fs::read(file).unwrap()));
}

/// Replaces, copies or removes a stretch of a body.
fn mutated(body: &[u8], cuts: &[(prop::sample::Index, prop::sample::Index, u8)]) -> Vec<u8> {
    let mut body = body.to_vec();
    for (a, b, how) in cuts {
        if body.is_empty() {
            break;
        }
        let (a, b) = (a.index(body.len()), b.index(body.len()));
        let (start, end) = (a.min(b), a.max(b).min(a.min(b) + 300));
        let stretch = body[start..end].to_vec();
        match how % 5 {
            0 => body[a] = *how,
            1 => drop(body.drain(start..end)),
            2 => drop(body.splice(b..b, stretch)),
            3 => body[a] = b"{}[]\",:\\0"[usize::from(how / 5) % 9],
            _ => body[a] ^= 1 << (how % 8),
        }
    }
    body
}

/// Changes values, not bytes: what comes out is always JSON.
fn reshaped(value: &mut Value, picks: &mut dyn Iterator<Item = (u8, u8)>) {
    let Some((chance, what)) = picks.next() else { return };
    if chance < 24 {
        *value = match what % 9 {
            0 => Value::Null,
            1 => Value::from(7),
            2 => Value::from("300000000000001"),
            3 => Value::from("https://lookaside.fbsbx.com/x?mid=300000000000001"),
            4 => {
                serde_json::json!({"id": "300000000000001", "mime_type": "a/b", "url": "https://x.example/300000000000001"})
            }
            5 => Value::Array(vec![value.clone(), value.clone()]),
            6 => {
                serde_json::json!({"type": value.clone(), "text": value.clone(), "message": value.clone(), "edit": value.clone()})
            }
            7 => serde_json::json!({}),
            _ => Value::from("é\u{7f}\"\\"),
        };
        // What was put in is not changed again, or it would grow without end.
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| reshaped(item, picks)),
        Value::Object(members) => members.values_mut().for_each(|item| reshaped(item, picks)),
        _ => {}
    }
}

/// More with `PROPTEST_CASES=100000 cargo test --release -p guarita-webhook --test hostile`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn mutated_bytes_survive(pick in any::<prop::sample::Index>(), cuts in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index, u8)>(), 1..6)) {
        let golden = golden();
        survive(&mutated(&golden[pick.index(golden.len())], &cuts));
    }

    #[test]
    fn reshaped_values_survive(pick in any::<prop::sample::Index>(), picks in prop::collection::vec(any::<(u8, u8)>(), 40..200)) {
        let golden = golden();
        let mut value: Value = serde_json::from_slice(&golden[pick.index(golden.len())]).unwrap();
        if let Some(entry) = value.get_mut("entry") {
            reshaped(entry, &mut picks.into_iter().cycle());
        }
        survive(value.to_string().as_bytes());
    }
}

fn post(value: &str) -> Vec<u8> {
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{value}}}]}}]}}"#)
        .into_bytes()
}

/// Time on the processor where Linux tells it: the machine may be busy with other things.
fn time_used() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| STARTED.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

fn within(limit: Duration, what: &str, run: impl FnOnce()) {
    let started = time_used();
    run();
    let took = time_used().saturating_sub(started);
    assert!(took < limit, "{what} took {took:?}");
}

const SLOW: Duration = Duration::from_secs(10);

#[test]
fn megabytes_of_anything_end_soon() {
    let size = if cfg!(debug_assertions) { 1 << 20 } else { 4 << 20 };
    let many = |item: &str| vec![item; size / (item.len() + 1)].join(",");
    let media = r#"{"image":{"id":"300000000000001","url":"https://x.example/300000000000001"}}"#;
    let bodies = [
        post(&format!(r#"{{"messages":[{}]}}"#, many("{}"))),
        post(&format!(r#"{{"messages":[{{"type":"x","x":[{}]}}]}}"#, many(media))),
        post(&format!(r#"{{"messages":[{{"type":"x","x":[{}]}}]}}"#, many(r#""a b""#))),
        post(&format!(r#"{{"messages":[{{"type":"text","text":{{"body":"{}"}}}}]}}"#, "\\u00e9".repeat(size / 6))),
        post(&format!(r#"{{"contacts":[{}],"messages":[{{"id":"1","from":"2"}}]}}"#, many(r#"{"wa_id":"3"}"#))),
        post(&format!(
            r#"{{"messages":[{}]}}"#,
            many(r#"{"id":"wamid.1","from":"1","type":"text","text":{"body":"oi"}}"#)
        )),
        format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, many("{}")).into_bytes(),
        format!(r#"{{"object":"page","entry":[{{"id":"1","messaging":[{}]}}]}}"#, many(r#"{"message":{}}"#))
            .into_bytes(),
        vec![b'['; size],
        vec![b'"'; size],
        format!("\"{}", "\\".repeat(size)).into_bytes(),
    ];
    for (i, body) in bodies.iter().enumerate() {
        within(SLOW, &format!("body {i}"), || {
            let _ = split(body, SplitBy::Message);
            let _ = rewrite(body, &orders(body, WithheldAs::Text));
        });
    }
}

#[test]
fn too_many_updates_are_refused_and_meta_s_thousand_are_not() {
    let status = |n: usize| format!(r#"{{"id":"wamid.{n}","status":"read","recipient_id":"{n}"}}"#);
    let statuses = |count| (0..count).map(status).collect::<Vec<_>>().join(",");
    let thousand = post(&format!(r#"{{"statuses":[{}]}}"#, statuses(1000)));
    assert_eq!(split(&thousand, SplitBy::Message).unwrap().len(), 1000);
    assert_eq!(split(&thousand, SplitBy::Conversation).unwrap().len(), 1000);
    let too_many = post(&format!(r#"{{"statuses":[{}]}}"#, statuses(60_000)));
    assert!(split(&too_many, SplitBy::Message).unwrap_err().to_string().contains("too many updates"));
    assert!(parse(&too_many).is_err());
}

#[test]
fn units_never_grow_far_beyond_their_post() {
    // Nobody's contact: each unit would keep all of them.
    let contacts: Vec<String> =
        (0..2000).map(|n| format!(r#"{{"profile":{{"name":"n{n}"}},"wa_id":"c{n}"}}"#)).collect();
    let messages: Vec<String> = (0..2000)
        .map(|n| format!(r#"{{"id":"wamid.{n}","from":"m{n}","type":"text","text":{{"body":"oi"}}}}"#))
        .collect();
    let body = post(&format!(r#"{{"contacts":[{}],"messages":[{}]}}"#, contacts.join(","), messages.join(",")));
    let units = split(&body, SplitBy::Message).unwrap();
    let bytes: usize = units.iter().map(|unit| unit.body.len()).sum();
    assert!(bytes < body.len() * 17 + (1 << 20), "{bytes} bytes in {} units", units.len());
    let messages: usize = units.iter().map(|unit| parse(&unit.body).unwrap().messages.len()).sum();
    assert_eq!(messages, 2000);
    let keys: usize = units.iter().map(|unit| unit.dedupe.len()).sum();
    assert_eq!(keys, 2000);
}

#[test]
fn deep_nesting_is_refused_with_a_clear_text() {
    let deep = post(&format!(r#"{{"messages":[{{"x":{}1{}}}]}}"#, "[".repeat(500), "]".repeat(500)));
    assert!(split(&deep, SplitBy::Message).unwrap_err().to_string().contains("too deeply"));
}
