//! Changes of counters and gauges over a range.

use std::sync::Arc;

use super::column::{Cell, OwnedCell};
use super::window::{Env, Outcome, Window};
use crate::annotation::Operation;
use crate::ast::Extend;
use crate::histogram::{FloatHistogram, ResetHint};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rate,
    Increase,
    Delta,
}

pub(super) fn rate(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(change(env, window, Kind::Rate))
}

pub(super) fn increase(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(change(env, window, Kind::Increase))
}

pub(super) fn delta(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(change(env, window, Kind::Delta))
}

#[allow(clippy::cast_precision_loss)]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn change(env: &Env<'_>, window: &Window<'_>, kind: Kind) -> Option<OwnedCell> {
    if env.extend != Extend::No {
        return extended_change(env, window, kind).map(OwnedCell::Float);
    }
    if window.is_mixed() {
        env.context.note().mixed_in_range(env.metric, env.span);
        return None;
    }
    let is_counter = kind != Kind::Delta;
    let per_second = if kind == Kind::Rate {
        seconds(env.range_ms)
    } else {
        1.0
    };
    if window.histograms.len() > 1 {
        let mut result = histogram_change(env, window.histograms, is_counter)?;
        let first = &window.histograms[0];
        let zero_share = (is_counter && result.count > 0.0 && first.count >= 0.0)
            .then(|| first.count / result.count);
        result.scale(extrapolation(window.histogram_times, window, zero_share) / per_second);
        return Some(OwnedCell::Histogram(Arc::new(result)));
    }
    let (first, last) = match window.floats {
        [first, .., last] => (*first, *last),
        _ => return None,
    };
    let mut result = last - first;
    if is_counter {
        for pair in window.floats.windows(2) {
            if pair[1] < pair[0] {
                result += pair[0];
            }
        }
    }
    let zero_share = (is_counter && result > 0.0 && first >= 0.0).then(|| first / result);
    Some(OwnedCell::Float(
        result * (extrapolation(window.times, window, zero_share) / per_second),
    ))
}

/// By how much to enlarge what was seen between the first and last sample, so that it stands for
/// the whole range.
///
/// A series that has a sample about where one was due near a bound is taken to go on to the bound;
/// otherwise it is taken to begin or end half an interval from its outermost sample. A counter is
/// not taken below zero: `zero_share` is how many sampled intervals before the first sample it
/// would have been zero.
#[allow(clippy::cast_precision_loss)]
fn extrapolation(times: &[i64], window: &Window<'_>, zero_share: Option<f64>) -> f64 {
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
    let mut to_start = reach(seconds(first - window.start_ms));
    if let Some(share) = zero_share {
        to_start = to_start.min(sampled * share);
    }
    let to_end = reach(seconds(window.end_ms - last));
    (sampled + to_start + to_end) / sampled
}

/// The last minus the first histogram, with what was lost by resets added.
fn histogram_change(
    env: &Env<'_>,
    histograms: &[Arc<FloatHistogram>],
    is_counter: bool,
) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let last = rest.last()?;
    let mut note = env.context.note();
    let is_gauge = |histogram: &FloatHistogram| histogram.hint == ResetHint::Gauge;
    if is_counter && histograms.iter().any(|histogram| is_gauge(histogram)) {
        note.not_a_counter(env.metric, env.span);
    }
    if !is_counter
        && [first, last]
            .into_iter()
            .any(|histogram| !is_gauge(histogram))
    {
        note.not_a_gauge(env.metric, env.span);
    }
    let relevant = if is_counter {
        histograms
    } else {
        std::slice::from_ref(last)
    };
    // After a reset the first histogram counts for nothing, and neither does its layout.
    let empty = (is_counter && rest[0].detect_reset(first)).then(|| FloatHistogram {
        schema: rest[0].schema,
        bounds: rest[0].bounds.clone(),
        zero_threshold: rest[0].zero_threshold,
        ..FloatHistogram::default()
    });
    let mut previous: &FloatHistogram = empty.as_ref().unwrap_or(first);
    let skip = usize::from(is_counter);
    if previous.is_custom() != last.is_custom()
        || relevant[skip.min(relevant.len())..]
            .iter()
            .any(|h| h.is_custom() != last.is_custom())
    {
        note.mixed_schemas(env.metric, env.span);
        return None;
    }
    let mut result = FloatHistogram::clone(last);
    let schema = relevant[skip.min(relevant.len())..]
        .iter()
        .map(|histogram| histogram.schema)
        .chain([previous.schema, last.schema])
        .min()?;
    result.reduce(schema);
    if result.sub(previous).ok()?.bounds {
        note.bounds_reconciled(Operation::Subtraction, env.span);
    }
    if is_counter {
        for current in rest {
            if current.detect_reset(previous) && result.add(previous).ok()?.bounds {
                note.bounds_reconciled(Operation::Addition, env.span);
            }
            previous = current;
        }
    }
    result.hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// The change between the bounds of the range themselves, for `anchored` and `smoothed`.
fn extended_change(env: &Env<'_>, window: &Window<'_>, kind: Kind) -> Option<f64> {
    if !window.histograms.is_empty() {
        if window.is_mixed() {
            env.context.note().mixed_in_range(env.metric, env.span);
        }
        return None;
    }
    let (times, floats) = (window.times, window.floats);
    let is_counter = kind != Kind::Delta;
    let smoothed = env.extend == Extend::Smoothed;
    let mut last = times.len().checked_sub(1)?;
    let mut first = times[..last]
        .partition_point(|time| *time <= window.start_ms)
        .saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|time| *time < window.end_ms);
    }
    if times[last] <= window.start_ms {
        return None;
    }
    let left = if smoothed && times[first] < window.start_ms {
        interpolate(window, first, window.start_ms, is_counter)
    } else {
        floats[first]
    };
    let right = if smoothed && last > 0 && times[last] > window.end_ms {
        interpolate(window, last - 1, window.end_ms, is_counter)
    } else {
        floats[last]
    };
    let mut result = right - left;
    if is_counter {
        // The samples at and beyond the bounds are already in `left` and `right`.
        if times[first] <= window.start_ms {
            first += 1;
        }
        let end = if times[last] >= window.end_ms {
            last
        } else {
            last + 1
        };
        let mut previous = left;
        for &value in floats
            .get(first..end)
            .unwrap_or_default()
            .iter()
            .chain([&right])
        {
            if value < previous {
                result += previous;
            }
            previous = value;
        }
    }
    if kind == Kind::Rate {
        result /= seconds(env.range_ms);
    }
    Some(result)
}

/// The value between a sample and the next; a counter that was reset between them starts at zero.
#[allow(clippy::cast_precision_loss)]
fn interpolate(window: &Window<'_>, index: usize, at_ms: i64, is_counter: bool) -> f64 {
    let (t1, t2) = (window.times[index], window.times[index + 1]);
    let (mut v1, v2) = (window.floats[index], window.floats[index + 1]);
    if is_counter && v2 < v1 {
        v1 = 0.0;
    }
    v1 + (v2 - v1) * (at_ms - t1) as f64 / (t2 - t1) as f64
}

pub(super) fn irate(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(instant_change(env, window, true))
}

pub(super) fn idelta(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(instant_change(env, window, false))
}

/// The difference of the last two samples.
fn instant_change(env: &Env<'_>, window: &Window<'_>, is_rate: bool) -> Option<OwnedCell> {
    let samples: Vec<(i64, Cell<'_>)> = merged(window).rev().take(2).collect();
    let [(last_ms, last), (previous_ms, previous)] = samples[..] else {
        return None;
    };
    let interval = seconds(last_ms - previous_ms);
    if interval == 0.0 {
        return None;
    }
    match (previous, last) {
        (Cell::Float(previous), Cell::Float(last)) => {
            let difference = if is_rate && last < previous {
                last
            } else {
                last - previous
            };
            Some(OwnedCell::Float(if is_rate {
                difference / interval
            } else {
                difference
            }))
        }
        (Cell::Histogram(previous), Cell::Histogram(last)) => {
            let mut note = env.context.note();
            let gauges = [previous, last].map(|histogram| histogram.hint == ResetHint::Gauge);
            if is_rate && gauges.contains(&true) {
                note.not_a_counter(env.metric, env.span);
            } else if !is_rate && gauges.contains(&false) {
                note.not_a_gauge(env.metric, env.span);
            }
            let mut result = FloatHistogram::clone(last);
            if !is_rate || !last.detect_reset(previous) {
                match result.sub(previous) {
                    Err(_) => {
                        note.mixed_schemas(env.metric, env.span);
                        return None;
                    }
                    Ok(done) if done.bounds => {
                        note.bounds_reconciled(Operation::Subtraction, env.span);
                    }
                    Ok(_) => {}
                }
            }
            result.hint = ResetHint::Gauge;
            result.compact();
            if is_rate {
                result.divide(interval);
            }
            Some(OwnedCell::Histogram(Arc::new(result)))
        }
        _ => {
            env.context.note().mixed_in_range(env.metric, env.span);
            None
        }
    }
}

/// All samples of a window by time.
pub(super) fn merged<'w>(
    window: &'w Window<'_>,
) -> impl DoubleEndedIterator<Item = (i64, Cell<'w>)> {
    let floats = window
        .times
        .iter()
        .zip(window.floats)
        .map(|(time, value)| (*time, Cell::Float(*value)));
    let histograms = window
        .histogram_times
        .iter()
        .zip(window.histograms)
        .map(|(time, histogram)| (*time, Cell::Histogram(histogram)));
    let mut all: Vec<(i64, Cell<'w>)> = floats.chain(histograms).collect();
    if window.is_mixed() {
        all.sort_by_key(|(time, _)| *time);
    }
    all.into_iter()
}

pub(super) fn changes(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(count_pairs(
        env,
        window,
        |a, b| a != b && !(a.is_nan() && b.is_nan()),
        |a, b| a != b,
    ))
}

pub(super) fn resets(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    Ok(count_pairs(
        env,
        window,
        |a, b| b < a,
        |a, b| b.detect_reset(a),
    ))
}

/// Counts neighbours that a test holds for. A change between float and histogram always counts.
#[allow(clippy::cast_precision_loss)]
fn count_pairs(
    env: &Env<'_>,
    window: &Window<'_>,
    floats: impl Fn(f64, f64) -> bool,
    histograms: impl Fn(&FloatHistogram, &FloatHistogram) -> bool,
) -> Option<OwnedCell> {
    let mut values = window.floats;
    if env.extend == Extend::Anchored {
        let last = values.len().checked_sub(1)?;
        if window.times[last] <= window.start_ms {
            return None;
        }
        let times = &window.times[..last];
        let first = times
            .partition_point(|time| *time <= window.start_ms)
            .saturating_sub(1);
        values = &values[first..];
    }
    if window.histograms.is_empty() {
        let count = values
            .windows(2)
            .filter(|pair| floats(pair[0], pair[1]))
            .count();
        return Some(OwnedCell::Float(count as f64));
    }
    let all: Vec<Cell<'_>> = merged(window).map(|(_, cell)| cell).collect();
    let differs = |pair: &&[Cell<'_>]| match (pair[0], pair[1]) {
        (Cell::Float(a), Cell::Float(b)) => floats(a, b),
        (Cell::Histogram(a), Cell::Histogram(b)) => histograms(a, b),
        _ => true,
    };
    Some(OwnedCell::Float(
        all.windows(2).filter(differs).count() as f64
    ))
}
