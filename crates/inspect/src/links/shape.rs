//! The shape of a link, whatever its letters: kinds of path parts, how they follow each other, which keys a query has.
//!
//! Kits are unpacked with their folders and keep their names of files and parameters; honest sites have slugs, years and
//! numbers. What the n-grams learn of letters, this learns of form. Part of [`super::features`]; the order of what it
//! returns is the order of its names there.

use super::features::{entropy, hash_of, is_vowel, share};
use super::parse::Link;

const PARTS_MAX: usize = 6;
const KEYS_MAX: usize = 6;
const PAIRS_MAX: usize = 12;
const PATH_BYTES_MAX: usize = 1024;

/// A path part by what it is made of, and roughly how much of it there is.
fn class_of(part: &str) -> u32 {
    let (mut lower, mut upper, mut digits, mut hex, mut hyphens, mut lows, mut dots, mut others) =
        (0, 0, 0, 0, 0, 0, 0, 0);
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' => lower += 1,
            b'A'..=b'Z' => upper += 1,
            b'0'..=b'9' => digits += 1,
            b'-' => hyphens += 1,
            b'_' => lows += 1,
            b'.' => dots += 1,
            _ => others += 1,
        }
        hex += u32::from(byte.is_ascii_hexdigit());
    }
    let length = part.len() as u32; // bounded by PATH_BYTES_MAX
    let letters = lower + upper;
    let (kind, size) = if others > 0 {
        (1, (length / 8).min(4))
    } else if dots > 0 {
        match part.rsplit_once('.') {
            Some((_, end)) if (1..=5).contains(&end.len()) => (2, hash_of(end.as_bytes(), 0x61)),
            _ => (1, (length / 8).min(4)),
        }
    } else if digits == length {
        (3, length.min(9))
    } else if hex == length && length >= 8 {
        (4, (length / 8).min(4))
    } else if lower == length {
        (5, (length / 3).min(5))
    } else if letters == length {
        (6, (length / 3).min(5))
    } else if upper > 0 || lows > 0 && hyphens > 0 {
        (7, (length / 4).min(5))
    } else if hyphens > 0 {
        (8, hyphens.min(6))
    } else if lows > 0 {
        (9, lows.min(6))
    } else {
        (10, (length / 4).min(5))
    };
    joined(kind, size)
}

fn joined(one: u32, other: u32) -> u32 {
    (one ^ other.rotate_left(13)).wrapping_mul(0x9e37_79b1) ^ one >> 7
}

fn named(salt: u32, value: u32) -> u32 {
    let mixed = joined(salt, value).wrapping_mul(0x85eb_ca6b);
    mixed ^ mixed >> 14
}

/// Letters and digits run together to one sign each: `secure-login24` is `a-a9`.
fn outline(text: &str) -> u32 {
    let (mut hash, mut last) = (0x811c_9dc5_u32, 0);
    for byte in text.bytes() {
        let sign = match byte {
            b'a'..=b'z' => b'a',
            b'0'..=b'9' => b'9',
            other => other,
        };
        if sign != last {
            hash = (hash ^ u32::from(sign)).wrapping_mul(0x0100_0193);
        }
        last = sign;
    }
    hash
}

/// Calls `see` for each sign of form. `shared`: anyone may write under this host, and which provider it is says nothing.
pub(super) fn signs(link: &Link, shared: bool, mut see: impl FnMut(u32)) {
    let ip = link.ip.is_some();
    let (label, sub) = if ip { ("", "") } else { (link.label(), link.sub()) };
    let path = super::find::cut(link.path(), PATH_BYTES_MAX);
    let query = super::find::cut(link.query_and_fragment(), PATH_BYTES_MAX);
    let place = if shared { 1 } else { hash_of(link.suffix().as_bytes(), 0x62) };
    let at = |salt: u32, value: u32| named(joined(salt, place), value);
    let parts = || path.split('/').filter(|part| !part.is_empty());
    let mut whole = 0x63;
    let (mut begin, mut last, mut count) = (0x64, 0, 0);
    for (number, part) in parts().enumerate() {
        count = number as u32 + 1;
        if number < PARTS_MAX {
            last = class_of(part);
            whole = joined(whole, last);
            if number < 2 {
                begin = joined(begin, last);
            }
            see(named(0x65 + count.min(4), last));
        }
    }
    see(named(0x6a, whole));
    see(named(joined(0x6b, count), begin));
    if let (Some(first), Some(end)) = (parts().next(), parts().next_back()) {
        see(named(0x6c, last));
        see(hash_of(end.as_bytes(), 0x6d));
        see(hash_of(first.as_bytes(), 0x6e));
        see(hash_of(end.rsplit_once('.').map_or("", |(_, ending)| ending).as_bytes(), 0x6f));
    }
    let mut all_keys = 0_u32;
    for pair in query.split(['?', '&', '#']).filter(|pair| !pair.is_empty()).take(KEYS_MAX) {
        let key = hash_of(pair.split('=').next().unwrap_or_default().as_bytes(), 0x70);
        all_keys = all_keys.wrapping_add(key);
        see(key);
    }
    see(named(0x71, all_keys));
    let looks = outline(label);
    see(at(0x72, looks));
    see(at(0x73, label.len().min(20) as u32));
    see(at(0x74, count.min(4)));
    see(named(joined(0x75, looks), label.len().min(19) as u32 / 2));
    see(at(0x76, u32::from(count > 0) * 2 + u32::from(!query.is_empty())));
    see(named(joined(0x77, looks), outline(sub)));
    see(at(0x78, if sub.is_empty() { 0 } else { sub.matches('.').count() as u32 + 1 }));
    let mut before = None;
    let words = super::find::cut(&link.tail, PATH_BYTES_MAX).split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()).take(PAIRS_MAX + 1) {
        let word = hash_of(word.as_bytes(), 0x79);
        if let Some(before) = before.replace(word) {
            see(named(before, word));
        }
    }
}

/// How many numbers [`numbers`] has.
pub(super) const NUMBERS: usize = 24;

/// Countable things of a link's form.
pub(super) fn numbers(link: &Link) -> [f32; NUMBERS] {
    let ip = link.ip.is_some();
    let (label, sub) = if ip { ("", "") } else { (link.label(), link.sub()) };
    let tail = super::find::cut(&link.tail, PATH_BYTES_MAX);
    let path = super::find::cut(link.path(), PATH_BYTES_MAX);
    let query = super::find::cut(link.query_and_fragment(), PATH_BYTES_MAX);
    let (mut numeric, mut years, mut hyphens, mut mixed, mut first, mut last, mut again) = (0, 0, 0, 0, 0, "", false);
    let mut before = [0_u32; 8];
    for (number, part) in path.split('/').filter(|part| !part.is_empty()).enumerate() {
        let bytes = part.as_bytes();
        let digits = bytes.iter().all(u8::is_ascii_digit);
        numeric += u32::from(digits);
        years += u32::from(digits && part.len() == 4 && (part.starts_with("19") || part.starts_with("20")));
        hyphens = hyphens.max(bytes.iter().filter(|b| **b == b'-').count());
        mixed += u32::from(bytes.iter().any(u8::is_ascii_uppercase) && bytes.iter().any(u8::is_ascii_lowercase));
        if number == 0 {
            first = part.len();
        }
        last = part;
        let hash = hash_of(bytes, 0x7a) | 1;
        again |= before.contains(&hash);
        before[number % before.len()] = hash;
    }
    let (mut words, mut word, mut longest_word) = (0_u32, 0_usize, 0_usize);
    for byte in tail.bytes() {
        word = if byte.is_ascii_alphabetic() { word + 1 } else { 0 };
        words += u32::from(word == 1);
        longest_word = longest_word.max(word);
    }
    let pairs = || label.as_bytes().windows(2);
    let (mut run, mut same) = (usize::from(!label.is_empty()), 1);
    for pair in pairs() {
        same = if pair[0] == pair[1] { same + 1 } else { 1 };
        run = run.max(same);
    }
    let turns = pairs().filter(|pair| is_vowel(pair[0]) != is_vowel(pair[1])).count();
    let back_to_letters = pairs().any(|pair| pair[0].is_ascii_digit() && pair[1].is_ascii_alphabetic());
    let count = |text: &str, test: fn(&u8) -> bool| text.as_bytes().iter().filter(|b| test(b)).count();
    let rare: fn(&u8) -> bool = |b| matches!(b, b'j' | b'k' | b'q' | b'v' | b'w' | b'x' | b'z');
    let vowel: fn(&u8) -> bool = |b| is_vowel(*b);
    [
        numeric as f32,
        years as f32,
        hyphens as f32,
        count(path, |b| *b == b'_') as f32,
        ending_kind(last),
        mixed as f32,
        last.len() as f32,
        f32::from(u8::from(path.len() > 1 && path.ends_with('/'))),
        count(query, |b| *b == b'&') as f32,
        words as f32,
        longest_word as f32,
        run as f32,
        share(turns, label.len().saturating_sub(1)),
        sub.split('.').map(str::len).max().unwrap_or_default() as f32,
        count(sub, u8::is_ascii_digit) as f32,
        (link.host.len() + tail.len()) as f32,
        first as f32,
        f32::from(u8::from(again)),
        f32::from(u8::from(back_to_letters)),
        share(count(label, u8::is_ascii_hexdigit), label.len()),
        share(count(label, rare), label.len()),
        share(count(sub, rare), sub.len()),
        share(count(sub, vowel), sub.len()),
        entropy(sub),
    ]
}

/// Families of endings, as numbers that trees can part.
fn ending_kind(part: &str) -> f32 {
    let Some((_, ending)) = part.rsplit_once('.') else { return 0.0 };
    let kinds: [&[&str]; 9] = [
        &["php"],
        &["html", "htm"],
        &["asp", "aspx", "jsp", "cgi", "do"],
        &["js", "css", "json", "xml"],
        &["pdf"],
        &["jpg", "jpeg", "png", "gif"],
        &["zip", "rar", "7z"],
        &["exe", "msi", "apk"],
        &["shtml"],
    ];
    let known = kinds.iter().position(|kind| kind.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    known.map_or(10.0, |kind| kind as f32 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_form_are_one_class() {
        let same = |one: &str, other: &str| assert_eq!(class_of(one), class_of(other), "{one} {other}");
        same("2024", "1999");
        same("como-fazer-bolo", "how-to-bake");
        same("index.php", "login.PHP");
        same("deadbeef", "0123abcd");
        let apart = |one: &str, other: &str| assert_ne!(class_of(one), class_of(other), "{one} {other}");
        apart("2024", "abcd");
        apart("Login", "login");
        apart("a-b", "a_b");
        apart("x.php", "x.html");
    }

    #[test]
    fn numbers_of_a_link() {
        let seen = numbers(&Link::parse("https://ab12.example.com/2024/a-b-c/Xy_z.php?a=1&b=2"));
        assert_eq!(seen[..9], [1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 8.0, 0.0, 1.0]);
        assert!(numbers(&Link::parse("https://[::1]/")).iter().all(|number| number.is_finite()));
    }

    #[test]
    fn signs_do_not_know_the_provider_of_a_shared_host() {
        let all = |url: &str, shared: bool| {
            let mut seen = Vec::new();
            signs(&Link::parse(url), shared, |hash| seen.push(hash));
            seen
        };
        assert_eq!(all("https://loja.vercel.app/x", true), all("https://cafe.pages.dev/x", true));
        assert_ne!(all("https://loja.vercel.app/x", false), all("https://cafe.pages.dev/x", false));
    }
}
