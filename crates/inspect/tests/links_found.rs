//! Finding links, line by line: `links_found.txt` holds the texts, and what a phone would make tappable in them.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use guarita_inspect::find_links;

#[test]
fn every_line_is_found_as_it_says() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for (number, line) in include_str!("links_found.txt").lines().enumerate() {
        let Some((text, expect)) = line.rsplit_once(" =>").filter(|_| !line.starts_with('#')) else { continue };
        lines += 1;
        let text = unescaped(text);
        let found = find_links(&text);
        let shown: Vec<&str> = found.iter().map(|link| link.url.as_str()).collect();
        if shown != expect.split_whitespace().collect::<Vec<_>>() {
            wrong.push(format!("{}: {text:?} => {}", number + 1, shown.join(" ")));
        }
        // What is defanged later is this range of the text.
        let spans_fit = found.windows(2).all(|two| two[0].span.1 <= two[1].span.0)
            && found.iter().all(|link| text.get(link.span.0..link.span.1).is_some_and(|covered| !covered.is_empty()));
        assert!(spans_fit, "{text:?}");
    }
    assert!(lines > 200, "the table was read");
    assert!(wrong.is_empty(), "{} of {lines}:\n{}", wrong.len(), wrong.join("\n"));
}

/// `\u{…}`, `\n` and `\t`; any other backslash stands for itself.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(hex) = rest.strip_prefix("\\u{") {
            let end = hex.find('}').unwrap();
            out.push(char::from_u32(u32::from_str_radix(&hex[..end], 16).unwrap()).unwrap());
            rest = &hex[end + 1..];
        } else if let Some(after) = rest.strip_prefix("\\n") {
            out.push('\n');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\t") {
            out.push('\t');
            rest = after;
        } else {
            out.push('\\');
            rest = &rest[1..];
        }
    }
    out + rest
}
