use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use env::RealFiles;
use model::{LogRecord, Signal, Value};
use tempfile::tempdir;
use testkit::{Failure, FaultFiles, MemoryFiles, Op, Plan};

use super::*;
use crate::filter::Filter;
use crate::testing::*;
use crate::{Options, Store};

fn options() -> Options {
    Options {
        block_rows: 64,
        ..Options::default()
    }
}

async fn all(store: &Store) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>) {
    (
        plain_spans(spans(store, selection(Signal::Traces, Filter::All)).await),
        plain_logs(logs(store, selection(Signal::Logs, Filter::All)).await),
        sorted(points(store).await),
    )
}

/// Rows of every signal.
async fn fill(store: &Store, generator: &mut Generator, rows: usize) {
    let spans: Vec<_> = (0..rows).map(|_| generator.span()).collect();
    write(store, Signal::Traces, &spans).await.unwrap();
    let logs: Vec<_> = (0..rows).map(|_| generator.log()).collect();
    write(store, Signal::Logs, &logs).await.unwrap();
    let points: Vec<_> = (0..rows).map(|_| generator.point()).collect();
    write(store, Signal::Metrics, &points).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_opens_with_what_was_in_files_and_in_memory() {
    let dir = tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    let mut generator = Generator::new(5);
    for round in 0..3 {
        fill(&store, &mut generator, 150).await;
        let before = all(&store).await;
        let target = dir.path().join(format!("snapshot-{round}"));
        let taken = store.snapshot(&target).await.unwrap();
        assert_eq!(taken.flush, round);
        assert!(taken.wal_bytes > 0);
        assert!(round == 0 || taken.linked_files > 3, "{taken:?}");
        // What comes later, there and here, does not reach the other.
        store.flush().await;
        fill(&store, &mut generator, 10).await;
        let later = all(&store).await;
        let copy = open(&target);
        assert!(all(&copy).await == before);
        fill(&copy, &mut Generator::new(77), 40).await;
        copy.flush().await;
        fill(&copy, &mut Generator::new(78), 40).await;
        copy.shutdown().await;
        assert!(all(&store).await == later);
        assert!(!dir.path().join("data").join(PARTIAL).exists());
    }
    store.shutdown().await;
    drop(store);
    let store = open(&dir.path().join("data"));
    let target = dir.path().join("without-log");
    store.snapshot(&target).await.unwrap();
    assert!(all(&open(&target)).await == all(&store).await);
}

#[tokio::test]
async fn a_folder_at_rest_is_copied_with_its_log_and_one_in_use_is_refused() {
    let dir = tempdir().unwrap();
    let (data, target) = (dir.path().join("data"), dir.path().join("copy"));
    let env = Env::real();
    assert!(matches!(
        of_folder(&env, &data, &target),
        Err(SnapshotError::NotAFolder { .. })
    ));
    let store = open(&data);
    fill(&store, &mut Generator::new(1), 100).await;
    store.flush().await;
    fill(&store, &mut Generator::new(2), 100).await;
    let before = all(&store).await;
    assert!(matches!(
        of_folder(&env, &data, &target),
        Err(SnapshotError::InUse(_))
    ));
    // As a crash would leave it.
    drop(store);
    let taken = of_folder(&env, &data, &target).unwrap();
    assert!(taken.wal_bytes > 0 && taken.linked_files > 0, "{taken:?}");
    assert!(all(&open(&target)).await == before);
    assert!(all(&open(&data)).await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_acknowledged_row_is_there_exactly_once() {
    let dir = tempdir().unwrap();
    let options = Options {
        // Flushed and trimmed all the time.
        head_bytes: 64 << 10,
        wal_bytes: 1 << 20,
        ..options()
    };
    let store = open_with(&dir.path().join("data"), options.clone());
    let (acknowledged, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let writing = {
        let (store, acknowledged, stop) = (store.clone(), acknowledged.clone(), stop.clone());
        tokio::spawn(async move {
            for batch in 0.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let row = |at: usize| LogRecord {
                    time_unix_nano: BASE + at as u64,
                    body: Value::Str(format!("number {at} of a long list of rows")),
                    ..LogRecord::default()
                };
                let rows: Vec<_> = (batch * 20..batch * 20 + 20).map(row).collect();
                while write(&store, Signal::Logs, &rows).await.is_err() {
                    tokio::task::yield_now().await;
                }
                acknowledged.store((batch + 1) * 20, Ordering::Release);
            }
        })
    };
    for round in 0..8 {
        while acknowledged.load(Ordering::Acquire) < (round + 1) * 400 {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.load(Ordering::Acquire);
        let target = dir.path().join(format!("snapshot-{round}"));
        store.snapshot(&target).await.unwrap();
        let copy = open_with(&target, options.clone());
        let found = logs(&copy, selection(Signal::Logs, Filter::All)).await;
        let mut times: Vec<u64> = found.iter().map(|log| log.time_unix_nano - BASE).collect();
        times.sort_unstable();
        // Whole batches from the first on, each row once.
        assert!(times.len() >= before && times.len().is_multiple_of(20));
        assert!(times.iter().zip(0..).all(|(time, at)| *time == at));
    }
    stop.store(true, Ordering::Release);
    writing.await.unwrap();
}

#[tokio::test]
async fn where_links_and_renames_are_impossible_files_are_copied() {
    let dir = tempdir().unwrap();
    let (data, target) = (dir.path().join("data"), dir.path().join("copy"));
    let store = open(&data);
    fill(&store, &mut Generator::new(3), 200).await;
    store.flush().await;
    fill(&store, &mut Generator::new(4), 50).await;
    let before = all(&store).await;
    drop(store);
    let take = |plans: &[Plan], target: &Path| {
        let files = FaultFiles::over(Arc::new(RealFiles));
        plans.iter().for_each(|plan| files.plan(plan.clone()));
        let env = Env {
            files: Arc::new(files),
            ..Env::real()
        };
        of_folder(&env, &data, target)
    };
    let no_links = Plan::always(Op::Link, Failure::OtherDevice);
    let taken = take(std::slice::from_ref(&no_links), &target).unwrap();
    assert_eq!(taken.linked_files, 0);
    assert_eq!(taken.bytes, taken.copied_bytes);
    assert!(all(&open(&target)).await == before);
    // The staged folder cannot be renamed to the target; the copy beside the target can.
    let elsewhere = Plan {
        times: 1,
        ..Plan::always(Op::Rename, Failure::OtherDevice)
    };
    let target = dir.path().join("elsewhere");
    let taken = take(&[elsewhere], &target).unwrap();
    assert_eq!(taken.linked_files, 0);
    assert_eq!(taken.bytes, taken.copied_bytes);
    assert!(all(&open(&target)).await == before);
    let mut other = 0;
    for_each_file(&target, &mut |path| {
        other += usize::from(std::fs::metadata(path).unwrap().nlink() > 1);
    });
    assert_eq!(other, 0, "files of the copy are its own");
    // Without room there is no snapshot, nothing of it stays, and the folder is as it was.
    let full = Plan::always(Op::Write, Failure::StorageFull);
    let target = dir.path().join("full");
    assert!(matches!(
        take(&[full, no_links], &target),
        Err(SnapshotError::Io { .. })
    ));
    assert!(!target.exists() && !data.join(PARTIAL).exists());
    assert!(all(&open(&data)).await == before);
}

fn for_each_file(dir: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for_each_file(&path, see);
        } else {
            see(&path);
        }
    }
}

/// A store on a file system without hard links, which may be full.
fn without_links(data: &Path) -> (Store, FaultFiles, MemoryFiles) {
    let memory = MemoryFiles::new();
    memory.create_dir_all(Path::new("/to")).unwrap();
    let faults = FaultFiles::over(Arc::new(memory.clone()));
    faults.plan(Plan::always(Op::Link, Failure::OtherDevice));
    let (env, _) = testkit::env(1, Arc::new(faults.clone()));
    let options = Options {
        background_merges: false,
        ..options()
    };
    let store = Store::open(env, data, options, Arc::new(TestDecoder)).unwrap();
    (store, faults, memory)
}

#[tokio::test]
async fn without_links_an_open_store_copies_before_it_stands_still() {
    let data = Path::new("/data");
    let (store, faults, memory) = without_links(data);
    let mut generator = Generator::new(6);
    for _ in 0..3 {
        fill(&store, &mut generator, 100).await;
        store.flush().await;
    }
    fill(&store, &mut generator, 20).await;
    let before = all(&store).await;
    // Once all was copied, and before the snapshot begins, it is merged away.
    let (core, once) = (store.core().clone(), AtomicBool::new(true));
    faults.watch(move |change| {
        let of_wal = change.op == Op::SyncDir && change.path.ends_with("snapshot.partial/wal");
        if of_wal && once.swap(false, Ordering::AcqRel) {
            let partitions = core.view.read().partitions.clone();
            for partition in partitions.values() {
                let files = 0..partition.files.len();
                crate::store::merger::merge_some(&core, partition, files).unwrap();
            }
            drop(partitions);
            core.removals.sweep(&core);
        }
    });
    let target = Path::new("/to/copy");
    let taken = store.snapshot(target).await.unwrap();
    assert_eq!(taken.linked_files, 0, "{taken:?}");
    assert_eq!(taken.bytes, taken.copied_bytes);
    let names: Vec<PathBuf> = memory.paths();
    let blocks = |below: &Path| {
        let of_blocks = |path: &&PathBuf| path.extension().is_some_and(|e| e == "blocks");
        let names = names.iter().filter(of_blocks);
        let names = names.filter_map(|path| path.strip_prefix(below).ok());
        names.map(Path::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(blocks(target), blocks(data), "what was merged away went");
    memory.power_cut(testkit::Loss::All);
    let (env, _) = testkit::env(2, Arc::new(memory.clone()));
    let copy = Store::open(env, target, options(), Arc::new(TestDecoder)).unwrap();
    assert!(all(&copy).await == before);
}

#[tokio::test]
async fn a_copy_for_which_there_is_no_room_is_not_begun() {
    let data = Path::new("/data");
    let (store, _faults, memory) = without_links(data);
    fill(&store, &mut Generator::new(6), 100).await;
    store.flush().await;
    let used = memory.used_bytes();
    for (free, fits) in [(LEFT_FREE, false), (LEFT_FREE + 2 * used, true)] {
        memory.set_capacity(Some(used + free));
        let taken = store.snapshot(Path::new("/to/copy")).await;
        let refused = matches!(taken, Err(SnapshotError::NoRoom { .. }));
        assert_eq!((refused, taken.is_ok()), (!fits, fits), "{taken:?}");
    }
    assert!(memory.stat(&data.join(PARTIAL)).unwrap().is_none());
}

#[tokio::test]
async fn a_name_that_is_taken_or_among_the_files_is_refused() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let store = open(&data);
    fill(&store, &mut Generator::new(3), 10).await;
    let there = dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::create_dir(dir.path().join("half.partial")).unwrap();
    for target in [
        there,
        dir.path().join("half"),
        data.join("store").join("copy"),
        data.join("wal").join("copy"),
        dir.path().join("no").join("such"),
        PathBuf::from("/"),
    ] {
        assert!(
            matches!(
                store.snapshot(&target).await,
                Err(SnapshotError::Target { .. })
            ),
            "{}",
            target.display()
        );
    }
    // Beside the store it may lie.
    store.snapshot(&data.join("monday")).await.unwrap();
    assert!(data.join("monday").join("store").exists());
}

#[tokio::test]
async fn what_an_interrupted_snapshot_left_is_removed_at_the_next_start() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()));
    let left = dir.path().join(PARTIAL).join("store");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("file"), "pinned").unwrap();
    drop(open(dir.path()));
    assert!(!dir.path().join(PARTIAL).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_waits_for_a_snapshot_and_does_not_tear_it() {
    let dir = tempdir().unwrap();
    let store = open_with(
        &dir.path().join("data"),
        Options {
            retention: crate::retention::Retention {
                all: crate::retention::Policies {
                    logs: crate::retention::Policy {
                        age: Some(Duration::from_secs(1)),
                        bytes: None,
                    },
                    ..Default::default()
                },
                ..crate::retention::Retention::default()
            },
            ..options()
        },
    );
    let row = |at: u64| LogRecord {
        time_unix_nano: at,
        body: Value::Str("old".to_owned()),
        ..LogRecord::default()
    };
    for round in 0..6 {
        // Rows of ten days, which retention drops after the flush.
        let day = model::time::NANOS_PER_DAY;
        let rows: Vec<_> = (0..10).map(|at| row(BASE + at * day)).collect();
        write(&store, Signal::Logs, &rows).await.unwrap();
        let target = dir.path().join(format!("snapshot-{round}"));
        let (taken, ()) = tokio::join!(store.snapshot(&target), store.flush());
        taken.unwrap();
        let copy = open(&target);
        let found = logs(&copy, selection(Signal::Logs, Filter::All)).await;
        // Before or after the flush, and before or after some of the days were dropped.
        assert!(found.len() <= 10, "{}", found.len());
        let taken = copy.metrics();
        let damaged = taken.iter().filter(|(name, ..)| name.contains("damaged"));
        assert_eq!(damaged.map(|(_, _, count)| count).sum::<f64>(), 0.0);
    }
}

#[tokio::test]
async fn a_disk_for_snapshots_that_cannot_be_synced_is_no_failure_of_the_store() {
    let dir = tempdir().unwrap();
    let faults = FaultFiles::over(Arc::new(RealFiles));
    let env = Env {
        files: Arc::new(faults.clone()),
        ..Env::real()
    };
    let decoder = Arc::new(TestDecoder);
    let store = Store::open(env, &dir.path().join("data"), options(), decoder).unwrap();
    fill(&store, &mut Generator::new(3), 20).await;
    faults.fail_next(Op::Rename, Failure::OtherDevice);
    faults.plan(Plan {
        path_contains: "backup".to_owned(),
        ..Plan::always(Op::SyncData, Failure::Io)
    });
    let taken = store.snapshot(&dir.path().join("backup")).await;
    assert!(matches!(
        taken,
        Err(SnapshotError::Io { action: "sync", .. })
    ));
    assert!(!dir.path().join("backup.partial").exists());
    faults.heal();
    // It goes on, and the next one has what came since.
    fill(&store, &mut Generator::new(4), 20).await;
    let before = all(&store).await;
    let target = dir.path().join("backup");
    store.snapshot(&target).await.unwrap();
    assert!(all(&open(&target)).await == before);
}
