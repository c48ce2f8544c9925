//! Finding a message and looking at it.

use super::{
    Desk, DeskError, Done, checked_id,
    mask::mask_sender,
    reading::{MESSAGES_SHOWN_MAX, Report, extension_of, indented, read_body, read_message, read_parts},
    view::{Contents, Listed, MessageView, Moment, MomentKind, Page, Search, Seen, holds_messages},
};
use crate::{
    actor::{Actor, Scope},
    audit::{Action, Row},
};
use guarita_media::MediaState;
use guarita_message::DeliveryId;
use guarita_spool::{Record, SpoolError, State};

/// Neighbours shown on each message.
const NEIGHBOURS_MAX: usize = 10;

impl Desk {
    /// A page of what fits, newest first. Each page of a search by sender is in the audit, without the sender: a cursor is
    /// only an entry's id, so a search that begins at one must not go unseen.
    pub async fn search(&self, actor: &Actor, search: &Search) -> Done<Page<Listed>> {
        self.need(actor, Scope::Read)?;
        // Whoever may not see numbers must not find out by asking, either.
        if search.sender.is_some() {
            self.need(actor, Scope::Content)?;
        }
        let mut filter = search.filter();
        if filter.terms.len() > Search::TERMS_MAX {
            let problem = format!("at most {} words", Search::TERMS_MAX);
            return Err(DeskError::Wrong { field: "terms", problem });
        }
        let most = search.most.unwrap_or(Search::MOST).clamp(1, Search::MOST_MAX);
        filter.before = match search.cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
            None => None,
            Some(cursor) => Some(
                checked_id(cursor).map_err(|_| DeskError::Wrong { field: "cursor", problem: "is not ours".into() })?,
            ),
        };
        if search.sender.is_some() {
            self.note(actor, Action::Searched, "", "").await?;
        }
        let page = self.spool.page(filter, most).await?;
        let next = page.next.map(|id| id.to_string());
        Ok(Page { items: self.listed(actor, page.records).await?, next })
    }

    /// Rows with their summaries.
    pub(super) async fn listed(&self, actor: &Actor, records: Vec<Record>) -> Done<Vec<Listed>> {
        let personal = actor.may(Scope::Content);
        let ids: Vec<DeliveryId> = records.iter().map(|record| record.id.clone()).collect();
        let summaries = self.spool.summaries(&ids).await?;
        let rows = records.into_iter().zip(summaries).map(|(record, summary)| {
            let mut seen: Option<Seen> = summary.and_then(|summary| serde_json::from_slice(&summary).ok());
            if let Some(seen) = seen.as_mut().filter(|_| !personal) {
                seen.from = seen.from.iter().map(|name| mask_sender(name)).collect();
                seen.file = extension_of(&seen.file);
            }
            Listed { record, summary: seen }
        });
        Ok(rows.collect())
    }

    /// One entry, without contents.
    pub async fn message(&self, actor: &Actor, id: &str) -> Done<MessageView> {
        self.need(actor, Scope::Read)?;
        let record = self.record(id).await?;
        let personal = actor.may(Scope::Content);
        let content = self.spool.content(&record.id).await?;
        let report = Report::read(content.report.as_deref());
        let read = read_body(content.received.as_deref());
        let mut messages = Vec::new();
        for reported in report.messages.iter().take(MESSAGES_SHOWN_MAX) {
            let message = read.iter().find(|message| message.pointer == reported.pointer);
            let mut shown = read_message(reported, message, personal);
            for file in &mut shown.files {
                let media = reported.media.iter().find(|media| media.place == file.place);
                let state = match media {
                    Some(media) => self.index.lookup(self.index.key(&media.id)).await?,
                    None => None,
                };
                (file.media, file.kept) = self.media_word(state).await;
            }
            messages.push(shown);
        }
        let neighbours = match read.first() {
            Some(message) => {
                let search = Search { conversation: Some(message.conversation.clone()), ..Search::default() };
                let mut near = self.spool.list(search.filter(), NEIGHBOURS_MAX * 2 + 1).await?;
                near.retain(|other| other.id != record.id);
                near.truncate(NEIGHBOURS_MAX);
                self.listed(actor, near).await?
            }
            None => Vec::new(),
        };
        let rows = self.audit.about(&record.id.0).await?;
        let has_content = content.received.is_some();
        let finished = matches!(record.state, State::Delivered | State::Quarantined | State::DeadLettered);
        let may_review = actor.may(Scope::Review);
        let held_back = record.quarantine && record.released_by.is_none();
        Ok(MessageView {
            timeline: timeline(&record, &report, &rows),
            messages,
            has_content,
            neighbours,
            may_open: personal && has_content,
            may_release: may_review && has_content && finished && held_back && holds_messages(record.lane),
            may_delete: may_review && has_content && finished,
            may_retry: may_review && (record.state == State::DeadLettered || record.next_ms.is_some()),
            record,
        })
    }

    /// Opens an entry's contents: each opening is in the audit.
    pub async fn contents(&self, actor: &Actor, id: &str) -> Done<Contents> {
        self.need(actor, Scope::Content)?;
        let record = self.record(id).await?;
        self.note(actor, Action::OpenedContent, &record.id.0, "").await?;
        let content = self.spool.content(&record.id).await?;
        let report = Report::read(content.report.as_deref());
        let read = read_body(content.received.as_deref());
        Ok(Contents {
            parts: read_parts(&read, &report),
            before: content.received.as_deref().map(indented),
            after: content.sent.as_deref().map(indented),
            id: record.id,
        })
    }

    pub(super) async fn record(&self, id: &str) -> Done<Record> {
        let id = checked_id(id)?;
        self.spool.record(&id).await?.ok_or(DeskError::NotFound("message"))
    }

    pub(super) async fn report(&self, id: &DeliveryId) -> Result<Report, SpoolError> {
        Ok(Report::read(self.spool.content(id).await?.report.as_deref()))
    }

    async fn media_word(&self, state: Option<MediaState>) -> (String, bool) {
        let word = match &state {
            None => "unknown",
            Some(MediaState::Pending(_)) => "pending",
            Some(MediaState::Served(_)) => "served",
            Some(MediaState::Withheld(_)) => "withheld",
            Some(MediaState::NotServed(_)) => "not_served",
        };
        let hash = state.as_ref().and_then(MediaState::content).map(|content| content.hash);
        let kept = match hash {
            None => false,
            Some(hash) => {
                let blobs = self.blobs.clone();
                let asked = tokio::task::spawn_blocking(move || blobs.bytes(&hash)).await;
                matches!(asked, Ok(Ok(Some(_))))
            }
        };
        (word.to_owned(), kept)
    }
}

fn timeline(record: &Record, report: &Report, rows: &[Row]) -> Vec<Moment> {
    let mut moments = vec![Moment { at_ms: Some(record.received_ms), kind: MomentKind::Received, note: String::new() }];
    let mut push = |at_ms, kind, note: String| moments.push(Moment { at_ms, kind, note });
    let files: Vec<_> = report.messages.iter().flat_map(|message| &message.inspection.files).collect();
    if files.iter().any(|file| file.sha256.is_some()) {
        push(None, MomentKind::Fetched, String::new());
    }
    let mut scanners: Vec<&str> = files.iter().flat_map(|file| &file.scanned_by).map(String::as_str).collect();
    scanners.sort_unstable();
    scanners.dedup();
    if !report.messages.is_empty() {
        push(None, MomentKind::Scanned, scanners.join(", "));
    }
    if let Some(at) = record.decided_ms {
        let verdict = record.verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
        push(Some(at), MomentKind::Decided, verdict);
    }
    if record.finished_ms.is_none() && record.attempts > 0 {
        push(record.next_ms, MomentKind::Retry, record.last_error.clone().unwrap_or_default());
    }
    let end = match record.state {
        State::Delivered => Some(MomentKind::Delivered),
        State::Quarantined => Some(MomentKind::Quarantined),
        State::DeadLettered => Some(MomentKind::DeadLettered),
        State::Received | State::Decided => None,
    };
    if let Some(kind) = end {
        let note = match kind {
            MomentKind::DeadLettered => record.last_error.clone().unwrap_or_default(),
            _ => String::new(),
        };
        push(record.finished_ms, kind, note);
    }
    for row in rows {
        let kind = match row.action {
            Action::OpenedContent => MomentKind::Opened,
            Action::Previewed => MomentKind::Previewed,
            Action::Downloaded => MomentKind::Downloaded,
            Action::Released => MomentKind::Released,
            Action::Deleted => MomentKind::Deleted,
            Action::Retried | Action::Replayed => MomentKind::Replayed,
            Action::Revoked => MomentKind::Revoked,
            _ => continue,
        };
        let note = if row.reason.is_empty() { row.who.clone() } else { format!("{}: {}", row.who, row.reason) };
        push(Some(row.at_ms), kind, note);
    }
    // Steps without a time of their own stay where they stand: between the ones around them.
    let mut last = 0;
    let mut keyed: Vec<(u64, Moment)> = Vec::new();
    for moment in moments {
        last = moment.at_ms.unwrap_or(last);
        keyed.push((last, moment));
    }
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, moment)| moment).collect()
}
