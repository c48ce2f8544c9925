//! One run of clamd as a child process: started, listened to, ended.
//!
//! It is started from a thread that lives as long as the child does, because the kernel's "kill me when my parent
//! dies" (`setpriv --pdeathsig`) means the thread that started it. Where setpriv is missing, a killed gateway leaves the
//! child behind and the next start ends it ([`super::home::end_strays`]).

use super::home::Identity;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// Longest line of its log that is looked at.
const LINE_BYTES_MAX: u64 = 1024;
/// Longest text of an exit status or log line that is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// What its log told so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Databases activated after a RELOAD.
    pub reloads: u64,
    pub failed_reloads: u64,
    /// Its last complaint.
    pub complaint: Option<String>,
}

/// A running clamd. It is killed when this is dropped.
pub(crate) struct RunningClamd {
    child: Arc<Mutex<Child>>,
    pub(crate) pid: u32,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) ended: Option<oneshot::Receiver<String>>,
}

impl RunningClamd {
    /// Starts it. Blocks for as long as a fork takes.
    pub(crate) fn start(program: &Path, settings: &Path, identity: &Identity) -> io::Result<Self> {
        let (mut command, log) = command(program, settings, identity)?;
        let (started_tx, started) = std::sync::mpsc::channel();
        let (told_tx, told) = watch::channel(Told::default());
        let (ended_tx, ended) = oneshot::channel();
        thread::Builder::new().name("clamd-parent".into()).spawn(move || {
            let child = match command.spawn() {
                Ok(child) => Arc::new(Mutex::new(child)),
                Err(error) => return drop(started_tx.send(Err(error))),
            };
            // Our own ends of the pipe must close, or its end would never be seen.
            drop(command);
            let _ = started_tx.send(Ok(Arc::clone(&child)));
            listen(log, &told_tx);
            let status = wait(&child);
            let _ = ended_tx.send(how_it_ended(status, &told_tx.borrow()));
        })?;
        let child = started.recv().map_err(|_| io::Error::other("the thread that starts clamd ended"))??;
        let pid = lock(&child).id();
        Ok(RunningClamd { child, pid, told, ended: Some(ended) })
    }

    /// Asks it to end; [`Self::kill`] if it does not within `wait`.
    pub(crate) async fn end(mut self, wait: Duration) {
        self.signal_to_end();
        if let Some(ended) = self.ended.take()
            && tokio::time::timeout(wait, ended).await.is_err()
        {
            self.kill();
        }
    }

    fn signal_to_end(&self) {
        let mut child = lock(&self.child);
        if matches!(child.try_wait(), Ok(None))
            && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
        {
            // It is not reaped while the lock is held, so the id is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn kill(&self) {
        let _ = lock(&self.child).kill();
    }
}

impl Drop for RunningClamd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(program: &Path, settings: &Path, identity: &Identity) -> io::Result<(Command, io::PipeReader)> {
    let (log, log_writer) = io::pipe()?;
    let mut command = if dies_with_us() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .arg("--foreground")
        .arg("--config-file")
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(log_writer.try_clone()?)
        .stderr(log_writer)
        .current_dir("/")
        // A Ctrl-C on the terminal is for us; we end it in our own time.
        .process_group(0);
    if let Identity::Lower { uid, gid, .. } = identity {
        command.uid(*uid).gid(*gid);
    }
    Ok((command, log))
}

/// Whether this machine's setpriv knows `--pdeathsig` (util-linux does, busybox does not).
fn dies_with_us() -> bool {
    let mut probe = Command::new("setpriv");
    probe.args(["--pdeathsig", "KILL", "--", "true"]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Reads its log to the end. Nothing of it is shown but complaints: it names signatures, and later perhaps more.
fn listen(log: io::PipeReader, told: &watch::Sender<Told>) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut log).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.contains("Activating the newly loaded database") {
            told.send_modify(|told| told.reloads += 1);
        } else if text.contains("Database reload failed") {
            told.send_modify(|told| told.failed_reloads += 1);
        } else if text.contains("ERROR") || text.starts_with("LibClamAV Error") {
            tracing::debug!(what = %shown(text), "clamd complains");
            told.send_modify(|told| told.complaint = Some(shown(text)));
        }
    }
}

fn wait(child: &Mutex<Child>) -> io::Result<ExitStatus> {
    // Its log closed, so it ends now; not `wait`, which would hold the lock against a kill.
    let began = Instant::now();
    loop {
        if let Some(status) = lock(child).try_wait()? {
            return Ok(status);
        }
        thread::sleep(if began.elapsed() < Duration::from_secs(1) {
            Duration::from_millis(5)
        } else {
            Duration::from_millis(100)
        });
    }
}

fn how_it_ended(status: io::Result<ExitStatus>, told: &Told) -> String {
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    match &told.complaint {
        Some(complaint) => format!("{status}: {complaint}"),
        None => status,
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
