//! One-time links: with one an account's owner chooses a password; with the first one the first admin is made.

use super::{LogInError, NewSession, People, Stage, accounts::checked_name, password, sessions::hash_of};
use crate::{
    actor::{Actor, Role},
    audit::Action,
    desk::now_ms,
    store::{StoreError, random},
};
use rusqlite::{OptionalExtension, params};
use std::net::IpAddr;

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Makes the first admin, under a name of their choice.
    FirstAdmin,
    /// Chooses the password of this account.
    Password { name: String },
}

/// How long a link works.
const LINK_MILLIS: u64 = 24 * 3600 * 1000;

impl People {
    /// A link for the first admin, while there is nobody; those made before it end. `None`: there is somebody.
    pub async fn first_link(&self) -> Result<Option<String>, LogInError> {
        if !self.is_empty().await? {
            return Ok(None);
        }
        self.store.write(|db| Ok(db.execute("DELETE FROM links WHERE account IS NULL", [])?)).await?;
        self.make_link(None).await.map(Some)
    }

    pub(super) async fn make_link(&self, account: Option<i64>) -> Result<String, LogInError> {
        let secret = hex::encode(random::<32>()?);
        let (hash, now) = (hash_of(&secret), now_ms());
        self.store
            .write(move |db| {
                db.execute("DELETE FROM links WHERE expires_ms < ?1 OR account = ?2", params![now, account])?;
                db.execute(
                    "INSERT INTO links (hash, account, expires_ms) VALUES (?1, ?2, ?3)",
                    params![hash, account, now + LINK_MILLIS],
                )?;
                Ok(())
            })
            .await?;
        Ok(secret)
    }

    pub(super) async fn forget_link(&self, secret: &str) -> Result<(), StoreError> {
        let hash = hash_of(secret);
        self.store.write(move |db| Ok(db.execute("DELETE FROM links WHERE hash = ?1", [hash])?)).await.map(drop)
    }

    /// What a link is for, if it holds.
    pub async fn link(&self, secret: &str) -> Result<Option<Link>, StoreError> {
        let Some(hash) = hash_of(secret) else { return Ok(None) };
        let now = now_ms();
        self.store
            .read(move |db| {
                let sql = "SELECT a.name FROM links l LEFT JOIN accounts a ON a.id = l.account
                           WHERE l.hash = ?1 AND l.expires_ms > ?2
                           AND (l.account IS NOT NULL OR NOT EXISTS (SELECT 1 FROM accounts))";
                let name: Option<Option<String>> =
                    db.query_row(sql, params![hash, now], |row| row.get(0)).optional()?;
                Ok(name.map(|name| name.map_or(Link::FirstAdmin, |name| Link::Password { name })))
            })
            .await
    }

    /// Uses a link up: `name` counts only for the first admin.
    pub async fn redeem(
        &self,
        secret: &str,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<NewSession, LogInError> {
        let link = self.link(secret).await?.ok_or(LogInError::Refused)?;
        let name = match &link {
            Link::FirstAdmin => checked_name(name)?,
            Link::Password { name } => name.clone(),
        };
        password::checked(password, &name).map_err(LogInError::Wrong)?;
        let hash = self.hashing.hash(password.to_owned()).await?;
        let (key, now, first, wanted) = (hash_of(secret), now_ms(), link == Link::FirstAdmin, name.clone());
        // The link is taken and the account made in one transaction: two who hold it cannot both use it.
        let used = self
            .store
            .write(move |db| {
                let taken = db.execute("DELETE FROM links WHERE hash = ?1 AND expires_ms > ?2", params![key, now])?;
                if taken == 0 {
                    return Ok(false);
                }
                if first {
                    let somebody: bool =
                        db.query_row("SELECT EXISTS (SELECT 1 FROM accounts)", [], |row| row.get(0))?;
                    if somebody {
                        return Ok(false);
                    }
                    db.execute(
                        "INSERT INTO accounts (name, role, password, created_ms) VALUES (?1, ?2, ?3, ?4)",
                        params![wanted, Role::Admin.as_str(), hash, now],
                    )?;
                } else {
                    db.execute("UPDATE accounts SET password = ?2 WHERE name = ?1", params![wanted, hash])?;
                    db.execute(
                        "DELETE FROM sessions WHERE account = (SELECT id FROM accounts WHERE name = ?1)",
                        [wanted],
                    )?;
                }
                Ok(true)
            })
            .await?;
        if !used {
            return Err(LogInError::Refused);
        }
        let account = self.account(&name).await?.filter(|account| !account.disabled).ok_or(LogInError::Refused)?;
        let actor = Actor::person(&account.name, account.role, address);
        let action = if first { Action::AddedUser } else { Action::ChangedPassword };
        self.audit.append(now, &actor, action, &account.name, "by a one-time link").await?;
        let stage = match (account.totp.is_some(), self.bounds.second_step) {
            (true, _) => Stage::SecondStep,
            (false, true) => Stage::SetUpSecondStep,
            (false, false) => Stage::In,
        };
        self.begin_session(&account, stage, address).await
    }
}
