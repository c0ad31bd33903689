//! Rows in memory for tests, filtered by brute force.

use futures::future::BoxFuture;
use model::{KeyValue, LogRecord, Resource, Span, SpanId, SpanKind, TimeRange, TraceId};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use storage::filter::{Field, Filter, Op, Operand};
use storage::message::{Matcher, SeriesPoints};

use super::rows::{Ask, Rows};
use crate::error::QueryError;

/// Rows in memory, and the cuts that were noted.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) spans: Vec<Span>,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) series: Vec<SeriesPoints>,
    pub(crate) cuts: Mutex<Vec<String>>,
}

/// The texts of a field of a row.
type Texts<'a> = dyn Fn(&Field) -> Vec<String> + 'a;

fn matches(filter: &Filter, texts: &Texts<'_>) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(all) => all.iter().all(|one| matches(one, texts)),
        Filter::Or(any) => any.iter().any(|one| matches(one, texts)),
        Filter::Not(one) => !matches(one, texts),
        Filter::AnyOf { field, values } => texts(field).iter().any(|text| values.contains(text)),
        Filter::Compare {
            field,
            op: Op::Eq,
            value: Operand::Text(value) | Operand::Literal(value),
        } => texts(field).contains(value),
        other => panic!("the fake knows no {other:?}"),
    }
}

fn span_texts(span: &Span, field: &Field) -> Vec<String> {
    match field {
        Field::TraceId => vec![span.trace_id.to_string()],
        Field::SpanId => vec![span.span_id.to_string()],
        Field::Service => vec![span.resource.service().to_owned()],
        Field::Name => vec![span.name.clone()],
        Field::LinkTraceId => span
            .links
            .iter()
            .filter_map(|link| TraceId::from_wire(&link.trace_id))
            .map(|trace| trace.to_string())
            .collect(),
        Field::Correlation => span
            .correlation
            .iter()
            .map(|(_, value)| value.clone())
            .collect(),
        other => panic!("the fake knows no {other:?}"),
    }
}

fn log_texts(record: &LogRecord, field: &Field) -> Vec<String> {
    match field {
        Field::TraceId => record
            .trace_id
            .map(|id| id.to_string())
            .into_iter()
            .collect(),
        Field::SpanId => record
            .span_id
            .map(|id| id.to_string())
            .into_iter()
            .collect(),
        Field::Correlation => record
            .correlation
            .iter()
            .map(|(_, value)| value.clone())
            .collect(),
        other => panic!("the fake knows no {other:?}"),
    }
}

impl Rows for Fake {
    fn spans(&self, ask: Ask) -> BoxFuture<'_, Result<Vec<Span>, QueryError>> {
        let mut traces = HashSet::new();
        let mut found = Vec::new();
        let mut all: Vec<&Span> = self.spans.iter().collect();
        all.sort_by_key(|span| std::cmp::Reverse(span.start_unix_nano));
        for span in all {
            let inside = ask.range.overlaps(span.start_unix_nano, span.end_unix_nano);
            if !inside || !matches(&ask.filter, &|field| span_texts(span, field)) {
                continue;
            }
            traces.insert(span.trace_id);
            if found.len() == ask.limit || ask.traces.is_some_and(|limit| traces.len() > limit) {
                break;
            }
            found.push(span.clone());
        }
        Box::pin(std::future::ready(Ok(found)))
    }

    fn logs(&self, ask: Ask) -> BoxFuture<'_, Result<Vec<LogRecord>, QueryError>> {
        let mut found: Vec<LogRecord> = self
            .logs
            .iter()
            .filter(|record| {
                ask.range.contains(record.timestamp())
                    && matches(&ask.filter, &|field| log_texts(record, field))
            })
            .cloned()
            .collect();
        found.sort_by_key(|record| std::cmp::Reverse(record.timestamp()));
        found.truncate(ask.limit);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn series(
        &self,
        matchers: Vec<Matcher>,
        _range: TimeRange,
        _limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SeriesPoints>, QueryError>> {
        let by_job = matchers.iter().any(|matcher| matcher.name == "job");
        let found = if by_job {
            self.series.clone()
        } else {
            Vec::new()
        };
        Box::pin(std::future::ready(Ok(found)))
    }

    fn cut(&self, limit: &str, value: String, _hint: &str) {
        self.cuts.lock().push(format!("{limit}={value}"));
    }
}

/// A resource of this service.
pub(crate) fn resource(service: &str) -> Arc<Resource> {
    let attributes = vec![KeyValue::new("service.name", service)];
    Arc::new(Resource {
        attributes,
        ..Resource::default()
    })
}

/// A trace id of sixteen times this byte.
pub(crate) fn trace(n: u8) -> TraceId {
    TraceId([n; 16])
}

/// A span id that ends in this number.
pub(crate) fn span_id(n: u8) -> SpanId {
    SpanId([0xa, 0, 0, 0, 0, 0, 0, n])
}

/// A span of `start..end`.
pub(crate) fn span(
    (in_trace, own, parent): (u8, u8, u8),
    service: &str,
    kind: SpanKind,
    (start, end): (u64, u64),
) -> Span {
    Span {
        resource: resource(service),
        trace_id: trace(in_trace),
        span_id: span_id(own),
        parent_span_id: (parent != 0).then(|| span_id(parent)),
        name: format!("op{own}"),
        kind: kind as i32,
        start_unix_nano: start,
        end_unix_nano: end,
        ..Span::default()
    }
}

/// A log record with a correlation value.
pub(crate) fn log(service: &str, at: u64, body: &str, pairs: &[(&str, &str)]) -> LogRecord {
    LogRecord {
        resource: resource(service),
        time_unix_nano: at,
        body: body.into(),
        correlation: pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..LogRecord::default()
    }
}
