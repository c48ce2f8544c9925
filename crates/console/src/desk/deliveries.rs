//! What is on its way, what failed, what was given up; and how it is put back in line.

use super::{Desk, DeskError, Done, Listed, Search, checked_reason, now_ms};
use crate::{
    actor::{Actor, Scope},
    audit::Action,
    gateway::BackendInfo,
};
use guarita_spool::{Filter, State};
use serde::{Deserialize, Serialize};

/// The page of deliveries.
#[derive(Clone, Debug, Serialize)]
pub struct Deliveries {
    pub by_state: Vec<(State, u64)>,
    pub in_flight: u64,
    pub oldest_unfinished_ms: Option<u64>,
    pub backends: Vec<BackendInfo>,
    /// At most [`SHOWN_MAX`] of each: of what is on its way the oldest, of dead letters the newest.
    pub waiting: Vec<Listed>,
    pub failing: Vec<Listed>,
    pub dead_letters: Vec<Listed>,
}

/// What to put back in line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replay {
    pub route: Option<String>,
    pub received_from: Option<u64>,
    pub received_until: Option<u64>,
    /// Entries at most; [`REPLAY_MAX`] if nothing is said.
    pub most: Option<usize>,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    pub replayed: u64,
    /// Could not be put back: their content is gone.
    pub left: u64,
    /// More fit than one call takes: call again.
    pub more: bool,
}

pub const SHOWN_MAX: usize = 50;
pub const REPLAY_MAX: usize = 1_000;

impl Desk {
    pub async fn deliveries(&self, actor: &Actor) -> Done<Deliveries> {
        self.need(actor, Scope::Read)?;
        let counts = self.spool.counts().await?;
        let unfinished = Filter { unfinished: Some(true), oldest_first: true, ..Filter::default() };
        let unfinished = self.spool.list(unfinished, SHOWN_MAX * 4).await?;
        let (mut failing, mut waiting): (Vec<_>, Vec<_>) =
            unfinished.into_iter().partition(|record| record.attempts > 0);
        let dead = Filter { states: vec![State::DeadLettered], ..Filter::default() };
        let mut dead = self.spool.list(dead, SHOWN_MAX).await?;
        for rows in [&mut failing, &mut waiting, &mut dead] {
            rows.truncate(SHOWN_MAX);
        }
        Ok(Deliveries {
            by_state: counts.by_state,
            in_flight: counts.claimed,
            oldest_unfinished_ms: counts.oldest_unfinished_ms,
            backends: self.gateway.backends(),
            waiting: self.listed(actor, waiting).await?,
            failing: self.listed(actor, failing).await?,
            dead_letters: self.listed(actor, dead).await?,
        })
    }

    /// Puts a dead letter, or one that waits for its next try, back in line now.
    pub async fn retry(&self, actor: &Actor, id: &str, reason: &str) -> Done<()> {
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(reason)?;
        let record = self.record(id).await?;
        self.note(actor, Action::Retried, &record.id.0, &reason).await?;
        Ok(self.spool.retry(now_ms(), &record.id).await?)
    }

    /// Puts dead letters back in line, the oldest first; bounded.
    pub async fn replay(&self, actor: &Actor, replay: &Replay) -> Done<Replayed> {
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(&replay.reason)?;
        let most = replay.most.unwrap_or(REPLAY_MAX);
        if !(1..=REPLAY_MAX).contains(&most) {
            return Err(DeskError::Wrong { field: "most", problem: format!("must be 1 to {REPLAY_MAX}") });
        }
        let search = Search {
            states: vec![State::DeadLettered],
            route: replay.route.clone(),
            received_from: replay.received_from,
            received_until: replay.received_until,
            ..Search::default()
        };
        let filter = Filter { oldest_first: true, ..search.filter() };
        let records = self.spool.list(filter, most + 1).await?;
        let more = records.len() > most;
        let mut done = Replayed { replayed: 0, left: 0, more };
        self.note(actor, Action::Replayed, "", &format!("{reason} ({} dead letters)", records.len().min(most))).await?;
        for record in records.into_iter().take(most) {
            match self.spool.retry(now_ms(), &record.id).await {
                Ok(()) => done.replayed += 1,
                Err(guarita_spool::SpoolError::NotNow(_) | guarita_spool::SpoolError::NotFound(_)) => done.left += 1,
                Err(error) => return Err(DeskError::from(error)),
            }
        }
        Ok(done)
    }
}
