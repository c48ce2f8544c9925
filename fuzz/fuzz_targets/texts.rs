//! Judging texts: scams, stolen codes, cards and secrets. What is to be covered lies on characters' edges.

#![no_main]

use libfuzzer_sys::fuzz_target;
use guarita_fuzz::RULES;
use guarita_inspect::{TextContext, inspect_text};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let seen = inspect_text(&text, "/text", &TextContext::default(), &RULES);
    for finding in &seen.findings {
        if let Some((start, end)) = finding.span {
            assert!(text.get(start..end).is_some(), "{} covers {start}..{end}", finding.rule);
        }
    }
    assert!((0.0..=1.0).contains(&seen.score));
});
