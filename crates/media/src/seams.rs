//! What the pipeline asks of this crate, as traits: a simulation puts a Graph and a disk in their place that misbehave
//! when it says so. The real ones only pass the calls on; it must not know who calls.

use crate::{
    BlobStore, FetchProblem, Fetched, FetchedInMemory, Fetcher, IndexError, MediaIndex, MediaKey, MediaState, Millis,
    Retention, ServedMedia, StoredMedia, Swept,
};
use guarita_message::{ContentHash, DeliveryId, MediaRef};
use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

pub type Pending<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Gets an attachment from Meta: [`Fetcher`] says what each call promises.
pub trait Fetch: Send + Sync {
    fn fetch<'a>(
        &'a self,
        media: &'a MediaRef,
        account: &'a str,
        token: &'a str,
        deadline: Instant,
    ) -> Pending<'a, Fetched, FetchProblem>;

    /// Telegram's way to a file; `token` is the bot's. Who knows no other way goes the common one.
    fn fetch_of_bot<'a>(
        &'a self,
        media: &'a MediaRef,
        token: &'a str,
        deadline: Instant,
    ) -> Pending<'a, Fetched, FetchProblem> {
        self.fetch(media, "", token, deadline)
    }

    fn fetch_in_memory<'a>(
        &'a self,
        media: &'a MediaRef,
        account: &'a str,
        token: &'a str,
        deadline: Instant,
    ) -> Pending<'a, FetchedInMemory, FetchProblem>;
}

/// Remembers media ids and what was decided about them: [`MediaIndex`] says what each call promises.
pub trait Index: Send + Sync {
    fn key(&self, id: &str) -> MediaKey;
    fn minted_id(&self, seed: &[&str]) -> String;
    fn note_pending(&self, now: Millis, keys: Vec<MediaKey>) -> Pending<'_, (), IndexError>;
    fn note_fetched(&self, now: Millis, key: MediaKey, content: StoredMedia) -> Pending<'_, (), IndexError>;
    fn lookup_all(&self, keys: Vec<MediaKey>) -> Pending<'_, Vec<Option<MediaState>>, IndexError>;
    fn decide(&self, now: Millis, decided: Vec<(MediaKey, MediaState)>) -> Pending<'_, (), IndexError>;
    /// `decide`, noting with which delivery; who has no use for the delivery need not.
    fn decide_with<'a>(
        &'a self,
        now: Millis,
        _delivery: &'a DeliveryId,
        decided: Vec<(MediaKey, MediaState)>,
    ) -> Pending<'a, (), IndexError> {
        self.decide(now, decided)
    }
    fn keep_until(&self, until: Millis, hashes: Vec<ContentHash>) -> Pending<'_, (), IndexError>;
    /// [`crate::sweep`] with this index.
    fn sweep<'a>(
        &'a self,
        blobs: &'a Arc<dyn BlobStore>,
        now: Millis,
        retention: Retention,
    ) -> Pending<'a, Swept, IndexError>;
}

impl Fetch for Fetcher {
    fn fetch<'a>(
        &'a self,
        media: &'a MediaRef,
        account: &'a str,
        token: &'a str,
        deadline: Instant,
    ) -> Pending<'a, Fetched, FetchProblem> {
        Box::pin(Fetcher::fetch(self, media, account, token, deadline))
    }

    fn fetch_of_bot<'a>(
        &'a self,
        media: &'a MediaRef,
        token: &'a str,
        deadline: Instant,
    ) -> Pending<'a, Fetched, FetchProblem> {
        Box::pin(Fetcher::fetch_of_bot(self, media, token, deadline))
    }

    fn fetch_in_memory<'a>(
        &'a self,
        media: &'a MediaRef,
        account: &'a str,
        token: &'a str,
        deadline: Instant,
    ) -> Pending<'a, FetchedInMemory, FetchProblem> {
        Box::pin(Fetcher::fetch_in_memory(self, media, account, token, deadline))
    }
}

impl Index for MediaIndex {
    fn key(&self, id: &str) -> MediaKey {
        MediaIndex::key(self, id)
    }

    fn minted_id(&self, seed: &[&str]) -> String {
        MediaIndex::minted_id(self, seed)
    }

    fn note_pending(&self, now: Millis, keys: Vec<MediaKey>) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::note_pending(self, now, keys))
    }

    fn note_fetched(&self, now: Millis, key: MediaKey, content: StoredMedia) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::note_fetched(self, now, key, content))
    }

    fn lookup_all(&self, keys: Vec<MediaKey>) -> Pending<'_, Vec<Option<MediaState>>, IndexError> {
        Box::pin(MediaIndex::lookup_all(self, keys))
    }

    fn decide(&self, now: Millis, decided: Vec<(MediaKey, MediaState)>) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::decide(self, now, decided))
    }

    fn decide_with<'a>(
        &'a self,
        now: Millis,
        delivery: &'a DeliveryId,
        decided: Vec<(MediaKey, MediaState)>,
    ) -> Pending<'a, (), IndexError> {
        Box::pin(MediaIndex::decide_with(self, now, delivery, decided))
    }

    fn keep_until(&self, until: Millis, hashes: Vec<ContentHash>) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::keep_until(self, until, hashes))
    }

    fn sweep<'a>(
        &'a self,
        blobs: &'a Arc<dyn BlobStore>,
        now: Millis,
        retention: Retention,
    ) -> Pending<'a, Swept, IndexError> {
        Box::pin(crate::sweep(self, blobs, now, retention))
    }
}

/// What a rescan asks of the index; the same promises.
pub trait Served: Send + Sync {
    fn key(&self, id: &str) -> MediaKey;
    fn walk(
        &self,
        after: Option<MediaKey>,
        most: usize,
    ) -> Pending<'_, (Vec<ServedMedia>, Option<MediaKey>), IndexError>;
    fn serving(&self, hash: ContentHash, most: usize) -> Pending<'_, Vec<ServedMedia>, IndexError>;
    fn decide(&self, now: Millis, decided: Vec<(MediaKey, MediaState)>) -> Pending<'_, (), IndexError>;
    fn keep_until(&self, until: Millis, hashes: Vec<ContentHash>) -> Pending<'_, (), IndexError>;
    fn remember(&self, name: &'static str, value: Vec<u8>) -> Pending<'_, (), IndexError>;
    fn recall(&self, name: &'static str) -> Pending<'_, Option<Vec<u8>>, IndexError>;
}

impl Served for MediaIndex {
    fn key(&self, id: &str) -> MediaKey {
        MediaIndex::key(self, id)
    }

    fn walk(
        &self,
        after: Option<MediaKey>,
        most: usize,
    ) -> Pending<'_, (Vec<ServedMedia>, Option<MediaKey>), IndexError> {
        Box::pin(MediaIndex::walk(self, after, most))
    }

    fn serving(&self, hash: ContentHash, most: usize) -> Pending<'_, Vec<ServedMedia>, IndexError> {
        Box::pin(MediaIndex::serving(self, hash, most))
    }

    fn decide(&self, now: Millis, decided: Vec<(MediaKey, MediaState)>) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::decide(self, now, decided))
    }

    fn keep_until(&self, until: Millis, hashes: Vec<ContentHash>) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::keep_until(self, until, hashes))
    }

    fn remember(&self, name: &'static str, value: Vec<u8>) -> Pending<'_, (), IndexError> {
        Box::pin(MediaIndex::remember(self, name, value))
    }

    fn recall(&self, name: &'static str) -> Pending<'_, Option<Vec<u8>>, IndexError> {
        Box::pin(MediaIndex::recall(self, name))
    }
}
