//! From stored bytes to what a person reads: the report of the judging, and the body through `webhook`'s eyes. Stored
//! bytes are foreign to us as well: what does not parse is shown as nothing, never as an error.

use super::{
    mask::{mask_name, mask_sender, mask_text},
    view::{FileView, FindingView, PartView, ReadMessage},
};
use guarita_message::{Decision, Inspection, Message, PartBody, TextRole};
use serde::Deserialize;

/// What the pipeline recorded when it decided.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub messages: Vec<Reported>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reported {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub pointer: String,
    pub inspection: Inspection,
    pub decision: Decision,
    #[serde(default)]
    pub media: Vec<ReportedMedia>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReportedMedia {
    #[serde(rename = "where")]
    pub place: String,
    pub id: String,
}

/// Messages of one entry that are shown; a delivery may hold thousands.
pub(super) const MESSAGES_SHOWN_MAX: usize = 100;
/// Parts of one entry that are shown.
const PARTS_SHOWN_MAX: usize = 1_000;

impl Report {
    pub fn read(bytes: Option<&[u8]>) -> Report {
        bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
    }

    /// Every media id in it.
    pub fn media_ids(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().flat_map(|message| message.media.iter().map(|media| media.id.as_str()))
    }

    /// Every file's hash.
    pub fn hashes(&self) -> Vec<guarita_message::ContentHash> {
        let files = self.messages.iter().flat_map(|message| &message.inspection.files);
        let mut hashes: Vec<_> = files.filter_map(|file| file.sha256).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }
}

pub(super) fn read_body(body: Option<&[u8]>) -> Vec<Message> {
    body.and_then(|body| guarita_webhook::parse(body).ok()).map(|delivery| delivery.messages).unwrap_or_default()
}

/// A message as one may see it who sees personal data, or not.
pub(super) fn read_message(reported: &Reported, message: Option<&Message>, personal: bool) -> ReadMessage {
    let senders: Vec<String> = message.map(|message| message.senders.clone()).unwrap_or_default();
    let name = message.and_then(profile_name).unwrap_or_default();
    let shown = |text: &str| if personal { text.to_owned() } else { mask_text(text) };
    let findings = reported.inspection.findings.iter().map(|finding| FindingView {
        rule: finding.rule.clone(),
        category: finding.category.to_string(),
        severity: finding.severity.to_string(),
        place: finding.place.clone(),
        inside: if personal { finding.inside.clone() } else { String::new() },
        title: finding.title.clone(),
        why: finding.why.clone(),
        evidence: shown(&finding.evidence),
        span: finding.span,
        shadow: finding.shadow,
    });
    let files = reported.inspection.files.iter().map(|file| FileView {
        place: file.place.clone(),
        name: if personal { file.name.clone() } else { extension_of(&file.name) },
        true_type: file.true_type.clone(),
        declared_type: file.declared_type.clone(),
        bytes: file.bytes,
        sha256: file.sha256.map(|hash| hash.to_string()),
        scanned_by: file.scanned_by.clone(),
        media: "unknown".into(),
        kept: false,
    });
    let gaps = reported.inspection.gaps.iter().cloned().map(|mut gap| {
        if !personal {
            gap.inside.clear();
        }
        gap
    });
    ReadMessage {
        // A WhatsApp message id is base64 of, among others, the sender's number.
        id: if personal { reported.id.clone() } else { mask_sender(&reported.id) },
        kind: reported.kind.clone(),
        pointer: reported.pointer.clone(),
        verdict: reported.decision.verdict,
        action: reported.decision.action.to_string(),
        senders: if personal { senders } else { senders.iter().map(|name| mask_sender(name)).collect() },
        name: if personal { name } else { mask_name(&name) },
        findings: findings.collect(),
        gaps: gaps.collect(),
        files: files.collect(),
        because: reported.decision.because.clone(),
        withheld: reported.decision.withheld.clone(),
    }
}

/// A file's name may be a person's; its ending says enough.
pub(super) fn extension_of(name: &str) -> String {
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending)
        .filter(|ending| (1..=8).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    ending.map(|ending| format!("*.{ending}")).unwrap_or_default()
}

/// What the sender calls themselves: a label outside of the message object.
fn profile_name(message: &Message) -> Option<String> {
    message.parts.iter().find_map(|part| match &part.body {
        PartBody::Text { text, role: TextRole::Label } if part.pointer.ends_with("/profile/name") => Some(text.clone()),
        _ => None,
    })
}

/// Texts and links in place, with the stretches that findings speak of.
pub(super) fn read_parts(messages: &[Message], report: &Report) -> Vec<PartView> {
    let mut parts = Vec::new();
    for (index, message) in messages.iter().enumerate().take(MESSAGES_SHOWN_MAX) {
        let reported = report.messages.iter().find(|reported| reported.pointer == message.pointer);
        for part in &message.parts {
            if parts.len() >= PARTS_SHOWN_MAX {
                return parts;
            }
            let (role, text) = match &part.body {
                PartBody::Text { text, role } => (role.as_str().to_owned(), text.clone()),
                PartBody::Link { url } => ("link".to_owned(), url.clone()),
                PartBody::File(media) => ("file".to_owned(), media.name.clone().unwrap_or_default()),
            };
            let findings = reported.map(|reported| reported.inspection.findings.as_slice()).unwrap_or_default();
            let marks = findings.iter().enumerate().filter(|(_, finding)| finding.place == part.place);
            let marks = marks.filter_map(|(at, finding)| {
                let (start, end) = finding.span?;
                text.get(start..end).map(|_| (start, end, at))
            });
            let marks = marks.collect();
            parts.push(PartView { message: index, place: part.place.clone(), role, text, marks });
        }
    }
    parts
}

/// JSON as a person reads it; what is no JSON as text.
pub(super) fn indented(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}
