//! Rows in and out: how the words and numbers of an entry stand in their columns.

use crate::{Millis, Record, SpoolError, State, place::Place};
use guarita_message::Verdict;
use rusqlite::{Row, types::Type};
use std::{fmt::Display, str::FromStr};

/// Numbers of `entries.state`. Received and decided are one: `decided_ms` tells them apart.
pub(super) const UNFINISHED: i64 = 0;
pub(super) const DELIVERED: i64 = 1;
pub(super) const QUARANTINED: i64 = 2;
pub(super) const DEAD_LETTERED: i64 = 3;

/// SQLite has signed integers only; nothing of ours is that large.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn state_of(number: i64, decided: bool) -> State {
    match number {
        DELIVERED => State::Delivered,
        QUARANTINED => State::Quarantined,
        DEAD_LETTERED => State::DeadLettered,
        _ if decided => State::Decided,
        _ => State::Received,
    }
}

/// A word of the lexicon in column `at`.
pub(super) fn word<T: FromStr<Err: Display>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str().map_err(rusqlite::Error::from)?;
    parse(text, at)
}

fn parse<T: FromStr<Err: Display>>(text: &str, at: usize) -> rusqlite::Result<T> {
    text.parse()
        .map_err(|error: T::Err| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.to_string().into()))
}

/// The columns that [`record`] reads, in its order.
pub(super) const RECORD: &str = "seq, salt, received_ms, state, channel, lane, route, account, quarantine, attempts, \
     looks, verdict, decided_ms, finished_ms, next_ms, last_error, released_by, put_back_ms";

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<(Place, Record)> {
    let millis = |at| -> rusqlite::Result<Option<Millis>> { Ok(row.get::<_, Option<i64>>(at)?.map(uint)) };
    let received_ms = uint(row.get(2)?);
    let place = Place::new(received_ms, uint(row.get(0)?), uint(row.get(1)?));
    let decided_ms = millis(12)?;
    let verdict: Option<Verdict> = row.get::<_, Option<String>>(11)?.map(|text| parse(&text, 11)).transpose()?;
    let record = Record {
        id: place.id(),
        received_ms,
        state: state_of(row.get(3)?, decided_ms.is_some()),
        channel: word(row, 4)?,
        lane: word(row, 5)?,
        route: row.get(6)?,
        account: row.get(7)?,
        quarantine: row.get(8)?,
        attempts: row.get(9)?,
        looks: row.get(10)?,
        verdict,
        decided_ms,
        finished_ms: millis(13)?,
        next_ms: millis(14)?,
        last_error: row.get(15)?,
        released_by: row.get(16)?,
        put_back_ms: millis(17)?,
    };
    Ok((place, record))
}

/// SQLite's error as ours. Its messages name files and tables, never values.
pub(super) fn disk(error: &rusqlite::Error) -> SpoolError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => SpoolError::Full,
        _ => SpoolError::Disk(error.to_string()),
    }
}

/// Is it the disk that fails, so that the next command will fail, too?
pub(super) fn disk_fails(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure | CannotOpen | ReadOnly))
}
