//! Metric data points of every kind, read back as OTLP JSON, equal those that were sent.

use serde_json::{Value, json};
use tests::otlp_json::{SECOND, now};
use tests::{Http, Setup};

use crate::read_back::every_type;
use crate::{PROGRAM, up};

/// OTLP's flag of a point that says only that there is no value.
const NO_RECORDED_VALUE: u64 = 1;
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// Makes points whose times are a second apart, so that their order is known.
struct Clock(u64);

impl Clock {
    /// A point with a time of its own, a start a minute before, and these members.
    fn point(&mut self, members: Value) -> Value {
        self.0 += SECOND;
        let mut point = json!({
            "startTimeUnixNano": (self.0 - 60 * SECOND).to_string(),
            "timeUnixNano": self.0.to_string(),
            "attributes": [{"key": "zone", "value": {"stringValue": "z1"}}],
        });
        merge(&mut point, members);
        point
    }

    /// A point that marks the end of its series, without a start.
    fn stale(&mut self, members: Value) -> Value {
        let mut point = self.point(json!({"flags": NO_RECORDED_VALUE}));
        point.as_object_mut().unwrap().remove("startTimeUnixNano");
        merge(&mut point, members);
        point
    }
}

fn merge(into: &mut Value, members: Value) {
    let Value::Object(members) = members else {
        panic!("{members} is no object");
    };
    into.as_object_mut().unwrap().extend(members);
}

fn exemplars(time: u64) -> Value {
    json!([
        {
            "filteredAttributes": every_type(), "timeUnixNano": time.to_string(), "asDouble": 0.25,
            "spanId": "b7ad6b7169203331", "traceId": "0af7651916cd43dd8448eb211c80319c",
        },
        {"timeUnixNano": (time + 1).to_string(), "asInt": "-9"},
    ])
}

fn gauges(clock: &mut Clock) -> Vec<Value> {
    let time = clock.0;
    vec![
        json!({"name": "g.double", "description": "a description", "unit": "Cel", "gauge": {"dataPoints": [
            clock.point(json!({"asDouble": -1.5e-300, "attributes": every_type(), "exemplars": exemplars(time)})),
            clock.point(json!({"asDouble": "NaN"})),
            clock.point(json!({"asDouble": "-Infinity"})),
            clock.point(json!({"asDouble": -0.0, "attributes": []})),
            clock.stale(json!({})),
        ]}}),
        json!({"name": "g.int", "gauge": {"dataPoints": [
            clock.point(json!({"asInt": "-9223372036854775808"})),
            clock.point(json!({"asInt": "9223372036854775807", "flags": 4_294_967_294_u64})),
            clock.point(json!({"asInt": "0"})),
            clock.stale(json!({})),
        ]}}),
        // A series that has nothing but the marker, and one marked in spite of a value.
        json!({"name": "g.stale", "gauge": {"dataPoints": [clock.stale(json!({}))]}}),
        json!({"name": "g.marked", "gauge": {"dataPoints": [clock.stale(json!({"asDouble": 2.5}))]}}),
        // Neither a value nor a flag.
        json!({"name": "g.nothing", "gauge": {"dataPoints": [clock.point(json!({}))]}}),
    ]
}

fn sums(clock: &mut Clock) -> Vec<Value> {
    let time = clock.0;
    let mut sum = |name: &str, temporality: u64, monotonic: bool| {
        let points = [
            clock.point(json!({"asInt": "3", "exemplars": exemplars(time)})),
            clock.point(json!({"asDouble": 637.704})),
            clock.stale(json!({})),
        ];
        let mut data = json!({"aggregationTemporality": temporality, "dataPoints": points});
        if monotonic {
            data["isMonotonic"] = true.into();
        }
        json!({"name": name, "unit": "{request}", "sum": data})
    };
    vec![
        sum("s.delta", DELTA, true),
        sum("s.cumulative", CUMULATIVE, true),
        sum("s.up.down", CUMULATIVE, false),
        // Of the same name as another metric, which it is not.
        sum("s.delta", DELTA, false),
    ]
}

fn histograms(clock: &mut Clock) -> Vec<Value> {
    let time = clock.0;
    let classic = [
        clock.point(json!({
            "count": "7", "sum": 12.5, "bucketCounts": ["1", "2", "4"], "explicitBounds": [0.5, 1.0],
            "min": 0.0, "max": 9.75, "exemplars": exemplars(time),
        })),
        clock.point(json!({"count": "18446744073709551615", "sum": "NaN", "attributes": every_type()})),
        clock.point(json!({"count": "1", "bucketCounts": ["1"]})),
        clock.stale(json!({"count": "0"})),
    ];
    let exponential = [
        clock.point(json!({
            "count": "9", "sum": -3.5, "scale": -4, "zeroCount": "2",
            "positive": {"offset": -3, "bucketCounts": ["1", "0", "2"]},
            "negative": {"offset": 1_000, "bucketCounts": ["4"]},
            "min": -8.0, "max": 8.0, "zeroThreshold": 1e-9, "exemplars": exemplars(time),
        })),
        clock.point(json!({
            "count": "0", "scale": 20, "zeroCount": "0", "positive": {"offset": 0, "bucketCounts": []},
        })),
        clock.stale(json!({"count": "0", "scale": 0, "zeroCount": "0"})),
    ];
    vec![
        json!({"name": "h", "unit": "s", "histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": classic}}),
        json!({"name": "e", "exponentialHistogram": {"aggregationTemporality": DELTA, "dataPoints": exponential}}),
    ]
}

fn summary(clock: &mut Clock) -> Value {
    json!({"name": "q", "metadata": [{"key": "kept", "value": {"boolValue": true}}], "summary": {"dataPoints": [
        clock.point(json!({"count": "4", "sum": 8.0, "quantileValues": [
            {"quantile": 0.0, "value": 1.0}, {"quantile": 0.99, "value": "NaN"},
        ]})),
        clock.point(json!({"count": "0", "sum": 0.0, "quantileValues": []})),
        clock.stale(json!({"count": "0", "sum": 0.0, "quantileValues": []})),
    ]}})
}

fn export(start: u64) -> Value {
    let mut clock = Clock(start);
    let first = [
        gauges(&mut clock),
        sums(&mut clock),
        histograms(&mut clock),
        vec![summary(&mut clock)],
    ];
    let plain =
        json!({"name": "g.int", "gauge": {"dataPoints": [clock.point(json!({"asInt": "1"}))]}});
    json!({"resourceMetrics": [
        {
            "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
            "resource": {
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "reads-back"}},
                    {"key": "process.pid", "value": {"intValue": "4711"}},
                ],
                "droppedAttributesCount": 3,
            },
            "scopeMetrics": [{
                "schemaUrl": "https://example.com/scope",
                "scope": {
                    "name": "library", "version": "1.2.3", "droppedAttributesCount": 4,
                    "attributes": every_type(),
                },
                "metrics": first.concat(),
            }],
        },
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "other"}}]},
            "scopeMetrics": [{"scope": {"name": "library", "version": "0"}, "metrics": [plain]}],
        },
    ]})
}

/// Each point with all that it belongs to, in an order that the export does not depend on.
fn flat(resources: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let without = |value: &Value, member: &str| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().remove(member);
        value
    };
    let mut points = Vec::new();
    for resource in list(resources) {
        for scope in list(&resource["scopeMetrics"]) {
            for metric in list(&scope["metrics"]) {
                let kinds = [
                    "gauge",
                    "sum",
                    "histogram",
                    "exponentialHistogram",
                    "summary",
                ];
                let kind = kinds
                    .into_iter()
                    .find(|kind| metric[*kind].is_object())
                    .unwrap();
                let data = &metric[kind];
                let of = json!({
                    "resource": without(&resource, "scopeMetrics"),
                    "scope": without(&scope, "metrics"),
                    "metric": without(&metric, kind),
                    kind: without(data, "dataPoints"),
                });
                for point in list(&data["dataPoints"]) {
                    points.push(sorted(&json!({"of": of, "point": point})).to_string());
                }
            }
        }
    }
    points.sort();
    points
}

/// The same with the members of objects in alphabetical order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members = members.into_iter();
            members
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

async fn assert_equal(query: &Http, sent: &Value) {
    let answer = query.get("/api/v1/metrics/points", &[]).await;
    let (got, expected) = (
        flat(&answer["resourceMetrics"]),
        flat(&sent["resourceMetrics"]),
    );
    let missing: Vec<&String> = expected
        .iter()
        .filter(|point| !got.contains(point))
        .collect();
    let strange: Vec<&String> = got
        .iter()
        .filter(|point| !expected.contains(point))
        .collect();
    assert!(
        missing.is_empty() && strange.is_empty(),
        "missing: {missing:#?}\nnot sent: {strange:#?}"
    );
    assert_eq!(got.len(), expected.len());
    assert_eq!(answer["points"], expected.len());
}

#[tokio::test]
async fn data_points_read_back_equal_the_points_sent_and_can_be_sent_again() {
    let setup = up();
    let server = setup.start();
    let sent = export(now() - 3_600 * SECOND);
    server.otlp().export("metrics", &sent).await;
    assert_equal(&server.query(), &sent).await;

    // After an orderly end they are read from blocks, after a crash from the log.
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    let server = setup.start();
    assert_equal(&server.query(), &sent).await;
    server.kill();
    let server = setup.start();
    assert_equal(&server.query(), &sent).await;

    let answer = server.query().get("/api/v1/metrics/points", &[]).await;
    let again = json!({"resourceMetrics": answer["resourceMetrics"]});
    let other = up().start();
    other.otlp().export("metrics", &again).await;
    assert_equal(&other.query(), &sent).await;
}

/// What a selector finds, and that PromQL sees no series that has ended.
async fn assert_marked(query: &Http, at: u64) {
    for (selector, points) in [("g_stale", 1), ("g_double_celsius", 5), ("g_marked", 1)] {
        let range = [
            ("q", selector),
            ("start", &(at - 60 * SECOND).to_string()),
            ("end", &(at + 60 * SECOND).to_string()),
        ];
        let answer = query.get("/api/v1/metrics/points", &range).await;
        assert_eq!(answer["points"], points, "{selector}: {answer}");
        let text = answer["resourceMetrics"].to_string();
        assert!(text.contains("\"flags\":1"), "{selector}: {text}");
    }
    let at = (at / SECOND + 60).to_string();
    for selector in ["g_stale", "g_int{job=\"reads-back\"}", "g_marked"] {
        assert!(query.promql(selector, &at).await.is_empty(), "{selector}");
    }
    assert_eq!(query.promql("g_int{job=\"other\"}", &at).await.len(), 1);
}

#[tokio::test]
async fn a_marked_series_is_found_by_its_name_and_ends_in_promql() {
    let setup = up();
    let server = setup.start();
    let begin = now() - 3_600 * SECOND;
    server.otlp().export("metrics", &export(begin)).await;
    assert_marked(&server.query(), begin).await;
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    let server = setup.start();
    assert_marked(&server.query(), begin).await;
    // The same over the network.
    let over = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(server.address("internal"));
    assert_marked(&over.start().query(), begin).await;
}
