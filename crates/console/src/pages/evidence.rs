//! What a customer wrote, shown so that it can be read and cannot do anything: evidence marked in place, links broken
//! (`hxxps://evil[.]example`), characters that hide or turn text made visible.
//!
//! Pure, and hostile input is its whole subject: any text and any marks give well-formed, escaped markup of bounded size.

use super::words::Words;
use maud::{Escaper, Markup, PreEscaped};
use std::fmt::Write;

/// Characters of one text that are shown; the rest is said to be there.
pub const TEXT_CHARS_MAX: usize = 20_000;
/// Marks in one text that are drawn.
pub const MARKS_MAX: usize = 200;

/// A stretch that a finding speaks of.
#[derive(Clone, Debug)]
pub struct Mark<'a> {
    /// Byte range in the text; clamped to it and to whole characters.
    pub start: usize,
    pub end: usize,
    /// The finding's number on the page, from 1.
    pub number: usize,
    pub severity: &'a str,
    pub title: &'a str,
}

/// `text` with its marks, each followed by a link to its finding.
pub fn marked(words: &Words, text: &str, marks: &[Mark<'_>]) -> Markup {
    let (shown, cut) = shown_part(text);
    let breaks = link_breaks(shown);
    let mut marks: Vec<Mark<'_>> = marks.iter().take(MARKS_MAX).filter_map(|mark| clamped(mark, shown)).collect();
    marks.sort_by_key(|mark| (mark.start, mark.end));
    let mut edges: Vec<usize> = marks.iter().flat_map(|mark| [mark.start, mark.end]).chain([0, shown.len()]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut out = String::with_capacity(shown.len() * 2);
    for edge in edges.windows(2) {
        let (start, end) = (edge[0], edge[1]);
        let worst = marks.iter().filter(|m| m.start <= start && end <= m.end).max_by_key(|m| weight(m.severity));
        let Some(worst) = worst else {
            write_visible(&mut out, shown, start, end, &breaks);
            continue;
        };
        out.push_str("<mark class=\"");
        out.push_str(class_of(worst.severity));
        out.push_str("\" title=\"");
        let _ = write!(Escaper::new(&mut out), "{}", visible(worst.title));
        out.push_str("\">");
        write_visible(&mut out, shown, start, end, &breaks);
        out.push_str("</mark>");
        let mut named: Vec<usize> =
            marks.iter().filter(|m| m.end == end && m.start <= start).map(|m| m.number).collect();
        named.dedup();
        for number in named {
            let _ = write!(out, "<a class=\"ref\" href=\"#finding-{number}\">{number}</a>");
        }
    }
    note_cut(words, &mut out, cut);
    PreEscaped(out)
}

/// `text` as it is, broken and made visible, without marks.
pub fn plain(words: &Words, text: &str) -> Markup {
    marked(words, text, &[])
}

/// A short piece (a name, a title, evidence): characters that hide or turn text made visible, links left as they are,
/// since nothing here is ever a link.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars().take(TEXT_CHARS_MAX) {
        let joins = joins_pictures(before, c);
        before = c;
        match hidden(c).filter(|_| !joins) {
            Some(_) if c == '\n' || c == '\t' => out.push(' '),
            Some(_) => {
                let _ = write!(out, "⟨{:04X}⟩", c as u32);
            }
            None => out.push(c),
        }
    }
    out
}

/// The same with links broken, for evidence that holds one.
pub fn defanged(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    for point in link_breaks(&text) {
        out.push_str(&text[at..point.at]);
        out.push_str(point.instead);
        at = point.at + point.length;
    }
    out.push_str(&text[at..]);
    out
}

/// What was changed between what came and what was sent: `before` with its losses struck out, `after` with its gains
/// marked. Word by word; texts that are too long for that are one change.
pub fn compared(words: &Words, before: &str, after: &str) -> (Markup, Markup) {
    let ((before, cut_before), (after, cut_after)) = (shown_part(before), shown_part(after));
    let (old, new) = (pieces(before), pieces(after));
    let texts = |text: &'_ str, pieces: &[(usize, usize)]| -> Vec<String> {
        pieces.iter().map(|(start, end)| text[*start..*end].to_owned()).collect()
    };
    let (kept_old, kept_new) = kept(&texts(before, &old), &texts(after, &new));
    let side = |text: &str, pieces: &[(usize, usize)], kept: &[bool], tag: &str, cut: usize| {
        let breaks = link_breaks(text);
        let mut out = String::with_capacity(text.len() * 2);
        let mut open = false;
        for ((start, end), kept) in pieces.iter().zip(kept) {
            if open == *kept {
                let _ = if *kept { write!(out, "</{tag}>") } else { write!(out, "<{tag}>") };
                open = !kept;
            }
            write_visible(&mut out, text, *start, *end, &breaks);
        }
        if open {
            let _ = write!(out, "</{tag}>");
        }
        note_cut(words, &mut out, cut);
        PreEscaped(out)
    };
    (side(before, &old, &kept_old, "del", cut_before), side(after, &new, &kept_new, "ins", cut_after))
}

/// Where showing must differ from the text, so that nobody and no program takes a link for one.
struct Break {
    at: usize,
    length: usize,
    instead: &'static str,
}

/// Each `http` before `://` and each dot between the labels of a host, with a scheme or without. Rather one too many
/// than one too few: a broken file name can still be read, a link that works can be followed.
fn link_breaks(text: &str) -> Vec<Break> {
    let mut breaks = Vec::new();
    let mut start = 0;
    for word in
        text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | '(' | ')' | ',' | ';'))
    {
        breaks_of_word(word, start, &mut breaks);
        start += word.len();
    }
    breaks.sort_by_key(|point| point.at);
    breaks
}

fn breaks_of_word(word: &str, start: usize, breaks: &mut Vec<Break>) {
    let mut schemes = 0;
    // A link may hold another one, as redirects do.
    for (colon, _) in word.match_indices("://") {
        schemes += 1;
        let scheme = word[..colon].bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        let name = word[colon - scheme..colon].to_ascii_lowercase();
        if name.starts_with("http") {
            breaks.push(Break { at: start + colon - scheme + 1, length: 2, instead: "xx" });
        } else if !name.starts_with("hxxp") {
            breaks.push(Break { at: start + colon, length: 1, instead: "[:]" });
        }
        break_host(host_of(&word[colon + 3..]), start + colon + 3, breaks);
    }
    let host = host_of(word);
    if schemes == 0 && looks_like_host(host) {
        break_host(host, start, breaks);
    }
}

fn host_of(rest: &str) -> &str {
    rest.split(['/', '?', '#', '\\']).next().unwrap_or_default()
}

fn break_host(host: &str, start: usize, breaks: &mut Vec<Break>) {
    for (at, _) in host.match_indices('.') {
        let before = host[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let after = host[at + 1..].chars().next().is_some_and(char::is_alphanumeric);
        if before && after {
            breaks.push(Break { at: start + at, length: 1, instead: "[.]" });
        }
    }
}

/// Without a scheme: labels of letters, digits and hyphens with a last one of letters, or four numbers.
fn looks_like_host(word: &str) -> bool {
    let host = word.trim_end_matches(|c: char| !c.is_alphanumeric());
    let host = host.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let Some(last) = labels.last().filter(|_| labels.len() > 1) else { return false };
    let named = last.chars().count() >= 2 && (last.chars().all(char::is_alphabetic) || last.starts_with("xn--"));
    let numbered = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    (named || numbered)
        && labels.iter().all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'))
}

fn shown_part(text: &str) -> (&str, usize) {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => (text, 0),
        Some((index, _)) => (&text[..index], text[index..].chars().count()),
    }
}

fn note_cut(words: &Words, out: &mut String, cut: usize) {
    if cut > 0 {
        let note = words.fill("message.cut", &[("n", &words.number(cut as u64))]);
        out.push_str(" <span class=\"unseen\">");
        let _ = write!(Escaper::new(out), "{note}");
        out.push_str("</span>");
    }
}

fn clamped<'a>(mark: &Mark<'a>, text: &str) -> Option<Mark<'a>> {
    let mut start = mark.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = mark.end.min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    (start < end).then(|| Mark { start, end, ..mark.clone() })
}

/// Writes `text[start..end]`, escaped, with links broken and hidden characters shown.
fn write_visible(out: &mut String, text: &str, start: usize, end: usize, breaks: &[Break]) {
    let first = breaks.partition_point(|point| point.at + point.length <= start);
    let mut ahead = breaks[first..].iter().peekable();
    let mut before = text[..start].chars().next_back().unwrap_or(' ');
    for (offset, c) in text[start..end].char_indices() {
        let at = start + offset;
        let joins = joins_pictures(before, c);
        before = c;
        while ahead.next_if(|point| point.at + point.length <= at).is_some() {}
        if let Some(point) = ahead.peek()
            && point.at <= at
        {
            if point.at == at {
                out.push_str(point.instead);
            }
            continue;
        }
        match hidden(c).filter(|_| !joins) {
            Some(_) if c == '\n' || c == '\t' => out.push(c),
            Some(name) => {
                let _ = write!(out, "<span class=\"unseen\" title=\"{name}\">U+{:04X}</span>", c as u32);
            }
            None => {
                let _ = Escaper::new(out).write_char(c);
            }
        }
    }
}

/// The joiner inside one picture (a family, a flag) hides nothing.
fn joins_pictures(before: char, c: char) -> bool {
    c == '\u{200d}' && matches!(before, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

/// Characters that are not seen, or that turn what follows them.
fn hidden(c: char) -> Option<&'static str> {
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => Some("direction"),
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{ad}' | '\u{180e}' | '\u{3164}' => {
            Some("invisible")
        }
        '\u{e0000}'..='\u{e007f}' => Some("tag"),
        c if c.is_control() => Some("control"),
        _ => None,
    }
}

fn weight(severity: &str) -> usize {
    ["info", "low", "medium", "high", "critical"].iter().position(|word| *word == severity).unwrap_or(0)
}

fn class_of(severity: &str) -> &'static str {
    ["info", "low", "medium", "high", "critical"][weight(severity)]
}

/// Words and what stands between them, as byte ranges that cover the text.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    for (at, c) in text.char_indices() {
        let kind = (c.is_alphanumeric(), c.is_whitespace());
        match out.last_mut() {
            Some(piece) if last == Some(kind) && kind != (false, false) => piece.1 = at + c.len_utf8(),
            _ => out.push((at, at + c.len_utf8())),
        }
        last = Some(kind);
    }
    out
}

/// Cells of the comparison's table; above it the middle counts as changed whole.
const COMPARE_CELLS_MAX: usize = 250_000;

/// Which pieces of each side stand in the other, in order: common ends first, then a longest common subsequence.
fn kept(old: &[String], new: &[String]) -> (Vec<bool>, Vec<bool>) {
    let (mut kept_old, mut kept_new) = (vec![false; old.len()], vec![false; new.len()]);
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    kept_old[..head].fill(true);
    kept_new[..head].fill(true);
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    kept_old[old_end..].fill(true);
    kept_new[new_end..].fill(true);
    let (a, b) = (&old[head..old_end], &new[head..new_end]);
    if a.is_empty() || b.is_empty() || a.len() * b.len() > COMPARE_CELLS_MAX {
        return (kept_old, kept_new);
    }
    let width = b.len() + 1;
    let mut table = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if a[i] == b[j] {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            kept_old[head + i] = true;
            kept_new[head + j] = true;
            (i, j) = (i + 1, j + 1);
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    (kept_old, kept_new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::words::Spoken;
    use guarita_message::Language;

    fn words() -> &'static Words {
        Language::English.words()
    }

    fn mark(start: usize, end: usize, number: usize, severity: &str) -> Mark<'_> {
        Mark { start, end, number, severity, title: "t" }
    }

    fn text_of(markup: &str) -> String {
        let mut out = String::new();
        let mut rest = markup;
        while let Some((before, after)) = rest.split_once('<') {
            out.push_str(before);
            rest = after.split_once('>').map_or("", |(_, after)| after);
        }
        out.push_str(rest);
        out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
    }

    #[test]
    fn links_are_shown_so_that_nothing_follows_them() {
        for (text, expect) in [
            ("veja https://evil.example/a.html?x=1", "veja hxxps://evil[.]example/a.html?x=1"),
            ("https://a.com/?u=https://evil.top/x", "hxxps://a[.]com/?u=hxxps://evil[.]top/x"),
            ("https://itau.com.br@evil.top/x", "hxxps://itau[.]com[.]br@evil[.]top/x"),
            ("(bit.ly/x), 10.0.0.1:80", "(bit[.]ly/x), 10[.]0[.]0[.]1:80"),
            ("Win.Test.EICAR_HDB-1 ok.", "Win.Test.EICAR_HDB-1 ok."),
            ("HTTP://10.0.0.1:8080/", "HxxP://10[.]0[.]0[.]1:8080/"),
            ("evil.example", "evil[.]example"),
            ("são 1.234,56 e v3.2", "são 1.234,56 e v3.2"),
            ("ftp://a.b", "ftp[:]//a[.]b"),
            ("hxxps://evil[.]example", "hxxps://evil[.]example"),
            ("é.com.br ...", "é[.]com[.]br ..."),
            (".", "."),
            ("://", "[:]//"),
        ] {
            assert_eq!(defanged(text), expect);
            assert_eq!(text_of(&plain(words(), text).into_string()), expect, "{text}");
        }
    }

    #[test]
    fn a_mark_keeps_its_place_when_the_link_in_it_is_broken() {
        let text = "pague em https://evil.example hoje";
        let shown = marked(words(), text, &[mark(9, 29, 3, "high")]).into_string();
        assert_eq!(
            shown,
            "pague em <mark class=\"high\" title=\"t\">hxxps://evil[.]example</mark>\
             <a class=\"ref\" href=\"#finding-3\">3</a> hoje"
        );
    }

    #[test]
    fn marks_may_overlap_and_the_worst_is_seen() {
        let shown = marked(words(), "abcdef", &[mark(0, 4, 1, "low"), mark(2, 6, 2, "critical")]).into_string();
        assert_eq!(text_of(&shown), "abcd1ef2");
        assert!(shown.contains("<mark class=\"critical\" title=\"t\">cd</mark>"), "{shown}");
    }

    #[test]
    fn any_mark_on_any_text_gives_whole_markup() {
        let texts =
            ["", "é", "a<script>alert(1)</script>b", "\u{202e}gpj.exe \u{200b}\0", "🙂https://x.y\"'&", "a.b.c://d.e"];
        for text in texts {
            for start in 0..text.len() + 3 {
                for end in 0..text.len() + 3 {
                    let shown =
                        marked(words(), text, &[mark(start, end, 1, "high"), mark(1, 2, 2, "low")]).into_string();
                    assert!(
                        !shown.contains("<script") && !shown.contains('\u{202e}') && !shown.contains('\0'),
                        "{shown}"
                    );
                    assert_eq!(shown.matches("<mark").count(), shown.matches("</mark>").count());
                    assert_eq!(shown.matches("<span").count(), shown.matches("</span>").count());
                }
            }
        }
    }

    #[test]
    fn what_hides_or_turns_is_shown() {
        assert_eq!(visible("fatura\u{202e}fdp.exe\n"), "fatura⟨202E⟩fdp.exe ");
        assert_eq!(visible("👨\u{200d}👩 a\u{200d}b"), "👨\u{200d}👩 a⟨200D⟩b");
        let shown = plain(words(), "a\u{200b}b").into_string();
        assert_eq!(shown, "a<span class=\"unseen\" title=\"invisible\">U+200B</span>b");
    }

    #[test]
    fn a_change_is_shown_on_both_sides() {
        let (before, after) = compared(words(), "cartão 4111 1111 1111 1111 hoje", "cartão **** 1111 hoje");
        assert_eq!(before.into_string(), "cartão <del>4111 1111 1111</del> 1111 hoje");
        assert_eq!(after.into_string(), "cartão <ins>****</ins> 1111 hoje");
        let (before, after) = compared(words(), "same", "same");
        assert_eq!((before.into_string().as_str(), after.into_string().as_str()), ("same", "same"));
    }

    #[test]
    fn hostile_sizes_stay_bounded() {
        let long = "a.b ".repeat(200_000);
        let marks: Vec<Mark<'_>> = (0..5_000).map(|n| mark(n, n + 7, n, "high")).collect();
        let started = std::time::Instant::now();
        let shown = marked(words(), &long, &marks).into_string();
        assert!(shown.len() < 200_000, "{}", shown.len());
        let (old, new) = ("x ".repeat(300_000), "y ".repeat(300_000));
        let (before, _) = compared(words(), &old, &new);
        assert!(before.into_string().len() < 100_000);
        let dots = format!("http://{}", "1.1".repeat(100_000));
        assert!(defanged(&dots).len() < 200_000);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
