//! What golden deliveries cannot show: bytes that other parsers refuse, orders that make no sense.

use super::*;
use crate::orders::{WithheldAs, Withhold};
use guarita_message::Action;

const POST: &str =
    r#"{"entry":[{"changes":[{"value":{"messages":[{"type":"text","text":{"body":"a\ud83d\u00E9 b"},"n":1.0}]}}]}]}"#;
const MESSAGE: &str = "/entry/0/changes/0/value/messages/0";

fn edit(pointer: &str, start: usize, end: usize, replacement: &str) -> TextEdit {
    TextEdit { pointer: pointer.into(), start, end, replacement: replacement.into(), action: Action::Redact }
}

fn withhold(place: &str, form: WithheldAs) -> Withhold {
    Withhold { place: place.into(), form, notice: "não".into(), replacement_id: "g1".into(), caption: None }
}

fn check(body: &str, order: Order, expect: &str) {
    assert_eq!(String::from_utf8(rewrite(body.as_bytes(), &[order])).unwrap(), expect);
}

#[test]
fn lone_surrogates_and_numbers_stay() {
    let order = Order { annotation: Some("{}".into()), ..Order::of(MESSAGE) };
    check(POST, order, &POST.replace(r#""text","#, r#""text","guarita":{},"#).replace(r"\u00E9", r"\u00e9"));
    let order = Order { edits: vec![edit(&format!("{MESSAGE}/text/body"), 4, 6, "É")], ..Order::of(MESSAGE) };
    check(POST, order, &POST.replace(r"\u00E9", r"\u00c9"));
}

#[test]
fn orders_without_sense_change_nothing() {
    let nowhere = format!("{MESSAGE}/text/nothing");
    let body = format!("{MESSAGE}/text/body");
    for order in [
        Order { annotation: Some("{not json".into()), ..Order::of(MESSAGE) },
        Order {
            edits: vec![edit(&nowhere, 0, 1, "x"), edit(&body, 3, 2, "x"), edit("", 0, 1, "x")],
            ..Order::of(MESSAGE)
        },
        Order { edits: vec![edit(&format!("{body}/a"), 0, 1, "x"), edit(&body, 0, 0, "")], ..Order::of(MESSAGE) },
        Order { annotation: Some("{}".into()), ..Order::of("/entry/7") },
        Order { annotation: Some("{}".into()), ..Order::of(body.clone()) },
        Order {
            media: vec![MediaRewrite { pointer: nowhere, url: MediaUrl::Remove, mime_type: None, sha256: None }],
            ..Order::of(MESSAGE)
        },
    ] {
        check(POST, order, POST);
    }
    assert_eq!(rewrite(b"not json", &[Order::of("")]), b"not json");
}

#[test]
fn what_cannot_be_found_to_be_withheld_does_not_go_out() {
    let withholding =
        |message: &str| Order { withhold: vec![withhold("/image", WithheldAs::Text)], ..Order::of(message) };
    assert_eq!(rewrite(b"not json", &[withholding("")]), NOTHING);
    assert_eq!(rewrite(POST.as_bytes(), &[withholding("/entry/7")]), NOTHING);
}

#[test]
fn odd_messages_are_withheld_whole() {
    let check = |message: &str, place: &str, form, expect: &str| {
        let order = Order { withhold: vec![withhold(place, form)], ..Order::of("/m") };
        check(&format!("{{\"m\":{message}}}"), order, &format!("{{\"m\":{expect}}}"));
    };
    let text = r#""text":{"body":"n\u00e3o"}"#;
    use WithheldAs::{Keep, Text};
    // No type at all.
    check(r#"{"id":"w","image":{"id":"12345678"}}"#, "/image", Text, &format!(r#"{{"id":"w",{text},"type":"text"}}"#));
    check("{}", "/image", Text, &format!(r#"{{"type":"text",{text}}}"#));
    // A type without its object, and an object beside another type.
    check(r#"{"type":"image"}"#, "/image", Keep, &format!(r#"{{"type":"text",{text}}}"#));
    check(
        r#"{"type":"text","text":{"body":"veja"},"extra":{"id":"12345678","mime_type":"a/b"}}"#,
        "/extra",
        Text,
        r#"{"type":"text","text":{"body":"n\u00e3o\n\nveja"}}"#,
    );
    // Twice the same member: both go.
    check(
        r#"{"type":"image","image":{"id":"11111111"},"type":"image","image":{"id":"22222222"}}"#,
        "/image",
        Text,
        &format!(r#"{{"type":"text",{text},"type":"text"}}"#),
    );
    // The message object is itself a file.
    check(
        r#"{"id":"wamid.123456","mime_type":"a/b","url":"https://x.example/1"}"#,
        "",
        Keep,
        &format!(r#"{{"id":"wamid.123456","mime_type":"a/b","url":"","type":"text",{text}}}"#),
    );
    // An edit whose message is none.
    check(
        r#"{"type":"edit","edit":{"message":[{"image":{"id":"12345678"}}]}}"#,
        "/edit/message/0/image",
        Text,
        &format!(r#"{{"type":"text",{text}}}"#),
    );
    // A file without an id.
    check(
        r#"{"type":"image","image":{"url":"https://x.example/1"}}"#,
        "/image",
        Keep,
        r#"{"type":"image","image":{"id":"g1"}}"#,
    );
}

#[test]
fn parts_beyond_the_bound_are_judged_as_one_text() {
    let strings = vec!["\"a b\""; 20_100].join(",");
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"value":{{"messages":[{{"type":"x","x":[{strings}]}}]}}}}]}}]}}"#
    );
    let message = crate::parse(body.as_bytes()).unwrap().messages.remove(0);
    assert_eq!(message.parts.len(), 20_001);
    let last = &message.parts[20_000];
    assert_eq!((last.pointer.as_str(), last.place.as_str()), (message.pointer.as_str(), ""));
    let guarita_message::PartBody::Text { text, .. } = &last.body else { panic!("the rest is a text") };
    assert_eq!(text.len(), 100 * "a b\n".len());
    let order = Order { withhold: vec![withhold("", WithheldAs::Text)], ..Order::of(&message.pointer) };
    let out = String::from_utf8(rewrite(body.as_bytes(), &[order])).unwrap();
    assert!(!out.contains("a b"), "all of it goes");
}
