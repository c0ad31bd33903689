//! The story of an id: one causal timeline of spans, logs, exemplars and alerts.

mod exemplars;

use std::collections::{BTreeSet, HashSet};

use api::types::{AlertView, Join, StoryAnswer};
use model::{LogRecord, TimeRange};

use super::assemble::{Links, TraceSpan, assemble, distinct};
use super::closure::{Bounds, Seed, walk};
use super::inferred::{Evidence, Inferred, infer};
use super::rows::Rows;
use super::view;
use crate::error::QueryError;

/// Alerts by service and time; the alert rules implement it.
pub trait ActiveAlerts: Send + Sync {
    /// Alerts of these services that were pending or firing at any time in the range.
    fn active(&self, services: &BTreeSet<String>, range: TimeRange) -> Vec<AlertView>;
}

/// No alert rules run here.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAlerts;

impl ActiveAlerts for NoAlerts {
    fn active(&self, _services: &BTreeSet<String>, _range: TimeRange) -> Vec<AlertView> {
        Vec::new()
    }
}

/// What a story is told from.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Stored rows.
    pub rows: &'a dyn Rows,
    /// Alerts.
    pub alerts: &'a dyn ActiveAlerts,
}

/// Tells the story of an id, but for its completeness; none where no stored row carries it.
pub async fn tell(
    context: Context<'_>,
    id: &str,
    range: TimeRange,
    bounds: Bounds,
) -> Result<Option<StoryAnswer>, QueryError> {
    let mut closure = walk(context.rows, &Seed::Id(id.to_owned()), range, bounds).await?;
    if closure.spans.is_empty() && closure.logs.is_empty() {
        return Ok(None);
    }
    let sent = std::mem::take(&mut closure.spans).into_iter();
    let mut spans = distinct(sent.map(TraceSpan::from).collect());
    closure.logs.sort_by_key(LogRecord::corrected_timestamp);
    let hubs: HashSet<String> = closure.hubs.iter().map(|hub| hub.value.clone()).collect();
    let inferred = infer(Evidence {
        spans: &spans,
        logs: &closure.logs,
        hubs: &hubs,
    });
    closure.joins.extend(inferred.iter().map(inferred_join));
    spans.extend(inferred.into_iter().map(|one| one.span));

    let when = extent(&spans, &closure.logs);
    let services = services(&spans, &closure.logs);
    let traces: HashSet<_> = spans.iter().map(|span| span.span.trace_id).collect();
    let exemplars = exemplars::find(context.rows, &traces, &services, when).await;
    let forest = assemble(spans, Links::Follow);
    Ok(Some(StoryAnswer {
        id: id.to_owned(),
        spans: view::span_views(&forest),
        missing_parents: forest
            .missing_parents
            .iter()
            .map(ToString::to_string)
            .collect(),
        logs: closure.logs.iter().map(view::log_view).collect(),
        exemplars,
        alerts: context.alerts.active(&services, when),
        joins: closure.joins,
        hubs: closure.hubs,
        ..StoryAnswer::default()
    }))
}

fn inferred_join(one: &Inferred) -> Join {
    let records = one.records.len();
    let noun = if records == 1 {
        "log record"
    } else {
        "log records"
    };
    let service = one.span.span.resource.service();
    let confidence = one.span.confidence;
    Join {
        from: one.value.clone(),
        to: one.span.span.span_id.to_string(),
        by: one.by.clone(),
        reason: format!(
            "{records} {noun} of {service}, which sent no spans; {} (confidence {confidence})",
            one.reason
        ),
    }
}

/// From the first to the last moment of the story, after clock correction.
fn extent(spans: &[TraceSpan], logs: &[LogRecord]) -> TimeRange {
    let starts = spans
        .iter()
        .map(TraceSpan::start)
        .chain(logs.iter().map(LogRecord::corrected_timestamp));
    let ends = spans
        .iter()
        .map(TraceSpan::end)
        .chain(logs.iter().map(LogRecord::corrected_timestamp));
    let end = ends.max().unwrap_or(u64::MAX);
    TimeRange {
        start: starts.min().unwrap_or(0),
        end: end.saturating_add(1),
    }
}

fn services(spans: &[TraceSpan], logs: &[LogRecord]) -> BTreeSet<String> {
    let spans = spans.iter().map(|span| &span.span.resource);
    let resources = spans.chain(logs.iter().map(|record| &record.resource));
    resources
        .map(|resource| resource.service().to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
