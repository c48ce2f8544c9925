//! The console's own small database (`console.sqlite`): accounts, sessions, tokens, exceptions, audit.
//!
//! One thread owns the connection; callers hand it work and wait for the answer. What is personal or secret in it is
//! sealed under a key derived from the storage folder's. Other processes (`guarita user add`, `audit verify`) may open
//! the same file at the same time: SQLite's own locks keep them apart. This module must not know what the rows mean.

use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use hmac::{Hmac, Mac};
use rusqlite::Connection;
use sha2::Sha256;
use std::{
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// Jobs wait in a line this long; then callers are told to come again.
const LINE_MAX: usize = 1024;
/// Another process may hold the file for a moment.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    role TEXT NOT NULL,
    password TEXT,               -- argon2id, PHC form; NULL until chosen
    totp BLOB,                   -- sealed secret; NULL: no second step
    totp_offered BLOB,           -- sealed; shown, not confirmed yet
    totp_step INTEGER NOT NULL DEFAULT 0,  -- last step taken: a code works once
    disabled INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER
);
CREATE TABLE IF NOT EXISTS recovery (
    account INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    hash BLOB NOT NULL,
    PRIMARY KEY (account, hash)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    hash BLOB PRIMARY KEY,       -- SHA-256 of the cookie
    account INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    stage INTEGER NOT NULL,      -- 0 second step wanted, 1 second step to be set up, 2 logged in
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_account ON sessions (account);
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER
);
CREATE TABLE IF NOT EXISTS links (
    hash BLOB PRIMARY KEY,       -- SHA-256 of the one-time link's secret
    account INTEGER REFERENCES accounts(id) ON DELETE CASCADE,  -- NULL: makes the first admin
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exceptions (
    id INTEGER PRIMARY KEY,
    side TEXT NOT NULL,
    kind TEXT NOT NULL,
    value BLOB NOT NULL,         -- sealed: a sender is a person
    covers_malware INTEGER NOT NULL,
    reason TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
);
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    address TEXT NOT NULL,
    hash BLOB NOT NULL           -- over this row and the hash before it
);
CREATE INDEX IF NOT EXISTS audit_by_target ON audit (target) WHERE target <> '';
CREATE TRIGGER IF NOT EXISTS audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_not_cut BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Our disk is at fault; a retry can help once there is room.
    #[error("console.sqlite cannot be used: {0}; see to the disk under storage.path")]
    Disk(String),
    /// Too much at once; a retry helps.
    #[error("the console has too much to do at the moment; try again")]
    Busy,
    /// A retry cannot help.
    #[error("console.sqlite does not open with this key: restore the key file that belongs to this folder")]
    Damaged,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Disk(error.to_string())
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The store. Clones share it; its thread ends with the last one.
#[derive(Clone)]
pub struct Store {
    jobs: SyncSender<Job>,
    seal: Arc<XChaCha20Poly1305>,
    hashes: [u8; 32],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or makes the file. `key` is derived from the storage folder's for this purpose alone. Blocks.
    pub fn open(path: &Path, key: &[u8; 32]) -> Result<Store, StoreError> {
        // Made by us before SQLite does, so that nobody else may read it even for a moment.
        let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        made.map_err(|error| StoreError::Disk(error.to_string()))?;
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        Self::on(db, key)
    }

    /// For tests: gone with its last clone.
    pub fn in_memory(key: &[u8; 32]) -> Result<Store, StoreError> {
        Self::on(Connection::open_in_memory()?, key)
    }

    fn on(mut db: Connection, key: &[u8; 32]) -> Result<Store, StoreError> {
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.execute_batch(SCHEMA)?;
        let seal = Arc::new(XChaCha20Poly1305::new(&(*key).into()));
        check_key(&db, &seal)?;
        let (jobs, line) = sync_channel::<Job>(LINE_MAX);
        std::thread::Builder::new()
            .name("console-store".into())
            .spawn(move || {
                while let Ok(job) = line.recv() {
                    job(&mut db);
                }
            })
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        Ok(Store { jobs, seal, hashes: mac(key, b"guarita console hashes", b"") })
    }

    /// Does `work` on the store's thread, inside one transaction that takes the write lock at once: what it reads does
    /// not change under it, in this process or another.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |db| {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
        .await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |db| work(db)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            // A caller that no longer waits loses nothing.
            let _ = done.send(work(db));
        });
        match self.jobs.try_send(job) {
            Ok(()) => outcome.await.unwrap_or_else(|_| Err(StoreError::Disk("its thread has stopped".into()))),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Disk("its thread has stopped".into())),
        }
    }

    /// Encrypts a secret; `purpose` binds it to its place.
    pub(crate) fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&self.seal, purpose, secret)
    }

    /// A hash that is worth nothing without this folder's key: for secrets too short to stand a search.
    pub(crate) fn keyed_hash(&self, purpose: &str, secret: &[u8]) -> [u8; 32] {
        mac(&self.hashes, purpose.as_bytes(), secret)
    }

    pub(crate) fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        unseal(&self.seal, purpose, sealed)
    }
}

const NONCE: usize = 24;

fn mac(key: &[u8], purpose: &[u8], secret: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&(purpose.len() as u64).to_be_bytes());
    mac.update(purpose);
    mac.update(secret);
    mac.finalize().into_bytes().into()
}

fn seal(cipher: &XChaCha20Poly1305, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce = random::<NONCE>()?;
    let mut sealed = secret.to_vec();
    cipher
        .encrypt_in_place(&XNonce::from(nonce), purpose.as_bytes(), &mut sealed)
        .map_err(|_| StoreError::Disk("a secret is too long to be sealed".into()))?;
    let mut out = nonce.to_vec();
    out.append(&mut sealed);
    Ok(out)
}

fn unseal(cipher: &XChaCha20Poly1305, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(StoreError::Damaged)?;
    let mut out = rest.to_vec();
    cipher.decrypt_in_place(&XNonce::from(*nonce), purpose.as_bytes(), &mut out).map_err(|_| StoreError::Damaged)?;
    Ok(out)
}

/// Under another key nothing sealed would open: refuse to start instead of failing at the first log-in.
fn check_key(db: &Connection, cipher: &XChaCha20Poly1305) -> Result<(), StoreError> {
    use rusqlite::OptionalExtension as _;
    let known: Option<Vec<u8>> =
        db.query_row("SELECT value FROM about WHERE name = 'key'", [], |row| row.get(0)).optional()?;
    match known {
        Some(sealed) => unseal(cipher, "key check", &sealed).map(drop),
        None => {
            let sealed = seal(cipher, "key check", b"guarita")?;
            db.execute("INSERT OR IGNORE INTO about (name, value) VALUES ('key', ?1)", [sealed])?;
            Ok(())
        }
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Disk(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_key_is_refused_and_the_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.sqlite");
        let store = Store::open(&path, &[1; 32]).unwrap();
        let sealed = store.seal("a", b"secret").unwrap();
        assert_eq!(store.unseal("a", &sealed).unwrap(), b"secret");
        assert!(store.unseal("b", &sealed).is_err(), "a secret of another place");
        assert!(matches!(Store::open(&path, &[2; 32]), Err(StoreError::Damaged)));
        assert!(Store::open(&path, &[1; 32]).is_ok(), "a second process may open it");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
