//! Whether a host borrows the name of a protected brand: same letters by other characters, a letter off, extra words,
//! another suffix, or the brand's whole domain put in front of somebody else's.

use super::parse::Link;
use guarita_rules::links::{Brand, BrandWord, HostKind, HostKinds, LinkRules, NEAR_WORD_CHARS_MIN};

/// How a name is borrowed, the plainest deceit first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Borrowing {
    /// Characters of other scripts or digits that look alike: `раypal`, `paypa1`.
    Homoglyph,
    /// `itau.com.br.evil.top`.
    OfficialInFront,
    /// The brand's exact name under a suffix that is not the brand's: `bradesco.top`.
    OtherSuffix,
    /// A letter too many, too few, another, or two swapped: `whatsaap`.
    Misspelt,
    /// The name beside words that ask for something: `itau-seguranca`, `netflix-login`.
    WithLure,
    /// The name alone in somebody else's host: `netflixparty`.
    InHost,
}

pub(super) struct Borrowed<'r> {
    pub brand: &'r Brand,
    pub how: Borrowing,
    pub weak: bool,
    /// The brand's word stands alone between hyphens, dots or ends.
    pub whole: bool,
    /// The brand's word is in the name that was registered (not only in a subdomain of it).
    pub in_label: bool,
}

/// What is known of a host and brands.
#[derive(Default)]
pub(super) struct BrandSigns<'r> {
    pub official: Option<&'r Brand>,
    pub borrowed: Option<Borrowed<'r>>,
    /// The path names a brand (its official domain, if `domain_in_path`).
    pub in_path: Option<&'r Brand>,
    pub domain_in_path: bool,
    /// A part of the host has the consonants of a brand's word, and is not that word.
    pub like_a_brand: bool,
}

/// Suffixes where a brand is not at home just because the country's letters fit.
const OPEN_COUNTRY_SUFFIXES: &[&str] = &[
    "tk", "ml", "ga", "cf", "gq", "cc", "tv", "ws", "la", "me", "co", "io", "ai", "vc", "to", "pw", "cm", "om", "su",
    "st", "nu",
];

pub(super) fn brand_signs<'r>(
    link: &Link,
    kinds: HostKinds,
    rules: &'r LinkRules,
    lure_in_path: bool,
) -> BrandSigns<'r> {
    let mut signs = BrandSigns { official: official(link, rules), ..BrandSigns::default() };
    if signs.official.is_some() || link.ip.is_some() && link.path().len() < 2 {
        return signs;
    }
    if link.ip.is_none() && !rules.kinds_of_exactly(link.registrable()).has(HostKind::WellKnown) {
        signs.borrowed = borrowed_in_host(link, rules, lure_in_path);
        signs.like_a_brand = signs.borrowed.is_none() && like_a_brand(link, rules);
    }
    let pages = super::features::shared_host(kinds) || kinds.has(HostKind::PersonalPages);
    path_signs(link, pages, rules, &mut signs);
    signs
}

fn official<'r>(link: &Link, rules: &'r LinkRules) -> Option<&'r Brand> {
    if let Some(brand) = rules.official_brand(&link.host) {
        return Some(brand);
    }
    // A company's own project pages: `microsoft.github.io`.
    if matches!(link.suffix(), "github.io" | "gitlab.io" | "readthedocs.io")
        && let Some(word) = rules.brand_words.get(link.label()).filter(|word| !word.weak)
    {
        return rules.brands.get(usize::from(word.brand));
    }
    let brand = rules.official_labels.get(link.label())?;
    let suffix = link.suffix();
    let country = suffix.rsplit('.').next().unwrap_or_default();
    let generic = matches!(suffix.split('.').next().unwrap_or_default(), "com" | "co" | "net" | "org" | "gob" | "gov");
    let at_home = suffix == "com"
        || country.len() == 2
            && !OPEN_COUNTRY_SUFFIXES.contains(&country)
            && !link.suffix_private
            && (suffix.len() == 2 || generic);
    if at_home { rules.brands.get(usize::from(*brand)) } else { None }
}

fn borrowed_in_host<'r>(link: &Link, rules: &'r LinkRules, lure_in_path: bool) -> Option<Borrowed<'r>> {
    let name = link.host[..link.host.len() - link.suffix().len()].trim_end_matches('.');
    let name = name.strip_prefix("www.").unwrap_or(name);
    let label = link.label();
    let brand_of = |word: &BrandWord| rules.brands.get(usize::from(word.brand));
    let found = |word: &BrandWord, how, whole, in_label| {
        Some(Borrowed { brand: brand_of(word)?, how, weak: word.weak, whole, in_label })
    };
    if let Some(brand) = official_in_front(link, rules) {
        return Some(Borrowed { brand, how: Borrowing::OfficialInFront, weak: false, whole: true, in_label: false });
    }
    if let Some(word) = homoglyph(link, rules) {
        return found(&word, Borrowing::Homoglyph, true, true);
    }
    let joined: String = label.chars().filter(|c| *c != '-').collect();
    if let Some(word) =
        rules.brand_words.get(label).or_else(|| rules.brand_words.get(&joined)).filter(|word| !word.weak)
    {
        let how = if link.suffix_private { Borrowing::InHost } else { Borrowing::OtherSuffix };
        return found(word, how, true, true);
    }
    let mut best: Option<Borrowed<'r>> = None;
    if let Some(search) = &rules.brand_search {
        for hit in search.find_iter(name) {
            let (word, brand) = &rules.brand_patterns[hit.pattern().as_usize()];
            let whole = stands_alone(name, hit.start(), hit.end());
            let edge = at_an_edge(name, hit.start(), hit.end());
            let fits = match (brand.weak, word.len()) {
                (true, _) => whole,
                (false, 0..=4) => whole,
                (false, 5) => whole || edge,
                (false, 6..=7) => whole || edge,
                (false, _) => true,
            };
            if !fits {
                continue;
            }
            let rest = (&name[..hit.start()], &name[hit.end()..]);
            let lure = lure_in(rules, rest.0) || lure_in(rules, rest.1);
            let how =
                if lure || lure_in_path && (whole || !brand.weak) { Borrowing::WithLure } else { Borrowing::InHost };
            if brand.weak && how != Borrowing::WithLure {
                continue;
            }
            let in_label = hit.end() > name.len() - label.len().min(name.len());
            if best.as_ref().is_none_or(|known| (how, brand.weak) < (known.how, known.weak)) {
                best = found(brand, how, whole, in_label);
            }
        }
    }
    if best.is_none() {
        best = misspelt(name, rules).and_then(|(word, in_label)| found(&word, Borrowing::Misspelt, true, in_label));
    }
    best
}

/// `itau.com.br.evil.top` and `usps.com-track.top`: an official domain at the front of a label.
fn official_in_front<'r>(link: &Link, rules: &'r LinkRules) -> Option<&'r Brand> {
    let registrable_at = link.host.len() - link.registrable().len();
    let host = &link.host;
    let starts = std::iter::once(0).chain(host.match_indices('.').map(|(at, _)| at + 1));
    for start in starts.take_while(|start| *start <= registrable_at).take(8) {
        let rest = &host[start..];
        // The official domain ends at a dot or a hyphen before the true suffix does.
        let ends =
            rest.match_indices(['.', '-']).map(|(at, _)| at).filter(|at| start + at < host.len() - link.suffix().len());
        for end in ends.take(8) {
            let candidate = &rest[..end];
            if candidate.contains('.')
                && let Some(brand) = rules.official.get(candidate)
            {
                return rules.brands.get(usize::from(*brand));
            }
        }
    }
    None
}

fn stands_alone(name: &str, start: usize, end: usize) -> bool {
    let bytes = name.as_bytes();
    let apart = |b: u8| !b.is_ascii_alphabetic();
    (start == 0 || apart(bytes[start - 1])) && (end == bytes.len() || apart(bytes[end]))
}

fn at_an_edge(name: &str, start: usize, end: usize) -> bool {
    let bytes = name.as_bytes();
    let apart = |b: u8| !b.is_ascii_alphabetic();
    start == 0 || apart(bytes[start - 1]) || end == bytes.len() || apart(bytes[end])
}

pub(super) fn lure_in(rules: &LinkRules, text: &str) -> bool {
    lures_in(rules, text) > 0
}

/// How many lure words stand in `text`: alone, or at the edge of a longer run of letters.
pub(super) fn lures_in(rules: &LinkRules, text: &str) -> usize {
    let Some(search) = &rules.lure_search else { return 0 };
    search
        .find_iter(text)
        .filter(|hit| {
            let length = hit.end() - hit.start();
            stands_alone(text, hit.start(), hit.end())
                || length > 4 && at_an_edge(text, hit.start(), hit.end())
                || length > 6
        })
        .take(8)
        .count()
}

/// A brand's word once look-alike characters are read as what they look like, and not before.
fn homoglyph(link: &Link, rules: &LinkRules) -> Option<BrandWord> {
    let host = link.unicode.as_deref().unwrap_or(&link.host);
    // The suffix may be spelt otherwise in Unicode: leave out as many labels as it has.
    let name =
        (0..=link.suffix().matches('.').count()).fold(host, |rest, _| rest.rsplit_once('.').map_or("", |cut| cut.0));
    let odd =
        !name.is_ascii() || name.bytes().any(|b| b.is_ascii_digit()) || name.contains("rn") || name.contains("vv");
    if !odd {
        return name.split(['.', '-']).take(16).find_map(|token| swapped_strokes(token, rules));
    }
    name.split(['.', '-']).take(16).find_map(|token| {
        let plain = read_as_latin(token);
        let one = |from: &str, to: &str| plain.replace(from, to);
        let readings = [plain.clone(), leet(&plain, 'l'), leet(&plain, 'i'), one("rn", "m"), one("vv", "w")];
        readings.iter().find_map(|reading| {
            let word = rules.brand_words.get(reading.as_str())?;
            let kept = reading == token || reading.len() < 4 || word.weak && reading.len() < NEAR_WORD_CHARS_MIN;
            (!kept).then_some(*word)
        })
    })
}

/// `ltau`, `paypai`: a capital I and a small l are one stroke.
fn swapped_strokes(token: &str, rules: &LinkRules) -> Option<BrandWord> {
    if !(4..=24).contains(&token.len()) {
        return None;
    }
    [('l', "i"), ('i', "l")].into_iter().find_map(|(from, to)| {
        let reading = token.contains(from).then(|| token.replace(from, to))?;
        rules
            .brand_words
            .get(reading.as_str())
            .filter(|word| !word.weak && !rules.brand_words.contains_key(token))
            .copied()
    })
}

/// Accents off, letters of other scripts as the Latin letter they look like.
pub(super) fn read_as_latin(token: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    if token.is_ascii() {
        return token.to_owned();
    }
    let mut latin = String::with_capacity(token.len());
    for c in token.chars().nfd().filter(|c| !matches!(c, '\u{300}'..='\u{36f}')) {
        if c.is_ascii() {
            latin.push(c.to_ascii_lowercase());
            continue;
        }
        let mut buffer = [0; 4];
        match c {
            // The table reads `ı` as `i` but capitals and a few small forms it leaves.
            'ł' => latin.push('l'),
            'ø' => latin.push('o'),
            'đ' => latin.push('d'),
            'ß' => latin.push('b'),
            _ => latin
                .extend(unicode_security::skeleton(c.encode_utf8(&mut buffer)).map(|like| like.to_ascii_lowercase())),
        }
    }
    latin
}

fn leet(token: &str, one: char) -> String {
    token
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' => one,
            '3' => 'e',
            '4' => 'a',
            '5' => 's',
            '7' => 't',
            '8' => 'b',
            other => other,
        })
        .collect()
}

/// A token one slip of the fingers away from a brand's word.
fn misspelt(name: &str, rules: &LinkRules) -> Option<(BrandWord, bool)> {
    let label_at = name.rfind('.').map_or(0, |dot| dot + 1);
    let mut at = 0;
    for token in name.split(['.', '-']).take(16) {
        let start = at;
        at += token.len() + 1;
        let word = token.trim_matches(|c: char| c.is_ascii_digit());
        if let Some(brand) = misspelt_word(word, rules) {
            return Some((brand, start >= label_at));
        }
    }
    None
}

fn misspelt_word(word: &str, rules: &LinkRules) -> Option<BrandWord> {
    if word.len() < NEAR_WORD_CHARS_MIN - 1 || word.len() > 40 || !word.is_ascii() {
        return None;
    }
    // The word itself, then the word with each letter left out, in one buffer.
    let mut shorter = String::with_capacity(word.len());
    for left_out in (0..=word.len()).rev() {
        shorter.clear();
        shorter.push_str(&word[..left_out]);
        shorter.push_str(word.get(left_out + 1..).unwrap_or_default());
        for number in rules.near_words.get(&shorter).into_iter().flatten() {
            let (known, brand) = &rules.brand_patterns[usize::from(*number)];
            if known != word && one_slip(known.as_bytes(), word.as_bytes()) {
                return Some(*brand);
            }
        }
    }
    None
}

/// One letter more, less, other, or two neighbours swapped; the first letter stays, as it does in honest deceit.
fn one_slip(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    if same == 0 {
        return false;
    }
    let (a, b) = (&a[same..], &b[same..]);
    match (a.len(), b.len()) {
        (0, 1) | (1, 0) => true,
        (m, n) if m == n => a[1..] == b[1..] || m > 1 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..],
        (m, n) if m == n + 1 => a[1..] == *b,
        (m, n) if n == m + 1 => *a == b[1..],
        _ => false,
    }
}

fn like_a_brand(link: &Link, rules: &LinkRules) -> bool {
    let name = &link.host[..link.host.len() - link.suffix().len()];
    name.split(['.', '-']).take(16).filter(|token| (5..=24).contains(&token.len())).any(|token| {
        let bones = guarita_rules::links::consonants_of(token);
        bones.len() >= guarita_rules::links::CONSONANTS_MIN && rules.consonants.contains_key(&bones)
    })
}

/// `pages`: anyone makes pages on this host, and a folder's name is all that says whose page a copy poses as.
fn path_signs<'r>(link: &Link, pages: bool, rules: &'r LinkRules, signs: &mut BrandSigns<'r>) {
    const PATH_BYTES_MAX: usize = 512;
    const PATH_WORDS_MAX: usize = 12;
    let Some(search) = &rules.brand_search else { return };
    if link.tail.len() < 4 {
        return;
    }
    let path = super::find::cut(link.path(), PATH_BYTES_MAX).to_ascii_lowercase();
    for segment in path.split('/').filter(|segment| segment.contains('.')).take(16) {
        let host = segment.strip_prefix("www.").unwrap_or(segment);
        if let Some(brand) = rules.official.get(host) {
            signs.in_path = rules.brands.get(usize::from(*brand));
            signs.domain_in_path = true;
            return;
        }
    }
    for hit in search.find_iter(&path) {
        let (word, brand) = &rules.brand_patterns[hit.pattern().as_usize()];
        let apart =
            stands_alone(&path, hit.start(), hit.end()) || word.len() > 5 && at_an_edge(&path, hit.start(), hit.end());
        if !brand.weak && word.len() > 3 && apart {
            signs.in_path = rules.brands.get(usize::from(brand.brand));
            return;
        }
    }
    if pages {
        let words = path.split(|c: char| !c.is_ascii_alphabetic()).take(PATH_WORDS_MAX);
        let slip = words.map(without_purpose).find_map(|word| misspelt_word(word, rules));
        signs.in_path = slip.and_then(|word| rules.brands.get(usize::from(word.brand)));
    }
}

/// `netflxhome`, `amaazonclone`: what a copy is of, without what it is for.
fn without_purpose(word: &str) -> &str {
    const PURPOSES: &[&str] = &["clone", "login", "signin", "home", "page", "site", "web"];
    PURPOSES.iter().find_map(|purpose| word.strip_suffix(purpose)).unwrap_or(word)
}
