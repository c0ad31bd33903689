//! Trace context of a log line: ids under their usual keys, `traceparent`, b3.
//!
//! An id is valid or passed over, never padded or made up: a b3 trace id of 64 bits stays what
//! it is, an attribute or a part of the text.

use model::correlation::{b3, traceparent};
use model::{SpanId, TraceId};
use serde_json::{Map, Value as Json};

use crate::encode::Log;

pub(super) const TRACE_KEYS: [&str; 6] = [
    "trace_id",
    "traceId",
    "traceID",
    "trace.id",
    "traceid",
    "otelTraceID",
];
pub(super) const SPAN_KEYS: [&str; 6] = [
    "span_id",
    "spanId",
    "spanID",
    "span.id",
    "spanid",
    "otelSpanID",
];
/// The header that holds all of b3.
const B3: &str = "b3";
/// The headers of b3 that hold one id each.
const B3_TRACE: &str = "x-b3-traceid";
const B3_SPAN: &str = "x-b3-spanid";

/// The context of a line of plain text.
pub(super) fn in_text(log: &mut Log, text: &str) {
    // Most lines have none of this, and a search or two say so.
    if memchr::memmem::find(text.as_bytes(), b"race").is_some() {
        for (trace_key, span_key) in TRACE_KEYS.iter().zip(SPAN_KEYS) {
            if let Some(id) = hex_after(text, trace_key).and_then(|hex| hex.parse().ok()) {
                log.trace_id = Some(id);
                log.span_id = hex_after(text, span_key).and_then(|hex| hex.parse().ok());
                return;
            }
        }
        for value in values(text, "traceparent") {
            if set_traceparent(log, value) {
                return;
            }
        }
        for value in values(text, B3_TRACE) {
            if set_trace(log, value) {
                let mut spans = values(text, B3_SPAN);
                log.span_id = spans.find_map(|value| value.parse().ok());
                return;
            }
        }
    }
    let has = |word: &[u8]| memchr::memmem::find(text.as_bytes(), word).is_some();
    if has(b"b3") || has(b"B3") {
        for value in values(text, B3) {
            if set_b3(log, value) {
                return;
            }
        }
    }
}

/// Takes the context out of the members of a JSON line.
pub(super) fn in_members(log: &mut Log, members: &mut Map<String, Json>) {
    if let Some(id) = take_id::<TraceId>(members, &TRACE_KEYS) {
        log.trace_id = Some(id);
        log.span_id = take_id::<SpanId>(members, &SPAN_KEYS);
        return;
    }
    let keys: Vec<String> = members
        .keys()
        .filter(|key| is_header(key))
        .cloned()
        .collect();
    for key in keys {
        let taken = match members.get(&key) {
            Some(Json::String(value)) => header(log, &key, value),
            _ => false,
        };
        if taken {
            members.shift_remove(&key);
        }
    }
}

/// Whether a key is that of a header with a trace context.
pub(super) fn is_header(key: &str) -> bool {
    ["traceparent", B3, B3_TRACE, B3_SPAN]
        .iter()
        .any(|header| key.eq_ignore_ascii_case(header))
}

/// Takes over the context of a header; whether the record then says all that the header did. The
/// first context of a line counts.
pub(super) fn header(log: &mut Log, key: &str, value: &str) -> bool {
    if key.eq_ignore_ascii_case(B3_SPAN) {
        return log.span_id.is_none() && {
            log.span_id = value.parse().ok();
            log.span_id.is_some()
        };
    }
    if log.trace_id.is_some() {
        return false;
    }
    if key.eq_ignore_ascii_case("traceparent") {
        set_traceparent(log, value)
    } else if key.eq_ignore_ascii_case(B3_TRACE) {
        set_trace(log, value)
    } else {
        // A parent span and a decision to debug have no place in a record.
        set_b3(log, value)
            && matches!(
                value.split('-').collect::<Vec<_>>()[..],
                [_, _] | [_, _, "0" | "1"]
            )
    }
}

fn set_trace(log: &mut Log, value: &str) -> bool {
    log.trace_id = value.parse().ok();
    log.trace_id.is_some()
}

fn set_traceparent(log: &mut Log, value: &str) -> bool {
    let Some((trace, span)) = traceparent(value) else {
        return false;
    };
    log.trace_id = trace.parse().ok();
    log.span_id = span.parse().ok();
    let flags = value.split('-').nth(3);
    log.flags = flags
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    true
}

/// `TRACE-SPAN`, `TRACE-SPAN-SAMPLED` or `TRACE-SPAN-SAMPLED-PARENT`.
fn set_b3(log: &mut Log, value: &str) -> bool {
    let Some((trace, Some(span))) = b3(value) else {
        return false;
    };
    log.trace_id = trace.parse().ok();
    log.span_id = span.parse().ok();
    log.flags = u32::from(matches!(value.split('-').nth(2), Some("1" | "d")));
    true
}

/// The values that stand after a key in text, in any case: hex digits and dashes after `=`, `:`
/// or `":"`. The key is not the end of another word.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let (bytes, word) = (text.as_bytes(), key.as_bytes());
    let starts = bytes
        .windows(word.len())
        .enumerate()
        .filter(move |(at, window)| {
            let before = at.checked_sub(1).map(|before| bytes[before]);
            let whole = before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'-');
            whole && window.eq_ignore_ascii_case(word)
        });
    starts.map(move |(at, _)| {
        let value = text[at + word.len()..].trim_start_matches(['"', '\'', ':', '=', ' ', '\\']);
        let end = value
            .find(|c: char| !c.is_ascii_hexdigit() && c != '-')
            .unwrap_or(value.len());
        &value[..end]
    })
}

/// The hex digits of `key=`, `key:` or `"key":"`.
fn hex_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let at = memchr::memmem::find(text.as_bytes(), key.as_bytes())?;
    let rest = &text[at + key.len()..];
    let value = rest.trim_start_matches(['"', '\'', '\\', ' ']);
    let value = value.strip_prefix(['=', ':'])?;
    let value = value.trim_start_matches(['"', '\'', '\\', ' ']);
    let end = value
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(value.len());
    Some(&value[..end])
}

fn take_id<T: std::str::FromStr>(members: &mut Map<String, Json>, keys: &[&str]) -> Option<T> {
    for key in keys {
        let id = members.get(*key).and_then(Json::as_str);
        if let Some(id) = id.and_then(|id| id.parse().ok()) {
            members.shift_remove(*key);
            return Some(id);
        }
    }
    None
}
