//! Which names were seen, and in which entries: the part of the database that would be written at random places.
//!
//! Names are keyed hashes, so each would land on another page, four pages a message once the tables are large. Instead
//! they are gathered in memory and written in chunks of [`CHUNK_ROWS`], sorted, a few rows with each transaction:
//! neighbours share a page. Nothing is lost by a crash, for every entry's own row holds its names: what is not yet
//! written (entries after `progress.indexed`) is gathered again at start, and a chunk begun is begun again.
//!
//! `seen` is one table by name. `lookup` (conversations and senders, for the console) is a sorted run a chunk, only
//! ever appended to; a search looks into each run. Its hashes are cut to eight bytes: a hit is checked at the entry.

use super::{
    live::Shared,
    rows::{int, uint},
};
use crate::{DEDUPE_MILLIS, Millis, place::Seq, seal::Name};
use rusqlite::{Connection, OptionalExtension, Result};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Names gathered before they are written (some 24,000 entries); bounds the memory (24 bytes each, twice, and the dedupe
/// keys once more) and what the console has to scan of entries whose names are not yet written.
const CHUNK_ROWS: usize = 98_304;
/// Rows of a full chunk written for each row gathered meanwhile, so that it is done before the next is full.
const PACE: usize = 3;
/// The least that a transaction writes while there is a chunk.
const ROWS_MIN: usize = 64;

pub(super) struct Index {
    shared: Arc<Shared>,
    /// Names of all entries not yet written, with the time they were seen.
    recent: HashMap<Name, Millis>,
    /// No name in `recent` was seen before this.
    oldest_recent: Millis,
    gathered: Chunk,
    writing: Option<Chunk>,
}

/// Names of consecutive entries.
#[derive(Default)]
struct Chunk {
    first: Seq,
    last: Seq,
    seen: Vec<(Name, Millis)>,
    lookup: Vec<(i64, Seq)>,
    written: usize,
}

impl Chunk {
    fn rows(&self) -> usize {
        self.seen.len() + self.lookup.len()
    }
}

/// What `lookup` keeps of a name.
pub(super) fn short(name: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    i64::from_be_bytes(bytes)
}

impl Index {
    /// Gathers again what was not written when the process ended.
    pub fn load(conn: &Connection, shared: Arc<Shared>, indexed: Seq) -> Result<Index> {
        let mut index = Index {
            shared,
            recent: HashMap::new(),
            oldest_recent: Millis::MAX,
            gathered: Chunk::default(),
            writing: None,
        };
        let mut statement = conn.prepare(
            "SELECT seq, received_ms, conversation, senders, dedupe FROM entries WHERE seq > ?1 ORDER BY seq",
        )?;
        let mut rows = statement.query([int(indexed)])?;
        while let Some(row) = rows.next()? {
            let at = uint(row.get(1)?);
            let [conversation, senders, dedupe] =
                [2, 3, 4].map(|column| row.get_ref(column).ok().and_then(|value| value.as_blob().ok()).unwrap_or(&[]));
            index.gather(uint(row.get(0)?), at, conversation, senders, dedupe);
        }
        drop(rows);
        Ok(index)
    }

    /// Takes the names of an entry that is committed. `senders` and `dedupe` are names one after the other.
    pub fn gather(&mut self, seq: Seq, at: Millis, conversation: &[u8], senders: &[u8], dedupe: &[u8]) {
        let chunk = &mut self.gathered;
        if chunk.rows() == 0 {
            chunk.first = seq;
        }
        chunk.last = seq;
        let from = chunk.lookup.len();
        chunk.lookup.push((short(conversation), seq));
        chunk.lookup.extend(senders.as_chunks::<16>().0.iter().map(|name| (short(name), seq)));
        self.shared.unwritten().extend_from_slice(&chunk.lookup[from..]);
        for name in dedupe.as_chunks::<16>().0 {
            chunk.seen.push((*name, at));
            self.recent.insert(*name, at);
            self.oldest_recent = self.oldest_recent.min(at);
        }
    }

    /// Was `name` seen within the time duplicates are remembered?
    pub fn saw(&self, conn: &Connection, now: Millis, name: &Name) -> Result<bool> {
        let at = match self.recent.get(name) {
            Some(at) => Some(*at),
            None => conn
                .prepare_cached("SELECT at FROM seen WHERE name = ?1")?
                .query_row([&name[..]], |row| row.get(0))
                .optional()?
                .map(uint),
        };
        Ok(at.is_some_and(|at| now < at.saturating_add(DEDUPE_MILLIS)))
    }

    /// Writes the next rows of a full chunk; `gathered` rows come with this transaction. Returns what
    /// [`Index::wrote`] needs to hear once the transaction is committed.
    pub fn write(&mut self, conn: &Connection, gathered: usize) -> Result<usize> {
        if self.writing.is_none() && self.gathered.rows() >= CHUNK_ROWS {
            let mut chunk = std::mem::take(&mut self.gathered);
            chunk.seen.sort_unstable();
            chunk.lookup.sort_unstable();
            self.writing = Some(chunk);
        }
        let Some(chunk) = &self.writing else { return Ok(0) };
        let rows = (gathered * PACE).max(ROWS_MIN).min(chunk.rows() - chunk.written);
        let (from, to) = (chunk.written, chunk.written + rows);
        let split = chunk.seen.len();
        if from < split {
            let mut insert = conn.prepare_cached(
                "INSERT INTO seen (name, at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = max(at, excluded.at)",
            )?;
            for (name, at) in &chunk.seen[from..to.min(split)] {
                insert.execute((&name[..], int(*at)))?;
            }
        }
        if to > split {
            let mut insert =
                conn.prepare_cached("INSERT OR IGNORE INTO lookup (run, hash, seq) VALUES (?1, ?2, ?3)")?;
            for (hash, seq) in &chunk.lookup[from.max(split) - split..to - split] {
                if *seq != ERASED {
                    insert.execute((int(chunk.first), *hash, int(*seq)))?;
                }
            }
        }
        if to == chunk.rows() {
            conn.prepare_cached("INSERT OR REPLACE INTO runs (run, last) VALUES (?1, ?2)")?
                .execute((int(chunk.first), int(chunk.last)))?;
            conn.prepare_cached("UPDATE progress SET indexed = ?1")?.execute([int(chunk.last)])?;
        }
        Ok(rows)
    }

    /// The transaction of [`Index::write`] is committed.
    pub fn wrote(&mut self, rows: usize) {
        let Some(chunk) = &mut self.writing else { return };
        chunk.written += rows;
        if chunk.written >= chunk.rows() {
            for (name, at) in &chunk.seen {
                // Seen again after it was forgotten: the younger sight belongs to the next chunk.
                if self.recent.get(name) == Some(at) {
                    self.recent.remove(name);
                }
            }
            self.shared.unwritten().retain(|(_, seq)| *seq > chunk.last);
            self.writing = None;
        }
    }

    /// Drops names that need not be remembered any longer and were never written.
    pub fn forget(&mut self, cutoff: Millis) -> u64 {
        if self.oldest_recent > cutoff {
            return 0;
        }
        let before = self.recent.len();
        self.recent.retain(|_, at| *at > cutoff);
        self.gathered.seen.retain(|(_, at)| *at > cutoff);
        self.oldest_recent = self.recent.values().copied().min().unwrap_or(Millis::MAX);
        (before - self.recent.len()) as u64
    }

    /// The run that is being written and not listed yet.
    pub fn writing_run(&self) -> Option<i64> {
        self.writing.as_ref().map(|chunk| int(chunk.first))
    }

    /// These names must not be written any more.
    pub fn erase(&mut self, erased: &HashSet<(i64, Seq)>) {
        let chunks = [Some(&mut self.gathered), self.writing.as_mut()];
        for row in chunks.into_iter().flatten().flat_map(|chunk| &mut chunk.lookup) {
            if erased.contains(row) {
                row.1 = ERASED;
            }
        }
    }
}

/// No entry has this number.
const ERASED: Seq = 0;
