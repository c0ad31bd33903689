//! Days, partitions and their indexes: how many there are, and what they must never hide.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use model::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use model::{KeyValue, LogRecord, Signal, Span, Tenant, TimeRange, TraceId, Value};
use tempfile::{TempDir, tempdir};

use super::counted;
use crate::filter::{Field, Filter, Level, Op, Operand};
use crate::flush::DAYS_MAX;
use crate::message::*;
use crate::testing::*;
use crate::{Options, Store};

fn open_small_blocks(dir: &TempDir) -> Store {
    let options = Options {
        block_rows: 16,
        // Some rows are of days to come.
        time_ahead: std::time::Duration::from_secs(100 * 365 * 86_400),
        ..Options::default()
    };
    open_with(dir.path(), options)
}

fn days(dir: &TempDir) -> Vec<PathBuf> {
    let signal = dir.path().join("store").join(Tenant::default().as_str());
    let entries = std::fs::read_dir(signal.join("logs")).unwrap();
    let mut days: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    days.sort();
    days
}

/// Records of one day. Each trace has a few of them, in blocks of their own and in shared ones.
fn records(generator: &mut Generator, count: u64) -> Vec<LogRecord> {
    let record = |n| LogRecord {
        time_unix_nano: BASE + n,
        trace_id: Some(generator.trace_id()),
        ..generator.log()
    };
    (0..count).map(record).collect()
}

/// Every record is found by its trace, which the index has to know.
async fn assert_found_by_trace(store: &Store, sent: &[LogRecord]) {
    let mut by_trace: HashMap<TraceId, Vec<LogRecord>> = HashMap::new();
    for record in sent {
        let records = by_trace.entry(record.trace_id.unwrap()).or_default();
        records.push(record.clone());
    }
    for (trace, expected) in by_trace {
        let filter = Filter::text_equals(Field::TraceId, trace.to_string());
        let found = logs(store, selection(Signal::Logs, filter)).await;
        assert!(plain_logs(found) == plain_logs(expected));
    }
}

#[tokio::test]
async fn rows_of_a_thousand_days_lie_in_a_bounded_number_of_partitions() {
    let dir = tempdir().unwrap();
    let store = open_small_blocks(&dir);
    let mut generator = Generator::new(21);
    let mut sent = records(&mut generator, 1_000);
    for (day, record) in sent.iter_mut().enumerate() {
        // Ten records a day for the last hundred days, one for those before.
        let day = if day < 900 { day } else { 900 + day % 10 };
        record.time_unix_nano = BASE + day as u64 * NANOS_PER_DAY;
    }
    write(&store, Signal::Logs, &sent).await.unwrap();
    store.flush().await;
    let days = days(&dir);
    assert_eq!(days.len(), DAYS_MAX);
    // Frequent days are kept apart, and the rare ones go to the last of them.
    let newest = days.last().unwrap().file_name().unwrap();
    assert_eq!(
        newest,
        crate::partition::day_name(crate::partition::day_of(BASE) + 909).as_str()
    );
    drop(store);
    let store = open_small_blocks(&dir);
    let found = logs(&store, selection(Signal::Logs, Filter::All)).await;
    assert!(plain_logs(found) == plain_logs(sent.clone()));
    assert_found_by_trace(&store, &sent).await;
}

#[tokio::test]
async fn a_file_of_one_block_needs_no_index() {
    let dir = tempdir().unwrap();
    let store = open_small_blocks(&dir);
    let mut generator = Generator::new(22);
    let mut sent = records(&mut generator, 10);
    write(&store, Signal::Logs, &sent).await.unwrap();
    store.flush().await;
    assert!(!days(&dir)[0].join("index").exists());
    assert_found_by_trace(&store, &sent).await;
    // One of several blocks does, and what was before it is found all the same.
    let more = records(&mut generator, 90);
    write(&store, Signal::Logs, &more).await.unwrap();
    store.flush().await;
    assert!(days(&dir)[0].join("index").exists());
    sent.extend(more);
    assert_found_by_trace(&store, &sent).await;
}

#[tokio::test]
async fn an_index_that_was_lost_hides_nothing() {
    let dir = tempdir().unwrap();
    let store = open_small_blocks(&dir);
    let mut generator = Generator::new(23);
    let mut sent: Vec<LogRecord> = Vec::new();
    for _ in 0..2 {
        let more = records(&mut generator, 60);
        write(&store, Signal::Logs, &more).await.unwrap();
        store.flush().await;
        sent.extend(more);
    }
    drop(store);
    std::fs::remove_dir_all(days(&dir)[0].join("index")).unwrap();
    let store = open_small_blocks(&dir);
    assert_found_by_trace(&store, &sent).await;
    // The next flush begins a new one, which does not know the files before.
    let more = records(&mut generator, 60);
    write(&store, Signal::Logs, &more).await.unwrap();
    store.flush().await;
    sent.extend(more);
    assert_found_by_trace(&store, &sent).await;
    drop(store);
    assert_found_by_trace(&open_small_blocks(&dir), &sent).await;
}

/// Changes a byte in the middle of each file with this extension.
fn damage(dir: &Path, extension: &str) {
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|of| of == extension))
        .collect();
    assert!(!files.is_empty());
    for path in files {
        let mut content = std::fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 0xff;
        std::fs::write(&path, content).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_index_that_someone_removes_stops_no_flush() {
    let dir = tempdir().unwrap();
    let store = open_small_blocks(&dir);
    let mut generator = Generator::new(24);
    let mut sent = records(&mut generator, 60);
    write(&store, Signal::Logs, &sent).await.unwrap();
    store.flush().await;
    drop(store);
    let index = days(&dir)[0].join("index");
    damage(&index, "term");
    let store = open_small_blocks(&dir);
    assert_found_by_trace(&store, &sent).await;
    assert_eq!(counted(&store, "unreadable_indexes"), 1.0);
    std::fs::remove_dir_all(&index).unwrap();
    let more = records(&mut generator, 60);
    write(&store, Signal::Logs, &more).await.unwrap();
    store.flush().await;
    assert_eq!(counted(&store, "flush_errors_total"), 0.0);
    assert_eq!(counted(&store, "unreadable_indexes"), 0.0);
    sent.extend(more);
    assert_found_by_trace(&store, &sent).await;
}

#[tokio::test]
async fn large_whole_numbers_are_found_however_they_are_written() {
    let dir = tempdir().unwrap();
    let store = open_small_blocks(&dir);
    let numbers: [i64; 5] = [1_000, 10i64.pow(15), 10i64.pow(16), -(10i64.pow(18)), 7];
    let record = |number: &i64| LogRecord {
        time_unix_nano: BASE,
        attributes: vec![KeyValue::new("number", *number)],
        ..LogRecord::default()
    };
    let sent: Vec<LogRecord> = numbers.iter().map(record).collect();
    write(&store, Signal::Logs, &sent).await.unwrap();
    store.flush().await;
    let asked = [
        (Operand::Literal("1e3".to_owned()), 1_000),
        (Operand::Double(1e15), 10i64.pow(15)),
        (Operand::Double(1e16), 10i64.pow(16)),
        (Operand::Literal("1e16".to_owned()), 10i64.pow(16)),
        (
            Operand::Literal("10000000000000000.0".to_owned()),
            10i64.pow(16),
        ),
        (Operand::Literal("-1e18".to_owned()), -(10i64.pow(18))),
        (Operand::Int(7), 7),
    ];
    for (value, number) in asked {
        let filter = Filter::Compare {
            field: Field::Attribute {
                level: Level::Any,
                key: "number".to_owned(),
            },
            op: Op::Eq,
            value: value.clone(),
        };
        let found = logs(&store, selection(Signal::Logs, filter)).await;
        let found: Vec<&Value> = found.iter().map(|log| &log.attributes[0].value).collect();
        assert_eq!(found, [&Value::Int(number)], "{value:?}");
    }
}

#[tokio::test]
async fn a_file_that_does_not_read_is_named_wherever_its_rows_may_be() {
    const HOUR: u64 = 3_600 * NANOS_PER_SECOND;
    /// Rows lie on the day before.
    const MIDNIGHT: u64 = BASE + 2 * HOUR;
    let dir = tempdir().unwrap();
    let store = open_small_blocks(&dir);
    let mut generator = Generator::new(25);
    let span = Span {
        start_unix_nano: MIDNIGHT - HOUR,
        end_unix_nano: MIDNIGHT + HOUR,
        ..generator.span()
    };
    write(&store, Signal::Traces, &[span]).await.unwrap();
    let (series, mut point) = generator.point();
    point.time_unix_nano = MIDNIGHT - HOUR;
    write(&store, Signal::Metrics, &[(series, point)])
        .await
        .unwrap();
    store.flush().await;
    drop(store);
    for signal in ["traces", "metrics"] {
        let folder = dir.path().join("store/default").join(signal);
        let file = folder.join("2026-01-01/0000000000000001.blocks");
        let content = std::fs::read(&file).unwrap();
        std::fs::write(&file, &content[..content.len() / 2]).unwrap();
    }
    let store = open_small_blocks(&dir);
    let (before, after) = (
        TimeRange {
            start: BASE - 90 * NANOS_PER_DAY,
            end: BASE - 80 * NANOS_PER_DAY,
        },
        TimeRange {
            start: MIDNIGHT,
            end: MIDNIGHT + 2 * HOUR,
        },
    );
    let rows = |signal, range| Request::Rows {
        selection: Selection {
            range,
            ..selection(signal, Filter::All)
        },
        order: Order::Oldest,
        limit: 100,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let samples = |range: TimeRange| Request::Samples {
        tenant: Tenant::default(),
        range,
        deltas_since: range.start,
        foreseen: 1_000,
        matchers: Vec::new(),
        rollup: Rollup::EVERYTHING,
        samples: 100,
        limit: 100,
        share: SeriesShare::ALL,
    };
    let named = async |request| {
        let (_, summary) = ask(&store, request).await.unwrap();
        summary.cuts.iter().any(|cut| cut.limit == "damage")
    };
    // The span reaches in; points of a clock that was ahead and rows of rare days could.
    for range in [before, after] {
        assert!(named(rows(Signal::Traces, range)).await);
        assert!(named(samples(range)).await);
        assert!(!named(rows(Signal::Logs, range)).await);
    }
    // One old file does not stop the rules for good.
    let days_later = TimeRange {
        start: MIDNIGHT + 3 * NANOS_PER_DAY,
        end: MIDNIGHT + 4 * NANOS_PER_DAY,
    };
    assert!(!named(samples(days_later)).await);
}
