//! Everything that only looks: on connections of their own, so that the console never holds up the writer.

use super::{
    content::{Received, read_decision, read_summary},
    index::short,
    rows::{RECORD, disk, int, record, uint},
    schema,
};
use crate::{
    Claimed, ContentOf, Counts, Millis, Record, SpoolError, State,
    place::{Place, Seq},
    seal::{Column, Kind, Name, Sealer},
};
use guarita_message::{DeliveryId, Verdict};
use rusqlite::{Connection, OptionalExtension, Result};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// A few read connections, opened when first needed.
pub(super) struct Readers {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub fn new(path: PathBuf, most: usize) -> Arc<Self> {
        Arc::new(Readers { path, free: Mutex::default(), permits: Semaphore::new(most.max(1)) })
    }

    /// Does `work` on a thread that may block.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, SpoolError> {
        let _permit = self.permits.acquire().await.map_err(|_| SpoolError::Disk("the spool is closed".to_owned()))?;
        let readers = self.clone();
        let job = move || {
            let free = readers.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let conn = match free {
                Some(conn) => conn,
                None => schema::open_reader(&readers.path)?,
            };
            let result = work(&conn);
            if result.is_ok() {
                readers.free.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            }
            result
        };
        match tokio::task::spawn_blocking(job).await {
            Ok(result) => result.map_err(|error| disk(&error)),
            Err(_) => Err(SpoolError::Disk("a read ended early".to_owned())),
        }
    }
}

/// Decisions that the entries' own rows do not tell of yet, and when they were made.
pub(super) type Deferred = HashMap<Seq, Millis>;

/// Tells of a decision that the entry's own row does not tell of yet.
pub(super) fn told(place: Place, mut record: Record, deferred: &Deferred) -> Record {
    if let (State::Received, Some(decided_ms)) = (record.state, deferred.get(&place.seq)) {
        record.state = State::Decided;
        (record.verdict, record.decided_ms) = (Some(Verdict::Clean), Some(*decided_ms));
    }
    record
}

pub(super) fn record_at(conn: &Connection, place: Place) -> Result<Option<Record>> {
    let found = conn
        .prepare_cached(&format!("SELECT {RECORD} FROM entries WHERE seq = ?1"))?
        .query_row([int(place.seq)], record)
        .optional()?;
    Ok(found.filter(|(at, _)| *at == place).map(|(_, record)| record))
}

/// A claimed entry, or the place of one that does not decrypt.
pub(super) type Read = std::result::Result<Claimed, Place>;

/// Reads what `claim` handed out and the cache no longer holds.
pub(super) fn claimed(conn: &Connection, sealer: &Sealer, seqs: &[Seq]) -> Result<Vec<Read>> {
    let mut statement = conn.prepare_cached(&format!("SELECT {RECORD} FROM entries WHERE seq = ?1"))?;
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let Some((place, record)) = statement.query_row([int(*seq)], record).optional()? else { continue };
        let (received, decision) = sealed(conn, *seq)?;
        found.push(open_claimed(sealer, place, record, received, decision).ok_or(place));
    }
    Ok(found)
}

type Blob = Option<Vec<u8>>;

/// The received blob and the decision's.
fn sealed(conn: &Connection, seq: Seq) -> Result<(Blob, Blob)> {
    let blob = |sql| conn.prepare_cached(sql)?.query_row([int(seq)], |row| row.get(0)).optional();
    Ok((blob("SELECT sealed FROM received WHERE seq = ?1")?, blob("SELECT sealed FROM decisions WHERE seq = ?1")?))
}

fn open_claimed(sealer: &Sealer, place: Place, record: Record, received: Blob, decision: Blob) -> Option<Claimed> {
    let (millis, salt) = (record.received_ms, place.salt);
    let Received { conversation, body } = Received::read(sealer.open(millis, salt, Column::Received, received?).ok()?)?;
    // The entry's own row may not tell of it yet; then it is clean.
    let decided = match decision {
        Some(decision) => {
            let plain = sealer.open(millis, salt, Column::Decision, decision).ok()?;
            let verdict = record.verdict.unwrap_or(Verdict::Clean);
            Some(read_decision(&plain, verdict, record.quarantine, Some(&body))?)
        }
        None if record.state == State::Decided => return None,
        None => None,
    };
    Some(Claimed {
        id: record.id,
        route: record.route,
        channel: record.channel,
        lane: record.lane,
        conversation,
        received_ms: record.received_ms,
        since_ms: record.put_back_ms.unwrap_or(record.received_ms),
        body: body.into(),
        decided,
        attempts: record.attempts,
        looks: record.looks,
        released_by: record.released_by,
    })
}

/// `Err(id)` inside: the bytes do not decrypt. `None`: there is no such entry.
pub(super) fn content(
    conn: &Connection,
    sealer: &Sealer,
    place: Place,
) -> Result<Option<std::result::Result<ContentOf, DeliveryId>>> {
    let Some(record) = record_at(conn, place)? else { return Ok(None) };
    let (received, decision) = sealed(conn, place.seq)?;
    let open = |column, blob: Option<Vec<u8>>| {
        blob.map(|blob| sealer.open(record.received_ms, place.salt, column, blob)).transpose()
    };
    let (Ok(received), Ok(decision)) = (open(Column::Received, received), open(Column::Decision, decision)) else {
        return Ok(Some(Err(record.id)));
    };
    let received = received.map(|plain| Received::read(plain).map(|received| received.body));
    let body = received.as_ref().and_then(Option::as_deref);
    let verdict = record.verdict.unwrap_or(Verdict::Clean);
    let decision = decision.map(|plain| read_decision(&plain, verdict, record.quarantine, body));
    if matches!(received, Some(None)) || matches!(decision, Some(None)) {
        return Ok(Some(Err(record.id)));
    }
    let (received, decision) = (received.flatten(), decision.flatten());
    let sent = decision
        .as_ref()
        .filter(|_| record.state != State::Quarantined)
        .and_then(|decided| decided.body.clone().or_else(|| received.clone()));
    Ok(Some(Ok(ContentOf { received, sent, report: decision.map(|decided| decided.report) })))
}

/// A decision up to this size is opened for the summary in it; for a larger one, the summary stands apart.
pub(super) const SUMMARY_WITHIN: usize = 16 << 10;

/// `None`: there is none, it is gone, or it does not open.
pub(super) fn summary(conn: &Connection, sealer: &Sealer, place: Place) -> Result<Option<Vec<u8>>> {
    let row = conn
        .prepare_cached(
            "SELECT entries.received_ms, entries.salt, \
             CASE WHEN length(decisions.sealed) <= ?2 THEN decisions.sealed END, summaries.sealed \
             FROM entries JOIN decisions USING (seq) LEFT JOIN summaries USING (seq) WHERE entries.seq = ?1",
        )?
        .query_row((int(place.seq), int(SUMMARY_WITHIN as u64)), |row| {
            let at = Place::new(uint(row.get(0)?), place.seq, uint(row.get(1)?));
            Ok((at, row.get::<_, Blob>(2)?, row.get::<_, Blob>(3)?))
        })
        .optional()?;
    let Some((at, within, apart)) = row.filter(|(at, ..)| *at == place) else { return Ok(None) };
    let open = |column, blob| sealer.open(at.millis, at.salt, column, blob).ok();
    let summary = match (within, apart) {
        (_, Some(apart)) => open(Column::Summary, apart),
        (Some(within), None) => open(Column::Decision, within).and_then(|plain| read_summary(&plain)),
        (None, None) => None,
    };
    Ok(summary.filter(|summary| !summary.is_empty()))
}

pub(super) fn counts(conn: &Connection, claimed: u64) -> Result<Counts> {
    let by_state = conn
        .prepare_cached("SELECT received, decided, delivered, quarantined, dead_lettered FROM progress")?
        .query_row([], |row| {
            let states = [State::Received, State::Decided, State::Delivered, State::Quarantined, State::DeadLettered];
            states.into_iter().enumerate().map(|(at, state)| Ok((state, uint(row.get(at)?)))).collect()
        })?;
    let oldest_unfinished_ms = conn
        .prepare_cached(
            "SELECT received_ms FROM entries INDEXED BY by_state WHERE state = 0 AND state <> 1 ORDER BY seq LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?
        .map(uint);
    Ok(Counts { by_state, oldest_unfinished_ms, claimed })
}

/// Entries that may bear this name, from the sorted runs and from what is not in them yet.
pub(super) fn bearing(conn: &Connection, kind: Kind, name: &Name) -> Result<Vec<Seq>> {
    let column = match kind {
        Kind::Sender => "instr(senders, ?1)",
        _ => "conversation = ?1",
    };
    let mut found: Vec<Seq> = Vec::new();
    let tail = format!("SELECT seq FROM entries WHERE seq > (SELECT indexed FROM progress) AND {column}");
    let mut tail = conn.prepare_cached(&tail)?;
    for seq in tail.query_map([&name[..]], |row| row.get(0))? {
        found.push(uint(seq?));
    }
    let mut runs = conn.prepare_cached(
        "SELECT lookup.seq FROM runs CROSS JOIN lookup ON lookup.run = runs.run AND lookup.hash = ?1",
    )?;
    for seq in runs.query_map([short(name)], |row| row.get(0))? {
        found.push(uint(seq?));
    }
    Ok(found)
}

/// Unfinished entries from `from` on, to take their places in line: number, conversation, due time, decided.
pub(super) fn unfinished(conn: &Connection, from: Seq, most: usize) -> Result<Vec<(Seq, Name, Millis, bool)>> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, conversation, coalesce(next_ms, 0), decided_ms IS NOT NULL FROM entries INDEXED BY by_state \
         WHERE state = 0 AND state <> 1 AND seq >= ?1 ORDER BY seq LIMIT ?2",
    )?;
    let rows = statement.query_map((int(from), int(most as u64)), |row| {
        Ok((uint(row.get(0)?), row.get(1)?, uint(row.get(2)?), row.get(3)?))
    })?;
    rows.collect()
}
