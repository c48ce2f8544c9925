//! Which signals a text gives, and which rules they add up to.

use super::words::{Word, Words};
use guarita_rules::texts::{Atom, TextRules, WordKind};

/// What hostile text may make a match cost: comparisons of one word with one element of a phrase. An ordinary message
/// takes some hundreds; text that repeats the first words of phrases ends here, and what stands behind goes unheard.
const COMPARISONS_MAX: u32 = 2_000_000;
/// Beyond this many words the same signals say less: a page of news has room for all of them.
const SHORT_WORDS: usize = 70;
/// A phrase does not count when one of this many words before it, in its sentence, denies it.
const DENIAL_WORDS: usize = 2;

/// The message around a text, as far as a rule may weigh it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    pub forwarded: bool,
    pub frequently_forwarded: bool,
    pub first_contact: bool,
    pub link: bool,
    pub attachment: bool,
}

/// A rule at this part of its threshold may speak where the learned score agrees.
pub(super) const SUPPORTED: f32 = 0.55;

/// A rule that speaks, or comes near it.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    /// Index into [`TextRules::rules`].
    pub rule: usize,
    /// Sum of the weights over the rule's threshold; 1 and above speaks.
    pub strength: f32,
    /// Where its signals stand in the text, in order.
    pub spans: Vec<(usize, usize)>,
}

/// By signal: where it was first heard, in bytes.
pub(super) type Heard = Vec<Option<(usize, usize)>>;

/// Every rule with the strength it reaches, those that speak and those that do not; `spans` only from [`SUPPORTED`] on.
pub(super) fn add_up(words: &Words, heard: &Heard, around: Around, rules: &TextRules) -> Vec<Spoken> {
    let damped = (SHORT_WORDS as f32 / words.list.len().max(SHORT_WORDS) as f32).powf(0.25);
    const ALL: u16 = u16::MAX;
    let mut counted: Vec<(u16, &str)> = Vec::with_capacity(32);
    let mut sums = vec![0f32; rules.rules.len()];
    let mut has_needed: Vec<bool> = rules.rules.iter().map(|rule| rule.needed.is_empty()).collect();
    for (index, span) in heard.iter().enumerate() {
        if span.is_none() {
            continue;
        }
        let signal = &rules.signals[index];
        // What two languages call the same counts once.
        let is_new = |rule: u16, counted: &[(u16, &str)]| !counted.contains(&(rule, signal.name.as_str()));
        if signal.rules.is_empty() && is_new(ALL, &counted) {
            counted.push((ALL, &signal.name));
            sums.iter_mut().for_each(|sum| *sum += signal.weight);
        }
        for rule in &signal.rules {
            if is_new(*rule, &counted) {
                counted.push((*rule, &signal.name));
                sums[*rule as usize] += signal.weight;
            }
        }
        for (rule, has) in rules.rules.iter().zip(&mut has_needed) {
            *has |= rule.needed.contains(&(index as u16));
        }
    }
    let mut spoken = Vec::new();
    for (index, rule) in rules.rules.iter().enumerate() {
        // Context alone says nothing.
        if sums[index] <= 0.0 || !has_needed[index] || rule.id == TextRules::LEARNED {
            continue;
        }
        let context = [
            (around.forwarded, rule.context.forwarded),
            (around.frequently_forwarded, rule.context.frequently_forwarded),
            (around.first_contact, rule.context.first_contact),
            (around.link, rule.context.link),
            (around.attachment, rule.context.attachment),
        ];
        let context: f32 = context.iter().filter(|(is, _)| *is).map(|(_, weight)| weight).sum();
        let strength = damped * (sums[index] + context) / rule.threshold;
        let mut spans: Vec<(usize, usize)> = Vec::new();
        if strength >= SUPPORTED {
            for (signal, _) in rules.signals_of(index).filter(|(_, signal)| signal.weight > 0.0) {
                spans.extend(heard[signal]);
            }
            spans.sort_unstable();
        }
        spoken.push(Spoken { rule: index, strength, spans });
    }
    spoken
}

/// Listens for every signal.
pub(super) fn listen(words: &Words, rules: &TextRules) -> Heard {
    let atoms = WordAtoms::of(words, rules);
    let mut heard: Heard = vec![None; rules.signals.len()];
    let mut left = COMPARISONS_MAX;
    for at in 0..words.list.len() {
        for atom in atoms.of_word(at) {
            for phrase in &rules.starts[*atom as usize] {
                let phrase = &rules.phrases[*phrase as usize];
                if heard[phrase.signal as usize].is_some()
                    || !phrase.atoms.iter().all(|(_, atom)| atoms.anywhere(*atom))
                {
                    continue;
                }
                let Some(last) = find(&phrase.atoms, at, &atoms, &mut left) else { continue };
                let signal = &rules.signals[phrase.signal as usize];
                // A heading like `[Golpe]:` excuses nothing of what stands below it.
                let idle = signal.weight < 0.0 && words.list[at].heading;
                if idle || signal.not.is_some_and(|not| is_denied(words, &atoms, at, not)) {
                    continue;
                }
                heard[phrase.signal as usize] = Some((words.list[at].start, words.list[last].end));
            }
        }
        if left == 0 {
            break;
        }
    }
    heard
}

/// The index of the last word of the phrase that begins at word `at`, if it stands there.
fn find(sequence: &[(u8, Atom)], at: usize, atoms: &WordAtoms, left: &mut u32) -> Option<usize> {
    // Bit n: the elements so far can end at word `at + n`. Phrases span fewer words than the mask has bits.
    let mut ends = 1u64;
    for (gap, atom) in &sequence[1..] {
        let mut candidates = 0u64;
        for step in 1..=u32::from(*gap) + 1 {
            candidates |= ends << step;
        }
        ends = 0;
        while candidates != 0 {
            let bit = candidates.trailing_zeros();
            candidates &= candidates - 1;
            *left = left.checked_sub(1)?;
            let word = at + bit as usize;
            if word >= atoms.count() {
                break;
            }
            if atoms.of_word(word).contains(atom) {
                ends |= 1 << bit;
            }
        }
        if ends == 0 {
            return None;
        }
    }
    Some(at + ends.trailing_zeros() as usize)
}

fn is_denied(words: &Words, atoms: &WordAtoms, at: usize, not: Atom) -> bool {
    let sentence = words.list[at].sentence;
    // A comma ends what a denial covers: `para não perder, envie o código`.
    (at.saturating_sub(DENIAL_WORDS)..at)
        .rev()
        .take_while(|i| words.list[*i].sentence == sentence && words.list[*i].after != b',')
        .any(|i| atoms.of_word(i).contains(&not))
}

/// The atoms of each word.
struct WordAtoms {
    flat: Vec<Atom>,
    /// `flat[ends[i - 1]..ends[i]]` belongs to word `i`.
    ends: Vec<u32>,
    /// Bit n: some word has atom n.
    any: Vec<u64>,
}

impl WordAtoms {
    fn of(words: &Words, rules: &TextRules) -> WordAtoms {
        let mut flat: Vec<Atom> = Vec::with_capacity(words.list.len() * 2);
        let mut ends = Vec::with_capacity(words.list.len());
        for (i, word) in words.list.iter().enumerate() {
            let from = flat.len();
            rules.lexicon.look_up_kinds(word.kinds, &mut flat);
            rules.lexicon.look_up(words.text(word), &mut flat);
            words.variants(word, |variant| rules.lexicon.look_up(variant, &mut flat));
            if let Some(parted) = parted(words, i, word) {
                rules.lexicon.look_up(&parted, &mut flat);
            }
            flat[from..].sort_unstable();
            let mut kept = from;
            for i in from..flat.len() {
                if i == from || flat[i] != flat[kept - 1] {
                    flat[kept] = flat[i];
                    kept += 1;
                }
            }
            flat.truncate(kept);
            ends.push(flat.len() as u32);
        }
        let mut any = vec![0u64; rules.lexicon.atoms() / 64 + 1];
        for atom in &flat {
            any[*atom as usize / 64] |= 1 << (atom % 64);
        }
        WordAtoms { flat, ends, any }
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    fn of_word(&self, i: usize) -> &[Atom] {
        let from = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.flat[from..self.ends[i] as usize]
    }

    fn anywhere(&self, atom: Atom) -> bool {
        self.any[atom as usize / 64] & (1 << (atom % 64)) != 0
    }
}

/// A word that a dot or star parts in two (`có.digo`) is looked up whole as well.
fn parted(words: &Words, i: usize, word: &Word) -> Option<String> {
    let next = words.list.get(i + 1)?;
    if next.start != word.end + 1 || word.kinds != 0 || next.kinds & !(1 << WordKind::Number as u16) != 0 {
        return None;
    }
    let (first, second) = (words.text(word), words.text(next));
    (words.parted_by(word, next) && first.len() + second.len() <= 16).then(|| format!("{first}{second}"))
}
