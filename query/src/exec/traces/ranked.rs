//! Traces by duration or errors: all that match are compared, and the first are summarised.
//!
//! What is compared is a few numbers of each trace. They are those of its summary, but for
//! errors that several sources hold, which count more than once there; so a trace stands no
//! further down than it should, and traces are summarised until none that is left can come
//! before those that were found.

use api::TraceSummary;
use model::{TimeRange, TraceId};
use rustc_hash::FxHashMap;
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

fn number_of_summary(order: TraceOrder, trace: &TraceSummary) -> u64 {
    match order {
        TraceOrder::Errors => trace.error_count,
        TraceOrder::Slowest | TraceOrder::Newest => trace.duration_nano,
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
    while let Some((best, _)) = left.first() {
        // The number of one that is left is at most this, so all before it are found.
        let settled = found.iter().filter(|found| found.number > *best).count();
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
        let ids: Vec<TraceId> = now.iter().map(|(_, id)| *id).collect();
        for (_, trace) in summaries(context, &ids).await? {
            let one = Found {
                outside: false,
                number: number_of_summary(search.order, &trace),
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

/// Every matching trace with the number it is ranked by, the highest first.
async fn candidates(
    context: Context<'_>,
    search: &TraceSearch,
) -> Result<Vec<(u64, TraceId)>, QueryError> {
    let filter = &search.query.rows;
    let limit = context.sizes.ranked_traces;
    let selection = context.selection(model::Signal::Traces, filter.clone(), search.range);
    let (inside, more) = context
        .sources
        .traces(selection, Order::Newest, limit, context.work)
        .await?;
    let mut newest: Vec<(u64, TraceId)> = inside
        .into_values()
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
    let whole: FxHashMap<TraceId, TraceSpans> =
        of_traces(context, &Filter::All, TimeRange::ALL, &ids).await?;
    let mut candidates: Vec<(u64, TraceId)> = whole
        .into_values()
        .map(|trace| (number(search.order, &trace), trace.trace_id))
        .collect();
    candidates.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(candidates)
}
