//! Conditions on whole traces: `trace.duration:>1s`, `trace.errors:>0`, `trace.root.name:GET*`.
//!
//! A query for traces is a conjunction. Each of its members is either about rows or about whole
//! traces, and may be built of `OR`, `NOT` and parentheses; one that mixes both has no meaning
//! that could be found without reading every trace, and is an error.

use api::TraceSummary;
use regex::Regex;
use storage::filter::Filter;

use super::TraceQuery;
use super::ast::{Comparison, Expr, Node, Test, Value};
use super::cursor::error;
use super::fields::{Shape, Subject, TraceField};
use super::lower::{duration_value, glob_pattern};
use super::quantity::{Number, number};
use crate::error::QueryError;

/// A condition on a whole trace.
#[derive(Debug, Clone)]
pub enum TraceFilter {
    /// All of these.
    And(Vec<TraceFilter>),
    /// Any of these.
    Or(Vec<TraceFilter>),
    /// Not this.
    Not(Box<TraceFilter>),
    /// A number between two others, both inclusive.
    Between {
        /// Which.
        field: TraceField,
        /// At least.
        from: u64,
        /// At most.
        to: u64,
    },
    /// A text that is this.
    Equals {
        /// Which.
        field: TraceField,
        /// The text.
        text: String,
    },
    /// A text that this is found in.
    Matches {
        /// Which.
        field: TraceField,
        /// The pattern.
        pattern: Regex,
    },
    /// No trace.
    Never,
}

impl TraceFilter {
    /// Whether the trace is one of those meant.
    pub fn matches(&self, trace: &TraceSummary) -> bool {
        match self {
            TraceFilter::And(list) => list.iter().all(|filter| filter.matches(trace)),
            TraceFilter::Or(list) => list.iter().any(|filter| filter.matches(trace)),
            TraceFilter::Not(filter) => !filter.matches(trace),
            TraceFilter::Between { field, from, to } => {
                (*from..=*to).contains(&field_number(*field, trace))
            }
            TraceFilter::Equals { field, text } => field_string(*field, trace) == text,
            TraceFilter::Matches { field, pattern } => {
                pattern.is_match(field_string(*field, trace))
            }
            TraceFilter::Never => false,
        }
    }
}

fn field_number(field: TraceField, trace: &TraceSummary) -> u64 {
    match field {
        TraceField::Duration => trace.duration_nano,
        TraceField::Spans => trace.span_count,
        TraceField::Errors => trace.error_count,
        TraceField::RootService | TraceField::RootName => 0,
    }
}

fn field_string(field: TraceField, trace: &TraceSummary) -> &str {
    match field {
        TraceField::RootService => &trace.root_service,
        TraceField::RootName => &trace.root_name,
        TraceField::Duration | TraceField::Spans | TraceField::Errors => "",
    }
}

/// Splits a query into its conditions on rows and on traces.
pub(super) fn split(node: &Node) -> Result<TraceQuery, QueryError> {
    let mut query = TraceQuery {
        rows: Filter::All,
        trace: None,
    };
    let mut conditions = Vec::new();
    members(node, &mut query, &mut conditions)?;
    if !conditions.is_empty() {
        query.trace = Some(TraceFilter::And(conditions));
    }
    Ok(query)
}

fn members(
    node: &Node,
    query: &mut TraceQuery,
    conditions: &mut Vec<TraceFilter>,
) -> Result<(), QueryError> {
    match (&node.expr, about(node)) {
        (Expr::And(nodes), (true, true)) => nodes
            .iter()
            .try_for_each(|node| members(node, query, conditions)),
        (_, (true, true)) => Err(error(
            node.span,
            "a condition on whole traces is mixed with conditions on rows",
        )
        .hint("put the trace. conditions beside the others, not under an OR or NOT with them")),
        (_, (false, true)) => {
            conditions.push(condition(node)?);
            Ok(())
        }
        (_, (_, false)) => {
            let rows = super::lower::rows(node)?;
            query.rows = std::mem::replace(&mut query.rows, Filter::All).and(rows);
            Ok(())
        }
    }
}

/// Whether a condition is about rows and whether it is about traces.
fn about(node: &Node) -> (bool, bool) {
    match &node.expr {
        Expr::All => (false, false),
        Expr::Text(_)
        | Expr::Field {
            subject: Subject::Row(_),
            ..
        } => (true, false),
        Expr::Field {
            subject: Subject::Trace(_),
            ..
        } => (false, true),
        Expr::Not(node) => about(node),
        Expr::And(nodes) | Expr::Or(nodes) => nodes
            .iter()
            .map(about)
            .fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1)),
    }
}

fn condition(node: &Node) -> Result<TraceFilter, QueryError> {
    let list = |nodes: &[Node]| nodes.iter().map(condition).collect::<Result<Vec<_>, _>>();
    Ok(match &node.expr {
        Expr::And(nodes) => TraceFilter::And(list(nodes)?),
        Expr::Or(nodes) => TraceFilter::Or(list(nodes)?),
        Expr::Not(node) => TraceFilter::Not(Box::new(condition(node)?)),
        Expr::Field {
            subject: Subject::Trace(field),
            test,
            ..
        } => match subject_shape(*field) {
            Shape::Text => text(*field, test, node)?,
            shape => numeric(*field, shape, test, node)?,
        },
        // `*` among conditions on traces, and nothing else: `about` has seen to that.
        _ => TraceFilter::And(Vec::new()),
    })
}

fn subject_shape(field: TraceField) -> Shape {
    Subject::Trace(field).shape()
}

fn text(field: TraceField, test: &Test, node: &Node) -> Result<TraceFilter, QueryError> {
    let equals = |value: &Value| TraceFilter::Equals {
        field,
        text: value.text.clone(),
    };
    let matches = |pattern: &str, value: &Value| {
        let pattern = Regex::new(pattern).map_err(|problem| {
            error(value.span, format!("the pattern does not parse: {problem}"))
        })?;
        Ok(TraceFilter::Matches { field, pattern })
    };
    match test {
        Test::Exists => Ok(TraceFilter::And(Vec::new())),
        Test::Is(value) | Test::Equals(value) => Ok(equals(value)),
        Test::Differs(value) => Ok(TraceFilter::Not(Box::new(equals(value)))),
        Test::Prefix(value) => matches(&format!("^{}", regex::escape(&value.text)), value),
        Test::Glob(value) => matches(&glob_pattern(&value.text), value),
        Test::Regex(value) => matches(&value.text, value),
        Test::Compare(..) | Test::Range(..) => Err(error(
            node.span,
            "the names of services and spans have no order to compare by",
        )),
    }
}

fn numeric(
    field: TraceField,
    shape: Shape,
    test: &Test,
    node: &Node,
) -> Result<TraceFilter, QueryError> {
    let parse = |value: &Value| match shape {
        Shape::Duration => duration_value(value),
        _ => match number(&value.text) {
            Some(Number::Int(int)) if int >= 0 => Ok(int.unsigned_abs()),
            _ => Err(error(
                value.span,
                format!("{:?} is not a whole number", value.text),
            )),
        },
    };
    let between = |from: u64, to: u64| TraceFilter::Between { field, from, to };
    Ok(match test {
        Test::Exists => TraceFilter::And(Vec::new()),
        Test::Is(value) | Test::Equals(value) => between(parse(value)?, parse(value)?),
        Test::Differs(value) => TraceFilter::Not(Box::new(between(parse(value)?, parse(value)?))),
        Test::Compare(Comparison::Less, value) => match parse(value)?.checked_sub(1) {
            Some(to) => between(0, to),
            None => TraceFilter::Never,
        },
        Test::Compare(Comparison::LessOrEqual, value) => between(0, parse(value)?),
        Test::Compare(Comparison::Greater, value) => match parse(value)?.checked_add(1) {
            Some(from) => between(from, u64::MAX),
            None => TraceFilter::Never,
        },
        Test::Compare(Comparison::GreaterOrEqual, value) => between(parse(value)?, u64::MAX),
        Test::Range(from, to) => between(
            from.as_ref().map_or(Ok(0), parse)?,
            to.as_ref().map_or(Ok(u64::MAX), parse)?,
        ),
        Test::Prefix(_) | Test::Glob(_) | Test::Regex(_) => {
            let name = Subject::Trace(field).text();
            return Err(error(node.span, format!("{name} is a number, not text"))
                .hint(format!("compare it, for example {name}:>value")));
        }
    })
}
