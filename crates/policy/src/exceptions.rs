//! What people said to let pass: findings and gaps that an exception speaks of no longer decide anything.
//!
//! How far an exception reaches stands here, whoever made it and however it was stored:
//! - by **hash**: everything seen in exactly this content, its gaps too; malware only where that was said;
//! - by **sender**: texts and links of this sender, never a file: an account that was taken over sends its worm to
//!   everybody who trusts it;
//! - by **rule**: what this rule states, anywhere;
//! - and none but one by hash ever speaks for malware.

use crate::table::glob;
use guarita_message::{Action, Because, Category, ContentHash, Finding, Inspection, Message, PartBody, Subject};
use std::collections::HashMap;

/// What is in force; replaced whole on a change.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    hashes: HashMap<ContentHash, OfHash>,
    senders: HashMap<String, String>,
    rules: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct OfHash {
    name: String,
    covers_malware: bool,
}

impl Exceptions {
    /// `name` is shown as the reason of what it lets pass.
    pub fn add_hash(&mut self, hash: ContentHash, covers_malware: bool, name: &str) {
        let of = self.hashes.entry(hash).or_insert(OfHash { name: name.to_owned(), covers_malware });
        of.covers_malware |= covers_malware;
    }

    pub fn add_sender(&mut self, sender: &str, name: &str) {
        self.senders.insert(sender.to_owned(), name.to_owned());
    }

    /// `*` in `rule` stands for any characters.
    pub fn add_rule(&mut self, rule: &str, name: &str) {
        self.rules.push((rule.to_owned(), name.to_owned()));
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty() && self.senders.is_empty() && self.rules.is_empty()
    }

    /// The exception that speaks for a finding in a file of this content.
    pub fn for_file(&self, finding: &Finding, hash: Option<&ContentHash>) -> Option<&str> {
        let malware = finding.category == Category::Malware;
        let of_hash = hash.and_then(|hash| self.hashes.get(hash)).filter(|of| of.covers_malware || !malware);
        of_hash.map(|of| of.name.as_str()).or_else(|| self.for_rule(finding))
    }

    fn for_rule(&self, finding: &Finding) -> Option<&str> {
        let mut fitting = self.rules.iter().filter(|(rule, _)| glob(rule, &finding.rule));
        fitting.next().map(|(_, name)| name.as_str()).filter(|_| finding.category != Category::Malware)
    }

    fn for_sender(&self, finding: &Finding, message: &Message) -> Option<&str> {
        if finding.category == Category::Malware || finding.subject == Subject::File || !finding.inside.is_empty() {
            return None;
        }
        message.senders.iter().find_map(|sender| self.senders.get(sender)).map(String::as_str)
    }
}

/// Puts aside what an exception speaks of: findings become shadows, which are shown to operators and decide nothing, gaps
/// go. The reasons are for the decision.
pub fn except(message: &Message, inspection: &mut Inspection, exceptions: &Exceptions) -> Vec<Because> {
    if exceptions.is_empty() {
        return Vec::new();
    }
    let files: HashMap<String, Option<ContentHash>> =
        inspection.files.iter().map(|file| (file.place.clone(), file.sha256)).collect();
    let is_file = |place: &str| {
        files.contains_key(place)
            || message.parts.iter().any(|part| part.place == place && matches!(part.body, PartBody::File(_)))
    };
    let hash_at = |place: &str| files.get(place).and_then(Option::as_ref);
    let mut reasons = Vec::new();
    let mut reason = |line: &str, cause: &str, place: &str| {
        let (line, cause, place) = (line.to_owned(), cause.to_owned(), place.to_owned());
        reasons.push(Because { line, cause, place, action: Action::Pass });
    };
    for finding in inspection.findings.iter_mut().filter(|finding| !finding.shadow) {
        let name = if is_file(&finding.place) {
            exceptions.for_file(finding, hash_at(&finding.place))
        } else {
            exceptions.for_rule(finding).or_else(|| exceptions.for_sender(finding, message))
        };
        if let Some(name) = name {
            reason(name, &finding.rule, &finding.place);
            finding.shadow = true;
        }
    }
    inspection.gaps.retain(|gap| match hash_at(&gap.place).and_then(|hash| exceptions.hashes.get(hash)) {
        Some(of) => {
            reason(&of.name, &format!("gap:{}", gap.reason), &gap.place);
            false
        }
        None => true,
    });
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_message::{
        Channel, ConversationKey, Direction, FileClass, FileReport, Gap, GapReason, Lane, MediaRef, Part, Severity,
        TextRole, Verdict,
    };

    fn message() -> Message {
        let part = |place: &str, body| Part { pointer: place.into(), place: place.into(), body };
        Message {
            channel: Channel::Whatsapp,
            direction: Direction::Inbound,
            lane: Lane::Message,
            id: "m".into(),
            kind: "document".into(),
            pointer: String::new(),
            account: "1".into(),
            senders: vec!["BR.1".into(), "5511".into()],
            conversation: ConversationKey("c".into()),
            dedupe: None,
            timestamp: 0,
            forwarded: false,
            frequently_forwarded: false,
            parts: vec![
                part("/document", PartBody::File(MediaRef::default())),
                part("/document/caption", PartBody::Text { text: "x".into(), role: TextRole::Caption }),
            ],
        }
    }

    fn finding(rule: &str, category: Category, place: &str, subject: Subject, inside: &str) -> Finding {
        Finding {
            rule: rule.into(),
            category,
            severity: Severity::High,
            place: place.into(),
            inside: inside.into(),
            title: String::new(),
            why: String::new(),
            evidence: String::new(),
            subject,
            span: None,
            shadow: false,
        }
    }

    /// A virus and a program in a file, a link inside it, a scam and a link in its caption, and a gap.
    fn seen() -> Inspection {
        let file = FileReport {
            place: "/document".into(),
            name: "a".into(),
            true_type: String::new(),
            declared_type: String::new(),
            bytes: 1,
            sha256: Some(ContentHash([7; 32])),
            scanned_by: Vec::new(),
        };
        let gap = Gap {
            reason: GapReason::Encrypted,
            place: "/document".into(),
            inside: String::new(),
            scanner: "files".into(),
            detail: String::new(),
            class: FileClass::Archive,
        };
        Inspection {
            findings: vec![
                finding("clamav/Virus", Category::Malware, "/document", Subject::File, ""),
                finding("files/program", Category::Executable, "/document", Subject::File, "a.exe"),
                finding("links/x", Category::PhishingLink, "/document", Subject::Link, "a.exe"),
                finding("texts/scam", Category::Scam, "/document/caption", Subject::Text, ""),
                finding("links/deny-list-malware", Category::Malware, "/document/caption", Subject::Link, ""),
            ],
            gaps: vec![gap],
            files: vec![file],
            ..Inspection::default()
        }
    }

    #[test]
    fn each_kind_reaches_as_far_as_it_says() {
        let of = |add: &dyn Fn(&mut Exceptions)| {
            let mut exceptions = Exceptions::default();
            add(&mut exceptions);
            exceptions
        };
        for (what, exceptions, left, gaps) in [
            ("nothing", of(&|_| {}), "clamav/Virus files/program links/x texts/scam links/deny-list-malware", 1),
            (
                "a hash",
                of(&|all| all.add_hash(ContentHash([7; 32]), false, "e")),
                "clamav/Virus texts/scam links/deny-list-malware",
                0,
            ),
            (
                "a hash, malware too",
                of(&|all| all.add_hash(ContentHash([7; 32]), true, "e")),
                "texts/scam links/deny-list-malware",
                0,
            ),
            (
                "another hash",
                of(&|all| all.add_hash(ContentHash([8; 32]), true, "e")),
                "clamav/Virus files/program links/x texts/scam links/deny-list-malware",
                1,
            ),
            (
                "the sender",
                of(&|all| all.add_sender("5511", "e")),
                "clamav/Virus files/program links/x links/deny-list-malware",
                1,
            ),
            ("every rule", of(&|all| all.add_rule("*", "e")), "clamav/Virus links/deny-list-malware", 1),
            (
                "a rule",
                of(&|all| all.add_rule("links/*", "e")),
                "clamav/Virus files/program texts/scam links/deny-list-malware",
                1,
            ),
        ] {
            let mut inspection = seen();
            let reasons = except(&message(), &mut inspection, &exceptions);
            let standing: Vec<&str> =
                inspection.findings.iter().filter(|f| !f.shadow).map(|f| f.rule.as_str()).collect();
            assert_eq!(standing.join(" "), left, "{what}");
            assert_eq!(inspection.gaps.len(), gaps, "{what}");
            assert_eq!(reasons.len(), 5 - standing.len() + 1 - gaps, "{what}: each has its reason");
        }
        let mut inspection = seen();
        inspection.findings.retain(|finding| finding.place == "/document");
        except(&message(), &mut inspection, &of(&|all| all.add_hash(ContentHash([7; 32]), true, "e")));
        assert_eq!(inspection.verdict(), Verdict::Clean);
    }
}
