//! Aggregations that choose among the series of each group: topk, bottomk, limitk, limit_ratio.

use std::cmp::Ordering;

use super::aggregate::groups;
use super::column::{Column, Row, Rows};
use super::{Cell, Context, eval_rows, eval_scalar};
use crate::ast::{Aggregate, AggregateOp, Span};
use crate::engine::Error;
use crate::plan::Grid;

pub(super) fn eval(
    context: &Context<'_>,
    operation: &Aggregate,
    span: Span,
    grid: Grid,
) -> Result<Rows, Error> {
    let Some(param) = &operation.param else {
        return Err(Error::Execution(format!(
            "{} needs a parameter",
            operation.op.name()
        )));
    };
    let params = eval_scalar(context, param, grid)?;
    check_params(context, operation, &params, param.inner_span())?;
    let rows = eval_rows(context, &operation.expr, grid)?;
    if operation.op != AggregateOp::LimitRatio && params.iter().all(|param| *param < 1.0) {
        return Ok(Rows::new());
    }
    // The columns of what is chosen; most series may never be.
    let mut chosen: Vec<Option<Column>> = vec![None; rows.len()];
    let ignores_histograms = matches!(operation.op, AggregateOp::Topk | AggregateOp::Bottomk);
    // In an instant query the order of the answer is that of the values.
    let mut order: Vec<usize> = Vec::new();
    for group in groups(&rows, operation) {
        context.limits.check()?;
        for (index, param) in params.iter().enumerate() {
            context.check_step(index)?;
            let present = group.members.iter().copied().filter(|&member| {
                match rows[member].column.get(index) {
                    Cell::Absent => false,
                    Cell::Histogram(_) if ignores_histograms => {
                        let name = operation.op.name();
                        context.note().ignored_in_aggregation(name, span);
                        false
                    }
                    Cell::Histogram(_) | Cell::Float(_) => true,
                }
            });
            let kept = keep(operation.op, *param, present.collect(), &rows, index);
            for &member in &kept {
                if let Some(cell) = rows[member].column.get(index).to_owned() {
                    let absent = || Column::absent(grid.count);
                    let column = chosen[member].get_or_insert_with(absent);
                    column.set(index, cell);
                }
            }
            if !context.is_range && grid.count == 1 {
                order.extend(kept);
            }
        }
    }
    if context.is_range || grid.count != 1 {
        order = (0..rows.len()).collect();
    }
    let row = |member: usize| {
        Some(Row {
            labels: rows[member].labels.clone(),
            drop_name: rows[member].drop_name,
            column: chosen[member].take()?,
        })
    };
    Ok(order.into_iter().filter_map(row).collect())
}

fn check_params(
    context: &Context<'_>,
    operation: &Aggregate,
    params: &[f64],
    span: Span,
) -> Result<(), Error> {
    let is_ratio = operation.op == AggregateOp::LimitRatio;
    if params.iter().any(|value| value.is_nan()) {
        let what = if is_ratio { "Ratio" } else { "Parameter" };
        return Err(Error::Execution(format!("{what} value is NaN")));
    }
    let most = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = params.iter().copied().fold(f64::INFINITY, f64::min);
    // Where no step keeps anything it does not matter how much less than one is asked for.
    if !is_ratio && most >= 1.0 {
        let fails = |value: f64, what: &str| {
            let text = crate::format::general(value);
            Err(Error::Execution(format!(
                "Scalar value {text} {what} int64"
            )))
        };
        if least <= -9_223_372_036_854_775_808.0 {
            return fails(least, "underflows");
        }
        if most >= 9_223_372_036_854_775_807.0 {
            return fails(most, "overflows");
        }
    }
    if is_ratio {
        // Of a series of ratios, the worst on each side.
        for (value, bound) in [(most, 1.0), (least, -1.0)] {
            if (value > 1.0 && bound > 0.0) || (value < -1.0 && bound < 0.0) {
                context.note().invalid_ratio(value, bound, span);
            }
        }
    }
    Ok(())
}

/// Which of the members present at a step are kept, in the order of the answer.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn keep(
    op: AggregateOp,
    param: f64,
    mut present: Vec<usize>,
    rows: &Rows,
    index: usize,
) -> Vec<usize> {
    let value = |member: usize| rows[member].column.float(index).unwrap_or(f64::NAN);
    let limit = if param < 1.0 { 0 } else { param as usize };
    match op {
        AggregateOp::Topk | AggregateOp::Bottomk => {
            let descending = op == AggregateOp::Topk;
            // Of equal values the first in order are kept, and numbers before what is none.
            let order = |a: &usize, b: &usize| {
                let (x, y) = (value(*a), value(*b));
                let order = match (x.is_nan(), y.is_nan()) {
                    (false, false) if descending => y.partial_cmp(&x),
                    (false, false) => x.partial_cmp(&y),
                    (x, y) => Some(x.cmp(&y)),
                };
                order.unwrap_or(Ordering::Equal).then(a.cmp(b))
            };
            if 0 < limit && limit < present.len() {
                present.select_nth_unstable_by(limit, order);
                present.truncate(limit);
            }
            present.sort_unstable_by(order);
        }
        AggregateOp::LimitRatio => {
            present.retain(|member| in_sample(rows[*member].labels.stable_hash(), param));
            return present;
        }
        _ => {}
    }
    present.truncate(limit);
    present
}

/// Whether a series is in the share that a ratio asks for. A negative ratio asks for the
/// complement of what the positive rest would give.
#[allow(clippy::cast_precision_loss)]
fn in_sample(hash: u64, ratio: f64) -> bool {
    let offset = hash as f64 / u64::MAX as f64;
    if ratio >= 0.0 {
        offset < ratio
    } else {
        offset >= 1.0 + ratio
    }
}
