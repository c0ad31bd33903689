//! Flushes of which one file of the checkpoint cannot be written: whatever comes next, every row is
//! there once.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Files;
use model::{Signal, Span};
use parking_lot::Mutex;
use testkit::{Change, Failure, FaultFiles, Loss, MemoryFiles, Op, Plan};

use super::{counted, merge};
use crate::filter::Filter;
use crate::store::Checkpoint;
use crate::testing::*;
use crate::{OpenError, Options, Store};

/// How many requests are sent.
const REQUESTS: u64 = 5;

fn try_open(files: Arc<dyn Files>, head_bytes: usize) -> Result<Store, OpenError> {
    let (env, _) = testkit::env(1, files);
    let options = Options {
        block_rows: 8,
        head_bytes,
        flush_retry: Duration::from_millis(1),
        background_merges: false,
        ..Options::default()
    };
    Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder))
}

fn open(files: &MemoryFiles) -> Store {
    try_open(Arc::new(files.clone()), 1 << 20).unwrap()
}

/// Rows of one day, so that the first flush makes every folder.
fn request(number: u64) -> Vec<Span> {
    let mut generator = Generator::new(number);
    let row = |span| Span {
        start_unix_nano: BASE + number,
        ..span
    };
    (0..20).map(|_| row(generator.span())).collect()
}

async fn send(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        write(store, Signal::Traces, &request(number))
            .await
            .unwrap();
    }
}

async fn check(store: &Store, when: &str) {
    let found = spans(store, selection(Signal::Traces, Filter::All)).await;
    let (rows, expected) = (found.len(), REQUESTS * 20);
    let all = (0..REQUESTS).flat_map(request).collect();
    assert!(
        plain_spans(found) == plain_spans(all),
        "{when}: {rows} rows of {expected}"
    );
}

/// The disk before each change from the first one on that such a plan is for.
fn watch(files: &FaultFiles, memory: &MemoryFiles, plan: &Plan) -> Arc<Mutex<Vec<MemoryFiles>>> {
    let disks = Arc::<Mutex<Vec<MemoryFiles>>>::default();
    let (memory, plan, kept) = (memory.clone(), plan.clone(), disks.clone());
    let begun = AtomicBool::new(false);
    files.watch(move |change: &Change<'_>| {
        let end = plan.path_contains.trim_end_matches('$');
        if plan.op == Some(change.op) && change.path.to_string_lossy().ends_with(end) {
            begun.store(true, Ordering::SeqCst);
        }
        if begun.load(Ordering::SeqCst) {
            kept.lock().push(memory.fork());
        }
    });
    disks
}

/// Whether the process or the machine ended then, a start finds all rows, and some go on from it.
async fn check_disks(disks: &[MemoryFiles], when: &str) {
    /// Every n-th one is used further.
    const GO_ON_EVERY: usize = 7;
    let mut tried = HashSet::new();
    for (at, disk) in disks.iter().enumerate() {
        for loss in [Loss::Nothing, Loss::All, Loss::Random(at as u64)] {
            let files = disk.fork();
            files.power_cut(loss);
            if !tried.insert(files.digest()) {
                continue;
            }
            let when = format!("{when}, disk {at} of {}, {loss:?}", disks.len());
            let store = open(&files);
            check(&store, &when).await;
            if tried.len() % GO_ON_EVERY != 1 {
                continue;
            }
            store.flush().await;
            merge(&store).await;
            drop(store);
            check(&open(&files), &format!("{when}, opened again")).await;
        }
    }
}

/// What is refused for a while once the spare file is written.
fn plans(times: u64) -> [Plan; 3] {
    [
        (Op::Create, "store/CHECKPOINT.tmp$", Failure::StorageFull),
        (Op::Rename, "store/CHECKPOINT$", Failure::Io),
        (Op::SyncDir, "/data/store$", Failure::TooManyFiles),
    ]
    .map(|(op, path, failure)| Plan {
        path_contains: path.to_owned(),
        times,
        ..Plan::always(op, failure)
    })
}

#[tokio::test]
async fn a_flush_that_one_file_of_the_checkpoint_counts_is_not_written_again() {
    for plan in plans(2) {
        let memory = MemoryFiles::new();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        let store = try_open(Arc::new(files.clone()), 1 << 20).unwrap();
        send(&store, 0..3).await;
        store.flush().await;
        send(&store, 3..REQUESTS).await;
        let disks = watch(&files, &memory, &plan);
        let when = format!("{plan:?}");
        files.plan(plan);
        store.flush().await;
        check(&store, &when).await;
        assert_eq!(counted(&store, "flushes_total"), 2.0, "{when}");
        drop(store);
        let disks = disks.lock().clone();
        assert!(disks.len() > 4, "{when}: {}", disks.len());
        check_disks(&disks, &when).await;
        check(&open(&memory), &when).await;
    }
}

#[tokio::test]
async fn none_of_the_log_is_freed_while_one_file_of_the_checkpoint_lags() {
    let memory = MemoryFiles::new();
    let files = FaultFiles::over(Arc::new(memory.clone()));
    let store = try_open(Arc::new(files.clone()), 1 << 20).unwrap();
    send(&store, 0..3).await;
    store.flush().await;
    send(&store, 3..REQUESTS).await;
    let [plan, ..] = plans(u64::MAX);
    files.plan(plan.clone());
    // Whoever waits goes on without, after some tries.
    store.flush().await;
    check(&store, "as long as it lags").await;
    assert!(counted(&store, "flush_errors_total") >= 3.0);
    store.shutdown().await;
    drop(store);
    // A start cannot write it either.
    let store = try_open(Arc::new(files.clone()), 1 << 20).unwrap();
    check(&store, "opened").await;
    drop(store);
    // The other one is damaged as a whole, too.
    let disk = memory.fork();
    let spare = Path::new("/data/store").join(Checkpoint::SPARE);
    disk.create(&spare).unwrap().write_at(b"{}", 0).unwrap();
    check(&open(&disk), "without the other one").await;
    files.heal();
    let store = try_open(Arc::new(files), 1 << 20).unwrap();
    check(&store, "healed").await;
    drop(store);
    let files = &memory;
    files.create(&spare).unwrap().write_at(b"{}", 0).unwrap();
    check(&open(files), "written again").await;
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_made_durable_ends_the_store() {
    let memory = MemoryFiles::new();
    let files = FaultFiles::over(Arc::new(memory.clone()));
    let store = try_open(Arc::new(files.clone()), 1 << 20).unwrap();
    send(&store, 0..3).await;
    store.flush().await;
    send(&store, 3..REQUESTS).await;
    let [.., plan] = plans(u64::MAX);
    let disks = watch(&files, &memory, &plan);
    files.plan(plan);
    store.flush().await;
    let mut failure = store.failure();
    let reason = failure.reason().await;
    assert!(
        reason.contains("checkpoint cannot be made durable"),
        "{reason}"
    );
    drop(store);
    let disks = disks.lock().clone();
    check_disks(&disks, "ended").await;
}

#[tokio::test]
async fn a_replay_writes_nothing_again_that_one_file_of_the_checkpoint_counts() {
    let memory = MemoryFiles::new();
    let store = open(&memory);
    send(&store, 0..3).await;
    // The log says what the checkpoint says.
    store.flush().await;
    send(&store, 3..REQUESTS).await;
    drop(store);
    for mut plan in plans(u64::MAX) {
        let memory = memory.fork();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        // A start syncs the folder first, and ends where it cannot later.
        let ends = plan.op == Some(Op::SyncDir);
        plan.skip = u64::from(ends);
        let disks = watch(&files, &memory, &plan);
        let when = format!("{plan:?}");
        files.plan(plan);
        // A head is full with each record of the log.
        match try_open(Arc::new(files.clone()), 1) {
            Ok(store) => check(&store, &when).await,
            Err(error) => assert!(ends, "{when}: {error}"),
        }
        let disks = disks.lock().clone();
        assert!(disks.len() > 4, "{when}: {}", disks.len());
        check_disks(&disks, &when).await;
    }
}
