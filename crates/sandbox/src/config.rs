//! Bounds of the pool. `[sandbox]` in the configuration.

use serde::Deserialize;
use std::time::Duration;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Refuse to start where a lock is missing.
    pub required: bool,
    /// Workers kept warm; 0: as many as there are cores.
    pub workers: usize,
    /// A worker is replaced after so many files. 1: a fresh one for each, some 50 ms more a file, and a worker that one
    /// file has taken over cannot lie about the next.
    pub files_per_worker: u32,
    /// Files that wait for a worker; more wait in the pipeline.
    pub queue_max: usize,
    /// Wall time for one file; after it the worker is killed.
    pub job_seconds: u64,
    /// Wall time for a worker's start (compiling rules).
    pub start_seconds: u64,
    /// Address space of a worker.
    pub memory_bytes_max: u64,
    /// Largest file that is looked at.
    pub input_bytes_max: u64,
    /// Largest answer of a worker.
    pub answer_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            required: false,
            workers: 0,
            files_per_worker: 500,
            queue_max: 64,
            job_seconds: 15,
            start_seconds: 30,
            memory_bytes_max: 768 << 20,
            input_bytes_max: 128 << 20,
            answer_bytes_max: 4 << 20,
        }
    }
}

impl Config {
    pub(crate) fn job_timeout(&self) -> Duration {
        Duration::from_secs(self.job_seconds.max(1))
    }

    pub(crate) fn start_timeout(&self) -> Duration {
        Duration::from_secs(self.start_seconds.max(1))
    }

    /// Processor time over a worker's whole life: a backstop behind the wall time of each file.
    pub(crate) fn cpu_seconds(&self) -> u64 {
        self.job_seconds.saturating_mul(u64::from(self.files_per_worker)).saturating_add(self.start_seconds).max(60)
    }

    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            count => count,
        }
        .clamp(1, WORKERS_MAX)
    }
}

/// More workers than this are a mistake in the configuration.
const WORKERS_MAX: usize = 256;
