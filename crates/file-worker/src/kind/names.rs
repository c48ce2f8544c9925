//! What a name alone says: its extension, and what opening such a name does.

use super::{Kind, Nature};

/// The last extension in lower case. Trailing dots and spaces, which Windows drops, do not count.
pub fn extension_of(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    match last.rsplit_once('.') {
        Some((_, extension)) if extension.chars().count() <= 20 => extension.trim().to_lowercase(),
        _ => String::new(),
    }
}

/// What an extension promises; `None` for one nobody knows.
pub fn nature_of_extension(extension: &str) -> Option<Nature> {
    Kind::ALL.iter().find(|kind| kind.extensions().contains(&extension)).map(|kind| kind.nature())
}
