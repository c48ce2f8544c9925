//! `guarita backup FOLDER`: a copy of the storage folder that starts, taken while the gateway runs; `--verify` looks
//! whether one is whole; `guarita restore FOLDER` puts one back.
//!
//! The databases are copied with SQLite's own backup, which sees one consistent state; attachments are written once and
//! never changed, so they are copied as files. Attachments first and databases last would lose the newest files' contents,
//! so it is the other way round: a content that no row names does no harm.

mod verify;

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
    /// Copy nothing: look whether the backup in this folder is whole and can be read. Needs room for its databases in the
    /// folder of temporary files.
    #[arg(long)]
    pub verify: bool,
    /// Leave the key out: keep it elsewhere, for a backup without it is unreadable, also to you.
    #[arg(long)]
    pub without_key: bool,
}

#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// A folder that `guarita backup` made. It goes where storage.path points, which must be empty or not there.
    pub folder: PathBuf,
}

pub async fn backup(args: &BackupArgs, settings: &Settings) -> u8 {
    if args.verify {
        return match verify::verify(&args.folder, settings).await {
            Ok(found) => {
                println!("{}: whole. {found}", args.folder.display());
                0
            }
            Err(error) => {
                eprintln!("guarita backup: {}: {error}", args.folder.display());
                1
            }
        };
    }
    let (to, from) = (args.folder.clone(), settings.storage.path.clone());
    let key = settings.storage.key_file.clone().unwrap_or_else(|| from.join("key"));
    let without_key = args.without_key;
    let copied = tokio::task::spawn_blocking(move || copy_all(&from, &to, &key, without_key)).await;
    match copied {
        Ok(Ok(files)) => {
            let folder = args.folder.display();
            println!("{folder}: {files} files; look at it with --verify, put it back with `guarita restore {folder}`");
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

/// Looks at it, copies it, and looks at the copy: nothing that is there is touched.
pub async fn restore(args: &RestoreArgs, settings: &Settings) -> u8 {
    match put_back(&args.folder, settings).await {
        Ok(found) => {
            println!("{}: restored. {found}", settings.storage.path.display());
            println!("let the gateway's user own it (chown -R), then start the gateway");
            0
        }
        Err(error) => {
            eprintln!("guarita restore: {error}");
            1
        }
    }
}

async fn put_back(from: &Path, settings: &Settings) -> Result<String, String> {
    let to = settings.storage.path.clone();
    if std::fs::read_dir(&to).is_ok_and(|mut there| there.next().is_some()) {
        return Err(format!("{}: is not empty; move it away first, nothing of it was touched", to.display()));
    }
    verify::verify(from, settings).await.map_err(|error| format!("{}: {error}", from.display()))?;
    let (source, target) = (from.to_owned(), to.clone());
    tokio::task::spawn_blocking(move || copy_back(&source, &target))
        .await
        .map_err(|_| "copying crashed".to_owned())?
        .map_err(|error| format!("{}: {error}", to.display()))?;
    verify::verify(&to, settings).await.map_err(|error| format!("{} after copying: {error}", to.display()))
}

fn copy_back(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    restrict(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            std::fs::File::open(&target)?.sync_all()?;
        }
    }
    std::fs::File::open(to)?.sync_all()
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

/// Finished contents only; what is being written stands in a folder of its own and is not part of a backup.
fn copy_folder(from: &Path, to: &Path) -> io::Result<usize> {
    if !from.is_dir() {
        return Ok(0);
    }
    std::fs::create_dir_all(to)?;
    let mut files = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() && entry.file_name() == "unfinished" {
            continue;
        } else if kind.is_dir() {
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
