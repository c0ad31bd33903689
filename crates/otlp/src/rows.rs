//! A sink that keeps the rows of a request as owned model rows.

use std::sync::Arc;

use model::metric::Series;
use model::room::NoRoom;
use model::row::{
    LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef, Undecoded,
};
use model::value::KeyValueRef;
use model::{DataPoint, Event, KeyValue, Link, LogRecord, Metric, Resource, Scope, Signal, Span};

/// All rows of a request, owned. Their correlation sets are empty: the store fills them.
#[derive(Debug, Default)]
pub struct Rows {
    /// Spans in the order sent.
    pub spans: Vec<Span>,
    /// Log records in the order sent.
    pub logs: Vec<LogRecord>,
    /// Data points in the order sent, each with its series.
    pub points: Vec<(Series, DataPoint)>,
    /// Refused rows.
    pub rejected: Vec<(Reject, u64)>,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    metric: Option<Arc<Metric>>,
}

impl Rows {
    /// Decodes a request, whatever memory that takes.
    pub fn decode(signal: Signal, request: &[u8]) -> Result<Rows, Undecoded> {
        let mut rows = Rows::default();
        crate::decode::decode(signal, request, &mut rows)?;
        Ok(rows)
    }
}

fn owned(attributes: &[KeyValueRef<'_>]) -> Vec<KeyValue> {
    attributes.iter().map(|pair| pair.to_key_value()).collect()
}

fn owned_range(attributes: &[KeyValueRef<'_>], range: (u32, u32)) -> Vec<KeyValue> {
    owned(
        attributes
            .get(range.0 as usize..range.1 as usize)
            .unwrap_or_default(),
    )
}

impl RowSink for Rows {
    fn room(&mut self, _: usize) -> Result<(), NoRoom> {
        Ok(())
    }

    fn resource(&mut self, resource: &ResourceRef<'_>) -> Result<(), NoRoom> {
        self.resource = Arc::new(Resource {
            attributes: owned(resource.attributes),
            dropped_attributes_count: resource.dropped_attributes_count,
            entity_refs: resource.entity_refs.to_vec(),
            schema_url: resource.schema_url.to_owned(),
        });
        Ok(())
    }

    fn scope(&mut self, scope: &ScopeRef<'_>) -> Result<(), NoRoom> {
        self.scope = Arc::new(Scope {
            name: scope.name.to_owned(),
            version: scope.version.to_owned(),
            attributes: owned(scope.attributes),
            dropped_attributes_count: scope.dropped_attributes_count,
            schema_url: scope.schema_url.to_owned(),
        });
        Ok(())
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), NoRoom> {
        let nested = span.nested_attributes;
        let events = span.events.iter().map(|event| Event {
            time_unix_nano: event.time_unix_nano,
            name: event.name.to_owned(),
            attributes: owned_range(nested, event.attributes),
            dropped_attributes_count: event.dropped_attributes_count,
        });
        let links = span.links.iter().map(|link| Link {
            trace_id: link.trace_id.to_vec(),
            span_id: link.span_id.to_vec(),
            trace_state: link.trace_state.to_owned(),
            attributes: owned_range(nested, link.attributes),
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        });
        let (status_code, status_message) = span.status.unwrap_or_default();
        self.spans.push(Span {
            resource: Arc::clone(&self.resource),
            scope: Arc::clone(&self.scope),
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            trace_state: span.trace_state.to_owned(),
            flags: span.flags,
            name: span.name.to_owned(),
            kind: span.kind,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            attributes: owned(span.attributes),
            dropped_attributes_count: span.dropped_attributes_count,
            events: events.collect(),
            dropped_events_count: span.dropped_events_count,
            links: links.collect(),
            dropped_links_count: span.dropped_links_count,
            status_code,
            status_message: status_message.to_owned(),
            has_status: span.status.is_some(),
            correlation: Vec::new(),
            clock: None,
        });
        Ok(())
    }

    fn log(&mut self, log: &LogRef<'_>) -> Result<(), NoRoom> {
        self.logs.push(LogRecord {
            resource: Arc::clone(&self.resource),
            scope: Arc::clone(&self.scope),
            time_unix_nano: log.time_unix_nano,
            observed_time_unix_nano: log.observed_time_unix_nano,
            severity_number: log.severity_number,
            severity_text: log.severity_text.to_owned(),
            body: log.body.to_value(),
            has_empty_body: log.has_empty_body,
            attributes: owned(log.attributes),
            dropped_attributes_count: log.dropped_attributes_count,
            flags: log.flags,
            trace_id: log.trace_id,
            span_id: log.span_id,
            event_name: log.event_name.to_owned(),
            correlation: Vec::new(),
            clock: None,
        });
        Ok(())
    }

    fn metric(&mut self, metric: &MetricRef<'_>) -> Result<(), NoRoom> {
        self.metric = Some(Arc::new(Metric {
            name: metric.name.to_owned(),
            description: metric.description.to_owned(),
            unit: metric.unit.to_owned(),
            kind: metric.kind,
            temporality: metric.temporality,
            monotonic: metric.monotonic,
            metadata: owned(metric.metadata),
        }));
        Ok(())
    }

    fn point(&mut self, point: &PointRef<'_>) -> Result<(), NoRoom> {
        let Some(metric) = &self.metric else {
            return Ok(());
        };
        let series = Series {
            resource: Arc::clone(&self.resource),
            scope: Arc::clone(&self.scope),
            metric: Arc::clone(metric),
            attributes: owned(point.attributes),
        };
        let point = DataPoint {
            start_unix_nano: point.start_unix_nano,
            time_unix_nano: point.time_unix_nano,
            flags: point.flags,
            value: point.value.clone(),
            exemplars: point.exemplars.to_vec(),
        };
        self.points.push((series, point));
        Ok(())
    }

    fn reject(&mut self, reason: Reject, count: u64) {
        match self.rejected.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, total)) => *total += count,
            None => self.rejected.push((reason, count)),
        }
    }
}
