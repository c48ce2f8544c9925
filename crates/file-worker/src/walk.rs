//! The walk through one file: each thing found is typed, handed to every inspector that wants its kind, and what an
//! inspector unpacks is walked in turn, depth first, so that no more than one branch is ever in memory.
//!
//! [`Context`] is all an inspector can touch: it says facts, gaps, links and texts, hands over children, and holds every
//! limit. Meaning (category, severity, title) comes from rule files; policy is unknown here. No file, no socket, no clock
//! but the time budget.

mod budget;
mod context;

pub use budget::{Limits, Stop};
pub use context::Context;

use crate::kind::Kind;

/// Something to look at: the file itself, an archive's entry, an attachment, a decoded stream.
pub struct Thing<'a> {
    pub bytes: &'a [u8],
    /// Name as the sender or the archive gives it; only the last path segment matters for its extension. May be empty.
    pub name: &'a str,
    /// Declared media type, for the outermost file and for mail attachments; may be empty.
    pub declared_type: &'a str,
    pub kind: Kind,
    /// Kind of the thing that held it; `None` for the file itself.
    pub parent: Option<Kind>,
    /// 0 for the file itself.
    pub depth: usize,
}

impl Thing<'_> {
    /// The last extension of the name in lower case, without trailing dots and spaces; empty if there is none.
    pub fn extension(&self) -> String {
        crate::kind::extension_of(self.name)
    }
}

/// One check of one family of formats. Lists of these are all there is: see [`crate::archives::INSPECTORS`] and
/// [`crate::formats::INSPECTORS`].
pub struct Inspector {
    /// For time-keeping and tests: `zip`, `pdf`, `macros`.
    pub name: &'static str,
    /// Which things it wants to see.
    pub wants: fn(&Thing<'_>) -> bool,
    /// States facts, gaps, links and texts; hands over children. Must return soon after [`Context::stop`] says so.
    pub look: fn(&Thing<'_>, &mut Context<'_>),
}
