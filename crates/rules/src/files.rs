//! What rule files of the kind `files` compile to: the lists that file inspectors compare with. Holds data only; the file
//! worker runs it. Rules of this kind need no `when`: the inspector's code is the test, and the rule gives it meaning.
//!
//! ```toml
//! [data.apps]                       # apps that pass for WhatsApp
//! packages = ["com.whatsapp"]       # package names, lower case
//! words = ["gbwhatsapp"]            # in a label or file name, letters and digits only, lower case
//! certificates = ["3987…"]          # SHA-256 of the certificates that WhatsApp signs with
//! ```

use crate::{Rule, RuleError, RuleFile, data::DataFile};
use serde::Deserialize;

/// Compiled rules and data of `rules/files/`.
#[derive(Debug, Default)]
pub struct FileRules {
    pub apps: Apps,
}

/// How an app passes for WhatsApp, and how WhatsApp proves itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apps {
    pub packages: Vec<String>,
    pub words: Vec<String>,
    pub certificates: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Data {
    apps: Apps,
}

impl FileRules {
    pub(crate) fn compile(_rules: &[&Rule], data: &[DataFile], _lists: &[RuleFile]) -> Result<Self, RuleError> {
        let mut compiled = Self::default();
        for file in data {
            let data: Data = file.table.clone().try_into().map_err(|error: toml::de::Error| {
                file.error("apps", error.message(), "known tables of the kind `files`: data.apps")
            })?;
            check(&file.path, &data.apps)?;
            compiled.apps.packages.extend(data.apps.packages);
            compiled.apps.words.extend(data.apps.words);
            compiled.apps.certificates.extend(data.apps.certificates);
        }
        Ok(compiled)
    }
}

/// A word that can never match would fail in silence.
fn check(path: &str, apps: &Apps) -> Result<(), RuleError> {
    let error =
        |word: &str, mend: &str| Err(RuleError::new(path, 0, format!("data.apps: `{word}` can never match"), mend));
    if let Some(word) = apps
        .words
        .iter()
        .find(|word| word.is_empty() || !word.chars().all(|c| c.is_alphanumeric() && !c.is_uppercase()))
    {
        return error(word, "write it in lower case, without spaces or signs");
    }
    if let Some(package) =
        apps.packages.iter().find(|package| package.is_empty() || **package != package.to_ascii_lowercase())
    {
        return error(package, "write package names in lower case");
    }
    let is_hash =
        |hash: &&String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if let Some(hash) = apps.certificates.iter().find(|hash| !is_hash(hash)) {
        return error(hash, "write the certificate's SHA-256 as 64 lower-case hexadecimal digits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<FileRules, RuleError> {
        let table: toml::Table = toml::from_str(text).expect("TOML");
        FileRules::compile(&[], &[DataFile::new("files/apps.toml", "", table)], &[])
    }

    #[test]
    fn lists_are_read_and_checked() {
        let rules = compile("[apps]\npackages = [\"com.whatsapp\"]\nwords = [\"gbwhatsapp\"]").expect("right");
        assert_eq!(rules.apps.packages, ["com.whatsapp"]);
        for wrong in [
            "[apps]\nwords = [\"GB WhatsApp\"]",
            "[apps]\ncertificates = [\"12\"]",
            "[apps]\npackages = [\"Com.X\"]",
            "[other]\nx = 1",
        ] {
            assert_eq!(compile(wrong).expect_err(wrong).file, "files/apps.toml");
        }
    }
}
