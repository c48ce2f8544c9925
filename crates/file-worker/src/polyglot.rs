//! Two files in one: a picture with a program behind its end, a film with a zip, a PDF that is a page.
//!
//! Finds where a picture, a sound, a film or a PDF ends by its own structure, and looks at what comes after; looks for a
//! zip's end record, which counts from the back, and a PDF header, which may stand anywhere early.

use crate::archives::zip::Zip;
use crate::kind::{Kind, Nature, detect};
use crate::true_type::describe;
use crate::walk::{Context, Thing};

/// Fewer bytes behind the end are padding or a line break.
const TAIL_BYTES_MIN: usize = 4;
/// How far into an unknown tail beginnings of other files are looked for.
const TAIL_SEARCH_BYTES: usize = 4 << 20;
/// Readers accept a PDF's header this far in.
const PDF_HEADER_WITHIN: usize = 1024;

pub fn wants(thing: &Thing<'_>) -> bool {
    thing.kind.nature() == Nature::Media
        || matches!(thing.kind, Kind::Pdf | Kind::Dos | Kind::Unknown | Kind::Rtf | Kind::Html)
}

pub fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let bytes = thing.bytes;
    let end = end_of(thing.kind, bytes);
    let tail = end.and_then(|end| bytes.get(end..)).unwrap_or_default();
    let tail_starts = tail.iter().take_while(|byte| matches!(byte, 0 | b'\n' | b'\r' | b' ' | b'\t')).count();
    let tail = &tail[tail_starts..];
    let mut seen = false;
    if tail.len() >= TAIL_BYTES_MIN {
        seen = look_at_tail(thing, tail, ctx);
    }
    if !seen {
        seen = look_for_zip(thing, ctx);
    }
    if !seen {
        look_for_pdf(thing, ctx);
    }
    look_for_code(thing, ctx);
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
    let searched = &tail[..tail.len().min(TAIL_SEARCH_BYTES)];
    const BEGINNINGS: &[&[u8]] =
        &[b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"%PDF-", b"\x7fELF", b"<?php", b"<script", b"<html", b"dex\n03"];
    for beginning in BEGINNINGS {
        if let Some(at) = memchr::memmem::find(searched, beginning) {
            let kind = detect(&tail[at..], "");
            if matters(kind) {
                state(thing, kind, ctx);
                ctx.child("appended", &tail[at..]);
                return true;
            }
        }
    }
    for at in memchr::memmem::find_iter(searched, b"MZ").take(64) {
        if detect(&tail[at..], "") == Kind::Pe {
            state(thing, Kind::Pe, ctx);
            ctx.child("appended", &tail[at..]);
            return true;
        }
    }
    false
}

/// A zip is read from its end: whatever stands before it does not matter to an unpacker.
fn look_for_zip(thing: &Thing<'_>, ctx: &mut Context<'_>) -> bool {
    let tail = &thing.bytes[thing.bytes.len().saturating_sub(66_000)..];
    if memchr::memmem::rfind(tail, b"PK\x05\x06").is_none() {
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
    if thing.kind != Kind::Unknown && thing.kind != Kind::Dos {
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
        Nature::Document => {
            matches!(kind, Kind::Pdf | Kind::Rtf | Kind::Doc | Kind::Xls | Kind::Docx | Kind::Docm | Kind::Xlsm)
        }
        Nature::Media | Nature::Data | Nature::Mail => false,
    }
}

fn state(thing: &Thing<'_>, second: Kind, ctx: &mut Context<'_>) {
    ctx.fact("files/polyglot", &format!("{} and {} in one file", describe(thing.kind), describe(second)));
}

/// Where a file of this kind ends by its own account; `None` where that cannot be told.
fn end_of(kind: Kind, bytes: &[u8]) -> Option<usize> {
    match kind {
        Kind::Jpeg => jpeg_end(bytes),
        Kind::Png => png_end(bytes),
        Kind::Gif => gif_end(bytes),
        Kind::Webp | Kind::Wav | Kind::Avi => {
            let size = u32_le(bytes, 4)? as usize;
            Some(size.checked_add(8 + (size & 1))?.min(bytes.len()))
        }
        Kind::Bmp => Some((u32_le(bytes, 2)? as usize).max(54).min(bytes.len())),
        Kind::Mp4 | Kind::Mov | Kind::M4a | Kind::ThreeGp | Kind::Heic | Kind::Avif => boxes_end(bytes),
        Kind::Ogg | Kind::OggVideo => ogg_end(bytes),
        Kind::Pdf => {
            let at = memchr::memmem::rfind(bytes, b"%%EOF")?;
            Some(at + 5)
        }
        _ => None,
    }
}

fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        if bytes[at] != 0xff {
            return None;
        }
        match marker {
            0xff => at += 1,
            0xd9 => return Some(at + 2),
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]) as usize;
                at += 2 + length;
                if marker == 0xda {
                    at = entropy_end(bytes, at)?;
                }
            }
        }
    }
}

/// After a scan's header: to the next marker that is neither a stuffed byte nor a restart.
fn entropy_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(0xff, bytes.get(at..)?)?;
        match *bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

fn png_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 8usize;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let name = bytes.get(at + 4..at + 8)?;
        at = at.checked_add(12)?.checked_add(length)?;
        if name == b"IEND" {
            return Some(at.min(bytes.len()));
        }
    }
}

fn gif_end(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(10)?;
    let mut at = 13 + if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    loop {
        match *bytes.get(at)? {
            0x3b => return Some(at + 1),
            0x21 => at = sub_blocks_end(bytes, at + 2)?,
            0x2c => {
                let flags = *bytes.get(at + 9)?;
                let table = if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
                at = sub_blocks_end(bytes, at + 10 + table + 1)?;
            }
            _ => return Some(at),
        }
    }
}

fn sub_blocks_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(length),
        }
    }
}

fn boxes_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    while let Some(head) = bytes.get(at..at.checked_add(8)?) {
        let name = &head[4..];
        if !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-' | 0xa9)) {
            return Some(at);
        }
        let size = match u32::from_be_bytes(head[..4].try_into().ok()?) {
            0 => return None,
            1 => usize::try_from(u64::from_be_bytes(bytes.get(at + 8..at + 16)?.try_into().ok()?)).ok()?,
            size => size as usize,
        };
        if size < 8 {
            return Some(at);
        }
        at = at.checked_add(size)?;
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

fn ogg_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"OggS") {
        let segments = usize::from(*bytes.get(at + 26)?);
        let table = bytes.get(at + 27..at + 27 + segments)?;
        at += 27 + segments + table.iter().map(|n| usize::from(*n)).sum::<usize>();
    }
    Some(at.min(bytes.len()))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
