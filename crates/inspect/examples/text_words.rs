//! Reads a text a line (`\n` escaped) and prints what the learned scorer sees in it: the features of its words, a tab, and those
//! that are not shortened, each as `form:hash`; with `--judge` instead whether it is flagged, its score and the rules that speak. `training/texts/train.py`
//! runs it with the folder of rules.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use guarita_inspect::texts::{Feature, TextContext, inspect_text, training_features};
use guarita_message::Verdict;
use guarita_rules::{Language, RuleFile, RuleSet};
use std::{
    io::{BufRead, Write},
    path::Path,
};

fn main() {
    let root = std::env::args().nth(1).expect("the folder of rules is the first argument");
    let judge = std::env::args().nth(2).is_some_and(|word| word == "--judge");
    let mut files = Vec::new();
    collect(Path::new(&root), &Path::new(&root).join("texts"), &mut files);
    let rules = RuleSet::compile(files, Language::English).unwrap_or_else(|error| panic!("{error}"));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text = line.unwrap().replace("\\n", "\n");
        if judge {
            let seen = inspect_text(&text, "/text/body", &TextContext::default(), &rules);
            let flagged = matches!(seen.verdict(), Verdict::Suspicious | Verdict::Malicious);
            let spoken: Vec<&str> = seen.findings.iter().map(|finding| finding.rule.as_str()).collect();
            writeln!(out, "{}\t{}\t{}", u8::from(flagged), seen.score, spoken.join(" ")).unwrap();
            continue;
        }
        let (grams, others) = training_features(&text, &rules.texts);
        let shown = |features: &[Feature]| {
            features.iter().map(|(form, hash)| format!("{form}:{hash}")).collect::<Vec<_>>().join(" ")
        };
        writeln!(out, "{}\t{}", shown(&grams), shown(&others)).unwrap();
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<RuleFile>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.push(RuleFile { path: name, bytes: std::fs::read(&path).unwrap() });
        }
    }
}
