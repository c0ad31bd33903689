//! `throughline storage`: what a folder holds, whether it is sound, rows out of it and back in, and
//! snapshots of a running process.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::otlp_json::{gauge, log, logs, metrics, now, span, traces};
use tests::{Http, wait};

use crate::{PROGRAM, up};

const TRACE: &str = "77777777777777777777777777777777";

fn storage(arguments: &[&str], data_dir: &Path) -> Output {
    let mut command = tests::server::clean(PROGRAM);
    command.arg("storage").args(arguments);
    command.arg("--data-dir").arg(data_dir).output().unwrap()
}

fn text(arguments: &[&str], data_dir: &Path) -> String {
    let output = storage(arguments, data_dir);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(arguments: &[&str], data_dir: &Path) -> Value {
    let text = text(arguments, data_dir);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// Rows of every signal with values of many types.
async fn send(otlp: &Http) {
    let time = now();
    let mut whole = span(TRACE, "0000000000000001", "", "POST /buy", time, 9_000_000);
    whole["status"] = json!({"code": 2, "message": "declined"});
    whole["traceState"] = json!("a=b");
    whole["attributes"] = json!([
        {"key": "int", "value": {"intValue": "-7"}},
        {"key": "double", "value": {"doubleValue": 0.1}},
        {"key": "bool", "value": {"boolValue": true}},
        {"key": "bytes", "value": {"bytesValue": "AQL/"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}}},
        {"key": "twice", "value": {"stringValue": "a"}},
        {"key": "twice", "value": {"stringValue": "b"}},
    ]);
    whole["events"] =
        json!([{"timeUnixNano": time.to_string(), "name": "retry", "attributes": []}]);
    whole["links"] = json!([{"traceId": TRACE, "spanId": "0000000000000009", "attributes": []}]);
    let child = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "charge",
        time,
        5,
    );
    otlp.export("traces", &traces("shop", &[whole])).await;
    otlp.export("traces", &traces("bank", &[child])).await;
    let mut nested = log(time, "", &[("request_id", "order-9")]);
    nested["body"] = json!({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}});
    let records: Vec<Value> = (0..1_200)
        .map(|at| log(time + at, &format!("line {at}"), &[("user", "ann")]))
        .chain([nested])
        .collect();
    otlp.export("logs", &logs("bank", &records)).await;
    let mut sum = gauge("orders", time, 2.5);
    let points = sum.as_object_mut().unwrap().remove("gauge").unwrap();
    sum["sum"] = points;
    sum["sum"]["aggregationTemporality"] = json!(2);
    sum["sum"]["isMonotonic"] = json!(true);
    let all = [gauge("queue.depth", time, 3.0), sum];
    otlp.export("metrics", &metrics("meter", &all)).await;
}

/// Every row of JSON lines with its resource and scope, in an order of its own.
fn rows(lines: &str) -> Vec<String> {
    const LISTS: [[&str; 3]; 3] = [
        ["resourceSpans", "scopeSpans", "spans"],
        ["resourceLogs", "scopeLogs", "logRecords"],
        ["resourceMetrics", "scopeMetrics", "metrics"],
    ];
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for [resources, scopes, names] in LISTS {
            for resource in list(&request, resources) {
                for scope in list(&resource, scopes) {
                    for row in list(&scope, names) {
                        let row = json!([resource["resource"], scope["scope"], row]);
                        rows.push(row.to_string());
                    }
                }
            }
        }
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn rows_that_are_exported_can_be_sent_again() {
    let (here, there) = (up(), up());
    let (first, second) = (here.start(), there.start());
    send(&first.otlp()).await;
    // What the process itself has measured is left out.
    for (signal, query) in [
        ("traces", "service:shop OR service:bank"),
        ("logs", "service:bank"),
        ("metrics", "service:meter"),
    ] {
        let arguments = ["export", "--signal", signal, "--query", query];
        let lines = text(&arguments, &here.data_dir());
        let expected = rows(&lines);
        assert!(expected.len() >= 2, "{signal}: {lines}");
        for line in lines.lines() {
            let request: Value = serde_json::from_str(line).unwrap();
            second.otlp().export(signal, &request).await;
        }
        let again = rows(&text(&arguments, &there.data_dir()));
        assert_eq!(again, expected, "{signal}");
    }
    // From files, and into one.
    let (status, _) = first.terminate();
    assert!(status.success());
    let file = here.folder().join("spans.jsonl");
    let name = file.to_str().unwrap();
    let arguments = ["export", "--signal", "traces", "--output", name];
    assert_eq!(text(&arguments, &here.data_dir()), "");
    assert_eq!(rows(&std::fs::read_to_string(&file).unwrap()).len(), 2);
    let refused = storage(&arguments, &here.data_dir());
    assert_eq!(refused.status.code(), Some(1), "a file is not written over");
    let end = ["export", "--signal", "traces", "--end", "now-1h"];
    assert_eq!(text(&end, &here.data_dir()), "");
    for wrong in [
        ["export", "--signal", "traces", "--query", "level:"],
        ["export", "--signal", "traces", "--start", "yesterday"],
    ] {
        assert_eq!(storage(&wrong, &here.data_dir()).status.code(), Some(1));
    }
    let parquet = here.folder().join("logs.parquet");
    let name = parquet.to_str().unwrap();
    let arguments = [
        "export", "--signal", "logs", "--format", "parquet", "--output", name,
    ];
    let output = storage(&arguments, &here.data_dir());
    assert_eq!(
        output.status.success(),
        cfg!(feature = "parquet"),
        "{output:?}"
    );
    assert_eq!(parquet.exists(), cfg!(feature = "parquet"));
    if let Ok(bytes) = std::fs::read(parquet) {
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_folder_is_described_and_checked_while_it_is_open_and_at_rest() {
    let setup = up();
    let server = setup.start();
    send(&server.otlp()).await;
    let dir = setup.data_dir();
    let head = parsed(&["stat", "--json"], &dir);
    let in_log = |signal: &str| {
        let list = head["head"].as_array().unwrap().iter();
        let mut of = list.filter(|head| head["signal"] == signal);
        of.next().map(|head| head["rows"].clone())
    };
    assert_eq!(in_log("logs"), Some(json!(1_201)), "{head}");
    let report = parsed(&["verify", "--json"], &dir);
    assert_eq!(report["damaged"], false, "{report}");
    let (status, _) = server.terminate();
    assert!(status.success());

    let shown = text(&["stat"], &dir);
    for part in ["1,201", "traces", "attribute", "user", "ids", "log:"] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    let shown = text(&["verify"], &dir);
    assert!(shown.trim_end().ends_with("sound"), "{shown}");
    let path = files(&dir.join("store/default/logs"), "blocks").remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = storage(&["verify"], &dir);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(shown.starts_with("loss: store/default/logs/"), "{shown}");
    assert!(
        shown.contains(name) && shown.contains("rows are missing"),
        "{shown}"
    );
    let output = storage(&["verify", "--json"], &dir);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["damaged"], true, "{report}");

    let nothing = tempfile::tempdir().unwrap();
    for command in ["stat", "verify"] {
        let output = storage(&[command], nothing.path());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("not the data folder of a collector"),
            "{said}"
        );
    }
}

const BATCH: usize = 50;

/// Sends numbered records until it is told to stop.
async fn load(otlp: Http, acknowledged: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    for batch in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let record = |at: usize| log(now(), "numbered", &[("number", &at.to_string())]);
        let records: Vec<Value> = (batch * BATCH..(batch + 1) * BATCH).map(record).collect();
        otlp.export("logs", &logs("load", &records)).await;
        acknowledged.store((batch + 1) * BATCH, Ordering::Release);
    }
}

/// Takes a snapshot as another user of the machine would: through the program.
fn snapshot(target: &Path, data_dir: &Path) -> Value {
    parsed(&["snapshot", target.to_str().unwrap(), "--json"], data_dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_load_opens_with_everything_acknowledged_before_it() {
    // A small head, so that files are written and segments freed meanwhile.
    let config = "limits: {head_bytes: 1MiB}\nagent: {host: {enabled: false}}\n";
    let setup = tests::Setup::new(PROGRAM, "up").config(config);
    let server = setup.start();
    let (acknowledged, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let loading = load(server.otlp(), acknowledged.clone(), stop.clone());
    let loading = tokio::spawn(loading);
    for round in 0..3 {
        let more = (round + 1) * 3_000;
        let enough = async || (acknowledged.load(Ordering::Acquire) >= more).then_some(());
        wait::eventually("acknowledged records", wait::LONG, enough).await;
        let copy = tests::Setup::new(PROGRAM, "up").config(config);
        let before = acknowledged.load(Ordering::Acquire);
        let (target, from) = (copy.data_dir(), setup.data_dir());
        let taken = tokio::task::spawn_blocking(move || {
            let taken = snapshot(&target, &from);
            if round == 2 {
                for folder in [&from, &target] {
                    let checked = storage(&["verify"], folder);
                    assert!(checked.status.success(), "{checked:?}");
                }
            }
            taken
        });
        let taken = taken.await.unwrap();
        assert!(
            round == 0 || taken["linked_files"].as_u64() > Some(0),
            "{taken}"
        );
        let opened = copy.start();
        let found = opened.query().all_logs("service:load").await;
        let number = |record: &Value| -> usize {
            record["attributes"]["number"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        let mut numbers: Vec<usize> = found.iter().map(number).collect();
        numbers.sort_unstable();
        assert!(numbers.len() >= before, "{} of {before}", numbers.len());
        let each_once = numbers.iter().enumerate().all(|(at, number)| at == *number);
        assert!(each_once && numbers.len().is_multiple_of(BATCH));
    }
    stop.store(true, Ordering::Release);
    loading.await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_made_at_rest_too_and_by_who_may_alone() {
    let setup = up();
    let server = setup.start();
    send(&server.otlp()).await;
    let dir = setup.data_dir();
    // Nobody without the key.
    let internal = Http::new(&server.address("internal"));
    let target = setup.folder().join("stolen");
    let ask = internal
        .request("POST", "/admin/v1/snapshot")
        .json(&json!({"dir": target}));
    assert_eq!(ask.send().await.unwrap().status().as_u16(), 401);
    assert!(!target.exists());
    // The key is for the user of the process.
    let key = dir.join("admin.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&key).unwrap();
    let output = storage(&["snapshot", target.to_str().unwrap()], &dir);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("admin.key"));
    server.kill();

    let target = setup.folder().join("copy");
    let taken = snapshot(&target, &dir);
    assert!(taken["wal_bytes"].as_u64() > Some(128), "{taken}");
    let again = storage(&["snapshot", target.to_str().unwrap()], &dir);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let copied = text(&["export", "--signal", "logs"], &target);
    assert_eq!(rows(&copied).len(), 1_201);
}

#[test]
fn folders_that_are_kept_of_each_version_are_sound() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let folders = std::fs::read_dir(golden).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    assert!(!folders.is_empty());
    for folder in folders {
        let report = parsed(&["verify", "--json"], &folder);
        assert_eq!(report["findings"], json!([]), "{}", folder.display());
        assert!(report["checked"]["rows"].as_u64() > Some(0));
    }
}
