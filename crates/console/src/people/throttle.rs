//! Growing waits after failed log-ins, for each account and for each address. In memory: a restart forgets them, and
//! whoever can restart the gateway needs no password. Pure but for its lock; the time is an argument.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// An account's name in lower case, known to us or not.
    Account(String),
    /// An IPv4 address, or the /64 of an IPv6 one: whoever has one has them all.
    Address(IpAddr),
}

impl Key {
    pub fn account(name: &str) -> Key {
        Key::Account(name.to_lowercase().chars().take(64).collect())
    }

    pub fn address(address: IpAddr) -> Key {
        Key::Address(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }

    /// Failures that cost nothing: people mistype, and many may sit behind one address.
    fn free(&self) -> u32 {
        match self {
            Key::Account(_) => 4,
            Key::Address(_) => 12,
        }
    }
}

/// Longest wait. Not longer, for an account: else anybody could keep its owner out by failing on purpose.
const WAIT_MAX_MILLIS: u64 = 5 * 60 * 1000;
/// A quiet time after which failures are forgotten.
const FORGET_MILLIS: u64 = 60 * 60 * 1000;
/// Names and addresses remembered at one time.
const KEYS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<Key, Failures>>,
}

impl Throttle {
    /// Milliseconds to wait before the next try; 0: go on.
    pub fn wait(&self, keys: &[Key], now: u64) -> u64 {
        let failures = self.lock();
        let waits = keys.iter().filter_map(|key| {
            let seen = failures.get(key)?;
            let over = seen.count.checked_sub(key.free())?;
            let wait = 1_000u64.checked_shl(over.min(20)).unwrap_or(WAIT_MAX_MILLIS).min(WAIT_MAX_MILLIS);
            Some((seen.last_ms + wait).saturating_sub(now))
        });
        waits.max().unwrap_or(0)
    }

    pub fn failed(&self, keys: &[Key], now: u64) {
        let mut failures = self.lock();
        for key in keys {
            if failures.len() >= KEYS_MAX && !failures.contains_key(key) {
                make_room(&mut failures, now);
            }
            let seen = failures.entry(key.clone()).or_insert(Failures { count: 0, last_ms: now });
            if now.saturating_sub(seen.last_ms) > FORGET_MILLIS {
                seen.count = 0;
            }
            seen.count = seen.count.saturating_add(1);
            seen.last_ms = now;
        }
    }

    /// A success forgives the account. The address stays counted: one good account must not open the way to others'.
    pub fn succeeded(&self, account: &Key) {
        self.lock().remove(account);
    }

    /// This try was counted before it was checked, and was right: it takes its own count at the address back, and no
    /// other. Else thirteen people of one office who log in would make the fourteenth wait.
    pub fn was_right(&self, keys: &[Key]) {
        let mut failures = self.lock();
        for key in keys.iter().filter(|key| matches!(key, Key::Address(_))) {
            if let Some(seen) = failures.get_mut(key) {
                seen.count = seen.count.saturating_sub(1);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the old ones, and of the rest those with the fewest failures: a flood of names must not push out what counts.
fn make_room(failures: &mut HashMap<Key, Failures>, now: u64) {
    failures.retain(|_, seen| now.saturating_sub(seen.last_ms) <= FORGET_MILLIS);
    let mut least = 1;
    while failures.len() >= KEYS_MAX {
        failures.retain(|_, seen| seen.count > least);
        least = least.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let throttle = Throttle::default();
        let keys = [Key::account("Ana")];
        let mut waits = Vec::new();
        for _ in 0..16 {
            throttle.failed(&keys, 1_000);
            waits.push(throttle.wait(&keys, 1_000));
        }
        assert_eq!(waits[..6], [0, 0, 0, 1_000, 2_000, 4_000]);
        assert_eq!(*waits.last().unwrap(), WAIT_MAX_MILLIS);
        assert_eq!(throttle.wait(&[Key::account("ana")], 2_000), WAIT_MAX_MILLIS - 1_000, "case makes no difference");
        assert_eq!(throttle.wait(&[Key::account("bea")], 1_000), 0);
        assert_eq!(throttle.wait(&keys, 1_000 + WAIT_MAX_MILLIS), 0);
        throttle.succeeded(&keys[0]);
        assert_eq!(throttle.wait(&keys, 1_000), 0);
    }

    #[test]
    fn an_office_that_logs_in_is_not_made_to_wait() {
        let throttle = Throttle::default();
        let keys = [Key::account("ana"), Key::address("192.0.2.7".parse().unwrap())];
        (0..10).for_each(|_| throttle.failed(&keys[1..], 1_000));
        for _ in 0..100 {
            throttle.failed(&keys, 1_000);
            throttle.was_right(&keys);
            throttle.succeeded(&keys[0]);
        }
        assert_eq!(throttle.wait(&keys, 1_000), 0);
        (0..3).for_each(|_| throttle.failed(&keys[1..], 1_000));
        assert!(throttle.wait(&keys, 1_000) > 0, "what failed from there stays counted");
    }

    #[test]
    fn neighbours_of_one_network_are_one() {
        let a = Key::address("2001:db8:1:2:3::1".parse().unwrap());
        assert_eq!(a, Key::address("2001:db8:1:2:ffff::9".parse().unwrap()));
        assert_ne!(a, Key::address("2001:db8:1:3::1".parse().unwrap()));
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(Key::address("::ffff:192.0.2.7".parse().unwrap()), Key::Address(v4));
    }

    #[test]
    fn memory_is_bounded_and_the_worst_stay() {
        let throttle = Throttle::default();
        let worst = [Key::account("admin")];
        (0..10).for_each(|_| throttle.failed(&worst, 1_000));
        for number in 0..KEYS_MAX + 100 {
            throttle.failed(&[Key::account(&format!("x{number}"))], 1_000);
        }
        assert!(throttle.lock().len() <= KEYS_MAX);
        assert!(throttle.wait(&worst, 1_000) > 0);
    }
}
