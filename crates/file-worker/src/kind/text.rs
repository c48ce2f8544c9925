//! Telling texts apart: markup, mail, cards, shortcuts and scripts.
//!
//! Content decides where it is clear; a text that could be anything is a script only under a script's name.

use super::{Kind, Nature};

/// How much of a text is looked at.
pub const HEAD_BYTES: usize = 64 << 10;
/// How much decides whether it is text at all.
const SNIFF_BYTES: usize = 8 << 10;

/// A first line that hands the file to an interpreter, whatever follows it.
pub fn names_an_interpreter(bytes: &[u8]) -> bool {
    let line = bytes.strip_prefix(b"#!").unwrap_or_default();
    let path = line.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    path.is_some_and(|at| line[at] == b'/')
}

/// No zero bytes and hardly any control characters; UTF-16 counts if it has a mark or looks it.
pub fn looks_like_text(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return bytes.len() >= 4 && utf16_share(bytes, bytes[0] == 0xff) > 80;
    }
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    if head.contains(&0) {
        return head.len() >= 8 && (utf16_share(head, true) > 95 || utf16_share(head, false) > 95);
    }
    let control = head.iter().filter(|b| matches!(b, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)).count();
    let high = head.iter().filter(|b| **b >= 0x80).count();
    if high * 3 > head.len() && !mostly_utf8(head) {
        return false;
    }
    control * 33 <= head.len() || is_padded_text(head)
}

/// Short texts padded with control characters (to fool a sniffer) are text still.
fn is_padded_text(head: &[u8]) -> bool {
    let start = head.iter().take_while(|b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)).count();
    start >= 16 && head[start..].windows(2).all(|w| w[0] == w[1])
}

fn mostly_utf8(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => bytes.len() - error.valid_up_to() < 4,
    }
}

/// Percentage of 16-bit units (of the first 2 KiB) that are ordinary characters.
fn utf16_share(bytes: &[u8], little: bool) -> usize {
    let units = bytes[..bytes.len().min(2048)]
        .chunks_exact(2)
        .map(|c| if little { u16::from_le_bytes([c[0], c[1]]) } else { u16::from_be_bytes([c[0], c[1]]) });
    let (mut good, mut all) = (0, 0);
    for unit in units {
        all += 1;
        good += usize::from(matches!(unit, 9 | 10 | 13 | 0x20..=0x7e | 0xa0..=0x24f | 0xfeff));
    }
    good * 100 / usize::max(all, 1)
}

/// The first 64 KiB as text, whatever the encoding, with marks removed.
pub fn head_text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    decode(head)
}

/// UTF-16 (with a mark, or by its zeros), else UTF-8 with Latin-1 as the fallback for single bytes.
pub fn decode(bytes: &[u8]) -> String {
    let utf16 = |little: bool, from: usize| {
        let units: Vec<u16> = bytes[from..]
            .chunks_exact(2)
            .map(|c| if little { u16::from_le_bytes([c[0], c[1]]) } else { u16::from_be_bytes([c[0], c[1]]) })
            .collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, ..] => utf16(true, 2),
        [0xfe, 0xff, ..] => utf16(false, 2),
        [0xef, 0xbb, 0xbf, rest @ ..] => decode_bytes(rest),
        _ if bytes.len() >= 8 && bytes[..bytes.len().min(SNIFF_BYTES)].contains(&0) => {
            if utf16_share(bytes, true) > 95 {
                utf16(true, 0)
            } else if utf16_share(bytes, false) > 95 {
                utf16(false, 0)
            } else {
                decode_bytes(bytes)
            }
        }
        _ => decode_bytes(bytes),
    }
}

fn decode_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) if bytes.len() - error.valid_up_to() < 4 => String::from_utf8_lossy(bytes).into_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

/// The kind of a text.
pub fn detect(bytes: &[u8], extension: &str) -> Kind {
    let text = head_text(bytes);
    let lower = text.to_ascii_lowercase();
    let start = lower.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n', '\0', '\u{c}']);
    if let Some(kind) = by_first_words(start) {
        return by_name_if_script(kind, extension);
    }
    if let Some(kind) = by_markup(start, extension) {
        return kind;
    }
    if let Some(kind) = by_lines(start, &lower, extension) {
        return kind;
    }
    if let Some(kind) = script_by_name(extension) {
        return kind;
    }
    if let Some(kind) = script_by_content(start) {
        return kind;
    }
    match extension {
        "csv" | "tsv" => Kind::Csv,
        "json" if start.starts_with(['{', '[']) => Kind::Json,
        _ if start.starts_with('{') && looks_like_json(start) => Kind::Json,
        _ => Kind::Text,
    }
}

/// Beginnings that leave no doubt.
const FIRST_WORDS: &[(&str, Kind)] = &[
    ("{\\rt", Kind::Rtf),
    ("%!ps", Kind::PostScript),
    ("<?php", Kind::Php),
    ("<?=", Kind::Php),
    ("begin:vcard", Kind::Vcard),
    ("begin:vcalendar", Kind::Calendar),
    ("[internetshortcut", Kind::UrlShortcut),
    ("[{000214a0-0000-0000-c000-000000000046}", Kind::UrlShortcut),
    ("[desktop entry]", Kind::DesktopEntry),
    ("[shell]", Kind::Scf),
    ("[autorun]", Kind::Inf),
    ("windows registry editor version", Kind::Reg),
    ("regedit4", Kind::Reg),
    ("#@~^", Kind::JsEncoded),
    ("-----begin ", Kind::Pem),
    ("=ybegin ", Kind::Yenc),
    ("(this file must be converted with binhex", Kind::BinHex),
    ("id;p", Kind::Sylk),
    ("d8:announce", Kind::Torrent),
    ("@echo ", Kind::Batch),
    ("@echo off", Kind::Batch),
    ("# disk descriptorfile", Kind::Vmdk),
];

fn by_first_words(start: &str) -> Option<Kind> {
    if let Some(line) = start.strip_prefix("#!") {
        let line = line.lines().next().unwrap_or_default().trim();
        if line.starts_with('/') {
            let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
            return Some(if has(&["python"]) {
                Kind::Python
            } else if has(&["perl"]) {
                Kind::Perl
            } else if has(&["ruby"]) {
                Kind::Ruby
            } else if has(&["php"]) {
                Kind::Php
            } else if has(&["node", "deno", "bun"]) {
                Kind::JavaScript
            } else if has(&["pwsh"]) {
                Kind::PowerShell
            } else if has(&["sh"]) {
                Kind::Shell
            } else {
                Kind::OtherScript
            });
        }
    }
    if start.starts_with("begin ") && start.get(6..9).is_some_and(|mode| mode.bytes().all(|b| b.is_ascii_digit())) {
        return Some(Kind::Uu);
    }
    FIRST_WORDS.iter().find(|(words, _)| start.starts_with(words)).map(|(_, kind)| *kind)
}

/// An encoded script's language, and a shell script called `.command`, are told by the name.
fn by_name_if_script(kind: Kind, extension: &str) -> Kind {
    match (kind, extension) {
        (Kind::JsEncoded, "vbe" | "vbs") => Kind::VbEncoded,
        _ => kind,
    }
}

/// Root elements (or first elements) that make a markup file what it is. Looked for in the first 64 KiB.
const XML_ROOTS: &[(&str, Kind)] = &[
    ("svg", Kind::Svg),
    ("html", Kind::Html),
    ("jnlp", Kind::Jnlp),
    ("package", Kind::Wsf),
    ("job", Kind::Wsf),
    ("component", Kind::Wsf),
    ("scriptlet", Kind::Wsf),
    ("librarydescription", Kind::LibraryMs),
    ("searchconnectordescription", Kind::LibraryMs),
    ("persistedquery", Kind::LibraryMs),
    ("pcsettings", Kind::SettingContent),
    ("mmc_consolefile", Kind::Mmc),
    ("appinstaller", Kind::ClickOnce),
];

fn by_markup(start: &str, extension: &str) -> Option<Kind> {
    if !start.starts_with('<') {
        // A page may begin with words, a script tag may stand far down; a name and a tag together are enough.
        let named_html = matches!(extension, "html" | "htm" | "xhtml" | "shtml" | "stm" | "shtm" | "xht");
        if named_html {
            return Some(Kind::Html);
        }
        return (extension == "hta").then_some(Kind::Hta);
    }
    if extension == "hta" || start.contains("<hta:application") {
        return Some(Kind::Hta);
    }
    if matches!(extension, "html" | "htm" | "xhtml" | "shtml" | "stm" | "shtm" | "xht") {
        return Some(Kind::Html);
    }
    let root = first_element(start);
    let is_xml = start.starts_with("<?xml");
    let local = root.rsplit(':').next().unwrap_or_default();
    if start.starts_with("<!doctype html") {
        return Some(Kind::Html);
    }
    if let Some((_, kind)) = XML_ROOTS.iter().find(|(name, _)| *name == local) {
        // These words are common element names; only with a script in them are they scripts.
        if *kind != Kind::Wsf || (start.contains("<script") && !start.contains("<html")) {
            return Some(*kind);
        }
    }
    match local {
        // A profile brings certificates, proxies and a manager for the whole device.
        "plist" if start.contains("<key>payloadtype</key>") && start.contains("<key>payloadcontent</key>") => {
            return Some(Kind::AppleProfile);
        }
        "plist" if matches!(extension, "webloc" | "inetloc" | "fileloc") || plist_is_shortcut(start) => {
            return Some(Kind::Webloc);
        }
        "assembly" if start.contains("<deployment") => return Some(Kind::ClickOnce),
        "project" if start.contains("<usingtask") || start.contains("<exec ") => return Some(Kind::MsProject),
        _ => {}
    }
    if is_xml {
        return Some(match extension {
            "svg" => Kind::Svg,
            _ if start.len() < 200 && start.contains("<svg") => Kind::Svg,
            _ => Kind::Xml,
        });
    }
    const HTML: &[&str] = &[
        "head", "body", "script", "iframe", "title", "meta", "style", "div", "table", "form", "center", "frameset",
        "font", "p", "a", "br", "img", "h1", "h2", "h3", "b", "link", "embed", "object", "input", "base", "noscript",
    ];
    // Under a name of XML a browser reads it as XML, where these words mean nothing.
    let named_xml = Kind::Xml.extensions().contains(&extension) && extension != "txt";
    if HTML.contains(&local) && !named_xml {
        return Some(Kind::Html);
    }
    if start.starts_with("<%") {
        return Some(Kind::OtherScript);
    }
    if start.starts_with("<!--") && (start.contains("<html") || start.contains("<script")) {
        return Some(Kind::Html);
    }
    (!root.is_empty() && start.contains("</")).then_some(Kind::Xml)
}

fn plist_is_shortcut(start: &str) -> bool {
    start.contains("<key>url</key>") && start.len() < 4096
}

/// Name of the first element after declarations, doctypes and comments.
fn first_element(start: &str) -> &str {
    let mut rest = start;
    for _ in 0..64 {
        let Some(open) = rest.find('<') else { return "" };
        rest = &rest[open + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            match comment.find("-->") {
                Some(end) => rest = &comment[end + 3..],
                None => return "",
            }
        } else if rest.starts_with("!doctype") && rest.bytes().take(4096).any(|byte| byte == b'[') {
            // An internal subset holds `<!entity …>`; the root comes after `]>`.
            let close = rest.find('>').unwrap_or(0);
            if rest.find('[').is_some_and(|at| at < close) {
                match rest.find("]>").or_else(|| rest.find(']')) {
                    Some(end) => rest = &rest[end..],
                    None => return "",
                }
            }
        } else if !rest.starts_with(['?', '!']) {
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.'))).unwrap_or(rest.len());
            return &rest[..end];
        }
    }
    ""
}

fn by_lines(start: &str, lower: &str, extension: &str) -> Option<Kind> {
    let lines = || lower.lines().map(str::trim).filter(|line| !line.is_empty()).take(200);
    if let Some(kind) = mail_kind(start, extension) {
        return Some(kind);
    }
    if lines().any(|line| line == "[internetshortcut]") {
        return Some(Kind::UrlShortcut);
    }
    if lines().take(20).any(|line| line == "[desktop entry]") {
        return Some(Kind::DesktopEntry);
    }
    if lines().take(40).any(|line| line.starts_with("full address:s:")) {
        return Some(Kind::Rdp);
    }
    // Most setup scripts only list files; these sections do something when one is opened or installed.
    const ACTING: &[&str] = &[
        "[defaultinstall",
        "[autorun",
        "runpresetupcommands",
        "runpostsetupcommands",
        "registerocxs",
        "registerdlls",
        "addreg",
        "addservice",
    ];
    let setup = extension == "inf" || lines().any(|l| l == "[version]") && lower.contains("signature");
    if setup && ACTING.iter().any(|section| lower.contains(section)) {
        return Some(Kind::Inf);
    }
    let mut first = lines();
    if first.next() == Some("web") && first.next() == Some("1") && lower.contains("http") {
        return Some(Kind::WebQuery);
    }
    let uu = lines().take(200).any(|line| {
        line.strip_prefix("begin ")
            .and_then(|rest| rest.get(..4))
            .is_some_and(|mode| mode.trim().bytes().all(|b| b.is_ascii_digit()))
    });
    if uu && lower.contains("\nend") {
        return Some(Kind::Uu);
    }
    None
}

/// Headers of a mail before the first empty line.
fn mail_kind(start: &str, extension: &str) -> Option<Kind> {
    let mut known = 0;
    let mut is_archive = false;
    let mbox = start.starts_with("from ")
        && start.lines().nth(1).is_some_and(|line| line.contains(": ") || line.ends_with(':'));
    for (number, line) in start.lines().take(100).enumerate() {
        if line.is_empty() {
            break;
        }
        if number == 0 && mbox {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            is_archive |= line.contains("multipart/related");
            continue;
        }
        let (field, value) = line.split_once(':')?;
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        const FIELDS: &[&str] = &[
            "from",
            "to",
            "cc",
            "subject",
            "date",
            "received",
            "return-path",
            "message-id",
            "mime-version",
            "content-type",
            "delivered-to",
            "reply-to",
            "sender",
            "x-mailer",
            "content-transfer-encoding",
            "x-priority",
            "in-reply-to",
        ];
        known += usize::from(FIELDS.contains(&field));
        is_archive |= field == "content-type" && value.contains("multipart/related");
    }
    // Under a mail's name it opens in a mail program.
    let web_page = is_archive
        && extension != "eml"
        && !start.contains("\nreceived:")
        && (start.contains("\nsnapshot-content-location") || !start.contains("\nto:"));
    match known {
        0 | 1 if !mbox => None,
        _ if web_page => Some(Kind::Mht),
        _ => Some(Kind::Eml),
    }
}

/// A plain text under a script's name is that script: whoever opens it runs it.
fn script_by_name(extension: &str) -> Option<Kind> {
    let kind =
        Kind::ALL.iter().find(|kind| kind.mime().starts_with("text/") && kind.extensions().contains(&extension))?;
    let script = kind.nature() == Nature::Program && *kind != Kind::Rtf;
    match extension {
        "ws" | "run" | "cls" | "bas" if !script => None,
        _ => script.then_some(*kind),
    }
}

/// Signs that only a script has, for files whose name says nothing. Each group needs two.
fn script_by_content(start: &str) -> Option<Kind> {
    const SIGNS: &[(Kind, &[&str])] = &[
        (
            Kind::VbScript,
            &[
                "createobject(\"wscript.shell\")",
                "createobject(\"scripting.filesystemobject\")",
                "on error resume next",
                "wscript.createobject",
                "wscript.sleep",
                "\nend sub",
                "\nend function",
                "createobject(\"msxml2",
                "createobject(\"adodb",
                "getobject(\"winmgmts",
                "executeglobal ",
                "\ndim ",
            ],
        ),
        (
            Kind::JavaScript,
            &[
                "new activexobject(",
                "wscript.createobject(",
                "wscript.shell",
                "wscript.quit(",
                "string.fromcharcode(",
                "eval(",
                "\nvar ",
                "function(",
                "=> {",
                "require(",
                "module.exports",
                "document.createelement(",
                "window.location",
            ],
        ),
        (
            Kind::PowerShell,
            &[
                "invoke-expression",
                "iex (",
                "iex(",
                "new-object net.webclient",
                "new-object system.net.webclient",
                "downloadstring(",
                "downloadfile(",
                "[system.convert]::frombase64string",
                "invoke-webrequest",
                "start-process ",
                "set-executionpolicy",
                "powershell -",
                "powershell.exe -",
                "$env:",
                "add-type ",
                "[reflection.assembly]",
            ],
        ),
        (
            Kind::Batch,
            &[
                "\nsetlocal",
                "%~dp0",
                "\ngoto ",
                "cmd /c ",
                "cmd.exe /c",
                "start /b",
                "%temp%",
                "%appdata%",
                "certutil ",
                "bitsadmin",
                "reg add ",
                "schtasks ",
                "powershell -",
                "mshta ",
                "\nset ",
                ">nul",
            ],
        ),
    ];
    if start.starts_with("rem ") || start.starts_with("@rem ") || start.starts_with("@setlocal") {
        return Some(Kind::Batch);
    }
    let prose = start.starts_with('#') || start.contains("\n## ") || start.contains("\n```");
    let mut best = None;
    for (kind, signs) in SIGNS {
        let count = signs.iter().filter(|sign| start.contains(**sign)).count();
        let needed = if prose {
            5
        } else if *kind == Kind::JavaScript {
            4
        } else {
            3
        };
        if count >= needed && best.is_none_or(|(most, _)| count > most) {
            best = Some((count, *kind));
        }
    }
    best.map(|(_, kind)| kind)
}

fn looks_like_json(start: &str) -> bool {
    start[1..].trim_start().starts_with(['"', '}']) && start.contains("\":")
}
