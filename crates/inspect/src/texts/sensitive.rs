//! What customers should not send: card and identity numbers, passwords, one-time codes, keys.
//!
//! Everything here runs over the whole text, whatever its length, in one pass a kind. A finding's span is what a
//! redaction has to replace; its evidence never holds the secret.

mod cards;
mod digits;
mod identity;
mod secrets;

use super::words::{Words, boundary_before};
use digits::Groups;

/// At most so many findings of a kind come from one text; what is left of its cards goes into one last, wide span.
const SPANS_MAX: usize = 100;

/// Something that should not have been sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sensitive {
    /// Id of the rule that names it: `texts/card-number`.
    pub rule: &'static str,
    pub span: (usize, usize),
    /// Masked.
    pub evidence: String,
}

/// Finds everything sensitive in `text`, in order of place.
pub(super) fn find(text: &str, words: &Words) -> Vec<Sensitive> {
    let groups = Groups::of(text);
    let mut found = Vec::new();
    cards::find(text, &groups, &mut found);
    identity::find(text, &groups, &mut found);
    secrets::find(text, words, &mut found);
    found.sort_by_key(|one| (one.span.0, std::cmp::Reverse(one.span.1)));
    found
}

/// So many times the words before a number are read, in one text. Nobody writes that many numbers; a text of nothing else
/// would cost half a second. Beyond it a number is taken for what its digits say, and what only a word names goes unseen.
const WORDS_READ_MAX: usize = 4_000;

/// The words right before byte `at`, folded, the nearest first; no more than `count`.
fn words_before(text: &str, groups: &Groups, at: usize, count: usize) -> Vec<String> {
    const BYTES: usize = 60;
    let read = groups.words_read.get();
    if read >= WORDS_READ_MAX {
        return Vec::new();
    }
    groups.words_read.set(read + 1);
    let from = boundary_before(text, at.saturating_sub(BYTES));
    let words = Words::of(&text[from..at]);
    words.list.iter().rev().take(count).map(|word| words.text(word).to_owned()).collect()
}

/// Whether one of `words` (exact, or a beginning that ends in `*`) is among `seen`; its distance.
fn nearest(seen: &[String], words: &[&str]) -> Option<usize> {
    seen.iter().position(|word| {
        words.iter().any(|known| known.strip_suffix('*').map_or(word == known, |begin| word.starts_with(begin)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_before_so_many_numbers() {
        let rules = |text: &str| find(text, &Words::of(text)).iter().map(|one| one.rule).collect::<Vec<_>>();
        let ends = "cvv 123, 4111111111111111";
        assert_eq!(rules(ends), ["texts/card-cvv", "texts/card-number"]);
        // The value goes unseen; the card shows itself.
        let many = format!("{}{ends}", "999 ".repeat(WORDS_READ_MAX));
        assert_eq!(rules(&many), ["texts/card-number"]);
    }
}
