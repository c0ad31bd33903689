//! Writes a syntax tree as a query that reads back as the same tree, in the form in which
//! Prometheus prints it: matchers sorted, in one line or split over several.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    Aggregate, At, Binary, Cardinality, Expr, ExprKind, Extend, Matching, Selector, Subquery,
    UnaryOp,
};
use crate::duration::DurationExpr;
use crate::format::{duration, general, quote, quote_bytes, value};
use crate::labels::is_classic_label_name;
use crate::matcher::Matcher;
use crate::stack;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        stack::level(|| write_expr(f, self))
    }
}

fn write_expr(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    match &expr.kind {
        ExprKind::Number(number) => f.write_str(&value(*number)),
        ExprKind::Duration(milliseconds) => f.write_str(&duration(*milliseconds)),
        ExprKind::String(literal) => match &literal.invalid {
            Some(bytes) => f.write_str(&quote_bytes(bytes)),
            None => f.write_str(&quote(&literal.value)),
        },
        ExprKind::Selector(selector) => {
            write_series(f, selector)?;
            write_at(f, selector.at)?;
            write_extend(f, selector.extend)?;
            write_offset(f, selector.offset_ms, &selector.offset_expr)
        }
        ExprKind::Matrix(matrix) => {
            write_series(f, &matrix.selector)?;
            write!(f, "[{}]", length(matrix.range_ms, &matrix.range_expr))?;
            let selector = &matrix.selector;
            write_extend(f, selector.extend)?;
            write_at(f, selector.at)?;
            write_offset(f, selector.offset_ms, &selector.offset_expr)
        }
        ExprKind::Subquery(subquery) => {
            write!(f, "{}{}", subquery.expr, subquery_suffix(subquery))
        }
        ExprKind::Unary(UnaryOp::Plus, expr) => write!(f, "+{expr}"),
        ExprKind::Unary(UnaryOp::Minus, expr) => write!(f, "-{expr}"),
        ExprKind::Binary(_) => write_chain(f, expr),
        ExprKind::Aggregate(aggregate) => write_aggregate(f, aggregate),
        ExprKind::Call(call) => {
            write!(f, "{}(", call.function.name)?;
            write_list(f, &call.args)?;
            f.write_str(")")
        }
        ExprKind::Paren(expr) => write!(f, "({expr})"),
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_series(f, self)
    }
}

fn write_series(f: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    if let Some(name) = &selector.name {
        f.write_str(name)?;
    }
    let is_name = |matcher: &&Matcher| {
        matcher.is_name() && selector.name.as_deref() == Some(matcher.value.as_str())
    };
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .filter(|matcher| !is_name(matcher))
        .map(ToString::to_string)
        .collect();
    if matchers.is_empty() && selector.name.is_some() {
        return Ok(());
    }
    matchers.sort();
    write!(f, "{{{}}}", matchers.join(","))
}

/// A duration as a literal, or as the calculation that it is.
fn length(milliseconds: i64, calculation: &Option<DurationExpr>) -> String {
    match calculation {
        Some(calculation) => calculation.to_string(),
        None => duration(milliseconds),
    }
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        Some(At::Time(time_ms)) => {
            let sign = if time_ms < 0 { "-" } else { "" };
            let magnitude = time_ms.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", magnitude / 1000, magnitude % 1000)
        }
    }
}

fn write_offset(
    f: &mut Formatter<'_>,
    offset_ms: i64,
    calculation: &Option<DurationExpr>,
) -> fmt::Result {
    if offset_ms == 0 && calculation.is_none() {
        return Ok(());
    }
    write!(f, " offset {}", length(offset_ms, calculation))
}

fn write_extend(f: &mut Formatter<'_>, extend: Extend) -> fmt::Result {
    f.write_str(match extend {
        Extend::No => "",
        Extend::Anchored => " anchored",
        Extend::Smoothed => " smoothed",
    })
}

/// What follows the expression of a subquery.
fn subquery_suffix(subquery: &Subquery) -> impl Display + '_ {
    fmt::from_fn(move |f| {
        let range = length(subquery.range_ms, &subquery.range_expr);
        let step = subquery
            .step_ms
            .map(|step_ms| length(step_ms, &subquery.step_expr));
        write!(f, "[{range}:{}]", step.unwrap_or_default())?;
        write_at(f, subquery.at)?;
        write_offset(f, subquery.offset_ms, &subquery.offset_expr)
    })
}

fn write_chain(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    let (first, operations) = expr.chain();
    write!(f, "{first}")?;
    for (_, binary) in operations {
        f.write_str(" ")?;
        write_operator(f, binary)?;
        write!(f, " {}", binary.rhs)?;
    }
    Ok(())
}

/// The operator of a binary operation with its modifiers.
fn write_operator(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    f.write_str(binary.op.symbol())?;
    if binary.return_bool {
        f.write_str(" bool")?;
    }
    match &binary.matching {
        Some(matching) => write_matching(f, matching),
        None => Ok(()),
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &Matching) -> fmt::Result {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if matching.on || !matching.labels.is_empty() || group.is_some() {
        let keyword = if matching.on { "on" } else { "ignoring" };
        write!(f, " {keyword} ({})", names(&matching.labels))?;
    }
    if let Some(group) = group {
        write!(f, " {group} ({})", names(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", general(left)),
        (left, right) => {
            for (side, fill) in [("left", left), ("right", right)] {
                if let Some(fill) = fill {
                    write!(f, " fill_{side} ({})", general(fill))?;
                }
            }
            Ok(())
        }
    }
}

fn write_aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    write_aggregator(f, aggregate)?;
    f.write_str("(")?;
    if let Some(param) = &aggregate.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", aggregate.expr)
}

/// The operator of an aggregation with its grouping.
fn write_aggregator(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.name())?;
    if aggregate.without {
        write!(f, " without ({}) ", names(&aggregate.grouping))?;
    } else if !aggregate.grouping.is_empty() {
        write!(f, " by ({}) ", names(&aggregate.grouping))?;
    }
    Ok(())
}

fn write_list(f: &mut Formatter<'_>, items: &[Expr]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn names(labels: &[String]) -> String {
    let name = |label: &String| {
        if is_classic_label_name(label) {
            label.clone()
        } else {
            quote(label)
        }
    };
    labels.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Lines longer than this are split where the tree has a branch.
const LINE_BYTES: usize = 100;

impl Expr {
    /// The query over several indented lines where one would be long.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        pretty(self, 0, &mut out);
        out
    }
}

/// Each operation of a chain stands one level deeper than the next one. Beyond so many levels lines
/// begin at the same place, since the blanks of a long chain would be its square.
const INDENT_MAX: usize = 256;

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level.min(INDENT_MAX)));
}

/// The query in one line, if that is short. No node takes less than a byte, so that only of small
/// trees the text has to be written to know it.
fn short_line(expr: &Expr) -> Option<String> {
    if expr.nodes().nth(LINE_BYTES).is_some() {
        return None;
    }
    Some(expr.to_string()).filter(|line| line.len() <= LINE_BYTES)
}

fn pretty(expr: &Expr, level: usize, out: &mut String) {
    stack::level(|| write_lines(expr, level, out));
}

/// The operations of a chain on lines of their own, but for those at its beginning that are short.
fn pretty_chain(expr: &Expr, level: usize, out: &mut String) {
    let mut operations = Vec::new();
    let mut first = expr;
    while let ExprKind::Binary(binary) = &first.kind
        && (operations.is_empty() || short_line(first).is_none())
    {
        operations.push(&**binary);
        first = &binary.lhs;
    }
    pretty(first, level + operations.len(), out);
    for (index, binary) in operations.into_iter().enumerate().rev() {
        out.push('\n');
        indent(level + index, out);
        out.push_str(&fmt::from_fn(|f| write_operator(f, binary)).to_string());
        out.push('\n');
        pretty(&binary.rhs, level + index + 1, out);
    }
}

fn write_lines(expr: &Expr, level: usize, out: &mut String) {
    let line = short_line(expr);
    let is_short = line.is_some();
    match &expr.kind {
        // What a subquery adds follows the lines of its expression, which has the indentation.
        ExprKind::Subquery(_) if is_short => out.push_str(&line.unwrap_or_default()),
        ExprKind::Subquery(subquery) => {
            pretty(&subquery.expr, level, out);
            out.push_str(&subquery_suffix(subquery).to_string());
        }
        ExprKind::Unary(op, inner) => {
            indent(level, out);
            out.push(if *op == UnaryOp::Minus { '-' } else { '+' });
            let mut lines = String::new();
            pretty(inner, level, &mut lines);
            out.push_str(lines.trim());
        }
        ExprKind::Binary(_) if !is_short => pretty_chain(expr, level, out),
        ExprKind::Aggregate(aggregate) if !is_short => {
            indent(level, out);
            out.push_str(&fmt::from_fn(|f| write_aggregator(f, aggregate)).to_string());
            let args = aggregate.param.iter().chain([&aggregate.expr]);
            pretty_args(args, level, out);
        }
        ExprKind::Call(call) if !is_short && !call.args.is_empty() => {
            indent(level, out);
            out.push_str(call.function.name);
            pretty_args(call.args.iter(), level, out);
        }
        ExprKind::Paren(inner) if !is_short => {
            indent(level, out);
            pretty_args([&**inner].into_iter(), level, out);
        }
        _ => {
            indent(level, out);
            out.push_str(&line.unwrap_or_else(|| expr.to_string()));
        }
    }
}

/// Expressions in parentheses, each on lines of its own.
fn pretty_args<'a>(args: impl Iterator<Item = &'a Expr>, level: usize, out: &mut String) {
    out.push('(');
    for (index, arg) in args.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        pretty(arg, level + 1, out);
    }
    out.push('\n');
    indent(level, out);
    out.push(')');
}
