//! Function calls: which function is evaluated how, and the functions of single values.

use super::column::{Column, Row, Rows};
use super::{
    Cell, Context, Out, absent, dates, eval_rows, eval_scalar, histogram_calls, info, label_calls,
    selector, window,
};
use crate::ast::{Call, Expr, ExprKind, Span, ValueType};
use crate::engine::Error;
use crate::labels::Labels;
use crate::plan::Grid;

pub(super) fn eval(
    context: &Context<'_>,
    call: &Call,
    span: Span,
    grid: Grid,
) -> Result<Out, Error> {
    let name = call.function.name;
    if call.function.returns == ValueType::Scalar {
        return scalar(context, call, grid).map(Out::Scalar);
    }
    if name == "absent_over_time" {
        return absent::absent_over_time(context, &call.args[0], grid).map(Out::Vector);
    }
    if is_over_range(call) {
        return window::eval(context, call, grid).map(Out::Vector);
    }
    let rows = match name {
        "absent" => absent::absent(context, &call.args[0], grid)?,
        "vector" => one_row(eval_scalar(context, &call.args[0], grid)?),
        "timestamp" => timestamp(context, &call.args[0], grid)?,
        "info" => info::eval(context, call, span, grid)?,
        "label_replace" => label_calls::replace(context, call, grid)?,
        "label_join" => label_calls::join(context, call, grid)?,
        "sort" | "sort_desc" => {
            note_sorting(context, call, span, grid);
            sort(context, call, grid, name == "sort_desc")?
        }
        "sort_by_label" | "sort_by_label_desc" => {
            note_sorting(context, call, span, grid);
            label_calls::sort(context, call, grid, name == "sort_by_label_desc")?
        }
        "clamp" | "clamp_min" | "clamp_max" => clamp(context, call, grid)?,
        "round" => round(context, call, grid)?,
        _ if name.starts_with("histogram_") => histogram_calls::eval(context, call, grid)?,
        _ => simple(context, call, grid)?,
    };
    Ok(Out::Vector(rows))
}

/// Whether each series of the result is a function of the ranges of one series.
pub(crate) fn is_over_range(call: &Call) -> bool {
    call.function.name != "absent_over_time" && call.function.args.contains(&ValueType::Matrix)
}

/// Whether each series of the result is a function of one series and of numbers.
pub(crate) fn is_by_series(call: &Call) -> bool {
    let name = call.function.name;
    is_over_range(call)
        || matches!(name, "clamp" | "clamp_min" | "clamp_max" | "round")
        || math(name).is_some()
}

#[allow(clippy::cast_precision_loss)]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn one_row(values: Vec<f64>) -> Rows {
    let mut column = Column::absent(values.len());
    for (index, value) in values.into_iter().enumerate() {
        column.set_float(index, value);
    }
    vec![Row {
        labels: Labels::empty(),
        drop_name: false,
        column,
    }]
}

fn scalar(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Vec<f64>, Error> {
    let bounds = context.bounds;
    let constant = match call.function.name {
        "time" => return Ok(grid.times().map(seconds).collect()),
        "scalar" => {
            let rows = eval_rows(context, &call.args[0], grid)?;
            let single = |index: usize| {
                let mut floats = rows.iter().filter_map(|row| row.column.float(index));
                match (floats.next(), floats.next()) {
                    (Some(value), None) => value,
                    _ => f64::NAN,
                }
            };
            return Ok((0..grid.count).map(single).collect());
        }
        "min_of" | "max_of" => {
            let choose = if call.function.name == "min_of" {
                lesser
            } else {
                greater
            };
            let (a, b) = (
                eval_scalar(context, &call.args[0], grid)?,
                eval_scalar(context, &call.args[1], grid)?,
            );
            return Ok(a.iter().zip(b).map(|(a, b)| choose(*a, b)).collect());
        }
        "pi" => std::f64::consts::PI,
        "start" => seconds(bounds.start_ms),
        "end" => seconds(bounds.end_ms),
        "range" => seconds(bounds.end_ms - bounds.start_ms),
        "step" if context.is_range => seconds(context.grid.step_ms),
        "step" => 0.0,
        name => {
            return Err(Error::Execution(format!(
                "function {name} is not supported"
            )));
        }
    };
    Ok(vec![constant; grid.count])
}

/// The time of each sample; that of the evaluation unless the argument is a selector itself.
fn timestamp(context: &Context<'_>, arg: &Expr, grid: Grid) -> Result<Rows, Error> {
    if let ExprKind::Selector(selector) = &arg.unwrap_parens().kind {
        return context.settle(selector::instant(context, selector, grid, true)?);
    }
    let mut rows = eval_rows(context, arg, grid)?;
    for row in &mut rows {
        context.limits.check()?;
        row.drop_name = true;
        let present: Vec<bool> = row.column.cells().map(Cell::is_present).collect();
        for (index, _) in present
            .into_iter()
            .enumerate()
            .filter(|(_, present)| *present)
        {
            row.column.set_float(index, seconds(grid.time(index)));
        }
    }
    context.settle(rows)
}

/// Says that sorting does nothing where there is more than one step, unless all steps are the same.
fn note_sorting(context: &Context<'_>, call: &Call, span: Span, grid: Grid) {
    // A part of a query, which a thread evaluates, may have one step of many.
    let is_range = match grid == context.grid {
        true => context.bounds.start_ms != context.bounds.end_ms,
        false => grid.count > 1,
    };
    if is_range && !call.args.iter().all(is_fixed) {
        context.note().ineffective_sort(span);
    }
}

/// Whether an expression has the same value at all steps.
fn is_fixed(expr: &Expr) -> bool {
    let mut pending = vec![expr];
    while let Some(node) = pending.pop() {
        let fixed = match &node.kind {
            ExprKind::Selector(selector) => selector.at.is_some(),
            ExprKind::Matrix(matrix) => matrix.selector.at.is_some(),
            // What is evaluated in it does not matter then.
            ExprKind::Subquery(subquery) => match subquery.at {
                Some(_) => continue,
                None => false,
            },
            ExprKind::Call(call) => match call.function.name {
                "time" | "timestamp" | "predict_linear" => false,
                name => dates::find(name).is_none() || !call.args.is_empty(),
            },
            _ => true,
        };
        if !fixed {
            return false;
        }
        pending.extend(node.children());
    }
    true
}

fn sort(context: &Context<'_>, call: &Call, grid: Grid, descending: bool) -> Result<Rows, Error> {
    let mut rows = eval_rows(context, &call.args[0], grid)?;
    for row in &mut rows {
        context.limits.check()?;
        row.column.map_floats(|value| value);
    }
    rows.retain(|row| row.column.has_any());
    if context.is_range || grid.count != 1 {
        // Steps differ in their order; a range answer is in the order of the labels.
        return Ok(rows);
    }
    let value = |row: &Row| row.column.float(0).unwrap_or(f64::NAN);
    rows.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        match (a.is_nan(), b.is_nan()) {
            (false, false) => {
                let order = a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal);
                if descending { order.reverse() } else { order }
            }
            (a, b) => a.cmp(&b),
        }
    });
    Ok(rows)
}

fn clamp(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let scalar = |index: usize| eval_scalar(context, &call.args[index], grid);
    let constant = |value: f64| vec![value; grid.count];
    let (min, max) = match call.function.name {
        "clamp_min" => (scalar(1)?, constant(f64::INFINITY)),
        "clamp_max" => (constant(f64::NEG_INFINITY), scalar(1)?),
        _ => (scalar(1)?, scalar(2)?),
    };
    map_by_step(context, &call.args[0], grid, |index, value| {
        let (min, max) = (min[index], max[index]);
        if max < min {
            return None;
        }
        Some(greater(min, lesser(max, value)))
    })
}

/// The lesser of two; not a number if either is none, but for what nothing can be below.
fn lesser(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// The greater of two; not a number if either is none, but for what nothing can be above.
fn greater(a: f64, b: f64) -> f64 {
    -lesser(-a, -b)
}

fn round(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let nearest = match call.args.get(1) {
        Some(arg) => eval_scalar(context, arg, grid)?,
        None => vec![1.0; grid.count],
    };
    map_by_step(context, &call.args[0], grid, |index, value| {
        // The inverse has fewer rounding errors for steps such as 0.1.
        let inverse = 1.0 / nearest[index];
        Some((value * inverse + 0.5).floor() / inverse)
    })
}

fn map_by_step(
    context: &Context<'_>,
    arg: &Expr,
    grid: Grid,
    change: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Rows, Error> {
    let mut rows = eval_rows(context, arg, grid)?;
    for row in &mut rows {
        context.limits.check()?;
        row.drop_name = true;
        row.column.map_floats_by_step(&change);
    }
    rows.retain(|row| row.column.has_any());
    context.settle(rows)
}

/// Functions of one number, and calendar functions, whose argument defaults to the time.
fn simple(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let name = call.function.name;
    let Some(function) = math(name).or_else(|| dates::find(name)) else {
        return Err(Error::Execution(format!(
            "function {name} is not supported"
        )));
    };
    match call.args.first() {
        Some(arg) => map_by_step(context, arg, grid, |_, value| Some(function(value))),
        None => Ok(one_row(
            grid.times()
                .map(|time_ms| function(seconds(time_ms)))
                .collect(),
        )),
    }
}

fn math(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "sgn" => |value| {
            if value == 0.0 || value.is_nan() {
                value
            } else {
                value.signum()
            }
        },
        _ => return None,
    })
}
