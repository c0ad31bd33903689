//! Completion of a query that is being typed.

use api::{CompleteAnswer, CompletionView};
use indexmap::IndexMap;
use model::{Signal, TimeRange};
use storage::filter::{Field, Filter, Level};

use super::Context;
use crate::error::QueryError;
use crate::lang::{Completion, Subject, complete, enum_values, field_text, names_of};

/// How many suggestions an answer has.
const SUGGESTIONS: usize = 50;

/// What could stand at the cursor: field names, or values of the field before it.
pub async fn suggest(
    context: Context<'_>,
    text: &str,
    cursor: usize,
    signal: Signal,
    range: TimeRange,
) -> Result<CompleteAnswer, QueryError> {
    let mut answer = CompleteAnswer::default();
    match complete(text, cursor) {
        Completion::Nothing => "nothing".clone_into(&mut answer.context),
        Completion::Field { prefix, span } => {
            "field".clone_into(&mut answer.context);
            (answer.start, answer.end) = (span.start, span.end);
            answer.suggestions = field_names(context, &prefix, signal, range).await?;
        }
        Completion::Value {
            subject,
            prefix,
            span,
        } => {
            "value".clone_into(&mut answer.context);
            answer.field = subject.text();
            (answer.start, answer.end) = (span.start, span.end);
            answer.suggestions = field_values(context, &subject, prefix, signal, range).await?;
        }
    }
    answer.completeness = context.work.completeness();
    Ok(answer)
}

async fn field_names(
    context: Context<'_>,
    prefix: &str,
    signal: Signal,
    range: TimeRange,
) -> Result<Vec<CompletionView>, QueryError> {
    let selection = context.selection(signal, Filter::All, range);
    let known = context.sources.fields(selection, context.work).await?;
    let mut names: IndexMap<String, u64> = IndexMap::new();
    for field in known {
        if let Some(text) = name_beginning(field.field, prefix) {
            // A field of several types or levels is one name.
            *names.entry(text).or_default() += field.count;
        }
    }
    for name in names_of(signal).filter(|name| name.starts_with(prefix)) {
        names.entry(name.to_owned()).or_default();
    }
    let names = names.into_iter().take(SUGGESTIONS);
    let names = names.map(|(text, count)| CompletionView { text, count });
    Ok(names.collect())
}

/// How a field is named by what begins so: an attribute by its key alone, or by whose it is as
/// well where that is being typed.
fn name_beginning(field: Field, prefix: &str) -> Option<String> {
    let exact = field_text(&field);
    let short = match field {
        Field::Attribute { key, .. } => field_text(&Field::Attribute {
            level: Level::Any,
            key,
        }),
        _ => exact.clone(),
    };
    let fits =
        |text: &str| text.starts_with(prefix) || text.trim_start_matches('"').starts_with(prefix);
    [short, exact].into_iter().find(|text| fits(text))
}

async fn field_values(
    context: Context<'_>,
    subject: &Subject,
    prefix: String,
    signal: Signal,
    range: TimeRange,
) -> Result<Vec<CompletionView>, QueryError> {
    let fixed = enum_values(subject);
    if !fixed.is_empty() {
        let fitting = fixed
            .iter()
            .filter(|value| value.starts_with(&prefix.to_lowercase()));
        return Ok(fitting
            .map(|value| CompletionView {
                text: (*value).to_owned(),
                count: 0,
            })
            .collect());
    }
    let Subject::Row(field) = subject else {
        return Ok(Vec::new());
    };
    let selection = context.selection(signal, Filter::All, range);
    let values = context
        .sources
        .values(selection, field.clone(), prefix, SUGGESTIONS, context.work)
        .await?;
    Ok(values
        .into_iter()
        .map(|value| CompletionView {
            text: crate::lang::value_text(&value.value),
            count: value.count,
        })
        .collect())
}
