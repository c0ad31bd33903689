//! Traces by duration or errors: all that match are compared, and the first are summarised.
//!
//! What is compared is a few numbers of each trace. Durations are those as sent, which summaries
//! show after correction of the senders' clocks. Errors are those of its summary, but for errors
//! that several sources hold, which count more than once here; so a trace stands no further down
//! than it should, and traces are summarised until none that is left can come before those that
//! were found.

use model::{TimeRange, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use storage::filter::Filter;
use storage::message::{Order, TraceSpans};

use super::{Context, Cursor, Found, TRACES_PER_LOOK_MAX, TraceOrder, TraceSearch, of_traces};
use super::{outside, passes};
use crate::error::QueryError;
use crate::exec::summary::summaries;

fn number(order: TraceOrder, trace: &TraceSpans) -> u64 {
    match order {
        TraceOrder::Errors => trace.errors,
        TraceOrder::Slowest | TraceOrder::Newest => trace.end.saturating_sub(trace.start),
    }
}

/// The first traces after the cursor: one more than wanted, where there are so many.
pub(super) async fn ranked(
    context: Context<'_>,
    search: &TraceSearch,
    cursor: Option<&Cursor>,
) -> Result<Vec<Found>, QueryError> {
    let candidates = candidates(context, search).await?;
    let mut left = candidates.as_slice();
    let mut found: Vec<Found> = Vec::new();
    let mut look = search.limit + 1;
    while let Some(best) = left.first() {
        // The number of one that is left is at most this, so all before it are found.
        let before = |found: &&Found| found.number > best.number;
        let settled = found.iter().filter(before).count();
        if settled > search.limit {
            break;
        }
        if !context.work.has_budget() {
            let hint = "not all traces were ranked; narrow the time range or add conditions";
            context.work.cut("time", "query limits", hint);
            break;
        }
        let (now, later) = left.split_at(look.min(left.len()));
        left = later;
        let ids: Vec<TraceId> = now.iter().map(|one| one.id).collect();
        let mut summaries = summaries(context, &ids).await?;
        for candidate in now {
            let Some(mut trace) = summaries.remove(&candidate.id) else {
                continue;
            };
            let mut number = candidate.number;
            if trace.span_count == 0 {
                // None of its spans could be read for the summary.
                trace.start_unix_nano = candidate.start;
            } else if search.order == TraceOrder::Errors {
                number = trace.error_count;
            }
            let one = Found {
                outside: false,
                number,
                trace,
            };
            if passes(search.query.trace.as_ref(), &one.trace) && one.is_after(cursor) {
                found.push(one);
            }
        }
        look = (look * 2).min(TRACES_PER_LOOK_MAX);
    }
    Ok(found)
}

/// A trace that matches.
struct Candidate {
    /// What it is ranked by.
    number: u64,
    id: TraceId,
    start: u64,
}

/// Every matching trace, the one with the highest number first.
async fn candidates(
    context: Context<'_>,
    search: &TraceSearch,
) -> Result<Vec<Candidate>, QueryError> {
    let filter = &search.query.rows;
    let limit = context.sizes.ranked_traces;
    let selection = context.selection(model::Signal::Traces, filter.clone(), search.range);
    let (inside, more) = context
        .sources
        .traces(selection, Order::Newest, limit, context.work)
        .await?;
    let mut newest: Vec<(u64, TraceId)> = inside
        .values()
        .map(|trace| (trace.newest, trace.trace_id))
        .collect();
    if more {
        let hint = format!(
            "only {limit} of the newest matching traces were ranked; narrow the time range"
        );
        context.work.cut("traces", limit, hint);
    } else {
        let outside = outside::matching_outside(context, filter, search.range).await?;
        newest.extend(outside.into_iter().map(|(id, time)| (time, id)));
    }
    // Traces that are near in time lie in the same blocks.
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.truncate(limit);
    let ids: Vec<TraceId> = newest.into_iter().map(|(_, id)| id).collect();
    let wanted: FxHashSet<TraceId> = ids.iter().copied().collect();
    // Where that is not found out, what matches in the range has to do.
    let mut whole: FxHashMap<TraceId, TraceSpans> = inside;
    let asked = of_traces(context, &Filter::All, TimeRange::ALL, &ids, &mut whole).await;
    let hint = "some traces were ranked by their matching spans alone, or not at all; narrow the \
                time range or add conditions";
    context.work.further(asked, hint)?;
    whole.retain(|id, _| wanted.contains(id));
    let mut candidates: Vec<Candidate> = whole
        .into_values()
        .map(|trace| Candidate {
            number: number(search.order, &trace),
            id: trace.trace_id,
            start: trace.start,
        })
        .collect();
    candidates.sort_unstable_by(|a, b| b.number.cmp(&a.number).then_with(|| a.id.cmp(&b.id)));
    Ok(candidates)
}
