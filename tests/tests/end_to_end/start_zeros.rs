//! Zeros where counters began (`metrics.start_zero_samples`).

use serde_json::{Value, json};
use testkit::remote_write::{WriteRequest, block, one, version_2};
use tests::Server;
use tests::otlp_json::{SECOND, now};

use crate::remote_write::{VERSION_2, post};
use crate::up;

fn config(on: bool) -> String {
    format!("agent: {{host: {{enabled: false}}}}\nmetrics: {{start_zero_samples: {on}}}\n")
}

/// A counter, a histogram and a gauge of this time, that began at another.
fn export(start: u64, time: u64, count: u64) -> Value {
    let times = |mut point: Value| {
        point["startTimeUnixNano"] = json!(start.to_string());
        point["timeUnixNano"] = json!(time.to_string());
        json!([point])
    };
    let counter = times(json!({"asInt": count.to_string()}));
    let gauge = times(json!({"asDouble": count}));
    let histogram = times(json!({
        "count": count.to_string(), "sum": count, "bucketCounts": [count.to_string(), "0"],
        "explicitBounds": [1],
    }));
    let sum = |points: Value, monotonic: bool| json!({"aggregationTemporality": 2, "isMonotonic": monotonic, "dataPoints": points});
    let metrics = json!([
        {"name": "c", "sum": sum(counter.clone(), true)},
        {"name": "u", "sum": sum(counter, false)},
        {"name": "g", "gauge": {"dataPoints": gauge}},
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": histogram}},
    ]);
    json!({"resourceMetrics": [{"scopeMetrics": [{"scope": {}, "metrics": metrics}]}]})
}

async fn counts(server: &Server, at: u64, names: [&str; 5]) -> [f64; 5] {
    let query = server.query();
    let mut counts = [0.0; 5];
    for (count, name) in counts.iter_mut().zip(names) {
        let promql = format!("count_over_time({name}[30m])");
        *count = query
            .promql_value(&promql, &(at / SECOND).to_string())
            .await;
    }
    counts
}

const NAMES: [&str; 5] = ["c_total", "u", "g", "h_count", "h_bucket{le=\"1\"}"];

#[tokio::test]
async fn rates_see_the_first_increase_of_a_counter() {
    let setup = up().config(&config(true));
    let server = setup.start();
    // Of a counter that began before the collector it is not known what it had then.
    let begin = now() / SECOND * SECOND + 60 * SECOND;
    let at = |second: u64| begin + second * SECOND;
    server
        .otlp()
        .export("metrics", &export(at(0), at(60), 50))
        .await;
    let increase = async |server: &Server, name: &str| {
        let promql = format!("increase({name}[10m])");
        let seconds = (at(60) / SECOND).to_string();
        server.query().promql_value(&promql, &seconds).await
    };
    assert!((increase(&server, "c_total").await - 50.0).abs() < 1e-6);
    assert!((increase(&server, "h_count").await - 50.0).abs() < 1e-6);
    assert_eq!(
        counts(&server, at(60), NAMES).await,
        [2.0, 1.0, 1.0, 2.0, 2.0]
    );
    // Once for each start: the next point has none, one after a reset has its own.
    server
        .otlp()
        .export("metrics", &export(at(0), at(120), 60))
        .await;
    server
        .otlp()
        .export("metrics", &export(at(150), at(180), 5))
        .await;
    let expected = [5.0, 3.0, 3.0, 5.0, 5.0];
    assert_eq!(counts(&server, at(180), NAMES).await, expected);
    server.kill();
    let server = setup.start();
    assert_eq!(
        counts(&server, at(180), NAMES).await,
        expected,
        "as the log has it"
    );
    assert!(server.terminate().0.success());
    let server = setup.start();
    assert_eq!(counts(&server, at(180), NAMES).await, expected);
    // A zero that comes again is the same sample.
    server
        .otlp()
        .export("metrics", &export(at(150), at(240), 9))
        .await;
    let expected = [6.0, 4.0, 4.0, 6.0, 6.0];
    assert_eq!(counts(&server, at(240), NAMES).await, expected);
}

#[tokio::test]
async fn remote_write_says_starts_too_and_nothing_is_added_unasked() {
    let begin = now() / SECOND * SECOND + 600 * SECOND;
    let ms = |second: u64| i64::try_from((begin + second * SECOND) / 1_000_000).unwrap();
    let mut request = WriteRequest {
        timeseries: vec![one(&[("__name__", "c_total")], ms(60), 50.0)],
        metadata: vec![],
    };
    request.timeseries[0].samples[0].start_timestamp = ms(0);
    let at = ((begin + 60 * SECOND) / SECOND).to_string();
    for (on, kind, samples) in [(true, 1, 2.0), (true, 2, 1.0), (false, 1, 1.0)] {
        let server = up().config(&config(on)).start();
        let body = block(&version_2(&request, Some((kind, "", ""))));
        let response = post(&server.otlp(), VERSION_2, body).await;
        assert_eq!(response.status(), 204);
        let written = &response.headers()["x-prometheus-remote-write-samples-written"];
        assert_eq!(written, "1", "a zero is nothing that was sent");
        let counted = server
            .query()
            .promql_value("count_over_time(c_total[10m])", &at)
            .await;
        assert!((counted - samples).abs() < 1e-9, "{on} {kind}: {counted}");
    }
}
