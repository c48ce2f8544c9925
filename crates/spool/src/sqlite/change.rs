//! One command, written within the writer's transaction. Nothing in memory changes here but marks that are undone if
//! the transaction fails; what follows from success is in writer.rs.

use super::{
    command::{AppendOutcome, Command, Decision, Outcome, Prepared},
    index::Index,
    live::Shared,
    retention,
    rows::{DEAD_LETTERED, DELIVERED, QUARANTINED, UNFINISHED, int, state_of, uint},
};
use crate::{
    DeliveryId, Finish, Millis, SpoolError, State,
    place::{Place, SEQ_MAX, Seq},
    seal::Name,
};
use rusqlite::{Connection, OptionalExtension, Result};
use std::collections::HashMap;

/// Entries by state, as they stand in `progress`.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Tally([i64; 5]);

impl Tally {
    pub fn load(conn: &Connection) -> Result<Tally> {
        conn.query_row("SELECT received, decided, delivered, quarantined, dead_lettered FROM progress", [], |row| {
            Ok(Tally([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]))
        })
    }

    pub fn save(&self, conn: &Connection, last_seq: Seq) -> Result<()> {
        let [a, b, c, d, e] = self.0;
        conn.prepare_cached(
            "UPDATE progress SET received = ?1, decided = ?2, delivered = ?3, quarantined = ?4, dead_lettered = ?5, \
             last_seq = ?6",
        )?
        .execute((a, b, c, d, e, int(last_seq)))
        .map(drop)
    }

    fn of(&mut self, state: State) -> &mut i64 {
        &mut self.0[state as usize]
    }

    pub fn add(&mut self, state: State) {
        *self.of(state) += 1;
    }

    pub fn remove(&mut self, state: State) {
        *self.of(state) -= 1;
    }
}

/// A transaction under way.
pub(super) struct Change<'a> {
    pub conn: &'a Connection,
    pub shared: &'a Shared,
    pub index: &'a Index,
    pub tally: Tally,
    pub last_seq: Seq,
    /// Names appended by this very transaction.
    pub names: HashMap<Name, Millis>,
    /// Names appended by this transaction, of all kinds.
    pub gathered: usize,
    /// Claims marked as ending.
    pub ending: Vec<Seq>,
    /// Bytes this transaction may still append before the database is over its bound.
    pub room: u64,
}

/// What the database itself costs for an entry, beside its content.
const ROW_BYTES: u64 = 400;
/// The longest error text kept.
const ERROR_CHARS_MAX: usize = 400;

impl Change<'_> {
    pub fn run(&mut self, command: &Command) -> Result<Outcome> {
        match command {
            Command::Append { now, entries, .. } => self.append(*now, entries),
            Command::Decide { now, id, decision, .. } => self.decide(*now, id, decision),
            Command::Finish { now, id, finish, .. } => self.finish(*now, id, finish),
            Command::Release { id, by, .. } => self.release(id, by),
            Command::Retry { now, id, .. } => self.retry(*now, id),
            Command::Sweep { now, retention, quarantine, .. } => {
                retention::sweep(self, *now, *retention, *quarantine).map(Outcome::Swept)
            }
            Command::Erase { sender, .. } => {
                retention::erase(self, sender).map(|(count, names)| Outcome::Erased(count, names))
            }
            Command::Probe { .. } => {
                self.conn.prepare_cached("UPDATE progress SET probed_ms = probed_ms + 1")?.execute([])?;
                Ok(if self.room == 0 { Outcome::Refused(SpoolError::Full) } else { Outcome::Done })
            }
        }
    }

    fn append(&mut self, now: Millis, entries: &[Prepared]) -> Result<Outcome> {
        let bytes: u64 = entries.iter().map(|entry| entry.sealed.len() as u64 + ROW_BYTES).sum();
        if bytes > self.room || self.last_seq + entries.len() as u64 > SEQ_MAX {
            return Ok(Outcome::Refused(SpoolError::Full));
        }
        let outcomes = entries.iter().map(|entry| self.append_one(now, entry)).collect::<Result<Vec<_>>>()?;
        self.room -= bytes;
        Ok(Outcome::Appended(outcomes))
    }

    fn append_one(&mut self, now: Millis, entry: &Prepared) -> Result<AppendOutcome> {
        let names = entry.dedupe.as_chunks::<16>().0;
        let mut seen = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if self.names.contains_key(name) || self.index.saw(self.conn, now, name)? {
                seen.push(at);
            }
        }
        if !seen.is_empty() {
            let all = seen.len() == names.len();
            return Ok(if all { AppendOutcome::Duplicate } else { AppendOutcome::PartlySeen(seen) });
        }
        self.last_seq += 1;
        let seq = int(self.last_seq);
        self.conn
            .prepare_cached(
                "INSERT INTO entries (seq, salt, received_ms, state, channel, lane, route, account, conversation, \
                 senders, dedupe) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute((
                seq,
                int(entry.salt),
                int(entry.received_ms),
                entry.channel.as_str(),
                entry.lane.as_str(),
                &entry.route,
                &entry.account,
                &entry.conversation[..],
                &entry.senders,
                &entry.dedupe,
            ))?;
        self.conn
            .prepare_cached("INSERT INTO received (seq, sealed) VALUES (?1, ?2)")?
            .execute((seq, &entry.sealed))?;
        self.names.extend(names.iter().map(|name| (*name, now)));
        self.tally.add(State::Received);
        self.gathered += 1 + (entry.senders.len() + entry.dedupe.len()) / 16;
        Ok(AppendOutcome::Stored(Place::new(entry.received_ms, self.last_seq, entry.salt)))
    }

    /// The claimed entry, marked as ending, and whether it was decided; or why not.
    fn held(&mut self, now: Millis, id: &DeliveryId) -> Result<std::result::Result<(Place, bool), SpoolError>> {
        let Some(place) = Place::of(id) else { return Ok(Err(SpoolError::NotFound(id.clone()))) };
        let held = self.shared.live().queue.begin_ending(now, place.seq);
        if let Ok(decided) = held {
            self.ending.push(place.seq);
            return Ok(Ok((place, decided)));
        }
        Ok(Err(match self.find(place)? {
            Some(_) => SpoolError::LeaseLost(id.clone()),
            None => SpoolError::NotFound(id.clone()),
        }))
    }

    fn decide(&mut self, now: Millis, id: &DeliveryId, decision: &Decision) -> Result<Outcome> {
        let (place, decided) = match self.held(now, id)? {
            Ok(held) => held,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE entries SET verdict = ?3, quarantine = ?4, decided_ms = ?5 WHERE seq = ?1 AND salt = ?2",
            )?
            .execute((int(place.seq), int(place.salt), decision.verdict.as_str(), decision.quarantine, int(now)))?;
        if changed == 0 {
            return Ok(Outcome::Refused(SpoolError::NotFound(id.clone())));
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO decisions (seq, sealed) VALUES (?1, ?2)")?
            .execute((int(place.seq), &decision.sealed))?;
        if !decided {
            self.tally.remove(State::Received);
            self.tally.add(State::Decided);
        }
        Ok(Outcome::Done)
    }

    fn finish(&mut self, now: Millis, id: &DeliveryId, finish: &Finish) -> Result<Outcome> {
        let (place, decided) = match self.held(now, id)? {
            Ok(held) => held,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let (seq, salt, now) = (int(place.seq), int(place.salt), int(now));
        let short = |error: &str| error.chars().take(ERROR_CHARS_MAX).collect::<String>();
        let run = |sql, values: &[&dyn rusqlite::ToSql]| self.conn.prepare_cached(sql)?.execute(values);
        let (changed, state) = match finish {
            Finish::Delivered => {
                let sql = "UPDATE entries SET state = 1, finished_ms = ?3, next_ms = NULL, attempts = attempts + 1 \
                           WHERE seq = ?1 AND salt = ?2";
                (run(sql, &[&seq, &salt, &now])?, Some(State::Delivered))
            }
            Finish::RetryAt { at, error } => {
                let sql = "UPDATE entries SET next_ms = ?3, attempts = attempts + 1, last_error = ?4 \
                           WHERE seq = ?1 AND salt = ?2";
                (run(sql, &[&seq, &salt, &int(*at), &short(error)])?, None)
            }
            Finish::LookAgainAt { at } => {
                let sql = "UPDATE entries SET next_ms = ?3, looks = looks + 1 WHERE seq = ?1 AND salt = ?2";
                (run(sql, &[&seq, &salt, &int(*at)])?, None)
            }
            Finish::Quarantined => {
                let sql = "UPDATE entries SET state = 2, quarantine = 1, finished_ms = ?3, next_ms = NULL \
                           WHERE seq = ?1 AND salt = ?2";
                (run(sql, &[&seq, &salt, &now])?, Some(State::Quarantined))
            }
            Finish::DeadLettered { error } => {
                let sql = "UPDATE entries SET state = 3, finished_ms = ?3, next_ms = NULL, attempts = attempts + 1, \
                           last_error = ?4 WHERE seq = ?1 AND salt = ?2";
                (run(sql, &[&seq, &salt, &now, &short(error)])?, Some(State::DeadLettered))
            }
        };
        if changed == 0 {
            return Ok(Outcome::Refused(SpoolError::NotFound(id.clone())));
        }
        if let Some(state) = state {
            self.tally.remove(state_of(UNFINISHED, decided));
            self.tally.add(state);
        }
        Ok(Outcome::Done)
    }

    fn find(&self, place: Place) -> Result<Option<Found>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT salt, received_ms, state, decided_ms IS NOT NULL, content FROM entries WHERE seq = ?1",
        )?;
        let found = statement
            .query_row([int(place.seq)], |row| {
                let at = Place::new(uint(row.get(1)?), place.seq, uint(row.get(0)?));
                Ok((at, Found { state: row.get(2)?, decided: row.get(3)?, content: row.get(4)? }))
            })
            .optional()?;
        Ok(found.filter(|(at, _)| *at == place).map(|(_, found)| found))
    }

    fn release(&mut self, id: &DeliveryId, by: &str) -> Result<Outcome> {
        let Some(place) = Place::of(id) else { return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))) };
        let found = match self.find(place)? {
            Some(found) if found.state != UNFINISHED && found.content => found,
            Some(_) => return Ok(Outcome::Refused(SpoolError::NotNow(id.clone()))),
            None => return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))),
        };
        self.conn
            .prepare_cached(
                "UPDATE entries SET state = 0, decided_ms = NULL, finished_ms = NULL, next_ms = NULL, \
                 released_by = ?2 WHERE seq = ?1",
            )?
            .execute((int(place.seq), by))?;
        self.tally.remove(state_of(found.state, found.decided));
        self.tally.add(State::Received);
        Ok(Outcome::Done)
    }

    fn retry(&mut self, now: Millis, id: &DeliveryId) -> Result<Outcome> {
        let Some(place) = Place::of(id) else { return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))) };
        let found = match self.find(place)? {
            Some(found) if found.state == UNFINISHED || (found.state == DEAD_LETTERED && found.content) => found,
            Some(_) => return Ok(Outcome::Refused(SpoolError::NotNow(id.clone()))),
            None => return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))),
        };
        if found.state == UNFINISHED {
            self.conn
                .prepare_cached("UPDATE entries SET next_ms = ?2 WHERE seq = ?1 AND next_ms IS NOT NULL")?
                .execute((int(place.seq), int(now)))?;
        } else {
            self.conn
                .prepare_cached("UPDATE entries SET state = 0, finished_ms = NULL, next_ms = NULL WHERE seq = ?1")?
                .execute([int(place.seq)])?;
            self.tally.remove(State::DeadLettered);
            self.tally.add(state_of(UNFINISHED, found.decided));
        }
        Ok(Outcome::Done)
    }
}

struct Found {
    state: i64,
    decided: bool,
    content: bool,
}

const _: () = assert!(
    State::Delivered as i64 == DELIVERED + 1 && State::Quarantined as i64 == QUARANTINED + 1,
    "Tally counts in the order of State"
);
