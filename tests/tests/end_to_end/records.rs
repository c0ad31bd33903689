//! Every form that a record of the log may have, in folders of earlier builds: see
//! `tests/golden/README.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use env::Env;
use journal::{Item, Log, Position};
use serde_json::{Value, json};
use tests::otlp_json::{SECOND, attributes, gauge, log, logs, metrics, span, traces};
use tests::{Http, Setup};

use crate::formats::{
    THEN, assert_same, copy, folders_of, has_reader, read_by_stranger, remote_write_requests,
};
use crate::limits::counted;
use crate::remote_write::post;
use crate::up;

/// What the name of such a folder ends with.
const RECORDS: &str = "records";
/// Every row of a folder, beside it: what is in it is data alone.
fn rows_of(folder: &Path) -> PathBuf {
    folder.with_extension("jsonl")
}

/// Longer than a label's value may be.
const LONG: usize = 20 << 10;

/// Sends an export as an agent does.
async fn send_stamped(port: &Http, signal: &str, export: &Value, sequence: u32, clock: bool) {
    let mut request = port
        .request("POST", &format!("/v1/{signal}"))
        .header("throughline-agent", "node-1")
        .header("throughline-epoch", "3")
        .header("throughline-sequence", sequence.to_string());
    if clock {
        request = request
            .header("throughline-clock-offset-nano", "-1500")
            .header("throughline-clock-error-nano", "40");
    }
    let answer = request.json(export).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Gauges of three series, the second of which is refused.
fn refused(name: &str) -> Value {
    let point = |value: &str, seconds: u64| {
        json!({
            "attributes": attributes(&[("key", value)]),
            "timeUnixNano": (THEN + seconds * SECOND).to_string(), "asInt": seconds.to_string(),
        })
    };
    let long = "x".repeat(LONG);
    let points = [
        point("a", 1),
        point(&long, 2),
        point("b", 3),
        point(&long, 4),
        point("a", 5),
    ];
    metrics(
        "records",
        &[json!({"name": name, "gauge": {"dataPoints": points}})],
    )
}

/// A record that says nothing of when it was.
fn undated(body: &str) -> Value {
    logs("records", &[json!({"body": {"stringValue": body}})])
}

/// A folder whose log has a record of every form, as a killed process leaves it.
async fn fill(setup: &Setup) {
    let server = setup.start();
    let first = [log(THEN, "in a file", &[])];
    server.otlp().export("logs", &logs("records", &first)).await;
    assert!(server.terminate().0.success());
    let server = setup.start();
    let port = server.otlp();
    port.export("logs", &logs("records", &[log(THEN + 1, "plain", &[])]))
        .await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let one = span(trace, "b7ad6b7169203331", "", "stamped", THEN, SECOND);
    send_stamped(&port, "traces", &traces("records", &[one]), 1, false).await;
    let late = [log(THEN + 2, "by a clock that is off", &[])];
    send_stamped(&port, "logs", &logs("records", &late), 2, true).await;
    send_stamped(&port, "metrics", &refused("of_nobody"), 3, false).await;
    send_stamped(&port, "metrics", &refused("of_an_agent"), 4, true).await;
    port.export("logs", &undated("of no time")).await;
    send_stamped(
        &port,
        "logs",
        &undated("of no time, by a clock that is off"),
        5,
        true,
    )
    .await;
    let far = u64::MAX / 2;
    let mut ahead = refused("ahead");
    let points = &mut ahead["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"];
    points["dataPoints"][0]["timeUnixNano"] = json!(far.to_string());
    send_stamped(&port, "metrics", &ahead, 6, true).await;
    let begin_ms = i64::try_from(THEN / 1_000_000).unwrap();
    for (content_type, body) in remote_write_requests(begin_ms) {
        let answer = post(&port, content_type, body).await;
        assert!([204, 400].contains(&answer.status().as_u16()));
    }
    port.export("metrics", &metrics("records", &[gauge("last", THEN, 1.0)]))
        .await;
    server.kill();
}

/// The first byte of each record: the version of a batch, or 255 of a checkpoint.
fn forms(folder: &Path) -> BTreeSet<u8> {
    let log = Log::open(&Env::real(), &folder.join("wal"), Position::START).unwrap();
    let mut forms = BTreeSet::new();
    log.each(&mut |item| {
        if let Item::Record { payload, .. } = item {
            forms.insert(payload[0]);
        }
        true
    })
    .unwrap();
    forms
}

#[tokio::test]
async fn records_of_every_form_are_read() {
    let folders: Vec<PathBuf> = folders_of(|name| name.ends_with(RECORDS));
    let mut seen = BTreeSet::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        seen.extend(forms(&folder));
        let rows = std::fs::read_to_string(rows_of(&folder)).unwrap();
        let rows: Vec<String> = rows.lines().map(str::to_owned).collect();
        if has_reader() {
            assert_same(&read_by_stranger(&folder), &rows, &name);
        }
        // Replayed and written to files, they are the same rows.
        let setup = up();
        copy(&folder, &setup.data_dir());
        let server = setup.start();
        for counter in ["wal_malformed_records_total", "wal_lost_bytes_total"] {
            let line = format!("throughline_storage_{counter}");
            assert_eq!(
                counted(&server.query(), &line).await,
                Some(0.0),
                "{name}: {line}"
            );
        }
        assert_eq!(
            server.query().all_logs("\"of no time\"").await.len(),
            2,
            "{name}"
        );
        assert!(server.terminate().0.success());
        if has_reader() {
            assert_same(&read_by_stranger(&setup.data_dir()), &rows, &name);
        }
    }
    // Each part that a record may have, alone or with others, and the checkpoint.
    for part in 0..4 {
        let has = |version: &u8| *version < 255 && (version - 1) >> part & 1 == 1;
        assert!(seen.iter().any(has), "{part} in {seen:?}");
    }
    assert!(seen.contains(&1) && seen.contains(&255), "{seen:?}");
}

/// See `tests/golden/README.md`.
#[tokio::test]
#[ignore = "writes a folder for the repository: THROUGHLINE_GOLDEN=2-records cargo test -p tests --test end_to_end make_golden_records -- --ignored"]
async fn make_golden_records_of_this_build() {
    let name = std::env::var("THROUGHLINE_GOLDEN").expect("THROUGHLINE_GOLDEN names the folder");
    assert!(name.ends_with(RECORDS) && has_reader());
    let setup = up();
    fill(&setup).await;
    let folder = crate::formats::keep(&setup, &name);
    let rows = read_by_stranger(&folder);
    std::fs::write(rows_of(&folder), rows.join("\n") + "\n").unwrap();
}
