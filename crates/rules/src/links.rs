//! What rule files of the kind `links` compile to. Holds data only; `inspect` or `file-worker` runs it.

use crate::{Rule, RuleError, RuleFile};

/// Compiled rules and data of `rules/links/`.
#[derive(Debug, Default)]
pub struct LinkRules {}

impl LinkRules {
    pub(crate) fn compile(
        _rules: &[&Rule],
        _data: &[(String, toml::Table)],
        _lists: &[RuleFile],
    ) -> Result<Self, RuleError> {
        Ok(Self::default())
    }
}
