//! How well links are judged: reads labelled TSVs (`url source kind …`) and prints, by source, the share flagged and the
//! recall where 1 % and 0.1 % of the benign full links would be flagged; then the speed.
//!
//! `cargo run --release -p guarita-inspect --example measure_links -- MALICIOUS.tsv BENIGN.tsv [RULES-FOLDER] [--wrong N]`

use guarita_inspect::{LinkContext, inspect_link};
use guarita_message::{Severity, Verdict};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

struct Row {
    url: String,
    source: String,
    full: bool,
    malicious: bool,
    score: f32,
    flagged: bool,
    high: bool,
    rules: Vec<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wrong = args.iter().position(|a| a == "--wrong").and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok());
    let folder = args.get(2).filter(|a| !a.starts_with("--")).map_or("rules", String::as_str);
    let rules = load(folder)?;
    let mut rows = Vec::new();
    for (path, malicious) in [(args.first(), true), (args.get(1), false)] {
        let path = path.ok_or("usage: measure_links MALICIOUS.tsv BENIGN.tsv [RULES-FOLDER] [--wrong N]")?;
        for line in std::fs::read_to_string(path)?.lines().skip(1) {
            let mut cells = line.split('\t');
            let url = cells.next().unwrap_or_default();
            let source = cells.next().unwrap_or_default();
            let full = cells.next() == Some("full");
            let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
            let bare = bare.strip_prefix("www.").unwrap_or(bare);
            rows.push(Row {
                url: format!("https://{bare}"),
                source: if source.starts_with("maltrail") { "maltrail".into() } else { source.into() },
                full,
                malicious,
                score: 0.0,
                flagged: false,
                high: false,
                rules: Vec::new(),
            });
        }
    }
    let context = LinkContext::default();
    let start = std::time::Instant::now();
    for row in &mut rows {
        let seen = inspect_link(&row.url, "/text/body", None, &context, &rules, None);
        row.score = seen.suspicion();
        row.flagged = seen.verdict() >= Verdict::Suspicious;
        row.high = seen.verdict() == Verdict::Malicious;
        row.rules = seen.findings.iter().filter(|f| f.severity >= Severity::Medium).map(|f| f.rule.clone()).collect();
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut benign: Vec<f32> = rows.iter().filter(|r| !r.malicious && r.full).map(|r| r.score).collect();
    benign.sort_by(|a, b| b.total_cmp(a));
    let at = |share: f64| benign.get((benign.len() as f64 * share) as usize).copied().unwrap_or(1.0);
    let (one, tenth) = (at(0.01), at(0.001));
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} links in {seconds:.2} s = {:.0}/s; thresholds {one:.4} (1 %), {tenth:.4} (0.1 %)",
        rows.len(),
        rows.len() as f64 / seconds
    )?;
    writeln!(out, "{:60} {:>7} {:>8} {:>8} {:>8} {:>8}", "source", "n", "flagged", "high", "at 1%", "at .1%")?;
    let mut groups: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in &rows {
        let side = if row.malicious { "malicious" } else { "benign" };
        let kind = if row.full { "full" } else { "domain" };
        groups.entry(format!("{side} {kind} {}", row.source)).or_default().push(row);
        groups.entry(format!("{side} {kind} = ALL")).or_default().push(row);
    }
    for (name, group) in &groups {
        let share =
            |test: &dyn Fn(&Row) -> bool| 100.0 * group.iter().filter(|r| test(r)).count() as f64 / group.len() as f64;
        writeln!(
            out,
            "{name:60} {:7} {:7.2}% {:7.2}% {:7.2}% {:7.2}%",
            group.len(),
            share(&|r| r.flagged),
            share(&|r| r.high),
            share(&|r| r.score > one),
            share(&|r| r.score > tenth)
        )?;
    }
    let mut by_rule: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.full) {
        for rule in &row.rules {
            by_rule.entry(rule).or_default()[usize::from(row.malicious)] += 1;
        }
    }
    writeln!(out, "\nrule (medium and above), full links: benign, malicious")?;
    for (rule, [benign, malicious]) in by_rule {
        writeln!(out, "{rule:40} {benign:7} {malicious:7}")?;
    }
    if let Some(most) = wrong {
        let mut missed: Vec<&Row> = rows.iter().filter(|r| r.full && !r.malicious && r.flagged).collect();
        missed.sort_by(|a, b| b.score.total_cmp(&a.score));
        for row in missed.into_iter().take(most) {
            writeln!(out, "{:.3} {} {} {}", row.score, row.source, row.url, row.rules.join(" "))?;
        }
    }
    Ok(())
}

fn load(folder: &str) -> Result<RuleSet, Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    for kind in ["links", "lists"] {
        for entry in std::fs::read_dir(Path::new(folder).join(kind))? {
            let entry = entry?;
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path())? });
        }
    }
    Ok(RuleSet::compile(files, Language::English)?)
}
