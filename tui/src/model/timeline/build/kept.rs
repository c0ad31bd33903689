//! Spans as the arena of a timeline holds them.

use api::{SpanView, StatusView};
use serde::Serialize;
use serde_json::Value as Json;

/// What is kept of a span as JSON: all of [`SpanView`] but what its origin holds, what the rows
/// themselves tell, and members that are empty, which read back as such.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept<'a> {
    trace_id: &'a str,
    span_id: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    parent_span_id: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    trace_state: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    flags: u32,
    name: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    kind: i32,
    start_time_unix_nano: u64,
    end_time_unix_nano: u64,
    #[serde(skip_serializing_if = "is_default")]
    attributes: &'a [Json],
    #[serde(skip_serializing_if = "is_default")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "is_default")]
    events: &'a [Json],
    #[serde(skip_serializing_if = "is_default")]
    dropped_events_count: u32,
    #[serde(skip_serializing_if = "is_default")]
    links: &'a [Json],
    #[serde(skip_serializing_if = "is_default")]
    dropped_links_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a StatusView>,
    #[serde(skip_serializing_if = "is_default")]
    service: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    correlation: &'a Json,
    #[serde(skip_serializing_if = "is_default")]
    depth: u32,
    #[serde(skip_serializing_if = "is_default")]
    inferred: bool,
    confidence: f64,
    #[serde(rename = "clock_adjust_nano", skip_serializing_if = "is_default")]
    clock_adjust_nano: i64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> Kept<'a> {
    pub(super) fn new(span: &'a SpanView) -> Self {
        Self {
            trace_id: &span.trace_id,
            span_id: &span.span_id,
            parent_span_id: &span.parent_span_id,
            trace_state: &span.trace_state,
            flags: span.flags,
            name: &span.name,
            kind: span.kind,
            start_time_unix_nano: span.start_time_unix_nano,
            end_time_unix_nano: span.end_time_unix_nano,
            attributes: &span.attributes,
            dropped_attributes_count: span.dropped_attributes_count,
            events: &span.events,
            dropped_events_count: span.dropped_events_count,
            links: &span.links,
            dropped_links_count: span.dropped_links_count,
            status: Some(&span.status).filter(|status| !is_default(*status)),
            service: &span.service,
            correlation: &span.correlation,
            depth: span.depth,
            inferred: span.inferred,
            confidence: span.confidence,
            clock_adjust_nano: span.clock_adjust_nano,
        }
    }
}
