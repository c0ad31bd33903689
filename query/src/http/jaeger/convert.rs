//! Spans as Jaeger's query service shows them (API v1 JSON).
//!
//! Times are microseconds. The mapping is OpenTelemetry's to Jaeger: scope, attributes, kind,
//! status and trace state become tags, events become logs, the parent a `CHILD_OF` and links
//! `FOLLOWS_FROM` references, resources become processes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use model::{Event, KeyValue, Resource, Span, SpanId, SpanKind, StatusCode, TraceId, Value};
use serde_json::{Map, Value as Json, json};

use crate::traces::assemble::{Assembled, TraceSpan};

/// The process of a resource without `service.name`.
const NO_SERVICE: &str = "OTLPResourceNoServiceName";
/// Integers beyond this are strings: they would lose digits in JavaScript.
const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;

/// A trace id as Jaeger writes it: 16 digits where the upper half is zero.
pub(super) fn trace_id(id: TraceId) -> String {
    let hex = id.to_string();
    if id.0[..8] == [0; 8] {
        hex[16..].to_owned()
    } else {
        hex
    }
}

/// Writes a trace in Jaeger's shape, its spans in causal order. One span is in memory as JSON at a
/// time: as a tree it takes many times what it takes as text.
pub(super) fn trace(id: TraceId, forest: &Assembled, out: &mut impl Write) -> io::Result<()> {
    let spans = forest.spans.iter().map(|placed| {
        let mut warnings = Vec::new();
        let span = &placed.span;
        if span.inferred {
            warnings.push(format!(
                "inferred from logs, confidence {}",
                span.confidence
            ));
        }
        if span.clock_adjust_nano != 0 {
            warnings.push(clock_warning(span.clock_adjust_nano));
        }
        if forest.cycles.binary_search(&span.span.span_id).is_ok() {
            warnings.push("its parents lead back to itself".into());
        }
        (span, warnings)
    });
    convert(id, spans, out)
}

/// Says by how much the times of a span were moved.
fn clock_warning(adjust_nano: i64) -> String {
    let by = Duration::from_nanos(adjust_nano.unsigned_abs());
    let way = if adjust_nano > 0 { "later" } else { "earlier" };
    format!("times corrected by {by:?} to {way}: the sender's clock was off by that much")
}

/// Writes spans of one trace in Jaeger's shape, in the order given.
pub(super) fn convert<'a>(
    id: TraceId,
    spans: impl IntoIterator<Item = (&'a TraceSpan, Vec<String>)>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut processes = Map::new();
    let mut known: HashMap<*const Resource, String> = HashMap::new();
    let mut keys: HashMap<String, String> = HashMap::new();
    write!(out, "{{\"traceID\":{},\"spans\":[", json!(trace_id(id)))?;
    for (place, (span, warnings)) in spans.into_iter().enumerate() {
        let resource = &span.span.resource;
        let process = known.entry(Arc::as_ptr(resource)).or_insert_with(|| {
            // Equal resources of different requests are one process.
            let process = process(resource);
            let key = keys.entry(process.to_string()).or_insert_with(|| {
                let key = format!("p{}", processes.len() + 1);
                processes.insert(key.clone(), process);
                key
            });
            key.clone()
        });
        if place > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, &span_json(span, process, &warnings))?;
    }
    out.write_all(b"],\"processes\":")?;
    serde_json::to_writer(&mut *out, &processes)?;
    out.write_all(b",\"warnings\":null}")
}

fn process(resource: &Resource) -> Json {
    let service = model::value::last(&resource.attributes, "service.name")
        .map_or_else(|| NO_SERVICE.to_owned(), Value::to_text);
    let rest: Vec<Json> = resource
        .attributes
        .iter()
        .filter(|kv| kv.key != "service.name")
        .map(tag)
        .collect();
    json!({"serviceName": service, "tags": rest})
}

fn span_json(span: &TraceSpan, process: &str, warnings: &[String]) -> Json {
    let sent = &span.span;
    json!({
        "traceID": trace_id(sent.trace_id),
        "spanID": sent.span_id.to_string(),
        "operationName": sent.name,
        "references": references(sent),
        "startTime": span.start() / 1_000,
        "duration": sent.duration_nano() / 1_000,
        "tags": tags(sent),
        "logs": sent.events.iter().map(|event| log(event, span.clock_adjust_nano)).collect::<Vec<_>>(),
        "processID": process,
        "warnings": if warnings.is_empty() { Json::Null } else { json!(warnings) },
    })
}

fn references(span: &Span) -> Vec<Json> {
    let reference = |kind: &str, trace: TraceId, id: SpanId| json!({"refType": kind, "traceID": trace_id(trace), "spanID": id.to_string()});
    let parent = span
        .parent_span_id
        .map(|id| reference("CHILD_OF", span.trace_id, id));
    let links = span.links.iter().filter_map(|link| {
        let child = model::value::last(&link.attributes, "opentracing.ref_type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind == "child_of");
        let kind = if child { "CHILD_OF" } else { "FOLLOWS_FROM" };
        let trace = TraceId::from_wire(&link.trace_id)?;
        Some(reference(kind, trace, SpanId::from_wire(&link.span_id)?))
    });
    parent.into_iter().chain(links).collect()
}

fn tags(span: &Span) -> Vec<Json> {
    let text = |key: &str, value: &str| tag(&KeyValue::new(key, value));
    let mut tags = Vec::new();
    if !span.scope.name.is_empty() {
        tags.push(text("otel.scope.name", &span.scope.name));
    }
    if !span.scope.version.is_empty() {
        tags.push(text("otel.scope.version", &span.scope.version));
    }
    tags.extend(span.attributes.iter().map(tag));
    match SpanKind::from_code(span.kind) {
        None | Some(SpanKind::Unspecified) => {}
        Some(kind) => tags.push(text("span.kind", kind.name())),
    }
    match StatusCode::from_code(span.status_code) {
        Some(StatusCode::Ok) => tags.push(text("otel.status_code", "OK")),
        Some(StatusCode::Error) => {
            tags.push(text("otel.status_code", "ERROR"));
            tags.push(tag(&KeyValue::new("error", true)));
        }
        Some(StatusCode::Unset) | None => {}
    }
    if !span.status_message.is_empty() {
        tags.push(text("otel.status_description", &span.status_message));
    }
    if !span.trace_state.is_empty() {
        tags.push(text("w3c.tracestate", &span.trace_state));
    }
    tags
}

fn tag(kv: &KeyValue) -> Json {
    let (kind, value) = match &kv.value {
        Value::Str(text) => ("string", Json::String(text.clone())),
        Value::Bool(flag) => ("bool", Json::Bool(*flag)),
        Value::Int(int) if int.unsigned_abs() > SAFE_INTEGER_MAX.unsigned_abs() => {
            ("int64", Json::String(int.to_string()))
        }
        Value::Int(int) => ("int64", Json::from(*int)),
        Value::Double(double) => ("float64", model::value::double_to_json(*double)),
        Value::Bytes(bytes) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            ("binary", Json::String(text))
        }
        other => ("string", Json::String(other.to_text())),
    };
    json!({"key": kv.key, "type": kind, "value": value})
}

fn log(event: &Event, adjust: i64) -> Json {
    let mut fields = Vec::new();
    if !event.name.is_empty() {
        fields.push(tag(&KeyValue::new("event", event.name.as_str())));
    }
    fields.extend(event.attributes.iter().map(tag));
    let at = event.time_unix_nano.saturating_add_signed(adjust) / 1_000;
    json!({"timestamp": at, "fields": fields})
}
