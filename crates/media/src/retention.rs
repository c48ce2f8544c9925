//! What time takes away: contents past their retention, ids nobody asks for any more. It reads no clock.

use crate::{BlobStore, IndexError, MediaIndex, Millis, SweptBlobs};
use std::{
    io,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub blobs: SweptBlobs,
    pub ids: u64,
}

/// How long contents are kept, counted from when they were stored last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those that `MediaIndex::keep_until` says nothing of.
    pub common: Millis,
    /// The shortest that it may say; not above `common`. Nothing younger is removed.
    pub shortest: Millis,
}

impl Retention {
    /// The same for all.
    pub fn common(common: Millis) -> Self {
        Retention { common, shortest: common }
    }
}

/// Removes contents past their retention, and forgets ids past `MediaIndex::REMEMBERED_MILLIS`. Call it every hour or so.
pub async fn sweep(
    index: &MediaIndex,
    blobs: &Arc<dyn BlobStore>,
    now: Millis,
    retention: Retention,
) -> Result<Swept, IndexError> {
    let before = |millis: Millis| UNIX_EPOCH + Duration::from_millis(now.saturating_sub(millis));
    let (common, shortest) = (before(retention.common), before(retention.shortest.min(retention.common)));
    let (asked, store) = (index.clone(), blobs.clone());
    let blobs = tokio::task::spawn_blocking(move || {
        store.sweep(shortest, &mut |hash, stored| match asked.kept_until(hash) {
            Ok(Some(until)) => until > now,
            Ok(None) => stored >= common,
            // If the index cannot say, the content stays: a sweep comes again, a quarantined file does not.
            Err(_) => true,
        })
    })
    .await
    .map_err(|_| IndexError::Stopped)?
    .map_err(|e: io::Error| IndexError::Disk(e.to_string()))?;
    Ok(Swept { blobs, ids: index.forget(now).await? })
}
