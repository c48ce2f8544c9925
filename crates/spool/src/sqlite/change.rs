//! One command, written within the writer's transaction. Nothing in memory changes here but marks that are undone if
//! the transaction fails; what follows from success is in writer.rs.

use super::{
    command::{AppendOutcome, Command, Decision, Outcome, Prepared},
    index::Index,
    live::Shared,
    minutes::Minutes,
    retention,
    rows::{DEAD_LETTERED, DELIVERED, QUARANTINED, UNFINISHED, int, state_of, uint},
    search::block_of,
};
use crate::{
    DeliveryId, Finish, Millis, SpoolError, State,
    place::{Place, SEQ_MAX, Seq},
    seal::Name,
};
use guarita_message::Verdict;
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
    pub minutes: Minutes,
    /// How far retention has looked.
    pub walk: retention::Walk,
    /// Bytes this transaction may still append before the database is over its bound.
    pub room: u64,
}

/// What the database itself costs for an entry, beside its content.
const ROW_BYTES: u64 = 400;
/// Less room than this is none: a message of ordinary size would be refused.
const PROBE_BYTES: u64 = 64 * 1024;
/// The longest error text kept.
const ERROR_CHARS_MAX: usize = 400;

impl Change<'_> {
    pub fn run(&mut self, command: &Command) -> Result<Outcome> {
        match command {
            Command::Append { now, entries, .. } => self.append(*now, entries),
            Command::Decide { now, id, decision, .. } => self.decide(*now, id, decision),
            Command::Finish { now, id, finish, .. } => self.finish(*now, id, finish),
            Command::Release { now, id, by, .. } => self.release(*now, id, by),
            Command::Retry { now, id, .. } => self.retry(*now, id),
            Command::Sweep { now, retention, .. } => retention::sweep(self, *now, retention).map(Outcome::Swept),
            Command::Erase { sender, .. } => {
                retention::erase(self, sender).map(|(count, names)| Outcome::Erased(count, names))
            }
            Command::EraseEntry { id, .. } => self.erase(id),
            Command::Probe { .. } => {
                self.conn.prepare_cached("UPDATE progress SET probed_ms = probed_ms + 1")?.execute([])?;
                Ok(if self.room < PROBE_BYTES { Outcome::Refused(SpoolError::Full) } else { Outcome::Done })
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
        let place = Place::new(entry.received_ms, self.last_seq, entry.salt);
        self.tally.add(State::Received);
        self.minutes.came(&place);
        self.gathered += 1 + (entry.senders.len() + entry.dedupe.len()) / 16;
        Ok(AppendOutcome::Stored(place))
    }

    fn moved(&mut self, place: &Place, from: State, to: State) {
        self.tally.remove(from);
        self.tally.add(to);
        self.minutes.moved(place, from, to);
    }

    /// The claimed entry, marked as ending, and whether it was decided; or why not.
    fn held(&mut self, now: Millis, id: &DeliveryId) -> Result<std::result::Result<(Place, bool), SpoolError>> {
        let Some(place) = Place::of(id) else { return Ok(Err(SpoolError::NotFound(id.clone()))) };
        {
            let queue = &mut self.shared.live().queue;
            let same = queue.handed_out(place.seq).is_some_and(|(salt, _)| *salt == place.salt);
            if same && let Ok(decided) = queue.begin_ending(now, place.seq) {
                self.ending.push(place.seq);
                return Ok(Ok((place, decided)));
            }
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
        let mut before = None;
        if decided {
            before = match self.shared.live().queue.deferred(place.seq) {
                Some(_) => Some(Verdict::Clean),
                None => self.find(place)?.and_then(|found| found.verdict),
            };
            self.forget_terms(place.seq)?;
        }
        // The usual case writes nothing to the entry's row: `finish` will, and after a crash the decision's row tells.
        let deferred = decision.deferred() && !decided;
        if !deferred {
            let changed = self
                .conn
                .prepare_cached(
                    "UPDATE entries SET verdict = ?3, quarantine = ?4, decided_ms = ?5 WHERE seq = ?1 AND salt = ?2",
                )?
                .execute((int(place.seq), int(place.salt), decision.verdict.as_str(), decision.quarantine, int(now)))?;
            if changed == 0 {
                return Ok(Outcome::Refused(SpoolError::NotFound(id.clone())));
            }
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO decisions (seq, sealed) VALUES (?1, ?2)")?
            .execute((int(place.seq), &decision.sealed))?;
        if let Some(summary) = &decision.summary {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO summaries (seq, sealed) VALUES (?1, ?2)")?
                .execute((int(place.seq), summary))?;
        }
        if !decision.terms.is_empty() {
            self.note_terms(place.seq, &decision.terms)?;
        }
        if !decided {
            self.moved(&place, State::Received, State::Decided);
        }
        self.minutes.judged(&place, before, Some(decision.verdict));
        Ok(if deferred { Outcome::Deferred } else { Outcome::Done })
    }

    fn note_terms(&self, seq: Seq, terms: &[u8]) -> Result<()> {
        let (block, seq) = (block_of(seq), int(seq));
        let mut insert =
            self.conn.prepare_cached("INSERT OR IGNORE INTO terms (block, hash, seq) VALUES (?1, ?2, ?3)")?;
        for term in terms.as_chunks::<8>().0 {
            insert.execute((block, i64::from_be_bytes(*term), seq))?;
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO bearers (seq, terms) VALUES (?1, ?2)")?
            .execute((seq, terms))?;
        Ok(())
    }

    /// The entry is found by its terms no longer, nor has it a summary of its own.
    pub fn forget_terms(&self, seq: Seq) -> Result<()> {
        let (block, seq) = (block_of(seq), int(seq));
        let terms: Option<Vec<u8>> = self
            .conn
            .prepare_cached("DELETE FROM bearers WHERE seq = ?1 RETURNING terms")?
            .query_map([seq], |row| row.get(0))?
            .collect::<Result<Vec<_>>>()?
            .pop();
        let mut delete = self.conn.prepare_cached("DELETE FROM terms WHERE block = ?1 AND hash = ?2 AND seq = ?3")?;
        for term in terms.unwrap_or_default().as_chunks::<8>().0 {
            delete.execute((block, i64::from_be_bytes(*term), seq))?;
        }
        self.conn.prepare_cached("DELETE FROM summaries WHERE seq = ?1")?.execute([seq]).map(drop)
    }

    fn finish(&mut self, now: Millis, id: &DeliveryId, finish: &Finish) -> Result<Outcome> {
        let (place, decided) = match self.held(now, id)? {
            Ok(held) => held,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let deferred = self.shared.live().queue.deferred(place.seq).map(int);
        let (seq, salt, now) = (int(place.seq), int(place.salt), int(now));
        let short = |error: &str| error.chars().take(ERROR_CHARS_MAX).collect::<String>();
        let run = |sql, values: &[&dyn rusqlite::ToSql]| self.conn.prepare_cached(sql)?.execute(values);
        if let Some(decided_ms) = deferred.filter(|_| !matches!(finish, Finish::Delivered)) {
            write_deferred(self.conn, place.seq, decided_ms)?;
        }
        let (changed, state) = match finish {
            Finish::Delivered if deferred.is_some() => {
                let sql = "UPDATE entries SET state = 1, finished_ms = ?3, next_ms = NULL, attempts = attempts + 1, \
                           verdict = 'clean', decided_ms = ?4 WHERE seq = ?1 AND salt = ?2";
                (run(sql, &[&seq, &salt, &now, &deferred])?, Some(State::Delivered))
            }
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
            self.moved(&place, state_of(UNFINISHED, decided), state);
        }
        Ok(Outcome::Done)
    }

    fn find(&self, place: Place) -> Result<Option<Found>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT salt, received_ms, state, decided_ms IS NOT NULL, content, verdict FROM entries WHERE seq = ?1",
        )?;
        let found = statement
            .query_row([int(place.seq)], |row| {
                let at = Place::new(uint(row.get(1)?), place.seq, uint(row.get(0)?));
                let verdict: Option<String> = row.get(5)?;
                let verdict = verdict.and_then(|word| word.parse().ok());
                Ok((at, Found { state: row.get(2)?, decided: row.get(3)?, content: row.get(4)?, verdict }))
            })
            .optional()?;
        Ok(found.filter(|(at, _)| *at == place).map(|(_, found)| found))
    }

    fn release(&mut self, now: Millis, id: &DeliveryId, by: &str) -> Result<Outcome> {
        let Some(place) = Place::of(id) else { return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))) };
        let found = match self.find(place)? {
            Some(found) if found.state != UNFINISHED && found.content => found,
            Some(_) => return Ok(Outcome::Refused(SpoolError::NotNow(id.clone()))),
            None => return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))),
        };
        self.conn
            .prepare_cached(
                "UPDATE entries SET state = 0, decided_ms = NULL, verdict = NULL, quarantine = 0, finished_ms = NULL, \
                 next_ms = NULL, attempts = 0, looks = 0, put_back_ms = ?3, released_by = ?2 WHERE seq = ?1",
            )?
            .execute((int(place.seq), by, int(now)))?;
        self.conn.prepare_cached("DELETE FROM decisions WHERE seq = ?1")?.execute([int(place.seq)])?;
        self.forget_terms(place.seq)?;
        self.moved(&place, state_of(found.state, found.decided), State::Received);
        self.minutes.judged(&place, found.verdict, None);
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
                .prepare_cached(
                    "UPDATE entries SET state = 0, finished_ms = NULL, next_ms = NULL, attempts = 0, looks = 0, \
                     put_back_ms = ?2 WHERE seq = ?1",
                )?
                .execute((int(place.seq), int(now)))?;
            self.moved(&place, State::DeadLettered, state_of(UNFINISHED, found.decided));
        }
        Ok(Outcome::Done)
    }

    fn erase(&mut self, id: &DeliveryId) -> Result<Outcome> {
        let Some(place) = Place::of(id) else { return Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))) };
        match self.find(place)? {
            Some(found) if found.state != UNFINISHED => {
                let names = retention::erase_entry(self, place.seq)?;
                Ok(Outcome::Erased(1, names.into_iter().collect()))
            }
            Some(_) => Ok(Outcome::Refused(SpoolError::NotNow(id.clone()))),
            None => Ok(Outcome::Refused(SpoolError::NotFound(id.clone()))),
        }
    }
}

/// A decision that stood in its own table alone comes into the entry's row.
pub(super) fn write_deferred(conn: &Connection, seq: Seq, decided_ms: i64) -> Result<()> {
    conn.prepare_cached("UPDATE entries SET verdict = 'clean', decided_ms = ?2 WHERE seq = ?1 AND state = 0")?
        .execute((int(seq), decided_ms))
        .map(drop)
}

struct Found {
    state: i64,
    decided: bool,
    content: bool,
    verdict: Option<Verdict>,
}

const _: () = assert!(
    State::Delivered as i64 == DELIVERED + 1 && State::Quarantined as i64 == QUARANTINED + 1,
    "Tally counts in the order of State"
);
