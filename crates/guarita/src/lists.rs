//! The operator's allow and deny lists: a folder of files in any of the usual feed formats, read whole, replaced whole
//! when a file changes.
//!
//! The beginning of a file's name says which way it speaks: `allow…`, `deny…`, or `malware…` (denied, and not outweighed
//! by an allow entry).

use crate::rules::LoadError;
use guarita_inspect::{
    Lists,
    links::{Feed, ListBuilder, ListEntry, ListSide, parse_feed},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Largest list file.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What was read, and of what age.
pub struct Loaded {
    pub lists: Arc<Lists>,
    pub files: Vec<ListFile>,
}

pub struct ListFile {
    pub name: String,
    pub entries: usize,
    pub modified: SystemTime,
}

/// Files of the folder with what tells a change.
pub type Stamp = Vec<(PathBuf, SystemTime, u64)>;

/// What is in the folder now; empty where there is none.
pub fn stamp(folder: &Path) -> Stamp {
    let mut stamp: Stamp = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| side_of(&entry.file_name().to_string_lossy()).is_some())
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((entry.path(), metadata.modified().ok()?, metadata.len()))
        })
        .collect();
    stamp.sort();
    stamp
}

/// Reads the folder, and adds the console's own entries; `None`: there is nothing to add up.
pub fn load(folder: &Path, own: &[ListEntry]) -> Result<Option<Loaded>, LoadError> {
    let (mut builder, mut files) = (ListBuilder::default(), Vec::new());
    for (path, modified, bytes) in stamp(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fault = |problem: String| LoadError::Read { path: path.display().to_string(), problem };
        if bytes > FILE_BYTES_MAX {
            return Err(fault(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let Some(side) = side_of(&name) else { continue };
        let content = std::fs::read(&path).map_err(|error| fault(error.to_string()))?;
        let parsed = parse_feed(Feed::detect(&content), side, &content);
        for entry in &parsed.entries {
            builder.add(entry);
        }
        files.push(ListFile { name, entries: parsed.entries.len(), modified });
    }
    own.iter().for_each(|entry| {
        builder.add(entry);
    });
    Ok((!files.is_empty() || !own.is_empty()).then(|| Loaded { lists: Arc::new(builder.build()), files }))
}

/// Which way a file of this name speaks.
pub fn side_of(name: &str) -> Option<ListSide> {
    let name = name.to_ascii_lowercase();
    [("allow", ListSide::Allow), ("deny", ListSide::Deny), ("malware", ListSide::DenyMalware)]
        .into_iter()
        .find_map(|(prefix, side)| name.starts_with(prefix).then_some(side))
}

/// Ages and sizes for `/metrics`.
pub fn note_metrics(files: &[ListFile]) {
    for file in files {
        let age = file.modified.elapsed().unwrap_or_default().as_secs_f64();
        metrics::gauge!("guarita_list_age_seconds", "list" => file.name.clone()).set(age);
        metrics::gauge!("guarita_list_entries", "list" => file.name.clone()).set(file.entries as f64);
    }
}
