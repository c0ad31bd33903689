//! Summaries of traces: what a list shows of each.

use std::collections::hash_map::Entry;

use api::{ServiceCount, TraceSummary};
use indexmap::IndexMap;
use model::{Signal, Span, SpanId, TimeRange, TraceId};
use rustc_hash::FxHashMap;
use storage::filter::{Field, Filter};
use storage::message::{Columns, Order, Reply, Request};

use super::Context;
use crate::error::QueryError;

/// How many traces one request asks for, so that one request's spans stay few enough to merge.
const TRACES_PER_REQUEST: usize = 500;

/// What is known of a trace so far; times after correction of the senders' clocks.
#[derive(Debug, Default)]
struct Gathered {
    start: Option<u64>,
    end: u64,
    spans: u64,
    errors: u64,
    services: IndexMap<String, (u64, u64)>,
    /// (has a parent, start, service, name) of the span that names the trace: a root before
    /// any other, an earlier one before a later one.
    head: Option<(bool, u64, String, String)>,
    /// Spans seen, to count once those that two sources hold or that one was sent twice.
    seen: FxHashMap<(SpanId, i32), Seen>,
}

/// The version of a span that is counted: the one that ended last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    end: u64,
    error: u64,
    /// Position of its service.
    service: usize,
}

impl Gathered {
    fn add(&mut self, span: &Span) {
        let service = span.resource.service();
        let at = match self.services.get_index_of(service) {
            Some(at) => at,
            None => self.services.insert_full(service.to_owned(), (0, 0)).0,
        };
        let version = Seen {
            end: span.end_unix_nano,
            error: u64::from(span.is_error()),
            service: at,
        };
        if !span.span_id.is_zero() {
            match self.seen.entry((span.span_id, span.kind)) {
                Entry::Occupied(known) if known.get().end >= version.end => return,
                Entry::Occupied(mut known) => {
                    let earlier = known.insert(version);
                    self.count(earlier, u64::wrapping_sub);
                }
                Entry::Vacant(unknown) => drop(unknown.insert(version)),
            }
        }
        self.count(version, u64::wrapping_add);
        let adjust = span.clock_adjust_nano();
        let start = span.start_unix_nano.saturating_add_signed(adjust);
        let end = span.end_unix_nano.saturating_add_signed(adjust);
        self.start = Some(self.start.map_or(start, |first| first.min(start)));
        self.end = self.end.max(end).max(start);
        let rank = (span.parent_span_id.is_some(), start);
        let better = self
            .head
            .as_ref()
            .is_none_or(|head| rank < (head.0, head.1));
        if better {
            self.head = Some((rank.0, rank.1, service.to_owned(), span.name.clone()));
        }
    }

    /// Adds a span to the counts, or takes it out of them again.
    fn count(&mut self, one: Seen, change: fn(u64, u64) -> u64) {
        self.spans = change(self.spans, 1);
        self.errors = change(self.errors, one.error);
        let counts = &mut self.services[one.service];
        *counts = (change(counts.0, 1), change(counts.1, one.error));
    }

    fn finish(self, trace: TraceId) -> TraceSummary {
        let start = self.start.unwrap_or_default();
        let (_, _, root_service, root_name) = self.head.unwrap_or_default();
        let mut services: Vec<ServiceCount> = self
            .services
            .into_iter()
            .filter(|(_, (spans, _))| *spans > 0)
            .map(|(name, (spans, errors))| ServiceCount {
                name,
                spans,
                errors,
            })
            .collect();
        services.sort_by(|a, b| b.spans.cmp(&a.spans).then_with(|| a.name.cmp(&b.name)));
        TraceSummary {
            trace_id: trace.to_string(),
            root_service,
            root_name,
            start_unix_nano: start,
            duration_nano: self.end.saturating_sub(start),
            span_count: self.spans,
            error_count: self.errors,
            services,
        }
    }
}

/// Summaries of these traces over all of their spans, by id. Where too many spans are read, or the
/// limits of the query are reached, every trace still has a summary: of those of its spans that were
/// read, of none at worst.
pub async fn summaries(
    context: Context<'_>,
    traces: &[TraceId],
) -> Result<FxHashMap<TraceId, TraceSummary>, QueryError> {
    let mut gathered: FxHashMap<TraceId, Gathered> = FxHashMap::default();
    let lacks = "the counts and durations of some traces lack spans, and conditions on them were \
                 decided without these; ask for fewer traces";
    let mut left = context.sizes.summary_spans;
    let mut is_spent = false;
    for ids in traces.chunks(TRACES_PER_REQUEST) {
        if left == 0 {
            break;
        }
        let values = ids.iter().map(ToString::to_string).collect();
        let filter = Filter::AnyOf {
            field: Field::TraceId,
            values,
        };
        let request = Request::Rows {
            selection: context.selection(Signal::Traces, filter, TimeRange::ALL),
            order: Order::Oldest,
            limit: left,
            traces: None,
            after: None,
            columns: Columns::Summary,
        };
        let mut read = 0;
        let asked = context.sources.each(request, context.work, |_, reply| {
            if let Reply::Spans(spans) = reply {
                read += spans.len();
                for span in &spans {
                    gathered.entry(span.trace_id).or_default().add(span);
                }
            }
        });
        if context.work.further(asked.await, lacks)?.is_none() {
            is_spent = true;
            break;
        }
        left = left.saturating_sub(read);
    }
    if left == 0 {
        context
            .work
            .cut("spans", context.sizes.summary_spans, lacks);
    }
    if left == 0 || is_spent {
        for id in traces {
            gathered.entry(*id).or_default();
        }
    }
    Ok(gathered
        .into_iter()
        .map(|(id, trace)| (id, trace.finish(id)))
        .collect())
}
