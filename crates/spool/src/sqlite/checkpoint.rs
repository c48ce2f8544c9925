//! Moves what stands in the write-ahead log into the database, on a thread of its own: megabytes are copied and fsynced
//! without the writer, and whoever waits for its 200, waiting for it.
//!
//! The log can begin anew only once all of it was moved and nothing was added meanwhile. So the thread makes a few rounds,
//! each with less left to move than the one before, and leaves the last few pages to the writer, between two transactions.

use super::schema;
use rusqlite::{Connection, Result};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

/// Pages in the log at which they begin to be moved (16 MiB).
const BEGIN_PAGES: usize = 2048;
/// Pages that may be left to the writer: some milliseconds.
const LEFT_PAGES: usize = 192;
/// Rounds before the rest is left to the writer, however much it is.
const ROUNDS_MAX: usize = 5;

pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log when the thread was last woken: where somebody reads an old state for long, the log cannot begin
    /// anew, and the thread is not woken for each transaction.
    woken_at: usize,
}

#[derive(Default)]
struct Shared {
    /// Pages in the log after the writer's last transaction.
    pages: AtomicUsize,
    /// The rest is the writer's.
    ready: AtomicBool,
}

impl Checkpointer {
    /// Watches the log of `writer`.
    pub fn start(writer: &mut Connection, path: &Path) -> Result<Checkpointer> {
        let shared = Arc::new(Shared::default());
        let counted = shared.clone();
        writer.wal_hook(Some(move |_: &mut _, pages: std::ffi::c_int| {
            counted.pages.store(usize::try_from(pages).unwrap_or(0), Ordering::Release);
            Ok(())
        }))?;
        let conn = schema::open_writer(path)?;
        let (wake, woken) = sync_channel(1);
        let theirs = shared.clone();
        let thread =
            std::thread::Builder::new().name("spool-move".to_owned()).spawn(move || run(&conn, &theirs, &woken));
        let thread = thread.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(Checkpointer { shared, wake: Some(wake), thread: Some(thread), woken_at: 0 })
    }

    /// To be called by the writer between transactions.
    pub fn turn(&mut self, writer: &Connection) {
        let pages = self.shared.pages.load(Ordering::Acquire);
        if pages < self.woken_at {
            self.woken_at = 0;
        }
        if self.shared.ready.swap(false, Ordering::AcqRel) {
            if let Err(error) = round(writer) {
                tracing::warn!(%error, "the spool's log could not be moved into the database; tried again");
            }
        } else if pages >= self.woken_at + BEGIN_PAGES
            && self.wake.as_ref().is_some_and(|wake| wake.try_send(()).is_ok())
        {
            self.woken_at = pages;
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that moves the spool's log ended in a panic");
        }
    }
}

fn run(conn: &Connection, shared: &Shared, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        for _ in 0..ROUNDS_MAX {
            match round(conn) {
                Ok(moved) if shared.pages.load(Ordering::Acquire).saturating_sub(moved) <= LEFT_PAGES => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the spool's log could not be moved into the database; tried again");
                    break;
                }
            }
        }
        shared.ready.store(true, Ordering::Release);
    }
}

/// Moves what can be moved now; returns how many pages of the log are in the database.
fn round(conn: &Connection) -> Result<usize> {
    conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |row| row.get::<_, i64>(2))
        .map(|moved| usize::try_from(moved).unwrap_or(0))
}
