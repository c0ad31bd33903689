//! Takes found rows into a walk and notes where they lead.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use super::{Carriers, Hub, Join, LogRecord, Shared, Span, SpanId, TraceId, Walk, is_value, pair};
use crate::traces::inferred::own_trace;

/// Makes the join by which a span's trace was reached; gets a description of the span.
type Reached<'r> = dyn Fn(&Span, &str) -> Join + Sync + 'r;

impl Walk<'_> {
    /// Takes in spans. `reached` explains a trace that was not known before.
    pub(super) fn absorb_spans(&mut self, found: Vec<Span>, reached: &Reached<'_>) {
        for span in found {
            if !self.seen_spans.insert(Seen::of(&span)) {
                continue;
            }
            let described = format!("span `{}` of {}", span.name, span.resource.service());
            self.reach(span.trace_id, || reached(&span, &described));
            if self.follow {
                self.follow_links(&span, &described);
            }
            for (key, value) in &span.correlation {
                self.note(key, value, &span.trace_id.to_string(), &described);
            }
            self.out.spans.push(span);
        }
    }

    fn follow_links(&mut self, span: &Span, described: &str) {
        let linked = span
            .links
            .iter()
            .filter_map(|link| TraceId::from_wire(&link.trace_id));
        for trace in linked.filter(|trace| *trace != span.trace_id) {
            self.reach(trace, || Join {
                from: span.trace_id.to_string(),
                to: trace.to_string(),
                by: "link".into(),
                reason: format!("{described} links to it"),
            });
        }
    }

    /// Takes in log records that were found by this key and value.
    pub(super) fn absorb_logs(&mut self, found: Vec<LogRecord>, by: &str, from: &str) {
        let mut here: HashMap<u64, usize> = HashMap::new();
        for record in found {
            // The same record comes by its trace id and by its value. Two equal records are
            // two records, so equal ones are counted within each answer.
            let hash = fingerprint(&record);
            let count = here.entry(hash).or_default();
            *count += 1;
            let known = self.seen_logs.entry(hash).or_default();
            if *count <= *known {
                continue;
            }
            *known = *count;
            let described = format!("a log record of {}", record.resource.service());
            let trace = own_trace(&record);
            if let Some(trace) = trace {
                self.reach(trace, || Join {
                    from: from.to_owned(),
                    to: trace.to_string(),
                    by: by.to_owned(),
                    reason: format!("{described} carries {} and this trace id", pair(by, from)),
                });
            }
            let origin = trace.map_or_else(|| from.to_owned(), |trace| trace.to_string());
            for (key, value) in &record.correlation {
                self.note(key, value, &origin, &described);
            }
            if trace.is_none() && by != "span_id" {
                let carried = record.correlation.iter().find(|(_, value)| value == from);
                let key = carried.map_or(by, |(key, _)| key).to_owned();
                let service = record.resource.service().to_owned();
                self.untraced
                    .entry((from.to_owned(), service))
                    .or_insert((key, 0))
                    .1 += 1;
            }
            self.out.logs.push(record);
        }
    }

    /// Notes a trace to read next, unless it is known.
    fn reach(&mut self, trace: TraceId, join: impl FnOnce() -> Join) {
        let new = !self.seen_traces.contains(&trace);
        if new && !self.follow && !self.out.traces.contains(&trace) {
            return;
        }
        if new {
            self.seen_traces.insert(trace);
            if !self.out.traces.contains(&trace) {
                self.next_traces.push(trace);
            }
        }
        let join = join();
        if new || join.by != "trace_id" {
            self.join(join);
        }
    }

    /// Notes a correlation value to follow, unless it is known.
    fn note(&mut self, key: &str, value: &str, from: &str, described: &str) {
        if !is_value(key) {
            return;
        }
        if self.seen_values.insert(value.to_owned()) {
            self.next_values.push(Shared {
                key: key.to_owned(),
                value: value.to_owned(),
            });
            self.join(Join {
                from: from.to_owned(),
                to: value.to_owned(),
                by: key.to_owned(),
                reason: format!("{described} carries {}", pair(key, value)),
            });
        }
    }

    /// Takes in the rows that carry these values, or names the one value as a hub.
    pub(super) fn absorb_value(&mut self, values: &[Shared], found: Carriers) {
        let traces = found.traces().len();
        if traces > self.bounds.hub
            && let [one] = values
        {
            self.name_hub(one, traces, found);
            return;
        }
        let known: HashMap<&str, &str> = values
            .iter()
            .map(|one| (one.value.as_str(), one.key.as_str()))
            .collect();
        let carried = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .find(|(_, value)| known.contains_key(value.as_str()))
                .cloned()
                .unwrap_or_default()
        };
        self.absorb_spans(found.spans, &|span, described| {
            let (key, value) = carried(&span.correlation);
            let reason = format!("{described} carries {}", pair(&key, &value));
            Join {
                from: value,
                to: span.trace_id.to_string(),
                by: key,
                reason,
            }
        });
        let mut by_value: indexmap::IndexMap<(String, String), Vec<LogRecord>> =
            indexmap::IndexMap::new();
        for record in found.logs {
            by_value
                .entry(carried(&record.correlation))
                .or_default()
                .push(record);
        }
        for ((key, value), rows) in by_value {
            self.absorb_logs(rows, &key, &value);
        }
    }

    /// A value that too many traces share is named. Where it is what was asked for, the rows
    /// that carry it are shown as well, without following them.
    fn name_hub(&mut self, one: &Shared, traces: usize, found: Carriers) {
        let pairs = found.spans.iter().map(|span| &span.correlation);
        let mut pairs = pairs.chain(found.logs.iter().map(|record| &record.correlation));
        let key = pairs.find_map(|pairs| pairs.iter().find(|(_, value)| *value == one.value));
        let key = key.map_or_else(|| one.key.clone(), |(key, _)| key.clone());
        let count = u64::try_from(traces).unwrap_or(u64::MAX);
        self.out.hubs.push(Hub {
            key,
            value: one.value.clone(),
            traces: count,
        });
        if one.key.is_empty() {
            self.out.spans.extend(found.spans);
            self.out.logs.extend(found.logs);
        }
    }
}

/// What tells spans apart, and versions of one. The same span comes by its trace id, by its values
/// and by its links; which of its versions is shown is decided when all of them are there.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    ids: (TraceId, SpanId, i32),
    times: (u64, u64),
    /// How much it says, or a hash of all that it says if it has no id: such spans are the same
    /// only if they are equal.
    content: u64,
}

impl Seen {
    fn of(span: &Span) -> Self {
        let content = if span.span_id.is_zero() {
            let bytes = postcard::to_stdvec(span);
            let bytes = bytes.expect("a span has nothing that postcard cannot encode");
            rustc_hash::FxBuildHasher.hash_one(bytes)
        } else {
            (span.attributes.len() + span.events.len() + span.links.len()) as u64
        };
        Self {
            ids: (span.trace_id, span.span_id, span.kind),
            times: (span.start_unix_nano, span.end_unix_nano),
            content,
        }
    }
}

/// A hash of all that tells log records apart. Only ever compared within one walk.
fn fingerprint(record: &LogRecord) -> u64 {
    let mut hasher = rustc_hash::FxBuildHasher.build_hasher();
    record.time_unix_nano.hash(&mut hasher);
    record.observed_time_unix_nano.hash(&mut hasher);
    record.trace_id.hash(&mut hasher);
    record.span_id.hash(&mut hasher);
    record.severity_number.hash(&mut hasher);
    record.resource.service().hash(&mut hasher);
    record.body.to_text().hash(&mut hasher);
    for kv in record.resource.attributes.iter().chain(&record.attributes) {
        kv.key.hash(&mut hasher);
        kv.value.to_text().hash(&mut hasher);
    }
    hasher.finish()
}
