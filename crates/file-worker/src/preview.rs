//! What a person may see of a file: a picture drawn anew from decoded pixels, the beginning of a text or of a document's
//! text, the list of what an archive holds. Never the file itself, never its markup.
//!
//! It runs in the locked worker, on demand, under the bounds of a look and those of [`Preview`]. It states nothing and
//! judges nothing; findings of what it meets on the way are dropped.

mod office;
mod pdf;
mod picture;
mod tree;

use crate::kind::{self, Kind, text::head_text, text::looks_like_text};
use crate::walk::{Context, Inspector};
use crate::{Job, Kit};
use guarita_message::{GapReason, Preview, Shown};

const NO_INSPECTORS: &[&[Inspector]] = &[];

/// Makes the preview of one file.
pub fn make(input: &[u8], job: &Job, kit: &Kit) -> Preview {
    let kind = kind::detect(input, &job.name);
    let mut context = Context::new(job, kit, NO_INSPECTORS, input.len() as u64);
    let shown = match kind {
        Kind::Png | Kind::Jpeg | Kind::Gif | Kind::Webp | Kind::Bmp => picture::draw(input, &mut context),
        Kind::Pdf => pdf::read(input, &mut context),
        Kind::OfficeEncrypted => Err(GapReason::Encrypted),
        _ if office::is_readable(kind) => office::read(kind, input, &mut context),
        _ if tree::is_tree(kind) => tree::list(input, job, kit),
        Kind::Empty => Ok(Shown::Text { text: String::new(), cut: false }),
        Kind::Rtf | Kind::PostScript => Err(GapReason::Unsupported),
        _ if looks_like_text(input) => Ok(text(&head_text(input), input.len() > kind::text::HEAD_BYTES)),
        _ => Err(GapReason::Unsupported),
    };
    let shown = shown.unwrap_or_else(|why| Shown::Nothing { why });
    Preview { true_type: kind.mime().to_owned(), shown }
}

/// Four bytes of length, the preview in JSON, then a picture's pixels. The other side reads it as hostile.
pub fn encode(preview: &Preview) -> Vec<u8> {
    let head = serde_json::to_vec(preview).unwrap_or_default();
    let length = u32::try_from(head.len()).unwrap_or_default();
    let mut out = length.to_le_bytes().to_vec();
    out.extend_from_slice(&head);
    if let Shown::Picture { pixels, .. } = &preview.shown {
        out.extend_from_slice(pixels);
    }
    out
}

/// The first lines of `whole`, without control characters; `more`: there is more of it than was read.
fn text(whole: &str, more: bool) -> Shown {
    let (mut text, mut chars, mut cut) = (String::new(), 0, more);
    for (number, line) in whole.lines().enumerate() {
        if number >= Preview::LINES_MAX || chars >= Preview::TEXT_CHARS_MAX {
            cut = true;
            break;
        }
        let mut letters = line.chars().filter(|c| !c.is_control() || *c == '\t');
        let room = Preview::LINE_CHARS_MAX.min(Preview::TEXT_CHARS_MAX - chars);
        let before = text.len();
        text.extend(letters.by_ref().take(room));
        chars += text[before..].chars().count() + 1;
        if letters.next().is_some() {
            text.push('…');
            cut = true;
        }
        text.push('\n');
    }
    Shown::Text { text, cut }
}

/// Text that is gathered until there is enough for a preview.
struct Gathered {
    text: String,
    chars_max: usize,
}

impl Gathered {
    fn new() -> Gathered {
        // Lines that turn out empty are dropped later; so a little more than is shown.
        Gathered { text: String::new(), chars_max: Preview::TEXT_CHARS_MAX * 2 }
    }

    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// Begins a new line unless one has just begun.
    fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// A space unless there is one.
    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with([' ', '\n', '\t']) {
            self.text.push(' ');
        }
    }

    fn is_full(&self) -> bool {
        self.text.len() >= self.chars_max * 4
            || self.text.len() >= self.chars_max && self.text.chars().count() >= self.chars_max
    }

    /// What was gathered; nothing readable in it is [`GapReason::Unsupported`].
    fn shown(self) -> Result<Shown, GapReason> {
        let full = self.is_full();
        let lines: Vec<&str> = self.text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Err(GapReason::Unsupported);
        }
        Ok(text(&lines.join("\n"), full))
    }
}

#[cfg(test)]
pub(crate) mod tests;
