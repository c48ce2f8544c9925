//! What the targets share: the rules as the product ships them, and one look at a file with bounds so small that a run is
//! a millisecond.

use guarita_file_worker::{Job, Kit, Report, Wanted, look, preview, walk::Limits};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Every rule of `rules/`, compiled once.
pub static RULES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::compile(rule_files(), Language::English).expect("rules"));

static KIT: LazyLock<Kit> = LazyLock::new(|| {
    let mut files = rule_files();
    files.retain(|file| file.path.starts_with("files/") || file.path.starts_with("yara/"));
    let limits = Limits {
        milliseconds_max: 2_000,
        thing_bytes_max: 4 << 20,
        unpacked_bytes_max: 16 << 20,
        held_bytes_max: 8 << 20,
        bomb_bytes_min: 2 << 20,
        entries_max: 500,
        ..Limits::default()
    };
    Kit::new(RuleSet::compile(files, Language::English).expect("rules"), limits).expect("rules")
});

/// Looks at a file; its report must keep to its bounds and survive being written down and read.
pub fn look_at(name: &str, bytes: &[u8]) -> Report {
    let job = Job { name: name.to_owned(), passwords: vec!["1234".to_owned()], ..Job::default() };
    let report = look(bytes, &job, &KIT);
    assert!(report.findings.len() <= 100 && report.gaps.len() <= 20, "more than a report may hold");
    let written = serde_json::to_vec(&report).expect("a report can be written");
    assert!(written.len() < 4 << 20, "longer than an answer may be");
    let read: Report = serde_json::from_slice(&written).expect("a report can be read");
    assert_eq!(read.findings.len(), report.findings.len());
    report
}

/// Draws a file; the answer keeps to an answer's bound.
pub fn preview_of(name: &str, bytes: &[u8]) {
    let job = Job { name: name.to_owned(), wanted: Wanted::Preview, ..Job::default() };
    let answer = preview::encode(&preview::make(bytes, &job, &KIT));
    assert!(answer.len() < 4 << 20, "longer than an answer may be");
}

/// The same with the first bytes of its kind in front.
pub fn look_at_kind(name: &str, magic: &[u8], bytes: &[u8]) {
    if bytes.starts_with(magic) {
        look_at(name, bytes);
    } else {
        look_at(name, &[magic, bytes].concat());
    }
}

/// One of several kinds: the first byte chooses.
pub fn look_at_one_of(kinds: &[(&str, &[u8])], bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (name, magic) = kinds[usize::from(*first) % kinds.len()];
    look_at_kind(name, magic, rest);
}

fn rule_files() -> Vec<RuleFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("rules/ can be read") {
            let path = entry.expect("rules/ can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let shown = path.strip_prefix(&root).expect("below rules/").to_string_lossy().into_owned();
                files.push(RuleFile { path: shown, bytes: std::fs::read(&path).expect("a rule file can be read") });
            }
        }
    }
    files
}
