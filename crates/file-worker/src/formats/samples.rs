//! Runs the samples that stand beside file rules: what `guarita rules test` and our own test do. A sample's `content` is
//! base64 (or `built-in`: tested in code), and `hit` or `miss` is the name it comes under.

use super::script_text::decode;
use crate::{Job, Kit, look};

/// A rule whose sample does not behave, or that brings none.
#[derive(Debug)]
pub struct Failure {
    pub file: String,
    pub line: usize,
    pub rule: String,
    pub sample: String,
    pub problem: String,
}

/// Failures of every rule of the kind `files`; empty: all is well.
pub fn run_samples(kit: &Kit) -> Vec<Failure> {
    let mut failures = Vec::new();
    for rule in kit.rules.all().into_iter().filter(|rule| rule.id.starts_with("files/")) {
        let mut fail = |sample: &str, problem: &str| {
            let (file, rule, line) = (rule.file.clone(), rule.id.clone(), rule.line);
            failures.push(Failure { file, line, rule, sample: sample.to_owned(), problem: problem.to_owned() });
        };
        for (wanted, word) in [(true, "hit"), (false, "miss")] {
            if !rule.samples.iter().any(|sample| sample.hit.is_some() == wanted) {
                fail("", &format!("brings no {word}; add a [[rule.sample]] with one"));
            }
        }
        for sample in &rule.samples {
            let (name, expected) = match (&sample.hit, &sample.miss) {
                (Some(name), None) => (name, true),
                (None, Some(name)) => (name, false),
                _ => {
                    fail("", "a sample is either a hit or a miss");
                    continue;
                }
            };
            // What needs more than one file (a password beside an archive) is tested where it is built.
            if sample.content.as_deref() == Some("built-in") {
                continue;
            }
            let Some(bytes) = sample.content.as_deref().and_then(decode) else {
                fail(name, "its content is not base64");
                continue;
            };
            let report = look(&bytes, &Job { name: name.clone(), ..Job::default() }, kit);
            let spoke = report.findings.iter().any(|finding| finding.rule == rule.id);
            if spoke != expected {
                let found: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
                let problem = if expected { "did not speak" } else { "spoke, and should not" };
                fail(name, &format!("{problem}; what spoke: {}", found.join(", ")));
            }
        }
    }
    failures
}
