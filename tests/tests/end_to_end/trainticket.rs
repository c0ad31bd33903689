//! Replays what a real system of 28 services sent, and counts it again through the API.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testkit::testdata;
use tests::Http;
use tests::trainticket::{self, TrainTicket};

use crate::up;

async fn verify(query: &Http, data: &TrainTicket) {
    let answer = query.get("/api/v1/services", &[]).await;
    let count =
        |service: &Value, key: &str| usize::try_from(service[key].as_u64().unwrap()).unwrap();
    let services: BTreeMap<String, (usize, usize)> = answer["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| {
            let name = service["name"].as_str().unwrap().to_owned();
            (name, (count(service, "spans"), count(service, "logs")))
        })
        .collect();
    assert_eq!(services, data.services);

    for (trace, expected) in &data.spans {
        let spans = query.trace_spans(trace).await;
        let ids: BTreeSet<String> = spans
            .iter()
            .map(|span| span["spanId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(spans.len(), ids.len(), "{trace} has a span twice");
        assert_eq!(&ids, expected, "{trace}");
    }
    for (trace, expected) in &data.logs {
        let logs = query.all_logs(&format!("trace_id:{trace}")).await;
        let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
        let mut found: Vec<String> = logs.iter().map(|record| text(record, "span_id")).collect();
        let mut expected = expected.clone();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{trace}");
        // Every record says in its text what it belongs to.
        for record in &logs {
            let body = text(record, "body").to_ascii_lowercase();
            assert!(body.contains(trace.as_str()), "{record}");
        }
    }
}

#[tokio::test]
async fn the_train_ticket_system_is_told_again() {
    let Some(archive) = testdata("traces/nezha-trainticket-6min.tar.xz") else {
        return;
    };
    let Some(data) = trainticket::read(&archive) else {
        return;
    };
    let rows = data
        .services
        .values()
        .fold((0, 0), |sum, rows| (sum.0 + rows.0, sum.1 + rows.1));
    assert_eq!((rows, data.spans.len()), ((28_722, 15_006), 362));
    let setup = up();
    let server = setup.start();
    let otlp = server.otlp();
    for export in &data.trace_exports {
        otlp.export("traces", export).await;
    }
    for export in &data.log_exports {
        otlp.export("logs", export).await;
    }
    verify(&server.query(), &data).await;

    // The logs of one trace are in its story.
    let (trace, records) = data.logs.iter().next().unwrap();
    let story = server
        .query()
        .get(&format!("/api/v1/story/{trace}"), &[])
        .await;
    assert_eq!(
        story["logs"].as_array().unwrap().len(),
        records.len(),
        "{trace}"
    );

    // The same from files.
    assert!(server.terminate().0.success());
    verify(&setup.start().query(), &data).await;
}
