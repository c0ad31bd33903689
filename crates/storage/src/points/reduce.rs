//! From the points of a series to what is kept of them in buckets of time.
//!
//! Bucket k of resolution r has the points after k r and up to (k + 1) r, in milliseconds, as
//! ranges of PromQL have them. Of numbers that are no deltas it keeps the first and the last with
//! their times, the smallest, the largest, their sum and their number, each as a column, and for
//! counters that were reset within it what makes the increase come out right ([`Held::Peak`]).
//! Deltas that are numbers become one delta. Of all other points the first, the last, and those on
//! both sides of a reset are kept as they were sent; deltas of them are all kept. A series that
//! ends, ends: a marker that says so stays where nothing follows it in its bucket.

use std::ops::Range;

use model::metric::{FLAG_NO_RECORDED_VALUE, PointValue, Temporality};

use super::{PointValues, Points};

const NANOS_PER_MS: u64 = 1_000_000;
/// Resets of a histogram that are kept in one bucket.
const RESETS_MAX: usize = 8;
/// A bucket has room for a peak where its first and last value are so far apart.
const PEAK_ROOM: u64 = 3 * NANOS_PER_MS;

/// What a chunk holds of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Held {
    /// Points as they were sent.
    Sent,
    /// The last value of each bucket, and markers of the end of the series.
    Last,
    /// The first value of each bucket, at its time.
    First,
    /// The smallest; this and the following at the time of the last value.
    Min,
    /// The largest.
    Max,
    /// The sum.
    Sum,
    /// How many there were.
    Count,
    /// Of buckets in which the value fell, at the time of the first: a value p such that the first
    /// value, p, 0 and the last value make the increase that all of them make.
    Peak,
}

impl Held {
    /// All, by their numbers in files.
    pub(crate) const ALL: [Held; 8] = [
        Held::Sent,
        Held::Last,
        Held::First,
        Held::Min,
        Held::Max,
        Held::Sum,
        Held::Count,
        Held::Peak,
    ];
}

/// The bucket of a time.
fn bucket_of(time: u64, resolution_nano: u64) -> u64 {
    (time / NANOS_PER_MS).saturating_sub(1) / (resolution_nano / NANOS_PER_MS).max(1)
}

/// What is kept of these points, which come by time: lists of points by time.
pub(crate) fn reduce(
    points: &Points,
    temporality: Temporality,
    resolution_nano: u64,
) -> Vec<(Held, Points)> {
    let numbers = match &points.values {
        PointValues::Int(_) | PointValues::Double(_) => true,
        PointValues::Any(list) => list.iter().all(|value| {
            matches!(
                value,
                PointValue::Int(_) | PointValue::Double(_) | PointValue::Empty
            )
        }),
    };
    let delta = temporality == Temporality::Delta;
    let buckets = buckets(points, resolution_nano);
    let kept = match (numbers, delta) {
        (true, false) => return columns(points, &buckets),
        (true, true) => deltas(points, &buckets),
        (false, true) => whole(points, 0..points.len()),
        (false, false) => ends(points, &buckets),
    };
    if kept.is_empty() {
        return Vec::new();
    }
    vec![(Held::Sent, kept)]
}

/// The rows of each bucket.
fn buckets(points: &Points, resolution_nano: u64) -> Vec<Range<usize>> {
    let mut buckets = Vec::new();
    let mut first = 0;
    while first < points.len() {
        let bucket = bucket_of(points.times[first], resolution_nano);
        let inside = |time: &u64| bucket_of(*time, resolution_nano) == bucket;
        let end = first + points.times[first..].partition_point(inside);
        buckets.push(first..end);
        first = end;
    }
    buckets
}

fn is_stale(points: &Points, row: usize) -> bool {
    !points.flags.is_empty() && points.flags(row) & FLAG_NO_RECORDED_VALUE != 0
}

/// The number of a row; nothing for one without.
#[allow(clippy::cast_precision_loss)]
fn number(points: &Points, row: usize) -> Option<f64> {
    match points.value(row) {
        PointValue::Int(int) => Some(int as f64),
        PointValue::Double(double) => Some(double),
        _ => None,
    }
}

/// A sum whose error does not grow with the number of its parts (Neumaier).
#[derive(Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_finite() {
            self.lost += if self.sum.abs() >= value.abs() {
                (self.sum - sum) + value
            } else {
                (value - sum) + self.sum
            };
        }
        self.sum = sum;
    }

    fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

/// The numbers of one bucket.
struct Bucket {
    first: (u64, f64),
    /// The row of the last, and its value.
    last: (usize, f64),
    min: f64,
    max: f64,
    sum: Sum,
    count: i64,
    /// By how much a counter of these values has grown.
    increase: Sum,
    resets: bool,
}

impl Bucket {
    fn new(time: u64, row: usize, value: f64) -> Self {
        let mut sum = Sum::default();
        sum.add(value);
        Self {
            first: (time, value),
            last: (row, value),
            min: value,
            max: value,
            sum,
            count: 1,
            increase: Sum::default(),
            resets: false,
        }
    }

    fn add(&mut self, row: usize, value: f64) {
        let before = self.last.1;
        self.resets |= value < before;
        self.increase.add(if value < before {
            value
        } else {
            value - before
        });
        self.last = (row, value);
        if value < self.min || self.min.is_nan() {
            self.min = value;
        }
        if value > self.max || self.max.is_nan() {
            self.max = value;
        }
        self.sum.add(value);
        self.count += 1;
    }
}

/// The rows that are samples: numbers, and markers of the end of the series. Of one millisecond the
/// last that was stored counts.
fn samples(points: &Points, rows: Range<usize>) -> Vec<usize> {
    let mut samples: Vec<usize> = Vec::with_capacity(rows.len());
    let millisecond = |row: usize| points.times[row] / NANOS_PER_MS;
    for row in rows {
        if is_stale(points, row) || number(points, row).is_some() {
            samples.pop_if(|last| millisecond(*last) == millisecond(row));
            samples.push(row);
        }
    }
    samples
}

/// The columns of a series of numbers.
fn columns(points: &Points, buckets: &[Range<usize>]) -> Vec<(Held, Points)> {
    let mut lists: [Points; Held::ALL.len()] = Default::default();
    let mut push = |held: Held, time: u64, value: PointValue| {
        lists[held as usize].push_parts((time, 0), 0, &value, &[]);
    };
    let mut ends: Vec<(u64, usize)> = Vec::new();
    for rows in buckets {
        let mut bucket: Option<Bucket> = None;
        let mut stale = None;
        for row in samples(points, rows.clone()) {
            if is_stale(points, row) {
                stale = Some(row);
                continue;
            }
            let Some(value) = number(points, row) else {
                continue;
            };
            stale = None;
            match &mut bucket {
                Some(bucket) => bucket.add(row, value),
                None => bucket = Some(Bucket::new(points.times[row], row, value)),
            }
        }
        if let Some(bucket) = &bucket {
            let (first, (row, value)) = (bucket.first, bucket.last);
            let time = points.times[row];
            // A series of several types is one of doubles here.
            let last = match &points.values {
                PointValues::Int(list) => PointValue::Int(list[row]),
                _ => PointValue::Double(value),
            };
            push(Held::Last, time, last);
            push(Held::First, first.0, PointValue::Double(first.1));
            push(Held::Min, time, PointValue::Double(bucket.min));
            push(Held::Max, time, PointValue::Double(bucket.max));
            push(Held::Sum, time, PointValue::Double(bucket.sum.total()));
            push(Held::Count, time, PointValue::Int(bucket.count));
            if bucket.resets && time - first.0 >= PEAK_ROOM {
                let peak = first.1 + bucket.increase.total() - value;
                push(Held::Peak, first.0, PointValue::Double(peak));
            }
        }
        if let Some(row) = stale {
            ends.push((points.times[row], row));
        }
    }
    if !ends.is_empty() {
        let last = &mut lists[Held::Last as usize];
        for (time, row) in ends {
            last.push_parts((time, 0), points.flags(row), &PointValue::Empty, &[]);
        }
        last.sort();
    }
    let lists = Held::ALL.into_iter().zip(lists);
    lists.filter(|(_, list)| !list.is_empty()).collect()
}

/// One delta for each bucket.
fn deltas(points: &Points, buckets: &[Range<usize>]) -> Points {
    let mut kept = Points::default();
    for rows in buckets {
        let mut doubles = Sum::default();
        let mut ints = Some(0i64);
        let mut last = None;
        // What was sent again counts once.
        let span = |row: &usize| (points.times[*row], points.starts.get(*row));
        let real = |row: &usize| !is_stale(points, *row) && number(points, *row).is_some();
        let mut list: Vec<usize> = rows.clone().filter(real).collect();
        list.sort_by_key(span);
        list.reverse();
        list.dedup_by_key(|row| span(row));
        for row in list.into_iter().rev() {
            let Some(value) = number(points, row) else {
                continue;
            };
            ints = match points.value(row) {
                PointValue::Int(int) => ints.and_then(|sum| sum.checked_add(int)),
                _ => None,
            };
            doubles.add(value);
            last = Some(row);
        }
        if let Some(row) = last {
            let start = points.starts.get(rows.start);
            let value = ints.map_or(PointValue::Double(doubles.total()), PointValue::Int);
            kept.push_parts((points.times[row], start), 0, &value, &[]);
        }
    }
    kept
}

/// The first and the last points of each bucket, and those on both sides of a reset.
fn ends(points: &Points, buckets: &[Range<usize>]) -> Points {
    let mut kept = Points::default();
    for rows in buckets {
        let real = |row: &usize| {
            let empty = points.value(*row) == PointValue::Empty;
            !empty && !is_stale(points, *row)
        };
        let list: Vec<usize> = rows.clone().filter(real).collect();
        let mut chosen: Vec<usize> = Vec::new();
        chosen.extend(list.first());
        let falls = |pair: &&[usize]| count(points, pair[1]) < count(points, pair[0]);
        for pair in list.windows(2).filter(falls).take(RESETS_MAX) {
            chosen.extend_from_slice(pair);
        }
        chosen.extend(list.last());
        // A marker that nothing follows.
        let after = list.last().map_or(rows.start, |last| last + 1);
        chosen.extend((after..rows.end).rev().find(|row| is_stale(points, *row)));
        chosen.dedup();
        for row in chosen {
            push_row(&mut kept, points, row);
        }
    }
    kept
}

/// How many observations a histogram or summary has.
#[allow(clippy::cast_precision_loss)]
fn count(points: &Points, row: usize) -> f64 {
    match points.value(row) {
        PointValue::Histogram(histogram) => histogram.count as f64,
        PointValue::Exponential(histogram) => histogram.count as f64,
        PointValue::Summary(summary) => summary.count as f64,
        PointValue::Native(histogram) => histogram.counts.count(),
        PointValue::Int(int) => int as f64,
        PointValue::Double(double) => double,
        PointValue::Empty => 0.0,
    }
}

/// Points as they are, but for their exemplars.
fn whole(points: &Points, rows: Range<usize>) -> Points {
    let mut kept = Points::default();
    rows.for_each(|row| push_row(&mut kept, points, row));
    kept
}

fn push_row(kept: &mut Points, points: &Points, row: usize) {
    let times = (points.times[row], points.starts.get(row));
    kept.push_parts(times, points.flags(row), &points.value(row), &[]);
}

#[cfg(test)]
mod tests;
