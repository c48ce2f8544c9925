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
    task::{Context, Poll, ready},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_AHEAD: usize = 2;

/// The last one says so: a small file then needs one hand-over between threads, not two.
struct Chunk {
    bytes: Bytes,
    last: bool,
}

/// What the stream knows once it ended.
#[derive(Default)]
pub(crate) struct ReadOutcome {
    /// Every announced byte was read, there were no more, and all were handed over.
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
    chunks: mpsc::Receiver<io::Result<Chunk>>,
    ended: bool,
    stop: Arc<AtomicBool>,
    outcome: Arc<ReadOutcome>,
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
            if let Err(fault) = read_all(content.as_ref(), &sender) {
                told.set_fault(fault.to_string());
                let _ = sender.blocking_send(Err(fault));
            }
        });
        (Chunks { chunks, ended: false, stop, outcome: Arc::clone(&outcome) }, outcome)
    }
}

fn read_all(content: &dyn Content, sender: &mpsc::Sender<io::Result<Chunk>>) -> io::Result<()> {
    let mut reader = content.open()?;
    let mut left = content.bytes();
    loop {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut bytes = vec![0; want];
        reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("the stored file is shorter than announced"),
            _ => error,
        })?;
        left -= want as u64;
        let last = left == 0;
        if last && reader.read(&mut [0])? != 0 {
            return Err(io::Error::other("the stored file is longer than announced"));
        }
        let nobody_listens = sender.blocking_send(Ok(Chunk { bytes: bytes.into(), last })).is_err();
        if last || nobody_listens {
            return Ok(());
        }
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended || self.stop.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        let Some(chunk) = ready!(self.chunks.poll_recv(context)) else { return Poll::Ready(None) };
        Poll::Ready(Some(chunk.map(|chunk| {
            if chunk.last {
                self.ended = true;
                self.outcome.whole.store(true, Ordering::Release);
            }
            chunk.bytes
        })))
    }
}
