//! What is kept no longer: content past its retention, records past their use, names past the time of duplicates, and
//! everything of a sender who asks for it. A bounded piece of work a call.

use super::{
    change::Change,
    index::short,
    read::bearing,
    rows::{UNFINISHED, int, state_of, uint},
};
use crate::{
    DEDUPE_MILLIS, HISTORY_MILLIS, HISTORY_STEP_MILLIS, Millis, Retention, Swept,
    place::Seq,
    seal::{Kind, Name},
};
use rusqlite::Result;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Entries that one call empties, removes or looks at, each.
const ENTRIES_A_CALL: i64 = 500;
/// Rows of a dead run that one call removes.
const LOOKUP_ROWS_A_CALL: i64 = 4000;

/// How far each length of keeping was looked through, so that an entry that another length keeps is not looked at again
/// each time. In memory alone: a restart, another retention, a clock that went back and a day's end begin anew.
#[derive(Clone, Default)]
pub(super) struct Walk {
    retention: Option<Arc<Retention>>,
    began: Millis,
    last: Millis,
    /// By `quarantine` and length: end and number of the last entry looked at.
    seen: HashMap<(bool, Millis), (i64, i64)>,
}

const WALK_MILLIS_MAX: u64 = 24 * 3600 * 1000;

impl Walk {
    fn turn(&mut self, now: Millis, retention: &Arc<Retention>) {
        let same = self.retention.as_ref().is_some_and(|known| known == retention);
        if !same || now < self.last || now.saturating_sub(self.began) > WALK_MILLIS_MAX {
            *self = Walk { retention: Some(retention.clone()), began: now, ..Walk::default() };
        }
        self.last = now;
    }
}

pub(super) fn sweep(change: &mut Change<'_>, now: Millis, retention: &Arc<Retention>) -> Result<Swept> {
    let before = |keep: Millis| now.checked_sub(keep);
    let mut swept = Swept::default();
    change.walk.turn(now, retention);
    for quarantined in [false, true] {
        for keep in retention.lengths(quarantined) {
            let Some(cutoff) = before(keep) else { continue };
            if retention.routes.is_empty() {
                swept.contents += empty(change, quarantined, cutoff)?;
            } else {
                let (looked, emptied) = empty_of_routes(change, retention, quarantined, keep, cutoff)?;
                swept.contents += emptied;
                swept.unfinished |= looked == ENTRIES_A_CALL as usize;
            }
        }
    }
    if let (Some(finished), Some(received)) = (before(retention.longest()), before(DEDUPE_MILLIS)) {
        (swept.entries, swept.dedupe_keys) = remove(change, finished, received)?;
        swept.dedupe_keys += forget(change, received)?;
    }
    drop_dead_run(change)?;
    drop_old_minutes(change, now)?;
    Ok(swept)
}

fn empty(change: &mut Change<'_>, quarantined: bool, cutoff: Millis) -> Result<u64> {
    let seqs: Vec<i64> = change
        .conn
        .prepare_cached(
            "SELECT seq FROM entries INDEXED BY expiring WHERE content = 1 AND finished_ms IS NOT NULL \
             AND quarantine = ?1 AND finished_ms <= ?2 LIMIT ?3",
        )?
        .query_map((quarantined, int(cutoff), ENTRIES_A_CALL), |row| row.get(0))?
        .collect::<Result<_>>()?;
    seqs.iter().try_for_each(|seq| remove_content(change, *seq))?;
    Ok(seqs.len() as u64)
}

/// Of the entries that `keep` would have ended, those whose route says `keep`: how many were looked at, and emptied.
fn empty_of_routes(
    change: &mut Change<'_>,
    retention: &Retention,
    quarantined: bool,
    keep: Millis,
    cutoff: Millis,
) -> Result<(usize, u64)> {
    let (ended, number) = change.walk.seen.get(&(quarantined, keep)).copied().unwrap_or((-1, -1));
    let found: Vec<(i64, i64, String)> = change
        .conn
        .prepare_cached(
            "SELECT finished_ms, seq, route FROM entries INDEXED BY expiring WHERE content = 1 \
             AND finished_ms IS NOT NULL AND quarantine = ?1 AND finished_ms <= ?2 AND (finished_ms, seq) > (?3, ?4) \
             ORDER BY finished_ms, seq LIMIT ?5",
        )?
        .query_map((quarantined, int(cutoff), ended, number, ENTRIES_A_CALL), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_>>()?;
    let mut emptied = 0;
    for (_, seq, _) in found.iter().filter(|(.., route)| retention.of(route).of(quarantined) == keep) {
        remove_content(change, *seq)?;
        emptied += 1;
    }
    if let Some((ended, number, _)) = found.last() {
        change.walk.seen.insert((quarantined, keep), (*ended, *number));
    }
    Ok((found.len(), emptied))
}

fn remove_content(change: &Change<'_>, seq: i64) -> Result<()> {
    change.conn.prepare_cached("DELETE FROM received WHERE seq = ?1")?.execute([seq])?;
    change.conn.prepare_cached("DELETE FROM decisions WHERE seq = ?1")?.execute([seq])?;
    change.conn.prepare_cached("UPDATE entries SET content = 0 WHERE seq = ?1")?.execute([seq])?;
    change.forget_terms(uint(seq))
}

/// Records outlive their content until nothing hangs on them: neither the console's view of the quarantine nor the
/// memory of duplicates, which is gathered again from them after a crash.
fn remove(change: &mut Change<'_>, finished: Millis, received: Millis) -> Result<(u64, u64)> {
    let found: Vec<(i64, i64, bool, Vec<u8>)> = change
        .conn
        .prepare_cached(
            "SELECT seq, state, decided_ms IS NOT NULL, dedupe FROM entries INDEXED BY emptied \
             WHERE content = 0 AND finished_ms <= ?1 AND received_ms <= ?2 LIMIT ?3",
        )?
        .query_map((int(finished), int(received), ENTRIES_A_CALL), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_>>()?;
    let mut names = 0;
    for (seq, state, decided, dedupe) in &found {
        names += forget_names(change, dedupe, received)?;
        change.conn.prepare_cached("DELETE FROM entries WHERE seq = ?1")?.execute([seq])?;
        change.tally.remove(state_of(*state, *decided));
    }
    Ok((found.len() as u64, names))
}

fn forget_names(change: &Change<'_>, dedupe: &[u8], cutoff: Millis) -> Result<u64> {
    let mut delete = change.conn.prepare_cached("DELETE FROM seen WHERE name = ?1 AND at <= ?2")?;
    let mut gone = 0;
    for name in dedupe.as_chunks::<16>().0 {
        gone += delete.execute((&name[..], int(cutoff)))? as u64;
    }
    Ok(gone)
}

/// Walks the written part of the index in order of receipt, as far as names are old enough.
fn forget(change: &mut Change<'_>, cutoff: Millis) -> Result<u64> {
    let found: Vec<(i64, i64, Vec<u8>)> = change
        .conn
        .prepare_cached(
            "SELECT seq, received_ms, dedupe FROM entries WHERE seq > (SELECT forgotten FROM progress) \
             AND seq <= (SELECT indexed FROM progress) ORDER BY seq LIMIT ?1",
        )?
        .query_map([ENTRIES_A_CALL], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_>>()?;
    let mut names = 0;
    let mut last = None;
    for (seq, _, dedupe) in found.iter().take_while(|(_, received_ms, _)| uint(*received_ms) <= cutoff) {
        names += forget_names(change, dedupe, cutoff)?;
        last = Some(*seq);
    }
    if let Some(last) = last {
        change.conn.prepare_cached("UPDATE progress SET forgotten = ?1")?.execute([last])?;
    }
    Ok(names)
}

/// A run whose entries are all removed is removed, too, in pieces.
fn drop_dead_run(change: &mut Change<'_>) -> Result<()> {
    let dead: Option<i64> = change
        .conn
        .prepare_cached(
            "SELECT run FROM (SELECT run, last FROM runs ORDER BY run LIMIT 32) WHERE NOT EXISTS \
             (SELECT 1 FROM entries WHERE seq BETWEEN run AND last) LIMIT 1",
        )?
        .query_map([], |row| row.get(0))?
        .next()
        .transpose()?;
    let Some(run) = dead else { return Ok(()) };
    let rows = change
        .conn
        .prepare_cached(
            "DELETE FROM lookup WHERE run = ?1 AND (hash, seq) IN \
             (SELECT hash, seq FROM lookup WHERE run = ?1 LIMIT ?2)",
        )?
        .execute((run, LOOKUP_ROWS_A_CALL))?;
    if rows == 0 {
        change.conn.prepare_cached("DELETE FROM runs WHERE run = ?1")?.execute([run])?;
    }
    Ok(())
}

/// Empties finished entries of a sender and takes its name from them; a bounded number a call.
pub(super) fn erase(change: &mut Change<'_>, sender: &Name) -> Result<(u64, HashSet<(i64, Seq)>)> {
    let mut erased = HashSet::new();
    let mut names = HashSet::new();
    for seq in bearing(change.conn, Kind::Sender, sender)? {
        if erased.len() as i64 >= ENTRIES_A_CALL {
            break;
        }
        let found: Option<(i64, Vec<u8>)> = change
            .conn
            .prepare_cached("SELECT state, senders FROM entries WHERE seq = ?1")?
            .query_map([int(seq)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .next()
            .transpose()?;
        let Some((state, senders)) = found else { continue };
        if state == UNFINISHED || !senders.as_chunks::<16>().0.contains(sender) {
            continue;
        }
        names.extend(erase_entry(change, seq)?);
        erased.insert(seq);
    }
    Ok((erased.len() as u64, names))
}

/// Takes content, terms and senders' names from one entry; returns the (cut) names that must not be written any more.
pub(super) fn erase_entry(change: &Change<'_>, seq: Seq) -> Result<Vec<(i64, Seq)>> {
    let senders: Vec<u8> = change
        .conn
        .prepare_cached("SELECT senders FROM entries WHERE seq = ?1")?
        .query_row([int(seq)], |row| row.get(0))?;
    remove_content(change, int(seq))?;
    change.conn.prepare_cached("UPDATE entries SET senders = x'' WHERE seq = ?1")?.execute([int(seq)])?;
    let names: Vec<_> = senders.as_chunks::<16>().0.iter().map(|name| (short(name), seq)).collect();
    for (hash, _) in &names {
        change
            .conn
            .prepare_cached(
                "DELETE FROM lookup WHERE run IN (SELECT run FROM runs UNION SELECT ?3) AND hash = ?1 AND seq = ?2",
            )?
            .execute((hash, int(seq), change.index.writing_run().unwrap_or(-1)))?;
    }
    Ok(names)
}

/// Figures older than they are kept, where no entry of their minute is left.
fn drop_old_minutes(change: &Change<'_>, now: Millis) -> Result<()> {
    let Some(cutoff) = now.checked_sub(HISTORY_MILLIS) else { return Ok(()) };
    change
        .conn
        .prepare_cached(
            "DELETE FROM minutes WHERE minute IN (SELECT minute FROM minutes WHERE minute < ?1 AND NOT EXISTS \
             (SELECT 1 FROM entries WHERE seq BETWEEN first AND last) ORDER BY minute LIMIT ?2)",
        )?
        .execute((int(cutoff / HISTORY_STEP_MILLIS), ENTRIES_A_CALL))
        .map(drop)
}
