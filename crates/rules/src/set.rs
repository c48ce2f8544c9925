//! The whole set: every rule by id, the compiled parts of each kind, and a version that names exactly this content.

use crate::{RuleError, data::DataFile, files::FileRules, links::LinkRules, texts::TextRules};
use guarita_message::{Category, Finding, Language, Severity, Subject};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// A file of `rules/`, or of the operator's folder, with its path relative to that folder (`links/hosts.toml`).
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub path: String,
    pub bytes: Vec<u8>,
}

/// A line in three languages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Localised {
    #[serde(default)]
    pub en: String,
    #[serde(default, rename = "pt-BR")]
    pub pt: String,
    #[serde(default)]
    pub es: String,
}

impl Localised {
    /// In `language`, or English where that is empty.
    pub fn get(&self, language: Language) -> &str {
        let text = match language {
            Language::Portuguese => &self.pt,
            Language::English => &self.en,
            Language::Spanish => &self.es,
        };
        if text.is_empty() { &self.en } else { text }
    }
}

/// A hit or a miss that `guarita rules test` runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub hit: Option<String>,
    pub miss: Option<String>,
    /// For file rules: base64 of the content, or the name of a built-in sample; see `rules/files/README.md`.
    pub content: Option<String>,
}

/// The part that every rule has, whatever its kind.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub category: Category,
    pub severity: Severity,
    pub title: Localised,
    pub why: Localised,
    pub shadow: bool,
    pub samples: Vec<Sample>,
    /// What its kind looks for; an empty table where the inspector's code is the test and the rule only names it.
    pub when: toml::Table,
    pub file: String,
    pub line: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rule: Vec<toml::Spanned<RawRule>>,
    /// Tables that belong to a kind as a whole (brands, word lists); read by the kind's module.
    #[serde(default)]
    data: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    category: Category,
    severity: Severity,
    title: Localised,
    #[serde(default)]
    why: Localised,
    #[serde(default)]
    shadow: bool,
    #[serde(default)]
    when: toml::Table,
    #[serde(default)]
    sample: Vec<Sample>,
}

/// Checked and compiled rules. Cheap to share behind an `Arc`; replaced whole on a reload.
#[derive(Debug)]
pub struct RuleSet {
    rules: HashMap<String, Rule>,
    /// First eight hex digits of the SHA-256 over every file's path and bytes, in path order.
    pub version: String,
    pub language: Language,
    pub links: LinkRules,
    pub texts: TextRules,
    pub files: FileRules,
    /// Sources of YARA rules (`yara/*.yar`), by path; the file worker compiles them.
    pub yara: Vec<RuleFile>,
}

impl RuleSet {
    /// Compiles `files`. A later file with the same path replaces an earlier one whole (the operator's overrides), and a
    /// later rule with the same id replaces an earlier one.
    pub fn compile(files: Vec<RuleFile>, language: Language) -> Result<RuleSet, RuleError> {
        let mut by_path = std::collections::BTreeMap::new();
        for file in files {
            by_path.insert(file.path, file.bytes);
        }
        let mut hash = Sha256::new();
        let mut rules = HashMap::new();
        let mut data: HashMap<String, Vec<DataFile>> = HashMap::new();
        let mut lists = Vec::new();
        let mut yara = Vec::new();
        let mut text_sources = Vec::new();
        for (path, bytes) in by_path {
            hash.update((path.len() as u64).to_be_bytes());
            hash.update(path.as_bytes());
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(&bytes);
            let kind = path.split('/').next().unwrap_or_default().to_owned();
            match path.rsplit('.').next() {
                Some("toml") if kind != "policy" => {
                    let table = read_document(&path, &bytes, &mut rules)?;
                    // Texts read their language data again, with the line of each phrase.
                    if kind == "texts" {
                        text_sources.push(RuleFile { path, bytes });
                    } else if !table.is_empty() {
                        let text = std::str::from_utf8(&bytes).unwrap_or_default(); // read_document has checked it
                        data.entry(kind).or_default().push(DataFile::new(&path, text, table));
                    }
                }
                Some("yar" | "yara") => yara.push(RuleFile { path, bytes }),
                Some("md" | "toml") => {}
                _ => lists.push(RuleFile { path, bytes }),
            }
        }
        let of_kind = |kind: &str| -> Vec<&Rule> {
            let prefix = format!("{kind}/");
            let mut found: Vec<&Rule> = rules.values().filter(|rule| rule.id.starts_with(&prefix)).collect();
            found.sort_by(|a, b| a.id.cmp(&b.id));
            found
        };
        let no_data = Vec::new();
        let data_of = |kind: &str| data.get(kind).unwrap_or(&no_data);
        let links = LinkRules::compile(&of_kind("links"), data_of("links"), &lists)?;
        let texts = TextRules::compile(&of_kind("texts"), &text_sources, &lists)?;
        let files = FileRules::compile(&of_kind("files"), data_of("files"), &lists)?;
        let version = hex::encode(&hash.finalize()[..4]);
        Ok(RuleSet { rules, version, language, links, texts, files, yara })
    }

    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }

    /// Every rule, by id.
    pub fn all(&self) -> Vec<&Rule> {
        let mut all: Vec<&Rule> = self.rules.values().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// A finding with the meaning that rule `id` gives it. An inspector that names a rule nobody wrote is a broken
    /// build, not hostile input; it still must not be silent, so the finding stands with severity medium.
    pub fn finding(&self, id: &str, subject: Subject, place: &str, evidence: &str) -> Finding {
        let evidence = Finding::evidence_of(evidence);
        let (place, inside, span) = (place.to_owned(), String::new(), None);
        match self.rules.get(id) {
            Some(rule) => Finding {
                rule: id.to_owned(),
                category: rule.category,
                severity: rule.severity,
                place,
                inside,
                title: rule.title.get(self.language).to_owned(),
                why: rule.why.get(self.language).to_owned(),
                evidence,
                subject,
                span,
                shadow: rule.shadow,
            },
            None => Finding {
                rule: id.to_owned(),
                category: Category::SuspiciousLink,
                severity: Severity::Medium,
                place,
                inside,
                title: format!("{id} (no rule file describes it)"),
                why: String::new(),
                evidence,
                subject,
                span,
                shadow: false,
            },
        }
    }
}

fn read_document(path: &str, bytes: &[u8], rules: &mut HashMap<String, Rule>) -> Result<toml::Table, RuleError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| RuleError::new(path, 0, "the file is not UTF-8", "save it as UTF-8"))?;
    let line_of = |at: usize| text[..at.min(text.len())].bytes().filter(|b| *b == b'\n').count() + 1;
    let document: Document = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(span.start));
        RuleError::new(path, line, error.message(), "see the module page of guarita-rules for the form of a rule")
    })?;
    for spanned in document.rule {
        let line = line_of(spanned.span().start);
        let raw = spanned.into_inner();
        let kind = path.split('/').next().unwrap_or_default();
        if !raw.id.starts_with(&format!("{kind}/")) {
            let mend = format!("name it `{kind}/…`, after the folder it stands in");
            return Err(RuleError::new(path, line, format!("rule id `{}` does not fit its folder", raw.id), mend));
        }
        if raw.title.en.is_empty() {
            return Err(RuleError::new(path, line, format!("rule `{}` has no English title", raw.id), "add title.en"));
        }
        let rule = Rule {
            id: raw.id,
            category: raw.category,
            severity: raw.severity,
            title: raw.title,
            why: raw.why,
            shadow: raw.shadow,
            samples: raw.sample,
            when: raw.when,
            file: path.to_owned(),
            line,
        };
        if let Some(other) = rules.get(&rule.id)
            && other.file == rule.file
        {
            let problem = format!("rule `{}` stands twice in this file", rule.id);
            return Err(RuleError::new(path, line, problem, "give one of them another id"));
        }
        rules.insert(rule.id.clone(), rule);
    }
    Ok(document.data)
}
