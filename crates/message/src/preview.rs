//! What a person is shown of a file's content: made in the locked room, by the same worker that looks for dangers, and
//! made of nothing that could do anything: pixels, characters, names. The file's own bytes are never in it.

use crate::GapReason;
use serde::{Deserialize, Serialize};

/// What one file looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preview {
    /// Media type of the content, whatever its name says.
    #[serde(rename = "type")]
    pub true_type: String,
    pub shown: Shown,
}

/// The form a preview takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shown {
    /// A picture of at most [`Preview::SIDE_MAX`] pixels in width and height.
    Picture {
        width: u32,
        height: u32,
        /// Three bytes a pixel (red, green, blue), row by row. They travel behind the rest, not in it.
        #[serde(skip)]
        pixels: Vec<u8>,
    },
    /// The beginning of a text, or of a document's text; plain characters, whatever markup there was.
    Text { text: String, cut: bool },
    /// What is inside an archive, in the order it is found; what holds others stands before them.
    Members { members: Vec<Member>, cut: bool },
    /// There is nothing to show, and why.
    Nothing { why: GapReason },
}

/// One thing inside an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    /// 0: directly in the file.
    pub depth: u32,
    /// Media type of its content; empty if it was not opened.
    #[serde(rename = "type")]
    pub true_type: String,
    pub bytes: u64,
    /// Why it was not opened.
    pub closed: Option<GapReason>,
}

impl Preview {
    /// Longest side of a picture, in pixels.
    pub const SIDE_MAX: u32 = 512;
    /// Lines and characters of a text, and characters of one line.
    pub const LINES_MAX: usize = 120;
    pub const TEXT_CHARS_MAX: usize = 12_000;
    pub const LINE_CHARS_MAX: usize = 500;
    /// Members of an archive, and characters of a member's name.
    pub const MEMBERS_MAX: usize = 300;
    pub const NAME_CHARS_MAX: usize = 200;

    pub fn nothing(why: GapReason) -> Preview {
        Preview { true_type: String::new(), shown: Shown::Nothing { why } }
    }
}
