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

/// The words right before byte `at`, folded, the nearest first; no more than `count`.
fn words_before(text: &str, at: usize, count: usize) -> Vec<String> {
    const BYTES: usize = 60;
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
