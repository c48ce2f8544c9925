//! `split` and `without`: one POST into units that need not wait for each other.

use crate::json::{Document, NotJson};
use guarita_message::{Channel, ConversationKey, DedupeKey, Lane};

/// How finely a POST is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// One update a unit, as most client libraries read only the first.
    Message,
    /// All updates of one conversation stay together; lanes are apart even so.
    Conversation,
}

/// A part of a POST that is stored, judged and delivered by itself.
#[derive(Clone, PartialEq)]
pub struct Unit {
    /// `None`: an object that we do not know.
    pub channel: Option<Channel>,
    /// WhatsApp: `phone_number_id`, or the WABA's id where there is none; else the page's or account's id.
    pub account: String,
    pub lane: Lane,
    pub conversation: ConversationKey,
    /// One key an update, without repeats.
    pub dedupe: Vec<DedupeKey>,
    /// Every name of the people concerned, the steadiest first; for search and erasure.
    pub senders: Vec<String>,
    /// The identical bytes where the POST is one unit, else a valid webhook that holds only this unit, in ASCII.
    pub body: Vec<u8>,
}

pub fn split(body: &[u8], by: SplitBy) -> Result<Vec<Unit>, NotJson> {
    let _ = (Document::parse(body)?, by);
    Ok(vec![])
}

/// The body without the updates that were seen before; `None`: nothing is left.
pub fn without(body: &[u8], seen: &[DedupeKey]) -> Option<Vec<u8>> {
    (!seen.is_empty()).then(|| body.to_vec())
}
