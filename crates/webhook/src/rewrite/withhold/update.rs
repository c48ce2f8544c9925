//! Telegram: the file's member goes, and the text says so, with the caption below it.
//!
//! There is no type to change: what a message is follows from its members. `keep` leaves the file under an id that leads
//! nowhere; `unsupported` does not exist here and is a text.

use super::{Secrets, goes_whole, scrub, secrets_of, unique};
use crate::content::is_url;
use crate::json::{Changes, Document, Kind, NodeId, quoted};
use crate::orders::{Order, WithheldAs, Withhold};
use crate::telegram::RULES;
use std::collections::BTreeMap;

pub(super) fn withhold<'d, 'a>(
    document: &'d Document<'a>,
    changes: &mut Changes<'d, 'a>,
    message: NodeId,
    order: &Order,
) {
    let mut work = Work { document, changes, message, notices: BTreeMap::new(), secrets: vec![] };
    if goes_whole(document, message, order) {
        work.whole(&order.withhold[0]);
    } else {
        order.withhold.iter().for_each(|withhold| work.one(withhold));
    }
    let secrets = Secrets::of(std::mem::take(&mut work.secrets));
    work.write_texts(&secrets);
    scrub(document, changes, message, &secrets);
}

struct Work<'w, 'd, 'a> {
    document: &'d Document<'a>,
    changes: &'w mut Changes<'d, 'a>,
    message: NodeId,
    /// What is to be said in which message: the one itself, or the one that it answers.
    notices: BTreeMap<NodeId, Vec<String>>,
    secrets: Vec<String>,
}

impl Work<'_, '_, '_> {
    fn one(&mut self, withhold: &Withhold) {
        let document = self.document;
        let Some(target) = document.at(self.message, &withhold.place).filter(|target| *target != self.message) else {
            return self.whole(withhold);
        };
        if document.kind(target) == Kind::String {
            let url = document.key(target).is_some_and(|key| is_url(&key));
            self.changes.replace_text(target, if url { "" } else { &withhold.notice });
            return self.drop_entities(document.parent(target).unwrap_or(self.message));
        }
        let secrets = self.file_ids(target);
        let holder = self.holder(target);
        if withhold.form == WithheldAs::Keep && !secrets.is_empty() {
            self.stand_in(holder, &secrets, &withhold.replacement_id);
        } else {
            self.remove_from(holder, target, &secrets);
            self.notices.entry(holder).or_default().push(withhold.notice.clone());
        }
        self.secrets.extend(secrets);
    }

    /// Every file and everything that was written.
    fn whole(&mut self, withhold: &Withhold) {
        let mut open: Vec<NodeId> = vec![self.message];
        while let Some(node) = open.pop() {
            for member in self.document.children(node) {
                let written =
                    ["text", "caption", "data", "query"].iter().any(|name| self.document.key_is(member, name));
                if written && self.document.kind(member) == Kind::String {
                    self.changes.replace_text(member, &withhold.notice);
                    self.drop_entities(node);
                }
                open.push(member);
            }
        }
        let files = self.file_ids(self.message);
        for member in self.document.children(self.message) {
            if !self.file_ids(member).is_empty() {
                self.changes.remove(member);
            }
        }
        self.secrets.extend(files);
        self.notices.entry(self.message).or_default().push(withhold.notice.clone());
    }

    /// The message that a node stands in: the update's, or one within it.
    fn holder(&self, target: NodeId) -> NodeId {
        let mut here = target;
        while let Some(parent) = self.document.parent(here).filter(|_| here != self.message) {
            here = parent;
            if here == self.message || self.document.get(here, "message_id").is_some() {
                return here;
            }
        }
        self.message
    }

    /// Of a picture all sizes, of a film its thumbnail too.
    fn file_ids(&self, node: NodeId) -> Vec<String> {
        let mut ids = secrets_of(self.document, node, &RULES);
        let list = self.document.parent(node).filter(|list| self.document.key_is(*list, "photo"));
        let mut open = vec![list.unwrap_or(node)];
        while let Some(node) = open.pop() {
            ids.extend(self.document.get_text(node, "file_id").map(|id| id.into_owned()));
            open.extend(self.document.children(node));
        }
        ids.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        ids.dedup();
        ids
    }

    /// An animation stands in its message as a document, too.
    fn remove_from(&mut self, holder: NodeId, target: NodeId, secrets: &[String]) {
        for member in self.document.children(holder) {
            let (start, end) = self.document.span(member);
            let (from, to) = self.document.span(target);
            let same_file = self.file_ids(member).iter().any(|id| secrets.contains(id));
            let nested = self.document.get(member, "message_id").is_some();
            if start <= from && to <= end || same_file && !nested {
                self.changes.remove(member);
            }
        }
    }

    fn stand_in(&mut self, holder: NodeId, secrets: &[String], replacement: &str) {
        let mut open = vec![holder];
        while let Some(node) = open.pop() {
            for member in self.document.children(node) {
                let of_file = self.document.text(member).is_some_and(|text| secrets.iter().any(|id| *id == text));
                if of_file && self.document.key_is(member, "file_id") {
                    self.changes.replace_text(member, replacement);
                }
                open.push(member);
            }
        }
    }

    fn write_texts(&mut self, secrets: &Secrets) {
        for (holder, notices) in std::mem::take(&mut self.notices) {
            let text = self.document.get(holder, "text");
            let caption = self.document.get(holder, "caption");
            let mut texts = notices;
            for node in [text, caption].into_iter().flatten() {
                texts.extend(self.changes.edited(node).filter(|text| !text.is_empty()));
            }
            let said = quoted(&secrets.taken_out_of(&unique(&texts).join("\n\n")));
            match (text, caption) {
                (Some(text), _) => self.changes.replace(text, said),
                (None, Some(caption)) => self.changes.replace_member(caption, format!("\"text\":{said}")),
                (None, None) => self.changes.append(holder, format!("\"text\":{said}")),
            }
            if let (Some(_), Some(caption)) = (text, caption) {
                self.changes.remove(caption);
            }
            self.drop_entities(holder);
        }
    }

    /// Offsets into a text that is no longer there.
    fn drop_entities(&mut self, holder: NodeId) {
        for name in ["entities", "caption_entities"] {
            for member in self.document.all(holder, name).collect::<Vec<_>>() {
                self.changes.remove(member);
            }
        }
    }
}
