//! Traces of twelve spans through seven services.

use std::ops::Range;

use fastrand::Rng;
use model::{Event, KeyValue, Span, SpanId, SpanKind, StatusCode, TraceId};

use super::corpus::{Corpus, RESOURCES, batch_attribute, uuid};

/// Spans of one trace.
pub(super) const SPANS: u64 = 12;

/// One span of the shape that all traces have.
struct Part {
    parent: Option<usize>,
    /// Added to the service that the trace begins with.
    service: usize,
    kind: SpanKind,
    name: &'static str,
    /// Begin and end in thousandths of the trace.
    range: (u64, u64),
}

const fn part(
    parent: Option<usize>,
    service: usize,
    kind: SpanKind,
    name: &'static str,
    range: (u64, u64),
) -> Part {
    Part {
        parent,
        service,
        kind,
        name,
        range,
    }
}

const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-2", "ap-south-1"];

const SHAPE: [Part; SPANS as usize] = [
    part(
        None,
        0,
        SpanKind::Server,
        "POST /api/v1/orders/{id}",
        (0, 1000),
    ),
    part(Some(0), 0, SpanKind::Client, "GET /v1/session", (20, 120)),
    part(Some(1), 1, SpanKind::Server, "GET /v1/session", (30, 110)),
    part(Some(2), 1, SpanKind::Client, "GET redis", (40, 80)),
    part(Some(0), 0, SpanKind::Client, "POST /v2/orders", (130, 960)),
    part(Some(4), 2, SpanKind::Server, "POST /v2/orders", (140, 950)),
    part(Some(5), 2, SpanKind::Client, "SELECT orders", (160, 280)),
    part(Some(5), 2, SpanKind::Client, "POST /v1/charges", (300, 700)),
    part(Some(7), 3, SpanKind::Server, "POST /v1/charges", (320, 690)),
    part(Some(8), 3, SpanKind::Internal, "score risk", (340, 420)),
    part(Some(8), 3, SpanKind::Client, "INSERT charges", (430, 650)),
    part(Some(5), 2, SpanKind::Producer, "send orders", (720, 930)),
];

/// What the spans of one trace have in common.
struct Trace {
    id: TraceId,
    span_ids: [SpanId; SPANS as usize],
    start: u64,
    duration: u64,
    request_id: String,
    user: u32,
    /// The resource of the first service.
    resource: usize,
    failed: bool,
    rng: Rng,
}

impl Trace {
    fn new(corpus: &Corpus, number: u64) -> Self {
        let mut rng = corpus.rng(number);
        let id = TraceId(rng.u128(1..).to_be_bytes());
        let span_ids = std::array::from_fn(|_| SpanId(rng.u64(1..).to_be_bytes()));
        // Most are fast, a few take seconds.
        let milliseconds = 4.0 + 2_000.0 * rng.f64().powi(6);
        Self {
            id,
            span_ids,
            start: corpus.time(number * SPANS),
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            duration: (milliseconds * 1e6) as u64,
            request_id: uuid(&mut rng),
            user: rng.u32(..50_000),
            resource: rng.usize(..RESOURCES),
            failed: rng.u32(..100) < 2,
            rng,
        }
    }
}

/// A request of these spans, each resource's together.
pub(super) fn request(corpus: &Corpus, items: Range<u64>, batch: u64) -> Vec<u8> {
    let mut spans = Vec::new();
    let mut number = items.start / SPANS;
    while number * SPANS < items.end {
        let mut trace = Trace::new(corpus, number);
        for index in 0..SPANS {
            // All are made, so that a trace cut by the batch has the same spans.
            let span = span(corpus, &mut trace, index as usize, batch);
            if items.contains(&(number * SPANS + index)) {
                spans.push(span);
            }
        }
        number += 1;
    }
    spans.sort_by_key(|(resource, _)| *resource);
    let spans: Vec<_> = spans.into_iter().map(|(_, span)| span).collect();
    otlp::encode::traces(&spans)
}

fn span(corpus: &Corpus, trace: &mut Trace, index: usize, batch: u64) -> (usize, Span) {
    let part = &SHAPE[index];
    let resource = (trace.resource + part.service * 5) % RESOURCES;
    let at = |thousandth: u64| trace.start + trace.duration * thousandth / 1000;
    let (start_unix_nano, end_unix_nano) = (at(part.range.0), at(part.range.1));
    let failed = trace.failed && matches!(index, 0 | 4 | 5 | 7 | 8);
    let mut attributes = attributes(trace, part, failed);
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
        ..Span::default()
    };
    if failed {
        span.has_status = true;
        span.status_code = StatusCode::Error as i32;
        span.status_message = "upstream request timeout".to_owned();
    }
    if failed && index == 8 {
        span.events.push(Event {
            time_unix_nano: end_unix_nano,
            name: "exception".to_owned(),
            attributes: vec![
                KeyValue::new("exception.type", "TimeoutError"),
                KeyValue::new("exception.message", "upstream request timeout"),
            ],
            ..Event::default()
        });
    }
    (resource, span)
}

fn attributes(trace: &mut Trace, part: &Part, failed: bool) -> Vec<KeyValue> {
    let rng = &mut trace.rng;
    let mut attributes = vec![
        KeyValue::new("request_id", trace.request_id.as_str()),
        KeyValue::new("thread.id", i64::from(rng.u32(1..64))),
        KeyValue::new("thread.name", format!("worker-{}", rng.u32(..32))),
        KeyValue::new(
            "code.function.name",
            format!("shop::handlers::{}", part.name),
        ),
        KeyValue::new("enduser.id", format!("user-{}", trace.user)),
        KeyValue::new("session.id", uuid(rng)),
        KeyValue::new("shop.cart.id", uuid(rng)),
        KeyValue::new("cloud.region", REGIONS[rng.usize(..REGIONS.len())]),
    ];
    let address = format!("10.{}.{}.{}", rng.u8(..4), rng.u8(..), rng.u8(1..255));
    match part.kind {
        SpanKind::Server => {
            attributes.extend([
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("http.route", part.name),
                KeyValue::new(
                    "url.path",
                    format!("/api/v1/orders/{}", rng.u32(..1_000_000)),
                ),
                KeyValue::new("url.scheme", "https"),
                KeyValue::new(
                    "http.response.status_code",
                    if failed { 504i64 } else { 200 },
                ),
                KeyValue::new("client.address", address),
                KeyValue::new(
                    "user_agent.original",
                    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/143.0",
                ),
                KeyValue::new("http.response.body.size", i64::from(rng.u32(100..20_000))),
                KeyValue::new("network.protocol.version", "1.1"),
            ]);
        }
        SpanKind::Client => {
            attributes.extend([
                KeyValue::new("server.address", "upstream.production.svc.cluster.local"),
                KeyValue::new("server.port", 8080i64),
                KeyValue::new("network.peer.address", address),
                KeyValue::new(
                    "url.full",
                    format!(
                        "http://upstream.production.svc.cluster.local:8080/v1/items/{}",
                        uuid(rng)
                    ),
                ),
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new(
                    "http.response.status_code",
                    if failed { 504i64 } else { 200 },
                ),
            ]);
        }
        _ => {
            attributes.extend([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.destination.name", "orders"),
                KeyValue::new("messaging.message.id", uuid(rng)),
                KeyValue::new("messaging.kafka.offset", i64::from(rng.u32(..))),
                KeyValue::new("messaging.client.id", "order-service-producer-0"),
                KeyValue::new(
                    "job.description",
                    "hand the order over to whoever ships it, at least once",
                ),
            ]);
        }
    }
    attributes
}
