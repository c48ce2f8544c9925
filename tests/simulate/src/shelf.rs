//! The media index and the blobs: what is on disk beside the spool, with its faults.

use crate::world::{Fault, Who, World};
use guarita_media::{
    BlobReader, BlobStore, BlobWriter, Index, IndexError, MediaKey, MediaKeys, MediaState, Millis, Retention,
    StoredMedia, Swept, SweptBlobs,
};
use guarita_message::ContentHash;
use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Read},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, IndexError>> + Send + 'a>>;

/// Survives every crash; a new life gets a clone.
#[derive(Clone)]
pub struct Shelf {
    pub world: World,
    keys: MediaKeys,
    states: Arc<Mutex<BTreeMap<MediaKey, MediaState>>>,
    blobs: Arc<Mutex<BTreeMap<ContentHash, Vec<u8>>>>,
}

impl Shelf {
    pub fn new(world: &World) -> Self {
        Shelf { world: world.clone(), keys: MediaKeys::derive(&[7; 32]), states: Arc::default(), blobs: Arc::default() }
    }

    pub fn state(&self, id: &str) -> Option<MediaState> {
        self.states().get(&self.keys.media_key(id)).cloned()
    }

    pub fn put(&self, hash: ContentHash, bytes: Vec<u8>) {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, bytes);
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<MediaKey, MediaState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<MediaKey, MediaState>) -> T) -> Result<T, IndexError> {
        let fault = self.world.before(Who::Index).await;
        if fault == Some(Fault::Fails) {
            return Err(IndexError::Disk("simulated".into()));
        }
        let result = act(&mut self.states());
        self.world.after(fault).await;
        if fault == Some(Fault::FailsAfterwards) { Err(IndexError::Full) } else { Ok(result) }
    }
}

impl Index for Shelf {
    fn key(&self, id: &str) -> MediaKey {
        self.keys.media_key(id)
    }

    fn minted_id(&self, seed: &[&str]) -> String {
        self.keys.minted_id(seed)
    }

    fn note_pending(&self, _: Millis, keys: Vec<MediaKey>) -> Pending<'_, ()> {
        Box::pin(self.with(move |states| {
            for key in keys {
                states.entry(key).or_insert(MediaState::Pending(None));
            }
        }))
    }

    fn note_fetched(&self, _: Millis, key: MediaKey, content: StoredMedia) -> Pending<'_, ()> {
        Box::pin(self.with(move |states| {
            let state = states.entry(key).or_insert(MediaState::Pending(None));
            if let MediaState::Pending(kept) = state {
                *kept = Some(content);
            }
        }))
    }

    fn lookup_all(&self, keys: Vec<MediaKey>) -> Pending<'_, Vec<Option<MediaState>>> {
        Box::pin(self.with(move |states| keys.iter().map(|key| states.get(key).cloned()).collect()))
    }

    fn decide(&self, _: Millis, decided: Vec<(MediaKey, MediaState)>) -> Pending<'_, ()> {
        Box::pin(self.with(move |states| states.extend(decided)))
    }

    fn keep_until(&self, _: Millis, _: Vec<ContentHash>) -> Pending<'_, ()> {
        Box::pin(self.with(|_| ()))
    }

    fn sweep<'a>(&'a self, _: &'a Arc<dyn BlobStore>, _: Millis, _: Retention) -> Pending<'a, Swept> {
        Box::pin(self.with(|_| Swept::default()))
    }
}

impl BlobStore for Shelf {
    fn writer(&self) -> io::Result<Box<dyn BlobWriter>> {
        Err(io::Error::other("the simulated Graph puts contents on the shelf itself"))
    }

    fn open(&self, hash: &ContentHash) -> io::Result<Box<dyn BlobReader>> {
        if self.world.fails_at_once(Who::Blob) {
            return Err(io::Error::other("simulated"));
        }
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = blobs.get(hash).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Reader(io::Cursor::new(bytes))))
    }

    fn bytes(&self, hash: &ContentHash) -> io::Result<Option<u64>> {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(blobs.get(hash).map(|bytes| bytes.len() as u64))
    }

    fn delete(&self, hash: &ContentHash) -> io::Result<bool> {
        Ok(self.blobs.lock().unwrap_or_else(PoisonError::into_inner).remove(hash).is_some())
    }

    fn sweep(&self, _: SystemTime, _: &mut dyn FnMut(&ContentHash, SystemTime) -> bool) -> io::Result<SweptBlobs> {
        Ok(SweptBlobs::default())
    }
}

struct Reader(io::Cursor<Vec<u8>>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BlobReader for Reader {
    fn length(&self) -> u64 {
        self.0.get_ref().len() as u64
    }

    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.0.set_position(offset);
        Ok(())
    }
}
