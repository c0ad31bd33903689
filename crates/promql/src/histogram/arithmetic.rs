//! Sums, differences, products, comparison for resets, and the changes of layout that bring two
//! histograms onto common buckets.

use std::borrow::Cow;

use super::{FloatHistogram, IndexedBucket, ResetHint};

/// Exponential and custom buckets cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incompatible;

/// What happened on the way to common buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// The custom bounds differed; only those in both were kept.
    pub bounds: bool,
    /// One histogram was marked as reset and the other as not reset.
    pub hints: bool,
}

impl FloatHistogram {
    /// Adds another histogram.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Reconciled, Incompatible> {
        let hints = self.merge_hint(other.hint);
        let bounds = self.combine(other, 1.0)?;
        Ok(Reconciled { bounds, hints })
    }

    /// Subtracts another histogram.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Reconciled, Incompatible> {
        let hints = self.merge_hint(other.hint);
        let bounds = self.combine(other, -1.0)?;
        Ok(Reconciled { bounds, hints })
    }

    /// Whether both have exponential buckets of the same bounds.
    pub(crate) fn is_like(&self, other: &FloatHistogram) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && !self.is_custom()
    }

    /// What came since an earlier histogram that is like it, times a factor, as a gauge.
    pub(crate) fn since(&self, earlier: &FloatHistogram, factor: f64) -> FloatHistogram {
        FloatHistogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: (self.zero_count - earlier.zero_count) * factor,
            count: (self.count - earlier.count) * factor,
            sum: (self.sum - earlier.sum) * factor,
            positive: difference(&self.positive, &earlier.positive, factor),
            negative: difference(&self.negative, &earlier.negative, factor),
            bounds: None,
            hint: ResetHint::Gauge,
        }
    }

    /// Multiplies all counts and the sum.
    pub fn scale(&mut self, factor: f64) {
        self.change(factor < 0.0, |value| value * factor);
    }

    /// Divides all counts and the sum.
    pub fn divide(&mut self, divisor: f64) {
        self.change(divisor < 0.0, |value| value / divisor);
        if divisor == 0.0 {
            // Nothing is known about single buckets after a division by zero.
            self.positive.clear();
            self.negative.clear();
        }
    }

    fn change(&mut self, to_gauge: bool, change: impl Fn(f64) -> f64) {
        for value in [&mut self.count, &mut self.sum, &mut self.zero_count] {
            *value = change(*value);
        }
        for bucket in self.positive.iter_mut().chain(&mut self.negative) {
            bucket.count = change(bucket.count);
        }
        if to_gauge {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Returns whether the hints contradict each other.
    pub(super) fn merge_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.hint, other) {
            (a, b) if a == b => false,
            (Gauge, _) | (_, Gauge) => {
                self.hint = Gauge;
                false
            }
            (Unknown, _) | (_, Unknown) => {
                self.hint = Unknown;
                false
            }
            _ => {
                self.hint = Unknown;
                true
            }
        }
    }

    /// Adds `sign` times the other; returns whether custom bounds had to be reconciled.
    pub(crate) fn combine(
        &mut self,
        other: &FloatHistogram,
        sign: f64,
    ) -> Result<bool, Incompatible> {
        let mut other = Cow::Borrowed(other);
        let reconciled = self.align(&mut other)?;
        self.zero_count += sign * other.zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        merge(&mut self.positive, &other.positive, sign);
        merge(&mut self.negative, &other.negative, sign);
        Ok(reconciled)
    }

    /// Brings two histograms onto common buckets; returns whether custom bounds differed.
    pub(super) fn align(
        &mut self,
        other: &mut Cow<'_, FloatHistogram>,
    ) -> Result<bool, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        if self.is_custom() {
            if self.bounds == other.bounds {
                return Ok(false);
            }
            let common = common_bounds(self, other);
            self.keep_bounds(&common);
            other.to_mut().keep_bounds(&common);
            return Ok(true);
        }
        if self.zero_threshold != other.zero_threshold {
            reconcile_zero(self, other.to_mut());
        }
        let schema = self.schema.min(other.schema);
        self.reduce(schema);
        if other.schema != schema {
            other.to_mut().reduce(schema);
        }
        Ok(false)
    }

    /// Takes on the buckets of a histogram whose layout may have become coarser.
    pub(super) fn follow(&mut self, other: &FloatHistogram) {
        if let Some(bounds) = &other.bounds
            && self.bounds.as_ref() != Some(bounds)
        {
            self.keep_bounds(bounds);
        }
        if self.zero_threshold < other.zero_threshold {
            self.move_to_zero(other.zero_threshold);
        }
        self.reduce(other.schema);
    }

    /// Merges buckets down to a coarser schema.
    pub fn reduce(&mut self, schema: i32) {
        let Ok(shift) = u32::try_from(self.schema - schema) else {
            return;
        };
        if shift == 0 || self.is_custom() {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            for bucket in side.iter_mut() {
                bucket.index = ((bucket.index - 1) >> shift.min(31)) + 1;
            }
            side.dedup_by(|next, first| {
                let same = next.index == first.index;
                if same {
                    first.count += next.count;
                }
                same
            });
        }
        self.schema = schema;
    }

    /// Merges custom buckets so that only these bounds remain.
    fn keep_bounds(&mut self, common: &std::sync::Arc<[f64]>) {
        let old = self.bounds.take().unwrap_or_default();
        let mut merged: Vec<IndexedBucket> = Vec::new();
        for bucket in &self.positive {
            let upper = super::custom_bound(&old, bucket.index);
            let index = common.partition_point(|bound| *bound < upper);
            let index = i32::try_from(index).unwrap_or(i32::MAX);
            match merged.last_mut() {
                Some(last) if last.index == index => last.count += bucket.count,
                _ => merged.push(IndexedBucket {
                    index,
                    count: bucket.count,
                }),
            }
        }
        self.positive = merged;
        self.bounds = Some(common.clone());
    }

    /// Whether the counter was reset between an earlier sample and this one.
    pub fn detect_reset(&self, earlier: &FloatHistogram) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        self.lost_counts(earlier)
    }

    /// What is known about a sample whose predecessor is known: what Prometheus finds out when it
    /// stores samples. After another layout of buckets nothing is said.
    pub fn hint_after(&self, earlier: Option<&FloatHistogram>) -> ResetHint {
        let Some(earlier) = earlier.filter(|earlier| !earlier.is_stale()) else {
            return match self.hint {
                ResetHint::NotReset => ResetHint::Unknown,
                hint => hint,
            };
        };
        let same_layout =
            self.schema == earlier.schema && self.zero_threshold == earlier.zero_threshold;
        match self.hint {
            hint @ (ResetHint::Gauge | ResetHint::Reset) => hint,
            _ if self.count < earlier.count => ResetHint::Reset,
            _ if !same_layout => ResetHint::Unknown,
            _ if self.bounds != earlier.bounds || self.lost_counts(earlier) => ResetHint::Reset,
            _ => ResetHint::NotReset,
        }
    }

    /// Whether any bucket, or all of them together, has fewer observations than before.
    fn lost_counts(&self, earlier: &FloatHistogram) -> bool {
        if self.count < earlier.count || self.is_custom() != earlier.is_custom() {
            return true;
        }
        if self.is_custom() {
            return self.detect_custom_reset(earlier);
        }
        if self.schema > earlier.schema || self.zero_threshold < earlier.zero_threshold {
            return true;
        }
        let mut earlier = Cow::Borrowed(earlier);
        if earlier.zero_threshold != self.zero_threshold || earlier.schema != self.schema {
            earlier.to_mut().widen_zero(self.zero_threshold);
        }
        if earlier.zero_threshold != self.zero_threshold || self.zero_count < earlier.zero_count {
            return true;
        }
        if earlier.schema != self.schema {
            earlier.to_mut().reduce(self.schema);
        }
        any_less(&self.positive, &earlier.positive) || any_less(&self.negative, &earlier.negative)
    }

    fn detect_custom_reset(&self, earlier: &FloatHistogram) -> bool {
        if self.bounds == earlier.bounds {
            return any_less(&self.positive, &earlier.positive);
        }
        let common = common_bounds(self, earlier);
        let (mut now, mut before) = (self.clone(), earlier.clone());
        now.keep_bounds(&common);
        before.keep_bounds(&common);
        any_less(&now.positive, &before.positive)
    }

    /// Enlarges the zero bucket to at least this threshold, and on to the end of any populated
    /// bucket that the threshold would cut.
    fn widen_zero(&mut self, threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let mut threshold = threshold;
        loop {
            let mut cut = None;
            for bucket in self.positive.iter().chain(&self.negative) {
                let (lower, upper) = (self.bound(bucket.index - 1), self.bound(bucket.index));
                if bucket.count != 0.0 && lower < threshold && upper > threshold {
                    cut = Some(upper);
                }
            }
            match cut {
                Some(upper) => threshold = upper,
                None => break,
            }
        }
        self.move_to_zero(threshold);
    }

    /// Moves every bucket that begins below the threshold to the zero bucket.
    fn move_to_zero(&mut self, threshold: f64) {
        let schema = self.schema;
        let mut moved = 0.0;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|bucket| {
                let inside = super::exponential_bound(schema, bucket.index - 1) < threshold;
                if inside {
                    moved += bucket.count;
                }
                !inside
            });
        }
        self.zero_count += moved;
        self.zero_threshold = threshold;
    }
}

/// What is left of the buckets of one sorted list without those of another, times a factor; buckets
/// that become empty are left out.
fn difference(now: &[IndexedBucket], before: &[IndexedBucket], factor: f64) -> Vec<IndexedBucket> {
    let mut buckets = Vec::with_capacity(now.len().max(before.len()));
    let mut put = |index: i32, count: f64| {
        if count != 0.0 {
            let count = count * factor;
            buckets.push(IndexedBucket { index, count });
        }
    };
    let mut rest = before;
    for bucket in now {
        while let Some((old, others)) = rest.split_first()
            && old.index < bucket.index
        {
            put(old.index, -old.count);
            rest = others;
        }
        match rest.split_first() {
            Some((old, others)) if old.index == bucket.index => {
                put(bucket.index, bucket.count - old.count);
                rest = others;
            }
            _ => put(bucket.index, bucket.count),
        }
    }
    rest.iter().for_each(|old| put(old.index, -old.count));
    buckets
}

/// Widening one side may widen it beyond the other's threshold, so both take turns. A threshold that
/// is no number is none that the other's could become.
fn reconcile_zero(a: &mut FloatHistogram, b: &mut FloatHistogram) {
    let differ = |a: &FloatHistogram, b: &FloatHistogram| {
        let order = a.zero_threshold.partial_cmp(&b.zero_threshold);
        order.is_some_and(std::cmp::Ordering::is_ne)
    };
    while differ(a, b) {
        a.widen_zero(b.zero_threshold);
        b.widen_zero(a.zero_threshold);
    }
}

fn common_bounds(a: &FloatHistogram, b: &FloatHistogram) -> std::sync::Arc<[f64]> {
    let none: &[f64] = &[];
    let other = b.bounds.as_deref().unwrap_or(none);
    let own = a.bounds.as_deref().unwrap_or(none);
    own.iter()
        .copied()
        .filter(|bound| other.contains(bound))
        .collect()
}

/// Adds `sign` times the buckets of one sorted list to another.
fn merge(into: &mut Vec<IndexedBucket>, from: &[IndexedBucket], sign: f64) {
    if into.len() == from.len() && into.iter().zip(from).all(|(a, b)| a.index == b.index) {
        for (bucket, other) in into.iter_mut().zip(from) {
            bucket.count += sign * other.count;
        }
        return;
    }
    let mut merged = Vec::with_capacity(into.len() + from.len());
    let (mut a, mut b) = (into.iter().peekable(), from.iter().peekable());
    loop {
        let ordering = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.index.cmp(&b.index),
        };
        let own = if ordering.is_le() { a.next() } else { None };
        let other = if ordering.is_ge() { b.next() } else { None };
        let index = own.or(other).map_or(0, |bucket| bucket.index);
        let count = own.map_or(0.0, |bucket| bucket.count)
            + sign * other.map_or(0.0, |bucket| bucket.count);
        merged.push(IndexedBucket { index, count });
    }
    *into = merged;
}

/// Whether any bucket now holds less than before.
fn any_less(now: &[IndexedBucket], before: &[IndexedBucket]) -> bool {
    let mut rest = now;
    before.iter().any(|old| {
        let later = rest.iter().position(|bucket| bucket.index >= old.index);
        rest = &rest[later.unwrap_or(rest.len())..];
        let count = match rest.first() {
            Some(bucket) if bucket.index == old.index => bucket.count,
            _ => 0.0,
        };
        count < old.count
    })
}
