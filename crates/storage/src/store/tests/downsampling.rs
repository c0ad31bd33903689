//! Buckets say what the samples say that they were made from, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{Files, RealFiles};
use model::metric::{MetricKind, PointValue, Series, Temporality};
use model::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use model::{DataPoint, KeyValue, Metric, Signal, Tenant, TimeRange};
use parking_lot::Mutex;
use tempfile::tempdir;
use testkit::{Failure, FaultFiles, Loss, ManualClock, MemoryFiles, Op, Plan};

use super::{counted, merge};
use crate::downsampling::Downsampling;
use crate::message::{Aggregate, Reply, Request, Rollup, SeriesSamples, SeriesShare};
use crate::retention::{Policies, Policy, Retention};
use crate::testing::*;
use crate::{Options, Store};

type Sent = Vec<(Series, DataPoint)>;

const HOUR: u64 = 3_600 * NANOS_PER_SECOND;
/// The day of the samples begins here.
const DAY: u64 = 20_000 * NANOS_PER_DAY;
const HOURS: Duration = Duration::from_secs(3_600);

fn options() -> Options {
    Options {
        block_rows: 64,
        background_merges: false,
        downsampling: Downsampling {
            after: Some(HOURS),
            ages: [Some(10 * 24 * HOURS), None],
        },
        retention: Retention {
            all: Policies {
                metrics: Policy {
                    age: Some(5 * 24 * HOURS),
                    bytes: None,
                },
                ..Policies::default()
            },
            ..Retention::default()
        },
        ..Options::default()
    }
}

fn open_at(files: Arc<dyn Files>, dir: &Path, now: u64) -> (Store, Arc<ManualClock>) {
    open_as(options(), files, dir, now)
}

fn open_as(
    options: Options,
    files: Arc<dyn Files>,
    dir: &Path,
    now: u64,
) -> (Store, Arc<ManualClock>) {
    let (env, clock) = testkit::env(3, files);
    clock.set_unix(now);
    let store = Store::open(env, dir, options, Arc::new(TestDecoder));
    (store.unwrap(), clock)
}

fn series(name: &str, number: i64, kind: MetricKind, temporality: Temporality) -> Series {
    Series {
        resource: Arc::default(),
        scope: Arc::default(),
        metric: Arc::new(Metric {
            name: name.to_owned(),
            description: String::new(),
            unit: String::new(),
            kind,
            temporality,
            monotonic: kind == MetricKind::Sum,
            metadata: Vec::new(),
        }),
        attributes: vec![KeyValue::new("number", number)],
    }
}

/// A few hours of counters that are reset now and then, of gauges and of deltas.
fn samples(random: &mut fastrand::Rng, from: u64, hours: u64) -> Sent {
    let mut sent = Sent::new();
    for number in 0..4 {
        let counter = series("counter", number, MetricKind::Sum, Temporality::Cumulative);
        let gauge = series("gauge", number, MetricKind::Gauge, Temporality::None);
        let delta = series("delta", number, MetricKind::Sum, Temporality::Delta);
        let (mut count, mut time) = (0i64, from);
        while time < from + hours * HOUR {
            time += random.u64(10..90) * NANOS_PER_SECOND;
            count = if random.u32(..40) == 0 {
                0
            } else {
                count + random.i64(0..50)
            };
            let gauged = (random.f64() * 1_000.0).round() / 8.0;
            let values = [
                (&counter, PointValue::Int(count)),
                (&gauge, PointValue::Double(gauged)),
                (&delta, PointValue::Int(random.i64(0..9))),
            ];
            sent.extend(values.into_iter().map(|(series, value)| {
                let point = DataPoint {
                    start_unix_nano: 0,
                    time_unix_nano: time,
                    flags: 0,
                    value,
                    exemplars: Vec::new(),
                };
                (series.clone(), point)
            }));
        }
    }
    sent
}

async fn store_all(store: &Store, sent: &Sent) {
    for part in sent.chunks(500) {
        write(store, Signal::Metrics, part).await.unwrap();
    }
    store.flush().await;
}

/// The samples of each series, and how long the longest buckets among them are.
async fn read(
    store: &Store,
    resolution_ms: u64,
    aggregate: Aggregate,
) -> (BTreeMap<String, SeriesSamples>, u64) {
    let request = Request::Samples {
        tenant: Tenant::default(),
        range: TimeRange::ALL,
        deltas_since: 0,
        matchers: Vec::new(),
        rollup: Rollup {
            resolution_ms,
            aggregate,
            newest: false,
        },
        samples: 1_000_000,
        foreseen: usize::MAX,
        limit: 1_000,
        share: SeriesShare::ALL,
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    assert_eq!(summary.cuts, []);
    let lists = replies.into_iter().map(|reply| match reply {
        Reply::Samples(list) => list,
        other => panic!("{other:?}"),
    });
    let name =
        |one: &SeriesSamples| format!("{} {:?}", one.series.metric.name, one.series.attributes);
    let found = lists.flatten().map(|one| (name(&one), one)).collect();
    (found, summary.stats.buckets.longest_ms)
}

/// Values by bucket.
fn by_bucket(samples: &SeriesSamples, length_ms: i64) -> BTreeMap<i64, Vec<f64>> {
    let mut buckets: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (time, value) in samples.times_ms.iter().zip(&samples.values) {
        buckets
            .entry((time - 1) / length_ms)
            .or_default()
            .push(*value);
    }
    buckets
}

fn increase(values: &[f64]) -> f64 {
    let step = |pair: &[f64]| {
        if pair[1] < pair[0] {
            pair[1]
        } else {
            pair[1] - pair[0]
        }
    };
    values.windows(2).map(step).sum()
}

/// What a series of deltas has of them.
fn deltas(samples: &SeriesSamples) -> &[f64] {
    assert!(samples.points.is_empty(), "{samples:?}");
    samples.deltas.as_ref().map_or(&[], |deltas| &deltas.values)
}

/// What an aggregate makes of the values of a bucket.
type Reduce = fn(&[f64]) -> f64;

/// Holds buckets of one length to samples.
async fn hold(store: &Store, raw: &BTreeMap<String, SeriesSamples>, length_ms: i64, when: &str) {
    let checks: [(Aggregate, Reduce); 4] = [
        (Aggregate::Last, |rows| rows[rows.len() - 1]),
        (Aggregate::Min, |rows| {
            rows.iter().copied().fold(f64::INFINITY, f64::min)
        }),
        (Aggregate::Max, |rows| {
            rows.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        (Aggregate::Sum, |rows| rows.iter().sum()),
    ];
    let resolution = u64::try_from(length_ms).unwrap();
    for (aggregate, expected) in checks {
        let (found, longest) = read(store, resolution, aggregate).await;
        assert_eq!(longest, resolution, "{when}");
        assert_eq!(found.len(), raw.len(), "{when}");
        for (name, samples) in found.iter().filter(|(name, _)| !name.starts_with("delta")) {
            let buckets = by_bucket(&raw[name], length_ms);
            let expected: Vec<f64> = buckets.values().map(|rows| expected(rows)).collect();
            assert_eq!(samples.values, expected, "{when}, {aggregate:?} of {name}");
        }
    }
    let (averages, _) = read(store, resolution, Aggregate::Average).await;
    let (counters, _) = read(store, resolution, Aggregate::Counter).await;
    for (name, raw) in raw {
        if name.starts_with("delta") {
            let (kept, all) = (deltas(&counters[name]), deltas(raw));
            let total = |list: &[f64]| list.iter().sum::<f64>();
            assert_eq!(total(kept), total(all), "{when}");
            assert!(kept.len() * 3 < all.len(), "{when}");
            continue;
        }
        let counts: Vec<f64> = by_bucket(raw, length_ms)
            .values()
            .map(|rows| rows.len() as f64)
            .collect();
        assert_eq!(averages[name].counts, counts, "{when}");
        if name.starts_with("counter") {
            let (kept, all) = (increase(&counters[name].values), increase(&raw.values));
            assert!((kept - all).abs() < 1e-6, "{when}: {kept}, not {all}");
        }
    }
}

#[tokio::test]
async fn buckets_say_what_samples_say() {
    let dir = tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let (store, clock) = open_at(Arc::new(RealFiles), dir.path(), DAY + 20 * HOUR);
    store_all(&store, &samples(&mut random, DAY + HOUR, 6)).await;
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 0.0);
    clock.advance_to(DAY + 26 * HOUR);
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 1.0);
    let (raw, longest) = read(&store, 0, Aggregate::Last).await;
    assert_eq!((raw.len(), longest), (12, 0));
    for length in [300_000, 3_600_000] {
        hold(&store, &raw, length, "at first").await;
    }
    // Steps between two resolutions take the finer one.
    assert_eq!(read(&store, 1_000_000, Aggregate::Last).await.1, 300_000);

    // Rows that come late are in the buckets once none came for a while, and until then beside.
    store_all(&store, &samples(&mut random, DAY + 9 * HOUR, 2)).await;
    merge(&store).await;
    let (raw, _) = read(&store, 0, Aggregate::Last).await;
    let (both, _) = read(&store, 300_000, Aggregate::Sum).await;
    let name = raw.keys().find(|name| name.starts_with("gauge")).unwrap();
    let sum = |samples: &SeriesSamples| samples.values.iter().sum::<f64>();
    assert_eq!(sum(&both[name]), sum(&raw[name]));
    clock.advance_to(DAY + 28 * HOUR);
    merge(&store).await;
    hold(&store, &raw, 300_000, "with late rows").await;
    let copy = dir.path().join("copy");
    store.snapshot(&copy).await.unwrap();
    drop(store);
    let (store, _) = open_at(Arc::new(RealFiles), &copy, DAY + 28 * HOUR);
    hold(&store, &raw, 3_600_000, "a snapshot").await;
    drop(store);
    let (store, clock) = open_at(Arc::new(RealFiles), dir.path(), DAY + 28 * HOUR);
    hold(&store, &raw, 3_600_000, "opened again").await;

    // Every sample goes, and buckets stay: finer ones shorter than longer ones.
    clock.advance_to(DAY + 7 * 24 * HOUR);
    store.maintain().await;
    assert!(points(&store).await.is_empty());
    hold(&store, &raw, 300_000, "without samples").await;
    assert_eq!(read(&store, 0, Aggregate::Last).await.1, 300_000);
    clock.advance_to(DAY + 12 * 24 * HOUR);
    store.maintain().await;
    hold(&store, &raw, 3_600_000, "of hours alone").await;
    assert_eq!(read(&store, 300_000, Aggregate::Last).await.1, 3_600_000);
    drop(store);
    let (store, _) = open_at(Arc::new(RealFiles), dir.path(), DAY + 12 * 24 * HOUR);
    hold(&store, &raw, 3_600_000, "of hours alone, opened again").await;
    assert!(
        !dir.path()
            .join("store/default/metrics-5m/2024-10-04")
            .exists()
    );
}

/// Days that are dropped while another one is being read leave the disk at once.
#[tokio::test]
async fn downsampling_holds_no_day_but_its_own() {
    let dir = tempdir().unwrap();
    let faults = FaultFiles::over(Arc::new(RealFiles));
    let mut random = fastrand::Rng::with_seed(2);
    let (store, clock) = open_at(Arc::new(faults.clone()), dir.path(), DAY + 20 * HOUR);
    for day in 0..2 {
        let from = DAY + day * NANOS_PER_DAY + HOUR;
        store_all(&store, &samples(&mut random, from, 1)).await;
    }
    clock.advance_to(DAY + 26 * HOUR);
    let core = store.core().clone();
    let other = core.view.read().partitions.keys().next_back().cloned();
    let other = other.unwrap();
    let folder = other.dir(&core.root);
    let gone = Arc::new(Mutex::new(None));
    {
        let gone = Arc::clone(&gone);
        faults.watch(move |change| {
            let writes = change.path.to_string_lossy().contains("metrics-5m");
            if writes && change.op == testkit::Op::Write && gone.lock().is_none() {
                *gone.lock() = Some(false);
                crate::retention::drop_now(&core, &other);
                core.removals.sweep(&core);
                let dropped = folder.with_extension("dropped");
                *gone.lock() = Some(!folder.exists() && !dropped.exists());
            }
        });
    }
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 1.0);
    assert_eq!(*gone.lock(), Some(true));
}

/// Rows go before buckets that are as old, and buckets share the bytes of their signal.
#[tokio::test]
async fn buckets_share_the_bytes_of_metrics() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("store/default");
    let now = DAY + 4 * NANOS_PER_DAY;
    let mut random = fastrand::Rng::with_seed(4);
    let (store, clock) = open_at(Arc::new(RealFiles), dir.path(), DAY + 3 * NANOS_PER_DAY);
    for day in 0..3 {
        let from = DAY + day * NANOS_PER_DAY + HOUR;
        store_all(&store, &samples(&mut random, from, 2)).await;
    }
    clock.set_unix(now);
    for _ in 0..3 {
        merge(&store).await;
    }
    assert_eq!(counted(&store, "downsampled_days_total"), 3.0);
    let bytes = |folder: &str| -> u64 {
        let days = std::fs::read_dir(root.join(folder)).unwrap();
        let files = days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap());
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    };
    let days = |folder: &str| std::fs::read_dir(root.join(folder)).unwrap().count();
    let folders = ["metrics", "metrics-5m", "metrics-1h"];
    let total: u64 = folders.iter().map(|folder| bytes(folder)).sum();
    drop(store);
    for (most, left) in [(total, [3, 3, 3]), (total - 1, [2, 3, 3]), (1, [0, 0, 0])] {
        let mut options = options();
        options.retention.all.metrics = Policy {
            age: None,
            bytes: Some(most),
        };
        let (store, _) = open_as(options, Arc::new(RealFiles), dir.path(), now);
        store.maintain().await;
        assert_eq!(folders.map(days), left, "at most {most} of {total} bytes");
        if most == 1 {
            assert_eq!(counted(&store, "dropped_partitions_total"), 2.0);
            assert_eq!(counted(&store, "dropped_downsampled_days_total"), 6.0);
        }
    }
}

/// What a kill or a power cut leaves while a day is downsampled, and again with late rows.
#[tokio::test]
async fn a_crash_leaves_buckets_that_are_right_or_none() {
    let dir = Path::new("/data");
    let files = MemoryFiles::new();
    let faults = FaultFiles::over(Arc::new(files.clone()));
    let mut random = fastrand::Rng::with_seed(2);
    let moments: Arc<Mutex<Vec<(MemoryFiles, String)>>> = Arc::default();
    let (store, clock) = open_at(Arc::new(faults.clone()), dir, DAY + 20 * HOUR);
    store_all(&store, &samples(&mut random, DAY + HOUR, 2)).await;
    let mut raws = Vec::new();
    let mut ends = Vec::new();
    for round in 0..2 {
        if round == 1 {
            store_all(&store, &samples(&mut random, DAY + 9 * HOUR, 1)).await;
        }
        clock.advance_to(DAY + (26 + round) * HOUR);
        let recorded = Arc::clone(&moments);
        let forked = files.clone();
        faults.watch(move |change| {
            let what = format!("{:?} of {}", change.op, change.path.display());
            recorded.lock().push((forked.fork(), what));
        });
        merge(&store).await;
        faults.watch(|_| {});
        raws.push(read(&store, 0, Aggregate::Last).await.0);
        hold(&store, &raws[raws.len() - 1], 300_000, "as it goes").await;
        ends.push(moments.lock().len());
    }
    drop(store);
    let moments = std::mem::take(&mut *moments.lock());
    assert!(moments.len() > 20, "{}", moments.len());
    for (at, (moment, what)) in moments.iter().enumerate() {
        let raw = &raws[usize::from(at >= ends[0])];
        for loss in [Loss::Nothing, Loss::All, Loss::Random(at as u64)] {
            let files = moment.fork();
            files.power_cut(loss);
            let when = format!("{loss:?} before {what} (moment {at})");
            let (store, _) = open_at(Arc::new(files), dir, DAY + 40 * HOUR);
            assert_eq!(counted(&store, "damaged_files_total"), 0.0, "{when}");
            assert!(read(&store, 0, Aggregate::Last).await.0 == *raw, "{when}");
            // Late rows may not be in the buckets yet, but they are beside them.
            let (found, _) = read(&store, 300_000, Aggregate::Sum).await;
            let sum = |samples: &SeriesSamples| samples.values.iter().sum::<f64>();
            for (name, found) in found.iter().filter(|(name, _)| name.starts_with("gauge")) {
                assert_eq!(sum(found), sum(&raw[name]), "{when}: {name}");
            }
            merge(&store).await;
            for length in [300_000, 3_600_000] {
                hold(&store, raw, length, &when).await;
            }
        }
    }
}

#[tokio::test]
async fn a_day_that_cannot_be_downsampled_is_left_alone_for_longer_each_time() {
    let faults = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let dir = Path::new("/data");
    let (store, clock) = open_at(Arc::new(faults.clone()), dir, DAY + 20 * HOUR);
    let mut random = fastrand::Rng::with_seed(4);
    store_all(&store, &samples(&mut random, DAY + HOUR, 1)).await;
    clock.advance_to(DAY + 26 * HOUR);
    faults.plan(Plan {
        path_contains: "/metrics-5m/".to_owned(),
        ..Plan::always(Op::Write, Failure::StorageFull)
    });
    for (seconds, errors) in [(0, 1.0), (9, 1.0), (1, 2.0), (19, 2.0), (1, 3.0)] {
        clock.advance(seconds * NANOS_PER_SECOND);
        merge(&store).await;
        assert_eq!(counted(&store, "downsampling_errors_total"), errors);
    }
    faults.heal();
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 0.0);
    clock.advance(40 * NANOS_PER_SECOND);
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 1.0);
}

/// What all gauges have in all.
async fn total(store: &Store, resolution_ms: u64) -> f64 {
    let (found, _) = read(store, resolution_ms, Aggregate::Sum).await;
    let gauges = found.iter().filter(|(name, _)| name.starts_with("gauge"));
    gauges.flat_map(|(_, samples)| &samples.values).sum()
}

#[tokio::test]
async fn samples_that_are_old_stay_until_they_are_in_buckets() {
    let dir = Path::new("/data");
    let files = MemoryFiles::new();
    let open = |after: Duration, now: u64| {
        let mut options = options();
        options.downsampling.after = Some(after);
        open_as(options, Arc::new(files.clone()), dir, now)
    };
    let days = |days: u64| DAY + days * NANOS_PER_DAY;
    let mut random = fastrand::Rng::with_seed(6);
    // They end long before their day.
    let (store, clock) = open(114 * HOURS, DAY + 20 * HOUR);
    store_all(&store, &samples(&mut random, DAY, 1)).await;
    let all = total(&store, 0).await;
    clock.advance_to(days(5) + 12 * HOUR);
    store.maintain().await;
    assert_eq!(total(&store, 0).await, all);
    drop(store);
    // The store was closed for longer than they are kept.
    let (store, clock) = open(HOURS, days(7));
    store.maintain().await;
    assert_eq!(total(&store, 0).await, all);
    merge(&store).await;
    clock.advance(HOUR);
    store.maintain().await;
    assert!(points(&store).await.is_empty());
    assert_eq!(total(&store, 300_000).await, all);
    // They come that late.
    store_all(&store, &samples(&mut random, DAY + 2 * HOUR, 1)).await;
    assert!(!points(&store).await.is_empty());
    let all = total(&store, 300_000).await;
    clock.advance(HOUR);
    merge(&store).await;
    store.maintain().await;
    assert!(points(&store).await.is_empty());
    assert_eq!(total(&store, 300_000).await, all);
    // They cannot be downsampled for a day.
    store_all(&store, &samples(&mut random, DAY + 4 * HOUR, 1)).await;
    clock.advance(24 * HOUR);
    store.maintain().await;
    assert!(!points(&store).await.is_empty());
    clock.advance(HOUR);
    store.maintain().await;
    assert!(points(&store).await.is_empty());
    assert_eq!(total(&store, 300_000).await, all);
}

#[tokio::test]
async fn a_day_that_was_dropped_in_part_gets_buckets_of_what_came_since() {
    // Before more rows can come to the day, and when its files could be merged.
    for wait in [HOUR / 2, 2 * HOUR] {
        drop_in_part(wait).await;
    }
}

async fn drop_in_part(wait: u64) {
    let dir = Path::new("/data");
    let files = MemoryFiles::new();
    let open = |bytes: Option<u64>| {
        let mut options = options();
        options.retention.all.metrics.bytes = bytes;
        open_as(options, Arc::new(files.clone()), dir, DAY + 26 * HOUR)
    };
    let mut random = fastrand::Rng::with_seed(7);
    let (store, clock) = open(None);
    for hour in 0..2 {
        store_all(&store, &samples(&mut random, DAY + hour * HOUR, 1)).await;
    }
    clock.advance(HOUR / 2);
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 1.0);
    let (all, taken) = (points(&store).await.len(), {
        let view = store.core().view.read();
        view.all()
            .map(|partition| partition.size_bytes())
            .sum::<u64>()
    });
    drop(store);
    let (store, _) = open(Some(taken - 1));
    store.maintain().await;
    let left = points(&store).await.len();
    assert!(left > 0 && left < all, "{left} of {all}");
    drop(store);

    let (store, clock) = open(None);
    store_all(&store, &samples(&mut random, DAY + 4 * HOUR, 1)).await;
    let all = total(&store, 300_000).await;
    clock.advance(wait);
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 1.0);
    assert_eq!(total(&store, 300_000).await, all);
    clock.advance_to(DAY + 7 * NANOS_PER_DAY);
    store.maintain().await;
    assert!(points(&store).await.is_empty());
    assert_eq!(total(&store, 300_000).await, all);
}

#[tokio::test]
async fn a_day_of_which_something_does_not_read_is_downsampled_without_it_before_its_samples_go() {
    let files = MemoryFiles::new();
    let dir = Path::new("/data");
    let (store, _) = open_at(Arc::new(files.clone()), dir, DAY + 20 * HOUR);
    let mut random = fastrand::Rng::with_seed(9);
    let parts = [DAY + HOUR, DAY + 3 * HOUR, DAY + 5 * HOUR];
    let parts = parts.map(|from| samples(&mut random, from, 1));
    for part in &parts {
        store_all(&store, part).await;
    }
    drop(store);
    let blocks = files.paths().into_iter();
    let mut blocks = blocks.filter(|path| path.extension().is_some_and(|end| end == "blocks"));
    files.flip_bit(&blocks.nth(1).unwrap(), 300, 2);
    let of_gauges = |sent: &Sent| -> f64 {
        let values = sent.iter().map(|(_, point)| match point.value {
            PointValue::Double(value) => value,
            _ => 0.0,
        });
        values.sum()
    };
    let sound = of_gauges(&parts[0]) + of_gauges(&parts[2]);

    let (store, clock) = open_at(Arc::new(files), dir, DAY + 26 * HOUR);
    merge(&store).await;
    // Their age is five days. Then there are twelve hours to restore what is damaged.
    for hours in [4, 6 + 5 * 24, 6 + 5 * 24 + 11] {
        clock.advance_to(DAY + hours * HOUR);
        store.maintain().await;
        merge(&store).await;
        assert_eq!(counted(&store, "downsampled_days_total"), 0.0, "{hours}");
        assert_eq!(counted(&store, "dropped_partitions_total"), 0.0, "{hours}");
    }
    clock.advance_to(DAY + (6 + 5 * 24 + 13) * HOUR);
    store.maintain().await;
    merge(&store).await;
    assert_eq!(counted(&store, "downsampled_days_total"), 1.0);
    assert_eq!(counted(&store, "downsampling_lost_parts_total"), 1.0);
    store.maintain().await;
    assert!(points(&store).await.is_empty());
    for length in [300_000, 3_600_000] {
        assert_eq!(total(&store, length).await, sound);
    }
}
