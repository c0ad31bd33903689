//! Days, partitions and their indexes: how many there are, and what they must never hide.

use std::collections::HashMap;
use std::path::PathBuf;

use model::time::NANOS_PER_DAY;
use model::{LogRecord, Signal, Tenant, TraceId};
use tempfile::{TempDir, tempdir};

use crate::filter::{Field, Filter};
use crate::flush::DAYS_MAX;
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
