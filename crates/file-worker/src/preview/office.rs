//! The text of Word, Excel, PowerPoint and OpenDocument files in their zip form, in reading order, without looks.

use super::Gathered;
use crate::archives::zip::Zip;
use crate::formats::bytes::lossy;
use crate::formats::markup::{Token, attribute, local_name, tokens, unescape};
use crate::kind::Kind;
use crate::walk::Context;
use guarita_message::{GapReason, Shown};

/// Bytes of one part that are read; a preview is the beginning.
const PART_BYTES_MAX: usize = 4 << 20;
/// Slides and sheets that are read.
const PARTS_MAX: usize = 12;
/// Shared texts of a workbook.
const SHARED_MAX: usize = 50_000;

pub(super) fn is_readable(kind: Kind) -> bool {
    use Kind::*;
    matches!(kind, Docx | Docm | Xlsx | Xlsm | Pptx | Pptm | OpenDocument)
}

pub(super) fn read(kind: Kind, input: &[u8], ctx: &mut Context<'_>) -> Result<Shown, GapReason> {
    let zip = Zip::open(input);
    if zip.entries().iter().any(|entry| entry.is_encrypted()) {
        return Err(GapReason::Encrypted);
    }
    let mut part = |name: &str| {
        let bytes = zip.read(ctx, name)?;
        Some(lossy(&bytes[..bytes.len().min(PART_BYTES_MAX)]))
    };
    let mut out = Gathered::new();
    match kind {
        Kind::Docx | Kind::Docm => paragraphs(&part("word/document.xml").ok_or(GapReason::Corrupt)?, &mut out),
        Kind::OpenDocument => paragraphs(&part("content.xml").ok_or(GapReason::Corrupt)?, &mut out),
        Kind::Pptx | Kind::Pptm => {
            for number in 1..=PARTS_MAX {
                let Some(slide) = part(&format!("ppt/slides/slide{number}.xml")) else { break };
                paragraphs(&slide, &mut out);
            }
        }
        _ => {
            let shared = part("xl/sharedStrings.xml").map(|part| shared_texts(&part)).unwrap_or_default();
            for number in 1..=PARTS_MAX {
                let Some(sheet) = part(&format!("xl/worksheets/sheet{number}.xml")) else { break };
                rows(&sheet, &shared, &mut out);
            }
        }
    }
    out.shown()
}

/// Text between tags that hold text; a paragraph is a line.
fn paragraphs(part: &str, out: &mut Gathered) {
    let open_document = part.contains("office:document-content");
    let mut inside = 0usize;
    for token in tokens(part) {
        match token {
            Token::Tag { name, attributes, closes } => match local_name(name) {
                // In OpenDocument text lies in the paragraph itself.
                "p" | "h" => {
                    out.line();
                    inside = usize::from(open_document && !closes && !attributes.ends_with('/'));
                }
                "t" if !open_document => inside = usize::from(!closes && !attributes.ends_with('/')),
                "tab" | "tc" | "table-cell" => out.push("\t"),
                "br" | "cr" | "line-break" => out.line(),
                "s" if open_document => out.space(),
                _ => {}
            },
            Token::Text(text) if inside > 0 => out.push(&unescape(text)),
            _ => {}
        }
        if out.is_full() {
            return;
        }
    }
}

/// Texts that cells name by their number.
fn shared_texts(part: &str) -> Vec<String> {
    let (mut all, mut inside, mut spoken) = (Vec::new(), false, false);
    for token in tokens(part) {
        match token {
            Token::Tag { name, closes, attributes } => match local_name(name) {
                "si" if !closes => all.push(String::new()),
                // How a Japanese text is read aloud is no part of it.
                "rPh" => spoken = !closes,
                "t" => inside = !closes && !attributes.ends_with('/'),
                _ => {}
            },
            Token::Text(text) if inside && !spoken => {
                if let Some(last) = all.last_mut() {
                    last.push_str(&unescape(text));
                }
            }
            _ => {}
        }
        if all.len() > SHARED_MAX {
            break;
        }
    }
    all
}

/// Each row a line, its cells between tabs.
fn rows(part: &str, shared: &[String], out: &mut Gathered) {
    let (mut kind, mut value) = (String::new(), None::<String>);
    for token in tokens(part) {
        match token {
            Token::Tag { name, attributes, closes } => match (local_name(name), closes) {
                ("row", _) => out.line(),
                ("c", false) => kind = attribute(attributes, "t").unwrap_or_default().to_owned(),
                ("v" | "t", false) if !attributes.ends_with('/') => value = Some(String::new()),
                ("v" | "t", true) => {
                    let value = value.take().unwrap_or_default();
                    let text = match kind.as_str() {
                        "s" => {
                            value.trim().parse().ok().and_then(|at: usize| shared.get(at)).cloned().unwrap_or_default()
                        }
                        _ => value,
                    };
                    if !out.text.is_empty() && !out.text.ends_with('\n') {
                        out.push("\t");
                    }
                    out.push(&text.replace(['\n', '\t'], " "));
                }
                _ => {}
            },
            Token::Text(text) => {
                if let Some(value) = &mut value {
                    value.push_str(&unescape(text));
                }
            }
            _ => {}
        }
        if out.is_full() {
            return;
        }
    }
    out.line();
}
