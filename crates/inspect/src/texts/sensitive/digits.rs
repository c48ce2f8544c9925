//! Digits of a text in whatever font, grouped as they stand, with what parts the groups.

use crate::texts::fold::{digit, is_invisible};
use std::cell::Cell;

/// Characters that may part two groups of one number, at most.
const SEPARATOR_CHARS_MAX: usize = 3;

/// Digits without anything visible between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// Range in [`Groups::digits`].
    pub first: usize,
    pub last: usize,
    /// Bytes in the text.
    pub start: usize,
    pub end: usize,
    /// A letter stands right before, right after it.
    pub glued_before: bool,
    pub glued_after: bool,
    /// How it is tied to the group before it.
    pub tie: Tie,
}

/// What stands between two groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tie {
    /// Words, or too much else: two numbers.
    #[default]
    None,
    Space,
    Line,
    Dot,
    Dash,
    Slash,
    /// Something else that people put between digits: `*`, `|`, `_`.
    Other,
    Comma,
}

impl Group {
    pub fn len(&self) -> usize {
        self.last - self.first
    }
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    pub digits: Vec<u8>,
    pub list: Vec<Group>,
    /// How often the words before one of them were read.
    pub words_read: Cell<usize>,
}

impl Groups {
    pub fn of(text: &str) -> Groups {
        let bytes = text.as_bytes();
        let mut reader = Reader::default();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte.is_ascii_digit() {
                reader.digit(byte - b'0', at, at + 1);
                at += 1;
            } else if byte.is_ascii() {
                if reader.is_idle() {
                    // Most of most texts: nothing here ties numbers to each other.
                    let rest = &bytes[at..];
                    let run = rest.iter().position(|b| b.is_ascii_digit() || !b.is_ascii()).unwrap_or(rest.len());
                    at += run;
                    reader.last_was_letter = bytes[at - 1].is_ascii_alphanumeric();
                } else {
                    reader.other(char::from(byte), byte.is_ascii_alphanumeric());
                    at += 1;
                }
            } else {
                let c = text[at..].chars().next().unwrap_or('\u{fffd}');
                let end = at + c.len_utf8();
                match digit(c) {
                    Some(value) => reader.digit(value, at, end),
                    None if is_invisible(c) => reader.invisible(end),
                    None => reader.other(c, c.is_alphanumeric()),
                }
                at = end;
            }
        }
        reader.groups.list.extend(reader.open);
        reader.groups
    }

    /// How many digits stand in the group at `at` and the `count - 1` after it, tied or not.
    pub fn digits_within(&self, at: usize, count: usize) -> usize {
        let last = (at + count).min(self.list.len()) - 1;
        self.list[last].last - self.list[at].first
    }

    pub fn of_group(&self, group: &Group) -> &[u8] {
        &self.digits[group.first..group.last]
    }

    /// Digits of the groups `from..to`.
    pub fn between(&self, from: usize, to: usize) -> &[u8] {
        &self.digits[self.list[from].first..self.list[to - 1].last]
    }

    /// Lengths of the groups `from..to` are those of `shape`, tied to each other.
    pub fn has_shape(&self, from: usize, shape: &[usize]) -> bool {
        self.list.get(from..from + shape.len()).is_some_and(|groups| {
            groups.iter().zip(shape).all(|(group, length)| group.len() == *length)
                && groups[1..].iter().all(|group| !matches!(group.tie, Tie::None | Tie::Comma) && !group.glued_before)
        })
    }
}

#[derive(Default)]
struct Reader {
    groups: Groups,
    open: Option<Group>,
    /// What was seen since the last group: its tie so far, and how many characters.
    tie: Tie,
    between: usize,
    last_was_letter: bool,
}

impl Reader {
    /// Whether only a digit, or a sign that belongs to one, changes anything.
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.tie == Tie::None
    }

    fn digit(&mut self, value: u8, at: usize, end: usize) {
        self.groups.digits.push(value);
        match &mut self.open {
            Some(group) => {
                group.last += 1;
                group.end = end;
            }
            None => {
                let first = self.groups.digits.len() - 1;
                self.open = Some(Group {
                    first,
                    last: first + 1,
                    start: at,
                    end,
                    glued_before: self.last_was_letter,
                    glued_after: false,
                    tie: self.tie,
                });
            }
        }
        self.last_was_letter = false;
    }

    /// The sign that makes a key cap of a digit belongs to the digit.
    fn invisible(&mut self, end: usize) {
        if let Some(group) = &mut self.open {
            group.end = end;
        }
    }

    fn other(&mut self, c: char, letter: bool) {
        if let Some(mut group) = self.open.take() {
            group.glued_after = letter;
            self.groups.list.push(group);
            (self.tie, self.between) = (if letter { Tie::None } else { tie_of(c) }, 1);
        } else if self.between < SEPARATOR_CHARS_MAX && self.tie != Tie::None {
            self.tie = join(self.tie, tie_of(c));
            self.between += 1;
        } else {
            self.tie = Tie::None;
        }
        self.last_was_letter = letter;
    }
}

fn tie_of(c: char) -> Tie {
    match c {
        '\n' | '\r' | '\u{2028}' | '\u{2029}' => Tie::Line,
        '.' | '·' | '•' | '․' => Tie::Dot,
        '-' | '–' | '—' | '‐' | '‑' | '−' | '﹣' | '－' => Tie::Dash,
        '/' | '\\' | '⁄' => Tie::Slash,
        ',' | ';' => Tie::Comma,
        '_' | '*' | '|' | '~' | '+' | ':' | '(' | ')' | '[' | ']' | '=' => Tie::Other,
        _ if c.is_whitespace() => Tie::Space,
        // Emoji and the like between digits part them for nobody who reads.
        _ if !c.is_alphanumeric() => Tie::Other,
        _ => Tie::None,
    }
}

/// Spaces around another sign leave it that sign.
fn join(first: Tie, second: Tie) -> Tie {
    match (first, second) {
        (Tie::None, _) | (_, Tie::None) => Tie::None,
        (Tie::Space, other) => other,
        (other, Tie::Space) => other,
        (Tie::Line, _) | (_, Tie::Line) => Tie::Line,
        (one, other) if one == other => one,
        _ => Tie::Other,
    }
}
