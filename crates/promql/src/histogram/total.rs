//! Sums of histograms that carry along what rounding lost, bucket by bucket.

use std::borrow::Cow;

use super::{FloatHistogram, Incompatible, IndexedBucket, Reconciled};
use crate::compensated::Compensated;

/// A running sum.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    sum: FloatHistogram,
    /// What rounding lost, in the layout of the sum.
    rest: FloatHistogram,
}

impl Total {
    pub(crate) fn new(first: &FloatHistogram) -> Self {
        Self {
            sum: first.clone(),
            rest: FloatHistogram {
                schema: first.schema,
                zero_threshold: first.zero_threshold,
                bounds: first.bounds.clone(),
                ..FloatHistogram::default()
            },
        }
    }

    pub(crate) fn add(&mut self, other: &FloatHistogram) -> Result<Reconciled, Incompatible> {
        let hints = self.sum.merge_hint(other.hint);
        let mut other = Cow::Borrowed(other);
        let bounds = self.sum.align(&mut other)?;
        self.rest.follow(&self.sum);
        let add = |sum: &mut f64, rest: &mut f64, value: f64| {
            let mut total = Compensated {
                sum: *sum,
                rest: *rest,
            };
            total.add(value);
            (*sum, *rest) = (total.sum, total.rest);
        };
        let (sum, rest) = (&mut self.sum, &mut self.rest);
        add(&mut sum.zero_count, &mut rest.zero_count, other.zero_count);
        add(&mut sum.count, &mut rest.count, other.count);
        add(&mut sum.sum, &mut rest.sum, other.sum);
        merge(&mut sum.positive, &mut rest.positive, &other.positive);
        merge(&mut sum.negative, &mut rest.negative, &other.negative);
        Ok(Reconciled { bounds, hints })
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        self.sum.scale(factor);
        self.rest.scale(factor);
    }

    pub(crate) fn divide(&mut self, divisor: f64) {
        self.sum.divide(divisor);
        self.rest.divide(divisor);
    }

    pub(crate) fn has_overflow(&self) -> bool {
        self.sum.has_overflow()
    }

    pub(crate) fn value(mut self) -> FloatHistogram {
        // Both have one layout, so nothing can be incompatible.
        let _ = self.sum.combine(&self.rest, 1.0);
        self.sum
    }
}

/// Adds buckets to a sum and to what rounding lost of it.
fn merge(sum: &mut Vec<IndexedBucket>, rest: &mut Vec<IndexedBucket>, other: &[IndexedBucket]) {
    let same = |a: &[IndexedBucket], b: &[IndexedBucket]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.index == b.index)
    };
    if same(sum, other) && same(sum, rest) {
        for ((sum, rest), other) in sum.iter_mut().zip(rest).zip(other) {
            let mut total = Compensated {
                sum: sum.count,
                rest: rest.count,
            };
            total.add(other.count);
            (sum.count, rest.count) = (total.sum, total.rest);
        }
        return;
    }
    let mut indices: Vec<i32> = sum
        .iter()
        .chain(&*rest)
        .chain(other)
        .map(|bucket| bucket.index)
        .collect();
    indices.sort_unstable();
    indices.dedup();
    let count = |buckets: &[IndexedBucket], index: i32| {
        let found = buckets.binary_search_by_key(&index, |bucket| bucket.index);
        found.map_or(0.0, |position| buckets[position].count)
    };
    let totals = indices.iter().map(|&index| {
        let mut total = Compensated {
            sum: count(sum, index),
            rest: count(rest, index),
        };
        total.add(count(other, index));
        total
    });
    let totals: Vec<Compensated> = totals.collect();
    let buckets = |part: fn(&Compensated) -> f64| {
        let bucket = |(index, total): (&i32, &Compensated)| IndexedBucket {
            index: *index,
            count: part(total),
        };
        indices.iter().zip(&totals).map(bucket).collect()
    };
    (*sum, *rest) = (buckets(|total| total.sum), buckets(|total| total.rest));
}
