//! `throughline load` against a process that is killed, with its own account of what was
//! acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tests::{Http, Setup, wait};

use crate::PROGRAM;

const ITEMS: u64 = 200;
/// Acknowledged requests before the kill.
const ACKS: usize = 60;

/// What became of each request, by its number.
fn account(path: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let requests = text.lines().skip(1).map(|line| {
        let request: Value = serde_json::from_str(line).unwrap();
        (
            request["sequence"].as_u64().unwrap(),
            request["state"].as_str().unwrap().to_owned(),
        )
    });
    requests.collect()
}

/// Stored rows by the number of their request.
async fn stored(query: &Http) -> BTreeMap<u64, u64> {
    let by = [("by", "load.batch"), ("step", "3650d"), ("limit", "1000")];
    let answer = query.get("/api/v1/logs/histogram", &by).await;
    let groups = answer["series"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|group| group["key"][0] != "");
    groups
        .map(|group| {
            (
                group["key"][0].as_str().unwrap().parse().unwrap(),
                group["total"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_load_was_told_is_stored_is_stored_once() {
    let setup = Setup::new(PROGRAM, "collector").config("limits: {head_bytes: 1MiB}\n");
    let server = setup.start();
    let file = setup.folder().join("account");
    let mut load = tests::server::clean(PROGRAM)
        .args([
            "load",
            "--signal",
            "logs",
            "--duration",
            "1m",
            "--connections",
            "4",
            "--json",
        ])
        .arg(format!("--batch={ITEMS}"))
        .arg(format!("--endpoint=http://{}", server.address("otlp_grpc")))
        .arg("--verify-file")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::eventually("acknowledged requests", wait::LONG, async || {
        let partial = std::fs::read_to_string(&file).unwrap_or_default();
        (partial.matches("\"acknowledged\"").count() >= ACKS).then_some(())
    })
    .await;
    server.kill();
    load.kill().unwrap();
    load.wait().unwrap();

    let server = setup.start();
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(server.address("internal"))
        .start();
    let (account, stored) = (account(&file), stored(&query.query()).await);
    assert!(account.len() >= ACKS);
    for (sequence, state) in &account {
        let count = stored.get(sequence).copied().unwrap_or_default();
        match state.as_str() {
            "acknowledged" => assert_eq!(count, ITEMS, "request {sequence}"),
            "unknown" => assert!(
                count == 0 || count == ITEMS,
                "{count} of request {sequence}"
            ),
            other => panic!("request {sequence} was {other}"),
        }
    }
    // Of requests that were under way when both were killed, all or nothing.
    for (sequence, count) in &stored {
        assert_eq!(*count, ITEMS, "request {sequence}");
    }
}
