//! Finding links in texts, and judging them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use guarita_fuzz::RULES;
use guarita_inspect::{LinkContext, find_links, inspect_link};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut last = 0;
    for link in find_links(&text) {
        let (start, end) = link.span;
        assert!(start >= last && end > start && text.get(start..end).is_some(), "spans are in order, on characters");
        last = start;
        let context = LinkContext { in_text: true, shown: link.shown.clone(), ..LinkContext::default() };
        let seen = inspect_link(&link.url, "/text", Some(link.span), &context, &RULES, None);
        assert!((0.0..=1.0).contains(&seen.score));
    }
    inspect_link(&text, "/url", None, &LinkContext::default(), &RULES, None);
});
