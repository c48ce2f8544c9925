//! What an inspector is, and every check that needs only bytes and rules.
//!
//! No I/O, no policy; one inspector does not know another. Round 1 looks at files (implementations of [`FileInspector`]
//! live in `scanners`), round 2 at texts and links, those found in files included ([`inspect_text`], [`inspect_link`]).

mod file;
pub mod links;
pub mod texts;

pub use file::{Content, FileInspector, FileUnderScan, Pending};
pub use links::{FoundLink, LinkContext, LinkFollower, Lists, find_links, inspect_link};
pub use texts::{TextContext, inspect_text};
