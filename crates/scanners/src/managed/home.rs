//! Where our own clamd lives and as whom: its folder, its lock, its user, and what an earlier one left behind.
//!
//! ```text
//! <storage>/clamav/manager.lock      held by the one Guarita process that runs clamd for this storage
//! <home>/clamd.conf freshclam.conf   ours; readable for clamd, not writable
//! <home>/test-signatures/            ours, the same
//! <home>/run/clamd.sock              clamd's
//! <home>/tmp/                        clamd's; emptied at each start, for it holds pieces of customers' files
//! ```
//! `<home>` is `<storage>/clamav`. When we run as root, clamd runs as a lower user that cannot reach our storage, and a
//! unix socket's path is bound to 107 bytes: then `<home>` is a folder of its own under `/run` (or `/tmp`), and clamd's
//! temporary folder one under `/var/tmp`, for `/run` is memory.

use crate::Config;
use rustix::{
    fs::{Access, FlockOperation, access, flock},
    process::{Pid, Signal, geteuid, kill_process},
};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

/// `sun_path` holds 108 bytes with the closing NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long a clamd may take to end when asked; then it is killed.
pub(crate) const END_WAIT: Duration = Duration::from_secs(3);

/// As whom clamd and freshclam run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Identity {
    /// As we do.
    Ours,
    /// We are root, they are not.
    Lower { name: String, uid: u32, gid: u32 },
}

impl Identity {
    pub(crate) fn choose(config: &Config) -> Self {
        if !geteuid().is_root() || config.managed.user.is_empty() {
            return Identity::Ours;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        user_in(&users, &config.managed.user).unwrap_or_else(|| {
            tracing::warn!(user = %config.managed.user, "no such user: clamd runs as root, which is unwise");
            Identity::Ours
        })
    }

    pub(crate) fn can_write(&self, folder: &Path) -> bool {
        match self {
            Identity::Ours => access(folder, Access::WRITE_OK).is_ok(),
            Identity::Lower { uid, gid, .. } => fs::metadata(folder).is_ok_and(|meta| {
                let mode = meta.mode();
                (meta.uid() == *uid && mode & 0o200 != 0)
                    || (meta.gid() == *gid && mode & 0o020 != 0)
                    || mode & 0o002 != 0
            }),
        }
    }

    /// Lets clamd read what is ours.
    pub(crate) fn may_read(&self, path: &Path) -> io::Result<()> {
        let Identity::Lower { gid, .. } = self else { return Ok(()) };
        let mode = if path.is_dir() { 0o750 } else { 0o640 };
        chown(path, None, Some(*gid))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

/// `name:x:uid:gid:…`
fn user_in(passwd: &str, name: &str) -> Option<Identity> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
    (uid != 0).then(|| Identity::Lower { name: name.to_owned(), uid, gid })
}

/// The folders of one clamd.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub folder: PathBuf,
    pub identity: Identity,
    /// Not below the storage: removed at the end.
    passing: bool,
}

impl Home {
    /// Decides where; creates nothing but `<storage>/clamav`. The same storage and user always give the same place.
    pub(crate) fn choose(config: &Config, storage: &Path) -> io::Result<Self> {
        let below = storage.join("clamav");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&below)?;
        let below = fs::canonicalize(below)?;
        let identity = Identity::choose(config);
        let here = Home { folder: below, identity, passing: false };
        let fits = here.socket().as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
        if here.identity == Identity::Ours && fits {
            return Ok(here);
        }
        let digest = Sha256::digest(here.folder.as_os_str().as_encoded_bytes());
        let user = geteuid().as_raw();
        let name = format!("guarita-clamd-{user}-{}", hex::encode(&digest[..6]));
        let runtime = Path::new("/run");
        let parent = if access(runtime, Access::WRITE_OK).is_ok() { runtime } else { Path::new("/tmp") };
        Ok(Home { folder: parent.join(name), passing: true, ..here })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("run").join("clamd.sock")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("clamd.conf")
    }

    pub(crate) fn test_signatures(&self) -> PathBuf {
        self.folder.join("test-signatures")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        let disk = Path::new("/var/tmp");
        match self.folder.file_name() {
            Some(name) if self.passing && access(disk, Access::WRITE_OK).is_ok() => disk.join(name),
            _ => self.folder.join("tmp"),
        }
    }

    /// Makes the folders, empty where they are clamd's.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        own_folder(&self.folder)?;
        self.identity.may_read(&self.folder)?;
        for theirs in [self.folder.join("run"), self.temporary()] {
            match fs::remove_dir_all(&theirs) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::DirBuilder::new().mode(0o700).create(&theirs)?,
            }
            if let Identity::Lower { uid, gid, .. } = self.identity {
                chown(&theirs, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }

    /// After clamd's end: nothing of customers' files stays.
    pub(crate) fn clear(&self) {
        let home = self.passing.then(|| self.folder.clone());
        for folder in [Some(self.temporary()), home].into_iter().flatten() {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, folder = %folder.display(), "clamd's folder could not be cleared");
                }
                _ => {}
            }
        }
    }
}

/// A folder that is ours and not a stranger's with the same name (`/tmp` is open to all).
fn own_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(folder)?;
            if !meta.is_dir() || meta.uid() != geteuid().as_raw() {
                return Err(io::Error::other(format!("{} belongs to somebody else; remove it", folder.display())));
            }
            Ok(())
        }
        other => other,
    }
}

/// Held by the one process that runs clamd for a storage; freed by the system when that process ends, however it ends.
#[derive(Debug)]
pub(crate) struct ManagerLock {
    _file: fs::File,
}

impl ManagerLock {
    /// `None`: another process holds it.
    pub(crate) fn take(storage: &Path) -> io::Result<Option<Self>> {
        let path = storage.join("clamav").join("manager.lock");
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(ManagerLock { _file: file })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Ends a clamd that an earlier, killed Guarita left behind: a process called clamd that was started with our own
/// settings file. Call it only with the [`ManagerLock`] held. Blocks up to [`END_WAIT`].
pub(crate) fn end_strays(settings: &Path) {
    let strays = processes_with(settings);
    for pid in &strays {
        tracing::warn!(pid = pid.as_raw_pid(), "ending a clamd that an earlier run left behind");
        let _ = kill_process(*pid, Signal::TERM);
    }
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while !strays.is_empty() && waited < END_WAIT {
        if processes_with(settings).is_empty() {
            return;
        }
        std::thread::sleep(step);
        waited += step;
    }
    for pid in processes_with(settings) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn processes_with(settings: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let stray = |entry: fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        let is_clamd = words.next()?.rsplit(|byte| *byte == b'/').next() == Some(b"clamd".as_slice());
        let is_ours = words.any(|word| word == settings.as_os_str().as_encoded_bytes());
        (is_clamd && is_ours).then_some(pid)
    };
    entries.flatten().filter_map(stray).collect()
}

/// A program by its configured path, or in the usual folders.
pub(crate) fn find_program(configured: &Path, name: &str) -> Option<PathBuf> {
    const FOLDERS: [&str; 8] = [
        "/usr/sbin",
        "/usr/bin",
        "/usr/local/sbin",
        "/usr/local/bin",
        "/sbin",
        "/bin",
        "/opt/homebrew/sbin",
        "/opt/homebrew/bin",
    ];
    let runs = |path: &PathBuf| path.is_file() && access(path.as_path(), Access::EXEC_OK).is_ok();
    if !configured.as_os_str().is_empty() {
        return Some(configured.to_owned()).filter(runs);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let searched = FOLDERS.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    searched.map(|folder| folder.join(name)).find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_root_is_no_lower_user() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nclamav:x:102:105::/var/lib/clamav:/bin/false\nbad\nhalf:x:1\n";
        assert_eq!(user_in(passwd, "clamav"), Some(Identity::Lower { name: "clamav".into(), uid: 102, gid: 105 }));
        for none in ["root", "nobody", "half", "bad"] {
            assert_eq!(user_in(passwd, none), None);
        }
    }

    #[test]
    fn socket_paths_stay_within_the_systems_bound() {
        let storage = tempfile::tempdir().unwrap();
        let config = Config {
            managed: crate::ManagedConfig { user: String::new(), ..Default::default() },
            ..Default::default()
        };
        let near = Home::choose(&config, storage.path()).unwrap();
        assert!(near.socket().starts_with(storage.path()));
        let deep = storage
            .path()
            .join("a-rather-long-folder-name-that-somebody-chose-for-good-reasons/and-a-second-one-below-it");
        let far = Home::choose(&config, &deep).unwrap();
        assert!(!far.socket().starts_with(storage.path()) && far.socket().as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert_eq!(far.socket(), Home::choose(&config, &deep).unwrap().socket(), "the same place each time");
    }

    #[test]
    fn one_manager_a_storage() {
        let storage = tempfile::tempdir().unwrap();
        Home::choose(&Config::default(), storage.path()).unwrap();
        let held = ManagerLock::take(storage.path()).unwrap();
        assert!(held.is_some() && ManagerLock::take(storage.path()).unwrap().is_none());
        drop(held);
        assert!(ManagerLock::take(storage.path()).unwrap().is_some());
    }

    #[test]
    fn a_strangers_folder_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(own_folder(&link).unwrap_err().to_string().contains("belongs to somebody else"));
    }
}
