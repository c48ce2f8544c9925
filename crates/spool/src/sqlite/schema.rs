//! How the database is laid out, and the steps from older layouts to this one. Only ever append to [`STEPS`].

use rusqlite::{Connection, OpenFlags, Result};
use std::{path::Path, time::Duration};

/// Each brings a database from version N to N + 1, in one transaction.
const STEPS: &[&str] = &[V1, V2, V3, V4];

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

const V2: &str = "
-- When a person last put it back in line: its age and its attempts count from then.
ALTER TABLE entries ADD COLUMN put_back_ms INTEGER;
-- From here on, what has no decision has no verdict.
UPDATE entries SET verdict = NULL WHERE state = 0 AND decided_ms IS NULL AND verdict IS NOT NULL;

-- What an entry can be found by: keyed hashes. A block is a stretch of numbers (search.rs), so that rows of one time
-- lie together and are written together.
CREATE TABLE terms (
    block INTEGER NOT NULL, hash INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (block, hash, seq)
) STRICT, WITHOUT ROWID;
-- The other way around: the terms of an entry, 8 bytes each. Most entries have none.
CREATE TABLE bearers (seq INTEGER PRIMARY KEY, terms BLOB NOT NULL) STRICT;
-- Summaries whose decision is too large to be opened for a list.
CREATE TABLE summaries (seq INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;

-- What came in each minute, and how it stands; kept in the transaction that changes it, and longer than the entries.
CREATE TABLE minutes (
    minute INTEGER PRIMARY KEY,         -- of receipt, since 1970
    first INTEGER NOT NULL,             -- the numbers of its entries lie between these
    last INTEGER NOT NULL,
    received INTEGER NOT NULL,          -- by state
    decided INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    dead_lettered INTEGER NOT NULL,
    clean INTEGER NOT NULL,             -- by verdict
    suspicious INTEGER NOT NULL,
    unscanned INTEGER NOT NULL,
    malicious INTEGER NOT NULL
) STRICT;
INSERT INTO minutes SELECT received_ms / 60000, min(seq), max(seq),
    sum(state = 0 AND decided_ms IS NULL), sum(state = 0 AND decided_ms IS NOT NULL), sum(state = 1), sum(state = 2),
    sum(state = 3), coalesce(sum(verdict = 'clean'), 0), coalesce(sum(verdict = 'suspicious'), 0),
    coalesce(sum(verdict = 'unscanned'), 0), coalesce(sum(verdict = 'malicious'), 0)
    FROM entries GROUP BY received_ms / 60000;
";

const V3: &str = "
-- From here on, what is unfinished and has a row in `decisions` is decided; if its own row does not say so yet, it is
-- clean (see HEAL).
DELETE FROM decisions WHERE seq IN (SELECT seq FROM entries WHERE state = 0 AND state <> 1 AND decided_ms IS NULL);
UPDATE entries SET quarantine = 0 WHERE state = 0 AND state <> 1 AND decided_ms IS NULL AND quarantine = 1;
";

const V4: &str = "
-- What a person let go is few among many, and waits without its verdict and its quarantine until it is judged again.
CREATE INDEX by_release ON entries (seq) WHERE released_by IS NOT NULL;
";

/// What a crash left undone: decisions that stood in memory and in their own table, but not in the entry's row. When
/// they were made is not known any more.
pub(super) const HEAL: &str = "
UPDATE entries SET verdict = 'clean', decided_ms = max(received_ms, coalesce(put_back_ms, 0))
    WHERE seq IN (SELECT seq FROM entries INDEXED BY by_state WHERE state = 0 AND state <> 1 AND decided_ms IS NULL
                  AND EXISTS (SELECT 1 FROM decisions WHERE decisions.seq = entries.seq))
";

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
    // checkpoint.rs sees to that.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Appended, Filter, NewEntry, Spool, SqliteSpool, State, StorageKey,
        place::Place,
        seal::{Column, Kind, Sealer},
        sqlite::content::Received,
    };
    use guarita_message::{Channel, ConversationKey, DedupeKey, Lane, Verdict};

    const T: u64 = 1_790_000_000_000;

    /// A folder as the first layout left it: five entries, one of each state but `received`, and a released one that
    /// waits with its old verdict.
    fn of_first_layout(folder: &Path) -> Vec<Place> {
        let sealer = Sealer::new(&StorageKey::open_or_create(&folder.join("key")).unwrap());
        let conn = Connection::open(folder.join("spool.db")).unwrap();
        conn.pragma_update(None, "page_size", PAGE_BYTES).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.execute_batch(V1).unwrap();
        let check = sealer.name(Kind::Check, "");
        conn.execute("INSERT INTO progress (one, key_check, last_seq, received, decided, delivered, quarantined, dead_lettered) VALUES (1, ?1, 5, 1, 1, 1, 1, 1)", [&check[..]]).unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
        let rows = [
            (1, "malicious", true),
            (2, "suspicious", true),
            (3, "clean", true),
            (0, "unscanned", true),
            (0, "malicious", false),
        ];
        let mut places = Vec::new();
        for (at, (state, verdict, decided)) in rows.into_iter().enumerate() {
            let place = Place::new(T + at as u64 * 40_000, at as u64 + 1, 7 + at as u64);
            let name = format!("c{at}");
            let (conversation, body) = (ConversationKey(name.clone()), format!("body {at}"));
            let pieces = [&Received::head(&conversation)[..], name.as_bytes(), body.as_bytes()];
            let received = sealer.seal(place.millis, place.salt, Column::Received, &pieces).unwrap();
            // Body (none), header (none), report: three fields, as they were then.
            let none = u32::MAX.to_be_bytes();
            let pieces = [&none[..], &none, &3u32.to_be_bytes(), b"why"];
            let decision = sealer.seal(place.millis, place.salt, Column::Decision, &pieces).unwrap();
            let (conversation, sender) = (sealer.name(Kind::Conversation, &name), sealer.name(Kind::Sender, "ana"));
            let dedupe = sealer.name(Kind::Dedupe, &name);
            let done = (state > 0).then_some(place.millis as i64);
            let decided_ms = decided.then_some(place.millis as i64);
            conn.execute(
                "INSERT INTO entries (seq, salt, received_ms, state, channel, lane, route, account, conversation, \
                 senders, dedupe, attempts, verdict, decided_ms, finished_ms) VALUES \
                 (?1, ?2, ?3, ?4, 'whatsapp', 'message', 'default', '1', ?5, ?6, ?7, 3, ?8, ?9, ?10)",
                (
                    place.seq as i64,
                    place.salt as i64,
                    place.millis as i64,
                    state,
                    &conversation[..],
                    &sender[..],
                    &dedupe[..],
                    verdict,
                    decided_ms,
                    done,
                ),
            )
            .unwrap();
            conn.execute("INSERT INTO received VALUES (?1, ?2)", (place.seq as i64, received)).unwrap();
            conn.execute("INSERT INTO decisions VALUES (?1, ?2)", (place.seq as i64, decision)).unwrap();
            places.push(place);
        }
        places
    }

    #[tokio::test]
    async fn what_the_first_layout_holds_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let places = of_first_layout(folder.path());
        let config = crate::Config { path: folder.path().to_owned(), ..Default::default() };
        let spool = SqliteSpool::open(&config).unwrap();
        assert!(spool.check().await.unwrap().problems.is_empty());
        let all = spool.list(Filter::default(), 9).await.unwrap();
        assert_eq!(all.len(), 5);
        assert_eq!((all[0].verdict, all[0].state), (None, State::Received), "it waits for its next decision");
        let by_sender =
            Filter { sender: Some("ana".to_owned()), states: vec![State::DeadLettered], ..Filter::default() };
        assert_eq!(spool.list(by_sender, 9).await.unwrap().len(), 1);
        // Figures are there as if they had been kept from the beginning.
        let history = spool.history(T, T + 3_600_000, 60 * 60_000).await.unwrap();
        assert_eq!(history[0].received, 5);
        assert!(history[0].by_state.iter().all(|(_, count)| *count == 1), "{history:?}");
        assert!(history[0].by_verdict.iter().all(|(_, count)| *count == 1), "{history:?}");
        // Work goes on, with what was decided then.
        let claimed = spool.claim(T + 900_000, 1000, 9).await.unwrap();
        assert_eq!(claimed.len(), 2);
        assert_eq!((&claimed[0].body[..], claimed[0].since_ms), (&b"body 3"[..], places[3].millis));
        let decided = claimed[0].decided.clone().unwrap();
        assert_eq!(
            (decided.verdict, &decided.report[..], &decided.summary[..]),
            (Verdict::Unscanned, &b"why"[..], &b""[..])
        );
        assert!(claimed[1].decided.is_none());
        spool.retry(T + 900_000, &places[2].id()).await.unwrap();
        let again = spool.claim(T + 900_000, 1000, 9).await.unwrap().remove(0);
        assert_eq!((again.id, again.attempts, again.since_ms), (places[2].id(), 0, T + 900_000));
        assert_eq!(spool.summaries(&[places[0].id()]).await.unwrap(), [None]);
        let new = NewEntry {
            route: "default".to_owned(),
            channel: Channel::Whatsapp,
            account: "1".to_owned(),
            lane: Lane::Message,
            conversation: ConversationKey("c0".to_owned()),
            dedupe: vec![DedupeKey("c0".to_owned())],
            senders: Vec::new(),
            body: Vec::new(),
        };
        assert_eq!(spool.append(T + 1, vec![new]).await.unwrap(), [Appended::Duplicate]);
    }
}
