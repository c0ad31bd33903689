//! The store against its promises: what comes back, when, and after what.

mod active;
mod ahead;
mod answers;
mod bad_sectors;
mod commits;
mod crash;
mod cut_short;
mod downsampling;
mod extremes;
mod failure;
mod fields;
mod grouping;
mod groups;
mod half_written;
mod heavy;
mod known_damage;
mod merging;
mod observer;
mod open_files;
mod partitions;
mod points;
mod rebuild;
mod recount;
mod refused;
mod room;
mod same;
mod targets;
mod undated;

use model::{ClockOffset, Signal, Span, Value};
use tempfile::tempdir;

use crate::filter::Filter;
use crate::message::*;
use crate::testing::*;
use crate::write::{Stamp, WriteError};
use crate::{Options, Store};

/// The sum of what the store counts under a name.
fn counted(store: &Store, name: &str) -> f64 {
    let name = format!("throughline_storage_{name}");
    let metrics = store.metrics();
    let of_name = metrics.iter().filter(|(known, ..)| *known == name);
    of_name.map(|(_, _, value)| value).sum()
}

/// Merges what is due.
async fn merge(store: &Store) {
    let core = store.core().clone();
    let merge = move || super::merger::merge_all(&core);
    tokio::task::spawn_blocking(merge).await.unwrap();
}

async fn fill(store: &Store, seed: u64, rows: usize) -> (Vec<Span>, Vec<model::LogRecord>) {
    let mut generator = Generator::new(seed);
    let spans: Vec<_> = (0..rows).map(|_| generator.span()).collect();
    let logs: Vec<_> = (0..rows).map(|_| generator.log()).collect();
    for batch in spans.chunks(37) {
        write(store, Signal::Traces, batch).await.unwrap();
    }
    for batch in logs.chunks(23) {
        write(store, Signal::Logs, batch).await.unwrap();
    }
    (spans, logs)
}

#[tokio::test]
async fn rows_come_back_as_sent_from_head_and_files_and_after_restarts() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (mut sent_spans, mut sent_logs) = fill(&store, 1, 300).await;
    let mut generator = Generator::new(9);
    let sent_points: Vec<_> = (0..400).map(|_| generator.point()).collect();
    let ack = write(&store, Signal::Metrics, &sent_points).await.unwrap();
    assert_eq!(ack.accepted, 400);
    let check = async |store: &Store, spans_sent: &[Span], logs_sent: &[model::LogRecord]| {
        let found = spans(store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans(spans_sent.to_vec()));
        let found = logs(store, selection(Signal::Logs, Filter::All)).await;
        assert!(plain_logs(found) == plain_logs(logs_sent.to_vec()));
        assert!(sorted(points(store).await) == sorted(sent_points.clone()));
    };
    check(&store, &sent_spans, &sent_logs).await;
    // Killed before a flush: the WAL has it all.
    drop(store);
    let store = open(dir.path());
    check(&store, &sent_spans, &sent_logs).await;
    store.flush().await;
    check(&store, &sent_spans, &sent_logs).await;
    // Killed after a flush, and rows in both places.
    let (more_spans, more_logs) = fill(&store, 2, 100).await;
    sent_spans.extend(more_spans);
    sent_logs.extend(more_logs);
    check(&store, &sent_spans, &sent_logs).await;
    drop(store);
    let store = open(dir.path());
    check(&store, &sent_spans, &sent_logs).await;
    store.shutdown().await;
    assert!(matches!(
        write(&store, Signal::Traces, &sent_spans).await,
        Err(WriteError::Closed)
    ));
    drop(store);
    let store = open(dir.path());
    check(&store, &sent_spans, &sent_logs).await;
}

#[tokio::test]
async fn a_small_head_limit_flushes_on_the_way_and_on_replay() {
    let dir = tempdir().unwrap();
    let options = Options {
        head_bytes: 40_000,
        block_rows: 64,
        ..Options::default()
    };
    let store = open_with(dir.path(), options.clone());
    let (mut sent, _) = fill(&store, 3, 500).await;
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    drop(store);
    // More than a small head is in the log.
    let large = Options {
        head_bytes: 64 << 20,
        ..options.clone()
    };
    let store = open_with(dir.path(), large);
    let (more, _) = fill(&store, 13, 100).await;
    sent.extend(more);
    drop(store);
    let small = Options {
        head_bytes: 10_000,
        ..options
    };
    // Twice, since what is in files by then must not be replayed again.
    for turn in 0..2 {
        let store = open_with(dir.path(), small.clone());
        assert!(turn > 0 || counted(&store, "flushes_total") > 0.0);
        let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans(sent.clone()));
    }
}

#[tokio::test]
async fn files_without_a_checkpoint_do_not_count() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (sent, _) = fill(&store, 4, 50).await;
    drop(store);
    // What a crash between the files and the checkpoint of a flush leaves behind.
    let copy = tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .args([
            "-a",
            &format!("{}/wal", dir.path().display()),
            &copy.path().display().to_string(),
        ])
        .status();
    assert!(status.unwrap().success());
    let store = open(dir.path());
    store.flush().await;
    drop(store);
    std::fs::remove_dir_all(dir.path().join("wal")).unwrap();
    std::fs::rename(copy.path().join("wal"), dir.path().join("wal")).unwrap();
    std::fs::remove_file(dir.path().join("store/CHECKPOINT")).unwrap();
    let store = open(dir.path());
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    store.flush().await;
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent));
}

#[tokio::test]
async fn a_second_store_on_the_folder_is_refused() {
    let dir = tempdir().unwrap();
    let _store = open(dir.path());
    let decoder = std::sync::Arc::new(TestDecoder);
    assert!(Store::open(env::Env::real(), dir.path(), Options::default(), decoder).is_err());
}

#[tokio::test]
async fn stamped_batches_are_stored_once() {
    let dir = tempdir().unwrap();
    let mut generator = Generator::new(5);
    let rows: Vec<_> = (0..3).map(|_| generator.span()).collect();
    let stamp = |sequence| {
        Some(Stamp {
            agent: "agent-1".to_owned(),
            epoch: 7,
            sequence,
            sent_unix_nano: 0,
            complete_to_unix_nano: 42,
            clock: None,
        })
    };
    let store = open(dir.path());
    let ack = write_stamped(&store, Signal::Traces, &rows, stamp(1))
        .await
        .unwrap();
    assert!(!ack.duplicate);
    let count = async |store: &Store| {
        spans(store, selection(Signal::Traces, Filter::All))
            .await
            .len()
    };
    let again = write_stamped(&store, Signal::Traces, &rows, stamp(1))
        .await
        .unwrap();
    assert!(again.duplicate && again.accepted == 3);
    assert_eq!(count(&store).await, 3);
    drop(store);
    let store = open(dir.path());
    assert!(
        write_stamped(&store, Signal::Traces, &rows, stamp(1))
            .await
            .unwrap()
            .duplicate
    );
    store.flush().await;
    drop(store);
    let store = open(dir.path());
    assert!(
        write_stamped(&store, Signal::Traces, &rows, stamp(1))
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        !write_stamped(&store, Signal::Traces, &rows, stamp(2))
            .await
            .unwrap()
            .duplicate
    );
    assert_eq!(count(&store).await, 6);
}

#[tokio::test]
async fn the_senders_clock_offset_stays_with_every_row() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let clock = |offset_nano| ClockOffset {
        offset_nano,
        error_nano: 2_000,
    };
    let stamp = |agent: &str, clock| Stamp {
        agent: agent.to_owned(),
        epoch: 1,
        sequence: 1,
        sent_unix_nano: 0,
        complete_to_unix_nano: 0,
        clock,
    };
    let stamps = [
        None,
        Some(stamp("even", Some(clock(0)))),
        Some(stamp("late", Some(clock(3_000_000_000)))),
        Some(stamp("new", None)),
        Some(stamp("early", Some(clock(-7)))),
    ];
    let mut generator = Generator::new(6);
    let (mut sent_spans, mut sent_logs) = (Vec::new(), Vec::new());
    for stamp in stamps {
        let clock = stamp.as_ref().and_then(|stamp| stamp.clock);
        let spans: Vec<_> = (0..40).map(|_| generator.span()).collect();
        let logs: Vec<_> = (0..40).map(|_| generator.log()).collect();
        let next = stamp.clone().map(|stamp| Stamp {
            sequence: 2,
            ..stamp
        });
        for (signal, ack) in [
            (
                Signal::Traces,
                write_stamped(&store, Signal::Traces, &spans, stamp).await,
            ),
            (
                Signal::Logs,
                write_stamped(&store, Signal::Logs, &logs, next).await,
            ),
        ] {
            assert_eq!(ack.unwrap().accepted, 40, "{signal}");
        }
        sent_spans.extend(spans.into_iter().map(|span| Span { clock, ..span }));
        sent_logs.extend(
            logs.into_iter()
                .map(|log| model::LogRecord { clock, ..log }),
        );
    }
    let check = async |store: &Store| {
        let found = spans(store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans(sent_spans.clone()));
        let found = logs(store, selection(Signal::Logs, Filter::All)).await;
        assert!(plain_logs(found) == plain_logs(sent_logs.clone()));
    };
    check(&store).await;
    drop(store);
    let store = open(dir.path());
    check(&store).await;
    store.flush().await;
    check(&store).await;
    drop(store);
    check(&open(dir.path())).await;
}

#[tokio::test]
async fn a_tail_shows_new_rows_and_counts_what_it_drops() {
    use futures::StreamExt;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(14);
    let rows: Vec<_> = (0..10).map(|_| generator.log()).collect();
    write(&store, Signal::Logs, &rows).await.unwrap();
    let request = Request::Tail {
        selection: selection(Signal::Logs, Filter::All),
        buffer: 15,
    };
    let mut tail = crate::read::Read::execute(&store, request, Limits::default());
    for _ in 0..3 {
        write(&store, Signal::Logs, &rows).await.unwrap();
    }
    let mut next = async || match tail.next().await.unwrap().unwrap() {
        Reply::Tail(tail) => tail,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, crate::message::Tail::default());
    let first = next().await;
    assert_eq!(
        (first.sequence, first.dropped, first.logs.len()),
        (10, 0, 10)
    );
    let second = next().await;
    assert_eq!(
        (second.sequence, second.dropped, second.logs.len()),
        (20, 5, 5)
    );
    write(&store, Signal::Logs, &rows).await.unwrap();
    let third = next().await;
    assert_eq!(
        (third.sequence, third.dropped, third.logs.len()),
        (40, 15, 10)
    );
}

#[tokio::test]
async fn what_waits_for_slow_tails_is_bounded_in_bytes() {
    use futures::{FutureExt, StreamExt};
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let tail = || {
        let request = Request::Tail {
            selection: selection(Signal::Logs, Filter::All),
            buffer: 1_000_000,
        };
        crate::read::Read::execute(&store, request, Limits::default())
    };
    /// Records that wait, and how many the last message says were dropped.
    fn waiting(tail: &mut crate::read::Replies) -> (usize, u64) {
        let (mut records, mut dropped) = (0, 0);
        while let Some(Some(Ok(Reply::Tail(part)))) = tail.next().now_or_never() {
            records += part.logs.len();
            dropped = part.dropped;
        }
        (records, dropped)
    }
    let mut large = Generator::new(16).log();
    large.body = Value::Str("x".repeat(1 << 20));
    let large = [large];
    let mut alone = tail();
    for _ in 0..12 {
        write(&store, Signal::Logs, &large).await.unwrap();
    }
    // One reader has room for 8 MiB, and again once it has read them.
    assert_eq!(waiting(&mut alone), (8, 0));
    write(&store, Signal::Logs, &large).await.unwrap();
    assert_eq!(waiting(&mut alone), (1, 4));
    drop(alone);

    // All together have room for 64 MiB. What a reader leaves behind when it goes is room again.
    for _ in 0..2 {
        let mut tails: Vec<_> = (0..12).map(|_| tail()).collect();
        for _ in 0..7 {
            write(&store, Signal::Logs, &large).await.unwrap();
        }
        let unread = tails.split_off(6);
        let all: usize = tails.iter_mut().map(|tail| waiting(tail).0).sum();
        assert_eq!(all, 6 * 5 + 4);
        drop(unread);
    }
}

#[tokio::test]
async fn requests_without_a_stamp_are_stored_once_within_the_window_if_that_is_wanted() {
    let dir = tempdir().unwrap();
    let hour = std::time::Duration::from_secs(3_600);
    let mut generator = Generator::new(35);
    let rows: Vec<_> = (0..3).map(|_| generator.span()).collect();
    let open_at = |now, repeat_window| {
        let (env, clock) = testkit::env(1, std::sync::Arc::new(env::RealFiles));
        clock.set_unix(now);
        let options = Options {
            repeat_window,
            ..Options::default()
        };
        let decoder = std::sync::Arc::new(TestDecoder);
        (
            Store::open(env, dir.path(), options, decoder).unwrap(),
            clock,
        )
    };
    let send = async |store: &Store| {
        let ack = write(store, Signal::Traces, &rows).await.unwrap();
        assert_eq!(ack.accepted, 3);
        ack.duplicate
    };
    let (store, _) = open_at(BASE, hour);
    assert!(!send(&store).await);
    assert!(send(&store).await);
    // Known from the log, then from the checkpoint.
    drop(store);
    let (store, _) = open_at(BASE, hour);
    assert!(send(&store).await);
    store.shutdown().await;
    drop(store);
    let (store, clock) = open_at(BASE, hour);
    assert!(send(&store).await);
    assert_eq!(counted(&store, "duplicate_batches_total"), 1.0);
    // Another tenant's is another one.
    let request = postcard::to_stdvec(&rows).unwrap().into();
    let batch = crate::write::Batch {
        tenant: model::Tenant::new("other").unwrap(),
        signal: Signal::Traces,
        format: model::Format::Otlp,
        request,
        stamp: None,
    };
    assert!(!store.write(batch).await.unwrap().duplicate);
    clock.advance(3_600 * model::time::NANOS_PER_SECOND);
    assert!(!send(&store).await, "forgotten");
    drop(store);
    let (store, _) = open_at(BASE, std::time::Duration::ZERO);
    assert!(!send(&store).await, "not wanted");
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert_eq!(found.len(), 9);
}

#[tokio::test]
async fn nobody_waits_for_a_commit_thread_that_is_gone() {
    let (jobs, queue) = tokio::sync::mpsc::unbounded_channel();
    // Kept, as what lies in a queue that nobody reads.
    let (_kept, unanswered) = tokio::sync::oneshot::channel::<()>();
    let (answer, answered) = tokio::sync::oneshot::channel();
    answer.send(7).unwrap();
    drop(queue);
    assert_eq!(super::answer_from(&jobs, unanswered).await, None);
    assert_eq!(super::answer_from(&jobs, answered).await, Some(7));
}
