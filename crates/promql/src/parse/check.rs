//! Types and the rules that a grammar cannot say.

use super::{Parsed, Problem};
use crate::ast::{Binary, BinaryOp, Cardinality, Expr, ExprKind, Matching, Span, ValueType};
use crate::functions::Function;

pub(super) fn expect_type(expr: &Expr, wanted: ValueType, context: &str) -> Parsed<()> {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    let message = format!(
        "expected type {} in {context}, got {}",
        wanted.documented(),
        got.documented()
    );
    Err(Problem::new(expr.span, message))
}

pub(super) fn unary(operand: &Expr, span: Span) -> Parsed<()> {
    match operand.value_type() {
        ValueType::Scalar | ValueType::Vector => Ok(()),
        got => {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                crate::format::quote(got.documented())
            );
            Err(Problem::new(span, message))
        }
    }
}

/// Checks a binary operation and sets its matching.
pub(super) fn binary(
    binary: &mut Binary,
    matching: Option<Matching>,
    (span, op_span): (Span, Span),
) -> Parsed<()> {
    let op = binary.op;
    for side in [&binary.lhs, &binary.rhs] {
        if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(Problem::new(side.span, message));
        }
    }
    let is_scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
    let scalars = (is_scalar(&binary.lhs), is_scalar(&binary.rhs));
    if op.is_comparison() && !binary.return_bool && scalars == (true, true) {
        return Err(Problem::new(
            op_span,
            "comparisons between scalars must use BOOL modifier",
        ));
    }
    if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) && scalars == (true, true) {
        let symbol = crate::format::quote(op.symbol());
        let message = format!("operator {symbol} not allowed for Scalar operations");
        return Err(Problem::new(op_span, message));
    }
    if scalars.0 || scalars.1 {
        if op.is_set() {
            let message = format!(
                "set operator \"{}\" not allowed in binary scalar expression",
                op.symbol()
            );
            return Err(Problem::new(span, message));
        }
        let Some(matching) = matching else {
            return Ok(());
        };
        if !matching.labels.is_empty() {
            let message = "vector matching only allowed between instant vectors";
            return Err(Problem::new(span, message));
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            let message = "filling in missing series only allowed between instant vectors";
            return Err(Problem::new(span, message));
        }
        return Ok(());
    }
    let mut matching = matching.unwrap_or_default();
    if op.is_set() {
        matching.cardinality = Cardinality::ManyToMany;
    }
    if matching.on
        && let Some(label) = matching
            .labels
            .iter()
            .find(|label| matching.include.contains(label))
    {
        let label = crate::format::quote(label);
        let message = format!("label {label} must not occur in ON and GROUP clause at once");
        return Err(Problem::new(op_span, message));
    }
    binary.matching = Some(matching);
    Ok(())
}

pub(super) fn call(function: &Function, args: &[Expr], span: Span) -> Parsed<()> {
    let least = function.args.len() - function.optional;
    let most = function.args.len().saturating_add(function.extra);
    let name = crate::format::quote(function.name);
    let wanted = if args.len() < least {
        Some(if least == most {
            ("", least)
        } else {
            ("at least ", least)
        })
    } else if args.len() > most {
        Some(if least == most {
            ("", most)
        } else {
            ("at most ", most)
        })
    } else {
        None
    };
    if let Some((bound, number)) = wanted {
        let message = format!(
            "expected {bound}{number} argument(s) in call to {name}, got {}",
            args.len()
        );
        return Err(Problem::new(span, message));
    }
    for (index, arg) in args.iter().enumerate() {
        let wanted = function.args.get(index).or(function.args.last());
        let wanted = wanted.expect("a function without arguments was called without any");
        expect_type(arg, *wanted, &format!("call to function {name}"))?;
    }
    if function.name == "info"
        && let Some(arg) = args.get(1)
    {
        let message = match &arg.kind {
            ExprKind::Selector(selector) if selector.name.is_none() => return Ok(()),
            ExprKind::Selector(_) => "expected label selectors only, got vector selector instead",
            _ => "expected label selectors only",
        };
        return Err(Problem::new(arg.span, message));
    }
    Ok(())
}
