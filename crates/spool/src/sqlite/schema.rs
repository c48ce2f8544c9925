//! How the database is laid out, and the steps from older layouts to this one. Only ever append to [`STEPS`].

use rusqlite::{Connection, OpenFlags, Result};
use std::{path::Path, time::Duration};

/// Each brings a database from version N to N + 1, in one transaction.
const STEPS: &[&str] = &[V1];

const V1: &str = "
-- The hot row: what is needed to find, count and show an entry. No content, no name in clear.
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,            -- order of receipt, carried in the delivery id
    salt INTEGER NOT NULL,              -- random part of the delivery id
    received_ms INTEGER NOT NULL,
    state INTEGER NOT NULL,             -- 0 unfinished, 1 delivered, 2 quarantined, 3 dead letter
    channel TEXT NOT NULL,
    lane TEXT NOT NULL,
    route TEXT NOT NULL,
    account TEXT NOT NULL,
    conversation BLOB NOT NULL,         -- keyed hash
    senders BLOB NOT NULL,              -- keyed hashes, 16 bytes each
    dedupe BLOB NOT NULL,               -- keyed hashes, 16 bytes each
    quarantine INTEGER NOT NULL DEFAULT 0,
    content INTEGER NOT NULL DEFAULT 1, -- 0: its retention is over, or it was erased
    attempts INTEGER NOT NULL DEFAULT 0,
    looks INTEGER NOT NULL DEFAULT 0,
    verdict TEXT,
    decided_ms INTEGER,
    finished_ms INTEGER,
    next_ms INTEGER,
    last_error TEXT,
    released_by TEXT
) STRICT;
-- Partial, so that clean traffic, which is delivered and forgotten, pays for as few as can be.
CREATE INDEX by_state ON entries (state) WHERE state <> 1;
CREATE INDEX by_verdict ON entries (verdict) WHERE verdict IS NOT NULL AND verdict <> 'clean';
CREATE INDEX by_quarantine ON entries (quarantine) WHERE quarantine = 1;
CREATE INDEX expiring ON entries (quarantine, finished_ms) WHERE content = 1 AND finished_ms IS NOT NULL;
CREATE INDEX emptied ON entries (finished_ms) WHERE content = 0;

-- Content, sealed; see seal.rs and content.rs.
CREATE TABLE received (seq INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE decisions (seq INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;

-- Written by index.rs, in sorted chunks, for entries up to progress.indexed.
CREATE TABLE seen (name BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lookup (
    run INTEGER NOT NULL, hash INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (run, hash, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (run INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;

CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key_check BLOB NOT NULL,            -- tells whether a key file belongs to this database
    last_seq INTEGER NOT NULL DEFAULT 0,
    indexed INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0,
    probed_ms INTEGER NOT NULL DEFAULT 0,
    -- entries by state, kept up to date in the transaction that changes them
    received INTEGER NOT NULL DEFAULT 0,
    decided INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    dead_lettered INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// Pages of WAL after which the writer moves them into the database (32 MiB).
const CHECKPOINT_PAGES: u32 = 4096;
/// A message is some three kilobytes of content, and a page is two system calls in the WAL.
const PAGE_BYTES: u32 = 8192;
/// The WAL file is cut back to this once it has been moved.
const WAL_BYTES: u32 = 64 << 20;
/// Page cache of the writer, and of each reader.
const WRITER_CACHE_KIB: i64 = 16 << 10;
const READER_CACHE_KIB: i64 = 2 << 10;
/// Statements kept prepared.
const STATEMENTS: usize = 64;

/// The newest layout this program knows.
pub(super) const VERSION: usize = STEPS.len();

pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", "OFF")?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Brings the layout up to date. `Err(version)` inside: made by a newer program.
pub(super) fn migrate(conn: &mut Connection, key_check: &[u8]) -> Result<std::result::Result<(), usize>> {
    let version: usize = conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?.max(0) as usize;
    if version > VERSION {
        return Ok(Err(version));
    }
    for (done, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        if done == 0 {
            transaction.execute("INSERT INTO progress (one, key_check) VALUES (1, ?1)", [key_check])?;
        }
        transaction.pragma_update(None, "user_version", done as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}
