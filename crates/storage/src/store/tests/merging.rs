//! Merged files: the same rows and answers in fewer of them, and nothing that does not read is
//! merged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use env::Files;
use futures::StreamExt;
use model::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use model::{LogRecord, Signal, Span, Tenant};
use testkit::{Failure, FaultFiles, ManualClock, MemoryFiles, Op, Plan};

use super::{counted, merge};
use crate::filter::{Field, Filter};
use crate::message::*;
use crate::partition::{FileId, Partition};
use crate::read::Read;
use crate::testing::*;
use crate::write::WriteError;
use crate::{Options, Store};

/// A time on the day after that of all rows.
const NEXT_DAY: u64 = BASE + NANOS_PER_DAY;
const BLOCK_ROWS: usize = 32;

fn open(files: &MemoryFiles) -> (Store, Arc<ManualClock>) {
    open_over(Arc::new(files.clone()))
}

fn open_over(files: Arc<dyn Files>) -> (Store, Arc<ManualClock>) {
    let (env, clock) = testkit::env(1, files);
    clock.set_unix(NEXT_DAY);
    let options = Options {
        block_rows: BLOCK_ROWS,
        background_merges: false,
        merge_bytes: 100_000,
        ..Options::default()
    };
    let dir = PathBuf::from("/data");
    let store = Store::open(env, &dir, options, Arc::new(TestDecoder)).unwrap();
    (store, clock)
}

/// No rows came for a while, so that any neighbours are due.
fn quiet(clock: &ManualClock) {
    clock.advance(2 * 3_600 * NANOS_PER_SECOND);
}

fn partitions(store: &Store) -> Vec<Arc<Partition>> {
    let view = store.core().view.read().clone();
    view.partitions.values().cloned().collect()
}

fn files_of(store: &Store, signal: Signal) -> Vec<usize> {
    let partitions = partitions(store);
    let of_signal = partitions.iter().filter(|p| p.key.signal == signal);
    of_signal.map(|partition| partition.files.len()).collect()
}

/// The blocks of these flushes of logs, merged where they are several.
fn blocks_of(store: &Store, signal: Signal, id: FileId) -> String {
    let partitions = partitions(store);
    let of_signal = partitions.iter().find(|p| p.key.signal == signal).unwrap();
    let dir = of_signal.key.dir(&store.core().root);
    id.path(&dir, "blocks").to_string_lossy().into_owned()
}

/// Rows of one day in as many flushes as there are counts.
struct Sent {
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
    points: Vec<Vec<u8>>,
}

async fn send(store: &Store, generator: &mut Generator, counts: &[usize]) -> Sent {
    let mut sent = Sent {
        spans: Vec::new(),
        logs: Vec::new(),
        points: Vec::new(),
    };
    for count in counts {
        let mut time = || BASE + generator.random.u64(..3_600) * NANOS_PER_SECOND;
        let times: Vec<u64> = (0..*count).map(|_| time()).collect();
        let spans: Vec<Span> = times
            .iter()
            .map(|time| Span {
                start_unix_nano: *time,
                end_unix_nano: time + 5,
                ..generator.span()
            })
            .collect();
        let logs: Vec<LogRecord> = times
            .iter()
            .map(|time| LogRecord {
                time_unix_nano: *time,
                trace_id: Some(generator.trace_id()),
                ..generator.log()
            })
            .collect();
        let points: Vec<_> = times
            .iter()
            .map(|time| {
                let (series, mut point) = generator.point();
                point.time_unix_nano = *time;
                (series, point)
            })
            .collect();
        write(store, Signal::Traces, &spans).await.unwrap();
        write(store, Signal::Logs, &logs).await.unwrap();
        write(store, Signal::Metrics, &points).await.unwrap();
        store.flush().await;
        sent.spans.extend(spans);
        sent.logs.extend(logs);
        sent.points.extend(sorted(points));
    }
    sent.points.sort();
    sent
}

impl Sent {
    /// Everything is there once, and found by what the index and the tables know.
    async fn check(&self, store: &Store) {
        let found = spans(store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans(self.spans.clone()));
        let found = logs(store, selection(Signal::Logs, Filter::All)).await;
        assert!(plain_logs(found) == plain_logs(self.logs.clone()));
        assert!(sorted(points(store).await) == self.points);
        let traces: BTreeSet<String> = self
            .logs
            .iter()
            .map(|log| log.trace_id.unwrap().to_string())
            .collect();
        for trace in &traces {
            let of_trace = self
                .logs
                .iter()
                .filter(|log| log.trace_id.unwrap().to_string() == *trace);
            let filter = Filter::text_equals(Field::TraceId, trace.clone());
            let found = logs(store, selection(Signal::Logs, filter)).await;
            assert!(plain_logs(found) == plain_logs(of_trace.cloned().collect()));
        }
        for service in ["service-1", "service-4", "unknown_service"] {
            let of_service = self
                .spans
                .iter()
                .filter(|s| s.resource.service() == service);
            let filter = Filter::text_equals(Field::Service, service.to_owned());
            let found = spans(store, selection(Signal::Traces, filter)).await;
            assert!(plain_spans(found) == plain_spans(of_service.cloned().collect()));
            let values = values(store, Field::Service).await;
            let counted = values.iter().find(|value| value.value == service);
            let expected = self
                .spans
                .iter()
                .filter(|s| s.resource.service() == service);
            assert_eq!(counted.map_or(0, |v| v.count), expected.count() as u64);
        }
    }
}

async fn values(store: &Store, field: Field) -> Vec<ValueCount> {
    let request = Request::Values {
        selection: selection(Signal::Traces, Filter::All),
        field,
        prefix: String::new(),
        limit: 100,
    };
    let (replies, _) = ask(store, request).await.unwrap();
    let lists = replies.into_iter().map(|reply| match reply {
        Reply::Values(list) => list,
        other => panic!("{other:?}"),
    });
    lists.flatten().collect()
}

#[tokio::test]
async fn files_become_one_with_the_same_rows_and_answers() {
    let files = MemoryFiles::new();
    let (store, clock) = open(&files);
    // Full blocks and small ones, files of one block and of many.
    let counts = [100, 3, 7, 64, 1, 200, 30, 31, 5];
    let sent = send(&store, &mut Generator::new(31), &counts).await;
    sent.check(&store).await;
    assert!(counted(&store, "merge_waiting_files") > 0.0);
    quiet(&clock);
    merge(&store).await;
    for signal in Signal::ALL {
        assert_eq!(files_of(&store, signal), [1], "{signal}");
    }
    assert_eq!(counted(&store, "merge_waiting_files"), 0.0);
    assert_eq!(counted(&store, "merge_errors_total"), 0.0);
    assert!(counted(&store, "merges_total") >= 3.0);
    for partition in partitions(&store) {
        let file = partition.files[0].open().unwrap();
        let small = file
            .blocks
            .iter()
            .filter(|b| (b.rows as usize) < BLOCK_ROWS / 2);
        // What one decoding held at a time has a rest each.
        assert!(small.count() <= 4, "{:?}", file.blocks);
        assert!(!partition.lacks_index());
    }
    sent.check(&store).await;
    drop(store);
    let (store, _) = open(&files);
    sent.check(&store).await;
    let names = files.paths().into_iter();
    let blocks = names.filter(|path| path.extension().is_some_and(|e| e == "blocks"));
    assert_eq!(blocks.count(), 3, "old files are gone");
}

#[tokio::test]
async fn merged_files_are_merged_again_with_what_comes_later() {
    let files = MemoryFiles::new();
    let (store, clock) = open(&files);
    let mut generator = Generator::new(32);
    let mut sent = send(&store, &mut generator, &[40, 70]).await;
    for round in 0..4 {
        quiet(&clock);
        merge(&store).await;
        sent.check(&store).await;
        let more = send(&store, &mut generator, &[50, 33 + round]).await;
        sent.spans.extend(more.spans);
        sent.logs.extend(more.logs);
        sent.points.extend(more.points);
        sent.points.sort();
        sent.check(&store).await;
    }
    quiet(&clock);
    merge(&store).await;
    sent.check(&store).await;
    let partitions = partitions(&store);
    assert!(partitions.iter().all(|p| p.files.len() == 1));
}

#[tokio::test]
async fn many_small_flushes_leave_few_files_while_rows_come() {
    let files = MemoryFiles::new();
    let (store, clock) = open(&files);
    clock.set_unix(BASE + 1_000);
    let mut generator = Generator::new(33);
    let mut most = 0;
    let mut sent = Vec::new();
    for _ in 0..70 {
        let log = LogRecord {
            time_unix_nano: BASE,
            trace_id: Some(generator.trace_id()),
            ..generator.log()
        };
        write(&store, Signal::Logs, std::slice::from_ref(&log))
            .await
            .unwrap();
        sent.push(log);
        store.flush().await;
        merge(&store).await;
        most = most.max(files_of(&store, Signal::Logs)[0]);
    }
    assert!(most <= 8, "{most} files");
    let found = logs(&store, selection(Signal::Logs, Filter::All)).await;
    assert!(plain_logs(found) == plain_logs(sent));
}

#[tokio::test]
async fn what_does_not_read_is_kept_and_nothing_is_merged_across_it() {
    let files = MemoryFiles::new();
    let (store, clock) = open(&files);
    let mut generator = Generator::new(34);
    let counts = [40, 40, 40, 40, 40];
    let sent = send(&store, &mut generator, &counts).await;
    drop(store);
    let blocks = |name: &str| {
        let paths = files.paths().into_iter();
        let of_logs = paths.filter(|path| path.to_string_lossy().contains("/logs/"));
        of_logs
            .filter(|path| path.to_string_lossy().ends_with(name))
            .collect::<Vec<_>>()
    };
    // The third file's first block is damaged.
    let third = blocks(".blocks")[2].clone();
    files.flip_bit(&third, 40, 1);
    let before = files.read(&third).unwrap();
    let (store, _) = open(&files);
    quiet(&clock);
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [3]);
    assert_eq!(files_of(&store, Signal::Traces), [1]);
    assert_eq!(counted(&store, "merge_errors_total"), 1.0);
    assert_eq!(counted(&store, "damaged_blocks_total"), 1.0);
    assert_eq!(files.read(&third).unwrap(), before);
    // However often it is come upon it is one block.
    for _ in 0..3 {
        let request = Request::Rows {
            selection: selection(Signal::Logs, Filter::All),
            order: Order::Oldest,
            limit: 1_000,
            traces: None,
            after: None,
            columns: Columns::Full,
        };
        let (_, summary) = ask(&store, request).await.unwrap();
        assert_eq!(
            (&*summary.cuts[0].limit, &*summary.cuts[0].value),
            ("damage", "1")
        );
        assert_eq!(counted(&store, "damaged_blocks_total"), 1.0);
    }
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.spans.clone()));
    // It is not tried again and again.
    merge(&store).await;
    assert_eq!(counted(&store, "merge_errors_total"), 1.0);
    drop(store);
    // A file that does not open at all is passed over too.
    let bytes = before.len();
    files.flip_bit(&third, bytes - 1, 1);
    let more = {
        let (store, _) = open(&files);
        let more = send(&store, &mut generator, &[10]).await;
        assert_eq!(counted(&store, "damaged_files_total"), 1.0);
        more
    };
    let (store, _) = open(&files);
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [2]);
    drop(store);
    // And is there when it reads again.
    files.flip_bit(&third, bytes - 1, 1);
    files.flip_bit(&third, 40, 1);
    let (store, _) = open(&files);
    let mut all = sent.logs;
    all.extend(more.logs);
    let found = logs(&store, selection(Signal::Logs, Filter::All)).await;
    assert!(plain_logs(found) == plain_logs(all));
}

#[tokio::test]
async fn tables_that_were_lost_are_made_anew() {
    let files = MemoryFiles::new();
    let (store, _) = open(&files);
    let sent = send(&store, &mut Generator::new(35), &[70, 20, 90, 10]).await;
    drop(store);
    let side = |path: &PathBuf| {
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned());
        matches!(extension.as_deref(), Some("ids" | "fields"))
    };
    let tables: Vec<PathBuf> = files.paths().into_iter().filter(side).collect();
    for (at, table) in tables.iter().enumerate() {
        match at % 5 {
            0 => files.remove_file(table).unwrap(),
            1 => files.flip_bit(table, 12, 3),
            _ => {}
        }
    }
    let (store, _) = open(&files);
    sent.check(&store).await;
    merge(&store).await;
    for signal in Signal::ALL {
        assert_eq!(files_of(&store, signal), [1], "{signal}");
    }
    assert_eq!(counted(&store, "unreadable_tables"), 0.0);
    sent.check(&store).await;
}

#[tokio::test]
async fn a_query_goes_on_over_files_that_are_merged_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        block_rows: BLOCK_ROWS,
        background_merges: false,
        ..Options::default()
    };
    let store = open_with(dir.path(), options);
    let mut generator = Generator::new(36);
    let sent = send(&store, &mut generator, &[80; 20]).await;
    let request = Request::Rows {
        selection: selection(Signal::Logs, Filter::All),
        order: Order::Oldest,
        limit: 1_000_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let mut answer = store.execute(request, Limits::default());
    let mut found = Vec::new();
    let first = answer.next().await.unwrap().unwrap();
    found.push(first);
    // The machine's clock is far ahead of the rows, but the files are new: eight are enough.
    merge(&store).await;
    assert!(files_of(&store, Signal::Logs)[0] < 20);
    while let Some(reply) = answer.next().await {
        found.push(reply.unwrap());
    }
    let rows = found.into_iter().filter_map(|reply| match reply {
        Reply::Logs(logs) => Some(logs),
        _ => None,
    });
    let rows: Vec<LogRecord> = rows.flatten().collect();
    assert!(plain_logs(rows) == plain_logs(sent.logs));
}

#[tokio::test]
async fn a_merge_is_given_up_when_the_store_closes() {
    let files = MemoryFiles::new();
    let (store, clock) = open(&files);
    let sent = send(&store, &mut Generator::new(37), &[40, 40, 40]).await;
    quiet(&clock);
    store.shutdown().await;
    merge(&store).await;
    assert_eq!(counted(&store, "merges_total"), 0.0);
    assert_eq!(files_of(&store, Signal::Logs), [3]);
    drop(store);
    let unfinished = files.paths();
    let unfinished = unfinished
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "tmp"));
    assert_eq!(unfinished.count(), 0);
    let (store, _) = open(&files);
    sent.check(&store).await;
}

#[tokio::test]
async fn while_too_many_files_wait_to_be_merged_writers_come_again() {
    let files = MemoryFiles::new();
    let (env, clock) = testkit::env(1, Arc::new(files));
    clock.set_unix(BASE + 1_000);
    let options = Options {
        background_merges: false,
        unmerged_files: 10,
        ..Options::default()
    };
    let dir = PathBuf::from("/data");
    let store = Store::open(env, &dir, options, Arc::new(TestDecoder)).unwrap();
    let mut generator = Generator::new(38);
    let mut sent = Vec::new();
    let refused = loop {
        let log = LogRecord {
            time_unix_nano: BASE,
            ..generator.log()
        };
        match write(&store, Signal::Logs, std::slice::from_ref(&log)).await {
            Ok(_) => sent.push(log),
            Err(refused) => break refused,
        }
        store.flush().await;
        assert!(sent.len() < 20, "nothing is refused");
    };
    assert!(matches!(refused, WriteError::Retry { .. }), "{refused}");
    assert!(refused.to_string().contains("merge"), "{refused}");
    assert_eq!(counted(&store, "retried_batches_total"), 1.0);
    // Reading goes on, and once it has caught up so does writing.
    let found = logs(&store, selection(Signal::Logs, Filter::All)).await;
    assert!(plain_logs(found) == plain_logs(sent));
    merge(&store).await;
    let log = [generator.log()];
    write(&store, Signal::Logs, &log).await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_the_start_is_tried_again_and_missed_aloud() {
    let memory = MemoryFiles::new();
    let (store, _) = open(&memory);
    let sent = send(&store, &mut Generator::new(39), &[20, 20]).await;
    drop(store);
    let files = FaultFiles::over(Arc::new(memory));
    files.plan(Plan {
        path_contains: "0000000000000002.blocks".to_owned(),
        ..Plan::always(Op::Read, Failure::Io)
    });
    let (env, _) = testkit::env(1, Arc::new(files.clone()));
    let dir = PathBuf::from("/data");
    let store = Store::open(env, &dir, Options::default(), Arc::new(TestDecoder)).unwrap();
    assert_eq!(counted(&store, "damaged_files_total"), 3.0);
    let request = || Request::Rows {
        selection: selection(Signal::Logs, Filter::All),
        order: Order::Oldest,
        limit: 1_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let (_, summary) = ask(&store, request()).await.unwrap();
    assert_eq!(summary.cuts[0].limit, "damage");
    store.maintain().await;
    assert_eq!(counted(&store, "reread_files_total"), 0.0);
    files.heal();
    store.maintain().await;
    assert_eq!(counted(&store, "reread_files_total"), 3.0);
    let (_, summary) = ask(&store, request()).await.unwrap();
    assert_eq!(summary.cuts, []);
    sent.check(&store).await;
}

#[tokio::test]
async fn a_merged_file_that_does_not_read_back_replaces_nothing() {
    let memory = MemoryFiles::new();
    let files = FaultFiles::over(Arc::new(memory.clone()));
    let (store, clock) = open_over(Arc::new(files.clone()));
    let sent = send(&store, &mut Generator::new(43), &[40, 40, 40]).await;
    let merged = FileId {
        first: 1,
        last: 3,
        generation: 1,
    };
    files.plan(Plan {
        path_contains: blocks_of(&store, Signal::Logs, merged) + "$",
        ..Plan::always(Op::Read, Failure::Io)
    });
    quiet(&clock);
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [3]);
    assert_eq!(files_of(&store, Signal::Traces), [1]);
    assert_eq!(counted(&store, "merge_errors_total"), 1.0);
    assert_eq!(counted(&store, "damaged_files_total"), 0.0);
    sent.check(&store).await;
    // It is not merged once more beside the one that is there, nor given up.
    merge(&store).await;
    store.maintain().await;
    assert_eq!(files_of(&store, Signal::Logs), [3]);
    assert_eq!(counted(&store, "merge_errors_total"), 1.0);
    files.heal();
    // Where its name may not last it still replaces nothing, and is not forgotten.
    files.plan(Plan {
        path_contains: "/logs/".to_owned(),
        times: 1,
        ..Plan::always(Op::SyncDir, Failure::TooManyFiles)
    });
    store.maintain().await;
    assert_eq!(files_of(&store, Signal::Logs), [3]);
    sent.check(&store).await;
    store.maintain().await;
    assert_eq!(files_of(&store, Signal::Logs), [1]);
    sent.check(&store).await;
    drop(store);
    let (store, _) = open(&memory);
    assert_eq!(files_of(&store, Signal::Logs), [1]);
    sent.check(&store).await;
}

#[tokio::test]
async fn a_merged_file_and_a_part_of_it_that_read_again_are_there_once() {
    let memory = MemoryFiles::new();
    let (store, clock) = open(&memory);
    let sent = send(&store, &mut Generator::new(46), &[40, 40]).await;
    quiet(&clock);
    // The process ends when the merged file has its name and a query still holds what it was made of.
    let view = store.core().view.read().clone();
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [1]);
    let left = memory.fork();
    drop((view, store));
    let of_logs = |files: &MemoryFiles| {
        let paths = files.paths().into_iter();
        let blocks = paths.filter(|path| path.extension().is_some_and(|e| e == "blocks"));
        let names = blocks.map(|path| path.to_string_lossy().into_owned());
        names
            .filter(|name| name.contains("/logs/"))
            .collect::<Vec<_>>()
    };
    let [part, _, merged] = &of_logs(&left)[..] else {
        panic!("{:?}", of_logs(&left));
    };
    // Both read again at once, or one after the other.
    for first in [None, Some(merged), Some(part)] {
        let disk = left.fork();
        let files = FaultFiles::over(Arc::new(disk.clone()));
        for path in [merged, part] {
            let refused = Plan::always(Op::Read, Failure::TooManyFiles);
            let path_contains = path.clone() + "$";
            files.plan(Plan {
                path_contains,
                ..refused
            });
        }
        let (store, clock) = open_over(Arc::new(files.clone()));
        assert_eq!(counted(&store, "damaged_files_total"), 2.0);
        files.heal();
        if let Some(first) = first {
            let last = if first == part { merged } else { part };
            files.plan(Plan {
                path_contains: last.clone() + "$",
                ..Plan::always(Op::Read, Failure::TooManyFiles)
            });
            store.maintain().await;
            files.heal();
        }
        store.maintain().await;
        sent.check(&store).await;
        quiet(&clock);
        merge(&store).await;
        sent.check(&store).await;
        let lacking = |partition: &Arc<Partition>| partition.apart().next().is_some();
        assert!(!partitions(&store).iter().any(lacking));
        drop(store);
        let (store, _) = open(&disk);
        sent.check(&store).await;
        assert_eq!(of_logs(&disk).len(), 1, "{:?}", of_logs(&disk));
    }
}

#[tokio::test]
async fn a_store_opens_where_what_was_merged_cannot_be_removed() {
    let files = MemoryFiles::new();
    let faults = FaultFiles::over(Arc::new(files.clone()));
    let (store, clock) = open_over(Arc::new(faults.clone()));
    let sent = send(&store, &mut Generator::new(17), &[40, 40]).await;
    quiet(&clock);
    let part = blocks_of(&store, Signal::Logs, FileId::flush(1));
    let there = || files.stat(part.as_ref()).unwrap().is_some();
    faults.plan(Plan {
        path_contains: part.clone(),
        ..Plan::always(Op::Remove, Failure::Denied)
    });
    merge(&store).await;
    drop(store);
    let (store, _) = open_over(Arc::new(faults.clone()));
    sent.check(&store).await;
    assert!(there());
    drop(store);
    faults.heal();
    let (store, _) = open_over(Arc::new(faults));
    sent.check(&store).await;
    assert!(!there());
}

#[tokio::test]
async fn a_folder_that_does_not_list_is_named() {
    let faults = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let (store, _) = open_over(Arc::new(faults.clone()));
    send(&store, &mut Generator::new(18), &[10]).await;
    let core = store.core().clone();
    let folder = partitions(&store)[0].key.dir(&core.root);
    let folder = folder.to_string_lossy();
    drop((store, core));
    faults.plan(Plan {
        path_contains: folder.to_string(),
        ..Plan::always(Op::List, Failure::Io)
    });
    let (env, _) = testkit::env(1, Arc::new(faults));
    let opened = Store::open(
        env,
        "/data".as_ref(),
        Options::default(),
        Arc::new(TestDecoder),
    );
    let error = opened.err().unwrap().to_string();
    assert!(error.contains(&*folder), "{error}");
}

#[tokio::test]
async fn a_part_that_the_disk_does_not_give_is_passed_over() {
    let memory = MemoryFiles::new();
    let (store, clock) = open(&memory);
    send(&store, &mut Generator::new(44), &[40; 5]).await;
    quiet(&clock);
    drop(store);
    for (signal, reads) in [(Signal::Logs, 4), (Signal::Metrics, 3)] {
        // The file is not mapped, its directory does not read, its block does not read.
        for skip in 0..reads {
            let files = FaultFiles::over(Arc::new(memory.fork()));
            let (store, _) = open_over(Arc::new(files.clone()));
            files.plan(Plan {
                path_contains: blocks_of(&store, signal, FileId::flush(3)),
                skip,
                ..Plan::always(Op::Read, Failure::Io)
            });
            for _ in 0..2 {
                merge(&store).await;
                assert_eq!(files_of(&store, signal), [3], "{signal:?} {skip}");
                assert_eq!(files_of(&store, Signal::Traces), [1]);
                assert_eq!(counted(&store, "merge_errors_total"), 1.0);
                assert_eq!(counted(&store, "damaged_blocks_total"), 1.0);
            }
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_merged_are_left_alone_for_longer_each_time() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let (store, clock) = open_over(Arc::new(files.clone()));
    let sent = send(&store, &mut Generator::new(45), &[40, 40]).await;
    quiet(&clock);
    files.plan(Plan {
        path_contains: "blocks.tmp$".to_owned(),
        ..Plan::always(Op::Write, Failure::Io)
    });
    let mut reads = Vec::new();
    // Of all three signals after 0, 10, 30 and 70 seconds.
    for (seconds, errors) in [
        (0, 3.0),
        (9, 3.0),
        (1, 6.0),
        (19, 6.0),
        (1, 9.0),
        (39, 9.0),
        (1, 12.0),
    ] {
        clock.advance(seconds * NANOS_PER_SECOND);
        merge(&store).await;
        assert_eq!(counted(&store, "merge_errors_total"), errors);
        reads.push((errors, files.reads()));
    }
    // Nothing is read meanwhile.
    for pair in reads.windows(2) {
        assert_eq!(pair[0].0 == pair[1].0, pair[0].1 == pair[1].1, "{reads:?}");
    }
    files.heal();
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [2]);
    clock.advance(80 * NANOS_PER_SECOND);
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [1]);
    sent.check(&store).await;
}

#[tokio::test]
async fn blocks_that_are_gone_are_missed_aloud() {
    let memory = MemoryFiles::new();
    let (store, clock) = open(&memory);
    let mut generator = Generator::new(40);
    let sent = send(&store, &mut generator, &[20, 20, 20]).await;
    quiet(&clock);
    merge(&store).await;
    assert_eq!(files_of(&store, Signal::Logs), [1]);
    drop(store);
    let paths = memory.paths().into_iter();
    let of = |path: &PathBuf, signal: &str| path.to_string_lossy().contains(signal);
    let blocks: Vec<PathBuf> = paths.filter(|path| of(path, ".blocks")).collect();
    let ask_all = |signal| Request::Rows {
        selection: selection(signal, Filter::All),
        order: Order::Oldest,
        limit: 1_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let series = || Request::Series {
        tenant: Tenant::default(),
        range: model::TimeRange::ALL,
        matchers: vec![],
        points: true,
        limit: 1_000,
    };
    let labels = || Request::Labels {
        tenant: Tenant::default(),
        range: model::TimeRange::ALL,
        matchers: vec![],
        label: None,
        limit: 1_000,
    };
    // A merged file, and the points of one.
    for signal in ["/logs/", "/metrics/"] {
        let path = blocks.iter().find(|path| of(path, signal)).unwrap();
        memory.remove_file(path).unwrap();
    }
    let (store, _) = open(&memory);
    assert_eq!(counted(&store, "damaged_files_total"), 2.0);
    for request in [ask_all(Signal::Logs), series(), labels()] {
        let (replies, summary) = ask(&store, request).await.unwrap();
        assert_eq!(summary.cuts.len(), 1, "{replies:?}");
        assert_eq!(
            (&*summary.cuts[0].limit, &*summary.cuts[0].value),
            ("damage", "1")
        );
    }
    let (_, summary) = ask(&store, ask_all(Signal::Traces)).await.unwrap();
    assert_eq!(summary.cuts, []);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.spans.clone()));
    // What is beside them stays for whoever brings them back, and nothing is merged across.
    send(&store, &mut generator, &[20, 20]).await;
    quiet(&clock);
    merge(&store).await;
    store.maintain().await;
    drop(store);
    let (store, _) = open(&memory);
    assert_eq!(counted(&store, "damaged_files_total"), 2.0);
}
