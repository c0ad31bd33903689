//! Quantiles and fractions of native and classic histograms.
//!
//! Within an exponential bucket observations are taken to be spread evenly on a logarithmic scale,
//! within any other evenly on a linear one.

use super::{FloatHistogram, Range};

/// A bucket of a classic histogram with its cumulative count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Upper bound.
    pub upper: f64,
    /// Observations up to it.
    pub count: f64,
}

/// How much the counts of a classic histogram had to be changed to rise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forced {
    /// Lowest bound of a changed bucket.
    pub min_bound: f64,
    /// Highest bound of a changed bucket.
    pub max_bound: f64,
    /// Largest change.
    pub max_difference: f64,
}

/// A quantile of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketQuantile {
    /// The quantile.
    pub value: f64,
    /// Set when the counts did not rise by more than rounding explains.
    pub forced: Option<Forced>,
}

/// What observations of NaN, which are counted but in no bucket, do to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// There is no answer.
    Result,
    /// The answer is higher than that of the other observations.
    Skew,
}

/// Relative difference of counts that is taken for a rounding error.
const TOLERANCE: f64 = 1e-12;

/// Whether two counts differ by no more than rounding.
fn is_close(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The quantile of a classic histogram whose buckets come in any order.
pub fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> BucketQuantile {
    let plain = |value| BucketQuantile {
        value,
        forced: None,
    };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if !normalize(buckets) {
        return plain(f64::NAN);
    }
    let forced = force_monotonic(buckets);
    let observations = buckets.last().map_or(0.0, |bucket| bucket.count);
    if buckets.len() < 2 || observations == 0.0 {
        return BucketQuantile {
            value: f64::NAN,
            forced,
        };
    }
    let rank = q * observations;
    let last = buckets.len() - 1;
    let reaches = |bucket: &Bucket| bucket.count >= rank;
    let index = buckets[..last].partition_point(|bucket| !reaches(bucket));
    let value = if index == last {
        buckets[last - 1].upper
    } else if index == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (start, below) = match index.checked_sub(1) {
            Some(previous) => (buckets[previous].upper, buckets[previous].count),
            None => (0.0, 0.0),
        };
        let bucket = buckets[index];
        start + (bucket.upper - start) * ((rank - below) / (bucket.count - below))
    };
    BucketQuantile { value, forced }
}

/// Sorts and merges buckets; false when the highest bound is not infinite.
fn normalize(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets
        .last()
        .is_none_or(|bucket| bucket.upper != f64::INFINITY)
    {
        return false;
    }
    buckets.dedup_by(|next, first| {
        let same = next.upper == first.upper;
        if same {
            first.count += next.count;
        }
        same
    });
    true
}

fn force_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut highest = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let difference = highest - bucket.count;
        if is_close(highest, bucket.count) {
            bucket.count = highest;
        } else if difference < 0.0 {
            highest = bucket.count;
        } else if difference > 0.0 {
            bucket.count = highest;
            let seen = forced.get_or_insert(Forced {
                min_bound: bucket.upper,
                max_bound: bucket.upper,
                max_difference: difference,
            });
            seen.max_bound = bucket.upper;
            seen.max_difference = seen.max_difference.max(difference);
        }
    }
    forced
}

/// The fraction of a classic histogram's observations between two values.
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !normalize(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |bucket| bucket.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut below = 0.0;
    let mut start = f64::NEG_INFINITY;
    let mut ranges = Vec::with_capacity(buckets.len());
    for bucket in buckets.iter() {
        let lower = if start == f64::NEG_INFINITY && bucket.upper > 0.0 {
            0.0
        } else {
            start
        };
        ranges.push(Range::new(lower, bucket.upper, bucket.count - below));
        (start, below) = (bucket.upper, bucket.count);
    }
    let rank = |value: f64| rank_of(value, &ranges, linear_share);
    (rank(upper).min(count) - rank(lower).min(count)) / count
}

/// How many observations are below a value.
fn rank_of(value: f64, ranges: &[Range], share: impl Fn(&Range, f64) -> f64) -> f64 {
    let mut rank = 0.0;
    for range in ranges {
        if range.lower >= value {
            return rank;
        }
        if range.upper > value {
            return rank + range.count * share(range, value);
        }
        rank += range.count;
    }
    // All of them, whatever their number.
    f64::INFINITY
}

/// The share of a bucket below a value inside it. Nothing is known about the spread in a bucket
/// without a bound: it counts as if all of it were at the other one.
pub(super) fn linear_share(range: &Range, value: f64) -> f64 {
    if range.lower.is_infinite() {
        return 1.0;
    }
    if range.upper.is_infinite() {
        return 0.0;
    }
    (value - range.lower) / (range.upper - range.lower)
}

pub(super) fn exponential_share(range: &Range, value: f64) -> f64 {
    let log = |value: f64| value.abs().log2();
    if value > 0.0 {
        (log(value) - log(range.lower)) / (log(range.upper) - log(range.lower))
    } else {
        1.0 - (log(value) - log(range.upper)) / (log(range.lower) - log(range.upper))
    }
}

/// A histogram without negative values has none in its zero bucket either, and the other way round.
fn trim_zero(histogram: &FloatHistogram, range: &mut Range) {
    if range.lower > 0.0 || range.upper < 0.0 {
        return;
    }
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => range.lower = 0.0,
        (false, true) => range.upper = 0.0,
        _ => {}
    }
}

fn is_linear(histogram: &FloatHistogram, range: &Range) -> bool {
    histogram.is_custom() || (range.lower <= 0.0 && range.upper >= 0.0)
}

/// The quantile of a native histogram, and whether observations of NaN got in the way.
pub fn histogram_quantile(q: f64, histogram: &FloatHistogram) -> (f64, Option<Missing>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // NaN observations are counted but are in no bucket, so ranks only hold from below.
    let forward = histogram.sum.is_nan() || q < 0.5;
    let mut ranges = histogram.buckets();
    if !forward {
        ranges.reverse();
    }
    let rank = if forward { q } else { 1.0 - q } * histogram.count;
    let mut count = 0.0;
    let mut range = Range::new(0.0, 0.0, 0.0);
    let mut ranges = ranges.into_iter();
    for next in ranges.by_ref() {
        count += next.count;
        range = next;
        if count >= rank {
            break;
        }
    }
    if !histogram.is_custom() {
        trim_zero(histogram, &mut range);
    } else if range.lower == f64::NEG_INFINITY {
        if range.upper <= 0.0 {
            return (range.upper, None);
        }
        range.lower = 0.0;
    } else if range.upper == f64::INFINITY {
        return (range.lower, None);
    }
    count = count.min(histogram.count);
    if count < rank {
        return if histogram.sum.is_nan() {
            (f64::NAN, Some(Missing::Result))
        } else {
            (range.upper, None)
        };
    }
    let inside = if forward {
        rank - (count - range.count)
    } else {
        count - rank
    };
    // A sum of infinities of both signs is NaN too, but then every observation is in a bucket.
    let in_buckets = count + ranges.map(|range| range.count).sum::<f64>();
    let skewed = histogram.sum.is_nan() && in_buckets < histogram.count;
    let value = interpolate(&range, inside / range.count, is_linear(histogram, &range));
    (value, skewed.then_some(Missing::Skew))
}

fn interpolate(range: &Range, fraction: f64, linear: bool) -> f64 {
    if linear {
        return range.lower + (range.upper - range.lower) * fraction;
    }
    let (low, high) = (range.lower.abs().log2(), range.upper.abs().log2());
    if range.lower > 0.0 {
        (low + (high - low) * fraction).exp2()
    } else {
        -(high + (low - high) * (1.0 - fraction)).exp2()
    }
}

/// The fraction of a native histogram's observations between two values, and whether there are
/// observations of NaN, which are in no fraction.
pub fn histogram_fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> (f64, bool) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let mut ranges = histogram.buckets();
    for range in &mut ranges {
        trim_zero(histogram, range);
    }
    let in_buckets: f64 = ranges.iter().map(|range| range.count).sum();
    let most = if histogram.sum.is_nan() {
        in_buckets
    } else {
        histogram.count
    };
    let rank = |value: f64| {
        let share = |range: &Range, value: f64| {
            if is_linear(histogram, range) {
                linear_share(range, value)
            } else {
                exponential_share(range, value)
            }
        };
        rank_of(value, &ranges, share).min(most)
    };
    let fraction = (rank(upper) - rank(lower)) / histogram.count;
    (
        fraction,
        histogram.sum.is_nan() && in_buckets < histogram.count,
    )
}
