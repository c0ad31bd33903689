//! What is encoded comes back bit for bit, and damage never panics.

use model::DataPoint;
use model::metric::{Buckets, ExponentialHistogram, Histogram, Summary};

use super::*;
use crate::testing::BASE;

fn encoded(points: &Points) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, points);
    out
}

/// In a form that compares, NaN included.
fn bytes_of(points: &Points) -> Vec<Vec<u8>> {
    (0..points.len())
        .map(|row| postcard::to_stdvec(&points.point(row)).unwrap())
        .collect()
}

fn of(list: &[DataPoint]) -> Points {
    let mut points = Points::default();
    list.iter().for_each(|point| points.push(point));
    points
}

fn round_trip(list: &[DataPoint]) -> usize {
    let points = of(list);
    let sent: Vec<Vec<u8>> = list
        .iter()
        .map(|p| postcard::to_stdvec(p).unwrap())
        .collect();
    assert!(bytes_of(&points) == sent, "columns hold what was added");
    let bytes = encoded(&points);
    let found = decode(&bytes, &points.times).unwrap();
    assert!(bytes_of(&found) == sent, "{list:?}");
    for end in 0..bytes.len() {
        assert!(
            decode(&bytes[..end], &points.times).is_err(),
            "cut at {end}"
        );
    }
    let mut random = fastrand::Rng::with_seed(bytes.len() as u64);
    for _ in 0..64 {
        let mut damaged = bytes.clone();
        let at = random.usize(..damaged.len());
        damaged[at] ^= 1 << random.u8(..8);
        let _ = decode(&damaged, &points.times);
        let _ = decode_doubles(&damaged, &points.times, 1);
    }
    bytes.len()
}

fn point(row: usize, value: PointValue) -> DataPoint {
    DataPoint {
        start_unix_nano: BASE,
        time_unix_nano: BASE + (row as u64 + 1) * 15_000_000_000,
        flags: 0,
        value,
        exemplars: Vec::new(),
    }
}

fn numbers(count: usize, value: impl Fn(usize) -> PointValue) -> Vec<DataPoint> {
    (0..count).map(|row| point(row, value(row))).collect()
}

#[test]
fn integers_take_about_what_their_noise_takes() {
    let noise: Vec<i64> = {
        let mut random = fastrand::Rng::with_seed(1);
        (0..240).map(|_| random.i64(0..256)).collect()
    };
    let line = numbers(240, |row| PointValue::Int(row as i64 * 300 + noise[row]));
    let size = round_trip(&line);
    assert!(size < 240 + 40, "a line takes about 8 bits a value: {size}");
    let constant = numbers(240, |_| PointValue::Int(-7));
    assert!(round_trip(&constant) < 16);
    for values in [
        vec![i64::MIN, i64::MAX],
        vec![i64::MAX, i64::MIN, 0, -1, 1, i64::MAX, i64::MIN, 5, 6],
        vec![0],
    ] {
        round_trip(&numbers(values.len(), |row| PointValue::Int(values[row])));
    }
}

#[test]
fn doubles_come_back_bit_for_bit() {
    let mut random = fastrand::Rng::with_seed(2);
    let decimals = numbers(240, |row| {
        PointValue::Double(((row * 37) % 1_000) as f64 / 100.0)
    });
    assert!(round_trip(&decimals) < 240 * 10 / 8 + 40);
    let any: Vec<f64> = (0..240).map(|_| f64::from_bits(random.u64(..))).collect();
    round_trip(&numbers(240, |row| PointValue::Double(any[row])));
    let smooth: Vec<f64> = (0..240).map(|row| (row as f64 / 30.0).sin()).collect();
    let size = round_trip(&numbers(240, |row| PointValue::Double(smooth[row])));
    assert!(size < 240 * 8, "{size}");
    let special = [
        f64::NAN,
        -0.0,
        0.0,
        f64::INFINITY,
        f64::MIN_POSITIVE,
        0.1,
        1e300,
    ];
    round_trip(&numbers(7, |row| PointValue::Double(special[row])));
    // A few exceptions among decimals.
    round_trip(&numbers(100, |row| {
        PointValue::Double(if row % 20 == 3 {
            f64::NAN
        } else {
            row as f64 / 4.0
        })
    }));
}

#[test]
fn numbers_that_are_missing_keep_their_column() {
    let list: Vec<DataPoint> = (0..50)
        .map(|row| {
            let stale = row % 10 == 4;
            DataPoint {
                flags: u32::from(stale),
                ..point(
                    row,
                    if stale {
                        PointValue::Empty
                    } else {
                        PointValue::Int(3)
                    },
                )
            }
        })
        .collect();
    assert!(round_trip(&list) < 60);
    let points = of(&list);
    let (values, empty) = decode_doubles(&encoded(&points), &points.times, 7)
        .unwrap()
        .unwrap();
    assert_eq!(values[4].to_bits(), 7);
    assert_eq!(values[5], 3.0);
    assert_eq!(empty, [] as [u32; 0]);
    // Empty ones first, doubles after them; and numbers of both types.
    let mixed = [
        PointValue::Empty,
        PointValue::Double(1.5),
        PointValue::Int(2),
        PointValue::Empty,
    ];
    for count in 1..=4 {
        round_trip(&numbers(count, |row| mixed[row].clone()));
    }
    let mixed = of(&numbers(4, |row| mixed[row].clone()));
    assert_eq!(
        decode_doubles(&encoded(&mixed), &mixed.times, 7).unwrap(),
        None
    );
}

#[test]
fn starts_flags_and_exemplars_come_back() {
    let mut random = fastrand::Rng::with_seed(3);
    let exemplar = model::metric::Exemplar {
        time_unix_nano: 5,
        trace_id: vec![1; 16],
        ..Default::default()
    };
    for form in 0..4 {
        let list: Vec<DataPoint> = (0..200)
            .map(|row| {
                let point = point(row, PointValue::Int(row as i64));
                DataPoint {
                    start_unix_nano: match form {
                        0 => 0,
                        1 => BASE,
                        2 => BASE + row as u64 * 15_000_000_000,
                        _ => random.u64(..),
                    },
                    flags: if row % 7 == 0 { random.u32(..) } else { 0 },
                    exemplars: if row % 31 == 0 {
                        vec![exemplar.clone()]
                    } else {
                        Vec::new()
                    },
                    ..point
                }
            })
            .collect();
        round_trip(&list);
    }
}

#[test]
fn histograms_and_summaries_come_back() {
    let histogram = |row: usize, sum: Option<f64>, bounds: Vec<f64>| {
        PointValue::Histogram(Histogram {
            count: row as u64 * 30,
            sum,
            bucket_counts: (0..=bounds.len() as u64).map(|n| row as u64 * n).collect(),
            explicit_bounds: bounds,
            min: Some(0.5),
            max: None,
        })
    };
    let same = numbers(240, |row| {
        histogram(row, Some(row as f64 / 2.0), vec![0.5, 1.0, 2.5])
    });
    assert!(round_trip(&same) < 240 * 4, "buckets are columns");
    round_trip(&numbers(9, |row| {
        histogram(row, (row > 3).then_some(1.0), vec![0.5])
    }));
    round_trip(&numbers(9, |row| histogram(row, None, vec![0.5; row % 3])));
    let exponential = |row: usize| {
        let counts = vec![row as u64; 3 + usize::from(row > 100)];
        PointValue::Exponential(ExponentialHistogram {
            count: 3 * row as u64,
            sum: Some(1.25 * row as f64),
            scale: 3 - (row / 50) as i32,
            zero_count: 1,
            positive: Some(Buckets {
                offset: -4,
                bucket_counts: counts,
            }),
            negative: row.is_multiple_of(2).then(Buckets::default),
            ..ExponentialHistogram::default()
        })
    };
    assert!(round_trip(&numbers(200, exponential)) < 200 * 8);
    let summary = |row: usize| {
        PointValue::Summary(Summary {
            count: row as u64,
            sum: f64::NAN,
            quantiles: vec![(0.5, row as f64)],
        })
    };
    round_trip(&numbers(30, summary));
    round_trip(&numbers(30, |row| match row % 5 {
        0 => summary(row),
        1 => exponential(row),
        2 => PointValue::Empty,
        3 => PointValue::Int(1),
        _ => histogram(row, None, Vec::new()),
    }));
}

#[test]
fn irregular_times_come_back() {
    let mut random = fastrand::Rng::with_seed(4);
    let regular: Vec<u64> = (0..240).map(|row| BASE + row * 15_000_000_000).collect();
    let jitter: Vec<u64> = regular
        .iter()
        .map(|time| time + random.u64(..1_000_000))
        .collect();
    for times in [
        regular,
        jitter,
        vec![7],
        vec![u64::MAX, 0],
        vec![1, 1, 1, 9],
    ] {
        let mut out = Vec::new();
        super::super::numbers::put_times(&mut out, &times);
        let found = super::super::numbers::get_times(&out, times.len()).unwrap();
        assert_eq!(found, times);
    }
}
