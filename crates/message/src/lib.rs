//! The nouns everyone shares: what a delivery holds, what was seen in it, what was decided.
//!
//! This crate knows no I/O, no wire format of Meta's and no policy; it imports nobody of ours. A `Message` is made by
//! `webhook`, an `Inspection` by `inspect`, `file-worker` and `scanners`, a `Decision` by `policy`; `pipeline` carries
//! them from one to the next. `docs/lexicon.md` holds one line for each word.

mod address;
mod decision;
mod finding;
mod ids;
mod inspection;
mod language;
mod part;
mod preview;
mod route;

pub use address::is_public;
pub use decision::{Action, Because, Decision, TextEdit};
pub use finding::{Category, Finding, Severity, Subject};
pub use ids::{ContentHash, ConversationKey, DedupeKey, DeliveryId};
pub use inspection::{FileClass, FileReport, FoundPart, FoundParts, Gap, GapReason, Inspection, Verdict};
pub use language::Language;
pub use part::{Channel, Direction, Lane, MediaRef, Message, Part, PartBody, TextRole};
pub use preview::{Member, Preview, Shown};
pub use route::{BACKEND, UNMATCHED, base_route, held_because, held_route};

/// Implements `as_str`, `Display`, `FromStr` and serde for an enum whose members are words of the lexicon.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every member, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word used in configuration, rules, metrics, payloads and the console.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("`{word}` is not one of: {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}
pub(crate) use words;
