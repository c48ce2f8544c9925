//! Meta's side: what customers send, in POSTs that are repeated until they are answered 200, and sometimes after that;
//! that come in any order, and mix what is new with what was sent before.

use crate::{
    chance::Chance,
    graph::{FORWARDED, content_of, hash_of},
    truth::Tag,
};
use serde_json::{Value, json};

pub const APP_SECRET: &str = "simulated-app-secret";

#[derive(Clone, Debug)]
pub struct Post {
    pub tags: Vec<Tag>,
    pub body: Vec<u8>,
    /// When it is sent first, counted from the beginning of its life.
    pub wait_ms: u64,
    /// How often it comes again after its 200.
    pub repeats: u64,
    pub acknowledged: bool,
}

#[derive(Clone)]
struct Update {
    tag: Tag,
    list: &'static str,
    json: Value,
}

pub fn posts(chance: &mut Chance) -> Vec<Post> {
    let conversations = chance.within(1..4);
    let count = chance.within(3..18);
    let spread_ms = *chance.pick(&[100, 5_000, 60_000]);
    let mut posts = Vec::new();
    let mut earlier: Vec<Update> = Vec::new();
    let mut tag = 0;
    while tag < count as Tag {
        let mut updates = Vec::new();
        for _ in 0..*chance.pick(&[1, 1, 1, 2, 4]) {
            updates.push(update(chance, tag, conversations));
            tag += 1;
        }
        let fresh = updates.clone();
        if !earlier.is_empty() && chance.happens(200) {
            updates.insert(0, chance.pick(&earlier).clone());
        }
        let account = chance.happens(60) && updates.len() == 1;
        let body = if account { account_event(updates[0].tag) } else { envelope(&updates) };
        posts.push(Post {
            tags: updates.iter().map(|update| update.tag).collect(),
            body: body.to_string().into_bytes(),
            wait_ms: chance.within(0..spread_ms),
            repeats: if chance.happens(150) { chance.within(1..3) } else { 0 },
            acknowledged: false,
        });
        if !account {
            earlier.extend(fresh);
        }
    }
    posts
}

fn update(chance: &mut Chance, tag: Tag, conversations: u64) -> Update {
    let from = format!("551190000000{}", chance.within(0..conversations));
    if chance.happens(200) {
        let json = json!({"id": format!("wamid.u{tag}"), "status": "delivered", "timestamp": "1790000000",
            "recipient_id": from});
        return Update { tag, list: "statuses", json };
    }
    let mut message = json!({"from": from, "id": format!("wamid.u{tag}"), "timestamp": "1790000000"});
    let kind = *chance.pick(&["text", "text", "image", "document"]);
    message["type"] = kind.into();
    if kind == "text" {
        message["text"] = json!({"body": format!("oi {tag}")});
    } else {
        // Most of what is forwarded is one of two contents, so that one is looked at again after new signatures came.
        let (begins, numbers) = match chance.within(0..10) {
            0..3 => (FORWARDED, 20_000),
            3 => (FORWARDED, 100_000),
            _ => ("77", 100_000),
        };
        let id = format!("{begins}{:05}{tag}", chance.within(0..numbers));
        let mut media = json!({"id": id, "mime_type": "text/plain"});
        if chance.happens(500) {
            media["sha256"] = hash_of(&content_of(&id, 0)).to_string().into();
        }
        if chance.happens(500) {
            media["url"] = format!("https://graph.example/{id}").into();
        }
        message[kind] = media;
    }
    Update { tag, list: "messages", json: message }
}

fn envelope(updates: &[Update]) -> Value {
    let mut value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550000000", "phone_number_id": "1065"}});
    for list in ["messages", "statuses"] {
        let of_list: Vec<Value> =
            updates.iter().filter(|update| update.list == list).map(|update| update.json.clone()).collect();
        if !of_list.is_empty() {
            value[list] = of_list.into();
        }
    }
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": "1022", "changes": [{"value": value, "field": "messages"}]}]})
}

fn account_event(tag: Tag) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1022", "changes": [
        {"value": {"event": "ACCOUNT_UPDATE", "note": format!("wamid.u{tag}")}, "field": "account_update"}]}]})
}
