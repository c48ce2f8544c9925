//! What a thing is, set against what its name and its declared type promise.
//!
//! States that something runs, whatever it is called, and that something dangerous is dressed as something harmless. A
//! `.jpg` that is a PNG is nobody's business.

use crate::kind::{Kind, Nature, nature_of_extension};
use crate::names;
use crate::walk::{Context, Thing};
use guarita_message::GapReason;

/// Names under which a page's source is read, not shown.
const TEXT_NAMES: &[&str] = &["txt", "text", "md", "log", "csv", "tsv", "json", "yaml", "yml", "ini", "conf", "cfg"];

/// Content of so few bytes under a known first magic is a head without a body.
const HEAD_ONLY_BYTES_MAX: usize = 24;

/// ARJ's header for the archive itself, with its name in it, takes as much: no file follows.
const ARJ_HEAD_BYTES: usize = 64;

pub fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    if names::inside_program(ctx) {
        return;
    }
    let extension = thing.extension();
    let dressed = disguise(thing, &extension);
    if let Some((rule, promise)) = dressed {
        ctx.fact(rule, &format!("{} {promise}", describe(thing.kind)));
    }
    if let Some(rule) = rule_of_kind(thing, &extension) {
        ctx.fact(rule, describe(thing.kind));
    } else if names::runs(&extension) && thing.kind != Kind::Empty {
        ctx.fact("files/executable-name", &format!(".{extension}"));
    } else if matches!(extension.as_str(), "iso" | "vhd" | "vhdx" | "dmg") && thing.kind == Kind::Text {
        ctx.fact("files/disk-image", &format!(".{extension}"));
    }
    // A stump under its right name is a failed download; under another it is somebody trying what a sniffer believes.
    let shown = matches!(thing.kind.nature(), Nature::Media) || matches!(thing.kind, Kind::Pdf | Kind::Rtf | Kind::Svg);
    if shown && thing.bytes.len() <= HEAD_ONLY_BYTES_MAX && !thing.kind.extensions().contains(&extension.as_str()) {
        ctx.gap(GapReason::Corrupt, "nothing follows its first bytes");
    }
}

/// What being of this kind means by itself.
fn rule_of_kind(thing: &Thing<'_>, extension: &str) -> Option<&'static str> {
    use Kind::*;
    Some(match thing.kind {
        Pe | Dos | Com | Elf | AppImage | MachO | Dex | JavaClass | Swf | Wasm | PythonBytecode | LlvmBitcode
        | LuaBytecode => "files/program",
        Msi | Msix | Xar | NuGet | ClickOnce | Jnlp | AppleProfile => "files/installer",
        Apk | Ipa | Jar | MacApp => "files/app",
        ChromeExtension | FirefoxExtension | Vsix => "files/browser-extension",
        Lnk | DesktopEntry | Scf | SettingContent | LibraryMs | Mmc | Rdp | WebQuery => "files/shortcut",
        UrlShortcut | Webloc => "files/web-shortcut",
        Chm | WinHelp => "files/help-file",
        Pickle | JavaSerialized => "files/serialized-code",
        kind if kind.nature() == Nature::Program => {
            // Somebody's script shown as text does not run; it still is not what people send.
            let as_text = matches!(nature_of_extension(extension), Some(Nature::Data)) && !names::runs(extension);
            if as_text { "files/script-as-text" } else { "files/script" }
        }
        kind if kind.nature() == Nature::DiskImage => "files/disk-image",
        Arj if thing.bytes.len() <= ARJ_HEAD_BYTES => return None,
        Ace | Arj | Alz | Zoo | Cab | Compress | Szdd => "files/rare-archive",
        Html | Mht if is_sent_by_itself(thing) => "files/web-page",
        _ => return None,
    })
}

/// A page that comes alone opens in a browser with a double click; a page in an e-book or a saved site is its material.
fn is_sent_by_itself(thing: &Thing<'_>) -> bool {
    match thing.parent {
        // Under a text's name it opens in an editor.
        None => !TEXT_NAMES.contains(&thing.extension().as_str()),
        Some(Kind::Eml | Kind::Msg | Kind::Tnef) => !thing.extension().is_empty(),
        _ => false,
    }
}

/// The rule that names the disguise, and what was promised.
fn disguise(thing: &Thing<'_>, extension: &str) -> Option<(&'static str, String)> {
    let kind = thing.kind;
    if kind.extensions().contains(&extension) {
        return None;
    }
    let (promised, promise) = match nature_of_extension(extension) {
        Some(nature) => (nature, format!("called .{extension}")),
        None => (nature_of_type(thing.declared_type)?, format!("declared as {}", thing.declared_type)),
    };
    let harmless = matches!(promised, Nature::Media | Nature::Document | Nature::Data | Nature::Mail);
    let shown = matches!(promised, Nature::Media | Nature::Document);
    match kind.nature() {
        Nature::Program if kind.mime().starts_with("text/") && promised == Nature::Data => None,
        Nature::Program if harmless || promised == Nature::Archive && !kind.is_zip() => {
            Some(("files/disguised-program", promise))
        }
        // Letters that stand for a file: nothing that opens the name knows what to do with them.
        _ if matches!(kind, Kind::Uu | Kind::Yenc | Kind::BinHex) => None,
        Nature::DiskImage if shown => Some(("files/disguised-archive", promise)),
        // Spreadsheets exported as HTML under `.xls` are everyday life.
        Nature::Active if kind == Kind::Html && matches!(extension, "xls" | "doc" | "ppt") => None,
        Nature::Active if shown && kind != Kind::Svg => Some(("files/disguised-page", promise)),
        Nature::Archive if shown && !(kind == Kind::Zip && is_zip_extension(extension)) => {
            Some(("files/disguised-archive", promise))
        }
        Nature::Document if promised == Nature::Media => Some(("files/disguised-document", promise)),
        _ => None,
    }
}

/// Documents that are a zip by form; a damaged one is still a zip.
fn is_zip_extension(extension: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.is_zip() && kind.extensions().contains(&extension))
        || matches!(extension, "pages" | "numbers" | "key")
}

fn nature_of_type(declared: &str) -> Option<Nature> {
    let plain = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match plain.split('/').next() {
        Some("image" | "audio" | "video") => Some(Nature::Media),
        _ => Kind::ALL.iter().find(|kind| kind.mime() == plain && **kind != Kind::Unknown).map(|kind| kind.nature()),
    }
}

/// The kind in a few words for people.
pub fn describe(kind: Kind) -> &'static str {
    use Kind::*;
    match kind {
        Pe => "Windows program",
        Dos | Com => "DOS program",
        Elf => "Linux program",
        AppImage => "AppImage program",
        MachO => "macOS program",
        Dex => "Android code",
        Apk => "Android app",
        Ipa => "iOS app",
        Jar => "Java program",
        JavaClass => "Java class",
        Msi => "Windows installer",
        AppleProfile => "iPhone or Mac settings profile",
        Msix => "Windows app package",
        Deb => "Debian package",
        Rpm => "RPM package",
        Xar => "macOS installer",
        Lnk => "Windows shortcut",
        UrlShortcut | Webloc => "web shortcut",
        DesktopEntry => "Linux desktop entry",
        ChromeExtension => "Chrome extension",
        FirefoxExtension => "Firefox extension",
        JavaScript => "JavaScript",
        JsEncoded => "encoded JScript",
        VbScript => "VBScript",
        VbEncoded => "encoded VBScript",
        PowerShell => "PowerShell script",
        Batch => "batch file",
        Shell => "shell script",
        Python => "Python script",
        Hta => "HTML application",
        Reg => "registry file",
        Html => "HTML page",
        Zip => "zip archive",
        Rar => "RAR archive",
        SevenZip => "7z archive",
        Iso | Udf => "disc image",
        other => other.mime(),
    }
}
