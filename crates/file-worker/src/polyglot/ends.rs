//! Where a file ends by its own account: pictures, sounds, films and texts that say how long they are. What comes after
//! belongs to somebody else.

use crate::kind::Kind;

/// Where a file of this kind ends by its own account; `None` where that cannot be told.
pub(super) fn end_of(kind: Kind, bytes: &[u8]) -> Option<usize> {
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
        Kind::Mp3 => mp3_end(bytes),
        Kind::Aac => adts_end(bytes),
        Kind::Ico => ico_end(bytes),
        Kind::Rtf => rtf_end(bytes),
        Kind::Midi => midi_end(bytes),
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
        // Letters can pass for a box: `<!DOCTYPE` would be one of a gigabyte. Only boxes that may be long are believed
        // to be so (a film that broke off in transit).
        let reaches = u32::from_be_bytes(head[..4].try_into().ok()?) as usize;
        if at > 0 && reaches > bytes.len() - at && !LONG_BOXES.iter().any(|known| known.as_slice() == name) {
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

/// Boxes that hold sound, picture or their index.
const LONG_BOXES: &[&[u8; 4]] =
    &[b"mdat", b"moov", b"moof", b"free", b"skip", b"wide", b"uuid", b"meta", b"idat", b"udta", b"mfra"];

/// An ID3 tag in front, frames one after another, and the tags that stand behind them.
fn mp3_end(bytes: &[u8]) -> Option<usize> {
    const RATES: [[usize; 16]; 5] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
    ];
    let mut at = 0;
    if bytes.starts_with(b"ID3") {
        let size = bytes.get(6..10)?.iter().fold(0usize, |size, byte| size << 7 | usize::from(byte & 0x7f));
        at = 10 + size;
        at += bytes.get(at..)?.iter().take(4096).take_while(|byte| **byte == 0).count();
    }
    let frames_from = at;
    while let Some(&[0xff, second, third, _]) = bytes.get(at..at + 4).and_then(|b| <&[u8; 4]>::try_from(b).ok()) {
        let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
        if second & 0xe0 != 0xe0 || version == 1 || layer == 0 {
            break;
        }
        let table = match (version, layer) {
            (3, 3) => 0,
            (3, 2) => 1,
            (3, _) => 2,
            (_, 3) => 3,
            _ => 4,
        };
        let rate = RATES[table][usize::from(third >> 4)] * 1000;
        let samples = [44_100, 48_000, 32_000, 1][usize::from(third >> 2 & 3)] >> [2, 0, 1, 0][usize::from(version)];
        let padding = usize::from(third >> 1 & 1);
        if rate == 0 || samples < 8_000 {
            break;
        }
        at += match (layer, version) {
            (3, _) => (12 * rate / samples + padding) * 4,
            (1, 0 | 2) => 72 * rate / samples + padding,
            _ => 144 * rate / samples + padding,
        };
    }
    if at == frames_from && frames_from == 0 {
        return None;
    }
    at = at.min(bytes.len());
    // Tags may follow: APE, Lyrics3, and 128 bytes of ID3v1 at the very end.
    if let Some(rest) = bytes.get(at..).filter(|rest| rest.starts_with(b"APETAGEX")) {
        at += 32 + u32_le(rest, 12)? as usize;
    }
    if bytes.get(at..).is_some_and(|rest| rest.starts_with(b"TAG") && rest.len() >= 128) {
        at += 128;
    }
    Some(at.min(bytes.len()))
}

fn adts_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 7).filter(|head| head[0] == 0xff && head[1] & 0xf6 == 0xf0) {
        let length = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
        if length < 7 {
            break;
        }
        at += length;
    }
    (at > 0).then_some(at.min(bytes.len()))
}

/// The furthest picture that the folder names.
fn ico_end(bytes: &[u8]) -> Option<usize> {
    let count = usize::from(*bytes.get(4)?);
    let folder = bytes.get(6..6 + count * 16)?;
    let ends = folder.chunks_exact(16).map(|e| Some(u32_le(e, 8)? as usize + u32_le(e, 12)? as usize));
    Some(ends.max()??.clamp(6 + count * 16, bytes.len().max(6 + count * 16)).min(bytes.len()))
}

/// Where the outermost brace closes; backslashes guard the next character, `\\bin` guards as many as it says.
fn rtf_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        at += memchr::memchr3(b'{', b'}', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {
                if let Some(digits) = bytes.get(at..).and_then(|rest| rest.strip_prefix(b"\\bin")) {
                    let count = digits.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
                    let length = std::str::from_utf8(&digits[..count]).ok()?.parse().unwrap_or(0usize);
                    at += 4 + count + length;
                }
                at += 1;
            }
        }
        at += 1;
    }
}

fn midi_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    while let Some(head) = bytes.get(at..at + 8).filter(|head| head.starts_with(b"MThd") || head.starts_with(b"MTrk")) {
        at = at.checked_add(8)?.checked_add(u32::from_be_bytes(head[4..].try_into().ok()?) as usize)?;
    }
    Some(at.min(bytes.len()))
}
