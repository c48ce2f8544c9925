//! Sessions: a random secret in a cookie, its hash here. They end when idle, when old, when something about the account
//! changes, and when told to.

use super::{
    LogInError, NewSession, People,
    accounts::{Account, Row},
};
use crate::{
    actor::{Actor, Role},
    audit::Action,
    desk::now_ms,
    store::{StoreError, random},
};
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// How far a log-in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The password fitted; a code is wanted.
    SecondStep,
    /// The password fitted; this installation wants a second step and the account has none: it may only set one up.
    SetUpSecondStep,
    In,
}

/// A session that holds now.
#[derive(Clone)]
pub struct Session {
    pub(super) account: i64,
    pub name: String,
    pub role: Role,
    pub stage: Stage,
    /// For forms and the `X-CSRF-Token` header: reckoned from the session's secret, and not to be guessed without it.
    pub csrf: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("name", &self.name).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// A log-in that stops half way ends after this.
const HALF_WAY_MILLIS: u64 = 10 * 60 * 1000;
/// `seen` is written this often at most.
const SEEN_MILLIS: u64 = 60 * 1000;
/// Sessions of one account at one time; the oldest makes room.
const SESSIONS_MAX: i64 = 20;

impl Stage {
    fn number(self) -> i64 {
        match self {
            Stage::SecondStep => 0,
            Stage::SetUpSecondStep => 1,
            Stage::In => 2,
        }
    }
}

impl Session {
    pub fn actor(&self, address: Option<IpAddr>) -> Actor {
        Actor::person(&self.name, self.role, address)
    }

    /// Does this token come from a page of this session?
    pub fn fits(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

impl People {
    /// The session of a cookie, if it holds.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, StoreError> {
        let Some(hash) = hash_of(secret) else { return Ok(None) };
        let (now, bounds) = (now_ms(), self.bounds);
        let found = self
            .store
            .read(move |db| {
                let sql = "SELECT a.id, a.name, a.role, s.stage, s.created_ms, s.seen_ms FROM sessions s
                           JOIN accounts a ON a.id = s.account WHERE s.hash = ?1 AND NOT a.disabled";
                let row = db.prepare_cached(sql)?.query_row([hash], |row| {
                    Ok((
                        row.get::<_, i64>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                        row.get::<_, i64>(3)?,
                        row.get::<_, u64>(4)?,
                        row.get::<_, u64>(5)?,
                    ))
                });
                Ok(row.optional()?)
            })
            .await?;
        let Some((account, name, role, stage, created, seen)) = found else { return Ok(None) };
        let stage = match stage {
            0 => Stage::SecondStep,
            1 => Stage::SetUpSecondStep,
            2 => Stage::In,
            _ => return Ok(None),
        };
        let longest = if stage == Stage::In { bounds.absolute_ms } else { HALF_WAY_MILLIS };
        if now.saturating_sub(created) > longest || now.saturating_sub(seen) > bounds.idle_ms {
            self.end_session(secret).await?;
            return Ok(None);
        }
        if now.saturating_sub(seen) > SEEN_MILLIS {
            self.store
                .write(move |db| {
                    db.execute("UPDATE sessions SET seen_ms = ?2 WHERE hash = ?1", params![hash, now])?;
                    Ok(db.execute("UPDATE accounts SET seen_ms = ?2 WHERE id = ?1", params![account, now])?)
                })
                .await?;
        }
        let csrf = csrf_of(secret);
        let role = role.parse().unwrap_or(Role::Viewer);
        Ok(Some(Session { account, name, role, stage, csrf }))
    }

    /// The session of someone for whom a believed proxy speaks: no cookie, and no end of its own.
    pub(crate) async fn proxy_session(&self, name: &str) -> Result<Option<Session>, StoreError> {
        let Some(account) = self.account(name).await?.filter(|account| !account.disabled) else { return Ok(None) };
        let csrf = hex::encode(self.store.keyed_hash("proxy csrf", account.name.as_bytes()));
        Ok(Some(Session { account: account.id, name: account.name, role: account.role, stage: Stage::In, csrf }))
    }

    /// The account behind a session, and how many sessions it has.
    pub async fn own_account(&self, session: &Session) -> Result<Option<(Account, u64)>, StoreError> {
        let id = session.account;
        let open = self.store.read(move |db| {
            let sql = "SELECT count(*) FROM sessions WHERE account = ?1 AND stage = 2";
            Ok(db.query_row(sql, [id], |row| row.get(0))?)
        });
        let open: u64 = open.await?;
        Ok(self.account(&session.name).await?.map(|row| (row.shown(), open)))
    }

    pub(super) async fn begin_session(
        &self,
        account: &Row,
        stage: Stage,
        address: Option<IpAddr>,
    ) -> Result<NewSession, LogInError> {
        let secret = hex::encode(random::<32>()?);
        let hash = hash_of(&secret);
        let (now, id, bounds) = (now_ms(), account.id, self.bounds);
        self.store
            .write(move |db| {
                // Swept here, where one is added: no clock of its own.
                db.execute(
                    "DELETE FROM sessions WHERE created_ms + ?2 < ?1 OR seen_ms + ?3 < ?1",
                    params![now, bounds.absolute_ms, bounds.idle_ms],
                )?;
                db.execute(
                    "DELETE FROM sessions WHERE account = ?1 AND hash NOT IN
                     (SELECT hash FROM sessions WHERE account = ?1 ORDER BY created_ms DESC LIMIT ?2)",
                    params![id, SESSIONS_MAX - 1],
                )?;
                db.execute(
                    "INSERT INTO sessions (hash, account, stage, created_ms, seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)",
                    params![hash, id, stage.number(), now],
                )?;
                if stage == Stage::In {
                    db.execute("UPDATE accounts SET seen_ms = ?2 WHERE id = ?1", params![id, now])?;
                }
                Ok(())
            })
            .await?;
        if stage == Stage::In {
            let actor = Actor::person(&account.name, account.role, address);
            self.audit.append(now, &actor, Action::LoggedIn, &account.name, "").await?;
            metrics::counter!("guarita_console_log_ins_total", "outcome" => "in").increment(1);
        }
        Ok(NewSession { secret, stage })
    }

    pub(super) async fn end_session(&self, secret: &str) -> Result<(), StoreError> {
        let Some(hash) = hash_of(secret) else { return Ok(()) };
        self.store.write(move |db| Ok(db.execute("DELETE FROM sessions WHERE hash = ?1", [hash])?)).await.map(drop)
    }

    pub async fn log_out(&self, secret: &str, address: Option<IpAddr>) -> Result<(), StoreError> {
        if let Some(session) = self.session(secret).await? {
            self.audit.append(now_ms(), &session.actor(address), Action::LoggedOut, &session.name, "").await?;
        }
        self.end_session(secret).await
    }

    /// Ends every session of whoever holds this one.
    pub async fn log_out_all(&self, session: &Session, address: Option<IpAddr>) -> Result<(), StoreError> {
        self.audit.append(now_ms(), &session.actor(address), Action::LoggedOut, &session.name, "everywhere").await?;
        self.log_out_everywhere(session.account).await
    }

    pub(super) async fn log_out_everywhere(&self, account: i64) -> Result<(), StoreError> {
        self.store
            .write(move |db| Ok(db.execute("DELETE FROM sessions WHERE account = ?1", [account])?))
            .await
            .map(drop)
    }
}

/// `None`: no secret of ours, so that nobody's long cookie is hashed.
pub(super) fn hash_of(secret: &str) -> Option<[u8; 32]> {
    let right = secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    right.then(|| Sha256::digest(secret.as_bytes()).into())
}

fn csrf_of(secret: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(b"guarita csrf");
    hex::encode(mac.finalize().into_bytes())
}
