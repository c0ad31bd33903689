//! OTLP as others write it: what the files hold is found by id and by search at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use testkit::testdata;
use tests::Http;

use crate::up;

async fn post_file(otlp: &Http, signal: &str, path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let request = otlp.request("POST", &format!("/v1/{signal}"));
    let request = request
        .header("content-type", "application/json")
        .body(text.clone());
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{}: {body}", path.display());
    assert!(
        !body.contains("partialSuccess"),
        "{}: {body}",
        path.display()
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn the_examples_of_the_specification_come_back_at_once() {
    let Some(folder) = testdata("otlp") else {
        return;
    };
    let server = up().start();
    let (otlp, query) = (server.otlp(), server.query());

    post_file(&otlp, "traces", &folder.join("trace.json")).await;
    let spans = query.trace_spans("5b8efff798038103d269b633813fc60c").await;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0]["name"], "I'm a server span");
    let found = query
        .get(
            "/api/v1/traces",
            &[("q", "service:my.service my.span.attr:\"some value\"")],
        )
        .await;
    assert_eq!(
        found["traces"][0]["trace_id"], "5b8efff798038103d269b633813fc60c",
        "{found}"
    );

    post_file(&otlp, "logs", &folder.join("logs.json")).await;
    for search in [
        "\"example log record\"",
        "trace_id:5b8efff798038103d269b633813fc60c",
        "span_id:eee19b7ec3c1b174",
        "int.attribute:10",
        "boolean.attribute:true",
    ] {
        let logs = query.all_logs(search).await;
        assert_eq!(logs.len(), 1, "{search}");
        assert_eq!(logs[0]["body"], "Example log record");
        assert_eq!(
            logs[0]["attributes"]["map.attribute"]["some.map.key"],
            "some value"
        );
    }

    post_file(&otlp, "logs", &folder.join("events.json")).await;
    let events = query.all_logs("event.name:browser.page_view").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["body"]["title"], "Free Online GUID Generator");

    post_file(&otlp, "metrics", &folder.join("metrics.json")).await;
    let at = "1544712660.5";
    for (name, value) in [
        ("my_counter_total", 5.0),
        ("my_gauge_ratio", 10.0),
        ("my_histogram_count", 2.0),
    ] {
        assert_eq!(query.promql_value(name, at).await, value, "{name}");
    }
    let services = query.get("/api/v1/services", &[]).await;
    assert_eq!(services["services"][0]["name"], "my.service");
}

#[tokio::test]
async fn old_traces_of_other_tools_are_welcome() {
    let Some(folder) = testdata("jaeger/traces") else {
        return;
    };
    let server = up().start();
    let (otlp, query) = (server.otlp(), server.query());
    let mut sent: BTreeMap<String, usize> = BTreeMap::new();
    let mut services: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let export = post_file(&otlp, "traces", &entry.unwrap().path()).await;
        for resource in export["resourceSpans"].as_array().unwrap() {
            let attributes = resource["resource"]["attributes"].as_array().unwrap();
            let service = attributes
                .iter()
                .find(|kv| kv["key"] == "service.name")
                .unwrap();
            let service = service["value"]["stringValue"].as_str().unwrap();
            for scope in resource["scopeSpans"].as_array().unwrap() {
                for span in scope["spans"].as_array().unwrap() {
                    let trace = span["traceId"].as_str().unwrap().to_ascii_lowercase();
                    services.insert(service.to_owned(), trace.clone());
                    *sent.entry(trace).or_default() += 1;
                }
            }
        }
    }
    assert!(sent.len() >= 5, "{sent:?}");
    for (trace, spans) in &sent {
        assert_eq!(query.trace_spans(trace).await.len(), *spans, "{trace}");
    }
    for (service, trace) in &services {
        let search = format!("service:\"{service}\"");
        let found = query.get("/api/v1/traces", &[("q", search.as_str())]).await;
        let found = found["traces"].as_array().unwrap();
        assert!(
            found
                .iter()
                .any(|found| found["trace_id"] == trace.as_str()),
            "{service}: {found:?}"
        );
    }
}
