//! What one attachment looks like: asked of the locked worker through the gateway, never read here. Each showing is in the
//! audit, as each opening of contents is.

use super::{Desk, DeskError, Done};
use crate::{
    actor::{Actor, Scope},
    audit::Action,
    gateway::FileToShow,
};
use guarita_message::{ContentHash, Preview};
use std::io;

/// Previews in the making; more are told to come again, so that what customers send is looked at first.
pub(super) const PREVIEWS_MAX: usize = 2;

impl Desk {
    /// One of an entry's files, by its hash. What keeps it from being shown is in the answer, not an error.
    pub async fn preview(&self, actor: &Actor, id: &str, hash: &str) -> Done<Preview> {
        self.need(actor, Scope::Content)?;
        let record = self.record(id).await?;
        let report = self.report(&record.id).await?;
        // Only a file of this very entry: a hash alone shows nothing.
        let mut files = report.messages.iter().flat_map(|message| &message.inspection.files);
        let file = files
            .find(|file| file.sha256.is_some_and(|known| known.to_string() == hash))
            .ok_or(DeskError::NotFound("file"))?;
        let hash: ContentHash = hash.parse().map_err(|_| DeskError::NotFound("file"))?;
        let _place = self
            .previews
            .try_acquire()
            .map_err(|_| DeskError::Busy("other previews are being made; try again in a moment".into()))?;
        let blobs = self.blobs.clone();
        let kept = tokio::task::spawn_blocking(move || blobs.bytes(&hash)).await;
        match kept {
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Err(DeskError::NotFound("file")),
            Ok(Err(error)) => return Err(DeskError::Failed(error.to_string())),
            Err(_) => return Err(DeskError::Failed("reading the file crashed; please report this".into())),
        }
        self.note(actor, Action::Previewed, &record.id.0, "").await?;
        let blobs = self.blobs.clone();
        let shown = FileToShow {
            name: file.name.clone(),
            declared_type: file.declared_type.clone(),
            open: Box::new(move || io::Result::Ok(Box::new(blobs.open(&hash)?) as Box<dyn io::Read + Send>)),
        };
        Ok(self.gateway.preview(shown).await)
    }
}
