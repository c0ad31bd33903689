//! Types and the rules that a grammar cannot say.
//!
//! They are looked at when all of a query was read, so that a mistake in what is written is told
//! before one in what it means, wherever the two stand. Of several of the same kind the first one
//! is told, in the order in which Prometheus comes upon them.

use super::{Parsed, Problem};
use crate::ast::{
    Aggregate, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Matching, Selector, Span,
    ValueType,
};
use crate::format::quote;
use crate::labels::METRIC_NAME;
use crate::matcher::Matcher;
use crate::stack;

/// Checks a tree, and gives its operations the matching that they have without being told.
pub(super) fn tree(expr: &mut Expr, query: &str) -> Parsed<()> {
    node(expr, query)?;
    expr.try_each_mut(|expr| {
        if let ExprKind::Binary(binary) = &mut expr.kind {
            settle(binary);
        }
        Ok(())
    })
}

fn settle(binary: &mut Binary) {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    if !is_vector(&binary.lhs) || !is_vector(&binary.rhs) {
        binary.matching = None;
        return;
    }
    let matching = binary.matching.get_or_insert_default();
    if binary.op.is_set() {
        matching.cardinality = Cardinality::ManyToMany;
    }
}

fn node(expr: &Expr, query: &str) -> Parsed<()> {
    stack::level(|| match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => Ok(()),
        ExprKind::Selector(selector) => {
            names(selector.name.as_deref(), &selector.matchers, expr.span)?;
            selective(selector, expr.span)
        }
        ExprKind::Matrix(matrix) => {
            let selector = &matrix.selector;
            names(selector.name.as_deref(), &selector.matchers, expr.span)?;
            selective(selector, expr.span)
        }
        ExprKind::Subquery(subquery) => {
            node(&subquery.expr, query)?;
            match subquery.expr.value_type() {
                ValueType::Vector => Ok(()),
                got => {
                    let got = got.name();
                    let message =
                        format!("subquery is only allowed on instant vector, got {got} instead");
                    Err(Problem::new(expr.span, message))
                }
            }
        }
        ExprKind::Paren(inner) => node(inner, query),
        ExprKind::Unary(_, operand) => unary(operand, expr.span, query),
        ExprKind::Aggregate(operation) => aggregate(operation, query),
        ExprKind::Call(of) => call(of, expr.span, query),
        ExprKind::Binary(_) => {
            let (first, operations) = expr.chain();
            node(first, query)?;
            for (span, operation) in operations {
                node(&operation.rhs, query)?;
                binary(operation, span, query)?;
            }
            Ok(())
        }
    })
}

/// A name before the braces is the only one.
pub(super) fn names(name: Option<&str>, matchers: &[Matcher], span: Span) -> Parsed<()> {
    let Some((name, (_, inside))) = name.zip(matchers.split_last()) else {
        return Ok(());
    };
    match inside.iter().find(|matcher| matcher.name == METRIC_NAME) {
        None => Ok(()),
        Some(other) => {
            let (name, other) = (quote(name), quote(&other.value));
            let message = format!("metric name must not be set twice: {name} or {other}");
            Err(Problem::new(span, message))
        }
    }
}

/// A selector of all series is more likely a mistake.
fn selective(selector: &Selector, span: Span) -> Parsed<()> {
    if selector.is_selective() {
        return Ok(());
    }
    let message = "vector selector must contain at least one non-empty matcher";
    Err(Problem::new(span, message))
}

fn expect_type(expr: &Expr, wanted: ValueType, context: &str) -> Parsed<()> {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    let (wanted, got) = (wanted.documented(), got.documented());
    let message = format!("expected type {wanted} in {context}, got {got}");
    Err(Problem::new(expr.span, message))
}

fn unary(operand: &Expr, span: Span, query: &str) -> Parsed<()> {
    node(operand, query)?;
    match operand.value_type() {
        ValueType::Scalar | ValueType::Vector => Ok(()),
        got => {
            let got = quote(got.documented());
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {got}"
            );
            Err(Problem::new(span, message))
        }
    }
}

fn aggregate(operation: &Aggregate, query: &str) -> Parsed<()> {
    node(&operation.expr, query)?;
    expect_type(&operation.expr, ValueType::Vector, "aggregation expression")?;
    if let (Some(param), Some(wanted)) = (&operation.param, operation.op.parameter()) {
        node(param, query)?;
        expect_type(param, wanted, "aggregation parameter")?;
    }
    Ok(())
}

/// Where the operator stands: after the left side and any blanks.
fn operator_span(binary: &Binary, query: &str) -> Span {
    let after = binary.lhs.span.end;
    let between = query.get(after..binary.rhs.span.start).unwrap_or_default();
    let blanks = between.len() - between.trim_start().len();
    Span::new(after + blanks, after + between.trim_end().len())
}

fn binary(binary: &Binary, span: Span, query: &str) -> Parsed<()> {
    let op = binary.op;
    let at_operator = |message: String| Problem::new(operator_span(binary, query), message);
    let is_scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
    let scalars = (is_scalar(&binary.lhs), is_scalar(&binary.rhs));
    if binary.return_bool && !op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return Err(at_operator(message.to_owned()));
    }
    if op.is_comparison() && !binary.return_bool && scalars == (true, true) {
        let message = "comparisons between scalars must use BOOL modifier";
        return Err(at_operator(message.to_owned()));
    }
    let shared = |matching: &&Matching| matching.on && !matching.include.is_empty();
    if let Some(matching) = binary.matching.as_ref().filter(shared) {
        let mut labels = matching.labels.iter();
        if let Some(label) = labels.find(|label| matching.include.contains(label)) {
            let label = quote(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            return Err(at_operator(message));
        }
    }
    for side in [&binary.lhs, &binary.rhs] {
        if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(Problem::new(side.span, message));
        }
    }
    if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) && scalars == (true, true) {
        let symbol = quote(op.symbol());
        let message = format!("operator {symbol} not allowed for Scalar operations");
        return Err(at_operator(message));
    }
    let is_with_scalar = scalars.0 || scalars.1;
    if let Some(message) = matching_problem(op, binary.matching.as_ref(), is_with_scalar) {
        return Err(Problem::new(span, message));
    }
    Ok(())
}

/// What is wrong with how two sides are to be matched.
fn matching_problem(
    op: BinaryOp,
    matching: Option<&Matching>,
    is_with_scalar: bool,
) -> Option<String> {
    let labels = matching.is_some_and(|matching| !matching.labels.is_empty());
    let fills = matching.is_some_and(|of| of.fill_left.is_some() || of.fill_right.is_some());
    let groups = matching.is_some_and(|of| of.cardinality != Cardinality::OneToOne);
    let symbol = quote(op.symbol());
    let message = if is_with_scalar && labels {
        "vector matching only allowed between instant vectors"
    } else if is_with_scalar && fills {
        "filling in missing series only allowed between instant vectors"
    } else if is_with_scalar && op.is_set() {
        return Some(format!(
            "set operator {symbol} not allowed in binary scalar expression"
        ));
    } else if !is_with_scalar && op.is_set() && groups {
        return Some(format!("no grouping allowed for {symbol} operation"));
    } else if !is_with_scalar && op.is_set() && fills {
        "filling in missing series not allowed for set operators"
    } else {
        return None;
    };
    Some(message.to_owned())
}

fn call(call: &Call, span: Span, query: &str) -> Parsed<()> {
    let Call { function, args } = call;
    let least = function.args.len() - function.optional;
    let most = function.args.len().saturating_add(function.extra);
    let bound = |other: &'static str| if least == most { "" } else { other };
    let wanted = if args.len() < least {
        Some((bound("at least "), least))
    } else if args.len() > most {
        Some((bound("at most "), most))
    } else {
        None
    };
    let name = quote(function.name);
    if let Some((bound, number)) = wanted {
        let got = args.len();
        let message = format!("expected {bound}{number} argument(s) in call to {name}, got {got}");
        return Err(Problem::new(span, message));
    }
    let context = format!("call to function {name}");
    let labels = match args.get(1) {
        Some(labels) if function.name == "info" => {
            info_labels(labels, span, &context)?;
            Some(labels)
        }
        _ => None,
    };
    for (index, arg) in args.iter().enumerate() {
        if labels.is_some_and(|labels| std::ptr::eq(labels, arg)) {
            continue;
        }
        let wanted = function.args.get(index).or(function.args.last());
        let wanted = wanted.expect("a function without arguments was called without any");
        node(arg, query)?;
        expect_type(arg, *wanted, &context)?;
    }
    Ok(())
}

/// The second argument of `info` is a selector of labels; it may match all series, as it is
/// combined with those of the first.
fn info_labels(arg: &Expr, span: Span, context: &str) -> Parsed<()> {
    if arg.value_type() != ValueType::Vector {
        let wanted = expect_type(arg, ValueType::Vector, context);
        return wanted.map_err(|problem| Problem { span, ..problem });
    }
    let message = match &arg.kind {
        ExprKind::Selector(selector) if selector.name.is_none() => return Ok(()),
        ExprKind::Selector(_) => "expected label selectors only, got vector selector instead",
        _ => "expected label selectors only",
    };
    Err(Problem::new(arg.span, message))
}
