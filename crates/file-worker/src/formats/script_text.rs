//! What JavaScript in a page, a picture or a document gives away: smuggling a download, hiding what it runs. Plain text
//! in, facts out; never runs anything.

use super::report::Report;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Encoded payloads taken out of one script.
const PAYLOADS_MAX: usize = 16;
/// A shorter run of base64 is a word, not a file.
const PAYLOAD_CHARS_MIN: usize = 64;
const PAYLOAD_CHARS_MAX: usize = 32 << 20;

/// Makes bytes out of text.
const DECODES: &[&str] =
    &["atob(", "fromcharcode", "uint8array", "charcodeat", "base64", "parseint(", "decodeuricomponent", "unescape("];
/// Gives bytes to the person as a file.
const SAVES: &[&str] = &[
    "new blob",
    "createobjecturl",
    "mssaveoropenblob",
    "mssaveblob",
    "webkiturl",
    "showsavefilepicker",
    "new file(",
    "filesaver",
    "saveas(",
];
/// Runs text.
const RUNS_HIDDEN: &[&str] = &[
    "eval(atob",
    "eval(unescape",
    "eval(string.fromcharcode",
    "eval(decodeuri",
    "document.write(unescape",
    "document.write(atob",
    "document.write(decodeuri",
    "function(atob",
    "eval(function(p,a,c,k,e",
    "document.write(string.fromcharcode",
    "window[\"eval\"]",
    "window['eval']",
];
/// Leads elsewhere without a click.
const LEADS_AWAY: &[&str] = &[
    "location.href=",
    "location.replace(",
    "location.assign(",
    "window.location=",
    "document.location=",
    "top.location=",
    "self.location=",
];

/// What a script does that a page sent as a file should not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    pub smuggles: bool,
    pub hides: bool,
    pub leads_away: bool,
}

pub fn deeds(script: &str) -> Deeds {
    let lower: String =
        script.chars().filter(|c| !c.is_whitespace() || *c == ' ').collect::<String>().to_ascii_lowercase();
    let tight = lower.replace(' ', "");
    let any = |list: &[&str]| {
        list.iter().any(|needle| if needle.contains(' ') { lower.contains(needle) } else { tight.contains(needle) })
    };
    let clicks = tight.contains(".download=")
        || tight.contains("'download'")
        || tight.contains("\"download\"")
        || tight.contains(".download('");
    let data_url = tight.contains("data:application/");
    Deeds {
        smuggles: any(DECODES) && any(SAVES) || clicks && (any(DECODES) || any(SAVES) || data_url),
        hides: any(RUNS_HIDDEN) || tight.matches("\\x").count() > 200 || tight.matches("%u").count() > 200,
        leads_away: any(LEADS_AWAY),
    }
}

/// Files written as base64 in `text`, handed over as children.
pub fn unpack_payloads(text: &str, report: &mut dyn Report) {
    let is_code = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let (bytes, mut at, mut count) = (text.as_bytes(), 0, 0);
    while at < bytes.len() && count < PAYLOADS_MAX {
        let Some(start) = bytes[at..].iter().position(|b| is_code(*b)).map(|n| at + n) else { return };
        let end = bytes[start..].iter().position(|b| !is_code(*b)).map_or(bytes.len(), |n| start + n);
        let run = &text[start..end];
        if (PAYLOAD_CHARS_MIN..PAYLOAD_CHARS_MAX).contains(&run.len())
            && let Some(file) = decode_file(run)
        {
            if !report.spend(file.len()) {
                return;
            }
            report.child(&format!("base64-{count}"), file);
            count += 1;
        }
        at = end.max(start + 1);
    }
}

/// The bytes behind `run`, if they begin as a file that matters does.
fn decode_file(run: &str) -> Option<Vec<u8>> {
    let head = LENIENT.decode(run.get(..16)?).ok()?;
    const STARTS: &[&[u8]] = &[
        b"MZ",
        b"PK\x03\x04",
        b"%PDF",
        b"\x7fELF",
        b"Rar!",
        b"7z\xbc\xaf",
        b"\xd0\xcf\x11\xe0",
        b"L\0\0\0\x01\x14",
        b"\x1f\x8b\x08",
        b"{\\rtf",
        b"MSCF",
        b"<htm",
        b"<!DO",
        b"<scr",
        b"X5O!P%@AP",
    ];
    STARTS.iter().any(|start| head.starts_with(start)).then(|| decode(run)).flatten()
}

/// Base64 in any of its habits: line breaks, missing padding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let clean: Vec<u8> = text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            b => b,
        })
        .collect();
    // A stray last character makes the rest no less readable.
    let whole = clean.len() - usize::from(clean.len() % 4 == 1);
    LENIENT.decode(clean.get(..whole)?).ok()
}

/// A `data:` URL's type and bytes.
pub fn data_url(url: &str) -> Option<(String, Vec<u8>)> {
    let rest = url
        .trim_start()
        .get(5..)
        .filter(|_| url.trim_start().get(..5).is_some_and(|s| s.eq_ignore_ascii_case("data:")))?;
    let (head, body) = rest.split_once(',')?;
    // What follows `#` names a part of what is there.
    let body = body.split('#').next().unwrap_or_default();
    let mime = head.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = percent_decode(body);
    let bytes =
        if head.to_ascii_lowercase().contains("base64") { decode(&String::from_utf8_lossy(&body))? } else { body };
    Some((mime, bytes))
}

pub fn percent_decode(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match hex.filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn scripts_are_judged_by_what_they_do() {
        let check = |script: &str, smuggles, hides, leads_away| {
            assert_eq!(deeds(script), Deeds { smuggles, hides, leads_away }, "{script}");
        };
        check("var b = new Blob([Uint8Array.from(atob(d))]);", true, false, false);
        check("a.href = 'data:application/zip;base64,UEsDBA=='; a.download = 'x.zip'; a.click()", true, false, false);
        check("eval(atob('YWxlcnQoMSk='))", false, true, false);
        check("window.location = 'https://example.com'", false, false, true);
        check("document.getElementById('menu').classList.toggle('open')", false, false, false);
        check("fetch('/api').then(r => r.json())", false, false, false);
    }

    #[test]
    fn files_in_base64_are_handed_over() {
        let mut seen = Seen::default();
        let zip = LENIENT.encode([b"PK\x03\x04".as_slice(), &[0; 80]].concat());
        unpack_payloads(&format!("var x = \"{zip}\"; var y = \"{}\"", "A".repeat(100)), &mut seen);
        assert_eq!(seen.children.len(), 1);
        assert!(seen.children[0].1.starts_with(b"PK"));
    }

    #[test]
    fn data_urls() {
        assert_eq!(data_url("data:text/html,%3Cb%3E"), Some(("text/html".into(), b"<b>".to_vec())));
        assert_eq!(data_url(" DATA:a/b;base64,aGk"), Some(("a/b".into(), b"hi".to_vec())));
        assert_eq!(data_url("https://x"), None);
        assert_eq!(data_url("é"), None);
    }
}
