//! Functions of neighbouring samples: `irate`, `idelta`, `changes`, `resets`.

use std::sync::Arc;

use super::column::{Cell, OwnedCell};
use super::rate::seconds;
use super::window::{Env, Outcome, Window};
use crate::annotation::Operation;
use crate::ast::Extend;
use crate::histogram::{FloatHistogram, ResetHint};

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
    let count = if window.histograms.is_empty() {
        let values = &window.floats[anchor(env, window.start_ms, window.times)?..];
        let differs = |pair: &&[f64]| floats(pair[0], pair[1]);
        values.windows(2).filter(differs).count()
    } else {
        let (times, all): (Vec<i64>, Vec<Cell<'_>>) = merged(window).unzip();
        let differs = |pair: &&[Cell<'_>]| match (pair[0], pair[1]) {
            (Cell::Float(a), Cell::Float(b)) => floats(a, b),
            (Cell::Histogram(a), Cell::Histogram(b)) => histograms(a, b),
            _ => true,
        };
        let all = &all[anchor(env, window.start_ms, &times)?..];
        all.windows(2).filter(differs).count()
    };
    Some(OwnedCell::Float(count as f64))
}

/// The first sample that counts: for an anchored range the last one at its start or before.
/// `None` where there is nothing to compare after the start.
fn anchor(env: &Env<'_>, start_ms: i64, times: &[i64]) -> Option<usize> {
    if env.extend != Extend::Anchored {
        return Some(0);
    }
    let after = times.partition_point(|time| *time <= start_ms);
    (after < times.len()).then(|| after.saturating_sub(1))
}
