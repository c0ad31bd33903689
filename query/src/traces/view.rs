//! Spans and log records as the native API shows them.

use api::types::{LogView, SpanView, StatusView};
use model::{KeyValue, LogRecord};
use otlp::encode::json::{attribute_json, event_json, link_json, resource_json, scope_json};
use serde_json::{Value as Json, json};

use super::assemble::{Assembled, Placed};

/// The spans of a forest, in its order.
pub fn span_views(forest: &Assembled) -> Vec<SpanView> {
    forest
        .spans
        .iter()
        .map(|placed| span_view(forest, placed))
        .collect()
}

/// The first spans of a trace, parents before children, as many as fit into so many bytes of JSON;
/// and how many do not.
pub fn span_views_within(forest: &Assembled, bytes: u64) -> (Vec<SpanView>, usize) {
    let spans = forest.spans.iter().map(|placed| &placed.span.span);
    let held: u64 = spans.map(|span| wide(span.held_bytes())).sum();
    // Far below the limit nothing has to be measured.
    let per_span = wide(forest.spans.len()) * REPEATED_BYTES;
    if held + per_span < bytes / SWELLING {
        return (span_views(forest), 0);
    }
    let mut left = bytes;
    let mut views = Vec::new();
    for placed in &forest.spans {
        let view = span_view(forest, placed);
        let mut written = Count(0);
        // Counting does not fail, and neither does writing what has text keys.
        if serde_json::to_writer(&mut written, &view).is_err() || written.0 >= left {
            break;
        }
        left -= written.0 + 1;
        views.push(view);
    }
    let left_out = forest.spans.len() - views.len();
    (views, left_out)
}

/// What names, the resource and the scope of a span take in JSON, which share it in memory, in
/// most traces at most.
const REPEATED_BYTES: u64 = 4_096;
/// How much larger than in memory a value may be in JSON: a control character takes six bytes.
const SWELLING: u64 = 8;

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Counts what is written.
struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += wide(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn span_view(forest: &Assembled, placed: &Placed) -> SpanView {
    let span = &placed.span.span;
    let children = placed
        .children
        .iter()
        .map(|at| forest.spans[*at].span.span.span_id.to_string())
        .collect();
    SpanView {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        parent_span_id: span
            .parent_span_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        trace_state: span.trace_state.clone(),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: span.start_unix_nano,
        end_time_unix_nano: span.end_unix_nano,
        attributes: span.attributes.iter().map(attribute_json).collect(),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event_json).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link_json).collect(),
        dropped_links_count: span.dropped_links_count,
        status: StatusView {
            code: span.status_code,
            message: span.status_message.clone(),
        },
        service: span.resource.service().to_owned(),
        resource: with_schema(resource_json(&span.resource), &span.resource.schema_url),
        scope: with_schema(scope_json(&span.scope), &span.scope.schema_url),
        correlation: correlation(&span.correlation),
        children,
        depth: placed.depth,
        inferred: placed.span.inferred,
        confidence: placed.span.confidence,
        clock_adjust_nano: placed.span.clock_adjust_nano,
    }
}

/// A log record with its times as sent, and with what to add to them.
pub fn log_view(record: &LogRecord) -> LogView {
    LogView {
        time_unix_nano: record.timestamp(),
        observed_time_unix_nano: record.observed_time_unix_nano,
        service: record.resource.service().to_owned(),
        severity_text: record.severity_text.clone(),
        severity_number: record.severity_number,
        body: record.body.to_json(),
        trace_id: record.trace_id.map(|id| id.to_string()).unwrap_or_default(),
        span_id: record.span_id.map(|id| id.to_string()).unwrap_or_default(),
        event_name: record.event_name.clone(),
        attributes: plain_object(&record.attributes),
        resource: plain_object(&record.resource.attributes),
        scope: json!({
            "name": record.scope.name,
            "version": record.scope.version,
            "attributes": plain_object(&record.scope.attributes),
        }),
        correlation: correlation(&record.correlation),
        clock_adjust_nano: record.clock_adjust_nano(),
    }
}

/// What a row is correlated by, as a plain JSON object.
fn correlation(pairs: &[(String, String)]) -> Json {
    Json::Object(
        pairs
            .iter()
            .map(|(key, value)| (key.clone(), Json::String(value.clone())))
            .collect(),
    )
}

/// Attributes as a plain JSON object; of duplicate keys the last.
pub fn plain_object(attributes: &[KeyValue]) -> Json {
    Json::Object(
        attributes
            .iter()
            .map(|kv| (kv.key.clone(), kv.value.to_json()))
            .collect(),
    )
}

/// A resource or scope in OTLP JSON, with the schema URL of its envelope where there is one.
fn with_schema(mut object: Json, url: &str) -> Json {
    if !url.is_empty() {
        object["schemaUrl"] = url.into();
    }
    object
}
