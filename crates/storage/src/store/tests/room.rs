//! What happens when there is no room: on the disk, in the WAL, among the series.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{Files, RealFiles};
use model::metric::Series;
use model::row::Reject;
use model::time::NANOS_PER_SECOND;
use model::{DataPoint, KeyValue, LogRecord, Signal, Span, Tenant};
use tempfile::{TempDir, tempdir};
use testkit::{Failure, FaultFiles, ManualClock, MemoryFiles, Op, Plan};

use crate::filter::Filter;
use crate::testing::*;
use crate::write::{Batch, WriteError};
use crate::{Options, Store};

/// A store whose disk may run full.
struct Rig {
    dir: TempDir,
    files: FaultFiles,
    options: Options,
}

impl Rig {
    fn new(options: Options) -> Self {
        Self {
            dir: tempdir().unwrap(),
            files: FaultFiles::over(Arc::new(RealFiles)),
            options: Options {
                block_rows: 64,
                flush_retry: Duration::from_millis(5),
                ..options
            },
        }
    }

    /// Once there is room again a store takes rows, and has all that it was told it has.
    async fn heals(&self, store: &Store, generator: &mut Generator, stored: &mut Vec<Span>) {
        self.files.heal();
        store.flush().await;
        let rows = [generator.span()];
        write(store, Signal::Traces, &rows).await.unwrap();
        stored.extend(rows);
        assert_holds(store, stored).await;
    }

    fn open(&self) -> (Store, Arc<ManualClock>) {
        let (env, clock) = testkit::env(3, Arc::new(self.files.clone()));
        let (dir, options) = (self.dir.path(), self.options.clone());
        let store = Store::open(env, dir, options, Arc::new(TestDecoder)).unwrap();
        (store, clock)
    }

    /// From now on there is no room for what these calls would write under paths with the word.
    fn fill_disk(&self, ops: &[Op], path_contains: &str) {
        for op in ops {
            self.fail(*op, path_contains, Failure::StorageFull);
        }
    }

    /// From now on no files of rows can be made, which is not for want of room.
    fn deny_files(&self) {
        self.fail(Op::Create, ".blocks", Failure::Denied);
    }

    fn fail(&self, op: Op, path_contains: &str, failure: Failure) {
        self.files.plan(Plan {
            path_contains: path_contains.to_owned(),
            ..Plan::always(op, failure)
        });
    }
}

/// Writes spans until the store asks to come again: what was stored, and the reason given.
async fn fill_store(store: &Store, generator: &mut Generator) -> (Vec<Span>, String) {
    let mut stored = Vec::new();
    for _ in 0..20_000 {
        let rows: Vec<Span> = (0..40).map(|_| generator.span()).collect();
        match write(store, Signal::Traces, &rows).await {
            Ok(_) => stored.extend(rows),
            Err(WriteError::Retry { reason, .. }) => return (stored, reason),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store takes whatever comes");
}

async fn assert_holds(store: &Store, stored: &[Span]) {
    let found = spans(store, selection(Signal::Traces, Filter::All)).await;
    assert_eq!(found.len(), stored.len());
    assert!(plain_spans(found) == plain_spans(stored.to_vec()));
}

fn metric(store: &Store, name: &str, label: &str) -> f64 {
    let name = format!("throughline_storage_{name}");
    let metrics = store.metrics();
    let found = metrics.iter().find(|(known, labels, _)| {
        *known == name && (label.is_empty() || labels.iter().any(|(_, value)| value == label))
    });
    found.unwrap_or_else(|| panic!("no {name} {label}")).2
}

/// Nothing more is taken, and whoever sends is asked to come again.
async fn assert_full(store: &Store, generator: &mut Generator) {
    let refused = write(store, Signal::Traces, &[generator.span()]).await;
    assert!(
        matches!(refused, Err(WriteError::Retry { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_full_wal_asks_to_come_again_until_it_is_in_files() {
    let rig = Rig::new(Options {
        wal_bytes: 1 << 19,
        ..Options::default()
    });
    let (store, _) = rig.open();
    let mut generator = Generator::new(30);
    rig.deny_files();
    let (mut stored, reason) = fill_store(&store, &mut generator).await;
    assert!(reason.contains("write-ahead log"), "{reason}");
    assert!(metric(&store, "retried_batches_total", "wal_full") >= 1.0);
    assert!(metric(&store, "wal_bytes", "") <= f64::from(1 << 19));
    assert_holds(&store, &stored).await;

    rig.heals(&store, &mut generator, &mut stored).await;
    assert!(metric(&store, "wal_bytes", "") < f64::from(1 << 18));
}

#[tokio::test]
async fn heads_that_cannot_be_written_do_not_keep_the_store_from_stopping_or_starting() {
    let rig = Rig::new(Options {
        head_bytes: 60_000,
        ..Options::default()
    });
    let (store, _) = rig.open();
    let mut generator = Generator::new(31);
    rig.deny_files();
    let (mut stored, reason) = fill_store(&store, &mut generator).await;
    assert!(
        reason.contains("cannot be written to files: Permission denied"),
        "{reason}"
    );
    assert!(metric(&store, "retried_batches_total", "head_full") >= 1.0);
    assert_holds(&store, &stored).await;
    store.shutdown().await;
    drop(store);

    // The disk is still full: what the WAL holds is there to be read, and no more is taken once it is
    // known that it cannot be written.
    let (store, _) = rig.open();
    assert_holds(&store, &stored).await;
    stored.extend(fill_store(&store, &mut generator).await.0);
    assert_full(&store, &mut generator).await;

    rig.heals(&store, &mut generator, &mut stored).await;
    store.shutdown().await;
    drop(store);
    assert_holds(&rig.open().0, &stored).await;
}

#[tokio::test]
async fn a_disk_without_any_room_opens_for_reading() {
    let rig = Rig::new(Options::default());
    let (store, _) = rig.open();
    let mut generator = Generator::new(32);
    let mut stored: Vec<Span> = (0..300).map(|_| generator.span()).collect();
    write(&store, Signal::Traces, &stored).await.unwrap();
    drop(store);
    rig.fill_disk(&[Op::Create, Op::Write, Op::Preallocate], "");
    let rig = Rig {
        options: Options {
            head_bytes: 10_000,
            ..rig.options
        },
        ..rig
    };
    let (store, _) = rig.open();
    assert_holds(&store, &stored).await;
    assert_full(&store, &mut generator).await;
    rig.heals(&store, &mut generator, &mut stored).await;
}

#[tokio::test]
async fn while_files_lack_room_the_log_takes_none() {
    let rig = Rig::new(Options::default());
    let (store, _) = rig.open();
    let mut generator = Generator::new(37);
    let mut stored: Vec<Span> = (0..100).map(|_| generator.span()).collect();
    write(&store, Signal::Traces, &stored).await.unwrap();
    rig.fill_disk(&[Op::Create], ".blocks");
    // It is tried, and fails. The log could be written all the while.
    store.flush().await;
    for _ in 0..3 {
        assert_full(&store, &mut generator).await;
    }
    assert_eq!(metric(&store, "retried_batches_total", "wal_write"), 3.0);
    assert_holds(&store, &stored).await;
    rig.heals(&store, &mut generator, &mut stored).await;
}

#[tokio::test]
async fn a_log_without_room_has_its_rows_written_to_files_before_it_takes_more() {
    let rig = Rig::new(Options::default());
    let (store, _) = rig.open();
    let mut generator = Generator::new(38);
    let log = |ops: &[Op]| rig.fill_disk(ops, ".seg");
    log(&[Op::Write]);
    // Nothing is in memory: once there is room the first request is taken.
    assert_full(&store, &mut generator).await;
    rig.files.heal();
    let mut stored = vec![generator.span()];
    write(&store, Signal::Traces, &stored).await.unwrap();
    assert_eq!(metric(&store, "flushes_total", ""), 0.0);

    log(&[Op::Write]);
    assert_full(&store, &mut generator).await;
    rig.heals(&store, &mut generator, &mut stored).await;
    assert!(metric(&store, "flushes_total", "") >= 1.0);
}

/// Writes until so many more rows are stored, and flushes when it is asked to come again; false
/// where that does not help.
async fn comes_again(
    store: &Store,
    generator: &mut Generator,
    stored: &mut Vec<Span>,
    more: usize,
) -> bool {
    let enough = stored.len() + more;
    let mut refused = 0;
    while stored.len() < enough && refused < 5 {
        let rows: Vec<Span> = (0..40).map(|_| generator.span()).collect();
        match write(store, Signal::Traces, &rows).await {
            Ok(_) => {
                stored.extend(rows);
                refused = 0;
            }
            Err(WriteError::Retry { .. }) => {
                refused += 1;
                store.flush().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    stored.len() >= enough
}

#[tokio::test]
async fn the_log_leaves_files_the_room_that_they_need() {
    const BALLAST: usize = 3 << 20;
    let files = MemoryFiles::new();
    files.set_capacity(Some(6 << 20));
    let ballast = Path::new("/ballast");
    let file = files.create(ballast).unwrap();
    file.write_vectored_at(&[&vec![0; BALLAST]], 0).unwrap();
    let (env, _) = testkit::env(3, Arc::new(files.clone()));
    let options = Options {
        block_rows: 64,
        flush_retry: Duration::from_millis(5),
        background_merges: false,
        ..Options::default()
    };
    let store = Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder)).unwrap();
    let mut generator = Generator::new(39);
    let mut stored = Vec::new();
    let taken = comes_again(&store, &mut generator, &mut stored, usize::MAX / 2).await;
    assert!(!taken && !stored.is_empty());
    assert_holds(&store, &stored).await;

    files.remove_file(ballast).unwrap();
    let as_many = stored.len() / 2;
    assert!(comes_again(&store, &mut generator, &mut stored, as_many).await);
    store.flush().await;
    assert_eq!(metric(&store, "head_bytes", ""), 0.0);
    assert_eq!(metric(&store, "flush_errors_total", ""), 0.0);
    assert_holds(&store, &stored).await;
}

/// One point of each of these series, which differ in their names alone.
fn gauges(names: &[&str]) -> Vec<(Series, DataPoint)> {
    let (series, point) = Generator::new(33).point();
    let gauge = |name: &&str| {
        let mut series = series.clone();
        let mut metric = (*series.metric).clone();
        metric.name = (*name).to_owned();
        series.metric = Arc::new(metric);
        (series, point.clone())
    };
    names.iter().map(gauge).collect()
}

async fn names(store: &Store) -> Vec<String> {
    let found = points(store).await;
    let mut names: Vec<String> = found
        .iter()
        .map(|(series, _)| series.metric.name.clone())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn series_beyond_the_limit_are_refused_until_others_end() {
    let rig = Rig::new(Options {
        series: 2,
        ..Options::default()
    });
    let (store, clock) = rig.open();
    let send = async |store: &Store, names: &[&str]| {
        let ack = write(store, Signal::Metrics, &gauges(names)).await.unwrap();
        (ack.accepted, ack.rejected)
    };
    assert_eq!(send(&store, &["a", "b", "a"]).await, (3, vec![]));
    let refused = vec![(Reject::SeriesLimit, 3)];
    assert_eq!(send(&store, &["c", "a", "d", "c", "b"]).await, (2, refused));
    assert_eq!(metric(&store, "rejected_rows_total", "series_limit"), 3.0);
    assert_eq!(metric(&store, "active_series", "default"), 2.0);
    let mut expected = vec!["a", "a", "a", "b", "b"];
    assert_eq!(names(&store).await, expected);

    clock.advance(1_800 * NANOS_PER_SECOND);
    assert_eq!(send(&store, &["a"]).await.0, 1);
    clock.advance(1_800 * NANOS_PER_SECOND);
    let refused = vec![(Reject::SeriesLimit, 1)];
    assert_eq!(
        send(&store, &["c", "d"]).await,
        (1, refused),
        "no point of b for an hour, and one of a since"
    );
    expected.extend(["a", "c"]);
    expected.sort_unstable();
    assert_eq!(names(&store).await, expected);
    drop(store);
    // What was refused does not come back from the WAL.
    let (store, _) = rig.open();
    assert_eq!(names(&store).await, expected);
}

#[tokio::test]
async fn a_batch_that_takes_too_much_memory_is_refused_for_good_and_leaves_nothing() {
    let rig = Rig::new(Options {
        decoded_bytes: 100_000,
        ..Options::default()
    });
    let (store, _) = rig.open();
    let mut generator = Generator::new(34);
    let mut spans = |count: usize| -> Vec<Span> { (0..count).map(|_| generator.span()).collect() };
    let few = spans(20);
    write(&store, Signal::Traces, &few).await.unwrap();
    let refused = write(&store, Signal::Traces, &spans(2_000)).await;
    let Err(WriteError::TooLarge(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("more than 100000 bytes"), "{reason}");
    assert_eq!(metric(&store, "too_large_batches_total", ""), 1.0);
    assert_holds(&store, &few).await;
    assert_eq!(store.budget().used(), 0);
}

#[tokio::test]
async fn while_others_hold_the_memory_a_batch_is_asked_to_come_again() {
    let rig = Rig::new(Options {
        in_flight_bytes: 1 << 20,
        decoded_bytes: 1 << 20,
        ..Options::default()
    });
    let (store, _) = rig.open();
    let mut generator = Generator::new(35);
    let rows: Vec<Span> = (0..50).map(|_| generator.span()).collect();
    let mut other = store.budget().room(usize::MAX);
    other.resize((1 << 20) - 1_000).unwrap();
    let refused = write(&store, Signal::Traces, &rows).await;
    assert!(
        matches!(refused, Err(WriteError::Retry { .. })),
        "{refused:?}"
    );
    assert_eq!(metric(&store, "retried_batches_total", "memory"), 1.0);
    drop(other);
    write(&store, Signal::Traces, &rows).await.unwrap();
    assert_holds(&store, &rows).await;
    assert_eq!(store.budget().used(), 0);
}

#[tokio::test]
async fn a_request_that_no_record_can_hold_is_refused_for_good() {
    let rig = Rig::new(Options {
        in_flight_bytes: 1 << 20,
        ..Options::default()
    });
    let (store, _) = rig.open();
    let mut request = postcard::to_stdvec(&vec![Generator::new(36).span()]).unwrap();
    // The decoder of these tests passes over what follows the rows.
    request.resize(2 << 20, 0);
    let batch = Batch {
        tenant: Tenant::default(),
        signal: Signal::Traces,
        format: model::Format::Otlp,
        request: request.into(),
        stamp: None,
    };
    let refused = store.write(batch).await;
    assert!(
        matches!(&refused, Err(WriteError::TooLarge(reason)) if reason.contains("record of")),
        "{refused:?}"
    );
    assert_eq!(metric(&store, "too_large_batches_total", ""), 1.0);
    assert_holds(&store, &[]).await;
}

#[tokio::test]
async fn a_row_may_have_forty_thousand_attributes() {
    const MANY: i64 = 40_000;
    let rig = Rig::new(Options::default());
    let (store, _) = rig.open();
    let record = |attributes| LogRecord {
        time_unix_nano: NANOS_PER_SECOND,
        attributes,
        ..LogRecord::default()
    };
    let distinct = (0..MANY).map(|n| KeyValue::new(format!("key.{n}"), n));
    // The last value counts, whatever its type.
    let repeated = (0..MANY).map(|n| match n % 3 {
        0 => KeyValue::new("key", n),
        1 => KeyValue::new("key", n.to_string()),
        _ => KeyValue::new("key", n % 2 == 0),
    });
    let sent = [record(distinct.collect()), record(repeated.collect())];
    write(&store, Signal::Logs, &sent).await.unwrap();
    let expected = plain_logs(sent.to_vec());
    let all = || selection(Signal::Logs, Filter::All);
    assert!(plain_logs(logs(&store, all()).await) == expected);
    store.flush().await;
    assert!(plain_logs(logs(&store, all()).await) == expected);
}

/// One point each of series of a metric that differ by these attributes.
fn labelled(name: &str, attributes: &[Vec<KeyValue>]) -> Vec<(Series, DataPoint)> {
    let (series, point) = gauges(&[name]).remove(0);
    let with = |attributes: &Vec<KeyValue>| {
        let mut series = series.clone();
        series.attributes.clone_from(attributes);
        series.resource = Arc::default();
        (series, point.clone())
    };
    attributes.iter().map(with).collect()
}

#[tokio::test]
async fn series_of_one_metric_beyond_the_limit_are_refused_until_others_end() {
    let rig = Rig::new(Options {
        metric_series: 2,
        ..Options::default()
    });
    let (store, clock) = rig.open();
    let of = |values: &[i64]| {
        let attributes = values.iter();
        let attributes = attributes.map(|value| vec![KeyValue::new("n", *value)]);
        labelled("a", &attributes.collect::<Vec<_>>())
    };
    let send = async |rows: Vec<(Series, DataPoint)>| {
        let ack = write(&store, Signal::Metrics, &rows).await.unwrap();
        (ack.accepted, ack.rejected)
    };
    let refused = |points| vec![(Reject::MetricSeriesLimit, points)];
    assert_eq!(send(of(&[1, 2, 3, 1, 3])).await, (3, refused(2)));
    assert_eq!(send(gauges(&["b", "c", "d"])).await, (3, vec![]));
    assert_eq!(send(of(&[1, 4])).await, (1, refused(1)));
    assert_eq!(metric(&store, "active_series", "default"), 5.0);
    clock.advance(3_601 * NANOS_PER_SECOND);
    assert_eq!(send(of(&[7, 8, 9])).await, (2, refused(1)));
}

#[tokio::test]
async fn series_with_labels_beyond_the_limits_are_refused_and_the_others_stored() {
    let labels = crate::LabelLimits {
        count: 2,
        name_bytes: 3,
        value_bytes: 4,
    };
    let rig = Rig::new(Options {
        labels,
        ..Options::default()
    });
    let (store, _) = rig.open();
    let kv = |key: &str, value: &str| KeyValue::new(key, value);
    let rows = labelled(
        "name",
        &[
            vec![kv("abc", "four"), kv("b", "")],
            vec![kv("a", ""), kv("b", ""), kv("c", "")],
            vec![kv("abcd", "")],
            vec![kv("a", "value")],
        ],
    );
    let ack = write(&store, Signal::Metrics, &rows).await.unwrap();
    assert_eq!(ack.accepted, 1);
    let mut rejected = ack.rejected;
    rejected.sort();
    assert_eq!(
        rejected,
        [
            (Reject::TooManyLabels, 1),
            (Reject::LongLabelName, 1),
            (Reject::LongLabelValue, 1)
        ]
    );
    let long = labelled("names", &[Vec::new()]);
    let ack = write(&store, Signal::Metrics, &long).await;
    assert_eq!(ack.unwrap().rejected, [(Reject::LongLabelValue, 1)]);
    assert_eq!(
        metric(&store, "rejected_rows_total", "long_label_value"),
        2.0
    );
    drop(store);
    let (store, _) = rig.open();
    assert_eq!(names(&store).await, ["name"]);
}
