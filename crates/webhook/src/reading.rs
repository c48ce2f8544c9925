//! What the dialects find in a body: its updates, each with its way through the document, its lane and its names.
//!
//! Reading is what `split`, `without` and `parse` have in common; it looks at envelopes only, never into content.

use crate::json::{Document, NodeId, NotJson, push_segment};
use crate::{keys, messenger, telegram, whatsapp};
use guarita_message::{Channel, ConversationKey, DedupeKey, Direction, Lane};
use std::borrow::Cow;
use std::collections::HashMap;

/// Updates in one body, messages of a chunk of history included. Meta puts at most 1000 updates into a POST, and 3 MB of
/// history are some 10,000 messages.
const UPDATES_MAX: usize = 50_000;
/// What looked odd is told this many times; the operator has seen enough by then.
const PROBLEMS_MAX: usize = 32;
/// Names kept of one update (a chunk of history has one for each of its threads).
pub(crate) const SENDERS_MAX: usize = 1000;
/// From here on, contacts are looked up by hash.
const CONTACTS_INDEXED_FROM: usize = 16;

pub(crate) struct Reading<'a> {
    pub channel: Option<Channel>,
    pub object: String,
    /// In the order of the document; never empty.
    pub updates: Vec<Update>,
    /// Lists that go with the updates they name, by the list's node.
    pub contacts: HashMap<NodeId, Contacts<'a>>,
    pub problems: Vec<String>,
    /// Messages within updates (history), which count as updates do.
    pub nested: usize,
}

/// The smallest thing that can be cut out of a POST.
pub(crate) struct Update {
    /// Nodes from the root's member down to the update itself; empty: the whole body.
    pub path: Vec<NodeId>,
    /// JSON pointer of the update.
    pub pointer: String,
    pub lane: Lane,
    pub account: String,
    pub conversation: ConversationKey,
    pub dedupe: DedupeKey,
    /// The steadiest first.
    pub senders: Vec<String>,
    pub direction: Direction,
}

impl Update {
    pub(crate) fn node(&self, document: &Document<'_>) -> NodeId {
        self.path.last().copied().unwrap_or(document.root())
    }
}

pub(crate) fn read<'a>(document: &Document<'a>) -> Result<Reading<'a>, NotJson> {
    let root = document.root();
    let object = document.get_text(root, "object").unwrap_or_default().into_owned();
    let channel = match object.as_str() {
        "whatsapp_business_account" => Some(Channel::Whatsapp),
        "page" => Some(Channel::Messenger),
        "instagram" => Some(Channel::Instagram),
        "" if document.get(root, "update_id").is_some() => Some(Channel::Telegram),
        _ => None,
    };
    let mut reading =
        Reading { channel, object, updates: vec![], contacts: HashMap::new(), problems: vec![], nested: 0 };
    match channel {
        Some(Channel::Whatsapp) => whatsapp::read(document, &mut reading),
        Some(channel @ (Channel::Messenger | Channel::Instagram)) => messenger::read(document, channel, &mut reading),
        Some(Channel::Telegram) => telegram::read(document, &mut reading),
        None => reading.problem("the object is not one that Guarita knows; it passes unread"),
    }
    if reading.updates.is_empty() {
        let account = first_entry_id(document);
        reading.opaque(document, &Trail::default(), &account, None, vec![]);
    }
    if reading.is_full() {
        return Err(NotJson { reason: "too many updates (more than 50,000)", at: 0 });
    }
    Ok(reading)
}

fn first_entry_id(document: &Document<'_>) -> String {
    let entries = document.get(document.root(), "entry");
    let entry = entries.and_then(|entries| document.children(entries).next());
    entry.and_then(|entry| document.get_scalar(entry, "id")).unwrap_or_default().into_owned()
}

impl Reading<'_> {
    /// Enough is known to refuse the body; the dialects stop here, so that memory stays bounded.
    pub(crate) fn is_full(&self) -> bool {
        self.updates.len() + self.nested > UPDATES_MAX
    }

    /// An update that nobody looks into: it passes in the lane of the account's events.
    pub(crate) fn opaque(
        &mut self,
        document: &Document<'_>,
        trail: &Trail,
        account: &str,
        entry: Option<NodeId>,
        senders: Vec<String>,
    ) {
        self.updates.push(Update {
            lane: Lane::Account,
            account: account.to_owned(),
            conversation: keys::conversation(self.channel, account, Lane::Account, ""),
            dedupe: keys::by_content(document, self.channel, entry, trail.node(document)),
            senders,
            direction: Direction::Inbound,
            path: trail.path.clone(),
            pointer: trail.pointer.clone(),
        });
    }

    /// Notes what looked odd; `what` holds no content of the delivery.
    pub(crate) fn problem(&mut self, what: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.to_owned());
        }
    }

    pub(crate) fn problem_at(&mut self, trail: &Trail, what: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!("{}: {what}", trail.pointer));
        }
    }
}

/// Where a dialect stands in the document.
#[derive(Default)]
pub(crate) struct Trail {
    pub path: Vec<NodeId>,
    pub pointer: String,
    lengths: Vec<usize>,
}

impl Trail {
    pub(crate) fn enter(&mut self, document: &Document<'_>, node: NodeId, index: usize) {
        self.lengths.push(self.pointer.len());
        self.path.push(node);
        push_step(&mut self.pointer, document, node, index);
    }

    pub(crate) fn leave(&mut self) {
        self.path.pop();
        self.pointer.truncate(self.lengths.pop().unwrap_or(0));
    }

    fn node(&self, document: &Document<'_>) -> NodeId {
        self.path.last().copied().unwrap_or(document.root())
    }
}

/// Appends a member's key or an item's index to a pointer.
pub(crate) fn push_step(pointer: &mut String, document: &Document<'_>, node: NodeId, index: usize) {
    match document.key(node) {
        Some(key) => push_segment(pointer, &key),
        None => {
            pointer.push('/');
            pointer.push_str(itoa(index).as_str());
        }
    }
}

fn itoa(number: usize) -> String {
    number.to_string()
}

/// The `contacts` of a WhatsApp change: who the people in it are.
#[derive(Default)]
pub(crate) struct Contacts<'a> {
    pub all: Vec<Contact<'a>>,
    index: HashMap<Cow<'a, str>, usize>,
}

pub(crate) struct Contact<'a> {
    pub node: NodeId,
    pub user_id: Option<Cow<'a, str>>,
    pub wa_id: Option<Cow<'a, str>>,
}

impl<'a> Contacts<'a> {
    pub(crate) fn of(document: &Document<'a>, list: NodeId) -> Self {
        let all: Vec<Contact<'a>> = document
            .children(list)
            .map(|node| Contact {
                node,
                user_id: document.get_scalar(node, "user_id"),
                wa_id: document.get_scalar(node, "wa_id"),
            })
            .collect();
        let mut index = HashMap::new();
        if all.len() >= CONTACTS_INDEXED_FROM {
            for (i, contact) in all.iter().enumerate() {
                for name in [&contact.user_id, &contact.wa_id].into_iter().flatten() {
                    index.entry(name.clone()).or_insert(i);
                }
            }
        }
        Contacts { all, index }
    }

    /// The contact that has this name, by its place in the list.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        if !self.index.is_empty() {
            return self.index.get(name).copied();
        }
        self.all.iter().position(|c| c.user_id.as_deref() == Some(name) || c.wa_id.as_deref() == Some(name))
    }
}

/// Collects names in order, without repeats and without empty ones.
#[derive(Default)]
pub(crate) struct Names(pub Vec<String>);

impl Names {
    pub(crate) fn add(&mut self, name: Option<impl AsRef<str>>) {
        let Some(name) = name else { return };
        let name = name.as_ref();
        if !name.is_empty() && self.0.len() < SENDERS_MAX && !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }
}
