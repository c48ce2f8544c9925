//! The state of things at a glance: traffic and verdicts over time, what waits, scanners, latency.

use super::{Desk, Done, now_ms};
use crate::{
    actor::{Actor, Scope},
    gateway::{BackendInfo, Check, Snapshot},
};
use guarita_message::Verdict;
use guarita_spool::{Filter, HISTORY_STEP_MILLIS, State};
use serde::Serialize;

/// What the first page shows.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    pub at_ms: u64,
    pub ready: bool,
    pub checks: Vec<Check>,
    pub snapshot: Snapshot,
    /// Entries by state.
    pub by_state: Vec<(State, u64)>,
    pub in_flight: u64,
    pub oldest_unfinished_seconds: u64,
    /// Held back now: quarantined, released by nobody; counted up to [`HELD_COUNT_MAX`].
    pub held: u64,
    pub backends: Vec<BackendInfo>,
    pub figures: Figures,
    /// Oldest first, all of the same width.
    pub history: Vec<Bucket>,
    pub bucket_seconds: u64,
}

/// Held messages and dead letters; the held are counted up to [`WANTS_COUNT_MAX`].
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Wants {
    pub held: u64,
    pub dead: u64,
}

/// One stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bucket {
    pub from_ms: u64,
    pub received: u64,
    pub clean: u64,
    pub suspicious: u64,
    pub unscanned: u64,
    pub malicious: u64,
}

/// Latencies since the gateway started, from its own histograms.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    pub acknowledgement: Quantiles,
    pub end_to_end: Quantiles,
    /// By scanner.
    pub scans: Vec<(String, Quantiles)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    /// Upper bounds of the histogram's buckets, in seconds.
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// Held entries are counted up to here; more are shown as "this many or more".
pub const HELD_COUNT_MAX: usize = 1_000;
/// The same for the side bar, which every page draws.
pub const WANTS_COUNT_MAX: usize = 100;
/// Buckets shown, and how wide they may be.
const BUCKETS: u64 = 48;

impl Desk {
    /// `hours` back, at most a week of them.
    pub async fn overview(&self, actor: &Actor, hours: u64) -> Done<Overview> {
        self.need(actor, Scope::Read)?;
        let now = now_ms();
        let readiness = self.gateway.readiness().await;
        let counts = self.spool.counts().await?;
        let held = Filter { quarantine: Some(true), ..Filter::default() };
        let held = self.spool.list(held, HELD_COUNT_MAX).await?;
        let held = held.iter().filter(|record| record.released_by.is_none()).count() as u64;
        let metrics = self.gateway.metrics().await;
        let span = hours.clamp(1, 168) * 3600 * 1000;
        let history = self.history(now, span).await?;
        Ok(Overview {
            at_ms: now,
            ready: readiness.ready,
            checks: readiness.checks,
            snapshot: self.gateway.snapshot(),
            by_state: counts.by_state,
            in_flight: counts.claimed,
            oldest_unfinished_seconds: counts.oldest_unfinished_ms.map_or(0, |at| now.saturating_sub(at) / 1000),
            held,
            backends: self.gateway.backends(),
            figures: Figures::read(&metrics),
            bucket_seconds: history.get(..2).map_or(0, |two| (two[1].from_ms - two[0].from_ms) / 1000),
            history,
        })
    }

    /// What wants a person, for the side bar of every page; cheap.
    pub async fn wants(&self, actor: &Actor) -> Done<Wants> {
        self.need(actor, Scope::Read)?;
        let counts = self.spool.counts().await?;
        let held = Filter { quarantine: Some(true), ..Filter::default() };
        let held = self.spool.list(held, WANTS_COUNT_MAX).await?;
        Ok(Wants {
            held: held.iter().filter(|record| record.released_by.is_none()).count() as u64,
            dead: counts
                .by_state
                .iter()
                .find(|(state, _)| *state == State::DeadLettered)
                .map_or(0, |(_, count)| *count),
        })
    }

    async fn history(&self, now: u64, span: u64) -> Done<Vec<Bucket>> {
        let width = (span / BUCKETS).next_multiple_of(HISTORY_STEP_MILLIS);
        let until = now / width * width + width;
        let from = until.saturating_sub(width * BUCKETS);
        let stretches = self.spool.history(from, until, width).await?;
        Ok(stretches.into_iter().map(Bucket::of).collect())
    }
}

impl Bucket {
    fn of(stretch: guarita_spool::Bucket) -> Bucket {
        let count = |wanted: Verdict| {
            stretch.by_verdict.iter().find(|(verdict, _)| *verdict == wanted).map_or(0, |(_, count)| *count)
        };
        Bucket {
            from_ms: stretch.at,
            received: stretch.received,
            clean: count(Verdict::Clean),
            suspicious: count(Verdict::Suspicious),
            unscanned: count(Verdict::Unscanned),
            malicious: count(Verdict::Malicious),
        }
    }
}

impl Figures {
    /// From the Prometheus text.
    pub fn read(metrics: &str) -> Figures {
        let scanners = {
            let mut names: Vec<&str> = metrics
                .lines()
                .filter_map(|line| line.strip_prefix("guarita_scan_seconds_count{scanner=\""))
                .filter_map(|rest| rest.split('"').next())
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        Figures {
            acknowledgement: quantiles(metrics, "guarita_ack_seconds", ""),
            end_to_end: quantiles(metrics, "guarita_end_to_end_seconds", ""),
            scans: scanners
                .into_iter()
                .map(|name| (name.to_owned(), quantiles(metrics, "guarita_scan_seconds", name)))
                .collect(),
        }
    }
}

/// `scanner` empty: whatever labels.
fn quantiles(metrics: &str, name: &str, scanner: &str) -> Quantiles {
    let mut steps: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
    let prefix = format!("{name}_bucket{{");
    let wanted = format!("scanner=\"{scanner}\"");
    for line in metrics.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let Some((labels, value)) = line.rsplit_once("} ") else { continue };
        if !scanner.is_empty() && !labels.contains(&wanted) {
            continue;
        }
        let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let (Some(bound), Ok(count)) = (bound, value.trim().parse::<f64>()) else { continue };
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::INFINITY) };
        // Several label sets of one name are summed; the bits of non-negative floats sort as the floats do.
        *steps.entry(bound.to_bits()).or_default() += count as u64;
    }
    let count = steps.values().copied().max().unwrap_or(0);
    let largest = steps.keys().map(|bits| f64::from_bits(*bits)).filter(|bound| bound.is_finite()).fold(0.0, f64::max);
    let at = |share: f64| {
        let wanted = (count as f64 * share).ceil() as u64;
        let found = steps.iter().find(|(_, counted)| **counted >= wanted.max(1));
        found.map(|(bits, _)| f64::from_bits(*bits)).filter(|bound| bound.is_finite()).unwrap_or(largest)
    };
    if count == 0 { Quantiles::default() } else { Quantiles { count, p50: at(0.5), p95: at(0.95), p99: at(0.99) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_the_metrics() {
        let text = "# TYPE guarita_ack_seconds histogram\n\
            guarita_ack_seconds_bucket{le=\"0.001\"} 50\nguarita_ack_seconds_bucket{le=\"0.01\"} 96\n\
            guarita_ack_seconds_bucket{le=\"+Inf\"} 100\nguarita_ack_seconds_count 100\n\
            guarita_scan_seconds_bucket{scanner=\"clamav\",le=\"0.1\"} 4\n\
            guarita_scan_seconds_bucket{scanner=\"clamav\",le=\"+Inf\"} 4\nguarita_scan_seconds_count{scanner=\"clamav\"} 4\n";
        let figures = Figures::read(text);
        assert_eq!(figures.acknowledgement, Quantiles { count: 100, p50: 0.001, p95: 0.01, p99: 0.01 });
        assert_eq!(figures.scans, [("clamav".to_owned(), Quantiles { count: 4, p50: 0.1, p95: 0.1, p99: 0.1 })]);
        assert_eq!(figures.end_to_end, Quantiles::default());
        assert_eq!(Figures::read(""), Figures::default());
    }
}
