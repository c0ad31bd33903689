//! `absent` and `absent_over_time`: a one where there is nothing.

use std::collections::BTreeMap;

use super::column::{Column, Row, Rows};
use super::selector::{RangeSource, advance};
use super::windows::Windows;
use super::{Context, eval_rows};
use crate::ast::{Expr, ExprKind, Selector};
use crate::engine::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::MatchOp;
use crate::plan::Grid;

pub(super) fn absent(context: &Context<'_>, arg: &Expr, grid: Grid) -> Result<Rows, Error> {
    let rows = eval_rows(context, arg, grid)?;
    let mut present = vec![false; grid.count];
    for row in &rows {
        context.limits.check()?;
        for (present, cell) in present.iter_mut().zip(row.column.cells()) {
            *present |= cell.is_present();
        }
    }
    Ok(ones(arg, present.into_iter().map(|present| !present)))
}

pub(super) fn absent_over_time(
    context: &Context<'_>,
    arg: &Expr,
    grid: Grid,
) -> Result<Rows, Error> {
    let source = RangeSource::new(context, arg, grid)?;
    let mut windows = Windows::new(&source, grid, context.options.lookback_ms);
    let mut present = vec![false; grid.count];
    for series in &source.series {
        context.limits.check()?;
        let samples = series.samples();
        context.counter.ranges(&mut windows, &samples);
        for (index, time_ms) in grid.times().enumerate() {
            let end_ms = source.fixed_ms.unwrap_or(time_ms) - source.offset_ms;
            let inside = |times: &[i64]| {
                advance(times, 0, end_ms) > advance(times, 0, end_ms - source.range_ms)
            };
            present[index] =
                present[index] || inside(&samples.times) || inside(&samples.histogram_times);
        }
    }
    Ok(ones(arg, present.into_iter().map(|present| !present)))
}

fn ones(arg: &Expr, absent: impl Iterator<Item = bool>) -> Rows {
    let mut column = Column::absent(0);
    let absent: Vec<bool> = absent.collect();
    if absent.contains(&true) {
        column = Column::absent(absent.len());
        for (index, _) in absent.iter().enumerate().filter(|(_, absent)| **absent) {
            column.set_float(index, 1.0);
        }
    }
    if !column.has_any() {
        return Vec::new();
    }
    vec![Row {
        labels: labels(arg),
        drop_name: false,
        column,
    }]
}

/// The labels that the missing series would surely have: those that a selector demands by
/// equality, unless a later matcher says anything else about them.
fn labels(arg: &Expr) -> Labels {
    let selector: &Selector = match &arg.unwrap_parens().kind {
        ExprKind::Selector(selector) => selector,
        ExprKind::Matrix(matrix) => &matrix.selector,
        _ => return Labels::empty(),
    };
    let mut certain: BTreeMap<&str, &str> = BTreeMap::new();
    let mut demanded: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|m| m.name != METRIC_NAME) {
        let name = matcher.name.as_str();
        if matcher.op == MatchOp::Eq && !demanded.contains(&name) {
            demanded.push(name);
            certain.insert(name, &matcher.value);
        } else {
            certain.remove(name);
        }
    }
    Labels::new(certain)
}
