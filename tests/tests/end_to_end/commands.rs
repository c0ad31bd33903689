//! The same answers for pipes: text, `--json`, and an exit code.

use std::process::Output;

use serde_json::{Value, json};
use tests::otlp_json::{gauge, log, logs, metrics, now, span, traces};

use crate::{PROGRAM, up};

const TRACE: &str = "99999999999999999999999999999999";

fn run(url: &str, arguments: &[&str]) -> Output {
    let mut command = tests::server::clean(PROGRAM);
    command
        .args(arguments)
        .args(["--url", url])
        .output()
        .unwrap()
}

fn text(url: &str, arguments: &[&str]) -> String {
    let output = run(url, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(url: &str, arguments: &[&str]) -> Value {
    let text = text(url, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[tokio::test]
async fn every_answer_comes_as_text_and_as_json() {
    let server = up().start();
    let otlp = server.otlp();
    let time = now();
    let parent = span(TRACE, "0000000000000001", "", "POST /buy", time, 9_000_000);
    let child = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "charge",
        time + 10,
        5_000_000,
    );
    otlp.export("traces", &traces("shop", &[parent])).await;
    otlp.export("traces", &traces("bank", &[child])).await;
    let mut record = log(time, "card declined", &[("request_id", "order-9")]);
    record["traceId"] = json!(TRACE);
    otlp.export("logs", &logs("bank", &[record])).await;
    otlp.export(
        "metrics",
        &metrics("shop", &[gauge("queue.depth", time, 3.0)]),
    )
    .await;
    let url = server.query().base().to_owned();

    for command in ["trace", "story"] {
        let shown = text(&url, &[command, TRACE]);
        for part in ["shop", "POST /buy", "bank", "charge"] {
            assert!(shown.contains(part), "{command}: no {part} in\n{shown}");
        }
        let spans = parsed(&url, &[command, TRACE])["spans"]
            .as_array()
            .map(Vec::len);
        assert_eq!(spans, Some(2), "{command}");
    }
    let story = text(&url, &["story", "order-9"]);
    assert!(
        story.contains("card declined") && story.contains("POST /buy"),
        "{story}"
    );
    assert!(text(&url, &["logs", "service:bank declined"]).contains("card declined"));
    assert_eq!(
        parsed(&url, &["query", "queue_depth"])["data"]["result"][0]["value"][1],
        "3"
    );

    let arguments = ["cardinality", "queue_depth", "--label", "job"];
    let shown = text(&url, &arguments);
    assert!(shown.starts_with("1 series, 1 samples\n"), "{shown}");
    assert!(shown.contains("job=\"shop\""), "{shown}");
    let heaviest = &parsed(&url, &arguments)["metrics"][0];
    assert_eq!(
        *heaviest,
        json!({"label": "__name__", "value": "queue_depth", "series": 1, "samples": 1})
    );

    // What is not there, and what cannot be asked, is a failure that says why.
    for arguments in [
        ["trace", "99999999999999999999999999999998"],
        ["logs", "service:"],
        ["query", "rate(x[5m)"],
    ] {
        let output = run(&url, &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    // A mistyped field is told from one that happens to find nothing, and a field of spans from
    // one of log records.
    let mistyped = text(&url, &["logs", "request_idd:order-9"]);
    assert!(mistyped.contains("did you mean request_id?"), "{mistyped}");
    let whole = parsed(&url, &["logs", "sevice:bank"]);
    assert_eq!(whole["logs"], json!([]), "{whole}");
    let hint = whole["hints"][0].as_str().unwrap();
    assert!(hint.ends_with("did you mean service?"), "{hint}");
    assert_eq!(text(&url, &["logs", "request_id:order-10"]), "");
    let foreign = run(&url, &["logs", "duration:>250ms"]);
    assert_eq!(foreign.status.code(), Some(1), "{foreign:?}");
    let said = String::from_utf8_lossy(&foreign.stderr);
    assert!(said.contains("duration is a field of spans"), "{said}");
    let nobody = run("http://127.0.0.1:1", &["trace", TRACE]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}
