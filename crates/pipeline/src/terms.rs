//! What an entry can be found by later, and what a list shows of it without its content. The vocabulary stands in
//! docs/lexicon.md; the spool keeps terms as keyed hashes and the summary sealed, and knows the meaning of neither.

use crate::process::JudgedMessage;
use guarita_message::{Subject, Verdict};
use guarita_spool::{SUMMARY_BYTES_MAX, TERMS_MAX};
use serde_json::json;
use std::collections::BTreeSet;

/// Messages, findings and files of one entry that terms are taken from.
const LOOKED_AT_MAX: usize = 200;
/// Words shorter or longer than this are no use to a search.
const WORD_CHARS: std::ops::RangeInclusive<usize> = 3..=40;
/// Bounds of what a summary quotes.
const TITLES_MAX: usize = 4;
const SENDERS_MAX: usize = 3;
const QUOTE_CHARS_MAX: usize = 80;

/// The terms of an entry in which something was seen or a file was looked at; none for anything else, so that clean
/// texts cost nothing. The telling ones first: the spool keeps [`TERMS_MAX`].
pub(crate) fn terms(judged: &[JudgedMessage]) -> Vec<String> {
    let telling = |judged: &&JudgedMessage| {
        let inspection = &judged.inspection;
        !inspection.findings.is_empty() || !inspection.gaps.is_empty() || !inspection.files.is_empty()
    };
    let judged: Vec<&JudgedMessage> = judged.iter().filter(telling).take(LOOKED_AT_MAX).collect();
    // In order of worth.
    let mut sorts: [BTreeSet<String>; 5] = Default::default();
    let [ids, facts, files, domains, words] = &mut sorts;
    for JudgedMessage { message, inspection, decision, .. } in judged {
        if !message.id.is_empty() {
            ids.insert(format!("message:{}", message.id));
        }
        facts.insert(format!("kind:{}", message.kind));
        facts.insert(format!("action:{}", decision.action));
        for gap in inspection.gaps.iter().take(LOOKED_AT_MAX) {
            facts.insert(format!("gap:{}", gap.reason));
        }
        for finding in inspection.findings.iter().take(LOOKED_AT_MAX) {
            facts.insert(format!("rule:{}", finding.rule));
            facts.insert(format!("category:{}", finding.category));
            facts.insert(format!("severity:{}", finding.severity));
            if finding.subject == Subject::Link {
                domains.extend(finding.evidence.split_whitespace().flat_map(domains_of));
            }
            words.extend(words_of(&finding.title));
            words.extend(words_of(&finding.evidence));
        }
        for file in inspection.files.iter().take(LOOKED_AT_MAX) {
            files.extend(file.sha256.map(|hash| format!("sha256:{hash}")));
            if !file.true_type.is_empty() {
                facts.insert(format!("type:{}", file.true_type));
            }
            words.extend(words_of(&file.name));
        }
    }
    sorts.into_iter().flatten().take(TERMS_MAX).collect()
}

/// `domain:` terms of a word of a link's evidence: the host as it stands there, and the domain it was registered under.
fn domains_of(word: &str) -> Vec<String> {
    let rest = word.split_once("://").map_or(word, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().trim_matches(['.', ',', ';', '(', ')', '…']).to_lowercase();
    let shaped =
        host.split('.').all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'));
    if !host.contains('.') || !shaped || host.len() > 253 {
        return Vec::new();
    }
    let registered = psl::domain_str(&host).filter(|domain| *domain != host).map(|domain| format!("domain:{domain}"));
    [Some(format!("domain:{host}")), registered].into_iter().flatten().collect()
}

fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| WORD_CHARS.contains(&word.chars().count()));
    words.map(|word| format!("word:{}", word.to_lowercase())).collect()
}

/// Who sent it, of what kind it is, and what was seen in it, as JSON of at most [`SUMMARY_BYTES_MAX`] bytes. Of clean
/// messages the first two. Empty for what holds no message (statuses, calls, account events).
pub(crate) fn summary(judged: &[JudgedMessage]) -> Vec<u8> {
    let worst = |judged: &&JudgedMessage| judged.decision.verdict;
    // The first of the worst.
    let Some(shown) = judged.iter().rev().max_by_key(worst) else { return Vec::new() };
    let JudgedMessage { message, inspection, decision, .. } = shown;
    let senders: Vec<String> = message.senders.iter().take(SENDERS_MAX).map(|name| cut(name)).collect();
    let mut value = json!({"from": senders, "kind": cut(&message.kind)});
    if judged.len() > 1 {
        value["messages"] = json!(judged.len());
    }
    let mut findings: Vec<_> = inspection.findings.iter().filter(|finding| !finding.shadow).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut titles: Vec<String> = Vec::new();
    for finding in &findings {
        let title = cut(&finding.title);
        if titles.len() < TITLES_MAX && !titles.contains(&title) {
            titles.push(title);
        }
    }
    if decision.verdict != Verdict::Clean || !titles.is_empty() {
        value["action"] = json!(decision.action);
        value["findings"] = json!(findings.len());
        value["titles"] = json!(titles);
        value["gaps"] = json!(inspection.gaps.iter().map(|gap| gap.reason).collect::<BTreeSet<_>>());
    }
    if let Some(file) = inspection.files.first() {
        value["file"] = json!(cut(&file.name));
        value["bytes"] = json!(file.bytes);
    }
    // What is escaped may be six times as long: then rather less than nothing at all.
    for less in ["", "file", "titles", "from"] {
        if let Some(object) = value.as_object_mut() {
            object.remove(less);
        }
        let text = value.to_string();
        if text.len() <= SUMMARY_BYTES_MAX {
            return text.into_bytes();
        }
    }
    Vec::new()
}

fn cut(text: &str) -> String {
    text.chars().take(QUOTE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_message::*;

    fn judged(inspection: Inspection, verdict: Verdict) -> JudgedMessage {
        let message = Message {
            channel: Channel::Whatsapp,
            direction: Direction::Inbound,
            lane: Lane::Message,
            id: "wamid.1".into(),
            kind: "document".into(),
            pointer: "/entry/0".into(),
            account: "1".into(),
            senders: vec!["BR.1".into(), "5511999".into()],
            conversation: ConversationKey("c".into()),
            dedupe: None,
            timestamp: 0,
            forwarded: false,
            frequently_forwarded: false,
            parts: Vec::new(),
        };
        let decision = Decision {
            verdict,
            action: Action::Withhold,
            edits: Vec::new(),
            withheld: Vec::new(),
            not_served: Vec::new(),
            quarantine: false,
            hold: false,
            because: Vec::new(),
        };
        JudgedMessage { message, inspection, decision, files: Vec::new(), first_contact: false }
    }

    fn finding(rule: &str, subject: Subject, title: &str, evidence: &str) -> Finding {
        Finding {
            rule: rule.into(),
            category: Category::PhishingLink,
            severity: Severity::High,
            place: "/document".into(),
            inside: String::new(),
            title: title.into(),
            why: String::new(),
            evidence: evidence.into(),
            subject,
            span: None,
            shadow: false,
        }
    }

    fn bad() -> Inspection {
        let file = FileReport {
            place: "/document".into(),
            name: "Fatura Março.pdf".into(),
            true_type: "application/pdf".into(),
            declared_type: String::new(),
            bytes: 77,
            sha256: Some(ContentHash([0xab; 32])),
            scanned_by: Vec::new(),
        };
        let gap = Gap {
            reason: GapReason::Encrypted,
            place: "/document".into(),
            inside: String::new(),
            scanner: "files".into(),
            detail: String::new(),
            class: FileClass::Document,
        };
        let evidence = "https://user@Pix.Evil.com.br:8080/a.php ≠ Banco";
        Inspection {
            findings: vec![finding("links/x", Subject::Link, "Imita uma Marca", evidence)],
            gaps: vec![gap],
            files: vec![file],
            ..Inspection::default()
        }
    }

    #[test]
    fn what_was_seen_can_be_found() {
        let found = terms(&[judged(bad(), Verdict::Malicious)]);
        for term in [
            "message:wamid.1",
            "rule:links/x",
            "category:phishing_link",
            "severity:high",
            "gap:encrypted",
            "action:withhold",
            "kind:document",
            "type:application/pdf",
            "domain:pix.evil.com.br",
            "domain:evil.com.br",
            "word:imita",
            "word:marca",
            "word:março",
        ] {
            assert!(found.iter().any(|known| known == term), "{term}: {found:?}");
        }
        assert!(found.contains(&format!("sha256:{}", "ab".repeat(32))));
        assert!(!found.iter().any(|term| term == "domain:com.br" || term == "word:a"), "{found:?}");
    }

    #[test]
    fn clean_texts_have_no_terms_and_no_more_than_the_bound_are_made() {
        assert!(terms(&[judged(Inspection::default(), Verdict::Clean)]).is_empty());
        let words = (0..5000).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        let many = Inspection { findings: vec![finding("r/x", Subject::Text, &words, &words)], ..bad() };
        let found = terms(&[judged(many, Verdict::Malicious)]);
        assert_eq!(found.len(), TERMS_MAX);
        assert!(found.iter().any(|term| term == "rule:r/x"), "words push out nothing that tells more");
    }

    #[test]
    fn a_summary_is_of_the_worst_message_and_bounded() {
        let read =
            |judged: &[JudgedMessage]| -> serde_json::Value { serde_json::from_slice(&summary(judged)).unwrap() };
        assert!(summary(&[]).is_empty());
        let clean = || judged(Inspection::default(), Verdict::Clean);
        assert_eq!(read(&[clean()]), json!({"from": ["BR.1", "5511999"], "kind": "document"}));
        let shown = read(&[clean(), judged(bad(), Verdict::Malicious)]);
        assert_eq!(shown["titles"], json!(["Imita uma Marca"]));
        assert_eq!((&shown["messages"], &shown["gaps"]), (&json!(2), &json!(["encrypted"])));
        assert_eq!((&shown["file"], &shown["findings"]), (&json!("Fatura Março.pdf"), &json!(1)));
        let mut hostile = judged(bad(), Verdict::Malicious);
        hostile.inspection.files[0].name = "\u{1}".repeat(5000);
        hostile.inspection.findings =
            (0..100).map(|n| finding("r", Subject::File, &format!("{n}{}", "\u{2}".repeat(500)), "")).collect();
        hostile.message.senders = vec!["\u{3}".repeat(500); 9];
        let text = summary(&[hostile]);
        assert!(!text.is_empty() && text.len() <= SUMMARY_BYTES_MAX);
    }
}
