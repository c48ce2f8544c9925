//! Two files in one: a picture with a program behind its end, a film with a zip, a PDF that is a page.
//!
//! Finds where a picture, a sound, a film or a PDF ends by its own structure, and looks at what comes after; looks for a
//! zip's end record, which counts from the back, and a PDF header, which may stand anywhere early. Where a format has no
//! end that can be told, only beginnings count that prove themselves.

mod ends;

use crate::archives::zip::Zip;
use crate::kind::{Kind, Nature, detect, nature_of_extension};
use crate::true_type::describe;
use crate::walk::{Context, Thing};

/// Fewer bytes behind the end are padding or a line break.
const TAIL_BYTES_MIN: usize = 4;
/// Readers accept a PDF's header this far in.
const PDF_HEADER_WITHIN: usize = 1024;
/// So many bytes that are no text, in front of a PDF's header, belong to another file.
const PDF_PREFIX_BYTES_MIN: usize = 32;
/// Beginnings that are looked at, right or wrong, in one file.
const CANDIDATES_MAX: usize = 4_096;
/// How far before its own header a Windows program begins.
const PE_STUB_BYTES_MAX: usize = 4_096;
/// Markup or script at the very end of a file is looked for in so many bytes.
const LAST_BYTES: usize = 64 << 10;

pub fn wants(thing: &Thing<'_>) -> bool {
    use Kind::*;
    thing.kind.nature() == Nature::Media
        || matches!(
            thing.kind,
            Pdf | Dos | Unknown | Rtf | Html | Text | Csv | Json | Gzip | Bzip2 | Xz | Rar | SevenZip
        )
}

pub fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let bytes = thing.bytes;
    let is_archive = thing.kind.nature() == Nature::Archive;
    let is_text = matches!(thing.kind, Kind::Text | Kind::Csv | Kind::Json);
    let end = ends::end_of(thing.kind, bytes);
    let tail = end.and_then(|end| bytes.get(end..)).unwrap_or_default();
    let tail_starts = tail.iter().take_while(|byte| matches!(byte, 0 | b'\n' | b'\r' | b' ' | b'\t')).count();
    let tail = &tail[tail_starts..];
    let mut seen = false;
    if tail.len() >= TAIL_BYTES_MIN {
        seen = look_at_tail(thing, tail, ctx);
    }
    if !seen && !is_text {
        seen = look_for_zip(thing, ctx);
    }
    // Without an end of its own, a file is searched for what has an unmistakable beginning.
    let searched = match thing.kind {
        Kind::Unknown => shown_as_harmless(thing),
        Kind::Pdf => false, // its streams hold whole files; only what stands behind its end is not its own
        _ => !is_archive,
    };
    if !seen && end.is_none() && searched {
        seen = look_for_beginnings(thing, bytes.get(8..).unwrap_or_default(), ctx);
    }
    if !seen && !is_archive && !is_text {
        look_for_pdf(thing, ctx);
    }
    look_for_code(thing, ctx);
}

/// Content nobody can name, under a name that promises a text, a picture or a document.
fn shown_as_harmless(thing: &Thing<'_>) -> bool {
    matches!(
        nature_of_extension(&thing.extension()),
        Some(Nature::Data | Nature::Media | Nature::Document | Nature::Mail)
    )
}

/// What stands behind the end. `true`: it was something, and was looked at.
fn look_at_tail(thing: &Thing<'_>, tail: &[u8], ctx: &mut Context<'_>) -> bool {
    if thing.kind == Kind::Pdf && memchr::memmem::find(tail, b"startxref").is_some() {
        return false; // the PDF itself goes on; its last end mark is missing
    }
    let kind = detect(tail, "");
    if matters(kind) && !(kind == Kind::Zip && Zip::open(tail).entries().is_empty()) {
        state(thing, kind, ctx);
        ctx.child("appended", tail);
        return true;
    }
    // Something else first, then a known beginning.
    look_for_beginnings(thing, tail, ctx)
}

/// Magics long enough, or proven by what they lead to, that no picture's noise makes them.
fn look_for_beginnings(thing: &Thing<'_>, bytes: &[u8], ctx: &mut Context<'_>) -> bool {
    // A text may quote any of them in letters, and a mail in Base64 none.
    let is_text = matches!(thing.kind, Kind::Text | Kind::Csv | Kind::Json | Kind::Html | Kind::Rtf);
    const BINARY: &[&[u8]] = &[
        b"Rar!\x1a\x07",
        b"7z\xbc\xaf\x27\x1c\0",
        b"\x7fELF",
        b"dex\n03",
        b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\xcf\xfa\xed\xfe",
    ];
    let first = BINARY.iter().filter_map(|magic| first_where(bytes, magic, is_a_file)).min();
    let program = first_program(bytes);
    // Pictures that carry a PDF of themselves are common on macOS.
    let may_hold_pdf = !is_text && !matches!(thing.kind, Kind::Pdf | Kind::Wmf);
    // Asked once, not for each header: a file of nothing but headers would be read as often to its end.
    let last_object = may_hold_pdf.then(|| memchr::memmem::rfind(bytes, b" obj")).flatten();
    let pdf = last_object.and_then(|last| memchr::memmem::find(&bytes[..last], b"%PDF-"));
    if let Some(at) = [first, program, pdf].into_iter().flatten().min() {
        let rest = &bytes[at..];
        state(thing, detect(rest, ""), ctx);
        ctx.child("appended", rest);
        return true;
    }
    // Letters prove something only where they are the last that is there.
    let last = &bytes[bytes.len().saturating_sub(LAST_BYTES)..];
    const LETTERS: &[&[u8]] = &[b"<?php", b"<script", b"<html", b"<!DOCTYPE html", b"<svg"];
    let code = LETTERS.iter().filter_map(|start| memchr::memmem::find(last, start)).min();
    if let Some(rest) = code.map(|at| &last[at..]).filter(|rest| !is_text && is_text_to_its_end(rest)) {
        let kind = detect(rest, "");
        if matters(kind) {
            state(thing, kind, ctx);
            ctx.child("appended", rest);
            return true;
        }
    }
    false
}

fn first_where(bytes: &[u8], magic: &[u8], holds: impl Fn(&[u8]) -> bool) -> Option<usize> {
    memchr::memmem::find_iter(bytes, magic).take(CANDIDATES_MAX).find(|at| holds(&bytes[*at..]))
}

/// Whether what begins with a magic goes on as such a file does.
fn is_a_file(rest: &[u8]) -> bool {
    match rest {
        // Class 1 or 2, byte order 1 or 2, version 1.
        [0x7f, b'E', b'L', b'F', class, order, version, ..] => {
            matches!(class, 1 | 2) && matches!(order, 1 | 2) && *version == 1
        }
        // A known number of load commands, and a file type from object to file set.
        [0xcf, 0xfa, 0xed, 0xfe, ..] => {
            rest.get(12..20).is_some_and(|b| matches!(b[0], 1..=12) && b[1..4] == [0; 3] && b[6..8] == [0; 2])
        }
        _ => true,
    }
}

/// A Windows program is found by its second header, which its first must lead to.
fn first_program(bytes: &[u8]) -> Option<usize> {
    for second in memchr::memmem::find_iter(bytes, b"PE\0\0").take(CANDIDATES_MAX) {
        let from = second.saturating_sub(PE_STUB_BYTES_MAX);
        let start = memchr::memmem::rfind_iter(&bytes[from..second], b"MZ").map(|at| from + at).find(|at| {
            let leads_to = bytes.get(at + 0x3c..at + 0x40).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            leads_to.is_some_and(|offset| offset as usize == second - at)
        });
        if start.is_some() {
            return start;
        }
    }
    None
}

fn is_text_to_its_end(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && crate::kind::text::looks_like_text(bytes)
}

/// A zip is read from its end: whatever stands before it does not matter to an unpacker.
fn look_for_zip(thing: &Thing<'_>, ctx: &mut Context<'_>) -> bool {
    let tail = &thing.bytes[thing.bytes.len().saturating_sub(66_000)..];
    let Some(end) = memchr::memmem::rfind(tail, b"PK\x05\x06") else { return false };
    // A zip kept in another archive without compression ends in the middle of it; one laid over it ends with it.
    let comment = tail.get(end + 20..end + 22).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    if thing.kind.nature() == Nature::Archive && end + 22 + comment != tail.len() {
        return false;
    }
    let zip = Zip::open(thing.bytes);
    let Some(first) = zip.entries().iter().filter_map(|entry| entry.data.as_ref()).map(|data| data.start).min() else {
        return false;
    };
    let start = zip.prefix_bytes;
    if zip.oddities().contains(&crate::archives::zip::Oddity::NoDirectory) || start == 0 || start >= first {
        return false;
    }
    let bytes = &thing.bytes[start..];
    let kind = detect(bytes, "");
    if !matches!(thing.kind, Kind::Unknown | Kind::Dos) || thing.kind == Kind::Unknown && shown_as_harmless(thing) {
        state(thing, kind, ctx);
    }
    ctx.child("appended", bytes);
    true
}

fn look_for_pdf(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let head = &thing.bytes[..thing.bytes.len().min(PDF_HEADER_WITHIN)];
    let Some(at) = memchr::memmem::find(head, b"%PDF-") else { return };
    if thing.kind == Kind::Pdf {
        let before = &head[..at];
        let kind = detect(before, "");
        if at > 0 && (matters(kind) || kind == Kind::Html || kind.nature() == Nature::Media) {
            state(thing, kind, ctx);
        } else if at >= PDF_PREFIX_BYTES_MIN && !crate::kind::text::looks_like_text(before) {
            ctx.fact("files/polyglot", "a PDF behind something else");
        }
    } else if !matches!(thing.kind, Kind::Unknown | Kind::Wmf) && memchr::memmem::find(thing.bytes, b" obj").is_some() {
        state(thing, Kind::Pdf, ctx);
        ctx.child("pdf", &thing.bytes[at..]);
    }
}

/// Server code in a picture runs where a site keeps uploads; a GIF that opens a comment is a script.
fn look_for_code(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    if thing.kind.nature() != Nature::Media {
        return;
    }
    if memchr::memmem::find(thing.bytes, b"<?php ").is_some() || memchr::memmem::find(thing.bytes, b"<?php\n").is_some()
    {
        ctx.fact("files/code-in-media", "PHP code");
    }
    if thing.kind == Kind::Gif && matches!(thing.bytes.get(6..8), Some(b"/*" | b"=1" | b"=0")) {
        ctx.fact("files/code-in-media", "it is also a script");
    }
}

/// A picture behind a picture (motion photos, previews) is normal.
fn matters(kind: Kind) -> bool {
    match kind.nature() {
        Nature::Program | Nature::Archive | Nature::DiskImage | Nature::Active => {
            !matches!(kind, Kind::Zlib | Kind::Com | Kind::Lzma | Kind::Compress)
        }
        Nature::Document => kind.is_ole() || kind.is_ooxml() || matches!(kind, Kind::Pdf | Kind::Rtf),
        Nature::Media | Nature::Data | Nature::Mail => false,
    }
}

fn state(thing: &Thing<'_>, second: Kind, ctx: &mut Context<'_>) {
    ctx.fact("files/polyglot", &format!("{} and {} in one file", describe(thing.kind), describe(second)));
}
