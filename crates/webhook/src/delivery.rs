//! `parse`: what a delivery holds, channel by channel.

use crate::json::{Document, NotJson};
use guarita_message::{Channel, Message};

/// What one POST holds. Statuses, calls and account events have no message: nobody scans them.
#[derive(Clone, PartialEq)]
pub struct Delivery {
    /// `None`: an object of Meta's that we do not know; it passes.
    pub channel: Option<Channel>,
    /// Meta's word: `whatsapp_business_account`, `page`, `instagram`; empty where there is none.
    pub object: String,
    pub messages: Vec<Message>,
    /// What looked odd, for the operator; no content of the delivery.
    pub problems: Vec<String>,
}

/// Reads a delivery. Fails only on what is not JSON; what it does not know is no problem of ours.
pub fn parse(body: &[u8]) -> Result<Delivery, NotJson> {
    let _document = Document::parse(body)?;
    Ok(Delivery { channel: None, object: String::new(), messages: vec![], problems: vec![] })
}
