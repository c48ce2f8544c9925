//! Decides what happens to a message: findings and gaps in, actions out, by the first line of a table that fits.
//!
//! Pure: no JSON of Meta's, no I/O, no clock, and no knowledge of which inspector spoke. The lines are data
//! (`rules/policy/default.toml`, the operator's file before it); what they say is all there is to it.

mod decide;
mod defang;
mod exceptions;
mod notice;
mod table;

pub use decide::{Circumstances, decide, explain};
pub use defang::{defang, redact};
pub use exceptions::{Exceptions, except};
pub use notice::notice;
pub use table::{Does, Line, OnDeadline, Policy, PolicyError};
