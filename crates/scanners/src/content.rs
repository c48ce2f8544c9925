//! A file's bytes as a stream of chunks, read on a blocking thread so that neither a slow disk nor decryption holds up
//! the runtime. At most [`CHUNKS_AHEAD`] chunks are in memory.

use bytes::Bytes;
use futures_core::Stream;
use guarita_inspect::Content;
use std::{
    io::{self, Read},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_AHEAD: usize = 2;

/// What the stream knows once it ended.
#[derive(Default)]
pub(crate) struct ReadOutcome {
    /// Every announced byte was handed over, and no more came.
    whole: AtomicBool,
    fault: Mutex<Option<String>>,
}

impl ReadOutcome {
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// An I/O fault of ours, for the operator.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_fault(&self, what: String) {
        *self.fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(what);
    }
}

/// The content as `clamav_client` takes it. Ends early, without a fault, once `stop` is set.
pub(crate) struct Chunks {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    stop: Arc<AtomicBool>,
}

impl Chunks {
    /// `place` is held as long as the blocking thread reads: a stuck disk must not gather threads without bound.
    pub(crate) fn read(
        content: Arc<dyn Content>,
        stop: Arc<AtomicBool>,
        place: Option<Arc<OwnedSemaphorePermit>>,
    ) -> (Self, Arc<ReadOutcome>) {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let outcome = Arc::new(ReadOutcome::default());
        let told = Arc::clone(&outcome);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            match read_all(content.as_ref(), &sender) {
                Ok(whole) => told.whole.store(whole, Ordering::Release),
                Err(fault) => {
                    told.set_fault(fault.to_string());
                    let _ = sender.blocking_send(Err(fault));
                }
            }
        });
        (Chunks { chunks, stop }, outcome)
    }
}

/// `Ok(false)`: the other side stopped listening.
fn read_all(content: &dyn Content, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<bool> {
    let announced = content.bytes();
    let mut reader = content.open()?;
    let mut left = announced;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = vec![0; want];
        reader.read_exact(&mut chunk).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("the stored file is shorter than announced"),
            _ => error,
        })?;
        left -= want as u64;
        if sender.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(false);
        }
    }
    if reader.read(&mut [0])? != 0 {
        return Err(io::Error::other("the stored file is longer than announced"));
    }
    Ok(true)
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stop.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        self.chunks.poll_recv(context)
    }
}
