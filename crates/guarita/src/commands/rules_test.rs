//! `guarita rules test`: every rule's samples, and that every rule has some.

use crate::{config::Settings, rules};
use guarita_file_worker::{Kit, formats::run_samples, walk::Limits};
use guarita_inspect::{links, texts};
use guarita_rules::{RuleFile, RuleSet};

pub fn rules_test(settings: &Settings) -> u8 {
    let folder = Some(settings.policy.rules.as_path());
    let (files, set) = match rules::files(folder).and_then(|files| {
        let set = rules::load(folder, settings.policy.notice_language)?;
        Ok((files, set))
    }) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    let failures = failures(&set, &files);
    for failure in &failures {
        eprintln!("{failure}");
    }
    let samples: usize = set.all().iter().map(|rule| rule.samples.len()).sum();
    println!("{} rules, {samples} samples in rule files, {} failures", set.all().len(), failures.len());
    u8::from(!failures.is_empty())
}

/// One line a failure.
pub fn failures(set: &RuleSet, files: &[RuleFile]) -> Vec<String> {
    let mut failures: Vec<String> = Vec::new();
    let own: Vec<RuleFile> = files
        .iter()
        .filter(|file| file.path.starts_with("files/") || file.path.starts_with("yara/"))
        .cloned()
        .collect();
    match RuleSet::compile(own, set.language).and_then(|rules| Kit::new(rules, Limits::default())) {
        Ok(kit) => failures.extend(run_samples(&kit).iter().map(|failure| {
            format!("{}:{}: rule {} {}: {}", failure.file, failure.line, failure.rule, failure.problem, failure.sample)
        })),
        Err(error) => failures.push(error.to_string()),
    }
    failures.extend(texts::run_samples(set).iter().map(|failure| {
        let problem = if failure.expected_hit { "did not speak" } else { "spoke, and should not" };
        format!("{}:{}: rule {} {problem}: {}", failure.file, failure.line, failure.rule, failure.sample)
    }));
    failures.extend(links::run_samples(set).iter().map(|failure| {
        let sample = &failure.sample;
        format!("{}:{}: rule {} {}: {sample}", failure.file, failure.line, failure.rule, failure.problem)
    }));
    failures
}
