//! Mail with attachments: RFC 822 (and mailboxes, and saved web pages), Outlook's own form, and TNEF.
//!
//! Bodies go on as texts for the second round, attachments as things to look at.

use crate::formats::ole::Ole;
use crate::kind::{Kind, text};
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use mail_parser::{MessageParser, MimeHeaders, PartType};

/// Messages of one mailbox.
const MESSAGES_MAX: usize = 200;
/// Parts of one message.
const PARTS_MAX: usize = 500;
/// Storages of one Outlook message: attachments and recipients.
const STORAGES_MAX: usize = 1000;
/// A body's text that goes on to the second round.
const BODY_CHARS_MAX: usize = 4_000;

pub(super) fn look_at_eml(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    if thing.bytes.starts_with(b"From ") {
        let starts: Vec<usize> = std::iter::once(0)
            .chain(memchr::memmem::find_iter(thing.bytes, b"\nFrom ").map(|at| at + 1))
            .take(MESSAGES_MAX + 1)
            .collect();
        for (number, start) in starts.iter().enumerate().take(MESSAGES_MAX) {
            let end = starts.get(number + 1).copied().unwrap_or(thing.bytes.len());
            let message = &thing.bytes[*start..end];
            let headers = memchr::memchr(b'\n', message).map_or(0, |at| at + 1);
            look_at_message(&message[headers..], ctx);
        }
        return;
    }
    look_at_message(thing.bytes, ctx);
}

fn look_at_message(bytes: &[u8], ctx: &mut Context<'_>) {
    let Some(message) = MessageParser::default().parse(bytes) else {
        return ctx.gap_of(GapReason::Corrupt, "the mail's headers are damaged", FileClass::Document);
    };
    if let Some(subject) = message.subject() {
        ctx.text(subject);
    }
    for (number, part) in message.parts.iter().enumerate().take(PARTS_MAX) {
        if ctx.stop() {
            return;
        }
        let declared = part.content_type().map_or(String::new(), |t| {
            t.c_subtype.as_ref().map_or_else(|| t.c_type.to_string(), |subtype| format!("{}/{subtype}", t.c_type))
        });
        let name = part.attachment_name().unwrap_or_default();
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Text(body) if name.is_empty() => {
                ctx.text(&body.chars().take(BODY_CHARS_MAX).collect::<String>());
                look_for_uu(body.as_bytes(), ctx);
            }
            PartType::Html(body) if name.is_empty() => ctx.child_declared("body", "text/html", body.as_bytes()),
            PartType::Text(body) | PartType::Html(body) => ctx.child_declared(name, &declared, body.as_bytes()),
            PartType::Binary(body) | PartType::InlineBinary(body) => {
                let numbered = format!("part {number}");
                ctx.child_declared(if name.is_empty() { &numbered } else { name }, &declared, body);
            }
            PartType::Message(inner) => {
                // Of its own bytes only: what the parser keeps is the whole mail around it.
                ctx.child_declared(
                    if name.is_empty() { "message.eml" } else { name },
                    "message/rfc822",
                    inner.raw_message(),
                );
            }
        }
    }
}

/// Files of old inside of a text: `begin 644 name`.
pub(super) fn look_at_uu(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    look_for_uu(text::decode(thing.bytes).as_bytes(), ctx);
}

fn look_for_uu(bytes: &[u8], ctx: &mut Context<'_>) {
    let mut current: Option<(String, Vec<u8>)> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match &mut current {
            None => {
                if let Some(rest) = line.strip_prefix(b"begin ")
                    && let Ok(rest) = std::str::from_utf8(rest)
                    && let Some((mode, name)) = rest.split_once(' ')
                    && mode.len() <= 4
                    && mode.bytes().all(|b| b.is_ascii_digit())
                {
                    current = Some((name.trim().to_owned(), Vec::new()));
                }
            }
            Some((name, out)) => {
                if line == b"end" || line.is_empty() && !out.is_empty() {
                    if ctx.spend(out.len() as u64) {
                        ctx.child(name, out);
                    }
                    current = None;
                } else if !uu_line(line, out) {
                    current = None;
                }
            }
        }
    }
}

fn uu_line(line: &[u8], out: &mut Vec<u8>) -> bool {
    let value = |byte: u8| byte.wrapping_sub(32) & 63;
    let Some((&first, rest)) = line.split_first() else { return true };
    if !(32..=96).contains(&first) {
        return false;
    }
    let length = usize::from(value(first));
    let before = out.len();
    for group in rest.chunks(4) {
        let at = |n: usize| group.get(n).map_or(0, |byte| u32::from(value(*byte)));
        let bits = at(0) << 18 | at(1) << 12 | at(2) << 6 | at(3);
        out.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
    }
    out.truncate(before + length);
    true
}

/// Outlook's `.msg`: a compound file; attachments are storages, their content a stream named by its property.
pub(super) fn look_at_msg(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let Some(file) = Ole::parse(thing.bytes) else {
        return ctx.gap_of(GapReason::Corrupt, "the Outlook message is damaged", FileClass::Document);
    };
    let read = |path: &str| file.stream(path);
    for (property, is_html) in [("0037", false), ("1000", false), ("1013", true)] {
        for (suffix, wide) in [("001F", true), ("001E", false), ("0102", false)] {
            let Some(bytes) = read(&format!("__substg1.0_{property}{suffix}")) else { continue };
            if is_html {
                ctx.child_declared("body", "text/html", &bytes);
            } else {
                let body = if wide { utf16(&bytes) } else { text::decode(&bytes) };
                ctx.text(&body.chars().take(BODY_CHARS_MAX).collect::<String>());
            }
        }
    }
    let storages: Vec<String> = file
        .entries
        .iter()
        .filter(|entry| !entry.is_stream && entry.name().starts_with("__attach_version1.0"))
        .map(|entry| entry.path.clone())
        .take(STORAGES_MAX)
        .collect();
    for (number, storage) in storages.iter().enumerate() {
        if ctx.stop() {
            return;
        }
        let mut name = None;
        for (property, wide) in [("3707001F", true), ("3707001E", false), ("3704001F", true), ("3704001E", false)] {
            name = name.or_else(|| {
                let bytes = read(&format!("{storage}/__substg1.0_{property}"))?;
                Some(if wide { utf16(&bytes) } else { text::decode(&bytes) })
            });
        }
        let name = name.unwrap_or_else(|| format!("attachment {}", number + 1));
        let declared = read(&format!("{storage}/__substg1.0_370E001F")).map(|bytes| utf16(&bytes)).unwrap_or_default();
        if let Some(bytes) = read(&format!("{storage}/__substg1.0_37010102"))
            && ctx.spend(bytes.len() as u64)
        {
            ctx.child_declared(name.trim_end_matches('\0'), &declared, &bytes);
        }
    }
}

/// TNEF (`winmail.dat`): attributes one after another; an attachment's data comes before its name.
pub(super) fn look_at_tnef(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let mut rest = thing.bytes.get(6..).unwrap_or_default();
    let mut open: Option<(String, &[u8])> = None;
    let mut count = 0;
    let finish = |open: Option<(String, &[u8])>, count: &mut usize, ctx: &mut Context<'_>| {
        if let Some((name, data)) = open
            && !data.is_empty()
        {
            *count += 1;
            let numbered = format!("attachment {count}");
            ctx.child(if name.is_empty() { &numbered } else { &name }, data);
        }
    };
    while rest.len() >= 11 {
        if ctx.stop() {
            return;
        }
        let attribute = u32::from_le_bytes([rest[1], rest[2], rest[3], rest[4]]);
        let length = u32::from_le_bytes([rest[5], rest[6], rest[7], rest[8]]) as usize;
        let Some(value) = rest.get(9..9usize.saturating_add(length)) else { break };
        match attribute & 0xffff {
            0x9002 => finish(open.replace((String::new(), &[])), &mut count, ctx),
            0x800f => {
                if let Some((_, data)) = &mut open {
                    *data = value;
                }
            }
            0x8010 => {
                if let Some((name, _)) = &mut open {
                    *name = text::decode(value.split(|byte| *byte == 0).next().unwrap_or_default());
                }
            }
            _ => {}
        }
        rest = rest.get(9 + length + 2..).unwrap_or_default();
    }
    finish(open, &mut count, ctx);
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

pub(super) fn is_mail(kind: Kind) -> bool {
    matches!(kind, Kind::Eml | Kind::Mht)
}
