//! Visual Basic projects in Office files: unpacks the modules' source (MS-OVBA) and says what it would do: start by
//! itself, call out, or hide. Judges text; where the project came from is its caller's business.

use super::bytes::{find, index, lossy, take, u16_le, u32_le};
use super::ole::Ole;

/// A module's source beyond this is not read; honest ones are a few KiB.
const SOURCE_BYTES_MAX: usize = 4 << 20;
const MODULES_MAX: usize = 500;
/// All modules of a project together; streams of a hostile file may share their sectors.
const PROJECT_BYTES_MAX: usize = 96 << 20;

/// What a project holds.
#[derive(Debug, Default, PartialEq)]
pub struct Project {
    /// Names that run without a click: `AutoOpen`, `Workbook_Open`.
    pub auto_run: Vec<String>,
    /// Calls that reach outside the document: `Shell`, `URLDownloadToFile`.
    pub calls: Vec<String>,
    /// There are statements beyond attributes and options.
    pub has_code: bool,
    /// Compiled code without its source.
    pub stomped: bool,
    pub modules: usize,
}

/// Procedures that Office calls by itself. Events of controls (`_Click`) need a person and are not here, but for the
/// ones that fire when a page shows or a picture loads.
const AUTO_RUN: &[&str] = &[
    "autoexec",
    "autoopen",
    "auto_open",
    "autoclose",
    "auto_close",
    "autonew",
    "autoexit",
    "document_open",
    "document_close",
    "document_new",
    "document_beforeclose",
    "documentopen",
    "documentbeforeclose",
    "document_contentcontrolonenter",
    "workbook_open",
    "workbook_activate",
    "workbook_close",
    "workbook_beforeclose",
    "workbook_beforesave",
    "workbook_windowactivate",
    "worksheet_activate",
    "worksheet_calculate",
    "onslideshowterminate",
    "onslideshowpagechange",
    "auto_ppt",
    "presentation_open",
    "app_presentationopen",
    "inkpicture1_painted",
    "inkpicture1_painting",
    "inkpicture_painted",
    "systemmonitor1_gotfocus",
    "webbrowser1_statustextchange",
    "webbrowser1_documentcomplete",
    "multipage1_layout",
    "multipage_layout",
    "frame1_layout",
    "frame_layout",
    "document_sync",
    "document_xmlafterinsert",
    "imagecombo21_change",
    "toolbar21_change",
    "treeview41_nodecheck",
    "mstcicontrol_connectionready",
];

/// What an honest report macro does not call.
const CALLS: &[(&str, &str)] = &[
    ("shell", "Shell"),
    ("wscript.shell", "WScript.Shell"),
    ("shell.application", "Shell.Application"),
    ("shellexecute", "ShellExecute"),
    ("powershell", "PowerShell"),
    ("cmd.exe", "cmd.exe"),
    ("cmd /c", "cmd /c"),
    ("mshta", "mshta"),
    ("rundll32", "rundll32"),
    ("regsvr32", "regsvr32"),
    ("certutil", "certutil"),
    ("bitsadmin", "bitsadmin"),
    ("urldownloadtofile", "URLDownloadToFile"),
    ("msxml2.xmlhttp", "MSXML2.XMLHTTP"),
    ("microsoft.xmlhttp", "Microsoft.XMLHTTP"),
    ("winhttp.winhttprequest", "WinHttpRequest"),
    ("msxml2.serverxmlhttp", "ServerXMLHTTP"),
    ("adodb.stream", "ADODB.Stream"),
    ("scripting.filesystemobject", "FileSystemObject"),
    ("virtualalloc", "VirtualAlloc"),
    ("writeprocessmemory", "WriteProcessMemory"),
    ("createthread", "CreateThread"),
    ("rtlmovememory", "RtlMoveMemory"),
    ("callwindowproc", "CallWindowProc"),
    ("winmgmts:", "WMI"),
    ("macscript", "MacScript"),
    ("applescripttask", "AppleScriptTask"),
    ("execute_global", "ExecuteGlobal"),
    ("createobject", "CreateObject"),
    ("schedule.service", "Schedule.Service"),
];

/// The project in `ole`, wherever it stands; `None` where there is none.
pub fn project_in(ole: &Ole<'_>) -> Option<Project> {
    let dirs: Vec<String> = ole
        .entries
        .iter()
        .filter(|entry| entry.is_stream && entry.name().eq_ignore_ascii_case("dir"))
        .filter_map(|entry| entry.path.strip_suffix(entry.name()).map(str::to_owned))
        .filter(|folder| folder.to_ascii_lowercase().ends_with("vba/") || folder.is_empty())
        .collect();
    let marked = ole.entries.iter().any(|entry| entry.name().eq_ignore_ascii_case("_VBA_PROJECT"));
    if dirs.is_empty() && !marked {
        return None;
    }
    let mut project = Project::default();
    for folder in &dirs {
        read_folder(ole, folder, &mut project);
    }
    if dirs.is_empty() {
        // A project without its table of modules: what is compiled runs all the same.
        project.stomped = true;
    }
    Some(project)
}

fn read_folder(ole: &Ole<'_>, folder: &str, project: &mut Project) {
    let dir = ole.stream(&format!("{folder}dir")).and_then(|packed| decompress(&packed)).unwrap_or_default();
    let listed = modules_of(&dir);
    let (mut compiled_bytes, mut source_bytes, mut read_bytes) = (0usize, 0usize, 0usize);
    for entry in ole.entries.iter().filter(|entry| entry.is_stream) {
        let Some(name) = entry.path.strip_prefix(folder) else { continue };
        let internal = name.eq_ignore_ascii_case("dir") || name.starts_with('_') || name.contains('/');
        if internal || project.modules >= MODULES_MAX || name.is_empty() {
            continue;
        }
        let data = ole.read(entry);
        read_bytes = read_bytes.saturating_add(data.len());
        if read_bytes > PROJECT_BYTES_MAX {
            break;
        }
        let offset = listed.iter().find(|(stream, _)| stream.eq_ignore_ascii_case(name)).map(|(_, offset)| *offset);
        let source = offset
            .and_then(|at| data.get(at..))
            .and_then(decompress)
            .or_else(|| find_source(&data))
            .unwrap_or_default();
        project.modules += 1;
        compiled_bytes = compiled_bytes.saturating_add(offset.unwrap_or(data.len()).min(data.len()));
        source_bytes = source_bytes.saturating_add(source.len());
        judge(&lossy(&source), project);
    }
    // Every module's source starts with attributes; compiled code with none was stripped to hide what it does.
    if project.modules > 0 && source_bytes == 0 && compiled_bytes > 0 {
        project.stomped = true;
    }
}

/// Names of streams and offsets of sources, from the decompressed `dir` stream.
fn modules_of(dir: &[u8]) -> Vec<(String, usize)> {
    let (mut at, mut name, mut out) = (0, String::new(), Vec::new());
    while let (Some(id), Some(size)) = (u16_le(dir, at), u32_le(dir, at + 2)) {
        // PROJECTVERSION says 4 and holds 6.
        let size = if id == 0x0009 { 6 } else { index(size) };
        let Some(body) = take(dir, at + 6, size) else { break };
        match id {
            0x001a => name = lossy(body),
            0x0032 => name = super::bytes::utf16_le(body),
            0x0031 => out.extend(u32_le(body, 0).map(|offset| (name.clone(), index(offset)))),
            _ => {}
        }
        if out.len() >= MODULES_MAX {
            break;
        }
        at = match at.checked_add(6 + size) {
            Some(next) => next,
            None => break,
        };
    }
    out
}

/// Looks for a compressed source without the table's help.
fn find_source(data: &[u8]) -> Option<Vec<u8>> {
    let at = find(data, b"\x00Attribut")?;
    decompress(data.get(at.checked_sub(3)?..)?)
}

/// MS-OVBA 2.4.1: a signature byte, then chunks of at most 4096 bytes.
pub fn decompress(packed: &[u8]) -> Option<Vec<u8>> {
    if packed.first() != Some(&1) {
        return None;
    }
    let (mut out, mut at) = (Vec::new(), 1);
    while let Some(header) = u16_le(packed, at) {
        let size = usize::from(header & 0x0fff) + 3;
        if header & 0x7000 != 0x3000 {
            break;
        }
        let end = (at + size).min(packed.len());
        let chunk = packed.get(at + 2..end)?;
        if header & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else {
            decompress_chunk(chunk, &mut out);
        }
        if out.len() > SOURCE_BYTES_MAX {
            break;
        }
        at = end;
    }
    Some(out)
}

fn decompress_chunk(chunk: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut at = 0;
    while let Some(flags) = chunk.get(at) {
        at += 1;
        for bit in 0..8 {
            if flags >> bit & 1 == 0 {
                let Some(literal) = chunk.get(at) else { return };
                out.push(*literal);
                at += 1;
                continue;
            }
            let Some(token) = u16_le(chunk, at) else { return };
            at += 2;
            let written = out.len() - start;
            let offset_bits = (4..=12).find(|bits| 1usize << bits >= written).unwrap_or(12);
            let length = usize::from(token & (0xffff >> offset_bits)) + 3;
            let back = usize::from(token >> (16 - offset_bits)) + 1;
            if back > written || written > 4096 {
                return;
            }
            for _ in 0..length {
                out.push(out[out.len() - back]);
            }
        }
    }
}

/// Adds what `source` would do to `project`.
pub fn judge(source: &str, project: &mut Project) {
    let joined = source.replace(" _\r\n", " ").replace(" _\n", " ");
    for line in joined.lines() {
        let line = line.trim();
        let lower = line.to_ascii_lowercase();
        if line.is_empty()
            || lower.starts_with("attribute ")
            || lower.starts_with("option ")
            || lower.starts_with('\'')
            || lower.starts_with("rem ")
        {
            continue;
        }
        project.has_code = true;
        if let Some(name) = procedure_name(&lower)
            && AUTO_RUN.contains(&name)
        {
            push_once(&mut project.auto_run, name);
        }
        for (needle, shown) in CALLS {
            if names(&lower, needle) {
                push_once(&mut project.calls, shown);
            }
        }
    }
}

/// `private sub document_open()` → `document_open`.
fn procedure_name(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.by_ref().take(4).find(|word| matches!(*word, "sub" | "function"))?;
    words.next()
}

/// `needle` as a word of its own, so that `shell` is not found in `shellac`.
fn names(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + needle.len()..].chars().next();
        let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part_of_word(before) && !part_of_word(after)
    })
}

fn push_once(list: &mut Vec<String>, name: &str) {
    if list.len() < 12 && !list.iter().any(|known| known == name) {
        list.push(name.to_owned());
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::formats::ole;

    /// The plainest container: literals only.
    pub fn compress(source: &[u8]) -> Vec<u8> {
        let mut out = vec![1];
        for part in source.chunks(2048) {
            let mut chunk = Vec::new();
            for eight in part.chunks(8) {
                chunk.push(0);
                chunk.extend_from_slice(eight);
            }
            let header = 0xb000 | (chunk.len() as u16 - 1);
            out.extend(header.to_le_bytes());
            out.extend(chunk);
        }
        out
    }

    /// A project of one module, as a compound file.
    pub fn project(source: &str) -> Vec<u8> {
        let mut dir = Vec::new();
        for (id, body) in [(0x1au16, &b"Module1"[..]), (0x31, &0u32.to_le_bytes()[..])] {
            dir.extend(id.to_le_bytes());
            dir.extend((body.len() as u32).to_le_bytes());
            dir.extend(body);
        }
        let text = format!("Attribute VB_Name = \"Module1\"\r\n{source}");
        ole::tests::build(&[
            ("VBA/dir", &compress(&dir)),
            ("VBA/_VBA_PROJECT", b"\xcc\x61"),
            ("VBA/Module1", &compress(text.as_bytes())),
        ])
    }

    fn judged(source: &str) -> Project {
        let file = project(source);
        project_in(&Ole::parse(&file).expect("well formed")).expect("a project")
    }

    #[test]
    fn the_example_of_the_specification_unpacks() {
        // MS-OVBA 3.2.3: maximum compression.
        let packed = [0x01, 0x03, 0xb0, 0x02, 0x61, 0x45, 0x00];
        assert_eq!(decompress(&packed).as_deref(), Some(&[b'a'; 73][..]));
    }

    #[test]
    fn says_what_runs_and_what_it_calls() {
        let check = |source: &str, auto_run: &[&str], calls: &[&str]| {
            let project = judged(source);
            assert_eq!(project.auto_run, auto_run, "{source}");
            assert_eq!(project.calls, calls, "{source}");
        };
        check("Private Sub Document_Open()\r\nShell \"calc\"\r\nEnd Sub", &["document_open"], &["Shell"]);
        check("Sub AutoOpen()\r\nEnd Sub", &["autoopen"], &[]);
        check("Sub Total()\r\nRange(\"A1\").Value = 2\r\nEnd Sub", &[], &[]);
        check("' Sub AutoOpen()\r\nSub Shellac()\r\nEnd Sub", &[], &[]);
        check(
            "Set o = Create_\r\nSet x = CreateObject(\"WScript.Shell\")",
            &[],
            &["Shell", "WScript.Shell", "CreateObject"],
        );
    }

    #[test]
    fn attributes_alone_are_no_code() {
        assert!(!judged("Option Explicit\r\n").has_code);
        assert!(judged("Sub A()\r\nEnd Sub\r\n").has_code);
    }

    #[test]
    fn compiled_code_without_source_is_stomped() {
        let file = ole::tests::build(&[
            ("VBA/dir", &compress(b"")),
            ("VBA/_VBA_PROJECT", b"\xcc\x61"),
            ("VBA/Module1", &[7; 600]),
        ]);
        assert!(project_in(&Ole::parse(&file).expect("well formed")).expect("a project").stomped);
    }

    #[test]
    fn broken_containers_end() {
        for packed in [&b"\x01"[..], b"\x01\x03\xb0\x02", b"\x01\xff\xbf\xff\xff\xff", b"\x02abc", b""] {
            let _ = decompress(packed);
        }
    }
}
