//! Contact cards and calendars: their links and notes go to the second round, what they carry in letters is looked at.

use super::bytes::lossy;
use super::links;
use super::report::Report;
use super::script_text::unpack_payloads;

const CARD_BYTES_MAX: usize = 4 << 20;

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..CARD_BYTES_MAX.min(data.len())).unwrap_or_default());
    // A line that starts with a space goes on from the one before.
    let unfolded = text.replace("\r\n ", "").replace("\n ", "").replace("\r\n\t", "");
    // A photo, a sound or a key is written in letters; so is whatever else calls itself one.
    unpack_payloads(&unfolded, report);
    for line in unfolded.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let name =
            key.split(';').next().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_ascii_uppercase();
        let value = value.replace("\\:", ":").replace("\\,", ",").replace("\\n", "\n");
        match name.as_str() {
            "URL" | "SOURCE" | "CALURI" | "FBURL" | "X-SOCIALPROFILE" => links::say(&value, report),
            "NOTE" | "FN" | "ORG" | "TITLE" if !value.trim().is_empty() => report.text(&value),
            _ => {}
        }
    }
}

/// A calendar's words go on, its attachments are looked at.
pub fn inspect_calendar(data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..CARD_BYTES_MAX.min(data.len())).unwrap_or_default());
    unpack_payloads(&text.replace("\r\n ", "").replace("\n ", ""), report);
    links::text(data, report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn links_and_notes_go_on() {
        let mut seen = Seen::default();
        inspect(b"BEGIN:VCARD\r\nFN:Ana\r\nitem1.URL;type=pref:https\\://a.exam\r\n ple/x\r\nNOTE:pay, now\r\nEND:VCARD\r\n", &mut seen);
        assert_eq!(seen.links, ["https://a.example/x"]);
        assert_eq!(seen.texts, ["Ana", "pay, now"]);
    }
}
