//! The console's words in three languages: one file a language, the same keys in each.
//!
//! A key is `section.name`; `{x}` in a text is filled by name. What comes from rules (titles, reasons) is not here: rule
//! files bring their own languages.

use guarita_message::Language;
use std::{collections::HashMap, fmt::Display, sync::LazyLock};

/// What pages ask of a language.
pub trait Spoken: Sized {
    /// What its speakers call it.
    fn name(self) -> &'static str;
    /// `pt`, `pt-PT`, `es-AR` and so on; `None` for what we do not speak.
    fn from_tag(tag: &str) -> Option<Self>;
    /// The best of an `Accept-Language` header; English where it names none of ours.
    fn negotiated(header: &str) -> Self;
    fn words(self) -> &'static Words;
}

impl Spoken for Language {
    fn name(self) -> &'static str {
        match self {
            Language::Portuguese => "Português",
            Language::English => "English",
            Language::Spanish => "Español",
        }
    }

    fn from_tag(tag: &str) -> Option<Language> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
        Language::ALL.iter().copied().find(|language| language.as_str()[..2].eq_ignore_ascii_case(primary))
    }

    fn negotiated(header: &str) -> Language {
        let mut best = (Language::English, 0.0f32);
        for choice in header.split(',').take(ACCEPTED_MAX) {
            let mut fields = choice.split(';');
            let language = fields.next().and_then(Language::from_tag);
            let weight = fields.find_map(|field| field.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0f32);
            if let Some(language) = language
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }

    fn words(self) -> &'static Words {
        static ALL: LazyLock<[Words; 3]> =
            LazyLock::new(|| [Language::Portuguese, Language::English, Language::Spanish].map(Words::load));
        match self {
            Language::Portuguese => &ALL[0],
            Language::English => &ALL[1],
            Language::Spanish => &ALL[2],
        }
    }
}

/// Languages of a header that are looked at; browsers send a handful.
const ACCEPTED_MAX: usize = 16;

/// One language's texts.
pub struct Words {
    pub language: Language,
    texts: HashMap<String, String>,
}

impl Words {
    fn load(language: Language) -> Words {
        let file = match language {
            Language::Portuguese => include_str!("words/pt-BR.toml"),
            Language::English => include_str!("words/en.toml"),
            Language::Spanish => include_str!("words/es.toml"),
        };
        let table: HashMap<String, HashMap<String, String>> =
            toml::from_str(file).expect("the embedded word files are parsed by a test");
        let texts = table
            .into_iter()
            .flat_map(|(section, texts)| texts.into_iter().map(move |(name, text)| (format!("{section}.{name}"), text)))
            .collect();
        Words { language, texts }
    }

    /// The text of a key that the source names.
    pub fn t<'a>(&'a self, key: &'a str) -> &'a str {
        self.texts.get(key).map_or(key, String::as_str)
    }

    pub fn knows(&self, key: &str) -> bool {
        self.texts.contains_key(key)
    }

    /// The word for a member of a closed list: `severity`, `high`. One we do not know is shown as it is.
    pub fn of(&self, section: &str, word: &str) -> String {
        self.texts.get(&format!("{section}.{word}")).cloned().unwrap_or_else(|| word.replace('_', " "))
    }

    /// A text with its `{names}` filled. Values are not escaped here: maud does that where the text is shown.
    pub fn fill(&self, key: &str, values: &[(&str, &dyn Display)]) -> String {
        let mut rest = self.t(key);
        let mut out = String::with_capacity(rest.len() + 16);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
                out.push_str(&value.to_string());
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// A sentence of the desk's in this language: found by its English form with `#` for each number, whose numbers are put
    /// back in order. One we do not know is shown as it is.
    pub fn sentence(&self, english: &str) -> String {
        let (mut key, mut numbers) = ("said.".to_owned(), Vec::<String>::new());
        let mut before = ' ';
        for c in english.chars() {
            match numbers.last_mut() {
                Some(number) if c.is_ascii_digit() && before.is_ascii_digit() => number.push(c),
                _ if c.is_ascii_digit() => {
                    numbers.push(c.to_string());
                    key.push('#');
                }
                _ => key.push(c),
            }
            before = c;
        }
        let Some(text) = self.texts.get(&key) else { return english.to_owned() };
        let mut pieces = text.split('#');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        let mut numbers = numbers.into_iter();
        for piece in pieces {
            out.push_str(&numbers.next().unwrap_or_default());
            out.push_str(piece);
        }
        out
    }

    /// `key_one` or `key_many` with `{n}` filled.
    pub fn count(&self, key: &str, n: u64) -> String {
        let form = if n == 1 { "one" } else { "many" };
        self.fill(&format!("{key}_{form}"), &[("n", &self.number(n))])
    }

    /// `12,345` or `12.345`.
    pub fn number(&self, n: u64) -> String {
        let separator = if self.language == Language::English { ',' } else { '.' };
        let digits = n.to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                out.push(separator);
            }
            out.push(digit);
        }
        out
    }

    /// With one decimal below ten, and this language's decimal mark.
    pub fn decimal(&self, x: f64) -> String {
        let text = if x.abs() < 9.95 && x.fract().abs() > 0.049 { format!("{x:.1}") } else { format!("{x:.0}") };
        if self.language == Language::English { text } else { text.replace('.', ",") }
    }

    /// `3.2 MB`.
    pub fn bytes(&self, bytes: u64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB"];
        let mut value = bytes as f64;
        let mut unit = 0;
        while value >= 999.5 && unit + 1 < units.len() {
            value /= 1000.0;
            unit += 1;
        }
        format!("{}\u{a0}{}", self.decimal(value), units[unit])
    }

    /// A span of time in its largest fitting unit: `240 ms`, `3.5 s`, `12 min`, `5 h`, `9 d`.
    pub fn span(&self, seconds: f64) -> String {
        let (value, unit) = match seconds {
            s if s < 0.0005 => (0.0, "ms"),
            s if s < 1.0 => (s * 1000.0, "ms"),
            s if s < 120.0 => (s, "s"),
            s if s < 7200.0 => (s / 60.0, "min"),
            s if s < 172_800.0 => (s / 3600.0, "h"),
            s => (s / 86_400.0, "d"),
        };
        format!("{}\u{a0}{unit}", self.decimal(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn keys(language: Language) -> BTreeSet<String> {
        language.words().texts.keys().cloned().collect()
    }

    fn names(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|after| Some(after.split_once('}')?.0)).collect()
    }

    #[test]
    fn every_key_exists_in_each_language_with_the_same_blanks() {
        let english = Language::English.words();
        for language in [Language::Portuguese, Language::Spanish] {
            let words = language.words();
            let missing: Vec<_> = keys(Language::English).difference(&keys(language)).cloned().collect();
            let extra: Vec<_> = keys(language).difference(&keys(Language::English)).cloned().collect();
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{}: missing {missing:?}, extra {extra:?}",
                language.as_str()
            );
            for (key, text) in &words.texts {
                assert_eq!(names(text), names(english.t(key)), "{} {key}", language.as_str());
                assert!(!text.trim().is_empty(), "{} {key} is empty", language.as_str());
            }
        }
    }

    /// Keys in the source are literals after `.t(`, `.fill(` or `.count(`; those of closed lists come by `.of(`.
    #[test]
    fn every_key_that_the_source_names_exists_and_every_key_is_named() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages");
        let mut source = String::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "rs") && entry.file_name() != "words.rs" {
                source.push_str(&std::fs::read_to_string(entry.path()).unwrap());
            }
        }
        let known = keys(Language::English);
        let mut wrong = Vec::new();
        for (call, endings) in [(".t(", &[""][..]), (".fill(", &[""]), (".count(", &["_one", "_many"])] {
            for after in source.split(call).skip(1) {
                let Some(key) = after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                    continue;
                };
                wrong.extend(endings.iter().map(|e| format!("{key}{e}")).filter(|key| !known.contains(key)));
            }
        }
        assert!(wrong.is_empty(), "named in the source, but in no word file: {wrong:?}");
        let lists: Vec<String> = source
            .split(".of(")
            .skip(1)
            .filter_map(|after| Some(after.trim_start().strip_prefix('"')?.split('"').next()?.to_owned()))
            .collect();
        let unused: Vec<_> = known
            .iter()
            .filter(|key| {
                let stem = key.trim_end_matches("_one").trim_end_matches("_many");
                let section = key.split('.').next().unwrap_or_default();
                !source.contains(&format!("\"{key}\""))
                    && !source.contains(&format!("\"{stem}\""))
                    && !lists.iter().any(|list| list == section)
                    && section != "said"
            })
            .collect();
        assert!(unused.is_empty(), "in the word files, but nobody says it: {unused:?}");
    }

    #[test]
    fn closed_lists_have_a_word_for_each_member() {
        use guarita_message::{Action, Category, Channel, GapReason, Severity, Verdict};
        let words = Language::English.words();
        let all = [
            ("severity", Severity::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>()),
            ("category", Category::ALL.iter().map(|word| word.as_str()).collect()),
            ("verdict", Verdict::ALL.iter().map(|word| word.as_str()).collect()),
            ("action", Action::ALL.iter().map(|word| word.as_str()).collect()),
            ("gap", GapReason::ALL.iter().map(|word| word.as_str()).collect()),
            ("channel", Channel::ALL.iter().map(|word| word.as_str()).collect()),
        ];
        for (section, members) in all {
            for member in members {
                assert!(words.texts.contains_key(&format!("{section}.{member}")), "{section}.{member}");
            }
        }
    }

    #[test]
    fn the_browser_is_asked_which_language() {
        for (header, expect) in [
            ("pt-BR,pt;q=0.9,en;q=0.8", Language::Portuguese),
            ("de-DE,de;q=0.9,es-AR;q=0.5,en;q=0.4", Language::Spanish),
            ("fr", Language::English),
            ("", Language::English),
            ("en;q=0.2, PT;q=0.3", Language::Portuguese),
            ("pt;q=nan,\u{0},;;;q=,ESx", Language::English),
        ] {
            assert_eq!(Language::negotiated(header), expect, "{header}");
        }
    }

    #[test]
    fn figures_read_as_people_write_them() {
        let (english, portuguese) = (Language::English.words(), Language::Portuguese.words());
        assert_eq!(english.number(1_234_567), "1,234,567");
        assert_eq!(portuguese.number(1_234), "1.234");
        assert_eq!(english.number(0), "0");
        assert_eq!(english.bytes(999), "999\u{a0}B");
        assert_eq!(portuguese.bytes(3_240_000), "3,2\u{a0}MB");
        for (seconds, expect) in [
            (0.0, "0 ms"),
            (0.012, "12 ms"),
            (3.5, "3.5 s"),
            (119.0, "119 s"),
            (720.0, "12 min"),
            (90_000.0, "25 h"),
            (900_000.0, "10 d"),
        ] {
            assert_eq!(english.span(seconds), expect.replace(' ', "\u{a0}"), "{seconds}");
        }
    }

    /// What stands in the word files is what the desk says: a sentence that is changed there must be changed here.
    #[test]
    fn every_sentence_that_is_translated_is_still_said() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut source = String::new();
        for file in ["src", "src/desk", "src/people", "../message/src", "../guarita/src"] {
            for entry in std::fs::read_dir(folder.join(file)).unwrap().flatten() {
                if entry.path().extension().is_some_and(|ending| ending == "rs") {
                    source.push_str(&std::fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        let words = Language::English.words();
        for key in words.texts.keys().filter_map(|key| key.strip_prefix("said.")) {
            assert!(key.split('#').all(|piece| source.contains(piece)), "nobody says: {key}");
        }
    }

    #[test]
    fn sentences_keep_their_numbers() {
        let words = Language::Portuguese.words();
        assert_eq!(words.sentence("must be 1 to 3650"), "Escreva um número de 1 a 3650.");
        assert_eq!(words.sentence("something new of 7"), "something new of 7");
        let count = |text: &str| text.matches('#').count();
        for (key, text) in Language::ALL.iter().flat_map(|language| &language.words().texts) {
            if let Some(english) = key.strip_prefix("said.") {
                assert_eq!(count(english), count(text), "{key}");
            }
        }
    }

    #[test]
    fn blanks_are_filled_once() {
        let words =
            Words { language: Language::English, texts: [("a.b".to_owned(), "x {n} of {m}, {n".to_owned())].into() };
        assert_eq!(words.fill("a.b", &[("n", &"{m}"), ("m", &2)]), "x {m} of 2, {m}");
        assert_eq!(words.t("no.such"), "no.such");
    }
}
