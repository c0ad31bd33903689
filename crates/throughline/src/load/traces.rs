//! Spans of traces of twelve, through four of the services.
//!
//! A span has one UUID of its own, its request id, and its span id; correlation, session and cart
//! ids and the user are the trace's; of everything else there are few values, but for a number
//! in a URL, sizes and offsets.

use fastrand::Rng;
use model::{Event, KeyValue, Span, SpanKind, StatusCode};

use super::CorpusKind;
use super::corpus::{Corpus, batch_attribute, uuid};
use super::trace::{self, Part, SHAPE, Trace};

const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-2", "ap-south-1"];
const ERROR: &str = "upstream request timeout";

/// A request of these spans.
pub(super) fn request(corpus: &Corpus, items: &[u64], batch: u64) -> Vec<u8> {
    let spans = trace::by_resource(corpus.seed, items, |trace, item, part| {
        span(corpus, trace, item, part, batch)
    });
    otlp::encode::traces(&spans)
}

fn span(corpus: &Corpus, trace: &Trace, item: u64, index: usize, batch: u64) -> Span {
    let part = &SHAPE[index];
    let rng = &mut corpus.item_rng(item);
    let trace_start = corpus.time(item - index as u64);
    let at = |thousandth: u64| trace_start + trace.duration * thousandth / 1000;
    let (start_unix_nano, end_unix_nano) = (at(part.range.0), at(part.range.1));
    let failed = trace.failed && part.fails;
    let resource = trace.resource(index);
    let mut attributes = if corpus.kind == CorpusKind::Wide {
        corpus.wide_attributes(resource, &trace.correlation_id, rng)
    } else {
        attributes(trace, part, failed, rng)
    };
    attributes.push(batch_attribute(batch));
    let mut span = Span {
        resource: corpus.resources[resource].clone(),
        scope: corpus.scope.clone(),
        trace_id: trace.id,
        span_id: trace.span_ids[index],
        parent_span_id: part.parent.map(|parent| trace.span_ids[parent]),
        flags: 0x101,
        name: part.name.to_owned(),
        kind: part.kind as i32,
        start_unix_nano,
        end_unix_nano,
        attributes,
        events: event(part, start_unix_nano, rng).into_iter().collect(),
        ..Span::default()
    };
    if failed {
        span.has_status = true;
        span.status_code = StatusCode::Error as i32;
        span.status_message = ERROR.to_owned();
        if part.kind == SpanKind::Server {
            span.events.push(Event {
                time_unix_nano: end_unix_nano,
                name: "exception".to_owned(),
                attributes: vec![
                    KeyValue::new("exception.type", "TimeoutError"),
                    KeyValue::new("exception.message", ERROR),
                ],
                ..Event::default()
            });
        }
    }
    span
}

/// What happens within spans that talk to a database.
fn event(part: &Part, start: u64, rng: &mut Rng) -> Option<Event> {
    let table = part.name.split_once(' ').filter(|(verb, _)| {
        // The others are calls of services.
        matches!(*verb, "SELECT" | "INSERT")
    })?;
    Some(Event {
        time_unix_nano: start + rng.u64(1_000..400_000),
        name: "connection taken".to_owned(),
        attributes: vec![
            KeyValue::new("db.collection.name", table.1),
            KeyValue::new("db.pool.idle", i64::from(rng.u32(..64))),
        ],
        ..Event::default()
    })
}

fn attributes(trace: &Trace, part: &Part, failed: bool, rng: &mut Rng) -> Vec<KeyValue> {
    let mut attributes = shared_attributes(trace, part, rng);
    own_attributes(&mut attributes, trace, part, failed, rng);
    attributes
}

fn shared_attributes(trace: &Trace, part: &Part, rng: &mut Rng) -> Vec<KeyValue> {
    let region = REGIONS[trace.user as usize % REGIONS.len()];
    vec![
        KeyValue::new("request_id", uuid(rng)),
        KeyValue::new("correlation_id", trace.correlation_id.as_str()),
        KeyValue::new("thread.id", i64::from(rng.u32(1..64))),
        KeyValue::new(
            "code.function.name",
            format!("shop::handlers::{}", part.name),
        ),
        KeyValue::new("user.id", trace.user_id()),
        KeyValue::new("session.id", trace.session_id.as_str()),
        KeyValue::new("shop.cart.id", trace.cart_id.as_str()),
        KeyValue::new("cloud.region", region),
    ]
}

fn own_attributes(
    attributes: &mut Vec<KeyValue>,
    trace: &Trace,
    part: &Part,
    failed: bool,
    rng: &mut Rng,
) {
    let status = if failed { 504i64 } else { 200 };
    match part.kind {
        SpanKind::Server => {
            let user = trace.user;
            attributes.extend([
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("http.route", part.name),
                KeyValue::new(
                    "url.path",
                    format!("/api/v1/orders/{}", rng.u32(..1_000_000)),
                ),
                KeyValue::new("url.scheme", "https"),
                KeyValue::new("http.response.status_code", status),
                KeyValue::new(
                    "client.address",
                    format!("10.20.{}.{}", user / 250 % 250, user % 250),
                ),
                KeyValue::new(
                    "user_agent.original",
                    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/143.0",
                ),
                KeyValue::new("http.response.body.size", i64::from(rng.u32(100..20_000))),
                KeyValue::new("network.protocol.version", "1.1"),
            ]);
        }
        SpanKind::Client => {
            let server = "upstream.production.svc.cluster.local";
            attributes.extend([
                KeyValue::new("server.address", server),
                KeyValue::new("server.port", 8080i64),
                KeyValue::new(
                    "network.peer.address",
                    format!("10.1.0.{}", rng.u32(10..46)),
                ),
                KeyValue::new(
                    "url.full",
                    format!("http://{server}:8080/v1/items/{}", rng.u32(..1_000_000)),
                ),
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("http.response.status_code", status),
            ]);
        }
        _ => {
            attributes.extend([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.destination.name", "orders"),
                KeyValue::new("messaging.kafka.offset", i64::from(rng.u32(..))),
                KeyValue::new("messaging.client.id", "order-service-producer-0"),
                KeyValue::new(
                    "job.description",
                    "hand the order over to whoever ships it, at least once",
                ),
            ]);
        }
    }
}
