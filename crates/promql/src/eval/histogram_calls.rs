//! Functions of histograms, native and classic.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::column::{Column, Row, Rows};
use super::{Cell, Context, eval_rows, eval_scalar, string_literal};
use crate::ast::{Call, Span};
use crate::compensated::Compensated;
use crate::engine::Error;
use crate::histogram::{
    Bucket, FloatHistogram, Missing, bucket_fraction, bucket_quantile, histogram_fraction,
    histogram_quantile,
};
use crate::labels::{BUCKET_LABEL, Labels};
use crate::plan::Grid;

pub(super) fn eval(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    match call.function.name {
        "histogram_count" => values(context, call, grid, |h| h.count),
        "histogram_sum" => values(context, call, grid, |h| h.sum),
        "histogram_avg" => values(context, call, grid, |h| h.sum / h.count),
        "histogram_stdvar" => values(context, call, grid, variance),
        "histogram_stddev" => values(context, call, grid, |h| variance(h).sqrt()),
        "histogram_quantile" => quantile(context, call, grid),
        "histogram_quantiles" => quantiles(context, call, grid),
        "histogram_fraction" => fraction(context, call, grid),
        name => Err(Error::Execution(format!(
            "function {name} is not supported"
        ))),
    }
}

/// A number from each native histogram; floats are left out.
fn values(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    value: impl Fn(&FloatHistogram) -> f64,
) -> Result<Rows, Error> {
    let mut result = Vec::new();
    for row in eval_rows(context, &call.args[0], grid)? {
        let mut column = Column::absent(grid.count);
        for (index, cell) in row.column.cells().enumerate() {
            if let Cell::Histogram(histogram) = cell {
                column.set_float(index, value(histogram));
            }
        }
        if column.has_any() {
            result.push(Row {
                labels: row.labels,
                drop_name: true,
                column,
            });
        }
    }
    context.settle(result)
}

/// The estimated variance: each bucket's observations are taken to be at its middle, which is the
/// geometric one for exponential buckets.
fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut sum = Compensated::default();
    for range in histogram.buckets() {
        let value = if histogram.is_custom() {
            f64::midpoint(range.lower, range.upper)
        } else if range.lower <= 0.0 && range.upper >= 0.0 {
            0.0
        } else {
            (range.lower * range.upper).sqrt().copysign(range.upper)
        };
        let delta = value - mean;
        sum.add(range.count * delta * delta);
    }
    sum.sum_and_rest() / histogram.count
}

/// A classic histogram: its labels without `le`, and the bounds and rows of its buckets.
struct Classic {
    labels: Labels,
    buckets: Vec<(f64, usize)>,
}

/// The histograms of a vector: native ones as they are, classic ones put together from buckets.
struct Histograms<'a> {
    context: &'a Context<'a>,
    span: Span,
    grid: Grid,
    rows: &'a Rows,
    classic: Vec<Classic>,
    /// The classic histogram with the labels of a native one.
    conflicts: FxHashMap<usize, usize>,
}

impl<'a> Histograms<'a> {
    fn new(context: &'a Context<'a>, rows: &'a Rows, span: Span, grid: Grid) -> Self {
        let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut classic: Vec<Classic> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            if row
                .column
                .cells()
                .all(|cell| !matches!(cell, Cell::Float(_)))
            {
                continue;
            }
            let bound = row.labels.value(BUCKET_LABEL);
            let Ok(upper) = bound.parse::<f64>() else {
                context
                    .note()
                    .bad_bucket_label(row.labels.metric_name(), bound, span);
                continue;
            };
            let labels = row.labels.with(BUCKET_LABEL, "");
            let position = *by_labels.entry(labels.clone()).or_insert_with(|| {
                classic.push(Classic {
                    labels,
                    buckets: Vec::new(),
                });
                classic.len() - 1
            });
            classic[position].buckets.push((upper, index));
        }
        let conflict = |(index, row): (usize, &Row)| {
            by_labels
                .get(&row.labels)
                .map(|position| (index, *position))
        };
        let native = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.column.has_histograms());
        let conflicts = native.filter_map(conflict).collect();
        Self {
            context,
            span,
            grid,
            rows,
            classic,
            conflicts,
        }
    }

    /// Applies a function to every histogram at every step.
    fn rows(
        &self,
        native: impl Fn(usize, &Labels, &Arc<FloatHistogram>) -> f64,
        classic: impl Fn(usize, &Labels, &mut Vec<Bucket>) -> f64,
    ) -> Result<Rows, Error> {
        let mut result = Vec::new();
        let mut hidden: FxHashSet<(usize, usize)> = FxHashSet::default();
        for (position, row) in self.rows.iter().enumerate() {
            if !row.column.has_histograms() {
                continue;
            }
            self.context.limits.check()?;
            let mut column = Column::absent(self.grid.count);
            for (index, cell) in row.column.cells().enumerate() {
                let Cell::Histogram(histogram) = cell else {
                    continue;
                };
                if let Some(group) = self.conflict(position, index) {
                    let metric = row.labels.metric_name();
                    self.context.note().mixed_classic_native(metric, self.span);
                    hidden.insert((group, index));
                    continue;
                }
                column.set_float(index, native(index, &row.labels, histogram));
            }
            if column.has_any() {
                result.push(Row {
                    labels: row.labels.clone(),
                    drop_name: true,
                    column,
                });
            }
        }
        for (
            group,
            Classic {
                labels,
                buckets: members,
            },
        ) in self.classic.iter().enumerate()
        {
            self.context.limits.check()?;
            let mut column = Column::absent(self.grid.count);
            let mut buckets = Vec::with_capacity(members.len());
            for index in 0..self.grid.count {
                buckets.clear();
                buckets.extend(members.iter().filter_map(|&(upper, row)| {
                    let count = self.rows[row].column.float(index)?;
                    Some(Bucket { upper, count })
                }));
                if !buckets.is_empty() && !hidden.contains(&(group, index)) {
                    column.set_float(index, classic(index, labels, &mut buckets));
                }
            }
            if column.has_any() {
                result.push(Row {
                    labels: labels.clone(),
                    drop_name: true,
                    column,
                });
            }
        }
        Ok(result)
    }

    /// The classic histogram that has the same labels as a native one and buckets at a step.
    fn conflict(&self, native: usize, index: usize) -> Option<usize> {
        let group = *self.conflicts.get(&native)?;
        let has = |&(_, row): &(f64, usize)| self.rows[row].column.float(index).is_some();
        self.classic[group].buckets.iter().any(has).then_some(group)
    }

    /// Notes about NaN are about one place, notes about counts that do not rise about another one.
    fn quantile_rows(&self, q: &[f64], (nan, forced_at): (Span, Span)) -> Result<Rows, Error> {
        self.rows(
            |index, labels, histogram| {
                let (value, missing) = histogram_quantile(q[index], histogram);
                if let Some(missing) = missing {
                    let skewed = missing == Missing::Skew;
                    let mut note = self.context.note();
                    note.nan_quantile(labels.metric_name(), skewed, nan);
                }
                value
            },
            |index, labels, buckets| {
                let quantile = bucket_quantile(q[index], buckets);
                if let Some(forced) = quantile.forced {
                    let mut note = self.context.note();
                    let time_ms = self.grid.time(index);
                    note.forced_monotonicity(labels.metric_name(), forced, time_ms, forced_at);
                }
                quantile.value
            },
        )
    }
}

fn note_invalid(context: &Context<'_>, q: &[f64], span: Span) {
    for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        context.note().invalid_quantile(*q, span);
    }
}

fn quantile(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let q = eval_scalar(context, &call.args[0], grid)?;
    note_invalid(context, &q, call.args[0].inner_span());
    let rows = eval_rows(context, &call.args[1], grid)?;
    let spans = (call.args[0].inner_span(), call.args[1].inner_span());
    let histograms = Histograms::new(context, &rows, spans.1, grid);
    context.settle(histograms.quantile_rows(&q, spans)?)
}

fn quantiles(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let rows = eval_rows(context, &call.args[0], grid)?;
    let label = string_literal(&call.args[1])?;
    if label.value.is_empty() || label.invalid.is_some() {
        let message = format!(
            "invalid label name in histogram_quantiles(): {}",
            label.value
        );
        return Err(Error::Execution(message));
    }
    let histograms = Histograms::new(context, &rows, call.args[0].inner_span(), grid);
    // The quantile may differ from step to step, and with it the label.
    let mut result: Rows = Vec::new();
    for arg in &call.args[2..] {
        let q = eval_scalar(context, arg, grid)?;
        note_invalid(context, &q, arg.inner_span());
        let spans = (call.args[0].inner_span(), call.args[1].inner_span());
        let base = histograms.quantile_rows(&q, spans)?;
        let mut distinct = q.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup_by(|a, b| a.to_bits() == b.to_bits());
        for value in distinct {
            for row in &base {
                let mut row = row.clone();
                for (index, q) in q.iter().enumerate() {
                    if q.to_bits() != value.to_bits() {
                        row.column.clear(index);
                    }
                }
                row.labels = row.labels.with(&label.value, &quantile_label(value));
                if row.column.has_any() {
                    result.push(row);
                }
            }
            context.check_size(result.len(), grid)?;
        }
    }
    context.settle(super::column::merge(result)?)
}

/// A quantile as a label value: always with a decimal point or an exponent.
fn quantile_label(q: f64) -> String {
    let text = crate::format::general(q);
    if text.contains(['.', 'e', 'N', 'I']) {
        text
    } else {
        format!("{text}.0")
    }
}

fn fraction(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let lower = eval_scalar(context, &call.args[0], grid)?;
    let upper = eval_scalar(context, &call.args[1], grid)?;
    let rows = eval_rows(context, &call.args[2], grid)?;
    let histograms = Histograms::new(context, &rows, call.args[2].inner_span(), grid);
    let result = histograms.rows(
        |index, labels, histogram| {
            let (value, missing) = histogram_fraction(lower[index], upper[index], histogram);
            if missing {
                let mut note = context.note();
                note.nan_fraction(labels.metric_name(), call.args[0].inner_span());
            }
            value
        },
        |index, _, buckets| bucket_fraction(lower[index], upper[index], buckets),
    )?;
    context.settle(result)
}
