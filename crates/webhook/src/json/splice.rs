//! Changes to a document, gathered as splices and written in one pass; all else is copied, in pure ASCII.
//!
//! A change inside of something that is removed or replaced goes with it. Overlapping text edits become one that covers
//! both, with the earlier one's replacement: of two ways to hide a secret, neither may leave half of it.

use super::{Document, NodeId, ascii_into, escape_into, raw_range};
use std::collections::BTreeMap;
use std::ops::Range;

struct Splice {
    start: usize,
    end: usize,
    with: String,
}

pub(crate) struct Changes<'d, 'a> {
    document: &'d Document<'a>,
    splices: Vec<Splice>,
    removed: Vec<NodeId>,
    /// Members or items to be added at the end of a container.
    appended: BTreeMap<NodeId, Vec<String>>,
}

impl<'d, 'a> Changes<'d, 'a> {
    pub(crate) fn of(document: &'d Document<'a>) -> Self {
        Changes { document, splices: vec![], removed: vec![], appended: BTreeMap::new() }
    }

    /// Another value, as JSON in ASCII.
    pub(crate) fn replace(&mut self, node: NodeId, json: String) {
        let (start, end) = self.document.span(node);
        self.splice(start..end, json);
    }

    pub(crate) fn replace_text(&mut self, node: NodeId, text: &str) {
        if self.document.text(node).as_deref() != Some(text) {
            self.replace(node, quoted(text));
        }
    }

    /// Another member (key and value), as JSON in ASCII.
    pub(crate) fn replace_member(&mut self, node: NodeId, json: String) {
        let (start, end) = self.document.member_span(node);
        self.splice(start..end, json);
    }

    /// Other characters for a byte range of the decoded string.
    pub(crate) fn edit_text(&mut self, node: NodeId, range: Range<usize>, replacement: &str) {
        let raw = self.document.raw_text(node);
        let mut with = String::new();
        escape_into(&mut with, replacement);
        self.edit_raw(node, raw_range(raw, range), with);
    }

    /// The same for a range of the raw string, the replacement escaped already.
    pub(crate) fn edit_raw(&mut self, node: NodeId, raw: Range<usize>, with: String) {
        let (start, _) = self.document.span(node);
        self.splice(start + 1 + raw.start..start + 1 + raw.end, with);
    }

    /// Removes a member or item with its comma.
    pub(crate) fn remove(&mut self, node: NodeId) {
        self.removed.push(node);
    }

    /// Adds a member behind one that stays.
    pub(crate) fn insert_after(&mut self, node: NodeId, member: &str) {
        let (_, end) = self.document.span(node);
        self.splices.push(Splice { start: end, end, with: format!(",{member}") });
    }

    pub(crate) fn append(&mut self, container: NodeId, member: String) {
        self.appended.entry(container).or_default().push(member);
    }

    /// The decoded value that a string will have by the edits and replacements so far.
    pub(crate) fn edited(&self, node: NodeId) -> Option<String> {
        self.document.text(node)?;
        let (start, end) = self.document.span(node);
        let mut own: Vec<&Splice> = self.splices.iter().filter(|s| s.start >= start && s.end <= end).collect();
        own.sort_by_key(|s| (s.start, s.end > s.start, std::cmp::Reverse(s.end)));
        let json = self.written(start, end, own.into_iter());
        let value = Document::parse(json.as_bytes()).ok()?;
        value.text(value.root()).map(|text| text.into_owned())
    }

    /// The changed document in pure ASCII; `None` where nothing changes.
    pub(crate) fn finish(mut self) -> Option<String> {
        self.place_removals();
        self.place_additions();
        if self.splices.is_empty() {
            return None;
        }
        // At one place, insertions come first and the widest replacement before those inside of it. The sort is stable.
        self.splices.sort_by_key(|s| (s.start, s.end > s.start, std::cmp::Reverse(s.end)));
        Some(self.written(0, self.document.source().len(), self.splices.iter()))
    }

    /// The source from `start` to `end` with sorted splices in it.
    fn written<'s>(&self, start: usize, end: usize, splices: impl Iterator<Item = &'s Splice>) -> String {
        let source = self.document.source();
        let mut out = String::with_capacity((end - start) / 2 * 3);
        let mut at = start;
        for splice in splices {
            if splice.start >= at {
                ascii_into(&mut out, &source[at..splice.start]);
                out.push_str(&splice.with);
            }
            at = at.max(splice.end);
        }
        ascii_into(&mut out, &source[at..end]);
        out
    }

    fn splice(&mut self, range: Range<usize>, with: String) {
        if self.document.source()[range.clone()] != with {
            self.splices.push(Splice { start: range.start, end: range.end, with });
        }
    }

    /// A run of removed siblings takes the comma behind it along, or the one before it at the end.
    fn place_removals(&mut self) {
        self.removed.sort_unstable();
        self.removed.dedup();
        let mut parents: Vec<NodeId> = self.removed.iter().filter_map(|node| self.document.parent(*node)).collect();
        parents.sort_unstable();
        parents.dedup();
        for parent in parents {
            let mut kept_end: Option<usize> = None;
            let mut run: Option<(usize, usize)> = None;
            for child in self.document.children(parent) {
                let (start, end) = self.document.member_span(child);
                if self.removed.binary_search(&child).is_ok() {
                    run = Some((run.map_or(start, |(first, _)| first), end));
                } else {
                    if let Some((first, _)) = run.take() {
                        self.splices.push(Splice { start: first, end: start, with: String::new() });
                    }
                    kept_end = Some(end);
                }
            }
            if let Some((first, last)) = run {
                self.splices.push(Splice { start: kept_end.unwrap_or(first), end: last, with: String::new() });
            }
        }
    }

    fn place_additions(&mut self) {
        for (container, members) in std::mem::take(&mut self.appended) {
            let (start, end) = self.document.span(container);
            let last = self.document.children(container).last();
            let kept = self.document.children(container).any(|child| self.removed.binary_search(&child).is_err());
            let at = last.map_or(start + 1, |child| self.document.span(child).1).min(end - 1);
            let comma = if kept { "," } else { "" };
            self.splices.push(Splice { start: at, end: at, with: format!("{comma}{}", members.join(",")) });
        }
    }
}

/// A JSON string in ASCII.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    escape_into(&mut out, text);
    out.push('"');
    out
}
