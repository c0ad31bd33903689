//! What happens when the store cannot go on: it says so to whoever runs the process, takes nothing
//! more, and loses nothing that it had acknowledged.

use std::path::Path;
use std::sync::Arc;

use env::{Failure, RealFiles};
use model::{Signal, Span};
use tempfile::tempdir;
use testkit::{Failure as Broken, Fault, FaultFiles, Op, Plan};

use crate::filter::Filter;
use crate::testing::*;
use crate::write::WriteError;
use crate::{Options, Store};

fn open(dir: &Path, files: &FaultFiles) -> (Store, Failure) {
    let (env, _) = testkit::env(4, Arc::new(files.clone()));
    let store = Store::open(env, dir, Options::default(), Arc::new(TestDecoder)).unwrap();
    let failure = store.failure();
    (store, failure)
}

fn panics(op: Op, path_contains: &str) -> Plan {
    Plan {
        path_contains: path_contains.to_owned(),
        fault: Fault::Panic,
        ..Plan::always(op, Broken::Io)
    }
}

/// A store with rows, whose disk then behaves as planned until `breaks` has run into it; returns
/// the reported reason. The rows that were acknowledged are there after the next start.
async fn fails(plan: Plan, breaks: impl AsyncFn(&Store, &[Span])) -> String {
    let dir = tempdir().unwrap();
    let files = FaultFiles::over(Arc::new(RealFiles));
    let (store, mut failure) = open(dir.path(), &files);
    let mut generator = Generator::new(40);
    let rows: Vec<Span> = (0..100).map(|_| generator.span()).collect();
    let (stored, more) = rows.split_at(60);
    write(&store, Signal::Traces, stored).await.unwrap();
    assert_eq!(failure.get(), None);
    files.plan(plan);
    breaks(&store, more).await;
    let reason = failure.reason().await;
    let refused = write(&store, Signal::Traces, more).await;
    assert!(refused.is_err(), "{refused:?}");
    // It ends although nothing can be written.
    store.shutdown().await;
    drop(store);
    files.heal();
    let (store, failure) = open(dir.path(), &files);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    // What was refused is there whole or not at all: nobody knows whether it was written.
    let found = plain_spans(found);
    assert!(
        [stored, &rows]
            .map(|rows| plain_spans(rows.to_vec()))
            .contains(&found)
    );
    assert_eq!(failure.get(), None);
    reason
}

async fn write_is_refused(store: &Store, rows: &[Span]) {
    let refused = write(store, Signal::Traces, rows).await;
    assert!(
        matches!(refused, Err(WriteError::Retry { .. } | WriteError::Closed)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_wal_that_cannot_be_synced_ends_the_store() {
    let plan = Plan {
        path_contains: "wal".to_owned(),
        ..Plan::always(Op::SyncData, Broken::Io)
    };
    let reason = fails(plan, write_is_refused).await;
    assert!(reason.contains("cannot be made durable"), "{reason}");
}

#[tokio::test]
async fn files_that_cannot_be_synced_end_the_store() {
    // Of a flush: the three files, their folder and those above it, and the checkpoint.
    for (op, path) in [
        (Op::SyncData, ".blocks"),
        (Op::SyncData, ".ids"),
        (Op::SyncData, ".fields"),
        (Op::SyncData, "CHECKPOINT"),
        (Op::SyncDir, "store/default/traces/"),
        (Op::SyncDir, "store/default"),
        (Op::SyncDir, "store"),
    ] {
        // Once, since a second one that succeeds proves nothing.
        let plan = Plan {
            path_contains: path.to_owned(),
            times: 1,
            ..Plan::always(op, Broken::Io)
        };
        let reason = fails(plan, async |store, _| store.flush().await).await;
        assert!(reason.contains(path), "{path}: {reason}");
        let says = "cannot be made durable: Input/output error";
        assert!(reason.contains(says), "{path}: {reason}");
    }
}

#[tokio::test]
async fn a_wal_that_cannot_be_synced_while_it_is_replayed_is_not_opened() {
    let dir = tempdir().unwrap();
    let files = FaultFiles::over(Arc::new(RealFiles));
    let (store, _) = open(dir.path(), &files);
    let mut generator = Generator::new(41);
    let rows: Vec<Span> = (0..50).map(|_| generator.span()).collect();
    write(&store, Signal::Traces, &rows).await.unwrap();
    drop(store);
    let options = Options {
        // Files are written while the log is replayed.
        head_bytes: 1,
        ..Options::default()
    };
    files.plan(Plan {
        path_contains: ".blocks".to_owned(),
        times: 1,
        ..Plan::always(Op::SyncData, Broken::Io)
    });
    let again = || {
        let (env, _) = testkit::env(4, Arc::new(files.clone()));
        Store::open(env, dir.path(), options.clone(), Arc::new(TestDecoder))
    };
    let refused = again().err().unwrap().to_string();
    assert!(refused.contains("cannot be made durable"), "{refused}");
    let store = again().unwrap();
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert_eq!(plain_spans(found), plain_spans(rows));
}

#[tokio::test]
async fn a_panic_of_the_commit_thread_ends_the_store() {
    let reason = fails(panics(Op::Write, "wal"), write_is_refused).await;
    assert!(
        reason.contains("stores what is sent has panicked"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_panic_of_the_flush_thread_ends_the_store() {
    let plan = panics(Op::Create, ".blocks");
    let reason = fails(plan, async |store, _| store.flush().await).await;
    assert!(reason.contains("writes blocks has panicked"), "{reason}");
}
