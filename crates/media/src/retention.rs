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

/// Removes contents last stored more than `retention` ago, but for those kept longer (`MediaIndex::keep_until`), and
/// forgets ids past `MediaIndex::REMEMBERED_MILLIS`. Call it every hour or so.
pub async fn sweep(
    index: &MediaIndex,
    blobs: &Arc<dyn BlobStore>,
    now: Millis,
    retention: Millis,
) -> Result<Swept, IndexError> {
    let older_than = UNIX_EPOCH + Duration::from_millis(now.saturating_sub(retention));
    let (asked, store) = (index.clone(), blobs.clone());
    let blobs = tokio::task::spawn_blocking(move || {
        // If the index cannot say, the content stays: a sweep comes again, a quarantined file does not.
        store.sweep(older_than, &mut |hash| asked.is_kept(now, hash).unwrap_or(true))
    })
    .await
    .map_err(|_| IndexError::Stopped)?
    .map_err(|e: io::Error| IndexError::Disk(e.to_string()))?;
    Ok(Swept { blobs, ids: index.forget(now).await? })
}
