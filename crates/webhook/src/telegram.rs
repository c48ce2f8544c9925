//! Telegram: one update a POST, `update_id` and one member that says what happened.
//!
//! An update does not say which bot it is for: the account is empty and the route knows. That member is the message
//! object here, and the annotation goes into it. There is no signature; the secret token is a header, `receive`'s affair.

use crate::content::Walker;
use crate::json::{Document, Kind, NodeId};
use crate::keys;
use crate::reading::{Names, Reading, Trail, Update, push_step};
use guarita_message::{Channel, Direction, Lane, Message};

mod content;

pub(crate) use content::RULES;

const CHANNEL: Channel = Channel::Telegram;

pub(crate) fn read<'a>(document: &Document<'a>, reading: &mut Reading<'a>) {
    let Some(content) = content_of(document) else {
        return reading.problem("an update without content");
    };
    let people = people(document, content);
    let who = chat(document, content).or_else(|| people.0.first().cloned()).unwrap_or_default();
    let lane = lane_of(&document.key(content).unwrap_or_default());
    let whole = Trail::default();
    reading.updates.push(Update {
        path: whole.path,
        pointer: whole.pointer,
        lane,
        account: String::new(),
        conversation: keys::conversation(Some(CHANNEL), "", lane, &who),
        // Ids of updates are a bot's own; two bots may have the same.
        dedupe: keys::by_content(document, Some(CHANNEL), None, document.root()),
        senders: people.0,
        direction: Direction::Inbound,
    });
}

/// What happened: the first object beside `update_id`.
fn content_of(document: &Document<'_>) -> Option<NodeId> {
    document.children(document.root()).find(|node| document.kind(*node) == Kind::Object)
}

/// Queries must be answered within seconds: they wait behind no scan, like what merely tells of a state.
fn lane_of(what: &str) -> Lane {
    match what {
        "inline_query" | "chosen_inline_result" | "shipping_query" | "pre_checkout_query" => Lane::Status,
        "poll" | "poll_answer" | "message_reaction" | "message_reaction_count" | "deleted_business_messages" => {
            Lane::Status
        }
        "my_chat_member"
        | "chat_member"
        | "chat_join_request"
        | "chat_boost"
        | "removed_chat_boost"
        | "business_connection" => Lane::Account,
        _ => Lane::Message,
    }
}

fn chat(document: &Document<'_>, content: NodeId) -> Option<String> {
    let chat = ["/chat/id", "/message/chat/id"].iter().find_map(|pointer| document.at(content, pointer))?;
    document.scalar(chat).map(|id| id.into_owned())
}

fn people(document: &Document<'_>, content: NodeId) -> Names {
    let mut names = Names::default();
    for pointer in ["/from/id", "/user/id", "/sender_chat/id", "/from/username", "/user/username", "/chat/id"] {
        names.add(document.at(content, pointer).and_then(|node| document.scalar(node)));
    }
    names
}

pub(crate) fn messages(document: &Document<'_>, reading: &Reading<'_>, out: &mut Vec<Message>) {
    let Some(content) = content_of(document) else { return };
    for update in reading.updates.iter().filter(|update| update.lane == Lane::Message) {
        let mut pointer = update.pointer.clone();
        push_step(&mut pointer, document, content, 0);
        let id = document.get_scalar(content, "message_id").or_else(|| document.get_scalar(content, "id"));
        let forwarded =
            ["forward_origin", "forward_date", "forward_from"].iter().any(|name| document.get(content, name).is_some());
        out.push(Message {
            channel: CHANNEL,
            direction: update.direction,
            lane: update.lane,
            id: id.unwrap_or_default().into_owned(),
            kind: content::kind_of(document, content),
            account: update.account.clone(),
            senders: update.senders.clone(),
            conversation: update.conversation.clone(),
            dedupe: Some(update.dedupe.clone()),
            timestamp: document.get_scalar(content, "date").and_then(|text| text.parse().ok()).unwrap_or(0),
            forwarded,
            frequently_forwarded: false,
            parts: Walker::read(document, content, &pointer, &RULES),
            pointer,
        });
    }
}
