//! Sums, means and quantiles, as aggregations and range functions share them.

use crate::annotation::{Annotations, Operation};
use crate::ast::Span;
use crate::compensated::Compensated;
use crate::histogram::{FloatHistogram, Incompatible, ResetHint, Total};

/// A mean: of the sum as long as that does not overflow, then incremental.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    sum: Compensated,
    count: f64,
    incremental: bool,
}

impl Mean {
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() || self.count == 1.0 {
                self.sum = next;
                return;
            }
            self.incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.rest /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        self.sum.sum *= share;
        self.sum.rest *= share;
        self.sum.add(value / self.count);
    }

    /// Adds other numbers, of which this is the mean.
    pub(super) fn join(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        let mut sum = self.sum;
        sum.join(other.sum);
        if !self.incremental && !other.incremental && !sum.sum.is_infinite() {
            (self.sum, self.count) = (sum, count);
            return;
        }
        let mean = self.value() * (self.count / count) + other.value() * (other.count / count);
        *self = Self {
            sum: Compensated {
                sum: mean,
                rest: 0.0,
            },
            count,
            incremental: true,
        };
    }

    pub(super) fn value(self) -> f64 {
        if self.incremental {
            self.sum.sum + self.sum.rest
        } else {
            self.sum.sum / self.count + self.sum.rest / self.count
        }
    }
}

/// A sum or mean of histograms, with what there is to say about it. As with numbers, the mean is
/// that of the sum as long as that does not overflow.
#[derive(Debug, Clone)]
pub(super) struct HistogramSum {
    total: Option<Total>,
    count: f64,
    average: bool,
    incremental: bool,
    hints: [bool; 2],
    reconciled: bool,
}

impl HistogramSum {
    pub(super) fn new(average: bool) -> Self {
        Self {
            total: None,
            count: 0.0,
            average,
            incremental: false,
            hints: [false; 2],
            reconciled: false,
        }
    }

    pub(super) fn add(&mut self, histogram: &FloatHistogram) -> Result<(), Incompatible> {
        self.hints[0] |= histogram.hint == ResetHint::Reset;
        self.hints[1] |= histogram.hint == ResetHint::NotReset;
        self.count += 1.0;
        let Some(total) = &mut self.total else {
            self.total = Some(Total::new(histogram));
            return Ok(());
        };
        if !self.average {
            self.reconciled |= total.add(histogram)?.bounds;
            return Ok(());
        }
        if !self.incremental {
            let mut next = total.clone();
            self.reconciled |= next.add(histogram)?.bounds;
            if !next.has_overflow() {
                *total = next;
                return Ok(());
            }
            self.incremental = true;
            total.divide(self.count - 1.0);
        }
        let mut share = histogram.clone();
        share.divide(self.count);
        total.scale((self.count - 1.0) / self.count);
        self.reconciled |= total.add(&share)?.bounds;
        Ok(())
    }

    /// Adds the notes about what was summed.
    pub(super) fn note(&self, notes: &mut Annotations, span: Span) {
        if self.hints == [true, true] {
            notes.hint_collision(Operation::Aggregation, span);
        }
        if self.reconciled {
            notes.bounds_reconciled(Operation::Aggregation, span);
        }
    }

    pub(super) fn value(self) -> Option<FloatHistogram> {
        let mut total = self.total?;
        if self.average && !self.incremental {
            total.divide(self.count);
        }
        let mut value = total.value();
        value.compact();
        Some(value)
    }
}

/// The quantile of values, which it sorts; NaN is the smallest value.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    });
    let rank = q * (values.len() - 1) as f64;
    let lower = (rank.floor().max(0.0) as usize).min(values.len() - 1);
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}
