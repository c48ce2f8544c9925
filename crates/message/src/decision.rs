//! What policy decided for one message, and by which of its lines.

use crate::{Verdict, words};
use serde::{Deserialize, Serialize};

words! {
    /// What is done with a part or a message; ordered from mild to strict.
    Action { Pass = "pass", Annotate = "annotate", Defang = "defang", Redact = "redact", Withhold = "withhold" }
}

/// Replace a byte range of the decoded string at `pointer` (absolute in the delivery's body).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextEdit {
    pub pointer: String,
    /// Byte range in the decoded string.
    pub start: usize,
    pub end: usize,
    pub replacement: String,
    /// `defang` or `redact`.
    pub action: Action,
}

/// One readable reason: the policy line that spoke, what made it speak, what it asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Because {
    /// Name of the line in the policy file: `malicious-file`.
    pub line: String,
    /// The rule or gap that matched it: `clamav/Win.Test.EICAR_HDB-1`, `gap:encrypted`.
    pub cause: String,
    #[serde(rename = "where")]
    pub place: String,
    pub action: Action,
}

/// What is to happen to one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub verdict: Verdict,
    /// The strictest action taken on any part.
    pub action: Action,
    /// Non-overlapping, sorted by pointer and start.
    pub edits: Vec<TextEdit>,
    /// Places of the parts that are withheld (a file's place; a text's place withholds the text).
    pub withheld: Vec<String>,
    /// Places of files that may not be served although the message goes on (fetch failed, expired).
    pub not_served: Vec<String>,
    /// Keep the original in quarantine, with its own retention.
    pub quarantine: bool,
    /// A gap that a retry may close: look again until the scan deadline, then decide with `deadline_passed`.
    pub hold: bool,
    pub because: Vec<Because>,
}
