//! The demo: a newcomer's first minute.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::otlp_json::{SECOND, now};
use tests::{Http, Setup, wait};

use crate::PROGRAM;

/// Within this time a newcomer has a trace through several services to look at.
const FIRST_TRACE: Duration = Duration::from_secs(15);

fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

fn is_of(span: &Value, service: &str) -> bool {
    span["service"] == service
}

/// The story of an order that was paid, once everything that belongs to it has arrived: a trace id
/// from an exemplar leads to it.
async fn whole_story(query: &Http) -> Option<Value> {
    let (start, end) = (now() / SECOND - 60, now() / SECOND + 1);
    let (start, end) = (start.to_string(), end.to_string());
    let parameters = [
        (
            "query",
            "shop_charge_duration_milliseconds_bucket{outcome=\"paid\"}",
        ),
        ("start", &start),
        ("end", &end),
    ];
    let found = query
        .get("/prometheus/api/v1/query_exemplars", &parameters)
        .await;
    let series = list(&found, "data").iter();
    for exemplar in series.flat_map(|series| list(series, "exemplars")) {
        let trace_id = exemplar["labels"]["trace_id"].as_str()?;
        let (status, story) = query
            .get_any(&format!("/api/v1/story/{trace_id}"), &[])
            .await;
        let spans = list(&story, "spans");
        let has = |service: &str| spans.iter().any(|span| is_of(span, service));
        let whole = has("shipping") && has("legacy-billing") && has("frontend");
        if status == 200 && whole && !list(&story, "exemplars").is_empty() {
            return Some(story);
        }
    }
    None
}

/// An order's story goes through the queue by its link, to the service that only logs by the ids
/// in its lines, and to the exemplar of its charge.
fn assert_told(story: &Value) {
    let spans = list(story, "spans");
    let span = |service: &str, name: &str| {
        let found = spans
            .iter()
            .find(|span| is_of(span, service) && span["name"] == name);
        found.unwrap_or_else(|| panic!("no span {name} of {service} in {story}"))
    };
    let sent = span("checkout", "send orders");
    let taken = span("shipping", "process orders");
    assert_ne!(sent["traceId"], taken["traceId"], "{story}");
    let link = &taken["links"][0];
    assert_eq!(
        (&link["traceId"], &link["spanId"]),
        (&sent["traceId"], &sent["spanId"])
    );
    let joins = list(story, "joins");
    let join = |by: &str, to: &Value| {
        joins
            .iter()
            .any(|join| join["by"] == by && join["to"] == *to)
    };
    assert!(
        join("link", &taken["traceId"]) || join("link", &sent["traceId"]),
        "{joins:?}"
    );

    let billing: Vec<&Value> = spans
        .iter()
        .filter(|span| is_of(span, "legacy-billing"))
        .collect();
    assert!(
        billing.iter().all(|span| span["inferred"] == true),
        "{billing:?}"
    );
    let confidence = billing[0]["confidence"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&confidence), "{billing:?}");
    let parent = &billing[0]["parentSpanId"];
    let call = spans.iter().find(|span| span["spanId"] == *parent);
    assert!(
        call.is_some_and(|call| is_of(call, "payment")),
        "{billing:?}"
    );
    let lines = list(story, "logs").iter();
    assert!(
        lines
            .filter(|log| log["service"] == "legacy-billing")
            .count()
            > 0,
        "{story}"
    );
    assert!(
        joins
            .iter()
            .any(|join| join["reason"].as_str().unwrap().contains("legacy-billing")),
        "{joins:?}"
    );

    let exemplar = &list(story, "exemplars")[0];
    assert_eq!(exemplar["service"], "payment", "{exemplar}");
    assert_eq!(exemplar["trace_id"], sent["traceId"], "{exemplar}");
    assert!(
        exemplar["metric"].as_str().unwrap().starts_with("shop"),
        "{exemplar}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_followed_across_its_services_and_its_failure_is_told() {
    let begun = Instant::now();
    let server = Setup::new(PROGRAM, "demo").arg("--no-tui").start();
    let query = server.query();
    let left = FIRST_TRACE.saturating_sub(begun.elapsed());
    let trace = wait::eventually("a trace of several services", left, async || {
        let found = query.get("/api/v1/traces", &[("limit", "100")]).await;
        let several = |trace: &&Value| list(trace, "services").len() >= 4;
        list(&found, "traces").iter().find(several).cloned()
    })
    .await;
    let id = trace["trace_id"].as_str().unwrap();
    assert!(query.trace_spans(id).await.len() >= 4, "{trace}");

    wait::eventually(
        "eight services, one of which only logs",
        wait::LONG,
        async || {
            let services = query.get("/api/v1/services", &[]).await;
            let silent = |service: &Value| service["spans"] == 0 && service["logs"] != 0;
            let services = list(&services, "services");
            (services.len() >= 8 && services.iter().any(silent)).then_some(())
        },
    )
    .await;
    let story = wait::eventually("the whole story of an order", wait::LONG, async || {
        whole_story(&query).await
    })
    .await;
    assert_told(&story);
    wait::eventually("an alert that fires", 2 * wait::LONG, async || {
        let alerts = query.get("/api/v1/alerts", &[]).await;
        list(&alerts, "alerts")
            .iter()
            .any(|alert| alert["state"] == "firing")
            .then_some(())
    })
    .await;
    assert!(server.terminate().0.success());
}
