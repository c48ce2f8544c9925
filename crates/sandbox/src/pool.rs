//! Warm workers behind one door. Each has a thread of its own that starts it, feeds it and replaces it: a worker dies with
//! the thread that started it (the kernel's parent-death signal counts threads), so that thread must live as long.

use crate::config::Config;
use crate::lock::Locks;
use crate::room::{Broken, Room};
use crate::sealed::{Filled, fill};
use crate::{SandboxError, child::JOB_BYTES_MAX};
use std::ffi::OsString;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// After a worker could not be started, none is tried for so long; files get [`Outcome::Unavailable`] meanwhile.
const START_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Opens a file's bytes; called on a worker's own thread, which may block.
pub type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send>;

/// How the first worker's start went.
pub type Standing = oneshot::Receiver<Result<(), SandboxError>>;

/// What came of one file.
#[derive(Debug)]
pub enum Outcome {
    /// The worker's answer, of bounded length and otherwise not to be trusted.
    Answer(Vec<u8>),
    /// It took longer than `job_seconds`; the worker was killed. The file's fault; the same again would take as long.
    TimedOut,
    /// The worker ended, in words for the operator. The file's or the worker's fault.
    Crashed(String),
    /// More than `input_bytes_max`.
    TooLarge,
    /// The file could not be read: an I/O fault of ours; trying again may help.
    InputFailed(io::Error),
    /// No worker could be started; trying again may help.
    Unavailable(String),
}

/// For `doctor` and `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub workers: usize,
    pub workers_ready: usize,
    /// What the last started worker holds.
    pub locks: Locks,
    /// Why the last start failed; empty when it did not.
    pub problem: String,
    pub files: u64,
    pub replaced_after_trouble: u64,
}

/// Handle to the workers; cheap to clone. They end when the last handle is gone.
#[derive(Clone)]
pub struct Pool {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

struct Job {
    header: Vec<u8>,
    open: Open,
    reply: oneshot::Sender<Outcome>,
}

struct Shared {
    config: Config,
    program: Vec<OsString>,
    /// What workers are started with, and its number: a worker of an older setup is replaced before its next file.
    setup: Mutex<(u64, Arc<Vec<u8>>)>,
    status: Mutex<Status>,
}

impl Pool {
    /// Starts the workers and waits until the first one stands and its locks were looked at; with `required`, any missing
    /// lock is an error. `program` (with arguments) must call [`crate::child::serve`].
    pub async fn start(config: Config, program: Vec<OsString>, setup: Vec<u8>) -> Result<Pool, SandboxError> {
        let (pool, standing) = Self::open(config, program, setup)?;
        standing.await.map_err(|_| SandboxError::Start("its thread ended".into()))??;
        Ok(pool)
    }

    /// The same without waiting: until a worker stands, files get [`Outcome::Unavailable`]. The receiver tells how the
    /// first start went.
    pub fn open(config: Config, program: Vec<OsString>, setup: Vec<u8>) -> Result<(Pool, Standing), SandboxError> {
        let count = config.worker_count();
        let (jobs, waiting) = mpsc::channel(config.queue_max.max(1));
        let status = Mutex::new(Status { workers: count, ..Status::default() });
        let shared = Arc::new(Shared { config, program, setup: Mutex::new((0, Arc::new(setup))), status });
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let (first, standing) = oneshot::channel();
        let mut first = Some(first);
        for number in 0..count {
            let worker =
                Slot { shared: shared.clone(), waiting: waiting.clone(), room: None, generation: 0, failed_at: None };
            let first = first.take();
            std::thread::Builder::new()
                .name(format!("file-worker-{number}"))
                .spawn(move || worker.run(first))
                .map_err(|error| SandboxError::Start(error.to_string()))?;
        }
        Ok((Pool { jobs, shared }, standing))
    }

    /// Has one file looked at. `header` is what the handler gets beside the bytes. Waits for a free worker.
    pub async fn look(&self, header: Vec<u8>, open: Open) -> Outcome {
        if header.len() > JOB_BYTES_MAX - 8 {
            return Outcome::Crashed("the job's header is too long".into());
        }
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(Job { header, open, reply }).await.is_err() {
            return Outcome::Unavailable("the pool has ended".into());
        }
        answer.await.unwrap_or_else(|_| Outcome::Unavailable("the worker's thread ended".into()))
    }

    /// New rules: every worker is replaced before its next file.
    pub fn replace_setup(&self, setup: Vec<u8>) {
        let mut current = hold(&self.shared.setup);
        *current = (current.0 + 1, Arc::new(setup));
    }

    pub fn status(&self) -> Status {
        hold(&self.shared.status).clone()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// One worker's thread.
struct Slot {
    shared: Arc<Shared>,
    waiting: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>,
    room: Option<Room>,
    generation: u64,
    failed_at: Option<Instant>,
}

impl Slot {
    fn run(mut self, first: Option<oneshot::Sender<Result<(), SandboxError>>>) {
        let started = self.start();
        if let Some(first) = first {
            let _ = first.send(started);
        }
        while let Some(job) = self.next_job() {
            let outcome = self.look(job.header, job.open);
            // Nobody waits for it any more: the message was dropped. The worker is fine.
            let _ = job.reply.send(outcome);
            self.replace_if_worn();
        }
        self.vacate();
    }

    fn next_job(&self) -> Option<Job> {
        self.waiting.blocking_lock().blocking_recv()
    }

    fn look(&mut self, header: Vec<u8>, open: Open) -> Outcome {
        let config = self.shared.config.clone();
        let filled = match open().and_then(|reader| fill(reader, config.input_bytes_max)) {
            Ok(Filled::Sealed(file)) => file,
            Ok(Filled::TooLarge) => return Outcome::TooLarge,
            Err(error) => return Outcome::InputFailed(error),
        };
        // A worker that speaks unasked is not trusted with another file.
        if self.generation != hold(&self.shared.setup).0 || self.room.as_mut().is_some_and(Room::is_odd) {
            self.vacate();
        }
        if self.room.is_none()
            && let Err(error) = self.start_unless_just_failed()
        {
            return Outcome::Unavailable(error);
        }
        let Some(room) = self.room.as_mut() else { return Outcome::Unavailable("no worker stands".into()) };
        hold(&self.shared.status).files += 1;
        let result = room.look(&config, &header, &filled);
        let odd = result.is_err() || room.is_odd();
        if odd {
            self.vacate();
            hold(&self.shared.status).replaced_after_trouble += 1;
        }
        match result {
            Ok(answer) if !odd => Outcome::Answer(answer),
            Ok(_) => Outcome::Crashed("it said more than it was asked".into()),
            Err(Broken::TimedOut) => Outcome::TimedOut,
            Err(Broken::Crashed(how)) => Outcome::Crashed(how),
        }
    }

    /// Between files, so that no file waits for it.
    fn replace_if_worn(&mut self) {
        if self.room.as_ref().is_some_and(|room| room.files_done >= self.shared.config.files_per_worker.max(1)) {
            self.vacate();
        }
        if self.room.is_none() {
            let _ = self.start_unless_just_failed();
        }
    }

    fn start_unless_just_failed(&mut self) -> Result<(), String> {
        if self.failed_at.is_some_and(|at| at.elapsed() < START_AGAIN_AFTER) {
            return Err(hold(&self.shared.status).problem.clone());
        }
        self.start().map_err(|error| error.to_string())
    }

    fn start(&mut self) -> Result<(), SandboxError> {
        let (generation, setup) = hold(&self.shared.setup).clone();
        let started = Room::start(&self.shared.program, &self.shared.config, &setup).and_then(|room| {
            if self.shared.config.required && !room.locks.is_complete() {
                return Err(SandboxError::LocksMissing(room.locks.missing_text()));
            }
            Ok(room)
        });
        let mut status = hold(&self.shared.status);
        match started {
            Ok(room) => {
                if room.locks != status.locks && !room.locks.is_complete() {
                    tracing::warn!(
                        missing = room.locks.missing_text(),
                        "the file worker runs without some of its locks"
                    );
                }
                status.locks = room.locks.clone();
                status.workers_ready += 1;
                status.problem.clear();
                self.room = Some(room);
                self.generation = generation;
                self.failed_at = None;
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "a file worker could not be started");
                status.problem = error.to_string();
                self.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    fn vacate(&mut self) {
        if self.room.take().is_some() {
            let mut status = hold(&self.shared.status);
            status.workers_ready = status.workers_ready.saturating_sub(1);
        }
    }
}

/// What these mutexes guard is whole at every moment; a panic elsewhere does not spoil it.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
