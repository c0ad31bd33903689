//! Trends: least squares and double exponential smoothing.

use super::column::OwnedCell;
use super::window::{Env, Outcome, Window};
use crate::compensated::Compensated;
use crate::engine::Error;

/// Whether there are the two floats that a trend needs; says so when histograms are ignored.
fn has_trend(env: &Env<'_>, window: &Window<'_>) -> bool {
    if window.is_mixed() {
        env.context.note().ignored_in_range(env.metric, env.span);
    }
    window.floats.len() >= 2
}

pub(super) fn deriv(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !has_trend(env, window) {
        return Ok(None);
    }
    // Times near zero keep the sums of products exact enough.
    let (slope, _) = line(window, window.times[0]);
    Ok(Some(OwnedCell::Float(slope)))
}

pub(super) fn predict_linear(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    if !has_trend(env, window) {
        return Ok(None);
    }
    let ahead = env.params.first().copied().unwrap_or(f64::NAN);
    let (slope, intercept) = line(window, window.eval_ms);
    Ok(Some(OwnedCell::Float(slope * ahead + intercept)))
}

/// Slope per second of the least-squares line and its value at a time.
#[allow(clippy::cast_precision_loss)]
fn line(window: &Window<'_>, at_ms: i64) -> (f64, f64) {
    let first = window.floats[0];
    if window.floats.iter().all(|value| *value == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let mut sums = [Compensated::default(); 4];
    for (time_ms, y) in window.times.iter().zip(window.floats) {
        let x = (time_ms - at_ms) as f64 / 1000.0;
        for (sum, value) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            sum.add(value);
        }
    }
    let [x, y, xy, xx] = sums.map(|sum| sum.sum_and_rest());
    let n = window.floats.len() as f64;
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

pub(super) fn double_exponential_smoothing(env: &Env<'_>, window: &Window<'_>) -> Outcome {
    let [smoothing, trend_factor] = env.params else {
        return Err(Error::Execution("smoothing needs two factors".to_owned()));
    };
    for (name, factor) in [("smoothing", *smoothing), ("trend", *trend_factor)] {
        if factor <= 0.0 || factor >= 1.0 {
            let symbol = if name == "smoothing" { "sf" } else { "tf" };
            let message =
                format!("invalid {name} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}");
            return Err(Error::Execution(message));
        }
    }
    if !has_trend(env, window) {
        return Ok(None);
    }
    let values = window.floats;
    let mut level = values[0];
    let mut trend = values[1] - values[0];
    for (index, value) in values.iter().enumerate().skip(1) {
        let raw = smoothing * value;
        let previous = level;
        level = raw + (1.0 - smoothing) * (level + trend);
        // The trend of the next step follows from the levels of this one.
        if index + 1 < values.len() {
            trend = trend_factor * (level - previous) + (1.0 - trend_factor) * trend;
        }
    }
    Ok(Some(OwnedCell::Float(level)))
}
