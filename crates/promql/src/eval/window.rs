//! Range functions: a function of the samples in a range, for each series and step.

use std::sync::Arc;

use super::column::{Column, OwnedCell, Passing, Rows};
use super::selector::RangeSource;
use super::windows::Windows;
use super::{Context, eval_scalar, neighbours, over_time, rate, regression};
use crate::ast::{Call, Expr, Extend, Span, ValueType};
use crate::by_series::selector_of;
use crate::engine::Error;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::plan::Grid;
use crate::source::Samples;

/// The samples of a series in a range, and the range.
pub(super) struct Window<'a> {
    pub(super) times: &'a [i64],
    pub(super) floats: &'a [f64],
    /// How many samples each float is the sum of; none where each is one.
    pub(super) counts: &'a [f64],
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
        "irate" => neighbours::irate,
        "idelta" => neighbours::idelta,
        "changes" => neighbours::changes,
        "resets" => neighbours::resets,
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
    let mut rows = Vec::new();
    each(context, call, grid, &mut |row| {
        rows.push(row.kept());
        context.check_size(rows.len(), grid)
    })?;
    context.settle(rows)
}

/// Evaluates the same, one series after the other.
pub(super) fn each(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    emit: &mut dyn FnMut(Passing<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if let Some(rows) = known(context, call) {
        return rows.iter().try_for_each(|row| {
            emit(Passing {
                labels: &row.labels,
                drop_name: row.drop_name,
                column: row.column.clone(),
            })
        });
    }
    let name = call.function.name;
    let Some(function) = find(name) else {
        return Err(Error::Execution(format!(
            "function {name} is not supported"
        )));
    };
    let (range, params) = arguments(context, call, grid)?;
    let source = RangeSource::new(context, range, grid)?;
    check_extend(name, source.extend)?;
    let keeps_name = matches!(name, "last_over_time" | "first_over_time");
    let is_rate = matches!(name, "rate" | "increase");
    let kind = rate::Kind::find(name).filter(|_| source.extend == Extend::No);
    let mut windows = Windows::new(&source, grid, context.options.lookback_ms);
    let mut suspects = Suspects::default();
    for series in &source.series {
        context.limits.check()?;
        let env = Env {
            context,
            span: call.args[0].inner_span(),
            metric: series.labels.metric_name(),
            params: &[],
            range_ms: source.range_ms,
            extend: source.extend,
        };
        let samples = series.samples_in(&mut windows);
        context.counter.ranges(&mut windows, &samples);
        let fast = match kind {
            Some(kind) if samples.histogram_times.is_empty() => {
                let column = rate::of_floats(kind, &mut windows, &samples, source.range_ms);
                Some(column)
            }
            Some(kind) if samples.times.is_empty() => {
                let times = (source.range_ms, grid.count);
                rate::of_histograms(kind, &windows, &samples, times)
            }
            _ => None,
        };
        let column = match fast {
            Some(column) => column,
            None => slide(&env, &mut windows, &samples, (function, &params), grid)?,
        };
        if !column.has_any() {
            continue;
        }
        if is_rate && column.has_floats() {
            suspects.look_at(&env, &series.labels);
        }
        emit(Passing {
            labels: &series.labels,
            drop_name: series.drop_name || !keeps_name,
            column,
        })?;
    }
    Ok(())
}

/// The rows of a call, where they were made of its series before.
fn known<'a>(context: &Context<'a>, call: &Call) -> Option<&'a Rows> {
    let known = context.known?;
    let selector = selector_of(call, context.options.delayed_name_removal)?;
    known.get(&selector.id)
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
    windows: &mut Windows,
    samples: &Samples,
    (function, params): (RangeFunction, &[Vec<f64>]),
    grid: Grid,
) -> Result<Column, Error> {
    let mut column = Column::absent(grid.count);
    let mut work = 0;
    let mut step_params = vec![0.0; params.len()];
    let mut histograms = (0, 0);
    windows.bounds(&samples.times);
    for (index, eval_ms) in grid.times().enumerate() {
        let floats = windows.bounds(&samples.times)[index];
        if !samples.histogram_times.is_empty() {
            histograms = windows.next(&samples.histogram_times, histograms, index);
        }
        if floats.0 == floats.1 && histograms.0 == histograms.1 {
            continue;
        }
        for (value, values) in step_params.iter_mut().zip(params) {
            *value = values[index];
        }
        let (start_ms, end_ms) = windows.range(index);
        let window = Window {
            times: &samples.times[floats.0..floats.1],
            floats: &samples.floats[floats.0..floats.1],
            counts: samples.counts.get(floats.0..floats.1).unwrap_or_default(),
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

/// Series that are probably no counters, though a function of counters is applied to them.
#[derive(Default)]
struct Suspects {
    /// The name and type that were noted last; series of one metric follow each other.
    noted: Option<(String, String)>,
}

impl Suspects {
    /// A counter says so in its type, if it has one, or else ends in a known suffix.
    fn look_at(&mut self, env: &Env<'_>, labels: &Labels) {
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        let kind = labels.value("__type__");
        let is_counter = match kind {
            "" => suffixes.iter().any(|suffix| env.metric.ends_with(suffix)),
            _ => matches!(kind, "counter" | "histogram"),
        };
        let same = |(metric, noted): &(String, String)| metric == env.metric && noted == kind;
        if env.metric.is_empty() || is_counter || self.noted.as_ref().is_some_and(same) {
            return;
        }
        let mut note = env.context.note();
        if kind.is_empty() {
            note.possible_non_counter(env.metric, env.span);
        } else {
            note.not_typed_as_counter(env.metric, kind, env.span);
        }
        self.noted = Some((env.metric.to_owned(), kind.to_owned()));
    }
}
