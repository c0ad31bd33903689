//! Owned rows out of a chunk.

use model::{Event, KeyValue, Link, LogRecord, Resource, Span, SpanId, TraceId};

use super::{Chunk, Span32};
use crate::message::Columns;

impl Chunk {
    fn owned_attributes(&self, span: Span32) -> Vec<KeyValue> {
        self.attributes[span.range()]
            .iter()
            .map(|attr| KeyValue {
                key: self.keys.get(attr.key).to_owned(),
                value: self.value(attr.value).to_value(),
            })
            .collect()
    }

    fn owned_correlation(&self, span: Span32) -> Vec<(String, String)> {
        self.correlation[span.range()]
            .iter()
            .map(|corr| {
                (
                    self.str(corr.key).to_owned(),
                    self.str(corr.value).to_owned(),
                )
            })
            .collect()
    }

    /// The span in this row.
    pub(crate) fn span(&self, row: usize, columns: Columns) -> Span {
        let span = &self.spans[row];
        let resource = &self.resources[span.resource as usize].value;
        let mut out = Span {
            trace_id: self.trace_ids[row],
            span_id: SpanId(span.span_id),
            parent_span_id: SpanId::from_wire(&span.parent),
            name: self.str(span.name).to_owned(),
            kind: span.kind,
            start_unix_nano: span.start,
            end_unix_nano: span.end,
            status_code: span.status.unwrap_or_default(),
            has_status: span.status.is_some(),
            resource: resource.clone(),
            clock: self.clocks.of(row),
            ..Span::default()
        };
        if columns == Columns::Summary {
            out.resource = summary_resource(resource);
            return out;
        }
        out.scope = self.scopes[span.scope as usize].value.clone();
        out.trace_state = self.str(span.trace_state).to_owned();
        out.flags = span.flags;
        out.attributes = self.owned_attributes(span.attributes);
        out.dropped_attributes_count = span.dropped_attributes;
        out.events = self.events[span.events.range()]
            .iter()
            .map(|event| Event {
                time_unix_nano: event.time,
                name: self.str(event.name).to_owned(),
                attributes: self.owned_attributes(event.attributes),
                dropped_attributes_count: event.dropped_attributes,
            })
            .collect();
        out.dropped_events_count = span.dropped_events;
        out.links = self.links[span.links.range()]
            .iter()
            .map(|link| Link {
                trace_id: self.bytes(link.trace_id).to_vec(),
                span_id: self.bytes(link.span_id).to_vec(),
                trace_state: self.str(link.trace_state).to_owned(),
                attributes: self.owned_attributes(link.attributes),
                dropped_attributes_count: link.dropped_attributes,
                flags: link.flags,
            })
            .collect();
        out.dropped_links_count = span.dropped_links;
        out.status_message = self.str(span.status_message).to_owned();
        out.correlation = self.owned_correlation(span.correlation);
        out
    }

    /// The log record in this row.
    pub(crate) fn log(&self, row: usize) -> LogRecord {
        let log = &self.logs[row];
        LogRecord {
            resource: self.resources[log.resource as usize].value.clone(),
            scope: self.scopes[log.scope as usize].value.clone(),
            time_unix_nano: log.time,
            observed_time_unix_nano: log.observed,
            severity_number: log.severity_number,
            severity_text: self.str(log.severity_text).to_owned(),
            body: self.value(log.body).to_value(),
            has_empty_body: log.has_empty_body,
            attributes: self.owned_attributes(log.attributes),
            dropped_attributes_count: log.dropped_attributes,
            flags: log.flags,
            trace_id: TraceId::from_wire(&self.trace_ids[row].0),
            span_id: SpanId::from_wire(&log.span_id),
            event_name: self.str(log.event_name).to_owned(),
            correlation: self.owned_correlation(log.correlation),
            clock: self.clocks.of(row),
        }
    }
}

/// The resource of a row in a list of traces: its service name alone.
pub(crate) fn summary_resource(resource: &Resource) -> std::sync::Arc<Resource> {
    std::sync::Arc::new(Resource {
        attributes: model::value::last(&resource.attributes, "service.name")
            .map(|name| KeyValue {
                key: "service.name".to_owned(),
                value: name.clone(),
            })
            .into_iter()
            .collect(),
        ..Resource::default()
    })
}
