//! `parse`: what a delivery holds, channel by channel.

use crate::json::{Document, NotJson};
use crate::reading::read;
use crate::{messenger, telegram, whatsapp};
use guarita_message::{Channel, Message};

/// What one POST holds. Statuses, calls and account events make no message: nobody scans them, and nothing is written
/// into them.
#[derive(Clone, PartialEq)]
pub struct Delivery {
    /// `None`: an object of Meta's that we do not know; it passes.
    pub channel: Option<Channel>,
    /// Meta's word: `whatsapp_business_account`, `page`, `instagram`; empty where there is none (Telegram).
    pub object: String,
    /// In the order of the body.
    pub messages: Vec<Message>,
    /// What looked odd, for the operator; no content of the delivery.
    pub problems: Vec<String>,
}

/// Reads a delivery. Fails only on what is not JSON (or too deep or too much of it); what it does not know is no problem
/// of ours.
pub fn parse(body: &[u8]) -> Result<Delivery, NotJson> {
    let document = Document::parse(body)?;
    let reading = read(&document)?;
    let mut messages = Vec::with_capacity(reading.updates.len());
    match reading.channel {
        Some(Channel::Whatsapp) => whatsapp::messages(&document, &reading, &mut messages),
        Some(Channel::Messenger | Channel::Instagram) => messenger::messages(&document, &reading, &mut messages),
        Some(Channel::Telegram) => telegram::messages(&document, &reading, &mut messages),
        None => {}
    }
    Ok(Delivery { channel: reading.channel, object: reading.object, messages, problems: reading.problems })
}

/// Shows no content: problems name places only.
impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("channel", &self.channel)
            .field("messages", &self.messages.len())
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}
