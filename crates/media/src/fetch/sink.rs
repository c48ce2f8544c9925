//! Where downloaded bytes go: into the blob store, by a blocking thread of their own, or into bounded memory.

use super::{
    Content, Goal,
    problem::{Failure, Kind},
};
use crate::{BlobStore, StoredBlob};
use bytes::Bytes;
use guarita_message::ContentHash;
use sha2::{Digest, Sha256};
use std::{io, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};

/// Pieces between the network and the disk; a slow disk slows the download.
const LINE_MAX: usize = 4;
/// The memory bound is counted in shares of this size.
const SHARE_BYTES: u64 = 64 * 1024;

pub(super) fn shares(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(SHARE_BYTES)).unwrap_or(u32::MAX >> 4).min(u32::MAX >> 4)
}

pub(super) enum Sink {
    Store { line: mpsc::Sender<Piece>, writing: JoinHandle<io::Result<StoredBlob>>, digest: Sha256 },
    Memory { content: Vec<u8>, share: OwnedSemaphorePermit, digest: Sha256 },
}

/// An end must be said: a line that just closes is a download that was given up.
pub(super) enum Piece {
    Bytes(Bytes),
    End,
}

impl Sink {
    /// `bytes`: how many are to come, at most.
    pub(super) async fn open(
        goal: Goal,
        blobs: &Arc<dyn BlobStore>,
        memory: &Arc<Semaphore>,
        bytes: u64,
    ) -> Result<Self, Failure> {
        match goal {
            Goal::Stored => {
                let (line, pieces) = mpsc::channel(LINE_MAX);
                let blobs = blobs.clone();
                let writing = tokio::task::spawn_blocking(move || write(&*blobs, pieces));
                Ok(Sink::Store { line, writing, digest: Sha256::new() })
            }
            Goal::Memory => {
                let share = memory.clone().acquire_many_owned(shares(bytes)).await;
                let share = share.map_err(|_| Failure::new(Kind::Ours, "memory is no longer handed out"))?;
                let content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
                Ok(Sink::Memory { content, share, digest: Sha256::new() })
            }
        }
    }

    pub(super) async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Sink::Store { line, writing, digest } => {
                digest.update(&bytes);
                if line.send(Piece::Bytes(bytes)).await.is_err() {
                    return Err(match writing.await {
                        Ok(Err(e)) => disk(&e),
                        _ => Failure::new(Kind::Ours, "storing the file ended early"),
                    });
                }
            }
            Sink::Memory { content, digest, .. } => {
                digest.update(&bytes);
                content.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// Ends it if the digest is one that was announced; else nothing is kept.
    pub(super) async fn finish(self, announced: &[ContentHash]) -> Result<Content, Failure> {
        let (Sink::Store { digest, .. } | Sink::Memory { digest, .. }) = &self;
        let hash = ContentHash(digest.clone().finalize().into());
        if announced.iter().any(|a| *a != hash) {
            return Err(Failure::new(Kind::Digest, "the digest of the downloaded bytes is not the one Meta announced"));
        }
        match self {
            Sink::Store { line, writing, .. } => {
                // If the writer is gone, its own error says why.
                let _ = line.send(Piece::End).await;
                drop(line);
                match writing.await {
                    Ok(Ok(stored)) if stored.hash == hash => Ok(Content::Stored(stored)),
                    Ok(Ok(_)) => Err(Failure::new(Kind::Ours, "other bytes were stored than downloaded")),
                    Ok(Err(e)) => Err(disk(&e)),
                    Err(_) => Err(Failure::new(Kind::Ours, "storing the file ended early")),
                }
            }
            Sink::Memory { content, share, .. } => Ok(Content::Memory { hash, content: Bytes::from(content), share }),
        }
    }
}

fn write(blobs: &dyn BlobStore, mut pieces: mpsc::Receiver<Piece>) -> io::Result<StoredBlob> {
    let mut writer = blobs.writer()?;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => writer.write_all(&bytes)?,
            Some(Piece::End) => return writer.finish(),
            None => return Err(io::Error::other("the download was given up")),
        }
    }
}

fn disk(e: &io::Error) -> Failure {
    Failure::new(Kind::Ours, format!("our disk does not take the file ({}); see storage.path", e.kind()))
}
