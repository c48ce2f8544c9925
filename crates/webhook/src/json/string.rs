//! JSON strings: decoded values, and the way from a range in a decoded value back to the bytes that wrote it.
//!
//! Input is always the inside of a string that the parser has checked, so escapes are known to be complete.

use std::ops::Range;

/// One character and the bytes that wrote it; a surrogate pair is one, a lone surrogate is U+FFFD.
struct Unit {
    raw: Range<usize>,
    value: char,
}

pub(super) fn decode(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut base = 0;
    while let Some(plain) = rest.find('\\') {
        out.push_str(&rest[..plain]);
        let unit = unit_at(raw, base + plain);
        out.push(unit.value);
        base = unit.raw.end;
        rest = &raw[base..];
    }
    out.push_str(rest);
    out
}

/// The raw bytes that hold the decoded range, widened to whole characters and cut at the end.
pub(crate) fn raw_range(raw: &str, decoded: Range<usize>) -> Range<usize> {
    let (mut at, mut offset) = (0, 0);
    let mut start = None;
    while at < raw.len() {
        let unit = unit_at(raw, at);
        let next_offset = offset + unit.value.len_utf8();
        if start.is_none() && decoded.start < next_offset {
            start = Some(unit.raw.start);
        }
        if start.is_some() && decoded.end <= offset {
            break;
        }
        (at, offset) = (unit.raw.end, next_offset);
    }
    // Where nothing was reached, both are the end of the string.
    let start = start.unwrap_or(at);
    start..at.max(start)
}

fn unit_at(raw: &str, at: usize) -> Unit {
    let bytes = raw.as_bytes();
    if bytes[at] != b'\\' {
        let value = raw[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
        return Unit { raw: at..at + value.len_utf8(), value };
    }
    let simple = |value| Unit { raw: at..at + 2, value };
    match bytes.get(at + 1) {
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        Some(b'u') => escaped_unit(raw, at),
        Some(other) => simple(char::from(*other)),
        None => Unit { raw: at..at + 1, value: '\\' },
    }
}

fn escaped_unit(raw: &str, at: usize) -> Unit {
    let first = hex4(raw, at);
    if let Some(value) = char::from_u32(first) {
        return Unit { raw: at..at + 6, value };
    }
    if (0xd800..0xdc00).contains(&first) && raw[at + 6..].starts_with("\\u") {
        let second = hex4(raw, at + 6);
        if (0xdc00..0xe000).contains(&second) {
            let value = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            return Unit { raw: at..at + 12, value: value.unwrap_or(char::REPLACEMENT_CHARACTER) };
        }
    }
    Unit { raw: at..at + 6, value: char::REPLACEMENT_CHARACTER }
}

fn hex4(raw: &str, at: usize) -> u32 {
    raw.get(at + 2..at + 6).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xdfff)
}

/// Appends `text` as the inside of a JSON string in pure ASCII, lower-case hex, 0x7F escaped (SPEC 6).
pub(crate) fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c => escape_char(out, c),
        }
    }
}

/// Appends valid JSON (or a piece of it that cuts no escape) in pure ASCII, without changing what it means: characters
/// outside of 0x00 to 0x7E as `\uxxxx`, escapes that are there already in lower case.
pub(crate) fn ascii_into(out: &mut String, json: &str) {
    let bytes = json.as_bytes();
    let (mut copied, mut at) = (0, 0);
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == b'\\' || *byte >= 0x7f) {
        at += next;
        match bytes[at] {
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                let end = (at + 6).min(bytes.len());
                if bytes[at + 2..end].iter().any(u8::is_ascii_uppercase) {
                    out.push_str(&json[copied..at]);
                    out.push_str(&json[at..end].to_ascii_lowercase());
                    copied = end;
                }
                at = end;
            }
            b'\\' => at = (at + 2).min(bytes.len()),
            _ => {
                out.push_str(&json[copied..at]);
                let c = json[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                escape_char(out, c);
                at += c.len_utf8();
                copied = at;
            }
        }
    }
    out.push_str(&json[copied..]);
}

fn escape_char(out: &mut String, c: char) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from(DIGITS[usize::from(*unit >> shift & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_every_escape() {
        assert_eq!(decode(r#"a\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00z"#), "a\"\\/\u{8}\u{c}\n\r\té😀z");
        assert_eq!(decode(r"\ud83d|\ude00|\ud83d\u0041"), "\u{fffd}|\u{fffd}|\u{fffd}A");
    }

    #[test]
    fn a_range_leads_back_to_its_bytes() {
        let raw = r"aé\u00e9\ud83d\ude00\nz";
        let text = decode(raw);
        let back = |start, end| &raw[raw_range(raw, start..end)];
        assert_eq!(back(0, 1), "a");
        assert_eq!(back(1, 3), "é");
        assert_eq!(back(2, 3), "é", "widened to the whole character");
        assert_eq!(back(3, 5), r"\u00e9");
        assert_eq!(back(5, 9), r"\ud83d\ude00");
        assert_eq!(back(6, 7), r"\ud83d\ude00");
        assert_eq!(back(9, 11), r"\nz");
        assert_eq!(back(0, text.len()), raw);
        assert_eq!(back(0, 999), raw);
        assert_eq!(raw_range(raw, 0..0), 0..0);
        assert_eq!(raw_range(raw, 999..1000), raw.len()..raw.len());
        assert_eq!(raw_range("", 0..0), 0..0);
        #[allow(clippy::reversed_empty_ranges)]
        {
            assert_eq!(raw_range(raw, 3..1).len(), 0, "an upside-down range takes nothing");
        }
    }

    #[test]
    fn ascii_is_lower_case_and_escapes_delete() {
        let mut out = String::new();
        ascii_into(&mut out, "{\"a\":\"\\u00E9\\/\\\\u00E9 é\u{7f}😀\"}");
        assert_eq!(out, r#"{"a":"\u00e9\/\\u00E9 \u00e9\u007f\ud83d\ude00"}"#);
        let mut out = String::new();
        escape_into(&mut out, "é\"\\\u{1}\u{7f}/\n");
        assert_eq!(out, r#"\u00e9\"\\\u0001\u007f/\n"#);
    }
}
