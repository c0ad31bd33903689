//! Aggregations that make one series of each group: sum, avg, min, max, count, group, stddev,
//! stdvar, quantile and count_values.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::column::{Column, OwnedCell, Row, Rows};
use super::sums::{Compensated, HistogramSum, Mean, quantile};
use super::{Cell, Context, eval_rows, eval_scalar, string_literal};
use crate::ast::{Aggregate, AggregateOp, Span};
use crate::engine::Error;
use crate::histogram::FloatHistogram;
use crate::labels::{Labels, METRIC_NAME};
use crate::plan::Grid;

/// The labels of the group that a series belongs to.
pub(super) fn group_labels(labels: &Labels, operation: &Aggregate) -> Labels {
    let named = |name: &str| operation.grouping.iter().any(|label| label == name);
    if operation.without {
        labels.filter(|name| name != METRIC_NAME && !named(name))
    } else if operation.grouping.is_empty() {
        Labels::empty()
    } else {
        labels.filter(named)
    }
}

/// A group: its labels, whether its name is to be dropped, and the rows that belong to it.
pub(super) struct Group {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) members: Vec<usize>,
}

impl Group {
    /// The row of the group, or two where its name is to be dropped only at some steps: at those
    /// where a member that loses its name has a value.
    fn rows(&self, rows: &Rows, column: Column) -> impl Iterator<Item = Row> + use<> {
        let row = |drop_name, column| Row {
            labels: self.labels.clone(),
            drop_name,
            column,
        };
        let members = || self.members.iter().map(|&index| &rows[index]);
        if members().all(|member| member.drop_name == self.drop_name) {
            return vec![row(self.drop_name, column)].into_iter();
        }
        let (mut kept, mut dropped) = (column.clone(), column);
        for index in 0..kept.len() {
            let drops = |member: &Row| member.drop_name && member.column.get(index).is_present();
            if members().any(drops) {
                kept.clear(index);
            } else {
                dropped.clear(index);
            }
        }
        vec![row(false, kept), row(true, dropped)].into_iter()
    }
}

/// Groups in the order of their first series.
pub(super) fn groups(rows: &Rows, operation: &Aggregate) -> Vec<Group> {
    let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let labels = group_labels(&row.labels, operation);
        let position = *by_labels.entry(labels.clone()).or_insert_with(|| {
            groups.push(Group {
                labels,
                drop_name: false,
                members: Vec::new(),
            });
            groups.len() - 1
        });
        groups[position].members.push(index);
        groups[position].drop_name |= row.drop_name;
    }
    groups
}

pub(super) fn eval(
    context: &Context<'_>,
    operation: &Aggregate,
    grid: Grid,
) -> Result<Rows, Error> {
    let params = match &operation.param {
        Some(param) if operation.op == AggregateOp::Quantile => {
            let values = eval_scalar(context, param, grid)?;
            let invalid = values.iter().filter(|q| !(0.0..=1.0).contains(*q));
            invalid.for_each(|q| context.note().invalid_quantile(*q, param.span));
            values
        }
        _ => Vec::new(),
    };
    if operation.op == AggregateOp::CountValues {
        return count_values(context, operation, grid);
    }
    let rows = eval_rows(context, &operation.expr, grid)?;
    let groups = groups(&rows, operation);
    context.check_size(groups.len(), grid)?;
    let mut result = Vec::with_capacity(groups.len());
    for group in groups {
        context.limits.check()?;
        let members: Vec<&Column> = group
            .members
            .iter()
            .map(|&index| &rows[index].column)
            .collect();
        let metric = rows[group.members[0]].labels.metric_name();
        let span = operation.expr.span;
        let fold = Fold {
            context,
            span,
            op: operation.op,
            metric,
            members: &members,
        };
        let column = fold.column(grid.count, &params)?;
        result.extend(group.rows(&rows, column).filter(|row| row.column.has_any()));
    }
    Ok(result)
}

/// The aggregation of one group.
struct Fold<'a> {
    context: &'a Context<'a>,
    span: Span,
    op: AggregateOp,
    /// Metric name of the first member.
    metric: &'a str,
    members: &'a [&'a Column],
}

impl Fold<'_> {
    fn column(&self, count: usize, params: &[f64]) -> Result<Column, Error> {
        let has_histograms = self.members.iter().any(|member| member.has_histograms());
        if !has_histograms && let Some(column) = self.running(count)? {
            return Ok(column);
        }
        let mut column = Column::absent(count);
        let mut floats = Vec::with_capacity(self.members.len());
        let mut histograms: Vec<&Arc<FloatHistogram>> = Vec::new();
        for index in 0..count {
            self.context.check_step(index)?;
            floats.clear();
            if has_histograms {
                histograms.clear();
                for member in self.members {
                    match member.get(index) {
                        Cell::Absent => {}
                        Cell::Float(value) => floats.push(value),
                        Cell::Histogram(histogram) => histograms.push(histogram),
                    }
                }
            } else {
                floats.extend(self.members.iter().filter_map(|member| member.float(index)));
            }
            if floats.is_empty() && histograms.is_empty() {
                continue;
            }
            let param = params.get(index).copied().unwrap_or(0.0);
            if let Some(cell) = self.step(&mut floats, &histograms, param) {
                column.set(index, cell);
            }
        }
        Ok(column)
    }

    /// The aggregation of floats alone, for operators that need no more of each step than a
    /// running value: series by series, in the order in which the columns lie in memory.
    fn running(&self, count: usize) -> Result<Option<Column>, Error> {
        let wins = |smaller: bool| {
            move |best: &mut f64, value: f64| {
                let better = if smaller {
                    value < *best
                } else {
                    value > *best
                };
                if better || best.is_nan() {
                    *best = value;
                }
            }
        };
        let column = match self.op {
            AggregateOp::Sum => {
                self.accumulate(count, Compensated::default(), Compensated::add, |sum| {
                    sum.total()
                })
            }
            AggregateOp::Avg => {
                self.accumulate(count, Mean::default(), Mean::add, |mean| mean.value())
            }
            AggregateOp::Count => self.accumulate(count, 0.0, |n, _| *n += 1.0, |n| n),
            AggregateOp::Group => self.accumulate(count, 1.0, |_, _| {}, |one| one),
            AggregateOp::Min => self.accumulate(count, f64::NAN, wins(true), |best| best),
            AggregateOp::Max => self.accumulate(count, f64::NAN, wins(false), |best| best),
            _ => return Ok(None),
        };
        column.map(Some)
    }

    fn accumulate<A: Copy>(
        &self,
        count: usize,
        start: A,
        add: impl Fn(&mut A, f64),
        value: impl Fn(A) -> f64,
    ) -> Result<Column, Error> {
        let mut running = vec![start; count];
        let mut seen = vec![false; count];
        for member in self.members {
            self.context.limits.check()?;
            for (index, (running, seen)) in running.iter_mut().zip(&mut seen).enumerate() {
                if let Some(value) = member.float(index) {
                    add(running, value);
                    *seen = true;
                }
            }
        }
        let mut column = Column::absent(count);
        for (index, _) in seen.into_iter().enumerate().filter(|(_, seen)| *seen) {
            column.set_float(index, value(running[index]));
        }
        Ok(column)
    }

    fn step(
        &self,
        floats: &mut [f64],
        histograms: &[&Arc<FloatHistogram>],
        param: f64,
    ) -> Option<OwnedCell> {
        let count = floats.len() + histograms.len();
        match self.op {
            AggregateOp::Sum | AggregateOp::Avg => return self.sum(floats, histograms),
            #[allow(clippy::cast_precision_loss)]
            AggregateOp::Count => return Some(OwnedCell::Float(count as f64)),
            AggregateOp::Group => return Some(OwnedCell::Float(1.0)),
            _ => {}
        }
        if !histograms.is_empty() {
            self.context
                .note()
                .ignored_in_aggregation(self.op.name(), self.span);
        }
        if floats.is_empty() {
            return None;
        }
        let extreme = |wins: fn(f64, f64) -> bool| {
            floats.iter().copied().reduce(|best, value| {
                if wins(value, best) || best.is_nan() {
                    value
                } else {
                    best
                }
            })
        };
        let value = match self.op {
            AggregateOp::Min => extreme(|value, best| value < best)?,
            AggregateOp::Max => extreme(|value, best| value > best)?,
            AggregateOp::Stddev => variance(floats).sqrt(),
            AggregateOp::Stdvar => variance(floats),
            AggregateOp::Quantile => quantile(param, floats),
            _ => return None,
        };
        Some(OwnedCell::Float(value))
    }

    fn sum(&self, floats: &[f64], histograms: &[&Arc<FloatHistogram>]) -> Option<OwnedCell> {
        let average = self.op == AggregateOp::Avg;
        if histograms.is_empty() {
            let value = if average {
                let mut mean = Mean::default();
                floats.iter().for_each(|value| mean.add(*value));
                mean.value()
            } else {
                let mut sum = Compensated::default();
                floats.iter().for_each(|value| sum.add(*value));
                sum.total()
            };
            return Some(OwnedCell::Float(value));
        }
        if !floats.is_empty() {
            self.context.note().mixed_in_aggregation(self.span);
            return None;
        }
        let mut sum = HistogramSum::new(average);
        for histogram in histograms {
            if sum.add(histogram).is_err() {
                self.context.note().mixed_schemas(self.metric, self.span);
                return None;
            }
        }
        sum.note(&mut self.context.note(), self.span);
        sum.value()
            .map(|histogram| OwnedCell::Histogram(Arc::new(histogram)))
    }
}

/// The population variance; not a number where any value is not finite.
#[allow(clippy::cast_precision_loss)]
fn variance(values: &[f64]) -> f64 {
    if values.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    let (mut mean, mut squares) = (Compensated::default(), Compensated::default());
    for (index, value) in values.iter().enumerate() {
        let delta = value - mean.sum_and_rest();
        mean.add(delta / (index + 1) as f64);
        squares.add(delta * (value - mean.sum_and_rest()));
    }
    squares.sum_and_rest() / values.len() as f64
}

/// One series for each value in a group, the value as a label.
fn count_values(context: &Context<'_>, operation: &Aggregate, grid: Grid) -> Result<Rows, Error> {
    let Some(param) = &operation.param else {
        return Err(Error::Execution(
            "count_values needs a label name".to_owned(),
        ));
    };
    let literal = string_literal(param)?;
    let label = &literal.value;
    if label.is_empty() || literal.invalid.is_some() {
        let bytes = literal.invalid.as_deref().unwrap_or(label.as_bytes());
        let quoted = crate::format::quote_bytes(bytes);
        return Err(Error::Execution(format!("invalid label name {quoted}")));
    }
    let rows = eval_rows(context, &operation.expr, grid)?;
    let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut result: Rows = Vec::new();
    for row in &rows {
        context.limits.check()?;
        let group = group_labels(&row.labels, operation);
        for (index, cell) in row.column.cells().enumerate() {
            let value = match cell {
                Cell::Absent => continue,
                Cell::Float(value) => crate::format::value(value),
                Cell::Histogram(histogram) => histogram.to_string(),
            };
            let labels = group.with(label, &value);
            let position = *by_labels.entry(labels.clone()).or_insert_with(|| {
                let column = Column::absent(grid.count);
                result.push(Row {
                    labels,
                    drop_name: row.drop_name,
                    column,
                });
                result.len() - 1
            });
            let column = &mut result[position].column;
            let count = column.float(index).unwrap_or(0.0);
            column.set_float(index, count + 1.0);
        }
        context.check_size(result.len(), grid)?;
    }
    Ok(result)
}
