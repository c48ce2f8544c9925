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
    let forms = forms_of(words)?;
    let mut grams: Vec<(u64, f32, (usize, usize))> = Vec::with_capacity(forms.len() * 5);
    each_gram(&forms, |_, hash, span| grams.push((hash, model.weight(hash), span)));
    // Each feature counts once, wherever it stands; the first place is shown.
    grams.sort_unstable_by_key(|(hash, _, span)| (*hash, span.0));
    grams.dedup_by_key(|(hash, ..)| *hash);
    let length = (grams.len() as f32).sqrt();
    let mut sum: f32 = grams.iter().map(|(_, weight, _)| weight).sum::<f32>() / length + model.bias;
    each_signal(words, heard, spoken, rules, |_, hash| sum += model.weight(hash) * SIGNAL_SCALE);
    if grams.len() > REASONS_MAX {
        grams.select_nth_unstable_by(REASONS_MAX, |a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
    }
    let mut reasons: Vec<(usize, usize)> =
        grams.iter().take(REASONS_MAX).filter(|(_, weight, _)| *weight > 0.0).map(|(.., span)| *span).collect();
    reasons.sort_unstable();
    Some(Scored { score: 1.0 / (1.0 + (-sum).exp()), reasons })
}

/// A feature of a text: its form (`Grams` as a number) and its hash.
pub type Feature = (u8, u64);

/// What the scorer sees in a text: the features of its words, and those that are not shortened. Both are empty where there are
/// too few words. The training script learns from these, so that use and training cannot drift apart.
pub fn training_features(text: &str, rules: &TextRules) -> (Vec<Feature>, Vec<Feature>) {
    let words = Words::of(text);
    let heard = signals::listen(&words, rules);
    let around = Around { link: words.list.iter().any(|word| word.is(WordKind::Link)), ..Around::default() };
    let spoken = signals::add_up(&words, &heard, around, rules);
    let (mut grams, mut others) = (Vec::new(), Vec::new());
    if let Some(forms) = forms_of(&words) {
        each_gram(&forms, |form, hash, _| grams.push((form as u8, hash)));
        each_signal(&words, &heard, &spoken, rules, |form, hash| others.push((form as u8, hash)));
    }
    grams.sort_unstable();
    grams.dedup();
    (grams, others)
}

/// The words as the scorer sees them; `None` where they are too few.
fn forms_of(words: &Words) -> Option<Vec<(&Word, &str)>> {
    let forms: Vec<(&Word, &str)> =
        words.list.iter().take(WORDS_MAX).filter_map(|word| Some((word, form(words, word)?))).collect();
    (forms.len() >= WORDS_MIN).then_some(forms)
}

/// Signals by name, whatever their language, each once; the strength of the strongest rule; the style.
fn each_signal(words: &Words, heard: &Heard, spoken: &[Spoken], rules: &TextRules, mut with: impl FnMut(Grams, u64)) {
    let mut names: Vec<&str> = heard
        .iter()
        .zip(&rules.signals)
        .filter(|(span, _)| span.is_some())
        .map(|(_, signal)| signal.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut give = |form: Grams, words: &[&str]| with(form, gram_hash(form, words));
    names.iter().for_each(|name| give(Grams::Signal, &[name]));
    let strongest = spoken.iter().map(|rule| rule.strength).fold(0.0, f32::max);
    // Each tenth reached counts, so that more is never less.
    const STEPS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
    for step in STEPS.iter().take((strongest.min(1.2) * 10.0 + 0.01) as usize) {
        give(Grams::Strength, &[step]);
    }
    each_style(words, |style| give(Grams::Style, &[style]));
}

/// Customers ask, swindlers shout; and a short text has room for fewer signs than a long one.
fn each_style(words: &Words, mut with: impl FnMut(&str)) {
    const LENGTHS: [(usize, &str); 6] = [(6, "n6"), (10, "n10"), (16, "n16"), (25, "n25"), (40, "n40"), (80, "n80")];
    let (mut asked, mut shouted, mut capitals) = (0, 0, 0);
    for word in words.list.iter().filter(|word| !word.heading) {
        asked += usize::from(word.after == b'?');
        shouted += usize::from(word.after == b'!');
        capitals += usize::from(word.capital);
    }
    let steps = [(asked, 0, "q1"), (asked, 1, "q2"), (shouted, 0, "x1"), (shouted, 1, "x2")];
    let steps = steps.into_iter().chain([(capitals, 0, "caps1"), (capitals, 2, "caps3")]);
    steps.filter(|(count, above, _)| count > above).for_each(|(.., name)| with(name));
    if words.list.last().is_some_and(|word| word.after == b'?') {
        with("ends-asking");
    }
    LENGTHS.iter().filter(|(least, _)| words.list.len() > *least).for_each(|(_, name)| with(name));
}

/// A word's spelling, or its kind where the spelling says nothing.
fn form<'a>(words: &'a Words, word: &Word) -> Option<&'a str> {
    let text = words.text(word);
    // News and friends send links as much as swindlers do; the rules weigh them where they matter. A heading in brackets is
    // the habit of a collection, not of who speaks.
    if word.is(WordKind::Link) || word.heading {
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

/// Every feature of the words, with its bytes.
fn each_gram(forms: &[(&Word, &str)], mut with: impl FnMut(Grams, u64, (usize, usize))) {
    let mut give = |form: Grams, words: &[&str], span| with(form, gram_hash(form, words), span);
    for (i, (word, form)) in forms.iter().enumerate() {
        let span = (word.start, word.end);
        give(Grams::Word, &[form], span);
        give(Grams::Stem, &[stem(form)], span);
        if word.after == b'?' || word.after == b'!' {
            give(Grams::Mark, &[stem(form), if word.after == b'?' { "?" } else { "!" }], span);
        }
        if let Some((next, other)) = forms.get(i + 1) {
            give(Grams::Pair, &[stem(form), stem(other)], (word.start, next.end));
        }
        if let Some((next, other)) = forms.get(i + 2) {
            give(Grams::Skip, &[stem(form), stem(other)], (word.start, next.end));
        }
    }
}
