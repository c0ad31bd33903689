//! The demo: a newcomer's first minute.

use serde_json::Value;
use tests::{Setup, wait};

use crate::PROGRAM;

fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_followed_across_its_services_and_its_failure_is_told() {
    let server = Setup::new(PROGRAM, "demo").arg("--no-tui").start();
    let query = server.query();
    let trace = wait::eventually("a trace of several services", wait::LONG, async || {
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
