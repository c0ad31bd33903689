//! Answers of a Prometheus, recorded as its API gave them, histograms with all their buckets.
//!
//! A file is JSON lines: first `{"step_ms": .., "series": ["name{..} values", ..]}`, then
//! `{"query": .., "time": seconds, "answer": {..}}` for each.

use futures::executor::block_on;
use promql::engine::Query;
use promql::notation::parse_sequence;
use promql::{Engine, Limits};
use serde_json::{Value, json};

use crate::expect::close;
use crate::run::Report;
use crate::store::Store;

pub(crate) fn run(text: &str) -> Report {
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let data = lines.next().expect("a line of data");
    let series = data["series"].as_array().expect("series");
    let sequences: Vec<_> = series
        .iter()
        .map(|line| parse_sequence(line.as_str().expect("a text")).expect("a series"))
        .collect();
    let mut store = Store::default();
    let step_ms = data["step_ms"].as_i64().expect("a step");
    store.load(step_ms, &sequences, false);
    let mut report = Report::default();
    for case in lines {
        report.cases += 1;
        let got = ask(&store, &case);
        if !same(&case["answer"], &got) {
            report.failures.push(format!(
                "{} at {}\n    expected {}\n    got {got}",
                case["query"], case["time"], case["answer"]
            ));
        }
    }
    report
}

#[allow(clippy::cast_possible_truncation)]
fn ask(store: &Store, case: &Value) -> Value {
    let failed = |error: String| json!({ "error": error });
    let text = case["query"].as_str().expect("a query");
    let query = match Query::parse(text) {
        Ok(query) => query,
        Err(error) => return failed(error.to_string()),
    };
    let time_ms = (case["time"].as_f64().expect("a time") * 1000.0) as i64;
    match block_on(Engine::default().instant(&query, time_ms, store, Limits::default())) {
        Err(error) => failed(error.to_string()),
        Ok(answer) => {
            let mut value = serde_json::to_value(&answer.value).expect("JSON");
            for (key, notes) in [("warnings", answer.warnings), ("infos", answer.infos)] {
                if !notes.is_empty() {
                    value[key] = json!(notes);
                }
            }
            value
        }
    }
}

/// Equal but for rounding of numbers, which are texts, and for the order of series.
fn same(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .all(|(key, value)| got.get(key).is_some_and(|got| same(value, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            let by_labels = |list: &[Value]| {
                let mut list = list.to_vec();
                if list.iter().all(|item| item.get("metric").is_some()) {
                    list.sort_by_key(|item| item["metric"].to_string());
                }
                list
            };
            let (expected, got) = (by_labels(expected), by_labels(got));
            expected.len() == got.len() && expected.iter().zip(&got).all(|(a, b)| same(a, b))
        }
        (Value::String(expected), Value::String(got)) => {
            expected == got
                || matches!((expected.parse(), got.parse()), (Ok(a), Ok(b)) if close(a, b))
        }
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    }
}
