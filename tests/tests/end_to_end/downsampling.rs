//! Old days of metrics in buckets: answers stay what they are where that is possible, and say so.

use std::process::Command;

use serde_json::{Value, json};
use tests::otlp_json::{metrics, now};
use tests::{Http, Server, Setup, wait};

use crate::{PROGRAM, up};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Aligned to buckets: from this hour of the day on, so many of them.
const FIRST_HOUR: u64 = 2;
const HOURS: u64 = 3;

/// Queries whose ranges are made of whole buckets, with their steps in seconds.
const EXACT: [(&str, u64); 9] = [
    ("load", 3_600),
    ("sum(rate(requests_total[1h]))", 3_600),
    ("increase(requests_total[10m])", 600),
    ("avg_over_time(load[1h])", 3_600),
    ("min_over_time(load[5m])", 300),
    ("max_over_time(load[1h])", 3_600),
    ("sum_over_time(load[1h])", 3_600),
    ("count_over_time(load[15m])", 300),
    ("last_over_time(requests_total[1h])", 3_600),
];

/// Four hours of a counter that is reset twice and of a gauge, a point each quarter of a minute.
fn day_of_metrics(begin: u64) -> Value {
    let (mut counter, mut gauge) = (Vec::new(), Vec::new());
    let mut count = 0;
    for number in 0..4 * 240u64 {
        let time = (begin + FIRST_HOUR * HOUR + number * 15 * SECOND).to_string();
        count = if number % 400 == 399 {
            0
        } else {
            count + number % 7
        };
        let load = number * 37 % 101;
        counter.push(json!({"timeUnixNano": time, "asInt": count.to_string()}));
        gauge.push(json!({"timeUnixNano": time, "asInt": load.to_string()}));
    }
    let requests = json!({"dataPoints": counter, "aggregationTemporality": 2, "isMonotonic": true});
    metrics(
        "shop",
        &[
            json!({"name": "requests", "sum": requests}),
            json!({"name": "load", "gauge": {"dataPoints": gauge}}),
        ],
    )
}

/// The answer to a query over the aligned hours, begun this many seconds late.
async fn ask(query: &Http, day: u64, (text, step): (&str, u64), late: u64) -> Value {
    let first = (day + (FIRST_HOUR + 1) * HOUR) / SECOND + late;
    let parameters = [
        ("query", text.to_owned()),
        ("start", first.to_string()),
        ("end", (first + (HOURS - 1) * 3_600).to_string()),
        ("step", step.to_string()),
    ];
    let parameters = parameters
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    query
        .get("/prometheus/api/v1/query_range", &parameters)
        .await
}

/// Times and values of the one series of an answer.
fn values(answer: &Value) -> Vec<(f64, f64)> {
    let result = answer["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 1, "{answer}");
    let pair = |pair: &Value| {
        let value = pair[1].as_str().unwrap().parse().unwrap();
        (pair[0].as_f64().unwrap(), value)
    };
    result[0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(pair)
        .collect()
}

fn warned(answer: &Value) -> String {
    answer["warnings"].to_string()
}

fn near(one: &[(f64, f64)], other: &[(f64, f64)]) -> bool {
    let same = |(one, other): (&(f64, f64), &(f64, f64))| {
        one.0 == other.0 && (one.1 - other.1).abs() <= one.1.abs() * 1e-9
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn with_retention(setup: &Setup, retention: &str) -> Server {
    let yaml = format!("agent: {{host: {{enabled: false}}}}\nretention: {retention}\n");
    setup.clone().config(&yaml).start()
}

/// What a tool says of the folder.
fn storage(command: &str, setup: &Setup) -> Value {
    let mut program: Command = tests::server::clean(PROGRAM);
    program.args(["storage", command, "--json", "--data-dir"]);
    let output = program.arg(setup.data_dir()).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The folders of partitions of metrics.
fn kinds(setup: &Setup) -> Vec<String> {
    let stat = storage("stat", setup);
    let partitions = stat["partitions"].as_array().unwrap().iter();
    let names = partitions.map(|one| one["signal"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("metrics")).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn old_days_are_answered_from_buckets_and_outlive_their_samples() {
    let day = (now() / DAY - 3) * DAY;
    let setup = up();
    let server = setup.start();
    server.otlp().export("metrics", &day_of_metrics(day)).await;
    let query = server.query();
    let mut raw = Vec::new();
    for question in EXACT {
        let answer = ask(&query, day, question, 0).await;
        assert_eq!(answer["warnings"], Value::Null, "{answer}");
        raw.push(values(&answer));
    }
    let every = ("quantile_over_time(0.9, load[1h])", 3_600);
    let quantiles = values(&ask(&query, day, every, 0).await);
    let late = values(&ask(&query, day, EXACT[3], 15).await);
    server.terminate();

    let server = with_retention(&setup, "{downsampling: {after: 1h}}");
    let query = server.query();
    wait::eventually("buckets", wait::LONG, async || {
        let answer = ask(&query, day, EXACT[0], 0).await;
        warned(&answer).contains("buckets of 1h").then_some(())
    })
    .await;
    for (question, raw) in EXACT.into_iter().zip(&raw) {
        let answer = ask(&query, day, question, 0).await;
        let length = if question.1 == 3_600 { "1h" } else { "5m" };
        let warning = format!(r#"["old samples are downsampled to buckets of {length}"]"#);
        assert_eq!(warned(&answer), warning, "{question:?}");
        assert!(
            near(&values(&answer), raw),
            "{question:?}: {answer}, not {raw:?}"
        );
    }
    // What buckets cannot tell is answered from samples.
    for (question, begin, expected) in [(every, 0, &quantiles), (EXACT[3], 15, &late)] {
        let answer = ask(&query, day, question, begin).await;
        assert_eq!(answer["warnings"], Value::Null, "{answer}");
        assert_eq!(values(&answer), *expected, "{question:?}");
    }
    server.terminate();
    assert_eq!(kinds(&setup), ["metrics", "metrics-1h", "metrics-5m"]);
    assert_eq!(storage("verify", &setup)["findings"], json!([]));

    let server = with_retention(&setup, "{metrics: {age: 1d}, downsampling: {after: 1h}}");
    let query = server.query();
    wait::eventually("samples are dropped", wait::LONG, async || {
        let answer = ask(&query, day, every, 0).await;
        warned(&answer).contains("needs every sample").then_some(())
    })
    .await;
    for (question, raw) in EXACT.into_iter().zip(&raw) {
        let answer = ask(&query, day, question, 0).await;
        assert!(
            near(&values(&answer), raw),
            "{question:?}: {answer}, not {raw:?}"
        );
    }
    let answer = ask(&query, day, EXACT[3], 15).await;
    assert!(
        warned(&answer).contains("do not fall on the ends of buckets"),
        "{answer}"
    );
    let names = query
        .get("/prometheus/api/v1/label/__name__/values", &[])
        .await;
    assert!(names.to_string().contains("requests_total"), "{names}");
    server.terminate();
    assert_eq!(kinds(&setup), ["metrics-1h", "metrics-5m"]);
}
