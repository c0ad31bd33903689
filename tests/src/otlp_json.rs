//! OTLP in JSON, as a client writes it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// Now, in unix nanoseconds.
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    u64::try_from(since.as_nanos()).expect("a clock before 2554")
}

/// Text attributes.
pub fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect()
}

fn resource(service: &str) -> Value {
    json!({"attributes": attributes(&[("service.name", service)])})
}

/// An export of spans of one service.
pub fn traces(service: &str, spans: &[Value]) -> Value {
    let scope = json!({"scope": {"name": "tests"}, "spans": spans});
    json!({"resourceSpans": [{"resource": resource(service), "scopeSpans": [scope]}]})
}

/// An export of log records of one service.
pub fn logs(service: &str, records: &[Value]) -> Value {
    let scope = json!({"scope": {"name": "tests"}, "logRecords": records});
    json!({"resourceLogs": [{"resource": resource(service), "scopeLogs": [scope]}]})
}

/// An export of metrics of one service.
pub fn metrics(service: &str, metrics: &[Value]) -> Value {
    let scope = json!({"scope": {"name": "tests"}, "metrics": metrics});
    json!({"resourceMetrics": [{"resource": resource(service), "scopeMetrics": [scope]}]})
}

/// A server span.
pub fn span(trace: &str, id: &str, parent: &str, name: &str, start: u64, duration: u64) -> Value {
    json!({
        "traceId": trace,
        "spanId": id,
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": (start + duration).to_string(),
    })
}

/// A log record of level INFO.
pub fn log(time: u64, body: &str, pairs: &[(&str, &str)]) -> Value {
    json!({
        "timeUnixNano": time.to_string(),
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": body},
        "attributes": attributes(pairs),
    })
}

/// A gauge with one point.
pub fn gauge(name: &str, time: u64, value: f64) -> Value {
    let point = json!({"timeUnixNano": time.to_string(), "asDouble": value});
    json!({"name": name, "gauge": {"dataPoints": [point]}})
}
