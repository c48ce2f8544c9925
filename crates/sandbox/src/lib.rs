//! Runs hostile-file jobs in a locked child process: no network, no file, no new process, bounded memory and time.
//!
//! The gateway's side is [`Pool`]: warm workers, one file at a time each, replaced after a number of files or any oddity. A
//! time-out, a crash, a kill by the kernel or nonsense in an answer is an [`Outcome`], never an error that stops the next
//! file. The child's side is [`child::serve`]: take the setup, lock, then read the first byte.
//!
//! What is looked for in a file is no business of this crate: jobs and answers are bytes to it. This is the only crate
//! with `unsafe`: in [`sys`], in [`allocator`], and one call in `lock`.
//!
//! ```text
//!  gateway                                       child (same program, hidden subcommand, no environment but a mark)
//!  socketpair ──────────────────────────────────> standard input
//!  Setup  {locks wanted, rules}   ──────────────> compile rules, then lock: see `lock`
//!                                 <──────────────  Ready {locks in force}
//!  Job    {name …} + sealed memory file ────────> map it read-only, look
//!                                 <──────────────  Answer {report}, at most `answer_bytes_max`
//! ```

mod allocator;
pub mod child;
mod config;
pub mod frame;
pub mod lock;
mod pool;
mod room;
mod sealed;
mod sys;

pub use allocator::Allocator;
pub use config::Config;
pub use lock::{Lock, Locks, MissingLock};
pub use pool::{Open, Outcome, Pool, Standing, Status};

/// What keeps the pool from starting.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The operator's or the machine's fault; trying again does not help.
    #[error(
        "sandbox.required is set, but this kernel or container lacks: {0}. Allow what is missing, or set sandbox.required = false"
    )]
    LocksMissing(String),
    /// Rules that do not compile, as the worker said it.
    #[error("the file worker could not be set up: {0}")]
    Setup(String),
    /// The program could not be started or did not answer; trying again may help.
    #[error("the file worker did not start: {0}")]
    Start(String),
}
