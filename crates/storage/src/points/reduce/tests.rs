//! What is kept of a bucket says what its points say.

use model::DataPoint;
use model::metric::Histogram;

use super::*;

const SECOND: u64 = 1_000_000_000;
const FIVE_MINUTES: u64 = 300 * SECOND;

fn list(kept: &[(Held, Points)], held: Held) -> Points {
    let found = kept.iter().find(|(one, _)| *one == held);
    found.map(|(_, list)| list.clone()).unwrap_or_default()
}

fn numbers(points: &Points) -> Vec<f64> {
    (0..points.len())
        .filter_map(|row| number(points, row))
        .collect()
}

/// By how much a counter with these values grows.
fn increase(values: &[f64]) -> f64 {
    let step = |pair: &[f64]| match pair[1] < pair[0] {
        true => pair[1],
        false => pair[1] - pair[0],
    };
    values.windows(2).map(step).sum()
}

#[test]
fn columns_say_of_each_bucket_what_its_numbers_say() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..200 {
        let mut points = Points::default();
        let (mut time, mut value) = (random.u64(..SECOND * 1_000), 0i64);
        for _ in 0..random.usize(1..120) {
            time += random.u64(1..60) * SECOND;
            value = match random.u32(..12) {
                0 => random.i64(0..5),
                _ => value + random.i64(0..100),
            };
            points.push_parts((time, 7), 0, &PointValue::Int(value), &[]);
        }
        let kept = reduce(&points, Temporality::Cumulative, FIVE_MINUTES);
        let buckets = buckets(&points, FIVE_MINUTES);
        let all = numbers(&points);
        let of = |held| numbers(&list(&kept, held));
        let expected = |each: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            buckets
                .iter()
                .map(|rows| each(&all[rows.clone()]))
                .collect()
        };
        assert_eq!(of(Held::First), expected(&|rows| rows[0]));
        assert_eq!(of(Held::Last), expected(&|rows| rows[rows.len() - 1]));
        assert_eq!(of(Held::Sum), expected(&|rows| rows.iter().sum()));
        assert_eq!(of(Held::Count), expected(&|rows| rows.len() as f64));
        let least = |rows: &[f64]| rows.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |rows: &[f64]| rows.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(of(Held::Min), expected(&least));
        assert_eq!(of(Held::Max), expected(&most));
        // Read as a counter, what is kept grows as all of it does.
        let peaks = list(&kept, Held::Peak);
        let mut counter = Vec::new();
        for rows in &buckets {
            let (first, last) = (all[rows.start], all[rows.end - 1]);
            counter.push(first);
            let start = points.times[rows.start];
            if let Ok(at) = peaks.times.binary_search(&start) {
                counter.extend([number(&peaks, at).unwrap(), 0.0]);
            }
            counter.push(last);
        }
        assert!(
            (increase(&counter) - increase(&all)).abs() < 1e-6,
            "{round}"
        );
        for rows in &buckets {
            let first = bucket_of(points.times[rows.start], FIVE_MINUTES);
            assert!(
                rows.clone()
                    .all(|row| bucket_of(points.times[row], FIVE_MINUTES) == first)
            );
        }
    }
}

#[test]
fn a_bucket_ends_with_its_last_millisecond() {
    assert_eq!(bucket_of(FIVE_MINUTES, FIVE_MINUTES), 0);
    assert_eq!(bucket_of(FIVE_MINUTES + 999_999, FIVE_MINUTES), 0);
    assert_eq!(bucket_of(FIVE_MINUTES + 1_000_000, FIVE_MINUTES), 1);
    assert_eq!(bucket_of(0, FIVE_MINUTES), 0);
    assert_eq!(
        bucket_of(u64::MAX, 3_600 * SECOND),
        u64::MAX / 1_000_000 / 3_600_000
    );
}

#[test]
fn a_series_that_ends_stays_ended_and_numbers_that_are_none_do_not_count() {
    let mut points = Points::default();
    let mut push = |seconds: u64, flags: u32, value: PointValue| {
        points.push_parts((seconds * SECOND, 0), flags, &value, &[]);
    };
    push(10, 0, PointValue::Double(1.0));
    push(20, FLAG_NO_RECORDED_VALUE, PointValue::Empty);
    push(30, 0, PointValue::Double(f64::NAN));
    push(40, 0, PointValue::Double(3.0));
    push(50, 0, PointValue::Empty);
    push(60, FLAG_NO_RECORDED_VALUE, PointValue::Empty);
    push(700, FLAG_NO_RECORDED_VALUE, PointValue::Empty);
    let kept = reduce(&points, Temporality::None, FIVE_MINUTES);
    let last = list(&kept, Held::Last);
    assert_eq!(last.times, [40, 60, 700].map(|seconds| seconds * SECOND));
    assert_eq!(last.value(0), PointValue::Double(3.0));
    assert!(is_stale(&last, 1) && is_stale(&last, 2) && !is_stale(&last, 0));
    assert_eq!(numbers(&list(&kept, Held::Count)), [3.0]);
    assert_eq!(numbers(&list(&kept, Held::Min)), [1.0]);
    assert_eq!(numbers(&list(&kept, Held::Max)), [3.0]);
    assert!(reduce(&Points::default(), Temporality::None, FIVE_MINUTES).is_empty());
}

#[test]
fn what_was_sent_again_counts_once() {
    let mut points = Points::default();
    for (milliseconds, value) in [(1_000, 1), (2_000, 5), (2_000, 3), (3_000, 4), (3_000, 4)] {
        let times = (milliseconds * 1_000_000, 0);
        points.push_parts(times, 0, &PointValue::Int(value), &[]);
    }
    let kept = reduce(&points, Temporality::Cumulative, FIVE_MINUTES);
    let of = |held| numbers(&list(&kept, held));
    assert_eq!(of(Held::Count), [3.0]);
    assert_eq!(of(Held::Sum), [8.0]);
    assert_eq!(of(Held::Max), [4.0]);
    assert_eq!(of(Held::Peak), [] as [f64; 0]);
    let kept = reduce(&points, Temporality::Delta, FIVE_MINUTES);
    assert_eq!(numbers(&list(&kept, Held::Sent)), [8.0]);
}

#[test]
fn every_resolution_keeps_the_same_series() {
    let mut points = Points::default();
    let end = 290 * SECOND;
    points.push_parts((end, 0), FLAG_NO_RECORDED_VALUE, &PointValue::Empty, &[]);
    points.push_parts((310 * SECOND, 0), 0, &PointValue::Empty, &[]);
    let summary = PointValue::Summary(model::metric::Summary::default());
    for with_summaries in [false, true] {
        if with_summaries {
            points.push_parts((9_000 * SECOND, 0), 0, &summary, &[]);
        }
        for resolution in [FIVE_MINUTES, 12 * FIVE_MINUTES] {
            let kept = reduce(&points, Temporality::None, resolution);
            assert_eq!(kept[0].1.times[0], end);
        }
    }
}

#[test]
fn deltas_are_added_up() {
    let mut points = Points::default();
    for seconds in [100u64, 200, 300, 400] {
        let times = (seconds * SECOND, (seconds - 100) * SECOND);
        points.push_parts(times, 0, &PointValue::Int(5), &[]);
    }
    let kept = reduce(&points, Temporality::Delta, FIVE_MINUTES);
    let sent = list(&kept, Held::Sent);
    let expected = |time: u64, start: u64, value: i64| DataPoint {
        start_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        flags: 0,
        value: PointValue::Int(value),
        exemplars: Vec::new(),
    };
    assert_eq!(sent.len(), 2);
    assert_eq!(sent.point(0), expected(300, 0, 15));
    assert_eq!(sent.point(1), expected(400, 300, 5));
}

#[test]
fn of_histograms_the_ends_and_resets_are_kept() {
    let mut points = Points::default();
    let mut push = |seconds: u64, count: u64| {
        let value = PointValue::Histogram(Histogram {
            count,
            bucket_counts: vec![count],
            ..Histogram::default()
        });
        points.push_parts((seconds * SECOND, 0), 0, &value, &[]);
    };
    for (seconds, count) in [
        (10, 5),
        (20, 6),
        (30, 7),
        (40, 1),
        (50, 2),
        (60, 3),
        (400, 4),
    ] {
        push(seconds, count);
    }
    let seconds =
        |points: &Points| -> Vec<u64> { points.times.iter().map(|time| time / SECOND).collect() };
    let kept = reduce(&points, Temporality::Cumulative, FIVE_MINUTES);
    assert_eq!(seconds(&list(&kept, Held::Sent)), [10, 30, 40, 60, 400]);
    let kept = reduce(&points, Temporality::Delta, FIVE_MINUTES);
    assert_eq!(list(&kept, Held::Sent).len(), 7);
}
