//! Evaluation: one node of the tree at a time, over all series and all steps at once.
//!
//! A node yields a number per step, a string, or [`Rows`]: one column of cells per series. Nodes
//! never share mutable state but for the notes, and every loop over series asks the limits whether
//! to go on.

mod absent;
mod aggregate;
mod binary;
mod call;
mod choose;
mod column;
mod count;
mod dates;
mod extended;
mod histogram_calls;
mod info;
mod label_calls;
mod matching;
mod neighbours;
mod over_time;
mod rate;
mod regression;
mod running;
mod selector;
mod smoothed;
mod sums;
mod window;
mod windows;

use std::cell::{Cell as StdCell, RefCell, RefMut};
use std::cmp::Ordering;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::annotation::Annotations;
use crate::ast::{AggregateOp, Expr, ExprKind, Extend, Span, UnaryOp, ValueType};
use crate::by_series::Node;
use crate::engine::{
    Error, Limits, MatrixSeries, Options, Point, SampleValue, Value, VectorSample,
};
use crate::plan::{Bounds, Grid};
use crate::source::Selected;
use crate::stack;
pub(crate) use call::{is_by_series, is_over_range};
pub(crate) use column::Rows;
use column::{Cell, Column, OwnedCell, Passing, Row};
use count::Counter;
pub(crate) use info::info_selector;
pub(crate) use running::{is_shareable, takes_any_order};

/// Rows of calls that read one selector each, by its number.
pub(crate) type Known = FxHashMap<usize, Rows>;

/// What an evaluation reads and notes.
pub(crate) struct Context<'a> {
    options: &'a Options,
    limits: &'a Limits,
    data: &'a [Selected],
    by_selector: &'a [usize],
    infos: &'a [(usize, usize)],
    bounds: Bounds,
    grid: Grid,
    is_range: bool,
    /// Which of the series of each selection are looked at; all without.
    among: Option<Range<usize>>,
    /// Rows that are known already, by the selector that they were made of.
    known: Option<&'a Known>,
    /// How many threads may share the series of an aggregation.
    threads: usize,
    notes: RefCell<Annotations>,
    counter: Counter,
    /// Values that memory was taken for: as many as the largest result has.
    held: StdCell<usize>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        options: &'a Options,
        limits: &'a Limits,
        data: &'a [Selected],
        (by_selector, infos): (&'a [usize], &'a [(usize, usize)]),
        (bounds, grid, is_range): (Bounds, Grid, bool),
        steps: usize,
    ) -> Self {
        let notes = RefCell::default();
        Self {
            options,
            limits,
            data,
            by_selector,
            infos,
            bounds,
            grid,
            is_range,
            among: None,
            known: None,
            threads: 1,
            notes,
            counter: Counter::new(options.count_samples.then_some(steps)),
            held: StdCell::new(0),
        }
    }

    /// The same where rows are known already.
    pub(crate) fn with_known(self, known: Option<&'a Known>) -> Self {
        Self { known, ..self }
    }

    /// The same where so many threads may share the series of an aggregation.
    pub(crate) fn with_threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    fn note(&self) -> RefMut<'_, Annotations> {
        self.notes.borrow_mut()
    }

    /// What was noted, how many samples each step looked at, and how many values were held at once.
    pub(crate) fn finish(self) -> (Annotations, (Vec<u64>, u64)) {
        (self.notes.into_inner(), self.counter.into_counts())
    }

    /// The selector of what the call of `info` at this place reads.
    fn info_id(&self, span: Span) -> Option<usize> {
        self.infos
            .iter()
            .find(|(start, _)| *start == span.start)
            .map(|(_, id)| *id)
    }

    /// Asks the limits at every so many steps, for loops over many series at each step.
    fn check_step(&self, index: usize) -> Result<(), Error> {
        if index % 256 == 255 {
            self.limits.check()
        } else {
            Ok(())
        }
    }

    /// Whether this many rows on a grid may be held.
    fn check_size(&self, rows: usize, grid: Grid) -> Result<(), Error> {
        let values = rows.saturating_mul(grid.count);
        self.counter.held(values);
        self.limits.check_samples(values)?;
        self.hold(values)
    }

    /// Takes memory for a result, if none was as large.
    fn hold(&self, values: usize) -> Result<(), Error> {
        let (Some(memory), held) = (&self.limits.memory, self.held.get()) else {
            return Ok(());
        };
        if values > held {
            // A result grows a row at a time.
            let wanted = values.max(held + held / 4);
            if !memory.hold(wanted - held) {
                return Err(Error::Busy);
            }
            self.held.set(wanted);
        }
        Ok(())
    }

    /// Gives rows whose quantity changed their final labels, unless names are dropped at the end.
    fn settle(&self, rows: Rows) -> Result<Rows, Error> {
        if self.options.delayed_name_removal {
            Ok(rows)
        } else {
            drop_names(rows)
        }
    }
}

/// What a node evaluates to.
pub(crate) enum Out {
    Scalar(Vec<f64>),
    String(String),
    Vector(Rows),
}

/// Evaluates a whole query.
pub(crate) fn answer(
    context: &Context<'_>,
    expr: &Expr,
    grid: Grid,
    is_range: bool,
) -> Result<Value, Error> {
    if expr.value_type() == ValueType::Matrix {
        return selector::range_answer(context, expr.unwrap_parens(), grid);
    }
    let out = eval(context, expr, grid)?;
    let time_ms = grid.start_ms;
    let points = |column: &Column| {
        let point = |index| {
            let value = match column.get(index) {
                Cell::Absent => return None,
                Cell::Float(value) => SampleValue::Float(value),
                Cell::Histogram(histogram) => SampleValue::Histogram(histogram.clone()),
            };
            Some(Point {
                time_ms: grid.time(index),
                value,
            })
        };
        (0..grid.count).filter_map(point).collect::<Vec<_>>()
    };
    let value = match out {
        Out::String(value) => Value::String { time_ms, value },
        Out::Scalar(values) if !is_range => Value::Scalar {
            time_ms,
            value: values[0],
        },
        Out::Scalar(values) => {
            let column = Column::from_floats(values);
            let labels = crate::labels::Labels::empty();
            Value::Matrix(vec![MatrixSeries {
                labels,
                points: points(&column),
            }])
        }
        Out::Vector(rows) => {
            let rows = drop_names(rows)?;
            if is_range {
                let mut series: Vec<MatrixSeries> = rows
                    .into_iter()
                    .map(|row| MatrixSeries {
                        points: points(&row.column),
                        labels: row.labels,
                    })
                    .filter(|series| !series.points.is_empty())
                    .collect();
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
                Value::Matrix(series)
            } else {
                let sample = |row: Row| {
                    let point = points(&row.column).pop()?;
                    Some(VectorSample {
                        labels: row.labels,
                        point,
                    })
                };
                Value::Vector(rows.into_iter().filter_map(sample).collect())
            }
        }
    };
    Ok(value)
}

/// Evaluates a call that makes each series of its result of one of so many series. Names are not
/// dropped yet. What is calculated of a series inside of subqueries is held of some at a time.
pub(crate) fn rows_by_series(
    context: &mut Context<'_>,
    node: &Node<'_>,
    series: usize,
) -> Result<Rows, Error> {
    /// Values that are calculated inside of subqueries at once.
    const AT_ONCE: usize = 1_000_000;
    let most = AT_ONCE.min(context.limits.max_samples / 4);
    let at_once = (most / node.inner_steps.max(1)).max(1);
    let mut rows = Rows::new();
    for first in (0..series).step_by(at_once) {
        context.among = Some(first..series.min(first + at_once));
        let context = &*context;
        context.counter.at_depth(node.depth, || {
            window::each(context, node.call, node.grid, &mut |row| {
                rows.push(row.kept());
                context.check_size(rows.len(), node.grid)
            })
        })?;
    }
    context.among = None;
    Ok(rows)
}

/// Puts the answers for neighbouring steps together, each sorted by labels.
pub(crate) fn join(earlier: Value, later: Value) -> Value {
    let (Value::Matrix(earlier), Value::Matrix(later)) = (earlier, later) else {
        // Only range queries have several steps, and their answers are matrices.
        return Value::Matrix(Vec::new());
    };
    let mut joined = Vec::with_capacity(earlier.len().max(later.len()));
    let (mut earlier, mut later) = (earlier.into_iter().peekable(), later.into_iter().peekable());
    loop {
        let order = match (earlier.peek(), later.peek()) {
            (None, None) => return Value::Matrix(joined),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.labels.cmp(&b.labels),
        };
        let first = earlier.next_if(|_| order.is_le());
        let second = later.next_if(|_| order.is_ge());
        match (first, second) {
            (Some(mut first), Some(second)) => {
                first.points.extend(second.points);
                joined.push(first);
            }
            (first, second) => joined.extend(first.or(second)),
        }
    }
}

/// Whether an answer has no more series than are allowed.
pub(crate) fn check_series(value: &Value, limits: &Limits) -> Result<(), Error> {
    let series = match value {
        Value::Scalar { .. } | Value::String { .. } => 1,
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
    };
    let limit = limits.max_series;
    if series <= limit {
        return Ok(());
    }
    let message = format!(
        "the answer has {series} series, the limit is {limit}; aggregate or narrow the selectors"
    );
    Err(Error::Limit {
        limit: "max_series",
        value: limit,
        message,
    })
}

/// Removes the names of rows marked so and merges rows that then have the same labels.
fn drop_names(mut rows: Rows) -> Result<Rows, Error> {
    let mut changed = false;
    for row in &mut rows {
        if row.drop_name {
            row.labels = row.labels.without_metadata();
            row.drop_name = false;
            changed = true;
        }
    }
    if changed {
        column::merge(rows)
    } else {
        Ok(rows)
    }
}

/// Evaluates a node on a grid.
pub(crate) fn eval(context: &Context<'_>, expr: &Expr, grid: Grid) -> Result<Out, Error> {
    stack::level(|| eval_node(context, expr, grid))
}

fn eval_node(context: &Context<'_>, expr: &Expr, grid: Grid) -> Result<Out, Error> {
    context.limits.check()?;
    context.check_size(1, grid)?;
    let out = match &expr.kind {
        ExprKind::Number(value) => Out::Scalar(vec![*value; grid.count]),
        #[allow(clippy::cast_precision_loss)]
        ExprKind::Duration(milliseconds) => {
            Out::Scalar(vec![*milliseconds as f64 / 1000.0; grid.count])
        }
        ExprKind::String(literal) => Out::String(literal.value.clone()),
        ExprKind::Selector(selector) if selector.extend == Extend::Smoothed => {
            Out::Vector(smoothed::instant(context, selector, expr.span, grid)?)
        }
        ExprKind::Selector(selector) => {
            Out::Vector(selector::instant(context, selector, grid, false)?)
        }
        ExprKind::Matrix(_) | ExprKind::Subquery(_) => {
            return Err(Error::Execution("a range vector is no operand".to_owned()));
        }
        ExprKind::Unary(op, operand) => unary(context, *op, operand, grid)?,
        ExprKind::Binary(_) => binary::eval(context, expr, grid)?,
        ExprKind::Aggregate(operation) => match operation.op {
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => {
                Out::Vector(choose::eval(context, operation, expr.span, grid)?)
            }
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Count
            | AggregateOp::Group => Out::Vector(running::eval(context, operation, grid)?),
            _ => Out::Vector(aggregate::eval(context, operation, grid)?),
        },
        ExprKind::Call(function) => call::eval(context, function, expr.span, grid)?,
        ExprKind::Paren(inner) => eval(context, inner, grid)?,
    };
    if let Out::Vector(rows) = &out {
        context.check_size(rows.len(), grid)?;
    }
    Ok(out)
}

/// Evaluates a node whose type was checked to be an instant vector.
fn eval_rows(context: &Context<'_>, expr: &Expr, grid: Grid) -> Result<Rows, Error> {
    match eval(context, expr, grid)? {
        Out::Vector(rows) => Ok(rows),
        Out::Scalar(_) | Out::String(_) => Err(wrong_type(expr, ValueType::Vector)),
    }
}

/// Evaluates a node whose type was checked to be an instant vector, one series after the other
/// where that is possible, so that its rows need not all be held.
fn each_row(
    context: &Context<'_>,
    expr: &Expr,
    grid: Grid,
    emit: &mut dyn FnMut(Passing<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    match &expr.unwrap_parens().kind {
        ExprKind::Selector(selector) if selector.extend == Extend::No => {
            selector::each(context, selector, grid, false, emit)
        }
        // Rows that lose their names at once may have to be merged.
        ExprKind::Call(function)
            if context.options.delayed_name_removal && call::is_over_range(function) =>
        {
            window::each(context, function, grid, emit)
        }
        _ => eval_rows(context, expr, grid)?
            .into_iter()
            .try_for_each(|row| {
                emit(Passing {
                    labels: &row.labels,
                    drop_name: row.drop_name,
                    column: row.column,
                })
            }),
    }
}

/// Evaluates a node whose type was checked to be a scalar.
fn eval_scalar(context: &Context<'_>, expr: &Expr, grid: Grid) -> Result<Vec<f64>, Error> {
    match eval(context, expr, grid)? {
        Out::Scalar(values) => Ok(values),
        Out::Vector(_) | Out::String(_) => Err(wrong_type(expr, ValueType::Scalar)),
    }
}

/// The literal of a node whose type was checked to be a string.
fn string_literal(expr: &Expr) -> Result<&crate::ast::StringLiteral, Error> {
    match &expr.unwrap_parens().kind {
        ExprKind::String(literal) => Ok(literal),
        _ => Err(wrong_type(expr, ValueType::String)),
    }
}

/// Cannot happen for trees that the parser built; trees are never built otherwise.
fn wrong_type(expr: &Expr, wanted: ValueType) -> Error {
    let got = expr.value_type().documented();
    Error::Execution(format!("expected {}, got {got}", wanted.documented()))
}

fn unary(context: &Context<'_>, op: UnaryOp, operand: &Expr, grid: Grid) -> Result<Out, Error> {
    let out = eval(context, operand, grid)?;
    if op == UnaryOp::Plus {
        return Ok(out);
    }
    match out {
        Out::Scalar(mut values) => {
            values.iter_mut().for_each(|value| *value = -*value);
            Ok(Out::Scalar(values))
        }
        Out::Vector(mut rows) => {
            for row in &mut rows {
                row.drop_name = true;
                row.column
                    .map(|value| -value, |histogram| histogram.scale(-1.0));
            }
            Ok(Out::Vector(context.settle(rows)?))
        }
        Out::String(_) => Err(wrong_type(operand, ValueType::Vector)),
    }
}
