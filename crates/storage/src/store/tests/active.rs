//! Which series are active, and count against the limits: whenever a store was opened, and wherever
//! their points are.

use std::path::Path;
use std::sync::Arc;

use env::{Clock, Env, RealFiles};
use model::metric::{MetricKind, PointValue, Series, Temporality};
use model::row::Reject;
use model::time::NANOS_PER_SECOND;
use model::{DataPoint, KeyValue, Metric, Resource, Scope, Signal};
use tempfile::{TempDir, tempdir};
use testkit::ManualClock;

use super::merge;
use crate::testing::*;
use crate::{Options, Store};

const MINUTE: u64 = 60 * NANOS_PER_SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A folder, and a clock that goes on while it is not open.
struct Rig {
    dir: TempDir,
    options: Options,
    clock: Arc<ManualClock>,
}

/// How a store ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// What is in memory is in the log alone.
    Kill,
    /// All is in files.
    Stop,
}

impl Rig {
    fn new(options: Options) -> Self {
        let (_, clock) = testkit::env(1, Arc::new(RealFiles));
        Self {
            dir: tempdir().unwrap(),
            options,
            clock,
        }
    }

    fn open(&self) -> Store {
        let (env, _) = testkit::env(1, Arc::new(RealFiles));
        let env = Env {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            ..env
        };
        let dir: &Path = self.dir.path();
        Store::open(env, dir, self.options.clone(), Arc::new(TestDecoder)).unwrap()
    }

    async fn restart(&self, store: Store, end: End) -> Store {
        if end == End::Stop {
            store.shutdown().await;
        }
        drop(store);
        self.open()
    }

    /// Sends a point of each of these pods, taken now; how many were refused for want of places.
    async fn send(&self, store: &Store, pods: &[&str]) -> u64 {
        self.send_of(store, "up", pods, self.clock.unix_nanos())
            .await
    }

    async fn send_of(&self, store: &Store, metric: &str, pods: &[&str], time: u64) -> u64 {
        let rows: Vec<_> = pods.iter().map(|pod| row(metric, pod, time)).collect();
        let ack = write(store, Signal::Metrics, &rows).await.unwrap();
        let limits = [Reject::SeriesLimit, Reject::MetricSeriesLimit];
        assert!(ack.rejected.iter().all(|(why, _)| limits.contains(why)));
        let refused = ack.rejected.iter().map(|(_, rows)| rows).sum();
        assert_eq!(ack.accepted + refused, pods.len() as u64);
        refused
    }
}

fn row(metric: &str, pod: &str, time_unix_nano: u64) -> (Series, DataPoint) {
    let series = Series {
        resource: Arc::new(Resource::default()),
        scope: Arc::new(Scope::default()),
        metric: Arc::new(Metric {
            name: metric.to_owned(),
            description: String::new(),
            unit: String::new(),
            kind: MetricKind::Gauge,
            temporality: Temporality::Cumulative,
            monotonic: false,
            metadata: Vec::new(),
        }),
        attributes: vec![KeyValue::new("pod", pod)],
    };
    let point = DataPoint {
        start_unix_nano: 0,
        time_unix_nano,
        flags: 0,
        value: PointValue::Double(1.0),
        exemplars: Vec::new(),
    };
    (series, point)
}

fn limited(series: usize) -> Options {
    Options {
        series,
        ..Options::default()
    }
}

fn active(store: &Store) -> f64 {
    super::counted(store, "active_series")
}

#[tokio::test]
async fn active_series_keep_their_places_through_restarts() {
    for end in [End::Kill, End::Stop] {
        let rig = Rig::new(limited(2));
        let store = rig.open();
        assert_eq!(rig.send(&store, &["a", "b", "c"]).await, 1);
        let store = rig.restart(store, end).await;
        rig.clock.advance(30 * MINUTE);
        assert_eq!(rig.send(&store, &["c", "a", "d"]).await, 2, "b is active");
        assert_eq!(active(&store), 2.0);
        // Once more: now a is in the log, and b in a file or before it.
        let store = rig.restart(store, end).await;
        assert_eq!(rig.send(&store, &["c", "b"]).await, 1, "a is active");
        rig.clock.advance(45 * MINUTE);
        let store = rig.restart(store, end).await;
        assert_eq!(rig.send(&store, &["a", "c"]).await, 1);
        rig.clock.advance(16 * MINUTE);
        let store = rig.restart(store, end).await;
        assert_eq!(rig.send(&store, &["c", "d"]).await, 1, "b has ended");
        assert_eq!(active(&store), 2.0);
    }
}

#[tokio::test]
async fn a_restart_does_not_change_whose_places_a_metric_has() {
    for end in [End::Kill, End::Stop] {
        let rig = Rig::new(Options {
            metric_series: 2,
            ..Options::default()
        });
        let store = rig.open();
        assert_eq!(rig.send(&store, &["a", "b"]).await, 0);
        let store = rig.restart(store, end).await;
        let now = rig.clock.unix_nanos();
        assert_eq!(rig.send_of(&store, "down", &["a", "b"], now).await, 0);
        assert_eq!(rig.send(&store, &["c", "b", "a"]).await, 1);
        rig.clock.advance(HOUR);
        assert_eq!(rig.send(&store, &["d", "e", "f"]).await, 1);
    }
}

#[tokio::test]
async fn who_was_refused_is_no_more_active_after_a_restart() {
    let rig = Rig::new(limited(1));
    let store = rig.open();
    assert_eq!(rig.send(&store, &["a"]).await, 0);
    rig.clock.advance(HOUR);
    // The log has a as a series that was let in, then as one that was not.
    assert_eq!(rig.send(&store, &["b", "a"]).await, 1);
    let store = rig.restart(store, End::Kill).await;
    assert_eq!(active(&store), 1.0);
    let mut found: Vec<_> = points(&store).await;
    found.sort_by_key(|(_, point)| point.time_unix_nano);
    let pods = found.iter().map(|(series, _)| series.attributes.clone());
    let expected = ["a", "b"].map(|pod| vec![KeyValue::new("pod", pod)]);
    assert_eq!(pods.collect::<Vec<_>>(), expected);
    assert_eq!(rig.send(&store, &["a", "b"]).await, 1);
}

#[tokio::test]
async fn pods_that_come_and_go_for_weeks_do_not_use_up_the_limit() {
    const AT_ONCE: usize = 4;
    // Those that are there, and those before them.
    const ACTIVE: usize = 2 * AT_ONCE;
    let rig = Rig::new(limited(ACTIVE));
    let mut store = rig.open();
    for generation in 0..400 {
        let pods: Vec<String> = (0..AT_ONCE)
            .map(|pod| format!("{generation}-{pod}"))
            .collect();
        let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
        for _ in 0..2 {
            assert_eq!(rig.send(&store, &pods).await, 0, "generation {generation}");
            rig.clock.advance(20 * MINUTE);
        }
        match generation % 50 {
            10 => store.flush().await,
            20 => store = rig.restart(store, End::Stop).await,
            30 => store = rig.restart(store, End::Kill).await,
            40 => {
                store.flush().await;
                merge(&store).await;
            }
            _ => {}
        }
        assert!(active(&store) <= ACTIVE as f64, "generation {generation}");
    }
    rig.clock.advance(HOUR);
    store.maintain().await;
    assert_eq!(active(&store), 0.0);
}

#[tokio::test]
async fn a_series_is_active_when_its_points_come_however_old_they_are() {
    let rig = Rig::new(limited(2));
    let store = rig.open();
    let old = rig.clock.unix_nanos() - 400 * 24 * HOUR;
    assert_eq!(rig.send_of(&store, "up", &["a"], old).await, 0);
    rig.clock.advance(59 * MINUTE);
    assert_eq!(rig.send(&store, &["b", "c"]).await, 1);
    // From the log it is known when the points came.
    let store = rig.restart(store, End::Kill).await;
    assert_eq!(rig.send(&store, &["c"]).await, 1);
    // From files it is not: only how old they are.
    let store = rig.restart(store, End::Stop).await;
    assert_eq!(rig.send(&store, &["c", "b"]).await, 0);
    assert_eq!(rig.send_of(&store, "up", &["a"], old + 1).await, 1);
}

#[tokio::test]
async fn a_damaged_block_costs_the_places_of_its_own_series_alone() {
    let rig = Rig::new(limited(3));
    let store = rig.open();
    assert_eq!(rig.send(&store, &["a"]).await, 0);
    store.flush().await;
    assert_eq!(rig.send(&store, &["b", "c"]).await, 0);
    store.shutdown().await;
    let core = store.core();
    let view = core.view.read().clone();
    let partition = view.partitions.values().next().unwrap();
    let dir = partition.key.dir(&core.root);
    let first = partition.files[0].id.path(&dir, "blocks");
    drop((view, store));
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0xff;
    std::fs::write(&first, bytes).unwrap();
    let store = rig.open();
    assert_eq!(rig.send(&store, &["d", "e", "b", "c"]).await, 1);
}
