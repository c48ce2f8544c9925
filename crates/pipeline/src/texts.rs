//! Round 2: the texts and links of a message, and those that round 1 found inside its files.

use crate::Brains;
use guarita_inspect::{LinkContext, TextContext, find_links, inspect_link, inspect_text};
use guarita_message::{FoundParts, Inspection, Message, PartBody, TextRole};

/// Looks at every text and link of `message`, and judges (and empties) `inspection.found`.
pub fn inspect_texts(message: &Message, inspection: &mut Inspection, brains: &Brains, findings_max: usize) {
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
        keep_worst(inspection, findings_max);
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
        for finding in &mut seen.findings {
            finding.inside.clone_from(&found.inside);
            finding.span = None;
        }
        inspection.merge(seen);
        keep_worst(inspection, findings_max);
    }
}

/// Bounds the findings of a message that is made of links; what was worst stays, in the order it was found.
fn keep_worst(inspection: &mut Inspection, findings_max: usize) {
    while inspection.findings.len() > findings_max {
        let mildest = inspection.findings.iter().enumerate().rev().min_by_key(|(_, finding)| finding.severity);
        let Some((at, _)) = mildest else { return };
        inspection.findings.remove(at);
    }
}
