//! Names of fields and their values, for browsing and completion.

use api::{FieldView, FieldsAnswer, ValueView, ValuesAnswer};
use model::{Signal, TimeRange};
use storage::filter::{Field, Filter};

use super::Context;
use crate::error::QueryError;
use crate::lang::field_text;

/// Fields of the rows that match.
pub async fn fields(
    context: Context<'_>,
    signal: Signal,
    filter: Filter,
    range: TimeRange,
) -> Result<FieldsAnswer, QueryError> {
    let selection = context.selection(signal, filter, range);
    let found = context.sources.fields(selection, context.work).await?;
    let fields = found
        .into_iter()
        .map(|field| FieldView {
            name: field_text(&field.field),
            kind: field.kind,
            count: field.count,
        })
        .collect();
    Ok(FieldsAnswer {
        fields,
        completeness: context.work.completeness(),
    })
}

/// Values of one field.
#[derive(Debug, Clone)]
pub struct ValuesOf {
    /// Over rows of which signal.
    pub signal: Signal,
    /// Over which of them.
    pub filter: Filter,
    /// When.
    pub range: TimeRange,
    /// The field.
    pub field: Field,
    /// Only values that begin so.
    pub prefix: String,
    /// How many, most frequent first.
    pub limit: usize,
}

/// Finds the values of a field.
pub async fn values(context: Context<'_>, ask: ValuesOf) -> Result<ValuesAnswer, QueryError> {
    let selection = context.selection(ask.signal, ask.filter, ask.range);
    let found = context
        .sources
        .values(selection, ask.field, ask.prefix, ask.limit, context.work)
        .await?;
    let values = found
        .into_iter()
        .map(|value| ValueView {
            value: value.value,
            count: value.count,
        })
        .collect();
    Ok(ValuesAnswer {
        values,
        completeness: context.work.completeness(),
    })
}
