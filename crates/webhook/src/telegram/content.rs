//! What is what in a Telegram message: the names of its strings, and that a `file_id` makes a file.

use crate::content::{Media, Place, Rules, Seen, is_opaque, is_url};
use crate::json::{Document, NodeId};
use guarita_message::{MediaRef, TextRole};

pub(crate) static RULES: Rules =
    Rules { envelope: &["message_id", "date", "edit_date", "guarita"], nested: None, seen, media };

const KINDS: [&str; 15] = [
    "text",
    "animation",
    "document",
    "photo",
    "video",
    "video_note",
    "voice",
    "audio",
    "sticker",
    "contact",
    "location",
    "venue",
    "poll",
    "story",
    "dice",
];

fn seen(place: Place<'_>) -> Seen {
    use Seen::{Guess, Link, Opaque, Skip, Text};
    match (place.first, place.parent, place.last) {
        ("text", "", _) | ("query", "", _) => Text(TextRole::Body),
        (_, _, "caption") => Text(TextRole::Caption),
        (_, _, "file_name") => Text(TextRole::FileName),
        ("data" | "game_short_name", "", _) => Text(TextRole::Answer),
        (_, _, "language_code" | "file_unique_id" | "file_id" | "file_path") => Skip,
        (_, _, last) if is_url(last) => Link,
        (_, "from" | "chat" | "sender_chat" | "user", "type") => Skip,
        (_, _, "first_name" | "last_name" | "username" | "title" | "address" | "vcard" | "phone_number") => {
            Text(TextRole::Label)
        }
        // What the message answers or quotes; it stands in the message again.
        ("reply_to_message" | "external_reply" | "quote" | "message", _, "text") => Text(TextRole::Referral),
        (_, _, "question" | "text" | "explanation") => Text(TextRole::Label),
        (_, _, last) if is_opaque(last) => Opaque,
        _ => Guess,
    }
}

/// Of a photo's sizes the last and largest is the file; the others, and thumbnails, are pictures that Telegram made of it.
fn media(document: &Document<'_>, node: NodeId, key: &str) -> Option<Media> {
    let text = |name| document.get_text(node, name).filter(|text| !text.is_empty()).map(|text| text.into_owned());
    let id = text("file_id")?;
    let smaller =
        key == "photo" && document.parent(node).is_some_and(|sizes| document.children(sizes).last() != Some(node));
    if smaller || matches!(key, "thumb" | "thumbnail") {
        return None;
    }
    let media = MediaRef {
        id: Some(id),
        name: text("file_name"),
        declared_type: text("mime_type"),
        declared_bytes: document.get_scalar(node, "file_size").and_then(|size| size.parse().ok()),
        ..MediaRef::default()
    };
    Some((media, None))
}

/// The kind of a message, else the name of the update.
pub(super) fn kind_of(document: &Document<'_>, content: NodeId) -> String {
    let kind = KINDS.iter().find(|kind| document.get(content, kind).is_some());
    kind.map_or_else(|| document.key(content).unwrap_or_default().into_owned(), |kind| (*kind).to_owned())
}
