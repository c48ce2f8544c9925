//! Judging texts, line by line: `texts_judged.txt` holds what swindlers and what customers write, and whether staff should be
//! warned of it. A rate is held, too, so that the table cannot rot into a list of exceptions.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use guarita_inspect::{TextContext, inspect_text};
use guarita_message::Verdict;
use guarita_rules::{Language, RuleFile, RuleSet};
use std::path::Path;

/// Of the scams in the table that are known to be missed, and of the ordinary messages that are flagged, at most so many.
const MISSED_MAX: usize = 6;
const ALARMS_MAX: usize = 7;

fn rules() -> RuleSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for folder in ["texts", "texts/pt", "texts/es", "texts/en"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                files.push(RuleFile { path, bytes: std::fs::read(entry.path()).unwrap() });
            }
        }
    }
    RuleSet::compile(files, Language::English).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_line_is_judged_as_it_says() {
    let rules = rules();
    let (mut wrong, mut missed, mut alarms, mut lines) = (Vec::new(), 0, 0, 0);
    for (number, line) in include_str!("texts_judged.txt").lines().enumerate() {
        let Some((head, text)) = line.split_once(": ").filter(|_| !line.starts_with('#')) else { continue };
        let flag = head.split(' ').next().unwrap();
        lines += 1;
        let expect = match flag {
            "scam" => true,
            "ordinary" => false,
            "miss" => {
                missed += 1;
                false
            }
            "alarm" => {
                alarms += 1;
                true
            }
            other => panic!("line {}: what is `{other}`?", number + 1),
        };
        let seen = inspect_text(&text.replace("\\n", "\n"), "/text/body", &TextContext::default(), &rules);
        let flagged = matches!(seen.verdict(), Verdict::Suspicious | Verdict::Malicious);
        if flagged != expect {
            let spoken: Vec<&str> = seen.findings.iter().map(|finding| finding.rule.as_str()).collect();
            wrong.push(format!("{}: {line} ({:.2} {})", number + 1, seen.score, spoken.join(" ")));
        }
    }
    assert!(lines > 130, "the table was read");
    assert!(wrong.is_empty(), "{} of {lines}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(missed <= MISSED_MAX && alarms <= ALARMS_MAX, "{missed} scams missed, {alarms} false alarms");
}
