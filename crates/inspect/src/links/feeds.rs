//! The formats in which others publish what to deny: bytes in, list entries out.
//!
//! A line that cannot be read is counted and left out; a feed is somebody else's text and never stops an import. Knows
//! nothing of where a feed comes from.

use super::lists::{ListEntry, ListKind, ListSide};
use serde_json::Value;

/// A published format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Our own: a domain, host, link or hash a line, `#` comments.
    Plain,
    /// URLhaus CSV: `"id","dateadded","url",…`. Everything in it spreads malware.
    UrlhausCsv,
    /// OpenPhish: a link a line.
    OpenPhish,
    PhishTankJson,
    PhishTankCsv,
    /// `0.0.0.0 evil.example`.
    Hosts,
    /// A MISP warning list (`{"list": […]}`) or event (`{"Event": {"Attribute": […]}}`).
    Misp,
    /// Adblock: `||evil.example^`; cosmetic and exception lines are left out.
    Adblock,
}

impl Feed {
    /// Name on the command line, and format.
    pub const ALL: &'static [(&'static str, Feed)] = &[
        ("plain", Feed::Plain),
        ("urlhaus", Feed::UrlhausCsv),
        ("openphish", Feed::OpenPhish),
        ("phishtank-json", Feed::PhishTankJson),
        ("phishtank-csv", Feed::PhishTankCsv),
        ("hosts", Feed::Hosts),
        ("misp", Feed::Misp),
        ("adblock", Feed::Adblock),
    ];

    /// The format that `bytes` look like.
    pub fn detect(bytes: &[u8]) -> Feed {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(8192)]);
        let start = head.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with(['{', '[']) && !start.starts_with("[Adblock") {
            return if head.contains("phish_id") { Feed::PhishTankJson } else { Feed::Misp };
        }
        let lines = || head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines().next().unwrap_or_default();
        if first.starts_with("phish_id,") {
            Feed::PhishTankCsv
        } else if first.starts_with('"') && head.contains("urlhaus") {
            Feed::UrlhausCsv
        } else if start.starts_with("[Adblock") || start.starts_with('!') || lines().any(|line| line.starts_with("||"))
        {
            Feed::Adblock
        } else if lines().any(|line| line.starts_with("0.0.0.0 ") || line.starts_with("127.0.0.1")) {
            Feed::Hosts
        } else {
            Feed::Plain
        }
    }
}

/// What a feed held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedEntries {
    pub entries: Vec<ListEntry>,
    /// Lines or records that could not be read.
    pub skipped: usize,
    /// Number of the first of them (1-based), to look it up.
    pub first_skipped: Option<usize>,
}

impl FeedEntries {
    fn take(&mut self, number: usize, entry: Option<ListEntry>) {
        match entry {
            Some(entry) => self.entries.push(entry),
            None => {
                self.skipped += 1;
                self.first_skipped.get_or_insert(number);
            }
        }
    }
}

/// Reads a feed. `side` is what its entries say, but URLhaus lists malware whatever `side` is (unless it is an allow list).
pub fn parse_feed(feed: Feed, side: ListSide, bytes: &[u8]) -> FeedEntries {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let mut out = FeedEntries::default();
    match feed {
        Feed::Plain | Feed::OpenPhish => lines(text, &["#"]).for_each(|(number, line)| {
            let line = line.split(" #").next().unwrap_or_default();
            out.take(number, ListEntry::read(side, line));
        }),
        Feed::UrlhausCsv => {
            let side = if side == ListSide::Allow { side } else { ListSide::DenyMalware };
            csv(text, &mut out, side, &["url"], 2);
        }
        Feed::PhishTankCsv => csv(text, &mut out, side, &["url"], 1),
        Feed::Hosts => lines(text, &["#", "!"]).for_each(|(number, line)| hosts_line(&mut out, side, number, line)),
        Feed::Adblock => {
            lines(text, &["!", "[", "@@"]).for_each(|(number, line)| adblock_line(&mut out, side, number, line))
        }
        Feed::PhishTankJson | Feed::Misp => json(text, &mut out, side),
    }
    out
}

/// Lines worth reading with their numbers.
fn lines<'t>(text: &'t str, comments: &'t [&str]) -> impl Iterator<Item = (usize, &'t str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !comments.iter().any(|mark| line.starts_with(mark)))
}

/// `column` is used until a header names one of `names`.
fn csv(text: &str, out: &mut FeedEntries, side: ListSide, names: &[&str], mut column: usize) {
    for (number, line) in text.lines().enumerate() {
        let header = line.trim_start_matches('#').trim();
        let fields = csv_fields(if line.starts_with('#') { header } else { line });
        if let Some(named) = fields.iter().position(|field| names.contains(&field.to_ascii_lowercase().as_str())) {
            column = named;
        } else if !line.starts_with('#') && !line.trim().is_empty() {
            out.take(number + 1, fields.get(column).and_then(|url| ListEntry::read(side, url)));
        }
    }
}

fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if let Some(field) = fields.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

/// Hosts files also name the machine itself; those lines are no entries and no mistakes.
fn hosts_line(out: &mut FeedEntries, side: ListSide, number: usize, line: &str) {
    const OWN_NAMES: &[&str] =
        &["localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "0.0.0.0"];
    let mut names = line.split('#').next().unwrap_or_default().split_whitespace();
    let first = names.next().unwrap_or_default();
    let is_address = first.parse::<std::net::IpAddr>().is_ok();
    let named: Vec<&str> = if is_address { names.collect() } else { vec![first] };
    for name in named.into_iter().filter(|name| !OWN_NAMES.contains(name) && !name.starts_with("ip6-")) {
        let entry = ListEntry::read(side, name).map(|entry| ListEntry { kind: ListKind::Host, ..entry });
        out.take(number, entry);
    }
}

fn adblock_line(out: &mut FeedEntries, side: ListSide, number: usize, line: &str) {
    if line.contains("##") || line.contains("#@#") || line.contains("#?#") {
        return;
    }
    let rule =
        line.split('$').next().unwrap_or_default().trim_start_matches('|').trim_end_matches('|').trim_end_matches('^');
    if rule.contains('*') {
        return out.take(number, None);
    }
    out.take(number, ListEntry::read(side, rule));
}

/// PhishTank's array of records, a MISP warning list or a MISP event: wherever a record has a readable value, it counts.
fn json(text: &str, out: &mut FeedEntries, side: ListSide) {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        out.skipped = 1;
        out.first_skipped = Some(1);
        return;
    };
    let mut number = 0;
    let mut take = |written: &str| {
        number += 1;
        out.take(number, ListEntry::read(side, written));
    };
    if let Some(list) = document.get("list").and_then(Value::as_array) {
        list.iter().filter_map(Value::as_str).for_each(take);
        return;
    }
    let attributes = |value: &Value| value.get("Attribute").and_then(Value::as_array).cloned().unwrap_or_default();
    let event = document.get("Event").unwrap_or(&document);
    let objects = event.get("Object").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut records = document.as_array().cloned().unwrap_or_default();
    records.extend(attributes(event));
    records.extend(objects.iter().flat_map(attributes));
    for record in &records {
        let kind = record.get("type").and_then(Value::as_str).unwrap_or("url");
        let value = record.get("url").or_else(|| record.get("value")).or(Some(record)).and_then(Value::as_str);
        if let Some(value) = value
            && matches!(
                kind,
                "url" | "uri" | "domain" | "hostname" | "sha256" | "link" | "ip-dst" | "domain|ip" | "filename|sha256"
            )
        {
            let part = match kind {
                "domain|ip" => value.split('|').next(),
                "filename|sha256" => value.rsplit('|').next(),
                _ => Some(value),
            };
            take(part.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(feed: Feed, text: &str, expect: &[&str], skipped: usize) {
        let read = parse_feed(feed, ListSide::Deny, text.as_bytes());
        let shown: Vec<String> = read.entries.iter().map(|e| format!("{:?} {}", e.kind, e.value)).collect();
        assert_eq!(shown, expect, "{feed:?}");
        assert_eq!(read.skipped, skipped, "{feed:?}");
        assert_eq!(Feed::detect(text.as_bytes()), feed);
    }

    #[test]
    fn every_format_is_detected_and_read() {
        check(
            Feed::Plain,
            "# ours\nevil.example.com\nhttps://a.example.net/x # why\nhost b.example.net\n",
            &["Domain evil.example.com", "UrlPrefix a.example.net/x", "Host b.example.net"],
            0,
        );
        check(
            Feed::UrlhausCsv,
            "# id,dateadded,url,url_status\n\"1\",\"2026-01-01\",\"http://198.51.100.7/a.exe\",\"online\",\"https://urlhaus.example/1\"\n\"2\",\"x\"\n",
            &["UrlPrefix 198.51.100.7/a.exe"],
            1,
        );
        check(
            Feed::PhishTankCsv,
            "phish_id,url,detail\n1,\"http://evil.example.com/a,b\",x\n",
            &["UrlPrefix evil.example.com/a,b"],
            0,
        );
        check(
            Feed::PhishTankJson,
            r#"[{"phish_id":1,"url":"https://evil.example.com/login","verified":"yes"}]"#,
            &["UrlPrefix evil.example.com/login"],
            0,
        );
        check(
            Feed::Hosts,
            "127.0.0.1 localhost\n0.0.0.0 evil.example.com other.example.com # both\n",
            &["Host evil.example.com", "Host other.example.com"],
            0,
        );
        check(
            Feed::Misp,
            r#"{"name":"x","type":"hostname","list":["evil.example.com",".other.example.com"]}"#,
            &["Domain evil.example.com", "Domain other.example.com"],
            0,
        );
        check(
            Feed::Misp,
            r#"{"Event":{"Attribute":[{"type":"domain","value":"evil.example.com"},{"type":"comment","value":"no"}],"Object":[{"Attribute":[{"type":"url","value":"http://a.example.com/x"}]}]}}"#,
            &["Domain evil.example.com", "UrlPrefix a.example.com/x"],
            0,
        );
        check(
            Feed::Adblock,
            "[Adblock Plus 2.0]\n! title\n||evil.example.com^\n||a.example.com/ads/$image\n@@||good.example^\nexample.com##.ad\n||*wild^\n",
            &["Domain evil.example.com", "UrlPrefix a.example.com/ads/"],
            1,
        );
    }

    #[test]
    fn urlhaus_lists_malware() {
        let read = parse_feed(Feed::UrlhausCsv, ListSide::Deny, b"\"1\",\"d\",\"http://evil.example.com/x\"");
        assert_eq!(read.entries[0].side, ListSide::DenyMalware);
    }

    #[test]
    fn broken_feeds_are_counted_not_fatal() {
        for (_, feed) in Feed::ALL {
            for bytes in [&b"{"[..], b"\xff\xfe\x00", b"\"", b",,,,", b"[[[[", b"||", b"0.0.0.0"] {
                let _ = parse_feed(*feed, ListSide::Deny, bytes);
            }
        }
    }
}
