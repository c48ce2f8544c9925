//! Batches of any mixture: cutting loses nothing, repeats nothing, mixes nothing and keeps each conversation's order.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use guarita_message::DedupeKey;
use guarita_webhook::{SplitBy, Unit, split, without};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One update: which number, which customer (0: nobody), what (message, echo, status, call).
type Line = (u8, u8, u8);

fn update(n: usize, (_, customer, what): Line) -> (&'static str, Value) {
    let phone = format!("55119{customer:08}");
    let mut item = json!({"id": format!("wamid.{n}"), "timestamp": n.to_string(), "weight": 1.5});
    let names: &[(&str, &str)] = match what % 4 {
        0 => &[("from", "phone"), ("from_user_id", "user")],
        1 => &[("to", "phone")],
        2 => &[("recipient_id", "phone")],
        _ => &[("from", "phone")],
    };
    for (name, value) in names.iter().filter(|_| customer > 0) {
        item[*name] = if *value == "phone" { json!(phone) } else { json!(format!("BR.{customer}")) };
    }
    match what % 4 {
        0 => {
            item["type"] = json!("text");
            item["text"] = json!({"body": format!("olá {n}")});
            ("messages", item)
        }
        1 => ("message_echoes", item),
        2 => {
            item["status"] = json!("sent");
            ("statuses", item)
        }
        _ => {
            item["event"] = json!("connect");
            ("calls", item)
        }
    }
}

fn post(entries: &[Vec<Vec<Line>>]) -> (Vec<u8>, usize) {
    let mut n = 0;
    let mut all = vec![];
    for changes in entries {
        let mut shown = vec![];
        for lines in changes {
            let number = lines.first().map_or(0, |line| line.0);
            let contacts: Vec<Value> = lines
                .iter()
                .filter(|line| line.1 > 0)
                .map(|line| json!({"wa_id": format!("55119{:08}", line.1), "user_id": format!("BR.{}", line.1)}))
                .collect();
            let mut value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": format!("10{number}")}, "contacts": contacts});
            for line in lines {
                let (list, item) = update(n, *line);
                n += 1;
                if value.get(list).is_none() {
                    value[list] = json!([]);
                }
                value[list].as_array_mut().unwrap().push(item);
            }
            shown.push(json!({"field": "messages", "value": value}));
        }
        all.push(json!({"id": format!("2{}", all.len()), "changes": shown}));
    }
    (json!({"object": "whatsapp_business_account", "entry": all}).to_string().into_bytes(), n)
}

/// Every update of a body with its list, in the order of the body.
fn updates(body: &[u8]) -> Vec<String> {
    let value: Value = serde_json::from_slice(body).unwrap();
    let mut found = vec![];
    for entry in value["entry"].as_array().unwrap() {
        for change in entry["changes"].as_array().unwrap() {
            let number = &change["value"]["metadata"]["phone_number_id"];
            for list in ["messages", "message_echoes", "statuses", "calls"] {
                let items = change["value"][list].as_array();
                found.extend(items.into_iter().flatten().map(|item| format!("{number} {list} {item}")));
            }
        }
    }
    found
}

fn keys(units: &[Unit]) -> Vec<DedupeKey> {
    units.iter().flat_map(|unit| unit.dedupe.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn nothing_is_lost_repeated_mixed_or_turned_around(
        entries in prop::collection::vec(prop::collection::vec(prop::collection::vec((0..2u8, 0..4u8, 0..8u8), 1..6), 1..3), 1..4),
    ) {
        let (body, count) = post(&entries);
        let mut all = updates(&body);
        prop_assert_eq!(all.len(), count);
        let singles = split(&body, SplitBy::Message).unwrap();
        prop_assert_eq!(singles.len(), count);
        let mut from_singles: Vec<String> = singles.iter().flat_map(|unit| updates(&unit.body)).collect();
        let joined = split(&body, SplitBy::Conversation).unwrap();
        let mut from_joined: Vec<String> = joined.iter().flat_map(|unit| updates(&unit.body)).collect();
        for unit in &joined {
            // The same order as among the singles of that conversation, and no other conversation's among them.
            let expect: Vec<String> = singles
                .iter()
                .filter(|single| single.conversation == unit.conversation)
                .filter(|single| single.entry_id == unit.entry_id && single.field == unit.field)
                .flat_map(|single| updates(&single.body))
                .collect();
            let mut got = updates(&unit.body);
            let mut expect_sorted = expect.clone();
            prop_assert_eq!(got.len(), expect.len());
            // Lists of one change are in the document's order, which `updates` does not follow; within a list it does.
            for list in [" messages ", " message_echoes ", " statuses ", " calls "] {
                let of_list = |all: &[String]| all.iter().filter(|one| one.contains(list)).cloned().collect::<Vec<_>>();
                prop_assert_eq!(of_list(&got), of_list(&expect));
            }
            got.sort();
            expect_sorted.sort();
            prop_assert_eq!(got, expect_sorted);
        }
        for list in [&mut all, &mut from_singles, &mut from_joined] {
            list.sort();
        }
        prop_assert_eq!(&from_singles, &all);
        prop_assert_eq!(&from_joined, &all);
        prop_assert_eq!(keys(&singles).len(), count);
        let apart = |unit: &Unit| (unit.conversation.clone(), unit.entry_id.clone(), unit.field.clone());
        let conversations: std::collections::BTreeSet<_> = joined.iter().map(apart).collect();
        prop_assert_eq!(conversations.len(), joined.len());
    }

    #[test]
    fn without_takes_out_exactly_what_was_seen(
        entries in prop::collection::vec(prop::collection::vec(prop::collection::vec((0..2u8, 0..4u8, 0..8u8), 1..6), 1..3), 1..3),
        seen in prop::collection::vec(any::<bool>(), 40),
    ) {
        let (body, _) = post(&entries);
        let singles = split(&body, SplitBy::Message).unwrap();
        let (old, new): (Vec<_>, Vec<_>) = singles.iter().zip(seen).partition(|(_, seen)| *seen);
        let old: Vec<DedupeKey> = old.iter().flat_map(|(unit, _)| unit.dedupe.clone()).collect();
        let mut expect: Vec<String> = new.iter().flat_map(|(unit, _)| updates(&unit.body)).collect();
        let mut left = without(&body, &old).map(|body| updates(&body)).unwrap_or_default();
        expect.sort();
        left.sort();
        prop_assert_eq!(left, expect);
    }
}

/// What routes ask for, of each kind of update.
#[test]
fn units_say_where_they_belong() {
    let check = |body: Value, expect: &[(&str, &str, &str, &str)]| {
        let units = split(body.to_string().as_bytes(), SplitBy::Message).unwrap();
        let of: Vec<_> = units
            .iter()
            .map(|unit| (unit.object.as_str(), unit.entry_id.as_str(), unit.account.as_str(), unit.field.as_str()))
            .collect();
        assert_eq!(of, expect, "{body}");
    };
    let value = json!({"metadata": {"phone_number_id": "7"}, "messages": [{"id": "a", "from": "1"}], "statuses": [{"id": "b"}]});
    let whatsapp = "whatsapp_business_account";
    check(
        json!({"object": whatsapp, "entry": [{"id": "2", "changes": [{"field": "messages", "value": value}]},
            {"id": 3, "changes": [{"field": "account_update", "value": {"event": "x"}}]}]}),
        &[(whatsapp, "2", "7", "messages"), (whatsapp, "2", "7", "messages"), (whatsapp, "3", "3", "account_update")],
    );
    let item = json!({"sender": {"id": "8"}, "recipient": {"id": "9"}, "message": {"mid": "m", "text": "t"}});
    check(
        json!({"object": "page", "entry": [{"id": "9", "messaging": [item], "standby": [item],
            "changes": [{"field": "feed", "value": {}}]}]}),
        &[("page", "9", "9", "messaging"), ("page", "9", "9", "standby"), ("page", "9", "9", "feed")],
    );
    check(json!({"update_id": 1, "callback_query": {"id": "c"}}), &[("", "", "", "callback_query")]);
    check(json!({"object": "user", "entry": [{"id": "4"}]}), &[("user", "4", "4", "")]);
    check(json!([1]), &[("", "", "", "")]);
}

/// A body of many accounts is cut coarsely in the end; what such a unit holds then names no account that it is not all for.
#[test]
fn a_coarse_unit_names_no_single_account() {
    let entries: Vec<Value> =
        (0..5000).map(|n| json!({"id": n.to_string(), "changes": [{"field": "x", "value": {"a": n}}]})).collect();
    let body = json!({"object": "whatsapp_business_account", "entry": entries}).to_string();
    let units = split(body.as_bytes(), SplitBy::Message).unwrap();
    assert_eq!(units.len(), 1);
    assert_eq!((units[0].account.as_str(), units[0].entry_id.as_str(), units[0].field.as_str()), ("", "", "x"));
}
