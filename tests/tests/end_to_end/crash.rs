//! `kill -9` under load: after a restart every acknowledged item is found exactly once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use serde_json::Value;
use tests::otlp_json::{log, logs, now, span, traces};
use tests::{Http, wait};

use crate::PROGRAM;

const SENDERS: usize = 4;
/// Items of one request.
const BATCH: usize = 50;
/// Acknowledged requests of a round before the process is killed.
const ACKS: usize = 80;
const ROUNDS: usize = 3;

/// The requests that were acknowledged, and those whose answer never came.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<String>,
    unanswered: Vec<String>,
}

fn trace_id(batch: &str) -> String {
    // Letters and digits of the batch's name, as hex.
    let hex: String = batch.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex:0<32}")[..32].to_owned()
}

fn log_batch(batch: &str) -> Value {
    let records: Vec<Value> = (0..BATCH)
        .map(|item| {
            let name = format!("{batch}-{item}");
            log(
                now(),
                &format!("stored item {item} of {batch}"),
                &[("load.item", &name)],
            )
        })
        .collect();
    logs("crash-logs", &records)
}

fn span_batch(batch: &str) -> Value {
    let trace = trace_id(batch);
    let spans: Vec<Value> = (0..BATCH)
        .map(|item| {
            span(
                &trace,
                &format!("{:016x}", item + 1),
                "",
                "work",
                now(),
                1_000_000,
            )
        })
        .collect();
    traces("crash-spans", &spans)
}

/// Sends until the process is gone.
async fn send(otlp: Http, name: String, stop: Arc<AtomicBool>, sent: Arc<Mutex<Sent>>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Short, so that it fits a trace id.
        let batch = format!("{name}{number:04}");
        for (signal, export) in [("logs", log_batch(&batch)), ("traces", span_batch(&batch))] {
            let result = otlp.try_export(signal, &export).await;
            let mut sent = sent.lock().unwrap();
            let name = format!("{signal} {batch}");
            match result {
                Ok(()) => sent.acknowledged.push(name),
                Err(_) => {
                    sent.unanswered.push(name);
                    return;
                }
            }
        }
    }
}

async fn verify(query: &Http, sent: &Sent) {
    let mut items: BTreeMap<String, usize> = BTreeMap::new();
    for record in query.all_logs("service:crash-logs").await {
        let item = record["attributes"]["load.item"].as_str().unwrap();
        *items.entry(item.to_owned()).or_default() += 1;
    }
    for (item, count) in &items {
        assert_eq!(*count, 1, "{item} is there {count} times");
    }
    let of = |names: &[String], signal: &str| -> Vec<String> {
        let names = names.iter().filter_map(|name| name.strip_prefix(signal));
        names.map(|name| name.trim().to_owned()).collect()
    };
    for batch in of(&sent.acknowledged, "logs") {
        for item in 0..BATCH {
            assert!(
                items.contains_key(&format!("{batch}-{item}")),
                "{batch}-{item} is lost"
            );
        }
    }
    // A request whose answer never came is there as a whole or not at all.
    for batch in of(&sent.unanswered, "logs") {
        let there = (0..BATCH)
            .filter(|item| items.contains_key(&format!("{batch}-{item}")))
            .count();
        assert!(there == 0 || there == BATCH, "{there} items of {batch}");
    }
    for batch in of(&sent.acknowledged, "traces") {
        let trace = trace_id(&batch);
        let search = format!("trace_id:{trace}");
        let found = query.get("/api/v1/traces", &[("q", search.as_str())]).await;
        assert_eq!(found["traces"][0]["span_count"], BATCH, "{batch}: {found}");
        assert_eq!(query.trace_spans(&trace).await.len(), BATCH, "{batch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_items_survive_kill_9_exactly_once() {
    // A small head, so that the process is also killed while it writes files.
    let config = "limits: {head_bytes: 1MiB}\nagent: {host: {enabled: false}}\n";
    let setup = tests::Setup::new(PROGRAM, "up").config(config);
    let sent = Arc::new(Mutex::new(Sent::default()));
    for round in 0..ROUNDS {
        let server = setup.start();
        let stop = Arc::new(AtomicBool::new(false));
        let before = sent.lock().unwrap().acknowledged.len();
        let senders = (0..SENDERS).map(|sender| {
            let name = format!("r{round}s{sender}n");
            tokio::spawn(send(server.otlp(), name, stop.clone(), sent.clone()))
        });
        let senders: Vec<_> = senders.collect();
        wait::eventually("acknowledged requests", wait::LONG, async || {
            (sent.lock().unwrap().acknowledged.len() >= before + ACKS).then_some(())
        })
        .await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        join_all(senders).await;
    }
    let server = setup.start();
    let sent = Arc::into_inner(sent).unwrap().into_inner().unwrap();
    verify(&server.query(), &sent).await;

    // The same from files alone.
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    verify(&setup.start().query(), &sent).await;
}
