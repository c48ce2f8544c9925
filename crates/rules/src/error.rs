//! A mistake in a rule file, as a person wants to read it.

use std::fmt;

/// Whoever wrote the file is at fault; trying again cannot help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub file: String,
    /// 1-based; 0 where the whole file is meant.
    pub line: usize,
    pub problem: String,
    /// What to write instead.
    pub mend: String,
}

impl RuleError {
    pub fn new(file: &str, line: usize, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        RuleError { file: file.to_owned(), line, problem: problem.into(), mend: mend.into() }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.mend.is_empty() {
            write!(f, "\n  mend: {}", self.mend)?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}
