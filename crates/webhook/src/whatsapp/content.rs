//! What is what in a WhatsApp message: the names of its strings, and what makes an object a file.

use crate::content::{Media, Place, Rules, Seen, hash_of, is_opaque, is_url};
use crate::json::{Document, NodeId};
use guarita_message::{MediaRef, TextRole};

pub(crate) static RULES: Rules = Rules {
    envelope: &[
        "from",
        "to",
        "id",
        "timestamp",
        "type",
        "from_user_id",
        "from_parent_user_id",
        "to_user_id",
        "group_id",
        "errors",
        "identity",
        "history_context",
        "guarita",
    ],
    nested: Some(("edit", "message")),
    seen,
    media,
};

/// Kinds whose object is a file even where it names no type.
const MEDIA_KINDS: [&str; 6] = ["image", "video", "audio", "voice", "document", "sticker"];

fn seen(place: Place<'_>) -> Seen {
    use Seen::{Guess, Link, Opaque, Skip, Text};
    match (place.first, place.parent, place.last) {
        (_, _, "caption") => Text(TextRole::Caption),
        (_, _, "filename" | "file_name") => Text(TextRole::FileName),
        ("text", _, "body") => Text(TextRole::Body),
        ("order", "order", "text") => Text(TextRole::Body),
        ("system", "system", "body") => Text(TextRole::Label),
        ("button", "button", "text") => Text(TextRole::Label),
        ("button", "button", "payload") => Text(TextRole::Answer),
        ("interactive", "button_reply" | "list_reply", "id") => Text(TextRole::Answer),
        ("interactive", _, "response_json") => Text(TextRole::Answer),
        // What the business itself sent, in an echo.
        ("interactive", "body", "text") => Text(TextRole::Body),
        ("interactive", "nfm_reply", "body") => Text(TextRole::Label),
        ("interactive", _, "title" | "description" | "name" | "text" | "display_text") => Text(TextRole::Label),
        ("location", _, "name" | "address") => Text(TextRole::Label),
        ("contacts", _, "type" | "birthday" | "wa_id" | "user_id") => Opaque,
        (_, _, last) if is_url(last) => Link,
        ("contacts", ..) => Text(TextRole::Label),
        ("referral", _, "headline" | "body" | "text") => Text(TextRole::Referral),
        ("referral", _, "ctwa_clid" | "media_type" | "source_type") => Opaque,
        ("reaction", _, "message_id") => Skip,
        ("context", ..) => Opaque,
        // The session description of a call is for machines.
        (_, _, "sdp") => Opaque,
        (_, _, last) if is_opaque(last) => Opaque,
        _ => Guess,
    }
}

/// Any object with an id or a url and a declared type, wherever it stands; under a known kind's name also without a type.
fn media(document: &Document<'_>, node: NodeId, key: &str) -> Option<Media> {
    let mut media = MediaRef::default();
    let mut url_key = None;
    for child in document.children(node) {
        let Some(key) = document.key(child) else { break };
        let value = || document.scalar(child).filter(|value| !value.is_empty()).map(|value| value.into_owned());
        match key.as_ref() {
            "id" => media.id = value(),
            "url" | "link" => {
                media.url = value();
                url_key = media.url.is_some().then_some(if key == "url" { "url" } else { "link" });
            }
            "mime_type" => media.declared_type = value(),
            "filename" => media.name = value(),
            "sha256" => media.declared_hash = value().as_deref().and_then(hash_of),
            // A string in some of Meta's samples and a number in others.
            "file_size" => media.declared_bytes = value().and_then(|value| value.parse().ok()),
            _ => {}
        }
    }
    let there = media.id.is_some() || media.url.is_some();
    let file = media.declared_type.is_some() || MEDIA_KINDS.contains(&key);
    (there && file).then_some((media, url_key))
}
