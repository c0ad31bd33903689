//! OTLP metrics, asked for in PromQL.

use serde_json::{Value, json};
use tests::otlp_json::{SECOND, attributes};

use crate::up;

/// A fixed time: what PromQL answers follows from the data alone.
const BEGIN: u64 = 1_700_000_000 * SECOND;

fn export(metrics: &[Value]) -> Value {
    let resource = attributes(&[
        ("service.name", "checkout"),
        ("service.namespace", "shop"),
        ("service.instance.id", "one"),
    ]);
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {"name": "tests"}, "metrics": metrics}],
    }]})
}

fn points(minutes: u64, temporality: u64, value: impl Fn(u64) -> Value) -> Value {
    let points: Vec<Value> = (0..=minutes)
        .map(|minute| {
            let mut point = value(minute);
            point["timeUnixNano"] = json!((BEGIN + minute * 60 * SECOND).to_string());
            let since = if temporality == 1 {
                BEGIN + minute.saturating_sub(1) * 60 * SECOND
            } else {
                BEGIN
            };
            point["startTimeUnixNano"] = json!(since.to_string());
            point
        })
        .collect();
    json!(points)
}

fn metrics() -> [Value; 4] {
    let attributes = attributes(&[("http.route", "/pay")]);
    let sum = |name: &str, temporality: u64, value: fn(u64) -> u64| {
        let points = points(
            10,
            temporality,
            |minute| json!({"asInt": value(minute).to_string(), "attributes": attributes}),
        );
        json!({"name": name, "unit": "{request}", "sum": {
            "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points}})
    };
    let histogram = points(10, 2, |minute| {
        json!({
            "count": (minute * 10).to_string(), "sum": minute * 10,
            "bucketCounts": [(minute * 5).to_string(), (minute * 5).to_string(), "0"],
            "explicitBounds": [0.5, 1.0],
        })
    });
    let gauge = points(10, 0, |minute| json!({"asDouble": minute}));
    [
        sum("http.requests", 2, |minute| minute * 60),
        sum("http.refusals", 1, |_| 6),
        json!({"name": "http.duration", "unit": "s", "histogram": {
            "aggregationTemporality": 2, "dataPoints": histogram}}),
        json!({"name": "queue.depth", "gauge": {"dataPoints": gauge}}),
    ]
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6,
        "{found} instead of {expected}"
    );
}

#[tokio::test]
async fn counters_gauges_and_histograms_answer() {
    let server = up().start();
    server.otlp().export("metrics", &export(&metrics())).await;
    let query = server.query();
    let at = (BEGIN / SECOND + 600).to_string();

    let series = query.promql("http_requests_total", &at).await;
    assert_eq!(series.len(), 1, "{series:?}");
    let labels = &series[0]["metric"];
    assert_eq!(labels["job"], "shop/checkout");
    assert_eq!(labels["instance"], "one");
    assert_eq!(labels["http_route"], "/pay");
    near(query.promql_value("http_requests_total", &at).await, 600.0);
    near(
        query
            .promql_value("sum by (job) (rate(http_requests_total[5m]))", &at)
            .await,
        1.0,
    );
    near(
        query
            .promql_value("http_requests_total offset 5m", &at)
            .await,
        300.0,
    );
    // Deltas are read as running totals: 6 a minute.
    near(
        query
            .promql_value("rate(http_refusals_total[5m])", &at)
            .await,
        0.1,
    );
    near(
        query
            .promql_value("max_over_time(queue_depth[3m])", &at)
            .await,
        10.0,
    );
    let quantile = "histogram_quantile(0.5, rate(http_duration_seconds_bucket[5m]))";
    near(query.promql_value(quantile, &at).await, 0.5);
    assert!(query.promql("queue_depth > 10", &at).await.is_empty());
}

#[tokio::test]
async fn ranges_labels_and_errors_have_prometheus_shape() {
    let server = up().start();
    server.otlp().export("metrics", &export(&metrics())).await;
    let query = server.query();
    let (start, end) = (
        (BEGIN / SECOND).to_string(),
        (BEGIN / SECOND + 600).to_string(),
    );
    let answer = query
        .get(
            "/prometheus/api/v1/query_range",
            &[
                ("query", "queue_depth * 2"),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("step", "60"),
            ],
        )
        .await;
    assert_eq!(answer["data"]["resultType"], "matrix", "{answer}");
    let values = answer["data"]["result"][0]["values"].as_array().unwrap();
    let values: Vec<&str> = values
        .iter()
        .map(|value| value[1].as_str().unwrap())
        .collect();
    assert_eq!(
        values,
        ["0", "2", "4", "6", "8", "10", "12", "14", "16", "18", "20"]
    );

    let names = query
        .get("/prometheus/api/v1/label/__name__/values", &[])
        .await;
    let names: Vec<&str> = names["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for name in [
        "http_requests_total",
        "queue_depth",
        "http_duration_seconds_bucket",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let (status, body) = query
        .get_any("/prometheus/api/v1/query", &[("query", "rate(x[5m)")])
        .await;
    assert_eq!(
        (status, &body["errorType"]),
        (400, &json!("bad_data")),
        "{body}"
    );
    let (status, body) = query
        .get_any("/prometheus/api/v1/status/buildinfo", &[])
        .await;
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("success")),
        "{body}"
    );
}
