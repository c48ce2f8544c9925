//! Traces as OTLP over HTTP in JSON: the stations of each entry on its way. Written by hand, because the official
//! exporter brings a hundred crates for what is one POST. Bounded line, bounded batches; a collector that does not answer
//! costs spans, never a delivery. A span holds the delivery id and words of the lexicon, nothing of a customer's.

use crate::{
    ConfigError,
    http_client::{HttpClient, check_url},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};
use tokio::sync::mpsc;

/// Spans of one batch at most, and how long one is gathered.
const BATCH_MAX: usize = 512;
const BATCH_TIME: Duration = Duration::from_secs(2);

/// `[traces]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// `http://collector:4318`; `/v1/traces` is added where it is missing. Empty: off.
    pub endpoint: String,
    /// Value of the `Authorization` header, if the collector wants one.
    pub authorization: String,
    /// Part of the entries that are traced, 0 to 1. Which ones hangs on the delivery id alone.
    pub ratio: f64,
    /// Spans that may wait.
    pub queue_max: usize,
}

impl fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracesConfig").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}

impl TracesConfig {
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.endpoint.is_empty() {
            check_url("traces.endpoint", &self.endpoint)?;
        }
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err(ConfigError::new("traces.ratio", "must be 0 to 1", "ratio = 1.0"));
        }
        if self.queue_max == 0 {
            return Err(ConfigError::new("traces.queue_max", "must not be 0", "queue_max = 4096"));
        }
        Ok(())
    }
}

/// One station of an entry: `receive`, `fetch`, `scan`, `decide`, `deliver`; or `entry`, the whole way, the others' parent.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The delivery id; its hash is the trace id.
    pub delivery: String,
    pub name: &'static str,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<(&'static str, String)>,
    pub failed: bool,
}

impl Span {
    /// The name of the span that holds the others.
    pub const WHOLE: &'static str = "entry";
}

/// A line to the exporter; cheap to clone.
#[derive(Clone)]
pub struct Traces {
    line: mpsc::Sender<Span>,
    /// Traced: trace ids whose first 32 bits are below.
    below: u64,
}

impl Traces {
    /// `None`: not configured. Needs a tokio runtime.
    pub fn start(config: &TracesConfig) -> Result<Option<Self>, String> {
        if config.endpoint.is_empty() || config.ratio <= 0.0 {
            return Ok(None);
        }
        let mut url = config.endpoint.trim_end_matches('/').to_owned();
        if !url.ends_with("/v1/traces") {
            url.push_str("/v1/traces");
        }
        let (line, waiting) = mpsc::channel(config.queue_max);
        tokio::spawn(serve(waiting, HttpClient::new()?, url, config.authorization.clone()));
        Ok(Some(Traces { line, below: (config.ratio * f64::from(u32::MAX)) as u64 + 1 }))
    }

    /// Whether the spans of this entry are wanted.
    pub fn wants(&self, delivery: &str) -> bool {
        let id = trace_id(delivery);
        u64::from(u32::from_be_bytes([id[0], id[1], id[2], id[3]])) < self.below
    }

    /// Returns at once.
    pub fn note(&self, spans: Vec<Span>) {
        for span in spans {
            if self.line.try_send(span).is_err() {
                count("dropped", 1);
            }
        }
    }
}

async fn serve(mut waiting: mpsc::Receiver<Span>, http: HttpClient, url: String, authorization: String) {
    let mut well = true;
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        let gathering = async {
            while batch.len() < BATCH_MAX {
                match waiting.recv().await {
                    Some(span) => batch.push(span),
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(BATCH_TIME, gathering).await;
        let body = bytes::Bytes::from(export(&batch).to_string());
        let headers: Vec<_> =
            Some(("authorization", authorization.clone())).into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut outcome = http.post_json(&url, &headers, body.clone()).await;
        if outcome.as_ref().is_err_and(|error| error.may_pass()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            outcome = http.post_json(&url, &headers, body).await;
        }
        count(if outcome.is_ok() { "sent" } else { "failed" }, batch.len() as u64);
        if let Err(error) = &outcome
            && well
        {
            tracing::warn!(%error, "traces do not reach the collector; mend traces.endpoint");
        }
        well = outcome.is_ok();
    }
}

fn count(outcome: &'static str, spans: u64) {
    metrics::counter!("guarita_spans_total", "outcome" => outcome).increment(spans);
}

fn trace_id(delivery: &str) -> [u8; 16] {
    Sha256::digest(["trace ", delivery].concat())[..16].try_into().expect("16 of 32 bytes")
}

/// The whole entry has one id, so that its parts, sent hours before it, name it as their parent; parts differ by name,
/// time and place in the list.
fn span_id(span: &Span, number: usize) -> String {
    let seed = match span.name {
        Span::WHOLE => format!("whole {}", span.delivery),
        name => format!("{name} {} {} {number}", span.delivery, span.start),
    };
    hex::encode(&Sha256::digest(seed)[..8])
}

/// The body of an export request.
fn export(spans: &[Span]) -> Value {
    let text = |value: &str| json!({"stringValue": value});
    let written: Vec<Value> = spans
        .iter()
        .enumerate()
        .map(|(number, span)| {
            let mut attributes = vec![json!({"key": "guarita.delivery", "value": text(&span.delivery)})];
            attributes.extend(span.attributes.iter().map(|(key, value)| json!({"key": key, "value": text(value)})));
            let mut object = json!({
                "traceId": hex::encode(trace_id(&span.delivery)), "spanId": span_id(span, number), "name": span.name,
                "kind": 1, "startTimeUnixNano": span.start.to_string(),
                "endTimeUnixNano": span.end.max(span.start).to_string(), "attributes": attributes,
                "status": {"code": if span.failed { 2 } else { 1 }},
            });
            if span.name != Span::WHOLE {
                let whole = Span { name: Span::WHOLE, ..span.clone() };
                object["parentSpanId"] = json!(span_id(&whole, 0));
            }
            object
        })
        .collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": text("guarita")},
            {"key": "service.version", "value": text(env!("CARGO_PKG_VERSION"))},
        ]},
        "scopeSpans": [{"scope": {"name": "guarita"}, "spans": written}],
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &'static str) -> Span {
        Span {
            delivery: "01ABC".into(),
            name,
            start: 5,
            end: 9,
            attributes: vec![("verdict", "clean".into())],
            failed: false,
        }
    }

    #[test]
    fn parts_hang_below_the_whole() {
        let body = export(&[span("scan"), span("scan"), span(Span::WHOLE)]);
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans[0]["parentSpanId"], spans[2]["spanId"]);
        assert_eq!(spans[2].get("parentSpanId"), None);
        assert_eq!(spans[0]["traceId"], spans[2]["traceId"]);
        assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
        assert_eq!(spans[0]["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(spans[0]["spanId"].as_str().unwrap().len(), 16);
        assert_eq!(spans[0]["endTimeUnixNano"], "9");
        assert_eq!(spans[0]["attributes"][1]["value"]["stringValue"], "clean");
    }

    #[tokio::test]
    async fn the_ratio_keeps_whole_entries_and_a_dead_collector_blocks_nobody() {
        let config = |ratio| TracesConfig {
            endpoint: "http://127.0.0.1:1".into(),
            authorization: String::new(),
            ratio,
            queue_max: 10,
        };
        assert!(Traces::start(&config(0.0)).unwrap().is_none());
        let all = Traces::start(&config(1.0)).unwrap().unwrap();
        let half = Traces::start(&config(0.5)).unwrap().unwrap();
        let ids: Vec<String> = (0..1000).map(|n| format!("{n:026}")).collect();
        assert!(ids.iter().all(|id| all.wants(id)));
        let kept = ids.iter().filter(|id| half.wants(id)).count();
        assert!((400..600).contains(&kept), "{kept}");
        let began = std::time::Instant::now();
        for _ in 0..1000 {
            all.note(vec![span("scan")]);
        }
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
