//! The folder of signatures as seen from outside: is there any, did it change, how old is it. clamd reads it, we do not.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    path::Path,
    time::SystemTime,
};

/// Extensions that hold signatures (clamav's own list, without allow lists and configuration).
const SIGNATURES: [&str; 31] = [
    "cvd", "cld", "cud", "ndb", "ndu", "hdb", "hdu", "hsb", "hsu", "mdb", "mdu", "msb", "msu", "ldb", "ldu", "db",
    "sdb", "zmd", "rmd", "cdb", "pdb", "wdb", "gdb", "idb", "cbc", "yar", "yara", "imp", "fp", "sfp", "ign2",
];
/// Those that find nothing by themselves.
const ALLOWING: [&str; 6] = ["fp", "sfp", "ign2", "wdb", "pdb", "idb"];
/// Entries of the folder that are looked at.
const ENTRIES_MAX: usize = 4096;

/// Does the folder hold any signature?
pub(crate) fn has_signatures(folder: &Path) -> bool {
    entries(folder).iter().any(|(name, bytes, _)| {
        *bytes > 0 && extension(name).is_some_and(|ext| SIGNATURES.contains(&ext) && !ALLOWING.contains(&ext))
    })
}

/// Does it hold ClamAV's own base, in which EICAR is? A folder of somebody's own signatures alone does not find it, and
/// our self-test could not tell such a clamd from a blind one.
pub(crate) fn is_official(folder: &Path) -> bool {
    entries(folder).iter().any(|(name, bytes, _)| {
        *bytes > 0 && matches!(name.split_once('.'), Some(("main" | "daily", "cvd" | "cld" | "cud")))
    })
}

/// Names of what clamd would load from the folder, allow lists included.
pub(crate) fn loadable(folder: &Path) -> Vec<String> {
    let names = entries(folder).into_iter().map(|(name, ..)| name);
    names.filter(|name| extension(name).is_some_and(|ext| SIGNATURES.contains(&ext))).collect()
}

/// Changes when a file of the database does; short, for cache keys. Empty for a folder without signatures.
pub(crate) fn fingerprint(folder: &Path) -> String {
    use sha2::{Digest, Sha256};
    let mut entries = entries(folder);
    entries.retain(|(name, ..)| extension(name).is_some_and(|ext| SIGNATURES.contains(&ext)));
    if entries.is_empty() {
        return String::new();
    }
    entries.sort();
    let mut hasher = Sha256::new();
    for (name, bytes, modified) in entries {
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update(bytes.to_le_bytes());
        hasher.update(modified.to_le_bytes());
    }
    hex::encode(&hasher.finalize()[..6])
}

/// When the daily database was built (else the main one), seconds since 1970, from its signed header.
pub(crate) fn built(folder: &Path) -> Option<u64> {
    let of =
        |name: &str| ["cvd", "cld"].iter().filter_map(|ext| header_time(&folder.join(format!("{name}.{ext}")))).max();
    of("daily").or_else(|| of("main"))
}

/// `ClamAV-VDB:21 Nov 2026 08-25 +0000:27800:…:builder:1795249503`, padded to 512 bytes; the ninth field is the time.
fn header_time(file: &Path) -> Option<u64> {
    let mut head = Vec::new();
    fs::File::open(file).ok()?.take(512).read_to_end(&mut head).ok()?;
    let text = String::from_utf8_lossy(&head);
    let fields: Vec<&str> = text.split(':').collect();
    if fields.first() != Some(&"ClamAV-VDB") {
        return None;
    }
    fields.get(8)?.trim().parse().ok()
}

fn entries(folder: &Path) -> Vec<(String, u64, u128)> {
    let Ok(read) = fs::read_dir(folder) else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let meta = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?;
        let modified = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Some((entry.file_name().to_string_lossy().into_owned(), meta.len(), modified))
    };
    read.flatten().take(ENTRIES_MAX).filter_map(of).collect()
}

fn extension(name: &str) -> Option<&str> {
    Path::new(name).extension().and_then(OsStr::to_str)
}

/// Writes a file so that a reader sees the old or the new one, never half of it.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)
}

pub(crate) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_changes_and_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(!has_signatures(&path.join("missing")));
        fs::write(path.join("freshclam.dat"), "x").unwrap();
        fs::write(path.join("mine.ign2"), "x").unwrap();
        fs::write(path.join("empty.ndb"), "").unwrap();
        assert!(!has_signatures(path), "configuration, allow lists and empty files find nothing");
        fs::write(path.join("mine.hdb"), "x").unwrap();
        assert!(has_signatures(path));
        let before = fingerprint(path);
        fs::write(path.join("freshclam.dat"), "changed").unwrap();
        assert_eq!(fingerprint(path), before, "what clamd does not load does not matter");
        fs::write(path.join("mine.hdb"), "changed").unwrap();
        assert_ne!(fingerprint(path), before);
        assert_eq!(built(path), None);
        assert!(!is_official(path), "signatures of one's own are no base");
        fs::write(path.join("daily.cvd"), "ClamAV-VDB:21 Nov 2026 08-25 +0000:27800:1:90:aa:bb:raynman:1795249503   ")
            .unwrap();
        assert_eq!(built(path), Some(1_795_249_503));
        assert!(is_official(path));
    }
}
