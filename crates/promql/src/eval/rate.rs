//! Changes of counters and gauges over a range: `rate`, `increase`, `delta`.

use std::ops::Range;
use std::sync::Arc;

use super::column::{Column, OwnedCell};
use super::extended;
use super::window::{Env, Outcome, Window};
use super::windows::{Reach, Regular, Windows};
use crate::annotation::Operation;
use crate::ast::Extend;
use crate::histogram::{FloatHistogram, ResetHint};
use crate::source::{Samples, stale_nan};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rate,
    Increase,
    Delta,
}

impl Kind {
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Kind::Rate,
            "increase" => Kind::Increase,
            "delta" => Kind::Delta,
            _ => return None,
        })
    }

    pub(super) fn is_counter(self) -> bool {
        self != Kind::Delta
    }
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
pub(super) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn change(env: &Env<'_>, window: &Window<'_>, kind: Kind) -> Option<OwnedCell> {
    if env.extend != Extend::No {
        return extended::change(env, window, kind);
    }
    if window.is_mixed() {
        env.context.note().mixed_in_range(env.metric, env.span);
        return None;
    }
    let is_counter = kind.is_counter();
    let per_second = if kind == Kind::Rate {
        seconds(env.range_ms)
    } else {
        1.0
    };
    let reach = |times: &[i64]| Reach::new(times, window.start_ms, window.end_ms);
    if window.histograms.len() > 1 {
        let mut result = histogram_change(env, window.histograms, is_counter)?;
        let reach = reach(window.histogram_times);
        let first = window.histograms[0].count;
        let factor = if is_counter && result.count > 0.0 && first >= 0.0 {
            reach.factor_from_zero(first / result.count)
        } else {
            reach.factor()
        };
        result.scale(factor / per_second);
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
    let reach = reach(window.times);
    let factor = if is_counter && result > 0.0 && first >= 0.0 {
        reach.factor_from_zero(first / result)
    } else {
        reach.factor()
    };
    Some(OwnedCell::Float(result * (factor / per_second)))
}

/// The change in the window of each step of a series that has numbers only. The windows have been
/// worked out, and where the counter was reset is found once, so that a step costs no more than
/// its first and last sample.
pub(super) fn of_floats(
    kind: Kind,
    windows: &mut Windows,
    samples: &Samples,
    range_ms: i64,
) -> Column {
    let (first, end) = windows.span(&samples.times);
    let floats = &samples.floats[..];
    let per_second = if kind == Kind::Rate {
        seconds(range_ms)
    } else {
        1.0
    };
    let (bounds, reaches, regular) = windows.reaches(&samples.times, per_second);
    let resets = if kind.is_counter() {
        resets(floats, first..end)
    } else {
        Vec::new()
    };
    if resets.is_empty()
        && let Some(regular) = regular
        && let Some(column) = of_regular(kind, floats, regular, bounds.len())
    {
        return Column::from_floats(column);
    }
    let mut column = vec![stale_nan(); bounds.len()];
    for ((cell, &(start, end)), &(reach, factor)) in column.iter_mut().zip(bounds).zip(reaches) {
        let [first, .., last] = floats[start..end] else {
            continue;
        };
        let mut result = last - first;
        if !resets.is_empty() {
            let from = resets.partition_point(|index| *index <= start);
            let inside = resets[from..].iter().take_while(|index| **index < end);
            inside.for_each(|index| result += floats[index - 1]);
        }
        // Divisions are only needed where the counter would have been zero inside the reach.
        let may_begin =
            kind.is_counter() && first >= 0.0 && first * reach.sampled <= result * reach.to_start;
        *cell = if may_begin && result > 0.0 {
            result * (reach.factor_from_zero(first / result) / per_second)
        } else {
            result * factor
        };
    }
    Column::from_floats(column)
}

/// The same of a series that has histograms only, if these are counters of the same exponential
/// buckets, so that a step costs no more than its first and last sample and its resets.
pub(super) fn of_histograms(
    kind: Kind,
    windows: &Windows,
    samples: &Samples,
    (range_ms, steps): (i64, usize),
) -> Option<Column> {
    let (times, all) = (&samples.histogram_times, &samples.histograms);
    let (first, rest) = all.split_first()?;
    let is_like = |one: &Arc<FloatHistogram>| first.is_like(one) && one.hint != ResetHint::Gauge;
    if !kind.is_counter() || !is_like(first) || !rest.iter().all(is_like) {
        return None;
    }
    let pairs = (1..).zip(all.windows(2));
    let resets = pairs.filter(|(_, pair)| pair[1].detect_reset(&pair[0]));
    let resets: Vec<usize> = resets.map(|(index, _)| index).collect();
    let per_second = if kind == Kind::Rate {
        seconds(range_ms)
    } else {
        1.0
    };
    let mut column = Column::absent(steps);
    let mut window = (0, 0);
    for step in 0..steps {
        window = windows.next(times, window, step);
        let (start, end) = window;
        if end - start < 2 {
            continue;
        }
        let (start_ms, end_ms) = windows.range(step);
        let reach = Reach::new(&times[start..end], start_ms, end_ms);
        let inside = &resets[resets.partition_point(|index| *index <= start)..];
        let inside = inside.iter().take_while(|index| **index < end);
        let (first, last) = (&*all[start], &*all[end - 1]);
        let result = since(first, last, (start, inside), all, |count| {
            let factor = if count > 0.0 && first.count >= 0.0 {
                reach.factor_from_zero(first.count / count)
            } else {
                reach.factor()
            };
            factor / per_second
        });
        column.set_histogram(step, Arc::new(result));
    }
    Some(column)
}

/// What came between two histograms of a series, times a factor that depends on how many values that
/// are: what was lost by the resets between them is added.
fn since<'a>(
    first: &FloatHistogram,
    last: &FloatHistogram,
    (start, resets): (usize, impl Iterator<Item = &'a usize>),
    all: &[Arc<FloatHistogram>],
    factor: impl Fn(f64) -> f64,
) -> FloatHistogram {
    let mut resets = resets.peekable();
    if resets.peek().is_none() {
        return last.since(first, factor(last.count - first.count));
    }
    let nothing = FloatHistogram {
        schema: last.schema,
        zero_threshold: last.zero_threshold,
        ..FloatHistogram::default()
    };
    // After a reset the first histogram counts for nothing.
    let lost = resets.next_if(|index| **index == start + 1).is_some();
    let mut result = last.since(if lost { &nothing } else { first }, 1.0);
    for index in resets {
        // Buckets of the same bounds can be added.
        let _ = result.combine(&all[index - 1], 1.0);
    }
    result.compact();
    result.scale(factor(result.count));
    result
}

/// The same where windows are alike and no counter was reset; none where one may have been zero inside
/// of what a window stands for. There is no branch, so that several steps are calculated at once.
fn of_regular(kind: Kind, floats: &[f64], regular: Regular, steps: usize) -> Option<Vec<f64>> {
    let Regular {
        bounds: (first, end),
        stride,
        reach: (reach, factor),
    } = regular;
    let is_counter = kind.is_counter();
    let mut may_begin = false;
    let mut step = |(first, last): (&f64, &f64)| {
        let result = last - first;
        may_begin |=
            is_counter & (*first >= 0.0) & (first * reach.sampled <= result * reach.to_start);
        result * factor
    };
    let (firsts, lasts) = (&floats[first..], &floats[end - 1..]);
    let column: Vec<f64> = if stride == 1 {
        firsts[..steps]
            .iter()
            .zip(&lasts[..steps])
            .map(&mut step)
            .collect()
    } else {
        let pairs = firsts
            .iter()
            .step_by(stride)
            .zip(lasts.iter().step_by(stride));
        pairs.take(steps).map(&mut step).collect()
    };
    (!may_begin).then_some(column)
}

/// The indices, among these, of the values that are smaller than those before them.
fn resets(floats: &[f64], among: Range<usize>) -> Vec<usize> {
    let (first, floats) = (among.start, &floats[among]);
    // Most counters are never reset, and looking at all values without a branch is faster.
    let is_reset = |pair: &[f64]| pair[1] < pair[0];
    if !floats
        .windows(2)
        .fold(false, |any, pair| any | is_reset(pair))
    {
        return Vec::new();
    }
    let indices = (first + 1..).zip(floats.windows(2));
    indices
        .filter(|(_, pair)| is_reset(pair))
        .map(|(index, _)| index)
        .collect()
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
