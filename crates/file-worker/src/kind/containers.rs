//! The two families of containers: a zip is told by the names in it, an OLE2 compound file by its streams.

use super::Kind;
use super::detect::{u16_at, u32_at};
use crate::archives::zip::Zip;

/// Names looked at to tell a zip's kind.
const ZIP_NAMES_MAX: usize = 4096;
/// Directory sectors of a compound file that are looked at.
const OLE_SECTORS_MAX: usize = 512;

/// Docx or apk, jar or plain zip.
pub(super) fn zip_kind(bytes: &[u8], extension: &str) -> Kind {
    let zip = Zip::open(bytes);
    let names: Vec<&str> = zip.entries().iter().take(ZIP_NAMES_MAX).map(|entry| entry.name.as_str()).collect();
    let has = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    let under =
        |folder: &str| names.iter().any(|n| n.get(..folder.len()).is_some_and(|p| p.eq_ignore_ascii_case(folder)));
    let ends = |end: &str| {
        names
            .iter()
            .any(|n| n.len() >= end.len() && n.get(n.len() - end.len()..).is_some_and(|e| e.eq_ignore_ascii_case(end)))
    };
    if let Some(mimetype) = names.first().filter(|n| **n == "mimetype").and_then(|_| zip.stored_bytes(0)) {
        if mimetype.starts_with(b"application/epub+zip") {
            return Kind::Epub;
        }
        if mimetype.starts_with(b"application/vnd.oasis.") || mimetype.starts_with(b"application/vnd.sun.xml") {
            return Kind::OpenDocument;
        }
    }
    if has("AndroidManifest.xml") || has("BundleConfig.pb") || has("base/manifest/AndroidManifest.xml") {
        return Kind::Apk;
    }
    if has("[Content_Types].xml") {
        if has("AppxManifest.xml") || under("AppxMetadata/") {
            return Kind::Msix;
        }
        if has("extension.vsixmanifest") {
            return Kind::Vsix;
        }
        if ends(".nuspec") {
            return Kind::NuGet;
        }
        let macros = ends("/vbaProject.bin");
        if under("word/") {
            return if macros { Kind::Docm } else { Kind::Docx };
        }
        if under("xl/") {
            return match (ends("xl/workbook.bin"), macros) {
                (true, _) => Kind::Xlsb,
                (_, true) => Kind::Xlsm,
                _ => Kind::Xlsx,
            };
        }
        if under("ppt/") {
            return if macros { Kind::Pptm } else { Kind::Pptx };
        }
        if under("visio/") {
            return Kind::Vsdx;
        }
        if ends(".fdseq") || under("Documents/1/") {
            return Kind::Xps;
        }
        return Kind::OoxmlOther;
    }
    if has("install.rdf") || has("META-INF/mozilla.rsa") || has("manifest.json") && extension == "xpi" {
        return Kind::FirefoxExtension;
    }
    let called_jar = matches!(extension, "jar" | "war" | "ear");
    if has("META-INF/MANIFEST.MF") && !has("content.xml") || called_jar && ends(".class") {
        return Kind::Jar;
    }
    if names.iter().any(|n| n.starts_with("Payload/") && n.contains(".app/")) {
        return Kind::Ipa;
    }
    if names.iter().any(|n| n.contains(".app/Contents/MacOS/")) {
        return Kind::MacApp;
    }
    if has("content.xml") && has("META-INF/manifest.xml") {
        return Kind::OpenDocument;
    }
    if has("classes.dex") || (has("manifest.json") && ends(".apk")) || has("toc.pb") {
        return Kind::Apk;
    }
    Kind::Zip
}

/// Word, Excel, PowerPoint, an installer, a mail, or something else in a compound file.
pub(super) fn ole_kind(bytes: &[u8]) -> Kind {
    let directory = ole_directory(bytes);
    let has = |name: &str| directory.iter().any(|entry| entry.name.eq_ignore_ascii_case(name));
    if has("EncryptedPackage") || has("EncryptionInfo") {
        return Kind::OfficeEncrypted;
    }
    // {000C1084-…}, {000C1086-…}, {000C1082-…}: installer package, patch, transform.
    let root = directory.iter().find(|entry| entry.is_root).map(|root| root.clsid);
    if matches!(root, Some([0x84 | 0x86 | 0x82, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, ..])) {
        return Kind::Msi;
    }
    if directory
        .iter()
        .any(|entry| entry.name.starts_with("__properties_version1") || entry.name.starts_with("__nameid_"))
    {
        return Kind::Msg;
    }
    if has("WordDocument") {
        return Kind::Doc;
    }
    if has("Workbook") || has("Book") {
        return Kind::Xls;
    }
    if has("PowerPoint Document") || has("PP40") || has("PP97_DUALSTORAGE") {
        return Kind::Ppt;
    }
    if has("VisioDocument") {
        return Kind::Vsd;
    }
    if has("Quill") {
        return Kind::Publisher;
    }
    // Names in an installer are packed into the private use area and its neighbours; several of them mean an installer.
    let packed = directory.iter().filter(|e| e.name.chars().any(|c| ('\u{3800}'..='\u{4840}').contains(&c))).count();
    if packed >= 3 { Kind::Msi } else { Kind::OleOther }
}

struct OleEntry {
    name: String,
    is_root: bool,
    clsid: [u8; 16],
}

/// The directory of a compound file, as far as it can be followed.
fn ole_directory(bytes: &[u8]) -> Vec<OleEntry> {
    let mut entries = Vec::new();
    let shift = u16_at(bytes, 30).unwrap_or(9);
    if shift != 9 && shift != 12 {
        return entries;
    }
    let size = 1usize << shift;
    let sector = |n: u32| -> Option<&[u8]> {
        let at = (n as usize).checked_add(1)?.checked_mul(size)?;
        bytes.get(at..bytes.len().min(at.checked_add(size)?)).filter(|s| !s.is_empty())
    };
    // Only the 109 FAT sectors named in the header are used: enough for a directory that starts early in the file.
    let next = |n: u32| -> Option<u32> {
        let per = size / 4;
        let index = n as usize / per;
        let fat = u32_at(bytes, 76 + 4 * index.min(108)).filter(|_| index < 109)?;
        u32_at(sector(fat)?, (n as usize % per) * 4)
    };
    let mut at = u32_at(bytes, 48);
    for _ in 0..OLE_SECTORS_MAX {
        let Some(data) = at.filter(|n| *n < 0xffff_fffa).and_then(sector) else { break };
        for entry in data.chunks_exact(128) {
            let length = usize::from(u16_at(entry, 64).unwrap_or(0)).min(64);
            if length < 2 || entry[66] == 0 {
                continue;
            }
            let units: Vec<u16> =
                entry[..length - 2].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
            let mut clsid = [0; 16];
            clsid.copy_from_slice(&entry[80..96]);
            entries.push(OleEntry { name: String::from_utf16_lossy(&units), is_root: entry[66] == 5, clsid });
        }
        at = at.and_then(next);
    }
    entries
}
