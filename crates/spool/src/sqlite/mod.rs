//! The spool in one SQLite database (WAL, synchronous FULL), for one process at a time.
//!
//! Callers hash and seal; the writer thread writes (writer.rs, change.rs); claims are handed out from memory (queue.rs)
//! and cost the writer nothing; whatever only looks has connections of its own (read.rs).

mod change;
mod checkpoint;
mod command;
mod content;
mod index;
mod live;
mod minutes;
mod read;
mod retention;
mod rows;
mod schema;
mod search;
mod writer;

use crate::{
    Appended, Bucket, Claimed, Config, ContentOf, Counts, Decided, Filter, Finish, KeyError, Millis, NewEntry, Page,
    Pending, Record, Retention, SUMMARIES_MAX, Spool, SpoolError, StorageKey, Swept, TERMS_MAX,
    place::{MILLIS_MAX, Place},
    seal::{Column, Kind, Sealer, random},
};
use bytes::Bytes;
use command::{Command, Decision, Prepared, Reply};
use guarita_message::DeliveryId;
use live::Shared;
use read::Readers;
use std::{
    fs::{File, OpenOptions},
    future::Future,
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Why the spool cannot be opened. A retry helps only with `InUse`.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another guarita: stop that one, or give this one another storage.path")]
    InUse(PathBuf),
    #[error("cannot use the storage folder {path}: {cause}: see that it exists and that guarita may write there")]
    Folder { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the key file {0} does not belong to this database: put back the one that does")]
    WrongKey(PathBuf),
    #[error(
        "the spool was written by a newer guarita (layout {found}, this one knows {known}): install that one again"
    )]
    TooNew { found: usize, known: usize },
    #[error("cannot open the spool database {path}: {cause}")]
    Database { path: PathBuf, cause: String },
}

/// What `check` finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Bytes of the database that hold something.
    pub used_bytes: u64,
    pub bytes_max: u64,
    /// What SQLite's own check says; empty: sound.
    pub problems: Vec<String>,
}

pub struct SqliteSpool {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    key: StorageKey,
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as we live; the system frees it whatever our end.
    _lock: File,
}

impl std::fmt::Debug for SqliteSpool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteSpool").field("path", &self.shared.config.path).finish_non_exhaustive()
    }
}

const DATABASE: &str = "spool.db";

impl SqliteSpool {
    /// Opens the spool in `config.path`, making folder, key and database at first start.
    pub fn open(config: &Config) -> Result<SqliteSpool, OpenError> {
        let folder = &config.path;
        let io = |cause| OpenError::Folder { path: folder.clone(), cause };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let lock = lock(folder)?;
        let path = folder.join(DATABASE);
        let key_file = config.key_file.clone().unwrap_or_else(|| folder.join("key"));
        let stored = std::fs::metadata(&path).is_ok_and(|about| about.len() > 0);
        let key = if stored { StorageKey::open(&key_file)? } else { StorageKey::open_or_create(&key_file)? };
        // SQLite gives its other files the mode of this one.
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(io)?;

        let sealer = Sealer::new(&key);
        let database = |cause: rusqlite::Error| OpenError::Database { path: path.clone(), cause: cause.to_string() };
        let mut conn = schema::open_writer(&path).map_err(database)?;
        let check = sealer.name(Kind::Check, "");
        if let Err(found) = schema::migrate(&mut conn, &check).map_err(database)? {
            return Err(OpenError::TooNew { found, known: schema::VERSION });
        }
        let known: Vec<u8> =
            conn.query_row("SELECT key_check FROM progress", [], |row| row.get(0)).map_err(database)?;
        if known != check {
            return Err(OpenError::WrongKey(key_file));
        }
        conn.execute_batch(schema::HEAL).map_err(database)?;
        let shared = Arc::new(Shared::new(sealer, config.clone()));
        let writer = writer::Writer::load(conn, &path, shared.clone()).map_err(database)?;
        let (commands, received) = mpsc::channel();
        let thread = std::thread::Builder::new().name("spool-writer".to_owned());
        let writer = thread.spawn(move || writer.run(received)).map_err(io)?;
        let readers = Readers::new(path, config.readers_max);
        Ok(SqliteSpool { shared, readers, key, commands: Some(commands), writer: Some(writer), _lock: lock })
    }

    /// The folder's key, from which others derive theirs.
    pub fn key(&self) -> &StorageKey {
        &self.key
    }

    /// SQLite's quick check and the space used, for `doctor`. Reads the whole database.
    pub async fn check(&self) -> Result<Health, SpoolError> {
        let bytes_max = self.shared.config.bytes_max;
        let work = move |conn: &rusqlite::Connection| {
            let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(rows::uint);
            let used_bytes = (number("page_count")? - number("freelist_count")?) * number("page_size")?;
            let mut check = conn.prepare("PRAGMA quick_check(20)")?;
            let lines = check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
            let problems = lines.into_iter().filter(|line| line != "ok").collect();
            Ok(Health { used_bytes, bytes_max, problems })
        };
        self.readers.run(work).await
    }

    /// Copies the database as it is now to a new file at `path`, while all goes on. The key is not in it: keep a copy
    /// of the key file, too, elsewhere.
    pub async fn backup_to(&self, path: &Path) -> Result<(), SpoolError> {
        let path = path.to_owned();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| SpoolError::Disk(format!("cannot make {}: {error}", path.display())))?;
        let work = move |conn: &rusqlite::Connection| {
            // One snapshot for all steps: the writer goes on beside it, and the copy need not begin again.
            let snapshot = conn.unchecked_transaction()?;
            snapshot.query_row("SELECT one FROM progress", [], |_| Ok(()))?;
            let mut copy = rusqlite::Connection::open(&path)?;
            let backup = rusqlite::backup::Backup::new(conn, &mut copy)?;
            backup.run_to_completion(BACKUP_PAGES, std::time::Duration::from_millis(1), None)
        };
        self.readers.run(work).await
    }

    fn send(&self, command: Command) -> bool {
        self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok())
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        let gone = || SpoolError::Disk("the spool's writer has stopped: restart guarita".to_owned());
        if !self.send(command(reply)) {
            return Err(gone());
        }
        answer.await.map_err(|_| gone())?
    }

    fn prepare(&self, now: Millis, entry: NewEntry) -> Result<Prepared, SpoolError> {
        let sealer = &self.shared.sealer;
        let names = |kind, texts: &mut dyn Iterator<Item = &String>| -> Vec<u8> {
            texts.flat_map(|text| sealer.name(kind, text)).collect()
        };
        let received_ms = now.min(MILLIS_MAX);
        let salt = Place::new(0, 0, u64::from_be_bytes(random().map_err(SpoolError::Disk)?)).salt;
        let head = content::Received::head(&entry.conversation);
        let sealed = sealer
            .seal(received_ms, salt, Column::Received, &[&head, entry.conversation.0.as_bytes(), &entry.body])
            .map_err(SpoolError::Disk)?;
        Ok(Prepared {
            received_ms,
            salt,
            account: entry.account,
            conversation: sealer.name(Kind::Conversation, &entry.conversation.0),
            senders: names(Kind::Sender, &mut entry.senders.iter()),
            dedupe: names(Kind::Dedupe, &mut entry.dedupe.iter().map(|key| &key.0)),
            keys: entry.dedupe,
            sealed,
            route: entry.route.clone(),
            channel: entry.channel,
            lane: entry.lane,
            fresh: Some(Claimed {
                id: DeliveryId(String::new()),
                route: entry.route,
                channel: entry.channel,
                lane: entry.lane,
                conversation: entry.conversation,
                received_ms,
                since_ms: received_ms,
                body: entry.body.into(),
                decided: None,
                attempts: 0,
                looks: 0,
                released_by: None,
            }),
        })
    }

    fn prepare_decision(&self, place: Place, decided: &Decided) -> Result<Decision, SpoolError> {
        let sealer = &self.shared.sealer;
        let seal =
            |column, pieces: &[&[u8]]| sealer.seal(place.millis, place.salt, column, pieces).map_err(SpoolError::Disk);
        let received = self.shared.live().queue.handed_out(place.seq).map(|(_, body)| body.clone());
        let pieces = content::DecisionPieces::of(decided, received.as_deref());
        let (sealed, summary) = (seal(Column::Decision, &pieces.pieces())?, pieces.summary());
        let apart = sealed.len() > read::SUMMARY_WITHIN && !summary.is_empty();
        let summary = if apart { Some(seal(Column::Summary, &[summary])?) } else { None };
        let mut terms: Vec<[u8; 8]> = Vec::new();
        for term in decided.terms.iter().take(TERMS_MAX) {
            let hash = index::short(&sealer.name(Kind::Term, term)).to_be_bytes();
            if !terms.contains(&hash) {
                terms.push(hash);
            }
        }
        let terms = terms.into_flattened();
        Ok(Decision { verdict: decided.verdict, quarantine: decided.quarantine, sealed, terms, summary })
    }

    /// What is no longer cached comes from the disk. An entry that does not decrypt becomes a dead letter, so that it
    /// holds up nobody.
    async fn claim_from_disk(&self, now: Millis, seqs: Vec<u64>) -> Result<Vec<Claimed>, SpoolError> {
        let (shared, wanted) = (self.shared.clone(), seqs.clone());
        let read = self.readers.run(move |conn| read::claimed(conn, &shared.sealer, &wanted)).await;
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let mut live = self.shared.live();
                seqs.into_iter().for_each(|seq| live.queue.give_back(seq, 0));
                return Err(error);
            }
        };
        let mut claimed = Vec::with_capacity(read.len());
        for entry in read {
            match entry {
                Ok(entry) => {
                    if let Some(place) = Place::of(&entry.id) {
                        self.shared.live().queue.hand_out(&place, &entry.body);
                    }
                    claimed.push(entry);
                }
                Err(place) => {
                    self.shared.live().queue.hand_out(&place, &Bytes::new());
                    tracing::error!(id = %place.id(), "stored content does not decrypt; the entry is a dead letter now");
                    let finish = Finish::DeadLettered { error: SpoolError::Damaged(place.id().0).to_string() };
                    let id = place.id();
                    if let Err(error) = self.ask(|reply| Command::Finish { now, id, finish, reply }).await {
                        tracing::warn!(%error, "it is tried again once its lease is over");
                    }
                }
            }
        }
        Ok(claimed)
    }
}

/// Pages copied between two breaths of a backup.
const BACKUP_PAGES: i32 = 2048;

/// One process a folder: leases and the queue are in its memory.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let io = |cause| OpenError::Folder { path: folder.to_owned(), cause };
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join("lock")).map_err(io)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(folder.to_owned())),
        Err(error) => Err(io(error.into())),
    }
}

impl Drop for SqliteSpool {
    /// Lets the writer end what it was asked, so that the folder can be opened again at once.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the spool's writer ended in a panic");
        }
    }
}

impl Spool for SqliteSpool {
    fn append(&self, now: Millis, entries: Vec<NewEntry>) -> Pending<'_, Vec<Appended>> {
        Box::pin(async move {
            self.shared.told(now);
            let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
            if !self.shared.waiting.enter(bytes, &self.shared.config) {
                return Err(SpoolError::Full);
            }
            let prepared = entries.into_iter().map(|entry| self.prepare(now, entry)).collect::<Result<Vec<_>, _>>();
            let entries = match prepared {
                Ok(entries) => entries,
                Err(error) => {
                    self.shared.waiting.leave(bytes);
                    return Err(error);
                }
            };
            self.ask(|reply| Command::Append { now, entries, bytes, reply }).await
        })
    }

    fn claim(&self, now: Millis, lease: Millis, most: usize) -> Pending<'_, Vec<Claimed>> {
        self.claim_shared(now, lease, most, usize::MAX)
    }

    fn claim_shared(&self, now: Millis, lease: Millis, most: usize, most_of_one: usize) -> Pending<'_, Vec<Claimed>> {
        Box::pin(async move {
            self.shared.told(now);
            let mut claimed = Vec::new();
            let mut elsewhere = Vec::new();
            {
                let mut live = self.shared.live();
                for seq in live.queue.claim_shared(now, lease, most, most_of_one) {
                    match live.take_fresh(seq) {
                        Some(fresh) => {
                            if let Some(place) = Place::of(&fresh.id) {
                                live.queue.hand_out(&place, &fresh.body);
                            }
                            claimed.push(fresh);
                        }
                        None => elsewhere.push(seq),
                    }
                }
            }
            if !elsewhere.is_empty() {
                match self.claim_from_disk(now, elsewhere).await {
                    Ok(more) => claimed.extend(more),
                    Err(error) if claimed.is_empty() => return Err(error),
                    Err(error) => tracing::warn!(%error, "cannot read some entries of the spool; tried again"),
                }
            }
            Ok(claimed)
        })
    }

    fn wait_for_work<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.shared.wait_for_work())
    }

    fn record_decided(&self, now: Millis, id: &DeliveryId, decided: Decided) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(async move {
            self.shared.told(now);
            let Some(place) = Place::of(&id) else { return Err(SpoolError::NotFound(id)) };
            let decision = self.prepare_decision(place, &decided)?;
            self.ask(|reply| Command::Decide { now, id, decision, reply }).await
        })
    }

    fn finish(&self, now: Millis, id: &DeliveryId, finish: Finish) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(async move {
            self.shared.told(now);
            self.ask(|reply| Command::Finish { now, id, finish, reply }).await
        })
    }

    fn renew(&self, now: Millis, id: &DeliveryId, lease: Millis) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(async move {
            self.shared.told(now);
            let Some(place) = Place::of(&id) else { return Err(SpoolError::NotFound(id)) };
            if self.shared.live().queue.renew(now, place.seq, lease).is_ok() {
                return Ok(());
            }
            let known = self.readers.run(move |conn| read::record_at(conn, place)).await?;
            Err(if known.is_some() { SpoolError::LeaseLost(id) } else { SpoolError::NotFound(id) })
        })
    }

    fn record(&self, id: &DeliveryId) -> Pending<'_, Option<Record>> {
        let place = Place::of(id);
        Box::pin(async move {
            let Some(place) = place else { return Ok(None) };
            let deferred = self.shared.live().queue.deferred(place.seq).map(|at| (place.seq, at)).into_iter().collect();
            let found = self.readers.run(move |conn| read::record_at(conn, place)).await?;
            Ok(found.map(|record| read::told(place, record, &deferred)))
        })
    }

    fn content(&self, id: &DeliveryId) -> Pending<'_, ContentOf> {
        let id = id.clone();
        Box::pin(async move {
            let Some(place) = Place::of(&id) else { return Err(SpoolError::NotFound(id)) };
            let shared = self.shared.clone();
            match self.readers.run(move |conn| read::content(conn, &shared.sealer, place)).await? {
                Some(Ok(content)) => Ok(content),
                Some(Err(damaged)) => Err(SpoolError::Damaged(damaged.0)),
                None => Err(SpoolError::NotFound(id)),
            }
        })
    }

    fn page(&self, filter: Filter, most: usize) -> Pending<'_, Page> {
        Box::pin(async move {
            let search = search::Search::new(filter, &self.shared);
            self.readers.run(move |conn| search::page(conn, &search, most)).await
        })
    }

    fn summaries(&self, ids: &[DeliveryId]) -> Pending<'_, Vec<Option<Vec<u8>>>> {
        let places: Vec<_> =
            ids.iter().enumerate().map(|(at, id)| Place::of(id).filter(|_| at < SUMMARIES_MAX)).collect();
        let shared = self.shared.clone();
        Box::pin(self.readers.run(move |conn| {
            let summary = |place: Option<Place>| place.map(|at| read::summary(conn, &shared.sealer, at)).transpose();
            places.into_iter().map(|place| Ok(summary(place)?.flatten())).collect()
        }))
    }

    fn history(&self, from: Millis, until: Millis, bucket: Millis) -> Pending<'_, Vec<Bucket>> {
        Box::pin(self.readers.run(move |conn| minutes::history(conn, from, until, bucket)))
    }

    fn counts(&self) -> Pending<'_, Counts> {
        Box::pin(async move {
            let held = self.shared.live().queue.held() as u64;
            self.readers.run(move |conn| read::counts(conn, held)).await
        })
    }

    fn release(&self, now: Millis, id: &DeliveryId, by: &str) -> Pending<'_, ()> {
        let (id, by) = (id.clone(), by.to_owned());
        Box::pin(async move {
            self.shared.told(now);
            self.ask(|reply| Command::Release { now, id, by, reply }).await
        })
    }

    fn retry(&self, now: Millis, id: &DeliveryId) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(async move {
            self.shared.told(now);
            self.ask(|reply| Command::Retry { now, id, reply }).await
        })
    }

    fn sweep(&self, now: Millis, retention: Arc<Retention>) -> Pending<'_, Swept> {
        Box::pin(self.ask(move |reply| Command::Sweep { now, retention, reply }))
    }

    fn erase_sender(&self, sender: &str) -> Pending<'_, u64> {
        let sender = self.shared.sealer.name(Kind::Sender, sender);
        Box::pin(async move {
            let mut erased = 0;
            loop {
                match self.ask(|reply| Command::Erase { sender, reply }).await? {
                    0 => return Ok(erased),
                    more => erased += more,
                }
            }
        })
    }

    fn erase_entry(&self, id: &DeliveryId) -> Pending<'_, ()> {
        let id = id.clone();
        Box::pin(self.ask(|reply| Command::EraseEntry { id, reply }))
    }

    fn writable(&self) -> Pending<'_, ()> {
        Box::pin(self.ask(|reply| Command::Probe { reply }))
    }
}
