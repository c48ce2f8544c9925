//! What callers and the writer share in memory: the queue, fresh bodies, bounds, and the last time anybody named.

use crate::{Claimed, Millis, place::Seq, queue::Queue, seal::Sealer};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

pub(super) struct Shared {
    pub sealer: Sealer,
    pub config: crate::Config,
    live: Mutex<Live>,
    /// Something changed that a claim may bring.
    pub changed: Notify,
    clock: Mutex<Option<(Millis, Instant)>>,
    pub waiting: Waiting,
    /// Names of entries that are not yet in the lookup's runs (index.rs), for searches.
    pub unwritten: Mutex<Vec<(i64, Seq)>>,
}

#[derive(Default)]
pub(super) struct Live {
    pub queue: Queue,
    /// Entries appended and not yet claimed, as claim hands them out; bounded by `cache_bytes_max`.
    fresh: HashMap<Seq, Claimed>,
    fresh_bytes: usize,
    /// Unfinished entries from this number on are on disk alone, as the queue is full; the writer fetches them.
    pub spilled_from: Option<Seq>,
}

/// Appends on their way to the writer.
#[derive(Default)]
pub(super) struct Waiting {
    appends: AtomicUsize,
    bytes: AtomicUsize,
    /// The database is larger than `bytes_max`; said once in the log.
    pub over: AtomicBool,
}

impl Waiting {
    /// `false`: the bounds are reached.
    pub fn enter(&self, bytes: usize, config: &crate::Config) -> bool {
        let appends = self.appends.fetch_add(1, Ordering::Relaxed);
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One append alone always fits, or a body larger than the bound could never be stored.
        let fits = appends < config.appends_max && (waiting == 0 || waiting + bytes <= config.append_bytes_max);
        if !fits {
            self.leave(bytes);
        }
        fits
    }

    pub fn leave(&self, bytes: usize) {
        self.appends.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What an entry in the cache costs beside its body.
const FRESH_BYTES: usize = 400;

impl Live {
    pub fn keep_fresh(&mut self, seq: Seq, claimed: Claimed, bytes_max: usize) {
        let bytes = claimed.body.len() + FRESH_BYTES;
        if self.fresh_bytes + bytes <= bytes_max {
            self.fresh_bytes += bytes;
            self.fresh.insert(seq, claimed);
        }
    }

    pub fn take_fresh(&mut self, seq: Seq) -> Option<Claimed> {
        let claimed = self.fresh.remove(&seq)?;
        self.fresh_bytes -= claimed.body.len() + FRESH_BYTES;
        Some(claimed)
    }
}

impl Shared {
    pub fn new(sealer: Sealer, config: crate::Config) -> Self {
        Shared {
            sealer,
            config,
            live: Mutex::default(),
            changed: Notify::new(),
            clock: Mutex::default(),
            waiting: Waiting::default(),
            unwritten: Mutex::default(),
        }
    }

    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn unwritten(&self) -> MutexGuard<'_, Vec<(i64, Seq)>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spool reads no clock; it goes on from the last time it was told.
    pub fn told(&self, now: Millis) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Instant::now()));
    }

    fn about_now(&self) -> Millis {
        let clock = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.map_or(0, |(now, at)| now.saturating_add(at.elapsed().as_millis() as u64))
    }

    pub async fn wait_for_work(&self) {
        let changed = self.changed.notified();
        let earliest = self.live().queue.earliest();
        let Some(due) = earliest else { return changed.await };
        let wait = due.saturating_sub(self.about_now());
        if wait > 0 {
            let _ = tokio::time::timeout(Duration::from_millis(wait), changed).await;
        }
    }
}
