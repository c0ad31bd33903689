//! Queries whose one step needs more samples than may be held at once: series are read a share at a
//! time, and the answer is that of all at once.

use serde_json::{Value, json};
use tests::otlp_json::{SECOND, attributes};
use tests::{Http, Setup};

use crate::PROGRAM;

const BEGIN: u64 = 1_700_000_000 * SECOND;
const POINTS: u64 = 60;

/// Points at each half minute, each with these attributes.
fn points(series: u64, temporality: u64, value: impl Fn(u64) -> Value) -> Vec<Value> {
    let point = |at: u64| {
        let mut point = value(at);
        let time = BEGIN + at * 30 * SECOND;
        let since = if temporality == 1 {
            time - 30 * SECOND
        } else {
            BEGIN
        };
        point["timeUnixNano"] = json!(time.to_string());
        point["startTimeUnixNano"] = json!(since.to_string());
        point["attributes"] = attributes(&[("n", &series.to_string())]);
        point
    };
    (1..=POINTS).map(point).collect()
}

fn sum(name: &str, temporality: u64, series: u64, step: u64) -> Value {
    let value = |at: u64| match temporality {
        1 => json!({"asInt": (at % 7).to_string()}),
        // It begins again every now and then.
        _ => json!({"asInt": (at % (20 + series) * step).to_string()}),
    };
    json!({"name": name, "sum": {"aggregationTemporality": temporality, "isMonotonic": true,
        "dataPoints": points(series, temporality, value)}})
}

fn histogram(series: u64) -> Value {
    let value = |at: u64| {
        json!({"count": (at * 9).to_string(), "sum": at, "explicitBounds": [0.5, 1.0],
            "bucketCounts": [(at * 4).to_string(), (at * series).to_string(), "0"]})
    };
    json!({"name": "classic", "histogram": {"aggregationTemporality": 2,
        "dataPoints": points(series, 2, value)}})
}

fn native(series: u64) -> Value {
    let value = |at: u64| {
        json!({"count": (at * 9).to_string(), "sum": at, "scale": 2, "zeroCount": at.to_string(),
            "positive": {"offset": -3, "bucketCounts": [(at * 3).to_string(), (at * 5).to_string()]}})
    };
    json!({"name": "native", "exponentialHistogram": {"aggregationTemporality": 2,
        "dataPoints": points(series, 2, value)}})
}

/// The metrics of a process: after a restart it has the same labels.
fn export(process: &str, metrics: &[Value]) -> Value {
    let resource = attributes(&[
        ("service.name", "shop"),
        ("service.instance.id", "one"),
        ("process.pid", process),
    ]);
    json!({"resourceMetrics": [{"resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {"name": "tests"}, "metrics": metrics}]}]})
}

async fn server(limits: &str) -> tests::Server {
    let config = format!("agent: {{host: {{enabled: false}}}}\nlimits: {{{limits}}}\n");
    let server = Setup::new(PROGRAM, "up").config(&config).start();
    let otlp = server.otlp();
    for process in ["1", "2"] {
        let mut metrics: Vec<Value> = (0..20)
            .flat_map(|n| [sum("counter", 2, n, 3), sum("added", 1, n, 1)])
            .collect();
        metrics.extend((0..4).flat_map(|n| [histogram(n), native(n)]));
        otlp.export("metrics", &export(process, &metrics)).await;
    }
    let many: Vec<Value> = (0..600).map(|n| sum("many", 2, n, 1)).collect();
    otlp.export("metrics", &export("1", &many)).await;
    server
}

async fn ask(query: &Http, text: &str, range: bool) -> Value {
    let end = (BEGIN / SECOND + POINTS * 30).to_string();
    let begin = (BEGIN / SECOND + POINTS * 15).to_string();
    let path = "/prometheus/api/v1/query";
    let (_, mut answer) = if range {
        let times = [("start", begin.as_str()), ("end", &end), ("step", "300")];
        let form = [&times[..], &[("query", text)]].concat();
        query.get_any(&format!("{path}_range"), &form).await
    } else {
        query
            .get_any(path, &[("query", text), ("time", &end)])
            .await
    };
    answer["data"]["stats"].take();
    answer
}

#[tokio::test]
async fn series_that_do_not_fit_at_once_are_read_a_share_at_a_time() {
    let few = server("query_samples: 1000, query_samples_read: 30000").await;
    let all = server("query_rows: 10000").await;
    for text in [
        "sum(increase(counter_total[1h]))",
        "sum by (n) (rate(counter_total[1h])) / count by (n) (counter_total)",
        "sum(max_over_time(counter_total[1h]) - min_over_time(counter_total[1h]))",
        "topk(3, increase(added_total[30m]))",
        "quantile_over_time(0.5, counter_total{n=~\"1.*\"}[1h])",
        "sum(max_over_time(rate(counter_total[5m])[1h:30s]))",
        "sum(sum_over_time((counter_total * 2)[1h:30s]))",
        "histogram_quantile(0.7, sum by (le) (rate(classic_bucket[1h])))",
        "histogram_quantile(0.7, sum(rate(native[1h])))",
        "sum(increase(counter_total[1h] @ end()))",
        "sum(increase({__name__=~\"counter.*\", n!=\"1\"}[1h]))",
    ] {
        for range in [false, true] {
            let whole = ask(&all.query(), text, range).await;
            assert_eq!(whole["status"], "success", "{text}: {whole}");
            assert_ne!(whole["data"]["result"], json!([]), "{text}");
            let shares = ask(&few.query(), text, range).await;
            assert_eq!(shares, whole, "{text}");
        }
    }
    let answer = ask(&few.query(), "sum(increase(many_total[1h]))", false).await;
    let message = answer["error"].as_str().unwrap_or_default();
    assert!(message.contains("would read too many samples"), "{answer}");
    // What needs every sample at once is refused as before.
    let answer = ask(&few.query(), "counter_total[1h]", false).await;
    let message = answer["error"].as_str().unwrap_or_default();
    assert!(message.contains("too many samples into memory"), "{answer}");
}
