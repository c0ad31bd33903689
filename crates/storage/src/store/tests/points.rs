//! Points of metrics: which of several counts, where they are filed, and histograms by column.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock, RealFiles};
use futures::StreamExt;
use model::metric::{
    Buckets, ExponentialHistogram, Histogram, MetricKind, PointValue, Series, Temporality,
};
use model::{DataPoint, Metric, Resource, Scope, Signal, Tenant, TimeRange};
use tempfile::tempdir;

use super::merge;
use crate::message::{Limits, Reply, Request, Rollup, SeriesSamples, SeriesShare};
use crate::read::{Read, ReadError};
use crate::testing::*;
use crate::{Options, Store};

const MS: u64 = 1_000_000;
const DAY: u64 = 86_400_000 * MS;

fn series(kind: MetricKind) -> Series {
    Series {
        resource: Arc::new(Resource::default()),
        scope: Arc::new(Scope::default()),
        metric: Arc::new(Metric {
            name: "level".to_owned(),
            description: String::new(),
            unit: String::new(),
            kind,
            temporality: Temporality::Cumulative,
            monotonic: false,
            metadata: Vec::new(),
        }),
        attributes: Vec::new(),
    }
}

fn point(time_unix_nano: u64, value: PointValue) -> (Series, DataPoint) {
    let kind = match value {
        PointValue::Histogram(_) => MetricKind::Histogram,
        PointValue::Exponential(_) => MetricKind::ExponentialHistogram,
        _ => MetricKind::Gauge,
    };
    let point = DataPoint {
        start_unix_nano: 0,
        time_unix_nano,
        flags: 0,
        value,
        exemplars: Vec::new(),
    };
    (series(kind), point)
}

fn gauges(milliseconds: impl IntoIterator<Item = u64>, value: f64) -> Vec<(Series, DataPoint)> {
    let times = milliseconds.into_iter();
    times
        .map(|ms| point(ms * MS, PointValue::Double(value)))
        .collect()
}

/// The samples of the one series since this time.
async fn samples(store: &Store, start_ms: u64) -> SeriesSamples {
    samples_of(store, start_ms, u64::MAX, Rollup::EVERYTHING).await
}

async fn samples_of(store: &Store, start_ms: u64, end: u64, rollup: Rollup) -> SeriesSamples {
    let request = Request::Samples {
        tenant: Tenant::default(),
        range: TimeRange {
            start: start_ms * MS,
            end,
        },
        deltas_since: 0,
        matchers: Vec::new(),
        rollup,
        samples: 1_000_000,
        foreseen: usize::MAX,
        limit: 10,
        share: SeriesShare::ALL,
    };
    let (replies, _) = ask(store, request).await.unwrap();
    match &replies[..] {
        [Reply::Samples(list)] if list.len() == 1 => list[0].clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_one_time_the_point_that_was_stored_last_counts() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    write(&store, Signal::Metrics, &gauges((10..=50).step_by(5), 1.0))
        .await
        .unwrap();
    store.flush().await;
    // Sent once more, corrected, with others before them.
    write(&store, Signal::Metrics, &gauges((5..=30).step_by(5), 2.0))
        .await
        .unwrap();
    for place in ["head", "file", "merged"] {
        match place {
            "file" => store.flush().await,
            "merged" => {
                for number in 0..10 {
                    let later = gauges([100 + number], 3.0);
                    write(&store, Signal::Metrics, &later).await.unwrap();
                    store.flush().await;
                }
                merge(&store).await;
                let view = store.core().view.read().clone();
                let files = view.partitions.values().map(|one| one.files.len());
                assert!(files.sum::<usize>() < 12);
            }
            _ => {}
        }
        for start_ms in [0, 5, 10, 12, 20, 30, 31, 45] {
            let found = samples(&store, start_ms).await;
            let pairs = found.times_ms.iter().zip(&found.values);
            let found: Vec<(i64, f64)> = pairs
                .filter(|(time, _)| **time <= 50)
                .map(|(time, value)| (*time, *value))
                .collect();
            let expected: Vec<(i64, f64)> = (5..=50)
                .step_by(5)
                .filter(|time| *time >= i64::try_from(start_ms).unwrap())
                .map(|time| (time, if time <= 30 { 2.0 } else { 1.0 }))
                .collect();
            assert_eq!(found, expected, "{place} since {start_ms}");
        }
    }
}

#[tokio::test]
async fn a_file_without_an_index_of_its_series_is_still_older_than_later_ones() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for value in [1.0, 2.0] {
        let sent = gauges([10, 20], value);
        write(&store, Signal::Metrics, &sent).await.unwrap();
        store.flush().await;
    }
    drop(store);
    let day = dir.path().join("store/default/metrics/1970-01-01");
    std::fs::remove_file(day.join("0000000000000001.series")).unwrap();
    assert_eq!(samples(&open(dir.path()), 0).await.values, [2.0, 2.0]);
}

#[tokio::test]
async fn points_far_ahead_are_filed_under_the_day_on_which_they_came() {
    let dir = tempdir().unwrap();
    let open_at = |unix_nano: u64| {
        let (env, clock) = testkit::env(5, Arc::new(RealFiles));
        clock.advance(unix_nano - clock.unix_nanos());
        let options = Options {
            time_ahead: Duration::from_secs(86_400),
            ..Options::default()
        };
        Store::open(env, dir.path(), options, Arc::new(TestDecoder)).unwrap()
    };
    let begin = testkit::env(5, Arc::new(RealFiles)).1.unix_nanos();
    let store = open_at(begin);
    let times = [
        begin + 9_000 * DAY,
        begin,
        begin + DAY / 2,
        begin + 3_000 * DAY,
    ];
    let sent = times.map(|time| point(time, PointValue::Int(1)));
    write(&store, Signal::Metrics, &sent).await.unwrap();
    // Killed, and read from the log three days later: they are filed as they would have been.
    drop(store);
    let store = open_at(begin + 3 * DAY);
    store.flush().await;
    let view = store.core().view.read().clone();
    let days: Vec<u32> = view.partitions.keys().map(|key| key.day).collect();
    let today = crate::partition::day_of(begin);
    let near = today..=today + 1;
    assert!(days.iter().all(|day| near.contains(day)), "{days:?}");
    assert_eq!(samples(&store, 0).await.values.len(), 4);
}

#[tokio::test]
async fn of_one_time_the_last_sample_is_enough() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let newest = Rollup {
        newest: true,
        ..Rollup::EVERYTHING
    };
    write(&store, Signal::Metrics, &gauges((10..=50).step_by(5), 1.0))
        .await
        .unwrap();
    store.flush().await;
    let mut gone = gauges([40], 0.0);
    gone[0].1.flags = model::metric::FLAG_NO_RECORDED_VALUE;
    gone[0].1.value = PointValue::Empty;
    let mut later = gauges((15..=30).step_by(5), 2.0);
    later.extend(gone);
    write(&store, Signal::Metrics, &later).await.unwrap();
    for place in ["head", "files"] {
        for end_ms in [16, 21, 31, 36, 41, 46, 60] {
            let all = samples_of(&store, 0, end_ms * MS, Rollup::EVERYTHING).await;
            let found = samples_of(&store, 0, end_ms * MS, newest).await;
            let last = |list: &SeriesSamples| {
                let value = list.values.last().map(|value| value.to_bits());
                (list.times_ms.last().copied(), value)
            };
            assert_eq!(last(&found), last(&all), "{place} before {end_ms}");
            // No more than one of each place.
            assert!(found.values.len() <= 2 && all.values.len() >= 2);
        }
        store.flush().await;
    }
}

fn histogram(count: u64, buckets: [u64; 3]) -> PointValue {
    PointValue::Histogram(Histogram {
        count,
        sum: Some(0.5),
        bucket_counts: buckets.to_vec(),
        explicit_bounds: vec![1.0, 2.0],
        min: None,
        max: Some(9.0),
    })
}

#[tokio::test]
async fn histograms_come_by_column_as_long_as_they_are_of_one_kind() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let first = [
        point(10 * MS, histogram(3, [1, 2, 0])),
        point(20 * MS, histogram(6, [1, 3, 2])),
    ];
    write(&store, Signal::Metrics, &first).await.unwrap();
    store.flush().await;
    let second = [point(30 * MS, histogram(9, [2, 4, 3]))];
    write(&store, Signal::Metrics, &second).await.unwrap();
    for place in ["head", "files"] {
        let found = samples(&store, 20).await;
        assert!(found.points.is_empty(), "{place}");
        let columns = found.histograms.unwrap();
        assert_eq!(*columns.times_ms, [20, 30], "{place}");
        assert_eq!(columns.bounds, [1.0, 2.0]);
        assert_eq!(columns.buckets, [[1.0, 2.0], [4.0, 6.0]]);
        assert_eq!(
            (columns.counts, columns.sums),
            (vec![6.0, 9.0], vec![0.5; 2])
        );
        let newest = Rollup {
            newest: true,
            ..Rollup::EVERYTHING
        };
        let found = samples_of(&store, 0, u64::MAX, newest).await;
        let columns = found.histograms.unwrap();
        // Of three there are as many as places, and the last.
        assert!(columns.times_ms.len() < 3, "{place}");
        assert_eq!(columns.times_ms.last(), Some(&30), "{place}");
        assert_eq!(columns.counts.last(), Some(&9.0), "{place}");
        store.flush().await;
    }
    // One of another kind, one without a value, and one sent twice: as they were sent, in order.
    let other = PointValue::Histogram(Histogram {
        count: 1,
        bucket_counts: vec![1],
        ..Histogram::default()
    });
    let (series, mut gone) = point(50 * MS, histogram(0, [0; 3]));
    gone.flags = model::metric::FLAG_NO_RECORDED_VALUE;
    let third = [
        point(40 * MS, other),
        (series, gone),
        point(20 * MS, histogram(60, [10, 30, 20])),
    ];
    write(&store, Signal::Metrics, &third).await.unwrap();
    for place in ["head", "files"] {
        let found = samples(&store, 0).await;
        assert!(found.histograms.is_none(), "{place}");
        let counts = found.points.iter().map(|point| match &point.value {
            PointValue::Histogram(histogram) => (point.time_unix_nano / MS, histogram.count),
            other => panic!("{other:?}"),
        });
        let counts: Vec<(u64, u64)> = counts.collect();
        let expected = [(10, 3), (20, 6), (20, 60), (30, 9), (40, 1), (50, 0)];
        assert_eq!(counts, expected, "{place}");
        store.flush().await;
    }
}

fn exponential(count: u64, offset: i32, buckets: &[u64]) -> PointValue {
    PointValue::Exponential(ExponentialHistogram {
        count,
        sum: Some(0.5),
        scale: 2,
        zero_count: 1,
        positive: Some(Buckets {
            offset,
            bucket_counts: buckets.to_vec(),
        }),
        negative: None,
        min: None,
        max: Some(9.0),
        zero_threshold: 0.25,
    })
}

#[tokio::test]
async fn exponential_histograms_come_by_column() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let first = [
        point(10 * MS, exponential(4, -3, &[1, 2])),
        point(20 * MS, exponential(6, -3, &[1, 4])),
    ];
    write(&store, Signal::Metrics, &first).await.unwrap();
    store.flush().await;
    let second = [point(30 * MS, exponential(9, -4, &[2, 1, 5]))];
    write(&store, Signal::Metrics, &second).await.unwrap();
    for place in ["head", "files"] {
        let found = samples(&store, 20).await;
        assert!(found.points.is_empty(), "{place}");
        let all = found.exponentials.unwrap();
        assert_eq!(*all.times_ms, [20, 30], "{place}");
        assert_eq!(
            (all.columns.counts, all.columns.scales),
            (vec![6, 9], vec![2; 2])
        );
        let positive = all.columns.positive;
        assert_eq!(
            [positive.row(0), positive.row(1)],
            [(-3, &[1, 4][..]), (-4, &[2, 1, 5])]
        );
        assert_eq!(all.columns.negative.row(1), (0, &[][..]));
        store.flush().await;
    }
    // With the end of the series among them they are points.
    let (series, mut gone) = point(40 * MS, exponential(0, 0, &[]));
    gone.flags = model::metric::FLAG_NO_RECORDED_VALUE;
    write(&store, Signal::Metrics, &[(series, gone)])
        .await
        .unwrap();
    let found = samples(&store, 0).await;
    assert!(found.exponentials.is_none());
    let times: Vec<u64> = found
        .points
        .iter()
        .map(|one| one.time_unix_nano / MS)
        .collect();
    assert_eq!(times, [10, 20, 30, 40]);
    assert_eq!(found.points[2].value, {
        let PointValue::Exponential(sent) = exponential(9, -4, &[2, 1, 5]) else {
            unreachable!("it is one")
        };
        PointValue::Exponential(ExponentialHistogram { max: None, ..sent })
    });
}

#[tokio::test]
async fn deltas_come_by_column_in_order() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let delta = |(ms, value): (u64, i64)| {
        let (mut series, mut sent) = point(ms * MS, PointValue::Int(value));
        let metric = Arc::make_mut(&mut series.metric);
        (metric.kind, metric.temporality) = (MetricKind::Sum, Temporality::Delta);
        sent.start_unix_nano = (ms - 10) * MS;
        (series, sent)
    };
    let first = [(20, 1), (40, 2)].map(delta);
    write(&store, Signal::Metrics, &first).await.unwrap();
    store.flush().await;
    write(&store, Signal::Metrics, &[(30, 4), (40, 8)].map(delta))
        .await
        .unwrap();
    for place in ["head", "files"] {
        let found = samples(&store, 0).await;
        assert!(
            found.points.is_empty() && found.values.is_empty(),
            "{place}"
        );
        let deltas = found.deltas.unwrap();
        assert_eq!(deltas.times, [20, 30, 40, 40].map(|ms| ms * MS), "{place}");
        assert_eq!(deltas.starts, [10, 20, 30, 30].map(|ms| ms * MS), "{place}");
        // Of the same time, what was stored first comes first.
        assert_eq!(deltas.values, [1.0, 4.0, 2.0, 8.0], "{place}");
        store.flush().await;
    }
}

#[tokio::test]
async fn points_that_take_more_than_an_answer_may_are_refused() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    write(&store, Signal::Metrics, &gauges(0..2_000, 1.0))
        .await
        .unwrap();
    for place in ["head", "files"] {
        for (answer_bytes, fits) in [(16 << 10, false), (1 << 20, true)] {
            let request = Request::Series {
                tenant: Tenant::default(),
                range: TimeRange::ALL,
                matchers: Vec::new(),
                points: true,
                limit: 10,
            };
            let limits = Limits {
                answer_bytes,
                ..Limits::default()
            };
            let replies: Vec<_> = store.execute(request, limits).collect().await;
            let refused =
                matches!(&replies[..], [Err(ReadError::TooLarge(most))] if *most == answer_bytes);
            assert_eq!(refused, !fits, "{place}: {replies:?}");
        }
        store.flush().await;
    }
}

#[tokio::test]
async fn zeros_where_counters_began_are_there_again_after_a_crash() {
    let dir = tempdir().unwrap();
    let (env, clock) = testkit::env(3, Arc::new(RealFiles));
    clock.set_unix(BASE);
    let open = || {
        let options = Options {
            start_zero_samples: true,
            ..Options::default()
        };
        Store::open(env.clone(), dir.path(), options, Arc::new(TestDecoder)).unwrap()
    };
    let store = open();
    // The counter begins before the first points that the log has.
    clock.advance(7_000 * MS);
    let first = [point(BASE + 7_000 * MS, PointValue::Double(1.0))];
    write(&store, Signal::Metrics, &first).await.unwrap();
    clock.advance(3_000 * MS);
    let (mut counter, mut value) = point(BASE + 10_000 * MS, PointValue::Double(3.0));
    counter.metric = Arc::new(Metric {
        name: "requests".to_owned(),
        kind: MetricKind::Sum,
        monotonic: true,
        ..(*counter.metric).clone()
    });
    value.start_unix_nano = BASE + 5_000 * MS;
    write(&store, Signal::Metrics, &[(counter, value)])
        .await
        .unwrap();
    let before = sorted(points(&store).await);
    assert_eq!(before.len(), 3, "both, and the zero");
    drop(store);
    assert!(sorted(points(&open()).await) == before);
}

#[tokio::test]
async fn of_series_alone_no_more_is_read_than_may_be_listed() {
    const FILES: u64 = 12;
    let dir = tempdir().unwrap();
    let options = Options {
        background_merges: false,
        ..Options::default()
    };
    let store = open_with(dir.path(), options);
    for number in 0..FILES {
        let mut sent = gauges([number], 1.0);
        sent[0].0.attributes = vec![model::KeyValue::new("file", number.to_string())];
        sent.extend(gauges([number], 2.0));
        write(&store, Signal::Metrics, &sent).await.unwrap();
        store.flush().await;
    }
    for (limit, cut) in [(3, true), (50, false)] {
        let request = Request::Series {
            tenant: Tenant::default(),
            range: TimeRange::ALL,
            matchers: Vec::new(),
            points: false,
            limit,
        };
        let (replies, summary) = ask(&store, request).await.unwrap();
        let [Reply::Series(list)] = &replies[..] else {
            panic!("{replies:?}");
        };
        assert_eq!(list.len(), if cut { 3 } else { 13 });
        assert_eq!(!summary.cuts.is_empty(), cut);
        assert_eq!(summary.stats.blocks < FILES, cut, "{:?}", summary.stats);
    }
}

#[tokio::test]
async fn metrics_are_listed_whatever_series_they_have() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut expected = std::collections::BTreeSet::new();
    for place in ["head", "file", "head and files", "merged"] {
        match place {
            "merged" => merge(&store).await,
            "head" => {}
            _ => store.flush().await,
        }
        let name = format!("metric of {place}");
        for unit in ["s", "By"] {
            let mut sent = gauges([1], 1.0);
            let metric = Arc::make_mut(&mut sent[0].0.metric);
            (metric.name, metric.unit) = (name.clone(), unit.to_owned());
            for number in 0..20 {
                sent[0].0.attributes = vec![model::KeyValue::new("number", number)];
                write(&store, Signal::Metrics, &sent).await.unwrap();
            }
            expected.insert((name.clone(), unit.to_owned()));
        }
        for limit in [2, expected.len(), 50] {
            let tenant = Tenant::default();
            let (replies, summary) = ask(&store, Request::Metrics { tenant, limit })
                .await
                .unwrap();
            let mut found: Vec<(String, String)> = Vec::new();
            for reply in replies {
                let Reply::Metrics(list) = reply else {
                    panic!("{reply:?}");
                };
                found.extend(list.iter().map(|one| (one.name.clone(), one.unit.clone())));
            }
            assert_eq!(found.len(), limit.min(expected.len()), "{place}");
            assert!(found.iter().all(|one| expected.contains(one)), "{place}");
            let is_cut = !summary.cuts.is_empty();
            assert_eq!(is_cut, limit < expected.len(), "{place}");
        }
    }
}
