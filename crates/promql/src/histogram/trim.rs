//! Trimming: the observations of a histogram below or above a value.
//!
//! Buckets on the kept side stay, that with the value inside is divided as a quantile would divide
//! it, and the others go. The sum is then estimated from the middles of what is left. Nothing is
//! known about the spread in a bucket that reaches to infinity, so it mostly stays or goes whole.

use super::quantile::{exponential_share, linear_share};
use super::{FloatHistogram, IndexedBucket, Range};

/// Which observations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Those below the value.
    Below,
    /// Those above the value.
    Above,
}

/// What is kept so far.
#[derive(Default)]
struct Kept {
    count: f64,
    sum: f64,
    changed: bool,
}

impl Kept {
    fn add(&mut self, before: f64, count: f64, middle: f64) {
        self.count += count;
        self.sum += middle * count;
        self.changed |= before != count;
    }
}

impl FloatHistogram {
    /// The observations on one side of a value. Returned as it is when it has no others.
    pub fn trim(&self, at: f64, keep: Keep) -> Self {
        let mut trimmed = self.clone();
        let mut kept = Kept::default();
        let has = |buckets: &[IndexedBucket]| buckets.iter().any(|bucket| bucket.count != 0.0);
        let sides = (has(&self.negative), has(&self.positive));
        for positive in [true, false] {
            let side = if positive {
                &mut trimmed.positive
            } else {
                &mut trimmed.negative
            };
            for bucket in side.iter_mut().filter(|bucket| bucket.count != 0.0) {
                let (near, far) = (self.bound(bucket.index - 1), self.bound(bucket.index));
                let (lower, upper) = if positive { (near, far) } else { (-far, -near) };
                let cut = Cut {
                    range: Range::new(lower, upper, bucket.count),
                    positive,
                    linear: self.is_custom(),
                };
                let (count, middle) = cut.at(at, keep);
                kept.add(bucket.count, count, middle);
                bucket.count = count;
            }
        }
        if self.zero_count > 0.0 {
            let (count, middle) = self.trim_zero(at, keep, sides);
            kept.add(self.zero_count, count, middle);
            trimmed.zero_count = count;
        }
        if kept.changed {
            trimmed.count = kept.count;
            trimmed.sum = kept.sum;
            trimmed.compact();
        }
        trimmed
    }

    /// What is kept of the zero bucket and its middle. Without observations on one side of zero
    /// there are none on that side of the bucket either.
    fn trim_zero(&self, at: f64, keep: Keep, (negative, positive): (bool, bool)) -> (f64, f64) {
        let lower = if positive && !negative {
            0.0
        } else {
            -self.zero_threshold
        };
        let upper = if negative && !positive {
            0.0
        } else {
            self.zero_threshold
        };
        let whole = (self.zero_count, f64::midpoint(lower, upper));
        let width = upper - lower;
        match keep {
            Keep::Below if at <= lower => (0.0, 0.0),
            Keep::Below if at >= upper => whole,
            Keep::Below => (
                self.zero_count * ((at - lower) / width),
                f64::midpoint(lower, at),
            ),
            Keep::Above if at <= lower => whole,
            Keep::Above if at >= upper => (0.0, 0.0),
            Keep::Above => (
                self.zero_count * ((upper - at) / width),
                f64::midpoint(at, upper),
            ),
        }
    }
}

/// A bucket that is to be trimmed.
struct Cut {
    range: Range,
    positive: bool,
    linear: bool,
}

impl Cut {
    /// What is kept of the bucket, and its middle.
    fn at(&self, at: f64, keep: Keep) -> (f64, f64) {
        let Range { lower, upper, .. } = self.range;
        let (whole, inside) = match keep {
            Keep::Below => (upper <= at, lower < at),
            Keep::Above => (lower >= at, upper > at),
        };
        if whole {
            return (self.range.count, self.middle(lower, upper));
        }
        if !inside {
            return (0.0, 0.0);
        }
        if lower.is_infinite() || upper.is_infinite() {
            return self.open(at, keep);
        }
        let share = if self.linear {
            linear_share(&self.range, at)
        } else {
            exponential_share(&self.range, at)
        };
        let below = self.range.count * share;
        match keep {
            Keep::Below => (below, self.middle(lower, at)),
            Keep::Above => (self.range.count - below, self.middle(at, upper)),
        }
    }

    /// What is kept of a bucket without a lower or an upper bound that has the value inside. One
    /// without a lower bound that ends above zero is taken to begin there.
    fn open(&self, at: f64, keep: Keep) -> (f64, f64) {
        let Range {
            lower,
            upper,
            count,
            ..
        } = self.range;
        if lower == f64::NEG_INFINITY {
            return match keep {
                Keep::Below if at > 0.0 && upper.is_finite() => (count * at / upper, at / 2.0),
                Keep::Below if upper <= 0.0 => (count, at),
                Keep::Above if at >= 0.0 && upper.is_finite() => {
                    (count * (1.0 - at / upper), f64::midpoint(at, upper))
                }
                _ => (0.0, 0.0),
            };
        }
        match keep {
            Keep::Below => (0.0, 0.0),
            Keep::Above => (count, at),
        }
    }

    /// The middle on the scale of the buckets.
    fn middle(&self, lower: f64, upper: f64) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.linear => f64::midpoint(lower, upper),
            (false, false) => {
                let middle = (lower * upper).abs().sqrt();
                if self.positive { middle } else { -middle }
            }
        }
    }
}
