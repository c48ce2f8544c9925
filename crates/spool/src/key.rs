//! The storage folder's key: 32 random bytes in a file of its own, made at first start, from which every other key is
//! derived. Knows nothing of what is encrypted under them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const KEY_BYTES: usize = 32;

/// The operator is at fault, or the disk; each says how to mend it. A retry cannot help.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the key file {0} is missing, and what is stored cannot be read without it: \
         put it back from your backup, or move the storage folder away to begin an empty one"
    )]
    Missing(PathBuf),
    #[error("others than its owner may use the key file {path} (mode {mode:03o}): run `chmod 600 {path}`")]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "the key file {path} is no key: it has {bytes} bytes or is no plain file, a key has 32: put it back from your backup"
    )]
    Malformed { path: PathBuf, bytes: u64 },
    #[error("cannot use the key file {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("the system gives no random bytes for a new key: {0}")]
    Random(String),
}

/// Never shown, never written anywhere but to its own file.
#[derive(Clone)]
pub struct StorageKey([u8; KEY_BYTES]);

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(…)")
    }
}

impl StorageKey {
    /// The key at `path`; makes one, readable by its owner alone, if there is none. Where something is stored already,
    /// use [`StorageKey::open`]: a new key would make it unreadable.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::open(path) {
            Err(KeyError::Missing(_)) => Self::create(path),
            found => found,
        }
    }

    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let io = |cause| KeyError::Io { path: path.to_owned(), cause };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Missing(path.to_owned())),
            Err(error) => return Err(io(error)),
        };
        let about = file.metadata().map_err(io)?;
        if !about.is_file() || about.len() != KEY_BYTES as u64 {
            return Err(KeyError::Malformed { path: path.to_owned(), bytes: about.len() });
        }
        if about.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode: about.mode() & 0o777 });
        }
        let mut key = [0; KEY_BYTES];
        file.read_exact(&mut key).map_err(io)?;
        Ok(StorageKey(key))
    }

    /// Written aside and renamed, so that a crash leaves a whole key or none.
    fn create(path: &Path) -> Result<Self, KeyError> {
        let io = |cause| KeyError::Io { path: path.to_owned(), cause };
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| KeyError::Random(error.to_string()))?;
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(io)?;
        file.write_all(&key).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&aside, path).map_err(io)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        Ok(StorageKey(key))
    }

    /// A key for one purpose; knowing it tells nothing of the others.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"guarita key for ");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(StorageKey::open(&path), Err(KeyError::Missing(_))));
        let made = StorageKey::open_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = StorageKey::open_or_create(&path).unwrap();
        assert_eq!(made.derive("a"), again.derive("a"));
        assert_ne!(made.derive("a"), made.derive("b"));
        assert_eq!(format!("{made:?}"), "StorageKey(…)");
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        StorageKey::open_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(StorageKey::open_or_create(&path), Err(KeyError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(matches!(StorageKey::open_or_create(&path), Err(KeyError::Malformed { bytes: 5, .. })));
    }
}
