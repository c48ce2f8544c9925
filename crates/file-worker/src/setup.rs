//! How a worker is started and asked: the bytes of its setup, of each job and of each answer.
//!
//! The binary makes a [`Setup`] and hands its bytes to the sandbox; the child gives them to [`start`] before it locks
//! itself in. The sandbox knows neither form.

use crate::walk::Limits;
use crate::{Job, Kit, Wanted, look, preview};
use guarita_rules::{Language, RuleFile, RuleSet};
use serde::{Deserialize, Serialize};

/// Everything a worker must know beforehand.
pub struct Setup {
    pub limits: Limits,
    pub language: Language,
    /// Version of the gateway's whole rule set, shown in reports.
    pub version: String,
    /// Files of `rules/files/` and `rules/yara/`; others do no harm.
    pub rules: Vec<RuleFile>,
}

/// Called with a job's header and the file's bytes; returns the report.
pub type Handler = Box<dyn FnMut(&[u8], &[u8]) -> Vec<u8>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    limits: Limits,
    language: Language,
    version: String,
    /// Path and length of each file; their bytes follow in this order.
    files: Vec<(String, usize)>,
}

impl Setup {
    /// Four bytes of length, a head in JSON, then the rule files' bytes one after another.
    pub fn encode(&self) -> Vec<u8> {
        let files = self.rules.iter().map(|file| (file.path.clone(), file.bytes.len())).collect();
        let head = Head { limits: self.limits.clone(), language: self.language, version: self.version.clone(), files };
        let head = serde_json::to_vec(&head).expect("strings and numbers always serialise");
        let length = u32::try_from(head.len()).expect("a list of rule files is far below 4 GiB");
        let mut out = length.to_le_bytes().to_vec();
        out.extend_from_slice(&head);
        self.rules.iter().for_each(|file| out.extend_from_slice(&file.bytes));
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Setup, String> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or("the setup is empty")?;
        let (head, mut rest) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("the setup is cut off")?;
        let head: Head = serde_json::from_slice(head).map_err(|error| format!("the setup's head: {error}"))?;
        let mut rules = Vec::with_capacity(head.files.len());
        for (path, length) in head.files {
            let (bytes, after) = rest.split_at_checked(length).ok_or("a rule file is cut off")?;
            rules.push(RuleFile { path, bytes: bytes.to_vec() });
            rest = after;
        }
        Ok(Setup { limits: head.limits, language: head.language, version: head.version, rules })
    }
}

/// Compiles the rules and returns what looks at files. Errors are for the operator: file, line, mend.
pub fn start(setup: &[u8]) -> Result<Handler, String> {
    let setup = Setup::decode(setup)?;
    let mut rules = RuleSet::compile(setup.rules, setup.language).map_err(|error| error.to_string())?;
    rules.version = setup.version;
    let kit = Kit::new(rules, setup.limits).map_err(|error| error.to_string())?;
    Ok(Box::new(move |header, bytes| answer(header, bytes, &kit)))
}

fn answer(header: &[u8], bytes: &[u8], kit: &Kit) -> Vec<u8> {
    // A header that cannot be read is the gateway's mistake; the file is still looked at.
    let job: Job = serde_json::from_slice(header).unwrap_or_default();
    match job.wanted {
        Wanted::Report => serde_json::to_vec(&look(bytes, &job, kit)).unwrap_or_default(),
        Wanted::Preview => preview::encode(&preview::make(bytes, &job, kit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_comes_back_as_it_went() {
        let rules = vec![
            RuleFile { path: "files/a.toml".to_owned(), bytes: b"# a".to_vec() },
            RuleFile { path: "yara/b.yar".to_owned(), bytes: vec![0xff, 0] },
        ];
        let limits = Limits { depth_max: 3, ..Limits::default() };
        let setup = Setup { limits, language: Language::Spanish, version: "abc".to_owned(), rules };
        let back = Setup::decode(&setup.encode()).unwrap();
        assert_eq!((back.limits.depth_max, back.language, back.version.as_str()), (3, Language::Spanish, "abc"));
        assert_eq!(back.rules[1].bytes, [0xff, 0]);
        assert!(Setup::decode(&setup.encode()[..20]).is_err());
        assert!(Setup::decode(b"").is_err());
    }

    #[test]
    fn a_rule_that_does_not_compile_is_said_with_its_file() {
        let rules = vec![RuleFile { path: "files/bad.toml".to_owned(), bytes: b"[[rule]]\nid = 3\n".to_vec() }];
        let setup = Setup { limits: Limits::default(), language: Language::English, version: String::new(), rules };
        let error = start(&setup.encode()).err().unwrap();
        assert!(error.contains("files/bad.toml:"), "{error}");
    }
}
