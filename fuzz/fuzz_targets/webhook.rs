//! Webhooks of every channel: splitting, parsing, rewriting. A rewrite that changes nothing keeps the bytes; any rewrite is
//! JSON again, pure ASCII, with nothing left of what was withheld, and its signature fits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use guarita_message::{Action, PartBody, TextEdit};
use guarita_webhook::{Order, SplitBy, WithheldAs, Withhold, parse, rewrite, sign, split, verify_signature, without};

const FORMS: [WithheldAs; 3] = [WithheldAs::Text, WithheldAs::Keep, WithheldAs::Unsupported];

fuzz_target!(|body: &[u8]| {
    let Ok(delivery) = parse(body) else {
        assert!(split(body, SplitBy::Message).is_err(), "split and parse agree on what they take");
        return;
    };
    assert_eq!(rewrite(body, &[]), body, "nothing asked, nothing changed");
    let passing: Vec<Order> = delivery.messages.iter().map(|message| Order::of(&message.pointer)).collect();
    assert_eq!(rewrite(body, &passing), body, "an order that passes everything keeps the bytes");
    for by in [SplitBy::Message, SplitBy::Conversation] {
        for unit in split(body, by).expect("parse took it") {
            assert!(parse(&unit.body).is_ok(), "a unit is a delivery");
            let _ = without(&unit.body, &unit.dedupe);
        }
    }
    for form in FORMS {
        let orders: Vec<Order> = delivery
            .messages
            .iter()
            .map(|message| {
                let mut order = Order { annotation: Some(r#"{"v":1}"#.into()), ..Order::of(&message.pointer) };
                for (number, part) in message.parts.iter().enumerate() {
                    match &part.body {
                        PartBody::File(_) => order.withhold.push(Withhold {
                            place: part.place.clone(),
                            form,
                            notice: "retido: a\u{e7}\u{e3}o \u{1f6ab}".into(),
                            replacement_id: "guarita-1".into(),
                            caption: (number % 2 == 0).then(|| "legenda".into()),
                        }),
                        PartBody::Text { text, .. } | PartBody::Link { url: text } => order.edits.push(TextEdit {
                            pointer: part.pointer.clone(),
                            start: text.len() / 3,
                            end: text.len() / 2,
                            replacement: "\"\u{e9}\\".into(),
                            action: Action::Redact,
                        }),
                    }
                }
                order
            })
            .collect();
        let out = rewrite(body, &orders);
        assert!(parse(&out).is_ok(), "a rewrite is JSON");
        if out != body {
            assert!(out.iter().all(|byte| *byte < 0x7f), "what was changed is ASCII");
        }
        let signature = sign(b"secret", &out);
        assert!(verify_signature(b"secret", &out, Some(&signature)).is_ok());
    }
});
