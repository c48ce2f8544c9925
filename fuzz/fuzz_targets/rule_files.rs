//! Files that operators write or download: rules, policy, lists. A mistake is an error with a line, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use guarita_inspect::links::{Feed, ListSide, parse_feed};
use guarita_rules::{Language, RuleFile, RuleSet};

const PATHS: &[&str] =
    &["files/a.toml", "links/rules.toml", "links/brands.toml", "texts/a.toml", "texts/pt/a.toml", "yara/a.yar", "lists/a.txt", "policy", "feed"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    match PATHS[usize::from(*first) % PATHS.len()] {
        "feed" => {
            let parsed = parse_feed(Feed::detect(rest), ListSide::Deny, rest);
            assert!(parsed.entries.len() <= rest.len());
        }
        "policy" => {
            let text = String::from_utf8_lossy(rest);
            let _ = guarita_policy::Policy::read(&[("policy.toml", &text)], guarita_policy::OnDeadline::Withhold);
        }
        path => {
            let file = RuleFile { path: path.to_owned(), bytes: rest.to_vec() };
            if let Ok(rules) = RuleSet::compile(vec![file], Language::English) {
                let _ = guarita_file_worker::Kit::new(rules, guarita_file_worker::walk::Limits::default());
            }
        }
    }
});
