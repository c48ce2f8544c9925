//! Cards, identity numbers and secrets in messy shapes, line by line: `sensitive.txt`.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use guarita_inspect::texts::{TextContext, inspect_text};
use guarita_message::Category;
use guarita_rules::{Language, RuleFile, RuleSet};
use std::collections::BTreeSet;

fn rules() -> RuleSet {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let read = |path: &str| RuleFile { path: path.into(), bytes: std::fs::read(root.join(path)).unwrap() };
    RuleSet::compile(vec![read("texts/sensitive.toml")], Language::English).unwrap()
}

#[test]
fn every_line_is_seen_as_it_says() {
    let rules = rules();
    let mut wrong = Vec::new();
    let mut lines = 0;
    for (number, line) in include_str!("sensitive.txt").lines().enumerate() {
        let Some((text, expect)) = line.rsplit_once(" =>").filter(|_| !line.starts_with('#')) else { continue };
        lines += 1;
        let text = text.replace("\\n", "\n");
        let seen = inspect_text(&text, "/text/body", &TextContext::default(), &rules);
        let spoken: BTreeSet<&str> = seen.findings.iter().filter_map(|f| f.rule.strip_prefix("texts/")).collect();
        if spoken != expect.split_whitespace().collect() {
            wrong.push(format!("{}: {text:?} => {}", number + 1, spoken.into_iter().collect::<Vec<_>>().join(" ")));
        }
        for finding in &seen.findings {
            let (start, end) = finding.span.expect("what is to be redacted has a span");
            assert!(text.get(start..end).is_some_and(|covered| !covered.is_empty()), "{text:?}");
            // Four digits of a card may be shown, of anything else nothing that gives it away.
            let shown = finding.evidence.chars().filter(char::is_ascii_digit).count();
            assert!(finding.category == Category::PersonalId || shown <= 4, "{text:?}: {}", finding.evidence);
        }
    }
    assert!(lines > 100, "the table was read");
    assert!(wrong.is_empty(), "{} of {lines}:\n{}", wrong.len(), wrong.join("\n"));
}
