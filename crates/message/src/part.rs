//! A message and its parts: the texts, links and files in it, each with its place.

use crate::{ContentHash, ConversationKey, DedupeKey, words};
use serde::{Deserialize, Serialize};

words! {
    Channel { Whatsapp = "whatsapp", Messenger = "messenger", Instagram = "instagram", Telegram = "telegram" }
}

words! {
    /// Who wrote it. Echoes are what the business itself sent from another device.
    Direction { Inbound = "inbound", Echo = "echo" }
}

words! {
    /// Lanes never wait for each other: a message being scanned holds up no status and no call of the same customer.
    Lane { Message = "message", Status = "status", Call = "call", Account = "account", History = "history" }
}

words! {
    /// What a text is for; a rule may look at bodies only, and a file name is also a link's hiding place.
    TextRole {
        Body = "body",
        Caption = "caption",
        FileName = "file_name",
        /// Profile names, user names, contact cards, location names, button titles.
        Label = "label",
        /// Answers of flows and forms, button payloads: what a customer typed or chose, as data.
        Answer = "answer",
        /// Text of an advertisement or a quoted card; not written by the customer.
        Referral = "referral",
    }
}

/// One customer's message (or echo) inside a delivery: where it is, who sent it, what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub channel: Channel,
    pub direction: Direction,
    pub lane: Lane,
    /// Meta's id of the message (`wamid.…`, `mid`), empty where there is none.
    pub id: String,
    /// Meta's word for its type: `text`, `image`, `interactive` … Open: unknown kinds pass through.
    pub kind: String,
    /// JSON pointer of the message object in the delivery's body.
    pub pointer: String,
    /// The number, page or account it was sent to (WhatsApp: `phone_number_id`).
    pub account: String,
    /// Every name of the sender the delivery gives (user id, phone number, wa_id), the steadiest first; may be empty.
    pub senders: Vec<String>,
    pub conversation: ConversationKey,
    pub dedupe: Option<DedupeKey>,
    /// Seconds since 1970 as the sender's side gave them; 0 where absent or not a number.
    pub timestamp: u64,
    pub forwarded: bool,
    pub frequently_forwarded: bool,
    pub parts: Vec<Part>,
}

/// A text, link or file in a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Absolute JSON pointer in the delivery's body: a string for texts and links, the media object for files.
    pub pointer: String,
    /// The same, relative to the message object, as findings show it (`/document`); the absolute pointer where the part
    /// lies outside of the message object (a contact's profile name).
    pub place: String,
    pub body: PartBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PartBody {
    /// Text a person could read; links are looked for in it. `text` is the JSON string's decoded value.
    Text {
        text: String,
        role: TextRole,
    },
    /// A field that is a link by its meaning (`referral.source_url`, `contacts[].urls[].url`).
    Link {
        url: String,
    },
    File(MediaRef),
}

/// What a webhook says of an attachment. None of it is to be trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaRef {
    /// Graph media id; `None` on channels that send a bare url.
    pub id: Option<String>,
    /// The url in the webhook, if any; expires within minutes and must not reach the backend as it came.
    pub url: Option<String>,
    /// JSON pointer (absolute) of that url's string.
    pub url_pointer: Option<String>,
    pub name: Option<String>,
    pub declared_type: Option<String>,
    /// Digest the webhook names, decoded from base64 or hex.
    pub declared_hash: Option<ContentHash>,
    pub declared_bytes: Option<u64>,
    /// Meta forbids storing it (Instagram stories): scan in memory, keep nothing.
    pub never_store: bool,
}
