//! Spans of services that send none, made from their log records.
//!
//! A log record belongs to a trace by its own trace id, by a trace id in its text, or by a
//! correlation value that rows of that trace carry. The records of one (trace, service,
//! instance) in time order fall into runs with the same parent; each run is one span. The
//! parent is the span whose id is on the line (confidence 1.0), else the tightest call that
//! encloses the line in time: 0.8 where it is the only one that could be, 0.5 where the order
//! of events alone decides. A call is a client or producer span that no traced service
//! answers; one that names another peer is no candidate.
//!
//! Ids are hashes of what the span stands for, so that the same rows give the same ids on
//! every query and on every node.

mod place;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::correlation::{SPAN_ID_KEY, TRACE_ID_KEY};
use model::{Event, KeyValue, LogRecord, Resource, Scope, Span, SpanId, SpanKind, TraceId};

use super::assemble::TraceSpan;
use super::closure::is_value;
use crate::fnv::Fnv;
use place::{Place, Placer};

/// Attribute that marks an inferred span.
pub const INFERRED: &str = "throughline.inferred";
/// Attribute with the confidence of its place.
pub const CONFIDENCE: &str = "throughline.confidence";
/// Attribute with the number of log records that it stands for.
pub const LINES: &str = "throughline.log_records";
/// Attribute that says why it is where it is.
pub const REASON: &str = "throughline.reason";
/// Name of the scope of inferred spans.
pub const SCOPE: &str = "throughline.inferred";

/// How many log records of a run become events of its span; the rest are counted as dropped.
pub const EVENTS_MAX: usize = 128;
/// How many correlation pairs of its records a span has.
const CORRELATION_MAX: usize = 32;

/// An inferred span with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// The span.
    pub span: TraceSpan,
    /// Positions of its log records, by time.
    pub records: Vec<usize>,
    /// By what the records belong to the trace: `trace_id`, or the correlation key.
    pub by: String,
    /// The value of that key.
    pub value: String,
    /// One sentence about its place.
    pub reason: String,
}

/// What is known about the rows that inference works on.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Spans of all traces at hand, with corrected times.
    pub spans: &'a [TraceSpan],
    /// Log records of all traces at hand.
    pub logs: &'a [LogRecord],
    /// Correlation values that do not join rows because too many traces share them.
    pub hubs: &'a HashSet<String>,
}

/// How a record came to its trace.
struct Membership {
    trace: TraceId,
    by: String,
    value: String,
}

/// Groups records of one sender within one trace.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Sender {
    trace: TraceId,
    service: String,
    instance: String,
}

struct Line {
    record: usize,
    /// When it happened, after clock correction.
    at: u64,
    by: String,
    value: String,
}

/// Makes the inferred spans, ordered by trace, start and id.
pub fn infer(evidence: Evidence<'_>) -> Vec<Inferred> {
    if evidence.logs.is_empty() {
        return Vec::new();
    }
    let mut traces: HashMap<TraceId, Vec<usize>> = HashMap::new();
    for (at, span) in evidence.spans.iter().enumerate() {
        traces.entry(span.span.trace_id).or_default().push(at);
    }
    let senders = senders(evidence, &traces);
    let mut by_trace: BTreeMap<TraceId, Vec<(Sender, Vec<Line>)>> = BTreeMap::new();
    for (sender, lines) in senders {
        by_trace
            .entry(sender.trace)
            .or_default()
            .push((sender, lines));
    }
    let mut inferred = Vec::new();
    for (trace, senders) in by_trace {
        let empty = Vec::new();
        let spans = traces.get(&trace).unwrap_or(&empty);
        let placer = Placer::new(evidence.spans, spans);
        let mut made = infer_trace(evidence, &placer, senders);
        made.sort_by_key(|one: &Inferred| (one.span.start(), one.span.span.span_id));
        inferred.append(&mut made);
    }
    inferred
}

/// Sorts the records of untraced services by sender.
fn senders(
    evidence: Evidence<'_>,
    traces: &HashMap<TraceId, Vec<usize>>,
) -> BTreeMap<Sender, Vec<Line>> {
    let traced: HashSet<(TraceId, &str)> = evidence
        .spans
        .iter()
        .map(|span| (span.span.trace_id, span.span.resource.service()))
        .collect();
    let values = values(evidence);
    let mut senders: BTreeMap<Sender, Vec<Line>> = BTreeMap::new();
    for (index, record) in evidence.logs.iter().enumerate() {
        let at = record.corrected_timestamp();
        let Some(member) = membership(evidence, traces, &values, record, at) else {
            continue;
        };
        let service = record.resource.service();
        if traced.contains(&(member.trace, service)) {
            continue;
        }
        let sender = Sender {
            trace: member.trace,
            service: service.to_owned(),
            instance: instance(&record.resource),
        };
        let line = Line {
            record: index,
            at,
            by: member.by,
            value: member.value,
        };
        senders.entry(sender).or_default().push(line);
    }
    for lines in senders.values_mut() {
        lines.sort_by_key(|line| (line.at, line.record));
    }
    senders
}

/// Which traces carry a correlation value.
fn values(evidence: Evidence<'_>) -> HashMap<&str, HashSet<TraceId>> {
    let mut values: HashMap<&str, HashSet<TraceId>> = HashMap::new();
    let spans = evidence
        .spans
        .iter()
        .map(|span| (span.span.trace_id, &span.span.correlation));
    let logs = evidence
        .logs
        .iter()
        .filter_map(|log| Some((own_trace(log)?, &log.correlation)));
    for (trace, pairs) in spans.chain(logs) {
        for (key, value) in pairs {
            if is_value(key) && !evidence.hubs.contains(value) {
                values.entry(value).or_default().insert(trace);
            }
        }
    }
    values
}

/// The trace id that a record names, in its field or in its text.
pub fn own_trace(record: &LogRecord) -> Option<TraceId> {
    record
        .trace_id
        .or_else(|| text_id(record, TRACE_ID_KEY)?.parse().ok())
}

fn text_id<'a>(record: &'a LogRecord, wanted: &str) -> Option<&'a str> {
    let found = record.correlation.iter().find(|(key, _)| key == wanted);
    found.map(|(_, value)| value.as_str())
}

fn membership(
    evidence: Evidence<'_>,
    traces: &HashMap<TraceId, Vec<usize>>,
    values: &HashMap<&str, HashSet<TraceId>>,
    record: &LogRecord,
    at: u64,
) -> Option<Membership> {
    if let Some(trace) = own_trace(record) {
        return Some(Membership {
            trace,
            by: "trace_id".into(),
            value: trace.to_string(),
        });
    }
    for (key, value) in record.correlation.iter().filter(|(key, _)| is_value(key)) {
        let Some(candidates) = values.get(value.as_str()) else {
            continue;
        };
        let mut fitting: Vec<TraceId> = candidates.iter().copied().collect();
        if fitting.len() > 1 {
            // The value joins several traces: time has to single one out.
            fitting.retain(|trace| {
                let spans = traces.get(trace).map_or(&[][..], Vec::as_slice);
                let encloses = |span: &usize| {
                    let span = &evidence.spans[*span];
                    span.start() <= at && at <= span.end()
                };
                spans.iter().any(encloses)
            });
        }
        if let [trace] = fitting[..] {
            return Some(Membership {
                trace,
                by: key.clone(),
                value: value.clone(),
            });
        }
    }
    None
}

/// What tells two instances of a service apart.
fn instance(resource: &Resource) -> String {
    let text =
        |key: &str| model::value::last(&resource.attributes, key).map(|value| value.to_text());
    text("service.instance.id").unwrap_or_else(|| {
        let parts = ["host.name", "k8s.pod.name", "container.id", "process.pid"];
        parts
            .into_iter()
            .filter_map(text)
            .collect::<Vec<_>>()
            .join("/")
    })
}

/// Lines of one sender with the same place.
struct Run {
    place: Place,
    lines: Vec<Line>,
}

fn infer_trace(
    evidence: Evidence<'_>,
    placer: &Placer<'_>,
    senders: Vec<(Sender, Vec<Line>)>,
) -> Vec<Inferred> {
    // All lines of the trace by time, so that one sweep over its spans places them all.
    let mut order: Vec<(u64, usize, usize)> = Vec::new();
    for (sender, (_, lines)) in senders.iter().enumerate() {
        order.extend(
            lines
                .iter()
                .enumerate()
                .map(|(at, line)| (line.at, sender, at)),
        );
    }
    order.sort_unstable();
    let mut sweep = placer.sweep();
    let mut places: Vec<Vec<Option<Place>>> = senders
        .iter()
        .map(|(_, lines)| lines.iter().map(|_| None).collect())
        .collect();
    for (at, sender, line) in order {
        sweep.advance(at);
        let record = &evidence.logs[senders[sender].1[line].record];
        let named = record
            .span_id
            .or_else(|| text_id(record, SPAN_ID_KEY)?.parse().ok());
        let previous = line
            .checked_sub(1)
            .and_then(|line| places[sender][line].as_ref());
        let place = sweep.place(
            &senders[sender].0.service,
            at,
            named,
            record.span_id,
            previous,
        );
        places[sender][line] = Some(place);
    }
    let mut inferred = Vec::new();
    let mut taken: HashSet<SpanId> = placer.ids();
    for ((sender, lines), places) in senders.into_iter().zip(places) {
        let mut ordinals: HashMap<(Option<SpanId>, Option<SpanId>), u64> = HashMap::new();
        for run in runs(lines, places) {
            let ordinal = ordinals
                .entry((run.place.parent, run.place.own))
                .or_default();
            let id = span_id(&sender, &run.place, *ordinal, &mut taken);
            *ordinal += 1;
            inferred.push(make(evidence, placer, &sender, run, id));
        }
    }
    inferred
}

fn runs(lines: Vec<Line>, places: Vec<Option<Place>>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (line, place) in lines.into_iter().zip(places) {
        let place = place.expect("every line was placed by the sweep");
        match runs.last_mut() {
            Some(run) if run.place.joins(&place) => {
                // One line that names its span speaks for the run.
                if place.confidence > run.place.confidence {
                    run.place = place;
                }
                run.lines.push(line);
            }
            _ => runs.push(Run {
                place,
                lines: vec![line],
            }),
        }
    }
    runs
}

/// The id of an inferred span: the one that its lines name as their own, else a hash.
fn span_id(sender: &Sender, place: &Place, ordinal: u64, taken: &mut HashSet<SpanId>) -> SpanId {
    if let Some(own) = place.own.filter(|_| ordinal == 0)
        && taken.insert(own)
    {
        return own;
    }
    let mut salt = 0u64;
    loop {
        let parts: [&[u8]; 7] = [
            &sender.trace.0,
            sender.service.as_bytes(),
            sender.instance.as_bytes(),
            &place.parent.unwrap_or_default().0,
            &place.own.unwrap_or_default().0,
            &ordinal.to_be_bytes(),
            &salt.to_be_bytes(),
        ];
        let id = SpanId(hash(parts).to_be_bytes());
        if !id.is_zero() && taken.insert(id) {
            return id;
        }
        salt += 1;
    }
}

/// Of parts with their lengths, and mixed at the end: every bit of an id counts.
fn hash(parts: [&[u8]; 7]) -> u64 {
    let hash = parts.iter().fold(Fnv::new(), |hash, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.with(&length.to_be_bytes()).with(part)
    });
    let hash = hash.finish();
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

fn make(
    evidence: Evidence<'_>,
    placer: &Placer<'_>,
    sender: &Sender,
    run: Run,
    span_id: SpanId,
) -> Inferred {
    let Run { place, lines } = run;
    let first = &lines[0];
    let last = lines.last().expect("a run has a line");
    let record = &evidence.logs[first.record];
    // The span's times are those of its sender too, so that they read like its lines.
    let clock_adjust_nano = record.clock_adjust_nano();
    let raw = |line: &Line| line.at.saturating_sub_signed(clock_adjust_nano);
    let parent = place.parent.and_then(|id| placer.by_id(id));
    let failed = lines
        .iter()
        .any(|line| evidence.logs[line.record].severity_number >= 17);
    let reason = place.reason(&sender.service, parent);
    let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    let kept = lines.len().min(EVENTS_MAX);
    let span = Span {
        resource: Arc::clone(&record.resource),
        scope: Arc::new(Scope {
            name: SCOPE.into(),
            ..Scope::default()
        }),
        trace_id: sender.trace,
        span_id,
        parent_span_id: place.parent,
        name: place.name(parent).unwrap_or_else(|| sender.service.clone()),
        kind: place.kind(parent) as i32,
        start_unix_nano: raw(first),
        end_unix_nano: raw(last),
        attributes: vec![
            KeyValue::new(INFERRED, true),
            KeyValue::new(CONFIDENCE, place.confidence),
            KeyValue::new(LINES, count),
            KeyValue::new(REASON, reason.as_str()),
        ],
        events: lines[..kept]
            .iter()
            .map(|line| event(&evidence.logs[line.record], raw(line)))
            .collect(),
        dropped_events_count: u32::try_from(lines.len() - kept).unwrap_or(u32::MAX),
        status_code: if failed {
            model::StatusCode::Error as i32
        } else {
            0
        },
        has_status: failed,
        correlation: correlation(evidence, &lines),
        clock: record.clock,
        ..Span::default()
    };
    Inferred {
        span: TraceSpan {
            span,
            inferred: true,
            confidence: place.confidence,
            clock_adjust_nano,
        },
        by: first.by.clone(),
        value: first.value.clone(),
        records: lines.into_iter().map(|line| line.record).collect(),
        reason,
    }
}

/// What the lines of a span are correlated by, up to a number of pairs.
fn correlation(evidence: Evidence<'_>, lines: &[Line]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let records = lines.iter().map(|line| &evidence.logs[line.record]);
    for pair in records.flat_map(|record| &record.correlation) {
        if all.len() == CORRELATION_MAX {
            break;
        }
        if !all.contains(pair) {
            all.push(pair.clone());
        }
    }
    all
}

fn event(record: &LogRecord, at: u64) -> Event {
    let mut attributes = vec![KeyValue::new("log.message", record.body.to_text())];
    let level = model::log::level_name(record.severity_number).unwrap_or(&record.severity_text);
    if !level.is_empty() {
        attributes.push(KeyValue::new("log.level", level));
    }
    Event {
        time_unix_nano: at,
        name: "log".into(),
        attributes,
        ..Event::default()
    }
}

/// The kind of a span that answers a span of this kind.
fn answer_to(kind: i32) -> SpanKind {
    match SpanKind::from_code(kind) {
        Some(SpanKind::Client) => SpanKind::Server,
        Some(SpanKind::Producer) => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

#[cfg(test)]
mod tests;
