//! Durations that are calculated: `m[5m * 2]`, `m[4 * step()]`, `m offset (range() / 2)`.
//!
//! What is constant is checked when the query is read. The calculation stays in the tree, to be
//! printed as it was written, until the query is planned, which puts the numbers in its place.

use std::fmt;

use crate::ast::{BinaryOp, Expr, ExprKind, Selector};

/// A calculation of seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds.
    Seconds(f64),
    /// A duration in milliseconds.
    Literal(i64),
    /// Parentheses.
    Wrapped(Box<DurationExpr>),
    /// The step of the query; zero at one time.
    Step,
    /// From the start to the end of the query.
    Range,
    /// The opposite.
    Negate(Box<DurationExpr>),
    /// `+ - * / % ^`
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// The lesser of two.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// The greater of two.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}

/// The times of the query that durations may refer to, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryTimes {
    pub(crate) step: f64,
    pub(crate) range: f64,
}

/// The longest duration, about 292 years: in nanoseconds it fits into 64 bits.
const MAX_MS: f64 = 9_223_372_036_854.0;
/// The latest time, about 290,000 years away: with a few durations it cannot overflow milliseconds.
const MAX_TIME_MS: f64 = 9.2e15;

impl DurationExpr {
    /// The seconds of a literal, with or without a sign.
    pub(crate) fn literal(&self) -> Option<f64> {
        match self {
            DurationExpr::Seconds(seconds) => Some(*seconds),
            DurationExpr::Literal(milliseconds) => Some(in_seconds(*milliseconds)),
            DurationExpr::Negate(inner) => match &**inner {
                DurationExpr::Seconds(_) | DurationExpr::Literal(_) => inner.literal().map(|s| -s),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it depends on the times of the query.
    fn is_dynamic(&self) -> bool {
        match self {
            DurationExpr::Seconds(_) | DurationExpr::Literal(_) => false,
            DurationExpr::Step | DurationExpr::Range => true,
            DurationExpr::Wrapped(a) | DurationExpr::Negate(a) => a.is_dynamic(),
            DurationExpr::Binary(_, a, b)
            | DurationExpr::MinOf(a, b)
            | DurationExpr::MaxOf(a, b) => a.is_dynamic() || b.is_dynamic(),
        }
    }

    /// The seconds, unless they depend on the times of the query.
    pub(crate) fn constant(&self) -> Result<Option<f64>, String> {
        if self.is_dynamic() {
            return Ok(None);
        }
        let times = QueryTimes {
            step: 0.0,
            range: 0.0,
        };
        self.seconds(times).map(Some)
    }

    fn seconds(&self, times: QueryTimes) -> Result<f64, String> {
        Ok(match self {
            DurationExpr::Seconds(seconds) => *seconds,
            DurationExpr::Literal(milliseconds) => in_seconds(*milliseconds),
            DurationExpr::Wrapped(inner) => inner.seconds(times)?,
            DurationExpr::Step => times.step,
            DurationExpr::Range => times.range,
            DurationExpr::Negate(a) => -a.seconds(times)?,
            DurationExpr::MinOf(a, b) => a.seconds(times)?.min(b.seconds(times)?),
            DurationExpr::MaxOf(a, b) => a.seconds(times)?.max(b.seconds(times)?),
            DurationExpr::Binary(op, a, b) => {
                let (a, b) = (a.seconds(times)?, b.seconds(times)?);
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div if b == 0.0 => return Err("division by zero".to_owned()),
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod if b == 0.0 => return Err("modulo by zero".to_owned()),
                    BinaryOp::Mod => a % b,
                    BinaryOp::Pow => a.powf(b),
                    _ => return Err(format!("unexpected duration operator {}", op.symbol())),
                }
            }
        })
    }
}

#[allow(clippy::cast_precision_loss)]
fn in_seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// The seconds of a time as milliseconds.
pub(crate) fn to_time_ms(seconds: f64) -> Option<i64> {
    rounded_ms(seconds, MAX_TIME_MS)
}

/// The seconds of a duration as milliseconds.
pub(crate) fn to_ms(seconds: f64) -> Result<i64, String> {
    rounded_ms(seconds, MAX_MS).ok_or_else(|| "duration out of range".to_owned())
}

#[allow(clippy::cast_possible_truncation)]
fn rounded_ms(seconds: f64, most: f64) -> Option<i64> {
    let milliseconds = (seconds * 1000.0).round();
    (milliseconds.abs() <= most).then_some(milliseconds as i64)
}

/// Seconds as milliseconds of a range or step.
pub(crate) fn to_positive_ms(seconds: f64) -> Result<i64, String> {
    match to_ms(seconds)? {
        milliseconds if milliseconds > 0 => Ok(milliseconds),
        _ => Err("duration must be greater than 0".to_owned()),
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Seconds(seconds) => f.write_str(&crate::format::value(*seconds)),
            DurationExpr::Literal(milliseconds) => {
                f.write_str(&crate::format::duration(*milliseconds))
            }
            DurationExpr::Wrapped(inner) => write!(f, "({inner})"),
            DurationExpr::Step => f.write_str("step()"),
            DurationExpr::Range => f.write_str("range()"),
            DurationExpr::Negate(a) => write!(f, "-{a}"),
            DurationExpr::Binary(op, a, b) => write!(f, "{a} {} {b}", op.symbol()),
            DurationExpr::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            DurationExpr::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
        }
    }
}

/// Whether any duration in the tree is calculated.
pub(crate) fn has_calculations(expr: &Expr) -> bool {
    expr.nodes().any(|node| match &node.kind {
        ExprKind::Selector(selector) => selector.offset_expr.is_some(),
        ExprKind::Matrix(matrix) => {
            matrix.range_expr.is_some() || matrix.selector.offset_expr.is_some()
        }
        ExprKind::Subquery(subquery) => {
            subquery.range_expr.is_some()
                || subquery.step_expr.is_some()
                || subquery.offset_expr.is_some()
        }
        _ => false,
    })
}

/// Puts numbers in the place of all calculated durations.
pub(crate) fn resolve(expr: &mut Expr, times: QueryTimes) -> Result<(), String> {
    fn offset(selector: &mut Selector, times: QueryTimes) -> Result<(), String> {
        if let Some(offset) = selector.offset_expr.take() {
            selector.offset_ms = to_ms(offset.seconds(times)?)?;
        }
        Ok(())
    }
    expr.try_each_mut(|node| match &mut node.kind {
        ExprKind::Selector(selector) => offset(selector, times),
        ExprKind::Matrix(matrix) => {
            if let Some(range) = matrix.range_expr.take() {
                matrix.range_ms = to_positive_ms(range.seconds(times)?)?;
            }
            offset(&mut matrix.selector, times)
        }
        ExprKind::Subquery(subquery) => {
            if let Some(range) = subquery.range_expr.take() {
                subquery.range_ms = to_positive_ms(range.seconds(times)?)?;
            }
            if let Some(step) = subquery.step_expr.take() {
                subquery.step_ms = Some(to_positive_ms(step.seconds(times)?)?);
            }
            if let Some(offset) = subquery.offset_expr.take() {
                subquery.offset_ms = to_ms(offset.seconds(times)?)?;
            }
            Ok(())
        }
        _ => Ok(()),
    })
}
