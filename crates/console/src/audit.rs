//! Who did what, when and why: append-only, each row chained to the one before by its hash, without any content.
//!
//! The chain shows a row that was changed, cut out or put in; cutting off the newest rows shows only against an export
//! kept elsewhere, which is what the export is for. This module must not know what the actions do.

use crate::{
    actor::Actor,
    store::{Store, StoreError},
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! actions {
    ($($(#[$meta:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// What was done. The words are kept in the database: they may be added to, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$meta])* $variant),+ }

        impl Action {
            pub const ALL: &'static [Action] = &[$(Action::$variant),+];
            pub fn as_str(self) -> &'static str {
                match self { $(Action::$variant => $word),+ }
            }
            fn read(word: &str) -> Option<Action> {
                match word { $($word => Some(Action::$variant),)+ _ => None }
            }
        }
    };
}

actions! {
    OpenedContent = "opened_content",
    Searched = "searched_sender",
    Previewed = "previewed",
    Downloaded = "downloaded",
    Released = "released",
    Deleted = "deleted",
    Retried = "retried",
    Replayed = "replayed",
    Revoked = "revoked",
    ErasedSender = "erased_sender",
    AddedException = "added_exception",
    RemovedException = "removed_exception",
    Reloaded = "reloaded",
    Rescanned = "rescanned",
    TestedAlert = "tested_alert",
    ExportedAudit = "exported_audit",
    LoggedIn = "logged_in",
    LogInFailed = "log_in_failed",
    LoggedOut = "logged_out",
    ChangedPassword = "changed_password",
    SetUpSecondStep = "set_up_second_step",
    UsedRecoveryCode = "used_recovery_code",
    AddedUser = "added_user",
    ChangedUser = "changed_user",
    ResetUser = "reset_user",
    AddedToken = "added_token",
    RemovedToken = "removed_token",
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One row as people see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub number: u64,
    pub at_ms: u64,
    pub who: String,
    pub action: Action,
    /// Id of the message, user, token or exception it was done to; empty where there is none.
    pub target: String,
    pub reason: String,
    pub address: String,
}

/// One row of an export, with its hash, so that the chain can be checked elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audited {
    pub number: u64,
    pub at_ms: u64,
    pub who: String,
    pub action: String,
    pub target: String,
    pub reason: String,
    pub address: String,
    /// SHA-256, in hex; see [`chain`].
    pub hash: String,
}

/// Where the chain breaks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// The first row that does not fit the ones before.
    pub number: u64,
    pub problem: String,
}

/// Rows of one stretch of an export.
pub const EXPORT_ROWS: usize = 1_000;
/// Rows shown of one target.
const ABOUT_MAX: usize = 200;

#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
}

impl Audit {
    pub fn new(store: Store) -> Audit {
        Audit { store }
    }

    /// Durable on return.
    pub async fn append(
        &self,
        now: u64,
        actor: &Actor,
        action: Action,
        target: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (who, target, reason) = (actor.name.clone(), target.to_owned(), reason.to_owned());
        let address = actor.address.map(|address| address.to_string()).unwrap_or_default();
        self.store
            .write(move |db| {
                let last = db
                    .query_row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1", [], |row| {
                        Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))
                    })
                    .optional()?;
                let (number, before) = last.map_or((1, Vec::new()), |(number, hash)| (number + 1, hash));
                let action = action.as_str();
                let fields = [&who, action, &target, &reason, &address];
                let hash = chain(&before, number, now, &fields);
                db.execute(
                    "INSERT INTO audit (number, at_ms, who, action, target, reason, address, hash)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![number, now, who, action, target, reason, address, hash],
                )?;
                Ok(())
            })
            .await
    }

    /// Newest first.
    pub async fn page(&self, before: Option<u64>, most: usize) -> Result<Vec<Row>, StoreError> {
        self.store
            .read(move |db| {
                let mut select = db.prepare_cached(
                    "SELECT number, at_ms, who, action, target, reason, address, hash FROM audit
                     WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
                )?;
                let before = before.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX));
                let rows = select.query_map(params![before, most as i64], audited)?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().filter_map(shown).collect())
            })
            .await
    }

    /// What was done to one target, oldest first.
    pub async fn about(&self, target: &str) -> Result<Vec<Row>, StoreError> {
        let target = target.to_owned();
        self.store
            .read(move |db| {
                let mut select = db.prepare_cached(
                    "SELECT number, at_ms, who, action, target, reason, address, hash FROM audit
                     WHERE target = ?1 AND target <> '' ORDER BY number LIMIT ?2",
                )?;
                let rows = select.query_map(params![target, ABOUT_MAX as i64], audited)?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().filter_map(shown).collect())
            })
            .await
    }

    /// The next rows after this number, oldest first; empty at the end.
    pub async fn export(&self, after: u64) -> Result<Vec<Audited>, StoreError> {
        self.store.read(move |db| stretch(db, after)).await
    }

    /// Checks every row; how many there are, and where the chain breaks.
    pub async fn verify(&self) -> Result<(u64, Option<Broken>), StoreError> {
        let mut chain = Checker::default();
        loop {
            let after = chain.number;
            let rows = self.store.read(move |db| stretch(db, after)).await?;
            if rows.is_empty() {
                return Ok((chain.number, None));
            }
            for row in rows {
                if let Err(broken) = chain.take(&row) {
                    return Ok((chain.number, Some(broken)));
                }
            }
        }
    }
}

/// Checks rows one after another; for an export kept elsewhere, too.
#[derive(Default)]
pub struct Checker {
    number: u64,
    hash: Vec<u8>,
}

impl Checker {
    pub fn take(&mut self, row: &Audited) -> Result<(), Broken> {
        let broken = |problem: &str| Err(Broken { number: row.number, problem: problem.to_owned() });
        if row.number != self.number + 1 {
            return broken(&format!("row {} should stand here: rows were cut out or put in", self.number + 1));
        }
        let fields = [&*row.who, &row.action, &row.target, &row.reason, &row.address];
        let hash = chain(&self.hash, row.number, row.at_ms, &fields);
        if hex::encode(&hash) != row.hash {
            return broken("its hash does not fit: this row, or one before it, was changed");
        }
        self.number = row.number;
        self.hash = hash;
        Ok(())
    }
}

/// The hash of a row: over the hash before it, its number, its time and its fields, each with its length before it.
fn chain(before: &[u8], number: u64, at_ms: u64, fields: &[&str; 5]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(b"guarita audit v1");
    hash.update((before.len() as u64).to_be_bytes());
    hash.update(before);
    hash.update(number.to_be_bytes());
    hash.update(at_ms.to_be_bytes());
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().to_vec()
}

fn stretch(db: &Connection, after: u64) -> Result<Vec<Audited>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT number, at_ms, who, action, target, reason, address, hash FROM audit
         WHERE number > ?1 ORDER BY number LIMIT ?2",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = select.query_map(params![after, EXPORT_ROWS as i64], audited)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn audited(row: &rusqlite::Row<'_>) -> rusqlite::Result<Audited> {
    Ok(Audited {
        number: row.get(0)?,
        at_ms: row.get(1)?,
        who: row.get(2)?,
        action: row.get(3)?,
        target: row.get(4)?,
        reason: row.get(5)?,
        address: row.get(6)?,
        hash: hex::encode(row.get::<_, Vec<u8>>(7)?),
    })
}

/// A row whose word we do not know (written by a newer version) is in the export, not in the pages.
fn shown(row: Audited) -> Option<Row> {
    let Audited { number, at_ms, who, action, target, reason, address, .. } = row;
    Some(Row { number, at_ms, who, action: Action::read(&action)?, target, reason, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn filled() -> (tempfile::TempDir, Store, Audit) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("console.sqlite"), &[7; 32]).unwrap();
        let audit = Audit::new(store.clone());
        let actor = Actor::local("tester");
        for target in ["A", "B", "A", "C"] {
            audit.append(5, &actor, Action::Released, target, "because").await.unwrap();
        }
        (folder, store, audit)
    }

    /// As one would who has the file: without the triggers.
    fn tamper(folder: &tempfile::TempDir, sql: &str) {
        let db = Connection::open(folder.path().join("console.sqlite")).unwrap();
        db.execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut;").unwrap();
        db.execute_batch(sql).unwrap();
    }

    #[tokio::test]
    async fn rows_are_chained_and_paged() {
        let (_folder, store, audit) = filled().await;
        assert_eq!(audit.verify().await.unwrap(), (4, None));
        let newest = audit.page(None, 2).await.unwrap();
        assert_eq!(newest.iter().map(|row| row.number).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(audit.page(Some(3), 10).await.unwrap().len(), 2);
        assert_eq!(audit.about("A").await.unwrap().len(), 2);
        let refused = store.write(|db| Ok(db.execute("UPDATE audit SET who = 'x'", [])?)).await;
        assert!(refused.unwrap_err().to_string().contains("append-only"));
    }

    #[tokio::test]
    async fn every_tampering_shows_where() {
        for (sql, number) in [
            ("UPDATE audit SET reason = 'other' WHERE number = 2", 2),
            ("UPDATE audit SET at_ms = 6 WHERE number = 3", 3),
            ("DELETE FROM audit WHERE number = 2", 3),
            ("UPDATE audit SET who = who || action, action = '' WHERE number = 1", 1),
            ("UPDATE audit SET number = 9 WHERE number = 4", 9),
        ] {
            let (folder, _store, audit) = filled().await;
            tamper(&folder, sql);
            let (_, broken) = audit.verify().await.unwrap();
            assert_eq!(broken.map(|broken| broken.number), Some(number), "{sql}");
        }
    }

    #[tokio::test]
    async fn an_export_can_be_checked_elsewhere() {
        let (_folder, _store, audit) = filled().await;
        let rows = audit.export(0).await.unwrap();
        let text: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        let mut checker = Checker::default();
        for line in &text {
            checker.take(&serde_json::from_str(line).unwrap()).unwrap();
        }
        assert!(audit.export(4).await.unwrap().is_empty());
        assert!(Checker::default().take(&rows[1]).is_err(), "a beginning that was cut off");
    }

    #[test]
    fn words_come_back() {
        for action in Action::ALL {
            assert_eq!(Action::read(action.as_str()), Some(*action));
        }
    }
}
