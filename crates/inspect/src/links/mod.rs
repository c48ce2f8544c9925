//! Links: finding them in texts as people send them, and judging each one by rules, lists and a learned score.
//!
//! Pure: no network, no clock, no files. Redirects are read where a link carries them; asking a server where a short
//! link leads is the work of `scanners`. Texts around a link are judged elsewhere.

mod brands;
mod checks;
mod elsewhere;
mod features;
mod feeds;
mod find;
mod fold;
mod judge;
mod lists;
mod parse;
mod samples;
mod score;
mod shape;
mod words;

pub use elsewhere::{Elsewhere, Followed, LinkFollower, leads_elsewhere};
pub use features::FEATURES;
pub use feeds::{Feed, FeedEntries, parse_feed};
pub use find::{FoundLink, LINKS_MAX, URL_BYTES_MAX, find_links};
pub use judge::{LinkContext, inspect_link, learning_input};
pub use lists::{ListBuilder, ListEntry, ListHit, ListKind, ListSide, Lists};
pub use samples::{SampleFailure, run_samples};
