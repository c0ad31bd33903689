//! Of what there are most metric series, or most samples.

use api::{CardinalityAnswer, LabelCardinality, ValueCardinality};
use model::TimeRange;
use promql::Matcher;
use storage::message::{Cardinality, CardinalityOf, ValueWeight};

use super::Context;
use super::series::source_matchers;
use crate::error::QueryError;

/// Series that are looked at; of more, so many are counted, and the answer says so.
const SERIES_MAX: usize = 1_000_000;

/// Which series, and what of them.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Conditions on the Prometheus view of their labels; none for all.
    pub matchers: Vec<Matcher>,
    /// Series with samples in it.
    pub range: TimeRange,
    /// The label whose values are wanted; none for those of all but the name.
    pub label: Option<String>,
    /// Whether what has most samples is wanted.
    pub by_samples: bool,
    /// How long each list is.
    pub limit: usize,
}

/// Counts what the sources hold.
pub async fn count(context: Context<'_>, ask: Ask) -> Result<Cardinality, QueryError> {
    let of = CardinalityOf {
        matchers: source_matchers(&ask.matchers),
        label: ask.label,
        by_samples: ask.by_samples,
        series: SERIES_MAX,
        listed: ask.limit,
    };
    let tenant = context.tenant.clone();
    context
        .sources
        .cardinality(tenant, ask.range, of, context.work)
        .await
}

/// The same as the native API answers it.
pub async fn explore(context: Context<'_>, ask: Ask) -> Result<CardinalityAnswer, QueryError> {
    let found = count(context, ask).await?;
    let values = |list: Vec<ValueWeight>| {
        let one = |one: ValueWeight| ValueCardinality {
            label: one.label,
            value: one.value,
            series: one.weight.series,
            samples: one.weight.samples,
        };
        list.into_iter().map(one).collect()
    };
    let labels = found.labels.into_iter().map(|label| LabelCardinality {
        label: label.label,
        values: label.values,
        series: label.weight.series,
        samples: label.weight.samples,
    });
    Ok(CardinalityAnswer {
        series: found.all.series,
        samples: found.all.samples,
        metrics: values(found.metrics),
        labels: labels.collect(),
        values: values(found.values),
        completeness: context.work.completeness(),
    })
}
