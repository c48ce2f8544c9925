//! What `/metrics` says: each series of the contract is there before anything happened, and moves when it does.

use crate::rig::{Rig, ana};
use guarita_testkit::payload;

/// SPEC 8, each with the labels it must carry.
const PROMISED: &[(&str, &str)] = &[
    ("guarita_received_total", "outcome"),
    ("guarita_messages_total", "channel,verdict"),
    ("guarita_findings_total", "category"),
    ("guarita_gaps_total", "reason"),
    ("guarita_deliveries_total", "outcome"),
    ("guarita_spool_entries", "state"),
    ("guarita_spool_oldest_seconds", ""),
    ("guarita_ack_seconds_bucket", "le"),
    ("guarita_ack_seconds_count", ""),
    ("guarita_scan_seconds_bucket", "scanner,le"),
    ("guarita_end_to_end_seconds_bucket", "le"),
    ("guarita_signature_age_seconds", ""),
];

/// Value of a series: name and exact labels as they are written.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promised_series_is_there_from_the_start() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    let (status, text) = rig.console_get("/metrics").await;
    assert_eq!(status, 200);
    for (name, labels) in PROMISED {
        let line = text.lines().find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && !line.starts_with('#')
        });
        let line = line.unwrap_or_else(|| panic!("{name} is not there before its first event:\n{text}"));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            assert!(line.contains(&format!("{label}=\"")), "{label} is missing in {line}");
        }
    }
    for word in ["clean", "suspicious", "unscanned", "malicious"] {
        let series = format!("guarita_messages_total{{channel=\"whatsapp\",verdict=\"{word}\"}}");
        assert_eq!(value(&text, &series), Some(0.0), "{series}");
    }
    rig.deliver(&payload::whatsapp(&ana(), "wamid.Z1", 1, payload::text("oi"))).await;
    rig.arrived("wamid.Z1").await;
    let (_, text) = rig.console_get("/metrics").await;
    for series in [
        "guarita_received_total{outcome=\"accepted\"}",
        "guarita_messages_total{channel=\"whatsapp\",verdict=\"clean\"}",
        "guarita_ack_seconds_count",
        "guarita_scan_seconds_count{scanner=\"texts\"}",
    ] {
        assert_eq!(value(&text, series), Some(1.0), "{series}\n{text}");
    }
}
