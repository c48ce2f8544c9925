//! A lossless JSON document: a flat tree of nodes that point into the bytes they came from.
//!
//! Values are never re-made: a change is a splice into the original (`splice`), so key order, numbers (`1e5`, `1.0`, any
//! size), lone surrogate escapes and duplicate keys stay as they were. It knows no channel. Depth, nodes and bytes are
//! bounded, so that hostile input costs what its length implies and no more.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

mod splice;
mod string;

pub(crate) use splice::{Changes, quoted};
pub(crate) use string::{ascii_into, escape_into, raw_range};

/// Nesting beyond which nobody's client reads on either.
const DEPTH_MAX: u32 = 128;
/// Values in one body; Meta's largest (3 MB of history) hold a tenth of it. A node costs 32 bytes while we look.
const NODES_MAX: usize = 1_000_000;
/// Nodes made room for at first, by bytes of input: webhooks have a value every twenty bytes or so.
const BYTES_PER_NODE: usize = 20;

/// The body cannot be read as JSON. The sender is at fault and a retry of the same bytes cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON that we take: {reason} (byte {at})")]
pub struct NotJson {
    pub reason: &'static str,
    /// Where reading stopped.
    pub at: usize,
}

/// Items of an array that are walked to rather than looked up.
const ITEMS_WALKED_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

#[derive(Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// Span of the member's key with its quotes; both 0 where the parent is no object.
    key_start: u32,
    key_end: u32,
    /// The next node that is not below this one.
    after: u32,
    parent: u32,
    kind: Kind,
    /// The string, or the key, holds a backslash.
    escaped: bool,
    key_escaped: bool,
}

pub(crate) struct Document<'a> {
    source: &'a str,
    nodes: Vec<Node>,
    tables: RefCell<HashMap<NodeId, Vec<NodeId>>>,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, NotJson> {
        if u32::try_from(body.len()).is_err() {
            return Err(NotJson { reason: "longer than 4 GiB", at: 0 });
        }
        let source = std::str::from_utf8(body)
            .map_err(|error| NotJson { reason: "the text is not UTF-8", at: error.valid_up_to() })?;
        let nodes = Vec::with_capacity((body.len() / BYTES_PER_NODE + 8).min(NODES_MAX));
        let mut parser = Parser { bytes: body, at: 0, nodes };
        parser.space();
        parser.value(Key::NONE, 0, 0)?;
        parser.space();
        if parser.at != body.len() {
            return Err(parser.no("something follows the value"));
        }
        Ok(Document { source, nodes: parser.nodes, tables: RefCell::default() })
    }

    pub(crate) fn source(&self) -> &'a str {
        self.source
    }

    pub(crate) fn root(&self) -> NodeId {
        NodeId(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn kind(&self, id: NodeId) -> Kind {
        self.node(id).kind
    }

    pub(crate) fn is_object(&self, id: NodeId) -> bool {
        self.kind(id) == Kind::Object
    }

    pub(crate) fn is_container(&self, id: NodeId) -> bool {
        matches!(self.kind(id), Kind::Object | Kind::Array)
    }

    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        (id.0 != 0).then(|| NodeId(self.node(id).parent))
    }

    /// Bytes of the value.
    pub(crate) fn span(&self, id: NodeId) -> (usize, usize) {
        let node = self.node(id);
        (node.start as usize, node.end as usize)
    }

    /// Bytes of the value, with its key where it has one.
    pub(crate) fn member_span(&self, id: NodeId) -> (usize, usize) {
        let node = self.node(id);
        let start = if node.key_end > 0 { node.key_start } else { node.start };
        (start as usize, node.end as usize)
    }

    /// The value as it was written.
    pub(crate) fn raw(&self, id: NodeId) -> &'a str {
        let (start, end) = self.span(id);
        &self.source[start..end]
    }

    /// The key as it was written, with its quotes; empty where there is none.
    pub(crate) fn raw_key(&self, id: NodeId) -> &'a str {
        let node = self.node(id);
        &self.source[node.key_start as usize..node.key_end as usize]
    }

    pub(crate) fn key(&self, id: NodeId) -> Option<Cow<'a, str>> {
        let node = self.node(id);
        if node.key_end == 0 {
            return None;
        }
        let inner = &self.source[node.key_start as usize + 1..node.key_end as usize - 1];
        Some(if node.key_escaped { Cow::Owned(string::decode(inner)) } else { Cow::Borrowed(inner) })
    }

    pub(crate) fn key_is(&self, id: NodeId, name: &str) -> bool {
        let node = self.node(id);
        if node.key_escaped {
            return self.key(id).as_deref() == Some(name);
        }
        node.key_end > 0
            && self.source.as_bytes()[node.key_start as usize + 1..node.key_end as usize - 1] == *name.as_bytes()
    }

    /// The decoded value of a string; lone surrogates become U+FFFD.
    pub(crate) fn text(&self, id: NodeId) -> Option<Cow<'a, str>> {
        let node = self.node(id);
        if node.kind != Kind::String {
            return None;
        }
        let inner = self.raw_text(id);
        Some(if node.escaped { Cow::Owned(string::decode(inner)) } else { Cow::Borrowed(inner) })
    }

    /// A string as it was written, without its quotes.
    pub(crate) fn raw_text(&self, id: NodeId) -> &'a str {
        let raw = self.raw(id);
        raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
    }

    /// A string's value or a number's digits: ids and times come as either.
    pub(crate) fn scalar(&self, id: NodeId) -> Option<Cow<'a, str>> {
        match self.kind(id) {
            Kind::String => self.text(id),
            Kind::Number => Some(Cow::Borrowed(self.raw(id))),
            _ => None,
        }
    }

    /// Members of an object, items of an array, nothing of the rest.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + use<'_, 'a> {
        let end = self.node(id).after;
        let mut next = id.0 + 1;
        std::iter::from_fn(move || {
            let here = (next < end).then_some(NodeId(next))?;
            next = self.node(here).after;
            Some(here)
        })
    }

    /// The member of that name. Of duplicates the last, as nearly all parsers see it.
    pub(crate) fn get(&self, id: NodeId, name: &str) -> Option<NodeId> {
        if !self.is_object(id) {
            return None;
        }
        self.children(id).filter(|child| self.key_is(*child, name)).last()
    }

    /// All members of that name.
    pub(crate) fn all<'n>(&'n self, id: NodeId, name: &'n str) -> impl Iterator<Item = NodeId> + 'n {
        self.children(id).filter(move |child| self.key_is(*child, name))
    }

    pub(crate) fn get_text(&self, id: NodeId, name: &str) -> Option<Cow<'a, str>> {
        self.text(self.get(id, name)?)
    }

    pub(crate) fn get_scalar(&self, id: NodeId, name: &str) -> Option<Cow<'a, str>> {
        self.scalar(self.get(id, name)?)
    }

    pub(crate) fn get_true(&self, id: NodeId, name: &str) -> bool {
        self.get(id, name).is_some_and(|node| self.raw(node) == "true")
    }

    /// Walks a JSON pointer as far as it leads: the last node reached, and what of the pointer is left.
    pub(crate) fn follow<'p>(&self, from: NodeId, pointer: &'p str) -> (NodeId, &'p str) {
        let (mut here, mut rest) = (from, pointer);
        while let Some(tail) = rest.strip_prefix('/') {
            let end = tail.find('/').unwrap_or(tail.len());
            let Some(next) = self.step(here, &tail[..end]) else { break };
            here = next;
            rest = &tail[end..];
        }
        (here, rest)
    }

    pub(crate) fn at(&self, from: NodeId, pointer: &str) -> Option<NodeId> {
        let (node, rest) = self.follow(from, pointer);
        rest.is_empty().then_some(node)
    }

    fn step(&self, id: NodeId, segment: &str) -> Option<NodeId> {
        match self.kind(id) {
            Kind::Object if segment.contains('~') => self.get(id, &segment.replace("~1", "/").replace("~0", "~")),
            Kind::Object => self.get(id, segment),
            Kind::Array => self.item(id, segment.parse().ok()?),
            _ => None,
        }
    }

    /// Far items of long arrays are found by a table, made once: a rewrite asks for each of a thousand messages.
    fn item(&self, id: NodeId, index: usize) -> Option<NodeId> {
        if index < ITEMS_WALKED_MAX {
            return self.children(id).nth(index);
        }
        let mut tables = self.tables.borrow_mut();
        tables.entry(id).or_insert_with(|| self.children(id).collect()).get(index).copied()
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bytes that stand for themselves within a string.
static PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// Appends `/segment`, escaped as RFC 6901 says.
pub(crate) fn push_segment(pointer: &mut String, segment: &str) {
    pointer.push('/');
    for c in segment.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

#[derive(Clone, Copy)]
struct Key {
    start: u32,
    end: u32,
    escaped: bool,
}

impl Key {
    const NONE: Key = Key { start: 0, end: 0, escaped: false };
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Parser<'_> {
    fn value(&mut self, key: Key, parent: u32, depth: u32) -> Result<(), NotJson> {
        if depth > DEPTH_MAX {
            return Err(self.no("nested too deeply (more than 128 levels)"));
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(self.no("too many values (more than 1,000,000)"));
        }
        let id = self.nodes.len();
        let start = self.at as u32;
        self.nodes.push(Node {
            start,
            end: start,
            key_start: key.start,
            key_end: key.end,
            after: 0,
            parent,
            kind: Kind::Null,
            escaped: false,
            key_escaped: key.escaped,
        });
        let mut escaped = false;
        let kind = match self.peek() {
            Some(b'{') => self.object(id as u32, depth)?,
            Some(b'[') => self.array(id as u32, depth)?,
            Some(b'"') => {
                escaped = self.string()?;
                Kind::String
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true", Kind::Bool)?,
            Some(b'f') => self.word(b"false", Kind::Bool)?,
            Some(b'n') => self.word(b"null", Kind::Null)?,
            Some(_) => return Err(self.no("a value was expected")),
            None => return Err(self.no("it ends too early")),
        };
        let after = self.nodes.len() as u32;
        let node = &mut self.nodes[id];
        (node.end, node.after, node.kind, node.escaped) = (self.at as u32, after, kind, escaped);
        Ok(())
    }

    fn object(&mut self, id: u32, depth: u32) -> Result<Kind, NotJson> {
        self.at += 1;
        self.space();
        if self.took(b'}') {
            return Ok(Kind::Object);
        }
        loop {
            let start = self.at as u32;
            if self.peek() != Some(b'"') {
                return Err(self.no("a key was expected"));
            }
            let escaped = self.string()?;
            let key = Key { start, end: self.at as u32, escaped };
            self.space();
            if !self.took(b':') {
                return Err(self.no("a colon was expected"));
            }
            self.space();
            self.value(key, id, depth + 1)?;
            self.space();
            if self.took(b'}') {
                return Ok(Kind::Object);
            }
            if !self.took(b',') {
                return Err(self.no("a comma or a closing brace was expected"));
            }
            self.space();
        }
    }

    fn array(&mut self, id: u32, depth: u32) -> Result<Kind, NotJson> {
        self.at += 1;
        self.space();
        if self.took(b']') {
            return Ok(Kind::Array);
        }
        loop {
            self.value(Key::NONE, id, depth + 1)?;
            self.space();
            if self.took(b']') {
                return Ok(Kind::Array);
            }
            if !self.took(b',') {
                return Err(self.no("a comma or a closing bracket was expected"));
            }
            self.space();
        }
    }

    /// Past a string; tells whether a backslash was in it.
    fn string(&mut self) -> Result<bool, NotJson> {
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.at..];
            self.at += rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            let digits = self.bytes.get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                                return Err(self.no("an escape is not \\u and four hexadecimal digits"));
                            }
                            self.at += 5;
                        }
                        _ => return Err(self.no("a string holds an unknown escape")),
                    }
                }
                Some(_) => return Err(self.no("a string holds a raw control character")),
                None => return Err(self.no("it ends within a string")),
            }
        }
    }

    fn number(&mut self) -> Result<Kind, NotJson> {
        self.took(b'-');
        if !self.took(b'0') {
            self.digits()?;
        }
        if self.took(b'.') {
            self.digits()?;
        }
        if self.took(b'e') || self.took(b'E') {
            if !self.took(b'+') {
                self.took(b'-');
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.no("a number lacks digits")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, NotJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.no("a value was expected"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn took(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn no(&self, reason: &'static str) -> NotJson {
        NotJson { reason, at: self.at }
    }
}

#[cfg(test)]
mod tests;
