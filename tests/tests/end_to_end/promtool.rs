//! promtool, Prometheus' own client, asks for what was sent over OTLP.

use std::process::Command;

use serde_json::{Value, json};
use tests::external::{missing, output, works};
use tests::otlp_json::{SECOND, gauge, metrics};

use crate::up;

const BEGIN: u64 = 1_700_000_000;

/// `THROUGHLINE_PROMTOOL`, else the one in the path; none where there is none.
fn promtool() -> Option<impl Fn(&[&str]) -> Command> {
    let named = std::env::var("THROUGHLINE_PROMTOOL").ok();
    let program = named.unwrap_or_else(|| "promtool".to_owned());
    if !works(Command::new(&program).arg("--version")) {
        missing("promtool");
        return None;
    }
    Some(move |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments);
        command
    })
}

/// A gauge of three points a minute apart, 1, 2, 3, and a counter.
fn export() -> Value {
    let time = |minute: u64| (BEGIN + 60 * minute) * SECOND;
    let mut depth = gauge("queue.depth", time(0), 1.0);
    for minute in [1, 2] {
        let value = [2.0, 3.0][usize::try_from(minute - 1).unwrap()];
        let point = json!({"timeUnixNano": time(minute).to_string(), "asDouble": value});
        let points = depth["gauge"]["dataPoints"].as_array_mut().unwrap();
        points.push(point);
    }
    let point = json!({"timeUnixNano": time(2).to_string(), "asInt": "5"});
    let orders = json!({"name": "orders", "sum": {
        "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point]}});
    metrics("shop", &[depth, orders])
}

#[tokio::test]
async fn promtool_queries_what_was_sent_over_otlp() {
    let Some(promtool) = promtool() else {
        return;
    };
    let server = up().start();
    server.otlp().export("metrics", &export()).await;
    let url = format!("{}/prometheus", server.query().base());
    let at = (BEGIN + 120).to_string();
    let ask = |arguments: &[&str]| output(&mut promtool(arguments));

    let instant = ask(&[
        "query",
        "instant",
        "--time",
        &at,
        &url,
        "sum by (job) (queue_depth) * 2",
    ]);
    assert_eq!(instant.trim(), format!("{{job=\"shop\"}} => 6 @[{at}]"));

    let range = ask(&[
        "query",
        "range",
        "--start",
        &BEGIN.to_string(),
        "--end",
        &at,
        "--step",
        "1m",
        "-o",
        "json",
        &url,
        "queue_depth{job=~\"sh.*\"}",
    ]);
    let range: Value = serde_json::from_str(&range).unwrap();
    let values = &range[0]["values"];
    assert_eq!(
        values,
        &json!([[BEGIN, "1"], [BEGIN + 60, "2"], [BEGIN + 120, "3"]])
    );

    let (start, end) = (format!("--start={BEGIN}"), format!("--end={at}"));
    let series = ask(&[
        "query",
        "series",
        "--match",
        "orders_total",
        &start,
        &end,
        &url,
    ]);
    assert_eq!(
        series.trim(),
        r#"{__name__="orders_total", job="shop", otel_scope_name="tests"}"#
    );
    let labels = ask(&["query", "labels", &start, &end, &url, "__name__"]);
    let names: Vec<&str> = labels.split_whitespace().collect();
    assert!(
        names.contains(&"orders_total") && names.contains(&"queue_depth"),
        "{labels}"
    );
    // What newer versions of it ask with `check healthy` and `check ready`.
    for page in ["healthy", "ready"] {
        server
            .query()
            .get(&format!("/prometheus/-/{page}"), &[])
            .await;
    }

    // What is wrong is said in words, and by the exit code.
    let wrong = promtool(&["query", "instant", &url, "rate(queue_depth)"])
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("expected type range vector"), "{said}");
}
