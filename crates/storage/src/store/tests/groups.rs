//! Requests that share a sync, and those that come while files are written: none is acknowledged
//! before it is durable, and none goes from the log before it is in files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use futures::future::join4;
use model::{LogRecord, Signal, Value};
use parking_lot::Mutex;
use testkit::{Failure, FaultFiles, MemoryFiles, Op, Plan};

use super::counted;
use crate::filter::Filter;
use crate::testing::*;
use crate::write::{Stamp, WriteError};
use crate::{Options, Store};

/// Bytes of a segment of the log.
const SEGMENT_BYTES: usize = 64 << 10;

fn open(files: &FaultFiles) -> Store {
    let (env, _) = testkit::env(5, Arc::new(files.clone()));
    let options = Options {
        wal_bytes: 8 * SEGMENT_BYTES as u64,
        background_merges: false,
        ..Options::default()
    };
    let dir = PathBuf::from("/data");
    Store::open(env, &dir, options, Arc::new(TestDecoder)).unwrap()
}

/// No blocks file is made until the sender sends.
fn hold_flushes(files: &FaultFiles) -> Sender<()> {
    let (release, released) = channel();
    let released = Mutex::new(Some(released));
    files.watch(move |change| {
        let is_first = change.op == Op::Create && change.path.to_string_lossy().ends_with("blocks");
        let released = is_first.then(|| released.lock().take()).flatten();
        if let Some(released) = released {
            released.recv().unwrap();
        }
    });
    release
}

fn record(generator: &mut Generator, bytes: usize) -> LogRecord {
    LogRecord {
        time_unix_nano: BASE,
        body: Value::Str("x".repeat(bytes)),
        has_empty_body: false,
        ..generator.log()
    }
}

async fn all(store: &Store) -> Vec<Vec<u8>> {
    plain_logs(logs(store, selection(Signal::Logs, Filter::All)).await)
}

#[tokio::test]
async fn a_repeat_is_not_acknowledged_before_what_it_repeats() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let store = open(&files);
    let mut generator = Generator::new(41);
    let first = record(&mut generator, 10);
    write(&store, Signal::Logs, std::slice::from_ref(&first))
        .await
        .unwrap();
    let rows = [record(&mut generator, 10)];
    let stamp = || Stamp {
        agent: "agent-1".to_owned(),
        epoch: 1,
        sequence: 1,
        sent_unix_nano: 0,
        complete_to_unix_nano: 0,
        clock: None,
    };
    let send = || write_stamped(&store, Signal::Logs, &rows, Some(stamp()));
    // Both wait while files are written, and so share a sync, which finds the disk full.
    let release = hold_flushes(&files);
    files.plan(Plan {
        path_contains: ".seg".to_owned(),
        ..Plan::always(Op::Write, Failure::StorageFull)
    });
    let go_on = async { release.send(()).unwrap() };
    let (_, one, repeat, ()) = join4(store.flush(), send(), send(), go_on).await;
    for answer in [one, repeat] {
        assert!(
            matches!(answer, Err(WriteError::Retry { .. })),
            "{answer:?}"
        );
    }
    files.heal();
    assert!(!send().await.unwrap().duplicate);
    assert!(send().await.unwrap().duplicate);
    drop(store);
    let [row] = rows;
    assert!(all(&open(&files)).await == plain_logs(vec![first, row]));
}

#[tokio::test]
async fn the_log_keeps_what_came_while_files_were_written() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let store = open(&files);
    let mut generator = Generator::new(42);
    let release = hold_flushes(&files);
    let mut sent = Vec::new();
    // Half of what the log may hold is written to files by itself. What follows has a segment of
    // its own, which is full.
    for bytes in [SEGMENT_BYTES * 9 / 10; 5]
        .into_iter()
        .chain([2 * SEGMENT_BYTES])
    {
        let row = record(&mut generator, bytes);
        write(&store, Signal::Logs, std::slice::from_ref(&row))
            .await
            .unwrap();
        sent.push(row);
    }
    let before = counted(&store, "wal_bytes");
    release.send(()).unwrap();
    while counted(&store, "wal_bytes") >= before {
        tokio::task::yield_now().await;
    }
    assert_eq!(counted(&store, "flushes_total"), 1.0);
    drop(store);
    assert!(all(&open(&files)).await == plain_logs(sent));
}

#[tokio::test]
async fn what_comes_faster_than_files_are_written_is_slowed_and_not_stopped() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let (env, _) = testkit::env(5, Arc::new(files.clone()));
    let options = Options {
        head_bytes: 10 * SEGMENT_BYTES,
        ..Options::default()
    };
    let dir = PathBuf::from("/data");
    let store = Store::open(env, &dir, options, Arc::new(TestDecoder)).unwrap();
    let mut generator = Generator::new(43);
    let release = hold_flushes(&files);
    let mut sent = Vec::new();
    // A head that is written as soon as it is full, and as much again while it is not.
    for _ in 0..20 {
        let row = record(&mut generator, SEGMENT_BYTES);
        write(&store, Signal::Logs, std::slice::from_ref(&row))
            .await
            .unwrap();
        sent.push(row);
    }
    assert_eq!(counted(&store, "flushes_total"), 0.0);
    release.send(()).unwrap();
    store.flush().await;
    assert!(counted(&store, "flushes_total") >= 2.0);
    assert!(all(&store).await == plain_logs(sent));
}
