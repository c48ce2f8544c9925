//! The locked child's side: what a file is, what is inside it, and which of that is dangerous.
//!
//! [`look`] is a pure function of bytes: no file, no socket, no clock but a time budget. It unpacks one file, looks into
//! everything found, states facts whose meaning stands in `rules/files/`, and returns one bounded [`Report`]. It knows
//! nothing of tokio, sockets, the spool or configuration files; `guarita_sandbox` starts it in a locked process.
//!
//! Where to look: [`kind`] says what a file is, [`walk`] goes through it and holds every limit, [`archives`] unpacks,
//! [`formats`] judges single formats. A new check is one function, a line in a list, and a rule file.

pub mod archives;
pub mod formats;
pub mod kind;
pub mod names;
mod polyglot;
pub mod preview;
mod setup;
mod true_type;
pub mod walk;

pub use setup::{Handler, Setup, start};

use guarita_message::Inspection;
use guarita_rules::{RuleError, RuleSet};
use serde::{Deserialize, Serialize};
use walk::{Context, Inspector, Limits};

/// What is said of a file besides its bytes; a job's header in JSON. None of it is to be trusted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Job {
    pub name: String,
    pub declared_type: String,
    /// Words of the message that may open an encrypted archive.
    pub passwords: Vec<String>,
    pub wanted: Wanted,
}

/// What is asked of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// What is dangerous about it: a [`Report`].
    #[default]
    Report,
    /// What it looks like to a person: see [`preview`].
    Preview,
}

/// What every look needs; made once, before the worker locks itself in.
pub struct Kit {
    pub rules: RuleSet,
    pub compiled: formats::Compiled,
    pub limits: Limits,
}

impl Kit {
    pub fn new(rules: RuleSet, limits: Limits) -> Result<Kit, RuleError> {
        let compiled = formats::Compiled::new(&rules)?;
        Ok(Kit { rules, compiled, limits })
    }
}

/// What was seen: findings and gaps with empty `place` (the gateway knows it), and one [`guarita_message::FileReport`].
pub type Report = Inspection;

/// Every list of inspectors, in the order they run.
const LISTS: &[&[Inspector]] = &[GENERAL, archives::INSPECTORS, formats::INSPECTORS];

/// What is asked of every thing, whatever its format.
const GENERAL: &[Inspector] = &[
    Inspector { name: "names", wants: |_| true, look: names::look },
    Inspector { name: "true-type", wants: |_| true, look: true_type::look },
    Inspector { name: "polyglot", wants: polyglot::wants, look: polyglot::look },
];

/// Looks at one file.
pub fn look(input: &[u8], job: &Job, kit: &Kit) -> Report {
    let mut context = Context::new(job, kit, LISTS, input.len() as u64);
    let kind = context.walk(&job.name, &job.declared_type, input);
    let seen = context.finish(kind);
    let file = guarita_message::FileReport {
        place: String::new(),
        name: job.name.clone(),
        true_type: seen.kind.mime().to_owned(),
        declared_type: job.declared_type.clone(),
        bytes: input.len() as u64,
        sha256: None,
        scanned_by: vec![format!("guarita rules {}", kit.rules.version)],
    };
    Report { findings: seen.findings, gaps: seen.gaps, files: vec![file], found: seen.found, score: 0.0 }
}
