//! The one thread that writes. Commands that came while a transaction ran go into the next one together: one fsync for
//! all, and no answer before it.
//!
//! If a transaction fails, nothing of it happened. Its commands are then tried one by one, so that a bad one fails
//! alone; while the disk fails, the remaining appends are refused at once, and what ends claims is still tried.

use super::{
    change::{self, Change, Tally},
    checkpoint::Checkpointer,
    command::{AppendOutcome, Command, Outcome, answer},
    index::Index,
    live::{Live, Shared},
    minutes::Minutes,
    read,
    retention::Walk,
    rows::{disk, disk_fails, int, uint},
};
use crate::{
    Appended, Finish, SpoolError,
    place::{Place, Seq},
};
use rusqlite::{Connection, Result};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
};

/// The most one transaction takes, in commands and in bytes of appended bodies; bounds how long the first waits.
const COMMANDS_A_TRANSACTION: usize = 1024;
const BYTES_A_TRANSACTION: usize = 8 << 20;
/// What a byte of a term's hash stands for in rows.
const TERM_ROW_BYTES: usize = 8;
/// Entries fetched at once when the queue has room again.
const FETCH: usize = 5000;

pub(super) struct Writer {
    // Before the connection in this order, so that its thread has ended when that is closed.
    checkpointer: Checkpointer,
    conn: Connection,
    shared: Arc<Shared>,
    index: Index,
    tally: Tally,
    last_seq: Seq,
    walk: Walk,
    page_bytes: u64,
}

impl Writer {
    pub fn load(mut conn: Connection, path: &Path, shared: Arc<Shared>) -> Result<Writer> {
        let (last_seq, indexed): (i64, i64) =
            conn.query_row("SELECT last_seq, indexed FROM progress", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let page_bytes = uint(conn.pragma_query_value(None, "page_size", |row| row.get(0))?);
        let index = Index::load(&conn, shared.clone(), uint(indexed))?;
        let tally = Tally::load(&conn)?;
        let checkpointer = Checkpointer::start(&mut conn, path)?;
        let (last_seq, walk) = (uint(last_seq), Walk::default());
        let mut writer = Writer { conn, checkpointer, shared, index, tally, last_seq, walk, page_bytes };
        writer.shared.live().spilled_from = Some(0);
        writer.fetch()?;
        Ok(writer)
    }

    /// Until the last sender is gone.
    pub fn run(mut self, commands: Receiver<Command>) {
        while let Ok(first) = commands.recv() {
            let mut bytes = bytes_of(&first);
            let mut batch = vec![first];
            while batch.len() < COMMANDS_A_TRANSACTION
                && bytes < BYTES_A_TRANSACTION
                && let Ok(next) = commands.try_recv()
            {
                bytes += bytes_of(&next);
                batch.push(next);
            }
            self.write(batch);
            self.checkpointer.turn(&self.conn);
            if let Err(error) = self.fetch() {
                tracing::warn!(%error, "cannot read waiting entries from the spool; tried again with the next write");
            }
        }
        if let Err(error) = self.write_deferred() {
            tracing::warn!(%error, "what was decided last stands in a table of its own; the next start puts it right");
        }
    }

    /// At an orderly end nothing is left for the next start to mend.
    fn write_deferred(&mut self) -> Result<()> {
        let deferred = self.shared.live().queue.all_deferred();
        let transaction = self.conn.transaction()?;
        for (seq, decided_ms) in deferred {
            change::write_deferred(&transaction, seq, int(decided_ms))?;
        }
        transaction.commit()
    }

    fn write(&mut self, batch: Vec<Command>) {
        match self.transaction(&batch) {
            Ok(outcomes) => self.settle(batch, outcomes),
            Err(error) => {
                tracing::warn!(%error, commands = batch.len(), "a write to the spool failed as a whole");
                self.write_singly(batch, error);
            }
        }
    }

    fn write_singly(&mut self, batch: Vec<Command>, error: rusqlite::Error) {
        if batch.len() == 1 {
            return batch.into_iter().for_each(|command| self.fail(command, disk(&error)));
        }
        let mut failing: Option<rusqlite::Error> = None;
        for command in batch {
            if let (Some(error), Command::Append { .. }) = (&failing, &command) {
                let error = disk(error);
                self.fail(command, error);
                continue;
            }
            match self.transaction(std::slice::from_ref(&command)) {
                Ok(outcomes) => self.settle(vec![command], outcomes),
                Err(error) => {
                    self.fail(command, disk(&error));
                    failing = Some(error).filter(disk_fails).or(failing);
                }
            }
        }
    }

    fn fail(&self, command: Command, error: SpoolError) {
        if let Command::Append { bytes, .. } = &command {
            self.shared.waiting.leave(*bytes);
        }
        command.fail(error);
    }

    /// All of `batch` in one transaction, or nothing of it.
    fn transaction(&mut self, batch: &[Command]) -> Result<Vec<Outcome>> {
        let appending = batch.iter().any(|command| matches!(command, Command::Append { .. } | Command::Probe { .. }));
        let room = if appending { self.room()? } else { 0 };
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut change = Change {
            conn: &self.conn,
            shared: &self.shared,
            index: &self.index,
            tally: self.tally,
            last_seq: self.last_seq,
            names: HashMap::new(),
            gathered: 0,
            ending: Vec::new(),
            minutes: Minutes::default(),
            walk: self.walk.clone(),
            room,
        };
        let outcomes: Result<Vec<Outcome>> = batch.iter().map(|command| change.run(command)).collect();
        let Change { tally, last_seq, gathered, ending, minutes, walk, .. } = change;
        let written = outcomes.and_then(|outcomes| {
            let rows = self.index.write(&self.conn, gathered)?;
            if (tally, last_seq) != (self.tally, self.last_seq) {
                tally.save(&self.conn, last_seq)?;
            }
            minutes.save(&self.conn)?;
            self.conn.prepare_cached("COMMIT")?.execute([])?;
            Ok((outcomes, rows))
        });
        match written {
            Ok((outcomes, rows)) => {
                (self.tally, self.last_seq, self.walk) = (tally, last_seq, walk);
                self.index.wrote(rows);
                Ok(outcomes)
            }
            Err(error) => {
                // SQLite may have rolled back by itself already.
                if !self.conn.is_autocommit()
                    && let Err(error) = self.conn.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "cannot roll back a failed write to the spool");
                }
                let mut live = self.shared.live();
                ending.into_iter().for_each(|seq| live.queue.resume(seq));
                Err(error)
            }
        }
    }

    /// Bytes until `bytes_max`. Pages that were freed count as room.
    fn room(&self) -> Result<u64> {
        let pages = |name| -> Result<u64> { self.conn.prepare_cached(name)?.query_row([], |row| row.get(0)).map(uint) };
        let used = (pages("PRAGMA page_count")? - pages("PRAGMA freelist_count")?) * self.page_bytes;
        let room = self.shared.config.bytes_max.saturating_sub(used);
        if self.shared.waiting.over.swap(room == 0, Ordering::Relaxed) != (room == 0) {
            tracing::warn!(used, full = room == 0, "the spool reached or left storage.bytes_max");
        }
        Ok(room)
    }

    /// The transaction is on disk: memory follows, then the answers.
    fn settle(&mut self, batch: Vec<Command>, outcomes: Vec<Outcome>) {
        let shared = self.shared.clone();
        let mut live = shared.live();
        let mut answers: Vec<Box<dyn FnOnce()>> = Vec::with_capacity(batch.len());
        for (command, outcome) in batch.into_iter().zip(outcomes) {
            let refused = match outcome {
                Outcome::Refused(error) => Err(error),
                outcome => Ok(outcome),
            };
            match command {
                Command::Append { entries, bytes, reply, .. } => {
                    shared.waiting.leave(bytes);
                    let result = refused.map(|outcome| self.settle_append(&mut live, entries, outcome));
                    answers.push(Box::new(|| answer(reply, result)));
                }
                Command::Decide { now, id, reply, .. } => {
                    let place = Place::of(&id);
                    if let (Some(place), false) = (place, matches!(refused, Err(SpoolError::LeaseLost(_)))) {
                        match refused {
                            Ok(Outcome::Deferred) => live.queue.defer(place.seq, now),
                            Ok(_) => live.queue.undefer(place.seq),
                            Err(_) => {}
                        }
                        if refused.is_ok() {
                            live.queue.set_decided(place.seq);
                        }
                        live.queue.resume(place.seq);
                    }
                    answers.push(Box::new(|| answer(reply, refused.map(drop))));
                }
                Command::Finish { id, finish, reply, .. } => {
                    if let Some(place) = Place::of(&id) {
                        if refused.is_ok() {
                            live.queue.undefer(place.seq);
                        }
                        match (&refused, finish) {
                            (Ok(_), Finish::RetryAt { at, .. } | Finish::LookAgainAt { at }) => {
                                live.queue.give_back(place.seq, at);
                            }
                            (Ok(_), _) => live.queue.finish(place.seq),
                            (Err(SpoolError::LeaseLost(_)), _) => {}
                            (Err(_), _) => live.queue.resume(place.seq),
                        }
                    }
                    answers.push(Box::new(|| answer(reply, refused.map(drop))));
                }
                Command::Release { id, reply, .. } | Command::Retry { id, reply, .. } => {
                    let result = refused.and_then(|_| self.put_back(&mut live, &id));
                    answers.push(Box::new(|| answer(reply, result)));
                }
                Command::Sweep { now, reply, .. } => {
                    let mut result = refused.map(|outcome| match outcome {
                        Outcome::Swept(swept) => swept,
                        _ => Default::default(),
                    });
                    if let (Ok(swept), Some(cutoff)) = (&mut result, now.checked_sub(crate::DEDUPE_MILLIS)) {
                        swept.dedupe_keys += self.index.forget(cutoff);
                    }
                    answers.push(Box::new(|| answer(reply, result)));
                }
                Command::Erase { reply, .. } => {
                    let result = refused.map(|outcome| match outcome {
                        Outcome::Erased(count, names) => {
                            self.index.erase(&names);
                            count
                        }
                        _ => 0,
                    });
                    answers.push(Box::new(|| answer(reply, result)));
                }
                Command::EraseEntry { reply, .. } => {
                    let result = refused.map(|outcome| {
                        if let Outcome::Erased(_, names) = outcome {
                            self.index.erase(&names);
                        }
                    });
                    answers.push(Box::new(|| answer(reply, result)));
                }
                Command::Probe { reply } => answers.push(Box::new(|| answer(reply, refused.map(drop)))),
            }
        }
        drop(live);
        shared.changed.notify_waiters();
        answers.into_iter().for_each(|answer| answer());
    }

    fn settle_append(
        &mut self,
        live: &mut Live,
        entries: Vec<super::command::Prepared>,
        outcome: Outcome,
    ) -> Vec<Appended> {
        let Outcome::Appended(outcomes) = outcome else { return Vec::new() };
        let settle = |(mut entry, outcome): (super::command::Prepared, AppendOutcome)| match outcome {
            AppendOutcome::Stored(place) => {
                let (seq, at) = (place.seq, entry.received_ms);
                self.index.gather(seq, at, &entry.conversation, &entry.senders, &entry.dedupe);
                let id = place.id();
                if live.queue.weight() >= self.shared.config.queue_max && live.spilled_from.is_none() {
                    live.spilled_from = Some(seq);
                }
                if live.spilled_from.is_none() {
                    live.queue.push(seq, entry.conversation, 0, false);
                    if let Some(mut fresh) = entry.fresh.take() {
                        fresh.id = id.clone();
                        live.keep_fresh(seq, fresh, self.shared.config.cache_bytes_max);
                    }
                }
                Appended::Stored(id)
            }
            AppendOutcome::Duplicate => Appended::Duplicate,
            AppendOutcome::PartlySeen(seen) => {
                Appended::PartlySeen(seen.into_iter().filter_map(|at| entry.keys.get(at).cloned()).collect())
            }
        };
        entries.into_iter().zip(outcomes).map(settle).collect()
    }

    /// A released or retried entry takes its place again, or hurries if it has one.
    fn put_back(&self, live: &mut Live, id: &crate::DeliveryId) -> std::result::Result<(), SpoolError> {
        let place = Place::of(id).ok_or_else(|| SpoolError::NotFound(id.clone()))?;
        let (conversation, decided) = self
            .conn
            .prepare_cached("SELECT conversation, decided_ms IS NOT NULL FROM entries WHERE seq = ?1")
            .and_then(|mut statement| statement.query_row([int(place.seq)], |row| Ok((row.get(0)?, row.get(1)?))))
            .map_err(|error| disk(&error))?;
        let on_disk_alone = live.spilled_from.is_some_and(|from| place.seq >= from);
        let held_or_waiting = live.queue.holds(place.seq) || live.queue.hurry(place.seq, conversation);
        if !held_or_waiting && !on_disk_alone {
            live.queue.push(place.seq, conversation, 0, decided);
        }
        Ok(())
    }

    /// Brings entries from the disk into the queue as far as it has room.
    fn fetch(&mut self) -> Result<()> {
        loop {
            let (from, room) = {
                let live = self.shared.live();
                let Some(from) = live.spilled_from else { return Ok(()) };
                (from, self.shared.config.queue_max.saturating_sub(live.queue.weight()))
            };
            // Not for each place that falls free.
            if room < (self.shared.config.queue_max / 8).max(1) {
                return Ok(());
            }
            let most = room.min(FETCH);
            let found = read::unfinished(&self.conn, from, most)?;
            let mut live = self.shared.live();
            live.spilled_from = found.last().filter(|_| found.len() == most).map(|(seq, ..)| seq + 1);
            for (seq, conversation, due, decided) in found {
                live.queue.push(seq, conversation, due, decided);
            }
            drop(live);
            self.shared.changed.notify_waiters();
        }
    }
}

fn bytes_of(command: &Command) -> usize {
    match command {
        Command::Append { bytes, .. } => *bytes,
        Command::Decide { decision, .. } => decision.sealed.len() + decision.terms.len() * TERM_ROW_BYTES,
        _ => 0,
    }
}
