//! Text as a link hunter reads it: invisible characters gone, full-width and enclosed letters plain, `[.]` a dot again.
//! Every folded byte still knows which bytes of the text it came from. Knows nothing of links.

use std::sync::LazyLock;
use unicode_normalization::char::decompose_compatible;

/// Texts are looked at up to this length; a message's body is far below, a file's text is cut by its worker.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 20;

/// Folded text and, unless it is the text itself, where each byte came from.
pub(super) struct Folded<'t> {
    text: std::borrow::Cow<'t, str>,
    origins: Option<Origins>,
}

#[derive(Default)]
struct Origins {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl<'t> Folded<'t> {
    pub(super) fn of(text: &'t str) -> Folded<'t> {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        if text.is_ascii() && !has_disguise(text.as_bytes()) {
            return Folded { text: text.into(), origins: None };
        }
        let plain = fold_characters(text);
        let refanged = if has_disguise(plain.0.as_bytes()) { undo_disguises(plain) } else { plain };
        Folded { text: refanged.0.into(), origins: Some(refanged.1) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the original text that the folded range came from.
    pub(super) fn span(&self, start: usize, end: usize) -> (usize, usize) {
        match &self.origins {
            None => (start, end),
            Some(origins) if start < end => (origins.starts[start] as usize, origins.ends[end - 1] as usize),
            Some(_) => (0, 0),
        }
    }
}

/// Whether a bracketed, escaped, spaced-out or spelled-out dot stands here. Most texts have none and are not copied.
fn has_disguise(bytes: &[u8]) -> bool {
    static SPELLED: LazyLock<[memchr::memmem::Finder<'static>; 2]> =
        LazyLock::new(|| [memchr::memmem::Finder::new("nto com "), memchr::memmem::Finder::new("dot com ")]);
    let spelled = || SPELLED.iter().any(|finder| finder.find(bytes).is_some());
    memchr::memchr3_iter(b'[', b'(', b'{', bytes).any(|at| bracketed(bytes, at).is_some())
        || memchr::memchr_iter(b'.', bytes).any(|at| {
            at > 0 && (bytes[at - 1] == b'\\' || bytes.get(at + 1) == Some(&b']')) || spaced_dot(bytes, at).is_some()
        })
        || spelled()
}

struct Builder(String, Origins);

impl Builder {
    fn push(&mut self, c: char, start: usize, end: usize) {
        self.0.push(c);
        for _ in 0..c.len_utf8() {
            self.1.starts.push(start as u32); // bounded by TEXT_BYTES_MAX
            self.1.ends.push(end as u32);
        }
    }
}

fn fold_characters(text: &str) -> (String, Origins) {
    let mut out = Builder(String::with_capacity(text.len()), Origins::default());
    out.1.starts.reserve(text.len());
    out.1.ends.reserve(text.len());
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if c.is_ascii() || !may_change(c) {
            out.push(c, at, end);
        } else if !is_invisible(c) {
            match special(c) {
                Some(plain) => out.push(plain, at, end),
                None => decompose_compatible(c, |plain| out.push(plain, at, end)),
            }
        }
    }
    (out.0, out.1)
}

/// Blocks whose characters are invisible or dressed-up forms of others; everything else is kept unread.
fn may_change(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{1d2c}'..='\u{1d6a}' | '\u{2000}'..='\u{218f}' | '\u{2215}' | '\u{2236}' | '\u{a789}' | '\u{2460}'..='\u{24ff}' | '\u{2776}'..='\u{2793}'
        | '\u{3000}'..='\u{3002}' | '\u{3200}'..='\u{33ff}' | '\u{fb00}'..='\u{fb06}' | '\u{fe00}'..='\u{fe6f}'
        | '\u{feff}'..='\u{ffef}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f1ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that show nothing and so can stand inside a link unseen.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20e3}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Look-alikes that Unicode's own folding leaves alone.
fn special(c: char) -> Option<char> {
    let letter = |base: u32, first: char| char::from_u32('A' as u32 + base - first as u32);
    match c {
        '\u{3002}' | '\u{ff61}' | '\u{fe12}' => Some('.'),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0),
        '\u{1f150}'..='\u{1f169}' => letter(c as u32, '\u{1f150}'),
        '\u{1f170}'..='\u{1f189}' => letter(c as u32, '\u{1f170}'),
        '\u{2776}'..='\u{277e}' => char::from_u32('1' as u32 + c as u32 - 0x2776),
        '\u{2780}'..='\u{2788}' => char::from_u32('1' as u32 + c as u32 - 0x2780),
        '\u{278a}'..='\u{2792}' => char::from_u32('1' as u32 + c as u32 - 0x278a),
        // A ligature or fraction would grow into several characters that no browser reads as an address.
        '\u{2100}'..='\u{2101}' | '\u{2105}'..='\u{2106}' => Some(' '),
        '\u{2044}' | '\u{2215}' => Some('/'),
        '\u{2236}' | '\u{a789}' => Some(':'),
        _ => None,
    }
}

const OPENERS: &[(u8, u8)] = &[(b'[', b']'), (b'(', b')'), (b'{', b'}')];
const DISGUISES: &[(&str, &str)] =
    &[(".", "."), ("dot", "."), ("ponto", "."), ("punto", "."), ("://", "://"), (":", ":"), ("/", "/")];
/// Suffixes that stand after a spaced-out dot often enough to join on; any word could follow a sentence's end.
const SPACED_SUFFIXES: &[&str] = &[
    "com", "net", "org", "br", "top", "xyz", "shop", "online", "site", "info", "click", "link", "live", "club",
    "store", "vip", "app", "icu", "website", "space", "fun", "ru", "cn",
];

/// `evil[.]com`, `evil (dot) com`, `evil\.com`, `evil . com` become `evil.com`.
fn undo_disguises((text, origins): (String, Origins)) -> (String, Origins) {
    let bytes = text.as_bytes();
    let mut out = Builder(String::with_capacity(text.len()), Origins::default());
    out.1.starts.reserve(text.len());
    out.1.ends.reserve(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let disguise = bracketed(bytes, at).or_else(|| spaced_dot(bytes, at)).or_else(|| spelled_out(bytes, at));
        if let Some((plain, end)) = disguise {
            while out.0.ends_with(' ') {
                out.0.pop();
                out.1.starts.truncate(out.0.len());
                out.1.ends.truncate(out.0.len());
            }
            for c in plain.chars() {
                out.push(c, origins.starts[at] as usize, origins.ends[end - 1] as usize);
            }
            at = end;
            continue;
        }
        if bytes[at] == b'\\' && bytes.get(at + 1) == Some(&b'.') {
            at += 1;
            continue;
        }
        let c = text[at..].chars().next().unwrap_or('\u{fffd}');
        out.push(c, origins.starts[at] as usize, origins.ends[at] as usize);
        at += c.len_utf8();
    }
    (out.0, out.1)
}

fn bracketed(bytes: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let near = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    // `evil[.com`, `evil.]com`: half of it was forgotten.
    let halves: [&[u8]; 2] = [b"[.", b".]"];
    if at > 0 && near(at - 1) && near(at + 2) && bytes.get(at..at + 2).is_some_and(|two| halves.contains(&two)) {
        return Some((".", at + 2));
    }
    let closer = OPENERS.iter().find(|(opener, _)| bytes[at] == *opener)?.1;
    let inner = skip_spaces(bytes, at + 1);
    let first = bytes.get(inner)?.to_ascii_lowercase();
    for (written, meant) in DISGUISES {
        if written.as_bytes()[0] != first {
            continue;
        }
        let end = inner + written.len();
        if bytes.get(inner..end).is_some_and(|seen| seen.eq_ignore_ascii_case(written.as_bytes())) {
            let close = skip_spaces(bytes, end);
            if bytes.get(close) == Some(&closer) {
                let next = skip_spaces(bytes, close + 1);
                return bytes
                    .get(next)
                    .filter(|b| b.is_ascii_alphanumeric() || **b >= 0x80 || **b == b'/')
                    .map(|_| (*meant, next));
            }
        }
    }
    None
}

/// A dot with blanks around it that only a suffix explains: `evil . com`, `evil. com.br/x`, `evil .com`.
fn spaced_dot(bytes: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let (start, dot) = match bytes[at] {
        b'.' => (at, at),
        _ => return None,
    };
    let before = start > 0 && bytes[start - 1] == b' ';
    let label = skip_spaces(bytes, dot + 1);
    let after = label > dot + 1;
    if !(before || after) || label - dot > 3 {
        return None;
    }
    let word_end = bytes[..start].iter().rposition(|b| *b != b' ')?;
    if start - word_end > 3 || !(bytes[word_end].is_ascii_alphanumeric() || bytes[word_end] >= 0x80) {
        return None;
    }
    let end = label + bytes[label..].iter().take(12).take_while(|b| b.is_ascii_alphanumeric()).count();
    let suffix = &bytes[label..end];
    if !SPACED_SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known.as_bytes())) {
        return None;
    }
    let next = bytes.get(end);
    let path = next == Some(&b'/');
    // `. com . br` and `. com.br`: the country after it says that this is an address.
    let follow = skip_spaces(bytes, end);
    let country = bytes.get(follow) == Some(&b'.') && {
        let from = skip_spaces(bytes, follow + 1);
        bytes.get(from..from + 2).is_some_and(|two| two.iter().all(u8::is_ascii_alphabetic))
            && !bytes.get(from + 2).is_some_and(u8::is_ascii_alphanumeric)
    };
    let ends = next.is_none_or(|b| matches!(b, b'\n' | b'\r' | b',' | b'!' | b'?' | b')'));
    // After a full stop and a blank, `com` is a Portuguese word: only a path or a country makes it a suffix.
    let word = bytes[..=word_end].iter().rev().take(4).take_while(|b| b.is_ascii_alphanumeric() || **b >= 0x80).count();
    let joined = path || country || before && ends && (after || word == 4);
    joined.then_some((".", label))
}

/// `evil ponto com ponto br`, `evil dot com slash login`: spelled out, and a second word says that an address is meant.
fn spelled_out(bytes: &[u8], at: usize) -> Option<(&'static str, usize)> {
    const DOTS: &[&str] = &["ponto", "punto", "dot"];
    const SLASHES: &[&str] = &["barra", "slash"];
    const LABEL_BYTES_MIN: usize = 3;
    let label = || bytes[..at].iter().rev().take(4).take_while(|b| b.is_ascii_alphanumeric() || **b >= 0x80).count();
    if bytes[at] != b' ' || label() < LABEL_BYTES_MIN {
        return None;
    }
    let word = |from: usize| {
        let end = from + bytes[from..].iter().take(12).take_while(|b| b.is_ascii_alphanumeric()).count();
        (&bytes[from..end], end)
    };
    let is = |word: &[u8], list: &[&str]| list.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    let blank = |end: usize| bytes.get(end) == Some(&b' ');
    let (dot, dot_end) = word(at + 1);
    if !blank(dot_end) {
        return None;
    }
    if is(dot, SLASHES) {
        // Only after a dot that was undone already, or written: `evil.com barra pagar`.
        let front = &bytes[..at];
        let label = front.iter().rev().take(12).take_while(|b| b.is_ascii_alphanumeric()).count();
        let suffix = &front[at - label..];
        return (is(suffix, SPACED_SUFFIXES) && word(dot_end + 1).0.len() > 1).then_some(("/", dot_end + 1));
    }
    if !is(dot, DOTS) {
        return None;
    }
    let (suffix, suffix_end) = word(dot_end + 1);
    let country = suffix.len() == 2 && {
        let before = bytes[..at].iter().rev().take(12).take_while(|b| b.is_ascii_alphanumeric()).count();
        is(&bytes[at - before..at], &["com", "gov", "org", "net"])
    };
    let (next, next_end) = if blank(suffix_end) { word(suffix_end + 1) } else { (&bytes[..0], suffix_end) };
    let goes_on = is(next, SLASHES) || is(next, DOTS) && word((next_end + 1).min(bytes.len())).0.len() == 2;
    (country || is(suffix, SPACED_SUFFIXES) && goes_on).then_some((".", dot_end + 1))
}

/// Past at most three blanks.
fn skip_spaces(bytes: &[u8], from: usize) -> usize {
    from + bytes.get(from..).unwrap_or_default().iter().take(3).take_while(|b| **b == b' ').count()
}
