//! A checkpoint of which only the spare file says that the last flush counts.

use std::path::Path;
use std::sync::Arc;

use env::Files;
use model::time::NANOS_PER_DAY;
use model::{Signal, Span};
use testkit::{Failure, FaultFiles, ManualClock, MemoryFiles, Op, Plan};

use super::{counted, merge};
use crate::filter::Filter;
use crate::store::Checkpoint;
use crate::testing::*;
use crate::{Options, Store};

fn open(files: Arc<dyn Files>) -> (Store, Arc<ManualClock>) {
    let (env, clock) = testkit::env(1, files);
    clock.set_unix(BASE + 3 * NANOS_PER_DAY);
    let options = Options {
        block_rows: 32,
        background_merges: false,
        flush_retry: std::time::Duration::from_millis(1),
        ..Options::default()
    };
    let store = Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder));
    (store.unwrap(), clock)
}

/// Merges any neighbours, as where no rows came for long.
async fn merge_all(store: &Store, clock: &ManualClock) -> f64 {
    clock.set_unix(env::Clock::unix_nanos(clock) + NANOS_PER_DAY);
    merge(store).await;
    counted(store, "merges_total")
}

#[tokio::test]
async fn its_flush_is_not_merged_before_the_other_file_says_so_too() {
    let memory = MemoryFiles::new();
    let mut generator = Generator::new(3);
    let mut sent: Vec<Span> = Vec::new();
    let mut more = async |store: &Store| {
        let rows: Vec<Span> = (0..40).map(|_| generator.span()).collect();
        write(store, Signal::Traces, &rows).await.unwrap();
        store.flush().await;
        sent.extend(rows);
    };
    let (store, _) = open(Arc::new(memory.clone()));
    more(&store).await;
    more(&store).await;
    drop(store);
    let faults = FaultFiles::over(Arc::new(memory.clone()));
    let (store, clock) = open(Arc::new(faults.clone()));
    faults.plan(Plan {
        path_contains: format!("{}$", Checkpoint::NAME),
        ..Plan::always(Op::Rename, Failure::Io)
    });
    more(&store).await;
    // What counts by both files is merged.
    assert!(merge_all(&store, &clock).await > 0.0);
    let left = memory.fork();
    drop(store);
    let spare = Path::new("/data/store").join(Checkpoint::SPARE);
    left.remove_file(&spare).unwrap();
    let (store, clock) = open(Arc::new(left));
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    store.flush().await;
    assert!(merge_all(&store, &clock).await > 0.0);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent));
}
