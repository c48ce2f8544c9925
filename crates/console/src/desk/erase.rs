//! Forgetting a person (LGPD, GDPR): the contents of their messages, their files, the hashes their name is found by. The
//! audit keeps that it was done, without whom it was about.

use super::{Desk, DeskError, Done, Search, checked_reason, view::tidy_sender};
use crate::{
    actor::{Actor, Scope},
    audit::Action,
};
use guarita_spool::State;
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Erased {
    pub entries: u64,
    pub files: u64,
    /// Still on their way to the backend: not erased. Call again when they have ended.
    pub left: u64,
}

/// Entries whose files are looked up in one round.
const ROUND: usize = 200;
/// Longest name of a sender.
const SENDER_BYTES_MAX: usize = 256;

impl Desk {
    pub async fn erase_sender(&self, actor: &Actor, sender: &str, reason: &str) -> Done<Erased> {
        self.need(actor, Scope::Admin)?;
        let reason = checked_reason(reason)?;
        let sender = &tidy_sender(sender);
        if sender.is_empty() || sender.len() > SENDER_BYTES_MAX {
            return Err(DeskError::Wrong { field: "sender", problem: "must be a phone number or user id".into() });
        }
        self.note(actor, Action::ErasedSender, "", &reason).await?;
        let mut erased = Erased::default();
        let mut before = None;
        loop {
            let search = Search { sender: Some(sender.to_owned()), ..Search::default() };
            let filter = guarita_spool::Filter { before, ..search.filter() };
            let records = self.spool.list(filter, ROUND).await?;
            before = records.last().map(|record| record.id.clone());
            let mut media = Vec::new();
            for record in &records {
                if matches!(record.state, State::Received | State::Decided) {
                    erased.left += 1;
                } else {
                    media.extend(self.report(&record.id).await?.media_ids().map(str::to_owned));
                }
            }
            erased.files += self.erase_files(media).await?;
            if records.len() < ROUND {
                break;
            }
        }
        erased.entries = self.spool.erase_sender(sender).await?;
        self.forget_exceptions_of(sender).await?;
        Ok(erased)
    }

    /// Forgets these media ids' contents; contents that no other id refers to are removed. How many those were.
    pub(super) async fn erase_files(&self, media_ids: Vec<String>) -> Done<u64> {
        if media_ids.is_empty() {
            return Ok(0);
        }
        let keys = media_ids.iter().map(|id| self.index.key(id)).collect();
        let orphans = self.index.erase(super::now_ms(), keys).await?;
        let blobs = self.blobs.clone();
        let removed = tokio::task::spawn_blocking(move || {
            orphans.iter().try_fold(0, |removed, hash| Ok(removed + u64::from(blobs.delete(hash)?)))
        });
        let removed: std::io::Result<u64> =
            removed.await.map_err(|_| DeskError::Failed("removing files crashed; please report this".into()))?;
        removed.map_err(|error| DeskError::Failed(format!("a file could not be removed: {error}")))
    }
}
