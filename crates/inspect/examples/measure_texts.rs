//! Prints what the text rules find on labelled data, and how fast.
//!
//!     cargo run --release -p guarita-inspect --example measure_texts -- rules DATA [--misses N] [--only SUBSTRING]
//!
//! `DATA` holds `malicious.tsv` and `benign.tsv` (text, lang, source, category) and `pii.tsv` (text, lang, entity, value,
//! negative_kind), texts with `\n` escaped. A text is flagged when its verdict is suspicious or malicious.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use guarita_inspect::texts::{TextContext, inspect_text};
use guarita_message::{Category, Inspection, Verdict};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::{collections::BTreeMap, path::Path, time::Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let misses: usize = value("--misses").map_or(0, |n| n.parse().unwrap());
    let only = value("--only").unwrap_or_default();
    let rules = compile(Path::new(&arguments[0]));
    let data = Path::new(&arguments[1]);
    texts(&rules, data, misses, &only);
    pii(&rules, data, misses);
    speed(&rules, data);
}

fn compile(root: &Path) -> RuleSet {
    let mut files = Vec::new();
    collect(root, &root.join("texts"), &mut files);
    RuleSet::compile(files, Language::English).unwrap_or_else(|error| panic!("{error}"))
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

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    text.split('\n')
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches('\r').split('\t').map(|cell| cell.replace("\\n", "\n")).collect())
        .collect()
}

fn look(text: &str, rules: &RuleSet) -> Inspection {
    inspect_text(text, "/text/body", &TextContext::default(), rules)
}

fn family(source: &str) -> String {
    let source = if source.starts_with("multilingual-deception-bench pt-br seed") {
        "deception-bench seeds pt-br"
    } else if source.starts_with("multilingual-deception-bench en-us seed") {
        "deception-bench seeds en-us"
    } else {
        source
    };
    source.chars().take(44).collect()
}

fn texts(rules: &RuleSet, data: &Path, misses: usize, only: &str) {
    let mut table: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for side in ["malicious", "benign"] {
        for row in rows(&data.join(format!("{side}.tsv"))) {
            let [text, lang, source, category] = &row[..] else { continue };
            let seen = look(text, rules);
            let flagged = matches!(seen.verdict(), Verdict::Suspicious | Verdict::Malicious);
            let mut names = vec![family(source), "= ALL".to_owned()];
            if side == "malicious" || category.starts_with("authored") {
                names.push(format!("category {category}"));
            }
            for name in names {
                let cell = table.entry(format!("{side} {lang} {name}")).or_default();
                cell.0 += 1;
                cell.1 += usize::from(flagged);
            }
            if (side == "malicious") != flagged && (source.contains(only) || category.contains(only)) {
                let rules: Vec<&str> = seen.findings.iter().map(|f| f.rule.as_str()).collect();
                let evidence: Vec<&str> = seen.findings.iter().map(|f| f.evidence.as_str()).collect();
                wrong.push(format!(
                    "{:.2} {rules:?} {evidence:?} | {}",
                    seen.score,
                    text.replace('\n', " ").chars().take(220).collect::<String>()
                ));
            }
        }
    }
    for (name, (count, flagged)) in table {
        println!("{name:<76} {count:>6} {:>7.2}%", 100.0 * flagged as f64 / count as f64);
    }
    wrong.iter().take(misses).for_each(|line| println!("  {line}"));
}

fn pii(rules: &RuleSet, data: &Path, misses: usize) {
    let mut table: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows(&data.join("pii.tsv")) {
        let negative = row.get(4).filter(|kind| !kind.is_empty());
        let wanted = match (negative, row[2].as_str()) {
            (Some(_), _) => None,
            (None, "card") => Some(Category::PaymentCard),
            _ => Some(Category::PersonalId),
        };
        let seen = look(&row[0], rules);
        let mut found: Vec<Category> = seen.findings.iter().map(|f| f.category).collect();
        found.retain(|category| matches!(category, Category::PaymentCard | Category::PersonalId));
        found.sort_unstable();
        found.dedup();
        let right = found == wanted.into_iter().collect::<Vec<_>>();
        let cell = table.entry(negative.map_or(row[2].clone(), |kind| format!("negative {kind}"))).or_default();
        cell.0 += 1;
        cell.1 += usize::from(right);
        if !right {
            wrong.push(format!("{:?} {}", seen.findings.iter().map(|f| &f.rule).collect::<Vec<_>>(), row[0]));
        }
    }
    println!();
    for (name, (count, right)) in table {
        println!("{name:<76} {count:>6} {:>7.2}%", 100.0 * right as f64 / count as f64);
    }
    wrong.iter().take(misses).for_each(|line| println!("  {line}"));
}

fn speed(rules: &RuleSet, data: &Path) {
    let all: Vec<String> = ["malicious", "benign"]
        .iter()
        .flat_map(|side| rows(&data.join(format!("{side}.tsv"))))
        .map(|row| row[0].clone())
        .collect();
    let start = cpu_seconds();
    let found: usize = all.iter().map(|text| look(text, rules).findings.len()).sum();
    let seconds = cpu_seconds() - start;
    let bytes: usize = all.iter().map(String::len).sum();
    println!(
        "\n{} texts of {} bytes on average: {:.0}/s on one core ({found} findings)",
        all.len(),
        bytes / all.len(),
        all.len() as f64 / seconds
    );
    for (name, text) in hostile() {
        let start = cpu_seconds();
        let findings = look(&text, rules).findings.len();
        println!("  {name}: {:.1} ms ({findings} findings)", (cpu_seconds() - start) * 1e3);
    }
}

/// Time this thread spent computing, where Linux tells; beside other work the clock on the wall says little.
fn cpu_seconds() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |ns| ns / 1e9)
}

/// A megabyte each of what costs most.
fn hostile() -> Vec<(&'static str, String)> {
    let million = |piece: &str| piece.repeat(1_000_000 / piece.len());
    vec![
        ("one letter", million("a")),
        ("one digit", million("1")),
        ("spaced digits", million("4 ")),
        ("cards", million("4111111111111111 ")),
        ("near cards", million("4111111111111112,")),
        ("first words of phrases", million("manda me passa o envia nao ")),
        ("spelled out", million("a ")),
        ("dots", million("a.b")),
        ("zero-width", million("\u{200b}a")),
        ("mathematical letters", million("𝐚𝐛𝐜 ")),
        ("chinese", million("验证码发给我")),
        ("key beginnings", million("-----BEGIN ")),
        ("leet", million("c0d1g0 ")),
    ]
}
