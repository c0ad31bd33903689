//! Recording rules whose results are native histograms: stored and read as those that are sent.

use serde_json::{Value, json};
use testkit::remote_write::{Histogram, Span, TimeSeries, WriteRequest, block, labels};
use tests::otlp_json::{SECOND, now};
use tests::{Http, Setup, wait};

use crate::PROGRAM;
use crate::remote_write::{STALE, post};

const RULES: &str = r#"
groups:
  - name: sizes
    interval: 1s
    rules:
      - record: job:sizes:sum
        expr: sum by (job) (sizes)
      - record: job:sizes:half
        expr: job:sizes:sum / 2
"#;

fn native(job: &str, histogram: Histogram) -> TimeSeries {
    TimeSeries {
        labels: labels(&[("__name__", "sizes"), ("job", job)]),
        histograms: vec![histogram],
        ..TimeSeries::default()
    }
}

#[allow(clippy::cast_possible_wrap)]
fn now_ms() -> i64 {
    (now() / 1_000_000) as i64
}

/// One with exponential buckets and whole counts, one with custom bounds and parts.
fn sent() -> WriteRequest {
    let span = |offset, length| Span { offset, length };
    let exponential = Histogram {
        count_int: Some(13),
        sum: 20.5,
        schema: 3,
        zero_threshold: 0.001,
        zero_count_int: Some(2),
        negative_spans: vec![span(-4, 1)],
        negative_deltas: vec![1],
        positive_spans: vec![span(0, 2), span(3, 1)],
        positive_deltas: vec![2, 1, 2],
        timestamp: now_ms(),
        ..Histogram::default()
    };
    let custom = Histogram {
        count_float: Some(4.5),
        sum: 7.25,
        schema: -53,
        custom_values: vec![0.5, 2.0],
        positive_spans: vec![span(0, 3)],
        positive_counts: vec![1.0, 3.0, 0.5],
        timestamp: now_ms(),
        ..Histogram::default()
    };
    WriteRequest {
        timeseries: vec![native("whole", exponential), native("custom", custom)],
        metadata: vec![],
    }
}

/// The histograms that an expression yields now, by job.
async fn histograms(http: &Http, expr: &str) -> Vec<(Value, Value)> {
    let at = (now() / SECOND + 1).to_string();
    let found = http.promql(expr, &at).await;
    let one = |sample: &Value| {
        (
            sample["metric"]["job"].clone(),
            sample["histogram"][1].clone(),
        )
    };
    let mut found: Vec<_> = found.iter().map(one).collect();
    found.sort_by_key(|(job, _)| job.to_string());
    found
}

async fn recorded(http: &Http, expr: &str, series: usize) -> Vec<(Value, Value)> {
    wait::eventually("what rules record", wait::LONG, async || {
        let found = histograms(http, expr).await;
        (found.len() == series).then_some(found)
    })
    .await
}

async fn verify(http: &Http) {
    let found = recorded(http, "job:sizes:sum", 2).await;
    assert_eq!(found, histograms(http, "sum by (job) (sizes)").await);
    let buckets = json!([
        [3, "-Inf", "0.5", "1"],
        [0, "0.5", "2", "3"],
        [0, "2", "+Inf", "0.5"]
    ]);
    assert_eq!(found[0].1["buckets"], buckets);
    assert_eq!(
        (&found[1].1["count"], &found[1].1["sum"]),
        (&json!("13"), &json!("20.5"))
    );
    // A later rule of the group reads what the one before it recorded.
    let half = recorded(http, "job:sizes:half", 2).await;
    assert_eq!(half, histograms(http, "sum by (job) (sizes) / 2").await);
    assert_eq!(half[0].1["count"], "2.25");
}

#[tokio::test]
async fn recorded_histograms_are_read_as_those_that_are_sent_and_end() {
    let setup = Setup::new(PROGRAM, "up")
        .config("rules: {files: [rules.yml]}\nagent: {host: {enabled: false}}\n");
    std::fs::write(setup.folder().join("rules.yml"), RULES).unwrap();
    let server = setup.start();
    let http = server.query();
    let response = post(&http, "application/x-protobuf", block(&sent())).await;
    assert_eq!(response.status(), 204);
    verify(&http).await;
    server.kill();
    let server = setup.start();
    let http = server.query();
    verify(&http).await;
    let (status, _) = server.terminate();
    assert!(status.success());

    let server = setup.start();
    let http = server.query();
    verify(&http).await;
    // A rule ends what it stored itself since the start.
    wait::eventually("an evaluation", wait::LONG, async || {
        let rules = http.get("/prometheus/api/v1/rules", &[]).await;
        let rules = rules["data"]["groups"][0]["rules"].as_array()?.clone();
        rules
            .iter()
            .all(|rule| rule["health"] == "ok")
            .then_some(())
    })
    .await;
    let end = Histogram {
        sum: STALE,
        timestamp: now_ms(),
        ..Histogram::default()
    };
    let ended = WriteRequest {
        timeseries: vec![native("whole", end)],
        metadata: vec![],
    };
    let response = post(&http, "application/x-protobuf", block(&ended)).await;
    assert_eq!(response.status(), 204);
    // What a rule yields no more ends at once, long before it would be too old.
    let left = recorded(&http, "job:sizes:sum", 1).await;
    assert_eq!(left[0].0, "custom");
    let at = (now() / SECOND + 1).to_string();
    let all = "count_over_time(job:sizes:sum{job=\"whole\"}[1h])";
    assert!(http.promql_value(all, &at).await >= 1.0);
    let rules = http.get("/prometheus/api/v1/rules", &[]).await;
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["health"], &rule["lastError"]),
        (&json!("ok"), &Value::Null)
    );
}

#[tokio::test]
async fn a_query_process_records_histograms_through_a_collector() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let setup = Setup::new(PROGRAM, "query")
        .config("rules: {files: [rules.yml]}\n")
        .arg("--collector")
        .arg(collector.address("internal"))
        .arg("--write-to")
        .arg(collector.address("otlp_grpc"));
    std::fs::write(setup.folder().join("rules.yml"), RULES).unwrap();
    let query = setup.start();
    let response = post(&collector.otlp(), "application/x-protobuf", block(&sent())).await;
    assert_eq!(response.status(), 204);
    verify(&query.query()).await;
}
