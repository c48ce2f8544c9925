//! Looking into a message: every text, link and file in it, wherever it hides.
//!
//! One walk over the whole message object, the same for all channels and all kinds; a channel's [`Rules`] say what a
//! string is by its name. What no rule names is guessed at and rather looked at than left out, so that a new kind of
//! message is scanned on the day Meta brings it, and nothing has to be taught here.

use crate::json::{Document, Kind, NodeId, push_segment};
use crate::reading::push_step;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use guarita_message::{ContentHash, MediaRef, Part, PartBody, TextRole};
use std::borrow::Cow;

/// Parts of one message; more than any client can send (a few hundred contact cards are a few thousand). What goes beyond
/// is not left out, but joined into one text that can be judged and withheld, though not edited.
const PARTS_MAX: usize = 20_000;
/// Members of an envelope that are objects, written by Meta or by us alone.
const META_ONLY: [&str; 4] = ["errors", "identity", "history_context", "guarita"];
/// A string without spaces, dots or slashes is content from this length on, and a word of Meta's below it.
const GUESS_BYTES_MIN: usize = 40;

/// What a string is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    Text(TextRole),
    Link,
    /// Ids, states, times: nobody reads them.
    Skip,
    /// Unknown: looked at if it could say something.
    Guess,
    /// An id by its name: looked at only if it holds a link.
    Opaque,
}

/// Where a string stands: names of the members on the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'k> {
    /// The member of the message object it is in.
    pub first: &'k str,
    pub parent: &'k str,
    pub last: &'k str,
}

pub(crate) struct Rules {
    /// Members of the message object that hold no content, with all that is in them.
    pub envelope: &'static [&'static str],
    /// A member of a member that holds a whole message again.
    pub nested: Option<(&'static str, &'static str)>,
    pub seen: fn(Place<'_>) -> Seen,
    /// The media object that a node is, and the name of its url's member.
    pub media: fn(&Document<'_>, NodeId, &str) -> Option<Media>,
}

/// A file, and the name of the member that holds its url.
pub(crate) type Media = (MediaRef, Option<&'static str>);

pub(crate) struct Walker<'d, 'a> {
    document: &'d Document<'a>,
    rules: &'d Rules,
    /// Names of the members on the way here; the message object's own are from `root` on.
    keys: Vec<Cow<'a, str>>,
    root: usize,
    pointer: String,
    /// Length of the message object's pointer.
    base: usize,
    parts: Vec<Part>,
    overflow: String,
}

impl<'d, 'a> Walker<'d, 'a> {
    /// All parts of the message object at `pointer`.
    pub(crate) fn read(document: &'d Document<'a>, message: NodeId, pointer: &str, rules: &'d Rules) -> Vec<Part> {
        let mut walker = Walker {
            document,
            rules,
            keys: vec![],
            root: 0,
            pointer: pointer.to_owned(),
            base: pointer.len(),
            parts: vec![],
            overflow: String::new(),
        };
        walker.visit(message);
        let Walker { mut parts, overflow, .. } = walker;
        if !overflow.is_empty() {
            let body = PartBody::Text { text: overflow, role: TextRole::Answer };
            parts.push(Part { pointer: pointer.to_owned(), place: String::new(), body });
        }
        parts
    }

    fn visit(&mut self, node: NodeId) {
        match self.document.kind(node) {
            Kind::Object => self.object(node),
            Kind::Array => self.children(node, &[]),
            Kind::String => self.string(node),
            Kind::Number | Kind::Bool | Kind::Null => {}
        }
    }

    fn object(&mut self, node: NodeId) {
        let key = self.keys.last().map_or("", |key| key.as_ref());
        let Some((mut media, url_key)) = (self.rules.media)(self.document, node, key) else {
            return self.children(node, &[]);
        };
        if self.pointer.len() == self.base {
            // The message object itself: its id is the message's.
            media.id = None;
            if media.url.is_none() {
                return self.children(node, &[]);
            }
        }
        media.url_pointer = url_key.map(|key| format!("{}/{key}", self.pointer));
        // However many: a file that is not told of would go unscanned.
        let part = self.part(PartBody::File(media));
        self.parts.push(part);
        self.children(node, &["id", "url", "link", "mime_type", "sha256", "file_size"]);
    }

    fn children(&mut self, node: NodeId, but: &[&str]) {
        for (i, child) in self.document.children(node).enumerate() {
            let key = self.document.key(child);
            if let Some(key) = &key {
                let of_message = self.keys.len() == self.root && self.rules.envelope.contains(&key.as_ref());
                // An envelope holds plain values; an object in its place may hold anything.
                let plain = !self.document.is_container(child) || META_ONLY.contains(&key.as_ref());
                if plain && (of_message || but.contains(&key.as_ref())) {
                    continue;
                }
            }
            let length = self.pointer.len();
            push_step(&mut self.pointer, self.document, child, i);
            let outer_root = self.root;
            let named = key.is_some();
            if let Some(key) = key {
                if let (Some((outer, inner)), Some(parent)) = (self.rules.nested, self.keys.last())
                    && *parent == outer
                    && key == inner
                {
                    self.root = self.keys.len() + 1;
                }
                self.keys.push(key);
            }
            self.visit(child);
            if named {
                self.keys.pop();
            }
            self.root = outer_root;
            self.pointer.truncate(length);
        }
    }

    fn string(&mut self, node: NodeId) {
        let Some(text) = self.document.text(node).filter(|text| !text.is_empty()) else { return };
        let keys = &self.keys[self.root.min(self.keys.len())..];
        let name = |at: Option<usize>| at.and_then(|at| keys.get(at)).map_or("", |key| key.as_ref());
        let (first, last) = (name(Some(0)), name(keys.len().checked_sub(1)));
        let seen = (self.rules.seen)(Place { first, parent: name(keys.len().checked_sub(2)), last });
        let role = match seen {
            Seen::Skip => return,
            Seen::Link => return self.add(PartBody::Link { url: text.into_owned() }),
            Seen::Text(role) => role,
            Seen::Guess if could_say_something(&text) => TextRole::Answer,
            Seen::Opaque if holds_link(&text) => TextRole::Answer,
            Seen::Guess | Seen::Opaque => return,
        };
        let inside = if role == TextRole::Answer { texts_inside(&text) } else { vec![] };
        self.add(PartBody::Text { text: text.into_owned(), role });
        for (pointer, text) in inside {
            let length = self.pointer.len();
            self.pointer.push_str(&pointer);
            self.add(PartBody::Text { text, role });
            self.pointer.truncate(length);
        }
    }

    fn add(&mut self, body: PartBody) {
        if self.parts.len() < PARTS_MAX {
            let part = self.part(body);
            self.parts.push(part);
            return;
        }
        match &body {
            PartBody::Text { text, .. } | PartBody::Link { url: text } => {
                self.overflow.push_str(text);
                self.overflow.push('\n');
            }
            PartBody::File(_) => {}
        }
    }

    fn part(&self, body: PartBody) -> Part {
        Part { pointer: self.pointer.clone(), place: self.pointer[self.base..].to_owned(), body }
    }
}

/// Names in a contact of the envelope (profile name, user name): texts that their owner chose.
pub(crate) fn labels(document: &Document<'_>, contact: NodeId, pointer: &str) -> Vec<Part> {
    let profile = document.get(contact, "profile");
    let strings = profile.into_iter().flat_map(|profile| document.children(profile));
    strings
        .filter_map(|node| {
            let text = document.text(node).filter(|text| !text.is_empty())?.into_owned();
            let mut pointer = format!("{pointer}/profile");
            push_segment(&mut pointer, &document.key(node)?);
            Some(Part { place: pointer.clone(), pointer, body: PartBody::Text { text, role: TextRole::Label } })
        })
        .take(PARTS_MAX)
        .collect()
}

/// A string may be JSON itself (answers of flows). Its texts show as they are in the string already, but for those that
/// hide behind an escape (`https:\/\/`, `\u0070aypal`): these are told apart, at a pointer that goes on into the string.
fn texts_inside(text: &str) -> Vec<(String, String)> {
    let json = text.trim_start().starts_with(['{', '[']) && text.contains('\\');
    let Some(inner) = json.then(|| Document::parse(text.as_bytes()).ok()).flatten() else { return vec![] };
    let mut found = vec![];
    let mut pointer = String::new();
    escaped_texts(&inner, inner.root(), &mut pointer, &mut found);
    found
}

fn escaped_texts(document: &Document<'_>, node: NodeId, pointer: &mut String, found: &mut Vec<(String, String)>) {
    for (i, child) in document.children(node).enumerate() {
        let length = pointer.len();
        push_step(pointer, document, child, i);
        match document.text(child) {
            Some(Cow::Owned(text)) if !text.is_empty() => found.push((pointer.clone(), text)),
            Some(_) => {}
            None => escaped_texts(document, child, pointer, found),
        }
        pointer.truncate(length);
    }
}

fn could_say_something(text: &str) -> bool {
    text.len() >= GUESS_BYTES_MIN || !text.is_ascii() || text.contains([' ', '.', '/', ':', '@', '\n', '\t'])
}

fn holds_link(text: &str) -> bool {
    text.contains("://") || text.contains("www.")
}

/// Names that only machines read, in any channel.
pub(crate) fn is_opaque(name: &str) -> bool {
    name.ends_with("_id")
        || name.ends_with("_token")
        || matches!(name, "id" | "type" | "sha256" | "mime_type" | "hash" | "timestamp" | "currency" | "mid" | "status")
}

pub(crate) fn is_url(name: &str) -> bool {
    name == "url" || name == "link" || name == "uri" || name.ends_with("_url") || name.ends_with("_link")
}

/// A digest as Meta writes it: base64 in webhooks, hex in look-ups. `None` where it is neither.
pub(crate) fn hash_of(text: &str) -> Option<ContentHash> {
    if text.len() == 64
        && let Ok(hash) = text.parse()
    {
        return Some(hash);
    }
    let bytes = STANDARD.decode(text).ok()?;
    Some(ContentHash(bytes.try_into().ok()?))
}
