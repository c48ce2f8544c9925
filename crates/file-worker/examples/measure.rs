//! Runs [`guarita_file_worker::look`] over a folder of labelled files and prints the share flagged for each label.
//!
//! `FILES=/path/to/files cargo run --release -p guarita-file-worker --example measure [label] [--all]`
//! (`PASSWORDS="1234 2024"` as if the message held them) reads `LABELS.tsv` (`path label true_type … orig_name features`) there and shows misses of every label, or all of one.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use guarita_file_worker::{Job, Kit, look, walk::Limits};
use guarita_message::Severity;
use guarita_rules::{Language, RuleFile, RuleSet};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

fn main() {
    let folder = std::env::var("FILES").expect("FILES names the folder of labelled files");
    let only = std::env::args().nth(1);
    let show_all = std::env::args().any(|arg| arg == "--all");
    let kit = Kit::new(read_rules(), Limits::default()).expect("the rules compile");
    let labels = std::fs::read_to_string(Path::new(&folder).join("LABELS.tsv")).expect("LABELS.tsv can be read");
    let mut lines = labels.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("LABELS.tsv has a header");
    let column = |name: &str| header.iter().position(|column| *column == name).expect("the column exists");
    let (path, label, kind, name, features) =
        (column("path"), column("label"), column("true_type"), column("orig_name"), column("features"));
    let passwords: Vec<String> =
        std::env::var("PASSWORDS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let mut shares: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut slowest: Vec<(u128, String)> = Vec::new();
    for row in lines {
        if only.as_ref().is_some_and(|only| only != row[label] && !row[path].contains(only.as_str())) {
            continue;
        }
        let Ok(bytes) = std::fs::read(Path::new(&folder).join(row[path])) else { continue };
        let job = Job { name: row[name].to_owned(), passwords: passwords.clone(), ..Job::default() };
        let start = Instant::now();
        let report = look(&bytes, &job, &kit);
        slowest.push((start.elapsed().as_millis(), row[path].to_owned()));
        let severe = report.findings.iter().any(|finding| finding.severity >= Severity::Medium);
        let flagged = severe || !report.gaps.is_empty();
        let share = shares.entry(row[label].to_owned()).or_default();
        share.0 += usize::from(flagged);
        share.1 += 1;
        let wrong = flagged == (row[label] == "benign");
        if wrong || show_all {
            let facts: Vec<String> = report
                .findings
                .iter()
                .map(|f| format!("{}[{}] {} ({})", f.rule, f.severity, f.evidence, f.inside))
                .chain(report.gaps.iter().map(|g| format!("gap {} {} ({})", g.reason, g.detail, g.inside)))
                .collect();
            println!(
                "{} {} | {} | {} | {} | {} | {}",
                if wrong { "MISS" } else { "ok" },
                row[label],
                row[path],
                row[kind],
                row[features],
                report.files[0].true_type,
                facts.join("; ")
            );
        }
    }
    for (label, (flagged, all)) in shares {
        println!("{label:16} {flagged:5} of {all:5} = {:.2} %", 100.0 * flagged as f64 / all as f64);
    }
    slowest.sort();
    for (milliseconds, path) in slowest.iter().rev().take(8) {
        println!("{milliseconds:6} ms {path}");
    }
}

fn read_rules() -> RuleSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["files", "yara"] {
        for entry in std::fs::read_dir(root.join(kind)).into_iter().flatten().flatten() {
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).expect("a rule file can be read") });
        }
    }
    RuleSet::compile(files, Language::English).expect("the rules compile")
}
