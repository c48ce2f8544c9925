//! The document against serde_json: what one takes the other takes, and what changes is only what was asked.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn doc(text: &str) -> Document<'_> {
    Document::parse(text.as_bytes()).expect("the test's own JSON")
}

fn refusal(text: &str) -> &'static str {
    Document::parse(text.as_bytes()).err().expect("this is refused").reason
}

#[test]
fn takes_json_and_nothing_else() {
    let good = [
        "{}",
        "[]",
        "0",
        "-0",
        "1.0",
        "1e5",
        "1E+5",
        "-12.50e-3",
        "123456789012345678901234567890",
        "null",
        "true",
        "false",
        r#""\u00e9\ud800""#,
        " { \"a\" : [ 1 , 2 ] } \r\n",
        r#"{"a":1,"a":2}"#,
        "\"\u{7f}é\"",
    ];
    for text in good {
        assert!(Document::parse(text.as_bytes()).is_ok(), "{text}");
    }
    let bad: [&[u8]; 24] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"[1,]",
        b"{\"a\":1,}",
        b"{\"a\"}",
        b"{a:1}",
        b"01",
        b"-",
        b"1.",
        b".5",
        b"1e",
        b"+1",
        b"nul",
        b"tru e",
        b"\"\\x\"",
        b"\"\\u12g4\"",
        b"\"\n\"",
        b"\"abc",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"\"\xff\"",
        b"{\"a\":1 \"b\":2}",
    ];
    for text in bad {
        assert!(Document::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Document::parse(nested(128).as_bytes()).is_ok());
    assert!(refusal(&nested(200)).contains("deep"));
    assert!(Document::parse("[".repeat(3_000_000).as_bytes()).is_err());
    let many = format!("[{}0]", "0,".repeat(NODES_MAX));
    assert!(refusal(&many).contains("many"));
}

#[test]
fn pointers_lead_to_nodes() {
    let d = doc(r#"{"a":{"b/c":[1,{"d~e":"x"}]},"k\u0065y":2,"twice":1,"twice":2}"#);
    let at = |pointer| d.at(d.root(), pointer).map(|node| d.raw(node));
    assert_eq!(at(""), Some(d.source()));
    assert_eq!(at("/a/b~1c/1/d~0e"), Some("\"x\""));
    assert_eq!(at("/key"), Some("2"));
    assert_eq!(at("/twice"), Some("2"));
    assert_eq!(at("/a/b~1c/2"), None);
    assert_eq!(at("/a/x"), None);
    assert_eq!(at("a"), None);
    let mut pointer = String::new();
    push_segment(&mut pointer, "b/c~");
    assert_eq!(pointer, "/b~1c~0");
}

/// Removes and changes what `ops` name by pointer, as `-/a` or `=/a:json`, `>/a:member`, `+/a:member`.
fn changed(text: &str, ops: &[&str]) -> Option<String> {
    let d = doc(text);
    let mut changes = Changes::of(&d);
    for op in ops {
        let (pointer, json) = op[1..].split_once(':').unwrap_or((&op[1..], ""));
        let node = d.at(d.root(), pointer).expect("the test's own pointer");
        match &op[..1] {
            "-" => changes.remove(node),
            "=" => changes.replace(node, json.into()),
            ">" => changes.insert_after(node, json),
            _ => changes.append(node, json.into()),
        }
    }
    changes.finish()
}

#[test]
fn splices_keep_the_rest() {
    let check = |text, ops: &[&str], expect: Option<&str>| assert_eq!(changed(text, ops).as_deref(), expect, "{ops:?}");
    let abc = r#"{ "a": 1.0, "b": [1e5, "é"], "c": null }"#;
    check(abc, &[], None);
    check(abc, &["=/a:1.0"], None);
    check(abc, &["-/a"], Some(r#"{ "b": [1e5, "\u00e9"], "c": null }"#));
    check(abc, &["-/b"], Some(r#"{ "a": 1.0, "c": null }"#));
    check(abc, &["-/c"], Some(r#"{ "a": 1.0, "b": [1e5, "\u00e9"] }"#));
    check(abc, &["-/a", "-/b"], Some(r#"{ "c": null }"#));
    check(abc, &["-/b", "-/c", "+:\"d\":4"], Some(r#"{ "a": 1.0,"d":4 }"#));
    check(abc, &["-/a", "-/b", "-/c", "+:\"d\":4", "+:\"e\":5"], Some(r#"{ "d":4,"e":5 }"#));
    check(abc, &["-/a", "-/b", "-/c"], Some("{  }"));
    check(abc, &["-/b", ">/a:\"d\":4"], Some(r#"{ "a": 1.0,"d":4, "c": null }"#));
    check(abc, &["-/c", ">/b:\"d\":4", "=/b/0:7"], Some(r#"{ "a": 1.0, "b": [7, "\u00e9"],"d":4 }"#));
    check(abc, &["=/b:[]", "=/b/0:7", "-/b/1"], Some(r#"{ "a": 1.0, "b": [], "c": null }"#));
    check("{}", &["+:\"d\":4"], Some(r#"{"d":4}"#));
    check("[ ]", &["+:4"], Some("[4 ]"));
}

#[test]
fn overlapping_edits_leave_no_half() {
    let d = doc(r#"{"t":"0123456789"}"#);
    let node = d.at(d.root(), "/t").unwrap();
    let mut changes = Changes::of(&d);
    changes.edit_text(node, 4..8, "B");
    changes.edit_text(node, 2..6, "A");
    changes.edit_text(node, 9..9, "+");
    assert_eq!(changes.finish().unwrap(), r#"{"t":"01A8+9"}"#);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-zé/~\"]{0,4}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every pointer of a value, with the value.
fn places(value: &Value, pointer: String, out: &mut Vec<(String, Value)>) {
    out.push((pointer.clone(), value.clone()));
    let mut below = |segment: &str, value: &Value| {
        let mut deeper = pointer.clone();
        push_segment(&mut deeper, segment);
        places(value, deeper, out);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| below(&i.to_string(), item)),
        Value::Object(members) => members.iter().for_each(|(key, item)| below(key, item)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_what_is_where(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let d = doc(&text);
        let mut all = vec![];
        places(&value, String::new(), &mut all);
        prop_assert_eq!(all.len(), d.len());
        for (pointer, expect) in all {
            let node = d.at(d.root(), &pointer).expect("serde_json has it");
            prop_assert_eq!(serde_json::from_str::<Value>(d.raw(node)).unwrap(), expect.clone());
            let text = d.text(node);
            prop_assert_eq!(text.as_deref(), expect.as_str());
        }
    }

    #[test]
    fn a_change_changes_only_its_value(value in any_json(), pick in any::<prop::sample::Index>(), with in any::<String>()) {
        let text = value.to_string();
        let mut all = vec![];
        places(&value, String::new(), &mut all);
        let (pointer, old) = &all[pick.index(all.len())];
        let d = doc(&text);
        let node = d.at(d.root(), pointer).unwrap();
        let mut changes = Changes::of(&d);
        changes.replace_text(node, &with);
        let mut expect = value.clone();
        *expect.pointer_mut(pointer).unwrap() = Value::from(with.clone());
        match changes.finish() {
            None => prop_assert_eq!(old.as_str(), Some(with.as_str())),
            Some(out) => {
                prop_assert!(out.bytes().all(|byte| byte < 0x7f));
                prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expect);
            }
        }
    }

    #[test]
    fn a_removal_removes_only_its_value(value in any_json(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let text = value.to_string();
        let mut all = vec![];
        places(&value, String::new(), &mut all);
        let d = doc(&text);
        let mut changes = Changes::of(&d);
        let mut gone: Vec<&str> = picks.iter().map(|pick| all[pick.index(all.len())].0.as_str()).filter(|p| !p.is_empty()).collect();
        gone.sort();
        gone.dedup();
        for pointer in &gone {
            changes.remove(d.at(d.root(), pointer).unwrap());
        }
        let mut expect = value.clone();
        remove_all(&mut expect, String::new(), &gone);
        let out = changes.finish().unwrap_or(text.clone());
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expect);
    }

    #[test]
    fn edits_of_decoded_ranges_agree_with_strings(text in any::<String>(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), with in any::<String>(), ascii in any::<bool>()) {
        let mut bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        bounds.push(text.len());
        let (a, b) = (bounds[a.index(bounds.len())], bounds[b.index(bounds.len())]);
        let (start, end) = (a.min(b), a.max(b));
        let source = if ascii { splice::quoted(&text) } else { serde_json::to_string(&text).unwrap() };
        let d = doc(&source);
        let mut changes = Changes::of(&d);
        changes.edit_text(d.root(), start..end, &with);
        let out = changes.finish().unwrap_or(source.clone());
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), format!("{}{with}{}", &text[..start], &text[end..]));
    }

    #[test]
    fn broken_bytes_never_panic_and_serde_agrees(value in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let ours = Document::parse(&bytes).is_ok();
        let theirs = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
        prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&bytes));
    }
}

fn remove_all(value: &mut Value, pointer: String, gone: &[&str]) {
    let path = |segment: &str| {
        let mut deeper = pointer.clone();
        push_segment(&mut deeper, segment);
        deeper
    };
    match value {
        Value::Array(items) => {
            let old = std::mem::take(items);
            for (i, mut item) in old.into_iter().enumerate() {
                let here = path(&i.to_string());
                if !gone.contains(&here.as_str()) {
                    remove_all(&mut item, here, gone);
                    items.push(item);
                }
            }
        }
        Value::Object(members) => {
            let old = std::mem::take(members);
            for (key, mut item) in old {
                let here = path(&key);
                if !gone.contains(&here.as_str()) {
                    remove_all(&mut item, here, gone);
                    members.insert(key, item);
                }
            }
        }
        _ => {}
    }
}
