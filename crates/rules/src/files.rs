//! What rule files of the kind `files` compile to. Holds data only; `inspect` or `file-worker` runs it.

use crate::{Rule, RuleError, RuleFile};

/// Compiled rules and data of `rules/files/`.
#[derive(Debug, Default)]
pub struct FileRules {}

impl FileRules {
    pub(crate) fn compile(
        _rules: &[&Rule],
        _data: &[(String, toml::Table)],
        _lists: &[RuleFile],
    ) -> Result<Self, RuleError> {
        Ok(Self::default())
    }
}
