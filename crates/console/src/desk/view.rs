//! What the desk shows: rows of a list, one message with everything that was seen, its contents.

use guarita_message::{Because, Channel, ConversationKey, DeliveryId, Gap, Lane, Verdict};
use guarita_spool::{Filter, Record, State};
use serde::{Deserialize, Serialize};

/// What to list. Every field narrows; newest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    pub states: Vec<State>,
    pub verdicts: Vec<Verdict>,
    pub quarantine: Option<bool>,
    pub channel: Option<Channel>,
    pub route: Option<String>,
    /// A phone number, user id or other name of the sender, exactly. Needs the permission `content`.
    pub sender: Option<String>,
    /// Words, rule ids, file hashes, domains; all must fit.
    pub terms: Vec<String>,
    pub received_from: Option<u64>,
    pub received_until: Option<u64>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    pub most: Option<usize>,
    #[serde(skip)]
    pub conversation: Option<ConversationKey>,
}

/// A page of a list. `next` goes on where it ends; `None`: that was all.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    pub record: Record,
    /// What it is and what was seen, in few words; `None` while it is not judged, or once it is erased.
    pub summary: Option<Seen>,
}

/// The gist of what was seen, kept beside the record so that lists need no content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Meta's word for the message: `text`, `image`, `document`.
    pub kind: String,
    /// The sender, masked unless the reader may see personal data.
    pub sender: String,
    /// The strictest action taken.
    pub action: String,
    /// Rules that spoke, the worst first; at most a few.
    pub rules: Vec<String>,
    /// Title of the worst finding.
    pub title: String,
    pub gaps: Vec<String>,
    /// Names of files; only for those who may see contents.
    pub files: Vec<String>,
}

/// What happened to a message, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    pub at_ms: Option<u64>,
    pub kind: MomentKind,
    /// Who or what; no content.
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    Received,
    Fetched,
    Scanned,
    Decided,
    Delivered,
    Retry,
    Quarantined,
    DeadLettered,
    Released,
    Opened,
    Downloaded,
    Replayed,
    Deleted,
    Revoked,
}

/// One entry with everything that was seen and decided; no contents but the evidence of findings.
#[derive(Clone, Debug, Serialize)]
pub struct MessageView {
    pub record: Record,
    pub timeline: Vec<Moment>,
    /// One for each message in the entry; empty for statuses and for what is not judged yet.
    pub messages: Vec<ReadMessage>,
    /// Its contents are still kept: it can be opened, released, downloaded.
    pub has_content: bool,
    /// Entries of the same conversation around it, newest first.
    pub neighbours: Vec<Listed>,
    /// What the reader may do with it.
    pub may_open: bool,
    pub may_release: bool,
    pub may_delete: bool,
    pub may_retry: bool,
}

/// One message of an entry, as it was read and judged.
#[derive(Clone, Debug, Serialize)]
pub struct ReadMessage {
    pub id: String,
    pub kind: String,
    /// JSON pointer of the message object in the body.
    pub pointer: String,
    pub verdict: Verdict,
    pub action: String,
    /// Names of the sender; masked for those who may not see personal data.
    pub senders: Vec<String>,
    pub name: String,
    pub findings: Vec<FindingView>,
    pub gaps: Vec<Gap>,
    pub files: Vec<FileView>,
    /// The policy lines that spoke.
    pub because: Vec<Because>,
    pub withheld: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FindingView {
    pub rule: String,
    pub category: String,
    pub severity: String,
    #[serde(rename = "where")]
    pub place: String,
    pub inside: String,
    pub title: String,
    pub why: String,
    pub evidence: String,
    /// Byte range in the part's text, if it speaks of a stretch of it.
    pub span: Option<(usize, usize)>,
    pub shadow: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct FileView {
    #[serde(rename = "where")]
    pub place: String,
    /// Empty for those who may not see contents.
    pub name: String,
    #[serde(rename = "type")]
    pub true_type: String,
    pub declared_type: String,
    pub bytes: u64,
    pub sha256: Option<String>,
    pub scanned_by: Vec<String>,
    /// `pending served withheld not_served unknown`: what the media door does with it now.
    pub media: String,
    /// Its bytes are still kept.
    pub kept: bool,
}

/// What a person wrote, opened: every opening is in the audit.
#[derive(Clone, Debug, Serialize)]
pub struct Contents {
    pub id: DeliveryId,
    /// Texts and links of each message, in place.
    pub parts: Vec<PartView>,
    /// The body as Meta sent it, and as the backend got it; indented JSON. `None`: no longer kept, or never sent.
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PartView {
    /// Index of its message in [`MessageView::messages`].
    pub message: usize,
    #[serde(rename = "where")]
    pub place: String,
    /// `body caption file_name label answer referral link file`.
    pub role: String,
    pub text: String,
    /// Stretches that findings speak of: byte ranges in `text`, with the index of the finding.
    pub marks: Vec<(usize, usize, usize)>,
}

impl Search {
    pub(crate) const MOST_MAX: usize = 200;
    pub(crate) const MOST: usize = 50;
    /// Terms in one search.
    pub(crate) const TERMS_MAX: usize = 8;

    pub(crate) fn filter(&self) -> Filter {
        Filter {
            states: self.states.clone(),
            verdicts: self.verdicts.clone(),
            quarantine: self.quarantine,
            channel: self.channel,
            route: self.route.clone(),
            sender: self.sender.clone(),
            conversation: self.conversation.clone(),
            received_from: self.received_from,
            received_until: self.received_until,
            before: None,
        }
    }
}

/// Lanes whose entries hold messages of people.
pub(crate) fn holds_messages(lane: Lane) -> bool {
    matches!(lane, Lane::Message | Lane::History)
}
