//! YARA rules, ours and the operator's, compiled once. A rule's metadata says what a match means: `category`, `severity`,
//! `title` and `why` (each also with `_pt`, `_es`); without them a match is malware of severity high.

use super::report::Report;
use boreal::compiler::{Compiler, CompilerParams};
use boreal::scanner::{ScanError, ScanParams};
use boreal::{MetadataValue, Scanner};
use guarita_message::{Category, FileClass, Finding, GapReason, Severity, Subject};
use guarita_rules::{Language, RuleError, RuleFile};
use std::time::Duration;

/// One thing is searched for no longer than this. Our own rules pass some 500 MB a second; an operator's may not.
const SCAN_TIME_MAX: Duration = Duration::from_millis(3_000);
/// Nothing larger is unpacked or accepted by default; of what is, the beginning is searched and the rest is a gap.
const SCAN_BYTES_MAX: usize = 128 << 20;

pub struct Yara {
    scanner: Option<Scanner>,
}

impl Yara {
    pub fn new(sources: &[RuleFile]) -> Result<Yara, RuleError> {
        if sources.is_empty() {
            return Ok(Yara { scanner: None });
        }
        let mut compiler = Compiler::new();
        compiler.set_params(CompilerParams::default().disable_includes(true));
        for file in sources {
            let text = std::str::from_utf8(&file.bytes)
                .map_err(|_| RuleError::new(&file.path, 0, "the file is not UTF-8", "save it as UTF-8"))?;
            // Each file is a name space of its own, so that two public sets may use the same rule names.
            compiler.add_rules_str_in_namespace(text, &file.path).map_err(|error| {
                RuleError::new(
                    &file.path,
                    0,
                    format!("YARA: {error}"),
                    "correct the rule, or leave the file out; `include` is not allowed",
                )
            })?;
        }
        let mut scanner = compiler.finalize();
        scanner.set_scan_params(
            ScanParams::default()
                .compute_full_matches(false)
                .timeout_duration(Some(SCAN_TIME_MAX))
                .string_max_nb_matches(1_000),
        );
        let yara = Yara { scanner: Some(scanner) };
        yara.check_metadata()?;
        Ok(yara)
    }

    /// Words in metadata that mean nothing to us are the author's mistake, and must not wait for a match to show.
    fn check_metadata(&self) -> Result<(), RuleError> {
        let Some(scanner) = &self.scanner else { return Ok(()) };
        for rule in scanner.rules() {
            let text = |key: &str| self.text(rule.metadatas, key);
            for (key, known) in [
                ("category", text("category").is_none_or(|t| t.parse::<Category>().is_ok())),
                ("severity", text("severity").is_none_or(|t| t.parse::<Severity>().is_ok())),
            ] {
                if !known {
                    let problem = format!("rule `{}`: its {key} is none of ours", rule.name);
                    return Err(RuleError::new(
                        rule.namespace,
                        0,
                        problem,
                        "write one of the words of the specification",
                    ));
                }
            }
        }
        Ok(())
    }

    fn text(&self, metadata: &[boreal::Metadata], key: &str) -> Option<String> {
        let scanner = self.scanner.as_ref()?;
        metadata.iter().find(|entry| scanner.get_string_symbol(entry.name) == key).and_then(|entry| match entry.value {
            MetadataValue::Bytes(symbol) => {
                Some(String::from_utf8_lossy(scanner.get_bytes_symbol(symbol)).into_owned())
            }
            _ => None,
        })
    }

    /// Findings of everything that matches; a search that takes too long is a gap.
    pub fn matches(&self, data: &[u8], language: Language, report: &mut dyn Report) -> Vec<Finding> {
        let Some(scanner) = &self.scanner else { return Vec::new() };
        if data.len() > SCAN_BYTES_MAX {
            report.gap(GapReason::Limits, FileClass::Other, "only its beginning was searched with YARA rules");
        }
        let data = data.get(..SCAN_BYTES_MAX.min(data.len())).unwrap_or_default();
        let result = match scanner.scan_mem(data) {
            Ok(result) => result,
            Err((ScanError::Timeout, result)) => {
                report.gap(
                    GapReason::Timeout,
                    FileClass::Other,
                    "YARA rules took too long; a retry may help, simpler rules will",
                );
                result
            }
            Err((_, result)) => result,
        };
        result.rules.iter().map(|rule| self.finding(rule.name, rule.metadatas, language)).collect()
    }

    fn finding(&self, name: &str, metadata: &[boreal::Metadata], language: Language) -> Finding {
        let text = |key: &str| self.text(metadata, key);
        let local = |key: &str| match language {
            Language::Portuguese => text(&format!("{key}_pt")).or_else(|| text(key)),
            Language::Spanish => text(&format!("{key}_es")).or_else(|| text(key)),
            Language::English => text(key),
        };
        let title = local("title").or_else(|| text("description")).unwrap_or_else(|| format!("YARA rule {name}"));
        Finding {
            rule: format!("yara/{name}"),
            category: text("category").and_then(|word| word.parse().ok()).unwrap_or(Category::Malware),
            severity: text("severity").and_then(|word| word.parse().ok()).unwrap_or(Severity::High),
            place: String::new(),
            inside: String::new(),
            title: Finding::evidence_of(&title),
            why: local("why").unwrap_or_default(),
            evidence: name.to_owned(),
            subject: Subject::File,
            span: None,
            shadow: text("shadow").is_some_and(|word| word == "true"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn yara(source: &str) -> Result<Yara, RuleError> {
        Yara::new(&[RuleFile { path: "yara/test.yar".into(), bytes: source.as_bytes().to_vec() }])
    }

    const RULE: &str = r#"rule Marker { meta: category = "exploit" severity = "medium" title = "A marker" title_pt = "Um marcador" why = "It marks." why_pt = "Ele marca." strings: $a = "marker-7f3a" condition: $a }"#;

    #[test]
    fn metadata_gives_meaning() {
        let found =
            yara(RULE).expect("compiles").matches(b"xx marker-7f3a", Language::Portuguese, &mut Seen::default());
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].rule.as_str(), found[0].category, found[0].severity, found[0].title.as_str()),
            ("yara/Marker", Category::Exploit, Severity::Medium, "Um marcador")
        );
        assert_eq!(found[0].why, "Ele marca.");
        let spanish = yara(RULE).expect("compiles").matches(b"marker-7f3a", Language::Spanish, &mut Seen::default());
        assert_eq!((spanish[0].title.as_str(), spanish[0].why.as_str()), ("A marker", "It marks."));
        assert!(yara(RULE).expect("compiles").matches(b"xx", Language::English, &mut Seen::default()).is_empty());
    }

    #[test]
    fn mistakes_name_their_file() {
        for source in
            ["rule X { condition: ", "rule X { meta: severity = \"deadly\" condition: true }", "include \"x\""]
        {
            let error = yara(source).err().expect("refused");
            assert_eq!(error.file, "yara/test.yar", "{error}");
        }
    }
}
