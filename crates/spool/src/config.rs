//! What an operator may set about the spool: the `[storage]` table. Knows no file and no environment; the binary fills it.

use serde::Deserialize;
use std::path::PathBuf;

/// The `[storage]` table. Every queue and cache of this crate has its bound here or as a named constant.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One folder for spool, quarantine, users and key; safe to back up. Default `./guarita-data`.
    pub path: PathBuf,
    /// The key that content is encrypted under. Default: `key` inside `path`.
    pub key_file: Option<PathBuf>,
    /// Days that the content of finished entries is kept. Default 7.
    pub retention_days: u64,
    /// Days that withheld content is kept. Default 30.
    pub quarantine_days: u64,
    /// Bytes the database may hold before new deliveries are refused (503). Default 64 GiB.
    pub bytes_max: u64,
    /// Appends that may wait for the writer before new ones are refused (503). Default 8192.
    pub appends_max: usize,
    /// Bytes of bodies that may wait for the writer before new ones are refused (503). Default 64 MiB.
    pub append_bytes_max: usize,
    /// Bytes of fresh bodies kept in memory until they are claimed. Default 24 MiB.
    pub cache_bytes_max: usize,
    /// Unfinished entries whose place in line is kept in memory (at most some 200 bytes each; one behind another of its
    /// conversation counts an eighth); younger ones wait on disk. Default 200 000.
    pub queue_max: usize,
    /// Read connections for the console and for bodies that are no longer cached. Default 4.
    pub readers_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: PathBuf::from("./guarita-data"),
            key_file: None,
            retention_days: 7,
            quarantine_days: 30,
            bytes_max: 64 << 30,
            appends_max: 8192,
            append_bytes_max: 64 << 20,
            cache_bytes_max: 24 << 20,
            queue_max: 200_000,
            readers_max: 4,
        }
    }
}

impl Config {
    /// For [`crate::Spool::sweep`], where no route says otherwise.
    pub fn keep(&self) -> crate::Keep {
        crate::Keep::days(self.retention_days, self.quarantine_days)
    }
}
