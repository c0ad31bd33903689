//! Trace search: traces with a span that matches, in the order asked for.
//!
//! Spans are read newest first until enough distinct traces are known; then all spans of those
//! traces are read in summary. A trace stands in the list where its newest matching span stands,
//! which is what a cursor names.

use std::collections::hash_map::Entry;

use api::{TraceSummary, TracesAnswer};
use model::{Signal, Span, TimeRange, TraceId};
use rustc_hash::FxHashMap;
use storage::digest;
use storage::filter::{Field, Filter};
use storage::message::{Columns, Order, Place};

use super::Context;
use super::cursor::Cursor;
use super::summary::summaries;
use crate::error::QueryError;
use crate::lang::{TraceFilter, TraceQuery};
use crate::sources::RowsRequest;

/// How traces are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceOrder {
    /// By the start of the newest matching span.
    Newest,
    /// By duration.
    Slowest,
    /// By number of spans with status error.
    Errors,
}

impl TraceOrder {
    /// Every order by its name.
    pub const ALL: [(&'static str, TraceOrder); 3] = [
        ("newest", Self::Newest),
        ("slowest", Self::Slowest),
        ("errors", Self::Errors),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, order)| *order == self)
            .map_or("", |(name, _)| name)
    }
}

/// A question for traces.
#[derive(Debug, Clone)]
pub struct TraceSearch {
    /// Which.
    pub query: TraceQuery,
    /// When the matching span was under way.
    pub range: TimeRange,
    /// In which order.
    pub order: TraceOrder,
    /// How many.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// A trace that matches, and by what it is ordered.
type Ranked = (u64, TraceSummary);

/// Finds traces.
pub async fn search(context: Context<'_>, search: TraceSearch) -> Result<TracesAnswer, QueryError> {
    let kind = search.order.name();
    let cursor = search
        .cursor
        .as_deref()
        .map(|text| Cursor::decode(kind, text))
        .transpose()?;
    let mut ranked = match search.order {
        TraceOrder::Newest => newest(context, &search, cursor.as_ref()).await?,
        TraceOrder::Slowest | TraceOrder::Errors => ranked(context, &search).await?,
    };
    // Equal keys are ordered by trace id, so that a page boundary among them holds.
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.trace_id.cmp(&b.1.trace_id)));
    if let Some(cursor) = &cursor {
        ranked.retain(|(key, trace)| is_after(*key, &trace.trace_id, cursor));
    }
    let more = ranked.len() > search.limit;
    ranked.truncate(search.limit);
    let cursor = ranked.last().filter(|_| more).map(|(key, trace)| {
        Cursor {
            number: *key,
            text: trace.trace_id.clone(),
        }
        .encode(kind)
    });
    Ok(TracesAnswer {
        traces: ranked.into_iter().map(|(_, trace)| trace).collect(),
        cursor,
        completeness: context.work.completeness(),
    })
}

fn is_after(key: u64, trace: &str, cursor: &Cursor) -> bool {
    key < cursor.number || (key == cursor.number && trace > cursor.text.as_str())
}

fn passes(filter: Option<&TraceFilter>, trace: &TraceSummary) -> bool {
    filter.is_none_or(|filter| filter.matches(trace))
}

/// Walks matching spans from new to old and yields each trace at its newest.
struct Walk<'a> {
    context: Context<'a>,
    filter: Filter,
    range: TimeRange,
    /// The last span that was read.
    after: Option<Place>,
    seen: FxHashMap<TraceId, u64>,
    exhausted: bool,
}

impl Walk<'_> {
    /// The next traces, at least `wanted` unless there are no more, with the start of the newest
    /// matching span of each.
    async fn next(&mut self, wanted: usize) -> Result<Vec<(TraceId, u64)>, QueryError> {
        let mut fresh = Vec::new();
        while fresh.len() < wanted && !self.exhausted {
            let limit = self.context.sizes.rows;
            let rows = RowsRequest {
                selection: self
                    .context
                    .selection(Signal::Traces, self.filter.clone(), self.range),
                order: Order::Newest,
                limit,
                // The next spans may belong to traces that were seen before them.
                traces: Some(wanted - fresh.len() + self.seen.len().min(limit)),
                after: self.after,
                columns: Columns::Summary,
            };
            let found = self.context.sources.spans(rows, self.context.work).await?;
            self.exhausted = !found.more;
            for span in &found.rows {
                if let Entry::Vacant(unseen) = self.seen.entry(span.trace_id) {
                    unseen.insert(span.start_unix_nano);
                    fresh.push((span.trace_id, span.start_unix_nano));
                }
            }
            self.step(found.rows.last());
            if !self.exhausted && !self.context.work.has_budget() {
                let hint = "older traces were not looked at; narrow the time range";
                self.context.work.cut("time", "query limits", hint);
                self.exhausted = true;
            }
        }
        Ok(fresh)
    }

    /// Goes on after the last span. Copies of it are of the same trace, which was seen.
    fn step(&mut self, last: Option<&Span>) {
        match last {
            None => self.exhausted = true,
            Some(last) => {
                self.after = Some(Place {
                    time: last.start_unix_nano,
                    digest: digest::span(last),
                    copies: u64::MAX,
                });
            }
        }
    }
}

async fn newest(
    context: Context<'_>,
    search: &TraceSearch,
    cursor: Option<&Cursor>,
) -> Result<Vec<Ranked>, QueryError> {
    let mut range = search.range;
    if let Some(cursor) = cursor {
        // A span that began before the range overlaps its first instant, so that stays inside.
        let below = cursor.number.max(range.start).saturating_add(1);
        range.end = range.end.min(below);
    }
    let filter = search.query.rows.clone();
    let mut walk = Walk {
        context,
        filter,
        range,
        after: None,
        seen: FxHashMap::default(),
        exhausted: false,
    };
    let mut found: Vec<Ranked> = Vec::new();
    // One more than wanted tells whether there is another page.
    let mut wanted = search.limit + 1;
    while found.len() <= search.limit && !walk.exhausted {
        let mut fresh = walk.next(wanted).await?;
        if let Some(cursor) = cursor {
            fresh = rank_again(context, search, fresh).await?;
            fresh.retain(|(id, key)| is_after(*key, &id.to_string(), cursor));
        }
        let ids: Vec<TraceId> = fresh.iter().map(|(id, _)| *id).collect();
        let mut summaries = summaries(context, &ids).await?;
        for (id, key) in fresh {
            if let Some(trace) = summaries.remove(&id)
                && passes(search.query.trace.as_ref(), &trace)
            {
                found.push((key, trace));
            }
        }
        // A condition that few traces pass needs a wider look each time.
        wanted = (wanted * 2).min(TRACES_PER_LOOK_MAX);
    }
    Ok(found)
}

/// How many traces are summarised at once while few of them pass.
const TRACES_PER_LOOK_MAX: usize = 2_000;

/// The newest matching span of each of these traces over the whole range: a trace that stood on
/// an earlier page may have older matching spans on this one.
async fn rank_again(
    context: Context<'_>,
    search: &TraceSearch,
    traces: Vec<(TraceId, u64)>,
) -> Result<Vec<(TraceId, u64)>, QueryError> {
    let mut keys: FxHashMap<TraceId, u64> = traces.iter().copied().collect();
    let mut pending: Vec<TraceId> = traces.iter().map(|(id, _)| *id).collect();
    while !pending.is_empty() {
        let values = pending.iter().map(ToString::to_string).collect();
        let filter = search.query.rows.clone().and(Filter::AnyOf {
            field: Field::TraceId,
            values,
        });
        let rows = RowsRequest {
            selection: context.selection(Signal::Traces, filter, search.range),
            order: Order::Newest,
            limit: context.sizes.rows,
            traces: Some(pending.len()),
            after: None,
            columns: Columns::Summary,
        };
        let found = context.sources.spans(rows, context.work).await?;
        let before = pending.len();
        for span in &found.rows {
            // Rows come newest first, so the first of a trace is its newest.
            if let Some(at) = pending.iter().position(|id| *id == span.trace_id) {
                pending.swap_remove(at);
                keys.insert(span.trace_id, span.start_unix_nano);
            }
        }
        if pending.len() == before {
            break;
        }
    }
    Ok(traces
        .into_iter()
        .map(|(id, key)| (id, keys.get(&id).copied().unwrap_or(key)))
        .collect())
}

/// All matching traces, up to a limit, by duration or errors.
async fn ranked(context: Context<'_>, search: &TraceSearch) -> Result<Vec<Ranked>, QueryError> {
    let filter = search.query.rows.clone();
    let range = search.range;
    let mut walk = Walk {
        context,
        filter,
        range,
        after: None,
        seen: FxHashMap::default(),
        exhausted: false,
    };
    let limit = context.sizes.ranked_traces;
    let mut candidates = walk.next(limit).await?;
    if candidates.len() >= limit && !walk.exhausted {
        let hint =
            format!("only the {limit} newest matching traces were ranked; narrow the time range");
        context.work.cut("traces", limit, hint);
        candidates.truncate(limit);
    }
    let ids: Vec<TraceId> = candidates.iter().map(|(id, _)| *id).collect();
    let summaries = summaries(context, &ids).await?;
    let key = |trace: &TraceSummary| match search.order {
        TraceOrder::Errors => trace.error_count,
        TraceOrder::Slowest | TraceOrder::Newest => trace.duration_nano,
    };
    Ok(summaries
        .into_values()
        .filter(|trace| passes(search.query.trace.as_ref(), trace))
        .map(|trace| (key(&trace), trace))
        .collect())
}
