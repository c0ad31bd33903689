//! Trace search: traces with a span that matches, in the order asked for.
//!
//! A trace is in range if any of its spans overlaps the range; the span that matches may be
//! another one. Newest first, traces with a matching span inside the range come first, each at
//! its newest such span: they are found by reading spans from new to old until enough distinct
//! traces are known. Traces that match outside the range only come after them, and are looked
//! for once the others are all given. Then all spans of the traces of the page are read in
//! summary.

mod outside;
mod ranked;
mod walk;

use api::{TraceSummary, TracesAnswer};
use model::{Signal, TimeRange, TraceId};
use rustc_hash::FxHashMap;
use storage::filter::{Field, Filter};
use storage::message::{Order, TraceSpans};

use super::Context;
use super::cursor::Cursor;
use super::hints::unknown_fields;
use super::summary::summaries;
use crate::error::QueryError;
use crate::lang::{TraceFilter, TraceQuery};
use walk::Walk;

/// How many traces are summarised at once while few of them pass.
const TRACES_PER_LOOK_MAX: usize = 2_000;
/// How many trace ids one request carries.
const IDS_PER_REQUEST: usize = 5_000;

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
    /// When a span of the trace was under way.
    pub range: TimeRange,
    /// In which order.
    pub order: TraceOrder,
    /// How many.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// A trace that matches, and by what it is ordered.
struct Found {
    /// Whether it matches outside the range only.
    outside: bool,
    /// What traces are ordered by, the highest first.
    number: u64,
    trace: TraceSummary,
}

/// A place in the order of traces: outside, number, trace id.
fn place(cursor: &Cursor) -> Option<(bool, u64, &str)> {
    let (side, trace) = cursor.text.split_once('.')?;
    match side {
        "in" => Some((false, cursor.number, trace)),
        "out" => Some((true, cursor.number, trace)),
        _ => None,
    }
}

/// Whether a trace comes after a cursor. Equal numbers are ordered by trace id, so that a page
/// boundary among them holds.
fn is_after(outside: bool, number: u64, trace: &str, cursor: Option<&Cursor>) -> bool {
    cursor.and_then(place).is_none_or(|at| {
        (outside, std::cmp::Reverse(number), trace) > (at.0, std::cmp::Reverse(at.1), at.2)
    })
}

impl Found {
    fn is_after(&self, cursor: Option<&Cursor>) -> bool {
        is_after(self.outside, self.number, &self.trace.trace_id, cursor)
    }

    fn cursor(&self) -> Cursor {
        let side = if self.outside { "out" } else { "in" };
        Cursor {
            number: self.number,
            text: format!("{side}.{}", self.trace.trace_id),
        }
    }
}

/// Finds traces.
pub async fn search(context: Context<'_>, search: TraceSearch) -> Result<TracesAnswer, QueryError> {
    let kind = search.order.name();
    let cursor = search
        .cursor
        .as_deref()
        .map(|text| Cursor::decode(kind, text))
        .transpose()?;
    if cursor
        .as_ref()
        .is_some_and(|cursor| place(cursor).is_none())
    {
        return Err(Cursor::wrong());
    }
    let mut found = match search.order {
        TraceOrder::Newest => newest(context, &search, cursor.as_ref()).await?,
        TraceOrder::Slowest | TraceOrder::Errors => {
            ranked::ranked(context, &search, cursor.as_ref()).await?
        }
    };
    found.sort_by(|a, b| {
        let key = |found: &Found| (found.outside, std::cmp::Reverse(found.number));
        let by_id = || a.trace.trace_id.cmp(&b.trace.trace_id);
        key(a).cmp(&key(b)).then_with(by_id)
    });
    if found.is_empty() && cursor.is_none() {
        unknown_fields(context, Signal::Traces, &search.query.rows, search.range).await?;
    }
    let more = found.len() > search.limit;
    found.truncate(search.limit);
    let cursor = found
        .last()
        .filter(|_| more)
        .map(|last| last.cursor().encode(kind));
    Ok(TracesAnswer {
        traces: found.into_iter().map(|found| found.trace).collect(),
        cursor,
        completeness: context.work.completeness(),
    })
}

/// The ids of the newest traces, without their summaries.
pub async fn newest_ids(
    context: Context<'_>,
    filter: &Filter,
    range: TimeRange,
    limit: usize,
) -> Result<Vec<TraceId>, QueryError> {
    let mut walk = Walk::new(context, filter, range, None);
    let mut found = walk.next(limit).await?;
    found.truncate(limit);
    if found.len() < limit {
        let mut outside = outside::matching_outside(context, filter, range).await?;
        outside.sort_unstable_by_key(|(id, time)| (std::cmp::Reverse(*time), *id));
        outside.truncate(limit - found.len());
        found.extend(outside);
    }
    Ok(found.into_iter().map(|(id, _)| id).collect())
}

fn passes(filter: Option<&TraceFilter>, trace: &TraceSummary) -> bool {
    filter.is_none_or(|filter| filter.matches(trace))
}

async fn newest(
    context: Context<'_>,
    search: &TraceSearch,
    cursor: Option<&Cursor>,
) -> Result<Vec<Found>, QueryError> {
    let is_outside = cursor.and_then(place).is_some_and(|(outside, ..)| outside);
    let mut found = if is_outside {
        Vec::new()
    } else {
        newest_inside(context, search, cursor).await?
    };
    if found.len() <= search.limit {
        let filter = &search.query.rows;
        let mut traces = outside::matching_outside(context, filter, search.range).await?;
        traces.retain(|(id, time)| is_after(true, *time, &id.to_string(), cursor));
        traces.sort_unstable_by_key(|(id, time)| (std::cmp::Reverse(*time), *id));
        for part in traces.chunks(TRACES_PER_LOOK_MAX) {
            if found.len() > search.limit {
                break;
            }
            summarise(context, search, true, part, &mut found).await?;
        }
    }
    Ok(found)
}

/// The newest traces with a matching span inside the range: one more than wanted, where there
/// are so many.
async fn newest_inside(
    context: Context<'_>,
    search: &TraceSearch,
    cursor: Option<&Cursor>,
) -> Result<Vec<Found>, QueryError> {
    let filter = &search.query.rows;
    let from = cursor.map(|cursor| cursor.number);
    let mut walk = Walk::new(context, filter, search.range, from);
    let mut found: Vec<Found> = Vec::new();
    let mut wanted = search.limit + 1;
    while found.len() <= search.limit && !walk.is_exhausted() {
        let mut fresh = walk.next(wanted).await?;
        if cursor.is_some() {
            // A trace that stood on an earlier page may have older matching spans on this one.
            let ids: Vec<TraceId> = fresh.iter().map(|(id, _)| *id).collect();
            let mut matching = FxHashMap::default();
            let asked = of_traces(context, filter, search.range, &ids, &mut matching).await;
            let hint = "some traces may have been on an earlier page; narrow the time range";
            context.work.further(asked, hint)?;
            for (id, time) in &mut fresh {
                *time = matching.get(id).map_or(*time, |trace| trace.newest);
            }
            fresh.retain(|(id, time)| is_after(false, *time, &id.to_string(), cursor));
        }
        summarise(context, search, false, &fresh, &mut found).await?;
        // A condition that few traces pass needs a wider look each time.
        wanted = (wanted * 2).min(TRACES_PER_LOOK_MAX);
    }
    Ok(found)
}

/// Adds those of the traces that pass the conditions on whole traces.
async fn summarise(
    context: Context<'_>,
    search: &TraceSearch,
    outside: bool,
    traces: &[(TraceId, u64)],
    found: &mut Vec<Found>,
) -> Result<(), QueryError> {
    let ids: Vec<TraceId> = traces.iter().map(|(id, _)| *id).collect();
    let mut summaries = summaries(context, &ids).await?;
    for (id, number) in traces {
        let Some(mut trace) = summaries.remove(id) else {
            continue;
        };
        if trace.span_count == 0 {
            // All that is known of it is when a span that matches began.
            trace.start_unix_nano = *number;
        }
        if passes(search.query.trace.as_ref(), &trace) {
            found.push(Found {
                outside,
                number: *number,
                trace,
            });
        }
    }
    Ok(())
}

/// Finds what matches in these traces, by trace; a trace without a matching span is not there.
async fn of_traces(
    context: Context<'_>,
    filter: &Filter,
    range: TimeRange,
    traces: &[TraceId],
    found: &mut FxHashMap<TraceId, TraceSpans>,
) -> Result<(), QueryError> {
    for ids in traces.chunks(IDS_PER_REQUEST) {
        let values = ids.iter().map(ToString::to_string).collect();
        let among = Filter::AnyOf {
            field: Field::TraceId,
            values,
        };
        let selection = context.selection(Signal::Traces, among.and(filter.clone()), range);
        let (part, _) = context
            .sources
            .traces(selection, Order::Newest, ids.len(), context.work)
            .await?;
        found.extend(part);
    }
    Ok(())
}
