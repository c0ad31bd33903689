//! Many files and few of them open: queries, merges, drops and starts under a small bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::time::NANOS_PER_DAY;
use model::{Signal, Span, TimeRange};
use testkit::MemoryFiles;

use super::{counted, merge};
use crate::filter::{Field, Filter};
use crate::message::*;
use crate::partition::EXTENSIONS;
use crate::testing::*;
use crate::{Options, Store};

/// How often the files of partitions were opened or mapped since this was asked last.
fn opened(files: &MemoryFiles) -> usize {
    files.take_opened(&EXTENSIONS)
}

/// Days in a flush at most, see [`crate::flush::DAYS_MAX`].
const DAYS_PER_FLUSH: usize = 30;
const FLUSHES: usize = 70;
const DAYS: usize = DAYS_PER_FLUSH * FLUSHES;
const MAPS_MAX: usize = 60;
const DATA: &str = "/data";

fn open(files: &MemoryFiles, open_files: usize) -> Store {
    let (env, clock) = testkit::env(1, Arc::new(files.clone()));
    clock.set_unix(day_start(DAYS + 2));
    let options = Options {
        block_rows: 8,
        background_merges: false,
        open_files: Some(open_files),
        ..Options::default()
    };
    Store::open(env, Path::new(DATA), options, Arc::new(TestDecoder)).unwrap()
}

fn day_start(day: usize) -> u64 {
    BASE - BASE % NANOS_PER_DAY + day as u64 * NANOS_PER_DAY
}

fn span_of(generator: &mut Generator, day: usize, n: u64) -> Span {
    let start = day_start(day) + n * 1_000;
    Span {
        start_unix_nano: start,
        end_unix_nano: start + 5,
        ..generator.span()
    }
}

fn within(days: std::ops::Range<usize>, filter: Filter) -> Selection {
    Selection {
        range: TimeRange {
            start: day_start(days.start),
            end: day_start(days.end),
        },
        ..selection(Signal::Traces, filter)
    }
}

/// A span or two of each day, every day a partition of its own.
async fn fill(store: &Store) -> Vec<Span> {
    let mut generator = Generator::new(5);
    let mut sent = Vec::new();
    for flush in 0..FLUSHES {
        let days = flush * DAYS_PER_FLUSH..(flush + 1) * DAYS_PER_FLUSH;
        let rows: Vec<Span> = days
            .flat_map(|day| [(day, 0), (day, 1)])
            .map(|(day, n)| span_of(&mut generator, day, n))
            .collect();
        write(store, Signal::Traces, &rows).await.unwrap();
        store.flush().await;
        sent.extend(rows);
    }
    sent
}

#[tokio::test]
async fn thousands_of_partitions_need_few_open_files() {
    let files = MemoryFiles::new();
    files.set_maps_max(MAPS_MAX);
    let store = open(&files, MAPS_MAX / 2);
    let sent = fill(&store).await;
    assert_eq!(store.core().view.read().partitions.len(), DAYS);
    drop(store);
    assert_eq!(files.maps().0, 0);
    opened(&files);

    let store = open(&files, MAPS_MAX / 2);
    assert_eq!(files.maps().0, 0, "a start maps nothing");
    assert_eq!(opened(&files), DAYS, "and reads each directory once");

    // Time alone tells which files are needed.
    let found = spans(&store, within(700..703, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent[1_400..1_406].to_vec()));
    assert!(opened(&files) <= 3 * 3);
    assert!(
        spans(&store, within(DAYS..DAYS + 3, Filter::All))
            .await
            .is_empty()
    );
    assert_eq!(opened(&files), 0);

    // Every file, by rows and by a term.
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    let wanted = &sent[sent.len() / 3];
    let filter = Filter::text_equals(Field::TraceId, wanted.trace_id.to_string());
    let of_trace = sent.iter().filter(|span| span.trace_id == wanted.trace_id);
    let found = spans(&store, selection(Signal::Traces, filter)).await;
    assert!(plain_spans(found) == plain_spans(of_trace.cloned().collect()));
    assert!(files.maps().1 <= MAPS_MAX);
    assert!(counted(&store, "open_files") <= (MAPS_MAX / 2) as f64);
    // What was asked for last is still open.
    opened(&files);
    let again = within(DAYS - 1..DAYS, Filter::All);
    spans(&store, again.clone()).await;
    opened(&files);
    spans(&store, again).await;
    assert_eq!(opened(&files), 0);
}

#[tokio::test]
async fn the_system_may_have_less_room_than_it_was_asked_for() {
    // The store would keep far more files open than the system lets it.
    let files = MemoryFiles::new();
    files.set_maps_max(12);
    let store = open(&files, 10_000);
    let mut generator = Generator::new(6);
    let rows: Vec<Span> = (0..30).map(|day| span_of(&mut generator, day, 0)).collect();
    write(&store, Signal::Traces, &rows).await.unwrap();
    store.flush().await;
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(rows));
    assert_eq!(counted(&store, "damaged_blocks_total"), 0.0);
}

#[tokio::test]
async fn a_query_reads_what_was_merged_away_or_dropped_since_it_began() {
    let files = MemoryFiles::new();
    files.set_maps_max(1_000);
    // A file of one partition is open at most.
    let store = open(&files, 3);
    let mut generator = Generator::new(7);
    let mut sent = Vec::new();
    for flush in 0..6 {
        let rows: Vec<Span> = (0..4)
            .flat_map(|day| (0..20).map(move |n| (day, n)))
            .map(|(day, n)| span_of(&mut generator, day, flush * 100 + n))
            .collect();
        write(&store, Signal::Traces, &rows).await.unwrap();
        store.flush().await;
        sent.extend(rows);
    }
    // Opened later, so that any neighbours are due.
    drop(store);
    let store = open(&files, 3);
    let core = store.core();
    let view = core.view.read().clone();
    merge(&store).await;
    assert!(counted(&store, "merges_total") >= 4.0);
    let dropped = view.partitions.values().next().unwrap().clone();
    crate::retention::drop_now(core, &dropped.key);
    core.removals.sweep(core);
    let held = counted(&store, "removals_waiting");
    assert!(held > 0.0, "what a query holds stays");
    // The old view still has every row, from files that it opens only now.
    let mut found = Vec::new();
    for file in view.partitions.values().flat_map(|p| &p.files) {
        let rows = file.open().unwrap();
        for ordinal in 0..rows.blocks.len() {
            let block = file.block(ordinal).unwrap();
            let table =
                crate::layout::BlockTable::open(Signal::Traces, block, Arc::default()).unwrap();
            let all: Vec<usize> = (0..rows.blocks[ordinal].rows as usize).collect();
            found.extend(crate::table::Table::spans(&table, &all, Columns::Full).unwrap());
        }
    }
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    // Once nobody holds them they go, from the disk and from among the open ones.
    drop((view, dropped));
    core.removals.sweep(core);
    assert_eq!(counted(&store, "removals_waiting"), 0.0);
    let paths: Vec<PathBuf> = files.paths();
    let blocks = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "blocks"));
    assert_eq!(blocks.count(), 3, "{paths:?}");
    assert!(
        !paths
            .iter()
            .any(|path| path.to_string_lossy().contains("dropped"))
    );
    let first_day = sent.iter().map(|span| span.start_unix_nano).min().unwrap();
    sent.retain(|span| {
        span.start_unix_nano >= first_day - first_day % NANOS_PER_DAY + NANOS_PER_DAY
    });
    let left = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(left) == plain_spans(sent.clone()));
    drop(store);
    let store = open(&files, 3);
    let left = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(left) == plain_spans(sent));
}

#[tokio::test]
async fn those_that_were_asked_for_longest_ago_are_closed_first() {
    let files = MemoryFiles::new();
    // Three files may be open.
    let store = open(&files, 9);
    let mut generator = Generator::new(11);
    let rows: Vec<Span> = (0..4).map(|day| span_of(&mut generator, day, 0)).collect();
    write(&store, Signal::Traces, &rows).await.unwrap();
    store.flush().await;
    let ask = async |day| spans(&store, within(day..day + 1, Filter::All)).await;
    for day in [0, 1, 2, 0, 3] {
        assert_eq!(ask(day).await.len(), 1);
    }
    opened(&files);
    for day in [0, 3] {
        ask(day).await;
        assert_eq!(opened(&files), 0, "{day}");
    }
    ask(1).await;
    assert!(opened(&files) > 0);
}

#[tokio::test]
async fn what_is_gone_is_not_counted_as_open() {
    let files = MemoryFiles::new();
    let store = open(&files, 1_000);
    let mut generator = Generator::new(12);
    // Each flush opens the index anew, which several blocks share.
    for flush in 0..4 {
        let rows: Vec<Span> = (0..40)
            .map(|n| span_of(&mut generator, 0, flush * 100 + n))
            .collect();
        write(&store, Signal::Traces, &rows).await.unwrap();
        store.flush().await;
        spans(&store, selection(Signal::Traces, Filter::All)).await;
    }
    assert!(counted(&store, "open_files") > 0.0);
    let core = store.core();
    let key = core.view.read().partitions.keys().next().cloned().unwrap();
    crate::retention::drop_now(core, &key);
    core.removals.sweep(core);
    assert_eq!(counted(&store, "removals_waiting"), 0.0);
    assert_eq!(counted(&store, "open_files"), 0.0);
    assert_eq!(files.maps().0, 0);
}

#[tokio::test]
async fn what_is_known_of_a_file_is_that_of_all_its_blocks() {
    let files = MemoryFiles::new();
    let store = open(&files, 1_000);
    let mut generator = Generator::new(13);
    let mut rows: Vec<Span> = (0..60).map(|n| span_of(&mut generator, 0, n)).collect();
    // It lasts longer than the others.
    rows[30].end_unix_nano = day_start(0) + NANOS_PER_DAY / 2;
    write(&store, Signal::Traces, &rows).await.unwrap();
    store.flush().await;
    drop(store);
    let store = open(&files, 1_000);
    let view = store.core().view.read().clone();
    let file = &view.partitions.values().next().unwrap().files[0];
    let opened = file.open().unwrap();
    let blocks = || opened.blocks.iter();
    assert!(blocks().count() > 1);
    assert_eq!(
        Some(file.min_time),
        blocks().map(|block| block.min_time).min()
    );
    assert_eq!(
        Some(file.max_time),
        blocks().map(|block| block.max_time).max()
    );
    assert_eq!(
        Some(file.max_end),
        blocks().map(|block| block.max_end).max()
    );
    assert_eq!(file.rows(), 60);
    let hour = NANOS_PER_DAY / 24;
    let later = Selection {
        range: TimeRange {
            start: day_start(0) + hour,
            end: day_start(0) + 2 * hour,
        },
        ..selection(Signal::Traces, Filter::All)
    };
    let found = spans(&store, later).await;
    assert!(plain_spans(found) == plain_spans(vec![rows[30].clone()]));
}

#[tokio::test]
async fn a_day_is_not_dropped_again_while_a_query_reads_what_was_dropped() {
    let files = MemoryFiles::new();
    let store = open(&files, 3);
    let mut generator = Generator::new(14);
    let mut send = async || {
        let rows: Vec<Span> = (0..20).map(|n| span_of(&mut generator, 0, n)).collect();
        write(&store, Signal::Traces, &rows).await.unwrap();
        store.flush().await;
    };
    send().await;
    let core = store.core();
    let view = core.view.read().clone();
    let key = view.partitions.keys().next().cloned().unwrap();
    let is_there = || core.view.read().partitions.contains_key(&key);
    crate::retention::drop_now(core, &key);
    assert!(!is_there());
    send().await;
    crate::retention::drop_now(core, &key);
    assert!(is_there(), "the name of its folder is taken");
    view.partitions[&key].files[0].block(0).unwrap();
    drop(view);
    core.removals.sweep(core);
    crate::retention::drop_now(core, &key);
    assert!(!is_there());
}
