//! Spans whose counts were not written, over kills and flushes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::{Format, Signal, Span, SpanId, Tenant, TraceId, Value};
use parking_lot::Mutex;
use tempfile::tempdir;

use super::counted;
use crate::testing::*;
use crate::write::{Batch, Mark, Observe, Show, Stamp};
use crate::{Options, Store};

/// How often each span was shown, by tenant and number.
type Times = BTreeMap<(String, u8), usize>;

/// What was shown, and the last mark.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Times, Mark)>>);

impl Observe for Seen {
    fn attributes(&self) -> Arc<[String]> {
        Arc::new([])
    }

    fn spans(&mut self, mark: Mark, show: &mut Show<'_>) {
        let mut seen = self.0.lock();
        show(&mut |span| {
            let key = (span.tenant.to_string(), span.span_id.0[0]);
            *seen.0.entry(key).or_default() += 1;
        });
        assert!(mark >= seen.1, "marks never go back");
        seen.1 = mark;
    }
}

impl Seen {
    fn mark(&self) -> Mark {
        self.0.lock().1
    }

    /// What was shown; all of it once.
    #[track_caller]
    fn numbers(&self, tenant: &str) -> Vec<u8> {
        let seen = self.0.lock();
        assert!(seen.0.values().all(|times| *times == 1), "{:?}", seen.0);
        let own = seen.0.keys().filter(|(other, _)| other == tenant);
        own.map(|(_, number)| *number).collect()
    }
}

fn options() -> Options {
    Options {
        count_spans: true,
        block_rows: 64,
        ..Options::default()
    }
}

fn start(dir: &Path, options: Options) -> (Store, Seen) {
    let (store, seen) = (open_with(dir, options), Seen::default());
    store.set_observer(Box::new(seen.clone()));
    (store, seen)
}

fn batch<T: serde::Serialize>(tenant: &str, signal: Signal, rows: &[T]) -> Batch {
    Batch {
        tenant: Tenant::new(tenant).unwrap(),
        signal,
        format: Format::Otlp,
        request: Bytes::from(postcard::to_stdvec(rows).unwrap()),
        stamp: None,
    }
}

/// Spans of these numbers, each about so long.
fn spans_of(tenant: &str, numbers: impl IntoIterator<Item = u8>, bytes: usize) -> Batch {
    let spans = numbers.into_iter().map(|number| Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([number; 8]),
        start_unix_nano: 5,
        end_unix_nano: 6,
        attributes: vec![model::KeyValue::new(
            "fill",
            Value::Bytes(vec![number; bytes]),
        )],
        ..Span::default()
    });
    let spans: Vec<Span> = spans.collect();
    batch(tenant, Signal::Traces, &spans)
}

async fn send(store: &Store, tenant: &str, numbers: impl IntoIterator<Item = u8>, bytes: usize) {
    let sent = store.write(spans_of(tenant, numbers, bytes)).await;
    assert!(sent.unwrap().accepted > 0);
}

/// Writes counts of a tenant, which cover its spans up to the mark.
async fn write_counts(store: &Store, tenant: &str, to: Mark) {
    let point = Generator::new(7).point();
    let counts = batch(tenant, Signal::Metrics, &[point]);
    store.write_counts(counts, Some(to)).await.unwrap();
}

#[tokio::test]
async fn after_a_kill_the_spans_are_shown_whose_counts_were_not_written() {
    let dir = tempdir().unwrap();
    let (store, seen) = start(dir.path(), options());
    send(&store, "a", 1..4, 10).await;
    send(&store, "b", 1..2, 10).await;
    store.observed().await;
    let mark = seen.mark();
    send(&store, "a", 4..5, 10).await;
    write_counts(&store, "a", mark).await;
    send(&store, "a", 5..6, 10).await;
    store.observed().await;
    assert_eq!(seen.numbers("a"), [1, 2, 3, 4, 5]);
    drop(store);

    let (store, seen) = start(dir.path(), options());
    assert_eq!(seen.numbers("a"), [4, 5]);
    assert_eq!(seen.numbers("b"), [1], "nothing was written of it");
    // What is written covers what was shown, too; then nothing is left.
    send(&store, "a", 6..7, 10).await;
    store.observed().await;
    assert_eq!(seen.numbers("a"), [4, 5, 6]);
    write_counts(&store, "a", seen.mark()).await;
    write_counts(&store, "b", seen.mark()).await;
    drop(store);
    let (store, seen) = start(dir.path(), options());
    assert_eq!((seen.numbers("a"), seen.numbers("b")), (vec![], vec![]));
    drop(store);
}

#[tokio::test]
async fn spans_that_are_in_files_are_shown_as_well() {
    let dir = tempdir().unwrap();
    let (store, _) = start(dir.path(), options());
    send(&store, "default", 1..3, 10).await;
    store.flush().await;
    send(&store, "default", 3..4, 10).await;
    drop(store);
    for _ in 0..2 {
        let (store, seen) = start(dir.path(), options());
        assert_eq!(seen.numbers("default"), [1, 2, 3]);
        let rows = selection(Signal::Traces, crate::filter::Filter::All);
        assert_eq!(
            spans(&store, rows).await.len(),
            3,
            "and none of them stored twice"
        );
        store.flush().await;
        drop(store);
    }
}

#[tokio::test]
async fn the_log_goes_once_the_counts_are_written() {
    let dir = tempdir().unwrap();
    let (store, seen) = start(dir.path(), options());
    send(&store, "default", 1..5, 600_000).await;
    store.flush().await;
    assert!(counted(&store, "wal_bytes") > 2_000_000.0);
    store.observed().await;
    write_counts(&store, "default", seen.mark()).await;
    store.counted(seen.mark());
    store.flush().await;
    assert!(counted(&store, "wal_bytes") < 10_000.0);
    store.shutdown().await;
    drop(store);
    let (store, seen) = start(dir.path(), options());
    assert_eq!(seen.numbers("default"), [0_u8; 0]);
    drop(store);
}

#[tokio::test]
async fn the_log_is_not_kept_for_long_where_counts_are_not_written() {
    let dir = tempdir().unwrap();
    let small = || Options {
        wal_bytes: 2 << 20,
        head_bytes: 1 << 20,
        ..options()
    };
    let (store, seen) = start(dir.path(), small());
    for number in 0..40 {
        send(&store, "default", [number], 100_000).await;
        store.flush().await;
    }
    // Somebody is asked to write, and in the end it goes all the same.
    store.counts_wanted().await;
    assert!(counted(&store, "wal_uncovered_bytes_total") > 500_000.0);
    assert!(counted(&store, "wal_bytes") < 1_500_000.0);
    store.observed().await;
    assert_eq!(seen.numbers("default").len(), 40, "they were counted");
    drop(store);
    let (store, seen) = start(dir.path(), small());
    let shown = seen.numbers("default");
    assert!(shown.len() < 20, "{shown:?}");
    drop(store);
}

#[tokio::test]
async fn where_nobody_counts_the_log_is_not_kept() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    send(&store, "default", 1..5, 600_000).await;
    store.flush().await;
    assert!(counted(&store, "wal_bytes") < 10_000.0);
    drop(store);
}

#[tokio::test]
async fn a_repeat_is_not_counted_again() {
    let dir = tempdir().unwrap();
    let window = || Options {
        repeat_window: std::time::Duration::from_secs(600),
        ..options()
    };
    let stamped = || Batch {
        stamp: Some(Stamp {
            agent: "agent-1".to_owned(),
            epoch: 1,
            sequence: 7,
            sent_unix_nano: 0,
            complete_to_unix_nano: 0,
            clock: None,
        }),
        ..spans_of("default", 1..3, 10)
    };
    let (store, seen) = start(dir.path(), window());
    for _ in 0..2 {
        store.write(stamped()).await.unwrap();
        // Known by what it holds.
        store.write(spans_of("default", 5..6, 10)).await.unwrap();
    }
    store.observed().await;
    assert_eq!(seen.numbers("default"), [1, 2, 5]);
    drop(store);
    let (store, seen) = start(dir.path(), window());
    assert!(store.write(stamped()).await.unwrap().duplicate);
    store.observed().await;
    assert_eq!(seen.numbers("default"), [1, 2, 5]);
    drop(store);
}
