//! What came in each minute and how it stands: summed up as it changes, in the transaction that changes it, so that a
//! curve over weeks costs no look at the entries. Says also which numbers a stretch of time has.

use super::rows::{int, uint};
use crate::{
    Bucket, HISTORY_BUCKETS_MAX, HISTORY_STEP_MILLIS, Millis, State,
    place::{Place, Seq},
};
use guarita_message::Verdict;
use rusqlite::{Connection, Result};
use std::collections::HashMap;

const STATES: [State; 5] = [State::Received, State::Decided, State::Delivered, State::Quarantined, State::DeadLettered];
const FIGURES: usize = STATES.len() + Verdict::ALL.len();

/// What a transaction changes, by minute of receipt.
#[derive(Default)]
pub(super) struct Minutes(HashMap<u64, Changed>);

#[derive(Default)]
struct Changed {
    /// First and last number that came in.
    came: Option<(Seq, Seq)>,
    /// States, then verdicts.
    by: [i64; FIGURES],
}

impl Minutes {
    fn of(&mut self, place: &Place) -> &mut Changed {
        self.0.entry(place.millis / HISTORY_STEP_MILLIS).or_default()
    }

    pub fn came(&mut self, place: &Place) {
        let changed = self.of(place);
        changed.by[State::Received as usize] += 1;
        let (first, _) = changed.came.unwrap_or((place.seq, place.seq));
        changed.came = Some((first, place.seq));
    }

    pub fn moved(&mut self, place: &Place, from: State, to: State) {
        let changed = self.of(place);
        changed.by[from as usize] -= 1;
        changed.by[to as usize] += 1;
    }

    pub fn judged(&mut self, place: &Place, before: Option<Verdict>, now: Option<Verdict>) {
        let changed = self.of(place);
        for (verdict, change) in [(before, -1), (now, 1)] {
            if let Some(verdict) = verdict {
                changed.by[STATES.len() + verdict as usize] += change;
            }
        }
    }

    pub fn save(&self, conn: &Connection) -> Result<()> {
        for (minute, Changed { came, by }) in &self.0 {
            let [a, b, c, d, e, f, g, h, i] = *by;
            let Some((first, last)) = came else {
                // Figures that are no longer kept stay away.
                conn.prepare_cached(
                    "UPDATE minutes SET received = received + ?2, decided = decided + ?3, delivered = delivered + ?4, \
                     quarantined = quarantined + ?5, dead_lettered = dead_lettered + ?6, clean = clean + ?7, \
                     suspicious = suspicious + ?8, unscanned = unscanned + ?9, malicious = malicious + ?10 \
                     WHERE minute = ?1",
                )?
                .execute((int(*minute), a, b, c, d, e, f, g, h, i))?;
                continue;
            };
            conn.prepare_cached(
                "INSERT INTO minutes (minute, first, last, received, decided, delivered, quarantined, dead_lettered, \
                 clean, suspicious, unscanned, malicious) VALUES (?1, ?11, ?12, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                 ON CONFLICT (minute) DO UPDATE SET first = min(first, ?11), last = max(last, ?12), \
                 received = received + ?2, decided = decided + ?3, delivered = delivered + ?4, \
                 quarantined = quarantined + ?5, dead_lettered = dead_lettered + ?6, clean = clean + ?7, \
                 suspicious = suspicious + ?8, unscanned = unscanned + ?9, malicious = malicious + ?10",
            )?
            .execute((int(*minute), a, b, c, d, e, f, g, h, i, int(*first), int(*last)))?;
        }
        Ok(())
    }
}

/// The numbers that came in between two times lie within these; `None`: nothing came in.
pub(super) fn numbers(conn: &Connection, from: Option<Millis>, until: Option<Millis>) -> Result<Option<(Seq, Seq)>> {
    let minute = |millis: Option<Millis>, open| millis.map_or(open, |millis| int(millis / HISTORY_STEP_MILLIS));
    conn.prepare_cached("SELECT min(first), max(last) FROM minutes WHERE minute BETWEEN ?1 AND ?2")?
        .query_row((minute(from, 0), minute(until, i64::MAX)), |row| {
            Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?).map(|(a, b)| (uint(a), uint(b))))
        })
}

pub(super) fn history(conn: &Connection, from: Millis, until: Millis, bucket: Millis) -> Result<Vec<Bucket>> {
    let steps = |millis: Millis| millis.div_ceil(HISTORY_STEP_MILLIS).max(1);
    let width = steps(bucket).max(steps(until.saturating_sub(from) / HISTORY_BUCKETS_MAX + 1));
    let (first, end) = (from / HISTORY_STEP_MILLIS, until.div_ceil(HISTORY_STEP_MILLIS));
    let count = end.saturating_sub(first).div_ceil(width) as usize;
    let mut sums = vec![[0u64; FIGURES]; count];
    let mut statement = conn.prepare_cached(
        "SELECT minute, received, decided, delivered, quarantined, dead_lettered, clean, suspicious, unscanned, \
         malicious FROM minutes WHERE minute >= ?1 AND minute < ?2",
    )?;
    let mut rows = statement.query((int(first), int(end)))?;
    while let Some(row) = rows.next()? {
        let at = (uint(row.get(0)?).saturating_sub(first) / width) as usize;
        if let Some(sum) = sums.get_mut(at) {
            for (figure, sum) in sum.iter_mut().enumerate() {
                *sum += uint(row.get(1 + figure)?);
            }
        }
    }
    let buckets = sums.iter().enumerate().map(|(at, sum)| {
        let (by_state, by_verdict) = sum.split_at(STATES.len());
        Bucket {
            at: (first + at as u64 * width) * HISTORY_STEP_MILLIS,
            received: by_state.iter().sum(),
            by_verdict: Verdict::ALL.iter().copied().zip(by_verdict.iter().copied()).collect(),
            by_state: STATES.into_iter().zip(by_state.iter().copied()).collect(),
        }
    });
    Ok(buckets.collect())
}
