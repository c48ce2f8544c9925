//! The metrics recorder: one a process, rendered for `/metrics`. Names and labels are SPEC 8's.

use guarita_spool::Counts;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{sync::OnceLock, time::Duration};

/// Buckets for everything in seconds: from an acknowledgement to a scan that ran into its deadline.
const SECONDS: [f64; 16] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder, or gives the one that is there.
    pub fn install() -> Result<Metrics, String> {
        if let Some(handle) = HANDLE.get() {
            return Ok(Metrics { handle: handle.clone() });
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| error.to_string())?;
        let handle = HANDLE.get_or_init(|| handle).clone();
        describe();
        begin_at_zero();
        let upkeep = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Metrics { handle })
    }

    pub fn note_spool(&self, counts: &Counts, now_ms: u64) {
        for (state, entries) in &counts.by_state {
            let state = serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_owned));
            metrics::gauge!("guarita_spool_entries", "state" => state.unwrap_or_default()).set(*entries as f64);
        }
        let oldest = counts.oldest_unfinished_ms.map_or(0, |received| now_ms.saturating_sub(received));
        metrics::gauge!("guarita_spool_oldest_seconds").set(oldest as f64 / 1000.0);
    }

    /// Signatures of unknown age, and none at all, are as old as can be: an alert rule on the age must fire.
    pub fn note_signature_age(&self, seconds: Option<u64>) {
        metrics::gauge!("guarita_signature_age_seconds").set(seconds.map_or(f64::INFINITY, |seconds| seconds as f64));
    }

    pub fn render(&self) -> String {
        self.handle.render()
    }
}

/// Every series that can be named beforehand is there from the start: `rate` and alert rules see the first event, and a
/// dashboard shows a zero, not a hole. Names of routes and lists come as they are configured.
fn begin_at_zero() {
    use guarita_message::{Category, Channel, GapReason, Verdict};
    use metrics::{counter, histogram};
    for outcome in RECEIVED {
        counter!("guarita_received_total", "outcome" => *outcome).increment(0);
    }
    for channel in Channel::ALL {
        for verdict in Verdict::ALL {
            counter!("guarita_messages_total", "channel" => channel.as_str(), "verdict" => verdict.as_str())
                .increment(0);
        }
    }
    for category in Category::ALL {
        counter!("guarita_findings_total", "category" => category.as_str()).increment(0);
        counter!("guarita_shadow_findings_total", "category" => category.as_str()).increment(0);
    }
    for reason in GapReason::ALL {
        counter!("guarita_gaps_total", "reason" => reason.as_str()).increment(0);
    }
    for outcome in DELIVERIES {
        counter!("guarita_deliveries_total", "outcome" => *outcome).increment(0);
    }
    for call in ["lookup", "download", "pass", "refused"] {
        counter!("guarita_media_door_total", "call" => call).increment(0);
    }
    for outcome in ["sent", "retry", "given_up"] {
        counter!("guarita_events_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["written", "failed", "dropped"] {
        counter!("guarita_findings_log_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["sent", "failed", "dropped"] {
        counter!("guarita_spans_total", "outcome" => outcome).increment(0);
    }
    counter!("guarita_alerts_total", "channel" => "desk", "outcome" => "dropped").increment(0);
    for scanner in ["clamav", "files", "texts"] {
        // Naming a histogram is enough: it shows with no observation.
        let _ = histogram!("guarita_scan_seconds", "scanner" => scanner);
    }
    let _ = (histogram!("guarita_ack_seconds"), histogram!("guarita_end_to_end_seconds"));
}

/// What may come of a request at the public door.
const RECEIVED: &[&str] = &[
    "accepted",
    "duplicate",
    "handshake",
    "handshake_refused",
    "not_found",
    "method",
    "media_type",
    "too_large",
    "too_slow",
    "signature",
    "not_json",
    "broken",
    "overloaded",
    "spool",
    "internal",
    "connections",
    "tls",
];
/// What may come of an attempt at delivery.
const DELIVERIES: &[&str] = &["accepted", "retry", "refused", "spared", "dead_lettered"];

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    counter!("guarita_received_total", "Requests at the public door, by outcome.");
    counter!("guarita_messages_total", "Messages judged, by channel and verdict.");
    counter!("guarita_findings_total", "Findings, by category.");
    counter!(
        "guarita_shadow_findings_total",
        "Findings of rules in shadow mode, which decide nothing; also in guarita_findings_total."
    );
    counter!("guarita_redirects_total", "Short links asked where they lead, by outcome.");
    counter!("guarita_gaps_total", "What could not be looked at, by reason.");
    counter!("guarita_deliveries_total", "Attempts at delivery to the backend, by outcome.");
    counter!("guarita_media_door_total", "Calls at the media door, by kind.");
    counter!("guarita_rescan_files_total", "Files looked at again, by outcome.");
    gauge!("guarita_rescan_running", "1 while a rescan is on its way.");
    gauge!("guarita_rescan_finished_timestamp_seconds", "When the last rescan was done, seconds since 1970; 0: never.");
    counter!("guarita_alerts_total", "Alerts, by channel and outcome.");
    counter!("guarita_events_total", "Tries to send the backend an event, by outcome.");
    counter!("guarita_findings_log_total", "Findings for the SIEM, by outcome.");
    counter!("guarita_spans_total", "Spans for the trace collector, by outcome.");
    gauge!("guarita_ready", "1 where a check of /readyz is well, by check.");
    gauge!("guarita_disk_free_bytes", "Free under storage.path.");
    gauge!("guarita_spool_entries", "Entries in the spool, by state.");
    gauge!("guarita_spool_oldest_seconds", "Age of the oldest entry that is not finished.");
    histogram!("guarita_ack_seconds", "From a delivery's headers to its 200.");
    histogram!("guarita_scan_seconds", "Time a scanner took, by scanner.");
    histogram!("guarita_end_to_end_seconds", "From Meta's POST to the backend's 2xx.");
    gauge!("guarita_signature_age_seconds", "Age of ClamAV's signatures.");
}
