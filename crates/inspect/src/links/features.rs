//! What the learned score looks at: numbers anyone could count in a link, and its n-grams.
//!
//! Scheme and a leading `www.` are left out on purpose: in the data they tell the collection, not the crime. The order
//! of [`FEATURES`] is the order the weights were learned in; a change of either needs `training/links/train.py` again.

use super::brands::{Borrowing, BrandSigns, lures_in};
use super::checks::Target;
use super::parse::Link;
use guarita_rules::links::{FORM, HostKind, HostKinds, LinkRules};

/// Names of the hand-made features; reasons in `rules/links/reasons.toml` go by them.
pub const FEATURES: &[&str] = &[
    "gram_label",
    "gram_sub",
    "gram_suffix",
    "gram_path",
    "gram_words",
    "gram_form",
    "gram_total",
    "host_len",
    "label_len",
    "sub_len",
    "labels",
    "label_hyphens",
    "sub_hyphens",
    "label_digits",
    "label_digit_share",
    "sub_digit_share",
    "consonant_run",
    "vowel_share",
    "entropy",
    "digit_run",
    "switches",
    "hexlike",
    "ip",
    "punycode",
    "port",
    "user",
    "suffix_len",
    "suffix_private",
    "suffix_unknown",
    "cheap_suffix",
    "country_suffix",
    "com_suffix",
    "free_hosting",
    "dynamic_dns",
    "storage",
    "tunnel",
    "shortener",
    "link_in_bio",
    "forms",
    "file_share",
    "software",
    "app_store",
    "well_known",
    "official",
    "path_len",
    "depth",
    "query_len",
    "params",
    "path_digit_share",
    "longest_part",
    "path_entropy",
    "root_only",
    "double_slash",
    "tilde",
    "escapes",
    "at_in_path",
    "hidden_dir",
    "wordpress",
    "php",
    "html",
    "long_hex",
    "path_consonants",
    "path_upper_share",
    "path_dots",
    "domain_in_path",
    "fragment",
    "email",
    "host_lures",
    "path_lures",
    "brand_homoglyph",
    "brand_front",
    "brand_suffix",
    "brand_misspelt",
    "brand_lure",
    "brand_host",
    "brand_weak",
    "brand_whole",
    "brand_in_label",
    "brand_in_path",
    "executable",
    "redirect",
    "short_path",
    "label_vowelless",
    "sub_random",
    "label_repeat",
    "path_random",
    "personal_pages",
    "brand_consonants",
    "shared",
    "shared_lure",
    "number_parts",
    "year_parts",
    "slug_hyphens",
    "underscores",
    "ending_kind",
    "mixed_case_parts",
    "last_len",
    "trailing_slash",
    "ampersands",
    "path_words",
    "longest_word",
    "label_run",
    "label_turns",
    "sub_longest",
    "sub_digits",
    "link_len",
    "first_len",
    "part_again",
    "label_back_to_letters",
    "label_hex_share",
    "label_rare_letters",
    "sub_rare_letters",
    "sub_vowel_share",
    "sub_entropy",
];

/// Parts of a link whose n-grams are summed apart.
pub(super) const CHANNELS: usize = guarita_rules::links::CHANNELS;
pub(super) const FEATURE_COUNT: usize = FEATURES.len();

const TAIL_BYTES_MAX: usize = 160;
const HOST_BYTES_MAX: usize = 100;

/// Calls `see(channel, hash)` for every n-gram and word of the link.
pub(super) fn grams(link: &Link, kinds: HostKinds, rules: &LinkRules, mut see: impl FnMut(usize, u32)) {
    let shared = shared_host(kinds);
    let label = if link.ip.is_some() { "" } else { link.label() };
    let mut buffer = Buffer::default();
    buffer.fill(label, HOST_BYTES_MAX);
    ngrams(&buffer, 2, 5, 0x11, |hash| see(0, hash));
    // Names under a free host are chosen by other people than domains that someone paid for.
    let salt = if shared { 0x51ed } else { 0x12 };
    if shared {
        ngrams(&buffer, 4, 5, salt, |hash| see(0, hash));
    }
    buffer.shape();
    ngrams(&buffer, 3, 6, salt ^ 0x777, |hash| see(0, hash));
    words(label, salt ^ 0xabc, |hash| see(4, hash));
    let sub = if link.ip.is_some() { "" } else { link.sub() };
    if !sub.is_empty() {
        buffer.fill(sub, HOST_BYTES_MAX);
        ngrams(&buffer, 2, 5, 0x22, |hash| see(1, hash));
        words(sub, 0x23, |hash| see(1, hash));
    }
    let suffix = if link.ip.is_some() { "(ip)" } else { link.suffix() };
    // Providers come and go; what one learns of one free host holds for the next.
    if shared {
        see(2, hash_of(b"(anyone)", 0x31));
    } else {
        see(2, hash_of(suffix.as_bytes(), 0x31));
        see(2, hash_of(link.top().as_bytes(), 0x32));
    }
    if kinds.is_any() && !shared {
        see(2, hash_of(link.registrable().as_bytes(), 0x33));
    }
    let tail = super::find::cut(&link.tail, TAIL_BYTES_MAX);
    if tail.len() > 1 {
        buffer.fill(tail, TAIL_BYTES_MAX);
        ngrams(&buffer, 3, 5, 0x41, |hash| see(3, hash));
        words(tail, 0x42, |hash| see(4, hash));
    }
    super::shape::signs(link, shared, |hash| see(FORM, hash));
    let _ = rules;
}

/// Hosts under which anyone may write.
pub(super) fn shared_host(kinds: HostKinds) -> bool {
    [HostKind::FreeHosting, HostKind::DynamicDns, HostKind::Storage, HostKind::Tunnel]
        .iter()
        .any(|kind| kinds.has(*kind))
}

/// Lower-cased bytes between two marks, on the stack: this runs for every link.
struct Buffer {
    bytes: [u8; TAIL_BYTES_MAX + 2],
    len: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer { bytes: [0; TAIL_BYTES_MAX + 2], len: 0 }
    }
}

impl Buffer {
    fn fill(&mut self, text: &str, bytes_max: usize) {
        self.bytes[0] = b'^';
        self.len = 1;
        for byte in text.bytes().take(bytes_max.min(TAIL_BYTES_MAX)) {
            self.bytes[self.len] = byte.to_ascii_lowercase();
            self.len += 1;
        }
        self.bytes[self.len] = b'$';
        self.len += 1;
    }

    /// Vowel, consonant, digit, other: the look of a name, whatever its letters.
    fn shape(&mut self) {
        for byte in &mut self.bytes[1..self.len - 1] {
            *byte = match *byte {
                b'a' | b'e' | b'i' | b'o' | b'u' => b'V',
                b'a'..=b'z' => b'C',
                b'0'..=b'9' => b'9',
                other => other,
            };
        }
    }
}

fn ngrams(buffer: &Buffer, least: usize, most: usize, salt: u32, mut see: impl FnMut(u32)) {
    let bytes = &buffer.bytes[..buffer.len];
    for start in 0..bytes.len() {
        let mut hash = salt.wrapping_mul(0x9e37_79b1);
        for (length, byte) in bytes[start..].iter().take(most).enumerate() {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            if length + 1 >= least {
                see(spread(hash ^ (length as u32) << 24));
            }
        }
    }
}

fn words(text: &str, salt: u32, mut see: impl FnMut(u32)) {
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 1).take(32) {
        see(hash_of(word.as_bytes(), salt));
    }
}

pub(super) fn hash_of(bytes: &[u8], salt: u32) -> u32 {
    let start = salt.wrapping_mul(0x9e37_79b1);
    spread(
        bytes
            .iter()
            .take(40)
            .fold(start, |hash, b| (hash ^ u32::from(b.to_ascii_lowercase())).wrapping_mul(0x0100_0193)),
    )
}

/// The low bits of a multiplied hash know little of its high ones.
fn spread(hash: u32) -> u32 {
    let mixed = (hash ^ hash >> 15).wrapping_mul(0x2c1b_3c6d);
    mixed ^ mixed >> 13
}

/// The features of one link; the n-gram sums come from the weights.
pub(super) fn features(
    link: &Link,
    kinds: HostKinds,
    signs: &BrandSigns<'_>,
    target: &Target,
    rules: &LinkRules,
    sums: &[f32; CHANNELS],
) -> [f32; FEATURE_COUNT] {
    let mut row = Row { values: [0.0; FEATURE_COUNT], at: 0 };
    for sum in sums {
        row.put(*sum);
    }
    row.put(sums[..FORM].iter().sum());
    host_features(&mut row, link, kinds, rules);
    row.put(flag(signs.official.is_some()));
    tail_features(&mut row, link);
    word_features(&mut row, link, kinds, signs, target, rules);
    row.values
}

struct Row {
    values: [f32; FEATURE_COUNT],
    at: usize,
}

impl Row {
    fn put(&mut self, value: f32) {
        if let Some(slot) = self.values.get_mut(self.at) {
            *slot = value;
        }
        self.at += 1;
    }

    fn count(&mut self, value: usize) {
        self.put(value as f32);
    }
}

fn flag(is: bool) -> f32 {
    f32::from(u8::from(is))
}

pub(super) fn share(part: usize, whole: usize) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 / whole as f32 }
}

fn host_features(row: &mut Row, link: &Link, kinds: HostKinds, rules: &LinkRules) {
    let ip = link.ip.is_some();
    let (label, sub) = if ip { ("", "") } else { (link.label(), link.sub()) };
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let hyphens = |text: &str| text.bytes().filter(|b| *b == b'-').count();
    let sub_labels = if sub.is_empty() { 0 } else { sub.matches('.').count() + 1 };
    row.count(if ip { 0 } else { label.len() + sub.len() + link.suffix().len() });
    row.count(label.len());
    row.count(sub.len());
    row.count(sub_labels);
    row.count(hyphens(label));
    row.count(hyphens(sub));
    row.count(digits(label));
    row.put(share(digits(label), label.len()));
    row.put(share(digits(sub), sub.len()));
    row.count(longest_run(label, is_consonant));
    let letters = label.bytes().filter(u8::is_ascii_alphabetic).count();
    row.put(if letters == 0 { 0.4 } else { share(label.bytes().filter(|b| is_vowel(*b)).count(), letters) });
    row.put(entropy(label));
    row.count(longest_run(label, |b| b.is_ascii_digit()));
    row.count(switches(label));
    row.put(flag(label.len() > 7 && label.bytes().all(|b| b.is_ascii_hexdigit())));
    row.put(flag(ip));
    row.put(flag(link.unicode.is_some()));
    row.put(flag(link.port.is_some()));
    row.put(flag(!link.user.is_empty()));
    row.count(link.suffix().len());
    row.put(flag(link.suffix_private));
    row.put(flag(!ip && !link.suffix_known));
    row.put(flag(rules.is_word("cheap_suffixes", link.suffix()) || rules.is_word("cheap_suffixes", link.top())));
    row.put(flag(!ip && link.top().len() == 2));
    row.put(flag(link.suffix() == "com"));
    for kind in [
        HostKind::FreeHosting,
        HostKind::DynamicDns,
        HostKind::Storage,
        HostKind::Tunnel,
        HostKind::Shortener,
        HostKind::LinkInBio,
        HostKind::Forms,
        HostKind::FileShare,
        HostKind::SoftwareReleases,
        HostKind::AppStore,
        HostKind::WellKnown,
    ] {
        row.put(flag(kinds.has(kind)));
    }
}

fn tail_features(row: &mut Row, link: &Link) {
    let tail = super::find::cut(&link.tail, 1024);
    let path = super::find::cut(link.path(), 1024);
    let query = super::find::cut(link.query_and_fragment(), 1024);
    let lower = path.to_ascii_lowercase();
    let parts = path.split('/').filter(|part| !part.is_empty());
    let longest = tail.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|part| part.len()).unwrap_or_default();
    row.count(path.len());
    row.count(parts.clone().count());
    row.count(query.len());
    row.count(query.bytes().filter(|b| *b == b'=').count());
    row.put(share(tail.bytes().filter(u8::is_ascii_digit).count(), tail.len()));
    row.count(longest.len());
    row.put(entropy(super::find::cut(tail, 128)));
    row.put(flag(tail.len() < 2));
    row.put(flag(path.contains("//")));
    row.put(flag(path.contains("/~")));
    row.count(tail.bytes().filter(|b| *b == b'%').count());
    row.put(flag(tail.contains('@')));
    row.put(flag(path.contains("/.")));
    row.put(flag(lower.contains("/wp-")));
    row.put(flag(lower.ends_with(".php") || lower.contains(".php/")));
    row.put(flag(lower.ends_with(".html") || lower.ends_with(".htm")));
    row.put(flag(tail.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() >= 24)));
    row.count(longest_run(&lower, is_consonant));
    row.put(share(path.bytes().filter(u8::is_ascii_uppercase).count(), path.len()));
    row.count(path.bytes().filter(|b| *b == b'.').count());
    row.put(flag(domain_in(&lower)));
    row.put(flag(query.contains('#')));
    row.put(flag(tail.contains('@') && tail.split('@').nth(1).is_some_and(|host| host.contains('.'))));
}

fn word_features(
    row: &mut Row,
    link: &Link,
    kinds: HostKinds,
    signs: &BrandSigns<'_>,
    target: &Target,
    rules: &LinkRules,
) {
    let name = &link.host[..link.host.len() - link.suffix().len()];
    let label = link.label();
    row.count(if link.ip.is_some() { 0 } else { lures_in(rules, name) });
    row.count(lures_in(rules, &super::find::cut(&link.tail, 512).to_ascii_lowercase()));
    let borrowed = signs.borrowed.as_ref();
    let how = |wanted: Borrowing| flag(borrowed.is_some_and(|b| b.how == wanted));
    row.put(how(Borrowing::Homoglyph));
    row.put(how(Borrowing::OfficialInFront));
    row.put(how(Borrowing::OtherSuffix));
    row.put(how(Borrowing::Misspelt));
    row.put(how(Borrowing::WithLure));
    row.put(how(Borrowing::InHost));
    row.put(flag(borrowed.is_some_and(|b| b.weak)));
    row.put(flag(borrowed.is_some_and(|b| b.whole)));
    row.put(flag(borrowed.is_some_and(|b| b.in_label)));
    row.put(flag(signs.in_path.is_some()) + flag(signs.domain_in_path));
    row.put(flag(target.executable.is_some()));
    row.put(flag(target.redirect.is_some()));
    let first = link.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    row.count(if link.path().matches('/').count() <= 1 { first.len() } else { 0 });
    row.put(flag(label.len() > 3 && !label.bytes().any(is_vowel)));
    row.put(randomness(link.sub()));
    row.put(share(label.len().saturating_sub(distinct(label)), label.len()));
    row.put(link.path().split('/').take(8).map(randomness).fold(0.0, f32::max));
    row.put(flag(kinds.has(HostKind::PersonalPages)));
    row.put(flag(signs.like_a_brand));
    let shared = shared_host(kinds);
    row.put(flag(shared));
    row.count(if shared { lures_in(rules, label) } else { 0 });
    super::shape::numbers(link).into_iter().for_each(|number| row.put(number));
}

pub(super) fn is_vowel(b: u8) -> bool {
    matches!(b, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

fn is_consonant(b: u8) -> bool {
    b.is_ascii_lowercase() && !is_vowel(b)
}

fn longest_run(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    let (mut run, mut longest) = (0, 0);
    for byte in text.bytes() {
        run = if belongs(byte) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// How often letters turn to digits or back: `a1b2c3` is nobody's name.
fn switches(text: &str) -> usize {
    text.as_bytes()
        .windows(2)
        .filter(|pair| {
            pair[0].is_ascii_digit() != pair[1].is_ascii_digit() && pair.iter().all(u8::is_ascii_alphanumeric)
        })
        .count()
}

/// Consonant runs and switches for each letter of the longest word; 0 for a word one can say.
fn randomness(text: &str) -> f32 {
    let word = text.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|part| part.len()).unwrap_or_default();
    if word.len() < 6 {
        return 0.0;
    }
    let lower = super::find::cut(word, 64).to_ascii_lowercase();
    let cases = word.as_bytes().windows(2).filter(|p| p[0].is_ascii_lowercase() && p[1].is_ascii_uppercase()).count();
    share(longest_run(&lower, is_consonant).saturating_sub(3) + switches(&lower) + cases, lower.len())
}

/// Shannon's, in bits a byte.
pub(super) fn entropy(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut counts = [0_u8; 256];
    let text = &text.as_bytes()[..text.len().min(usize::from(u8::MAX))];
    text.iter().for_each(|b| counts[usize::from(*b)] += 1);
    let mut sum = 0.0;
    for byte in text {
        let count = f32::from(std::mem::take(&mut counts[usize::from(*byte)]));
        if count > 1.0 {
            sum += count * count.log2();
        }
    }
    let whole = text.len() as f32;
    whole.log2() - sum / whole
}

fn distinct(text: &str) -> usize {
    let mut seen = [false; 256];
    text.bytes().for_each(|b| seen[usize::from(b)] = true);
    seen.iter().filter(|is| **is).count()
}

/// Whether a part of the path reads as a host: `/www.banco.com.br/`.
fn domain_in(path: &str) -> bool {
    path.split('/').take(16).any(|part| {
        part.starts_with("www.")
            || part.rsplit_once('.').is_some_and(|(front, last)| {
                matches!(last, "com" | "net" | "org" | "br" | "uk" | "fr" | "de" | "it" | "es" | "jp")
                    && front.len() > 2
            })
    })
}
