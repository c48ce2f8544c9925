//! Messenger and Instagram Direct: `entry[]` with `messaging[]`, `standby[]` (for secondary receivers) and `changes[]`.
//!
//! An item holds one thing beside its envelope: `message`, `postback`, `reaction`, `read` and so on. That object is the
//! message object here: [`guarita_message::Message::pointer`] names it, and the annotation goes into it, as the items around it are the same
//! for everything. `changes` (feed, comments) are account events and pass. Attachments are bare urls without ids.

use crate::content::Walker;
use crate::json::{Document, NodeId};
use crate::keys;
use crate::reading::{Names, Reading, Trail, Update};
use guarita_message::{Channel, Direction, Lane, Message};

mod content;

pub(crate) use content::RULES;

/// Members of an item that are its envelope.
const ENVELOPE: [&str; 6] = ["sender", "recipient", "timestamp", "time", "prior_message", "hop_context"];
/// Times are in milliseconds, now and then in seconds; no second is this big before the year 5138.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

pub(crate) fn read<'a>(document: &Document<'a>, channel: Channel, reading: &mut Reading<'a>) {
    let Some(entries) = document.get(document.root(), "entry") else {
        return reading.problem("there is no `entry`");
    };
    let mut trail = Trail::default();
    trail.enter(document, entries, 0);
    for (i, entry) in document.children(entries).enumerate() {
        if reading.is_full() {
            return;
        }
        trail.enter(document, entry, i);
        let known = reading.updates.len();
        let account = document.get_scalar(entry, "id").unwrap_or_default().into_owned();
        for list in document.children(entry) {
            let messaging = match document.key(list).as_deref() {
                Some("messaging" | "standby") => true,
                Some("changes") => false,
                _ => continue,
            };
            trail.enter(document, list, 0);
            for (i, item) in document.children(list).enumerate() {
                if reading.is_full() {
                    return;
                }
                trail.enter(document, item, i);
                match content_of(document, item).filter(|_| messaging) {
                    Some(content) => reading.updates.push(update(document, channel, &account, entry, content, &trail)),
                    None => reading.opaque(document, &trail, &account, Some(entry), people(document, item)),
                }
                trail.leave();
            }
            trail.leave();
        }
        if reading.updates.len() == known {
            reading.problem_at(&trail, "an entry without messages or changes");
            reading.opaque(document, &trail, &account, Some(entry), vec![]);
        }
        trail.leave();
    }
}

/// The one thing that an item holds: `message` before all, as newer items carry small things beside it.
fn content_of(document: &Document<'_>, item: NodeId) -> Option<NodeId> {
    let message = document.get(item, "message").filter(|node| document.is_object(*node));
    message.or_else(|| {
        document.children(item).find(|node| {
            let envelope = document.key(*node).is_none_or(|key| ENVELOPE.contains(&key.as_ref()));
            document.is_object(*node) && !envelope
        })
    })
}

fn update(
    document: &Document<'_>,
    channel: Channel,
    account: &str,
    entry: NodeId,
    content: NodeId,
    trail: &Trail,
) -> Update {
    let item = document.parent(content).unwrap_or(content);
    let id_in = |name| {
        let person = document.get(item, name)?;
        document.get_scalar(person, "id").or_else(|| document.get_scalar(person, "user_ref"))
    };
    let (sender, recipient) = (id_in("sender"), id_in("recipient"));
    let echo = document.get_true(content, "is_echo") || sender.as_deref() == Some(account);
    let direction = if echo { Direction::Echo } else { Direction::Inbound };
    let customer = if echo { &recipient } else { &sender };
    let what = document.key(content).unwrap_or_default();
    let lane = match what.as_ref() {
        "reaction" | "read" | "delivery" => Lane::Status,
        "message" if document.get_true(content, "is_deleted") => Lane::Status,
        _ => Lane::Message,
    };
    // A reaction, a deletion and an edit carry the id of the message they speak of.
    let of_its_own = matches!(what.as_ref(), "message" | "postback") && lane == Lane::Message;
    let id = document.get_scalar(content, "mid").filter(|id| of_its_own && !id.is_empty());
    let mut senders = Names::default();
    senders.add(sender.as_deref());
    if echo {
        senders.add(recipient.as_deref());
    }
    Update {
        path: trail.path.clone(),
        pointer: trail.pointer.clone(),
        lane,
        account: account.to_owned(),
        conversation: keys::conversation(Some(channel), account, lane, customer.as_deref().unwrap_or_default()),
        dedupe: match id {
            Some(id) => keys::by_id(channel, if echo { "echo" } else { &what }, account, &id),
            None => keys::by_content(document, Some(channel), Some(entry), item),
        },
        senders: senders.0,
        direction,
    }
}

/// Who wrote a comment or made a change.
fn people(document: &Document<'_>, change: NodeId) -> Vec<String> {
    let mut names = Names::default();
    for pointer in ["/value/from/id", "/value/sender_id", "/value/user_id", "/sender/id"] {
        names.add(document.at(change, pointer).and_then(|node| document.scalar(node)));
    }
    names.0
}

pub(crate) fn messages(document: &Document<'_>, reading: &Reading<'_>, out: &mut Vec<Message>) {
    let Some(channel) = reading.channel else { return };
    // An echo is what the business wrote itself: it passes as it came, as a status does.
    let customers = |update: &&Update| update.lane == Lane::Message && update.direction == Direction::Inbound;
    for update in reading.updates.iter().filter(customers) {
        let item = update.node(document);
        let Some(content) = content_of(document, item) else { continue };
        let mut pointer = update.pointer.clone();
        crate::reading::push_step(&mut pointer, document, content, 0);
        out.push(Message {
            channel,
            direction: update.direction,
            lane: update.lane,
            id: document.get_scalar(content, "mid").unwrap_or_default().into_owned(),
            kind: kind_of(document, content),
            account: update.account.clone(),
            senders: update.senders.clone(),
            conversation: update.conversation.clone(),
            dedupe: Some(update.dedupe.clone()),
            timestamp: timestamp(document, item),
            forwarded: document.get_true(content, "is_forwarded"),
            frequently_forwarded: false,
            parts: Walker::read(document, content, &pointer, &RULES),
            pointer,
        });
    }
}

/// The type of the first attachment, `text`, or the name of what it is instead of a message.
fn kind_of(document: &Document<'_>, content: NodeId) -> String {
    let what = document.key(content).unwrap_or_default();
    if what != "message" {
        return what.into_owned();
    }
    let attachment = document.at(content, "/attachments/0").and_then(|first| document.get_text(first, "type"));
    let plain = if document.get_true(content, "is_unsupported") { "unsupported" } else { "text" };
    attachment.map_or_else(|| plain.to_owned(), |kind| kind.into_owned())
}

fn timestamp(document: &Document<'_>, item: NodeId) -> u64 {
    let time = document.get_scalar(item, "timestamp").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if time >= MILLISECONDS_FROM { time / 1000 } else { time }
}
