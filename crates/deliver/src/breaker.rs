//! Spares a dead backend: after a row of failures nothing is sent for a while, then one attempt feels the way.
//!
//! Only signs of an outage count (no connection, time-out, 429, 502, 503, 504). A 500 does not: many client libraries
//! answer so to events they do not know, and messages must not wait for that.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Failures in a row before the breaker opens.
const FAILURES_MAX: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything goes through.
    Closed,
    /// Nothing goes through until the wait is over.
    Open,
    /// One attempt is under way.
    Probing,
}

#[derive(Debug, Default)]
pub struct Breaker {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failures: u32,
    /// While open: when the next probe may go, and how long the wait was.
    open: Option<(Instant, Duration)>,
    probing_since: Option<Instant>,
}

impl Breaker {
    /// Whether an attempt may go now; otherwise how long to wait.
    pub fn ask(&self, now: Instant) -> Result<(), Duration> {
        let mut inner = self.lock();
        let Some((until, _)) = inner.open else { return Ok(()) };
        if now < until {
            return Err(until - now);
        }
        // A probe that never reported (its task died) must not keep the breaker open for ever.
        if inner.probing_since.is_some_and(|since| now.duration_since(since) < WAIT_MAX * 2) {
            return Err(WAIT_MIN);
        }
        inner.probing_since = Some(now);
        Ok(())
    }

    pub fn succeeded(&self) {
        *self.lock() = Inner::default();
    }

    pub fn failed(&self, now: Instant) {
        let mut inner = self.lock();
        inner.probing_since = None;
        inner.failures = inner.failures.saturating_add(1);
        if inner.failures >= FAILURES_MAX {
            let wait = match inner.open {
                // Attempts that were under way when it opened say nothing new.
                Some((until, _)) if now < until => return,
                Some((_, wait)) => (wait * 2).min(WAIT_MAX),
                None => WAIT_MIN,
            };
            inner.open = Some((now + wait, wait));
        }
    }

    pub fn state(&self) -> BreakerState {
        let inner = self.lock();
        match (inner.open, inner.probing_since) {
            (None, _) => BreakerState::Closed,
            (Some(_), None) => BreakerState::Open,
            (Some(_), Some(_)) => BreakerState::Probing,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_probes_and_closes() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            breaker.failed(start);
            assert_eq!(breaker.ask(start), Ok(()));
        }
        breaker.failed(start);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.ask(start), Err(Duration::from_secs(1)));
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.ask(later), Ok(()));
        assert_eq!(breaker.ask(later), Err(WAIT_MIN), "one probe at a time");
        breaker.failed(later);
        assert_eq!(breaker.ask(later), Err(Duration::from_secs(2)), "the wait doubles");
        let later = later + Duration::from_secs(2);
        assert_eq!(breaker.ask(later), Ok(()));
        breaker.succeeded();
        assert_eq!((breaker.state(), breaker.ask(later)), (BreakerState::Closed, Ok(())));
    }

    #[test]
    fn a_lost_probe_is_replaced() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        (0..5).for_each(|_| breaker.failed(start));
        let probe = start + Duration::from_secs(1);
        assert_eq!(breaker.ask(probe), Ok(()));
        assert_eq!(breaker.ask(probe + WAIT_MAX * 2), Ok(()));
    }
}
