//! `rewrite`: decisions become bytes. All that no order speaks of stays as Meta wrote it, in ASCII once anything changes.
//!
//! It errs on the safe side. A place that is not there withholds its whole message; a body or message that cannot be
//! found again although something in it is to be withheld becomes an empty delivery.

use crate::content::hash_of;
use crate::json::{Changes, Document, Kind, NodeId, ascii_into, escape_into, raw_range};
use crate::orders::{MediaRewrite, MediaUrl, Order};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use guarita_message::{ContentHash, TextEdit};

mod entities;
mod withhold;

/// What goes out where something must not, and cannot be found.
const NOTHING: &[u8] = br#"{"entry":[]}"#;

/// The body as the backend gets it. No order that has an effect: the same bytes.
pub fn rewrite(body: &[u8], orders: &[Order]) -> Vec<u8> {
    if orders.is_empty() {
        return body.to_vec();
    }
    let withholds = |order: &Order| !order.withhold.is_empty();
    let Ok(document) = Document::parse(body) else {
        return if orders.iter().any(withholds) { NOTHING.to_vec() } else { body.to_vec() };
    };
    let mut changes = Changes::of(&document);
    let telegram = document.get(document.root(), "update_id").is_some();
    for order in orders {
        if telegram {
            entities::shift(&document, &mut changes, &order.edits);
        }
        for edit in &order.edits {
            edit_text(&document, &mut changes, edit);
        }
        for media in &order.media {
            rewrite_media(&document, &mut changes, media);
        }
        let message = document.at(document.root(), &order.message).filter(|node| document.is_object(*node));
        match message {
            Some(message) => {
                withhold::withhold(&document, &mut changes, message, order);
                annotate(&document, &mut changes, message, order);
            }
            None if withholds(order) => return NOTHING.to_vec(),
            None => {}
        }
    }
    changes.finish().map_or_else(|| body.to_vec(), String::into_bytes)
}

fn edit_text(document: &Document<'_>, changes: &mut Changes<'_, '_>, edit: &TextEdit) {
    let (node, rest) = document.follow(document.root(), &edit.pointer);
    if edit.start > edit.end || document.kind(node) != Kind::String {
        return;
    }
    if rest.is_empty() {
        changes.edit_text(node, edit.start..edit.end, &edit.replacement);
    } else {
        edit_inside(document, changes, node, rest, edit);
    }
}

/// Edits a string within JSON that is itself a string (`content::texts_inside` tells of those).
fn edit_inside(document: &Document<'_>, changes: &mut Changes<'_, '_>, outer: NodeId, rest: &str, edit: &TextEdit) {
    let text = document.text(outer).unwrap_or_default();
    let Ok(inner) = Document::parse(text.as_bytes()) else { return };
    let Some(node) = inner.at(inner.root(), rest).filter(|node| inner.kind(*node) == Kind::String) else { return };
    let range = raw_range(inner.raw_text(node), edit.start..edit.end);
    let offset = inner.span(node).0 + 1;
    let raw = raw_range(document.raw_text(outer), offset + range.start..offset + range.end);
    let (mut once, mut twice) = (String::new(), String::new());
    escape_into(&mut once, &edit.replacement);
    escape_into(&mut twice, &once);
    changes.edit_raw(outer, raw, twice);
}

fn rewrite_media(document: &Document<'_>, changes: &mut Changes<'_, '_>, order: &MediaRewrite) {
    let media = document.at(document.root(), &order.pointer).filter(|node| document.is_object(*node));
    let Some(media) = media else { return };
    for member in document.children(media) {
        match document.key(member).as_deref() {
            Some("url" | "link" | "story_media_url") => match &order.url {
                MediaUrl::Keep => {}
                MediaUrl::Remove => changes.remove(member),
                MediaUrl::Replace(url) => changes.replace_text(member, url),
            },
            Some("mime_type") => {
                if let Some(mime_type) = &order.mime_type {
                    changes.replace_text(member, mime_type);
                }
            }
            Some("sha256") => {
                if let (Some(hash), Some(old)) = (order.sha256, document.text(member)) {
                    changes.replace_text(member, &written_like(&old, hash));
                }
            }
            _ => {}
        }
    }
}

/// A digest in the encoding that the field had.
fn written_like(old: &str, hash: ContentHash) -> String {
    let hex = old.len() == 64 && old.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hash_of(old) == Some(hash) {
        old.to_owned()
    } else if hex {
        hash.to_string()
    } else {
        STANDARD.encode(hash.0)
    }
}

/// Puts `guarita` right behind `type`, or at the end; a value that is there already (another booth upstream) gives way.
fn annotate(document: &Document<'_>, changes: &mut Changes<'_, '_>, message: NodeId, order: &Order) {
    let Some(annotation) = &order.annotation else { return };
    if Document::parse(annotation.as_bytes()).is_err() {
        return;
    }
    let mut member = String::from("\"guarita\":");
    ascii_into(&mut member, annotation);
    let mut earlier = document.all(message, "guarita");
    if let Some(first) = earlier.next() {
        changes.replace_member(first, member);
        earlier.for_each(|node| changes.remove(node));
    } else if let Some(kind) = document.get(message, "type") {
        changes.insert_after(kind, &member);
    } else {
        changes.append(message, member);
    }
}

#[cfg(test)]
mod tests;
