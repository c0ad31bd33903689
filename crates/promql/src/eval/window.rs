//! Range functions: a function of the samples in a range, for each series and step.

use std::sync::Arc;

use super::column::{Column, OwnedCell, Row, Rows};
use super::selector::{RangeSource, advance};
use super::{Context, eval_scalar, over_time, rate, regression};
use crate::ast::{Call, Expr, Extend, Span, ValueType};
use crate::engine::Error;
use crate::histogram::FloatHistogram;
use crate::plan::Grid;

/// The samples of a series in a range, and the range.
pub(super) struct Window<'a> {
    pub(super) times: &'a [i64],
    pub(super) floats: &'a [f64],
    pub(super) histogram_times: &'a [i64],
    pub(super) histograms: &'a [Arc<FloatHistogram>],
    /// Exclusive.
    pub(super) start_ms: i64,
    /// Inclusive.
    pub(super) end_ms: i64,
    /// The evaluation time, which offsets and `@` do not change.
    pub(super) eval_ms: i64,
}

impl Window<'_> {
    pub(super) fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }
}

/// What a range function knows beside its window.
pub(super) struct Env<'a> {
    pub(super) context: &'a Context<'a>,
    /// Where the first argument stands in the query.
    pub(super) span: Span,
    /// The metric name of the series.
    pub(super) metric: &'a str,
    /// The scalar arguments at this step.
    pub(super) params: &'a [f64],
    pub(super) range_ms: i64,
    pub(super) extend: Extend,
}

pub(super) type Outcome = Result<Option<OwnedCell>, Error>;
pub(super) type RangeFunction = fn(&Env<'_>, &Window<'_>) -> Outcome;

fn find(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => rate::rate,
        "increase" => rate::increase,
        "delta" => rate::delta,
        "irate" => rate::irate,
        "idelta" => rate::idelta,
        "changes" => rate::changes,
        "resets" => rate::resets,
        "deriv" => regression::deriv,
        "predict_linear" => regression::predict_linear,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        _ => return over_time::find(name),
    })
}

/// Functions that know what to do with samples beyond the range.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Evaluates a call whose arguments contain a range vector.
pub(super) fn eval(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let name = call.function.name;
    let Some(function) = find(name) else {
        return Err(Error::Execution(format!(
            "function {name} is not supported"
        )));
    };
    let (range, params) = arguments(context, call, grid)?;
    let source = RangeSource::new(context, range, grid)?;
    check_extend(name, source.extend)?;
    context.check_size(source.series.len(), grid)?;
    let keeps_name = matches!(name, "last_over_time" | "first_over_time");
    let is_rate = matches!(name, "rate" | "increase");
    let mut rows = Vec::with_capacity(source.series.len());
    for series in &source.series {
        context.limits.check()?;
        let env = Env {
            context,
            span: call.args[0].span,
            metric: series.labels.metric_name(),
            params: &[],
            range_ms: source.range_ms,
            extend: source.extend,
        };
        let column = slide(&env, &source, &series.samples, (function, &params), grid)?;
        if !column.has_any() {
            continue;
        }
        if is_rate && !column.has_histograms() {
            warn_about_name(&env);
        }
        let drop_name = series.drop_name || !keeps_name;
        rows.push(Row {
            labels: series.labels.clone(),
            drop_name,
            column,
        });
    }
    context.settle(rows)
}

/// The range vector among the arguments, and the values of the others.
fn arguments<'c>(
    context: &Context<'_>,
    call: &'c Call,
    grid: Grid,
) -> Result<(&'c Expr, Vec<Vec<f64>>), Error> {
    let mut range = None;
    let mut params = Vec::new();
    for arg in &call.args {
        if arg.value_type() == ValueType::Matrix {
            range = Some(arg);
        } else {
            params.push(eval_scalar(context, arg, grid)?);
        }
    }
    let range = range.ok_or_else(|| Error::Execution("a range vector is missing".to_owned()))?;
    Ok((range, params))
}

fn check_extend(name: &str, extend: Extend) -> Result<(), Error> {
    let (modifier, allowed): (&str, &[&str]) = match extend {
        Extend::No => return Ok(()),
        Extend::Anchored => ("anchored", &ANCHORED),
        Extend::Smoothed => ("smoothed", &SMOOTHED),
    };
    if allowed.contains(&name) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(Error::Execution(format!(
        "{modifier} modifier can only be used with: {allowed} - not with {name}"
    )))
}

/// After how many samples to ask the limits whether to go on; some milliseconds.
const CHECK_AFTER_SAMPLES: usize = 1 << 20;

/// Applies a function to the window of each step.
fn slide(
    env: &Env<'_>,
    source: &RangeSource<'_>,
    samples: &crate::source::Samples,
    (function, params): (RangeFunction, &[Vec<f64>]),
    grid: Grid,
) -> Result<Column, Error> {
    let lookback_ms = env.context.options.lookback_ms;
    let (before_ms, after_ms) = match source.extend {
        Extend::No => (0, 0),
        Extend::Anchored => (lookback_ms, 0),
        Extend::Smoothed => (lookback_ms, lookback_ms),
    };
    let mut column = Column::absent(grid.count);
    let mut work = 0;
    let mut step_params = vec![0.0; params.len()];
    let (mut floats, mut histograms) = ((0, 0), (0, 0));
    for (index, eval_ms) in grid.times().enumerate() {
        let end_ms = source.fixed_ms.unwrap_or(eval_ms) - source.offset_ms;
        let start_ms = end_ms - source.range_ms;
        let (first_ms, last_ms) = (start_ms - before_ms, end_ms + after_ms);
        floats = bounds(&samples.times, floats, first_ms, last_ms);
        histograms = bounds(&samples.histogram_times, histograms, first_ms, last_ms);
        if floats.0 == floats.1 && histograms.0 == histograms.1 {
            continue;
        }
        for (value, values) in step_params.iter_mut().zip(params) {
            *value = values[index];
        }
        let window = Window {
            times: &samples.times[floats.0..floats.1],
            floats: &samples.floats[floats.0..floats.1],
            histogram_times: &samples.histogram_times[histograms.0..histograms.1],
            histograms: &samples.histograms[histograms.0..histograms.1],
            start_ms,
            end_ms,
            eval_ms,
        };
        let env = Env {
            params: &step_params,
            ..*env
        };
        if let Some(cell) = function(&env, &window)? {
            column.set(index, cell);
        }
        work += window.times.len() + window.histogram_times.len();
        if work > CHECK_AFTER_SAMPLES {
            env.context.limits.check()?;
            work = 0;
        }
    }
    Ok(column)
}

/// Moves the bounds of a window on to `(first_ms, last_ms]`.
fn bounds(times: &[i64], from: (usize, usize), first_ms: i64, last_ms: i64) -> (usize, usize) {
    (
        advance(times, from.0, first_ms),
        advance(times, from.1, last_ms),
    )
}

/// A counter's name ends in a known suffix; anything else is probably no counter.
fn warn_about_name(env: &Env<'_>) {
    let suffixes = ["_total", "_sum", "_count", "_bucket"];
    if !env.metric.is_empty() && !suffixes.iter().any(|suffix| env.metric.ends_with(suffix)) {
        env.context
            .note()
            .possible_non_counter(env.metric, env.span);
    }
}
