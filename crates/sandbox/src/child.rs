//! The worker's side: take the setup, make ready, lock, and then, for each file, map it, look, answer.
//!
//! Knows nothing of what is looked for: the binary hands in how to start and what comes back looks at bytes.

use crate::frame::{FrameKind, HEAD_BYTES, decode_head, encode_head};
use crate::lock::{LockConfig, lock};
use crate::sys::{Mapped, close_all_but_input, exit_now};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rules and lists together; the gateway is trusted, the bound catches a mistake.
pub const SETUP_BYTES_MAX: usize = 64 << 20;
/// Name, declared type and passwords of one file.
pub const JOB_BYTES_MAX: usize = 256 << 10;

/// Exit codes, for the gateway's log.
const EXIT_NOT_A_WORKER: i32 = 64;
const EXIT_SETUP_FAILED: i32 = 65;
const EXIT_PANICKED: i32 = 101;

/// Looks at one file: what is said of it, and its bytes; returns the answer.
pub type Handler = Box<dyn FnMut(&[u8], &[u8]) -> Vec<u8>>;

/// Runs a worker on standard input, which the gateway made a socket. `start` gets the setup's bytes and makes ready
/// everything that needs an open file or memory beyond the limits; it runs before the locks. Never returns.
pub fn serve(start: impl FnOnce(&[u8]) -> Result<Handler, String>) -> ! {
    let input = std::io::stdin();
    let socket = Socket(input.as_fd());
    if rustix::net::sockopt::socket_type(socket.0).is_err() {
        exit_now(EXIT_NOT_A_WORKER);
    }
    close_all_but_input();
    // A panic's words may quote content, and there is nobody to read them.
    std::panic::set_hook(Box::new(|_| {}));
    let code = match run(&socket, start) {
        Ok(()) => 0,
        Err(code) => code,
    };
    exit_now(code)
}

fn run(socket: &Socket<'_>, start: impl FnOnce(&[u8]) -> Result<Handler, String>) -> Result<(), i32> {
    let (config, setup) = match socket.receive(SETUP_BYTES_MAX) {
        Ok(Some((FrameKind::Setup, payload, _))) => split_setup(payload).ok_or(EXIT_SETUP_FAILED)?,
        Ok(None) => return Ok(()),
        _ => return Err(EXIT_SETUP_FAILED),
    };
    let started = catch_unwind(AssertUnwindSafe(|| start(&setup))).unwrap_or_else(|_| Err("it panicked".to_owned()));
    let mut handler = match started {
        Ok(handler) => handler,
        Err(why) => {
            let _ = socket.send(FrameKind::Failed, &[why.as_bytes()]);
            return Err(EXIT_SETUP_FAILED);
        }
    };
    drop(setup);
    // The first hash map seeds itself from the system; done here, it is done before the locks.
    let _ = std::collections::HashMap::<u8, u8>::new();
    let locks = lock(config);
    let ready = serde_json::to_vec(&locks).map_err(|_| EXIT_SETUP_FAILED)?;
    socket.send(FrameKind::Ready, &[&ready]).map_err(|_| EXIT_SETUP_FAILED)?;
    loop {
        let (job, file) = match socket.receive(JOB_BYTES_MAX) {
            Ok(Some((FrameKind::Job, job, Some(file)))) => (job, file),
            Ok(None) => return Ok(()),
            _ => return Err(EXIT_SETUP_FAILED),
        };
        let length = rustix::fs::fstat(&file).ok().and_then(|stat| usize::try_from(stat.st_size).ok());
        let (number, job) = job.split_first_chunk::<8>().ok_or(EXIT_SETUP_FAILED)?;
        let mapped = length.and_then(|length| Mapped::of_sealed(file.as_fd(), length).ok()).ok_or(EXIT_SETUP_FAILED)?;
        drop(file);
        let answer = catch_unwind(AssertUnwindSafe(|| handler(job, mapped.bytes()))).map_err(|_| EXIT_PANICKED)?;
        drop(mapped);
        socket.send(FrameKind::Answer, &[number, answer.as_slice()]).map_err(|_| EXIT_SETUP_FAILED)?;
    }
}

/// The setup frame: four bytes of length, the locks' numbers as JSON, then what the handler is started with.
pub(crate) fn join_setup(config: LockConfig, setup: &[u8]) -> io::Result<Vec<u8>> {
    let config = serde_json::to_vec(&config)?;
    let length = u32::try_from(config.len()).map_err(io::Error::other)?;
    let mut payload = length.to_le_bytes().to_vec();
    payload.extend_from_slice(&config);
    payload.extend_from_slice(setup);
    Ok(payload)
}

fn split_setup(payload: Vec<u8>) -> Option<(LockConfig, Vec<u8>)> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let (config, setup) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((serde_json::from_slice(config).ok()?, setup.to_vec()))
}

/// The socket to the gateway, through the two calls the filter leaves: `recvmsg` and `sendto`.
struct Socket<'a>(BorrowedFd<'a>);

type Received = Option<(FrameKind, Vec<u8>, Option<OwnedFd>)>;

impl Socket<'_> {
    /// The next frame, with a descriptor if one rides along; `None` when the gateway has gone.
    fn receive(&self, bytes_max: usize) -> io::Result<Received> {
        let mut head = [0; HEAD_BYTES];
        let Some(mut file) = self.fill(&mut head, true)? else { return Ok(None) };
        let (kind, length) = decode_head(head, bytes_max)?;
        let mut payload = vec![0; length];
        match self.fill(&mut payload, false)? {
            Some(late) => file = file.or(late),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(Some((kind, payload, file)))
    }

    /// Fills `buffer`; `None` where the peer has gone (before the first byte, if `may_end`).
    fn fill(&self, buffer: &mut [u8], may_end: bool) -> io::Result<Option<Option<OwnedFd>>> {
        let mut file = None;
        let mut at = 0;
        while at < buffer.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut buffer[at..])];
            let count = match recvmsg(self.0, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => received.bytes,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    file = descriptors.last().or(file);
                }
            }
            if count == 0 {
                return if at == 0 && may_end { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            at += count;
        }
        Ok(Some(file))
    }

    fn send(&self, kind: FrameKind, payload: &[&[u8]]) -> io::Result<()> {
        self.send_all(&encode_head(kind, payload.iter().map(|part| part.len()).sum())?)?;
        payload.iter().try_for_each(|part| self.send_all(part))
    }

    fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(self.0, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
