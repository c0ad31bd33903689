//! `label_replace`, `label_join`, `sort_by_label`: functions that look at labels only.

use std::cmp::Ordering;

use super::column::{Rows, merge};
use super::{Context, eval_rows, string_literal};
use crate::ast::Call;
use crate::engine::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::anchored_regex;
use crate::plan::Grid;

/// An argument that names a label.
fn label_name<'c>(call: &'c Call, index: usize, role: &str) -> Result<&'c str, Error> {
    let literal = string_literal(&call.args[index])?;
    if literal.value.is_empty() || literal.invalid.is_some() {
        let function = call.function.name;
        return Err(Error::Execution(format!(
            "invalid {role} label name in {function}(): {}",
            literal.value
        )));
    }
    Ok(&literal.value)
}

fn text(call: &Call, index: usize) -> Result<&str, Error> {
    Ok(&string_literal(&call.args[index])?.value)
}

fn set_label(
    context: &Context<'_>,
    rows: &mut Rows,
    name: &str,
    value: impl Fn(&Labels) -> Option<String>,
) -> Result<(), Error> {
    for row in rows {
        context.limits.check()?;
        let Some(value) = value(&row.labels) else {
            continue;
        };
        row.labels = row.labels.with(name, &value);
        if name == METRIC_NAME {
            // The name is now one that the query gave.
            row.drop_name = false;
        }
    }
    Ok(())
}

pub(super) fn replace(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let replacement = text(call, 2)?;
    let source = text(call, 3)?;
    let pattern = text(call, 4)?;
    let regex = anchored_regex(pattern).map_err(|_| {
        Error::Execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    })?;
    let target = label_name(call, 1, "destination")?;
    let mut rows = eval_rows(context, &call.args[0], grid)?;
    set_label(context, &mut rows, target, |labels| {
        let captures = regex.captures(labels.value(source))?;
        let mut value = String::new();
        captures.expand(replacement, &mut value);
        Some(value)
    })?;
    merge(rows)
}

pub(super) fn join(context: &Context<'_>, call: &Call, grid: Grid) -> Result<Rows, Error> {
    let separator = text(call, 2)?;
    let sources = (3..call.args.len())
        .map(|index| label_name(call, index, "source"))
        .collect::<Result<Vec<_>, _>>()?;
    let target = label_name(call, 1, "destination")?;
    let mut rows = eval_rows(context, &call.args[0], grid)?;
    set_label(context, &mut rows, target, |labels| {
        let values: Vec<&str> = sources.iter().map(|source| labels.value(source)).collect();
        Some(values.join(separator))
    })?;
    merge(rows)
}

pub(super) fn sort(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    descending: bool,
) -> Result<Rows, Error> {
    let names = (1..call.args.len())
        .map(|index| text(call, index))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = eval_rows(context, &call.args[0], grid)?;
    rows.sort_by(|a, b| {
        let by_name = |name: &&str| natural(a.labels.value(name), b.labels.value(name));
        let order = names
            .iter()
            .map(by_name)
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    Ok(rows)
}

/// Compares texts so that numbers in them are in the order of their values.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (chunk_a, rest_a) = chunk(a);
        let (chunk_b, rest_b) = chunk(b);
        let order = match (chunk_a.parse::<u64>(), chunk_b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => chunk_a.cmp(chunk_b),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len())
}

/// The leading run of digits, or of anything else.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_are_in_order() {
        let mut texts = ["v10", "v9", "v", "v9b", "1.10", "1.9", "v9a2", "v9a10", ""];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(
            texts,
            ["", "1.9", "1.10", "v", "v9", "v9a2", "v9a10", "v9b", "v10"]
        );
    }
}
