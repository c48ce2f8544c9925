//! The built-in rules (embedded), the operator's folder laid over them, and what is made of both.

use crate::config::{ConfigError, Settings};
use guarita_file_worker::{Kit, Setup, walk::Limits};
use guarita_policy::{OnDeadline, Policy, PolicyError};
use guarita_rules::{Language, RuleError, RuleFile, RuleSet};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};
use std::path::Path;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../rules");

/// Largest rule or list file read from the operator's folder.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most files read from it.
const FILES_MAX: usize = 10_000;

/// Rules that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("{path}: {problem}\n  mend: let this user read it, or set another path in [policy]")]
    Read { path: String, problem: String },
}

/// Every rule file, the operator's after the built-in ones.
pub fn files(folder: Option<&Path>) -> Result<Vec<RuleFile>, LoadError> {
    let mut files = Vec::new();
    collect_built_in(&BUILT_IN, &mut files);
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
        collect_folder(folder, folder, &mut files)?;
    }
    Ok(files)
}

pub fn load(folder: Option<&Path>, language: Language) -> Result<RuleSet, LoadError> {
    Ok(RuleSet::compile(files(folder)?, language)?)
}

/// A name for exactly those rules that the file workers are given.
pub fn of_file_workers(files: &[RuleFile]) -> [u8; 32] {
    let mut files: Vec<&RuleFile> = files.iter().filter(|file| is_for_workers(file)).collect();
    // Stable: where a path stands twice, the later one counts.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Sha256::new();
    for file in files {
        for piece in [file.path.as_bytes(), &file.bytes] {
            hash.update((piece.len() as u64).to_be_bytes());
            hash.update(piece);
        }
    }
    hash.finalize().into()
}

/// What file workers are started with; `version` is that of the whole rule set.
pub fn workers_setup(files: &[RuleFile], language: Language, version: &str) -> Setup {
    let rules = files.iter().filter(|file| is_for_workers(file)).cloned().collect();
    Setup { limits: Limits::default(), language, version: version.to_owned(), rules }
}

/// Whether file workers would start with these: at a reload the operator hears it, and the workers that stand go on.
pub fn check_for_workers(setup: &Setup) -> Result<(), LoadError> {
    let rules = RuleSet::compile(setup.rules.clone(), setup.language)?;
    Ok(Kit::new(rules, setup.limits.clone()).map(drop)?)
}

fn is_for_workers(file: &RuleFile) -> bool {
    file.path.starts_with("files/") || file.path.starts_with("yara/")
}

/// The policy of the plain tables.
pub fn policy(settings: &Settings) -> Result<Policy, LoadError> {
    policy_of(&settings.policy.file, settings.policy.on_deadline)
}

/// The operator's lines, then the default ones.
pub fn policy_of(file: &Path, on_deadline: OnDeadline) -> Result<Policy, LoadError> {
    let default = BUILT_IN
        .get_file("policy/default.toml")
        .and_then(|file| file.contents_utf8())
        .expect("the default policy is embedded; a test reads it");
    let own = if file.as_os_str().is_empty() {
        None
    } else {
        let path = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| LoadError::Read { path: path.clone(), problem: error.to_string() })?;
        Some((path, text))
    };
    let mut files: Vec<(&str, &str)> = own.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push(("rules/policy/default.toml", default));
    Ok(Policy::read(&files, on_deadline)?)
}

impl From<LoadError> for ConfigError {
    fn from(error: LoadError) -> Self {
        let text = error.to_string();
        let (problem, mend) = text.split_once("\n  mend: ").unwrap_or((&text, ""));
        let (at, problem) = problem.split_once(": ").unwrap_or(("rules", problem));
        ConfigError { at: at.into(), problem: problem.into(), mend: mend.into() }
    }
}

fn collect_built_in(dir: &Dir<'_>, files: &mut Vec<RuleFile>) {
    for file in dir.files() {
        let path = file.path().to_string_lossy().replace('\\', "/");
        files.push(RuleFile { path, bytes: file.contents().to_vec() });
    }
    for inner in dir.dirs() {
        collect_built_in(inner, files);
    }
}

fn collect_folder(root: &Path, folder: &Path, files: &mut Vec<RuleFile>) -> Result<(), LoadError> {
    let fault = |path: &Path, problem: String| LoadError::Read { path: path.display().to_string(), problem };
    let entries = std::fs::read_dir(folder).map_err(|error| fault(folder, error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| fault(folder, error.to_string()))?;
        let path = entry.path();
        let kind = entry.metadata().map_err(|error| fault(&path, error.to_string()))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            collect_folder(root, &path, files)?;
        } else if kind.is_file() {
            if kind.len() > FILE_BYTES_MAX || files.len() >= FILES_MAX {
                return Err(fault(&path, format!("more than {FILE_BYTES_MAX} bytes, or more than {FILES_MAX} files")));
            }
            let bytes = std::fs::read(&path).map_err(|error| fault(&path, error.to_string()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(RuleFile { path: name, bytes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_rules_and_policy_compile_in_every_language() {
        for &language in Language::ALL {
            let rules = load(None, language).unwrap_or_else(|error| panic!("{error}"));
            assert!(!rules.all().is_empty());
        }
        let settings = Settings::layer(None, std::iter::empty()).unwrap();
        assert!(policy(&settings).unwrap().lines.len() > 10);
    }

    #[test]
    fn every_rule_speaks_three_languages() {
        for rule in load(None, Language::English).unwrap().all() {
            for (language, text) in [("pt-BR", &rule.title.pt), ("en", &rule.title.en), ("es", &rule.title.es)] {
                assert!(!text.is_empty(), "{}:{} rule {} has no {language} title", rule.file, rule.line, rule.id);
            }
        }
    }
}
