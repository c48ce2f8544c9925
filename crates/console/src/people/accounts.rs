//! The rows of accounts: who there is, and what an admin does to them.

use super::{LogInError, People, password};
use crate::{
    actor::{Actor, Role},
    audit::Action,
    desk::now_ms,
    store::StoreError,
};
use rusqlite::{OptionalExtension, params};
use serde::Serialize;

/// An account as an admin sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    pub name: String,
    pub role: Role,
    pub disabled: bool,
    /// Has chosen a password.
    pub active: bool,
    pub second_step: bool,
    pub recovery_codes: u64,
    pub created_ms: u64,
    pub seen_ms: Option<u64>,
}

/// The same with what must not leave this module.
pub(super) struct Row {
    pub id: i64,
    pub name: String,
    pub role: Role,
    pub password: Option<String>,
    pub totp: Option<Vec<u8>>,
    pub totp_offered: Option<Vec<u8>>,
    pub disabled: bool,
    created_ms: u64,
    seen_ms: Option<u64>,
    recovery: u64,
}

/// Accounts at most.
const ACCOUNTS_MAX: i64 = 1_000;
const COLUMNS: &str = "id, name, role, password, totp, totp_offered, disabled, created_ms, seen_ms,
    (SELECT count(*) FROM recovery WHERE account = accounts.id)";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let role: String = row.get(2)?;
    Ok(Row {
        id: row.get(0)?,
        name: row.get(1)?,
        // A word we do not know (a newer version's) gives the least.
        role: role.parse().unwrap_or(Role::Viewer),
        password: row.get(3)?,
        totp: row.get(4)?,
        totp_offered: row.get(5)?,
        disabled: row.get(6)?,
        created_ms: row.get(7)?,
        seen_ms: row.get(8)?,
        recovery: row.get(9)?,
    })
}

impl People {
    pub(super) async fn account(&self, name: &str) -> Result<Option<Row>, StoreError> {
        let name = name.to_owned();
        self.store
            .read(move |db| {
                let sql = format!("SELECT {COLUMNS} FROM accounts WHERE name = ?1");
                Ok(db.prepare_cached(&sql)?.query_row([name], read).optional()?)
            })
            .await
    }

    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.store
            .read(|db| {
                let sql = format!("SELECT {COLUMNS} FROM accounts ORDER BY name");
                let mut select = db.prepare_cached(&sql)?;
                let rows = select.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
                Ok(rows.into_iter().map(Row::shown).collect())
            })
            .await
    }

    /// Is there anybody yet? Until then the set-up link makes the first admin.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        self.store
            .read(|db| Ok(db.query_row("SELECT NOT EXISTS (SELECT 1 FROM accounts)", [], |row| row.get(0))?))
            .await
    }

    /// A new account without a password; the secret of a one-time link with which its owner chooses one.
    pub async fn add(&self, by: &Actor, name: &str, role: Role) -> Result<String, LogInError> {
        let name = checked_name(name)?;
        let now = now_ms();
        let wanted = name.clone();
        let added = self
            .store
            .write(move |db| {
                let count: i64 = db.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))?;
                if count >= ACCOUNTS_MAX {
                    return Ok(Err(format!("at most {ACCOUNTS_MAX} accounts; remove some first")));
                }
                let added = db.execute(
                    "INSERT OR IGNORE INTO accounts (name, role, created_ms) VALUES (?1, ?2, ?3)",
                    params![wanted, role.as_str(), now],
                )?;
                Ok(if added == 1 {
                    Ok(db.last_insert_rowid())
                } else {
                    Err("there is an account of that name already".into())
                })
            })
            .await?;
        let id = added.map_err(LogInError::Wrong)?;
        self.audit.append(now, by, Action::AddedUser, &name, role.as_str()).await?;
        self.make_link(Some(id)).await
    }

    /// An account with a password that is known to whoever makes it: the demo's, and `user add --password-stdin`.
    pub async fn add_with_password(
        &self,
        by: &Actor,
        name: &str,
        role: Role,
        password: &str,
    ) -> Result<(), LogInError> {
        password::checked(password, name).map_err(LogInError::Wrong)?;
        let secret = self.add(by, name, role).await?;
        let account = self.account(name.trim()).await?.ok_or(LogInError::Refused)?;
        self.forget_link(&secret).await?;
        self.set_password(account.id, password).await
    }

    /// For tests: the same with a hash that costs nothing.
    #[cfg(any(test, feature = "seeded"))]
    pub(crate) async fn add_for_test(&self, name: &str, role: Role, password: &str) -> Result<(), LogInError> {
        let secret = self.add(&Actor::local("test"), name, role).await?;
        self.forget_link(&secret).await?;
        let (name, hash) = (name.to_owned(), password::cheap_hash(password));
        let sql = "UPDATE accounts SET password = ?2 WHERE name = ?1";
        self.store.write(move |db| Ok(db.execute(sql, (name, hash))?)).await?;
        Ok(())
    }

    /// Role and whether the account may be used. Open sessions end.
    pub async fn change(
        &self,
        by: &Actor,
        name: &str,
        role: Option<Role>,
        disabled: Option<bool>,
    ) -> Result<(), LogInError> {
        let account = self.known(name).await?;
        let (id, role, disabled) = (account.id, role.unwrap_or(account.role), disabled.unwrap_or(account.disabled));
        let changed = self
            .store
            .write(move |db| {
                let others: i64 = db.query_row(
                    "SELECT count(*) FROM accounts WHERE role = 'admin' AND NOT disabled AND id <> ?1",
                    [id],
                    |row| row.get(0),
                )?;
                if others == 0 && (role != Role::Admin || disabled) {
                    return Ok(false);
                }
                db.execute(
                    "UPDATE accounts SET role = ?2, disabled = ?3 WHERE id = ?1",
                    params![id, role.as_str(), disabled],
                )?;
                db.execute("DELETE FROM sessions WHERE account = ?1", [id])?;
                db.execute("DELETE FROM links WHERE account = ?1 AND ?2", params![id, disabled])?;
                Ok(true)
            })
            .await?;
        if !changed {
            return Err(LogInError::Wrong("the last admin cannot be taken away; make another one first".into()));
        }
        let what = format!("{role}{}", if disabled { ", disabled" } else { "" });
        Ok(self.audit.append(now_ms(), by, Action::ChangedUser, &account.name, &what).await?)
    }

    /// Takes password, second step and sessions away; the secret of a one-time link to choose anew.
    pub async fn reset(&self, by: &Actor, name: &str) -> Result<String, LogInError> {
        let account = self.known(name).await?;
        let id = account.id;
        self.store
            .write(move |db| {
                db.execute(
                    "UPDATE accounts SET password = NULL, totp = NULL, totp_offered = NULL WHERE id = ?1",
                    [id],
                )?;
                for table in ["recovery", "sessions", "links"] {
                    db.execute(&format!("DELETE FROM {table} WHERE account = ?1"), [id])?;
                }
                Ok(())
            })
            .await?;
        self.throttle.succeeded(&super::Key::account(&account.name));
        self.audit.append(now_ms(), by, Action::ResetUser, &account.name, "").await?;
        self.make_link(Some(id)).await
    }

    async fn known(&self, name: &str) -> Result<Row, LogInError> {
        self.account(name.trim()).await?.ok_or_else(|| LogInError::Wrong("there is no such user".into()))
    }
}

impl Row {
    pub(super) fn shown(self) -> Account {
        Account {
            active: self.password.is_some(),
            second_step: self.totp.is_some(),
            name: self.name,
            role: self.role,
            disabled: self.disabled,
            recovery_codes: self.recovery,
            created_ms: self.created_ms,
            seen_ms: self.seen_ms,
        }
    }
}

/// A name fit for logs, urls and headers.
pub(super) fn checked_name(name: &str) -> Result<String, LogInError> {
    let name = name.trim();
    let right = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@'))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if right {
        Ok(name.to_owned())
    } else {
        Err(LogInError::Wrong("a name is 1 to 64 letters, digits and . _ - @, beginning with a letter or digit".into()))
    }
}
