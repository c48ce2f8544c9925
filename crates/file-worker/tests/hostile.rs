//! Broken input is the normal case: every rule's sample is cut, flipped, doubled and mixed, and looked at. Nothing may
//! panic, and nothing may take longer than the walk's own limit.

use base64::Engine;
use guarita_file_worker::{Job, Kit, look, walk::Limits};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// Mutations of each sample; `GUARITA_HOSTILE=200` runs longer.
const ROUNDS: u64 = 6;

/// A small generator with a seed that is printed on failure.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn mutate(bytes: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(out.len());
        match numbers.below(7) {
            0 => out.truncate(at),
            1 => out.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << numbers.below(8)),
            2 => out.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            3 => out.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0),
            4 => {
                let end = (at + 1 + numbers.below(64)).min(out.len());
                let part = out.get(at..end).unwrap_or_default().to_vec();
                out.splice(at..at, part);
            }
            5 => {
                let from = numbers.below(other.len());
                let part = other.iter().skip(from).take(64).copied().collect::<Vec<_>>();
                out.splice(at..at, part);
            }
            _ => out.iter_mut().skip(at).take(8).for_each(|byte| *byte = numbers.next() as u8),
        }
    }
    out
}

#[test]
fn broken_samples_neither_panic_nor_hang() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["files", "yara"] {
        for entry in std::fs::read_dir(folder.join(kind)).expect("rules/ can be read") {
            let entry = entry.expect("rules/ can be read");
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).expect("a rule file can be read") });
        }
    }
    let limits = Limits { milliseconds_max: 3_000, ..Limits::default() };
    let kit = Kit::new(RuleSet::compile(files, Language::English).expect("compiles"), limits).expect("compiles");
    let samples: Vec<(String, Vec<u8>)> = kit
        .rules
        .all()
        .iter()
        .flat_map(|rule| rule.samples.iter())
        .filter_map(|sample| {
            let content = base64::engine::general_purpose::STANDARD.decode(sample.content.as_deref()?).ok()?;
            Some((sample.hit.clone()?, content))
        })
        .collect();
    let rounds = std::env::var("GUARITA_HOSTILE").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    for (number, (name, content)) in samples.iter().enumerate() {
        for round in 0..rounds {
            let seed = (number as u64 + 1) * 1_000_003 + round;
            let mut numbers = Numbers(seed);
            let other = &samples[numbers.below(samples.len())].1;
            let broken = mutate(content, other, &mut numbers);
            let start = Instant::now();
            let report = look(&broken, &Job { name: name.clone(), ..Job::default() }, &kit);
            assert!(start.elapsed() < Duration::from_secs(12), "{name}, seed {seed}");
            assert!(report.findings.len() <= 100 && report.gaps.len() <= 20, "{name}, seed {seed}");
        }
    }
}
