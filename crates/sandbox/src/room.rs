//! One worker process, seen from the gateway: started, asked one file at a time, ended.

use crate::SandboxError;
use crate::allocator::WORKER_MARK;
use crate::child::{SETUP_BYTES_MAX, join_setup};
use crate::config::Config;
use crate::frame::{self, FrameKind, encode_head};
use crate::lock::{LockConfig, Locks};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A worker's words on why it could not be set up.
const FAILED_BYTES_MAX: usize = 16 << 10;

pub struct Room {
    child: Child,
    socket: UnixStream,
    pub locks: Locks,
    pub files_done: u32,
}

/// How a worker failed a file. The worker is of no more use.
#[derive(Debug)]
pub enum Broken {
    TimedOut,
    /// In words for the operator.
    Crashed(String),
}

impl Room {
    /// Starts a worker and waits until it has locked itself in.
    pub fn start(program: &[std::ffi::OsString], config: &Config, setup: &[u8]) -> Result<Room, SandboxError> {
        let failed = |error: io::Error| SandboxError::Start(error.to_string());
        let (first, arguments) =
            program.split_first().ok_or_else(|| SandboxError::Start("no program is named".into()))?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let child = Command::new(first)
            .args(arguments)
            .env_clear()
            .env(WORKER_MARK, "1")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut room = Room { child, socket: ours, locks: Locks::default(), files_done: 0 };
        let deadline = Instant::now() + config.start_timeout();
        let locks = LockConfig { memory_bytes_max: config.memory_bytes_max, cpu_seconds: config.cpu_seconds() };
        let payload = join_setup(locks, setup).map_err(failed)?;
        if payload.len() > SETUP_BYTES_MAX {
            return Err(SandboxError::Setup(format!("rules of {} bytes are too many", payload.len())));
        }
        room.socket.set_write_timeout(Some(config.start_timeout())).map_err(failed)?;
        frame::write(&mut room.socket, FrameKind::Setup, &payload).map_err(|_| room.start_failure())?;
        match frame::read(&mut Until { socket: &room.socket, deadline }, FAILED_BYTES_MAX) {
            Ok((FrameKind::Ready, payload)) => {
                room.locks = serde_json::from_slice(&payload)
                    .map_err(|_| SandboxError::Start("its greeting makes no sense".into()))?;
                Ok(room)
            }
            Ok((FrameKind::Failed, why)) => Err(SandboxError::Setup(String::from_utf8_lossy(&why).into_owned())),
            Ok(_) => Err(SandboxError::Start("its greeting makes no sense".into())),
            Err(error) if is_timeout(&error) => Err(SandboxError::Start("it took too long".into())),
            Err(_) => Err(room.start_failure()),
        }
    }

    /// Has one file looked at.
    pub fn look(&mut self, config: &Config, job: &[u8], file: &File) -> Result<Vec<u8>, Broken> {
        let deadline = Instant::now() + config.job_timeout();
        self.files_done += 1;
        // Answers carry the number of their job: one sent early is not taken for another file's.
        let number = u64::from(self.files_done).to_le_bytes();
        self.send_job(config, &number, job, file).map_err(|error| self.broken(&error))?;
        let mut from = Until { socket: &self.socket, deadline };
        match frame::read(&mut from, config.answer_bytes_max.saturating_add(number.len())) {
            Ok((FrameKind::Answer, answer)) if answer.starts_with(&number) => Ok(answer[number.len()..].to_vec()),
            Ok(_) => Err(Broken::Crashed("its answer makes no sense".into())),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Whether anything waits to be read although nothing was asked: an answer too many.
    pub fn is_odd(&mut self) -> bool {
        let mut byte = [0];
        let quiet = self.socket.set_nonblocking(true).and_then(|()| self.socket.read(&mut byte));
        let back = self.socket.set_nonblocking(false);
        back.is_err() || !matches!(quiet, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn send_job(&mut self, config: &Config, number: &[u8], job: &[u8], file: &File) -> io::Result<()> {
        self.socket.set_write_timeout(Some(config.job_timeout()))?;
        let head = encode_head(FrameKind::Job, number.len() + job.len())?;
        let descriptors = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let sent = sendmsg(&self.socket, &[IoSlice::new(&head)], &mut control, SendFlags::NOSIGNAL)?;
        self.socket.write_all(&head[sent..])?;
        self.socket.write_all(number)?;
        self.socket.write_all(job)
    }

    fn broken(&mut self, error: &io::Error) -> Broken {
        if is_timeout(error) {
            return Broken::TimedOut;
        }
        if error.kind() == io::ErrorKind::InvalidData {
            return Broken::Crashed("its answer makes no sense".into());
        }
        Broken::Crashed(self.last_words())
    }

    fn start_failure(&mut self) -> SandboxError {
        SandboxError::Start(self.last_words())
    }

    /// How the process ended, in words.
    fn last_words(&mut self) -> String {
        // It closed the socket, so it is ending; a moment is enough, and one that lingers is killed.
        for _ in 0..20 {
            match self.child.try_wait() {
                Ok(Some(status)) => return words_of(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Err(_) => break,
            }
        }
        "it stopped answering".to_owned()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words_of(status: std::process::ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(libc::SIGSYS)) => "ended by the system-call filter".to_owned(),
        (_, Some(libc::SIGKILL)) => "killed, most likely for want of memory".to_owned(),
        (_, Some(libc::SIGXCPU)) => "used up its processor time".to_owned(),
        (_, Some(signal)) => format!("ended by signal {signal}"),
        (Some(101), _) => "its code panicked".to_owned(),
        (Some(code), _) => format!("ended with code {code}"),
        _ => "ended".to_owned(),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Reads from the socket until a deadline, whatever drips in before it.
struct Until<'a> {
    socket: &'a UnixStream,
    deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut socket = self.socket;
        socket.read(buffer)
    }
}
