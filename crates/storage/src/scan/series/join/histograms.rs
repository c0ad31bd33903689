//! Runs of histograms of one series by column.

use std::ops::Range;
use std::sync::Arc;

use model::metric::PointValue;
use model::{DataPoint, TimeRange};

use super::Shared;
use crate::message::{ExponentialSamples, HistogramSamples};
use crate::points::HistogramLists;

/// A run of histograms by time.
#[derive(Debug)]
pub(in super::super) struct Histograms {
    times: Arc<Vec<u64>>,
    /// Which of the times; columns are of those alone.
    first: usize,
    columns: HistogramLists,
}

impl Histograms {
    /// Those in a range.
    pub(in super::super) fn new(
        times: Arc<Vec<u64>>,
        mut columns: HistogramLists,
        range: TimeRange,
    ) -> Self {
        let first = times.partition_point(|time| *time < range.start);
        let end = times.partition_point(|time| *time < range.end);
        if (first, end) != (0, columns.len()) {
            columns.keep(&(first..end.max(first)));
        }
        Self {
            times,
            first,
            columns,
        }
    }

    /// The last, of histograms with bounds. Of exponential ones those before say whether a counter was
    /// reset.
    pub(in super::super) fn newest(mut self) -> Self {
        let last = self.len().saturating_sub(1);
        if last > 0 && matches!(self.columns, HistogramLists::Bounded(_)) {
            self.columns.keep(&(last..last + 1));
            self.first += last;
        }
        self
    }

    pub(in super::super) fn len(&self) -> usize {
        self.columns.len()
    }

    fn rows(&self) -> Range<usize> {
        self.first..self.first + self.columns.len()
    }

    pub(super) fn times(&self) -> &[u64] {
        &self.times[self.rows()]
    }

    /// The points that they are, as far as samples are made of them.
    pub(super) fn points(&self) -> impl Iterator<Item = DataPoint> + '_ {
        let point = |(row, time): (usize, &u64)| DataPoint {
            time_unix_nano: *time,
            start_unix_nano: 0,
            flags: 0,
            value: match &self.columns {
                HistogramLists::Bounded(columns) => PointValue::Histogram(columns.histogram(row)),
                HistogramLists::Exponential(columns) => {
                    PointValue::Exponential(columns.histogram(row))
                }
            },
            exemplars: Vec::new(),
        };
        self.times().iter().enumerate().map(point)
    }
}

/// Histograms of one kind.
pub(super) enum Joined {
    None,
    Bounded(HistogramSamples),
    Exponential(ExponentialSamples),
}

/// Histograms as one, if all are of one kind and their times rise; else they stay in the list.
#[allow(clippy::cast_precision_loss)]
pub(super) fn joined(list: &mut Vec<(usize, Histograms)>, shared: &mut Shared) -> Joined {
    list.sort_by_key(|(_, run)| run.times().first().copied());
    let Some(((_, first), others)) = list.split_first_mut() else {
        return Joined::None;
    };
    let mut all = others.iter();
    if !all.all(|(_, other)| first.columns.is_alike(&other.columns)) {
        return Joined::None;
    }
    let others_of = others.iter().map(|(_, run)| run);
    let runs = std::iter::once(&*first).chain(others_of);
    let times = runs.map(|run| (&run.times, run.rows()));
    let Some(times_ms) = shared.times_of(times) else {
        return Joined::None;
    };
    for (_, other) in others {
        first.columns.append(&other.columns);
    }
    let columns = std::mem::take(&mut first.columns);
    list.clear();
    match columns {
        HistogramLists::Exponential(columns) => {
            Joined::Exponential(ExponentialSamples { times_ms, columns })
        }
        HistogramLists::Bounded(columns) => {
            let buckets = columns.cumulative();
            let bounds = columns.bounds.iter().copied().map(f64::from_bits);
            Joined::Bounded(HistogramSamples {
                times_ms,
                bounds: bounds.take(buckets.len()).collect(),
                buckets,
                counts: columns.counts.iter().map(|count| *count as f64).collect(),
                sums: columns.sums,
            })
        }
    }
}
