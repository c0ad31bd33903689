//! Data folders are read by more than the build that wrote them: by later builds, and by a reader
//! that was written from docs/formats alone.
//!
//! `tests/golden/` holds folders of earlier builds, each with what was sent to it. How one is
//! made is said there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::remote_write::{
    Exemplar, Histogram, MetricMetadata, Sample, Span, TimeSeries, WriteRequest, block, labels,
    one, version_2,
};
use tests::otlp_json::{SECOND, attributes, log, now, span};
use tests::{Http, Setup};

use crate::limits::counted;
use crate::read_back::{TRACE, every_type, export, log_export};
use crate::remote_write::{STALE, VERSION_2, post};
use crate::up;

/// Members of which OTLP says whether they are there, whatever they hold.
const EXPLICIT: [&str; 18] = [
    "stringValue",
    "boolValue",
    "intValue",
    "doubleValue",
    "arrayValue",
    "kvlistValue",
    "bytesValue",
    "asInt",
    "asDouble",
    "sum",
    "min",
    "max",
    "positive",
    "negative",
    "status",
    "gauge",
    "histogram",
    "exponentialHistogram",
];
/// Rows of the signals that fill several blocks.
const MANY: u64 = 4_200;

/// An export and its signal.
type Sent = (&'static str, Value);

/// Without members that hold their default.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(pruned).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter_map(|(name, member)| {
                let member = pruned(member);
                let is_default = match &member {
                    Value::Null => true,
                    Value::Bool(flag) => !flag,
                    Value::Number(number) => number.as_f64() == Some(0.0),
                    Value::String(text) => text.is_empty() || text == "0",
                    Value::Array(items) => items.is_empty(),
                    Value::Object(members) => members.is_empty(),
                };
                let keep = !is_default || EXPLICIT.contains(&name.as_str()) || name == "summary";
                keep.then(|| (name.clone(), member))
            });
            // In the order of their names, whatever order they came in.
            Value::Object(kept.collect::<BTreeMap<_, _>>().into_iter().collect())
        }
        other => other.clone(),
    }
}

fn list<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    value[member].as_array().into_iter().flatten()
}

/// Each row of an export with its envelope, a metric once for each of its points.
fn rows(signal: &str, export: &Value) -> Vec<String> {
    let (resources, scopes, row) = match signal {
        "traces" => ("resourceSpans", "scopeSpans", "spans"),
        "logs" => ("resourceLogs", "scopeLogs", "logRecords"),
        _ => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let mut out = Vec::new();
    for outer in list(export, resources) {
        for inner in list(outer, scopes) {
            let ones = list(inner, row).flat_map(|row| match signal {
                "metrics" => points(row),
                _ => vec![row.clone()],
            });
            out.extend(ones.map(|row| {
                let row = json!({
                    "signal": signal,
                    "resource": outer["resource"],
                    "resourceSchemaUrl": outer["schemaUrl"],
                    "scope": inner["scope"],
                    "scopeSchemaUrl": inner["schemaUrl"],
                    "row": row,
                });
                pruned(&row).to_string()
            }));
        }
    }
    out
}

fn points(metric: &Value) -> Vec<Value> {
    let kinds = [
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
    ];
    let kind = kinds.iter().find(|kind| metric[**kind].is_object());
    let kind = kind.expect("a metric has data");
    let one = |point: &Value| {
        let mut metric = metric.clone();
        metric[*kind]["dataPoints"] = json!([point]);
        metric
    };
    list(&metric[*kind], "dataPoints").map(one).collect()
}

/// Every row that was sent, sorted.
fn all_rows(sent: &[Sent]) -> Vec<String> {
    let rows = sent
        .iter()
        .flat_map(|(signal, export)| rows(signal, export));
    sorted(rows.collect())
}

/// Sorted, without what the collector itself measured.
fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.retain(|row| !row.contains("throughline.spanmetrics"));
    rows.sort_unstable();
    rows
}

pub(crate) fn assert_same(found: &[String], sent: &[String], what: &str) {
    let odd = found.iter().zip(sent).find(|(found, sent)| found != sent);
    if let Some((found, sent)) = odd {
        panic!("{what}:\n found {found}\n sent  {sent}");
    }
    assert_eq!(found.len(), sent.len(), "{what}");
}

/// Points of every kind, with all that they can have.
fn metric_export(start: u64) -> Value {
    let exemplar = json!({
        "filteredAttributes": [{"key": "user", "value": {"intValue": "7"}}],
        "timeUnixNano": (start + 3).to_string(), "asDouble": 0.25,
        "spanId": "b7ad6b7169203331", "traceId": TRACE,
    });
    let whole = json!({
        "timeUnixNano": (start + 2 * SECOND).to_string(), "asInt": "-5", "flags": 1,
        "exemplars": [{"timeUnixNano": start.to_string(), "asInt": "0"}],
    });
    let at = |seconds: u64, member: &str, value: Value| {
        json!({
            "attributes": every_type(), "startTimeUnixNano": start.to_string(),
            "timeUnixNano": (start + seconds * SECOND).to_string(), member: value,
        })
    };
    let buckets = json!({
        "attributes": attributes(&[("route", "/")]), "startTimeUnixNano": start.to_string(),
        "timeUnixNano": (start + SECOND).to_string(), "count": "3", "sum": 1.5,
        "bucketCounts": ["1", "0", "2"], "explicitBounds": [0.5, 1.0], "min": 0.0, "max": 1.25,
        "exemplars": [exemplar],
    });
    let none = json!({"timeUnixNano": (start + SECOND).to_string(), "count": "2"});
    let exponential = json!({
        "timeUnixNano": (start + SECOND).to_string(), "count": "9", "sum": -4.5, "scale": -2,
        "zeroCount": "1", "positive": {"offset": -3, "bucketCounts": ["1", "2", "300"]},
        "negative": {}, "min": -2.5, "max": 8.0, "zeroThreshold": 0.125,
    });
    let quantiles = json!({
        "timeUnixNano": (start + SECOND).to_string(), "count": "4", "sum": 2.0,
        "quantileValues": [{"quantile": 0.5, "value": 0.25}, {"quantile": 0.99, "value": "NaN"}],
    });
    let many: Vec<Value> = (0..300u64)
        .map(|n| {
            json!({
                "attributes": attributes(&[("host", &format!("h{}", n % 3))]),
                "timeUnixNano": (start + n * 15 * SECOND).to_string(),
                "asDouble": f64::from(u32::try_from(n * n % 1_000).unwrap()) / 8.0,
            })
        })
        .collect();
    json!({"resourceMetrics": [{
        "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
        "resource": {
            "attributes": attributes(&[("service.name", "measured")]),
            "entityRefs": [{
                "schemaUrl": "https://example.com/entity", "type": "service",
                "idKeys": ["service.name"], "descriptionKeys": ["service.version"],
            }],
        },
        "scopeMetrics": [{"scope": {"name": "library"}, "metrics": [
            {"name": "g", "unit": "By", "description": "a gauge", "metadata": every_type(),
             "gauge": {"dataPoints": [at(1, "asDouble", json!("NaN")), at(2, "asInt", json!("0")), {
                "timeUnixNano": (start + SECOND).to_string(), "flags": 1,
             }]}},
            {"name": "s", "sum": {
                "aggregationTemporality": 1, "isMonotonic": true,
                "dataPoints": [at(1, "asInt", json!("9223372036854775807")), whole],
            }},
            {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [buckets, none]}},
            {"name": "e", "exponentialHistogram": {
                "aggregationTemporality": 1, "dataPoints": [exponential],
            }},
            {"name": "q", "summary": {"dataPoints": [quantiles]}},
            {"name": "many", "gauge": {"dataPoints": many}},
        ]}],
    }]})
}

/// Enough rows for files of several blocks, with every kind of variable in their text.
fn many(start: u64) -> Vec<Sent> {
    let text = |n: u64| match n % 6 {
        0 => format!("GET /cart/{n} took {}.{:03} ms", n % 17, n % 1_000),
        1 => format!(
            "balance {} of {:08x}",
            5_000 - 3 * i64::try_from(n).unwrap(),
            n * 2_654_435_761 % (1 << 32)
        ),
        2 => format!(
            "order 0af76519-16cd-43dd-8448-{:012x} is {:05}",
            n * 7_919,
            n
        ),
        3 => "cache miss".to_owned(),
        4 => format!(
            "user u{} says \"{}\"",
            n % 97,
            "ü".repeat(usize::try_from(n % 5).unwrap())
        ),
        _ => format!("{:X} at 10.0.{}.{}", n * 48_271 % 65_521, n % 7, n % 251),
    };
    let records: Vec<Value> = (0..MANY)
        .map(|n| {
            log(
                start + n * 1_000_000,
                &text(n),
                &[("item", &format!("i{n}")), ("half", &format!("{}", n % 2))],
            )
        })
        .collect();
    let spans: Vec<Value> = (0..MANY)
        .map(|n| {
            let trace = format!("{:032x}", 0xabc0_0000 + n / 3);
            let id = |n: u64| format!("{:016x}", 0x1000 + n);
            let parent = if n % 3 == 0 { String::new() } else { id(n - 1) };
            let name = ["GET /", "charge", "query"][usize::try_from(n % 3).unwrap()];
            span(
                &trace,
                &id(n),
                &parent,
                name,
                start + n * 1_000_000,
                1_000 + n % 13,
            )
        })
        .collect();
    vec![
        ("logs", tests::otlp_json::logs("many", &records)),
        ("traces", tests::otlp_json::traces("many", &spans)),
    ]
}

/// What goes into files, and what stays in the log.
fn material(start: u64) -> [Vec<Sent>; 2] {
    let mut first = many(start);
    first.push(("traces", export(start)));
    first.push(("logs", log_export(start)));
    first.push(("metrics", metric_export(start)));
    let later = start + 7_200 * SECOND;
    // The same span on another trace: one trace is asked for as a whole.
    let other = export(later)
        .to_string()
        .replace(TRACE, &TRACE.replace("0af7", "1af7"));
    let last = vec![
        ("traces", serde_json::from_str(&other).unwrap()),
        ("logs", log_export(later)),
        ("metrics", metric_export(later)),
    ];
    [first, last]
}

/// A data folder with rows in files and in the log, as a killed process leaves it.
async fn fill(setup: &Setup, parts: &[Vec<Sent>; 2]) {
    for (number, part) in parts.iter().enumerate() {
        let server = setup.start();
        for (signal, export) in part {
            server.otlp().export(signal, export).await;
        }
        if number == 0 {
            let (status, _) = server.terminate();
            assert!(status.success(), "{status}");
        } else {
            server.kill();
        }
    }
}

/// The same, with what is in files merged: those of each signal's day have become one.
async fn fill_merged(setup: &Setup, parts: &[Vec<Sent>; 2]) {
    let [mut first, last] = parts.clone();
    let mut in_log = last;
    let metrics = in_log.pop().unwrap();
    let second = first.split_off(2);
    first.push(second[2].clone());
    let second = [second[0].clone(), second[1].clone(), metrics];
    for part in [&first[..], &second] {
        let server = setup.start();
        for (signal, export) in part {
            server.otlp().export(signal, export).await;
        }
        let (status, _) = server.terminate();
        assert!(status.success(), "{status}");
    }
    let server = setup.start();
    let data = setup.data_dir();
    tests::wait::eventually("merged files", tests::wait::LONG, async || {
        let merged = ["traces", "logs", "metrics"].map(|signal| {
            let days = std::fs::read_dir(data.join("store/default").join(signal)).unwrap();
            // What the collector itself measured is of today, and not merged yet.
            let day = days.map(|day| day.unwrap().path()).min().unwrap();
            let names = std::fs::read_dir(day).unwrap();
            let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
            let blocks: Vec<String> = names.filter(|name| name.ends_with(".blocks")).collect();
            matches!(&blocks[..], [one] if one.contains('-'))
        });
        (merged == [true; 3]).then_some(())
    })
    .await;
    for (signal, export) in &in_log {
        server.otlp().export(signal, export).await;
    }
    server.kill();
}

/// All that the program finds, in OTLP's shape.
async fn asked(query: &Http, sent: &[Sent]) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = [("order", "oldest"), ("limit", "5000"), ("cursor", &cursor)];
        let answer = query.get("/api/v1/logs/records", &page).await;
        found.extend(rows("logs", &answer));
        match answer["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let answer = query
        .get("/api/v1/metrics/points", &[("limit", "10000")])
        .await;
    found.extend(rows("metrics", &answer));
    // Of traces the odd ones, and some of the many.
    let mut traces: BTreeMap<String, usize> = BTreeMap::new();
    for (_, export) in sent.iter().filter(|(signal, _)| *signal == "traces") {
        for row in rows("traces", export) {
            let row: Value = serde_json::from_str(&row).unwrap();
            *traces
                .entry(row["row"]["traceId"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    }
    for (trace, count) in traces.iter().step_by(100) {
        assert_eq!(query.trace_spans(trace).await.len(), *count, "{trace}");
    }
    let answer = query
        .get(
            "/api/v1/traces",
            &[("q", "service:many"), ("limit", "2000")],
        )
        .await;
    assert_eq!(
        answer["traces"].as_array().unwrap().len(),
        traces.len() - 2,
        "{}",
        answer["cut"]
    );
    // By words and values that one block has, and such that all have.
    for (search, count) in [
        ("item:i4100", 1),
        ("service:many \"cache miss\"", MANY / 6),
        ("half:1 service:many", MANY / 2),
    ] {
        let records = query.all_logs(search).await;
        assert_eq!(records.len() as u64, count, "{search}");
    }
    sorted(found)
}

/// What the reader in `tests/reader` prints for a data folder.
pub(crate) fn read_by_stranger(data: &Path) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader/read_data_folder.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(data)
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let rows = lines.map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        let members = row.as_object_mut().unwrap();
        assert_eq!(members.remove("tenant").unwrap(), "default");
        members.remove("from");
        pruned(&row).to_string()
    });
    sorted(rows.collect())
}

/// Whether this machine can run that reader.
pub(crate) fn has_reader() -> bool {
    let script = "import sys; sys.path.insert(0, sys.argv[1]); import checksum; sys.exit(not checksum.can_unzstd())";
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader");
    let run = Command::new("python3")
        .args(["-B", "-c", script])
        .arg(reader)
        .status();
    run.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_reader_made_from_the_documents_finds_every_row() {
    if !has_reader() {
        eprintln!("python3 or zstd is not there");
        return;
    }
    let setup = up();
    let parts = material(now() - now() % (86_400 * SECOND) + SECOND);
    fill(&setup, &parts).await;
    let found = read_by_stranger(&setup.data_dir());
    assert_same(&found, &all_rows(&parts.concat()), "read by a stranger");
}

#[tokio::test]
async fn a_reader_made_from_the_documents_finds_every_row_of_merged_files() {
    if !has_reader() {
        eprintln!("python3 or zstd is not there");
        return;
    }
    let setup = up();
    let day = 86_400 * SECOND;
    let parts = material(now() - now() % day - 2 * day + SECOND);
    fill_merged(&setup, &parts).await;
    let found = read_by_stranger(&setup.data_dir());
    assert_same(&found, &all_rows(&parts.concat()), "merged files");
}

/// Requests of remote write, of both versions, with everything that one can hold.
pub(crate) fn remote_write_requests(begin_ms: i64) -> [(&'static str, Vec<u8>); 3] {
    let series = |name: &'static str, count: i64| TimeSeries {
        labels: labels(&[("__name__", name), ("instance", "a:1"), ("job", "x/y")]),
        samples: (0..count)
            .map(|n| Sample {
                value: if n == 7 {
                    STALE
                } else {
                    f64::from(n as i32) / 4.0
                },
                timestamp: begin_ms + n * 15_000,
                start_timestamp: 0,
            })
            .collect(),
        ..TimeSeries::default()
    };
    let exemplar = |pairs: &[(&str, &str)]| Exemplar {
        labels: labels(pairs),
        value: 0.25,
        timestamp: begin_ms + 3,
    };
    let mut with_exemplars = series("orders", 600);
    with_exemplars.exemplars = vec![exemplar(&[("traceID", TRACE), ("k", "v")]), exemplar(&[])];
    let mut histograms = series("sizes", 0);
    histograms.histograms = native_histograms(begin_ms);
    histograms.exemplars = vec![exemplar(&[("span_id", "b7ad6b7169203331")])];
    // One that is not sorted, and one that does not fit: the rest is stored.
    let unsorted = one(&[("b", "1"), ("__name__", "wrong")], begin_ms, 1.0);
    let mut unsound = series("unsound", 1);
    unsound.histograms = native_histograms(begin_ms);
    unsound.histograms[0].positive_deltas.pop();
    let strange = [("__name__", "alone"), ("ünï", "\u{1f980}")];
    let request = WriteRequest {
        timeseries: vec![
            with_exemplars,
            one(&strange, begin_ms, f64::INFINITY),
            histograms,
            unsorted,
            unsound,
            series("orders", 3),
        ],
        metadata: vec![MetricMetadata {
            kind: 1,
            metric_family_name: "orders".to_owned(),
            help: "Orders.".to_owned(),
            unit: "1".to_owned(),
        }],
    };
    let later = WriteRequest {
        timeseries: vec![series("later", 20)],
        metadata: vec![],
    };
    let later = version_2(&later, Some((1, "Later.", "s")));
    [
        ("application/x-protobuf", block(&request)),
        (VERSION_2, block(&later)),
        (VERSION_2, block(&version_2(&request, None))),
    ]
}

/// One of whole counts, one of float counts, and one with bounds of its own that ends its series.
fn native_histograms(begin_ms: i64) -> Vec<Histogram> {
    let span = |offset, length| Span { offset, length };
    let whole = Histogram {
        count_int: Some(9),
        sum: 20.25,
        schema: 2,
        zero_threshold: 0.001,
        zero_count_int: Some(2),
        positive_spans: vec![span(1, 2), span(0, 1)],
        positive_deltas: vec![3, -1, 0],
        negative_spans: vec![span(-7, 1)],
        negative_deltas: vec![2],
        reset_hint: 1,
        timestamp: begin_ms + 1_000,
        ..Histogram::default()
    };
    let float = Histogram {
        count_int: None,
        count_float: Some(9.5),
        zero_count_int: None,
        zero_count_float: Some(1.5),
        positive_deltas: vec![],
        positive_counts: vec![3.5, 0.0, 1.0],
        negative_deltas: vec![],
        negative_counts: vec![2.0],
        reset_hint: 3,
        ..whole.clone()
    };
    let custom = Histogram {
        sum: STALE,
        schema: -53,
        negative_spans: vec![],
        negative_deltas: vec![],
        custom_values: vec![0.5, 1.0, 2.5],
        reset_hint: 2,
        ..whole.clone()
    };
    vec![whole, float, custom]
}

/// What the log holds as it came, and the files that are made of it, are the same to that reader.
#[tokio::test]
async fn a_reader_made_from_the_documents_finds_what_remote_write_brought() {
    if !has_reader() {
        eprintln!("python3 or zstd is not there");
        return;
    }
    let setup = up();
    let server = setup.start();
    let begin_ms = i64::try_from(now() / 1_000_000).unwrap() - 4 * 3_600_000;
    for (content_type, body) in remote_write_requests(begin_ms) {
        let response = post(&server.otlp(), content_type, body).await;
        assert!([204, 400].contains(&response.status().as_u16()));
    }
    server.kill();
    let brought = || -> Vec<String> {
        let rows = read_by_stranger(&setup.data_dir()).into_iter();
        rows.filter(|row| row.contains("prometheus.type")).collect()
    };
    let in_log = brought();
    // Both requests of series with samples, those of one each too, and a family.
    let samples = 600 + 1 + 1 + 3 + 1;
    let (histograms, exemplars) = (3 + 2, 2 + 1);
    assert_eq!(
        in_log.len(),
        2 * (samples + histograms + exemplars) + 20 + 1
    );
    for text in ["\"floatCounts\":true", TRACE, "prometheus.family", "Later."] {
        assert!(in_log.iter().any(|row| row.contains(text)), "{text}");
    }
    let (status, _) = setup.start().terminate();
    assert!(status.success());
    assert_same(&brought(), &in_log, "remote write in files and in the log");
}

/// The folders of earlier builds whose names are wanted.
pub(crate) fn folders_of(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// When everything in the folders of earlier builds happened.
pub(crate) const THEN: u64 = 1_768_435_200 * SECOND;

#[tokio::test]
async fn folders_of_earlier_builds_are_read_whole_and_added_to() {
    for folder in folders_of(|name| !name.ends_with("records")) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let sent = material(THEN).concat();
        if has_reader() {
            assert_same(&read_by_stranger(&folder), &all_rows(&sent), &name);
        }
        let setup = up();
        copy(&folder, &setup.data_dir());
        let server = setup.start();
        let asked_of: Vec<String> = all_rows(&sent);
        let asked_of: Vec<String> = asked_of
            .into_iter()
            .filter(|row| !row.contains("\"signal\":\"traces\""))
            .collect();
        assert_same(&asked(&server.query(), &sent).await, &asked_of, &name);
        // It goes on: what is new is beside what is old, also in files.
        let new = log(THEN + SECOND, "written later", &[]);
        server
            .otlp()
            .export("logs", &tests::otlp_json::logs("later", &[new]))
            .await;
        server.terminate();
        let server = setup.start();
        assert_eq!(server.query().all_logs("\"written later\"").await.len(), 1);
        assert_eq!(
            server.query().all_logs("item:i4100").await.len(),
            1,
            "{name}"
        );
        for counter in [
            "damaged_files_total",
            "damaged_blocks_total",
            "unreadable_indexes",
            "unreadable_tables",
        ] {
            let line = format!("throughline_storage_{counter}");
            assert_eq!(
                counted(&server.query(), &line).await,
                Some(0.0),
                "{name}: {line}"
            );
        }
    }
}

/// See `tests/golden/README.md`.
#[tokio::test]
#[ignore = "writes a folder for the repository: THROUGHLINE_GOLDEN=NAME cargo test -p tests --test end_to_end make_a_golden -- --ignored"]
async fn make_a_golden_folder_of_this_build() {
    let name = std::env::var("THROUGHLINE_GOLDEN").expect("THROUGHLINE_GOLDEN names the folder");
    let setup = up();
    if name.ends_with("merged") {
        fill_merged(&setup, &material(THEN)).await;
    } else {
        fill(&setup, &material(THEN)).await;
    }
    keep(&setup, &name);
}

/// Keeps a data folder in the repository, and returns where.
pub(crate) fn keep(setup: &Setup, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    for part in ["store", "wal"] {
        copy(&setup.data_dir().join(part), &folder.join(part));
    }
    // Space that the log had reserved is zeroes, of which some are as good as all.
    for entry in std::fs::read_dir(folder.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len((end as u64).next_multiple_of(4_096)).unwrap();
    }
    folder
}
