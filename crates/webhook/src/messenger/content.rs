//! What is what in a message of Messenger or Instagram Direct: the names of its strings, and which attachments are files.

use crate::content::{Media, Place, Rules, Seen, is_opaque, is_url};
use crate::json::{Document, NodeId};
use guarita_message::{MediaRef, TextRole};

pub(crate) static RULES: Rules =
    Rules { envelope: &["mid", "seq", "app_id", "timestamp", "guarita"], nested: None, seen, media };

/// Attachments that are files at their url.
const FILES: [&str; 6] = ["image", "video", "audio", "file", "animated_image_share", "animated_image"];
/// Meta's hosts for files: a shared post or reel is one when its url leads there, and a link else.
const FILE_HOSTS: [&str; 4] = ["fbsbx.com", "fbcdn.net", "cdninstagram.com", "whatsapp.net"];

fn seen(place: Place<'_>) -> Seen {
    use Seen::{Guess, Link, Opaque, Text};
    match (place.first, place.parent, place.last) {
        ("text", ..) => Text(TextRole::Body),
        // Of a postback.
        ("title", "", _) => Text(TextRole::Label),
        ("payload", "", _) | (_, "quick_reply", "payload") => Text(TextRole::Answer),
        (_, _, "ref") => Text(TextRole::Answer),
        (_, _, "sticker_id") => Opaque,
        (_, _, last) if is_url(last) => Link,
        (_, _, "ad_title") => Text(TextRole::Referral),
        ("attachments", _, "title" | "subtitle" | "description" | "text") => Text(TextRole::Referral),
        (_, _, last) if is_opaque(last) => Opaque,
        _ => Guess,
    }
}

fn media(document: &Document<'_>, node: NodeId, key: &str) -> Option<Media> {
    // A shared story has its file's url under a name of its own.
    let url_key = ["url", "link", "story_media_url"].into_iter().find(|key| document.get(node, key).is_some())?;
    let url = document.get_text(node, url_key).filter(|url| !url.is_empty())?.into_owned();
    let declared_type = document.get_text(node, "mime_type").map(|kind| kind.into_owned());
    let holder = document.parent(node);
    let mut never_store = false;
    let file = match key {
        "payload" => {
            let kind = holder.and_then(|attachment| document.get_text(attachment, "type")).unwrap_or_default();
            // Meta forbids storing what others posted as a story.
            never_store = kind.contains("story");
            never_store || FILES.contains(&kind.as_ref()) || kind != "fallback" && on_file_host(&url)
        }
        "story" => {
            never_store = true;
            holder.is_some_and(|holder| document.key_is(holder, "reply_to"))
        }
        _ => declared_type.is_some(),
    };
    let name = file_name(&url);
    file.then(|| (MediaRef { url: Some(url), name, declared_type, never_store, ..MediaRef::default() }, Some(url_key)))
}

fn on_file_host(url: &str) -> bool {
    let host = host(url).to_ascii_lowercase();
    FILE_HOSTS.iter().any(|known| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

/// The last part of the url's path: the only name that such a file has.
fn file_name(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next().unwrap_or_default().split_once("://")?.1;
    let name = path.split_once('/')?.1.rsplit('/').next()?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}
