//! Requests that the log had no room for: nothing of them stays, and they are new when they come
//! again.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use env::Files;
use futures::poll;
use model::{LogRecord, Signal};
use testkit::{Failure, FaultFiles, MemoryFiles, Op, Plan};

use super::counted;
use crate::filter::Filter;
use crate::testing::*;
use crate::write::{Stamp, WriteError};
use crate::{Options, Store};

fn open(files: Arc<dyn Files>) -> Store {
    let (env, _) = testkit::env(1, files);
    let options = Options {
        background_merges: false,
        repeat_window: Duration::from_secs(3_600),
        ..Options::default()
    };
    Store::open(env, &PathBuf::from("/data"), options, Arc::new(TestDecoder)).unwrap()
}

fn stamp(sequence: u64) -> Stamp {
    Stamp {
        agent: "agent".to_owned(),
        epoch: 1,
        sequence,
        sent_unix_nano: 0,
        complete_to_unix_nano: 0,
        clock: None,
    }
}

/// The next write to the log finds no room.
fn fill_once(faults: &FaultFiles) {
    faults.plan(Plan {
        path_contains: "/wal/".to_owned(),
        times: 1,
        ..Plan::always(Op::Write, Failure::StorageFull)
    });
}

fn rows(generator: &mut Generator) -> Vec<LogRecord> {
    (0..5).map(|_| generator.log()).collect()
}

async fn stored(store: &Store) -> Vec<Vec<u8>> {
    plain_logs(logs(store, selection(Signal::Logs, Filter::All)).await)
}

#[tokio::test]
async fn what_was_refused_is_new_when_it_comes_again_and_there_once() {
    for stamp in [None, Some(stamp(1))] {
        let memory = MemoryFiles::new();
        let faults = FaultFiles::over(Arc::new(memory.clone()));
        let store = open(Arc::new(faults.clone()));
        let rows = rows(&mut Generator::new(61));
        let send = || write_stamped(&store, Signal::Logs, &rows, stamp.clone());
        fill_once(&faults);
        let refused = send().await;
        assert!(
            matches!(refused, Err(WriteError::Retry { .. })),
            "{refused:?}"
        );
        assert!(stored(&store).await.is_empty());
        assert!(!send().await.unwrap().duplicate);
        assert!(send().await.unwrap().duplicate);
        // The log alone has it.
        drop(store);
        let store = open(Arc::new(memory));
        let again = write_stamped(&store, Signal::Logs, &rows, stamp).await;
        assert!(again.unwrap().duplicate);
        assert!(stored(&store).await == plain_logs(rows));
    }
}

#[tokio::test]
async fn a_repeat_is_answered_no_sooner_than_what_it_repeats() {
    let faults = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let store = open(Arc::new(faults.clone()));
    let mut generator = Generator::new(62);
    let (first, second) = (rows(&mut generator), rows(&mut generator));
    // The first request is being synced while the second one comes twice.
    let (reached, is_reached) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let once = Mutex::new(Some(released));
    faults.watch(move |change| {
        if change.op == Op::SyncData
            && let Some(released) = once.lock().unwrap().take()
        {
            reached.send(()).unwrap();
            released.recv().unwrap();
        }
    });
    let (before, after) = (Some(stamp(1)), Some(stamp(2)));
    let before = write_stamped(&store, Signal::Logs, &first, before);
    let mut before = std::pin::pin!(before);
    assert!(poll!(&mut before).is_pending());
    is_reached.recv().unwrap();
    fill_once(&faults);
    let sent = write_stamped(&store, Signal::Logs, &second, after.clone());
    let repeated = write_stamped(&store, Signal::Logs, &second, after);
    let (mut sent, mut repeated) = (std::pin::pin!(sent), std::pin::pin!(repeated));
    assert!(poll!(&mut sent).is_pending());
    assert!(poll!(&mut repeated).is_pending());
    release.send(()).unwrap();
    assert!(!before.await.unwrap().duplicate);
    for refused in [sent.await, repeated.await] {
        assert!(
            matches!(refused, Err(WriteError::Retry { .. })),
            "{refused:?}"
        );
    }
    assert!(stored(&store).await == plain_logs(first.clone()));
}

#[tokio::test]
async fn once_the_log_found_no_room_rows_go_to_files_before_more_is_taken() {
    let faults = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let store = open(Arc::new(faults.clone()));
    let mut generator = Generator::new(63);
    write(&store, Signal::Logs, &rows(&mut generator))
        .await
        .unwrap();
    fill_once(&faults);
    let more = rows(&mut generator);
    assert!(write(&store, Signal::Logs, &more).await.is_err());
    let again = write(&store, Signal::Logs, &more).await;
    assert!(again.is_err() || counted(&store, "flushes_total") > 0.0);
    store.flush().await;
    assert!(write(&store, Signal::Logs, &more).await.is_ok());
}
