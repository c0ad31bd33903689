//! `rate`, `increase` and `delta` with `anchored` and `smoothed`: the change between the bounds of
//! the range themselves, where the last sample before the start stands, or what is interpolated.

use std::sync::Arc;

use super::column::OwnedCell;
use super::rate::{Kind, seconds};
use super::window::{Env, Window};
use crate::annotation::{Annotations, Operation};
use crate::ast::{Extend, Span};
use crate::histogram::{FloatHistogram, Incompatible, ResetHint};

pub(super) fn change(env: &Env<'_>, window: &Window<'_>, kind: Kind) -> Option<OwnedCell> {
    if window.is_mixed() {
        env.context.note().mixed_in_range(env.metric, env.span);
        return None;
    }
    if window.histograms.is_empty() {
        return floats(env, window, kind).map(OwnedCell::Float);
    }
    let change = histograms(env, window, kind)?;
    Some(OwnedCell::Histogram(Arc::new(change)))
}

/// The samples that the bounds are found from, by their indices.
struct Edges {
    first: usize,
    last: usize,
    smoothed: bool,
}

impl Edges {
    fn new(times: &[i64], start_ms: i64, end_ms: i64, smoothed: bool) -> Option<Self> {
        let mut last = times.len().checked_sub(1)?;
        let first = times[..last]
            .partition_point(|time| *time <= start_ms)
            .saturating_sub(1);
        if smoothed {
            last = times[..last].partition_point(|time| *time < end_ms);
        }
        let outside = times[last] <= start_ms || (smoothed && times[first] > end_ms);
        (!outside).then_some(Self {
            first,
            last,
            smoothed,
        })
    }

    /// Whether the value at the start lies between two samples.
    fn cuts_start(&self, times: &[i64], start_ms: i64) -> bool {
        self.smoothed && times[self.first] < start_ms
    }

    /// Whether the value at the end lies between two samples.
    fn cuts_end(&self, times: &[i64], end_ms: i64) -> bool {
        self.smoothed && self.last > 0 && times[self.last] > end_ms
    }
}

/// The values at both bounds, and the samples between them.
fn edge_values<'w>(
    times: &'w [i64],
    floats: &'w [f64],
    (start_ms, end_ms): (i64, i64),
    edges: &Edges,
    is_counter: bool,
) -> (f64, f64, std::ops::Range<usize>) {
    let pair = |index: usize| {
        (
            (times[index], floats[index]),
            (times[index + 1], floats[index + 1]),
        )
    };
    let (mut first, last) = (edges.first, edges.last);
    let left = if edges.cuts_start(times, start_ms) {
        interpolate(pair(first), start_ms, is_counter)
    } else {
        floats[first]
    };
    let right = if edges.cuts_end(times, end_ms) {
        interpolate(pair(last - 1), end_ms, is_counter)
    } else {
        floats[last]
    };
    // The samples at and beyond the bounds are already in `left` and `right`.
    if times[first] <= start_ms {
        first += 1;
    }
    let end = if times[last] >= end_ms {
        last
    } else {
        last + 1
    };
    (left, right, first..end.max(first))
}

fn floats(env: &Env<'_>, window: &Window<'_>, kind: Kind) -> Option<f64> {
    let range = (window.start_ms, window.end_ms);
    let smoothed = env.extend == Extend::Smoothed;
    let edges = Edges::new(window.times, range.0, range.1, smoothed)?;
    let is_counter = kind.is_counter();
    let (left, right, between) =
        edge_values(window.times, window.floats, range, &edges, is_counter);
    let mut result = right - left;
    if is_counter {
        let mut previous = left;
        for value in window.floats[between].iter().chain([&right]) {
            if *value < previous {
                result += previous;
            }
            previous = *value;
        }
    }
    if kind == Kind::Rate {
        result /= seconds(env.range_ms);
    }
    Some(result)
}

/// The value between two samples; a counter that was reset between them starts at zero.
#[allow(clippy::cast_precision_loss)]
pub(super) fn interpolate(
    ((t1, mut v1), (t2, v2)): ((i64, f64), (i64, f64)),
    at_ms: i64,
    is_counter: bool,
) -> f64 {
    if is_counter && v2 < v1 {
        v1 = 0.0;
    }
    v1 + (v2 - v1) * (at_ms - t1) as f64 / (t2 - t1) as f64
}

/// The samples of an extended range by themselves: one at each bound, and those between.
pub(super) fn points(
    times: &[i64],
    floats: &[f64],
    (start_ms, end_ms): (i64, i64),
    smoothed: bool,
) -> Vec<(i64, f64)> {
    let Some(edges) = Edges::new(times, start_ms, end_ms, smoothed) else {
        return Vec::new();
    };
    let (left, right, between) = edge_values(times, floats, (start_ms, end_ms), &edges, false);
    let between = times[between.clone()]
        .iter()
        .copied()
        .zip(floats[between].iter().copied());
    let mut points = vec![(start_ms, left)];
    points.extend(between);
    points.push((end_ms, right));
    points
}

/// Where notes about histograms go.
pub(super) struct Notes<'a> {
    pub(super) notes: &'a mut Annotations,
    pub(super) metric: &'a str,
    pub(super) span: Span,
}

impl Notes<'_> {
    fn add(&mut self, to: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        self.combine(to.add(other).map(|done| done.bounds), Operation::Addition)
    }

    fn sub(&mut self, from: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        self.combine(
            from.sub(other).map(|done| done.bounds),
            Operation::Subtraction,
        )
    }

    fn combine(&mut self, done: Result<bool, Incompatible>, operation: Operation) -> Option<()> {
        match done {
            Err(_) => {
                self.notes.mixed_schemas(self.metric, self.span);
                None
            }
            Ok(reconciled) => {
                if reconciled {
                    self.notes.bounds_reconciled(operation, self.span);
                }
                Some(())
            }
        }
    }

    /// The histogram between two samples; a counter that was reset between them starts at zero.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn interpolate(
        &mut self,
        (t1, h1): (i64, &FloatHistogram),
        (t2, h2): (i64, &FloatHistogram),
        at_ms: i64,
        is_counter: bool,
    ) -> Option<FloatHistogram> {
        if at_ms == t1 {
            return Some(h1.clone());
        }
        let mut result = h2.clone();
        if at_ms == t2 {
            return Some(result);
        }
        let fraction = (at_ms - t1) as f64 / (t2 - t1) as f64;
        if is_counter && h2.detect_reset(h1) {
            result.scale(fraction);
            return Some(result);
        }
        self.sub(&mut result, h1)?;
        result.scale(fraction);
        self.add(&mut result, h1)?;
        Some(result)
    }
}

fn histograms(env: &Env<'_>, window: &Window<'_>, kind: Kind) -> Option<FloatHistogram> {
    let (times, histograms) = (window.histogram_times, window.histograms);
    let smoothed = env.extend == Extend::Smoothed;
    let edges = Edges::new(times, window.start_ms, window.end_ms, smoothed)?;
    let is_counter = kind.is_counter();
    let mut notes = env.context.note();
    let mut notes = Notes {
        notes: &mut notes,
        metric: env.metric,
        span: env.span,
    };
    let used = &histograms[edges.first..=edges.last];
    if used.iter().any(|h| h.is_custom() != used[0].is_custom()) {
        notes.notes.mixed_schemas(env.metric, env.span);
        return None;
    }
    let is_gauge = |histogram: &FloatHistogram| histogram.hint == ResetHint::Gauge;
    if is_counter && used.iter().any(|histogram| is_gauge(histogram)) {
        notes.notes.not_a_counter(env.metric, env.span);
    }
    let mut between = |index: usize, at_ms: i64| {
        let sample = |index: usize| (times[index], &*histograms[index]);
        notes.interpolate(sample(index), sample(index + 1), at_ms, is_counter)
    };
    let left = if edges.cuts_start(times, window.start_ms) {
        between(edges.first, window.start_ms)?
    } else {
        FloatHistogram::clone(&histograms[edges.first])
    };
    let right = if edges.cuts_end(times, window.end_ms) {
        between(edges.last - 1, window.end_ms)?
    } else {
        FloatHistogram::clone(&histograms[edges.last])
    };
    let are_gauges = is_gauge(&left) && is_gauge(&right);
    if !is_counter && !are_gauges {
        notes.notes.not_a_gauge(env.metric, env.span);
    }
    let mut result = right.clone();
    notes.sub(&mut result, &left)?;
    if is_counter {
        let lost = lost_by_resets(window, &edges, (&left, &right), &mut notes)?;
        if let Some(lost) = lost {
            notes.add(&mut result, &lost)?;
        }
    }
    if kind == Kind::Rate {
        result.divide(seconds(env.range_ms));
    }
    result.hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// What the counter lost by resets between its values at the bounds.
#[allow(clippy::option_option)] // Nothing can be said, or nothing was lost.
fn lost_by_resets(
    window: &Window<'_>,
    edges: &Edges,
    (left, right): (&FloatHistogram, &FloatHistogram),
    notes: &mut Notes<'_>,
) -> Option<Option<FloatHistogram>> {
    let histograms = window.histograms;
    let mut next = edges.first + 1;
    let mut previous = left;
    if edges.cuts_start(window.histogram_times, window.start_ms)
        && histograms[next].detect_reset(&histograms[edges.first])
    {
        // The value at the start was interpolated over this reset already.
        previous = &histograms[next];
        next += 1;
    }
    if next > edges.last {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    let between = histograms[next..edges.last]
        .iter()
        .map(|histogram| &**histogram);
    for current in between.chain([right]) {
        if current.detect_reset(previous) {
            match &mut lost {
                None => lost = Some(previous.clone()),
                Some(lost) => notes.add(lost, previous)?,
            }
        }
        previous = current;
    }
    Some(lost)
}
