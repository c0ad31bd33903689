//! What may be wrong with a question that found nothing.
//!
//! A condition on an attribute that no row has is no error: rows that have it may come later.
//! But a mistyped name looks just like one, so an empty first page says which of its fields no
//! row has, and which field is the nearest. That is asked once and costs little, or is left out.

use model::{Signal, TimeRange};
use storage::filter::{Field, Filter, Level};
use storage::message::Limits;

use super::Context;
use crate::error::QueryError;
use crate::lang::{field_text, names_of, rows_of};
use crate::nearest::nearest;
use crate::sources::ANSWER_BYTES;

/// What looking for the names of fields may cost.
const COST: Limits = Limits {
    timeout_ms: 1_000,
    scanned_bytes: 32 << 20,
    answer_bytes: ANSWER_BYTES,
};

/// How many attributes of a question are looked at.
const ATTRIBUTES: usize = 10;

/// Notes in the account which attributes of the filter no row of the range has. Nothing is noted
/// where that is not certain.
pub async fn unknown_fields(
    context: Context<'_>,
    signal: Signal,
    filter: &Filter,
    range: TimeRange,
) -> Result<(), QueryError> {
    let mut asked = Vec::new();
    attributes(filter, &mut asked);
    if asked.is_empty() {
        return Ok(());
    }
    let Ok(aside) = context.work.aside(COST) else {
        return Ok(());
    };
    let selection = context.selection(signal, Filter::All, range);
    let known = context.sources.fields(selection, &aside).await;
    let whole = !aside.is_cut();
    context.work.take_over(aside);
    let Ok(known) = known else { return Ok(()) };
    // Where there is no row at all, no name is at fault.
    if !whole || known.is_empty() {
        return Ok(());
    }
    let known: Vec<Field> = known.into_iter().map(|field| field.field).collect();
    for field in asked {
        if !known.iter().any(|known| is_one_of(known, &field)) {
            context.work.hint(unknown(&field, &known, signal));
        }
    }
    Ok(())
}

/// The first attributes that the conditions of a filter are on, each once, but for those of events
/// and links, which are in no list of fields.
fn attributes(filter: &Filter, found: &mut Vec<Field>) {
    let field = match filter {
        Filter::All => return,
        Filter::And(list) | Filter::Or(list) => {
            return list.iter().for_each(|inner| attributes(inner, found));
        }
        Filter::Not(inner) => return attributes(inner, found),
        Filter::Words { field, .. } => field.as_ref(),
        Filter::Exists(field)
        | Filter::Compare { field, .. }
        | Filter::AnyOf { field, .. }
        | Filter::Regex { field, .. }
        | Filter::Prefix { field, .. } => Some(field),
    };
    if let Some(field @ Field::Attribute { level, .. }) = field
        && found.len() < ATTRIBUTES
        && !matches!(level, Level::Event | Level::Link)
        && !found.contains(field)
    {
        found.push(field.clone());
    }
}

/// Whether a field that rows have is the one that a condition is on.
fn is_one_of(known: &Field, asked: &Field) -> bool {
    match (known, asked) {
        (
            Field::Attribute { level: has, key },
            Field::Attribute {
                level,
                key: asked_key,
            },
        ) => key == asked_key && (*level == Level::Any || level == has),
        _ => false,
    }
}

fn unknown(asked: &Field, known: &[Field], signal: Signal) -> String {
    let name = field_text(asked);
    let rows = rows_of(signal);
    let message = format!("the {rows} of the time range have no field {name}");
    let meant = match asked {
        Field::Attribute {
            level: Level::Any,
            key,
        } => nearest(key, keys(known).chain(names_of(signal))).map(str::to_owned),
        Field::Attribute { key, .. } => nearest(key, keys(known)).map(|near| {
            let of_key =
                |field: &&Field| matches!(field, Field::Attribute { key, .. } if key == near);
            known
                .iter()
                .find(of_key)
                .map_or_else(String::new, field_text)
        }),
        _ => None,
    };
    match meant {
        Some(meant) => format!("{message}; did you mean {meant}?"),
        None => message,
    }
}

fn keys(known: &[Field]) -> impl Iterator<Item = &str> {
    known.iter().filter_map(|field| match field {
        Field::Attribute { key, .. } => Some(key.as_str()),
        _ => None,
    })
}
