//! What became of each media id: a small SQLite file of its own (`media.sqlite`).
//!
//! Rows outlive every id at Meta (7 to 30 days) even where contents are kept for a shorter time: an id that was withheld
//! and then forgotten would pass through the door to Graph, unscanned. Ids are kept as keyed hashes, names and types are
//! sealed. One thread writes; what many callers ask for at once shares a transaction and so an fsync. This module must
//! not know why something was decided.

mod rows;

use crate::{Millis, keys::MediaKeys};
use guarita_message::{ContentHash, DeliveryId};
use rows::{Rows, Write};
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};
use tokio::sync::oneshot;

/// A media id as the index knows it: a keyed hash. Graph's ids are numbers and ours are lower case, so letter case,
/// white space around and zeros in front make no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaKey(pub(crate) [u8; 16]);

impl MediaKey {
    /// For keeping a place in the index; tells nothing of the id.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).ok()?.try_into().ok().map(MediaKey)
    }
}

/// What may be done with a media id. Content that was fetched is remembered in every state, so that a look after a crash
/// or a release fetches nothing twice.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaState {
    /// Seen, not decided; not served.
    Pending(Option<StoredMedia>),
    /// Scanned and allowed: the door serves it.
    Served(StoredMedia),
    /// Decided against; the door answers as if it did not exist.
    Withheld(Option<StoredMedia>),
    /// Not fetched (failed, expired) or erased; the message went on without it.
    NotServed(Option<StoredMedia>),
}

/// A stored content and how to serve it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMedia {
    pub hash: ContentHash,
    pub bytes: u64,
    /// The type the door tells: the true one where it is known.
    pub mime_type: String,
    pub name: Option<String>,
}

/// An id that is served now.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedMedia {
    pub key: MediaKey,
    pub content: StoredMedia,
    /// The delivery it was last decided with; `None` for what was decided before that was noted.
    pub origin: Option<String>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// Our disk is at fault; a retry can help once there is room.
    #[error("the media index has no room: free space under storage.path")]
    Full,
    /// Our disk is at fault.
    #[error("the media index cannot use its disk: {0}")]
    Disk(String),
    /// A retry cannot help.
    #[error("the media index does not open with this key: {0}; restore the key file that belongs to this folder")]
    Damaged(String),
    #[error("the media index has stopped")]
    Stopped,
}

impl MediaState {
    pub fn content(&self) -> Option<&StoredMedia> {
        match self {
            MediaState::Served(content) => Some(content),
            MediaState::Pending(content) | MediaState::Withheld(content) | MediaState::NotServed(content) => {
                content.as_ref()
            }
        }
    }
}

/// Writes wait in a line this long; then callers wait.
const LINE_MAX: usize = 4096;
/// Writes that share one transaction.
const BATCH_MAX: usize = 512;

/// The index. Clones share it; it stops with the last clone.
#[derive(Clone)]
pub struct MediaIndex {
    keys: MediaKeys,
    reader: Arc<Mutex<Rows>>,
    writes: SyncSender<Job>,
}

struct Job {
    write: Write,
    done: oneshot::Sender<Result<u64, IndexError>>,
}

impl MediaIndex {
    /// How long an id is remembered after it was last seen, at least: longer than Meta serves any.
    pub const REMEMBERED_MILLIS: Millis = 35 * 24 * 3600 * 1000;

    /// Opens or makes the file. Blocks; one process a file.
    pub fn open(path: &Path, keys: &MediaKeys) -> Result<Self, IndexError> {
        let writer = Rows::open(path, keys)?;
        let reader = Rows::open(path, keys)?;
        let (writes, line) = sync_channel(LINE_MAX);
        std::thread::Builder::new()
            .name("media-index".into())
            .spawn(move || write_in_batches(writer, &line))
            .map_err(|e| IndexError::Disk(e.to_string()))?;
        Ok(MediaIndex { keys: keys.clone(), reader: Arc::new(Mutex::new(reader)), writes })
    }

    /// The key of a media id as the webhook named it.
    pub fn key(&self, id: &str) -> MediaKey {
        self.keys.media_key(id)
    }

    /// An opaque id of our own for an attachment that has none (a bare url). The same seed gives the same id, so judging
    /// a delivery again after a crash changes nothing. The seed: account, message id, place.
    pub fn minted_id(&self, seed: &[&str]) -> String {
        self.keys.minted_id(seed)
    }

    /// Remembers ids before anything is decided; ids that are known keep their state. Durable on return.
    pub async fn note_pending(&self, now: Millis, keys: Vec<MediaKey>) -> Result<(), IndexError> {
        self.write(Write::NotePending { now, keys }).await.map(|_| ())
    }

    /// Remembers what was fetched for an id that is still pending (or unknown), so that looking again fetches nothing.
    pub async fn note_fetched(&self, now: Millis, key: MediaKey, content: StoredMedia) -> Result<(), IndexError> {
        self.write(Write::NoteFetched { now, key, content }).await.map(|_| ())
    }

    /// Sets states, whatever they were. Durable on return.
    pub async fn decide(&self, now: Millis, decided: Vec<(MediaKey, MediaState)>) -> Result<(), IndexError> {
        self.write(Write::Decide { now, decided, origin: None }).await.map(|_| ())
    }

    /// The same, noting with which delivery, so that a rescan finds its way back.
    pub async fn decide_with(
        &self,
        now: Millis,
        delivery: &DeliveryId,
        decided: Vec<(MediaKey, MediaState)>,
    ) -> Result<(), IndexError> {
        self.write(Write::Decide { now, decided, origin: Some(delivery.0.clone()) }).await.map(|_| ())
    }

    /// Walks over all ids in the order of their keys: looks at `most` behind `after`, gives the served ones and where to
    /// go on (`None`: that was the end). Bounded work a call.
    pub async fn walk(
        &self,
        after: Option<MediaKey>,
        most: usize,
    ) -> Result<(Vec<ServedMedia>, Option<MediaKey>), IndexError> {
        self.read(move |rows| rows.walk(after.as_ref(), most)).await
    }

    /// Ids that serve this content now, at most `most`.
    pub async fn serving(&self, hash: ContentHash, most: usize) -> Result<Vec<ServedMedia>, IndexError> {
        self.read(move |rows| rows.serving(&hash, most)).await
    }

    /// Keeps a small value under a name of the caller's (how far a rescan got). Durable on return.
    pub async fn remember(&self, name: &'static str, value: Vec<u8>) -> Result<(), IndexError> {
        self.write(Write::Remember { name, value }).await.map(|_| ())
    }

    pub async fn recall(&self, name: &'static str) -> Result<Option<Vec<u8>>, IndexError> {
        self.read(move |rows| rows.recall(name)).await
    }

    /// Withholds every id that serves this content (a rescan found something). Returns how many. Durable on return.
    pub async fn revoke(&self, now: Millis, hash: ContentHash) -> Result<u64, IndexError> {
        self.write(Write::Revoke { now, hash }).await
    }

    /// Serves an id again whose content is known (a person released it). `false`: no content is known, or no such id.
    pub async fn release(&self, now: Millis, key: MediaKey) -> Result<bool, IndexError> {
        self.write(Write::Release { now, key }).await.map(|changed| changed > 0)
    }

    /// Keeps these contents until then, whatever the retention of the rest; said several times, the latest counts. It is
    /// for quarantine, and for all contents where routes have a retention of their own.
    pub async fn keep_until(&self, until: Millis, hashes: Vec<ContentHash>) -> Result<(), IndexError> {
        self.write(Write::KeepUntil { until, hashes }).await.map(|_| ())
    }

    /// Erases what is known of these ids' contents; the ids stay known and are not served. Returns the contents no
    /// other id refers to: their blobs may go.
    pub async fn erase(&self, now: Millis, keys: Vec<MediaKey>) -> Result<Vec<ContentHash>, IndexError> {
        let looked_up = self.lookup_all(keys.clone()).await?;
        let mut hashes: Vec<_> = looked_up.iter().flatten().filter_map(|s| s.content().map(|c| c.hash)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        self.decide(now, keys.into_iter().map(|key| (key, MediaState::NotServed(None))).collect()).await?;
        self.read(move |rows| {
            let mut orphans = Vec::new();
            for hash in hashes {
                if !rows.is_referred_to(&hash)? {
                    orphans.push(hash);
                }
            }
            Ok(orphans)
        })
        .await
    }

    /// What is known of an id; `None`: never seen (or long forgotten).
    pub async fn lookup(&self, key: MediaKey) -> Result<Option<MediaState>, IndexError> {
        self.read(move |rows| rows.state(&key)).await
    }

    /// The same for several, in order.
    pub async fn lookup_all(&self, keys: Vec<MediaKey>) -> Result<Vec<Option<MediaState>>, IndexError> {
        self.read(move |rows| keys.iter().map(|key| rows.state(key)).collect()).await
    }

    /// Forgets ids not seen for [`Self::REMEMBERED_MILLIS`] and quarantines that ended. Bounded work a call.
    pub async fn forget(&self, now: Millis) -> Result<u64, IndexError> {
        self.write(Write::Forget { now, before: now.saturating_sub(Self::REMEMBERED_MILLIS) }).await
    }

    /// What [`Self::keep_until`] said of this content; `None`: nothing, or it is over and forgotten. Blocks.
    pub fn kept_until(&self, hash: &ContentHash) -> Result<Option<Millis>, IndexError> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).kept_until(hash)
    }

    async fn write(&self, write: Write) -> Result<u64, IndexError> {
        let (done, outcome) = oneshot::channel();
        let mut job = Job { write, done };
        loop {
            match self.writes.try_send(job) {
                Ok(()) => break,
                Err(std::sync::mpsc::TrySendError::Full(back)) => {
                    job = back;
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return Err(IndexError::Stopped),
            }
        }
        outcome.await.map_err(|_| IndexError::Stopped)?
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Rows) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let reader = self.reader.clone();
        tokio::task::spawn_blocking(move || look(&reader.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|_| IndexError::Stopped)?
    }
}

impl std::fmt::Debug for MediaIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaIndex")
    }
}

impl MediaKeys {
    /// [`MediaIndex::key`], for whoever stands in for the index.
    pub fn media_key(&self, id: &str) -> MediaKey {
        let mut id = id.trim().to_lowercase();
        if id.bytes().all(|b| b.is_ascii_digit()) {
            id = id.trim_start_matches('0').to_owned();
        }
        let mac = crate::keys::mac(&self.ids, &[b"id ", id.as_bytes()]);
        MediaKey(mac[..16].try_into().expect("16 of 32 bytes"))
    }

    /// [`MediaIndex::minted_id`], for whoever stands in for the index.
    pub fn minted_id(&self, seed: &[&str]) -> String {
        let mut framed = Vec::new();
        for piece in seed {
            framed.extend_from_slice(&(piece.len() as u64).to_be_bytes());
            framed.extend_from_slice(piece.as_bytes());
        }
        format!("g{}", hex::encode(&crate::keys::mac(&self.ids, &[b"minted ", &framed])[..16]))
    }
}

/// The writer's thread: takes what waits, writes it in one transaction, answers all. Ends with the last `MediaIndex`.
fn write_in_batches(mut rows: Rows, line: &Receiver<Job>) {
    while let Ok(first) = line.recv() {
        let mut batch = vec![first];
        batch.extend(line.try_iter().take(BATCH_MAX - 1));
        let (writes, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.write, job.done)).unzip();
        match rows.apply(&writes) {
            Ok(counts) => {
                for (done, count) in waiting.into_iter().zip(counts) {
                    // A caller that no longer waits loses nothing.
                    let _ = done.send(Ok(count));
                }
            }
            Err(e) => waiting.into_iter().for_each(|done| {
                let _ = done.send(Err(e.clone()));
            }),
        }
    }
}
