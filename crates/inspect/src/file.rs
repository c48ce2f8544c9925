//! What it takes to look at a file. The gateway never parses a file's contents: implementations hand them to clamd or to
//! the locked worker.

use guarita_message::{ContentHash, Inspection};
use std::{future::Future, io, pin::Pin, sync::Arc};

/// A boxed future, so that inspectors can stand in one visible list.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A file's bytes, wherever they are kept. Reading blocks: call it from a blocking thread.
pub trait Content: Send + Sync {
    fn bytes(&self) -> u64;
    /// A reader from the first byte; each call starts anew. An error is an I/O fault of ours, never "empty".
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>>;
}

/// One file to look at.
#[derive(Clone)]
pub struct FileUnderScan {
    /// Place in the message (`/document`); goes into findings, gaps and the report as it is.
    pub place: String,
    pub name: String,
    pub declared_type: String,
    pub hash: ContentHash,
    pub content: Arc<dyn Content>,
    /// Words of the same message and of the conversation's last ones that may be the archive's password.
    pub passwords: Vec<String>,
}

/// Looks at a file and reports; never fails, never decides. What it could not look at is a gap in the inspection.
pub trait FileInspector: Send + Sync {
    /// `clamav`, `files`; names gaps and metrics.
    fn name(&self) -> &'static str;
    /// What a cached inspection depends on (signature version, rules version); `None`: not known now, do not cache.
    fn version(&self) -> Option<String>;
    fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> Pending<'a, Inspection>;
}
