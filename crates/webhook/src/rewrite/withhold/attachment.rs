//! Messenger and Instagram Direct: the attachment goes, and the text says so, with what the customer wrote below it.
//!
//! `keep` leaves the attachment without a url (or with the door's, if the order has one). `unsupported` is Instagram's
//! `is_unsupported`; Messenger has no such thing and gets the text.

use super::{Secrets, goes_whole, scrub, secrets_of, unique};
use crate::content::is_url;
use crate::json::{Changes, Document, Kind, NodeId, quoted};
use crate::messenger::RULES;
use crate::orders::{MediaUrl, Order, WithheldAs, Withhold};
use std::collections::BTreeSet;

pub(super) fn withhold<'d, 'a>(
    document: &'d Document<'a>,
    changes: &mut Changes<'d, 'a>,
    message: NodeId,
    order: &Order,
) {
    let mut work = Work {
        document,
        changes,
        message,
        order,
        gone: BTreeSet::new(),
        notices: vec![],
        secrets: vec![],
        unsupported: false,
    };
    if goes_whole(document, message, order) {
        work.whole(&order.withhold[0]);
    } else {
        order.withhold.iter().for_each(|withhold| work.one(withhold));
    }
    let secrets = Secrets::of(std::mem::take(&mut work.secrets));
    work.remove_attachments();
    work.write_text(&secrets);
    scrub(document, changes, message, &secrets);
}

struct Work<'w, 'd, 'a> {
    document: &'d Document<'a>,
    changes: &'w mut Changes<'d, 'a>,
    message: NodeId,
    order: &'w Order,
    /// Attachments that go.
    gone: BTreeSet<NodeId>,
    /// Notices and captions for the text.
    notices: Vec<String>,
    secrets: Vec<String>,
    unsupported: bool,
}

impl Work<'_, '_, '_> {
    fn one(&mut self, withhold: &Withhold) {
        let document = self.document;
        let Some(target) = document.at(self.message, &withhold.place).filter(|target| *target != self.message) else {
            return self.whole(withhold);
        };
        self.secrets.extend(secrets_of(document, target, &RULES));
        self.unsupported |= withhold.form == WithheldAs::Unsupported
            && document.get_text(document.root(), "object").as_deref() == Some("instagram");
        if document.kind(target) == Kind::String {
            let url = document.key(target).is_some_and(|key| is_url(&key));
            return self.changes.replace_text(target, if url { "" } else { &withhold.notice });
        }
        match self.attachment(target) {
            Some(_) if withhold.form == WithheldAs::Keep => self.without_url(target),
            Some(attachment) => {
                self.gone.insert(attachment);
                self.say(withhold);
            }
            // The story that a message answers.
            None => {
                self.without_url(target);
                self.say(withhold);
            }
        }
    }

    /// Every attachment and everything that was written.
    fn whole(&mut self, withhold: &Withhold) {
        self.secrets.extend(secrets_of(self.document, self.message, &RULES));
        for list in self.document.all(self.message, "attachments").collect::<Vec<_>>() {
            self.changes.remove(list);
        }
        for member in self.document.children(self.message) {
            let written = ["text", "title", "payload"].iter().any(|name| self.document.key_is(member, name));
            if written && self.document.kind(member) == Kind::String {
                self.changes.replace_text(member, &withhold.notice);
            }
        }
        self.say(withhold);
    }

    fn say(&mut self, withhold: &Withhold) {
        self.notices.push(withhold.notice.clone());
        self.notices.extend(withhold.caption.iter().filter(|caption| !caption.is_empty()).cloned());
    }

    /// The item of `attachments` that holds a node.
    fn attachment(&self, target: NodeId) -> Option<NodeId> {
        let mut here = target;
        while let Some(parent) = self.document.parent(here).filter(|_| here != self.message) {
            if self.document.key_is(parent, "attachments") {
                return Some(here);
            }
            here = parent;
        }
        None
    }

    fn without_url(&mut self, node: NodeId) {
        let pointed = |order: &str| self.document.at(self.document.root(), order) == Some(node);
        let has_door_url =
            self.order.media.iter().any(|order| matches!(order.url, MediaUrl::Replace(_)) && pointed(&order.pointer));
        for member in self.document.children(node) {
            let url = self.document.key(member).is_some_and(|key| is_url(&key));
            if url && !has_door_url && self.document.kind(member) == Kind::String {
                self.changes.replace_text(member, "");
            }
        }
    }

    fn remove_attachments(&mut self) {
        if self.unsupported {
            self.gone.extend(
                self.document
                    .get(self.message, "attachments")
                    .into_iter()
                    .flat_map(|list| self.document.children(list)),
            );
        }
        let Some(list) = self.document.get(self.message, "attachments").filter(|_| !self.gone.is_empty()) else {
            return;
        };
        if self.document.children(list).all(|attachment| self.gone.contains(&attachment)) {
            return self.changes.remove(list);
        }
        for attachment in &self.gone {
            self.changes.remove(*attachment);
        }
    }

    fn write_text(&mut self, secrets: &Secrets) {
        let text = self.document.get(self.message, "text");
        if self.unsupported {
            text.into_iter().for_each(|text| self.changes.remove(text));
            if self.document.get(self.message, "is_unsupported").is_none() {
                self.changes.append(self.message, "\"is_unsupported\":true".to_owned());
            }
            return;
        }
        if self.notices.is_empty() {
            return;
        }
        let mut texts = std::mem::take(&mut self.notices);
        texts.extend(text.and_then(|text| self.changes.edited(text)).filter(|text| !text.is_empty()));
        let said = secrets.taken_out_of(&unique(&texts).join("\n\n"));
        match text {
            Some(text) => self.changes.replace(text, quoted(&said)),
            None => self.changes.append(self.message, format!("\"text\":{}", quoted(&said))),
        }
    }
}
