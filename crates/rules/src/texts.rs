//! What rule files of the kind `texts` compile to. Holds data only; `inspect` runs it.
//!
//! A rule (`rules/texts/*.toml`) says what a text means once enough signals are seen; the signals themselves are language
//! data and stand in a folder a language (`rules/texts/pt/*.toml`). A new language is a new folder, no rule changes.
//!
//! ```toml
//! # rules/texts/code-theft.toml
//! [[rule]]
//! id = "texts/code-theft"
//! # … category, severity, title, why, samples as for every rule
//! when = { threshold = 1.0, needs = ["asks-for-code"], context = { forwarded = 0.1, link = 0.2 } }
//!
//! # rules/texts/pt/code-theft.toml
//! [data.words]                            # classes of words, of this language alone
//! send = "manda* envi* passa* informe"    # `*` at the end: any word that begins so
//! code = "codigo* cod pin"
//!
//! [[data.signal]]
//! rule = "code-theft"                     # one name, several, or "all"
//! name = "asks-for-code"
//! weight = 0.6                            # negative: lowers
//! phrases = ["{send} ..3 {code}", "qual|cade ..2 {code}"]
//! ```
//!
//! With the learned scorer (`texts/*.model`; its thresholds stand in the rule `texts/learned-score`) a rule also needs a score
//! that does not contradict it, unless its `when` says `sure = true`.
//!
//! A signal counts once, however often it is seen; a rule speaks when the weights of its signals and of the message's
//! context reach its threshold and, if it has `needs`, one of those signals is among them. In a phrase, elements stand
//! for one word each: `word`, `begin*`, `a|b|c`, `{class}`, `<kind>` (see [`WordKind`]); `..3` lets up to three words
//! stand between. Words are written without accents and in lower case, as texts are compared. A phrase does not count
//! right after a word of the class `not` of its language, unless the signal says `negated = true`.

mod lexicon;
mod model;
mod read;

pub use lexicon::Lexicon;
pub use model::{Grams, TextModel, gram_hash};

use crate::{Rule, RuleError, RuleFile};

/// Kinds of words that are recognised by shape and not by spelling; written `<number>` in a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WordKind {
    /// Any number.
    Number = 0,
    /// An amount: `R$ 50`, `50 reais`.
    Money = 1,
    /// A web link.
    Link = 2,
    /// A telephone number.
    Phone = 3,
    /// Four to eight digits, as codes have.
    Digits = 4,
    /// A file name.
    File = 5,
    /// A name of a file that runs.
    Program = 6,
    /// A number with a per cent sign.
    Percent = 7,
    /// An e-mail address.
    Email = 8,
}

impl WordKind {
    pub const ALL: [(WordKind, &'static str); 9] = [
        (WordKind::Number, "number"),
        (WordKind::Money, "money"),
        (WordKind::Link, "link"),
        (WordKind::Phone, "phone"),
        (WordKind::Digits, "digits"),
        (WordKind::File, "file"),
        (WordKind::Program, "program"),
        (WordKind::Percent, "percent"),
        (WordKind::Email, "email"),
    ];
}

/// What a phrase's element matches: a set of words. An index into the lexicon's atoms.
pub type Atom = u16;

/// Words one after the other, with gaps; seen anywhere in a text it switches its signal on.
#[derive(Clone, Debug)]
pub struct Phrase {
    pub signal: u16,
    /// With each atom how many words may stand before it (0 for the first one).
    pub atoms: Box<[(u8, Atom)]>,
}

/// A fact about a text that adds to rules, or takes from them.
#[derive(Clone, Debug)]
pub struct Signal {
    pub name: String,
    pub weight: f32,
    /// The class `not` of its language, where a phrase right after one does not count.
    pub not: Option<Atom>,
    /// Indexes of [`TextRules::rules`]; empty: all of them.
    pub rules: Box<[u16]>,
}

/// Weights for what the message around the text is like.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContextWeights {
    pub forwarded: f32,
    pub frequently_forwarded: f32,
    pub first_contact: f32,
    pub link: f32,
    pub attachment: f32,
}

/// A rule that adds signals up.
#[derive(Clone, Debug)]
pub struct TextRule {
    /// `texts/code-theft`.
    pub id: String,
    pub threshold: f32,
    /// Names of signals of which one must be seen; empty: none must.
    pub needs: Vec<String>,
    /// Indexes of the signals that `needs` names.
    pub needed: Vec<u16>,
    pub context: ContextWeights,
    /// It speaks at its threshold whatever the learned scorer says; other rules are silent below [`TextRules::doubt`].
    pub sure: bool,
}

/// Compiled rules and data of `rules/texts/`.
#[derive(Debug, Default)]
pub struct TextRules {
    pub rules: Vec<TextRule>,
    pub signals: Vec<Signal>,
    pub phrases: Vec<Phrase>,
    /// By atom: the phrases that begin with it.
    pub starts: Vec<Vec<u32>>,
    pub lexicon: Lexicon,
    /// The learned scorer and the score from which rule `texts/learned-score` speaks.
    pub model: Option<TextModel>,
    pub model_threshold: f32,
    /// Below this score rules that are not `sure` do not speak.
    pub doubt: f32,
    /// What the score must reach to speak alone where a signal lowers suspicion.
    pub lowered: f32,
}

impl TextRules {
    /// Rule whose threshold is the learned score's.
    pub const LEARNED: &'static str = "texts/learned-score";
    /// Longest distance, in words, from a phrase's first word to its last.
    pub const PHRASE_SPAN_MAX: usize = 60;

    pub(crate) fn compile(rules: &[&Rule], sources: &[RuleFile], lists: &[RuleFile]) -> Result<Self, RuleError> {
        let mut compiled = read::read(rules, sources)?;
        for list in lists.iter().filter(|list| list.path.starts_with("texts/") && list.path.ends_with(".model")) {
            compiled.model = Some(TextModel::read(&list.path, &list.bytes)?);
        }
        Ok(compiled)
    }

    /// Every signal that adds to or takes from rule `index`.
    pub fn signals_of(&self, index: usize) -> impl Iterator<Item = (usize, &Signal)> {
        self.signals.iter().enumerate().filter(move |(_, signal)| {
            signal.rules.is_empty() || signal.rules.iter().any(|rule| *rule as usize == index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, RuleSet};

    const RULE: &str = r#"
[[rule]]
id = "texts/x"
category = "scam"
severity = "medium"
title = { en = "X" }
when = { threshold = 1.0, needs = ["asks"] }
"#;

    fn compile(data: &str) -> Result<RuleSet, RuleError> {
        let file = |path: &str, text: &str| RuleFile { path: path.into(), bytes: text.as_bytes().to_vec() };
        RuleSet::compile(vec![file("texts/x.toml", RULE), file("texts/pt/x.toml", data)], Language::English)
    }

    #[test]
    fn signals_compile() {
        let set = compile(
            "[data.words]\nsend = \"manda* envie\"\n[[data.signal]]\nrule = \"x\"\nname = \"asks\"\nweight = 1.0\nphrases = [\"{send} ..3 <digits>|codigo\"]\n",
        )
        .unwrap();
        assert_eq!(set.texts.phrases.len(), 1);
        assert_eq!(set.texts.rules[0].needed, vec![0]);
        assert_eq!(set.texts.phrases[0].atoms[1].0, 3);
    }

    #[test]
    fn mistakes_name_file_line_and_mend() {
        let cases = [
            ("phrases = [\"{nada} x\"]", "class `nada`", 5),
            ("phrases = [\"código\"]", "`código`", 5),
            ("phrases = [\"<nada>\"]", "<nada>", 5),
            ("phrases = [\"..3 a\"]", "begins", 5),
            ("phrases = [\"a ..99 b\"]", "..99", 5),
            ("phrases = [\"a ..30 b ..30 c ..30 d\"]", "words", 5),
            ("phrases = []", "no phrase", 1),
        ];
        for (line, problem, at) in cases {
            let data = format!("[[data.signal]]\nrule = \"x\"\nname = \"asks\"\nweight = 1.0\n{line}\n");
            let error = compile(&data).unwrap_err();
            assert!(error.problem.contains(problem), "{line}: {error}");
            assert_eq!((error.file.as_str(), error.line), ("texts/pt/x.toml", at), "{line}: {error}");
            assert!(!error.mend.is_empty(), "{line}: {error}");
        }
        let unknown = "[[data.signal]]\nrule = \"y\"\nname = \"n\"\nweight = 1.0\nphrases = [\"a\"]\n";
        assert!(compile(unknown).unwrap_err().problem.contains("rule `y`"));
        let unmet = "[[data.signal]]\nrule = \"x\"\nname = \"other\"\nweight = 1.0\nphrases = [\"a\"]\n";
        let error = compile(unmet).unwrap_err();
        assert!(error.problem.contains("asks") && error.file == "texts/x.toml", "{error}");
    }
}
