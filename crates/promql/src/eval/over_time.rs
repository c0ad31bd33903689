//! `*_over_time`: aggregates of the samples in a range.

use std::sync::Arc;

use super::column::OwnedCell;
use super::sums::{HistogramSum, Mean, quantile};
use super::window::{Env, Outcome, RangeFunction, Window};
use crate::compensated::Compensated;
use crate::histogram::FloatHistogram;

pub(super) fn find(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "sum_over_time" => sum,
        "avg_over_time" => avg,
        "count_over_time" => count,
        "min_over_time" => min,
        "max_over_time" => max,
        "stddev_over_time" => stddev,
        "stdvar_over_time" => stdvar,
        "quantile_over_time" => quantile_of,
        "mad_over_time" => mad,
        "first_over_time" => first,
        "last_over_time" => last,
        "present_over_time" => present,
        "ts_of_first_over_time" => ts_of_first,
        "ts_of_last_over_time" => ts_of_last,
        "ts_of_min_over_time" => ts_of_min,
        "ts_of_max_over_time" => ts_of_max,
        _ => return None,
    })
}

fn float(value: f64) -> Outcome {
    Ok(Some(OwnedCell::Float(value)))
}

/// Milliseconds as seconds.
#[allow(clippy::cast_precision_loss)]
fn time(time_ms: i64) -> Outcome {
    float(time_ms as f64 / 1000.0)
}

/// Whether the window has floats; says so when histograms beside them are ignored.
fn only_floats(env: &Env<'_>, window: &Window<'_>) -> bool {
    if window.is_mixed() {
        env.context.note().ignored_in_range(env.metric, env.span);
    }
    !window.floats.is_empty()
}

fn is_mixed(env: &Env<'_>, window: &Window<'_>) -> bool {
    let mixed = window.is_mixed();
    if mixed {
        env.context.note().mixed_in_range(env.metric, env.span);
    }
    mixed
}

fn sum(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if is_mixed(env, window) {
        return Ok(None);
    }
    if !window.histograms.is_empty() {
        return Ok(sum_of_histograms(env, window, false));
    }
    let mut sum = Compensated::default();
    window.floats.iter().for_each(|value| sum.add(*value));
    float(sum.total())
}

#[allow(clippy::cast_precision_loss)]
fn avg(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if is_mixed(env, window) {
        return Ok(None);
    }
    if !window.histograms.is_empty() {
        return Ok(sum_of_histograms(env, window, true));
    }
    let mut sum = Compensated::default();
    window.floats.iter().for_each(|value| sum.add(*value));
    if !window.counts.is_empty() {
        return float(sum.total() / window.counts.iter().sum::<f64>());
    }
    if sum.sum.is_finite() {
        // It was finite all along.
        let count = window.floats.len() as f64;
        return float(sum.sum / count + sum.rest / count);
    }
    let mut mean = Mean::default();
    window.floats.iter().for_each(|value| mean.add(*value));
    float(mean.value())
}

fn sum_of_histograms(env: &Env<'_>, window: &Window<'_>, average: bool) -> Option<OwnedCell> {
    let mut sum = HistogramSum::new(average);
    for histogram in window.histograms {
        if sum.add(histogram).is_err() {
            env.context.note().mixed_schemas(env.metric, env.span);
            return None;
        }
    }
    sum.note(&mut env.context.note(), env.span);
    sum.value()
        .map(|histogram| OwnedCell::Histogram(Arc::new(histogram)))
}

#[allow(clippy::cast_precision_loss)]
fn count(_: &Env<'_>, window: &Window<'_>) -> Outcome {
    let floats = match window.counts {
        [] => window.floats.len() as f64,
        counts => counts.iter().sum(),
    };
    float(floats + window.histograms.len() as f64)
}

fn present(_: &Env<'_>, _: &Window<'_>) -> Outcome {
    float(1.0)
}

/// The index of the extreme value. NaN only wins over nothing.
fn extreme(window: &Window<'_>, wins: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (index, value) in window.floats.iter().enumerate() {
        if wins(*value, window.floats[best]) || window.floats[best].is_nan() {
            best = index;
        }
    }
    best
}

fn min(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    float(window.floats[extreme(window, |value, best| value < best)])
}

fn max(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    float(window.floats[extreme(window, |value, best| value > best)])
}

fn ts_of_min(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    time(window.times[extreme(window, |value, best| value <= best)])
}

fn ts_of_max(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    time(window.times[extreme(window, |value, best| value >= best)])
}

/// The population variance, calculated incrementally with compensated sums.
#[allow(clippy::cast_precision_loss)]
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Compensated::default(), Compensated::default());
    for (index, value) in values.iter().enumerate() {
        let delta = value - mean.sum_and_rest();
        mean.add(delta / (index + 1) as f64);
        squares.add(delta * (value - mean.sum_and_rest()));
    }
    squares.sum_and_rest() / values.len() as f64
}

fn stdvar(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    float(variance(window.floats))
}

fn stddev(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    float(variance(window.floats).sqrt())
}

fn quantile_of(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if window.floats.is_empty() {
        return Ok(None);
    }
    let q = env.params.first().copied().unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&q) {
        env.context.note().invalid_quantile(q, env.span);
    }
    only_floats(env, window);
    float(quantile(q, &mut window.floats.to_vec()))
}

fn mad(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !only_floats(env, window) {
        return Ok(None);
    }
    let mut values = window.floats.to_vec();
    let median = quantile(0.5, &mut values);
    values
        .iter_mut()
        .for_each(|value| *value = (*value - median).abs());
    float(quantile(0.5, &mut values))
}

fn histogram(histogram: &Arc<FloatHistogram>) -> Outcome {
    Ok(Some(OwnedCell::Histogram(histogram.clone())))
}

fn first(_: &Env<'_>, window: &Window<'_>) -> Outcome {
    match (window.times.first(), window.histogram_times.first()) {
        (None, None) => Ok(None),
        (Some(float_ms), Some(histogram_ms)) if histogram_ms <= float_ms => {
            histogram(&window.histograms[0])
        }
        (Some(_), _) => float(window.floats[0]),
        (None, Some(_)) => histogram(&window.histograms[0]),
    }
}

fn last(_: &Env<'_>, window: &Window<'_>) -> Outcome {
    match (window.times.last(), window.histogram_times.last()) {
        (None, None) => Ok(None),
        (Some(float_ms), Some(histogram_ms)) if histogram_ms >= float_ms => {
            histogram(&window.histograms[window.histograms.len() - 1])
        }
        (Some(_), _) => float(window.floats[window.floats.len() - 1]),
        (None, Some(_)) => histogram(&window.histograms[window.histograms.len() - 1]),
    }
}

fn ts_of_first(_: &Env<'_>, window: &Window<'_>) -> Outcome {
    let times = [window.times.first(), window.histogram_times.first()];
    times
        .into_iter()
        .flatten()
        .min()
        .map_or(Ok(None), |time_ms| time(*time_ms))
}

fn ts_of_last(_: &Env<'_>, window: &Window<'_>) -> Outcome {
    let times = [window.times.last(), window.histogram_times.last()];
    times
        .into_iter()
        .flatten()
        .max()
        .map_or(Ok(None), |time_ms| time(*time_ms))
}
