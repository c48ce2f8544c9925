//! OpenDocument files, as the walk unpacks them: macros in Basic or other languages, what starts by itself, encryption.

use super::bytes::{contains_ignoring_case, cut, lossy};
use super::links;
use super::markup::{Token, attribute, local_name, tokens, unescape};
use super::office_ole::say_encrypted;
use super::report::Report;

const PART_BYTES_MAX: usize = 32 << 20;
const TOKENS_MAX: usize = 2_000_000;

pub fn inspect(path: &str, data: &[u8], report: &mut dyn Report) {
    let path = path.replace('\\', "/").to_ascii_lowercase();
    let data = data.get(..PART_BYTES_MAX.min(data.len())).unwrap_or_default();
    if path == "meta-inf/manifest.xml" && contains_ignoring_case(data, b"encryption-data") {
        return say_encrypted("OpenDocument", report);
    }
    if path.starts_with("scripts/")
        || path.starts_with("basic/") && path.ends_with(".xml") && contains_ignoring_case(data, b"<script:module")
    {
        return report.fact("files/office-macro", cut(&path, 100));
    }
    if path.ends_with("content.xml") || path.ends_with("styles.xml") {
        content(&lossy(data), report);
    }
}

fn content(text: &str, report: &mut dyn Report) {
    for token in tokens(text).take(TOKENS_MAX) {
        let Token::Tag { name, attributes: raw, closes: false } = token else { continue };
        let href = || unescape(attribute(raw, "xlink:href").unwrap_or_default());
        match local_name(name) {
            // An event that calls a macro when the document opens.
            "event-listener" => {
                let event = attribute(raw, "script:event-name").unwrap_or_default();
                let runs = href().starts_with("vnd.sun.star.script:") || raw.contains("macro-name");
                if runs
                    && (event.ends_with(":load")
                        || event.contains("on-load")
                        || event.contains("load-finished")
                        || event.contains(":open")
                        || event.contains("OnLoad"))
                {
                    report.fact("files/office-macro-autorun", cut(event, 80));
                } else if runs {
                    report.fact("files/office-macro", cut(event, 80));
                }
            }
            "dde-connection-decl" | "dde-source" => {
                let service = attribute(raw, "office:dde-application").unwrap_or_default();
                let topic = attribute(raw, "office:dde-topic").unwrap_or_default();
                super::office_ole::say_dde(&format!("{service}|{topic}"), report);
            }
            "a" => links::say(&href(), report),
            "object" | "object-ole" if href().starts_with("http") => {
                report.fact("files/office-remote-object", cut(&href(), 140))
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn parts_of_an_open_document() {
        let check = |path: &str, data: &str, expect: &[&str]| {
            let mut seen = Seen::default();
            inspect(path, data.as_bytes(), &mut seen);
            assert_eq!(seen.rules(), expect, "{path} {data}");
        };
        check("META-INF/manifest.xml", "<manifest:encryption-data/>", &["files/encrypted-document"]);
        check("META-INF/manifest.xml", "<manifest:file-entry/>", &[]);
        check("Basic/Standard/Module1.xml", "<script:module>Sub Main</script:module>", &["files/office-macro"]);
        check("Basic/script-lc.xml", "<library:libraries/>", &[]);
        check("Scripts/python/x.py", "import os", &["files/office-macro"]);
        check(
            "content.xml",
            "<script:event-listener script:event-name='dom:load' xlink:href='vnd.sun.star.script:Standard.M.Main'/>",
            &["files/office-macro-autorun"],
        );
        check(
            "content.xml",
            "<script:event-listener script:event-name='office:on-load' xlink:href='vnd.sun.star.script:Standard.M.Main'/>",
            &["files/office-macro-autorun"],
        );
        check("content.xml", "<text:a xlink:href='https://example.com'>x</text:a>", &[]);
    }
}
