//! Model rows as OTLP JSON values.
//!
//! The JSON mapping of OTLP: lowerCamelCase names, ids in lower-case hex, other bytes in base64,
//! 64-bit integers as strings, enums as numbers, and the doubles that JSON lacks as the strings
//! `NaN`, `Infinity` and `-Infinity`. Members that hold their default are left out, except those
//! that a reader looks for in every row (ids, names, times, kind, attributes).

mod native;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::metric::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Histogram, PointValue, Series, Summary,
};
use model::value::double_to_json;
use model::{DataPoint, Event, KeyValue, Link, LogRecord, Resource, Scope, Span, Value};
use serde_json::{Map, Value as Json, json};

/// A `Resource`.
pub fn resource_json(resource: &Resource) -> Json {
    let mut object = Map::new();
    object.insert("attributes".into(), attributes_json(&resource.attributes));
    put_count(
        &mut object,
        "droppedAttributesCount",
        resource.dropped_attributes_count,
    );
    if !resource.entity_refs.is_empty() {
        let entities = resource.entity_refs.iter().map(|entity| {
            json!({
                "schemaUrl": entity.schema_url,
                "type": entity.r#type,
                "idKeys": entity.id_keys,
                "descriptionKeys": entity.description_keys,
            })
        });
        object.insert("entityRefs".into(), entities.collect());
    }
    Json::Object(object)
}

/// An `InstrumentationScope`.
pub fn scope_json(scope: &Scope) -> Json {
    let mut object = Map::new();
    object.insert("name".into(), scope.name.as_str().into());
    object.insert("version".into(), scope.version.as_str().into());
    put_attributes(&mut object, &scope.attributes);
    put_count(
        &mut object,
        "droppedAttributesCount",
        scope.dropped_attributes_count,
    );
    Json::Object(object)
}

/// A list of `KeyValue`.
pub fn attributes_json(attributes: &[KeyValue]) -> Json {
    attributes.iter().map(attribute_json).collect()
}

/// A `KeyValue`.
pub fn attribute_json(attribute: &KeyValue) -> Json {
    let mut object = Map::new();
    object.insert("key".into(), attribute.key.as_str().into());
    object.insert("value".into(), value_json(&attribute.value));
    Json::Object(object)
}

/// An `AnyValue`.
pub fn value_json(value: &Value) -> Json {
    let (name, value) = match value {
        Value::Empty => return Json::Object(Map::new()),
        Value::Str(text) => ("stringValue", Json::from(text.as_str())),
        Value::Bool(flag) => ("boolValue", Json::from(*flag)),
        Value::Int(int) => ("intValue", Json::from(int.to_string())),
        Value::Double(double) => ("doubleValue", double_to_json(*double)),
        Value::Bytes(bytes) => ("bytesValue", Json::from(STANDARD.encode(bytes))),
        Value::Array(values) => (
            "arrayValue",
            json!({"values": values.iter().map(value_json).collect::<Json>()}),
        ),
        Value::KvList(pairs) => ("kvlistValue", json!({"values": attributes_json(pairs)})),
    };
    let mut object = Map::new();
    object.insert(name.into(), value);
    Json::Object(object)
}

/// A `Span`, without its resource and scope.
pub fn span_json(span: &Span) -> Json {
    let mut object = Map::new();
    object.insert("traceId".into(), span.trace_id.to_string().into());
    object.insert("spanId".into(), span.span_id.to_string().into());
    put_text(&mut object, "traceState", &span.trace_state);
    if let Some(parent) = span.parent_span_id {
        object.insert("parentSpanId".into(), parent.to_string().into());
    }
    put_count(&mut object, "flags", span.flags);
    object.insert("name".into(), span.name.as_str().into());
    object.insert("kind".into(), span.kind.into());
    object.insert(
        "startTimeUnixNano".into(),
        span.start_unix_nano.to_string().into(),
    );
    object.insert(
        "endTimeUnixNano".into(),
        span.end_unix_nano.to_string().into(),
    );
    object.insert("attributes".into(), attributes_json(&span.attributes));
    put_count(
        &mut object,
        "droppedAttributesCount",
        span.dropped_attributes_count,
    );
    if !span.events.is_empty() {
        object.insert(
            "events".into(),
            span.events.iter().map(event_json).collect(),
        );
    }
    put_count(&mut object, "droppedEventsCount", span.dropped_events_count);
    if !span.links.is_empty() {
        object.insert("links".into(), span.links.iter().map(link_json).collect());
    }
    put_count(&mut object, "droppedLinksCount", span.dropped_links_count);
    if span.has_status {
        let mut status = Map::new();
        put_text(&mut status, "message", &span.status_message);
        if span.status_code != 0 {
            status.insert("code".into(), span.status_code.into());
        }
        object.insert("status".into(), Json::Object(status));
    }
    Json::Object(object)
}

/// A span's event.
pub fn event_json(event: &Event) -> Json {
    let mut object = Map::new();
    object.insert(
        "timeUnixNano".into(),
        event.time_unix_nano.to_string().into(),
    );
    object.insert("name".into(), event.name.as_str().into());
    object.insert("attributes".into(), attributes_json(&event.attributes));
    put_count(
        &mut object,
        "droppedAttributesCount",
        event.dropped_attributes_count,
    );
    Json::Object(object)
}

/// A span's link.
pub fn link_json(link: &Link) -> Json {
    let mut object = Map::new();
    object.insert("traceId".into(), hex(&link.trace_id).into());
    object.insert("spanId".into(), hex(&link.span_id).into());
    put_text(&mut object, "traceState", &link.trace_state);
    object.insert("attributes".into(), attributes_json(&link.attributes));
    put_count(
        &mut object,
        "droppedAttributesCount",
        link.dropped_attributes_count,
    );
    put_count(&mut object, "flags", link.flags);
    Json::Object(object)
}

/// A `LogRecord`, without its resource and scope.
pub fn log_json(record: &LogRecord) -> Json {
    let mut object = Map::new();
    object.insert(
        "timeUnixNano".into(),
        record.time_unix_nano.to_string().into(),
    );
    if record.observed_time_unix_nano != 0 {
        let observed = record.observed_time_unix_nano.to_string();
        object.insert("observedTimeUnixNano".into(), observed.into());
    }
    if record.severity_number != 0 {
        object.insert("severityNumber".into(), record.severity_number.into());
    }
    put_text(&mut object, "severityText", &record.severity_text);
    if record.body != Value::Empty || record.has_empty_body {
        object.insert("body".into(), value_json(&record.body));
    }
    object.insert("attributes".into(), attributes_json(&record.attributes));
    put_count(
        &mut object,
        "droppedAttributesCount",
        record.dropped_attributes_count,
    );
    put_count(&mut object, "flags", record.flags);
    if let Some(trace_id) = record.trace_id {
        object.insert("traceId".into(), trace_id.to_string().into());
    }
    if let Some(span_id) = record.span_id {
        object.insert("spanId".into(), span_id.to_string().into());
    }
    put_text(&mut object, "eventName", &record.event_name);
    Json::Object(object)
}

/// A data point of the kind that its value says, with the attributes of its series.
pub fn data_point_json(series: &Series, point: &DataPoint) -> Json {
    let mut object = Map::new();
    object.insert("attributes".into(), attributes_json(&series.attributes));
    if point.start_unix_nano != 0 {
        object.insert(
            "startTimeUnixNano".into(),
            point.start_unix_nano.to_string().into(),
        );
    }
    object.insert(
        "timeUnixNano".into(),
        point.time_unix_nano.to_string().into(),
    );
    match &point.value {
        PointValue::Empty => {}
        PointValue::Int(int) => put(&mut object, "asInt", int.to_string()),
        PointValue::Double(double) => put(&mut object, "asDouble", double_to_json(*double)),
        PointValue::Histogram(histogram) => put_histogram(&mut object, histogram),
        PointValue::Exponential(histogram) => put_exponential(&mut object, histogram),
        PointValue::Summary(summary) => put_summary(&mut object, summary),
        PointValue::Native(histogram) => native::put(&mut object, histogram),
    }
    if !point.exemplars.is_empty() {
        object.insert(
            "exemplars".into(),
            point.exemplars.iter().map(exemplar_json).collect(),
        );
    }
    put_count(&mut object, "flags", point.flags);
    Json::Object(object)
}

/// An exemplar.
pub fn exemplar_json(exemplar: &Exemplar) -> Json {
    let mut object = Map::new();
    if !exemplar.filtered_attributes.is_empty() {
        put(
            &mut object,
            "filteredAttributes",
            attributes_json(&exemplar.filtered_attributes),
        );
    }
    put(
        &mut object,
        "timeUnixNano",
        exemplar.time_unix_nano.to_string(),
    );
    match exemplar.value {
        ExemplarValue::Empty => {}
        ExemplarValue::Int(int) => put(&mut object, "asInt", int.to_string()),
        ExemplarValue::Double(double) => put(&mut object, "asDouble", double_to_json(double)),
    }
    put_text(&mut object, "spanId", &hex(&exemplar.span_id));
    put_text(&mut object, "traceId", &hex(&exemplar.trace_id));
    Json::Object(object)
}

fn put_histogram(object: &mut Map<String, Json>, value: &Histogram) {
    put(object, "count", value.count.to_string());
    put_double(object, "sum", value.sum);
    if !value.bucket_counts.is_empty() {
        put(object, "bucketCounts", strings(&value.bucket_counts));
    }
    if !value.explicit_bounds.is_empty() {
        let bounds = value
            .explicit_bounds
            .iter()
            .map(|bound| double_to_json(*bound));
        put(object, "explicitBounds", bounds.collect::<Json>());
    }
    put_double(object, "min", value.min);
    put_double(object, "max", value.max);
}

fn put_exponential(object: &mut Map<String, Json>, value: &ExponentialHistogram) {
    put(object, "count", value.count.to_string());
    put_double(object, "sum", value.sum);
    put(object, "scale", value.scale);
    put(object, "zeroCount", value.zero_count.to_string());
    let sides = [("positive", &value.positive), ("negative", &value.negative)];
    for (name, buckets) in sides {
        if let Some(Buckets {
            offset,
            bucket_counts,
        }) = buckets
        {
            put(
                object,
                name,
                json!({"offset": offset, "bucketCounts": strings(bucket_counts)}),
            );
        }
    }
    put_double(object, "min", value.min);
    put_double(object, "max", value.max);
    if value.zero_threshold.to_bits() != 0 {
        put_double(object, "zeroThreshold", Some(value.zero_threshold));
    }
}

fn put_summary(object: &mut Map<String, Json>, value: &Summary) {
    put(object, "count", value.count.to_string());
    put_double(object, "sum", Some(value.sum));
    let quantiles = value.quantiles.iter().map(
        |(quantile, at)| json!({"quantile": double_to_json(*quantile), "value": double_to_json(*at)}),
    );
    put(object, "quantileValues", quantiles.collect::<Json>());
}

fn strings(counts: &[u64]) -> Json {
    counts
        .iter()
        .map(|count| Json::from(count.to_string()))
        .collect()
}

fn put(object: &mut Map<String, Json>, name: &str, value: impl Into<Json>) {
    object.insert(name.to_owned(), value.into());
}

fn put_double(object: &mut Map<String, Json>, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        put(object, name, double_to_json(value));
    }
}

fn put_text(object: &mut Map<String, Json>, name: &str, text: &str) {
    if !text.is_empty() {
        put(object, name, text);
    }
}

fn put_count(object: &mut Map<String, Json>, name: &str, count: u32) {
    if count != 0 {
        put(object, name, count);
    }
}

fn put_attributes(object: &mut Map<String, Json>, attributes: &[KeyValue]) {
    if !attributes.is_empty() {
        put(object, "attributes", attributes_json(attributes));
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
