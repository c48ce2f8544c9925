//! What rule files of the kind `texts` compile to. Holds data only; `inspect` or `file-worker` runs it.

use crate::{Rule, RuleError, RuleFile};

/// Compiled rules and data of `rules/texts/`.
#[derive(Debug, Default)]
pub struct TextRules {}

impl TextRules {
    pub(crate) fn compile(
        _rules: &[&Rule],
        _data: &[(String, toml::Table)],
        _lists: &[RuleFile],
    ) -> Result<Self, RuleError> {
        Ok(Self::default())
    }
}
