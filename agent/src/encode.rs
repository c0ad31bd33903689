//! OTLP protobuf as the agent writes it: log records and number data points, straight into
//! bytes, and a count of the rows in a request.

use model::row::DecodeError;
use model::wire::{Field, Reader, put_bytes, put_key, put_key_value, put_varint};
use model::{KeyValue, Signal, SpanId, TraceId, Value};

/// The instrumentation scope of what the agent reads itself.
pub const SCOPE_PREFIX: &str = "throughline/";

/// Appends a length-delimited message that `write` fills. The length is put in front after the
/// fact: cheaper than measuring first, since the messages are small.
pub fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, number, 2);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    let mut prefix = [0u8; 10];
    let mut used = 0;
    let mut left = length as u64;
    loop {
        let byte = u8::try_from(left & 0x7f).expect("seven bits fit a byte");
        left >>= 7;
        prefix[used] = if left > 0 { byte | 0x80 } else { byte };
        used += 1;
        if left == 0 {
            break;
        }
    }
    out.splice(start..start, prefix[..used].iter().copied());
}

/// Appends a fixed64 field unless it is zero.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_key(out, number, 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends one attribute under a field number.
pub fn put_attribute(out: &mut Vec<u8>, number: u32, pair: &KeyValue) {
    put_message(out, number, |out| put_key_value(out, pair));
}

/// Appends an attribute whose value is text, without building it first.
pub fn put_text_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
    });
}

/// The fields of a `Resource` message.
pub fn resource(attributes: &[KeyValue]) -> Vec<u8> {
    let mut out = Vec::new();
    for pair in attributes {
        put_attribute(&mut out, 1, pair);
    }
    out
}

/// The fields of an `InstrumentationScope` message.
pub fn scope(receiver: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, format!("{SCOPE_PREFIX}{receiver}").as_bytes());
    put_bytes(&mut out, 2, env!("CARGO_PKG_VERSION").as_bytes());
    out
}

/// Appends one `ResourceLogs` or `ResourceMetrics`: `rows` holds the encoded rows, each with its
/// key (field 2) and length.
pub fn put_envelope(out: &mut Vec<u8>, resource: &[u8], scope: &[u8], rows: &[u8]) {
    put_message(out, 1, |out| {
        put_bytes(out, 1, resource);
        put_message(out, 2, |out| {
            put_bytes(out, 1, scope);
            out.extend_from_slice(rows);
        });
    });
}

/// A log record about to be written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// 0 where the line does not say.
    pub time_unix_nano: u64,
    pub observed_unix_nano: u64,
    /// 0 where the line does not say.
    pub severity_number: i32,
    pub severity_text: String,
    pub body: Value,
    pub attributes: Vec<KeyValue>,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    /// W3C trace flags.
    pub flags: u32,
}

/// Appends a log record as field 2 of `ScopeLogs`.
pub fn put_log(out: &mut Vec<u8>, log: &Log) {
    put_message(out, 2, |out| {
        put_fixed64(out, 1, log.time_unix_nano);
        if log.severity_number > 0 {
            put_key(out, 2, 0);
            put_varint(out, u64::from(log.severity_number.unsigned_abs()));
        }
        if !log.severity_text.is_empty() {
            put_bytes(out, 3, log.severity_text.as_bytes());
        }
        put_message(out, 5, |out| model::wire::put_value(out, &log.body));
        for pair in &log.attributes {
            put_attribute(out, 6, pair);
        }
        if log.flags != 0 {
            put_key(out, 8, 5);
            out.extend_from_slice(&log.flags.to_le_bytes());
        }
        if let Some(id) = &log.trace_id {
            put_bytes(out, 9, &id.0);
        }
        if let Some(id) = &log.span_id {
            put_bytes(out, 10, &id.0);
        }
        put_fixed64(out, 11, log.observed_unix_nano);
    });
}

/// A number of a data point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    Double(f64),
}

/// What kind of metric the points belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// A cumulative sum that never goes down, since this time.
    Counter {
        start_unix_nano: u64,
    },
    /// A cumulative sum that may go down.
    UpDownCounter {
        start_unix_nano: u64,
    },
}

/// One point: its attributes and value.
pub type Point = (Vec<(&'static str, String)>, Number);

/// Appends a metric with its points as field 2 of `ScopeMetrics`.
pub fn put_metric(
    out: &mut Vec<u8>,
    (name, unit, description): (&str, &str, &str),
    kind: Kind,
    time_unix_nano: u64,
    points: &[Point],
) {
    let (field, start) = match kind {
        Kind::Gauge => (5, 0),
        Kind::Counter { start_unix_nano } | Kind::UpDownCounter { start_unix_nano } => {
            (7, start_unix_nano)
        }
    };
    put_message(out, 2, |out| {
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, description.as_bytes());
        put_bytes(out, 3, unit.as_bytes());
        put_message(out, field, |out| {
            for point in points {
                put_point(out, start, time_unix_nano, point);
            }
            if field == 7 {
                put_key(out, 2, 0);
                put_varint(out, 2);
                if matches!(kind, Kind::Counter { .. }) {
                    put_key(out, 3, 0);
                    put_varint(out, 1);
                }
            }
        });
    });
}

fn put_point(out: &mut Vec<u8>, start: u64, time: u64, (attributes, value): &Point) {
    put_message(out, 1, |out| {
        put_fixed64(out, 2, start);
        put_fixed64(out, 3, time);
        match value {
            Number::Double(double) => {
                put_key(out, 4, 1);
                out.extend_from_slice(&double.to_le_bytes());
            }
            Number::Int(int) => {
                put_key(out, 6, 1);
                out.extend_from_slice(&int.to_le_bytes());
            }
        }
        for (key, text) in attributes {
            put_text_attribute(out, 7, key, text);
        }
    });
}

/// How many rows (spans, log records, data points) a request carries. Only the envelopes are
/// looked at; what lies in a row is the collector's to judge.
pub fn count_rows(signal: Signal, request: &[u8]) -> Result<u64, DecodeError> {
    let mut rows = 0;
    let mut reader = Reader::new(request);
    each(&mut reader, 1, &mut |resource| {
        each(resource, 2, &mut |scope| {
            each(scope, 2, &mut |row| {
                if signal == Signal::Metrics {
                    rows += count_points(row)?;
                } else {
                    rows += 1;
                }
                Ok(())
            })
        })
    })?;
    Ok(rows)
}

/// Hands each message of a field to `visit`; the rest is checked to be well formed.
fn each<'a>(
    reader: &mut Reader<'a>,
    wanted: u32,
    visit: &mut dyn FnMut(&mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while let Some((number, field)) = reader.next()? {
        if number == wanted {
            let message = field.bytes(reader)?;
            visit(&mut reader.nested(message))?;
        }
    }
    Ok(())
}

fn count_points(metric: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut points = 0;
    while let Some((number, field)) = metric.next()? {
        let (5 | 7 | 9 | 10 | 11, Field::Bytes(data)) = (number, field) else {
            continue;
        };
        each(&mut metric.nested(data), 1, &mut |_| {
            points += 1;
            Ok(())
        })?;
    }
    Ok(points)
}

#[cfg(test)]
mod tests;
