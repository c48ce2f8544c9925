//! Every form of archive, each with the same program inside: found, with the way to it. `archives.txt` holds them, a line each.

use base64::Engine;
use guarita_file_worker::{Job, Kit, look, walk::Limits};
use guarita_message::GapReason;
use guarita_rules::{Language, RuleSet};

struct Row<'a> {
    form: &'a str,
    name: &'a str,
    rule: &'a str,
    password: &'a str,
    bytes: Vec<u8>,
}

fn rows() -> Vec<Row<'static>> {
    let lines = include_str!("archives.txt").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [form, name, rule, password, content] = fields[..] else { panic!("five fields: {line}") };
        let bytes = base64::engine::general_purpose::STANDARD.decode(content).expect("base64");
        Row { form, name, rule, password, bytes }
    };
    lines.map(row).collect()
}

fn kit() -> Kit {
    let rules = RuleSet::compile(Vec::new(), Language::English).expect("no rules compile");
    Kit::new(rules, Limits::default()).expect("no rules compile")
}

#[test]
fn a_program_is_found_in_every_form_of_archive() {
    let kit = kit();
    let mut missed = Vec::new();
    for row in rows() {
        let passwords = [row.password].into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let report = look(&row.bytes, &Job { name: row.name.to_owned(), passwords, ..Job::default() }, &kit);
        let inside = report.findings.iter().find(|finding| finding.rule == row.rule && !finding.inside.is_empty());
        if inside.is_none() || !report.gaps.is_empty() {
            missed.push(format!("{}: {:?} {:?}", row.form, report.findings, report.gaps));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn without_the_password_it_is_a_gap() {
    let kit = kit();
    for row in rows().iter().filter(|row| !row.password.is_empty()) {
        let report = look(&row.bytes, &Job { name: row.name.to_owned(), ..Job::default() }, &kit);
        assert!(report.gaps.iter().all(|gap| gap.reason == GapReason::Encrypted), "{}: {report:?}", row.form);
        assert!(!report.gaps.is_empty(), "{}: {report:?}", row.form);
    }
}

#[test]
fn no_cut_of_one_panics_or_hangs() {
    let kit = kit();
    for row in rows() {
        for cut in (0..row.bytes.len()).step_by(17) {
            look(&row.bytes[..cut], &Job { name: row.name.to_owned(), ..Job::default() }, &kit);
        }
    }
}
