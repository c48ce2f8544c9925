//! The story of one delivery: claim, parse, fetch, look, decide, rewrite, deliver.
//!
//! Calls the pure crates and the edges in order and decides nothing itself. It names no concrete scanner and no concrete
//! store: those are handed in as traits. `process.rs` reads as the list in the architecture page; each step's output is
//! the next one's input.

mod config;
mod file_lists;
mod files;
mod in_work;
mod lookup;
mod observe;
mod outgoing;
mod process;
mod rescan;
mod run;
mod shares;
mod terms;
mod texts;

pub use config::{Ambient, Annotate, Brains, Config, MediaUrls, Parts, Reroute, RouteSettings, Routes};
pub use file_lists::note_listed_files;
pub use observe::{Nobody, Noted, Observer, Seen, Stage, VerdictChanged};
pub use process::{Hits, Judged, Pipeline};
pub use rescan::{Rescan, RescanConfig, RescanStatus, Stamp};
pub use run::run;
pub use texts::{FollowedLinks, follow_links, inspect_texts, keep_worst, links_to_follow};
