//! What really is so, noted by the stand-ins as it happens, and the promises that it is held against. The gateway cannot
//! see any of it.

use guarita_message::{ContentHash, DeliveryId};
use std::collections::{BTreeMap, BTreeSet};

/// An update that Meta sends: each carries its number in its id (`wamid.u7`).
pub type Tag = u32;

#[derive(Debug)]
pub struct Entry {
    /// Place in the order of receipt.
    pub order: usize,
    pub conversation: String,
    pub tags: Vec<Tag>,
    pub received: Vec<u8>,
    /// What was decided to be sent; `None`: nothing was decided.
    pub decided: Option<Vec<u8>>,
    pub end: Option<End>,
    /// A person released it or put it back: its place in the order is gone.
    pub out_of_line: bool,
    pub released: bool,
    pub taken: bool,
    pub refusals: u32,
    pub attempts: u32,
    /// Until when a claim holds it, by the machine's clock; nobody else may get it before.
    pub held_until_ms: u64,
    /// Version of the signatures when it was received: no opinion older than this may let its files through.
    pub signatures: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Delivered,
    Quarantined,
    DeadLettered,
}

/// What an inspector said of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    Clean,
    Found,
    /// It could not look, and may later.
    GapThatMayClose,
    /// It could not look and never will; the default policy lets it go on, annotated.
    GapToAnnotate,
    /// The same, and the policy withholds it.
    GapToWithhold,
}

#[derive(Default)]
pub struct Truth {
    pub broken: Option<String>,
    /// Who was answered 200.
    pub acknowledged: BTreeSet<Tag>,
    pub entries: BTreeMap<DeliveryId, Entry>,
    pub entry_of: BTreeMap<Tag, DeliveryId>,
    /// By content and inspector: all that was ever said, with the version of the signatures it was said by.
    pub said: BTreeMap<(ContentHash, &'static str), BTreeSet<(u64, Said)>>,
    /// The contents that Graph ever gave for a media id.
    pub contents: BTreeMap<String, BTreeSet<ContentHash>>,
    pub panics: u32,
    pub taken: BTreeSet<Tag>,
    /// `policy.on_deadline = "pass"` in this run.
    pub passes_at_deadline: bool,
    pub deliveries: u64,
    pub repeats: u64,
}

impl Truth {
    /// May the content be served to the backend? Every inspector has had its say, and none found anything.
    pub fn may_be_served(&self, hash: &ContentHash, inspectors: &[&'static str], signatures: u64) -> bool {
        self.each_said(hash, inspectors, signatures, |said| match said {
            Said::Clean | Said::GapToAnnotate => true,
            Said::GapThatMayClose => self.passes_at_deadline,
            Said::Found | Said::GapToWithhold => false,
        })
    }

    pub fn is_clean(&self, hash: &ContentHash, inspectors: &[&'static str], signatures: u64) -> bool {
        self.each_said(hash, inspectors, signatures, |said| said == Said::Clean)
    }

    /// Did every inspector once say such a thing, by signatures of that version or a later one?
    fn each_said(
        &self,
        hash: &ContentHash,
        inspectors: &[&'static str],
        since: u64,
        such: impl Fn(Said) -> bool,
    ) -> bool {
        inspectors.iter().all(|name| {
            let said = self.said.get(&(*hash, *name)).into_iter().flatten();
            said.filter(|(version, _)| *version >= since).any(|(_, said)| such(*said))
        })
    }

    /// Does an earlier entry of the conversation still wait? Those that a person put back do not count.
    pub fn overtaken_by(&self, id: &DeliveryId) -> Option<&DeliveryId> {
        let late = self.entries.get(id).filter(|entry| !entry.out_of_line)?;
        self.entries
            .iter()
            .find(|(_, early)| {
                early.order < late.order
                    && early.conversation == late.conversation
                    && early.end.is_none()
                    && !early.out_of_line
            })
            .map(|(id, _)| id)
    }
}

/// The updates in a body.
pub fn tags_in(body: &[u8]) -> Vec<Tag> {
    const BEFORE: &[u8] = b"wamid.u";
    let mut tags: Vec<Tag> = Vec::new();
    let mut at = 0;
    while at + BEFORE.len() < body.len() {
        if body[at..].starts_with(BEFORE) {
            at += BEFORE.len();
            let mut tag = 0;
            while let Some(digit) = body.get(at).filter(|byte| byte.is_ascii_digit()) {
                tag = tag * 10 + u32::from(digit - b'0');
                at += 1;
            }
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        } else {
            at += 1;
        }
    }
    tags
}
