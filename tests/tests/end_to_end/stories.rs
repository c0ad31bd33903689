//! One id, the whole story: across services, through a queue, and where nobody sent spans.

use serde_json::{Value, json};
use tests::otlp_json::{attributes, log, logs, now, span, traces};

use crate::up;

const ORDER: &str = "55555555555555555555555555555555";
const SHIPMENT: &str = "66666666666666666666666666666666";

fn with(mut span: Value, key: &str, value: Value) -> Value {
    span[key] = value;
    span
}

#[tokio::test]
async fn a_correlation_id_leads_through_a_queue_and_an_untraced_service() {
    let server = up().start();
    let otlp = server.otlp();
    let time = now();
    let request = attributes(&[("request_id", "order-4711")]);
    let buy = with(
        span(ORDER, "0000000000000001", "", "buy", time, 9_000_000),
        "attributes",
        request,
    );
    let bill = span(
        ORDER,
        "0000000000000002",
        "0000000000000001",
        "POST /bill",
        time + 1_000_000,
        4_000_000,
    );
    let bill = with(bill, "kind", json!(3));
    otlp.export("traces", &traces("shop", &[buy, bill])).await;
    let link = json!([{"traceId": ORDER, "spanId": "0000000000000001"}]);
    let ship = with(
        span(
            SHIPMENT,
            "0000000000000003",
            "",
            "ship",
            time + 20_000_000,
            1_000_000,
        ),
        "links",
        link,
    );
    otlp.export("traces", &traces("shipping", &[ship])).await;
    let billing = [
        log(time + 2_000_000, "bill request_id=order-4711 begun", &[]),
        log(time + 3_000_000, "bill request_id=order-4711 paid", &[]),
    ];
    otlp.export("logs", &logs("legacy-billing", &billing)).await;
    otlp.export(
        "logs",
        &logs(
            "legacy-billing",
            &[log(time, "bill request_id=other begun", &[])],
        ),
    )
    .await;

    for id in ["order-4711", ORDER, "0000000000000003"] {
        let story = server
            .query()
            .get(&format!("/api/v1/story/{id}"), &[])
            .await;
        let spans = story["spans"].as_array().unwrap();
        let names: Vec<&str> = spans
            .iter()
            .map(|span| span["service"].as_str().unwrap())
            .collect();
        for service in ["shop", "shipping", "legacy-billing"] {
            assert!(
                names.contains(&service),
                "{id}: no span of {service}: {names:?}"
            );
        }
        let inferred: Vec<&Value> = spans
            .iter()
            .filter(|span| span["inferred"] == true)
            .collect();
        assert_eq!(inferred.len(), 1, "{id}: {inferred:?}");
        assert_eq!(inferred[0]["service"], "legacy-billing");
        assert!(
            inferred[0]["confidence"].as_f64().unwrap() < 1.0,
            "{inferred:?}"
        );
        let lines = story["logs"].as_array().unwrap();
        assert_eq!(lines.len(), 2, "{id}: {lines:?}");
        assert!(!story["joins"].as_array().unwrap().is_empty(), "{id}");
    }
}
