//! Where the samples of each step lie. Series that were scraped together have the same times, so
//! this is worked out once for all of them.

use std::sync::Arc;

use super::rate::seconds;
use super::selector::{RangeSource, advance};
use crate::ast::Extend;
use crate::plan::Grid;
use crate::source::Sparse;

/// The first sample of a window and one past its last.
pub(super) type Bounds = (usize, usize);

/// The first and one past the last sample of the range of each step.
pub(super) struct Windows {
    grid: Grid,
    range_ms: i64,
    offset_ms: i64,
    fixed_ms: Option<i64>,
    /// How far beyond the range samples are wanted.
    before_ms: i64,
    after_ms: i64,
    times: Arc<Vec<i64>>,
    bounds: Vec<Bounds>,
    reaches: Vec<(Reach, f64)>,
    regular: Option<Regular>,
}

/// Windows that all look alike, each the same number of samples after the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regular {
    /// The first window.
    pub(super) bounds: Bounds,
    /// How many samples the windows are apart.
    pub(super) stride: usize,
    /// What each stands for, and the factor that follows from it.
    pub(super) reach: (Reach, f64),
}

impl Regular {
    /// Windows of at least two samples, if they are alike.
    fn of(bounds: &[Bounds], reaches: &[(Reach, f64)]) -> Option<Self> {
        let (first, reach) = (*bounds.first()?, *reaches.first()?);
        let stride = bounds.get(1)?.0.checked_sub(first.0)?;
        let follows =
            |pair: &[Bounds]| pair[1].0 == pair[0].0 + stride && pair[1].1 == pair[0].1 + stride;
        let alike = stride > 0
            && first.1 >= first.0 + 2
            && bounds.windows(2).all(follows)
            && reaches.iter().all(|other| *other == reach);
        alike.then_some(Self {
            bounds: first,
            stride,
            reach,
        })
    }
}

/// How much of its range the samples of a window stand for, in seconds.
///
/// A series that has a sample about where one was due near a bound is taken to go on to the bound;
/// otherwise it is taken to begin or end half an interval from its outermost sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Reach {
    /// Between the first and last sample.
    pub(super) sampled: f64,
    /// Before the first sample.
    pub(super) to_start: f64,
    /// After the last sample.
    pub(super) to_end: f64,
}

impl Reach {
    /// Of at least two times.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn new(times: &[i64], start_ms: i64, end_ms: i64) -> Self {
        let (first, last) = (times[0], times[times.len() - 1]);
        let sampled = seconds(last - first);
        let average = sampled / (times.len() - 1) as f64;
        let threshold = average * 1.1;
        let reach = |distance: f64| {
            if distance >= threshold {
                average / 2.0
            } else {
                distance
            }
        };
        Self {
            sampled,
            to_start: reach(seconds(first - start_ms)),
            to_end: reach(seconds(end_ms - last)),
        }
    }

    /// By how much to enlarge what was seen between the first and last sample, so that it stands
    /// for the whole range.
    pub(super) fn factor(self) -> f64 {
        (self.sampled + self.to_start + self.to_end) / self.sampled
    }

    /// The same for a counter, which is not taken below zero: it would have been there this share
    /// of the sampled time before the first sample.
    pub(super) fn factor_from_zero(mut self, share: f64) -> f64 {
        self.to_start = self.to_start.min(self.sampled * share);
        self.factor()
    }
}

impl Windows {
    pub(super) fn new(source: &RangeSource<'_>, grid: Grid, lookback_ms: i64) -> Self {
        let (before_ms, after_ms) = match source.extend {
            Extend::No => (0, 0),
            Extend::Anchored => (lookback_ms, 0),
            Extend::Smoothed => (lookback_ms, lookback_ms),
        };
        Self {
            grid,
            range_ms: source.range_ms,
            offset_ms: source.offset_ms,
            fixed_ms: source.fixed_ms,
            before_ms,
            after_ms,
            times: Arc::default(),
            bounds: vec![(0, 0); grid.count],
            reaches: Vec::new(),
            regular: None,
        }
    }

    /// The start, exclusive, and the end, inclusive, of the range of a step.
    pub(super) fn range(&self, step: usize) -> (i64, i64) {
        let end_ms = self.fixed_ms.unwrap_or_else(|| self.grid.time(step)) - self.offset_ms;
        (end_ms - self.range_ms, end_ms)
    }

    /// The windows in a list of times.
    pub(super) fn bounds(&mut self, times: &Arc<Vec<i64>>) -> &[Bounds] {
        self.follow(times);
        &self.bounds
    }

    /// From the first to one past the last sample of any window.
    pub(super) fn span(&mut self, times: &Arc<Vec<i64>>) -> Bounds {
        self.follow(times);
        let first = self.bounds.first().map_or(0, |(first, _)| *first);
        let end = self.bounds.last().map_or(0, |(_, end)| *end);
        (first.min(end), end)
    }

    /// The windows in a list of times, and what those of at least two samples stand for, with the
    /// factor that follows from it, divided by `divisor`, which is the same at all calls.
    pub(super) fn reaches(
        &mut self,
        times: &Arc<Vec<i64>>,
        divisor: f64,
    ) -> (&[Bounds], &[(Reach, f64)], Option<Regular>) {
        self.follow(times);
        if self.reaches.is_empty() {
            let reach = |(step, &(first, end)): (usize, &Bounds)| {
                let (start_ms, end_ms) = self.range(step);
                match &times[first..end] {
                    times @ [_, _, ..] => {
                        let reach = Reach::new(times, start_ms, end_ms);
                        (reach, reach.factor() / divisor)
                    }
                    _ => (Reach::default(), 0.0),
                }
            };
            self.reaches = self.bounds.iter().enumerate().map(reach).collect();
            self.regular = Regular::of(&self.bounds, &self.reaches);
        }
        (&self.bounds, &self.reaches, self.regular)
    }

    fn follow(&mut self, times: &Arc<Vec<i64>>) {
        if Arc::ptr_eq(&self.times, times) || self.times == *times {
            return;
        }
        self.times = times.clone();
        self.reaches.clear();
        let mut window = (0, 0);
        for step in 0..self.bounds.len() {
            window = self.next(times, window, step);
            self.bounds[step] = window;
        }
    }

    /// Moves a window on to a step.
    pub(super) fn next(&self, times: &[i64], from: Bounds, step: usize) -> Bounds {
        let (start_ms, end_ms) = self.range(step);
        (
            advance(times, from.0, start_ms - self.before_ms),
            advance(times, from.1, end_ms + self.after_ms),
        )
    }
}

/// How old the last sample of a series may be at a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookback {
    pub(super) usual_ms: i64,
    pub(super) sparse: Sparse,
}

impl Lookback {
    /// Whether a sample is recent enough.
    pub(super) fn reaches(self, sample_ms: i64, time_ms: i64) -> bool {
        let sparse = self.sparse;
        let more_ms = if sample_ms < sparse.until_ms {
            sparse.apart_ms
        } else {
            0
        };
        sample_ms > time_ms.saturating_sub(self.usual_ms.saturating_add(more_ms))
    }
}

/// The position, from one, of the newest sample of each step; zero where there is none within the
/// lookback.
pub(super) struct Newest {
    grid: Grid,
    offset_ms: i64,
    fixed_ms: Option<i64>,
    lookback: Lookback,
    times: Arc<Vec<i64>>,
    positions: Vec<usize>,
}

impl Newest {
    pub(super) fn new(
        grid: Grid,
        offset_ms: i64,
        fixed_ms: Option<i64>,
        lookback: Lookback,
    ) -> Self {
        Self {
            grid,
            offset_ms,
            fixed_ms,
            lookback,
            times: Arc::default(),
            positions: vec![0; grid.count],
        }
    }

    pub(super) fn positions(&mut self, times: &Arc<Vec<i64>>) -> &[usize] {
        if !Arc::ptr_eq(&self.times, times) && self.times != *times {
            self.times = times.clone();
            let mut position = 0;
            for step in 0..self.positions.len() {
                let at = self.fixed_ms.unwrap_or_else(|| self.grid.time(step)) - self.offset_ms;
                position = advance(times, position, at);
                let recent = position > 0 && self.lookback.reaches(times[position - 1], at);
                self.positions[step] = if recent { position } else { 0 };
            }
        }
        &self.positions
    }
}
