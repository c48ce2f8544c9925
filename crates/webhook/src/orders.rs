//! What a rewrite is asked to do with one message. Made by `pipeline` from a `Decision`; carries no policy itself.

use guarita_message::{ContentHash, TextEdit};
use serde::{Deserialize, Serialize};

/// The form a withheld message takes (SPEC 6, `backend.withheld_as`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithheldAs {
    /// The message becomes a text with a notice: visible everywhere, parsed by every client.
    #[default]
    Text,
    /// Type and object stay; the id becomes one whose look-up answers 404.
    Keep,
    /// Meta's own `unsupported` with a complete error object.
    Unsupported,
}

/// Everything to be done with one message object.
#[derive(Clone, PartialEq)]
pub struct Order {
    /// JSON pointer of the message object ([`guarita_message::Message::pointer`]).
    pub message: String,
    /// JSON text of the value of `guarita`, put right after `type`, or at the end where there is no `type`. A value that
    /// is there already is replaced.
    pub annotation: Option<String>,
    /// Absolute pointers, byte ranges in the decoded strings. Ranges are widened to whole characters; where two overlap,
    /// the earlier one's replacement stands for both.
    pub edits: Vec<TextEdit>,
    pub withhold: Vec<Withhold>,
    pub media: Vec<MediaRewrite>,
}

impl Order {
    /// An order that changes nothing yet.
    pub fn of(message: impl Into<String>) -> Self {
        Order { message: message.into(), annotation: None, edits: vec![], withhold: vec![], media: vec![] }
    }
}

/// Takes one part out of a message. A place that is not there withholds the whole message: better too much than the file.
#[derive(Clone, PartialEq)]
pub struct Withhold {
    /// [`guarita_message::Part::place`]: relative to the message object (or absolute, outside of it).
    pub place: String,
    pub form: WithheldAs,
    /// What the reader sees instead; also the error's `details` with `unsupported`.
    pub notice: String,
    /// The media id that stands in for the blocked one with `keep`.
    pub replacement_id: String,
    /// Already edited caption, kept below the notice with `text`.
    pub caption: Option<String>,
}

/// What becomes of the url, type and digest in a media object.
#[derive(Clone, PartialEq)]
pub struct MediaRewrite {
    /// Absolute pointer of the media object ([`guarita_message::Part::pointer`] of a file).
    pub pointer: String,
    /// A media object without a url gets none.
    pub url: MediaUrl,
    pub mime_type: Option<String>,
    /// Written in the encoding that the field had (base64 or hex); a field that is absent stays so.
    pub sha256: Option<ContentHash>,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub enum MediaUrl {
    #[default]
    Keep,
    Remove,
    Replace(String),
}

/// Shows the outline only: orders hold message texts, captions and urls with tokens.
impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("message", &self.message)
            .field("annotation", &self.annotation.is_some())
            .field("edits", &self.edits.len())
            .field("withhold", &self.withhold)
            .field("media", &self.media)
            .finish()
    }
}

impl std::fmt::Debug for Withhold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Withhold").field("place", &self.place).field("form", &self.form).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MediaRewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaRewrite").field("pointer", &self.pointer).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MediaUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MediaUrl::Keep => "Keep",
            MediaUrl::Remove => "Remove",
            MediaUrl::Replace(_) => "Replace(…)",
        })
    }
}
