//! Reads what OTLP JSON nests: attributes, values, times, kinds.

use serde_json::Value as Json;

pub(super) fn list<'a>(object: &'a Json, member: &str) -> &'a [Json] {
    object
        .get(member)
        .and_then(Json::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn key_value(attribute: &Json) -> Option<(&str, &Json)> {
    Some((
        attribute.get("key")?.as_str()?,
        attribute.get("value").unwrap_or(&Json::Null),
    ))
}

pub(super) fn unix_nano(object: &Json, member: &str) -> u64 {
    let value = object.get(member);
    value
        .and_then(Json::as_u64)
        .or_else(|| {
            value
                .and_then(Json::as_str)
                .and_then(|text| text.parse().ok())
        })
        .unwrap_or(0)
}

/// An OTLP AnyValue as text; arrays and lists as their JSON.
pub(super) fn any_value(value: &Json) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|members| members.iter().next()) else {
        return plain(value);
    };
    match kind.as_str() {
        "arrayValue" => {
            let parts: Vec<String> = list(inner, "values").iter().map(any_value).collect();
            format!("[{}]", parts.join(", "))
        }
        "kvlistValue" => {
            let parts: Vec<String> = list(inner, "values")
                .iter()
                .filter_map(key_value)
                .map(|(key, value)| format!("{key}: {}", any_value(value)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        _ => plain(inner),
    }
}

pub(super) fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

pub(super) fn kind_name(kind: i32) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}
