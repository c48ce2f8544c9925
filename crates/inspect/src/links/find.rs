//! Finding links as people send them: with or without a scheme, disguised, wrapped in punctuation or markup.
//!
//! One pass over the folded text; every byte is looked at a bounded number of times, whatever the text. What a phone
//! would make tappable is found; prices, versions, file names, dates and e-mail addresses are not links.

use super::fold::Folded;
use super::words::{COMMON_BEFORE_DOT, FILE_ENDINGS, FILE_LIKE_SUFFIXES, SOURCE_FILE_STEMS, WORD_SUFFIXES};

/// A longer link is cut; its span still covers all of it.
pub const URL_BYTES_MAX: usize = 8192;
/// A text with more links than this is answered with the first so many.
pub const LINKS_MAX: usize = 20_000;
const HOST_BYTES_MAX: usize = 253;

/// A link in a text.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundLink {
    /// Bytes of the text it covers, disguise included.
    pub span: (usize, usize),
    /// The link with its scheme, its disguise undone; the host is as the sender wrote it.
    pub url: String,
    /// What the reader sees instead, where the text is markup: `[itau.com.br](http://evil.example)`.
    pub shown: Option<String>,
}

/// A link may carry a token: its text is for findings, not for logs.
impl std::fmt::Debug for FoundLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundLink({}..{})", self.span.0, self.span.1)
    }
}

/// Every link of `text`, in order, not overlapping.
pub fn find_links(text: &str) -> Vec<FoundLink> {
    let folded = Folded::of(text);
    let mut finder = Finder { text: folded.text(), bytes: folded.text().as_bytes(), from: 0 };
    let mut links = Vec::new();
    while links.len() < LINKS_MAX
        && let Some(anchor) = finder.next_anchor()
    {
        if let Some(hit) = finder.link_at(anchor) {
            let mut url = String::with_capacity(hit.scheme.len() + hit.end - hit.body);
            url.push_str(hit.scheme);
            url.push_str(cut(&finder.text[hit.body..hit.end], URL_BYTES_MAX));
            let shown = finder.shown_text(hit.start);
            links.push(FoundLink { span: folded.span(hit.start, hit.end), url, shown });
        }
    }
    links
}

/// At most `bytes_max` of `text`, not through a character.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `scheme` is written anew, `body..end` is copied.
struct Hit {
    start: usize,
    scheme: &'static str,
    body: usize,
    end: usize,
}

struct Finder<'t> {
    text: &'t str,
    bytes: &'t [u8],
    /// Everything before this is done with.
    from: usize,
}

/// Schemes with an authority, as written and as meant; the longest first.
const SCHEMES: &[(&str, &str)] = &[
    ("https", "https://"),
    ("hxxps", "https://"),
    ("hxtps", "https://"),
    ("htxps", "https://"),
    ("h**ps", "https://"),
    ("h++ps", "https://"),
    ("meows", "https://"),
    ("whatsapp", "whatsapp://"),
    ("intent", "intent://"),
    ("market", "market://"),
    ("tsdevice", "tsdevice://"),
    ("http", "http://"),
    ("hxxp", "http://"),
    ("hxtp", "http://"),
    ("htxp", "http://"),
    ("h**p", "http://"),
    ("h++p", "http://"),
    ("meow", "http://"),
    ("sgnl", "sgnl://"),
    ("fb", "fb://"),
    ("ftp", "ftp://"),
    ("fxp", "ftp://"),
    ("wss", "wss://"),
    ("file", "file://"),
    ("smb", "smb://"),
    ("tg", "tg://"),
    ("ws", "ws://"),
];
/// Whether what stands after a scheme's colon fits it.
type Follows = fn(&[u8]) -> bool;
/// Schemes without one, and what must follow for it to be no ordinary word and colon.
const OPAQUE: &[(&str, &str, Follows)] = &[
    ("javascript", "javascript:", |rest| rest.first().is_some_and(|b| !b.is_ascii_whitespace())),
    ("vbscript", "vbscript:", |rest| rest.first().is_some_and(|b| !b.is_ascii_whitespace())),
    ("data", "data:", |rest| {
        ["text/", "image/", "application/", "audio/", "video/", ";base64", ",", "multipart/"]
            .iter()
            .any(|kind| rest.get(..kind.len()).is_some_and(|seen| seen.eq_ignore_ascii_case(kind.as_bytes())))
    }),
    ("intent", "intent:", |rest| {
        rest.first().is_some_and(u8::is_ascii_alphanumeric) && rest.iter().take(128).any(|b| *b == b'#')
    }),
    ("itms-services", "itms-services:", |rest| rest.starts_with(b"//") || rest.starts_with(b"?")),
    ("ms-appinstaller", "ms-appinstaller:", |rest| rest.starts_with(b"?")),
    ("search-ms", "search-ms:", |rest| rest.first().is_some_and(u8::is_ascii_alphanumeric)),
    ("tel", "tel:", is_number),
    ("sms", "sms:", is_number),
];

/// `+55-11-…`: a digit, and more of them soon.
fn is_number(rest: &[u8]) -> bool {
    let digits = rest.strip_prefix(b"+").unwrap_or(rest);
    digits.first().is_some_and(u8::is_ascii_digit) && digits.iter().take(6).filter(|b| b.is_ascii_digit()).count() >= 3
}

impl Finder<'_> {
    /// The next dot or colon; links have one or the other.
    fn next_anchor(&self) -> Option<usize> {
        memchr::memchr2(b'.', b':', &self.bytes[self.from..]).map(|at| self.from + at)
    }

    /// A link around this anchor; moves past what it looked at.
    fn link_at(&mut self, anchor: usize) -> Option<Hit> {
        let hit = match self.bytes[anchor] {
            b':' => self.schemed(anchor),
            _ => self.bare(anchor),
        };
        match &hit {
            Some(hit) => self.from = hit.end.max(anchor + 1),
            None => self.from = self.from.max(anchor + 1),
        }
        hit
    }

    fn schemed(&mut self, colon: usize) -> Option<Hit> {
        let back = self.bytes[self.from..colon].iter().rev().take(16);
        let start = colon - back.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'+' | b'-')).count();
        let written = &self.bytes[start..colon];
        let ends_in = |name: &str| {
            written.len() >= name.len() && written[written.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes())
        };
        let rest = &self.bytes[colon + 1..];
        let slashes = rest.iter().take(8).take_while(|b| matches!(b, b'/' | b'\\')).count();
        let opaque = OPAQUE.iter().find(|(name, ..)| ends_in(name) && written.len() == name.len());
        if slashes > 0 && opaque.is_none_or(|(name, ..)| *name != "itms-services") {
            // `http:/evil` is a link to a browser, but `a:/b` is not; two slashes are for all.
            let (name, scheme) = SCHEMES.iter().find(|(name, _)| ends_in(name))?;
            let whole = written.len() == name.len();
            if slashes < 2 && !(name.starts_with('h') && whole) || !whole && !name.starts_with('h') {
                return None;
            }
            let body = colon + 1 + slashes;
            let end = self.end_of_link(body);
            let authority = self.bytes[body..end].iter().take_while(|b| !matches!(b, b'/' | b'?' | b'#' | b'\\'));
            let named = authority.clone().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80 || *b == b'[');
            return named.then_some(Hit { start: colon - name.len(), scheme, body, end });
        }
        let (name, scheme, fits) = opaque?;
        if !fits(rest) {
            return None;
        }
        let body = colon + 1;
        Some(Hit { start: colon - name.len(), scheme, body, end: self.end_of_link(body) })
    }

    /// A host without scheme around the dot at `dot`.
    fn bare(&mut self, dot: usize) -> Option<Hit> {
        let left = self.text[self.from..dot].char_indices().rev().take(HOST_BYTES_MAX + 1);
        let start = left.take_while(|(_, c)| is_host_char(*c)).last().map_or(dot, |(at, _)| self.from + at);
        let right = self.text[dot..].char_indices().find(|(_, c)| !is_host_char(*c) && *c != '.');
        let run_end = right.map_or(self.text.len(), |(at, _)| dot + at);
        // The run is judged as a whole, once.
        self.from = run_end;
        if run_end - start > 2 * HOST_BYTES_MAX {
            return None;
        }
        let before = if start > 0 { self.bytes[start - 1] } else { b' ' };
        if before == b'@' {
            return None;
        }
        if self.bytes.get(run_end) == Some(&b'@') {
            self.from = self.end_of_address(run_end + 1);
            return None;
        }
        let run = &self.text[start..run_end];
        let trimmed = run.trim_start_matches(['.', '-', '_']);
        let start = start + run.len() - trimmed.len();
        let whole = trimmed.trim_end_matches(['.', '-', '_']);
        let tail = self.after(start + whole.len());
        let host = host_in(whole, tail.has_path || tail.has_port, before == b'/')?;
        let host_end = start + host.len();
        if host.len() == whole.len() {
            let plain =
                !tail.has_path && !tail.has_port && !host.get(..4).is_some_and(|w| w.eq_ignore_ascii_case("www."));
            if plain && self.is_missing_blank(host, host_end) {
                return None;
            }
            let end = if tail.has_path || tail.has_port { self.end_of_link(host_end) } else { host_end };
            return Some(Hit { start, scheme: "http://", body: start, end });
        }
        // `evil.com.Depois`: the sentence goes on after the link.
        self.from = host_end;
        Some(Hit { start, scheme: "http://", body: start, end: host_end })
    }

    /// `tudo bem.me liga`: an everyday word, a suffix that is a word too, and the sentence goes on.
    fn is_missing_blank(&self, host: &str, end: usize) -> bool {
        let Some((label, suffix)) = host.split_once('.') else { return false };
        let (label, suffix) = (label.to_lowercase(), suffix.to_lowercase());
        if !WORD_SUFFIXES.contains(&suffix.as_str()) {
            return false;
        }
        let mut rest = self.text[end..].chars();
        let goes_on = rest.next() == Some(' ') && rest.next().is_some_and(char::is_lowercase);
        COMMON_BEFORE_DOT.contains(&label.as_str()) && (goes_on || suffix != "com")
    }

    fn after(&self, end: usize) -> Tail {
        let rest = &self.bytes[end..];
        let digits = match rest.first() {
            Some(b':') => rest[1..].iter().take(6).take_while(|b| b.is_ascii_digit()).count(),
            _ => 0,
        };
        let has_port = (2..=5).contains(&digits);
        let next = rest.get(if has_port { digits + 1 } else { 0 });
        let second = rest.get(1).copied().unwrap_or(b' ');
        let has_path = match next {
            Some(b'/') => true,
            // A question mark after a host is more often a question.
            Some(b'?' | b'#') => second.is_ascii_alphanumeric(),
            _ => false,
        };
        Tail { has_path, has_port }
    }

    /// Where the link that goes through `from` ends: at a blank, a quotation mark or the next link, less the
    /// punctuation that belongs to the sentence around it.
    fn end_of_link(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        let mut end = rest.len();
        let mut previous = ' ';
        for (at, c) in rest.char_indices() {
            let stops = c.is_whitespace() || c.is_control() || is_terminator(c);
            let glued = c == 'h'
                && (previous.is_alphanumeric() || matches!(previous, ',' | ';' | ')' | '.' | '|'))
                && (rest[at..].starts_with("http://") || rest[at..].starts_with("https://"));
            if stops || glued {
                end = at;
                break;
            }
            previous = c;
        }
        from + trim_punctuation(&rest[..end])
    }

    fn end_of_address(&self, from: usize) -> usize {
        let end = self.text[from..].char_indices().find(|(_, c)| !is_host_char(*c) && *c != '.');
        end.map_or(self.text.len(), |(at, _)| from + at)
    }

    /// The words of `[words](link)` that lie before a link.
    fn shown_text(&self, start: usize) -> Option<String> {
        const SHOWN_BYTES_MAX: usize = 200;
        let before = self.text[..start].strip_suffix("](").or_else(|| self.text[..start].strip_suffix("](<"))?;
        let words = &before[cut(before, before.len().saturating_sub(SHOWN_BYTES_MAX)).len()..];
        let open = words.rfind('[')?;
        Some(words[open + 1..].to_owned())
    }
}

struct Tail {
    has_path: bool,
    has_port: bool,
}

fn is_host_char(c: char) -> bool {
    match c {
        '-' | '_' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}'),
    }
}

fn is_terminator(c: char) -> bool {
    matches!(
        c,
        '<' | '>'
            | '"'
            | '`'
            | '“'
            | '”'
            | '„'
            | '«'
            | '»'
            | '‹'
            | '›'
            | '「'
            | '」'
            | '『'
            | '』'
            | '【'
            | '】'
            | '，'
            | '、'
    )
}

/// Length of `link` without the punctuation at its end; a closing bracket stays if it was opened inside.
fn trim_punctuation(link: &str) -> usize {
    let count = |wanted: char| link.chars().filter(|c| *c == wanted).count();
    let mut surplus: Vec<(char, usize)> = Vec::new();
    let mut end = link.len();
    while let Some(last) = link[..end].chars().next_back() {
        let opener = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '~' | '_' | '…' | '’' | '‘' | '|' => None,
            ')' => Some('('),
            ']' => Some('['),
            '}' => Some('{'),
            _ => break,
        };
        if let Some(opener) = opener {
            let at = match surplus.iter().position(|(closer, _)| *closer == last) {
                Some(at) => at,
                None => {
                    surplus.push((last, count(last).saturating_sub(count(opener))));
                    surplus.len() - 1
                }
            };
            if surplus[at].1 == 0 {
                break;
            }
            surplus[at].1 -= 1;
        }
        end -= last.len_utf8();
    }
    end
}

/// The host at the beginning of `run`, if there is one: the whole run, or less where a sentence goes on after it.
fn host_in(run: &str, has_tail: bool, after_slash: bool) -> Option<&str> {
    const BACK_LABELS_MAX: usize = 2;
    if run.len() > HOST_BYTES_MAX || run.contains("..") {
        // `evil.com...` is a link and a pause.
        let short = &run[..run.find("..")?];
        return if short.len() > HOST_BYTES_MAX { None } else { host_in(short, false, after_slash) };
    }
    if is_host(run, has_tail, after_slash) {
        return Some(run);
    }
    let mut shorter = run;
    for _ in 0..BACK_LABELS_MAX {
        let (front, last) = shorter.rsplit_once('.')?;
        if FILE_ENDINGS.contains(&last.to_lowercase().as_str()) || last.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if is_host(front, false, after_slash)
            && front.rsplit('.').next().is_some_and(|s| s.len() > 2 || front.matches('.').count() > 1)
        {
            return Some(front);
        }
        shorter = front;
    }
    None
}

fn is_host(run: &str, has_tail: bool, after_slash: bool) -> bool {
    let Some((front, last)) = run.rsplit_once('.') else { return false };
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return has_tail && is_ipv4(run);
    }
    if last.chars().count() < 2 || run.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return false;
    }
    let ascii;
    let lower = if run.is_ascii() {
        ascii = run.to_ascii_lowercase();
        &ascii
    } else {
        match idna::domain_to_ascii(run) {
            Ok(host) => {
                ascii = host;
                &ascii
            }
            Err(_) => return false,
        }
    };
    let Some(suffix) = psl::suffix(lower.as_bytes()).filter(psl::Suffix::is_known) else { return false };
    let private = suffix.typ() == Some(psl::Type::Private);
    // `gov.br` is a suffix and a site: with a path it is meant as an address.
    if suffix.as_bytes().len() == lower.len() && !private && !(has_tail && lower.contains('.')) {
        return false;
    }
    let label = front.to_ascii_lowercase();
    let last = last.to_ascii_lowercase();
    let www = label.starts_with("www.");
    if has_tail || www {
        return !(after_slash && FILE_LIKE_SUFFIXES.contains(&last.as_str()));
    }
    // Alone, a name like `fotos.zip` or `main.rs` is a file, and `10.am` a time of day.
    if FILE_ENDINGS.contains(&last.as_str()) && !label.contains('.') {
        return false;
    }
    if FILE_LIKE_SUFFIXES.contains(&last.as_str())
        && (after_slash || SOURCE_FILE_STEMS.contains(&label.as_str()) || label.contains('_'))
    {
        return false;
    }
    let number = label.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
    !(number && label.len() <= 3 && last.len() == 2)
}

fn is_ipv4(run: &str) -> bool {
    run.split('.').count() == 4 && run.split('.').all(|part| part.parse::<u8>().is_ok())
}
