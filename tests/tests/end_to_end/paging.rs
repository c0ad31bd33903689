//! Pages: every record once, also where many share one time.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::otlp_json::{SECOND, log, logs, now};
use tests::{Http, Setup};

use crate::{PROGRAM, up};

const RECORDS: usize = 6_000;
/// Records of one time.
const TIED: usize = 5_000;
const ORDERS: [(&str, &str); 3] = [("newest", "250"), ("oldest", "333"), ("newest", "1000")];

#[tokio::test]
async fn pages_together_hold_every_record_once() {
    let setup = up();
    let server = setup.start();
    let begin = now();
    let record = |number: usize| {
        let time = begin + u64::try_from(number / TIED).unwrap() * SECOND;
        log(time, &format!("record {number}"), &[])
    };
    for batch in (0..RECORDS).collect::<Vec<_>>().chunks(250) {
        let records: Vec<Value> = batch.iter().map(|number| record(*number)).collect();
        server.otlp().export("logs", &logs("pages", &records)).await;
    }
    for (order, limit) in ORDERS {
        verify(&server.query(), order, limit).await;
    }
    assert!(server.terminate().0.success());
    let server = setup.start();
    for (order, limit) in ORDERS {
        verify(&server.query(), order, limit).await;
    }
}

#[tokio::test]
async fn pages_over_two_collectors_hold_every_record_once() {
    let collectors = [
        Setup::new(PROGRAM, "collector").start(),
        Setup::new(PROGRAM, "collector").start(),
    ];
    let mut query = Setup::new(PROGRAM, "query");
    for collector in &collectors {
        query = query.arg("--collector").arg(collector.address("internal"));
    }
    let query = query.start();
    let time = now();
    for batch in (0..RECORDS).collect::<Vec<_>>().chunks(250) {
        let record = |number: &usize| log(time, &format!("record {number}"), &[]);
        let records: Vec<Value> = batch.iter().map(record).collect();
        let collector = &collectors[batch[0] / 250 % 2];
        collector
            .otlp()
            .export("logs", &logs("pages", &records))
            .await;
    }
    verify(&query.query(), "newest", "500").await;
}

async fn verify(query: &Http, order: &str, limit: &str) {
    let found = pages(query, order, limit).await;
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(
        (found.len(), distinct.len()),
        (RECORDS, RECORDS),
        "{order}, {limit}"
    );
}

async fn pages(query: &Http, order: &str, limit: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut parameters = vec![("q", "service:pages"), ("order", order), ("limit", limit)];
        if !cursor.is_empty() {
            parameters.push(("cursor", &cursor));
        }
        let answer = query.get("/api/v1/logs", &parameters).await;
        let bodies = answer["logs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| &record["body"]);
        found.extend(bodies.map(|body| body.as_str().unwrap().to_owned()));
        match answer["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}
