//! Grouping, and the aggregations that need all values of a group at once, or make a series of each
//! value: stddev, stdvar, quantile and count_values.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::column::{Column, Row, Rows};
use super::sums::quantile;
use super::{Cell, Context, eval_rows, eval_scalar, string_literal};
use crate::ast::{Aggregate, AggregateOp, Span};
use crate::compensated::Compensated;
use crate::engine::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::plan::Grid;

/// Finds the groups that series belong to. Labels are only put together for a new group.
pub(super) struct Grouping<'a> {
    operation: &'a Aggregate,
    /// The labels of the groups, in the order of their first series.
    pub(super) labels: Vec<Labels>,
    by_hash: FxHashMap<u64, usize>,
}

impl<'a> Grouping<'a> {
    pub(super) fn new(operation: &'a Aggregate) -> Self {
        Self {
            operation,
            labels: Vec::new(),
            by_hash: FxHashMap::default(),
        }
    }

    /// The number of the group of a series; the next one where it is the first of its group.
    pub(super) fn position(&mut self, labels: &Labels) -> usize {
        let mut hasher = FxHasher::default();
        if self.operation.without {
            self.kept(labels).for_each(|pair| pair.hash(&mut hasher));
        } else {
            // Finding few labels takes less than looking at all.
            let names = self.operation.grouping.iter();
            names.for_each(|name| labels.get(name).hash(&mut hasher));
        }
        let mut hash = hasher.finish();
        loop {
            match self.by_hash.get(&hash) {
                Some(&position) if self.is_of(position, labels) => return position,
                // Another group with the same hash: the next one is tried.
                Some(_) => hash = hash.wrapping_add(1),
                None => break,
            }
        }
        let position = self.labels.len();
        self.labels.push(group_labels(labels, self.operation));
        self.by_hash.insert(hash, position);
        position
    }

    fn kept<'l>(&self, labels: &'l Labels) -> impl Iterator<Item = (&'l str, &'l str)> {
        let operation = self.operation;
        labels
            .iter()
            .filter(move |(name, _)| keeps(operation, name))
    }

    /// Whether a series belongs to a group.
    fn is_of(&self, position: usize, labels: &Labels) -> bool {
        let group = &self.labels[position];
        if self.operation.without {
            return group.iter().eq(self.kept(labels));
        }
        let mut names = self.operation.grouping.iter();
        names.all(|name| group.get(name) == labels.get(name))
    }
}

fn keeps(operation: &Aggregate, name: &str) -> bool {
    let named = operation.grouping.iter().any(|label| label == name);
    if operation.without {
        name != METRIC_NAME && !named
    } else {
        named
    }
}

/// The labels of the group that a series belongs to.
fn group_labels(labels: &Labels, operation: &Aggregate) -> Labels {
    labels.filter(|name| keeps(operation, name))
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
    let mut grouping = Grouping::new(operation);
    let mut groups: Vec<Group> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let position = grouping.position(&row.labels);
        if position == groups.len() {
            groups.push(Group {
                labels: grouping.labels[position].clone(),
                drop_name: false,
                members: Vec::new(),
            });
        }
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
            note_invalid(context, &values, param.inner_span());
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
        let span = operation.expr.inner_span();
        let fold = Fold {
            context,
            span,
            op: operation.op,
            members: &members,
        };
        let column = fold.column(grid.count, &params)?;
        result.extend(group.rows(&rows, column).filter(|row| row.column.has_any()));
    }
    Ok(result)
}

/// Warns of what is no quantile: of a series of them, about the worst on each side.
fn note_invalid(context: &Context<'_>, quantiles: &[f64], span: Span) {
    let mut note = context.note();
    if quantiles.iter().any(|q| q.is_nan()) {
        note.invalid_quantile(f64::NAN, span);
    }
    let most = quantiles.iter().copied().fold(f64::MIN, f64::max);
    let least = quantiles.iter().copied().fold(f64::MAX, f64::min);
    if most > 1.0 {
        note.invalid_quantile(most, span);
    }
    if least < 0.0 {
        note.invalid_quantile(least, span);
    }
}

/// The aggregation of the numbers of one group.
struct Fold<'a> {
    context: &'a Context<'a>,
    span: Span,
    op: AggregateOp,
    members: &'a [&'a Column],
}

impl Fold<'_> {
    fn column(&self, count: usize, params: &[f64]) -> Result<Column, Error> {
        let mut column = Column::absent(count);
        let mut floats = Vec::with_capacity(self.members.len());
        for index in 0..count {
            self.context.check_step(index)?;
            floats.clear();
            for member in self.members {
                match member.get(index) {
                    Cell::Absent => {}
                    Cell::Float(value) => floats.push(value),
                    Cell::Histogram(_) => {
                        let mut note = self.context.note();
                        note.ignored_in_aggregation(self.op.name(), self.span);
                    }
                }
            }
            if floats.is_empty() {
                continue;
            }
            let value = match self.op {
                AggregateOp::Stddev => variance(&floats).sqrt(),
                AggregateOp::Stdvar => variance(&floats),
                _ => quantile(params.get(index).copied().unwrap_or(f64::NAN), &mut floats),
            };
            column.set_float(index, value);
        }
        Ok(column)
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
        // Of what is grouped without this label the values are one.
        let is_kept = !operation.without || keeps(operation, label);
        for (index, cell) in row.column.cells().enumerate() {
            let value = match cell {
                Cell::Absent => continue,
                Cell::Float(value) => crate::format::value(value),
                Cell::Histogram(histogram) => histogram.to_string(),
            };
            let labels = if is_kept {
                group.with(label, &value)
            } else {
                group.clone()
            };
            let position = *by_labels.entry(labels.clone()).or_insert_with(|| {
                let column = Column::absent(grid.count);
                result.push(Row {
                    labels,
                    // A value that becomes the name is no name to be dropped.
                    drop_name: row.drop_name && label != METRIC_NAME,
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
