//! WhatsApp's dialect: `entry[].changes[].value` with messages, echoes, statuses, calls, history and account events.
//!
//! Each item of `messages`, `message_echoes`, `statuses` and `calls` is an update of its own; a chunk of `history` and every
//! other change is one as a whole. Nothing is keyed on phone numbers alone: `from` and `wa_id` may be absent, so the
//! business-scoped user id comes first. Kinds of messages live in [`content`], which nobody needs to teach a new one.

use crate::content::{Walker, labels};
use crate::json::{Document, NodeId};
use crate::keys;
use crate::reading::{Contacts, Names, Reading, Trail, Update, push_step};
use guarita_message::{Channel, ConversationKey, DedupeKey, Direction, Lane, Message};
use std::borrow::Cow;

mod content;

pub(crate) use content::RULES;

const CHANNEL: Channel = Channel::Whatsapp;
/// What of a message's type stands in its key.
const KIND_CHARS_MAX: usize = 64;

/// What a list in a change's value holds.
#[derive(Clone, Copy, PartialEq)]
enum List {
    Messages,
    Echoes,
    Statuses,
    Calls,
}

fn list_named(document: &Document<'_>, node: NodeId) -> Option<List> {
    match document.key(node)?.as_ref() {
        "messages" => Some(List::Messages),
        "message_echoes" => Some(List::Echoes),
        "statuses" => Some(List::Statuses),
        "calls" => Some(List::Calls),
        _ => None,
    }
}

pub(crate) fn read<'a>(document: &Document<'a>, reading: &mut Reading<'a>) {
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
        if let Some(changes) = document.get(entry, "changes") {
            trail.enter(document, changes, 0);
            for (i, change) in document.children(changes).enumerate() {
                if reading.is_full() {
                    return;
                }
                trail.enter(document, change, i);
                read_change(document, entry, change, &mut trail, reading);
                trail.leave();
            }
            trail.leave();
        }
        if reading.updates.len() == known {
            reading.problem_at(&trail, "an entry without changes");
            let account = document.get_scalar(entry, "id").unwrap_or_default();
            reading.opaque(document, &trail, &account, Some(entry), vec![]);
        }
        trail.leave();
    }
}

/// What the updates of one change have in common.
struct Change<'d, 'a> {
    document: &'d Document<'a>,
    entry: NodeId,
    account: String,
    contacts: &'d Contacts<'a>,
}

fn read_change<'a>(
    document: &Document<'a>,
    entry: NodeId,
    change: NodeId,
    trail: &mut Trail,
    reading: &mut Reading<'a>,
) {
    let value = document.get(change, "value").filter(|value| document.is_object(*value));
    let Some(value) = value else {
        reading.problem_at(trail, "a change without a value");
        let account = document.get_scalar(entry, "id").unwrap_or_default();
        return reading.opaque(document, trail, &account, Some(entry), vec![]);
    };
    let account = account_of(document, entry, value);
    let contacts_node = document.get(value, "contacts");
    let contacts = contacts_node.map(|list| Contacts::of(document, list)).unwrap_or_default();
    let context = Change { document, entry, account, contacts: &contacts };
    let known = reading.updates.len();
    if document.get(value, "history").is_some() || document.get_text(change, "field").as_deref() == Some("history") {
        reading.updates.push(context.history(change, value, trail, &mut reading.nested));
    } else if let Some(value_member) = document.get(change, "value") {
        trail.enter(document, value_member, 0);
        for list_node in document.children(value) {
            let Some(list) = list_named(document, list_node) else { continue };
            trail.enter(document, list_node, 0);
            for (i, item) in document.children(list_node).enumerate() {
                if reading.is_full() {
                    return;
                }
                trail.enter(document, item, i);
                reading.updates.push(context.update(list, item, trail));
                trail.leave();
            }
            trail.leave();
        }
        trail.leave();
    }
    if reading.updates.len() == known {
        let senders = context.people(value);
        reading.opaque(document, trail, &context.account, Some(entry), senders);
    }
    if let Some(list) = contacts_node {
        reading.contacts.insert(list, contacts);
    }
}

fn account_of(document: &Document<'_>, entry: NodeId, value: NodeId) -> String {
    let metadata = document.get(value, "metadata");
    let of_number = metadata.and_then(|metadata| {
        let id = document.get_scalar(metadata, "phone_number_id");
        id.or_else(|| document.get_scalar(metadata, "display_phone_number"))
    });
    of_number.or_else(|| document.get_scalar(entry, "id")).unwrap_or_default().into_owned()
}

impl<'a> Change<'_, 'a> {
    fn update(&self, list: List, item: NodeId, trail: &Trail) -> Update {
        match list {
            List::Messages => self.message(item, trail, Direction::Inbound),
            List::Echoes => self.message(item, trail, Direction::Echo),
            List::Statuses => self.status(item, trail),
            List::Calls => self.call(item, trail),
        }
    }

    fn message(&self, item: NodeId, trail: &Trail, direction: Direction) -> Update {
        let scalar = |name| self.document.get_scalar(item, name);
        let (customer, sort) = match direction {
            Direction::Inbound => (self.customer(scalar("from_user_id"), scalar("from")), "message"),
            Direction::Echo => (self.customer(scalar("to_user_id"), scalar("to")), "echo"),
        };
        let mut senders = Names::default();
        if direction == Direction::Echo {
            senders.add(scalar("from_user_id"));
            senders.add(scalar("from"));
        }
        for name in &customer.names {
            senders.add(Some(name));
        }
        senders.add(scalar("from_parent_user_id"));
        let who = scalar("group_id").map_or(customer.key, Cow::into_owned);
        // A message that was `unsupported` at first comes again under its id once it can be shown: another type is news.
        let kind = self.document.get_text(item, "type").unwrap_or_default();
        let kind: String = kind.chars().take(KIND_CHARS_MAX).collect();
        self.named(item, trail, Lane::Message, &who, senders, direction, |id| {
            keys::by_id(CHANNEL, sort, &self.account, &format!("{kind}|{id}"))
        })
    }

    fn status(&self, item: NodeId, trail: &Trail) -> Update {
        let scalar = |name| self.document.get_scalar(item, name);
        let customer = self.customer(scalar("recipient_user_id"), scalar("recipient_id"));
        let mut senders = Names(customer.names);
        for name in ["recipient_parent_user_id", "parent_recipient_user_id"] {
            senders.add(scalar(name));
        }
        // A message to a group has one status a participant, all with its id.
        let participant = scalar("recipient_participant_user_id").or_else(|| scalar("recipient_participant_id"));
        senders.add(participant.as_deref());
        let state = scalar("status").unwrap_or_default();
        let participant = participant.unwrap_or_default();
        // Statuses of a call go with the call: its events are worth nothing late.
        let of_call = scalar("type").as_deref() == Some("call");
        let id = scalar("id").unwrap_or_default();
        let (lane, who) = if of_call { (Lane::Call, id.as_ref()) } else { (Lane::Status, customer.key.as_str()) };
        self.named(item, trail, lane, who, senders, Direction::Inbound, |id| {
            keys::by_id(CHANNEL, "status", &self.account, &format!("{id}|{state}|{participant}"))
        })
    }

    fn call(&self, item: NodeId, trail: &Trail) -> Update {
        let scalar = |name| self.document.get_scalar(item, name);
        let mut senders = Names::default();
        for name in ["from_user_id", "to_user_id", "from", "to"] {
            senders.add(scalar(name));
        }
        let event = scalar("event").unwrap_or_default();
        let who = scalar("id").unwrap_or_default();
        self.named(item, trail, Lane::Call, &who, senders, Direction::Inbound, |id| {
            keys::by_id(CHANNEL, "call", &self.account, &format!("{id}|{event}"))
        })
    }

    fn history(&self, change: NodeId, value: NodeId, trail: &Trail, messages_seen: &mut usize) -> Update {
        let mut senders = Names::default();
        let chunks = self.document.get(value, "history");
        for chunk in chunks.into_iter().flat_map(|chunks| self.document.children(chunks)) {
            let threads = self.document.get(chunk, "threads");
            for thread in threads.into_iter().flat_map(|threads| self.document.children(threads)) {
                senders.add(self.document.get_scalar(thread, "id"));
                let messages = self.document.get(thread, "messages");
                *messages_seen += messages.map_or(0, |messages| self.document.children(messages).count());
            }
        }
        let messages = self.document.get(value, "messages");
        for message in messages.into_iter().flat_map(|messages| self.document.children(messages)) {
            senders.add(self.document.get_scalar(message, "from_user_id"));
            senders.add(self.document.get_scalar(message, "from"));
            *messages_seen += 1;
        }
        Update {
            path: trail.path.clone(),
            pointer: trail.pointer.clone(),
            lane: Lane::History,
            account: self.account.clone(),
            conversation: keys::conversation(Some(CHANNEL), &self.account, Lane::History, ""),
            dedupe: keys::by_content(self.document, Some(CHANNEL), Some(self.entry), change),
            senders: senders.0,
            direction: Direction::Inbound,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place that puts an update together")]
    fn named(
        &self,
        item: NodeId,
        trail: &Trail,
        lane: Lane,
        who: &str,
        senders: Names,
        direction: Direction,
        dedupe: impl FnOnce(&str) -> DedupeKey,
    ) -> Update {
        let id = self.document.get_scalar(item, "id").filter(|id| !id.is_empty());
        Update {
            path: trail.path.clone(),
            pointer: trail.pointer.clone(),
            lane,
            account: self.account.clone(),
            conversation: keys::conversation(Some(CHANNEL), &self.account, lane, who),
            dedupe: match id {
                Some(id) => dedupe(&id),
                None => keys::by_content(self.document, Some(CHANNEL), Some(self.entry), item),
            },
            senders: senders.0,
            direction,
        }
    }

    /// The customer behind a user id, a phone number or both; what is missing may stand in the contacts.
    fn customer(&self, user_id: Option<Cow<'a, str>>, phone: Option<Cow<'a, str>>) -> Customer {
        let contact = contact_of(self.contacts, user_id.as_deref(), phone.as_deref());
        let contact = contact.map(|i| &self.contacts.all[i]);
        // A contact that does not carry this message's own number may be somebody else.
        let sure = contact.filter(|c| phone.is_none() || c.wa_id == phone);
        let key = [user_id.as_ref(), sure.and_then(|c| c.user_id.as_ref()), phone.as_ref()];
        let key = key.into_iter().flatten().find(|name| !name.is_empty());
        let key = key.or(contact.and_then(|c| c.wa_id.as_ref())).map(|name| name.to_string()).unwrap_or_default();
        let mut names = Names::default();
        names.add(user_id);
        names.add(contact.and_then(|c| c.user_id.as_deref()));
        names.add(phone);
        if let Some(contact) = contact {
            names.add(contact.wa_id.as_deref());
            names.add(self.document.get_scalar(contact.node, "parent_user_id"));
            let profile = self.document.get(contact.node, "profile");
            names.add(profile.and_then(|profile| self.document.get_scalar(profile, "username")));
        }
        Customer { key, names: names.0 }
    }

    /// Names of people that an account's change speaks of.
    fn people(&self, value: NodeId) -> Vec<String> {
        let mut names = Names::default();
        for list in self.document.children(value) {
            for item in self.document.children(list).filter(|item| self.document.is_object(*item)) {
                let user_id = self.document.get(item, "user_id");
                names.add(user_id.and_then(|id| self.document.scalar(id)));
                for name in ["current", "previous"] {
                    names.add(user_id.and_then(|id| self.document.get_scalar(id, name)));
                }
                names.add(self.document.get_scalar(item, "wa_id"));
                let contact = self.document.get(item, "contact");
                names.add(contact.and_then(|contact| self.document.get_scalar(contact, "phone_number")));
            }
        }
        names.0
    }
}

struct Customer {
    /// The steadiest name, for the conversation; empty where nothing is known.
    key: String,
    names: Vec<String>,
}

/// The contact that a user id or phone number names, or the only one there is.
fn contact_of(contacts: &Contacts<'_>, user_id: Option<&str>, phone: Option<&str>) -> Option<usize> {
    let named = user_id.and_then(|id| contacts.named(id)).or_else(|| phone.and_then(|number| contacts.named(number)));
    named.or((contacts.all.len() == 1).then_some(0))
}

/// The messages of an update: one, none, or all of a chunk of history.
pub(crate) fn messages(document: &Document<'_>, reading: &Reading<'_>, out: &mut Vec<Message>) {
    // Labels of contacts that no message names are looked at with the first message beside them.
    let mut unclaimed: Vec<(NodeId, usize, Vec<bool>)> = vec![];
    for update in &reading.updates {
        match update.lane {
            Lane::Message => {
                let message = read_message(document, reading, update, out.len(), &mut unclaimed);
                out.push(message);
            }
            Lane::History => history_messages(document, update, out),
            Lane::Status | Lane::Call | Lane::Account => {}
        }
    }
    for (list, message, claimed) in unclaimed {
        let Some(contacts) = reading.contacts.get(&list) else { continue };
        for (i, contact) in contacts.all.iter().enumerate().filter(|(i, _)| !claimed[*i]) {
            let pointer = contact_pointer(document, &out[message].pointer, contact.node, i);
            out[message].parts.extend(labels(document, contact.node, &pointer));
        }
    }
}

fn read_message(
    document: &Document<'_>,
    reading: &Reading<'_>,
    update: &Update,
    position: usize,
    unclaimed: &mut Vec<(NodeId, usize, Vec<bool>)>,
) -> Message {
    let item = update.node(document);
    let mut message = message_at(document, item, &update.pointer, update);
    message.conversation = update.conversation.clone();
    message.dedupe = Some(update.dedupe.clone());
    let value = document.parent(item).and_then(|list| document.parent(list));
    let list = value.and_then(|value| document.get(value, "contacts"));
    let Some((list, contacts)) = list.and_then(|list| Some((list, reading.contacts.get(&list)?))) else {
        return message;
    };
    let (user_id, phone) = match update.direction {
        Direction::Inbound => ("from_user_id", "from"),
        Direction::Echo => ("to_user_id", "to"),
    };
    let user_id = document.get_scalar(item, user_id);
    let phone = document.get_scalar(item, phone);
    let contact = contact_of(contacts, user_id.as_deref(), phone.as_deref());
    if unclaimed.last().is_none_or(|(last, ..)| *last != list) {
        unclaimed.push((list, position, vec![false; contacts.all.len()]));
    }
    if let Some(i) = contact {
        let pointer = contact_pointer(document, &message.pointer, contacts.all[i].node, i);
        message.parts.extend(labels(document, contacts.all[i].node, &pointer));
        if let Some((_, _, claimed)) = unclaimed.last_mut() {
            claimed[i] = true;
        }
    }
    message
}

/// `/entry/0/changes/0/value/messages/0` → `/entry/0/changes/0/value/contacts/<i>`.
fn contact_pointer(document: &Document<'_>, message_pointer: &str, contact: NodeId, i: usize) -> String {
    let value = message_pointer.rsplitn(3, '/').nth(2).unwrap_or_default();
    let mut pointer = format!("{value}/contacts");
    push_step(&mut pointer, document, contact, i);
    pointer
}

fn history_messages(document: &Document<'_>, update: &Update, out: &mut Vec<Message>) {
    let Some(value) = document.get(update.node(document), "value") else { return };
    let mut trail = update.pointer.clone();
    trail.push_str("/value");
    let each = |list: Option<NodeId>, pointer: &str, see: &mut dyn FnMut(NodeId, &str)| {
        for (i, item) in list.into_iter().flat_map(|list| document.children(list).enumerate()) {
            let mut pointer = pointer.to_owned();
            push_step(&mut pointer, document, item, i);
            see(item, &pointer);
        }
    };
    // Media of earlier chunks come as plain messages in the same field.
    each(document.get(value, "messages"), &format!("{trail}/messages"), &mut |item, pointer| {
        out.push(message_at(document, item, pointer, update));
    });
    each(document.get(value, "history"), &format!("{trail}/history"), &mut |chunk, pointer| {
        each(document.get(chunk, "threads"), &format!("{pointer}/threads"), &mut |thread, pointer| {
            let who = document.get_scalar(thread, "id").unwrap_or_default();
            let conversation = keys::conversation(Some(CHANNEL), &update.account, Lane::History, &who);
            each(document.get(thread, "messages"), &format!("{pointer}/messages"), &mut |item, pointer| {
                let mut message = message_at(document, item, pointer, update);
                message.conversation = conversation.clone();
                if document.get_scalar(item, "from").is_some_and(|from| from != who) {
                    message.direction = Direction::Echo;
                }
                out.push(message);
            });
        });
    });
}

fn message_at(document: &Document<'_>, item: NodeId, pointer: &str, update: &Update) -> Message {
    let flag = |name| {
        let context = document.get(item, "context");
        let inner = document.at(item, "/edit/message/context");
        [context, inner].into_iter().flatten().any(|context| document.get_true(context, name))
    };
    let frequently_forwarded = flag("frequently_forwarded");
    let senders = if update.lane == Lane::History {
        let mut names = Names::default();
        names.add(document.get_scalar(item, "from_user_id"));
        names.add(document.get_scalar(item, "from"));
        names.0
    } else {
        update.senders.clone()
    };
    Message {
        channel: CHANNEL,
        direction: update.direction,
        lane: update.lane,
        id: document.get_scalar(item, "id").unwrap_or_default().into_owned(),
        kind: document.get_text(item, "type").unwrap_or_default().into_owned(),
        pointer: pointer.to_owned(),
        account: update.account.clone(),
        senders,
        conversation: ConversationKey(update.conversation.0.clone()),
        dedupe: None,
        timestamp: timestamp(document, item),
        forwarded: frequently_forwarded || flag("forwarded"),
        frequently_forwarded,
        parts: Walker::read(document, item, pointer, &RULES),
    }
}

fn timestamp(document: &Document<'_>, item: NodeId) -> u64 {
    document.get_scalar(item, "timestamp").and_then(|text| text.parse().ok()).unwrap_or(0)
}
