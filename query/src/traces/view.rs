//! Spans and log records as the native API shows them.

use api::types::{LogView, SpanView, StatusView};
use base64::Engine;
use model::value::double_to_json;
use model::{Event, KeyValue, Link, LogRecord, Resource, Scope, Value};
use serde_json::{Map, Value as Json, json};

use super::assemble::{Assembled, Placed};

/// The spans of a forest, in its order.
pub fn span_views(forest: &Assembled) -> Vec<SpanView> {
    forest
        .spans
        .iter()
        .map(|placed| span_view(forest, placed))
        .collect()
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
        attributes: attributes(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: StatusView {
            code: span.status_code,
            message: span.status_message.clone(),
        },
        service: span.resource.service().to_owned(),
        resource: resource(&span.resource),
        scope: scope(&span.scope),
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

/// Attributes in OTLP JSON.
pub fn attributes(list: &[KeyValue]) -> Vec<Json> {
    list.iter()
        .map(|kv| json!({"key": kv.key, "value": any_value(&kv.value)}))
        .collect()
}

/// A value in OTLP JSON. How deep values nest is bounded where they are decoded.
pub fn any_value(value: &Value) -> Json {
    match value {
        Value::Empty => json!({}),
        Value::Str(text) => json!({"stringValue": text}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Int(int) => json!({"intValue": int.to_string()}),
        Value::Double(double) => json!({"doubleValue": double_to_json(*double)}),
        Value::Bytes(bytes) => {
            json!({"bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes)})
        }
        Value::Array(values) => {
            json!({"arrayValue": {"values": values.iter().map(any_value).collect::<Vec<_>>()}})
        }
        Value::KvList(pairs) => json!({"kvlistValue": {"values": attributes(pairs)}}),
    }
}

/// A resource in OTLP JSON, with the schema URL of its envelope where there is one.
pub fn resource(resource: &Resource) -> Json {
    let mut object = Map::new();
    object.insert(
        "attributes".into(),
        Json::Array(attributes(&resource.attributes)),
    );
    put_count(
        &mut object,
        "droppedAttributesCount",
        resource.dropped_attributes_count,
    );
    if !resource.entity_refs.is_empty() {
        let refs = resource.entity_refs.iter().map(|entity| {
            json!({
                "schemaUrl": entity.schema_url,
                "type": entity.r#type,
                "idKeys": entity.id_keys,
                "descriptionKeys": entity.description_keys,
            })
        });
        object.insert("entityRefs".into(), refs.collect());
    }
    put_text(&mut object, "schemaUrl", &resource.schema_url);
    Json::Object(object)
}

/// A scope in OTLP JSON, with the schema URL of its envelope where there is one.
pub fn scope(scope: &Scope) -> Json {
    let mut object = Map::new();
    put_text(&mut object, "name", &scope.name);
    put_text(&mut object, "version", &scope.version);
    if !scope.attributes.is_empty() {
        object.insert(
            "attributes".into(),
            Json::Array(attributes(&scope.attributes)),
        );
    }
    put_count(
        &mut object,
        "droppedAttributesCount",
        scope.dropped_attributes_count,
    );
    put_text(&mut object, "schemaUrl", &scope.schema_url);
    Json::Object(object)
}

fn event(event: &Event) -> Json {
    let mut object = Map::new();
    object.insert(
        "timeUnixNano".into(),
        Json::String(event.time_unix_nano.to_string()),
    );
    object.insert("name".into(), Json::String(event.name.clone()));
    object.insert(
        "attributes".into(),
        Json::Array(attributes(&event.attributes)),
    );
    put_count(
        &mut object,
        "droppedAttributesCount",
        event.dropped_attributes_count,
    );
    Json::Object(object)
}

fn link(link: &Link) -> Json {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let mut object = Map::new();
    object.insert("traceId".into(), Json::String(hex(&link.trace_id)));
    object.insert("spanId".into(), Json::String(hex(&link.span_id)));
    put_text(&mut object, "traceState", &link.trace_state);
    object.insert(
        "attributes".into(),
        Json::Array(attributes(&link.attributes)),
    );
    put_count(
        &mut object,
        "droppedAttributesCount",
        link.dropped_attributes_count,
    );
    put_count(&mut object, "flags", link.flags);
    Json::Object(object)
}

fn put_text(object: &mut Map<String, Json>, key: &str, text: &str) {
    if !text.is_empty() {
        object.insert(key.into(), Json::String(text.into()));
    }
}

fn put_count(object: &mut Map<String, Json>, key: &str, count: u32) {
    if count != 0 {
        object.insert(key.into(), count.into());
    }
}
