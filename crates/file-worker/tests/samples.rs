//! Every rule of `rules/files/` is shown a sample that it speaks of and one that it does not.

use base64::Engine;
use guarita_file_worker::{Job, Kit, look, walk::Limits};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::path::Path;

/// The rules as the binary embeds them: paths relative to `rules/`.
fn rule_files(folder: &Path, prefix: &str, out: &mut Vec<RuleFile>) {
    for entry in std::fs::read_dir(folder).expect("rules/ can be read").map(|entry| entry.expect("rules/ can be read"))
    {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            rule_files(&entry.path(), &format!("{name}/"), out);
        } else {
            out.push(RuleFile { path: name, bytes: std::fs::read(entry.path()).expect("a rule file can be read") });
        }
    }
}

fn kit() -> Kit {
    let mut files = Vec::new();
    rule_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules"), "", &mut files);
    files.retain(|file| file.path.starts_with("files/") || file.path.starts_with("yara/"));
    let rules = RuleSet::compile(files, Language::English).expect("the rules compile");
    Kit::new(rules, Limits::default()).expect("the rules compile")
}

#[test]
fn every_rule_has_a_hit_and_a_miss_that_hold() {
    let kit = kit();
    let mut wrong = Vec::new();
    for rule in kit.rules.all() {
        let (mut hits, mut misses) = (0, 0);
        for sample in &rule.samples {
            let content = sample.content.as_deref().unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(content).expect("content is base64");
            let (name, expected) = match (&sample.hit, &sample.miss) {
                (Some(name), None) => (name, true),
                (None, Some(name)) => (name, false),
                _ => panic!("{}: a sample is either a hit or a miss", rule.id),
            };
            hits += usize::from(expected);
            misses += usize::from(!expected);
            let report = look(&bytes, &Job { name: name.clone(), ..Job::default() }, &kit);
            let found: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
            if found.contains(&rule.id.as_str()) != expected {
                wrong.push(format!(
                    "{} should {}speak of {name}: {found:?}",
                    rule.id,
                    if expected { "" } else { "not " }
                ));
            }
        }
        if hits == 0 || misses == 0 {
            wrong.push(format!("{} brings {hits} hits and {misses} misses", rule.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_speaks_three_languages() {
    for rule in kit().rules.all() {
        for text in [&rule.title.en, &rule.title.pt, &rule.title.es] {
            assert!(!text.is_empty(), "{} lacks a title", rule.id);
        }
    }
}
