//! When to try again: a short list, then every two hours until seven days are over.

use std::time::Duration;

/// Seconds before the second, third … attempt; the last one repeats.
const WAITS_SECONDS: [u64; 11] = [1, 2, 5, 15, 45, 120, 300, 900, 1800, 3600, 7200];

/// An entry older than this becomes a dead letter: as long as Meta itself would have tried.
pub const GIVE_UP_MILLIS: u64 = 7 * 24 * 3600 * 1000;

/// A refusal (4xx) may be a deployment in progress; a third one is meant.
pub const REFUSALS_MAX: u32 = 3;

/// The wait after `attempts` failed attempts (1 and up), between 75 % and 125 % of the list's value: `random` spreads
/// what failed together. Never shorter than what the backend asked for, which counts up to an hour.
pub fn wait_before_retry(attempts: u32, asked: Option<Duration>, random: u32) -> Duration {
    let index = (attempts.max(1) as usize - 1).min(WAITS_SECONDS.len() - 1);
    let base = WAITS_SECONDS[index] * 1000;
    let jittered = base * 3 / 4 + base / 2 * u64::from(random) / u64::from(u32::MAX);
    let asked = asked.unwrap_or_default().min(Duration::from_secs(3600));
    Duration::from_millis(jittered).max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_their_jitter() {
        for (attempts, random, expect) in
            [(1, 0, 750), (1, u32::MAX, 1250), (2, 0, 1500), (3, u32::MAX, 6250), (99, 0, 5_400_000), (0, 0, 750)]
        {
            assert_eq!(wait_before_retry(attempts, None, random).as_millis(), expect, "{attempts} {random}");
        }
        assert_eq!(wait_before_retry(1, Some(Duration::from_secs(30)), 0).as_secs(), 30);
        assert_eq!(wait_before_retry(1, Some(Duration::from_secs(999_999)), 0).as_secs(), 3600);
    }
}
