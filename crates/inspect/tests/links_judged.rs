//! Judging links, line by line: `links_judged.txt` holds links, and the rules that speak of each.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use guarita_inspect::{LinkContext, inspect_link};
use guarita_message::Severity;
use guarita_rules::{Language, RuleFile, RuleSet};

fn rules() -> RuleSet {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["links", "lists"] {
        for entry in std::fs::read_dir(root.join(kind)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).unwrap() });
        }
    }
    RuleSet::compile(files, Language::English).unwrap()
}

#[test]
fn every_line_is_judged_as_it_says() {
    let rules = rules();
    let mut wrong = Vec::new();
    let mut lines = 0;
    for (number, line) in include_str!("links_judged.txt").lines().enumerate() {
        let Some((link, expect)) = line.rsplit_once(" => ").filter(|_| !line.starts_with('#')) else { continue };
        lines += 1;
        let link = link.replace("\\u{fa}", "\u{fa}");
        let seen = inspect_link(&link, "", None, &LinkContext::default(), &rules, None);
        let spoke = |name: &str| seen.findings.iter().any(|f| f.rule.strip_prefix("links/") == Some(name));
        let fits = expect.split_whitespace().all(|word| match word.strip_prefix('!') {
            Some(name) => !spoke(name),
            // `missed` is fraud that is known to pass, so that the line is moved on the day it does not.
            None if matches!(word, "clean" | "missed") => seen.findings.iter().all(|f| f.severity < Severity::Medium),
            None if word == "flagged" => seen.findings.iter().any(|f| f.severity >= Severity::Medium),
            None => {
                assert!(rules.all().iter().any(|rule| rule.id == format!("links/{word}")), "no rule `{word}`");
                spoke(word)
            }
        });
        if !fits {
            let spoken: Vec<&str> = seen.findings.iter().map(|f| f.rule.trim_start_matches("links/")).collect();
            wrong.push(format!("{}: {link} => {expect}; but: {}", number + 1, spoken.join(" ")));
        }
    }
    assert!(lines > 120, "the table was read");
    assert!(wrong.is_empty(), "{} of {lines}:\n{}", wrong.len(), wrong.join("\n"));
}
