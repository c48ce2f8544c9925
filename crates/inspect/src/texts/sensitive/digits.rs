//! Digits of a text in whatever font, grouped as they stand, with what parts the groups.

use crate::texts::fold::{digit, is_invisible};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// Words, or too much else: two numbers.
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
}

impl Groups {
    pub fn of(text: &str) -> Groups {
        let mut groups = Groups::default();
        let mut open: Option<Group> = None;
        // What was seen since the last group: its tie so far, and how many characters.
        let (mut tie, mut between) = (Tie::None, 0usize);
        let mut last_was_letter = false;
        for (at, c) in text.char_indices() {
            if let Some(value) = digit(c) {
                groups.digits.push(value);
                let end = at + c.len_utf8();
                match &mut open {
                    Some(group) => {
                        group.last += 1;
                        group.end = end;
                    }
                    None => {
                        let first = groups.digits.len() - 1;
                        let tie = if groups.list.is_empty() { Tie::None } else { tie };
                        let group = Group {
                            first,
                            last: first + 1,
                            start: at,
                            end,
                            glued_before: last_was_letter,
                            glued_after: false,
                            tie,
                        };
                        open = Some(group);
                    }
                }
                last_was_letter = false;
                continue;
            }
            if is_invisible(c) {
                // The sign that makes a key cap of a digit belongs to the digit.
                if let Some(group) = &mut open {
                    group.end = at + c.len_utf8();
                }
                continue;
            }
            let letter = c.is_alphanumeric();
            if let Some(mut group) = open.take() {
                group.glued_after = letter;
                groups.list.push(group);
                (tie, between) = (tie_of(c), 1);
            } else if between < SEPARATOR_CHARS_MAX && tie != Tie::None {
                tie = join(tie, tie_of(c));
                between += 1;
            } else {
                tie = Tie::None;
            }
            last_was_letter = letter;
        }
        groups.list.extend(open);
        groups
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
