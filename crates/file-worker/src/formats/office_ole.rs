//! Old Office documents and every OLE file inside others: macros, embedded files, controls, equations, passwords, DDE.

use super::bytes::{c_string, contains_ignoring_case, cut, index, take, u16_le, u32_le};
use super::links;
use super::ole::Ole;
use super::report::Report;
use super::vba::{self, Project};
use super::xls;
use flate2::read::ZlibDecoder;
use guarita_message::{FileClass, GapReason};
use std::io::Read;

/// Streams handed over or searched in one file.
const OBJECTS_MAX: usize = 64;
const EMBEDDED_BYTES_MAX: u64 = 64 << 20;
const EQUATION_CLSID: [u8; 16] = [0x02, 0xce, 0x02, 0x00, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
/// Programs that a DDE link may start.
const DDE_PROGRAMS: &[&str] = &[
    "cmd",
    "powershell",
    "mshta",
    "msexcel",
    "rundll32",
    "regsvr32",
    "wscript",
    "cscript",
    "certutil",
    "bitsadmin",
    "pwsh",
];

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let raw_workbook = matches!(data, [0x09, 0x00 | 0x02 | 0x04 | 0x08, ..]);
    if raw_workbook {
        // Excel up to 4 wrote its records without a container.
        return read_workbook(data, report);
    }
    let Some(ole) = Ole::parse(data) else {
        // Its own program cannot open it either; the bytes were searched as they are.
        return report.fact("files/document-broken", "the compound file's folder cannot be read");
    };
    if ole.has("EncryptedPackage") {
        return say_encrypted("Office document", report);
    }
    if let Some(project) = vba::project_in(&ole) {
        say_project(&project, report);
    }
    if read_objects(&ole, report) {
        report.fact("files/office-embedded-object", "");
    }
    for name in ["Workbook", "Book"] {
        if let Some(stream) = ole.stream(name)
            && report.spend(stream.len())
        {
            read_workbook(&stream, report);
            links::in_bytes(&stream, report);
        }
    }
    if let Some(stream) = ole.stream("WordDocument")
        && report.spend(stream.len())
    {
        read_word(&stream, report);
    }
    if let Some(stream) = ole.stream("PowerPoint Document")
        && report.spend(stream.len())
    {
        read_powerpoint(&ole, &stream, report);
    }
}

/// Why an encrypted document was not looked into.
pub const NEEDS_PASSWORD: &str = "a password is needed to look inside; the sender has it";

/// Encrypted: nobody but its reader can look inside.
pub fn say_encrypted(what: &str, report: &mut dyn Report) {
    report.fact("files/encrypted-document", what);
    report.gap(GapReason::Encrypted, FileClass::Document, NEEDS_PASSWORD);
}

/// What a Visual Basic project means.
pub fn say_project(project: &Project, report: &mut dyn Report) {
    if project.stomped {
        report.fact("files/office-macro-stomped", "");
    }
    if project.auto_run.is_empty() {
        let seen = if project.has_code { format!("{} modules", project.modules) } else { "no statements".to_owned() };
        report.fact("files/office-macro", &seen);
    } else {
        report.fact("files/office-macro-autorun", &project.auto_run.join(", "));
    }
    if !project.calls.is_empty() {
        report.fact("files/office-macro-calls", &project.calls.join(", "));
    }
}

/// What a DDE link means: `target` is `service|topic`.
pub fn say_dde(target: &str, report: &mut dyn Report) {
    let lower = target.to_ascii_lowercase();
    let starts = DDE_PROGRAMS.iter().any(|program| lower.contains(program)) || lower.contains("ddeauto");
    report.fact(if starts { "files/office-dde" } else { "files/office-dde-link" }, cut(target, 120));
}

fn read_workbook(stream: &[u8], report: &mut dyn Report) {
    let workbook = xls::read(stream);
    if workbook.encrypted {
        say_encrypted("Excel workbook", report);
    }
    say_macro_sheets(&workbook.macro_sheets, workbook.auto_open, report);
    for link in &workbook.dde {
        say_dde(link, report);
    }
}

/// Macro sheets of Excel 4; hidden or self-starting ones have no honest use left.
pub fn say_macro_sheets(sheets: &[(String, bool)], auto_open: bool, report: &mut dyn Report) {
    let Some((name, _)) = sheets.first() else { return };
    let hidden = sheets.iter().any(|(_, hidden)| *hidden);
    let rule = if auto_open || hidden { "files/office-xlm-autorun" } else { "files/office-xlm" };
    report.fact(rule, name);
}

fn read_word(stream: &[u8], report: &mut dyn Report) {
    let flags = u16_le(stream, 10).unwrap_or(0);
    if flags & 0x0100 != 0 {
        return say_encrypted("Word document", report);
    }
    // A field begins with 0x13; its instruction follows in the text's encoding.
    for at in memchr::memchr_iter(0x13, stream) {
        let narrow = lossy_instruction(take(stream, at + 1, 24).unwrap_or_default());
        let wide: Vec<u8> = take(stream, at + 2, 48).unwrap_or_default().iter().step_by(2).copied().collect();
        let wide = lossy_instruction(&wide);
        if let Some(field) = [narrow, wide].into_iter().flatten().next() {
            let wide_text = take(stream, at + 2, 256)
                .unwrap_or_default()
                .iter()
                .copied()
                .filter(|b| (0x20..0x7f).contains(b))
                .map(char::from)
                .collect::<String>();
            say_dde(&format!("{field} {}", cut(wide_text.trim(), 100)), report);
            break;
        }
    }
    links::in_bytes(stream, report);
}

fn lossy_instruction(text: &[u8]) -> Option<&'static str> {
    let text = text.trim_ascii_start();
    if contains_ignoring_case(text.get(..7.min(text.len()))?, b"ddeauto") {
        return Some("DDEAUTO");
    }
    (text.len() > 4 && text[..3].eq_ignore_ascii_case(b"dde") && text[3] == b' ').then_some("DDE")
}

/// Looks at what is embedded; tells whether there is a store of objects.
fn read_objects(ole: &Ole<'_>, report: &mut dyn Report) -> bool {
    let mut count = 0;
    let mut objects = false;
    for entry in &ole.entries {
        let name = entry.name();
        let lower = name.to_ascii_lowercase();
        if !entry.is_stream {
            objects |= lower == "objectpool" || lower.starts_with("mbd") && lower.len() == 11;
            if entry.clsid == EQUATION_CLSID {
                report.fact("files/office-equation", name);
            }
            continue;
        }
        if count >= OBJECTS_MAX || report.stop() {
            break;
        }
        match lower.as_str() {
            "\u{1}ole10native" => {
                let stream = ole.read(entry);
                count += 1;
                if report.spend(stream.len()) {
                    read_native(&stream, report);
                }
            }
            "package" | "package_stream" | "contents" if entry.size > 16 && entry.size < EMBEDDED_BYTES_MAX => {
                let stream = ole.read(entry);
                count += 1;
                if report.spend(stream.len()) {
                    report.child("package", stream);
                }
            }
            "equation native" => report.fact("files/office-equation", name),
            "\u{3}ocxname" | "ocxdata" | "\u{3}ocxdata" => report.fact("files/office-activex", name),
            _ => {}
        }
    }
    if ole.root_clsid == EQUATION_CLSID {
        report.fact("files/office-equation", "");
    }
    objects
}

/// A packaged file: its names, then its bytes.
pub fn read_native(stream: &[u8], report: &mut dyn Report) {
    let Some((name, path, bytes)) = native_file(stream) else {
        // Not a packaged file: the raw data of an older program, most often a picture.
        return report.child("native", stream.get(4..).unwrap_or_default().to_vec());
    };
    let shown = if name.is_empty() { path.clone() } else { name.clone() };
    report.fact("files/office-embedded-file", &shown);
    if path.starts_with("\\\\") || path.to_ascii_lowercase().starts_with("http") {
        report.link(&path);
    }
    report.child(if shown.is_empty() { "package" } else { &shown }, bytes);
}

fn native_file(stream: &[u8]) -> Option<(String, String, Vec<u8>)> {
    // size, type (2), label, file name, (unknown 8), temporary path, size, bytes
    if u16_le(stream, 4)? != 2 {
        return None;
    }
    let mut at = 6;
    let mut next_string = || -> Option<String> {
        let rest = stream.get(at..)?;
        let end = memchr::memchr(0, rest)?;
        let text = c_string(rest.get(..end)?);
        at += end + 1;
        Some(text)
    };
    let plausible = |text: &str| text.len() < 1024 && !text.chars().any(char::is_control);
    let name = next_string().filter(|name| plausible(name) && !name.is_empty())?;
    let path = next_string().filter(|path| plausible(path))?;
    at = at.checked_add(8)?;
    let temporary_end = memchr::memchr(0, stream.get(at..)?)?;
    let size_at = at.checked_add(temporary_end + 1)?;
    let size = index(u32_le(stream, size_at)?).min(stream.len());
    let body = stream.get(size_at + 4..)?;
    let bytes = body.get(..size.min(body.len()))?.to_vec();
    Some((name, path, bytes))
}

/// Records of PowerPoint: embedded objects and Visual Basic projects are zlib streams of OLE files.
fn read_powerpoint(ole: &Ole<'_>, stream: &[u8], report: &mut dyn Report) {
    let token = ole.stream("Current User").and_then(|user| u32_le(&user, 12));
    if ole.has("EncryptedSummary") || token == Some(0xf3d1_c4df) {
        return say_encrypted("PowerPoint presentation", report);
    }
    const OBJECT: u16 = 0x1011;
    let (mut at, mut count) = (0usize, 0);
    while let (Some(version), Some(kind), Some(size)) =
        (u16_le(stream, at), u16_le(stream, at + 2), u32_le(stream, at + 4))
    {
        let container = version & 0x000f == 0x000f;
        if kind == OBJECT && count < OBJECTS_MAX && !report.stop() {
            count += 1;
            let body = take(stream, at + 8, index(size)).unwrap_or_default();
            read_powerpoint_object(version >> 4 == 1, body, report);
        }
        // Containers are entered, everything else is stepped over.
        let step = if container { 8 } else { index(size).saturating_add(8) };
        at = match at.checked_add(step) {
            Some(next) if next < stream.len() => next,
            _ => break,
        };
    }
    links::in_bytes(stream, report);
}

fn read_powerpoint_object(compressed: bool, body: &[u8], report: &mut dyn Report) {
    let mut bytes = Vec::new();
    if compressed {
        let packed = body.get(4..).unwrap_or_default();
        // A broken tail leaves what came before it, which is enough to judge.
        let _ = ZlibDecoder::new(packed).take(EMBEDDED_BYTES_MAX).read_to_end(&mut bytes);
    } else {
        bytes = body.to_vec();
    }
    if !report.spend(bytes.len()) {
        return;
    }
    let Some(object) = Ole::parse(&bytes) else { return };
    if let Some(project) = vba::project_in(&object) {
        say_project(&project, report);
    }
    read_objects(&object, report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::ole::tests::build;
    use crate::formats::report::tests::Seen;
    use crate::formats::vba;

    fn seen(file: &[u8]) -> Seen {
        let mut seen = Seen::default();
        inspect(file, &mut seen);
        seen
    }

    #[test]
    fn macros_by_what_they_do() {
        let check =
            |source: &str, expect: &[&str]| assert_eq!(seen(&vba::tests::project(source)).rules(), expect, "{source}");
        check("Sub AutoOpen()\nShell \"x\"\nEnd Sub", &["files/office-macro-autorun", "files/office-macro-calls"]);
        check("Sub Total()\nEnd Sub", &["files/office-macro"]);
    }

    #[test]
    fn a_packaged_file_is_handed_over() {
        let mut native = vec![0, 0, 0, 0, 2, 0];
        native.extend(b"calc.exe\0C:\\x\\calc.exe\0");
        native.extend([0, 0, 3, 0, 4, 0, 0, 0]);
        native.extend(b"tmp\0");
        native.extend(4u32.to_le_bytes());
        native.extend(b"MZ\x90\0");
        let seen = seen(&build(&[("ObjectPool/_1/\u{1}Ole10Native", &native)]));
        assert!(seen.has("files/office-embedded-file") && seen.has("files/office-embedded-object"), "{:?}", seen.facts);
        assert_eq!(seen.children, [("calc.exe".to_owned(), b"MZ\x90\0".to_vec())]);
    }

    #[test]
    fn passwords_are_said() {
        let mut word = vec![0u8; 64];
        word[11] = 1;
        for file in [build(&[("EncryptedPackage", b"x")]), build(&[("WordDocument", &word)])] {
            let seen = seen(&file);
            assert_eq!(seen.rules(), ["files/encrypted-document"]);
            assert_eq!(seen.gaps, [GapReason::Encrypted]);
        }
    }

    #[test]
    fn fields_that_start_programs() {
        let text: Vec<u8> =
            "\u{13} DDEAUTO c:\\windows\\cmd.exe \"/k calc\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let word = [vec![0u8; 64], text].concat();
        assert_eq!(seen(&build(&[("WordDocument", &word)])).rules(), ["files/office-dde"]);
    }

    #[test]
    fn a_plain_document_says_nothing() {
        assert!(seen(&build(&[("WordDocument", &[0; 64]), ("1Table", b"x")])).facts.is_empty());
    }
}
