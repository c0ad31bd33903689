//! From tree to the condition on rows that the sources evaluate.

use model::log::level_range;
use storage::filter::{Field, Filter, Op, Operand};

use super::ast::{Comparison, Expr, Node, Test, Text, Value};
use super::cursor::error;
use super::fields::{LEVELS, Shape, Subject};
use super::quantity::{DurationError, Number, duration_nanos, number};
use crate::error::QueryError;
use crate::nearest::nearest;

type Lowered = Result<Filter, QueryError>;

/// The condition on rows; conditions on whole traces are errors.
pub(super) fn rows(node: &Node) -> Lowered {
    Ok(match &node.expr {
        Expr::All => Filter::All,
        Expr::And(nodes) => Filter::And(nodes.iter().map(rows).collect::<Result<_, _>>()?),
        Expr::Or(nodes) => Filter::Or(nodes.iter().map(rows).collect::<Result<_, _>>()?),
        Expr::Not(node) => Filter::Not(Box::new(rows(node)?)),
        Expr::Text(text) => words(None, text),
        Expr::Field {
            subject: Subject::Row(field),
            test,
            ..
        } => row(field, test)?,
        Expr::Field { subject, name, .. } => {
            let message = format!("{} holds for whole traces, not for a row", subject.text());
            return Err(error(*name, message)
                .hint("use it in a trace search, beside the other conditions or negated"));
        }
    })
}

fn words(field: Option<Field>, text: &Text) -> Filter {
    let words = storage::words::split(&text.text);
    let phrase = words.len() > 1;
    Filter::Words {
        field,
        words,
        phrase,
        prefix: text.prefix,
    }
}

fn row(field: &Field, test: &Test) -> Lowered {
    // What every shape answers in the same way.
    match test {
        Test::Exists => return Ok(Filter::Exists(field.clone())),
        Test::Differs(value) => {
            let equals = row(field, &Test::Equals(value.clone()))?;
            return Ok(Filter::And(vec![
                Filter::Exists(field.clone()),
                Filter::Not(Box::new(equals)),
            ]));
        }
        _ => {}
    }
    match Subject::Row(field.clone()).shape() {
        Shape::Text => text(field, test),
        Shape::Body => body(field, test),
        Shape::Choice(choices) => choice(field, choices, test),
        Shape::Level => level(test),
        Shape::Severity | Shape::Count => severity(field, test),
        Shape::Duration => duration(field, test),
        Shape::Id(digits) => id(field, digits, test),
        Shape::Attribute => attribute(field, test),
    }
}

fn compare(field: &Field, op: Op, value: Operand) -> Filter {
    Filter::Compare {
        field: field.clone(),
        op,
        value,
    }
}

fn operator(comparison: Comparison) -> Op {
    match comparison {
        Comparison::Less => Op::Lt,
        Comparison::LessOrEqual => Op::Le,
        Comparison::Greater => Op::Gt,
        Comparison::GreaterOrEqual => Op::Ge,
    }
}

/// The pattern of a glob: `*` is any text, the rest is itself.
pub(super) fn glob_pattern(glob: &str) -> String {
    let parts: Vec<String> = glob.split('*').map(regex::escape).collect();
    format!("^(?s:{})$", parts.join(".*"))
}

/// Pattern tests, which work on the text of any field that has one.
fn pattern(field: &Field, test: &Test) -> Option<Filter> {
    let field = field.clone();
    Some(match test {
        Test::Regex(value) => Filter::Regex {
            field,
            pattern: value.text.clone(),
        },
        Test::Glob(value) => Filter::Regex {
            field,
            pattern: glob_pattern(&value.text),
        },
        Test::Prefix(value) => Filter::Prefix {
            field,
            prefix: value.text.clone(),
        },
        _ => return None,
    })
}

fn unordered(field: &Field, test: &Test) -> QueryError {
    let name = Subject::Row(field.clone()).text();
    let span = span_of(test);
    error(span, format!("{name} has no order to compare by")).hint(format!("write {name}:value"))
}

fn span_of(test: &Test) -> super::ast::Span {
    match test {
        Test::Exists => super::ast::Span::default(),
        Test::Is(value)
        | Test::Equals(value)
        | Test::Differs(value)
        | Test::Compare(_, value)
        | Test::Prefix(value)
        | Test::Glob(value)
        | Test::Regex(value) => value.span,
        Test::Range(from, to) => from
            .as_ref()
            .or(to.as_ref())
            .map(|v| v.span)
            .unwrap_or_default(),
    }
}

fn text(field: &Field, test: &Test) -> Lowered {
    if let Some(filter) = pattern(field, test) {
        return Ok(filter);
    }
    match test {
        Test::Is(value) | Test::Equals(value) => {
            Ok(Filter::text_equals(field.clone(), value.text.clone()))
        }
        Test::Compare(comparison, value) => Ok(compare(
            field,
            operator(*comparison),
            Operand::Text(value.text.clone()),
        )),
        _ => Err(unordered(field, test)),
    }
}

fn body(field: &Field, test: &Test) -> Lowered {
    let searched = |value: &Value, prefix: bool| {
        let text = Text {
            text: value.text.clone(),
            quoted: value.quoted,
            prefix,
        };
        if storage::words::split(&text.text).is_empty() {
            return Err(
                error(value.span, "there is no letter or digit to search for")
                    .hint("use body:=\"text\" for the whole body or body:/regex/ for a part"),
            );
        }
        Ok(words(Some(field.clone()), &text))
    };
    match test {
        Test::Is(value) => searched(value, false),
        Test::Prefix(value) => searched(value, true),
        Test::Equals(value) => Ok(Filter::text_equals(field.clone(), value.text.clone())),
        Test::Regex(_) | Test::Glob(_) => {
            pattern(field, test).ok_or_else(|| unordered(field, test))
        }
        _ => Err(unordered(field, test)),
    }
}

fn choice(field: &Field, choices: &[&str], test: &Test) -> Lowered {
    if let Some(filter) = pattern(field, test) {
        return Ok(filter);
    }
    let (Test::Is(value) | Test::Equals(value)) = test else {
        return Err(unordered(field, test));
    };
    let lower = value.text.to_ascii_lowercase();
    if !choices.contains(&lower.as_str()) {
        let name = Subject::Row(field.clone()).text();
        return Err(unknown_choice(&name, choices, value));
    }
    Ok(Filter::text_equals(field.clone(), lower))
}

fn unknown_choice(name: &str, choices: &[&str], value: &Value) -> QueryError {
    let problem = error(value.span, format!("{name} is never {:?}", value.text));
    match nearest(&value.text, choices.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint(format!("it is one of {}", choices.join(", "))),
    }
}

/// First and last severity number of a level as written.
fn level_bounds(value: &Value) -> Result<(i64, i64), QueryError> {
    level_range(&value.text)
        .map(|(first, last)| (i64::from(first), i64::from(last)))
        .ok_or_else(|| unknown_choice("level", LEVELS, value))
}

fn level(test: &Test) -> Lowered {
    let severity = |op: Op, number: i64| compare(&Field::Severity, op, Operand::Int(number));
    Ok(match test {
        Test::Is(value) | Test::Equals(value) => {
            let (first, _) = level_bounds(value)?;
            let name = i32::try_from(first).ok().and_then(model::log::level_name);
            Filter::text_equals(Field::Level, name.unwrap_or_default())
        }
        Test::Compare(Comparison::Less, value) => severity(Op::Lt, level_bounds(value)?.0),
        Test::Compare(Comparison::LessOrEqual, value) => severity(Op::Le, level_bounds(value)?.1),
        Test::Compare(Comparison::Greater, value) => severity(Op::Gt, level_bounds(value)?.1),
        Test::Compare(Comparison::GreaterOrEqual, value) => {
            severity(Op::Ge, level_bounds(value)?.0)
        }
        Test::Range(from, to) => {
            let from = from.as_ref().map(level_bounds).transpose()?;
            let to = to.as_ref().map(level_bounds).transpose()?;
            both(
                from.map(|(first, _)| severity(Op::Ge, first)),
                to.map(|(_, last)| severity(Op::Le, last)),
            )
        }
        _ => return pattern(&Field::Level, test).ok_or_else(|| unordered(&Field::Level, test)),
    })
}

fn both(from: Option<Filter>, to: Option<Filter>) -> Filter {
    from.unwrap_or(Filter::All).and(to.unwrap_or(Filter::All))
}

/// Whatever has an order: equality, comparisons and ranges over parsed values.
fn ordered(
    field: &Field,
    test: &Test,
    parse: &dyn Fn(&Value) -> Result<Operand, QueryError>,
) -> Lowered {
    Ok(match test {
        Test::Is(value) | Test::Equals(value) => compare(field, Op::Eq, parse(value)?),
        Test::Compare(comparison, value) => compare(field, operator(*comparison), parse(value)?),
        Test::Range(from, to) => {
            let from = from.as_ref().map(parse).transpose()?;
            let to = to.as_ref().map(parse).transpose()?;
            both(
                from.map(|value| compare(field, Op::Ge, value)),
                to.map(|value| compare(field, Op::Le, value)),
            )
        }
        _ => {
            let name = Subject::Row(field.clone()).text();
            return Err(
                error(span_of(test), format!("{name} is a number, not text")).hint(format!(
                    "compare it, for example {name}:>value or {name}:a..b"
                )),
            );
        }
    })
}

fn severity(field: &Field, test: &Test) -> Lowered {
    ordered(field, test, &|value| {
        if let Some(Number::Int(int)) = number(&value.text).filter(|_| !value.quoted) {
            return Ok(Operand::Int(int));
        }
        let problem = error(value.span, "severity is a number from 1 to 24");
        Err(match level_range(&value.text) {
            Some(_) => problem.hint(format!("write level:{}", value.text)),
            None => problem,
        })
    })
}

fn duration(field: &Field, test: &Test) -> Lowered {
    ordered(field, test, &|value| {
        let nanos = duration_value(value)?;
        Ok(Operand::Int(i64::try_from(nanos).unwrap_or(i64::MAX)))
    })
}

/// Nanoseconds of a duration as written.
pub(super) fn duration_value(value: &Value) -> Result<u64, QueryError> {
    const UNITS: &str = "units are ns, us, ms, s, m, h and d";
    duration_nanos(&value.text).map_err(|problem| match problem {
        DurationError::NoUnit => error(value.span, "a duration needs a unit")
            .hint(format!("write {0}ms or {0}s; {UNITS}", value.text)),
        DurationError::Malformed => {
            error(value.span, format!("{:?} is not a duration", value.text))
                .hint(format!("write for example 250ms or 1m30s; {UNITS}"))
        }
        DurationError::TooLong => error(value.span, "the duration is longer than 584 years"),
    })
}

fn id(field: &Field, digits: usize, test: &Test) -> Lowered {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match test {
        Test::Is(value) | Test::Equals(value) => {
            if value.text.len() != digits || !is_hex(&value.text) {
                let name = Subject::Row(field.clone()).text();
                let message = format!("{name} is {digits} hex digits, not {:?}", value.text);
                return Err(error(value.span, message).hint("write the beginning and * for a part"));
            }
            Ok(Filter::text_equals(
                field.clone(),
                value.text.to_ascii_lowercase(),
            ))
        }
        Test::Prefix(value) if is_hex(&value.text) && value.text.len() <= digits => {
            Ok(Filter::Prefix {
                field: field.clone(),
                prefix: value.text.to_ascii_lowercase(),
            })
        }
        Test::Prefix(value) => Err(error(
            value.span,
            format!(
                "{:?} does not begin an id of {digits} hex digits",
                value.text
            ),
        )),
        Test::Regex(_) | Test::Glob(_) => {
            pattern(field, test).ok_or_else(|| unordered(field, test))
        }
        _ => Err(unordered(field, test)),
    }
}

fn attribute(field: &Field, test: &Test) -> Lowered {
    if let Some(filter) = pattern(field, test) {
        return Ok(filter);
    }
    match test {
        Test::Is(value) | Test::Equals(value) => {
            let operand = if value.quoted {
                Operand::Text(value.text.clone())
            } else {
                Operand::Literal(value.text.clone())
            };
            Ok(compare(field, Op::Eq, operand))
        }
        _ => ordered(field, test, &|value| attribute_operand(field, value)),
    }
}

fn attribute_operand(field: &Field, value: &Value) -> Result<Operand, QueryError> {
    if value.quoted {
        return Ok(Operand::Text(value.text.clone()));
    }
    match number(&value.text) {
        Some(Number::Int(int)) => Ok(Operand::Int(int)),
        Some(Number::Double(double)) => Ok(Operand::Double(double)),
        None => {
            let name = Subject::Row(field.clone()).text();
            let problem = error(
                value.span,
                format!("{:?} is not a number to compare {name} with", value.text),
            );
            let is_duration = duration_nanos(&value.text).is_ok();
            Err(match nearest(&name, super::intrinsic_names()) {
                Some(near) if is_duration => problem.hint(format!("did you mean {near}?")),
                _ if is_duration => {
                    problem.hint("an attribute is compared in its own unit, as a plain number")
                }
                _ => problem.hint("quote the value to compare text"),
            })
        }
    }
}
