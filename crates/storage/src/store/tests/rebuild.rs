//! Starts without a checkpoint: every row once, or a loss that is counted, and never a refusal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::{EntryKind, Files};
use model::{Signal, Span};
use testkit::{CrashPoint, FaultFiles, MemoryFiles, Op};

use super::{counted, merge};
use crate::filter::Filter;
use crate::store::Checkpoint;
use crate::store::merger::merge_some;
use crate::testing::*;
use crate::write::{Stamp, WriteError};
use crate::{Options, Store};

const AGENT: &str = "agent-1";

fn open(files: &MemoryFiles) -> Store {
    let (env, clock) = testkit::env(1, Arc::new(files.clone()));
    // Any neighbours are due.
    clock.set_unix(BASE + 3 * model::time::NANOS_PER_DAY);
    let options = Options {
        block_rows: 32,
        background_merges: false,
        ..Options::default()
    };
    Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder)).unwrap()
}

fn stamp(sequence: u64) -> Option<Stamp> {
    Some(Stamp {
        agent: AGENT.to_owned(),
        epoch: 1,
        sequence,
        sent_unix_nano: 0,
        complete_to_unix_nano: 0,
        clock: None,
    })
}

/// What an agent sends: a request for each sequence number.
fn request(sequence: u64) -> Vec<Span> {
    let mut generator = Generator::new(sequence);
    (0..20).map(|_| generator.span()).collect()
}

async fn send(store: &Store, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        let ack = write_stamped(store, Signal::Traces, &request(sequence), stamp(sequence)).await;
        assert!(!ack.unwrap().duplicate, "{sequence}");
    }
}

/// Exactly the rows of these requests are there, and none of them is taken again.
async fn check(store: &Store, sequences: impl IntoIterator<Item = u64>) {
    let sequences: Vec<u64> = sequences.into_iter().collect();
    for sequence in &sequences {
        let rows = request(*sequence);
        let ack = write_stamped(store, Signal::Traces, &rows, stamp(*sequence)).await;
        assert!(ack.unwrap().duplicate, "{sequence}");
    }
    let expected: Vec<Span> = sequences.into_iter().flat_map(request).collect();
    let found = spans(store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(expected));
}

fn of_store(name: &str) -> PathBuf {
    Path::new("/data/store").join(name)
}

/// Takes both checkpoints away, or what is in them.
fn lose_checkpoints(files: &MemoryFiles, content: Option<&[u8]>) {
    for name in [Checkpoint::NAME, Checkpoint::SPARE] {
        let path = of_store(name);
        files.remove_file(&path).unwrap();
        if let Some(content) = content {
            files.create(&path).unwrap().write_at(content, 0).unwrap();
        }
    }
}

/// Flushes, some of them merged, and rows that are in the log alone.
async fn filled(files: &MemoryFiles) -> Store {
    let mut store = open(files);
    for flush in 0..4 {
        send(&store, flush * 10 + 1..flush * 10 + 5).await;
        store.flush().await;
        if flush == 2 {
            store = merged(files, store).await;
        }
    }
    send(&store, 41..=45).await;
    store
}

/// Merges all files, which are due once the store is opened again.
async fn merged(files: &MemoryFiles, store: Store) -> Store {
    drop(store);
    let store = open(files);
    merge(&store).await;
    assert!(counted(&store, "merges_total") > 0.0);
    store
}

fn sent() -> impl Iterator<Item = u64> {
    let flushed = (0..4).flat_map(|flush| flush * 10 + 1..flush * 10 + 5);
    flushed.chain(41..=45)
}

#[tokio::test]
async fn the_log_knows_what_a_lost_checkpoint_said() {
    let cases: [(&str, Option<&[u8]>); 4] = [
        ("missing", None),
        ("empty", Some(b"")),
        ("cut", Some(b"{\"version\":2,")),
        ("zeroes", Some(&[0; 8_192])),
    ];
    for (what, content) in cases {
        let files = MemoryFiles::new();
        let store = filled(&files).await;
        drop(store);
        lose_checkpoints(&files, content);
        let store = open(&files);
        check(&store, sent()).await;
        assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0, "{what}");
        assert_eq!(counted(&store, "wal_lost_bytes_total"), 0.0, "{what}");
        // It goes on as ever, and the next start finds a checkpoint.
        send(&store, [51]).await;
        store.flush().await;
        merge(&store).await;
        drop(store);
        let store = open(&files);
        assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 0.0, "{what}");
        check(&store, sent().chain([51])).await;
    }
}

#[tokio::test]
async fn after_a_clean_end_and_before_the_first_flush() {
    let files = MemoryFiles::new();
    let store = open(&files);
    send(&store, 1..=3).await;
    drop(store);
    // Nothing was flushed, so there is no checkpoint to lose.
    let store = open(&files);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 0.0);
    check(&store, 1..=3).await;
    store.shutdown().await;
    drop(store);
    lose_checkpoints(&files, None);
    let store = open(&files);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
    check(&store, 1..=3).await;
}

#[tokio::test]
async fn a_log_that_is_used_up_is_freed_although_it_says_what_the_checkpoint_says() {
    let files = MemoryFiles::new();
    let store = open(&files);
    let log_bytes = || -> u64 {
        let paths = files.paths().into_iter();
        let segments = paths.filter(|path| path.starts_with("/data/wal"));
        segments
            .map(|path| files.read(&path).unwrap().len() as u64)
            .sum()
    };
    let mut last = 0;
    while counted(&store, "wal_bytes") < 1_500_000.0 {
        last += 1;
        send(&store, [last]).await;
    }
    store.shutdown().await;
    drop(store);
    assert!(log_bytes() < 100_000, "{} bytes", log_bytes());
    lose_checkpoints(&files, None);
    let store = open(&files);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
    assert_eq!(counted(&store, "wal_lost_bytes_total"), 0.0);
    check(&store, 1..=last).await;
    send(&store, [last + 1]).await;
    drop(store);
    check(&open(&files), 1..=last + 1).await;
}

/// Puts the log back as it was in another copy of the folder.
fn restore_log(files: &MemoryFiles, from: &MemoryFiles) {
    let is_log = |path: &PathBuf| path.starts_with("/data/wal");
    for path in files.paths().into_iter().filter(is_log) {
        files.remove_file(&path).unwrap();
    }
    for path in from.paths().into_iter().filter(is_log) {
        let content = from.read(&path).unwrap();
        files.create(&path).unwrap().write_at(&content, 0).unwrap();
    }
}

#[tokio::test]
async fn a_missing_first_file_of_the_checkpoint_is_counted_and_written_at_once() {
    let files = MemoryFiles::new();
    drop(filled(&files).await);
    let path = of_store(Checkpoint::NAME);
    let content = files.read(&path).unwrap();
    files.remove_file(&path).unwrap();
    let store = open(&files);
    assert_eq!(counted(&store, "damaged_files_total"), 1.0);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 0.0);
    assert_eq!(files.read(&path).unwrap(), content);
    check(&store, sent()).await;
    drop(store);
    assert_eq!(counted(&open(&files), "damaged_files_total"), 0.0);
}

#[tokio::test]
async fn a_flush_that_the_log_does_not_know_of_yet_is_made_again() {
    let files = MemoryFiles::new();
    let store = filled(&files).await;
    let before = files.fork();
    // The flush commits, and the process ends before the log says so.
    store.flush().await;
    drop(store);
    restore_log(&files, &before);
    lose_checkpoints(&files, Some(b"x"));
    let store = open(&files);
    check(&store, sent()).await;
    assert_eq!(counted(&store, "wal_lost_bytes_total"), 0.0);
    store.flush().await;
    check(&store, sent()).await;
}

#[tokio::test]
async fn without_a_word_of_the_log_every_file_counts_and_the_log_goes() {
    // The log is damaged where the rows of the last flush are, or that flush was merged and the
    // log does not know of it.
    for is_merged in [false, true] {
        let files = MemoryFiles::new();
        let mut store = filled(&files).await;
        let before = files.fork();
        store.flush().await;
        if is_merged {
            store = merged(&files, store).await;
        }
        send(&store, [61]).await;
        drop(store);
        restore_log(&files, &before);
        if !is_merged {
            let segment = files.paths().into_iter().find(|path| {
                path.starts_with("/data/wal") && path.extension().is_some_and(|e| e == "seg")
            });
            let segment = segment.unwrap();
            let at = files.read(&segment).unwrap();
            let needle = b"agent-1";
            let last = at.windows(needle.len()).rposition(|bytes| bytes == needle);
            // A record that others follow: not a torn end.
            let of_last = last.unwrap();
            let earlier = at[..of_last - 64]
                .windows(needle.len())
                .rposition(|bytes| bytes == needle);
            files.flip_bit(&segment, earlier.unwrap(), 3);
        }
        lose_checkpoints(&files, Some(b"x"));
        let store = open(&files);
        check(&store, sent()).await;
        assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
        assert!(counted(&store, "wal_lost_bytes_total") > 0.0);
        let aside = files.stat(Path::new("/data/wal.quarantined-1")).unwrap();
        assert_eq!(aside.unwrap().kind, EntryKind::Dir);
        send(&store, [71]).await;
        store.flush().await;
        send(&store, [72]).await;
        drop(store);
        let store = open(&files);
        check(&store, sent().chain([71, 72])).await;
        assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 0.0);
    }
}

#[tokio::test]
async fn a_start_that_sets_the_log_aside_may_end_anywhere() {
    let files = MemoryFiles::new();
    let store = filled(&files).await;
    let before = files.fork();
    store.flush().await;
    drop(merged(&files, store).await);
    restore_log(&files, &before);
    lose_checkpoints(&files, Some(b"x"));
    let start = |files: &MemoryFiles, crash: Option<u64>| {
        let faults = FaultFiles::over(Arc::new(files.clone()));
        if let Some(change) = crash {
            faults.crash_at(change, CrashPoint::After);
        }
        let env = testkit::env(1, Arc::new(faults.clone())).0;
        let (dir, decoder) = (Path::new("/data"), Arc::new(TestDecoder));
        let store = Store::open(env, dir, Options::default(), decoder);
        (store.is_ok(), faults.changes())
    };
    let (opens, changes) = start(&files.fork(), None);
    assert!(opens && changes > 8, "{changes}");
    for change in 0..changes {
        let files = files.fork();
        start(&files, Some(change));
        let store = open(&files);
        check(&store, sent()).await;
    }
}

#[tokio::test]
async fn rows_that_were_in_a_lost_log_alone_are_all_that_is_lost() {
    let files = MemoryFiles::new();
    let store = filled(&files).await;
    drop(store);
    let is_log = |path: &PathBuf| path.starts_with("/data/wal");
    for path in files.paths().into_iter().filter(is_log) {
        files.remove_file(&path).unwrap();
    }
    lose_checkpoints(&files, None);
    let store = open(&files);
    let flushed: Vec<Span> = sent().filter(|n| *n < 41).flat_map(request).collect();
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(flushed));
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
    send(&store, [81]).await;
}

/// Damages every record of the log that is a checkpoint.
fn forget_checkpoints(files: &MemoryFiles) {
    let needle = b"\xff{\"version\"";
    let mut found = 0;
    for path in files.paths() {
        if !path.starts_with("/data/wal") {
            continue;
        }
        let bytes = files.read(&path).unwrap();
        let windows = bytes.windows(needle.len()).enumerate();
        for (at, _) in windows.filter(|(_, window)| window == needle) {
            files.flip_bit(&path, at + 4, 0);
            found += 1;
        }
    }
    assert!(found > 0);
}

#[tokio::test]
async fn that_there_was_a_flush_shows_also_where_the_log_does_not_say_it() {
    // The log does not begin with its first segment.
    let files = MemoryFiles::new();
    let store = open(&files);
    let mut last = 0;
    while counted(&store, "wal_bytes") < 1_500_000.0 {
        last += 1;
        send(&store, [last]).await;
    }
    store.shutdown().await;
    drop(store);
    forget_checkpoints(&files);
    lose_checkpoints(&files, None);
    let store = open(&files);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans((1..=last).flat_map(request).collect()));

    // Files were merged.
    let files = MemoryFiles::new();
    let store = filled(&files).await;
    drop(store);
    forget_checkpoints(&files);
    lose_checkpoints(&files, None);
    let store = open(&files);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
    check(&store, sent().filter(|sequence| *sequence < 41)).await;

    // A file was merged of which the log does not know. What it says of agents still holds, also
    // of what it does not hold any more.
    let files = MemoryFiles::new();
    let store = open(&files);
    send(&store, 1..=last).await;
    store.flush().await;
    let before = files.fork();
    send(&store, [last + 1]).await;
    store.flush().await;
    let core = store.core().clone();
    let merge = move || {
        let partitions = core.view.read().partitions.clone();
        let of_both = partitions.values().filter(|part| part.files.len() == 2);
        of_both
            .map(|part| merge_some(&core, part, 0..2).unwrap())
            .count()
    };
    assert!(tokio::task::spawn_blocking(merge).await.unwrap() > 0);
    drop(store);
    restore_log(&files, &before);
    lose_checkpoints(&files, None);
    let store = open(&files);
    assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
    for sequence in 1..=last {
        let rows = request(sequence);
        let ack = write_stamped(&store, Signal::Traces, &rows, stamp(sequence)).await;
        assert!(ack.unwrap().duplicate, "{sequence}");
    }
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    let expected = (1..=last + 1).flat_map(request).collect();
    assert!(plain_spans(found) == plain_spans(expected));

    // There is no log.
    let files = MemoryFiles::new();
    let store = open(&files);
    send(&store, 1..=3).await;
    store.flush().await;
    drop(store);
    for path in files.paths() {
        if path.starts_with("/data/wal") {
            files.remove_file(&path).unwrap();
        }
    }
    lose_checkpoints(&files, None);
    let store = open(&files);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans((1..=3).flat_map(request).collect()));
}

#[tokio::test]
async fn segments_of_the_log_that_are_gone_are_counted() {
    let files = MemoryFiles::new();
    let env = testkit::env(1, Arc::new(files.clone())).0;
    let options = Options {
        wal_bytes: 16 << 20,
        background_merges: false,
        ..Options::default()
    };
    let open = |files: &MemoryFiles| {
        let env = testkit::env(1, Arc::new(files.clone())).0;
        Store::open(
            env,
            Path::new("/data"),
            options.clone(),
            Arc::new(TestDecoder),
        )
        .unwrap()
    };
    let store = open(&files);
    send(&store, [1]).await;
    store.flush().await;
    let mut last = 1;
    while counted(&store, "wal_bytes") < 7_500_000.0 {
        last += 1;
        send(&store, [last]).await;
    }
    drop(store);
    let position = Checkpoint::read(&env, Path::new("/data/store"))
        .unwrap()
        .0
        .position();
    let segment = |number: u64| Path::new("/data/wal").join(format!("{number:020}.seg"));
    for (gone, segments, bytes) in [
        (vec![position.segment], 1.0, true),
        (vec![position.segment + 1], 1.0, false),
        (vec![position.segment, position.segment + 1], 1.0, false),
        (vec![], 0.0, false),
    ] {
        let files = files.fork();
        for number in &gone {
            files.remove_file(&segment(*number)).unwrap();
        }
        let store = open(&files);
        assert_eq!(
            counted(&store, "wal_lost_segments_total"),
            segments,
            "{gone:?}"
        );
        assert_eq!(
            counted(&store, "wal_lost_bytes_total") > 0.0,
            bytes,
            "{gone:?}"
        );
        let found = spans(&store, selection(Signal::Traces, Filter::All))
            .await
            .len();
        let all = last as usize * request(1).len();
        assert_eq!(found < all, !gone.is_empty(), "{gone:?}: {found} of {all}");
        assert!(found > request(1).len(), "{gone:?}: {found}");
    }
}

/// A store whose log has small segments.
fn open_small(files: &MemoryFiles) -> Store {
    open_small_over(Arc::new(files.clone()))
}

fn open_small_over(files: Arc<dyn Files>) -> Store {
    let env = testkit::env(1, files).0;
    let options = Options {
        wal_bytes: 512 << 10,
        background_merges: false,
        ..Options::default()
    };
    Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder)).unwrap()
}

#[tokio::test]
async fn none_of_the_log_is_freed_before_it_says_what_the_checkpoint_says() {
    // Whoever asks for a flush waits for it; one that begins by itself is not waited for.
    for asked in [true, false] {
        let memory = MemoryFiles::new();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        let store = open_small_over(Arc::new(files.clone()));
        send(&store, [1]).await;
        store.flush().await;
        let mut last = 1;
        while counted(&store, "wal_bytes") < 220_000.0 {
            last += 1;
            send(&store, [last]).await;
        }
        // What a crash leaves once a segment is gone.
        let (sender, left) = std::sync::mpsc::channel();
        let gone = AtomicBool::new(false);
        files.watch(move |change| {
            if gone.load(Ordering::SeqCst) {
                let _ = sender.send(memory.fork());
            }
            let is_segment = change.path.starts_with("/data/wal");
            gone.store(change.op == Op::Remove && is_segment, Ordering::SeqCst);
        });
        let left = if asked {
            store.flush().await;
            left.try_recv().unwrap()
        } else {
            loop {
                if let Ok(left) = left.try_recv() {
                    break left;
                }
                let rows = request(last + 1);
                match write_stamped(&store, Signal::Traces, &rows, stamp(last + 1)).await {
                    Ok(_) => last += 1,
                    // The log is full until what began by itself has freed some of it.
                    Err(WriteError::Retry { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        drop(store);
        lose_checkpoints(&left, None);
        let store = open_small(&left);
        assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
        assert_eq!(counted(&store, "wal_lost_bytes_total"), 0.0);
        let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
        // What was sent last may have come after the crash.
        let least = (last - u64::from(!asked)) as usize * request(1).len();
        assert!(found.len() >= least, "{} of {least}", found.len());
    }
}

#[tokio::test]
async fn a_log_with_a_gap_is_used_only_where_no_later_flush_had_what_is_gone() {
    let files = MemoryFiles::new();
    let store = open_small(&files);
    send(&store, [1]).await;
    store.flush().await;
    let mut last = 1;
    while counted(&store, "wal_bytes") < 220_000.0 {
        last += 1;
        send(&store, [last]).await;
    }
    let before = files.fork();
    store.flush().await;
    drop(store);
    // The first checkpoint is in the last segment, too, as where rows came during its flush.
    let env = testkit::env(1, Arc::new(before.clone())).0;
    let mut known = Checkpoint::read(&env, Path::new("/data/store")).unwrap().0;
    append(&before, &known);
    restore_log(&files, &before);
    let all: Vec<Span> = (1..=last).flat_map(request).collect();
    for gone in 1..=3 {
        let path = segment(gone);
        let aside = Path::new("/data/wal.quarantined-1");
        // All rows are in files, some of which the log does not know.
        let flushed = files.fork();
        flushed.remove_file(&path).unwrap();
        lose_checkpoints(&flushed, None);
        let store = open_small(&flushed);
        assert_eq!(counted(&store, "rebuilt_checkpoints_total"), 1.0);
        let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
        assert!(
            plain_spans(found) == plain_spans(all.clone()),
            "without segment {gone}"
        );
        assert!(flushed.stat(aside).unwrap().is_some());
        if gone == 1 {
            continue;
        }
        // There was no such flush: what is left of the log is replayed.
        let unflushed = before.fork();
        unflushed.remove_file(&path).unwrap();
        lose_checkpoints(&unflushed, None);
        let store = open_small(&unflushed);
        let found = spans(&store, selection(Signal::Traces, Filter::All))
            .await
            .len();
        assert!(
            found > all.len() / 2 && found < all.len(),
            "without segment {gone}: {found} of {}",
            all.len()
        );
        assert!(unflushed.stat(aside).unwrap().is_none());
    }
    // Where the log is to begin is among what is gone.
    known.wal_segment = 3;
    append(&before, &known);
    restore_log(&files, &before);
    for gone in 2..=3 {
        files.remove_file(&segment(gone)).unwrap();
    }
    lose_checkpoints(&files, None);
    let store = open_small(&files);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(all));
}

fn segment(number: u64) -> PathBuf {
    Path::new("/data/wal").join(format!("{number:020}.seg"))
}

/// Has the log say this, too.
fn append(files: &MemoryFiles, checkpoint: &Checkpoint) {
    let env = testkit::env(1, Arc::new(files.clone())).0;
    let record = crate::store::record::checkpoint(checkpoint).unwrap();
    let options = journal::Options::default();
    let (mut log, _) = journal::Journal::open(&env, Path::new("/data/wal"), options).unwrap();
    log.append(&record).unwrap();
    log.sync().unwrap();
}
