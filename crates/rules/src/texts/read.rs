//! Language data and `when` tables, read and checked; every mistake with its line.

use super::{Atom, ContextWeights, Phrase, Signal, TextRule, TextRules, WordKind};
use crate::{Rule, RuleError, RuleFile};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use toml::Spanned;

/// Words that may stand between two elements of a phrase.
const GAP_WORDS_MAX: u8 = 30;
/// Elements of a phrase.
const ELEMENTS_MAX: usize = 12;
/// Sets of words that all phrases together may name.
const ATOMS_MAX: usize = 20_000;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Data {
    words: BTreeMap<String, Spanned<String>>,
    /// What phones shorten: `vc = "voce"` makes `vc` mean whatever `voce` does.
    short: BTreeMap<String, Spanned<String>>,
    signal: Vec<Spanned<RawSignal>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignal {
    rule: OneOrMany,
    name: String,
    weight: f32,
    #[serde(default)]
    negated: bool,
    phrases: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    threshold: f32,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    context: ContextWeights,
    #[serde(default)]
    sure: bool,
    /// These two of the learned scorer's rule alone.
    doubt: Option<f32>,
    lowered: Option<f32>,
}

/// One source file, with what is needed to point at its lines.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    language: &'a str,
    data: Data,
}

impl Source<'_> {
    fn error(&self, at: usize, problem: impl Into<String>, mend: impl Into<String>) -> RuleError {
        let line = self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        RuleError::new(self.path, line, problem, mend)
    }
}

/// Sets of words under construction.
#[derive(Default)]
struct Atoms {
    by_key: HashMap<String, Atom>,
    /// `(word or beginning, is a beginning, atom)`.
    words: Vec<(String, bool, Atom)>,
    kinds: Vec<(WordKind, Atom)>,
}

pub(super) fn read(rules: &[&Rule], files: &[RuleFile]) -> Result<TextRules, RuleError> {
    let mut compiled = TextRules { model_threshold: f32::INFINITY, ..TextRules::default() };
    read_rules(rules, &mut compiled)?;
    let sources = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    // Classes of a language may be used in each of its files.
    let mut classes: HashMap<(&str, &str), (&Source<'_>, &Spanned<String>)> = HashMap::new();
    for source in &sources {
        for (name, words) in &source.data.words {
            if classes.insert((source.language, name), (source, words)).is_some() {
                let problem = format!("class `{name}` is defined twice in language `{}`", source.language);
                return Err(source.error(words.span().start, problem, "join the two, or rename one"));
            }
        }
    }
    let mut atoms = Atoms::default();
    for source in &sources {
        for signal in &source.data.signal {
            add_signal(&mut compiled, &mut atoms, &classes, source, signal)?;
        }
    }
    for rule in rules {
        let Some(index) = compiled.rules.iter().position(|compiled| compiled.id == rule.id) else { continue };
        for name in compiled.rules[index].needs.clone() {
            let found: Vec<u16> =
                compiled.signals_of(index).filter(|(_, s)| s.name == name).map(|(i, _)| i as u16).collect();
            if found.is_empty() {
                let problem = format!("rule `{}` needs a signal `{name}` that nobody defines", rule.id);
                return Err(RuleError::new(
                    &rule.file,
                    rule.line,
                    problem,
                    "add a [[data.signal]] of that name, or leave it out",
                ));
            }
            compiled.rules[index].needed.extend(found);
        }
    }
    shorten(&mut atoms, &sources)?;
    for (word, begin, atom) in &atoms.words {
        if *begin {
            compiled.lexicon.add_begin(word, *atom);
        } else {
            compiled.lexicon.add_word(word, *atom);
        }
    }
    for (kind, atom) in atoms.kinds {
        compiled.lexicon.add_kind(kind, atom);
    }
    compiled.lexicon.set_atoms(atoms.by_key.len());
    compiled.starts = vec![Vec::new(); atoms.by_key.len()];
    for (index, phrase) in compiled.phrases.iter().enumerate() {
        compiled.starts[phrase.atoms[0].1 as usize].push(index as u32);
    }
    Ok(compiled)
}

fn read_rules(rules: &[&Rule], compiled: &mut TextRules) -> Result<(), RuleError> {
    for rule in rules.iter().filter(|rule| !rule.when.is_empty()) {
        let when: When = rule.when.clone().try_into().map_err(|error: toml::de::Error| {
            let mend = "write `when = { threshold = 1.0, needs = [\"signal\"], context = { link = 0.2 } }`";
            RuleError::new(&rule.file, rule.line, format!("rule `{}`: {}", rule.id, error.message()), mend)
        })?;
        if !(when.threshold.is_finite() && when.threshold > 0.0) {
            let problem = format!("rule `{}`: the threshold must be above 0", rule.id);
            return Err(RuleError::new(&rule.file, rule.line, problem, "1.0 is usual"));
        }
        if rule.id == TextRules::LEARNED {
            compiled.model_threshold = when.threshold;
            compiled.doubt = when.doubt.unwrap_or_default();
            compiled.lowered = when.lowered.unwrap_or_default();
        }
        compiled.rules.push(TextRule {
            id: rule.id.clone(),
            threshold: when.threshold,
            needs: when.needs,
            needed: Vec::new(),
            context: when.context,
            sure: when.sure,
        });
    }
    Ok(())
}

fn open(file: &RuleFile) -> Result<Source<'_>, RuleError> {
    let text = std::str::from_utf8(&file.bytes)
        .map_err(|_| RuleError::new(&file.path, 0, "the file is not UTF-8", "save it as UTF-8"))?;
    // `texts/pt/family.toml` is of language `pt`, `texts/x.toml` of none.
    let mut steps = file.path.split('/').skip(1);
    let language = match (steps.next(), steps.next()) {
        (Some(folder), Some(_)) => folder,
        _ => "",
    };
    let mut source = Source { path: &file.path, text, language, data: Data::default() };
    source.data = toml::from_str::<Document>(text)
        .map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(
                at,
                error.message(),
                "see the module page of guarita-rules::texts for the form of language data",
            )
        })?
        .data;
    Ok(source)
}

fn add_signal(
    compiled: &mut TextRules,
    atoms: &mut Atoms,
    classes: &HashMap<(&str, &str), (&Source<'_>, &Spanned<String>)>,
    source: &Source<'_>,
    signal: &Spanned<RawSignal>,
) -> Result<(), RuleError> {
    let at = signal.span().start;
    let raw = signal.get_ref();
    if raw.phrases.is_empty() {
        return Err(source.error(
            at,
            format!("signal `{}` has no phrase", raw.name),
            "add one, or take the signal out",
        ));
    }
    if !raw.weight.is_finite() || raw.weight == 0.0 {
        return Err(source.error(at, format!("signal `{}` weighs nothing", raw.name), "give it a weight like 0.5"));
    }
    let names: &[String] = match &raw.rule {
        OneOrMany::One(name) if name == "all" => &[],
        OneOrMany::One(name) => std::slice::from_ref(name),
        OneOrMany::Many(names) => names,
    };
    let mut rules = Vec::new();
    for name in names {
        let id = format!("texts/{name}");
        let Some(index) = compiled.rules.iter().position(|rule| rule.id == id) else {
            let problem = format!("signal `{}` is for rule `{name}`, which nobody wrote", raw.name);
            return Err(source.error(
                at,
                problem,
                format!("write a [[rule]] with id `{id}` and a `when`, or correct the name"),
            ));
        };
        rules.push(index as u16);
    }
    let not = if raw.negated || !classes.contains_key(&(source.language, "not")) {
        None
    } else {
        Some(atom_of(atoms, classes, source, at, "{not}")?)
    };
    let number =
        u16::try_from(compiled.signals.len()).map_err(|_| source.error(at, "too many signals", "join some of them"))?;
    compiled.signals.push(Signal { name: raw.name.clone(), weight: raw.weight, not, rules: rules.into() });
    for phrase in &raw.phrases {
        let sequence = read_phrase(atoms, classes, source, phrase)?;
        compiled.phrases.push(Phrase { signal: number, atoms: sequence.into() });
    }
    Ok(())
}

fn read_phrase(
    atoms: &mut Atoms,
    classes: &HashMap<(&str, &str), (&Source<'_>, &Spanned<String>)>,
    source: &Source<'_>,
    phrase: &Spanned<String>,
) -> Result<Vec<(u8, Atom)>, RuleError> {
    let at = phrase.span().start;
    let mut sequence = Vec::new();
    let (mut gap, mut span) = (0u8, 0usize);
    for element in phrase.get_ref().split_ascii_whitespace() {
        if let Some(number) = element.strip_prefix("..") {
            gap = number.parse().ok().filter(|gap| (1..=GAP_WORDS_MAX).contains(gap)).ok_or_else(|| {
                let mend = format!("write `..1` to `..{GAP_WORDS_MAX}`: how many words may stand between");
                source.error(at, format!("`{element}` is not a gap"), mend)
            })?;
            if sequence.is_empty() {
                return Err(source.error(at, "a phrase begins with a gap", "begin with a word"));
            }
            continue;
        }
        let atom = atom_of(atoms, classes, source, at, element)?;
        span += usize::from(gap) + 1;
        sequence.push((gap, atom));
        gap = 0;
    }
    if sequence.is_empty() || gap > 0 {
        return Err(source.error(at, "a phrase is empty or ends with a gap", "write words after the gap"));
    }
    if span > TextRules::PHRASE_SPAN_MAX || sequence.len() > ELEMENTS_MAX {
        let problem = format!("the phrase spans {span} words in {} elements", sequence.len());
        let mend = format!("keep to {} words and {ELEMENTS_MAX} elements", TextRules::PHRASE_SPAN_MAX);
        return Err(source.error(at, problem, mend));
    }
    Ok(sequence)
}

/// The atom of an element such as `{send}|mande`, made when it is new.
fn atom_of(
    atoms: &mut Atoms,
    classes: &HashMap<(&str, &str), (&Source<'_>, &Spanned<String>)>,
    source: &Source<'_>,
    at: usize,
    element: &str,
) -> Result<Atom, RuleError> {
    // A class is of a language; plain words and kinds are the same in all.
    let key = format!("{}:{element}", if element.contains('{') { source.language } else { "" });
    if let Some(atom) = atoms.by_key.get(&key) {
        return Ok(*atom);
    }
    let atom = atoms.by_key.len();
    if atom >= ATOMS_MAX {
        return Err(source.error(at, "the phrases name too many different words", "join some into classes"));
    }
    let atom = atom as Atom;
    for word in element.split('|') {
        if let Some(class) = word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
            let Some((home, words)) = classes.get(&(source.language, class)) else {
                let problem = format!("class `{class}` is not defined in language `{}`", source.language);
                return Err(source.error(at, problem, format!("add `{class} = \"…\"` under [data.words]")));
            };
            for word in words.get_ref().split_ascii_whitespace() {
                add_word(atoms, home, words.span().start, word, atom)?;
            }
        } else {
            add_word(atoms, source, at, word, atom)?;
        }
    }
    atoms.by_key.insert(key, atom);
    Ok(atom)
}

fn add_word(atoms: &mut Atoms, source: &Source<'_>, at: usize, word: &str, atom: Atom) -> Result<(), RuleError> {
    if let Some(name) = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
        let Some((kind, _)) = WordKind::ALL.iter().find(|(_, known)| *known == name) else {
            let known: Vec<&str> = WordKind::ALL.iter().map(|(_, name)| *name).collect();
            return Err(source.error(
                at,
                format!("`<{name}>` is not a kind of word"),
                format!("one of: {}", known.join(", ")),
            ));
        };
        atoms.kinds.push((*kind, atom));
        return Ok(());
    }
    let (stem, begin) = word.strip_suffix('*').map_or((word, false), |stem| (stem, true));
    if stem.is_empty() || !stem.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        let mend = "small letters a to z and digits, without accents; `*` only at the end";
        return Err(source.error(at, format!("`{word}` is not a word as texts are compared"), mend));
    }
    atoms.words.push((stem.to_owned(), begin, atom));
    Ok(())
}

/// Gives each shortened word the atoms of the words it stands for.
fn shorten(atoms: &mut Atoms, sources: &[Source<'_>]) -> Result<(), RuleError> {
    let mut more = Vec::new();
    for source in sources {
        for (short, full) in &source.data.short {
            if !short.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
                let problem = format!("`{short}` is not a word as texts are compared");
                return Err(source.error(full.span().start, problem, "small letters a to z and digits"));
            }
            for word in full.get_ref().split_ascii_whitespace() {
                for (stem, begin, atom) in &atoms.words {
                    if stem == word || *begin && word.starts_with(stem.as_str()) {
                        more.push((short.clone(), false, *atom));
                    }
                }
            }
        }
    }
    atoms.words.extend(more);
    Ok(())
}
