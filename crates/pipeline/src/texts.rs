//! Round 2: the texts and links of a message, and those that round 1 found inside its files.

use crate::Brains;
use guarita_inspect::{LinkContext, TextContext, find_links, inspect_link, inspect_text};
use guarita_message::{
    FileClass, FoundParts, Gap, GapReason, Inspection, Message, PartBody, Severity, Subject, TextRole,
};

/// Findings in texts and links of one message; what is beyond is a gap. Decisions are made on all of them: a cut before
/// the decision would let whoever writes enough bad links push the worst thing out.
const FINDINGS_DECIDED_MAX: usize = 50_000;

/// Text rules that also speak of texts found inside files (and behind QR codes).
const SURE_IN_FILES: [&str; 4] = ["texts/code-theft", "texts/device-link", "texts/unofficial-app", "texts/family"];

/// Looks at every text and link of `message`, and judges (and empties) `inspection.found`.
pub fn inspect_texts(message: &Message, inspection: &mut Inspection, brains: &Brains) {
    let has_attachment = message.parts.iter().any(|part| matches!(part.body, PartBody::File(_)));
    let lists = brains.lists.as_deref();
    for part in &message.parts {
        match &part.body {
            PartBody::File(_) => {}
            PartBody::Link { url } => {
                inspection.merge(inspect_link(url, &part.place, None, &LinkContext::default(), &brains.rules, lists));
            }
            PartBody::Text { text, role } => {
                let links = find_links(text);
                let context = TextContext {
                    role: *role,
                    forwarded: message.forwarded,
                    frequently_forwarded: message.frequently_forwarded,
                    has_link: !links.is_empty(),
                    has_attachment,
                    ..TextContext::default()
                };
                inspection.merge(inspect_text(text, &part.place, &context, &brains.rules));
                for link in links {
                    let span = Some(link.span);
                    let context = LinkContext { in_text: true, shown: link.shown, ..LinkContext::default() };
                    inspection.merge(inspect_link(&link.url, &part.place, span, &context, &brains.rules, lists));
                }
            }
        }
        if is_full(inspection, &part.place) {
            return;
        }
    }
    for found in std::mem::take(&mut inspection.found) {
        let mut seen = match &found.what {
            FoundParts::Link(url) => {
                inspect_link(url, &found.place, None, &LinkContext::default(), &brains.rules, lists)
            }
            FoundParts::Text(text) => {
                let context = TextContext { role: TextRole::Answer, ..TextContext::default() };
                let mut seen = inspect_text(text, &found.place, &context, &brains.rules);
                for link in find_links(text) {
                    let context = LinkContext { in_text: true, shown: link.shown, ..LinkContext::default() };
                    seen.merge(inspect_link(&link.url, &found.place, None, &context, &brains.rules, lists));
                }
                seen
            }
        };
        // Rules for chats, and scores learned from chats and sent links, say little of documents, logs and mails: inside a
        // file only what is sure by itself counts.
        seen.findings
            .retain(|finding| finding.subject != Subject::Text || SURE_IN_FILES.contains(&finding.rule.as_str()));
        for finding in &mut seen.findings {
            finding.inside.clone_from(&found.inside);
            finding.span = None;
            if finding.rule == "links/learned-suspicious" {
                finding.severity = Severity::Low;
            }
        }
        seen.score = 0.0;
        inspection.merge(seen);
        if is_full(inspection, &found.place) {
            return;
        }
    }
}

/// Stops at the bound, and says so: what was not looked at is a gap.
fn is_full(inspection: &mut Inspection, place: &str) -> bool {
    let full = inspection.findings.len() >= FINDINGS_DECIDED_MAX;
    if full {
        inspection.gaps.push(Gap {
            reason: GapReason::Limits,
            place: place.to_owned(),
            inside: String::new(),
            scanner: "texts".into(),
            detail: "more findings than are looked at in one message".into(),
            class: FileClass::Other,
        });
    }
    full
}

/// Keeps the worst findings, files' before others', in the order they were found. For showing: after the decision.
pub fn keep_worst(inspection: &mut Inspection, findings_max: usize) {
    if inspection.findings.len() <= findings_max {
        return;
    }
    let mut order: Vec<usize> = (0..inspection.findings.len()).collect();
    order.sort_by_key(|at| {
        let finding = &inspection.findings[*at];
        (std::cmp::Reverse(finding.severity), finding.subject != Subject::File, *at)
    });
    let mut keep = vec![false; order.len()];
    order.iter().take(findings_max).for_each(|at| keep[*at] = true);
    let mut keep = keep.into_iter();
    inspection.findings.retain(|_| keep.next().unwrap_or(false));
}
