//! Binary operators on values, and operations with a scalar.

use std::sync::Arc;

use super::column::{Cell, Column, OwnedCell};
use super::{Context, Out, matching};
use crate::annotation::Operation;
use crate::ast::{Binary, BinaryOp, Expr, Span};
use crate::engine::Error;
use crate::histogram::{FloatHistogram, Keep, ResetHint};
use crate::plan::Grid;

/// The operations of a chain one after the other, so that a long one takes no more than a short one.
pub(super) fn eval(context: &Context<'_>, expr: &Expr, grid: Grid) -> Result<Out, Error> {
    let (first, operations) = expr.chain();
    let mut out = super::eval(context, first, grid)?;
    for (span, operation) in operations {
        let rhs = super::eval(context, &operation.rhs, grid)?;
        out = operate(context, operation, span, (out, rhs), grid)?;
        if let Out::Vector(rows) = &out {
            context.check_size(rows.len(), grid)?;
        }
    }
    Ok(out)
}

fn operate(
    context: &Context<'_>,
    operation: &Binary,
    span: Span,
    (lhs, rhs): (Out, Out),
    grid: Grid,
) -> Result<Out, Error> {
    let op = Operator {
        context,
        op: operation.op,
        return_bool: operation.return_bool,
        span,
    };
    match (lhs, rhs) {
        // The parser refuses trimming between scalars.
        (Out::Scalar(lhs), Out::Scalar(rhs)) => {
            let value = |(a, b): (&f64, &f64)| arithmetic(operation.op, *a, *b);
            Ok(Out::Scalar(lhs.iter().zip(&rhs).map(value).collect()))
        }
        (Out::Vector(rows), Out::Scalar(scalar)) => op.with_scalar(rows, &scalar, false),
        (Out::Scalar(scalar), Out::Vector(rows)) => op.with_scalar(rows, &scalar, true),
        (Out::Vector(lhs), Out::Vector(rhs)) => {
            let matching = operation.matching.clone().unwrap_or_default();
            Ok(Out::Vector(matching::eval(
                &op,
                &matching,
                (lhs, rhs),
                grid,
            )?))
        }
        _ => Err(Error::Execution("a string is no operand".to_owned())),
    }
}

/// The value of an operator on numbers; comparisons give 0 or 1.
pub(super) fn arithmetic(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    match op {
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        BinaryOp::Mod => lhs % rhs,
        BinaryOp::Pow => lhs.powf(rhs),
        BinaryOp::Atan2 => lhs.atan2(rhs),
        _ => f64::from(u8::from(compare(op, lhs, rhs))),
    }
}

fn compare(op: BinaryOp, lhs: f64, rhs: f64) -> bool {
    match op {
        BinaryOp::Eq => lhs == rhs,
        BinaryOp::Ne => lhs != rhs,
        BinaryOp::Lt => lhs < rhs,
        BinaryOp::Le => lhs <= rhs,
        BinaryOp::Gt => lhs > rhs,
        BinaryOp::Ge => lhs >= rhs,
        _ => false,
    }
}

/// What an operator makes of two values.
pub(super) enum Applied {
    /// It is not for values of these kinds.
    Incompatible,
    /// It is a comparison that does not hold.
    Dropped,
    /// This value.
    Value(OwnedCell),
}

impl Applied {
    fn histogram(mut histogram: FloatHistogram) -> Self {
        histogram.compact();
        Self::Value(OwnedCell::Histogram(Arc::new(histogram)))
    }
}

/// An operator in its place in the query.
pub(super) struct Operator<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) op: BinaryOp,
    pub(super) return_bool: bool,
    pub(super) span: Span,
}

impl Operator<'_> {
    /// Whether the result is another quantity than the operands, so that their name is wrong.
    pub(super) fn changes_quantity(&self) -> bool {
        !self.op.is_comparison() && !self.is_trim()
    }

    fn is_trim(&self) -> bool {
        matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    fn with_scalar(
        &self,
        mut rows: super::Rows,
        scalar: &[f64],
        scalar_is_left: bool,
    ) -> Result<Out, Error> {
        for row in &mut rows {
            self.context.limits.check()?;
            row.drop_name |= self.changes_quantity() || self.return_bool;
            if row.column.has_histograms() || self.is_trim() {
                row.column = self.cells_with_scalar(&row.column, scalar, scalar_is_left);
                continue;
            }
            row.column.map_floats_by_step(|index, value| {
                let scalar = scalar[index];
                let (lhs, rhs) = if scalar_is_left {
                    (scalar, value)
                } else {
                    (value, scalar)
                };
                self.floats(lhs, rhs)
                    .map(|result| if self.filters() { value } else { result })
            });
        }
        rows.retain(|row| row.column.has_any());
        Ok(Out::Vector(self.context.settle(rows)?))
    }

    fn cells_with_scalar(&self, column: &Column, scalar: &[f64], scalar_is_left: bool) -> Column {
        let mut result = Column::absent(column.len());
        for (index, cell) in column.cells().enumerate() {
            if !cell.is_present() {
                continue;
            }
            let scalar = Cell::Float(scalar[index]);
            let (lhs, rhs) = if scalar_is_left {
                (scalar, cell)
            } else {
                (cell, scalar)
            };
            let Applied::Value(value) = self.apply(lhs, rhs) else {
                continue;
            };
            // A filter keeps the value of the vector, on whichever side it stands.
            let kept = if self.filters() {
                cell.to_owned()
            } else {
                Some(value)
            };
            if let Some(kept) = kept {
                result.set(index, kept);
            }
        }
        result
    }

    /// Whether values are kept or dropped instead of calculated.
    pub(super) fn filters(&self) -> bool {
        self.op.is_comparison() && !self.return_bool
    }

    /// `None` where a filter drops the value.
    fn floats(&self, lhs: f64, rhs: f64) -> Option<f64> {
        if self.filters() {
            return compare(self.op, lhs, rhs).then_some(lhs);
        }
        Some(arithmetic(self.op, lhs, rhs))
    }

    /// The result for two values.
    pub(super) fn apply(&self, lhs: Cell<'_>, rhs: Cell<'_>) -> Applied {
        match (lhs, rhs) {
            (Cell::Absent, _) | (_, Cell::Absent) => Applied::Dropped,
            (Cell::Float(_), Cell::Float(_)) if self.is_trim() => {
                self.incompatible("float", "float")
            }
            (Cell::Float(lhs), Cell::Float(rhs)) => match self.floats(lhs, rhs) {
                Some(value) => Applied::Value(OwnedCell::Float(value)),
                None => Applied::Dropped,
            },
            (Cell::Histogram(lhs), Cell::Histogram(rhs)) => self.histograms(lhs, rhs),
            (Cell::Histogram(lhs), Cell::Float(rhs)) => {
                let mut result = FloatHistogram::clone(lhs);
                match self.op {
                    BinaryOp::Mul => result.scale(rhs),
                    BinaryOp::Div => result.divide(rhs),
                    BinaryOp::TrimUpper => result = result.trim(rhs, Keep::Below),
                    BinaryOp::TrimLower => result = result.trim(rhs, Keep::Above),
                    _ => return self.incompatible("histogram", "float"),
                }
                Applied::histogram(result)
            }
            (Cell::Float(lhs), Cell::Histogram(rhs)) => {
                if self.op != BinaryOp::Mul {
                    return self.incompatible("float", "histogram");
                }
                let mut result = FloatHistogram::clone(rhs);
                result.scale(lhs);
                Applied::histogram(result)
            }
        }
    }

    fn incompatible(&self, lhs: &str, rhs: &str) -> Applied {
        let mut note = self.context.note();
        note.incompatible_types(lhs, self.op.symbol(), rhs, self.span);
        Applied::Incompatible
    }

    fn histograms(&self, lhs: &Arc<FloatHistogram>, rhs: &Arc<FloatHistogram>) -> Applied {
        match self.op {
            BinaryOp::Eq | BinaryOp::Ne => {
                let holds = (lhs == rhs) == (self.op == BinaryOp::Eq);
                if self.return_bool {
                    return Applied::Value(OwnedCell::Float(f64::from(u8::from(holds))));
                }
                if !holds {
                    return Applied::Dropped;
                }
                Applied::Value(OwnedCell::Histogram(lhs.clone()))
            }
            BinaryOp::Add | BinaryOp::Sub => {
                let mut result = FloatHistogram::clone(lhs);
                let (done, operation) = if self.op == BinaryOp::Add {
                    (result.add(rhs), Operation::Addition)
                } else {
                    (result.sub(rhs), Operation::Subtraction)
                };
                let mut note = self.context.note();
                let Ok(done) = done else {
                    note.incompatible_layout(self.op.symbol(), self.span);
                    return Applied::Incompatible;
                };
                if done.hints {
                    note.hint_collision(operation, self.span);
                    return Applied::Incompatible;
                }
                if done.bounds {
                    note.bounds_reconciled(operation, self.span);
                }
                if self.op == BinaryOp::Sub {
                    result.hint = ResetHint::Gauge;
                }
                Applied::histogram(result)
            }
            _ => self.incompatible("histogram", "histogram"),
        }
    }
}
