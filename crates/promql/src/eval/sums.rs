//! Sums, means and quantiles, as aggregations and range functions share them.

use crate::annotation::{Annotations, Operation};
use crate::ast::Span;
use crate::histogram::{FloatHistogram, Incompatible, ResetHint};

/// A sum that carries along what rounding lost (Kahan's algorithm as improved by Neumaier).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Compensated {
    sum: f64,
    rest: f64,
}

impl Compensated {
    pub(super) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.rest = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.rest += (self.sum - total) + value;
        } else {
            self.rest += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub(super) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.rest
        }
    }

    pub(super) fn sum_and_rest(self) -> f64 {
        self.sum + self.rest
    }
}

/// A mean: of the sum as long as that does not overflow, then incremental.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    sum: Compensated,
    count: f64,
    incremental: bool,
}

impl Mean {
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

    pub(super) fn value(self) -> f64 {
        if self.incremental {
            self.sum.sum + self.sum.rest
        } else {
            self.sum.sum / self.count + self.sum.rest / self.count
        }
    }
}

/// A sum or mean of histograms, with what there is to say about it.
#[derive(Debug, Clone)]
pub(super) struct HistogramSum {
    sum: Option<FloatHistogram>,
    count: f64,
    average: bool,
    hints: [bool; 2],
    reconciled: bool,
}

impl HistogramSum {
    pub(super) fn new(average: bool) -> Self {
        Self {
            sum: None,
            count: 0.0,
            average,
            hints: [false; 2],
            reconciled: false,
        }
    }

    pub(super) fn add(&mut self, histogram: &FloatHistogram) -> Result<(), Incompatible> {
        self.hints[0] |= histogram.hint == ResetHint::Reset;
        self.hints[1] |= histogram.hint == ResetHint::NotReset;
        self.count += 1.0;
        let Some(sum) = &mut self.sum else {
            self.sum = Some(histogram.clone());
            return Ok(());
        };
        if !self.average {
            self.reconciled |= sum.add(histogram)?.bounds;
            return Ok(());
        }
        // The running value is the mean, so that large counts do not overflow.
        let mut share = histogram.clone();
        let mut previous = sum.clone();
        share.divide(self.count);
        previous.scale((self.count - 1.0) / self.count);
        self.reconciled |= previous.add(&share)?.bounds;
        *sum = previous;
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
        let mut sum = self.sum?;
        sum.compact();
        Some(sum)
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
