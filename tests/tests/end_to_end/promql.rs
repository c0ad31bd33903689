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
    let flags = query.get("/prometheus/api/v1/status/flags", &[]).await;
    assert_eq!(flags["data"]["web.external-url"], query.base(), "{flags}");
    let (status, body) = query
        .get_any("/prometheus/api/v1/status/buildinfo", &[])
        .await;
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("success")),
        "{body}"
    );
}

#[tokio::test]
async fn resource_attributes_become_labels_by_configuration() {
    let config =
        "agent: {host: {enabled: false}}\notlp: {promote_resource_attributes: [k8s.pod.name]}\n";
    let setup = up().config(config);
    let server = setup.start();
    let resource = attributes(&[
        ("service.name", "api"),
        ("k8s.pod.name", "p-1"),
        ("zone", "z"),
    ]);
    let point = json!({"asDouble": 2.5, "timeUnixNano": BEGIN.to_string()});
    let export = json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {}, "metrics": [
            {"name": "load", "gauge": {"dataPoints": [point]}},
            {"name": "wait", "histogram": {"aggregationTemporality": 2, "dataPoints": [{
                "count": "1", "sum": 1, "bucketCounts": ["1", "0"], "explicitBounds": [2],
                "timeUnixNano": BEGIN.to_string()}]}},
        ]}],
    }]});
    server.otlp().export("metrics", &export).await;
    let at = (BEGIN / SECOND).to_string();
    let labels_of = async |path: &str, selector: &str| {
        let path = format!("/prometheus/api/v1/{path}");
        let range = [("match[]", selector), ("start", &at), ("end", &at)];
        server.query().get(&path, &range).await["data"].clone()
    };
    let pods = "label/k8s_pod_name/values";
    for (path, selector, expected) in [
        (pods, "load", json!(["p-1"])),
        (pods, "wait_bucket", json!(["p-1"])),
        (pods, "wait", json!([])),
        ("label/le/values", "wait_bucket", json!(["+Inf", "2"])),
        (
            "labels",
            "wait_sum",
            json!(["__name__", "job", "k8s_pod_name"]),
        ),
        (
            "labels",
            "wait_bucket",
            json!(["__name__", "job", "k8s_pod_name", "le"]),
        ),
    ] {
        assert_eq!(
            labels_of(path, selector).await,
            expected,
            "{path} of {selector}"
        );
    }
    let labels = json!({"__name__": "load", "job": "api", "k8s_pod_name": "p-1"});
    // In memory, and in files, where the index has to find it.
    let found = server
        .query()
        .promql("load{k8s_pod_name=\"p-1\"}", &at)
        .await;
    assert_eq!(found[0]["metric"], labels);
    assert!(server.terminate().0.success());
    let server = setup.start();
    let query = server.query();
    assert_eq!(
        query.promql("load{k8s_pod_name=\"p-1\"}", &at).await[0]["metric"],
        labels
    );
    for other in [
        "load{k8s_pod_name!=\"p-1\"}",
        "load{zone=\"z\"}",
        "load{k8s_pod_name=\"\"}",
    ] {
        assert_eq!(query.promql(other, &at).await, [] as [Value; 0], "{other}");
    }
    let info = query.promql("target_info{zone=\"z\"}", &at).await;
    assert_eq!(info[0]["metric"]["k8s_pod_name"], "p-1");
}

#[tokio::test]
async fn a_point_without_a_recorded_value_ends_its_series() {
    let server = up().start();
    let at = |second: u64| (BEGIN + second * SECOND).to_string();
    let gauge = json!([
        {"asDouble": 1, "timeUnixNano": at(0)},
        {"timeUnixNano": at(60), "flags": 1},
        {"asDouble": 3, "timeUnixNano": at(120)},
    ]);
    let counts = |count: u64| json!([count.to_string(), "0"]);
    let histogram = json!([
        {"count": "4", "sum": 2, "bucketCounts": counts(4), "explicitBounds": [1], "timeUnixNano": at(0)},
        {"timeUnixNano": at(60), "flags": 1},
    ]);
    let exponential = json!([
        {"count": "4", "sum": 2, "scale": 0, "positive": {"offset": 0, "bucketCounts": ["4"]}, "timeUnixNano": at(0)},
        {"timeUnixNano": at(60), "flags": 1},
    ]);
    let metrics = [
        json!({"name": "g", "gauge": {"dataPoints": gauge}}),
        json!({"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": histogram}}),
        json!({"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": exponential}}),
    ];
    server.otlp().export("metrics", &export(&metrics)).await;
    let query = server.query();
    let begin = BEGIN / SECOND;
    for (second, expected) in [
        (59, [1, 1, 1, 1]),
        (60, [0, 0, 0, 0]),
        (119, [0, 0, 0, 0]),
        (120, [1, 0, 0, 0]),
    ] {
        for (name, count) in ["g", "h_bucket{le=\"1\"}", "h_sum", "e"]
            .into_iter()
            .zip(expected)
        {
            let found = query.promql(name, &(begin + second).to_string()).await;
            assert_eq!(found.len(), count, "{name} after {second} s: {found:?}");
        }
    }
}

/// A sum of deltas of one pod, one point a minute: the minute's number and what was counted in it.
fn deltas(pod: &str, name: &str, points: &[(u64, u64)]) -> Value {
    let resource = attributes(&[
        ("service.name", "checkout"),
        ("service.instance.id", "one"),
        ("k8s.pod.name", pod),
    ]);
    let points: Vec<Value> = points
        .iter()
        .map(|(minute, count)| {
            json!({
                "timeUnixNano": (minute * 60 * SECOND).to_string(),
                "startTimeUnixNano": ((minute - 1) * 60 * SECOND).to_string(),
                "asInt": count.to_string(),
            })
        })
        .collect();
    let sum = json!({"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": points});
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {"name": "tests"}, "metrics": [{"name": name, "sum": sum}]}],
    }]})
}

#[tokio::test]
async fn totals_of_deltas_begin_at_the_same_time_for_a_whole_query() {
    const MIDNIGHT: u64 = 1_700_006_400 / 60;
    let server = up().start();
    let steady: Vec<_> = (MIDNIGHT - 60..=MIDNIGHT + 6).map(|at| (at, 10)).collect();
    let mut burst: Vec<_> = (MIDNIGHT - 60..MIDNIGHT).map(|at| (at, 10)).collect();
    burst.extend([(MIDNIGHT + 2, 1)]);
    burst.extend((MIDNIGHT + 3..=MIDNIGHT + 6).map(|at| (at, 10)));
    for (name, points) in [("steady", &steady), ("burst", &burst)] {
        let export = deltas("a", name, points);
        server.otlp().export("metrics", &export).await;
    }
    let query = server.query();
    let at = ((MIDNIGHT + 6) * 60).to_string();
    for (ask, expected) in [
        ("steady_total - steady_total offset 5m", 50.0),
        (
            "delta(steady_total[4m:1m]) - delta(steady_total[4m:1m] offset 10m)",
            0.0,
        ),
        (
            "last_over_time(steady_total[2d]) - steady_total @ end()",
            0.0,
        ),
        ("increase(steady_total[5m])", 50.0),
    ] {
        near(query.promql_value(ask, &at).await, expected);
    }
    let answer = query
        .get(
            "/prometheus/api/v1/query_range",
            &[
                ("query", "increase(burst_total[5m])"),
                ("start", (MIDNIGHT * 60).to_string().as_str()),
                ("end", at.as_str()),
                ("step", "60"),
            ],
        )
        .await;
    let of_range = answer["data"]["result"][0]["values"].as_array().unwrap();
    let last: f64 = of_range.last().unwrap()[1]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    near(
        query.promql_value("increase(burst_total[5m])", &at).await,
        last,
    );
}

#[tokio::test]
async fn deltas_of_several_resources_with_the_same_labels_are_added() {
    const BEGIN: u64 = 1_700_000_000 / 60;
    let server = up().start();
    for (pod, count) in [("a", 1), ("b", 10)] {
        let points: Vec<_> = (BEGIN..=BEGIN + 5).map(|at| (at, count)).collect();
        let export = deltas(pod, "clicks", &points);
        server.otlp().export("metrics", &export).await;
        // A sender that was not answered sends it again.
        server.otlp().export("metrics", &export).await;
    }
    let query = server.query();
    let at = ((BEGIN + 5) * 60).to_string();
    near(query.promql_value("clicks_total", &at).await, 66.0);
    near(
        query.promql_value("increase(clicks_total[5m])", &at).await,
        55.0,
    );
}
