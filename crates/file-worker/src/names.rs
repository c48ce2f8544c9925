//! What a name betrays before any byte is read: the file's own, and those of entries that nobody could unpack.
//!
//! A person decides by the name whether to open; Windows decides by its end what opening does. Names that set the two
//! apart are findings.

use crate::kind::{Nature, extension_of, nature_of_extension};
use crate::walk::{Context, Thing};
use std::borrow::Cow;

/// Extensions that run, install or hand over control when opened, on any platform. Lower case.
pub const RUNS: &[&str] = &[
    // Windows programs and what loads like one
    "exe",
    "com",
    "scr",
    "pif",
    "cpl",
    "dll",
    "ocx",
    "sys",
    "drv",
    "xll",
    "wll",
    "efi",
    "gadget",
    "msc",
    "mui",
    // installers and apps
    "msi",
    "msp",
    "mst",
    "msix",
    "appx",
    "msixbundle",
    "appxbundle",
    "appinstaller",
    "application",
    "appref-ms",
    "xbap",
    "diagcab",
    "msu",
    "apk",
    "aab",
    "apks",
    "xapk",
    "apkm",
    "dex",
    "ipa",
    "jar",
    "jnlp",
    "class",
    "pkg",
    "mpkg",
    "appimage",
    "flatpak",
    "snap",
    "elf",
    "dylib",
    "air",
    "swf",
    "kext",
    // scripts
    "js",
    "jse",
    "vbs",
    "vbe",
    "vba",
    "wsf",
    "wsh",
    "wsc",
    "sct",
    "hta",
    "ps1",
    "ps1xml",
    "psm1",
    "psd1",
    "psc1",
    "bat",
    "cmd",
    "sh",
    "bash",
    "zsh",
    "ksh",
    "csh",
    "fish",
    "command",
    "terminal",
    "workflow",
    "scpt",
    "applescript",
    "py",
    "pyw",
    "pyz",
    "pyc",
    "pl",
    "php",
    "phar",
    "phtml",
    "jsp",
    "asp",
    "aspx",
    "au3",
    "ahk",
    "reg",
    "bgi",
    "shb",
    "shs",
    // shortcuts and what opens something else
    "lnk",
    "url",
    "website",
    "scf",
    "desktop",
    "webloc",
    "inetloc",
    "fileloc",
    "settingcontent-ms",
    "library-ms",
    "search-ms",
    "searchconnector-ms",
    "theme",
    "themepack",
    "deskthemepack",
    "rdp",
    "iqy",
    "oqy",
    "dqy",
    "rqy",
    "udl",
    "chm",
    "hlp",
    "mde",
    "accde",
    "ade",
    "adp",
    "ins",
    "isp",
    "osd",
    "msh",
    "printerexport",
    "mobileconfig",
    "vsto",
    // browser and editor extensions
    "crx",
    "xpi",
    "vsix",
    "safariextz",
    "oex",
];

/// Spaces in a row that push the end of a name out of sight.
const PADDING_SPACES_MIN: usize = 8;

/// Inspector for every thing that is walked: its name as the sender or the archive gives it.
pub fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    // A mail program takes the last step of a name and no more.
    let by_mail = thing.parent.is_some_and(|parent| parent.nature() == Nature::Mail);
    judge(ctx, thing.name, thing.depth > 0 && !by_mail);
}

/// The same for an entry that may not be walked (encrypted, a folder, a link).
pub fn state(ctx: &mut Context<'_>, name: &str) {
    ctx.within(name, |ctx| judge(ctx, name, true));
}

/// An encrypted entry: only its name can say what it is.
pub fn state_unseen(ctx: &mut Context<'_>, name: &str) {
    if runs(&extension_of(name)) && !inside_program(ctx) {
        ctx.within(name, |ctx| ctx.fact("files/executable-name", name));
    }
}

/// A link in an archive: harmful where following it leaves the folder it is unpacked into.
pub fn state_link(ctx: &mut Context<'_>, name: &str, target: &str) {
    let depth_of_place =
        name.split(['/', '\\']).filter(|step| !step.is_empty() && *step != ".").count().saturating_sub(1);
    if is_absolute(target) || climbs(target) > depth_of_place {
        ctx.within(name, |ctx| ctx.fact("files/archive-link-escapes", target));
    }
}

/// Whether opening a file of this extension runs something.
pub fn runs(extension: &str) -> bool {
    RUNS.contains(&extension)
}

/// Inside of an app, an installer or a program, programs are no news.
pub fn inside_program(ctx: &Context<'_>) -> bool {
    let kinds = ctx.kinds();
    let above = &kinds[..kinds.len().saturating_sub(1)];
    above.iter().any(|kind| kind.nature() == Nature::Program)
}

fn judge(ctx: &mut Context<'_>, name: &str, in_archive: bool) {
    if name.is_empty() || inside_program(ctx) {
        return;
    }
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = extension_of(name);
    if in_archive && climbs(name) > 0 {
        ctx.fact("files/path-traversal", name);
    } else if in_archive && is_absolute(name) {
        ctx.fact("files/absolute-path", name);
    }
    let overridden = base.contains(['\u{202e}', '\u{202d}']);
    let marked = base.contains(|c| matches!(c, '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}'));
    if overridden || marked && runs(&extension) {
        ctx.fact("files/name-turned-around", base);
    }
    if longest_run_of_spaces(base) >= PADDING_SPACES_MIN {
        ctx.fact("files/name-padded", base);
    }
    // Those above 127 are letters of another code page, seen wrong.
    if base.trim_matches(['\r', '\n']).contains(|c: char| c.is_ascii_control()) {
        ctx.fact("files/name-control", base);
    }
    if let Some((_, stream)) = base.split_once("::").or_else(|| base.split_once(":$"))
        && stream.to_ascii_lowercase().trim_start_matches('$').starts_with("data")
    {
        ctx.fact("files/name-stream", base);
    }
    if !runs(&extension) {
        return;
    }
    if base.ends_with(['.', ' ']) {
        ctx.fact("files/name-trailing", base);
    }
    if let Some(shown) = extension_shown_first(base)
        && !(matches!(extension.as_str(), "url" | "website" | "webloc") && shown == "com")
    {
        ctx.fact("files/double-extension", base);
    }
}

/// The harmless extension that stands before the real one: `pdf` in `boleto.pdf .exe`. Look-alike letters count.
fn extension_shown_first(base: &str) -> Option<String> {
    let trimmed = base.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let (stem, _) = trimmed.rsplit_once('.')?;
    let stem = stem.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '_' | '-' | '.' | ':'));
    let (before, shown) = stem.rsplit_once('.')?;
    let shown = plain_letters(shown.split(|c: char| c.is_whitespace() || c == ':').next()?).to_lowercase();
    let harmless = matches!(
        nature_of_extension(&shown),
        Some(Nature::Media | Nature::Data | Nature::Document | Nature::Archive | Nature::Active)
    );
    (harmless && !before.is_empty() && !matches!(shown.as_str(), "min" | "conf" | "bin" | "a")).then_some(shown)
}

/// Cyrillic and full-width letters that look like Latin ones, as Latin ones.
fn plain_letters(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let plain = text.chars().map(|c| match c {
        'а' => 'a',
        'с' => 'c',
        'ԁ' => 'd',
        'е' => 'e',
        'ј' => 'j',
        'о' => 'o',
        'р' => 'p',
        'ѕ' => 's',
        'х' => 'x',
        'у' => 'y',
        'і' => 'i',
        'г' => 'r',
        'т' => 't',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xff01 + 0x21).unwrap_or(c),
        other => other,
    });
    Cow::Owned(plain.collect())
}

/// How many steps a path climbs above where it starts.
fn climbs(path: &str) -> usize {
    let (mut depth, mut most) = (0i64, 0i64);
    for step in path.split(['/', '\\']).take(1024) {
        match step.trim_end_matches(' ') {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        most = most.max(-depth);
    }
    usize::try_from(most).unwrap_or(0)
}

fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with(['/', '\\'])
        || (bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'/' | b'\\'))
}

fn longest_run_of_spaces(name: &str) -> usize {
    let (mut run, mut longest) = (0, 0);
    for c in name.chars() {
        let blank = c.is_whitespace()
            || matches!(c, '\u{2800}' | '\u{3164}' | '\u{115f}' | '\u{1160}' | '\u{200b}' | '\u{180e}');
        run = if blank { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
