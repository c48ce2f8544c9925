//! The rows of the index and their SQL; the only place that knows SQLite. It must not know threads or callers.

use super::{IndexError, MediaKey, MediaState, ServedMedia, StoredMedia};
use crate::{
    Millis,
    keys::{self, MediaKeys},
};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use guarita_message::ContentHash;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

/// One change. Each answers with a count of rows.
pub(super) enum Write {
    NotePending { now: Millis, keys: Vec<MediaKey> },
    NoteFetched { now: Millis, key: MediaKey, content: StoredMedia },
    Decide { now: Millis, decided: Vec<(MediaKey, MediaState)>, origin: Option<String> },
    Remember { name: &'static str, value: Vec<u8> },
    Revoke { now: Millis, hash: ContentHash },
    Release { now: Millis, key: MediaKey },
    KeepUntil { until: Millis, hashes: Vec<ContentHash> },
    Forget { now: Millis, before: Millis },
}

const PENDING: i64 = 0;
const SERVED: i64 = 1;
const WITHHELD: i64 = 2;
const NOT_SERVED: i64 = 3;

/// Rows a `forget` removes at most; it is called often.
const FORGET_MAX: i64 = 5_000;
/// A second process (a backup) may hold the file for a moment.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS media (
    key BLOB PRIMARY KEY,      -- keyed hash of the id
    state INTEGER NOT NULL,
    hash BLOB,                 -- SHA-256 of its content, if that is known
    sealed BLOB,               -- length, type and name, encrypted
    seen_ms INTEGER NOT NULL,
    origin TEXT                -- the delivery that was decided with it
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS media_by_hash ON media (hash) WHERE hash IS NOT NULL;
CREATE INDEX IF NOT EXISTS media_by_seen ON media (seen_ms);
CREATE TABLE IF NOT EXISTS kept (hash BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";

pub(super) struct Rows {
    db: Connection,
    cipher: XChaCha20Poly1305,
}

/// The part of a [`StoredMedia`] that is sealed.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    bytes: u64,
    mime_type: String,
    name: Option<String>,
}

impl Rows {
    pub(super) fn open(path: &Path, keys: &MediaKeys) -> Result<Self, IndexError> {
        let db = Connection::open(path).map_err(fault)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|e| IndexError::Disk(e.to_string()))?;
        db.busy_timeout(BUSY).map_err(fault)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
        db.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
        db.execute_batch(SCHEMA).map_err(fault)?;
        // Files made before a row named its delivery.
        let named: bool = db
            .query_row("SELECT count(*) FROM pragma_table_info('media') WHERE name = 'origin'", [], |row| row.get(0))
            .map_err(fault)?;
        if !named {
            db.execute_batch("ALTER TABLE media ADD COLUMN origin TEXT").map_err(fault)?;
        }
        // Under another key every id would look unknown and pass through: refuse to start instead.
        let check = keys.media_key("guarita key check").0;
        db.execute("INSERT OR IGNORE INTO about VALUES ('key', ?1)", [&check[..]]).map_err(fault)?;
        let stored: Vec<u8> =
            db.query_row("SELECT value FROM about WHERE name = 'key'", [], |row| row.get(0)).map_err(fault)?;
        if stored != check {
            return Err(IndexError::Damaged("it was made with another key".into()));
        }
        Ok(Rows { db, cipher: XChaCha20Poly1305::new(&keys.rows.into()) })
    }

    /// All in one transaction, or none.
    pub(super) fn apply(&mut self, writes: &[Write]) -> Result<Vec<u64>, IndexError> {
        let transaction = self.db.transaction().map_err(fault)?;
        let counts = writes
            .iter()
            .map(|write| apply_one(&transaction, &self.cipher, write).map_err(fault))
            .collect::<Result<Vec<_>, _>>()?;
        transaction.commit().map_err(fault)?;
        Ok(counts)
    }

    pub(super) fn state(&self, key: &MediaKey) -> Result<Option<MediaState>, IndexError> {
        let row = self
            .db
            .prepare_cached("SELECT state, hash, sealed FROM media WHERE key = ?1")
            .and_then(|mut select| {
                select
                    .query_row([&key.0[..]], |row| {
                        Ok((
                            row.get::<_, i64>(0)?,
                            row.get::<_, Option<[u8; 32]>>(1)?,
                            row.get::<_, Option<Vec<u8>>>(2)?,
                        ))
                    })
                    .optional()
            })
            .map_err(fault)?;
        let Some((state, hash, sealed)) = row else { return Ok(None) };
        let content = match (hash, sealed) {
            (Some(hash), Some(sealed)) => Some(unseal(&self.cipher, key, ContentHash(hash), sealed)?),
            _ => None,
        };
        Ok(Some(match (state, content) {
            (SERVED, Some(content)) => MediaState::Served(content),
            (PENDING, content) => MediaState::Pending(content),
            (WITHHELD, content) => MediaState::Withheld(content),
            // Whatever else stands there is no permission to serve.
            (_, content) => MediaState::NotServed(content),
        }))
    }

    /// At most `most` rows behind `after`, of those the served ones; and the last row looked at, `None` at the end.
    pub(super) fn walk(
        &self,
        after: Option<&MediaKey>,
        most: usize,
    ) -> Result<(Vec<ServedMedia>, Option<MediaKey>), IndexError> {
        let after = after.map_or(&[][..], |key| &key.0[..]);
        let mut select = self
            .db
            .prepare_cached("SELECT key, state, hash, sealed, origin FROM media WHERE key > ?1 ORDER BY key LIMIT ?2")
            .map_err(fault)?;
        let mut rows = select.query(params![after, most as i64]).map_err(fault)?;
        let (mut served, mut last, mut looked) = (Vec::new(), None, 0);
        while let Some(row) = rows.next().map_err(fault)? {
            looked += 1;
            let key = MediaKey(row.get(0).map_err(fault)?);
            last = Some(key);
            if row.get::<_, i64>(1).map_err(fault)? == SERVED {
                served.extend(self.served_row(key, row.get(2), row.get(3), row.get(4))?);
            }
        }
        Ok((served, last.filter(|_| looked == most)))
    }

    /// The served ids of a content.
    pub(super) fn serving(&self, hash: &ContentHash, most: usize) -> Result<Vec<ServedMedia>, IndexError> {
        let mut select = self
            .db
            .prepare_cached("SELECT key, hash, sealed, origin FROM media WHERE hash = ?1 AND state = ?2 LIMIT ?3")
            .map_err(fault)?;
        let mut rows = select.query(params![&hash.0[..], SERVED, most as i64]).map_err(fault)?;
        let mut served = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            let key = MediaKey(row.get(0).map_err(fault)?);
            served.extend(self.served_row(key, row.get(1), row.get(2), row.get(3))?);
        }
        Ok(served)
    }

    fn served_row(
        &self,
        key: MediaKey,
        hash: rusqlite::Result<Option<[u8; 32]>>,
        sealed: rusqlite::Result<Option<Vec<u8>>>,
        origin: rusqlite::Result<Option<String>>,
    ) -> Result<Option<ServedMedia>, IndexError> {
        let (Some(hash), Some(sealed)) = (hash.map_err(fault)?, sealed.map_err(fault)?) else { return Ok(None) };
        let content = unseal(&self.cipher, &key, ContentHash(hash), sealed)?;
        Ok(Some(ServedMedia { key, content, origin: origin.map_err(fault)? }))
    }

    pub(super) fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, IndexError> {
        self.db.query_row("SELECT value FROM about WHERE name = ?1", [name], |row| row.get(0)).optional().map_err(fault)
    }

    pub(super) fn is_referred_to(&self, hash: &ContentHash) -> Result<bool, IndexError> {
        self.db
            .query_row("SELECT EXISTS (SELECT 1 FROM media WHERE hash = ?1)", [&hash.0[..]], |row| row.get(0))
            .map_err(fault)
    }

    pub(super) fn kept_until(&self, hash: &ContentHash) -> Result<Option<Millis>, IndexError> {
        let found = self
            .db
            .query_row("SELECT until_ms FROM kept WHERE hash = ?1", [&hash.0[..]], |row| row.get::<_, i64>(0))
            .optional();
        found.map(|until| until.map(|until| until.max(0) as Millis)).map_err(fault)
    }
}

fn apply_one(db: &Connection, cipher: &XChaCha20Poly1305, write: &Write) -> rusqlite::Result<u64> {
    const PUT: &str = "INSERT INTO media (key, state, hash, sealed, seen_ms, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (key) DO UPDATE SET state = ?2, hash = ?3, sealed = ?4, seen_ms = max(seen_ms, ?5),
            origin = coalesce(?6, origin)";
    let mut count = 0;
    match write {
        Write::NotePending { now, keys } => {
            let mut note = db.prepare_cached(
                "INSERT INTO media (key, state, seen_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET seen_ms = max(seen_ms, ?3)",
            )?;
            for key in keys {
                count += note.execute(params![&key.0[..], PENDING, whole(*now)])?;
            }
        }
        Write::NoteFetched { now, key, content } => {
            let sealed = seal(cipher, key, content)?;
            count += db
                .prepare_cached(
                    "INSERT INTO media (key, state, hash, sealed, seen_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (key) DO UPDATE SET hash = ?3, sealed = ?4, seen_ms = max(seen_ms, ?5)
                     WHERE state = ?2",
                )?
                .execute(params![&key.0[..], PENDING, &content.hash.0[..], sealed, whole(*now)])?;
        }
        Write::Remember { name, value } => {
            count += db.execute("INSERT OR REPLACE INTO about VALUES (?1, ?2)", params![name, value])?;
        }
        Write::Decide { now, decided, origin } => {
            let mut put = db.prepare_cached(PUT)?;
            for (key, state) in decided {
                let sealed = state.content().map(|content| seal(cipher, key, content)).transpose()?;
                let hash = state.content().map(|content| &content.hash.0[..]);
                count += put.execute(params![&key.0[..], number(state), hash, sealed, whole(*now), origin])?;
            }
        }
        Write::Revoke { now, hash } => {
            count += db
                .prepare_cached(
                    "UPDATE media SET state = ?1, seen_ms = max(seen_ms, ?2) WHERE hash = ?3 AND state = ?4",
                )?
                .execute(params![WITHHELD, whole(*now), &hash.0[..], SERVED])?;
        }
        Write::Release { now, key } => {
            count += db
                .prepare_cached(
                    "UPDATE media SET state = ?1, seen_ms = max(seen_ms, ?2)
                     WHERE key = ?3 AND hash IS NOT NULL AND sealed IS NOT NULL",
                )?
                .execute(params![SERVED, whole(*now), &key.0[..]])?;
        }
        Write::KeepUntil { until, hashes } => {
            let mut keep = db.prepare_cached(
                "INSERT INTO kept VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE SET until_ms = max(until_ms, ?2)",
            )?;
            for hash in hashes {
                count += keep.execute(params![&hash.0[..], whole(*until)])?;
            }
        }
        Write::Forget { now, before } => {
            count += db.execute(
                "DELETE FROM media WHERE key IN (SELECT key FROM media WHERE seen_ms < ?1 LIMIT ?2)",
                params![whole(*before), FORGET_MAX],
            )?;
            db.execute(
                "DELETE FROM kept WHERE hash IN (SELECT hash FROM kept WHERE until_ms <= ?1 LIMIT ?2)",
                params![whole(*now), FORGET_MAX],
            )?;
        }
    }
    Ok(count as u64)
}

fn number(state: &MediaState) -> i64 {
    match state {
        MediaState::Pending(_) => PENDING,
        MediaState::Served(_) => SERVED,
        MediaState::Withheld(_) => WITHHELD,
        MediaState::NotServed(_) => NOT_SERVED,
    }
}

/// SQLite's integers are signed; a time beyond them is as good as the last one.
fn whole(millis: Millis) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// `nonce (24) | ciphertext and tag`, bound to its row and to the content it speaks of.
fn seal(cipher: &XChaCha20Poly1305, key: &MediaKey, content: &StoredMedia) -> rusqlite::Result<Vec<u8>> {
    let failed = |e: String| rusqlite::Error::ToSqlConversionFailure(e.into());
    let sealed = Sealed { bytes: content.bytes, mime_type: content.mime_type.clone(), name: content.name.clone() };
    let mut text = serde_json::to_vec(&sealed).map_err(|e| failed(e.to_string()))?;
    let nonce: [u8; 24] = keys::random().map_err(|e| failed(e.to_string()))?;
    cipher
        .encrypt_in_place(&XNonce::from(nonce), &bound_to(key, &content.hash), &mut text)
        .map_err(|_| failed("too long to seal".into()))?;
    Ok([&nonce[..], &text].concat())
}

fn unseal(
    cipher: &XChaCha20Poly1305,
    key: &MediaKey,
    hash: ContentHash,
    sealed: Vec<u8>,
) -> Result<StoredMedia, IndexError> {
    let damaged = || IndexError::Damaged("a row does not decrypt".into());
    let (nonce, text) = sealed.split_first_chunk::<24>().ok_or_else(damaged)?;
    let mut text = text.to_vec();
    cipher.decrypt_in_place(&XNonce::from(*nonce), &bound_to(key, &hash), &mut text).map_err(|_| damaged())?;
    let Sealed { bytes, mime_type, name } = serde_json::from_slice(&text).map_err(|_| damaged())?;
    Ok(StoredMedia { hash, bytes, mime_type, name })
}

fn bound_to(key: &MediaKey, hash: &ContentHash) -> [u8; 48] {
    let mut bound = [0; 48];
    bound[..16].copy_from_slice(&key.0);
    bound[16..].copy_from_slice(&hash.0);
    bound
}

fn fault(e: rusqlite::Error) -> IndexError {
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => IndexError::Full,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => IndexError::Damaged(e.to_string()),
        _ => IndexError::Disk(e.to_string()),
    }
}
