//! What orders rows of one time: a number made of what a row holds.
//!
//! It is the same wherever and however the row is stored, so an order by (time, digest) outlives
//! flushes and is common to all stores. Rows of one time and digest are copies of each other.

use model::{LogRecord, Span};
use xxhash_rust::xxh3::xxh3_64;

/// The digest of a log record: of everything that was sent. What the record is correlated by is
/// derived from that, and left out.
pub fn log(record: &LogRecord) -> u64 {
    let sent = (
        &record.resource,
        &record.scope,
        (record.time_unix_nano, record.observed_time_unix_nano),
        (record.severity_number, &record.severity_text),
        &record.body,
        &record.attributes,
        (record.dropped_attributes_count, record.flags),
        (&record.trace_id, &record.span_id),
        &record.event_name,
    );
    xxh3_64(&postcard::to_stdvec(&sent).expect("a record has nothing that postcard cannot encode"))
}

/// The digest of a span: of its ids and kind, which every reading of it has, in summary too.
pub fn span(span: &Span) -> u64 {
    let mut bytes = [0; 28];
    bytes[..16].copy_from_slice(&span.trace_id.0);
    bytes[16..24].copy_from_slice(&span.span_id.0);
    bytes[24..].copy_from_slice(&span.kind.to_le_bytes());
    xxh3_64(&bytes)
}
