//! Events for the backend (`guarita.verdict_changed`), kept on disk until it has them: a small SQLite file of its own,
//! `events.sqlite`. Bodies are sealed, for they hold message ids; once an event has ended only what names nobody is kept. An event has an id made from what it says, so noting the
//! same thing again (after a crash) sends nothing twice.

use crate::{
    Millis,
    http_client::{HttpClient, signature},
    time::now_ms,
};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use rusqlite::{Connection, params};
use std::{
    future::Future,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// An event that is not taken in this time is given up.
const GIVE_UP: Millis = 3 * 24 * 3600 * 1000;
/// Delivered and given up events are remembered this long: their ids keep the same thing from being told again.
const REMEMBERED: Millis = 60 * 24 * 3600 * 1000;
/// Events that may wait; further ones are refused.
const WAITING_MAX: i64 = 100_000;
const RETRY_FIRST: Millis = 2_000;
const RETRY_MAX: Millis = 15 * 60 * 1000;
/// Sent in one go.
const BATCH: i64 = 16;
const BODY_BYTES_MAX: usize = 256 * 1024;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY,
    route TEXT NOT NULL,
    state INTEGER NOT NULL,     -- 0 waiting, 1 sent, 2 given up, 3 nobody to send it to
    noted_ms INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    told INTEGER NOT NULL DEFAULT 0,    -- people were alerted of it
    sealed BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due ON events (next_ms) WHERE state = 0;
CREATE INDEX IF NOT EXISTS untold ON events (noted_ms) WHERE told = 0;
CREATE INDEX IF NOT EXISTS newest ON events (noted_ms);
";

/// What is to be told.
#[derive(Clone, Debug)]
pub struct Event {
    /// The same for the same thing.
    pub id: String,
    pub route: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// Where a route's events go.
#[derive(Clone)]
pub struct EventTarget {
    pub url: String,
    pub secret: String,
}

/// An event as it stands, for the console.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SentEvent {
    pub id: String,
    pub route: String,
    pub state: &'static str,
    pub noted_ms: Millis,
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What it says.
    pub body: serde_json::Value,
}

/// Our disk is at fault, or the key file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("the outbox cannot use its disk: {0}")]
    Disk(String),
    #[error("the outbox holds {WAITING_MAX} events that the backend does not take; mend backend.events_url")]
    Full,
    #[error("an event does not decrypt: restore the key file that belongs to this folder")]
    Damaged,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

struct Inner {
    db: Mutex<Connection>,
    cipher: XChaCha20Poly1305,
    noted: Notify,
}

struct Due {
    id: String,
    route: String,
    noted: Millis,
    attempts: u32,
    body: Vec<u8>,
}

impl Outbox {
    /// Opens or makes the file. Blocks.
    pub fn open(path: &Path, key: [u8; 32]) -> Result<Self, OutboxError> {
        let db = Connection::open(path).map_err(disk)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|e| OutboxError::Disk(e.to_string()))?;
        db.busy_timeout(Duration::from_secs(5)).map_err(disk)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(disk)?;
        db.pragma_update(None, "synchronous", "FULL").map_err(disk)?;
        db.execute_batch(SCHEMA).map_err(disk)?;
        let cipher = XChaCha20Poly1305::new(&key.into());
        Ok(Outbox { inner: Arc::new(Inner { db: Mutex::new(db), cipher, noted: Notify::new() }) })
    }

    /// Stores an event; on disk when it returns. `false`: it was noted before, and nothing was done. `to_send`: whether
    /// there is anybody to send it to; it is remembered either way.
    pub async fn note(&self, event: Event, to_send: bool) -> Result<bool, OutboxError> {
        let stored = self
            .run(move |inner, db| {
                let waiting: i64 = db
                    .query_row("SELECT count(*) FROM events WHERE state = 0", [], |row| row.get(0))
                    .map_err(disk)?;
                if waiting >= WAITING_MAX || event.body.len() > BODY_BYTES_MAX {
                    return Err(OutboxError::Full);
                }
                let body = if to_send { event.body } else { without_personal(&event.body) };
                let sealed = inner.seal(&event.id, body)?;
                let now = now_ms() as i64;
                let state = if to_send { 0 } else { 3 };
                db.execute("DELETE FROM events WHERE noted_ms < ?1 AND state <> 0", [now - REMEMBERED as i64])
                    .map_err(disk)?;
                db.execute(
                    "INSERT OR IGNORE INTO events (id, route, state, noted_ms, next_ms, sealed) VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
                    params![event.id, event.route, state, now, sealed],
                )
                .map_err(disk)
            })
            .await?;
        self.inner.noted.notify_one();
        Ok(stored == 1)
    }

    /// Sends what is due until `shutdown` ends. `target`: where a route's events go, `None`: nowhere (any more).
    pub async fn run_sender(
        self,
        target: impl Fn(&str) -> Option<EventTarget> + Send + Sync + 'static,
        shutdown: impl Future<Output = ()>,
    ) {
        let Ok(http) = HttpClient::new() else {
            return tracing::error!("events cannot be sent: TLS cannot be set up");
        };
        let sending = async {
            loop {
                match self.send_due(&http, &target).await {
                    Ok(0) => {
                        let _ = tokio::time::timeout(Duration::from_secs(1), self.inner.noted.notified()).await;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "events wait");
                        tokio::time::sleep(Duration::from_secs(10)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = sending => {}
            () = shutdown => {}
        }
    }

    async fn send_due(
        &self,
        http: &HttpClient,
        target: &(dyn Fn(&str) -> Option<EventTarget> + Send + Sync),
    ) -> Result<usize, OutboxError> {
        let due = self.run(|inner, db| inner.due(db, now_ms())).await?;
        let count = due.len();
        for event in due {
            let Some(to) = target(&event.route) else {
                self.end(event.id, 3, Some("the route has no backend.events_url any more")).await?;
                continue;
            };
            let headers = [
                ("x-hub-signature-256", signature(to.secret.as_bytes(), &event.body)),
                ("x-guarita-event", "guarita.verdict_changed".to_owned()),
                ("x-guarita-event-id", event.id.clone()),
                ("x-guarita-attempt", (event.attempts + 1).to_string()),
            ];
            let outcome = http.post_json(&to.url, &headers, event.body.into()).await;
            let word = match outcome {
                Ok(()) => {
                    self.end(event.id, 1, None).await?;
                    "sent"
                }
                Err(error) if now_ms().saturating_sub(event.noted) > GIVE_UP => {
                    tracing::error!(event = event.id, %error, "an event was not taken for three days and is given up");
                    self.end(event.id, 2, Some(&error.to_string())).await?;
                    "given_up"
                }
                Err(error) => {
                    let wait = (RETRY_FIRST << event.attempts.min(12)).min(RETRY_MAX);
                    self.postpone(event.id, now_ms() + wait, error.to_string()).await?;
                    "retry"
                }
            };
            metrics::counter!("guarita_events_total", "outcome" => word).increment(1);
        }
        Ok(count)
    }

    /// The newest events, newest first. For the console.
    pub async fn recent(&self, most: usize) -> Result<Vec<SentEvent>, OutboxError> {
        self.run(move |inner, db| {
            let mut select = db
                .prepare_cached(
                    "SELECT id, route, state, noted_ms, attempts, last_error, sealed FROM events
                     ORDER BY noted_ms DESC LIMIT ?1",
                )
                .map_err(disk)?;
            let mut rows = select.query([most.min(1000) as i64]).map_err(disk)?;
            let mut events = Vec::new();
            while let Some(row) = rows.next().map_err(disk)? {
                events.push(inner.shown(row)?);
            }
            Ok(events)
        })
        .await
    }

    /// Events that nobody was alerted of yet, oldest first: an alert must outlive a crash, too.
    pub async fn untold(&self, most: usize) -> Result<Vec<SentEvent>, OutboxError> {
        self.run(move |inner, db| {
            let mut select = db
                .prepare_cached(
                    "SELECT id, route, state, noted_ms, attempts, last_error, sealed FROM events WHERE told = 0
                     ORDER BY noted_ms LIMIT ?1",
                )
                .map_err(disk)?;
            let mut rows = select.query([most.min(1000) as i64]).map_err(disk)?;
            let mut events = Vec::new();
            while let Some(row) = rows.next().map_err(disk)? {
                events.push(inner.shown(row)?);
            }
            Ok(events)
        })
        .await
    }

    pub async fn mark_told(&self, ids: Vec<String>) -> Result<(), OutboxError> {
        self.run(move |_, db| {
            for id in ids {
                db.execute("UPDATE events SET told = 1 WHERE id = ?1", [id]).map_err(disk)?;
            }
            Ok(())
        })
        .await
    }

    async fn end(&self, id: String, state: i64, error: Option<&str>) -> Result<(), OutboxError> {
        let error = error.map(str::to_owned);
        self.run(move |inner, db| {
            let sealed: Vec<u8> =
                db.query_row("SELECT sealed FROM events WHERE id = ?1", [&id], |row| row.get(0)).map_err(disk)?;
            let kept = inner.seal(&id, without_personal(&inner.open(&id, &sealed)?))?;
            let done =
                "UPDATE events SET state = ?2, attempts = attempts + 1, last_error = ?3, sealed = ?4 WHERE id = ?1";
            db.execute(done, params![id, state, error, kept]).map(drop).map_err(disk)
        })
        .await
    }

    async fn postpone(&self, id: String, next: Millis, error: String) -> Result<(), OutboxError> {
        self.run(move |_, db| {
            let later = "UPDATE events SET next_ms = ?2, attempts = attempts + 1, last_error = ?3 WHERE id = ?1";
            db.execute(later, params![id, next as i64, error]).map(drop).map_err(disk)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Connection) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            let db = inner.db.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner, &db)
        })
        .await
        .map_err(|_| OutboxError::Disk("its thread ended".into()))?
    }
}

impl Inner {
    fn due(&self, db: &Connection, now: Millis) -> Result<Vec<Due>, OutboxError> {
        let mut select = db
            .prepare_cached(
                "SELECT id, route, noted_ms, attempts, sealed FROM events WHERE state = 0 AND next_ms <= ?1
                 ORDER BY next_ms LIMIT ?2",
            )
            .map_err(disk)?;
        let rows = select.query_map(params![now as i64, BATCH], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        });
        let rows: Vec<(String, String, i64, u32, Vec<u8>)> = rows.and_then(Iterator::collect).map_err(disk)?;
        let mut due = Vec::new();
        for (id, route, noted, attempts, sealed) in rows {
            let body = self.open(&id, &sealed)?;
            due.push(Due { id, route, noted: noted as Millis, attempts, body });
        }
        Ok(due)
    }

    fn shown(&self, row: &rusqlite::Row<'_>) -> Result<SentEvent, OutboxError> {
        let id: String = row.get(0).map_err(disk)?;
        let (state, noted, sealed): (i64, i64, Vec<u8>) =
            (row.get(2).map_err(disk)?, row.get(3).map_err(disk)?, row.get(6).map_err(disk)?);
        Ok(SentEvent {
            route: row.get(1).map_err(disk)?,
            state: ["waiting", "sent", "given_up", "not_sent"].get(state as usize).copied().unwrap_or("waiting"),
            noted_ms: noted as Millis,
            attempts: row.get(4).map_err(disk)?,
            last_error: row.get(5).map_err(disk)?,
            body: serde_json::from_slice(&self.open(&id, &sealed)?).unwrap_or_default(),
            id,
        })
    }

    /// `nonce (24) | ciphertext and tag`, bound to its id.
    fn seal(&self, id: &str, mut body: Vec<u8>) -> Result<Vec<u8>, OutboxError> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|error| OutboxError::Disk(error.to_string()))?;
        self.cipher
            .encrypt_in_place(&XNonce::from(nonce), id.as_bytes(), &mut body)
            .map_err(|_| OutboxError::Damaged)?;
        Ok([&nonce[..], &body].concat())
    }

    fn open(&self, id: &str, sealed: &[u8]) -> Result<Vec<u8>, OutboxError> {
        let (nonce, body) = sealed.split_first_chunk::<24>().ok_or(OutboxError::Damaged)?;
        let mut body = body.to_vec();
        self.cipher
            .decrypt_in_place(&XNonce::from(*nonce), id.as_bytes(), &mut body)
            .map_err(|_| OutboxError::Damaged)?;
        Ok(body)
    }
}

/// What is remembered of an event that is not on its way (any more): nothing by which a customer could be named, so that
/// an erasure need not look here.
fn without_personal(body: &[u8]) -> Vec<u8> {
    let Ok(mut event) = serde_json::from_slice::<serde_json::Value>(body) else { return b"{}".to_vec() };
    if let Some(event) = event.as_object_mut() {
        event.retain(|key, _| !matches!(key.as_str(), "message" | "media"));
    }
    let findings = event.get_mut("findings").and_then(serde_json::Value::as_array_mut);
    for finding in findings.into_iter().flatten().filter_map(serde_json::Value::as_object_mut) {
        finding.remove("evidence");
    }
    event.to_string().into_bytes()
}

fn disk(error: rusqlite::Error) -> OutboxError {
    OutboxError::Disk(error.to_string())
}
