//! Golden deliveries: a folder each under `tests/golden`. `delivery.json` is what Meta sends, byte for byte; the rest is
//! what we make of it: `parse.expect` and `split.expect` always, and for each case in `orders.json` a `<case>.expect`.
//! `UPDATE_EXPECT=1 cargo test -p guarita-webhook --test golden` writes them anew, for review in the diff.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use guarita_message::{Channel, Message, PartBody, TextEdit};
use guarita_webhook::{MediaRewrite, MediaUrl, Order, SplitBy, WithheldAs, Withhold, parse, rewrite, split, without};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[test]
fn golden_deliveries() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.join("delivery.json").exists());
    cases.sort();
    assert!(cases.len() >= 20, "the golden deliveries are gone from {}", folder.display());
    let wrong: Vec<String> = cases.iter().flat_map(|case| check_case(case)).collect();
    assert!(wrong.is_empty(), "not as expected (UPDATE_EXPECT=1 rewrites):\n{}", wrong.join("\n"));
}

fn check_case(case: &Path) -> Vec<String> {
    let body = std::fs::read(case.join("delivery.json")).unwrap();
    let delivery = parse(&body).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    let mut wrong = vec![];
    wrong.extend(check(case, "parse.expect", &shown_delivery(&delivery)));
    wrong.extend(check(case, "split.expect", &shown_units(&body)));
    let no_orders: Vec<Order> = delivery.messages.iter().map(|message| Order::of(&message.pointer)).collect();
    assert!(rewrite(&body, &no_orders) == body, "{}: nothing asked, something changed", case.display());
    let Ok(orders) = std::fs::read(case.join("orders.json")) else { return wrong };
    let orders: BTreeMap<String, Vec<OrderLine>> =
        serde_json::from_slice(&orders).unwrap_or_else(|error| panic!("{}/orders.json: {error}", case.display()));
    for (name, lines) in orders {
        let orders: Vec<Order> = lines.iter().map(|line| line.order(&delivery.messages)).collect();
        let rewritten = rewrite(&body, &orders);
        let name = format!("{}: {name}", case.display());
        promises_hold(&name, &rewritten, &delivery.messages, &orders);
        let shown = String::from_utf8(rewritten).unwrap() + "\n";
        wrong.extend(check(case, &format!("{}.expect", name.rsplit(' ').next().unwrap()), &shown));
    }
    wrong
}

/// What holds for any rewritten body, whatever the file with the expectation says.
fn promises_hold(name: &str, rewritten: &[u8], messages: &[Message], orders: &[Order]) {
    assert!(rewritten.iter().all(|byte| *byte < 0x7f), "{name}: not ASCII");
    let value: Value = serde_json::from_slice(rewritten).unwrap_or_else(|error| panic!("{name}: {error}"));
    for order in orders {
        let message = messages.iter().find(|message| message.pointer == order.message).unwrap();
        let object = value.pointer(&order.message).unwrap_or_else(|| panic!("{name}: the message is gone"));
        for withhold in &order.withhold {
            for part in message.parts.iter().filter(|part| part.place == withhold.place) {
                if let PartBody::File(media) = &part.body {
                    for secret in [&media.id, &media.url].into_iter().flatten() {
                        assert!(!object.to_string().contains(secret.as_str()), "{name}: {secret} is still there");
                    }
                }
            }
        }
        let kind = object.get("type").and_then(Value::as_str);
        if let Some(kind) = kind.filter(|_| message.channel == Channel::Whatsapp) {
            let object_of_kind = if kind == "unsupported" { "errors" } else { kind };
            assert!(object.get(object_of_kind).is_some(), "{name}: a type without its object");
        }
    }
}

fn check(case: &Path, file: &str, got: &str) -> Option<String> {
    let path = case.join(file);
    let expect = std::fs::read_to_string(&path).unwrap_or_default();
    if expect == got {
        return None;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, got).unwrap();
        return None;
    }
    Some(format!("--- {}\nexpected:\n{expect}\ngot:\n{got}", path.display()))
}

fn shown_delivery(delivery: &guarita_webhook::Delivery) -> String {
    let messages: Vec<Value> = delivery.messages.iter().map(shown_message).collect();
    let shown = json!({
        "channel": delivery.channel, "object": delivery.object, "problems": delivery.problems, "messages": messages,
    });
    serde_json::to_string_pretty(&shown).unwrap() + "\n"
}

fn shown_message(message: &Message) -> Value {
    let parts: Vec<Value> = message
        .parts
        .iter()
        .map(|part| {
            let pointer = part
                .pointer
                .strip_prefix(&message.pointer)
                .map_or_else(|| part.pointer.clone(), |rest| format!("…{rest}"));
            assert!(part.place == part.pointer || pointer[..] == *format!("…{}", part.place));
            match &part.body {
                PartBody::Text { text, role } => json!({"at": pointer, "text": text, "role": role}),
                PartBody::Link { url } => json!({"at": pointer, "link": url}),
                PartBody::File(media) => json!({"at": pointer, "file": media}),
            }
        })
        .collect();
    json!({
        "pointer": message.pointer, "id": message.id, "kind": message.kind, "direction": message.direction,
        "lane": message.lane, "account": message.account, "senders": message.senders,
        "conversation": message.conversation, "dedupe": message.dedupe, "timestamp": message.timestamp,
        "forwarded": message.forwarded, "frequently_forwarded": message.frequently_forwarded, "parts": parts,
    })
}

fn shown_units(body: &[u8]) -> String {
    let mut shown = vec![];
    for (name, by) in [("message", SplitBy::Message), ("conversation", SplitBy::Conversation)] {
        let units = split(body, by).unwrap();
        let all: Vec<_> = units.iter().flat_map(|unit| unit.dedupe.clone()).collect();
        assert_eq!(without(body, &all), None);
        let units: Vec<Value> = units
            .iter()
            .map(|unit| {
                assert_eq!(without(&unit.body, &unit.dedupe), None);
                let body =
                    if unit.body == body { json!("as received") } else { serde_json::from_slice(&unit.body).unwrap() };
                json!({
                    "channel": unit.channel, "account": unit.account, "lane": unit.lane,
                    "conversation": unit.conversation, "dedupe": unit.dedupe, "senders": unit.senders, "body": body,
                })
            })
            .collect();
        shown.push((name.to_owned(), Value::from(units)));
    }
    serde_json::to_string_pretty(&Value::Object(shown.into_iter().collect())).unwrap() + "\n"
}

/// An order as `orders.json` has it; `message` is a number of the parsed messages, `part` of its parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderLine {
    message: usize,
    annotation: Option<Value>,
    #[serde(default)]
    edits: Vec<EditLine>,
    #[serde(default)]
    withhold: Vec<WithholdLine>,
    #[serde(default)]
    media: Vec<MediaLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditLine {
    /// Pointer below the message, or absolute from `/entry` on.
    at: String,
    /// The characters that go; their first occurrence in the part's text.
    find: String,
    replacement: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithholdLine {
    place: String,
    form: WithheldAs,
    caption: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaLine {
    at: String,
    /// `null`: remove; absent: keep.
    #[serde(default, deserialize_with = "given")]
    url: Option<Option<String>>,
    mime_type: Option<String>,
    sha256: Option<String>,
}

fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl OrderLine {
    fn order(&self, messages: &[Message]) -> Order {
        let message = &messages[self.message];
        let absolute = |at: &str| {
            if at.starts_with("/entry/") || at.starts_with("/message/") {
                at.to_owned()
            } else {
                format!("{}{at}", message.pointer)
            }
        };
        let mut order = Order::of(&message.pointer);
        order.annotation = self.annotation.as_ref().map(Value::to_string);
        order.edits = self.edits.iter().map(|edit| edit.edit(&absolute(&edit.at), message)).collect();
        order.withhold = self
            .withhold
            .iter()
            .map(|line| Withhold {
                place: line.place.clone(),
                form: line.form,
                notice: "[Guarita] Este conteúdo não foi entregue.".into(),
                replacement_id: "guarita-0001".into(),
                caption: line.caption.clone(),
            })
            .collect();
        order.media = self
            .media
            .iter()
            .map(|line| MediaRewrite {
                pointer: absolute(&line.at),
                url: match &line.url {
                    None => MediaUrl::Keep,
                    Some(None) => MediaUrl::Remove,
                    Some(Some(url)) => MediaUrl::Replace(url.clone()),
                },
                mime_type: line.mime_type.clone(),
                sha256: line.sha256.as_ref().map(|hex| hex.parse().unwrap()),
            })
            .collect();
        order
    }
}

impl EditLine {
    fn edit(&self, pointer: &str, message: &Message) -> TextEdit {
        let text = message.parts.iter().filter(|part| part.pointer == pointer).find_map(|part| match &part.body {
            PartBody::Text { text, .. } | PartBody::Link { url: text } => Some(text),
            PartBody::File(_) => None,
        });
        let start = text.unwrap_or_else(|| panic!("no text at {pointer}")).find(&self.find).expect(&self.find);
        TextEdit {
            pointer: pointer.to_owned(),
            start,
            end: start + self.find.len(),
            replacement: self.replacement.clone(),
            action: guarita_message::Action::Defang,
        }
    }
}
