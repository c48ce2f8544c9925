//! Reads a text a line (`\n` escaped) and prints its words as the learned scorer sees them, a tab, and the signals that the
//! rules hear in it; `training/texts/train.py` runs it with the folder of rules.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use guarita_rules::{Language, RuleFile, RuleSet};
use std::{
    io::{BufRead, Write},
    path::Path,
};

fn main() {
    let root = std::env::args().nth(1).expect("the folder of rules is the only argument");
    let mut files = Vec::new();
    collect(Path::new(&root), &Path::new(&root).join("texts"), &mut files);
    let rules = RuleSet::compile(files, Language::English).unwrap_or_else(|error| panic!("{error}"));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text = line.unwrap().replace("\\n", "\n");
        let (words, signals) = guarita_inspect::texts::training_words(&text, &rules.texts);
        writeln!(out, "{}\t{}", words.join(" "), signals.join(" ")).unwrap();
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
