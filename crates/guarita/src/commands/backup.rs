//! `guarita backup FOLDER`: a copy of the storage folder that starts, taken while the gateway runs.
//!
//! The databases are copied with SQLite's own backup, which sees one consistent state; attachments are written once and
//! never changed, so they are copied as files. Attachments first and databases last would lose the newest files' contents,
//! so it is the other way round: a content that no row names does no harm.

use crate::config::Settings;
use clap::Args;
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where to; must be empty or not there.
    pub folder: PathBuf,
    /// Leave the key out: keep it elsewhere, for a backup without it is unreadable, also to you.
    #[arg(long)]
    pub without_key: bool,
}

pub async fn backup(args: &BackupArgs, settings: &Settings) -> u8 {
    let (to, from) = (args.folder.clone(), settings.storage.path.clone());
    let key = settings.storage.key_file.clone().unwrap_or_else(|| from.join("key"));
    let without_key = args.without_key;
    let copied = tokio::task::spawn_blocking(move || copy_all(&from, &to, &key, without_key)).await;
    match copied {
        Ok(Ok(files)) => {
            println!("{}: {files} files; to restore, put this folder where storage.path points", args.folder.display());
            if without_key {
                println!("the key is NOT in it: without its key file nothing of it can be read");
            }
            0
        }
        Ok(Err(error)) => {
            eprintln!("guarita backup: {error}");
            1
        }
        Err(_) => 1,
    }
}

fn copy_all(from: &Path, to: &Path, key: &Path, without_key: bool) -> io::Result<usize> {
    if !from.is_dir() {
        return Err(io::Error::other(format!("{}: there is nothing to back up", from.display())));
    }
    std::fs::create_dir_all(to)?;
    if std::fs::read_dir(to)?.next().is_some() {
        return Err(io::Error::other(format!("{}: is not empty; name another folder", to.display())));
    }
    restrict(to)?;
    let mut files = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".sqlite") || name.ends_with(".db") {
            copy_database(&entry.path(), &to.join(&name))
                .map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            files += 1;
        }
    }
    files += copy_folder(&from.join("media"), &to.join("media"))?;
    if !without_key {
        std::fs::copy(key, to.join("key"))?;
        files += 1;
    }
    Ok(files)
}

fn copy_database(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let source =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    source.busy_timeout(Duration::from_secs(10))?;
    let mut target = Connection::open(to)?;
    Backup::new(&source, &mut target)?.run_to_completion(512, Duration::from_millis(2), None)
}

/// Finished contents only; what is being written has another ending and is not part of a backup.
fn copy_folder(from: &Path, to: &Path) -> io::Result<usize> {
    if !from.is_dir() {
        return Ok(0);
    }
    std::fs::create_dir_all(to)?;
    let mut files = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            files += copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            match std::fs::copy(entry.path(), &target) {
                Ok(_) => files += 1,
                // Retention took it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}

/// What is in it is as private as the storage folder.
fn restrict(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}
