//! Tools of the system that attackers start from shortcuts, documents and entries of start menus. A list, and how a
//! command is searched for it.

/// Names without `.exe`, lower case.
const TOOLS: &[&str] = &[
    "powershell",
    "pwsh",
    "cmd",
    "mshta",
    "rundll32",
    "regsvr32",
    "wscript",
    "cscript",
    "certutil",
    "bitsadmin",
    "msiexec",
    "forfiles",
    "conhost",
    "curl",
    "wmic",
    "schtasks",
    "installutil",
    "msbuild",
    "regasm",
    "pcalua",
    "hh",
    "explorer.exe\\\\",
    "ftp",
    "scriptrunner",
    "mavinject",
    "bash",
    "python",
    "java",
    "javaw",
    "node",
    "osascript",
    "nslookup",
    "ssh",
    "finger",
    "tar",
];

/// The first tool that `command` starts, by its file name or as a word of its own after a shell.
pub fn tool_in(command: &str) -> Option<&'static str> {
    // Carets and quotes hide words from a plain search.
    let plain: String =
        command.chars().filter(|c| !matches!(c, '^' | '"' | '\'' | '`')).collect::<String>().to_ascii_lowercase();
    let words = plain.split(|c: char| {
        c.is_whitespace() || matches!(c, '\\' | '/' | '&' | '|' | ';' | '(' | ')' | '=' | ',' | '%' | '$')
    });
    let mut words = words.map(|word| word.strip_suffix(".exe").unwrap_or(word));
    words.find_map(|word| TOOLS.iter().find(|tool| **tool == word).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_found_however_they_are_written() {
        let check = |command: &str, expect: Option<&str>| assert_eq!(tool_in(command), expect, "{command}");
        check("C:\\Windows\\System32\\cmd.exe /c start", Some("cmd"));
        check("%COMSPEC% /c p^ower^shell -nop", Some("powershell"));
        check("\"mshta\" http://x", Some("mshta"));
        check("C:\\Program Files\\Word\\winword.exe a.docx", None);
        check("notepad commander.txt", None);
    }
}
