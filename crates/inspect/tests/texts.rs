//! The text rules as they ship: every sample, and what a reader of this repository may rely on.

use guarita_inspect::texts::{TextContext, inspect_text, run_samples};
use guarita_message::{Category, Severity, TextRole, Verdict};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::{path::Path, sync::OnceLock, time::Instant};

fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
        let mut files = Vec::new();
        read(&root, &root.join("texts"), &mut files);
        RuleSet::compile(files, Language::English).unwrap_or_else(|error| panic!("{error}"))
    })
}

fn read(root: &Path, folder: &Path, files: &mut Vec<RuleFile>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            files.push(RuleFile { path: name, bytes: std::fs::read(&path).unwrap() });
        }
    }
}

fn found(text: &str) -> Vec<(String, Option<(usize, usize)>)> {
    let inspection = inspect_text(text, "/text/body", &TextContext::default(), rules());
    inspection.findings.into_iter().map(|finding| (finding.rule, finding.span)).collect()
}

#[test]
fn every_sample_comes_out_as_it_says() {
    let failures = run_samples(rules());
    let shown: Vec<String> = failures
        .iter()
        .map(|one| {
            format!(
                "{}:{} {} should {}: {}",
                one.file,
                one.line,
                one.rule,
                if one.expected_hit { "hit" } else { "miss" },
                one.sample
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn every_rule_has_a_hit_a_miss_and_speaks_three_languages() {
    for rule in rules().all() {
        assert!(rule.samples.iter().any(|sample| sample.hit.is_some()), "{} has no hit", rule.id);
        assert!(rule.samples.iter().any(|sample| sample.miss.is_some()), "{} has no near miss", rule.id);
        for line in [&rule.title, &rule.why] {
            for language in [Language::English, Language::Portuguese, Language::Spanish] {
                assert!(!line.get(language).is_empty(), "{}", rule.id);
            }
            assert!(!line.pt.is_empty() && !line.es.is_empty(), "{} speaks English only", rule.id);
        }
    }
}
