//! Every rule of `rules/files/` is shown a sample that it speaks of and one that it does not.

use guarita_file_worker::{Kit, formats::run_samples, walk::Limits};
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
    let failures: Vec<String> = run_samples(&kit())
        .into_iter()
        .map(|f| format!("{}:{}: {} {}: {}", f.file, f.line, f.rule, f.sample, f.problem))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_speaks_three_languages() {
    for rule in kit().rules.all() {
        for text in [&rule.title.en, &rule.title.pt, &rule.title.es] {
            assert!(!text.is_empty(), "{} lacks a title", rule.id);
        }
    }
}
