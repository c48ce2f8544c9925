//! Everything the console can do, in one place: pages and API both call this, so what one may the other may, and what
//! one records the other records. Permissions are checked here, on every call.
//!
//! The desk reads and writes the spool, the media index and its own small store; what lives in the running gateway it asks
//! through [`Gateway`]. It must not know HTTP, HTML or sessions.

mod deliveries;
mod erase;
mod exceptions;
mod health;
mod mask;
mod messages;
mod overview;
mod preview;
mod quarantine;
mod reading;
mod team;
mod view;

pub use deliveries::{Deliveries, Replay, Replayed};
pub use erase::Erased;
pub use exceptions::{Exception, ExceptionKind, NewException, Side};
pub use health::{TRY_FILE_BYTES_MAX, TRY_TEXT_CHARS_MAX};
pub use mask::{mask_name, mask_sender};
pub use overview::{Bucket, Figures, HELD_COUNT_MAX, Overview, Quantiles, WANTS_COUNT_MAX, Wants};
pub use quarantine::{Archive, Release};
pub use view::{
    Contents, FileView, FindingView, Listed, MessageView, Moment, MomentKind, Page, PartView, ReadMessage, Search, Seen,
};

use crate::{
    Config,
    actor::{Actor, Scope},
    audit::{Action, Audit},
    gateway::Gateway,
    people::People,
    store::{Store, StoreError},
};
use guarita_media::{BlobStore, IndexError, MediaIndex};
use guarita_message::DeliveryId;
use guarita_spool::{Spool, SpoolError};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// What the desk is given.
pub struct Parts {
    pub config: Config,
    pub spool: Arc<dyn Spool>,
    pub index: MediaIndex,
    pub blobs: Arc<dyn BlobStore>,
    pub gateway: Arc<dyn Gateway>,
    pub store: Store,
}

/// Everything the console can do.
pub struct Desk {
    pub(crate) config: Config,
    spool: Arc<dyn Spool>,
    index: MediaIndex,
    blobs: Arc<dyn BlobStore>,
    gateway: Arc<dyn Gateway>,
    store: Store,
    people: People,
    audit: Audit,
    /// Downloads in progress; each may read a large file.
    downloads: Arc<tokio::sync::Semaphore>,
    previews: tokio::sync::Semaphore,
}

/// Why the desk did not do it. Only the edge turns this into a status.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The caller lacks a permission; a retry cannot help, an admin can.
    #[error("this needs the permission `{0}`")]
    Forbidden(Scope),
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The caller's words are at fault; says which and how to mend it.
    #[error("{field}: {problem}")]
    Wrong { field: &'static str, problem: String },
    /// It does not fit the state of things; a retry cannot help.
    #[error("{0}")]
    Conflict(String),
    /// A retry can help, later.
    #[error("{0}")]
    Busy(String),
    /// Our side is at fault: the disk, or a damaged store.
    #[error("{0}")]
    Failed(String),
}

impl From<SpoolError> for DeskError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::NotFound(_) => DeskError::NotFound("message"),
            SpoolError::NotNow(_) | SpoolError::LeaseLost(_) => {
                DeskError::Conflict("this message is on its way, was delivered, or its content is gone".into())
            }
            SpoolError::Full => DeskError::Busy(error.to_string()),
            error => DeskError::Failed(error.to_string()),
        }
    }
}

impl From<IndexError> for DeskError {
    fn from(error: IndexError) -> Self {
        DeskError::Failed(error.to_string())
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        DeskError::Failed(error.to_string())
    }
}

pub type Done<T> = Result<T, DeskError>;

/// Longest reason a person may give.
pub const REASON_CHARS_MAX: usize = 500;

/// Downloads that may run at one time.
const DOWNLOADS_MAX: usize = 4;

impl Desk {
    pub fn new(parts: Parts) -> Desk {
        let audit = Audit::new(parts.store.clone());
        let people = People::new(parts.store.clone(), audit.clone(), &parts.config);
        Desk {
            config: parts.config,
            spool: parts.spool,
            index: parts.index,
            blobs: parts.blobs,
            gateway: parts.gateway,
            store: parts.store,
            people,
            audit,
            downloads: Arc::new(tokio::sync::Semaphore::new(DOWNLOADS_MAX)),
            previews: tokio::sync::Semaphore::new(preview::PREVIEWS_MAX),
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Accounts, sessions, tokens. Log-in goes straight there: who logs in has no permissions yet.
    pub fn people(&self) -> &People {
        &self.people
    }

    pub fn gateway(&self) -> &dyn Gateway {
        &*self.gateway
    }

    pub(crate) fn shared_gateway(&self) -> Arc<dyn Gateway> {
        self.gateway.clone()
    }

    fn need(&self, actor: &Actor, scope: Scope) -> Done<()> {
        if actor.may(scope) { Ok(()) } else { Err(DeskError::Forbidden(scope)) }
    }

    /// Writes who does what and why, before it is done: an action whose record fails does not happen.
    async fn note(&self, actor: &Actor, action: Action, target: &str, reason: &str) -> Done<()> {
        Ok(self.audit.append(now_ms(), actor, action, target, reason).await?)
    }
}

/// Why a person does something; every action that changes what the backend gets wants one.
pub(crate) fn checked_reason(reason: &str) -> Done<String> {
    // Counted as it came, as the API's document says.
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(DeskError::Wrong { field: "reason", problem: format!("at most {REASON_CHARS_MAX} characters") });
    }
    let reason: String = reason.trim().chars().filter(|c| !c.is_control()).collect();
    if reason.chars().count() < 3 {
        return Err(DeskError::Wrong { field: "reason", problem: "say in a few words why".into() });
    }
    Ok(reason)
}

/// An id as someone typed it.
pub(crate) fn checked_id(id: &str) -> Done<DeliveryId> {
    let id = id.trim().to_ascii_uppercase();
    let right = id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if right { Ok(DeliveryId(id)) } else { Err(DeskError::NotFound("message")) }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
