//! `kill -9` under load: after a restart every acknowledged item is found exactly once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::remote_write::{Sample, TimeSeries, WriteRequest, block, labels};
use tests::otlp_json::{attributes, log, logs, metrics, now, span, traces};
use tests::{Http, wait};

use crate::{PROGRAM, remote_write};

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

/// A series of its own, with a point for each item.
fn point_batch(batch: &str) -> Value {
    let time = now();
    let points: Vec<Value> = (0..BATCH)
        .map(|item| {
            json!({
                "attributes": attributes(&[("load.batch", batch)]),
                "timeUnixNano": (time + item as u64).to_string(), "asInt": item.to_string(),
            })
        })
        .collect();
    metrics(
        "crash-points",
        &[json!({"name": "crash_points", "gauge": {"dataPoints": points}})],
    )
}

/// The same over remote write.
async fn write_remotely(otlp: &Http, batch: &str) -> Result<(), String> {
    let time = i64::try_from(now() / 1_000_000).unwrap();
    let sample = |item: usize| Sample {
        value: item as f64,
        timestamp: time + i64::try_from(item).unwrap(),
        start_timestamp: 0,
    };
    let request = WriteRequest {
        timeseries: vec![TimeSeries {
            labels: labels(&[("__name__", "crash_written"), ("batch", batch)]),
            samples: (0..BATCH).map(sample).collect(),
            ..TimeSeries::default()
        }],
        metadata: vec![],
    };
    let request = otlp
        .request("POST", remote_write::PATH)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .body(block(&request));
    let answer = request.send().await.map_err(|error| error.to_string())?;
    match answer.status().as_u16() {
        204 => Ok(()),
        status => Err(status.to_string()),
    }
}

/// Sends until the process is gone.
async fn send(otlp: Http, name: String, stop: Arc<AtomicBool>, sent: Arc<Mutex<Sent>>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Short, so that it fits a trace id.
        let batch = format!("{name}{number:04}");
        for (signal, export) in [
            ("logs", log_batch(&batch)),
            ("traces", span_batch(&batch)),
            ("metrics", point_batch(&batch)),
            ("written", Value::Null),
        ] {
            let result = match signal {
                "written" => write_remotely(&otlp, &batch).await,
                _ => otlp.try_export(signal, &export).await,
            };
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

/// How often each item of each batch is there.
type Found = BTreeMap<(String, usize), usize>;

async fn found_logs(query: &Http) -> Found {
    let mut found = Found::new();
    for record in query.all_logs("service:crash-logs").await {
        let name = record["attributes"]["load.item"].as_str().unwrap();
        let (batch, item) = name.rsplit_once('-').unwrap();
        let item = (batch.to_owned(), item.parse().unwrap());
        *found.entry(item).or_default() += 1;
    }
    found
}

async fn found_points(query: &Http, metric: &str) -> Found {
    let ask = [("q", metric), ("limit", "10000")];
    let answer = query.get("/api/v1/metrics/points", &ask).await;
    assert_eq!(
        answer["cut"].as_array().map_or(0, Vec::len),
        0,
        "{}",
        answer["cut"]
    );
    let mut found = Found::new();
    let list = |value: &Value, member: &str| value[member].as_array().unwrap().clone();
    for resource in list(&answer, "resourceMetrics") {
        for scope in list(&resource, "scopeMetrics") {
            for metric in list(&scope, "metrics") {
                for point in list(&metric["gauge"], "dataPoints") {
                    let batch = point["attributes"][0]["value"]["stringValue"].as_str();
                    let item = match point["asInt"].as_str() {
                        Some(item) => item.parse().unwrap(),
                        None => point["asDouble"].as_f64().unwrap() as usize,
                    };
                    *found.entry((batch.unwrap().to_owned(), item)).or_default() += 1;
                }
            }
        }
    }
    found
}

async fn found_spans(query: &Http, batches: &[&str]) -> Found {
    let mut found = Found::new();
    for batch in batches {
        for span in query.trace_spans(&trace_id(batch)).await {
            let id = span["spanId"].as_str().unwrap();
            let item = usize::from_str_radix(id, 16).unwrap() - 1;
            *found.entry(((*batch).to_owned(), item)).or_default() += 1;
        }
    }
    // A span that is stored twice is shown once there, but counted twice here.
    let answer = query.get("/api/v1/services", &[]).await;
    let services = answer["services"].as_array().unwrap();
    let service = services
        .iter()
        .find(|service| service["name"] == "crash-spans");
    assert_eq!(service.unwrap()["spans"], found.len(), "{answer}");
    found
}

/// Each acknowledged request is there once, to the last item. One whose answer never came is there
/// as a whole or not at all.
async fn verify(query: &Http, sent: &Sent) {
    let of = |names: &[String], signal: &str| -> Vec<String> {
        let names = names.iter().filter_map(|name| name.strip_prefix(signal));
        names.map(|name| name.trim().to_owned()).collect()
    };
    for signal in ["logs", "traces", "metrics", "written"] {
        let (acknowledged, unanswered) =
            (of(&sent.acknowledged, signal), of(&sent.unanswered, signal));
        assert!(acknowledged.len() > ROUNDS, "{signal}: {acknowledged:?}");
        let all = acknowledged.iter().chain(&unanswered).map(String::as_str);
        let found = match signal {
            "logs" => found_logs(query).await,
            "traces" => found_spans(query, &all.clone().collect::<Vec<_>>()).await,
            "metrics" => found_points(query, "crash_points").await,
            _ => found_points(query, "crash_written").await,
        };
        for ((batch, item), count) in &found {
            assert_eq!(
                *count, 1,
                "{signal}: item {item} of {batch} is there {count} times"
            );
            assert!(all.clone().any(|known| known == batch), "{signal}: {batch}");
        }
        let there = |batch: &String| {
            let items = (0..BATCH).filter(|item| found.contains_key(&(batch.clone(), *item)));
            items.count()
        };
        for batch in &acknowledged {
            assert_eq!(there(batch), BATCH, "{signal}: items of {batch} are lost");
        }
        for batch in &unanswered {
            let there = there(batch);
            assert!(
                there == 0 || there == BATCH,
                "{signal}: {there} items of {batch}"
            );
        }
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
    verify_folder(&setup);
    let server = setup.start();
    let sent = Arc::into_inner(sent).unwrap().into_inner().unwrap();
    verify(&server.query(), &sent).await;

    // The same from files alone.
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    verify_folder(&setup);
    verify(&setup.start().query(), &sent).await;
}

/// A crash is not damage.
fn verify_folder(setup: &tests::Setup) {
    let mut command = tests::server::clean(PROGRAM);
    command.args(["storage", "verify", "--data-dir"]);
    let output = command.arg(setup.data_dir()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
