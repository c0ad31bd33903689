//! The parts of a query that make each series of their result of one series of a selector, which
//! need not be held once its results are known: functions of ranges, of samples or of what is
//! calculated of each series by itself.

use crate::ast::{Call, Expr, ExprKind, Extend, Selector, ValueType};
use crate::eval;
use crate::plan::{Grid, Plan, subquery_grid};
use crate::stack;

/// A call whose results are as many as the series that it reads, at most.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) call: &'a Call,
    /// The number of the only selector that it reads.
    pub(crate) selector: usize,
    /// The times that it is evaluated at.
    pub(crate) grid: Grid,
    /// How many subqueries are around it.
    pub(crate) depth: usize,
    /// At how many times what is inside of it is evaluated; none without a subquery.
    pub(crate) inner_steps: usize,
}

/// The outermost such calls of a query.
pub(crate) fn nodes(plan: &Plan) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    // What a query that is a range looks at is counted in the subquery that it is.
    if plan.query.expr.value_type() != ValueType::Matrix {
        collect(plan, &plan.query.expr, plan.grid, 0, &mut nodes);
    }
    nodes
}

fn collect<'a>(plan: &Plan, expr: &'a Expr, grid: Grid, depth: usize, nodes: &mut Vec<Node<'a>>) {
    stack::level(|| match &expr.kind {
        ExprKind::Subquery(subquery) => {
            let inner = subquery_grid(subquery, grid, plan.bounds, &plan.options);
            if inner.count > 0 {
                collect(plan, &subquery.expr, inner, depth + 1, nodes);
            }
        }
        ExprKind::Binary(_) => {
            let (first, operations) = expr.chain();
            collect(plan, first, grid, depth, nodes);
            for (_, binary) in operations {
                collect(plan, &binary.rhs, grid, depth, nodes);
            }
        }
        ExprKind::Call(call) => match selector_of(call, plan.options.delayed_name_removal) {
            Some(selector) => nodes.push(Node {
                call,
                selector: selector.id,
                grid,
                depth,
                inner_steps: inner_steps(plan, call, grid),
            }),
            None => {
                for arg in &call.args {
                    collect(plan, arg, grid, depth, nodes);
                }
            }
        },
        _ => {
            for child in expr.children() {
                collect(plan, child, grid, depth, nodes);
            }
        }
    });
}

/// At how many times the subqueries inside of a call have it evaluated, at most.
fn inner_steps(plan: &Plan, call: &Call, mut grid: Grid) -> usize {
    let mut most = 0;
    for node in call.args.iter().flat_map(Expr::nodes) {
        if let ExprKind::Subquery(subquery) = &node.kind {
            grid = subquery_grid(subquery, grid, plan.bounds, &plan.options);
            most = most.max(grid.count);
        }
    }
    most
}

/// The only selector that a call reads, if it makes each series of its result of one of its series.
pub(crate) fn selector_of(call: &Call, delayed_name_removal: bool) -> Option<&Selector> {
    if !eval::is_over_range(call) {
        return None;
    }
    let mut expr = only_operand(&call.args)?;
    loop {
        expr = match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => inner,
            ExprKind::Matrix(matrix) => return Some(&matrix.selector),
            ExprKind::Selector(selector) if selector.extend == Extend::No => return Some(selector),
            // Series that lose their names inside of a subquery may have to be merged there.
            ExprKind::Subquery(subquery) if delayed_name_removal => &subquery.expr,
            ExprKind::Call(call) if eval::is_by_series(call) => only_operand(&call.args)?,
            ExprKind::Binary(binary) if binary.matching.is_none() => {
                match [&binary.lhs, &binary.rhs].map(Expr::value_type) {
                    [ValueType::Vector, _] if is_constant(&binary.rhs) => &binary.lhs,
                    [_, ValueType::Vector] if is_constant(&binary.lhs) => &binary.rhs,
                    _ => return None,
                }
            }
            _ => return None,
        };
    }
}

/// The argument that reads series, where all others are the same whatever there is.
fn only_operand(args: &[Expr]) -> Option<&Expr> {
    let is_operand = |arg: &&Expr| {
        let value_type = arg.value_type();
        matches!(value_type, ValueType::Vector | ValueType::Matrix)
    };
    let operand = args.iter().find(is_operand)?;
    let mut others = args.iter().filter(|arg| !std::ptr::eq(*arg, operand));
    others.all(is_constant).then_some(operand)
}

fn is_constant(expr: &Expr) -> bool {
    let reads = |node: &Expr| matches!(node.kind, ExprKind::Selector(_) | ExprKind::Matrix(_));
    !expr.nodes().any(reads)
}
