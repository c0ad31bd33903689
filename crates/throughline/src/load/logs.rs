//! Log records with bodies as programs write them: a fixed text with values in it.

use std::ops::Range;

use fastrand::Rng;
use model::{KeyValue, LogRecord, SpanId, TraceId, Value};

use super::corpus::{Corpus, RESOURCES, batch_attribute, uuid};

/// Consecutive records of one resource, as a batching exporter sends them.
const RUN: u64 = 16;

/// A request of these records.
pub(super) fn request(corpus: &Corpus, items: Range<u64>, batch: u64) -> Vec<u8> {
    let records: Vec<_> = items.map(|item| record(corpus, item, batch)).collect();
    otlp::encode::logs(&records)
}

fn record(corpus: &Corpus, item: u64, batch: u64) -> LogRecord {
    // Which resource is the same for a whole run, so it is drawn from the run's number.
    let resource = corpus.rng(!(item / RUN)).usize(..RESOURCES);
    let rng = &mut corpus.rng(item);
    let time_unix_nano = corpus.time(item);
    let template = rng.usize(..TEMPLATES.len());
    let (severity_number, severity_text) = match rng.u32(..100) {
        0..2 => (17, "ERROR"),
        2..7 => (13, "WARN"),
        7..25 => (5, "DEBUG"),
        _ => (9, "INFO"),
    };
    let attributes = vec![
        KeyValue::new("request_id", uuid(rng)),
        KeyValue::new(
            "code.function.name",
            format!("shop::{}", FUNCTIONS[template % FUNCTIONS.len()]),
        ),
        KeyValue::new("code.line.number", i64::from(rng.u32(10..900))),
        KeyValue::new("thread.name", format!("worker-{}", rng.u32(..32))),
        batch_attribute(batch),
    ];
    LogRecord {
        resource: corpus.resources[resource].clone(),
        scope: corpus.scope.clone(),
        time_unix_nano,
        observed_time_unix_nano: time_unix_nano + 1_000,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Value::Str(body(TEMPLATES[template], rng)),
        attributes,
        flags: 1,
        trace_id: Some(TraceId(rng.u128(1..).to_be_bytes())),
        span_id: Some(SpanId(rng.u64(1..).to_be_bytes())),
        ..LogRecord::default()
    }
}

const FUNCTIONS: [&str; 7] = [
    "orders::place",
    "cart::merge",
    "auth::verify",
    "db::pool",
    "http::serve",
    "queue::consume",
    "cache::fill",
];

/// `%d` stands for a number, `%x` for hex digits, `%u` for a UUID, `%a` for an address, `%f` for
/// a decimal.
const TEMPLATES: [&str; 24] = [
    "GET /api/v1/products/%d responded 200 in %f ms (%d bytes) to %a",
    "POST /api/v1/orders responded 201 in %f ms (%d bytes) to %a",
    "order %u placed by user-%d: %d items, total %f EUR",
    "payment %u authorized by acquirer in %f ms, code %x",
    "payment %u declined: insufficient funds, user-%d will be asked again",
    "connection from %a port %d accepted, %d open",
    "connection to postgres-%d lost after %f s, reconnecting (attempt %d)",
    "query took %f ms: SELECT * FROM orders WHERE customer_id = %d LIMIT 50",
    "cache miss for key product:%d:%x, loaded in %f ms",
    "cache hit ratio over the last minute is %f with %d keys",
    "session %u of user-%d expired after 1800 s",
    "consumed message %u from orders partition %d offset %d",
    "retrying request %u to inventory after %d ms (attempt %d of 5)",
    "circuit breaker for shipping opened after %d failures, next try in %d s",
    "token of user-%d verified, key id %x, expires in %d s",
    "reserved %d of product %d in warehouse %d",
    "mail %u to user-%d handed to smtp relay %a",
    "garbage collection freed %d KiB in %f ms, heap is %d KiB",
    "rate limit of %d per minute reached by %a, answering 429",
    "feature flag checkout-v%d is on for user-%d",
    "search for sku-%x returned %d results in %f ms",
    "upload of invoice-%d.pdf finished: %d bytes, sha256 %x%x%x%x",
    "scheduled job reindex-%d finished in %f s, %d documents",
    "unexpected status 503 from fraud-check at %a: request %u took %f ms",
];

/// Fills the values into a template.
fn body(template: &str, rng: &mut Rng) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    let mut parts = template.split('%');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (kind, rest) = part.split_at(1);
        match kind {
            "d" => text.push_str(&rng.u32(1..100_000).to_string()),
            "x" => text.push_str(&format!("{:08x}", rng.u32(..))),
            "u" => text.push_str(&uuid(rng)),
            "a" => text.push_str(&format!(
                "10.{}.{}.{}",
                rng.u8(..4),
                rng.u8(..),
                rng.u8(1..255)
            )),
            _ => text.push_str(&format!("{}.{:02}", rng.u32(..500), rng.u32(..100))),
        }
        text.push_str(rest);
    }
    text
}
