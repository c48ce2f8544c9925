//! Archives of old: LZH, ARJ, cpio, ar, and the packages made of them. Small readers of their own, but for LZH.

use crate::names;
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use std::io::Cursor;

pub(super) fn look_at_lzh(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let Ok(mut archive) = delharc::LhaDecodeReader::new(Cursor::new(thing.bytes)) else {
        return ctx.gap_of(GapReason::Corrupt, "the LZH header is damaged", FileClass::Archive);
    };
    loop {
        let (name, packed) = (archive.header().parse_pathname_to_str(), archive.header().compressed_size);
        if archive.header().is_directory() {
            names::state(ctx, &name);
        } else if archive.is_decoder_supported() {
            ctx.unpack(&name, packed, &mut archive);
        } else {
            ctx.within(&name, |ctx| {
                ctx.gap_of(GapReason::Unsupported, "an LZH method that is not known", FileClass::Archive)
            });
        }
        if ctx.stop() || !matches!(archive.next_file(), Ok(true)) {
            return;
        }
    }
}

/// ARJ: names always, content where it is stored.
pub(super) fn look_at_arj(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let mut at = 0;
    let mut is_main = true;
    while let Some(header) = thing.bytes.get(at..) {
        if !header.starts_with(b"\x60\xea") || ctx.stop() {
            return;
        }
        let length = usize::from(u16_le(header, 2));
        if length == 0 {
            return; // the end
        }
        let Some(basic) = header.get(4..4 + length).filter(|basic| basic.len() >= 30) else { return };
        let first = usize::from(basic[0]).min(basic.len());
        let name_bytes = &basic[first..];
        let end = memchr::memchr(0, name_bytes).unwrap_or(name_bytes.len());
        let name: String = name_bytes[..end].iter().map(|byte| char::from(*byte)).collect();
        // Basic header, its checksum, and extended headers up to an empty one.
        let mut next = 4 + length + 4;
        for _ in 0..16 {
            let extended = usize::from(u16_le(header, next));
            next += 2;
            if extended == 0 {
                break;
            }
            next += extended + 4;
        }
        if is_main {
            is_main = false;
            at += next;
            continue;
        }
        let packed = u32_le(basic, 12) as usize;
        let (flags, method, kind) = (basic[4], basic[5], basic[6]);
        let body = header.get(next..).map(|rest| &rest[..packed.min(rest.len())]).unwrap_or_default();
        names::state(ctx, &name);
        if flags & 1 != 0 {
            names::state_unseen(ctx, &name);
            ctx.fact("files/archive-encrypted", &name);
            ctx.gap_of(GapReason::Encrypted, "an ARJ password is not tried", FileClass::Archive);
        } else if method == 0 && kind < 2 {
            ctx.child(&name, body);
        } else if kind < 2 {
            names::state_unseen(ctx, &name);
            ctx.within(&name, |ctx| ctx.gap_of(GapReason::Unsupported, "packed by ARJ", FileClass::Archive));
        }
        at = at.saturating_add(next).saturating_add(packed);
    }
}

/// cpio: new ASCII, old ASCII and binary in both byte orders.
pub(super) fn look_at_cpio(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let mut rest = thing.bytes;
    while let Some(entry) = cpio_entry(rest) {
        if ctx.stop() || entry.name == "TRAILER!!!" {
            return;
        }
        names::state(ctx, &entry.name);
        match entry.mode & 0o170_000 {
            0o120_000 => names::state_link(ctx, &entry.name, &String::from_utf8_lossy(entry.body)),
            0o100_000 | 0 => ctx.child(&entry.name, entry.body),
            0o020_000 | 0o060_000 => {
                ctx.within(&entry.name, |ctx| ctx.fact("files/archive-device", "a device"));
            }
            _ => {}
        }
        rest = entry.rest;
    }
}

struct CpioEntry<'a> {
    name: String,
    mode: u64,
    body: &'a [u8],
    rest: &'a [u8],
}

fn cpio_entry(bytes: &[u8]) -> Option<CpioEntry<'_>> {
    let digits = |from: usize, to: usize, radix: u32| -> Option<u64> {
        u64::from_str_radix(std::str::from_utf8(bytes.get(from..to)?).ok()?, radix).ok()
    };
    // header length, mode, name length, body length, alignment
    let (head, mode, name_len, size, align): (usize, u64, u64, u64, usize) = match bytes.get(..6)? {
        b"070701" | b"070702" => (110, digits(14, 22, 16)?, digits(94, 102, 16)?, digits(54, 62, 16)?, 4),
        b"070707" => (76, digits(18, 24, 8)?, digits(59, 65, 8)?, digits(65, 76, 8)?, 1),
        [0xc7, 0x71, ..] | [0x71, 0xc7, ..] => {
            let little = bytes[0] == 0xc7;
            let word = |at: usize| -> Option<u64> {
                let pair = [*bytes.get(at)?, *bytes.get(at + 1)?];
                Some(u64::from(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }))
            };
            (26, word(6)?, word(20)?, word(22)? << 16 | word(24)?, 2)
        }
        _ => return None,
    };
    let (name_len, size) = (usize::try_from(name_len).ok()?, usize::try_from(size).ok()?);
    let name = bytes.get(head..head.checked_add(name_len)?)?;
    let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned();
    let start = (head + name_len).next_multiple_of(align);
    let rest = bytes.get(start..)?;
    let body = &rest[..size.min(rest.len())];
    let rest = rest.get(size.checked_next_multiple_of(align)?..).unwrap_or_default();
    Some(CpioEntry { name, mode, body, rest })
}

/// ar, also what a Debian package is.
pub(super) fn look_at_ar(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let mut rest = thing.bytes.get(8..).unwrap_or_default();
    let mut long_names: &[u8] = &[];
    while let Some((header, after)) = rest.split_at_checked(60) {
        if ctx.stop() || &header[58..60] != b"`\n" {
            return;
        }
        let field = |from: usize, to: usize| String::from_utf8_lossy(&header[from..to]).trim().to_owned();
        let Ok(size) = field(48, 58).parse::<usize>() else { return };
        let body = &after[..size.min(after.len())];
        let mut name = field(0, 16);
        if name == "//" {
            long_names = body;
        } else if let Some(at) = name.strip_prefix('/').and_then(|at| at.parse::<usize>().ok()) {
            let long = long_names.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', long).unwrap_or(long.len());
            name = String::from_utf8_lossy(&long[..end]).into_owned();
        }
        let name = name.trim_end_matches('/');
        if !matches!(name, "" | "//" | "/SYM64") {
            ctx.child(name, body);
        }
        rest = after.get(size.saturating_add(size & 1)..).unwrap_or_default();
    }
}

/// RPM: a lead, two headers, and the compressed payload, which is a cpio.
pub(super) fn look_at_rpm(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    const LEAD_BYTES: usize = 96;
    let header_end = |at: usize| -> Option<usize> {
        let head = thing.bytes.get(at..at.checked_add(16)?)?;
        let number =
            |from: usize| u32::from_be_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]) as usize;
        if !head.starts_with(b"\x8e\xad\xe8") {
            return None;
        }
        at.checked_add(16)?.checked_add(number(8).checked_mul(16)?)?.checked_add(number(12))
    };
    let payload = header_end(LEAD_BYTES)
        .map(|end| end.next_multiple_of(8))
        .and_then(header_end)
        .and_then(|at| thing.bytes.get(at..))
        .unwrap_or_default();
    if !payload.is_empty() {
        ctx.child("payload", payload);
    }
}

fn u16_le(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_le(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}
