//! Services and their operations with rates, errors and durations.

use std::collections::BTreeMap;

use api::{OperationView, OperationsAnswer, ServiceView, ServicesAnswer};
use model::time::NANOS_PER_SECOND;
use model::{Signal, SpanKind, TimeRange};
use storage::filter::{Field, Filter};
use storage::message::Durations;

use super::{Context, extent};
use crate::error::QueryError;

/// The duration below which this share of the spans lies, from (value, count) pairs by value.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
pub fn quantile(buckets: &[(u64, u64)], q: f64) -> u64 {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = ((total as f64 * q).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    for (value, count) in buckets {
        seen += count;
        if seen >= rank {
            return *value;
        }
    }
    0
}

/// Seconds that a rate is over: those of the range. An open start is that of the first span. An
/// open end is now, since a service that has fallen silent is no longer at its rate, or the end
/// of the last span where a sender's clock is ahead.
#[allow(clippy::cast_precision_loss)]
async fn seconds(
    context: Context<'_>,
    filter: &Filter,
    range: TimeRange,
) -> Result<f64, QueryError> {
    let closed = extent(context, Signal::Traces, filter, range).await?;
    let nanos = closed.map_or(0, |closed| {
        let end = match range.end {
            u64::MAX => closed.end.max(context.now),
            asked => asked,
        };
        end.saturating_sub(closed.start)
    });
    Ok(nanos as f64 / NANOS_PER_SECOND as f64)
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// Spans that stand for a request that a service handled.
fn handled() -> Filter {
    let kind = |kind: SpanKind| Filter::text_equals(Field::Kind, kind.name());
    Filter::Or(vec![kind(SpanKind::Server), kind(SpanKind::Consumer)])
}

/// Every service that sent spans or log records in the range.
pub async fn services(
    context: Context<'_>,
    range: TimeRange,
) -> Result<ServicesAnswer, QueryError> {
    let groups = context.sizes.groups;
    let durations = |filter: Filter| {
        let selection = context.selection(Signal::Traces, filter, range);
        context
            .sources
            .durations(selection, vec![Field::Service], groups, context.work)
    };
    let logs = context.sources.counts(
        context.selection(Signal::Logs, Filter::All, range),
        None,
        vec![Field::Service],
        groups,
        context.work,
    );
    let (requests, all, logs, seconds) = futures::try_join!(
        durations(handled()),
        durations(Filter::All),
        logs,
        seconds(context, &Filter::All, range)
    )?;
    let mut views: BTreeMap<String, ServiceView> = BTreeMap::new();
    fn view<'a>(
        views: &'a mut BTreeMap<String, ServiceView>,
        key: &[String],
    ) -> &'a mut ServiceView {
        let name = key.first().cloned().unwrap_or_default();
        views.entry(name.clone()).or_insert_with(|| ServiceView {
            name,
            ..ServiceView::default()
        })
    }
    // A service without server or consumer spans is measured by all of its spans: what all of
    // them say is written first, what requests say over it.
    for group in &all {
        let view = view(&mut views, &group.key);
        view.spans = group.count;
        measure(view, group, seconds);
    }
    for group in &requests {
        measure(view(&mut views, &group.key), group, seconds);
    }
    for group in &logs.groups {
        view(&mut views, &group.key).logs += group.rows();
    }
    Ok(ServicesAnswer {
        services: views.into_values().collect(),
        completeness: context.work.completeness(),
    })
}

fn measure(view: &mut ServiceView, group: &Durations, seconds: f64) {
    view.errors = group.errors;
    view.rate = rate(group.count, seconds);
    view.p50_nano = quantile(&group.buckets, 0.5);
    view.p99_nano = quantile(&group.buckets, 0.99);
}

/// The operations of one service.
pub async fn operations(
    context: Context<'_>,
    service: &str,
    range: TimeRange,
) -> Result<OperationsAnswer, QueryError> {
    let filter = Filter::text_equals(Field::Service, service);
    let selection = context.selection(Signal::Traces, filter.clone(), range);
    let by = vec![Field::Name, Field::Kind];
    let (groups, seconds) = futures::try_join!(
        context
            .sources
            .durations(selection, by, context.sizes.groups, context.work),
        seconds(context, &filter, range)
    )?;
    let mut operations: Vec<OperationView> = groups
        .into_iter()
        .map(|group| {
            let mut key = group.key.into_iter();
            OperationView {
                name: key.next().unwrap_or_default(),
                kind: key.next().unwrap_or_default(),
                spans: group.count,
                errors: group.errors,
                rate: rate(group.count, seconds),
                p50_nano: quantile(&group.buckets, 0.5),
                p99_nano: quantile(&group.buckets, 0.99),
            }
        })
        .collect();
    operations.sort_by(|a, b| b.spans.cmp(&a.spans).then_with(|| a.name.cmp(&b.name)));
    Ok(OperationsAnswer {
        operations,
        completeness: context.work.completeness(),
    })
}
