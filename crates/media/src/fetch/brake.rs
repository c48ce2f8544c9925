//! Stops asking before Meta stops answering: too many failed look-ups within an hour block an account for half an hour.
//! It must not know what was looked up.

use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(3600);
/// Tokens remembered; there is one a route.
const TOKENS_MAX: usize = 1024;

pub(super) struct Brake {
    failures_max: usize,
    /// By hash of the token: when look-ups failed, oldest first, at most `failures_max`.
    failed: Mutex<HashMap<[u8; 32], VecDeque<Instant>>>,
}

impl Brake {
    pub(super) fn new(failures_max: usize) -> Self {
        Brake { failures_max: failures_max.max(1), failed: Mutex::default() }
    }

    /// Whether another look-up with this token is allowed.
    pub(super) fn allows(&self, token: &str, now: Instant) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = failed.get_mut(&name(token)) else { return true };
        forget_old(times, now);
        times.len() < self.failures_max
    }

    pub(super) fn note_failure(&self, token: &str, now: Instant) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= TOKENS_MAX {
            failed.retain(|_, times| {
                forget_old(times, now);
                !times.is_empty()
            });
            if failed.len() >= TOKENS_MAX {
                return;
            }
        }
        let times = failed.entry(name(token)).or_default();
        forget_old(times, now);
        if times.len() >= self.failures_max {
            times.pop_front();
        }
        times.push_back(now);
    }
}

fn forget_old(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
        times.pop_front();
    }
}

fn name(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_an_hour_and_a_token() {
        let (brake, start) = (Brake::new(3), Instant::now());
        let at = |minutes: u64| start + Duration::from_secs(minutes * 60);
        for minute in [0, 10, 20] {
            assert!(brake.allows("a", at(minute)));
            brake.note_failure("a", at(minute));
        }
        assert!(!brake.allows("a", at(30)));
        assert!(brake.allows("b", at(30)), "another token has its own count");
        assert!(!brake.allows("a", at(59)));
        assert!(brake.allows("a", at(60)), "the first failure is an hour old");
        brake.note_failure("a", at(60));
        assert!(!brake.allows("a", at(61)));
    }

    #[test]
    fn many_tokens_stay_bounded() {
        let (brake, now) = (Brake::new(3), Instant::now());
        for i in 0..TOKENS_MAX + 10 {
            brake.note_failure(&i.to_string(), now);
        }
        assert_eq!(brake.failed.lock().unwrap().len(), TOKENS_MAX);
        brake.note_failure("later", now + WINDOW);
        assert_eq!(brake.failed.lock().unwrap().len(), 1);
    }
}
