//! Runs the samples that stand beside each link rule: every hit must fire its rule, every miss must not.

use super::judge::{LinkContext, inspect_link};
use super::lists::{ListBuilder, ListEntry, ListSide, Lists};
use guarita_rules::RuleSet;

/// A sample that did not do what its rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleFailure {
    pub rule: String,
    pub file: String,
    pub line: usize,
    pub sample: String,
    pub problem: String,
}

/// Lists that the samples of the list rules are written for.
fn sample_lists() -> Lists {
    let mut builder = ListBuilder::default();
    for (side, written) in [
        (ListSide::Deny, "denied.example.com"),
        (ListSide::DenyMalware, "malware.example.com"),
        (ListSide::Allow, "allowed.example.com"),
    ] {
        if let Some(entry) = ListEntry::read(side, written) {
            builder.add(&entry);
        }
    }
    builder.build()
}

/// Runs every sample of every rule `links/…`; a rule without a hit and a miss fails too.
pub fn run_samples(rules: &RuleSet) -> Vec<SampleFailure> {
    let lists = sample_lists();
    let mut failures = Vec::new();
    for rule in rules.all().into_iter().filter(|rule| rule.id.starts_with("links/")) {
        let mut fail = |sample: &str, problem: &str| {
            failures.push(SampleFailure {
                rule: rule.id.clone(),
                file: rule.file.clone(),
                line: rule.line,
                sample: sample.to_owned(),
                problem: problem.to_owned(),
            });
        };
        let (mut hits, mut misses) = (0, 0);
        for sample in &rule.samples {
            if let Some(hit) = &sample.hit {
                hits += 1;
                if !fires(&rule.id, hit, rules, &lists) {
                    fail(hit, "should be found and is not");
                }
            }
            if let Some(miss) = &sample.miss {
                misses += 1;
                if fires(&rule.id, miss, rules, &lists) {
                    fail(miss, "should not be found and is");
                }
            }
        }
        if hits == 0 || misses == 0 {
            fail("", "a rule needs at least one hit and one miss");
        }
    }
    failures
}

/// A sample without blanks is a link; one with blanks is a text, whose links are looked at.
fn fires(rule: &str, sample: &str, rules: &RuleSet, lists: &Lists) -> bool {
    let in_text = sample.contains(char::is_whitespace) || sample.contains("](");
    let links = if in_text {
        super::find_links(sample).into_iter().map(|found| (found.url, found.shown)).collect()
    } else {
        vec![(sample.to_owned(), None)]
    };
    links.into_iter().any(|(url, shown)| {
        let context = LinkContext { in_text, shown, ..LinkContext::default() };
        inspect_link(&url, "/text/body", None, &context, rules, Some(lists)).findings.iter().any(|f| f.rule == rule)
    })
}
