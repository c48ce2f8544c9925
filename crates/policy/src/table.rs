//! The table of lines, read from TOML and checked.
//!
//! ```toml
//! [[line]]
//! name = "malicious-file"                   # shown as the reason of a decision
//! finding = { subject = "file", severity = ["high", "critical"] }
//! action = "withhold"                       # or a list: ["annotate", "defang"]
//! quarantine = true
//!
//! [[line]]
//! name = "encrypted-archive"
//! gap = { reason = ["encrypted"], class = ["archive"] }
//! action = "withhold"
//! ```
//! A line has either `finding` or `gap`. Each key of it narrows; a list means "any of these"; `*` in `rule`, `place`,
//! `account` and `sender` stands for any characters. The first line that fits a finding or gap decides for it.

use guarita_message::{Category, FileClass, GapReason, Severity, Subject};
use serde::Deserialize;
use std::fmt;

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    Pass,
    Annotate,
    Defang,
    Redact,
    Withhold,
    /// Look again until the scan deadline, then do what `policy.on_deadline` says.
    Hold,
    /// The message goes on; the file behind it is not served.
    NotServe,
}

/// `policy.on_deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    #[default]
    Withhold,
    /// The file goes on unscanned, annotated as such.
    Pass,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub name: String,
    #[serde(default)]
    pub finding: Option<OnFinding>,
    #[serde(default)]
    pub gap: Option<OnGap>,
    pub action: OneOrMore<Does>,
    /// Keep the original for `storage.quarantine_days`.
    #[serde(default)]
    pub quarantine: bool,
    /// Only messages to these numbers, pages or accounts.
    #[serde(default)]
    pub account: OneOrMore<String>,
    /// Only messages from these senders (any of the sender's names fits).
    #[serde(default)]
    pub sender: OneOrMore<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnFinding {
    #[serde(default)]
    pub subject: OneOrMore<Subject>,
    #[serde(default)]
    pub category: OneOrMore<Category>,
    #[serde(default)]
    pub severity: OneOrMore<Severity>,
    #[serde(default)]
    pub rule: OneOrMore<String>,
    #[serde(default)]
    pub place: OneOrMore<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnGap {
    #[serde(default)]
    pub reason: OneOrMore<GapReason>,
    #[serde(default)]
    pub class: OneOrMore<FileClass>,
    #[serde(default)]
    pub scanner: OneOrMore<String>,
    #[serde(default)]
    pub place: OneOrMore<String>,
    /// Only if this scanner looked at the file all the same (`clamav`).
    #[serde(default)]
    pub scanned_by: OneOrMore<String>,
}

/// A single value or a list of them; empty means "any".
#[derive(Clone, Debug, PartialEq)]
pub enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

// By hand, because an untagged enum would answer a misspelt word with "did not match any variant".
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = OneOrMore<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a list of words")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::StrDeserializer::new(word)).map(OneOrMore::One)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut more = Vec::new();
                while let Some(one) = seq.next_element()? {
                    more.push(one);
                }
                Ok(OneOrMore::More(more))
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        OneOrMore::More(Vec::new())
    }
}

impl<T> OneOrMore<T> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

impl<T: PartialEq> OneOrMore<T> {
    pub(crate) fn fits(&self, value: &T) -> bool {
        self.as_slice().is_empty() || self.as_slice().contains(value)
    }
}

impl OneOrMore<String> {
    pub(crate) fn fits_glob(&self, value: &str) -> bool {
        self.as_slice().is_empty() || self.as_slice().iter().any(|pattern| glob(pattern, value))
    }
}

/// `*` stands for any characters, everything else for itself. Linear in `value` for each `*`.
pub(crate) fn glob(pattern: &str, value: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == value };
    let Some(mut value) = value.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match value.find(piece) {
            Some(at) => value = &value[at + piece.len()..],
            None => return false,
        }
    }
    value.ends_with(last)
}

/// The lines in force, the operator's first.
#[derive(Clone, Debug)]
pub struct Policy {
    pub lines: Vec<Line>,
    pub on_deadline: OnDeadline,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    line: Vec<toml::Spanned<Line>>,
}

/// Whoever wrote the file is at fault; a retry cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    pub file: String,
    pub line: usize,
    pub problem: String,
    pub mend: &'static str,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n  mend: {}", self.file, self.line, self.problem, self.mend)
    }
}

impl Policy {
    /// `files` are (name, text), the ones that override first.
    pub fn read(files: &[(&str, &str)], on_deadline: OnDeadline) -> Result<Policy, PolicyError> {
        let mut lines = Vec::new();
        for (file, text) in files {
            lines.extend(read_lines(file, text)?);
        }
        Ok(Policy { lines, on_deadline })
    }
}

fn read_lines(file: &str, text: &str) -> Result<Vec<Line>, PolicyError> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let problem =
        |at: usize, problem: String, mend| PolicyError { file: file.into(), line: line_of(at), problem, mend };
    let document: Document = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        problem(at, error.message().to_owned(), "see rules/policy/default.toml for the keys a line may have")
    })?;
    let mut lines: Vec<Line> = Vec::new();
    for spanned in document.line {
        let at = spanned.span().start;
        let line = spanned.into_inner();
        let does = line.action.as_slice();
        if line.finding.is_some() == line.gap.is_some() {
            let text = format!("line `{}` must have either `finding` or `gap`", line.name);
            return Err(problem(at, text, "write finding = { … } or gap = { … }, one of them"));
        }
        if does.is_empty() {
            return Err(problem(
                at,
                format!("line `{}` asks for nothing", line.name),
                "action = \"annotate\", for one",
            ));
        }
        if line.finding.is_some() && (does.contains(&Does::Hold) || does.contains(&Does::NotServe)) {
            let text = format!("line `{}` asks a finding to wait", line.name);
            return Err(problem(at, text, "`hold` and `not_serve` are for gaps; use `withhold`"));
        }
        if line.gap.is_some() && (does.contains(&Does::Defang) || does.contains(&Does::Redact)) {
            let text = format!("line `{}` asks a gap to change a text", line.name);
            return Err(problem(at, text, "`defang` and `redact` are for findings"));
        }
        if lines.iter().any(|other| other.name == line.name) {
            return Err(problem(at, format!("line `{}` stands twice", line.name), "give one of them another name"));
        }
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, value, fits) in [
            ("clamav/*", "clamav/Win.Test.EICAR_HDB-1", true),
            ("clamav/*", "links/x", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(glob(pattern, value), fits, "{pattern} {value}");
        }
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, line, says) in [
            ("\n[[line]]\nname='x'\naction='withhold'\n", 2, "either `finding` or `gap`"),
            ("[[line]]\nname='x'\nfinding={}\naction='whithold'\n", 4, "whithold"),
            ("[[line]]\nname='x'\nfinding={colour='red'}\naction='pass'\n", 3, "colour"),
            ("[[line]]\nname='x'\ngap={}\naction='redact'\n", 1, "change a text"),
            ("[[line]]\nname='x'\nfinding={}\naction='hold'\n", 1, "wait"),
            (
                "[[line]]\nname='x'\nfinding={}\naction='pass'\n[[line]]\nname='x'\nfinding={}\naction='pass'\n",
                5,
                "twice",
            ),
        ] {
            let error = Policy::read(&[("my.toml", text)], OnDeadline::Withhold).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
            assert!(error.starts_with(&format!("my.toml:{line}:")), "{error}");
        }
    }
}
