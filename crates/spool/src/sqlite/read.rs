//! Everything that only looks: on connections of their own, so that the console never holds up the writer.

use super::{
    content::{Received, read_decision},
    index::short,
    rows::{DEAD_LETTERED, DELIVERED, QUARANTINED, RECORD, UNFINISHED, disk, int, record, uint},
    schema,
};
use crate::{
    Claimed, ContentOf, Counts, Filter, Millis, Record, SpoolError, State,
    place::{Place, Seq},
    seal::{Column, Kind, Name, Sealer},
};
use guarita_message::{DeliveryId, Verdict};
use rusqlite::{Connection, OptionalExtension, Result, ToSql};
use std::{
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
    let decided = match record.state {
        State::Decided => {
            let plain = sealer.open(millis, salt, Column::Decision, decision?).ok()?;
            Some(read_decision(&plain, record.verdict?, record.quarantine)?)
        }
        _ => None,
    };
    Some(Claimed {
        id: record.id,
        route: record.route,
        channel: record.channel,
        lane: record.lane,
        conversation,
        received_ms: record.received_ms,
        body,
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
    let decision =
        decision.map(|plain| read_decision(&plain, record.verdict.unwrap_or(Verdict::Unscanned), record.quarantine));
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

/// A filter with its names hashed.
pub(super) struct Search {
    pub filter: Filter,
    pub sender: Option<Name>,
    pub conversation: Option<Name>,
}

/// The most one page of a listing holds.
const LIST_MAX: usize = 10_000;

pub(super) fn list(conn: &Connection, search: &Search, most: usize) -> Result<Vec<Record>> {
    let (filter, most) = (&search.filter, most.min(LIST_MAX));
    let mut clauses: Vec<String> = Vec::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut add = |clause: &str, value: Box<dyn ToSql>| {
        values.push(value);
        clauses.push(clause.replace('?', &format!("?{}", values.len())));
    };
    if let Some(before) = &filter.before {
        add("seq < ?", Box::new(int(Place::of(before).map_or(0, |place| place.seq))));
    }
    if let Some(quarantine) = filter.quarantine {
        add("quarantine = ?", Box::new(quarantine));
    }
    if let Some(channel) = filter.channel {
        add("channel = ?", Box::new(channel.as_str()));
    }
    if let Some(route) = &filter.route {
        add("route = ?", Box::new(route.clone()));
    }
    if let Some(from) = filter.received_from {
        add("received_ms >= ?", Box::new(int(from)));
    }
    if let Some(until) = filter.received_until {
        add("received_ms < ?", Box::new(int(until)));
    }
    let mut candidates: Option<Vec<Seq>> = None;
    if let Some(name) = search.sender {
        add("instr(senders, ?)", Box::new(name.to_vec()));
        candidates = Some(bearing(conn, Kind::Sender, &name)?);
    }
    if let Some(name) = search.conversation {
        add("conversation = ?", Box::new(name.to_vec()));
        candidates = Some(bearing(conn, Kind::Conversation, &name)?);
    }
    if let Some(candidates) = &candidates {
        let list = serde_json::to_string(candidates).unwrap_or_else(|_| "[]".to_owned());
        add("seq IN (SELECT value FROM json_each(?))", Box::new(list));
    }
    if !filter.states.is_empty() {
        clauses
            .push(format!("({})", filter.states.iter().map(|state| of_state(*state)).collect::<Vec<_>>().join(" OR ")));
    }
    if !filter.verdicts.is_empty() {
        clauses.push(format!("({})", filter.verdicts.iter().map(|v| of_verdict(*v)).collect::<Vec<_>>().join(" OR ")));
    }
    let mut found = Vec::new();
    for arm in arms(filter, candidates.is_some()) {
        let everything = clauses.iter().map(String::as_str).chain(arm.clause.as_deref()).collect::<Vec<_>>();
        let condition = if everything.is_empty() { "1".to_owned() } else { everything.join(" AND ") };
        let source = arm.source;
        let sql = format!("SELECT {RECORD} FROM {source} WHERE {condition} ORDER BY seq DESC LIMIT {most}");
        let mut statement = conn.prepare(&sql)?;
        let parameters: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
        for row in statement.query_map(&parameters[..], record)? {
            found.push(row?);
        }
    }
    found.sort_by_key(|(place, _)| std::cmp::Reverse(place.seq));
    found.dedup_by_key(|(place, _)| place.seq);
    Ok(found.into_iter().take(most).map(|(_, record)| record).collect())
}

/// One query of a search: what rare entries have an index of their own is asked of that, state by state.
struct Arm {
    source: &'static str,
    clause: Option<String>,
}

fn arms(filter: &Filter, has_candidates: bool) -> Vec<Arm> {
    let rare_verdicts = !filter.verdicts.is_empty() && !filter.verdicts.contains(&Verdict::Clean);
    if has_candidates {
        vec![Arm { source: "entries", clause: None }]
    } else if !filter.states.is_empty() && !filter.states.contains(&State::Delivered) {
        let clause = |state: &State| Some(format!("{} AND state <> 1", of_state(*state)));
        filter.states.iter().map(|s| Arm { source: "entries INDEXED BY by_state", clause: clause(s) }).collect()
    } else if rare_verdicts {
        let clause = |verdict: &Verdict| {
            Some(format!("{} AND verdict IS NOT NULL AND verdict <> 'clean'", of_verdict(*verdict)))
        };
        filter.verdicts.iter().map(|v| Arm { source: "entries INDEXED BY by_verdict", clause: clause(v) }).collect()
    } else if filter.quarantine == Some(true) {
        vec![Arm { source: "entries INDEXED BY by_quarantine", clause: Some("quarantine = 1".to_owned()) }]
    } else {
        vec![Arm { source: "entries NOT INDEXED", clause: None }]
    }
}

fn of_state(state: State) -> String {
    match state {
        State::Received => format!("(state = {UNFINISHED} AND decided_ms IS NULL)"),
        State::Decided => format!("(state = {UNFINISHED} AND decided_ms IS NOT NULL)"),
        State::Delivered => format!("(state = {DELIVERED})"),
        State::Quarantined => format!("(state = {QUARANTINED})"),
        State::DeadLettered => format!("(state = {DEAD_LETTERED})"),
    }
}

/// A verdict is one of four fixed words, so it may stand in the query itself.
fn of_verdict(verdict: Verdict) -> String {
    format!("verdict = '{}'", verdict.as_str())
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
