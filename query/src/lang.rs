//! The native search language: `service:checkout status:error duration:>250ms` of traces,
//! `service:checkout "card declined" -level:debug` of log records.
//!
//! ```text
//! or     = and { "OR" and }
//! and    = not { [ "AND" ] not }
//! not    = ( "NOT" | "-" ) not | term
//! term   = "(" or ")" | field ":" test | field ":(" or of tests ")" | word | word"*" | phrase | "*"
//! test   = value | "*" | prefix"*" | glo*b | ">" value | ">=" | "<" | "<=" | "=" | "!=" | a..b | "/" regex "/"
//! ```
//!
//! [`parse`] makes a tree whose nodes know their bytes in the text. The tree compiles to a
//! [`storage::filter::Filter`] over rows and, for conditions such as `trace.duration:>1s` that
//! hold for whole traces, to a [`TraceFilter`]. Whatever the text, the parser ends in a tree
//! or an error with a position: length and depth are limited.

mod ast;
mod complete;
mod cursor;
mod fields;
mod highlight;
mod lower;
mod lower_trace;
mod parser;
mod print;
mod quantity;
mod signals;

use model::Signal;
use storage::filter::{Field, Filter};

use crate::error::QueryError;

pub use ast::{Comparison, Expr, Node, Span, Test, Text, Value};
pub use complete::{Completion, complete};
pub use fields::{
    Shape, Subject, TraceField, enum_values, field_text, intrinsic_names, names_of, subject_of,
};
pub use highlight::{Class, Token, highlight};
pub use lower_trace::TraceFilter;
pub use quantity::duration_nanos;
pub use signals::rows_of;

/// The longest query text in bytes.
pub const LENGTH_MAX: usize = 16 * 1024;
/// How deep parentheses and negations may nest. A level can become two levels of the filter,
/// whose own limit is 64.
pub const DEPTH_MAX: usize = 24;

/// A query for rows, and for the traces around them.
#[derive(Debug, Clone)]
pub struct TraceQuery {
    /// Holds on at least one span of a trace.
    pub rows: Filter,
    /// Holds for the whole trace.
    pub trace: Option<TraceFilter>,
}

/// The tree of a query text.
pub fn parse(text: &str) -> Result<Node, QueryError> {
    parser::parse(text).0
}

/// The condition on rows of a signal that a query text means. Conditions on whole traces are
/// errors, and so are those on fields that rows of the signal never have.
pub fn rows(text: &str, signal: Signal) -> Result<Filter, QueryError> {
    let node = parse(text)?;
    signals::check(&node, signal)?;
    lower::rows(&node)
}

/// The conditions on rows and on whole traces that a query text means.
pub fn traces(text: &str) -> Result<TraceQuery, QueryError> {
    let node = parse(text)?;
    signals::check(&node, Signal::Traces)?;
    lower_trace::split(&node)
}

/// What is wrong with a query text: for rows of a signal or, where none is said, of any.
pub fn check(text: &str, signal: Option<Signal>) -> Result<(), QueryError> {
    match signal {
        None => lower_trace::split(&parse(text)?).map(drop),
        Some(Signal::Traces) => traces(text).map(drop),
        Some(signal) => rows(text, signal).map(drop),
    }
}

/// The field of rows of a signal that a name means, as written before a colon. A name for whole
/// traces is an error. Errors have no place, since the name is not one in a query.
pub fn row_field(name: &str, signal: Signal) -> Result<Field, QueryError> {
    let placeless = |error: QueryError| QueryError {
        span: None,
        ..error
    };
    let node = parse(&format!("{name}:*")).map_err(placeless)?;
    match node.expr {
        Expr::Field {
            subject: Subject::Row(field),
            test: Test::Exists,
            name,
        } => {
            signals::check_field(&field, name, signal).map_err(placeless)?;
            Ok(field)
        }
        _ => Err(
            QueryError::parameter(format!("{name:?} is not the name of a field"))
                .hint("write a field as in a query, for example service or resource.host.name"),
        ),
    }
}

/// A value as it is written after a colon such that it means exactly this text: bare where it
/// can be, else in quotes.
pub fn value_text(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | '+'))
        && !value.contains("..")
        && !matches!(value, "AND" | "OR" | "NOT");
    if plain {
        value.to_owned()
    } else {
        print::quote(value)
    }
}

#[cfg(test)]
mod tests;
