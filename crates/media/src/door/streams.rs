//! Bodies and connections with bounds on silence: a blob as a body, a body that may not stall, a socket whose reader may
//! not sleep. It must not know what flows.

use crate::{BlobReader, connect::BodyError};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinHandle,
    time::{Sleep, sleep},
};

/// Read from a blob at a time. A download holds one such piece, whatever its length.
const PIECE_BYTES: usize = 128 * 1024;

type Reader = Box<dyn BlobReader>;

/// A part of a blob as a body. Reads one piece when one is asked for, on a blocking thread that it does not keep.
pub(super) struct BlobBody {
    left: u64,
    turn: Turn,
}

enum Turn {
    /// Nothing being read. `None` once it failed.
    Idle(Option<Reader>),
    Reading(JoinHandle<(Reader, io::Result<Bytes>)>),
}

impl BlobBody {
    /// `length` bytes from where the reader stands.
    pub(super) fn new(reader: Reader, length: u64) -> Self {
        BlobBody { left: length, turn: Turn::Idle(Some(reader)) }
    }
}

impl Body for BlobBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.turn {
                Turn::Idle(reader) => {
                    let reader = reader.take();
                    let Some(reader) = reader.filter(|_| self.left > 0) else { return Poll::Ready(None) };
                    let most = self.left.min(PIECE_BYTES as u64) as usize;
                    self.turn = Turn::Reading(tokio::task::spawn_blocking(move || read_piece(reader, most)));
                }
                Turn::Reading(reading) => {
                    let piece = match ready!(Pin::new(reading).poll(cx)) {
                        Ok((reader, piece)) => {
                            self.turn = Turn::Idle(Some(reader));
                            piece
                        }
                        Err(e) => Err(io::Error::other(e)),
                    };
                    return Poll::Ready(Some(match piece {
                        Ok(bytes) => {
                            self.left -= bytes.len() as u64;
                            Ok(Frame::data(bytes))
                        }
                        Err(e) => {
                            tracing::error!(%e, "a stored file cannot be read to its end");
                            self.turn = Turn::Idle(None);
                            Err(e.into())
                        }
                    }));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn read_piece(mut reader: Reader, bytes: usize) -> (Reader, io::Result<Bytes>) {
    let mut piece = vec![0; bytes];
    let outcome = reader.read_exact(&mut piece).map(|()| piece.into());
    (reader, outcome)
}

/// A body that passes through: bounded in length, and in how long it may be silent while it is waited for.
pub(super) struct BoundedBody {
    inner: Incoming,
    idle: Duration,
    /// Set while the other side is waited for.
    silence: Option<Pin<Box<Sleep>>>,
    left: u64,
}

impl BoundedBody {
    pub(super) fn new(inner: Incoming, idle: Duration, bytes_max: u64) -> Self {
        BoundedBody { inner, idle, silence: None, left: bytes_max }
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence = None;
                if let Some(Ok(frame)) = &frame
                    && let Some(bytes) = frame.data_ref()
                {
                    match self.left.checked_sub(bytes.len() as u64) {
                        Some(left) => self.left = left,
                        None => return Poll::Ready(Some(Err("the body is longer than allowed".into()))),
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let idle = self.idle;
                let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(idle)));
                ready!(silence.as_mut().poll(cx));
                Poll::Ready(Some(Err("the body stalled".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection that ends when its reader takes nothing for too long.
pub(super) struct StallGuard {
    stream: TcpStream,
    idle: Duration,
    /// Set while a write waits for room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl StallGuard {
    pub(super) fn new(stream: TcpStream, idle: Duration) -> Self {
        StallGuard { stream, idle, stalled: None }
    }

    fn guard<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let idle = self.idle;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for StallGuard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for StallGuard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.guard(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.guard(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
