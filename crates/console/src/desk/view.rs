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
    /// `true`: what a person let go; `false`: what nobody did.
    pub released: Option<bool>,
    pub channel: Option<Channel>,
    pub route: Option<String>,
    /// A phone number, user id or other name of the sender, exactly. Needs the permission `content`.
    pub sender: Option<String>,
    /// Words of findings and file names, rule ids, file hashes, domains, or a term of the lexicon (`severity:high`); all
    /// must fit. Only entries in which something was seen, or that hold a file, can be found so.
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
    /// Names of the sender; masked for those who may not see personal data.
    pub from: Vec<String>,
    /// Meta's word for the message: `text`, `image`, `document`.
    pub kind: String,
    /// Messages in the entry; 0 means one.
    pub messages: u64,
    /// The strictest action taken; empty where nothing was seen.
    pub action: String,
    /// How many findings, and the titles of the worst.
    pub findings: u64,
    pub titles: Vec<String>,
    pub gaps: Vec<String>,
    /// Name and size of the first file; of the name only its ending for those who may not see contents.
    pub file: String,
    pub bytes: u64,
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
    Previewed,
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
            released: self.released,
            channel: self.channel,
            route: self.route.clone(),
            sender: self.sender.as_deref().map(tidy_sender),
            conversation: self.conversation.clone(),
            terms: self.terms.iter().flat_map(|words| words.split_whitespace()).map(term_of).collect(),
            received_from: self.received_from,
            received_until: self.received_until,
            ..Filter::default()
        }
    }
}

/// Kinds of terms that may be typed as they stand (docs/lexicon.md).
const TERM_KINDS: [&str; 10] =
    ["message", "kind", "action", "gap", "rule", "category", "severity", "domain", "sha256", "type"];

/// What a person typed, as the term it stands for.
pub(crate) fn term_of(typed: &str) -> String {
    let lower = typed.to_lowercase();
    if let Some((kind, _)) = typed.split_once(':')
        && TERM_KINDS.contains(&kind)
    {
        return if matches!(kind, "domain" | "sha256") { lower } else { typed.to_owned() };
    }
    if lower.len() == 64 && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return format!("sha256:{lower}");
    }
    if let Some((_, rest)) = lower.split_once("://") {
        return format!("domain:{}", rest.split(['/', '?', '#', ':']).next().unwrap_or_default());
    }
    if typed.starts_with("wamid.") {
        return format!("message:{typed}");
    }
    if typed.contains('/') {
        return format!("rule:{typed}");
    }
    if lower.contains('.') && lower.split('.').all(|label| !label.is_empty()) {
        return format!("domain:{}", lower.trim_end_matches('.'));
    }
    let word: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    format!("word:{word}")
}

/// A phone number however it is written, as Meta writes it: digits alone. Anything else as it stands.
pub(crate) fn tidy_sender(sender: &str) -> String {
    let sender = sender.trim();
    let is_number = sender.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.'));
    if is_number { sender.chars().filter(char::is_ascii_digit).collect() } else { sender.to_owned() }
}

/// Lanes whose entries hold messages of people.
pub(crate) fn holds_messages(lane: Lane) -> bool {
    matches!(lane, Lane::Message | Lane::History)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_however_they_are_written() {
        for (typed, expect) in [
            ("+55 (11) 98765-4321", "5511987654321"),
            (" 5511987654321 ", "5511987654321"),
            ("BR.5511987654321", "BR.5511987654321"),
            ("ana.souza", "ana.souza"),
        ] {
            assert_eq!(tidy_sender(typed), expect);
        }
    }

    #[test]
    fn what_is_typed_becomes_a_term() {
        let hash = "AB".repeat(32);
        for (typed, term) in [
            ("Fatura!", "word:fatura"),
            ("links/lookalike-brand", "rule:links/lookalike-brand"),
            ("Correios-Taxa.top", "domain:correios-taxa.top"),
            ("https://correios-taxa.top/pagar?x", "domain:correios-taxa.top"),
            ("severity:high", "severity:high"),
            ("type:application/pdf", "type:application/pdf"),
            ("wamid.HBgM", "message:wamid.HBgM"),
            (hash.as_str(), &*format!("sha256:{}", hash.to_lowercase())),
        ] {
            assert_eq!(term_of(typed), term);
        }
    }
}
