//! What the spans and the log records of one trace have in common.
//!
//! Span `n` and log record `n` of a seed belong to trace `n / 12` and to the same service
//! instance: record `n` is a line that the program wrote while it worked on span `n`. So a run of
//! each signal with one seed makes traces with their logs.

use model::{SpanId, SpanKind, TraceId};

use super::corpus::{RESOURCES, rng, uuid};

/// Spans, and log records, of one trace.
pub(super) const PARTS: usize = 12;
/// How many users send requests.
const USERS: u32 = 50_000;
/// Keeps the generators of resources apart from those of traces.
const OF_RESOURCE: u64 = 0x7365_7276;

/// One span of the shape that all traces have.
pub(super) struct Part {
    pub(super) parent: Option<usize>,
    /// Added to the service that the trace begins with.
    pub(super) service: usize,
    pub(super) kind: SpanKind,
    pub(super) name: &'static str,
    /// Begin and end in thousandths of the trace.
    pub(super) range: (u64, u64),
    /// Whether it fails with the trace.
    pub(super) fails: bool,
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
        fails: false,
    }
}

const fn failing(mut part: Part) -> Part {
    part.fails = true;
    part
}

pub(super) const SHAPE: [Part; PARTS] = {
    use SpanKind::{Client, Internal, Producer, Server};
    [
        failing(part(None, 0, Server, "POST /api/v1/orders/{id}", (0, 1000))),
        part(Some(0), 0, Client, "GET /v1/session", (20, 120)),
        part(Some(1), 1, Server, "GET /v1/session", (30, 110)),
        part(Some(2), 1, Client, "GET redis", (40, 80)),
        failing(part(Some(0), 0, Client, "POST /v2/orders", (130, 960))),
        failing(part(Some(4), 2, Server, "POST /v2/orders", (140, 950))),
        part(Some(5), 2, Client, "SELECT orders", (160, 280)),
        failing(part(Some(5), 2, Client, "POST /v1/charges", (300, 700))),
        failing(part(Some(7), 3, Server, "POST /v1/charges", (320, 690))),
        part(Some(8), 3, Internal, "score risk", (340, 420)),
        part(Some(8), 3, Client, "INSERT charges", (430, 650)),
        part(Some(5), 2, Producer, "send orders", (720, 930)),
    ]
};

/// Which trace an item belongs to, and which of its parts it is.
pub(super) fn place(item: u64) -> (u64, usize) {
    #[allow(clippy::cast_possible_truncation)]
    let part = (item % PARTS as u64) as usize;
    (item / PARTS as u64, part)
}

/// One trace of a seed.
pub(super) struct Trace {
    pub(super) number: u64,
    pub(super) id: TraceId,
    pub(super) span_ids: [SpanId; PARTS],
    /// Nanoseconds.
    pub(super) duration: u64,
    pub(super) correlation_id: String,
    pub(super) session_id: String,
    pub(super) cart_id: String,
    pub(super) user: u32,
    pub(super) failed: bool,
    seed: u64,
}

impl Trace {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut rng = rng(seed, number);
        let id = TraceId(rng.u128(1..).to_be_bytes());
        let span_ids = std::array::from_fn(|_| SpanId(rng.u64(1..).to_be_bytes()));
        // Most are fast, a few take seconds.
        let milliseconds = 4.0 + 2_000.0 * rng.f64().powi(6);
        Self {
            number,
            id,
            span_ids,
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            duration: (milliseconds * 1e6) as u64,
            correlation_id: uuid(&mut rng),
            session_id: uuid(&mut rng),
            cart_id: uuid(&mut rng),
            user: rng.u32(..USERS),
            failed: rng.u32(..100) < 2,
            seed,
        }
    }

    pub(super) fn user_id(&self) -> String {
        format!("user-{}", self.user)
    }

    /// Which of the corpus' resources a part belongs to.
    pub(super) fn resource(&self, part: usize) -> usize {
        resource(self.seed, self.number, part)
    }
}

/// Which resource a part of a trace belongs to.
pub(super) fn resource(seed: u64, number: u64, part: usize) -> usize {
    let first = rng(seed ^ OF_RESOURCE, number).usize(..RESOURCES);
    (first + SHAPE[part].service * 5) % RESOURCES
}

/// By what the rows of one trace are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceKeys {
    /// In hex.
    pub trace_id: String,
    /// The value of `correlation_id`.
    pub correlation_id: String,
    /// The value of `user.id`, which other traces have too.
    pub user_id: String,
}

/// The keys of trace `number` of a seed: that of items `12 * number` and the eleven after it.
pub fn trace_keys(seed: u64, number: u64) -> TraceKeys {
    let trace = Trace::new(seed, number);
    TraceKeys {
        trace_id: trace.id.to_string(),
        user_id: trace.user_id(),
        correlation_id: trace.correlation_id,
    }
}

/// The items of a request with their traces, each resource's together, as a batching exporter
/// sends them.
pub(super) fn by_resource<R>(
    seed: u64,
    items: &[u64],
    mut row: impl FnMut(&Trace, u64, usize) -> R,
) -> Vec<R> {
    let mut trace: Option<Trace> = None;
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let (number, part) = place(*item);
        let trace = match &mut trace {
            Some(trace) if trace.number == number => trace,
            other => other.insert(Trace::new(seed, number)),
        };
        rows.push((trace.resource(part), row(trace, *item, part)));
    }
    rows.sort_by_key(|(resource, _)| *resource);
    rows.into_iter().map(|(_, row)| row).collect()
}
