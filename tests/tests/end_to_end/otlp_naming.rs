//! How metrics of OTLP look to Prometheus by the section `otlp` of the configuration.

use serde_json::{Value, json};
use tests::otlp_json::{SECOND, attributes};
use tests::{Http, Server};

use crate::up;

const BEGIN: u64 = 1_700_000_000 * SECOND;

fn config(otlp: &str) -> String {
    format!("agent: {{host: {{enabled: false}}}}\notlp: {otlp}\n")
}

/// A counter and a histogram so many seconds after the begin, with all that may be in labels.
fn export(second: u64) -> Value {
    let time = (BEGIN + second * SECOND).to_string();
    let counter = json!({"name": "http.requests", "unit": "s", "sum": {
        "aggregationTemporality": 2, "isMonotonic": true,
        "dataPoints": [{"asInt": "7", "timeUnixNano": time, "attributes": attributes(&[("_a..b", "1")])}],
    }});
    let histogram = json!({"name": "latency", "unit": "s", "histogram": {
        "aggregationTemporality": 2,
        "dataPoints": [{
            "count": "4", "sum": 6, "bucketCounts": ["1", "2", "1"], "explicitBounds": [1, 2],
            "timeUnixNano": time,
        }],
    }});
    let resource = attributes(&[("service.name", "api"), ("host.name", "h")]);
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {"name": "lib"}, "metrics": [counter, histogram]}],
    }]})
}

async fn series(query: &Http, promql: &str, second: u64) -> Value {
    let at = (BEGIN / SECOND + second).to_string();
    let found = query.promql(promql, &at).await;
    assert_eq!(found.len(), 1, "{promql}: {found:?}");
    found[0]["metric"].clone()
}

async fn names(server: &Server) -> Value {
    let path = "/prometheus/api/v1/label/__name__/values";
    let names = server.query().get(path, &[]).await["data"].clone();
    let own = |name: &&Value| {
        name.as_str()
            .is_some_and(|name| !name.starts_with("throughline"))
    };
    names
        .as_array()
        .unwrap()
        .iter()
        .filter(own)
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_changed_strategy_names_what_comes_and_leaves_what_is_stored() {
    let setup = up().config(&config("{translation_strategy: NoTranslation}"));
    let server = setup.start();
    server.otlp().export("metrics", &export(0)).await;
    let as_sent = json!({
        "__name__": "http.requests", "_a..b": "1", "job": "api", "otel_scope_name": "lib",
    });
    let found = series(&server.query(), "{\"http.requests\", \"_a..b\"=\"1\"}", 1).await;
    assert_eq!(found, as_sent);
    // The log is read again under the same configuration.
    server.kill();
    let server = setup.start();
    let found = series(&server.query(), "{\"http.requests\"}", 1).await;
    assert_eq!(found, as_sent);
    let info = series(&server.query(), "target_info", 1).await;
    assert_eq!(
        info,
        json!({"__name__": "target_info", "host.name": "h", "job": "api"})
    );
    assert!(server.terminate().0.success());

    let other = "{translation_strategy: UnderscoreEscapingWithoutSuffixes, \
                 label_name_underscore_sanitization: false, \
                 label_name_preserve_multiple_underscores: false, promote_scope_metadata: false, \
                 keep_identifying_resource_attributes: true}";
    let setup = setup.config(&config(other));
    let server = setup.start();
    server.otlp().export("metrics", &export(600)).await;
    let escaped = json!({"__name__": "http_requests", "_a_b": "1", "job": "api"});
    let query = server.query();
    assert_eq!(
        series(&query, "http_requests{_a_b=\"1\"}", 601).await,
        escaped
    );
    let info = series(&query, "target_info{service_name=\"api\"}", 601).await;
    let expected = json!({
        "__name__": "target_info", "host_name": "h", "job": "api", "service_name": "api",
    });
    assert_eq!(info, expected);
    // What was stored before is named as it was.
    assert_eq!(series(&query, "{\"http.requests\"}", 1).await, as_sent);
    assert!(server.terminate().0.success());
    let server = setup.start();
    let query = server.query();
    assert_eq!(
        series(&query, "http_requests{_a_b=\"1\"}", 601).await,
        escaped
    );
    assert_eq!(series(&query, "{\"_a..b\"=\"1\"}", 1).await, as_sent);
    assert_eq!(
        names(&server).await,
        json!([
            "http.requests",
            "http_requests",
            "latency_bucket",
            "latency_count",
            "latency_sum",
            "target_info",
        ])
    );
}

#[tokio::test]
async fn suffixes_come_with_names_as_they_are_sent() {
    let server = up()
        .config(&config(
            "{translation_strategy: NoUTF8EscapingWithSuffixes}",
        ))
        .start();
    server.otlp().export("metrics", &export(0)).await;
    let found = series(&server.query(), "{\"http.requests_seconds_total\"}", 1).await;
    assert_eq!(found["_a..b"], "1");
}

#[tokio::test]
async fn histograms_with_bounds_are_native_ones_where_that_is_asked_for() {
    let setup = up().config(&config("{convert_histograms_to_nhcb: true}"));
    let server = setup.start();
    server.otlp().export("metrics", &export(0)).await;
    let verify = async |server: &Server| {
        let query = server.query();
        let at = (BEGIN / SECOND + 1).to_string();
        let found = query.promql("latency_seconds", &at).await;
        let histogram = &found[0]["histogram"][1];
        assert_eq!(
            (&histogram["count"], &histogram["sum"]),
            (&json!("4"), &json!("6"))
        );
        let half = "histogram_quantile(0.5, latency_seconds)";
        assert!((query.promql_value(half, &at).await - 1.5).abs() < 1e-9);
        let share = "histogram_fraction(1, 2, latency_seconds)";
        assert!((query.promql_value(share, &at).await - 0.5).abs() < 1e-9);
        assert_eq!(
            names(server).await,
            json!([
                "http_requests_seconds_total",
                "latency_seconds",
                "target_info"
            ])
        );
        let metadata = query.get("/prometheus/api/v1/metadata", &[]).await;
        assert_eq!(metadata["data"]["latency_seconds"][0]["type"], "histogram");
        // What was sent is still there as it was sent.
        let path = "/api/v1/metrics/points";
        let parameters = [("q", "latency_seconds"), ("start", "0")];
        let (status, points) = query.get_any(path, &parameters).await;
        assert_eq!(status, 200, "{points}");
        assert!(points.to_string().contains("explicitBounds"), "{points}");
    };
    verify(&server).await;
    assert!(server.terminate().0.success());
    verify(&setup.start()).await;
}
