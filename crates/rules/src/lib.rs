//! Bytes of rule files in, checked and compiled rules out.
//!
//! Knows the form of rule files and nothing of running them: it never reads the disk (the binary embeds `rules/` and
//! reads the operator's folder) and never looks at a message. A mistake is shown with file, line and mend.
//!
//! A rule's common part (`id`, `category`, `severity`, `title`, `why`, `shadow`, `sample`) is read here for every kind;
//! what a rule looks for (`when`) is read by the module of its kind: `links`, `texts`, `files`.
//!
//! ```toml
//! [[rule]]
//! id = "links/ip-host"
//! category = "suspicious_link"
//! severity = "medium"
//! title = { en = "Link to a bare address", pt-BR = "Link para um endereço numérico", es = "Enlace a una dirección numérica" }
//! why = { en = "…", pt-BR = "…", es = "…" }
//! shadow = false                         # true: counted and shown, decides nothing
//! when = { … }                           # what the kind's inspector needs; see the kind's module
//! [[rule.sample]]
//! hit = "http://198.51.100.7/login"      # each rule brings at least one hit and one miss
//! [[rule.sample]]
//! miss = "https://example.com/"
//! ```

mod data;
mod error;
pub mod files;
pub mod links;
mod quick;
mod set;
pub mod texts;

pub use error::RuleError;
pub use guarita_message::Language;
pub use set::{Localised, Rule, RuleFile, RuleSet, Sample};
