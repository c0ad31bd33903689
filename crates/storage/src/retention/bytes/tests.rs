//! A bound on bytes within one day: what goes, what stays, and that crashes and readers notice no
//! halves.

use std::collections::HashSet;
use std::path::Path;

use env::{Files, RealFiles};
use model::{KeyValue, LogRecord, Signal, Tenant};
use parking_lot::Mutex;
use tempfile::tempdir;
use testkit::{Failure, FaultFiles, Loss, MemoryFiles, Op, Plan};

use super::*;
use crate::filter::{Field, Filter, Level};
use crate::retention::{Policies, Policy, Retention, maintain};
use crate::store::merger::{merge_all, merge_some};
use crate::testing::*;
use crate::verify::{Severity, verify};
use crate::write::Batch;
use crate::{Options, Store};

/// Noon of the day after the first of generated rows.
const NOON: u64 = BASE + 14 * 3_600 * model::time::NANOS_PER_SECOND;
const DAY: &str = "store/default/logs/2026-01-02";

fn bound(bytes: Option<u64>) -> Retention {
    let logs = Policy { age: None, bytes };
    let all = Policies {
        logs,
        ..Policies::default()
    };
    Retention {
        all,
        ..Retention::default()
    }
}

fn open(files: Arc<dyn Files>, dir: &Path, retention: Retention) -> Store {
    let (env, clock) = testkit::env(5, files);
    clock.set_unix(NOON + 3_600 * model::time::NANOS_PER_SECOND);
    let options = Options {
        block_rows: 8,
        background_merges: false,
        retention,
        ..Options::default()
    };
    Store::open(env, dir, options, Arc::new(TestDecoder)).unwrap()
}

/// Log records of one day in the order of their times.
struct Steady {
    random: fastrand::Rng,
    sent: Vec<LogRecord>,
}

impl Steady {
    fn new() -> Self {
        Self {
            random: fastrand::Rng::with_seed(3),
            sent: Vec::new(),
        }
    }

    fn next(&mut self, count: usize) -> Vec<LogRecord> {
        let at = self.sent.len();
        let new = (at..at + count).map(|number| {
            let noise: String = (0..100).map(|_| self.random.alphanumeric()).collect();
            let time = NOON + number as u64 * 1_000_000;
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: time,
                body: model::Value::Str(noise),
                attributes: vec![KeyValue::new("group", format!("group-{}", number / 40 % 7))],
                ..LogRecord::default()
            }
        });
        let new: Vec<LogRecord> = new.collect();
        self.sent.extend(new.iter().cloned());
        new
    }

    async fn flush(&mut self, store: &Store) {
        let rows = self.next(40);
        write(store, Signal::Logs, &rows).await.unwrap();
        store.flush().await;
    }

    /// How many rows a store has, which are the last ones that were sent.
    async fn kept(&self, store: &Store) -> usize {
        let found = logs(store, selection(Signal::Logs, Filter::All)).await;
        let kept = found.len();
        let last = &self.sent[self.sent.len() - kept..];
        assert!(plain_logs(found) == plain_logs(last.to_vec()));
        for group in 0..7 {
            let name = format!("group-{group}");
            let is_of =
                |log: &&LogRecord| log.attributes[0] == KeyValue::new("group", name.as_str());
            let expected = last.iter().filter(is_of).count();
            let field = Field::Attribute {
                level: Level::Any,
                key: "group".into(),
            };
            let values = vec![name.clone()];
            let filter = Filter::AnyOf { field, values };
            let found = logs(store, selection(Signal::Logs, filter)).await;
            assert_eq!(found.len(), expected, "{name}");
        }
        kept
    }
}

fn metric(store: &Store, name: &str) -> u64 {
    let name = format!("throughline_storage_{name}");
    let of = |labels: &[(String, String)]| {
        labels
            .iter()
            .all(|(key, value)| key != "reason" || value == "bytes")
    };
    let metrics = store.metrics();
    let found = metrics
        .iter()
        .find(|(known, labels, _)| *known == name && of(labels));
    found.unwrap_or_else(|| panic!("no metric {name}")).2 as u64
}

fn partition(store: &Store) -> Arc<Partition> {
    let view = store.core().view.read().clone();
    assert_eq!(view.partitions.len(), 1);
    view.partitions.values().next().unwrap().clone()
}

fn folder_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap();
    let bytes = entries.map(|entry| entry.unwrap().metadata().unwrap());
    bytes
        .filter(|entry| entry.is_file())
        .map(|entry| entry.len())
        .sum()
}

#[tokio::test]
async fn a_day_that_outgrows_the_bound_keeps_what_fits() {
    const MOST: u64 = 200_000;
    let dir = tempdir().unwrap();
    let store = open(Arc::new(RealFiles), dir.path(), bound(Some(MOST)));
    let day = dir.path().join(DAY);
    let mut steady = Steady::new();
    let (mut early, mut full) = (0, false);
    for flush in 0..120 {
        steady.flush(&store).await;
        merge_all(store.core());
        let partition = partition(&store);
        let index = folder_bytes(&day.join("index"));
        let (taken, listed) = (
            partition
                .disk_bytes(&store.core().env, &store.core().root)
                .unwrap(),
            folder_bytes(&day) + index,
        );
        assert_eq!(taken, listed, "what is dropped is gone");
        assert!(taken <= MOST * 21 / 20, "{taken} bytes after flush {flush}");
        full |= metric(&store, "dropped_files_total") > 0;
        assert!(
            !full || taken >= MOST * 3 / 4,
            "{taken} bytes after flush {flush}"
        );
        let largest = partition.files.iter().map(|file| file.size_bytes).max();
        assert!(
            largest.unwrap() <= MOST / 8,
            "{largest:?} bytes in one file"
        );
        if flush == 30 {
            early = index;
        }
        assert!(
            flush <= 30 || index <= 2 * early,
            "the index grew from {early} to {index}"
        );
    }
    let kept = steady.kept(&store).await;
    assert!(kept > 20 * 40, "{kept} rows");
    assert_eq!(metric(&store, "dropped_partitions_total"), 0);
    assert_eq!(
        metric(&store, "dropped_rows_total") as usize + kept,
        steady.sent.len()
    );
    assert_eq!(metric(&store, "retention_errors_total"), 0);
    assert!(metric(&store, "merges_total") > 0);
    store.shutdown().await;
    drop(store);
    let (env, _) = testkit::env(1, Arc::new(RealFiles));
    let report = verify(&env, dir.path(), &TestDecoder).unwrap();
    assert_eq!(report.findings, []);
    let store = open(Arc::new(RealFiles), dir.path(), bound(Some(MOST)));
    assert_eq!(steady.kept(&store).await, kept);
    assert_eq!(metric(&store, "damaged_files_total"), 0);
}

#[tokio::test]
async fn folders_that_do_not_change_are_measured_once() {
    let dir = tempdir().unwrap();
    let faults = FaultFiles::over(Arc::new(RealFiles));
    let retention = bound(Some(1 << 30));
    let store = open(Arc::new(faults.clone()), dir.path(), retention);
    let mut steady = Steady::new();
    steady.flush(&store).await;
    maintain(store.core());
    faults.plan(Plan::always(Op::List, Failure::Io));
    maintain(store.core());
    assert_eq!(metric(&store, "retention_errors_total"), 0);
    faults.heal();
    let of_partition = || bytes_of(store.core(), &partition(&store));
    let before = of_partition();
    steady.flush(&store).await;
    let day = dir.path().join(DAY);
    assert!(of_partition() > before);
    assert_eq!(
        of_partition(),
        folder_bytes(&day) + folder_bytes(&day.join("index"))
    );
}

#[tokio::test]
async fn the_last_file_stays_until_there_is_a_later_one() {
    let dir = tempdir().unwrap();
    let store = open(Arc::new(RealFiles), dir.path(), bound(Some(1)));
    let mut steady = Steady::new();
    for _ in 0..3 {
        steady.flush(&store).await;
        maintain(store.core());
        assert_eq!(steady.kept(&store).await, 40);
    }
    assert_eq!(metric(&store, "dropped_files_total"), 2);
}

#[tokio::test]
async fn files_of_a_day_go_by_age_over_all_tenants() {
    let dir = tempdir().unwrap();
    let store = open(Arc::new(RealFiles), dir.path(), bound(None));
    let mut steady = Steady::new();
    for name in ["one", "two", "one", "two"] {
        let rows = steady.next(40);
        let batch = Batch {
            tenant: Tenant::new(name).unwrap(),
            signal: Signal::Logs,
            request: postcard::to_stdvec(&rows).unwrap().into(),
            stamp: None,
            format: model::Format::Otlp,
        };
        store.write(batch).await.unwrap();
        store.flush().await;
    }
    let view = store.core().view.read().clone();
    let sized = view.partitions.values().map(|partition| {
        let core = store.core();
        (partition.clone(), bytes_of(core, partition))
    });
    let day: Vec<Weighed> = sized.collect();
    let left = || {
        let view = store.core().view.read().clone();
        let files = view.partitions.values().map(|partition| {
            let flushes = partition.files.iter().map(|file| file.id.last);
            (partition.key.tenant.to_string(), flushes.collect())
        });
        files.collect::<Vec<(String, Vec<u64>)>>()
    };
    let (one, two) = ("one".to_owned(), "two".to_owned());
    drop_files(store.core(), &day, 1, true);
    assert_eq!(left(), [(one.clone(), vec![3]), (two.clone(), vec![2, 4])]);
    // All that is left but the last.
    let day: Vec<Weighed> = {
        let view = store.core().view.read().clone();
        view.partitions
            .values()
            .map(|partition| (partition.clone(), 0))
            .collect()
    };
    drop_files(store.core(), &day, u64::MAX, true);
    assert_eq!(left(), [(two, vec![4])]);
}

#[tokio::test]
async fn queries_under_way_keep_the_files_that_they_began_with() {
    let dir = tempdir().unwrap();
    let store = open(Arc::new(RealFiles), dir.path(), bound(Some(1)));
    let mut steady = Steady::new();
    steady.flush(&store).await;
    let view = store.core().view.read().clone();
    steady.flush(&store).await;
    assert_eq!(partition(&store).rows(), 40);
    let file = &view.partitions.values().next().unwrap().files[0];
    assert_eq!(file.open().unwrap().rows(), 40);
    assert!(file.id.path(&dir.path().join(DAY), "blocks").exists());
    let index = partition(&store).index.clone().unwrap();
    let has = |file: u64| {
        let index = index.get().unwrap().unwrap();
        index
            .without_others(|other| other != file)
            .unwrap()
            .is_some()
    };
    let id = file.id;
    drop(view);
    maintain(store.core());
    for extension in ["blocks", "blocks.dropped", "ids", "fields"] {
        assert!(
            !id.path(&dir.path().join(DAY), extension).exists(),
            "{extension}"
        );
    }
    assert!(!has(id.number()), "its terms are gone from the index");
    assert_eq!(steady.kept(&store).await, 40);
}

/// A snapshot lists files and links them while it holds off what changes them.
#[tokio::test]
async fn dropped_files_do_not_go_while_a_snapshot_links_them() {
    let dir = Path::new("/data");
    let faults = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let store = open(Arc::new(faults.clone()), dir, bound(None));
    let mut steady = Steady::new();
    for _ in 0..2 {
        steady.flush(&store).await;
    }
    let day = vec![(partition(&store), 0)];
    drop_files(store.core(), &day, 1, true);
    drop(day);
    let held_off = Arc::new(Mutex::new(Vec::new()));
    {
        let (core, held_off) = (Arc::clone(store.core()), Arc::clone(&held_off));
        faults.watch(move |change| {
            let of_dropped = change.path.to_string_lossy().contains("0000000000000001");
            if of_dropped && matches!(change.op, Op::Rename | Op::Remove) {
                held_off.lock().push(core.changing.is_locked());
            }
        });
    }
    store.core().removals.sweep(store.core());
    let held_off = held_off.lock();
    assert!(held_off.len() >= 4, "the blocks, and what is beside them");
    assert!(held_off.iter().all(|held_off| *held_off));
}

/// At every call while files are dropped, one of them merged and parts of it still there.
#[tokio::test]
async fn a_crash_leaves_dropped_files_whole_or_not_at_all() {
    let dir = Path::new("/data");
    let files = MemoryFiles::new();
    let faults = FaultFiles::over(Arc::new(files.clone()));
    let store = open(Arc::new(faults.clone()), dir, bound(None));
    let mut steady = Steady::new();
    for _ in 0..4 {
        steady.flush(&store).await;
    }
    let view = store.core().view.read().clone();
    merge_some(store.core(), &partition(&store), 0..2).unwrap();
    let day = vec![(partition(&store), 0)];
    let moments = Arc::new(Mutex::new(Vec::new()));
    {
        let (files, moments) = (files.clone(), moments.clone());
        faults.watch(move |change| {
            let what = format!("{:?} of {}", change.op, change.path.display());
            moments.lock().push((files.fork(), what));
        });
    }
    // The merged file and the one after it; the parts of the first are held.
    let core = store.core();
    drop_files(core, &day, day[0].0.files[0].size_bytes + 1, true);
    drop(day);
    assert_eq!(partition(&store).files.len(), 1);
    core.removals.sweep(core);
    assert!(
        view.partitions
            .values()
            .all(|held| held.files[0].open().is_ok())
    );
    drop(view);
    core.removals.sweep(core);
    assert_eq!(steady.kept(&store).await, 40);
    moments.lock().push((files.fork(), "after all".to_owned()));
    let moments = std::mem::take(&mut *moments.lock());
    let calls: Vec<&String> = moments.iter().map(|(_, what)| what).collect();
    assert!(calls.len() > 20, "{calls:#?}");
    let (mut seen, mut tried) = (HashSet::new(), HashSet::new());
    for (at, (files, what)) in moments.into_iter().enumerate() {
        for loss in [Loss::Nothing, Loss::All, Loss::Random(1), Loss::Random(2)] {
            let files = files.fork();
            files.power_cut(loss);
            // Most calls do not change what a power cut leaves.
            if !tried.insert(files.digest()) {
                continue;
            }
            let when = format!("{loss:?} before {what} (moment {at})");
            let (env, _) = testkit::env(1, Arc::new(files.clone()));
            let report = verify(&env, dir, &TestDecoder).unwrap();
            let sound = |found: &crate::verify::Finding| found.severity == Severity::Note;
            assert!(report.findings.iter().all(sound), "{when}: {report:?}");
            let store = open(Arc::new(files.clone()), dir, bound(None));
            let kept = logs(&store, selection(Signal::Logs, Filter::All)).await;
            let numbers = kept
                .iter()
                .map(|log| (log.time_unix_nano - NOON) / 1_000_000);
            let flushes: Vec<u64> = numbers.map(|number| number / 40).collect();
            let of = |flush: u64| flushes.iter().filter(|other| **other == flush).count();
            let counts = [of(0), of(1), of(2), of(3)];
            let whole = |counts: [usize; 4]| counts.iter().all(|count| [0, 40].contains(count));
            assert!(
                whole(counts) && counts[0] == counts[1] && counts[3] == 40,
                "{when}: {counts:?}"
            );
            seen.insert(counts);
            for name in [
                "damaged_files_total",
                "unreadable_tables",
                "unreadable_indexes",
            ] {
                assert_eq!(metric(&store, name), 0, "{when}: {name}");
            }
            let names = files
                .paths()
                .into_iter()
                .filter(|path| path.starts_with(dir.join(DAY)));
            let marks = names.filter(|path| path.to_string_lossy().contains(".dropped"));
            assert_eq!(
                marks.count(),
                0,
                "{when}: what says that a file was dropped goes"
            );
        }
    }
    assert!(
        seen.len() >= 3,
        "each file went at another moment: {seen:?}"
    );
}

#[tokio::test]
async fn what_the_index_has_of_a_file_that_does_not_read_stays_there() {
    let memory = MemoryFiles::new();
    let dir = Path::new("/data");
    let store = open(Arc::new(memory.clone()), dir, bound(None));
    let mut steady = Steady::new();
    for _ in 0..4 {
        steady.flush(&store).await;
    }
    let core = store.core();
    let bytes = partition(&store).disk_bytes(&core.env, &core.root);
    drop(store);
    let files = FaultFiles::over(Arc::new(memory));
    files.plan(Plan {
        path_contains: "0000000000000003.blocks$".to_owned(),
        ..Plan::always(Op::Read, Failure::Io)
    });
    // The first file goes, and with it what the index has of it.
    let store = open(
        Arc::new(files.clone()),
        dir,
        bound(Some(bytes.unwrap() - 1)),
    );
    store.maintain().await;
    assert_eq!(metric(&store, "dropped_files_total"), 1);
    files.heal();
    store.maintain().await;
    assert_eq!(metric(&store, "reread_files_total"), 1);
    assert_eq!(steady.kept(&store).await, 120);
    drop(store);
    let store = open(Arc::new(files), dir, bound(None));
    assert_eq!(steady.kept(&store).await, 120);
}
