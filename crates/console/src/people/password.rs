//! Passwords: argon2id, a few at a time. A flood of log-ins waits or is turned away; it never eats the memory that
//! hashing takes. Knows no accounts.

use super::LogInError;
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Semaphore;

/// OWASP's second choice of parameters: 46 MiB, one pass, one lane; some 50 ms on a small server.
const MEMORY_KIB: u32 = 47_104;
const PASSES: u32 = 1;
/// Hashes at one time: 92 MiB at most.
const AT_ONCE_MAX: usize = 2;
/// Log-ins that may wait for their turn.
const WAITING_MAX: usize = 32;

pub const PASSWORD_CHARS_MIN: usize = 12;
pub const PASSWORD_BYTES_MAX: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Hashing {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Hashing {
    pub fn new() -> Hashing {
        Hashing { turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), waiting: Arc::default() }
    }

    pub async fn hash(&self, password: String) -> Result<String, LogInError> {
        self.work(move || {
            let hash = argon2().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
            Ok(hash.to_string())
        })
        .await?
        .map_err(LogInError::Failed)
    }

    /// `known` is `None` where there is no such account: the same work is done, so that time tells nothing.
    pub async fn verify(&self, password: String, known: Option<String>) -> Result<bool, LogInError> {
        self.work(move || {
            let Some(known) = known else {
                let _ = argon2().hash_password(password.as_bytes());
                return false;
            };
            PasswordHash::new(&known).is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LogInError> {
        let _place = Waiting::begin(&self.waiting)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| LogInError::Busy)?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        worked.await.map_err(|_| LogInError::Failed("hashing a password crashed; please report this".into()))
    }
}

/// A place in the line, given back however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, LogInError> {
        let place = Waiting(count);
        if count.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX { Err(LogInError::Busy) } else { Ok(place) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("argon2 takes these parameters; a test hashes");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A hash that costs next to nothing, for the many log-ins of tests. Checking it takes the parameters written in it.
#[cfg(any(test, feature = "seeded"))]
pub(super) fn cheap_hash(password: &str) -> String {
    let params = Params::new(64, 1, 1, None).expect("argon2 takes these parameters; every test hashes");
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password.as_bytes());
    hash.expect("a short password is hashed").to_string()
}

/// What a new password must be. Length is what counts; no composition rules (NIST 800-63B).
pub(super) fn checked(password: &str, name: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(format!("at least {PASSWORD_CHARS_MIN} characters; a few words are easier to remember than signs"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("at most {PASSWORD_BYTES_MAX} bytes"));
    }
    let lower = password.to_lowercase();
    let mut kinds: Vec<char> = lower.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() < 5 || (name.len() > 3 && lower.contains(&name.to_lowercase())) {
        return Err("too easily guessed: it repeats itself or holds the name".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_itself_alone() {
        let hashing = Hashing::new();
        let hash = hashing.hash("quatro palavras bem longas".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{hash}");
        assert!(hashing.verify("quatro palavras bem longas".into(), Some(hash.clone())).await.unwrap());
        assert!(!hashing.verify("quatro palavras bem longa".into(), Some(hash)).await.unwrap());
        assert!(!hashing.verify("anything".into(), None).await.unwrap());
        assert!(!hashing.verify("anything".into(), Some("no hash".into())).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_turned_away() {
        let hashing = Hashing::new();
        let _all = hashing.turns.clone().acquire_many_owned(AT_ONCE_MAX as u32).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let hashing = hashing.clone();
                tokio::spawn(async move { hashing.verify("x".into(), None).await })
            })
            .collect();
        while hashing.waiting.load(Ordering::Relaxed) < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert!(matches!(hashing.verify("x".into(), None).await, Err(LogInError::Busy)));
        waiting.iter().for_each(|task| task.abort());
        for task in waiting {
            let _ = task.await;
        }
        assert_eq!(hashing.waiting.load(Ordering::Relaxed), 0, "places are given back");
    }

    #[test]
    fn easy_passwords_are_refused() {
        for (password, fits) in [
            ("short", false),
            ("aaaaaaaaaaaaaaaa", false),
            ("fernanda2026!", false),
            ("cavalo bateria grampo", true),
            (&*"x1y2z3".repeat(60), false),
        ] {
            assert_eq!(checked(password, "fernanda").is_ok(), fits, "{password}");
        }
    }
}
