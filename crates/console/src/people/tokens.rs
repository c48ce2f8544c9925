//! Bearer tokens of programs: made by an admin, shown once, kept as a hash, with scopes and an end.

use super::{LogInError, People, accounts::checked_name};
use crate::{
    actor::{Actor, Scope},
    audit::Action,
    desk::now_ms,
    store::{StoreError, random},
};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// What an admin asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub days: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenInfo {
    pub id: i64,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub made_by: String,
    pub created_ms: u64,
    pub expires_ms: u64,
    pub used_ms: Option<u64>,
}

/// So that secret scanners know one of ours when they see it.
const PREFIX: &str = "guarita_";
const TOKENS_MAX: i64 = 1_000;
const DAYS_MAX: u32 = 366;
const DAY_MILLIS: u64 = 24 * 3600 * 1000;
const USED_MILLIS: u64 = 60 * 1000;

impl People {
    /// The token, shown this once, and what is kept of it.
    pub async fn add_token(&self, by: &Actor, new: &NewToken) -> Result<(String, TokenInfo), LogInError> {
        let name = checked_name(&new.name)?;
        if new.scopes.is_empty() {
            return Err(LogInError::Wrong("name at least one scope".into()));
        }
        if !(1..=DAYS_MAX).contains(&new.days) {
            return Err(LogInError::Wrong(format!("a token lives 1 to {DAYS_MAX} days")));
        }
        let mut scopes = new.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        let secret = format!("{PREFIX}{}", hex::encode(random::<32>()?));
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let now = now_ms();
        let mut info = TokenInfo {
            id: 0,
            name,
            scopes,
            made_by: by.name.clone(),
            created_ms: now,
            expires_ms: now + u64::from(new.days) * DAY_MILLIS,
            used_ms: None,
        };
        let row = info.clone();
        let id = self
            .store
            .write(move |db| {
                db.execute("DELETE FROM tokens WHERE expires_ms < ?1", [now])?;
                let count: i64 = db.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?;
                if count >= TOKENS_MAX {
                    return Ok(None);
                }
                db.execute(
                    "INSERT INTO tokens (name, hash, scopes, made_by, created_ms, expires_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![row.name, hash, words(&row.scopes), row.made_by, row.created_ms, row.expires_ms],
                )?;
                Ok(Some(db.last_insert_rowid()))
            })
            .await?;
        info.id = id.ok_or_else(|| LogInError::Wrong(format!("at most {TOKENS_MAX} tokens; remove some first")))?;
        let what = format!("{}: {}", info.name, words(&info.scopes));
        self.audit.append(now, by, Action::AddedToken, &format!("token:{}", info.id), &what).await?;
        Ok((secret, info))
    }

    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, StoreError> {
        let now = now_ms();
        self.store
            .read(move |db| {
                let mut select = db.prepare_cached(
                    "SELECT id, name, scopes, made_by, created_ms, expires_ms, used_ms FROM tokens
                     WHERE expires_ms > ?1 ORDER BY id DESC",
                )?;
                let rows = select.query_map([now], |row| {
                    Ok(TokenInfo {
                        id: row.get(0)?,
                        name: row.get(1)?,
                        scopes: read_words(&row.get::<_, String>(2)?),
                        made_by: row.get(3)?,
                        created_ms: row.get(4)?,
                        expires_ms: row.get(5)?,
                        used_ms: row.get(6)?,
                    })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// `false`: there is none.
    pub async fn remove_token(&self, by: &Actor, id: i64) -> Result<bool, StoreError> {
        let removed = self.store.write(move |db| Ok(db.execute("DELETE FROM tokens WHERE id = ?1", [id])?)).await?;
        if removed == 1 {
            self.audit.append(now_ms(), by, Action::RemovedToken, &format!("token:{id}"), "").await?;
        }
        Ok(removed == 1)
    }

    /// Who a bearer token speaks for. A token outlives nothing: whoever made it may be gone, and an admin sees it listed.
    pub async fn token_actor(&self, token: &str, address: Option<IpAddr>) -> Result<Option<Actor>, StoreError> {
        if token.len() != PREFIX.len() + 64 || !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = now_ms();
        let found = self
            .store
            .read(move |db| {
                let sql = "SELECT id, name, scopes, used_ms FROM tokens WHERE hash = ?1 AND expires_ms > ?2";
                let row = db.prepare_cached(sql)?.query_row(params![hash, now], |row| {
                    Ok((
                        row.get::<_, i64>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                        row.get::<_, Option<u64>>(3)?,
                    ))
                });
                Ok(row.optional()?)
            })
            .await?;
        let Some((id, name, scopes, used)) = found else { return Ok(None) };
        if used.is_none_or(|used| now.saturating_sub(used) > USED_MILLIS) {
            self.store
                .write(move |db| Ok(db.execute("UPDATE tokens SET used_ms = ?2 WHERE id = ?1", params![id, now])?))
                .await?;
        }
        Ok(Some(Actor::token(&name, read_words(&scopes), address)))
    }
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// A word we do not know gives nothing.
fn read_words(words: &str) -> Vec<Scope> {
    words.split(' ').filter_map(|word| word.parse().ok()).collect()
}
