//! The only place that knows the channels' wire formats: WhatsApp, Messenger, Instagram Direct, Telegram.
//!
//! Pure: bytes come in, nouns of `guarita_message` go out, and decisions come back as new bytes. It knows no socket, no
//! file, no clock and no policy. A module a channel (`whatsapp`, `messenger`, `telegram`); `json` is the lossless document
//! under all of them, so that what nobody asked to change keeps its bytes.
//!
//! The road: [`verify_signature`] → [`split`] (`receive`, before the spool) → [`parse`] → [`rewrite`] → [`sign`]
//! (`pipeline` and `deliver`). Nothing here fails on what it does not know: unknown objects, fields and kinds pass.

mod challenge;
mod content;
mod delivery;
mod json;
mod keys;
mod messenger;
mod orders;
mod reading;
mod rewrite;
mod signature;
mod split;
mod telegram;
mod whatsapp;

pub use challenge::{ChallengeRefused, answer_challenge};
pub use delivery::{Delivery, parse};
pub use json::NotJson;
pub use orders::{MediaRewrite, MediaUrl, Order, WithheldAs, Withhold};
pub use rewrite::rewrite;
pub use signature::{SignatureRefused, sign, sign_legacy, verify_signature};
pub use split::{SplitBy, Unit, split, without};
