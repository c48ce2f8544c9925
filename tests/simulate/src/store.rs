//! The spool on a disk that fails and a process that dies: the real spools (in memory, and SQLite in a folder) behind a
//! wrapper. What the inner spool did is durable; whether the caller ever hears of it is another matter.

use crate::{
    truth::{End, Entry, tags_in},
    world::{Fault, Who, World},
};
use guarita_message::DeliveryId;
use guarita_spool::{
    Appended, Bucket, Claimed, Config, ContentOf, Counts, Decided, Filter, Finish, MemorySpool, Millis, NewEntry, Page,
    Pending, Record, Retention, Spool, SpoolError, SqliteSpool, State, Swept,
};
use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};
use tokio::sync::Notify;

/// What stays when the process dies.
pub enum Disk {
    Memory(Arc<MemorySpool>),
    /// A folder for each life: what stood in the last one when the process died, copied as it lay.
    Sqlite {
        root: tempfile::TempDir,
        life: u32,
    },
}

impl Disk {
    pub fn new(sqlite: bool) -> Disk {
        if !sqlite {
            return Disk::Memory(Arc::new(MemorySpool::new()));
        }
        // Memory, where there is some: thousands of fsyncs wear a disk out.
        let shm = Path::new("/dev/shm");
        let root = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        Disk::Sqlite { root: root.expect("a temporary folder can be made"), life: 0 }
    }

    pub fn start(&mut self, world: &World) -> Result<Arc<dyn Spool>, String> {
        let inner: Arc<dyn Spool> = match self {
            Disk::Memory(spool) => {
                spool.forget_claims();
                spool.clone()
            }
            Disk::Sqlite { root, life } => {
                let folder = |life: u32| root.path().join(life.to_string());
                *life += 1;
                std::fs::create_dir(folder(*life)).map_err(|error| error.to_string())?;
                for name in ["spool.db", "spool.db-wal", "key"] {
                    let from: PathBuf = folder(*life - 1).join(name);
                    if from.exists() {
                        std::fs::copy(from, folder(*life).join(name)).map_err(|error| error.to_string())?;
                    }
                }
                let _ = std::fs::remove_dir_all(folder(*life - 1));
                let config = Config { path: folder(*life), ..Config::default() };
                Arc::new(SqliteSpool::open(&config).map_err(|error| error.to_string())?)
            }
        };
        check_against_truth(&*inner, world)?;
        Ok(Arc::new(Store { inner, world: world.clone(), changed: Notify::new() }))
    }
}

/// At each start: what the truth knows is there, and in its state.
fn check_against_truth(spool: &dyn Spool, world: &World) -> Result<(), String> {
    let mut state = world.lock();
    for (id, entry) in &mut state.truth.entries {
        entry.held_until_ms = 0; // whoever held it is dead
        let record = at_once(spool.record(id)).map_err(|error| error.to_string())?;
        let Some(record) = record else {
            return Err(format!("{id} (updates {:?}) is gone from the spool", entry.tags));
        };
        let expected = match entry.end {
            Some(End::Delivered) => State::Delivered,
            Some(End::Quarantined) => State::Quarantined,
            Some(End::DeadLettered) => State::DeadLettered,
            None if entry.decided.is_some() => State::Decided,
            None => State::Received,
        };
        if record.state != expected {
            return Err(format!("{id} was {expected:?} before the crash and is {:?} after it", record.state));
        }
    }
    Ok(())
}

pub struct Store {
    inner: Arc<dyn Spool>,
    world: World,
    changed: Notify,
}

impl Store {
    async fn with<T>(&self, who: Who, act: impl FnOnce(&dyn Spool) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        let fault = self.world.before(who).await;
        if fault == Some(Fault::Fails) {
            return Err(no_disk(&self.world));
        }
        let result = act(&*self.inner);
        self.world.after(fault).await;
        if matches!(who, Who::Append | Who::Finish | Who::Look) {
            self.changed.notify_one();
        }
        if fault == Some(Fault::FailsAfterwards) { Err(no_disk(&self.world)) } else { result }
    }
}

fn no_disk(world: &World) -> SpoolError {
    if world.chance(|chance| chance.happens(500)) { SpoolError::Full } else { SpoolError::Disk("simulated".into()) }
}

impl Spool for Store {
    fn append(&self, now: Millis, entries: Vec<NewEntry>) -> Pending<'_, Vec<Appended>> {
        Box::pin(self.with(Who::Append, move |inner| {
            let copies = entries.clone();
            let results = at_once(inner.append(now, entries))?;
            let mut state = self.world.lock();
            for (entry, result) in copies.into_iter().zip(&results) {
                let tags = tags_in(&entry.body);
                state.note(|| format!("append {tags:?} {}", matches!(result, Appended::Stored(_))));
                match result {
                    Appended::Stored(id) => {
                        for tag in &tags {
                            if let Some(earlier) = state.truth.entry_of.insert(*tag, id.clone()) {
                                state.broken(format!("update {tag} is stored twice, as {earlier} and {id}"));
                            }
                        }
                        let entry = Entry {
                            order: state.truth.entries.len(),
                            conversation: entry.conversation.0,
                            tags,
                            received: entry.body,
                            decided: None,
                            end: None,
                            out_of_line: false,
                            released: false,
                            taken: false,
                            refusals: 0,
                            attempts: 0,
                            held_until_ms: 0,
                            signatures: state.signatures,
                        };
                        state.truth.entries.insert(id.clone(), entry);
                    }
                    Appended::Duplicate => {
                        if let Some(tag) = tags.iter().find(|tag| !state.truth.entry_of.contains_key(tag)) {
                            state.broken(format!("update {tag} was called a repeat and is not stored"));
                        }
                    }
                    Appended::PartlySeen(_) => {}
                }
            }
            Ok(results)
        }))
    }

    fn claim(&self, now: Millis, lease: Millis, most: usize) -> Pending<'_, Vec<Claimed>> {
        Box::pin(self.with(Who::Claim, move |inner| {
            let claimed = at_once(inner.claim(now, lease, most))?;
            let mut state = self.world.lock();
            // What has run out once stays so when the clock is set back.
            for entry in state.truth.entries.values_mut().filter(|entry| entry.held_until_ms <= now) {
                entry.held_until_ms = 0;
            }
            for one in &claimed {
                state.note(|| format!("claim of {:?}", tags_in(&one.body)));
                let entry = state.truth.entries.get_mut(&one.id).expect("only stored entries are claimed");
                let held = std::mem::replace(&mut entry.held_until_ms, now + lease);
                if now < held {
                    state.broken(format!("{} was handed out while a claim still held it", one.id));
                }
                if let Some(early) = state.truth.overtaken_by(&one.id).cloned() {
                    state.broken(format!("{} was handed out before {early} of its conversation ended", one.id));
                }
            }
            Ok(claimed)
        }))
    }

    fn wait_for_work<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.changed.notified())
    }

    fn record_decided(&self, now: Millis, id: &DeliveryId, decided: Decided) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(self.with(Who::Decide, move |inner| {
            let body = decided.body.clone();
            at_once(inner.record_decided(now, &id, decided))?;
            let mut state = self.world.lock();
            state.note(|| "decided".into());
            let entry = state.truth.entries.get_mut(&id).expect("only stored entries are claimed");
            let second = entry.decided.is_some();
            entry.decided = Some(body.unwrap_or_else(|| entry.received.clone()));
            if second {
                state.broken(format!("{id} was decided twice"));
            }
            Ok(())
        }))
    }

    fn finish(&self, now: Millis, id: &DeliveryId, finish: Finish) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(self.with(Who::Finish, move |inner| {
            at_once(inner.finish(now, &id, finish.clone()))?;
            let mut state = self.world.lock();
            let panics = state.truth.panics;
            let entry = state.truth.entries.get_mut(&id).expect("only stored entries are claimed");
            let tags = entry.tags.clone();
            let wrong = match (&finish, entry.end) {
                (_, Some(end)) => Some(format!("{id} ended twice, first as {end:?}")),
                (Finish::Delivered, _) if !entry.taken => {
                    Some(format!("{id} (updates {tags:?}) is called delivered, and the backend did not take it"))
                }
                (Finish::DeadLettered { error }, _) if entry.refusals < 3 && entry.attempts < 8 && panics == 0 => {
                    Some(format!("{id} (updates {tags:?}) was given up without need: {error}"))
                }
                _ => None,
            };
            entry.end = match &finish {
                Finish::Delivered => Some(End::Delivered),
                Finish::Quarantined => Some(End::Quarantined),
                Finish::DeadLettered { .. } => Some(End::DeadLettered),
                Finish::RetryAt { .. } | Finish::LookAgainAt { .. } => None,
            };
            entry.held_until_ms = 0;
            if entry.end.is_some() {
                // Until a person acts on it again.
                entry.out_of_line = false;
            }
            state.note(|| format!("finish {tags:?} {finish:?}"));
            if let Some(wrong) = wrong {
                state.broken(wrong);
            }
            Ok(())
        }))
    }

    fn renew(&self, now: Millis, id: &DeliveryId, lease: Millis) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(self.with(Who::Renew, move |inner| {
            at_once(inner.renew(now, &id, lease))?;
            if let Some(entry) = self.world.lock().truth.entries.get_mut(&id) {
                entry.held_until_ms = now + lease;
            }
            Ok(())
        }))
    }

    fn record(&self, id: &DeliveryId) -> Pending<'_, Option<Record>> {
        let id = id.clone();
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.record(&id))))
    }

    fn content(&self, id: &DeliveryId) -> Pending<'_, ContentOf> {
        let id = id.clone();
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.content(&id))))
    }

    fn page(&self, filter: Filter, most: usize) -> Pending<'_, Page> {
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.page(filter, most))))
    }

    fn summaries(&self, ids: &[DeliveryId]) -> Pending<'_, Vec<Option<Vec<u8>>>> {
        let ids = ids.to_vec();
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.summaries(&ids))))
    }

    fn counts(&self) -> Pending<'_, Counts> {
        Box::pin(self.with(Who::Look, |inner| at_once(inner.counts())))
    }

    fn history(&self, from: Millis, until: Millis, bucket: Millis) -> Pending<'_, Vec<Bucket>> {
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.history(from, until, bucket))))
    }

    fn release(&self, now: Millis, id: &DeliveryId, by: &str) -> Pending<'_, ()> {
        let (id, by) = (id.clone(), by.to_owned());
        Box::pin(self.with(Who::Look, move |inner| {
            at_once(inner.release(now, &id, &by))?;
            let mut state = self.world.lock();
            state.note(|| "released".into());
            if let Some(entry) = state.truth.entries.get_mut(&id) {
                (entry.end, entry.decided) = (None, None);
                (entry.out_of_line, entry.released, entry.held_until_ms) = (true, true, 0);
            }
            Ok(())
        }))
    }

    fn retry(&self, now: Millis, id: &DeliveryId) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(self.with(Who::Look, move |inner| {
            at_once(inner.retry(now, &id))?;
            let mut state = self.world.lock();
            state.note(|| "put back in line".into());
            if let Some(entry) = state.truth.entries.get_mut(&id)
                && entry.end.take().is_some()
            {
                (entry.out_of_line, entry.held_until_ms) = (true, 0);
            }
            Ok(())
        }))
    }

    fn sweep(&self, now: Millis, retention: Arc<Retention>) -> Pending<'_, Swept> {
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.sweep(now, retention))))
    }

    fn erase_sender(&self, sender: &str) -> Pending<'_, u64> {
        let sender = sender.to_owned();
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.erase_sender(&sender))))
    }

    fn erase_entry(&self, id: &DeliveryId) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(self.with(Who::Look, move |inner| at_once(inner.erase_entry(&id))))
    }
}

/// Waits with the whole thread, so that no simulated time passes while SQLite's own threads work.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}
