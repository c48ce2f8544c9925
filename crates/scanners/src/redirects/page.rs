//! Where a page sends its reader: `meta refresh`, the plainest of scripts, and the links on it. A search for a few words
//! in a bounded run of bytes, not a reading of HTML: what is missed is missed, and nothing is built from it.

/// Longest address taken from a page.
const TARGET_BYTES_MAX: usize = 2048;
/// Scripts' ways of going elsewhere, as they stand before the address.
const GOES: &[&str] = &[
    "location.replace(",
    "location.assign(",
    "location.href=",
    "location.href =",
    "location=",
    "location =",
    "window.open(",
];

/// The address that a page goes to by itself.
pub(super) fn sends_on(page: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(page);
    let lower = text.to_ascii_lowercase();
    let meta = lower.match_indices("http-equiv").take(8).find_map(|(at, _)| {
        let from = lower[..at].rfind('<')?;
        let to = at + lower[at..].find('>')?;
        if !lower[at..to].contains("refresh") {
            return None;
        }
        let content = from + lower[from..to].find("content")?;
        target_of_refresh(quoted(&text[content..to])?)
    });
    meta.or_else(|| {
        GOES.iter().find_map(|goes| {
            lower.match_indices(goes).take(4).find_map(|(at, found)| {
                let target = quoted(&text[at + found.len()..])?;
                let plain = target.starts_with("http://") || target.starts_with("https://");
                plain.then(|| target.replace("\\/", "/"))
            })
        })
    })
}

/// `0; url=https://…`, as in a `Refresh` header and in `meta refresh`.
pub(super) fn target_of_refresh(value: &str) -> Option<String> {
    let at = value.to_ascii_lowercase().find("url")?;
    let target = value[at + 3..].trim_start().strip_prefix('=')?.trim();
    let target = target.trim_matches(['"', '\'']);
    let target = plain(target);
    (!target.is_empty() && target.len() <= TARGET_BYTES_MAX).then_some(target)
}

/// The first `most` links to other sites.
pub(super) fn links(page: &[u8], most: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(page);
    let lower = text.to_ascii_lowercase();
    lower
        .match_indices("href=")
        .filter_map(|(at, found)| {
            let target = quoted(&text[at + found.len()..])?;
            let wanted = !target.starts_with(['#', '/']) && target.contains(':') && !target.starts_with("mailto:");
            (wanted && target.len() <= TARGET_BYTES_MAX).then(|| plain(target))
        })
        .take(most)
        .collect()
}

fn plain(target: &str) -> String {
    target.replace("&amp;", "&")
}

/// What stands between the first quotation marks, if they open near.
fn quoted(text: &str) -> Option<&str> {
    const OPENS_WITHIN: usize = 12;
    let open = text.char_indices().take(OPENS_WITHIN).find(|(_, c)| matches!(c, '"' | '\''))?;
    let rest = &text[open.0 + 1..];
    let mut end = rest.len().min(TARGET_BYTES_MAX);
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    let rest = &rest[..end];
    Some(rest[..rest.find(open.1)?].trim()).filter(|inner| !inner.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_send_on() {
        let check =
            |page: &str, expect: Option<&str>| assert_eq!(sends_on(page.as_bytes()).as_deref(), expect, "{page}");
        check(
            "<meta http-equiv=\"refresh\" content=\"0; url=https://a.example/x?a=1&amp;b=2\">",
            Some("https://a.example/x?a=1&b=2"),
        );
        check("<META CONTENT='3;URL=/next' HTTP-EQUIV='Refresh'>", Some("/next"));
        check("<script>window.location.replace('https://a.example/');</script>", Some("https://a.example/"));
        check("<script>location.href = \"https://a.example/y\"</script>", Some("https://a.example/y"));
        check("<meta http-equiv=\"content-type\" content=\"text/html; url=x\">", None);
        check("<a href='https://a.example/'>a</a>", None);
        check("location=", None);
        check("<meta http-equiv=refresh content=", None);
        check("", None);
    }

    #[test]
    fn links_of_a_page() {
        let page = "<a href=\"https://a.example/\">a</a><a href='/own'><a HREF='intent://x#Intent;end'><a href=\"mailto:a@b\">";
        assert_eq!(links(page.as_bytes(), 10), ["https://a.example/", "intent://x#Intent;end"]);
        assert_eq!(links(page.as_bytes(), 1).len(), 1);
    }

    /// Bytes of any kind, cut anywhere.
    #[test]
    fn hostile_pages_are_searched_without_a_panic() {
        let page = "<meta http-equiv='refresh' content='0;url=\u{130}\u{212a}é'>location='é";
        for cut in 0..page.len() {
            let _ = (sends_on(&page.as_bytes()[..cut]), links(&page.as_bytes()[..cut], 3));
        }
        let _ = sends_on(&[0xff; 300]);
        let many = "http-equiv".repeat(20_000);
        assert_eq!(sends_on(many.as_bytes()), None);
    }
}
