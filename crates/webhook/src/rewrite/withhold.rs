//! The three forms of a withheld message (SPEC 6), and that nothing of the blocked file stays in it.
//!
//! The envelope, sender, id, timestamp and context stay. No type is invented, and none is left without its object.

use crate::content::{Rules, is_url};
use crate::json::{Changes, Document, Kind, NodeId, quoted};
use crate::orders::{MediaUrl, Order, WithheldAs, Withhold};
use std::collections::{BTreeMap, BTreeSet, HashSet};

mod attachment;
mod secrets;
mod update;

use secrets::{Secrets, scrub};

/// Meta's words for a message it could not show.
const ERROR_CODE: u32 = 131_051;
const ERROR_TITLE: &str = "Message type unknown";
/// A message of which more than this is to be withheld goes as a whole.
const WITHHOLDS_MAX: usize = 64;

pub(super) fn withhold<'d, 'a>(
    document: &'d Document<'a>,
    changes: &mut Changes<'d, 'a>,
    message: NodeId,
    order: &Order,
) {
    if order.withhold.is_empty() {
        return;
    }
    let rules = match document.get_text(document.root(), "object").as_deref() {
        Some("page" | "instagram") => return attachment::withhold(document, changes, message, order),
        None if document.get(document.root(), "update_id").is_some() => {
            return update::withhold(document, changes, message, order);
        }
        _ => &crate::whatsapp::RULES,
    };
    let mut work = Work { document, changes, message, order, rules, converted: BTreeMap::new(), secrets: vec![] };
    if goes_whole(document, message, order) {
        work.whole(&order.withhold[0]);
    } else {
        order.withhold.iter().for_each(|withhold| work.one(withhold));
    }
    let secrets = Secrets::of(std::mem::take(&mut work.secrets));
    work.convert(&secrets);
    scrub(document, changes, message, &secrets);
}

/// Too much of it is to be withheld, or a member stands in it twice and clients differ on which of them counts.
fn goes_whole(document: &Document<'_>, message: NodeId, order: &Order) -> bool {
    if order.withhold.len() > WITHHOLDS_MAX {
        return true;
    }
    let mut open = vec![message];
    while let Some(node) = open.pop() {
        let mut keys = HashSet::new();
        for child in document.children(node) {
            if document.key(child).is_some_and(|key| !keys.insert(key)) {
                return true;
            }
            open.push(child);
        }
    }
    false
}

struct Work<'w, 'd, 'a> {
    document: &'d Document<'a>,
    changes: &'w mut Changes<'d, 'a>,
    message: NodeId,
    order: &'w Order,
    rules: &'static Rules,
    /// Message objects that take another form: the message, or the one within an edit.
    converted: BTreeMap<NodeId, Converted>,
    secrets: Vec<String>,
}

#[derive(Default)]
struct Converted {
    unsupported: bool,
    notices: Vec<String>,
    captions: Vec<String>,
    /// Names of members that go.
    gone: BTreeSet<String>,
}

impl Work<'_, '_, '_> {
    fn one(&mut self, withhold: &Withhold) {
        let document = self.document;
        let Some(target) = document.at(self.message, &withhold.place) else {
            return match document.at(document.root(), &withhold.place) {
                // Outside of the message: the name in its contact.
                Some(target) if document.kind(target) == Kind::String => self.blank(target, &withhold.notice),
                _ => self.whole(withhold),
            };
        };
        if target == self.message {
            return self.whole(withhold);
        }
        self.secrets.extend(secrets_of(document, target, self.rules));
        let (holder, member) = self.holder(target);
        let of_type = document.get_text(holder, "type").is_some_and(|kind| document.key_is(member, &kind));
        let text = document.kind(target) == Kind::String;
        if text && (!of_type || self.in_media(target)) {
            return self.blank(target, &withhold.notice);
        }
        match withhold.form {
            WithheldAs::Keep if text => self.blank(target, &withhold.notice),
            WithheldAs::Keep if media_of(document, target, self.rules).is_some() => self.stand_in(target, withhold),
            WithheldAs::Unsupported => {
                let (_, member) = self.below(target, self.message);
                self.note_conversion(self.message, withhold, Some(member));
            }
            WithheldAs::Text | WithheldAs::Keep => self.note_conversion(holder, withhold, Some(member)),
        }
    }

    /// The message as a whole; every file in it counts as blocked.
    fn whole(&mut self, withhold: &Withhold) {
        // The id beside it is the message's own.
        self.secrets.extend(media_of(self.document, self.message, self.rules).and_then(|media| media.url));
        for member in self.document.children(self.message).collect::<Vec<_>>() {
            let found = secrets_of(self.document, member, self.rules);
            if !found.is_empty() {
                self.note_conversion(self.message, withhold, Some(member));
            }
            self.secrets.extend(found);
        }
        self.note_conversion(self.message, withhold, None);
    }

    /// The innermost message object around a node, and the member of it that holds the node.
    fn holder(&self, target: NodeId) -> (NodeId, NodeId) {
        let mut here = target;
        while let Some(parent) = self.document.parent(here) {
            let nested = self.rules.nested.is_some_and(|(outer, inner)| {
                let above = self.document.parent(parent);
                self.document.is_object(parent)
                    && self.document.key_is(parent, inner)
                    && above.is_some_and(|above| self.document.key_is(above, outer))
            });
            if parent == self.message || nested && parent != target {
                return (parent, here);
            }
            here = parent;
        }
        (self.message, target)
    }

    fn below(&self, target: NodeId, ancestor: NodeId) -> (NodeId, NodeId) {
        let mut here = target;
        while let Some(parent) = self.document.parent(here).filter(|parent| *parent != ancestor) {
            here = parent;
        }
        (ancestor, here)
    }

    fn in_media(&self, target: NodeId) -> bool {
        let parent = self.document.parent(target);
        parent.is_some_and(|parent| media_of(self.document, parent, self.rules).is_some())
    }

    /// A string gives way to the notice, but what must be a link or JSON becomes an empty one.
    fn blank(&mut self, target: NodeId, notice: &str) {
        let text = self.document.text(target).unwrap_or_default();
        let instead = if self.document.key(target).is_some_and(|key| is_url(&key)) {
            ""
        } else if text.starts_with('{') && Document::parse(text.as_bytes()).is_ok() {
            "{}"
        } else {
            notice
        };
        self.changes.replace_text(target, instead);
    }

    /// `keep`: the object stays, its id leads nowhere.
    fn stand_in(&mut self, media: NodeId, withhold: &Withhold) {
        let pointed = |order: &str| self.document.at(self.document.root(), order) == Some(media);
        let has_door_url =
            self.order.media.iter().any(|order| matches!(order.url, MediaUrl::Replace(_)) && pointed(&order.pointer));
        let mut has_id = false;
        for member in self.document.children(media) {
            match self.document.key(member).as_deref() {
                Some("id") => {
                    has_id = true;
                    self.changes.replace_text(member, &withhold.replacement_id);
                }
                Some("url" | "link" | "story_media_url") if !has_door_url => self.changes.remove(member),
                _ => {}
            }
        }
        if !has_id {
            self.changes.append(media, format!("\"id\":{}", quoted(&withhold.replacement_id)));
        }
    }

    fn note_conversion(&mut self, holder: NodeId, withhold: &Withhold, member: Option<NodeId>) {
        let gone = member.and_then(|member| self.document.key(member)).map(|key| key.into_owned());
        let kind = self.document.get_text(holder, "type").map(|kind| kind.into_owned());
        let converted = self.converted.entry(holder).or_default();
        converted.unsupported |= withhold.form == WithheldAs::Unsupported;
        if !converted.notices.contains(&withhold.notice) {
            converted.notices.push(withhold.notice.clone());
        }
        let caption_place = format!("{}/caption", withhold.place);
        let caption_goes = self.order.withhold.iter().any(|other| other.place == caption_place);
        converted.captions.extend(withhold.caption.iter().filter(|text| !text.is_empty() && !caption_goes).cloned());
        // A text beside the blocked thing is what the customer wrote: it stays, as a caption does.
        let text_stays = kind.as_deref() == Some("text") && gone.as_deref().is_some_and(|gone| gone != "text");
        converted.gone.extend(gone);
        converted.gone.extend(kind.filter(|_| !text_stays));
    }

    fn convert(&mut self, secrets: &Secrets) {
        for (holder, converted) in std::mem::take(&mut self.converted) {
            let (kind, content) = if converted.unsupported {
                ("unsupported", format!("\"errors\":{}", error(&unique(&converted.notices).join("\n\n"))))
            } else {
                ("text", format!("\"text\":{{\"body\":{}}}", quoted(&self.text_of(holder, &converted, secrets))))
            };
            let content_key = if converted.unsupported { "errors" } else { "text" };
            let mut content = Some(content);
            let mut typed = false;
            // The content takes the place of a member of its name, else of the first one that goes.
            let own = self.document.get(holder, content_key).is_some();
            for member in self.document.children(holder) {
                let Some(key) = self.document.key(member) else { break };
                if key == "type" {
                    typed = true;
                    self.changes.replace_text(member, kind);
                } else if key == content_key || converted.gone.contains(key.as_ref()) {
                    match content.take_if(|_| !own || key == content_key) {
                        Some(content) => self.changes.replace_member(member, content),
                        None => self.changes.remove(member),
                    }
                }
            }
            if !typed {
                self.changes.append(holder, format!("\"type\":\"{kind}\""));
            }
            if let Some(content) = content {
                self.changes.append(holder, content);
            }
        }
    }

    /// Notice, captions, and a text that was there beside the blocked thing.
    fn text_of(&self, holder: NodeId, converted: &Converted, secrets: &Secrets) -> String {
        let mut texts = converted.notices.clone();
        texts.extend(converted.captions.iter().map(|caption| secrets.taken_out_of(caption)));
        let text_goes = converted.gone.contains("text");
        let beside = self.document.at(holder, "/text/body").filter(|_| !text_goes);
        if let Some(text) = beside.and_then(|node| self.changes.edited(node)) {
            texts.push(secrets.taken_out_of(&text));
        }
        unique(&texts).join("\n\n")
    }
}

fn unique(texts: &[String]) -> Vec<&str> {
    let mut out: Vec<&str> = vec![];
    for text in texts {
        if !out.contains(&text.as_str()) {
            out.push(text);
        }
    }
    out
}

/// All four fields: some clients fail on an error that lacks one.
fn error(details: &str) -> String {
    let (title, details) = (quoted(ERROR_TITLE), quoted(details));
    format!(
        "[{{\"code\":{ERROR_CODE},\"title\":{title},\"message\":{title},\"error_data\":{{\"details\":{details}}}}}]"
    )
}

fn media_of(document: &Document<'_>, node: NodeId, rules: &Rules) -> Option<guarita_message::MediaRef> {
    if !document.is_object(node) {
        return None;
    }
    let key = document.key(node).or_else(|| document.parent(node).and_then(|list| document.key(list)));
    (rules.media)(document, node, key.as_deref().unwrap_or_default()).map(|(media, _)| media)
}

/// Ids and urls of the files at and below a node.
fn secrets_of(document: &Document<'_>, node: NodeId, rules: &Rules) -> Vec<String> {
    let mut secrets = vec![];
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if let Some(media) = media_of(document, node, rules) {
            secrets.extend(media.id);
            secrets.extend(media.url);
        }
        open.extend(document.children(node));
    }
    secrets
}
