//! Round 2: the texts and links of a message, those that round 1 found inside its files, and those that a followed link
//! led to.

use crate::Brains;
use futures_util::{StreamExt as _, stream};
use guarita_inspect::{
    FoundLink, LinkContext, LinkFollower, TextContext, find_links, inspect_link, inspect_text,
    links::{Followed, leads_elsewhere},
};
use guarita_message::{
    FileClass, Finding, FoundPart, FoundParts, Gap, GapReason, Inspection, Message, PartBody, Severity, Subject,
    TextRole,
};
use std::{cell::Cell, collections::HashMap};

/// Findings in texts and links of one message; what is beyond is a gap. Decisions are made on all of them: a cut before
/// the decision would let whoever writes enough bad links push the worst thing out.
const FINDINGS_DECIDED_MAX: usize = 50_000;

/// Text rules that also speak of texts found inside files (and behind QR codes).
const SURE_IN_FILES: [&str; 4] = ["texts/code-theft", "texts/device-link", "texts/unofficial-app", "texts/family"];

/// Links of one message that were followed, and where they led. Empty where nobody follows.
pub type FollowedLinks = HashMap<String, Followed>;
/// Links asked at one time for one message.
const FOLLOWED_AT_ONCE: usize = 4;

/// The links of `message`, and those found in its files, that hide where they lead; `true`: there are more than are
/// followed. Reads every text once: not for the event loop where they are long.
pub fn links_to_follow(
    message: &Message,
    found: &[FoundPart],
    brains: &Brains,
    follower: &dyn LinkFollower,
) -> (Vec<String>, bool) {
    let mut wanted: Vec<String> = Vec::new();
    let mut more = false;
    let mut want = |url: String| {
        if !wanted.contains(&url) && follower.follows(&url, leads_elsewhere(&url, &brains.rules)) {
            // The first that is left out stays in the list: its place carries the gap.
            more = wanted.len() >= follower.links_max();
            if wanted.len() <= follower.links_max() {
                wanted.push(url);
            }
        }
    };
    for part in &message.parts {
        match &part.body {
            PartBody::Text { text, role } => links_in(text, *role).into_iter().for_each(|link| want(link.url)),
            PartBody::Link { url } => want(url.clone()),
            PartBody::File(_) => {}
        }
    }
    for part in found {
        match &part.what {
            FoundParts::Link(url) => want(url.clone()),
            FoundParts::Text(text) => {
                links_in(text, TextRole::FileName).into_iter().for_each(|link| want(link.url));
            }
        }
    }
    (wanted, more)
}

/// Asks where they lead, a few at a time.
pub async fn follow_links((mut wanted, more): (Vec<String>, bool), follower: &dyn LinkFollower) -> FollowedLinks {
    let left_out = if more { wanted.pop() } else { None };
    let asked = stream::iter(wanted).map(|url| async move {
        let followed = follower.follow(&url).await;
        (url, followed)
    });
    let mut followed: FollowedLinks = asked.buffer_unordered(FOLLOWED_AT_ONCE).collect().await;
    if let Some(url) = left_out {
        let detail = "more links than are followed in one message (redirects.links_max)";
        followed.insert(url, Followed { gap: Some((GapReason::Limits, detail.into())), ..Followed::default() });
    }
    followed
}

/// Links of a text. In a file's name, and in texts inside files (logs, program texts), `notes.pub` and `main.rs` are names of
/// files, though they could be hosts: a link there has a scheme, a `www.` or a path.
fn links_in(text: &str, role: TextRole) -> Vec<FoundLink> {
    let mut links = find_links(text);
    if role == TextRole::FileName {
        links.retain(|link| is_meant_as_link(text, link));
    }
    links
}

fn is_meant_as_link(text: &str, link: &FoundLink) -> bool {
    let written = text.get(link.span.0..link.span.1).unwrap_or_default();
    let start = written.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    link.shown.is_some()
        || start.contains("://")
        || start.starts_with("www.")
        || start.split_once('/').is_some_and(|(_, path)| !path.is_empty())
}

/// What links are judged by.
struct Links<'a> {
    brains: &'a Brains,
    followed: &'a FollowedLinks,
    looked_at: Cell<usize>,
}

/// Links of one message that the learned score is asked of; rules and lists are asked of all. Ten thousand links stay
/// within 50 ms so.
const SCORED_LINKS_MAX: usize = 250;

impl Links<'_> {
    /// The link, and all that it led to, said of the link's own place.
    fn look(&self, url: &str, place: &str, span: Option<(usize, usize)>, context: &LinkContext) -> Inspection {
        let lists = self.brains.lists.as_deref();
        self.looked_at.set(self.looked_at.get() + 1);
        let unscored = self.looked_at.get() > SCORED_LINKS_MAX;
        let context = &LinkContext { unscored, ..context.clone() };
        let mut seen = inspect_link(url, place, span, context, &self.brains.rules, lists);
        let Some(followed) = self.followed.get(url) else { return seen };
        let by_way_of = url.split("//").nth(1).unwrap_or(url).split(['?', '#']).next().unwrap_or_default();
        let by_way_of: String = by_way_of.chars().take(BY_WAY_OF_CHARS_MAX).collect();
        let context = LinkContext { shown: None, ..context.clone() };
        for end in &followed.links {
            let mut ends = inspect_link(end, place, span, &context, &self.brains.rules, lists);
            for finding in &mut ends.findings {
                finding.evidence = Finding::evidence_of(&format!("{by_way_of} › {}", finding.evidence));
            }
            seen.merge(ends);
        }
        if let Some((reason, detail)) = &followed.gap {
            seen.gaps.push(Gap {
                reason: *reason,
                place: place.to_owned(),
                inside: String::new(),
                scanner: "redirects".into(),
                detail: detail.clone(),
                class: FileClass::Other,
            });
        }
        seen
    }
}

/// Of a followed link's own address, in the evidence of what it led to.
const BY_WAY_OF_CHARS_MAX: usize = 40;

/// Looks at every text and link of `message`, and judges (and empties) `inspection.found`.
pub fn inspect_texts(message: &Message, inspection: &mut Inspection, brains: &Brains, followed: &FollowedLinks) {
    let has_attachment = message.parts.iter().any(|part| matches!(part.body, PartBody::File(_)));
    let links_of = Links { brains, followed, looked_at: Cell::new(0) };
    for part in &message.parts {
        match &part.body {
            PartBody::File(_) => {}
            PartBody::Link { url } => {
                inspection.merge(links_of.look(url, &part.place, None, &LinkContext::default()));
            }
            PartBody::Text { text, role } => {
                let links = links_in(text, *role);
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
                    inspection.merge(links_of.look(&link.url, &part.place, span, &context));
                }
            }
        }
        if is_full(inspection, &part.place) {
            return;
        }
    }
    for found in std::mem::take(&mut inspection.found) {
        let mut seen = match &found.what {
            FoundParts::Link(url) => links_of.look(url, &found.place, None, &LinkContext::default()),
            FoundParts::Text(text) => {
                let context = TextContext { role: TextRole::Answer, ..TextContext::default() };
                let mut seen = inspect_text(text, &found.place, &context, &brains.rules);
                for link in links_in(text, TextRole::FileName) {
                    let context = LinkContext { in_text: true, shown: link.shown, ..LinkContext::default() };
                    seen.merge(links_of.look(&link.url, &found.place, None, &context));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_no_links() {
        for text in ["60685.pub", "LinkAt10And20.pub", "see main.rs and setup.py", "fatura.zip"] {
            assert!(links_in(text, TextRole::FileName).is_empty(), "{text}");
        }
        assert_eq!(links_in("https://evil.com", TextRole::FileName).len(), 1);
    }
}
