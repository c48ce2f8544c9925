//! Attachments: fetches them from Meta, keeps them encrypted by hash, serves the scanned ones as Graph would.
//!
//! The parts, in the order an attachment meets them:
//! - `index` remembers each media id ever seen and what was decided about it ([`MediaIndex`]);
//! - `fetch` looks an id up at Graph and downloads it, bounded and only from named hosts ([`Fetcher`]);
//! - `blobs` keeps the bytes, encrypted, named by their SHA-256 ([`BlobStore`], [`DiskBlobs`]);
//! - `door` answers the backend's look-ups and downloads, and passes every other call on to Graph ([`Door`]).
//!
//! This crate never scans and never decides: whether an id may be served is told to it (`MediaIndex::decide`), and an id
//! that was noted but not decided is not served. It knows Graph's media calls and nothing else of Meta's formats.

mod addresses;
mod blobs;
mod call;
mod config;
mod connect;
mod door;
mod fetch;
mod index;
mod keys;
mod probe;
mod retention;
mod seams;

pub use addresses::HostPattern;
pub use blobs::{BlobReader, BlobStore, BlobWriter, DiskBlobs, StoredBlob, SweptBlobs};
pub use call::{Answer, Caller};
pub use config::{DoorConfig, FetchConfig, GraphConfig, TelegramConfig};
pub use connect::BuildError;
/// For the fuzz targets alone.
#[doc(hidden)]
pub use door::fuzzing;
pub use door::{Door, Looker};
pub use fetch::{FetchProblem, Fetched, FetchedInMemory, Fetcher};
pub use guarita_message::is_public;
pub use index::{IndexError, MediaIndex, MediaKey, MediaState, ServedMedia, StoredMedia};
pub use keys::MediaKeys;
pub use probe::probe;
pub use retention::{Retention, Swept, sweep};
pub use seams::{Fetch, Index, Served};

/// Milliseconds since 1970. The index and the stores read no clock.
pub type Millis = u64;
