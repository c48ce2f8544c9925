//! Ids and urls of blocked files, and taking them out of everything else that goes on.

use crate::json::{Changes, Document, Kind, NodeId};
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::HashSet;

/// An id shorter than this is only taken out where it is the whole string: within others it may be anything.
const SECRET_BYTES_MIN: usize = 8;
/// Plain members of a message object that name it, never its content.
const NEVER_SCRUBBED: [&str; 10] =
    ["from", "to", "id", "timestamp", "type", "from_user_id", "to_user_id", "group_id", "mid", "message_id"];

pub(super) struct Secrets {
    whole: HashSet<String>,
    /// Longest first: an id that is taken out of a url would leave the rest of the url standing.
    within: Option<AhoCorasick>,
}

impl Secrets {
    pub(super) fn of(secrets: Vec<String>) -> Self {
        let whole: HashSet<String> = secrets.into_iter().filter(|secret| !secret.is_empty()).collect();
        let long: Vec<&String> = whole.iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        let automaton = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&long);
        let within = (!long.is_empty())
            .then(|| automaton().expect("ids of one body are together far below the two billion states there may be"));
        Secrets { whole, within }
    }

    fn are_all(&self, text: &str) -> bool {
        self.whole.contains(text)
    }

    fn within(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        self.within
            .as_ref()
            .map(|within| within.find_iter(text).map(|found| found.range()).collect())
            .unwrap_or_default()
    }

    pub(super) fn taken_out_of(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for range in self.within(text).into_iter().rev() {
            out.replace_range(range, "");
        }
        out
    }
}

/// Takes them out of every other string of the message.
pub(super) fn scrub(document: &Document<'_>, changes: &mut Changes<'_, '_>, message: NodeId, secrets: &Secrets) {
    if secrets.whole.is_empty() {
        return;
    }
    let named = |node: NodeId| {
        !document.is_container(node) && document.key(node).is_some_and(|key| NEVER_SCRUBBED.contains(&key.as_ref()))
    };
    let mut open: Vec<NodeId> = document.children(message).filter(|node| !named(*node)).collect();
    while let Some(node) = open.pop() {
        open.extend(document.children(node));
        match document.kind(node) {
            Kind::String => {
                let text = document.text(node).unwrap_or_default();
                // A short id may be a word like any other, and a kind must stay one.
                let kind = document.key_is(node, "type") && text.len() < SECRET_BYTES_MIN;
                if secrets.are_all(&text) && !kind {
                    changes.edit_text(node, 0..text.len(), "");
                } else {
                    secrets.within(&text).into_iter().for_each(|range| changes.edit_text(node, range, ""));
                }
            }
            Kind::Number if secrets.are_all(document.raw(node)) => changes.replace(node, "0".to_owned()),
            _ => {}
        }
    }
}
