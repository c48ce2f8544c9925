//! Who may come in: accounts with a password and a second step, sessions, one-time links, tokens of programs.
//!
//! Secrets are stored hashed (sessions, tokens, links, recovery codes) or sealed (TOTP secrets); nothing here ever writes
//! one into a log or an error. Who may change whom is asked in `desk`; this module must not know HTTP.

mod accounts;
mod links;
mod password;
mod sessions;
mod throttle;
mod tokens;
mod totp;

pub use accounts::Account;
pub use links::Link;
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
pub use sessions::{Session, Stage};
pub use tokens::{NewToken, TokenInfo};
pub use totp::code_now;

use crate::{
    Config,
    actor::Actor,
    audit::{Action, Audit},
    desk::now_ms,
    store::{Store, StoreError, random},
};
use password::Hashing;
use std::{net::IpAddr, sync::Arc};
use throttle::{Key, Throttle};

/// Accounts, sessions, tokens. Clones share everything.
#[derive(Clone, Debug)]
pub struct People {
    store: Store,
    audit: Audit,
    hashing: Hashing,
    throttle: Arc<Throttle>,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    idle_ms: u64,
    absolute_ms: u64,
    second_step: bool,
}

/// Why someone did not come in. Deliberately says little.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// No such account, wrong password or code, disabled: all the same from outside.
    #[error("name, password or code do not fit")]
    Refused,
    #[error("too many failed tries; wait {0} seconds")]
    Wait(u64),
    #[error("too many log-ins at the moment; try again")]
    Busy,
    /// What was typed cannot be taken, whoever types it.
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for LogInError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => LogInError::Busy,
            error => LogInError::Failed(error.to_string()),
        }
    }
}

/// A session that was just made: the only time its secret is known.
#[derive(Debug)]
pub struct NewSession {
    /// For the cookie.
    pub secret: String,
    pub stage: Stage,
}

/// A second step that is offered: to be shown once, then confirmed by a code.
#[derive(Debug)]
pub struct Offer {
    /// For those who cannot scan.
    pub secret: String,
    pub uri: String,
    /// An SVG of the uri.
    pub qr: String,
}

impl People {
    pub fn new(store: Store, audit: Audit, config: &Config) -> People {
        People {
            store,
            audit,
            hashing: Hashing::new(),
            throttle: Arc::default(),
            bounds: Bounds {
                idle_ms: config.session_idle_minutes * 60_000,
                absolute_ms: config.session_hours * 3_600_000,
                second_step: config.second_step,
            },
        }
    }

    /// The first step. Gives a session whose stage says what is still wanted of it.
    pub async fn log_in(&self, name: &str, password: &str, address: Option<IpAddr>) -> Result<NewSession, LogInError> {
        let now = now_ms();
        let keys = throttle_keys(name, address);
        self.may_try(&keys, now)?;
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(LogInError::Refused);
        }
        // Counted before it is checked: tries at the same time must not slip through together.
        self.throttle.failed(&keys, now);
        let account = self.account(name).await?;
        let known = account.as_ref().filter(|account| !account.disabled).and_then(|account| account.password.clone());
        let fits = self.hashing.verify(password.to_owned(), known).await?;
        let Some(account) = account.filter(|account| fits && !account.disabled) else {
            // The name as typed may be a password typed into the wrong field: it is not recorded.
            self.note_failure(name, address).await?;
            return Err(LogInError::Refused);
        };
        self.throttle.was_right(&keys);
        let stage = match (account.totp.is_some(), self.bounds.second_step) {
            (true, _) => Stage::SecondStep,
            (false, true) => Stage::SetUpSecondStep,
            (false, false) => Stage::In,
        };
        if stage != Stage::SecondStep {
            self.throttle.succeeded(&keys[0]);
        }
        self.begin_session(&account, stage, address).await
    }

    /// The second step, with a code of the app or a recovery code. The session changes its secret.
    pub async fn second_step(
        &self,
        secret: &str,
        code: &str,
        address: Option<IpAddr>,
    ) -> Result<NewSession, LogInError> {
        let now = now_ms();
        let session = self.session(secret).await?.ok_or(LogInError::Refused)?;
        if session.stage != Stage::SecondStep {
            return Err(LogInError::Refused);
        }
        let keys = throttle_keys(&session.name, address);
        self.may_try(&keys, now)?;
        self.throttle.failed(&keys, now);
        let recovered = if self.take_code(session.account, code, now).await? {
            false
        } else if self.take_recovery_code(session.account, code).await? {
            true
        } else {
            self.note_failure(&session.name, address).await?;
            return Err(LogInError::Refused);
        };
        self.throttle.was_right(&keys);
        self.throttle.succeeded(&keys[0]);
        let account = self.account(&session.name).await?.ok_or(LogInError::Refused)?;
        if recovered {
            let actor = Actor::person(&account.name, account.role, address);
            self.audit.append(now, &actor, Action::UsedRecoveryCode, &account.name, "").await?;
        }
        self.end_session(secret).await?;
        self.begin_session(&account, Stage::In, address).await
    }

    /// A new TOTP secret for whoever holds this session; counts once it is confirmed. Asking again gives another one.
    pub async fn offer_second_step(&self, session: &Session) -> Result<Offer, LogInError> {
        if session.stage == Stage::SecondStep {
            return Err(LogInError::Refused);
        }
        let secret = random::<{ totp::SECRET_BYTES }>()?;
        let sealed = self.store.seal("totp", &secret)?;
        let account = session.account;
        self.store
            .write(move |db| Ok(db.execute("UPDATE accounts SET totp_offered = ?2 WHERE id = ?1", (account, sealed))?))
            .await?;
        let uri = totp::uri(&session.name, &secret);
        let qr = totp::qr_svg(&uri).ok_or_else(|| LogInError::Failed("the QR code cannot be drawn".into()))?;
        Ok(Offer { secret: totp::base32(&secret), uri, qr })
    }

    /// Confirms the offered secret by a code of it. Gives a new session and the recovery codes, shown once.
    pub async fn confirm_second_step(
        &self,
        secret: &str,
        code: &str,
        address: Option<IpAddr>,
    ) -> Result<(NewSession, Vec<String>), LogInError> {
        let now = now_ms();
        let session = self.session(secret).await?.ok_or(LogInError::Refused)?;
        let account = self.account(&session.name).await?.ok_or(LogInError::Refused)?;
        if session.stage == Stage::SecondStep {
            return Err(LogInError::Refused);
        }
        let keys = throttle_keys(&session.name, address);
        self.may_try(&keys, now)?;
        self.throttle.failed(&keys, now);
        // Whoever took a session over must not put their own phone in place of the owner's.
        if account.totp.is_some() {
            return Err(LogInError::Wrong("there is a second step already; an admin can reset it".into()));
        }
        let offered = account.totp_offered.clone().ok_or(LogInError::Refused)?;
        let plain = self.store.unseal("totp", &offered)?;
        let step = totp::step_of(&plain, code, now, 0).ok_or(LogInError::Refused)?;
        self.throttle.was_right(&keys);
        self.throttle.succeeded(&keys[0]);
        let (codes, hashes) = self.recovery_codes()?;
        let id = account.id;
        self.store
            .write(move |db| {
                db.execute(
                    "UPDATE accounts SET totp = ?2, totp_offered = NULL, totp_step = ?3 WHERE id = ?1",
                    (id, offered, step),
                )?;
                put_recovery_codes(db, id, hashes)?;
                // What was open before the second step stood is closed.
                db.execute("DELETE FROM sessions WHERE account = ?1", [id])?;
                Ok(())
            })
            .await?;
        let actor = Actor::person(&account.name, account.role, address);
        self.audit.append(now, &actor, Action::SetUpSecondStep, &account.name, "").await?;
        Ok((self.begin_session(&account, Stage::In, address).await?, codes))
    }

    /// New recovery codes instead of the old ones, shown once.
    pub async fn renew_recovery_codes(
        &self,
        session: &Session,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Vec<String>, LogInError> {
        let account = self.check_password(session, password, address).await?;
        if account.totp.is_none() {
            return Err(LogInError::Wrong("set the second step up first".into()));
        }
        let (codes, hashes) = self.recovery_codes()?;
        let id = account.id;
        self.store.write(move |db| put_recovery_codes(db, id, hashes)).await?;
        let actor = Actor::person(&account.name, account.role, address);
        self.audit.append(now_ms(), &actor, Action::SetUpSecondStep, &account.name, "new recovery codes").await?;
        Ok(codes)
    }

    fn recovery_codes(&self) -> Result<(Vec<String>, Vec<[u8; 32]>), StoreError> {
        let codes = (0..RECOVERY_CODES).map(|_| recovery_code()).collect::<Result<Vec<_>, _>>()?;
        let hashes = codes.iter().map(|code| self.store.keyed_hash("recovery", tidy(code).as_bytes())).collect();
        Ok((codes, hashes))
    }

    /// The password once more, of someone who is logged in: for what matters.
    async fn check_password(
        &self,
        session: &Session,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<accounts::Row, LogInError> {
        if session.stage != Stage::In || password.len() > PASSWORD_BYTES_MAX {
            return Err(LogInError::Refused);
        }
        let now = now_ms();
        let keys = throttle_keys(&session.name, address);
        self.may_try(&keys, now)?;
        self.throttle.failed(&keys, now);
        let account = self.account(&session.name).await?.ok_or(LogInError::Refused)?;
        if !self.hashing.verify(password.to_owned(), account.password.clone()).await? {
            return Err(LogInError::Refused);
        }
        self.throttle.was_right(&keys);
        self.throttle.succeeded(&keys[0]);
        Ok(account)
    }

    /// Ends every other session, too, and gives a new one.
    pub async fn change_password(
        &self,
        session: &Session,
        old: &str,
        new: &str,
        address: Option<IpAddr>,
    ) -> Result<NewSession, LogInError> {
        password::checked(new, &session.name).map_err(LogInError::Wrong)?;
        let account = self.check_password(session, old, address).await?;
        self.set_password(account.id, new).await?;
        self.log_out_everywhere(account.id).await?;
        let actor = Actor::person(&account.name, account.role, address);
        self.audit.append(now_ms(), &actor, Action::ChangedPassword, &account.name, "").await?;
        self.begin_session(&account, Stage::In, address).await
    }

    async fn set_password(&self, account: i64, password: &str) -> Result<(), LogInError> {
        let hash = self.hashing.hash(password.to_owned()).await?;
        self.store
            .write(move |db| Ok(db.execute("UPDATE accounts SET password = ?2 WHERE id = ?1", (account, hash))?))
            .await?;
        Ok(())
    }

    /// Takes a code if it is right and later than the last one taken; both in one transaction, so that the same code
    /// sent twice at the same time works once.
    async fn take_code(&self, account: i64, code: &str, now: u64) -> Result<bool, LogInError> {
        let (store, code) = (self.store.clone(), code.to_owned());
        let taken = self
            .store
            .write(move |db| {
                let (sealed, last): (Option<Vec<u8>>, u64) =
                    db.query_row("SELECT totp, totp_step FROM accounts WHERE id = ?1", [account], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?;
                let Some(sealed) = sealed else { return Ok(false) };
                let secret = store.unseal("totp", &sealed)?;
                let Some(step) = totp::step_of(&secret, &code, now, last) else { return Ok(false) };
                db.execute("UPDATE accounts SET totp_step = ?2 WHERE id = ?1", (account, step))?;
                Ok(true)
            })
            .await?;
        Ok(taken)
    }

    async fn take_recovery_code(&self, account: i64, code: &str) -> Result<bool, LogInError> {
        let code = tidy(code);
        if code.len() != RECOVERY_SIGNS {
            return Ok(false);
        }
        let hash = self.store.keyed_hash("recovery", code.as_bytes());
        let taken = self
            .store
            .write(move |db| Ok(db.execute("DELETE FROM recovery WHERE account = ?1 AND hash = ?2", (account, hash))?))
            .await?;
        Ok(taken == 1)
    }

    fn may_try(&self, keys: &[Key], now: u64) -> Result<(), LogInError> {
        match self.throttle.wait(keys, now) {
            0 => Ok(()),
            wait => Err(LogInError::Wait(wait.div_ceil(1_000))),
        }
    }

    /// Failures are in the audit by account where there is one.
    async fn note_failure(&self, name: &str, address: Option<IpAddr>) -> Result<(), LogInError> {
        let target = self.account(name).await?.map(|account| account.name).unwrap_or_default();
        let actor = Actor { name: "(nobody)".into(), scopes: Vec::new(), address };
        metrics::counter!("guarita_console_log_ins_total", "outcome" => "refused").increment(1);
        Ok(self.audit.append(now_ms(), &actor, Action::LogInFailed, &target, "").await?)
    }
}

/// Recovery codes given out together, and how long each is: 50 bits, tried at most a few times an hour.
const RECOVERY_CODES: usize = 10;
const RECOVERY_SIGNS: usize = 10;

fn recovery_code() -> Result<String, StoreError> {
    let text = totp::base32(&random::<7>()?);
    Ok(format!("{}-{}", &text[..5], &text[5..RECOVERY_SIGNS]))
}

fn put_recovery_codes(db: &rusqlite::Transaction<'_>, account: i64, hashes: Vec<[u8; 32]>) -> Result<(), StoreError> {
    db.execute("DELETE FROM recovery WHERE account = ?1", [account])?;
    for hash in hashes {
        db.execute("INSERT INTO recovery (account, hash) VALUES (?1, ?2)", (account, hash))?;
    }
    Ok(())
}

fn tidy(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(64).map(|c| c.to_ascii_uppercase()).collect()
}

fn throttle_keys(name: &str, address: Option<IpAddr>) -> Vec<Key> {
    std::iter::once(Key::account(name)).chain(address.map(Key::address)).collect()
}

#[cfg(test)]
mod tests;
