//! Which series each thread adds up.
//!
//! Where all that a query reads is added up as it comes, threads have shares of the series; else they
//! have shares of the steps.

use std::ops::Range;

use super::takes_any_order;
use crate::ast::{Aggregate, Expr, ExprKind, Extend, Selector};
use crate::engine::{Limits, Options};
use crate::eval::{Context, call};
use crate::plan::{Bounds, Grid};
use crate::source::Selected;

/// Whether every selector of an expression is added up as its series come.
pub(crate) fn is_shareable(expr: &Expr, delayed_name_removal: bool) -> bool {
    let (mut selectors, mut summed) = (0, 0);
    for node in expr.nodes() {
        match &node.kind {
            ExprKind::Selector(_) | ExprKind::Matrix(_) => selectors += 1,
            ExprKind::Subquery(_) => return false,
            ExprKind::Call(call) if call.function.name == "info" => return false,
            ExprKind::Aggregate(aggregate) => {
                summed += usize::from(summed_up(aggregate, delayed_name_removal).is_some());
            }
            _ => {}
        }
    }
    selectors > 0 && selectors == summed
}

/// The selector whose series an aggregation adds up one after the other.
fn summed_up(aggregate: &Aggregate, delayed_name_removal: bool) -> Option<&Selector> {
    if !takes_any_order(aggregate.op) {
        return None;
    }
    match &aggregate.expr.unwrap_parens().kind {
        ExprKind::Selector(selector) if selector.extend == Extend::No => Some(selector),
        ExprKind::Call(call) if delayed_name_removal && call::is_over_range(call) => {
            let is_selector =
                |node: &Expr| matches!(node.kind, ExprKind::Selector(_) | ExprKind::Matrix(_));
            let mut reads = call.args.iter().filter(|arg| arg.nodes().any(is_selector));
            match (&reads.next()?.unwrap_parens().kind, reads.next()) {
                (ExprKind::Matrix(matrix), None) => Some(&matrix.selector),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What contexts of several threads have in common.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    options: &'a Options,
    limits: &'a Limits,
    data: &'a [Selected],
    by_selector: &'a [usize],
    infos: &'a [(usize, usize)],
    bounds: Bounds,
    grid: Grid,
    is_range: bool,
}

impl<'a> Parts<'a> {
    /// A context of its own for these series.
    pub(super) fn context(self, series: Range<usize>) -> Context<'a> {
        let mut context = Context::new(
            self.options,
            self.limits,
            self.data,
            (self.by_selector, self.infos),
            (self.bounds, self.grid, self.is_range),
            self.grid.count,
        );
        context.among = Some(series);
        context
    }
}

impl<'a> Context<'a> {
    pub(super) fn parts(&self) -> Parts<'a> {
        Parts {
            options: self.options,
            limits: self.limits,
            data: self.data,
            by_selector: self.by_selector,
            infos: self.infos,
            bounds: self.bounds,
            grid: self.grid,
            is_range: self.is_range,
        }
    }

    /// The series that each thread adds up; none where one does it all.
    pub(super) fn shares_of(&self, operation: &Aggregate) -> Vec<Range<usize>> {
        let selector = summed_up(operation, self.options.delayed_name_removal);
        let (Some(selector), 2..) = (selector, self.threads) else {
            return Vec::new();
        };
        let series = self.series(selector).len();
        let share = series.div_ceil(self.threads).max(1);
        (0..series)
            .step_by(share)
            .map(|first| first..series.min(first + share))
            .collect()
    }
}
