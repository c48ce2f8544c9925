//! What the operator's lists say of a message's files, by their SHA-256. A denied file is a finding; of an allowed one the
//! operator has vouched for these very bytes, so that what it is and what it runs is only told. Malware, exploits and bombs
//! stay what they are, and so does every gap: nobody vouched for what could not be seen.

use crate::Brains;
use guarita_inspect::links::ListHit;
use guarita_message::{Category, ContentHash, Finding, Inspection, Severity, Subject};
use guarita_rules::Language;

/// What no allow list silences.
const NEVER_SILENCED: [Category; 3] = [Category::Malware, Category::Exploit, Category::ArchiveBomb];

/// Asks the lists for every file of `inspection` whose hash is known. What inspectors found stands before this is called.
pub fn note_listed_files(inspection: &mut Inspection, brains: &Brains) {
    let files: Vec<(String, ContentHash)> =
        inspection.files.iter().filter_map(|file| Some((file.place.clone(), file.sha256?))).collect();
    for (place, hash) in files {
        inspection.findings.extend(listed_file(brains, &hash, &place));
        silence_allowed(inspection, brains, &hash, &place);
    }
}

/// The finding, where this content is denied.
pub(crate) fn listed_file(brains: &Brains, hash: &ContentHash, place: &str) -> Option<Finding> {
    let hit = brains.lists.as_ref()?.look_up_hash(hash);
    if !matches!(hit, ListHit::Denied | ListHit::DeniedMalware) {
        return None;
    }
    let title = match brains.rules.language {
        Language::Portuguese => "Arquivo na sua lista de bloqueio",
        Language::English => "File on your deny list",
        Language::Spanish => "Archivo en su lista de bloqueo",
    };
    Some(finding("lists/denied-file", Severity::Critical, title, hash, place))
}

/// Where this content is allowed, what it is and what it runs is only told, and so is that a list says so.
pub(crate) fn silence_allowed(inspection: &mut Inspection, brains: &Brains, hash: &ContentHash, place: &str) {
    let Some(lists) = brains.lists.as_ref() else { return };
    if lists.look_up_hash(hash) != ListHit::Allowed {
        return;
    }
    inspection
        .findings
        .iter_mut()
        .filter(|finding| finding.subject == Subject::File && finding.place == place)
        .filter(|finding| !NEVER_SILENCED.contains(&finding.category))
        .for_each(|finding| finding.severity = Severity::Info);
    let title = match brains.rules.language {
        Language::Portuguese => "Arquivo na sua lista de permissão",
        Language::English => "File on your allow list",
        Language::Spanish => "Archivo en su lista de permitidos",
    };
    inspection.findings.push(finding("lists/allowed-file", Severity::Info, title, hash, place));
}

fn finding(rule: &str, severity: Severity, title: &str, hash: &ContentHash, place: &str) -> Finding {
    Finding {
        rule: rule.to_owned(),
        category: Category::Malware,
        severity,
        place: place.to_owned(),
        inside: String::new(),
        title: title.to_owned(),
        why: String::new(),
        evidence: hash.to_string(),
        subject: Subject::File,
        span: None,
        shadow: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_inspect::links::{Feed, ListBuilder, ListSide, parse_feed};
    use guarita_message::{FileClass, FileReport, Finding, Gap, GapReason, Verdict};
    use guarita_rules::{Language, RuleSet};
    use std::sync::Arc;

    fn finding(category: Category) -> Finding {
        Finding {
            rule: format!("test/{}", category.as_str()),
            category,
            severity: Severity::High,
            place: "/document".into(),
            inside: String::new(),
            title: String::new(),
            why: String::new(),
            evidence: String::new(),
            subject: Subject::File,
            span: None,
            shadow: false,
        }
    }

    fn seen(findings: Vec<Finding>) -> Inspection {
        let file = FileReport {
            place: "/document".into(),
            name: "modelo.docm".into(),
            true_type: String::new(),
            declared_type: String::new(),
            bytes: 3,
            sha256: Some(ContentHash([0xab; 32])),
            scanned_by: Vec::new(),
        };
        Inspection { findings, files: vec![file], ..Inspection::default() }
    }

    fn brains(side: ListSide, content: &str) -> Brains {
        let rules = RuleSet::compile(Vec::new(), Language::English).expect("no rules compile");
        let mut builder = ListBuilder::default();
        for entry in &parse_feed(Feed::detect(content.as_bytes()), side, content.as_bytes()).entries {
            builder.add(entry);
        }
        Brains { rules: Arc::new(rules), lists: Some(Arc::new(builder.build())), exceptions: Arc::default() }
    }

    fn rules_of(inspection: &Inspection) -> Vec<&str> {
        inspection.findings.iter().map(|finding| finding.rule.as_str()).collect()
    }

    #[test]
    fn a_denied_file_is_a_finding_and_another_is_not() {
        for side in [ListSide::Deny, ListSide::DenyMalware] {
            let mut inspection = seen(Vec::new());
            note_listed_files(&mut inspection, &brains(side, &format!("{}\n", "ab".repeat(32))));
            assert_eq!(rules_of(&inspection), ["lists/denied-file"]);
            assert_eq!(inspection.verdict(), Verdict::Malicious);
            let mut other = seen(Vec::new());
            note_listed_files(&mut other, &brains(side, &format!("{}\n", "cd".repeat(32))));
            assert!(other.findings.is_empty());
        }
    }

    #[test]
    fn an_allowed_file_may_hold_macros_but_never_malware() {
        let brains = brains(ListSide::Allow, &format!("{}\n", "ab".repeat(32)));
        let mut macros = seen(vec![finding(Category::Macro), finding(Category::Executable)]);
        note_listed_files(&mut macros, &brains);
        assert!(macros.findings.iter().take(2).all(|finding| finding.severity == Severity::Info));
        for category in NEVER_SILENCED {
            let mut bad = seen(vec![finding(category), finding(Category::Macro)]);
            note_listed_files(&mut bad, &brains);
            assert_eq!(bad.verdict(), Verdict::Malicious, "{category:?}");
        }
    }

    #[test]
    fn an_allowed_file_keeps_its_gaps() {
        let brains = brains(ListSide::Allow, &format!("{}\n", "ab".repeat(32)));
        let mut closed = seen(Vec::new());
        closed.gaps.push(Gap {
            reason: GapReason::Encrypted,
            place: "/document".into(),
            inside: String::new(),
            scanner: "files".into(),
            detail: String::new(),
            class: FileClass::Archive,
        });
        note_listed_files(&mut closed, &brains);
        assert_eq!(closed.gaps.len(), 1);
    }
}
