//! Inspectors of single formats: what is dangerous inside a document, a page, an app, a picture.
//!
//! Each file here looks at one family and states facts; what a fact means stands in `rules/files/*.toml`.

use crate::walk::Inspector;
use guarita_rules::{RuleError, RuleSet};

/// Every format inspector, in the order they run.
pub const INSPECTORS: &[Inspector] = &[];

/// What format inspectors compile once from the rules, before the worker locks itself in (YARA, name lists).
pub struct Compiled {}

impl Compiled {
    pub fn new(_rules: &RuleSet) -> Result<Compiled, RuleError> {
        Ok(Compiled {})
    }
}
