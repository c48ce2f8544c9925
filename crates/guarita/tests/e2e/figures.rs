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

/// One series as `/metrics` writes it.
struct Series {
    name: String,
    labels: Vec<(String, String)>,
}

/// A selector in an expression: `guarita_x{label="value"}`, with what is between the braces.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("guarita_") {
        let tail = &rest[at..];
        let end = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
        let inside =
            tail[end..].strip_prefix('{').and_then(|open| open.split_once('}')).map_or("", |(inside, _)| inside);
        found.push((tail[..end].to_owned(), inside.to_owned()));
        rest = &tail[end + inside.len()..];
    }
    found
}

/// `label`, operator, value.
fn matchers(inside: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for one in inside.split("\",").filter(|one| !one.trim().is_empty()) {
        let (head, value) = one.split_once('"').expect("a matcher has its value in quotes");
        let head = head.trim();
        let label = head.trim_end_matches(['=', '!', '~']);
        found.push((label.to_owned(), head[label.len()..].to_owned(), value.trim_end_matches('"').to_owned()));
    }
    found
}

/// Labels named in `by (…)`.
fn grouped_by(expression: &str) -> Vec<String> {
    let groups = expression.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    groups.flat_map(|(inside, _)| inside.split(',')).map(|label| label.trim().to_owned()).collect()
}

/// Labels shown in a legend or a summary: `{{outcome}}`, `{{ $labels.outcome }}`.
fn shown_labels(text: &str) -> Vec<String> {
    let inner = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inner, _)| inner.trim());
    let labels = inner.filter(|inner| !inner.starts_with("$value")).map(|inner| inner.trim_start_matches("$labels."));
    labels.map(str::to_owned).collect()
}

/// What is wrong with an expression, given what the gateway emits.
fn wrong(expression: &str, shown: &str, emitted: &[Series]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut labels_there = Vec::new();
    for (name, inside) in selectors(expression) {
        let of_name: Vec<&Series> = emitted.iter().filter(|series| series.name == name).collect();
        if of_name.is_empty() {
            wrong.push(format!("{name} is not emitted: {expression}"));
        }
        let has = |label: &str| of_name.iter().flat_map(|series| &series.labels).any(|(known, _)| known == label);
        labels_there.extend(of_name.iter().flat_map(|series| series.labels.iter().map(|(label, _)| label.clone())));
        for (label, operator, value) in matchers(&inside) {
            if !has(&label) {
                wrong.push(format!("{name} has no label {label}: {expression}"));
                continue;
            }
            let values = of_name.iter().flat_map(|series| &series.labels).filter(|(known, _)| *known == label);
            let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
            for wanted in if operator.contains('~') { value.split('|').collect() } else { vec![value.as_str()] } {
                let fits = match wanted.strip_suffix(".*") {
                    Some(prefix) => values.iter().any(|value| value.starts_with(prefix)),
                    None => values.contains(&wanted),
                };
                if !fits {
                    wrong.push(format!("{name} never has {label}=\"{wanted}\": {expression}"));
                }
            }
        }
    }
    for label in grouped_by(expression).into_iter().chain(shown_labels(shown)) {
        if !labels_there.contains(&label) {
            wrong.push(format!("no metric here has the label {label}: {expression} {shown}"));
        }
    }
    wrong
}

fn emitted(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let series = lines.map(|line| {
        let (head, _) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, inside) = head.split_once('{').unwrap_or((head, ""));
        let labels = matchers(inside.trim_end_matches('}'));
        Series { name: name.to_owned(), labels: labels.into_iter().map(|(label, _, value)| (label, value)).collect() }
    });
    series.collect()
}

fn board_expressions(value: &serde_json::Value, found: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(object) => {
            if let Some(expression) = object.get("expr").and_then(serde_json::Value::as_str) {
                let legend = object.get("legendFormat").and_then(serde_json::Value::as_str).unwrap_or_default();
                found.push((expression.to_owned(), legend.to_owned()));
            }
            object.values().for_each(|inner| board_expressions(inner, found));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|inner| board_expressions(inner, found)),
        _ => {}
    }
}

/// The board and the alert rules in `docker/` ask only for what a running gateway emits.
#[tokio::test(flavor = "multi_thread")]
async fn board_and_alert_rules_ask_for_what_is_there() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__ALERTS__WEBHOOK__URL", "http://127.0.0.1:1/"),
    ])
    .await;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let text = loop {
        let (_, text) = rig.console_get("/metrics").await;
        if text.contains("guarita_disk_free_bytes ") && text.contains("guarita_rescan_running ") {
            break text;
        }
        assert!(std::time::Instant::now() < end, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let emitted = emitted(&text);
    let docker = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker");
    let board = std::fs::read_to_string(docker.join("grafana/guarita.json")).expect("the board is there");
    let board: serde_json::Value = serde_json::from_str(&board).expect("the board is JSON");
    let mut asked = Vec::new();
    board_expressions(&board, &mut asked);
    let of_board = asked.len();
    let rules = std::fs::read_to_string(docker.join("prometheus/guarita.rules.yaml")).expect("the rules are there");
    for rule in rules.split("- alert: ").skip(1) {
        let expression = rule.lines().find_map(|line| line.trim().strip_prefix("expr: ")).expect("a rule has its expr");
        let summary = rule.lines().find_map(|line| line.trim().strip_prefix("summary: ")).expect("and a summary");
        asked.push((expression.to_owned(), summary.to_owned()));
    }
    assert!(of_board > 20 && asked.len() > of_board + 15, "the files were not read");
    let wrong: Vec<String> = asked.iter().flat_map(|(expression, shown)| wrong(expression, shown, &emitted)).collect();
    assert!(wrong.is_empty(), "\n{}\n{text}", wrong.join("\n"));
}

#[test]
fn a_board_that_asks_for_what_is_not_there_is_caught() {
    let emitted = emitted("# HELP x\na 1\nguarita_x_total{outcome=\"ok\",le=\"+Inf\"} 3\nguarita_y inf\n");
    for (expression, shown, fits) in [
        ("sum by (outcome) (rate(guarita_x_total{outcome=\"ok\"}[5m])) / guarita_y", "{{outcome}}", true),
        ("guarita_x_total{outcome=~\"ok|o.*\"}", "{{ $labels.outcome }} {{ $value | humanize }}", true),
        ("guarita_z", "", false),
        ("guarita_x_total{outcome=\"bad\"}", "", false),
        ("guarita_x_total{outcome=~\"ok|bad\"}", "", false),
        ("guarita_x_total{colour=\"red\"}", "", false),
        ("sum by (colour) (guarita_x_total)", "", false),
        ("guarita_x_total", "{{colour}}", false),
    ] {
        assert_eq!(wrong(expression, shown, &emitted).is_empty(), fits, "{expression}");
    }
}
