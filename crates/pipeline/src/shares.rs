//! Fair shares: how much of what there is a single route may hold, so that one tenant's slow backend, flood or scan backlog
//! leaves room for the others. With one route there is nothing to share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A route may hold this part of the entries, bytes and files in work. A half would let two slow tenants take all.
const SHARE: usize = 4;
/// Never fewer than this.
const ENTRIES_MIN: usize = 8;
const FILES_MIN: usize = 2;

/// What each route holds now.
pub(crate) struct Shares {
    files_max: usize,
    waiting_max: usize,
    bytes_max: usize,
    /// All files in work, of all routes.
    files: Arc<Semaphore>,
    routes: Mutex<HashMap<String, Arc<Held>>>,
}

struct Held {
    files: Arc<Semaphore>,
    waiting: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place among the files in work.
pub(crate) struct FilesPlace {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

/// Bytes of bodies in work, given back when dropped.
pub(crate) struct Bytes {
    held: Arc<Held>,
    bytes: usize,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Shares {
    pub fn new(config: &crate::Config) -> Self {
        Shares {
            files_max: config.files_in_flight_max,
            waiting_max: config.files_waiting_max,
            bytes_max: config.in_flight_bytes_max,
            files: Arc::new(Semaphore::new(config.files_in_flight_max)),
            routes: Mutex::default(),
        }
    }

    /// Begins anew for other routes; what is in work counts no more.
    pub fn forget(&self) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Live traffic needs the scanners: a quarter of the places for files is taken, or somebody waits for one.
    pub fn is_busy_with_files(&self) -> bool {
        let in_work = self.files_max.saturating_sub(self.files.available_permits());
        let known = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = known.values().any(|held| held.waiting.load(Ordering::Relaxed) > 0);
        waiting || in_work * 4 >= self.files_max.max(4)
    }

    fn of(&self, route: &str, routes: usize) -> Arc<Held> {
        let mut known = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.get(route) {
            return held.clone();
        }
        let files =
            if routes > 1 { (self.files_max / SHARE).max(FILES_MIN).min(self.files_max) } else { self.files_max };
        let held =
            Held { files: Arc::new(Semaphore::new(files)), waiting: AtomicUsize::new(0), bytes: AtomicUsize::new(0) };
        known.entry(route.to_owned()).or_insert(Arc::new(held)).clone()
    }

    /// A place for an entry's files: in the route's own line first, then among all. `None`: too many of the route's wait.
    pub async fn place_for_files(&self, route: &str, routes: usize) -> Option<FilesPlace> {
        let held = self.of(route, routes);
        let waiting_max = if routes > 1 { self.waiting_max.div_ceil(2) } else { self.waiting_max };
        let _line = Line::join(&held, waiting_max)?;
        let own = held.files.clone().acquire_owned().await.ok()?;
        let all = self.files.clone().acquire_owned().await.ok()?;
        Some(FilesPlace { _all: all, _own: own })
    }

    /// `None`: the route's bodies in work take its share already. One alone always fits.
    pub fn take_bytes(&self, route: &str, routes: usize, bytes: usize) -> Option<Bytes> {
        let held = self.of(route, routes);
        let before = held.bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = Bytes { held, bytes };
        (routes <= 1 || before == 0 || before + bytes <= self.bytes_max / SHARE).then_some(taken)
    }
}

/// How many entries of one route may be in work.
pub(crate) fn entries_max(in_flight_max: usize, routes: usize) -> usize {
    if routes > 1 { (in_flight_max / SHARE).max(ENTRIES_MIN) } else { usize::MAX }
}

/// Waiting for a place; left when dropped, however the wait ends.
struct Line<'h>(&'h Held);

impl<'h> Line<'h> {
    fn join(held: &'h Held, waiting_max: usize) -> Option<Self> {
        let line = Line(held);
        let free = held.waiting.fetch_add(1, Ordering::Relaxed) < waiting_max || held.files.available_permits() > 0;
        free.then_some(line)
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares {
        Shares {
            files_max: 8,
            waiting_max: 4,
            bytes_max: 4000,
            files: Arc::new(Semaphore::new(8)),
            routes: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn one_route_fills_its_share_and_no_more() {
        let shares = shares();
        let now = |route: &'static str| {
            let shares = &shares;
            async move { tokio::time::timeout(std::time::Duration::from_millis(20), shares.place_for_files(route, 3)).await }
        };
        let _held = [now("a").await.unwrap(), now("a").await.unwrap()];
        assert!(now("a").await.is_err(), "it waits");
        assert!(now("b").await.unwrap().is_some(), "another does not");
        let waits = (0..2).map(|_| now("a"));
        let beyond = async {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            now("a").await
        };
        let (_, beyond) = tokio::join!(futures_util::future::join_all(waits), beyond);
        assert!(beyond.unwrap().is_none(), "a line has its end");
    }

    #[test]
    fn bytes_are_shared_and_come_back() {
        let shares = shares();
        let large = shares.take_bytes("a", 2, 3000).unwrap();
        assert!(shares.take_bytes("a", 2, 1).is_none() && shares.take_bytes("b", 2, 900).is_some());
        drop(large);
        assert!(shares.take_bytes("a", 2, 1).is_some());
        assert!(shares.take_bytes("c", 1, 3000).is_some() && shares.take_bytes("c", 1, 3000).is_some());
    }
}
