//! Log records with bodies as programs write them: a fixed text with values in it.

use fastrand::Rng;
use model::{KeyValue, LogRecord, Value};

use super::CorpusKind;
use super::corpus::{Corpus, batch_attribute, uuid};
use super::trace::{self, Trace};

/// One record in so many has [`RARE_WORD`].
pub const RARE_EVERY: u64 = 100_000;
/// Which of them it is.
const RARE_AT: u64 = 7_331;
/// A word that only the rarest record has.
pub const RARE_WORD: &str = "tombstone";
const RARE: &str = "found a tombstone where order %n was expected";
/// A word of three records in ten.
pub const COMMON_WORD: &str = "completed";
/// Two words that follow each other in one record of forty.
pub const PHRASE: &str = "connection refused";

/// A request of these records.
pub(super) fn request(corpus: &Corpus, items: &[u64], batch: u64) -> Vec<u8> {
    let records = trace::by_resource(corpus.seed, items, |trace, item, part| {
        record(corpus, trace, item, part, batch)
    });
    otlp::encode::logs(&records)
}

fn record(corpus: &Corpus, trace: &Trace, item: u64, part: usize, batch: u64) -> LogRecord {
    let rng = &mut corpus.item_rng(item);
    let time_unix_nano = corpus.time(item);
    let (template, text) = if item % RARE_EVERY == RARE_AT {
        (0, RARE)
    } else {
        template(rng)
    };
    let (severity_number, severity_text) = match rng.u32(..100) {
        0..2 => (17, "ERROR"),
        2..7 => (13, "WARN"),
        7..25 => (5, "DEBUG"),
        _ => (9, "INFO"),
    };
    let resource = trace.resource(part);
    let mut attributes = if corpus.kind == CorpusKind::Wide {
        corpus.wide_attributes(resource, &trace.correlation_id, rng)
    } else {
        attributes(trace, template, rng)
    };
    attributes.push(batch_attribute(batch));
    LogRecord {
        resource: corpus.resources[resource].clone(),
        scope: corpus.scope.clone(),
        time_unix_nano,
        observed_time_unix_nano: time_unix_nano + 1_000,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Value::Str(body(text, trace.user, rng)),
        attributes,
        flags: 1,
        trace_id: Some(trace.id),
        span_id: Some(trace.span_ids[part]),
        ..LogRecord::default()
    }
}

fn attributes(trace: &Trace, template: usize, rng: &mut Rng) -> Vec<KeyValue> {
    let function = FUNCTIONS[template % FUNCTIONS.len()];
    vec![
        KeyValue::new("correlation_id", trace.correlation_id.as_str()),
        KeyValue::new("user.id", trace.user_id()),
        KeyValue::new("code.function.name", format!("shop::{function}")),
        KeyValue::new("code.line.number", LINES[template % LINES.len()]),
        KeyValue::new("thread.name", format!("worker-{}", rng.u32(..32))),
    ]
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
const LINES: [i64; 5] = [48, 117, 203, 391, 874];

/// How many of a thousand records have which text. In it `%d` stands for a number of up to four
/// digits, `%n` for a longer one, `%x` for hex digits, `%u` for a UUID, `%a` for an address, `%f`
/// for a decimal and `%w` for the user's number.
const TEMPLATES: [(u32, &str); 24] = [
    (
        120,
        "GET /api/v1/products/%n completed in %f ms with status 200, %d bytes sent to %a",
    ),
    (
        80,
        "POST /api/v1/orders completed in %f ms with status 201, order %n, %d bytes",
    ),
    (
        70,
        "query completed in %f ms: SELECT * FROM orders WHERE warehouse_id = %d LIMIT 50",
    ),
    (30, "scheduled job refresh-%d completed after %f s"),
    (25, "connection refused by %a port %d, attempt %d of 5"),
    (70, "cache miss for key product:%x, loaded in %f ms"),
    (
        40,
        "cache hit ratio over the last minute is %f with %d keys",
    ),
    (
        80,
        "consumed message from orders partition %d offset %n in %f ms",
    ),
    (40, "payment %u authorized by acquirer in %f ms, attempt %d"),
    (
        20,
        "payment declined: insufficient funds, user-%w will be asked again in %d s",
    ),
    (60, "token of user-%w verified, key id %x, expires in %d s"),
    (
        40,
        "session of user-%w renewed for 1800 s, %d requests so far",
    ),
    (60, "reserved %d of product %n in warehouse %d"),
    (
        20,
        "retrying request to inventory after %d ms (attempt %d of 5)",
    ),
    (
        5,
        "circuit breaker for shipping opened after %d failures, next try in %d s",
    ),
    (30, "mail %u to user-%w handed to smtp relay %a"),
    (
        30,
        "garbage collection freed %d KiB in %f ms, heap is %n KiB",
    ),
    (
        20,
        "rate limit of %d per minute reached by %a, answering 429",
    ),
    (
        40,
        "feature flag checkout-v%d is on for user-%w, evaluated in %f ms",
    ),
    (50, "search for sku-%x returned %d results in %f ms"),
    (
        10,
        "upload of invoice-%n.pdf finished: %d bytes, sha256 %x%x%x%x",
    ),
    (30, "shipment %n handed to carrier %d, expected in %d days"),
    (
        10,
        "unexpected status 503 from fraud-check at %a after %f ms",
    ),
    (
        20,
        "price of product %n refreshed from the catalog in %f ms",
    ),
];

/// Draws one by its share.
fn template(rng: &mut Rng) -> (usize, &'static str) {
    let mut drawn = rng.u32(..1_000);
    for (index, (share, text)) in TEMPLATES.iter().enumerate() {
        match drawn.checked_sub(*share) {
            Some(rest) => drawn = rest,
            None => return (index, text),
        }
    }
    unreachable!("the shares add up to a thousand");
}

/// Fills the values into a template.
fn body(template: &str, user: u32, rng: &mut Rng) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    let mut parts = template.split('%');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (kind, rest) = part.split_at(1);
        match kind {
            "d" => text.push_str(&rng.u32(1..10_000).to_string()),
            "n" => text.push_str(&rng.u32(10_000..10_000_000).to_string()),
            "x" => text.push_str(&format!("{:08x}", rng.u32(..))),
            "u" => text.push_str(&uuid(rng)),
            "w" => text.push_str(&user.to_string()),
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
