//! Rules and tries, settings, health checks, what the gateway is told to do, and the audit's page.

use super::{Desk, DeskError, Done, Page, checked_reason, now_ms};
use crate::{
    actor::{Actor, Scope},
    audit::{Action, Audited, Broken, Row},
    gateway::{Check, Rules, Setting, Tried},
};
use guarita_message::Language;

/// Largest text and file that may be tried.
pub const TRY_TEXT_CHARS_MAX: usize = 16_384;
pub const TRY_FILE_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Rows of the audit on one page.
const AUDIT_ROWS_MAX: usize = 200;

impl Desk {
    /// The rules in the words of `language`; of the operator's where none is named.
    pub fn rules(&self, actor: &Actor, language: Option<Language>) -> Done<Rules> {
        self.need(actor, Scope::Read)?;
        Ok(self.gateway.rules(language))
    }

    pub async fn try_text(&self, actor: &Actor, text: String) -> Done<Tried> {
        self.need(actor, Scope::Review)?;
        bounded("text", text.chars().count(), TRY_TEXT_CHARS_MAX, "characters")?;
        self.gateway.try_text(text).await.map_err(DeskError::Busy)
    }

    pub async fn try_url(&self, actor: &Actor, url: String) -> Done<Tried> {
        self.need(actor, Scope::Review)?;
        bounded("url", url.chars().count(), TRY_TEXT_CHARS_MAX, "characters")?;
        self.gateway.try_url(url).await.map_err(DeskError::Busy)
    }

    pub async fn try_file(&self, actor: &Actor, name: String, bytes: Vec<u8>) -> Done<Tried> {
        self.need(actor, Scope::Review)?;
        bounded("file", bytes.len(), TRY_FILE_BYTES_MAX, "bytes")?;
        self.gateway.try_file(name.chars().take(255).collect(), bytes).await.map_err(DeskError::Busy)
    }

    pub fn settings(&self, actor: &Actor) -> Done<Vec<Setting>> {
        self.need(actor, Scope::Admin)?;
        Ok(self.gateway.settings())
    }

    /// Everything `guarita doctor` tries.
    pub async fn doctor(&self, actor: &Actor) -> Done<Vec<Check>> {
        self.need(actor, Scope::Read)?;
        Ok(self.gateway.doctor().await)
    }

    pub async fn reload(&self, actor: &Actor) -> Done<String> {
        self.need(actor, Scope::Admin)?;
        self.note(actor, Action::Reloaded, "", "").await?;
        self.gateway.reload().await.map_err(DeskError::Conflict)
    }

    pub async fn rescan(&self, actor: &Actor, reason: &str) -> Done<String> {
        self.need(actor, Scope::Admin)?;
        let reason = checked_reason(reason)?;
        self.note(actor, Action::Rescanned, "", &reason).await?;
        self.gateway.rescan().await.map_err(DeskError::Conflict)
    }

    /// The gateway itself took a file of this entry from the media door: a rescan found it worse than it was thought to be.
    /// For the entry's timeline and the audit; asks nobody's permission, for nobody asked for it.
    pub async fn note_revoked(&self, delivery: &str, what: &str) -> Done<()> {
        let gateway = Actor { name: "guarita".into(), scopes: Vec::new(), address: None };
        self.note(&gateway, Action::Revoked, delivery, what).await
    }

    pub async fn test_alert(&self, actor: &Actor) -> Done<String> {
        self.need(actor, Scope::Admin)?;
        self.note(actor, Action::TestedAlert, "", "").await?;
        self.gateway.test_alert().await.map_err(DeskError::Conflict)
    }

    /// Newest first; `before` is the number of the last row seen.
    pub async fn audit(&self, actor: &Actor, before: Option<u64>, most: usize) -> Done<Page<Row>> {
        self.need(actor, Scope::Admin)?;
        let most = most.clamp(1, AUDIT_ROWS_MAX);
        let mut items = self.audit.page(before, most + 1).await?;
        let more = items.len() > most;
        items.truncate(most);
        let next = items.last().filter(|_| more).map(|row| row.number.to_string());
        Ok(Page { items, next })
    }

    /// Every row as JSON lines, oldest first, a stretch at a time: `after` is the number of the last row had.
    pub async fn audit_lines(&self, actor: &Actor, after: u64) -> Done<Vec<Audited>> {
        self.need(actor, Scope::Admin)?;
        if after == 0 {
            self.note(actor, Action::ExportedAudit, "", "").await?;
        }
        Ok(self.audit.export(after).await?)
    }

    /// Checks the chain. `Ok(None)`: it is whole.
    pub async fn verify_audit(&self, actor: &Actor) -> Done<(u64, Option<Broken>)> {
        self.need(actor, Scope::Admin)?;
        Ok(self.audit.verify().await?)
    }

    pub fn now_ms(&self) -> u64 {
        now_ms()
    }
}

fn bounded(field: &'static str, size: usize, most: usize, unit: &str) -> Done<()> {
    match size {
        0 => Err(DeskError::Wrong { field, problem: "is empty".into() }),
        size if size > most => Err(DeskError::Wrong { field, problem: format!("is larger than {most} {unit}") }),
        _ => Ok(()),
    }
}
