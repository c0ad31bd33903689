//! The API of Jaeger's UI.

use serde_json::json;
use tests::otlp_json::{SECOND, now, span, traces};

use crate::up;

const TRACE: &str = "33333333333333333333333333333333";

#[tokio::test]
async fn services_operations_and_traces_have_jaegers_shape() {
    let server = up().start();
    let time = now();
    let parent = span(TRACE, "0000000000000001", "", "GET /cart", time, 2_000_000);
    let child = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "SELECT",
        time + 1_000,
        500_000,
    );
    server
        .otlp()
        .export("traces", &traces("cart", &[parent]))
        .await;
    server
        .otlp()
        .export("traces", &traces("database", &[child]))
        .await;
    let query = server.query();

    let services = query.get("/jaeger/api/services", &[]).await;
    assert_eq!(services["data"], json!(["cart", "database"]));
    let operations = query.get("/jaeger/api/services/cart/operations", &[]).await;
    assert_eq!(operations["data"], json!(["GET /cart"]));

    let (start, end) = (
        (time / 1_000 - 1_000_000).to_string(),
        (time / 1_000 + 1_000_000).to_string(),
    );
    let search = [
        ("service", "cart"),
        ("operation", "GET /cart"),
        ("minDuration", "1ms"),
        ("limit", "20"),
        ("start", start.as_str()),
        ("end", end.as_str()),
    ];
    let found = query.get("/jaeger/api/traces", &search).await;
    let by_id = query.get(&format!("/jaeger/api/traces/{TRACE}"), &[]).await;
    for answer in [&found, &by_id] {
        let trace = &answer["data"][0];
        assert_eq!(trace["traceID"], TRACE, "{answer}");
        let spans = trace["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 2, "{answer}");
        let child = spans
            .iter()
            .find(|span| span["spanID"] == "0000000000000002")
            .unwrap();
        assert_eq!(child["references"][0]["refType"], "CHILD_OF");
        assert_eq!(child["references"][0]["spanID"], "0000000000000001");
        assert_eq!(child["duration"], 500);
        let process = child["processID"].as_str().unwrap();
        assert_eq!(trace["processes"][process]["serviceName"], "database");
    }
    let (status, body) = query
        .get_any("/jaeger/api/traces/44444444444444444444444444444444", &[])
        .await;
    assert_eq!(status, 404, "{body}");
}

#[tokio::test]
async fn a_trace_is_found_by_a_span_outside_the_range_that_it_reaches_into() {
    let server = up().start();
    let time = now() - 600 * SECOND;
    let parent = span(TRACE, "0000000000000001", "", "order", time, SECOND);
    let child = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "deliver",
        time + 300 * SECOND,
        SECOND,
    );
    let otlp = server.otlp();
    otlp.export("traces", &traces("shop", &[parent])).await;
    otlp.export("traces", &traces("courier", &[child])).await;
    let query = server.query();
    // Only the courier's span lies in the range; the shop's matches.
    let (start, end) = (time + 250 * SECOND, time + 350 * SECOND);
    for (start, end, found) in [
        (Some(start), Some(end), 1),
        (Some(start), None, 1),
        (None, Some(end), 1),
        (Some(end), None, 0),
        (None, Some(time), 0),
    ] {
        let edges = |per: u64| {
            let edge = |name, at: Option<u64>| at.map(|at| (name, (at / per).to_string()));
            edge("start", start).into_iter().chain(edge("end", end))
        };
        // Jaeger counts microseconds and includes the last one.
        let asked: Vec<(&str, String)> = edges(1_000).collect();
        let mut search = vec![("service", "shop")];
        search.extend(asked.iter().map(|(name, at)| (*name, at.as_str())));
        let answer = query.get("/jaeger/api/traces", &search).await;
        let reaches_end = end == Some(time);
        let expected = if reaches_end { 1 } else { found };
        assert_eq!(answer["data"].as_array().unwrap().len(), expected);
        let asked: Vec<(&str, String)> = edges(1).collect();
        let mut search = vec![("q", "service:shop")];
        search.extend(asked.iter().map(|(name, at)| (*name, at.as_str())));
        let answer = query.get("/api/v1/traces", &search).await;
        assert_eq!(
            answer["traces"].as_array().unwrap().len(),
            found,
            "{answer}"
        );
    }
}
