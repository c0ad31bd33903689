//! Counts the samples that each step looks at, as Prometheus counts them: one for each value that a
//! selector picks and for each in a range. What a subquery yields counts where a range function looks
//! at it; what was looked at to calculate it does not.

use std::cell::{Cell, RefCell};

use super::column::{self, Column};
use super::windows::Windows;
use crate::histogram::FloatHistogram;
use crate::source::Samples;

/// The samples of the steps of a grid.
#[derive(Default)]
pub(super) struct Counter {
    /// None where nobody wants to know.
    steps: Option<RefCell<Vec<u64>>>,
    /// How many subqueries are around what is evaluated.
    depth: Cell<usize>,
    /// What the outermost subquery looked at.
    inside: Cell<u64>,
    /// Most values in any one result.
    peak: Cell<u64>,
}

impl Counter {
    pub(super) fn new(steps: Option<usize>) -> Self {
        Self {
            steps: steps.map(|count| RefCell::new(vec![0; count])),
            ..Self::default()
        }
    }

    /// What was counted for each step, and the most values in any one result, for who wants to know.
    pub(super) fn into_counts(self) -> (Vec<u64>, u64) {
        let Some(steps) = self.steps.map(RefCell::into_inner) else {
            return (Vec::new(), 0);
        };
        let most = steps.iter().copied().max().unwrap_or(0);
        (steps, self.peak.get().max(most))
    }

    /// Notes how many values a result has.
    pub(super) fn held(&self, values: usize) {
        let values = u64::try_from(values).unwrap_or(u64::MAX);
        self.peak.set(self.peak.get().max(values));
    }

    /// Evaluates what is inside a subquery.
    pub(super) fn within<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        self.at_depth(self.depth.get() + 1, evaluate)
    }

    /// Evaluates what is inside so many subqueries.
    pub(super) fn at_depth<T>(&self, depth: usize, evaluate: impl FnOnce() -> T) -> T {
        let before = self.depth.replace(depth);
        let value = evaluate();
        self.depth.set(before);
        value
    }

    /// Counts what the subquery that is the whole query looked at.
    pub(super) fn add_inside(&self) {
        self.add(0, self.inside.get());
    }

    /// Counts the values that a selector picked.
    pub(super) fn picked(&self, column: &Column) {
        if !self.counts() {
            return;
        }
        for (step, cell) in column.cells().enumerate() {
            match cell {
                column::Cell::Absent => {}
                column::Cell::Float(_) => self.add(step, 1),
                column::Cell::Histogram(histogram) => self.add(step, weight(histogram)),
            }
        }
    }

    /// Counts the samples of a series in the range of each step.
    pub(super) fn ranges(&self, windows: &mut Windows, samples: &Samples) {
        if !self.counts() {
            return;
        }
        let bounds = windows.bounds(&samples.times);
        let steps = bounds.len();
        for (step, (first, end)) in bounds.iter().enumerate() {
            self.add(step, (end - first) as u64);
        }
        if samples.histogram_times.is_empty() {
            return;
        }
        let weights = samples.histograms.iter().map(|histogram| weight(histogram));
        let before: Vec<u64> = std::iter::once(0)
            .chain(weights.scan(0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            }))
            .collect();
        let mut window = (0, 0);
        for step in 0..steps {
            window = windows.next(&samples.histogram_times, window, step);
            self.add(step, before[window.1] - before[window.0]);
        }
    }

    fn counts(&self) -> bool {
        self.steps.is_some() && self.depth.get() < 2
    }

    fn add(&self, step: usize, samples: u64) {
        if self.depth.get() == 1 {
            self.inside.set(self.inside.get().saturating_add(samples));
        } else if let Some(steps) = &self.steps
            && let Some(count) = steps.borrow_mut().get_mut(step)
        {
            *count = count.saturating_add(samples);
        }
    }
}

/// A histogram counts as many numbers as would take its space: 16 bytes each, in Prometheus' layout
/// of spans and buckets.
fn weight(histogram: &FloatHistogram) -> u64 {
    let spans = |buckets: &[crate::histogram::IndexedBucket]| {
        let apart = buckets
            .windows(2)
            .filter(|two| two[1].index != two[0].index + 1);
        apart.count() + usize::from(!buckets.is_empty())
    };
    let (positive, negative) = (&histogram.positive, &histogram.negative);
    let slots = spans(positive) + positive.len() + spans(negative) + negative.len();
    let bounds = histogram.bounds.as_ref().map_or(0, |bounds| bounds.len());
    let bytes = HISTOGRAM_BYTES + 8 * (slots + bounds);
    (bytes / 16) as u64
}

/// A histogram without buckets, and the time of its sample.
const HISTOGRAM_BYTES: usize = 176;
