//! From decisions to what is sent: the orders for the rewrite, the annotation, the findings header.

use crate::{Annotate, Parts, RouteSettings, files::SeenFile, process::JudgedMessage};
use guarita_media::MediaState;
use guarita_message::{
    Action, Category, Channel, Decision, DeliveryId, FileReport, GapReason, Inspection, Message, PartBody, Severity,
    TextEdit, Verdict,
};
use guarita_policy::notice;
use guarita_webhook::{MediaRewrite, MediaUrl, Order, Withhold};
use serde::Serialize;
use serde_json::json;

/// Bound of `X-Guarita-Findings` (SPEC 6).
const FINDINGS_HEADER_BYTES_MAX: usize = 4096;

/// What the rewrite is asked to do with one message.
pub(crate) fn order(
    parts: &Parts,
    route: &RouteSettings,
    id: &DeliveryId,
    judged: &JudgedMessage,
    released_by: Option<&str>,
    now_ms: u64,
) -> Order {
    let JudgedMessage { message, inspection, decision, files, .. } = judged;
    let mut order = Order::of(&message.pointer);
    order.annotation = (route.annotate == Annotate::Message).then(|| annotation(judged, id, released_by));
    order.edits.clone_from(&decision.edits);
    for place in &decision.withheld {
        let name = shown_name(message, inspection, place, &decision.edits);
        order.withhold.push(Withhold {
            place: place.clone(),
            form: route.withheld_as,
            notice: notice(decision, inspection, place, &name, &route.notice_language),
            replacement_id: replacement_id(parts, message, place),
            caption: edited_text(message, &format!("{place}/caption"), &decision.edits),
        });
    }
    for file in files.iter().filter(|file| !decision.withheld.contains(&file.place)) {
        let served = !decision.not_served.contains(&file.place);
        order.media.push(MediaRewrite {
            pointer: file.pointer.clone(),
            url: media_url(parts, message, file, served, now_ms),
            mime_type: None,
            sha256: None,
        });
    }
    order
}

fn media_url(parts: &Parts, message: &Message, file: &SeenFile, served: bool, now_ms: u64) -> MediaUrl {
    match (&file.id, &file.media.url) {
        // May not be stored, so the door cannot serve it; clean, so its own url may stay.
        (None, _) if served => MediaUrl::Keep,
        (_, None) => MediaUrl::Remove,
        (Some(id), Some(_)) if served => match (parts.media_urls)(id, now_ms) {
            Some(url) => MediaUrl::Replace(url),
            // Without the door a channel that knows no ids would lose its files altogether.
            None if message.channel != Channel::Whatsapp => MediaUrl::Keep,
            None => MediaUrl::Remove,
        },
        _ => MediaUrl::Remove,
    }
}

/// The state of each of a message's media ids after the decision.
pub(crate) fn media_states(parts: &Parts, judged: &JudgedMessage) -> Vec<(guarita_media::MediaKey, MediaState)> {
    let decision = &judged.decision;
    // The id that stands in for a blocked one must be known too: an unknown id would be asked of Graph.
    let replaced = decision
        .withheld
        .iter()
        .map(|place| (parts.index.key(&replacement_id(parts, &judged.message, place)), MediaState::Withheld(None)));
    let states = judged.files.iter().filter_map(|file| {
        let stored = file.stored.clone();
        let state = match stored {
            stored if decision.withheld.contains(&file.place) => MediaState::Withheld(stored),
            Some(stored) if !decision.not_served.contains(&file.place) => MediaState::Served(stored),
            stored => MediaState::NotServed(stored),
        };
        Some((file.key?, state))
    });
    states.chain(replaced).collect()
}

fn replacement_id(parts: &Parts, message: &Message, place: &str) -> String {
    parts.index.minted_id(&[&message.account, &message.id, place, "withheld"])
}

/// The value of `guarita` in a message object (SPEC 6), in this order.
#[derive(Serialize)]
struct Annotation<'a> {
    version: u32,
    verdict: Verdict,
    action: Action,
    findings: Vec<ShownFinding<'a>>,
    gaps: Vec<ShownGap<'a>>,
    files: Vec<FileReport>,
    r#ref: &'a DeliveryId,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    released: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    first_contact: bool,
}

#[derive(Serialize)]
struct ShownFinding<'a> {
    rule: &'a str,
    category: Category,
    severity: Severity,
    r#where: &'a str,
    title: &'a str,
    evidence: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    inside: &'a str,
}

#[derive(Serialize)]
struct ShownGap<'a> {
    reason: GapReason,
    r#where: &'a str,
    scanner: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    inside: &'a str,
}

fn annotation(judged: &JudgedMessage, id: &DeliveryId, released_by: Option<&str>) -> String {
    let JudgedMessage { message, inspection, decision, .. } = judged;
    let files = inspection.files.iter().map(|file| {
        let name = shown_name(message, inspection, &file.place, &decision.edits);
        FileReport { name, ..file.clone() }
    });
    let findings = inspection.findings.iter().filter(|finding| !finding.shadow).map(|finding| ShownFinding {
        rule: &finding.rule,
        category: finding.category,
        severity: finding.severity,
        r#where: &finding.place,
        title: &finding.title,
        evidence: shown_evidence(message, decision, &finding.evidence),
        inside: &finding.inside,
    });
    let gaps = inspection.gaps.iter().map(|gap| ShownGap {
        reason: gap.reason,
        r#where: &gap.place,
        scanner: &gap.scanner,
        inside: &gap.inside,
    });
    let annotation = Annotation {
        version: 1,
        verdict: decision.verdict,
        action: decision.action,
        findings: findings.collect(),
        gaps: gaps.collect(),
        files: files.collect(),
        r#ref: id,
        released: released_by.is_some(),
        first_contact: judged.first_contact,
    };
    // Words, numbers and lists: there is nothing in it that cannot be written.
    serde_json::to_string(&annotation).unwrap_or_else(|_| "{}".to_owned())
}

/// `X-Guarita-Findings`: compact JSON, percent-encoded, the worst findings first and as many as fit.
pub(crate) fn findings_header(judged: &[JudgedMessage]) -> String {
    let mut findings: Vec<_> =
        judged.iter().flat_map(|judged| &judged.inspection.findings).filter(|finding| !finding.shadow).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let gaps: Vec<_> = judged.iter().flat_map(|judged| &judged.inspection.gaps).collect();
    let mut most = findings.len() + gaps.len();
    loop {
        let shown_findings = findings.iter().take(most).map(|finding| {
            json!({"rule": finding.rule, "category": finding.category, "severity": finding.severity, "where": finding.place})
        });
        let shown_gaps = gaps
            .iter()
            .take(most.saturating_sub(findings.len()))
            .map(|gap| json!({"reason": gap.reason, "where": gap.place}));
        let mut value = json!({"findings": shown_findings.collect::<Vec<_>>(), "gaps": shown_gaps.collect::<Vec<_>>()});
        if judged.iter().any(|judged| judged.first_contact) {
            value["first_contact"] = json!(true);
        }
        if most < findings.len() + gaps.len() {
            value["left_out"] = json!(findings.len() + gaps.len() - most);
        }
        let text =
            percent_encoding::utf8_percent_encode(&value.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string();
        if text.len() <= FINDINGS_HEADER_BYTES_MAX || most == 0 {
            return text;
        }
        most = most * 3 / 4;
    }
}

/// A text of the message as it goes on: defanged and redacted.
fn edited_text(message: &Message, place: &str, edits: &[TextEdit]) -> Option<String> {
    let part = message.parts.iter().find(|part| part.place == place)?;
    let PartBody::Text { text, .. } = &part.body else { return None };
    let mut out = text.clone();
    for edit in edits.iter().rev().filter(|edit| edit.pointer == part.pointer) {
        if edit.start <= edit.end && out.is_char_boundary(edit.start) && out.is_char_boundary(edit.end) {
            out.replace_range(edit.start..edit.end, &edit.replacement);
        }
    }
    Some(out)
}

/// Evidence quotes the message; what was defanged or redacted there must not come back live through it.
fn shown_evidence(message: &Message, decision: &Decision, evidence: &str) -> String {
    let mut shown = evidence.to_owned();
    for edit in &decision.edits {
        let part = message.parts.iter().find(|part| part.pointer == edit.pointer);
        let original = match part.map(|part| &part.body) {
            Some(PartBody::Text { text, .. }) => text.get(edit.start..edit.end),
            Some(PartBody::Link { url }) => url.get(edit.start..edit.end),
            _ => None,
        };
        if let Some(original) = original.filter(|original| !original.is_empty()) {
            shown = shown.replace(original, &edit.replacement);
        }
    }
    if decision.edits.iter().any(|edit| edit.action >= Action::Defang) {
        // Evidence may be cut in the middle of a link, or hold it in another spelling.
        for link in guarita_inspect::find_links(&shown).into_iter().rev() {
            let live = shown[link.span.0..link.span.1].to_owned();
            shown.replace_range(link.span.0..link.span.1, &guarita_policy::defang(&live));
        }
    }
    shown
}

/// A file's name is the customer's text as well: in notices and annotations it stands as it was decided.
fn shown_name(message: &Message, inspection: &Inspection, place: &str, edits: &[TextEdit]) -> String {
    ["filename", "name"]
        .iter()
        .find_map(|key| edited_text(message, &format!("{place}/{key}"), edits))
        .or_else(|| inspection.files.iter().find(|file| file.place == place).map(|file| file.name.clone()))
        .unwrap_or_default()
}

/// A decision that lets everything through as it came: what a release means.
pub(crate) fn released(mut decision: Decision) -> Decision {
    decision.action = Action::Pass;
    decision.edits.clear();
    decision.withheld.clear();
    decision.not_served.clear();
    decision.hold = false;
    decision
}
