//! Lists and exceptions: what is let pass, or never let pass, by hash, domain, sender or rule; with an owner, a reason and
//! an end.
//!
//! What each may silence is decided here and kept by `policy` once more: an exception by domain, sender or rule never
//! silences malware; one by hash does so only if an admin said so for this very content. An exception by sender speaks
//! of texts and links only: an account that was taken over sends its worm to everybody who trusts it.

use super::{Desk, DeskError, Done, checked_reason, now_ms};
use crate::{
    actor::{Actor, Scope},
    audit::Action,
    store::{Store, StoreError},
};
use rusqlite::params;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionKind {
    /// SHA-256 of a file, in hex.
    Hash,
    /// A domain and what is below it.
    Domain,
    /// A phone number or user id, as Meta writes it.
    Sender,
    /// A rule's id; `*` stands for any characters.
    Rule,
}

/// What someone asks to be added.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewException {
    pub side: Side,
    pub kind: ExceptionKind,
    pub value: String,
    #[serde(default)]
    pub covers_malware: bool,
    pub reason: String,
    /// `None`: until it is removed.
    #[serde(default)]
    pub days: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exception {
    pub id: i64,
    pub side: Side,
    pub kind: ExceptionKind,
    /// A sender is masked for those who may not see personal data.
    pub value: String,
    pub covers_malware: bool,
    pub reason: String,
    pub owner: String,
    pub created_ms: u64,
    pub expires_ms: Option<u64>,
}

/// Exceptions kept at one time, ended ones included until they are swept.
pub const EXCEPTIONS_MAX: usize = 10_000;
const VALUE_BYTES_MAX: usize = 253;
const DAYS_MAX: u32 = 3_650;
const DAY_MILLIS: u64 = 24 * 3600 * 1000;

impl Desk {
    /// All in force, newest first.
    pub async fn exceptions(&self, actor: &Actor) -> Done<Vec<Exception>> {
        self.need(actor, Scope::Read)?;
        let mut all = in_force(&self.store, now_ms()).await?;
        if !actor.may(Scope::Content) {
            for exception in all.iter_mut().filter(|exception| exception.kind == ExceptionKind::Sender) {
                exception.value = super::mask_sender(&exception.value);
            }
        }
        all.reverse();
        Ok(all)
    }

    pub async fn add_exception(&self, actor: &Actor, new: &NewException) -> Done<Exception> {
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(&new.reason)?;
        let value = checked_value(new)?;
        if new.covers_malware {
            self.need(actor, Scope::Admin)?;
            if new.kind != ExceptionKind::Hash || new.side != Side::Allow {
                let problem = "only an exception by hash may silence malware".into();
                return Err(DeskError::Wrong { field: "covers_malware", problem });
            }
        }
        if new.days.is_some_and(|days| days == 0 || days > DAYS_MAX) {
            return Err(DeskError::Wrong { field: "days", problem: format!("must be 1 to {DAYS_MAX}") });
        }
        let now = now_ms();
        let mut exception = Exception {
            id: 0,
            side: new.side,
            kind: new.kind,
            value,
            covers_malware: new.covers_malware,
            reason: reason.clone(),
            owner: actor.name.clone(),
            created_ms: now,
            expires_ms: new.days.map(|days| now + u64::from(days) * DAY_MILLIS),
        };
        let id = insert(&self.store, &exception).await?;
        let Some(id) = id else {
            return Err(DeskError::Conflict(format!("more than {EXCEPTIONS_MAX} exceptions; remove some first")));
        };
        exception.id = id;
        // What is a person's stays out of the audit; the exception's number leads to it.
        if let Err(error) = self.note(actor, Action::AddedException, &format!("exception:{id}"), &reason).await {
            // What has no row in the audit does not happen.
            let _ = self.store.write(move |db| Ok(db.execute("DELETE FROM exceptions WHERE id = ?1", [id])?)).await;
            return Err(error);
        }
        self.apply_exceptions().await?;
        Ok(exception)
    }

    pub async fn remove_exception(&self, actor: &Actor, id: i64, reason: &str) -> Done<()> {
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(reason)?;
        if !in_force(&self.store, now_ms()).await?.iter().any(|known| known.id == id) {
            return Err(DeskError::NotFound("exception"));
        }
        self.note(actor, Action::RemovedException, &format!("exception:{id}"), &reason).await?;
        self.store.write(move |db| Ok(db.execute("DELETE FROM exceptions WHERE id = ?1", [id])?)).await?;
        self.apply_exceptions().await
    }

    /// A person who is forgotten is not remembered in a list.
    pub(super) async fn forget_exceptions_of(&self, sender: &str) -> Done<()> {
        let all = in_force(&self.store, now_ms()).await?;
        let theirs = all.iter().filter(|one| one.kind == ExceptionKind::Sender && one.value == sender);
        let theirs: Vec<i64> = theirs.map(|one| one.id).collect();
        if theirs.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |db| {
                for id in theirs {
                    db.execute("DELETE FROM exceptions WHERE id = ?1", [id])?;
                }
                Ok(())
            })
            .await?;
        self.apply_exceptions().await
    }

    /// Puts what is in the store in force: at start, on a change, and when one has ended.
    pub async fn apply_exceptions(&self) -> Done<()> {
        let all = in_force(&self.store, now_ms()).await?;
        self.gateway.apply_exceptions(all).await;
        Ok(())
    }

    /// Puts exceptions out of force when they end; runs as long as it is polled.
    pub async fn watch_exceptions(&self) {
        loop {
            let wait = match next_end(&self.store, now_ms()).await {
                Ok(Some(end)) => end.saturating_sub(now_ms()).clamp(1_000, 60_000),
                _ => 60_000,
            };
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
            let now = now_ms();
            let ended = self
                .store
                .write(move |db| Ok(db.execute("DELETE FROM exceptions WHERE expires_ms <= ?1", [now])?))
                .await;
            if ended.is_ok_and(|ended| ended > 0)
                && let Err(error) = self.apply_exceptions().await
            {
                tracing::warn!(%error, "an exception that ended is still in force");
            }
        }
    }
}

fn checked_value(new: &NewException) -> Done<String> {
    let value = new.value.trim();
    let wrong = |problem: &str| Err(DeskError::Wrong { field: "value", problem: problem.into() });
    if value.is_empty() || value.len() > VALUE_BYTES_MAX || value.chars().any(char::is_control) {
        return wrong("must be 1 to 253 characters");
    }
    if new.side == Side::Deny && !matches!(new.kind, ExceptionKind::Hash | ExceptionKind::Domain) {
        return Err(DeskError::Wrong { field: "side", problem: "only hashes and domains can be denied".into() });
    }
    match new.kind {
        ExceptionKind::Hash => match value.parse::<guarita_message::ContentHash>() {
            Ok(hash) => Ok(hash.to_string()),
            Err(problem) => wrong(problem),
        },
        ExceptionKind::Domain => {
            let domain = value.trim_start_matches("*.").trim_end_matches('.').to_lowercase();
            let right = domain.contains('.')
                && domain.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'))
                && domain.split('.').all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-'));
            if right { Ok(domain) } else { wrong("must be a domain such as example.com, without https:// or a path") }
        }
        ExceptionKind::Sender => Ok(super::view::tidy_sender(value)),
        ExceptionKind::Rule if value.trim_matches('*').contains('/') && !value.contains(char::is_whitespace) => {
            Ok(value.to_owned())
        }
        ExceptionKind::Rule => wrong("must be a rule's id, such as links/shortener or clamav/PUA.*"),
    }
}

async fn insert(store: &Store, new: &Exception) -> Result<Option<i64>, StoreError> {
    let sealed = store.seal("exception", new.value.as_bytes())?;
    let new = new.clone();
    store
        .write(move |db| {
            let count: i64 = db.query_row("SELECT count(*) FROM exceptions", [], |row| row.get(0))?;
            if count >= EXCEPTIONS_MAX as i64 {
                return Ok(None);
            }
            db.execute(
                "INSERT INTO exceptions (side, kind, value, covers_malware, reason, owner, created_ms, expires_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    word(&new.side),
                    word(&new.kind),
                    sealed,
                    new.covers_malware,
                    new.reason,
                    new.owner,
                    new.created_ms,
                    new.expires_ms
                ],
            )?;
            Ok(Some(db.last_insert_rowid()))
        })
        .await
}

/// Oldest first. A row that does not open or whose words we do not know is left out, and said so.
async fn in_force(store: &Store, now: u64) -> Result<Vec<Exception>, StoreError> {
    type Raw = (Exception, Vec<u8>, String, String);
    let rows: Vec<Raw> = store
        .read(move |db| {
            let mut select = db.prepare_cached(
                "SELECT id, side, kind, value, covers_malware, reason, owner, created_ms, expires_ms
                 FROM exceptions WHERE expires_ms IS NULL OR expires_ms > ?1 ORDER BY id",
            )?;
            let rows = select.query_map([now], |row| {
                let exception = Exception {
                    id: row.get(0)?,
                    side: Side::Allow,
                    kind: ExceptionKind::Hash,
                    value: String::new(),
                    covers_malware: row.get(4)?,
                    reason: row.get(5)?,
                    owner: row.get(6)?,
                    created_ms: row.get(7)?,
                    expires_ms: row.get(8)?,
                };
                Ok((exception, row.get(3)?, row.get(1)?, row.get(2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await?;
    let mut all = Vec::with_capacity(rows.len());
    for (mut exception, sealed, side, kind) in rows {
        let value = store.unseal("exception", &sealed).ok().and_then(|value| String::from_utf8(value).ok());
        match (value, read_word(&side), read_word(&kind)) {
            (Some(value), Some(side), Some(kind)) => {
                (exception.value, exception.side, exception.kind) = (value, side, kind);
                all.push(exception);
            }
            _ => tracing::warn!(id = exception.id, "an exception cannot be read and is not in force"),
        }
    }
    Ok(all)
}

async fn next_end(store: &Store, now: u64) -> Result<Option<u64>, StoreError> {
    store
        .read(move |db| {
            let sql = "SELECT min(expires_ms) FROM exceptions WHERE expires_ms > ?1";
            Ok(db.query_row(sql, [now], |row| row.get(0))?)
        })
        .await
}

fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn read_word<T: for<'de> Deserialize<'de>>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}
