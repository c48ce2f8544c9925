//! The learned scorer: how much a text reads like the scams it was trained on, and which words say so.

use super::signals::{self, Around, Heard, Spoken};
use super::words::{Word, Words};
use guarita_rules::texts::{Grams, TextModel, TextRules, WordKind, gram_hash};

/// Longer texts are scored by their first words: a model of short messages has nothing to say about essays.
const WORDS_MAX: usize = 400;
/// Below this many words there is too little to go by.
const WORDS_MIN: usize = 4;
const STEM_CHARS: usize = 5;
/// How many of the strongest reasons are named.
const REASONS_MAX: usize = 4;

/// A score from 0 to 1 and where its strongest reasons stand in the text, in order.
#[derive(Debug)]
pub(super) struct Scored {
    pub score: f32,
    pub reasons: Vec<(usize, usize)>,
}

/// What one signal weighs beside the words, whose weights are divided by the root of their number.
const SIGNAL_SCALE: f32 = 0.25;

/// Scores `words` with what the rules heard in them; `None` where they are too few.
pub(super) fn score(
    words: &Words,
    heard: &Heard,
    spoken: &[Spoken],
    rules: &TextRules,
    model: &TextModel,
) -> Option<Scored> {
    let forms: Vec<(&Word, &str)> =
        words.list.iter().take(WORDS_MAX).filter_map(|word| Some((word, form(words, word)?))).collect();
    if forms.len() < WORDS_MIN {
        return None;
    }
    let mut grams: Vec<(u64, f32, (usize, usize))> = Vec::with_capacity(forms.len() * 4);
    each_gram(&forms, |hash, span| grams.push((hash, model.weight(hash), span)));
    // Each feature counts once, wherever it stands; the first place is shown.
    grams.sort_by_key(|(hash, _, span)| (*hash, span.0));
    grams.dedup_by_key(|(hash, ..)| *hash);
    let length = (grams.len() as f32).sqrt();
    let mut sum: f32 = grams.iter().map(|(_, weight, _)| weight).sum::<f32>() / length + model.bias;
    each_signal(heard, spoken, rules, |form, name| sum += model.weight(gram_hash(form, &[name])) * SIGNAL_SCALE);
    grams.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut reasons: Vec<(usize, usize)> =
        grams.iter().take(REASONS_MAX).filter(|(_, weight, _)| *weight > 0.0).map(|(.., span)| *span).collect();
    reasons.sort_unstable();
    Some(Scored { score: 1.0 / (1.0 + (-sum).exp()), reasons })
}

/// The words as the scorer sees them, and the signals; the training script reads them so.
pub fn training_words(text: &str, rules: &TextRules) -> (Vec<String>, Vec<String>) {
    let words = Words::of(text);
    let heard = signals::listen(&words, rules);
    let around = Around { link: words.list.iter().any(|word| word.is(WordKind::Link)), ..Around::default() };
    let spoken = signals::add_up(&words, &heard, around, rules);
    let forms = words.list.iter().take(WORDS_MAX).filter_map(|word| form(&words, word)).map(str::to_owned).collect();
    let mut names = Vec::new();
    each_signal(&heard, &spoken, rules, |form, name| names.push(format!("{}:{name}", form as u8)));
    (forms, names)
}

/// Signals by rule and name, whatever their language, each once; then the strength of the strongest rule.
fn each_signal(heard: &Heard, spoken: &[Spoken], rules: &TextRules, mut with: impl FnMut(Grams, &str)) {
    let mut names: Vec<&str> = heard
        .iter()
        .zip(&rules.signals)
        .filter(|(span, _)| span.is_some())
        .map(|(_, signal)| signal.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().for_each(|name| with(Grams::Signal, name));
    let strongest = spoken.iter().map(|rule| rule.strength).fold(0.0, f32::max);
    // Each tenth reached counts, so that more is never less.
    const STEPS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
    for step in STEPS.iter().take((strongest.min(1.2) * 10.0 + 0.01) as usize) {
        with(Grams::Strength, step);
    }
}

/// A word's spelling, or its kind where the spelling says nothing.
fn form<'a>(words: &'a Words, word: &Word) -> Option<&'a str> {
    let text = words.text(word);
    // News and friends send links as much as swindlers do; the rules weigh them where they matter.
    if word.is(WordKind::Link) {
        return None;
    }
    match (word.is(WordKind::Number), word.is(WordKind::Money)) {
        (true, true) => Some("$0"),
        (true, false) if word.is(WordKind::Percent) => Some("0%"),
        (true, false) => Some(match text.len() {
            1 => "0",
            2 => "00",
            3 => "000",
            4..=6 => "0000",
            _ => "0000000",
        }),
        // The sign itself: the amount beside it says it.
        (false, true) => None,
        (false, false) => Some(text),
    }
}

fn stem(word: &str) -> &str {
    word.char_indices().nth(STEM_CHARS).map_or(word, |(at, _)| &word[..at])
}

/// Every feature with its bytes; mirrored in `training/texts/train.py`.
fn each_gram(forms: &[(&Word, &str)], mut with: impl FnMut(u64, (usize, usize))) {
    for (i, (word, form)) in forms.iter().enumerate() {
        let span = (word.start, word.end);
        with(gram_hash(Grams::Word, &[form]), span);
        with(gram_hash(Grams::Stem, &[stem(form)]), span);
        if let Some((next, other)) = forms.get(i + 1) {
            with(gram_hash(Grams::Pair, &[stem(form), stem(other)]), (word.start, next.end));
        }
        if let Some((next, other)) = forms.get(i + 2) {
            with(gram_hash(Grams::Skip, &[stem(form), stem(other)]), (word.start, next.end));
        }
    }
}
