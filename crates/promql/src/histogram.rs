//! Native histograms with float counts: exponential buckets, or custom bounds ("NHCB").
//!
//! Exponential bucket `i` of schema `s` holds what is above `2^((i-1) * 2^-s)` and up to
//! `2^(i * 2^-s)`; the negative side mirrors it. Values within the zero threshold are in the zero
//! bucket. With custom bounds, bucket `i` reaches up to bound `i`, and the one after the last bound
//! to infinity; there is no negative side and no zero bucket.

mod arithmetic;
mod native;
mod otlp;
mod quantile;
mod total;
mod trim;

use std::fmt;
use std::sync::Arc;

pub use arithmetic::{Incompatible, Reconciled};
pub use otlp::Exponential;
pub use quantile::{
    Bucket, BucketQuantile, Forced, Missing, bucket_fraction, bucket_quantile, histogram_fraction,
    histogram_quantile,
};
pub(crate) use total::Total;
pub use trim::Keep;

pub use model::native::{CUSTOM_SCHEMA, ResetHint};

use crate::format::general;

/// The coarsest exponential schema: one bucket above one, one below. Prometheus itself stores none
/// coarser than -4; evaluation works with any.
pub const MIN_SCHEMA: i32 = -11;
/// The finest exponential schema.
pub const MAX_SCHEMA: i32 = 8;

/// A populated bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexedBucket {
    /// Index.
    pub index: i32,
    /// Number of observations; need not be whole.
    pub count: f64,
}

/// A histogram.
#[derive(Debug, Clone, Default)]
pub struct FloatHistogram {
    /// Resolution, or [`CUSTOM_SCHEMA`].
    pub schema: i32,
    /// Half-width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations, NaN ones included.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets of positive values, or those of the custom bounds, by rising index.
    pub positive: Vec<IndexedBucket>,
    /// Buckets of negative values by rising index, that is falling value.
    pub negative: Vec<IndexedBucket>,
    /// Custom bounds, rising, without the infinite one.
    pub bounds: Option<Arc<[f64]>>,
    /// Counter reset hint.
    pub hint: ResetHint,
}

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound is inside.
    pub lower_inclusive: bool,
    /// Whether the upper bound is inside.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl Range {
    fn new(lower: f64, upper: f64, count: f64) -> Self {
        Self {
            lower,
            upper,
            lower_inclusive: lower < 0.0,
            upper_inclusive: upper > 0.0,
            count,
        }
    }
}

impl FloatHistogram {
    /// Whether the bounds are custom.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// The upper bound of the positive bucket with this index.
    pub fn bound(&self, index: i32) -> f64 {
        match &self.bounds {
            Some(bounds) if self.is_custom() => custom_bound(bounds, index),
            _ => exponential_bound(self.schema, index),
        }
    }

    /// All populated buckets from low to high, those with a count of zero left out, and the zero
    /// bucket where its count is below zero or none. What reaches into the zero bucket ends where
    /// that begins, as in Prometheus.
    pub fn buckets(&self) -> Vec<Range> {
        let mut ranges = self.whole_buckets(self.zero_count > 0.0);
        let width = self.zero_threshold;
        for range in &mut ranges {
            if range.lower > 0.0 && range.lower < width {
                range.lower = width;
            } else if range.upper < 0.0 && range.upper > -width {
                range.upper = -width;
            }
        }
        ranges
    }

    /// The same with the bounds that the schema gives, with or without the zero bucket.
    fn whole_buckets(&self, zero: bool) -> Vec<Range> {
        let mut ranges = Vec::with_capacity(self.positive.len() + self.negative.len() + 1);
        for bucket in self.negative.iter().rev() {
            let (inner, outer) = (self.bound(bucket.index - 1), self.bound(bucket.index));
            ranges.push(Range::new(-outer, -inner, bucket.count));
        }
        if zero {
            ranges.push(Range {
                lower_inclusive: true,
                upper_inclusive: true,
                ..Range::new(-self.zero_threshold, self.zero_threshold, self.zero_count)
            });
        }
        for bucket in &self.positive {
            let (lower, upper) = (self.bound(bucket.index - 1), self.bound(bucket.index));
            let range = Range::new(lower, upper, bucket.count);
            ranges.push(match self.is_custom() {
                // All of them are open below, but for the first, which nothing is below.
                true => Range {
                    lower_inclusive: bucket.index == 0,
                    upper_inclusive: true,
                    ..range
                },
                false => range,
            });
        }
        ranges.retain(|range| range.count != 0.0);
        ranges
    }

    /// Removes buckets with a count of zero.
    pub fn compact(&mut self) {
        self.positive.retain(|bucket| bucket.count != 0.0);
        self.negative.retain(|bucket| bucket.count != 0.0);
    }

    /// Whether it is the stale marker.
    pub fn is_stale(&self) -> bool {
        crate::source::is_stale(self.sum)
    }

    /// Whether any count or the sum is infinite.
    pub fn has_overflow(&self) -> bool {
        let side = |buckets: &[IndexedBucket]| buckets.iter().any(|b| b.count.is_infinite());
        self.count.is_infinite()
            || self.sum.is_infinite()
            || self.zero_count.is_infinite()
            || side(&self.positive)
            || side(&self.negative)
    }
}

fn custom_bound(bounds: &[f64], index: i32) -> f64 {
    match usize::try_from(index) {
        Ok(index) => bounds.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

fn exponential_bound(schema: i32, index: i32) -> f64 {
    if schema <= 0 {
        let shift = schema.unsigned_abs().min(31);
        return match i64::from(index) << shift {
            // The last bucket of numbers ends at the largest one; what is above holds infinity.
            1024 => f64::MAX,
            exponent => power_of_two(exponent),
        };
    }
    let schema = schema.min(MAX_SCHEMA);
    let parts = 1i32 << schema;
    let (whole, part) = (index.div_euclid(parts), index.rem_euclid(parts));
    if part == 0 && whole == 1024 {
        return f64::MAX;
    }
    // Halved and doubled, as the factor alone may not be representable where the product is.
    half_to_one(part << (MAX_SCHEMA - schema)) * power_of_two(i64::from(whole)) * 2.0
}

/// The bounds of the finest schema from a half up to one.
///
/// The tables of Prometheus and its clients, by which observations were put into buckets, are not
/// rounded as the exact bounds are: each is up to four units in the last place lower, or one
/// higher. Texts with bounds in them are equal only if that is followed.
fn half_to_one(part: i32) -> f64 {
    /// A digit a bound: units in the last place above the table's, plus one.
    const ABOVE: &[u8; 256] = b"\
        1111112111211111112311222222222211211121122211221122102211221122\
        1111112222332132112111211112111111121011213311221222112121332222\
        2121223322322122222222323233323311221121223321332233212232332232\
        2243223233433343333333444455435422322333324422333243223333543344";
    let exact = (f64::from(part) / 256.0).exp2() / 2.0;
    let above = usize::try_from(part).map_or(1, |part| u64::from(ABOVE[part] - b'0'));
    f64::from_bits(exact.to_bits() + 1 - above)
}

/// Two to an integral power, exactly, down to the smallest subnormal number.
fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        1024.. => f64::INFINITY,
        -1022..1024 => f64::from_bits(((exponent + 1023) as u64) << 52),
        -1074..-1022 => f64::from_bits(1 << (exponent + 1074)),
        _ => 0.0,
    }
}

/// Equal when every bucket, the sum and the counts are; hints do not count.
impl PartialEq for FloatHistogram {
    fn eq(&self, other: &Self) -> bool {
        fn populated(buckets: &[IndexedBucket]) -> impl Iterator<Item = &IndexedBucket> {
            buckets.iter().filter(|bucket| bucket.count != 0.0)
        }
        self.schema == other.schema
            && self.bounds == other.bounds
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && self.count == other.count
            && (self.sum == other.sum || self.sum.to_bits() == other.sum.to_bits())
            && populated(&self.positive).eq(populated(&other.positive))
            && populated(&self.negative).eq(populated(&other.negative))
    }
}

/// Prints `{count:3, sum:5, (0.5,1]:1, (1,2]:2}`.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{count:{}, sum:{}",
            general(self.count),
            general(self.sum)
        )?;
        for range in self.whole_buckets(true) {
            let open = if range.lower_inclusive { '[' } else { '(' };
            let close = if range.upper_inclusive { ']' } else { ')' };
            let (lower, upper) = (general(range.lower), general(range.upper));
            write!(f, ", {open}{lower},{upper}{close}:{}", general(range.count))?;
        }
        f.write_str("}")
    }
}

/// Far beyond the buckets of any number, and far from the ends of what indexes are calculated in.
const INDEX_MAX: i32 = 1 << 30;

/// The index of a bucket as it was sent, or of one that has the same bounds, of zero or infinity.
fn within(index: i32) -> i32 {
    index.clamp(-INDEX_MAX, INDEX_MAX)
}

/// The half-width of a zero bucket as it was sent; none where it is no number or below zero, which
/// earlier versions stored.
fn sound_threshold(sent: f64) -> f64 {
    if sent >= 0.0 { sent } else { 0.0 }
}

#[cfg(test)]
mod tests;
