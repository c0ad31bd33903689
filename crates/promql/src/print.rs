//! Writes a syntax tree as a query that reads back as the same tree.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    Aggregate, At, Binary, Cardinality, Expr, ExprKind, Extend, Matching, Selector, Subquery,
    UnaryOp,
};
use crate::duration::DurationExpr;
use crate::format::{duration, quote, quote_bytes, value};
use crate::labels::{METRIC_NAME, is_classic_label_name, is_classic_metric_name};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => f.write_str(&value(*number)),
            ExprKind::String(literal) => match &literal.invalid {
                Some(bytes) => f.write_str(&quote_bytes(bytes)),
                None => f.write_str(&quote(&literal.value)),
            },
            ExprKind::Selector(selector) => {
                write_series(f, selector)?;
                write_modifiers(f, selector.at, (selector.offset_ms, &selector.offset_expr))?;
                write_extend(f, selector.extend)
            }
            ExprKind::Matrix(matrix) => {
                write_series(f, &matrix.selector)?;
                write!(f, "[{}]", length(matrix.range_ms, &matrix.range_expr))?;
                let selector = &matrix.selector;
                write_modifiers(f, selector.at, (selector.offset_ms, &selector.offset_expr))?;
                write_extend(f, matrix.selector.extend)
            }
            ExprKind::Subquery(subquery) => write_subquery(f, subquery),
            ExprKind::Unary(UnaryOp::Plus, expr) => write!(f, "+{expr}"),
            ExprKind::Unary(UnaryOp::Minus, expr) => write!(f, "-{expr}"),
            ExprKind::Binary(binary) => write_binary(f, binary),
            ExprKind::Aggregate(aggregate) => write_aggregate(f, aggregate),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                write_list(f, &call.args)?;
                f.write_str(")")
            }
            ExprKind::Paren(expr) => write!(f, "({expr})"),
        }
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_series(f, self)
    }
}

/// Words that cannot stand as a metric name outside braces.
const NOT_BARE: [&str; 7] = [
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "inf",
    "nan",
];

fn write_series(f: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    let bare = |name: &&String| {
        is_classic_metric_name(name) && !NOT_BARE.iter().any(|word| word.eq_ignore_ascii_case(name))
    };
    let name = selector.name.as_ref();
    let bare_name = name.filter(bare);
    let mut items: Vec<String> = Vec::new();
    if let Some(name) = name
        && bare_name.is_none()
    {
        items.push(quote(name));
    }
    items.extend(
        selector
            .matchers
            .iter()
            .filter(|matcher| name.is_none() || matcher.name != METRIC_NAME)
            .map(ToString::to_string),
    );
    if let Some(name) = bare_name {
        f.write_str(name)?;
        if items.is_empty() {
            return Ok(());
        }
    }
    write!(f, "{{{}}}", items.join(", "))
}

/// A duration as a literal, or as the calculation that it is.
fn length(milliseconds: i64, calculation: &Option<DurationExpr>) -> String {
    match calculation {
        Some(calculation) => calculation.to_string(),
        None => duration(milliseconds),
    }
}

fn write_modifiers(
    f: &mut Formatter<'_>,
    at: Option<At>,
    (offset_ms, calculation): (i64, &Option<DurationExpr>),
) -> fmt::Result {
    match at {
        None => {}
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        Some(At::Time(time_ms)) => {
            let sign = if time_ms < 0 { "-" } else { "" };
            let magnitude = time_ms.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", magnitude / 1000, magnitude % 1000)?;
        }
    }
    if offset_ms != 0 || calculation.is_some() {
        write!(f, " offset {}", length(offset_ms, calculation))?;
    }
    Ok(())
}

fn write_extend(f: &mut Formatter<'_>, extend: Extend) -> fmt::Result {
    f.write_str(match extend {
        Extend::No => "",
        Extend::Anchored => " anchored",
        Extend::Smoothed => " smoothed",
    })
}

fn write_subquery(f: &mut Formatter<'_>, subquery: &Subquery) -> fmt::Result {
    let range = length(subquery.range_ms, &subquery.range_expr);
    let step = subquery
        .step_ms
        .map(|step_ms| length(step_ms, &subquery.step_expr));
    write!(f, "{}[{range}:{}]", subquery.expr, step.unwrap_or_default())?;
    write_modifiers(f, subquery.at, (subquery.offset_ms, &subquery.offset_expr))
}

fn write_binary(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    write!(f, "{} {}", binary.lhs, binary.op.symbol())?;
    if binary.return_bool {
        f.write_str(" bool")?;
    }
    if let Some(matching) = &binary.matching {
        write_matching(f, matching)?;
    }
    write!(f, " {}", binary.rhs)
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
    if let Some(fill) = matching.fill_left {
        write!(f, " fill_left({})", value(fill))?;
    }
    if let Some(fill) = matching.fill_right {
        write!(f, " fill_right({})", value(fill))?;
    }
    Ok(())
}

fn write_aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.name())?;
    if aggregate.without {
        write!(f, " without ({}) ", names(&aggregate.grouping))?;
    } else if !aggregate.grouping.is_empty() {
        write!(f, " by ({}) ", names(&aggregate.grouping))?;
    }
    f.write_str("(")?;
    if let Some(param) = &aggregate.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", aggregate.expr)
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
