//! The connection that `clamav_client` speaks through, with what it leaves to us: a bound on the answer, the answer of a
//! clamd that stops listening half-way, and few system calls.

use crate::{config::Address, reply::REPLY_BYTES_MAX};
use clamav_client::tokio::TransportProtocol;
use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Room for a chunk, its length and the command: a small file is one write.
const WRITE_BUFFER_BYTES: usize = crate::content::CHUNK_BYTES + 1024;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// One connection to clamd.
pub(crate) struct Wire {
    socket: Box<dyn Socket>,
    answer_bytes: usize,
    stopped: Arc<AtomicBool>,
}

/// An open connection, in the form `clamav_client` takes; good for one command.
pub(crate) struct Line {
    wire: Mutex<Option<BufWriter<Wire>>>,
    stopped: Arc<AtomicBool>,
}

impl Line {
    pub(crate) async fn open(address: &Address, wait: Duration) -> io::Result<Self> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        let socket: Box<dyn Socket> = match address {
            Address::Unix(path) => Box::new(timeout(wait, UnixStream::connect(path)).await.map_err(|_| late())??),
            Address::Tcp(host, port) => {
                let socket = timeout(wait, TcpStream::connect((host.as_str(), *port))).await.map_err(|_| late())??;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        };
        let stopped = Arc::new(AtomicBool::new(false));
        let wire = Wire { socket, answer_bytes: 0, stopped: Arc::clone(&stopped) };
        let wire = BufWriter::with_capacity(WRITE_BUFFER_BYTES, wire);
        Ok(Line { wire: Mutex::new(Some(wire)), stopped })
    }

    /// Set once clamd took no more bytes: what it answers then is not about the whole file.
    pub(crate) fn stopped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }
}

impl TransportProtocol for Line {
    type Stream = BufWriter<Wire>;

    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> {
        let wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner).take();
        let once: Ready<io::Result<Self::Stream>> =
            ready(wire.ok_or_else(|| io::Error::other("a line carries one command")));
        once
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match ready!(Pin::new(&mut self.socket).poll_read(cx, buf)) {
            // It closed with bytes of ours unread. What it answered before counts, unless it is OK: see `stopped`.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && self.answer_bytes > 0 => {
                self.stopped.store(true, Ordering::Release);
            }
            other => other?,
        }
        self.answer_bytes += buf.filled().len() - before;
        if self.answer_bytes > REPLY_BYTES_MAX {
            // An error must come with nothing read: tokio's `read_to_end` asserts it.
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long for clamd")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    /// clamd answers "size limit exceeded" and closes without reading on; then the answer matters, not the broken pipe.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.stopped.load(Ordering::Acquire) {
            return Poll::Ready(Ok(buf.len()));
        }
        match ready!(Pin::new(&mut self.socket).poll_write(cx, buf)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.stopped.store(true, Ordering::Release);
                Poll::Ready(Ok(buf.len()))
            }
            other => Poll::Ready(other),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
