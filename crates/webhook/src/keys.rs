//! Names for conversations and updates: what keeps its order, and what is the same thing twice.
//!
//! Keys are opaque outside of this crate. They may hold a phone number, and their types hide it.

use crate::json::{Document, NodeId, ascii_into};
use guarita_message::{Channel, ConversationKey, DedupeKey, Lane};
use sha2::{Digest, Sha256};

/// Half a SHA-256 tells updates apart for the seven days that count.
const DIGEST_BYTES: usize = 16;

/// One customer (or group, call, recipient) on one account in one lane.
pub(crate) fn conversation(channel: Option<Channel>, account: &str, lane: Lane, who: &str) -> ConversationKey {
    ConversationKey(format!("{}|{account}|{lane}|{who}", word(channel)))
}

/// An update that has an id of its own. `sort` keeps ids of different kinds of updates apart.
pub(crate) fn by_id(channel: Channel, sort: &str, account: &str, id: &str) -> DedupeKey {
    DedupeKey(format!("{channel}|{sort}|{account}|{id}"))
}

/// An update without an id: its bytes, and the entry it came in. Meta repeats a delivery byte for byte. The bytes are
/// taken in their ASCII form, so that a unit cut out of a POST still has the POST's keys.
pub(crate) fn by_content(
    document: &Document<'_>,
    channel: Option<Channel>,
    entry: Option<NodeId>,
    node: NodeId,
) -> DedupeKey {
    let mut text = String::new();
    for name in ["id", "time"] {
        if let Some(value) = entry.and_then(|entry| document.get(entry, name)) {
            ascii_into(&mut text, document.raw(value));
        }
        text.push('\n');
    }
    ascii_into(&mut text, document.raw(node));
    let digest = Sha256::digest(text.as_bytes());
    DedupeKey(format!("{}|content|{}", word(channel), hex::encode(&digest[..DIGEST_BYTES])))
}

fn word(channel: Option<Channel>) -> &'static str {
    channel.map_or("unknown", Channel::as_str)
}
