//! Owned model rows as OTLP: protobuf here, JSON in [`json`].
//!
//! Consecutive rows of one resource and scope share an envelope. What [`crate::decode`] reads,
//! these functions write back, value for value.

pub mod json;
mod points;
pub mod requests;

use std::sync::Arc;

use model::wire::{put_key_value, put_value};
use model::{KeyValue, Link, LogRecord, Resource, Scope, Span, Value};

use crate::proto::{begin, bytes, end, fixed32, fixed64, int32, message, text, varint};

pub use points::metrics;

/// An `ExportTraceServiceRequest` of these spans.
pub fn traces(spans: &[Span]) -> Vec<u8> {
    let mut envelopes = Envelopes::default();
    for span in spans {
        envelopes.enter(&span.resource, &span.scope);
        message(&mut envelopes.out, 2, |out| put_span(out, span));
    }
    envelopes.finish()
}

/// An `ExportLogsServiceRequest` of these log records.
pub fn logs(records: &[LogRecord]) -> Vec<u8> {
    let mut envelopes = Envelopes::default();
    for record in records {
        envelopes.enter(&record.resource, &record.scope);
        message(&mut envelopes.out, 2, |out| put_log(out, record));
    }
    envelopes.finish()
}

/// Opens and closes resource and scope envelopes as rows come.
#[derive(Default)]
struct Envelopes<'a> {
    out: Vec<u8>,
    open: Option<Open<'a>>,
}

struct Open<'a> {
    resource: &'a Arc<Resource>,
    resource_start: usize,
    scope: &'a Arc<Scope>,
    scope_start: usize,
}

/// Pointers first: rows of one request share them.
fn same<T: PartialEq>(left: &Arc<T>, right: &Arc<T>) -> bool {
    Arc::ptr_eq(left, right) || left == right
}

impl<'a> Envelopes<'a> {
    /// Makes sure that what is appended next lies in this resource and scope. Tells whether a
    /// new scope was opened.
    fn enter(&mut self, resource: &'a Arc<Resource>, scope: &'a Arc<Scope>) -> bool {
        if let Some(open) = &mut self.open
            && same(open.resource, resource)
        {
            if same(open.scope, scope) {
                return false;
            }
            end(&mut self.out, open.scope_start);
            open.scope = scope;
            open.scope_start = open_scope(&mut self.out, scope);
            return true;
        }
        self.close();
        let out = &mut self.out;
        let resource_start = begin(out, 1);
        message(out, 1, |out| put_resource(out, resource));
        text(out, 3, &resource.schema_url);
        let scope_start = open_scope(out, scope);
        self.open = Some(Open {
            resource,
            resource_start,
            scope,
            scope_start,
        });
        true
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            end(&mut self.out, open.scope_start);
            end(&mut self.out, open.resource_start);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.close();
        self.out
    }
}

fn open_scope(out: &mut Vec<u8>, scope: &Scope) -> usize {
    let start = begin(out, 2);
    message(out, 1, |out| {
        text(out, 1, &scope.name);
        text(out, 2, &scope.version);
        put_attributes(out, 3, &scope.attributes);
        varint(out, 4, u64::from(scope.dropped_attributes_count));
    });
    text(out, 3, &scope.schema_url);
    start
}

fn put_resource(out: &mut Vec<u8>, resource: &Resource) {
    put_attributes(out, 1, &resource.attributes);
    varint(out, 2, u64::from(resource.dropped_attributes_count));
    for entity in &resource.entity_refs {
        message(out, 3, |out| {
            text(out, 1, &entity.schema_url);
            text(out, 2, &entity.r#type);
            entity
                .id_keys
                .iter()
                .for_each(|key| model::wire::put_bytes(out, 3, key.as_bytes()));
            for key in &entity.description_keys {
                model::wire::put_bytes(out, 4, key.as_bytes());
            }
        });
    }
}

fn put_attributes(out: &mut Vec<u8>, number: u32, attributes: &[KeyValue]) {
    for pair in attributes {
        message(out, number, |out| put_key_value(out, pair));
    }
}

fn put_span(out: &mut Vec<u8>, span: &Span) {
    bytes(out, 1, &span.trace_id.0);
    bytes(out, 2, &span.span_id.0);
    text(out, 3, &span.trace_state);
    if let Some(parent) = span.parent_span_id {
        bytes(out, 4, &parent.0);
    }
    text(out, 5, &span.name);
    int32(out, 6, span.kind);
    fixed64(out, 7, span.start_unix_nano);
    fixed64(out, 8, span.end_unix_nano);
    put_attributes(out, 9, &span.attributes);
    varint(out, 10, u64::from(span.dropped_attributes_count));
    for event in &span.events {
        message(out, 11, |out| {
            fixed64(out, 1, event.time_unix_nano);
            text(out, 2, &event.name);
            put_attributes(out, 3, &event.attributes);
            varint(out, 4, u64::from(event.dropped_attributes_count));
        });
    }
    varint(out, 12, u64::from(span.dropped_events_count));
    for link in &span.links {
        message(out, 13, |out| put_link(out, link));
    }
    varint(out, 14, u64::from(span.dropped_links_count));
    if span.has_status {
        message(out, 15, |out| {
            text(out, 2, &span.status_message);
            int32(out, 3, span.status_code);
        });
    }
    fixed32(out, 16, span.flags);
}

fn put_link(out: &mut Vec<u8>, link: &Link) {
    bytes(out, 1, &link.trace_id);
    bytes(out, 2, &link.span_id);
    text(out, 3, &link.trace_state);
    put_attributes(out, 4, &link.attributes);
    varint(out, 5, u64::from(link.dropped_attributes_count));
    fixed32(out, 6, link.flags);
}

fn put_log(out: &mut Vec<u8>, record: &LogRecord) {
    fixed64(out, 1, record.time_unix_nano);
    int32(out, 2, record.severity_number);
    text(out, 3, &record.severity_text);
    if record.body != Value::Empty || record.has_empty_body {
        message(out, 5, |out| put_value(out, &record.body));
    }
    put_attributes(out, 6, &record.attributes);
    varint(out, 7, u64::from(record.dropped_attributes_count));
    fixed32(out, 8, record.flags);
    if let Some(trace_id) = record.trace_id {
        bytes(out, 9, &trace_id.0);
    }
    if let Some(span_id) = record.span_id {
        bytes(out, 10, &span_id.0);
    }
    fixed64(out, 11, record.observed_time_unix_nano);
    text(out, 12, &record.event_name);
}
