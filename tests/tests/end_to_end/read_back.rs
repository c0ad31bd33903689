//! What is read back equals what was sent, to the last attribute type, from memory and from
//! files.

use serde_json::{Value, json};
use tests::Http;
use tests::otlp_json::{SECOND, logs, now};

use crate::up;

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Every type that a value can have, the odd ones included.
pub(crate) fn every_type() -> Value {
    let many: Vec<Value> = ["", "a", "ü€😀", "line\nbreak\u{0}nul"]
        .iter()
        .map(|text| json!({"stringValue": text}))
        .chain([
            json!({"intValue": "-1"}),
            json!({"boolValue": false}),
            json!({}),
            json!({"doubleValue": 0.5}),
        ])
        .collect();
    json!([
        {"key": "text", "value": {"stringValue": "plain"}},
        {"key": "empty text", "value": {"stringValue": ""}},
        {"key": "true", "value": {"boolValue": true}},
        {"key": "false", "value": {"boolValue": false}},
        {"key": "smallest", "value": {"intValue": "-9223372036854775808"}},
        {"key": "largest", "value": {"intValue": "9223372036854775807"}},
        {"key": "double", "value": {"doubleValue": 637.704}},
        {"key": "small", "value": {"doubleValue": 2.5e-7}},
        {"key": "not a number", "value": {"doubleValue": "NaN"}},
        {"key": "endless", "value": {"doubleValue": "-Infinity"}},
        {"key": "bytes", "value": {"bytesValue": "AAEC/f7/"}},
        {"key": "list", "value": {"arrayValue": {"values": many}}},
        {"key": "no list", "value": {"arrayValue": {"values": []}}},
        {"key": "map", "value": {"kvlistValue": {"values": [
            {"key": "inner", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "7"}}]}}},
            {"key": "none", "value": {}},
        ]}}},
        {"key": "nothing", "value": {}},
        {"key": "twice", "value": {"intValue": "1"}},
        {"key": "twice", "value": {"stringValue": "two"}},
        {"key": "", "value": {"stringValue": "a key without letters"}},
    ])
}

pub(crate) fn export(start: u64) -> Value {
    json!({"resourceSpans": [{
        "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
        "resource": {
            "attributes": [
                {"key": "service.name", "value": {"stringValue": "reads-back"}},
                {"key": "process.pid", "value": {"intValue": "4711"}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}]}}},
            ],
            "droppedAttributesCount": 3,
        },
        "scopeSpans": [{
            "schemaUrl": "https://example.com/scope",
            "scope": {
                "name": "library", "version": "1.2.3", "droppedAttributesCount": 4,
                "attributes": [{"key": "scope.key", "value": {"doubleValue": 1.5}}],
            },
            "spans": [{
                "traceId": TRACE, "spanId": "b7ad6b7169203331", "parentSpanId": "00f067aa0ba902b7",
                "traceState": "vendor=a,other=b", "flags": 769, "name": "GET /ünïcode/{id}", "kind": 3,
                "startTimeUnixNano": start.to_string(),
                "endTimeUnixNano": (start + 123_456_789).to_string(),
                "attributes": every_type(), "droppedAttributesCount": 5,
                "events": [
                    {"timeUnixNano": (start + 1).to_string(), "name": "exception",
                     "attributes": every_type(), "droppedAttributesCount": 6},
                    {"timeUnixNano": (start - 1).to_string(), "name": "", "attributes": []},
                ],
                "droppedEventsCount": 7,
                "links": [{
                    "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b8",
                    "traceState": "linked=1", "attributes": every_type(),
                    "droppedAttributesCount": 8, "flags": 1,
                }],
                "droppedLinksCount": 9,
                "status": {"code": 2, "message": "it broke"},
            }],
        }],
    }]})
}

async fn assert_equal(query: &Http, sent: &Value) {
    let spans = query.trace_spans(TRACE).await;
    assert_eq!(spans.len(), 1);
    let resource = &sent["resourceSpans"][0];
    let scope = &resource["scopeSpans"][0];
    for (key, value) in scope["spans"][0].as_object().unwrap() {
        assert_eq!(&spans[0][key], value, "{key}");
    }
    let with_schema = |object: &Value, schema: &Value| {
        let mut object = object.clone();
        object["schemaUrl"] = schema.clone();
        object
    };
    assert_eq!(
        spans[0]["resource"],
        with_schema(&resource["resource"], &resource["schemaUrl"])
    );
    assert_eq!(
        spans[0]["scope"],
        with_schema(&scope["scope"], &scope["schemaUrl"])
    );
    assert_eq!(spans[0]["service"], "reads-back");
}

#[tokio::test]
async fn a_span_read_back_equals_the_span_sent() {
    let setup = up();
    let server = setup.start();
    let sent = export(now());
    server.otlp().export("traces", &sent).await;
    assert_equal(&server.query(), &sent).await;

    // After an orderly end it is read from a block, after a crash from the WAL.
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    let server = setup.start();
    assert_equal(&server.query(), &sent).await;
    server.kill();
    assert_equal(&setup.start().query(), &sent).await;
}

/// Bodies of every type, one record each, a second apart.
fn bodies() -> Vec<Value> {
    vec![
        json!({"stringValue": "text\nin lines"}),
        json!({"stringValue": ""}),
        json!({"boolValue": false}),
        json!({"intValue": "-9223372036854775808"}),
        json!({"doubleValue": "NaN"}),
        json!({"bytesValue": "AAEC/f7/"}),
        json!({"arrayValue": {"values": [{"intValue": "1"}, {}, {"stringValue": "two"}]}}),
        json!({"kvlistValue": {"values": every_type()}}),
    ]
}

pub(crate) fn log_export(start: u64) -> Value {
    let mut records: Vec<Value> = bodies()
        .into_iter()
        .zip(1..)
        .map(|(body, number)| {
            json!({
                "timeUnixNano": (start + number * SECOND).to_string(),
                "observedTimeUnixNano": (start + number * SECOND + 5).to_string(),
                "severityNumber": 17, "severityText": "SEVERE", "body": body,
                "attributes": every_type(), "droppedAttributesCount": 5, "flags": 769,
                "traceId": TRACE, "spanId": "b7ad6b7169203331", "eventName": "payment.failed",
            })
        })
        .collect();
    // One that says next to nothing: no body, no attribute, observed but without a time.
    records.push(json!({
        "timeUnixNano": "0", "attributes": [],
        "observedTimeUnixNano": (start + 20 * SECOND).to_string(),
    }));
    json!({"resourceLogs": [{
        "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
        "resource": {
            "attributes": [
                {"key": "service.name", "value": {"stringValue": "reads-back"}},
                {"key": "twice", "value": {"intValue": "1"}},
                {"key": "twice", "value": {"bytesValue": "AA=="}},
            ],
            "droppedAttributesCount": 3,
        },
        "scopeLogs": [{
            "schemaUrl": "https://example.com/scope",
            "scope": {
                "name": "library", "version": "1.2.3", "droppedAttributesCount": 4,
                "attributes": [{"key": "scope.key", "value": {"doubleValue": 1.5}}],
            },
            "logRecords": records,
        }],
    }]})
}

/// All records, page by page, in OTLP's shape.
async fn assert_equal_logs(query: &Http, sent: &Value) {
    let parameters = [("q", "service:reads-back"), ("order", "oldest")];
    let answer = query.get("/api/v1/logs/records", &parameters).await;
    assert_eq!(answer["resourceLogs"], sent["resourceLogs"]);
    let records = sent["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        .as_array()
        .unwrap();
    assert_eq!(answer["records"], records.len());
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = [&parameters[..], &[("limit", "4"), ("cursor", &cursor)]].concat();
        let answer = query.get("/api/v1/logs/records", &page).await;
        let part = &answer["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        paged.extend(part.as_array().unwrap().iter().cloned());
        match answer["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(&paged, records);
}

#[tokio::test]
async fn log_records_read_back_equal_the_records_sent_and_can_be_sent_again() {
    let setup = up();
    let server = setup.start();
    let sent = log_export(now());
    server.otlp().export("logs", &sent).await;
    assert_equal_logs(&server.query(), &sent).await;

    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    let server = setup.start();
    assert_equal_logs(&server.query(), &sent).await;
    server.kill();
    let server = setup.start();
    assert_equal_logs(&server.query(), &sent).await;

    let answer = server
        .query()
        .get("/api/v1/logs/records", &[("order", "oldest")])
        .await;
    let other = up().start();
    other
        .otlp()
        .export("logs", &json!({"resourceLogs": answer["resourceLogs"]}))
        .await;
    assert_equal_logs(&other.query(), &sent).await;
}

#[tokio::test]
async fn a_missing_trace_and_a_wrong_id_are_told_apart() {
    let server = up().start();
    let query = server.query();
    let (status, body) = query.get_any(&format!("/api/v1/traces/{TRACE}"), &[]).await;
    assert_eq!(
        (status, &body["error"]["kind"]),
        (404, &json!("not_found")),
        "{body}"
    );
    let (status, body) = query.get_any("/api/v1/traces/not-an-id", &[]).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["message"].is_string(), "{body}");
}

#[tokio::test]
async fn a_record_without_a_time_is_of_the_time_it_came_and_outlives_age_and_a_crash() {
    let setup = up().config("agent: {host: {enabled: false}}\nretention: {logs: {age: 14d}}\n");
    let server = setup.start();
    let record = json!({"body": {"stringValue": "no time at all"}});
    let before = now();
    server
        .otlp()
        .export("logs", &logs("plain", &[record]))
        .await;
    let after = now();
    let range = [("start", before.to_string()), ("end", after.to_string())];
    let ask = async |http: &Http| {
        let range = range
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let answer = http.get("/api/v1/logs", &range).await;
        answer["logs"].as_array().unwrap().clone()
    };
    let found = ask(&server.query()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["body"], "no time at all");
    server.kill();
    // From the log, then from files.
    let server = setup.start();
    assert_eq!(ask(&server.query()).await, found);
    server.terminate();
    let server = setup.start();
    assert_eq!(ask(&server.query()).await, found);
}
