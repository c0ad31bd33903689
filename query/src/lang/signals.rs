//! Whether the rows that a query is about can have the fields that it names.
//!
//! A condition on a field that no row of the signal has is true for none of them. Nobody means
//! that, so it is an error which says where the field belongs and what to write instead.

use model::Signal;
use storage::filter::{Field, Level};

use super::ast::{Expr, Node, Span};
use super::cursor::error;
use super::fields::{Subject, counterpart, field_text, signals_of};
use crate::error::QueryError;

/// An error if a condition is on a field that rows of this signal never have.
pub(super) fn check(node: &Node, signal: Signal) -> Result<(), QueryError> {
    match &node.expr {
        Expr::And(nodes) | Expr::Or(nodes) => nodes.iter().try_for_each(|node| check(node, signal)),
        Expr::Not(node) => check(node, signal),
        Expr::Field {
            subject: Subject::Row(field),
            name,
            ..
        } => check_field(field, *name, signal),
        Expr::Field { .. } | Expr::Text(_) | Expr::All => Ok(()),
    }
}

/// The same for one field.
pub(super) fn check_field(field: &Field, place: Span, signal: Signal) -> Result<(), QueryError> {
    let owners = signals_of(field);
    if owners.contains(&signal) {
        return Ok(());
    }
    let name = field_text(field);
    let rows: Vec<&str> = owners.iter().copied().map(rows_of).collect();
    let message = format!(
        "{name} is a field of {}, which {} do not have",
        rows.join(" and "),
        rows_of(signal)
    );
    let own = match field {
        Field::Attribute { key, level } => Field::Attribute {
            level: Level::Row,
            key: match level {
                Level::Event => format!("event.{key}"),
                Level::Link => format!("link.{key}"),
                Level::Any | Level::Row | Level::Scope | Level::Resource => key.clone(),
            },
        },
        _ => Field::Attribute {
            level: Level::Row,
            key: name,
        },
    };
    let attribute = format!("write {} for an attribute of that name", field_text(&own));
    Err(
        error(place, message).hint(match counterpart(field, signal) {
            Some(instead) => format!("did you mean {instead}? {attribute}"),
            None => attribute,
        }),
    )
}

/// What the rows of a signal are called.
pub fn rows_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Logs => "log records",
        Signal::Metrics => "data points",
    }
}
