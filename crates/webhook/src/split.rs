//! `split` and `without`: one POST into units that need not wait for each other, and a body less what was seen before.
//!
//! A cut body is the same envelope with fewer updates, and of the contacts only those it names. Cutting copies the
//! envelope once for each unit, so its cost is bounded: what would grow too far is cut more coarsely.

use crate::json::{Document, Kind, NodeId, NotJson, ascii_into};
use crate::keys;
use crate::reading::{Names, Reading, Update, read};
use guarita_message::{Channel, ConversationKey, DedupeKey, Lane};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Meta puts at most 1000 updates into one POST.
const UNITS_MAX: usize = 4096;
/// All units together may be this many times as long as the POST (and a little more, for tiny ones).
const GROWTH_MAX: usize = 16;
const GROWTH_FREE_BYTES: usize = 1 << 20;

/// How finely a POST is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// One update a unit, as most client libraries read only the first.
    Message,
    /// All updates of one conversation stay together; lanes, business accounts and event fields are apart even so.
    Conversation,
}

/// A part of a POST that is stored, judged and delivered by itself.
#[derive(Clone, PartialEq)]
pub struct Unit {
    /// `None`: an object that we do not know.
    pub channel: Option<Channel>,
    /// WhatsApp: `phone_number_id`, or the business account's id where there is none; else the page's or account's id.
    pub account: String,
    /// `object` of the delivery, as it came; empty where there is none (Telegram).
    pub object: String,
    /// `id` of the entry: WhatsApp's business account, the page, the Instagram account.
    pub entry_id: String,
    /// The event's field: that of WhatsApp's and of other changes, else `messaging` or `standby`; Telegram: the name of what
    /// happened (`message`, `callback_query` …).
    pub field: String,
    pub lane: Lane,
    pub conversation: ConversationKey,
    /// One key an update, without repeats.
    pub dedupe: Vec<DedupeKey>,
    /// Every name of the people concerned, the steadiest first; for search and erasure.
    pub senders: Vec<String>,
    /// The identical bytes where the POST is one unit, else a valid webhook that holds only this unit, in ASCII.
    pub body: Vec<u8>,
}

/// Shows no content and no names.
impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("channel", &self.channel)
            .field("lane", &self.lane)
            .field("updates", &self.dedupe.len())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Cuts a POST. Units come in the order of their first updates.
pub fn split(body: &[u8], by: SplitBy) -> Result<Vec<Unit>, NotJson> {
    let document = Document::parse(body)?;
    let reading = read(&document)?;
    let cutter = Cutter::of(&document, &reading);
    let finest = if by == SplitBy::Message { Grain::Update } else { Grain::Conversation };
    for grain in [finest, Grain::Conversation, Grain::Destination] {
        let groups = grouped(&document, &reading.updates, grain);
        if let Some(units) = cutter.units(body, &groups, grain) {
            return Ok(units);
        }
    }
    // Lanes are five: this always fits. What such a unit holds for several accounts names none of them.
    let groups = grouped(&document, &reading.updates, Grain::Lane);
    Ok(groups.iter().map(|group| cutter.unit(group, cutter.cut(group).into_bytes(), Grain::Lane)).collect())
}

/// The body without the updates that were seen before; `None`: nothing is left.
pub fn without(body: &[u8], seen: &[DedupeKey]) -> Option<Vec<u8>> {
    let Ok(document) = Document::parse(body) else { return Some(body.to_vec()) };
    let Ok(reading) = read(&document) else { return Some(body.to_vec()) };
    let seen: HashSet<&DedupeKey> = seen.iter().collect();
    let kept: Vec<&Update> = reading.updates.iter().filter(|update| !seen.contains(&update.dedupe)).collect();
    match kept.len() {
        0 => None,
        all if all == reading.updates.len() => Some(body.to_vec()),
        _ => Some(Cutter::of(&document, &reading).cut(&kept).into_bytes()),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Grain {
    Update,
    Conversation,
    /// One route at most would want all of it.
    Destination,
    Lane,
}

/// Updates that may go to different routes never share a unit.
fn grouped<'u>(document: &Document<'_>, updates: &'u [Update], grain: Grain) -> Vec<Vec<&'u Update>> {
    if grain == Grain::Update {
        return updates.iter().map(|update| vec![update]).collect();
    }
    let mut groups: Vec<Vec<&Update>> = vec![];
    let mut known: HashMap<_, usize> = HashMap::new();
    for update in updates {
        let name = match grain {
            Grain::Update | Grain::Conversation => update.conversation.0.as_str(),
            Grain::Destination | Grain::Lane => update.lane.as_str(),
        };
        let destination = (grain != Grain::Lane)
            .then(|| (update.account.as_str(), entry_id(document, update), field(document, update)));
        let group = *known.entry((name, destination)).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(update),
            None => groups.push(vec![update]),
        }
    }
    groups
}

/// `id` of the entry that an update stands in; of a body that is one update as a whole, its first entry's.
fn entry_id<'a>(document: &Document<'a>, update: &Update) -> Cow<'a, str> {
    let entry = match update.path.get(1) {
        Some(entry) => Some(*entry),
        None => document.get(document.root(), "entry").and_then(|entries| document.children(entries).next()),
    };
    entry.and_then(|entry| document.get_scalar(entry, "id")).unwrap_or_default()
}

fn field<'a>(document: &Document<'a>, update: &Update) -> Cow<'a, str> {
    let Some(list) = update.path.get(2) else {
        // Telegram: the update is the body, and what happened its first object.
        let telegram = update.path.is_empty() && document.get(document.root(), "update_id").is_some();
        let mut members = document.children(document.root()).filter(|_| telegram);
        return members.find(|node| document.is_object(*node)).and_then(|node| document.key(node)).unwrap_or_default();
    };
    match document.key(*list) {
        Some(name) if name != "changes" => name,
        _ => update.path.get(3).and_then(|change| document.get_text(*change, "field")).unwrap_or_default(),
    }
}

struct Cutter<'d, 'a> {
    document: &'d Document<'a>,
    reading: &'d Reading<'a>,
    /// Nodes on the way to any update, by index: left out of units that hold nothing below them.
    on_path: Vec<bool>,
}

impl<'d, 'a> Cutter<'d, 'a> {
    fn of(document: &'d Document<'a>, reading: &'d Reading<'a>) -> Self {
        let mut on_path = vec![];
        if reading.updates.len() > 1 {
            on_path = vec![false; document.len()];
            for node in reading.updates.iter().flat_map(|update| &update.path) {
                on_path[node.index()] = true;
            }
        }
        Cutter { document, reading, on_path }
    }

    /// `None`: too many units, or together too long.
    fn units(&self, body: &[u8], groups: &[Vec<&Update>], grain: Grain) -> Option<Vec<Unit>> {
        if let [group] = groups {
            return Some(vec![self.unit(group, body.to_vec(), grain)]);
        }
        let mut bytes_left = body.len() * GROWTH_MAX + GROWTH_FREE_BYTES;
        if groups.len() > UNITS_MAX {
            return None;
        }
        let mut units = Vec::with_capacity(groups.len());
        for group in groups {
            let cut = self.cut(group);
            bytes_left = bytes_left.checked_sub(cut.len())?;
            units.push(self.unit(group, cut.into_bytes(), grain));
        }
        Some(units)
    }

    fn unit(&self, group: &[&Update], body: Vec<u8>, grain: Grain) -> Unit {
        let (channel, first) = (self.reading.channel, group[0]);
        let mut known = HashSet::new();
        let dedupe = group.iter().map(|update| &update.dedupe).filter(|key| known.insert(*key)).cloned().collect();
        let conversation = match grain {
            Grain::Destination | Grain::Lane => keys::conversation(channel, &first.account, first.lane, "*"),
            _ => first.conversation.clone(),
        };
        // The same for all of the group, or empty.
        let common = |of: &dyn Fn(&Update) -> String| {
            let name = of(first);
            let same = grain != Grain::Lane || group.iter().all(|update| of(update) == name);
            if same { name } else { String::new() }
        };
        Unit {
            channel,
            account: common(&|update| update.account.clone()),
            object: self.reading.object.clone(),
            entry_id: common(&|update| entry_id(self.document, update).into_owned()),
            field: common(&|update| field(self.document, update).into_owned()),
            lane: first.lane,
            conversation,
            dedupe,
            senders: senders(group),
            body,
        }
    }

    /// The body with only these updates, in ASCII.
    fn cut(&self, kept: &[&Update]) -> String {
        let mut out = String::new();
        self.emit(self.document.root(), kept, 0, &mut out);
        out
    }

    /// Writes a node that is on the way to `kept`; all of their paths are the same down to `depth`.
    fn emit(&self, node: NodeId, kept: &[&Update], depth: usize, out: &mut String) {
        if kept.iter().any(|update| update.path.len() <= depth) {
            return ascii_into(out, self.document.raw(node));
        }
        let below = |child: NodeId| {
            let start = kept.partition_point(|update| update.path[depth] < child);
            let end = kept.partition_point(|update| update.path[depth] <= child);
            &kept[start..end]
        };
        if self.document.kind(node) == Kind::Array {
            out.push('[');
            let mut rest = kept;
            while let Some(first) = rest.first() {
                let group = below(first.path[depth]);
                self.emit(first.path[depth], group, depth + 1, out);
                rest = &rest[group.len()..];
                out.push_str(if rest.is_empty() { "" } else { "," });
            }
            out.push(']');
            return;
        }
        out.push('{');
        let mut comma = false;
        for child in self.document.children(node) {
            let on_path = self.on_path[child.index()];
            let group = if on_path { below(child) } else { &[] };
            if on_path && group.is_empty() {
                continue;
            }
            out.push_str(if comma { "," } else { "" });
            comma = true;
            ascii_into(out, self.document.raw_key(child));
            out.push(':');
            if on_path {
                self.emit(child, group, depth + 1, out);
            } else {
                self.emit_beside(child, kept, out);
            }
        }
        out.push('}');
    }

    /// What is on no way goes with every unit; of contacts only those that the updates name, or all if one names none.
    fn emit_beside(&self, node: NodeId, kept: &[&Update], out: &mut String) {
        let Some(contacts) = self.reading.contacts.get(&node) else {
            return ascii_into(out, self.document.raw(node));
        };
        let mut named = vec![];
        for update in kept {
            let known = named.len();
            named.extend(update.senders.iter().filter_map(|name| contacts.named(name)));
            if named.len() == known {
                return ascii_into(out, self.document.raw(node));
            }
        }
        named.sort_unstable();
        named.dedup();
        for (i, contact) in named.into_iter().enumerate() {
            out.push(if i == 0 { '[' } else { ',' });
            ascii_into(out, self.document.raw(contacts.all[contact].node));
        }
        out.push(']');
    }
}

fn senders(group: &[&Update]) -> Vec<String> {
    if let [update] = group {
        return update.senders.clone();
    }
    let mut known = HashSet::new();
    let mut names = Names::default();
    for name in group.iter().flat_map(|update| &update.senders) {
        if known.insert(name) {
            names.0.push(name.clone());
        }
    }
    names.0
}
