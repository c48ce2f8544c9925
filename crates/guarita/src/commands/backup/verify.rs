//! Whether a backup is whole: its databases are opened by the very code that would open them at a start, in a copy, so
//! that nothing of the backup changes and one of an older layout can be looked at, too.

use crate::config::Settings;
use guarita_alerts::Outbox;
use guarita_console::Store;
use guarita_media::{BlobStore, DiskBlobs, MediaIndex, MediaKeys};
use guarita_spool::{Spool as _, SqliteSpool};
use std::{io, path::Path};

/// Ids looked at together.
const STEP: usize = 500;

/// What is in it, in one line; or what is wrong.
pub async fn verify(folder: &Path, settings: &Settings) -> Result<String, String> {
    let said = |what: &'static str| move |error: &dyn std::fmt::Display| format!("{what}: {error}");
    if !folder.join("spool.db").is_file() {
        return Err("no backup: spool.db is missing".into());
    }
    let scratch = tempfile::Builder::new().prefix("guarita-verify-").tempdir().map_err(|error| error.to_string())?;
    copy_databases(folder, scratch.path()).map_err(|error| format!("it cannot be copied to look at it: {error}"))?;
    let own_key = folder.join("key");
    let key = if own_key.is_file() { Some(own_key) } else { settings.storage.key_file.clone() };
    let key = key.ok_or("the key is not in it: put the key file into it, or name it in storage.key_file")?;
    let config =
        guarita_spool::Config { path: scratch.path().to_owned(), key_file: Some(key), ..settings.storage.clone() };

    let spool = SqliteSpool::open(&config).map_err(|error| said("spool")(&error))?;
    let health = spool.check().await.map_err(|error| said("spool")(&error))?;
    if let Some(problem) = health.problems.first() {
        return Err(format!("spool: the database is damaged: {problem}"));
    }
    let counts = spool.counts().await.map_err(|error| said("spool")(&error))?;
    let entries: u64 = counts.by_state.iter().map(|(_, entries)| entries).sum();
    let readable = newest_content(&spool).await?;

    let keys = MediaKeys::derive(&spool.key().derive("media"));
    let index =
        MediaIndex::open(&scratch.path().join("media.sqlite"), &keys).map_err(|error| said("media index")(&error))?;
    let blobs = DiskBlobs::open(folder.join("media"), &keys).map_err(|error| said("media folder")(&error))?;
    let (served, there) = contents(&index, &blobs).await?;
    Store::open(&scratch.path().join("console.sqlite"), &spool.key().derive("console"))
        .map_err(|error| said("console")(&error))?;
    let outbox = Outbox::open(&scratch.path().join("events.sqlite"), spool.key().derive("events"))
        .map_err(|error| said("events")(&error))?;
    outbox.recent(10).await.map_err(|error| said("events")(&error))?;
    Ok(format!(
        "{entries} entries in the spool ({readable} of the newest read), {served} ids served, {there} of them with their \
         content (the rest is past its retention)"
    ))
}

/// The newest entries' contents decrypt.
async fn newest_content(spool: &SqliteSpool) -> Result<usize, String> {
    let said = |error: guarita_spool::SpoolError| format!("spool: {error}");
    let newest = spool.list(guarita_spool::Filter::default(), 20).await.map_err(said)?;
    for record in &newest {
        spool.content(&record.id).await.map_err(said)?;
    }
    Ok(newest.len())
}

/// Ids that are served, and how many of their contents are there and open.
async fn contents(index: &MediaIndex, blobs: &DiskBlobs) -> Result<(usize, usize), String> {
    let (mut served, mut there, mut after) = (0, 0, None);
    loop {
        let (some, last) = index.walk(after, STEP).await.map_err(|error| format!("media index: {error}"))?;
        for one in some {
            served += 1;
            match blobs.bytes(&one.content.hash) {
                Ok(Some(bytes)) if bytes == one.content.bytes => there += 1,
                Ok(Some(_)) => return Err(format!("media: the content {} has another length", one.content.hash)),
                Ok(None) => {}
                Err(error) => return Err(format!("media: the content {}: {error}", one.content.hash)),
            }
        }
        match last {
            Some(last) => after = Some(last),
            None => return Ok((served, there)),
        }
    }
}

/// Databases alone, and what SQLite keeps beside them.
fn copy_databases(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if [".sqlite", ".db", "-wal"].iter().any(|ending| name.ends_with(ending)) {
            std::fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}
