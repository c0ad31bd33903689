//! Traces in a range by one span and matching by another one outside of it.
//!
//! A trace is in range if any of its spans overlaps the range. The spans that match are looked
//! for inside first; this finds the traces that those miss: matching spans outside the range are
//! read, and their traces are looked up inside. All times are looked through where that costs
//! little; else [`REACH_NANO`] before and after the range, and the answer says that a trace which
//! matches further away may be missing.

use model::time::NANOS_PER_SECOND;
use model::{Signal, TimeRange, TraceId};
use rustc_hash::FxHashMap;
use storage::filter::Filter;
use storage::message::{Limits, Order, TraceSpans};

use super::{Context, of_traces};
use crate::error::QueryError;
use crate::sources::ANSWER_BYTES;

/// How far from the range a matching span is always looked for.
const REACH_NANO: u64 = 3_600 * NANOS_PER_SECOND;
/// The same for people.
const REACH: &str = "1h";
/// What looking through all times may cost.
const EVERYWHERE: Limits = Limits {
    timeout_ms: 1_000,
    scanned_bytes: 32 << 20,
    answer_bytes: ANSWER_BYTES,
};

/// Traces with a span inside the range and no matching span but outside of it, by the start of
/// the newest of those.
pub(super) async fn matching_outside(
    context: Context<'_>,
    filter: &Filter,
    range: TimeRange,
) -> Result<Vec<(TraceId, u64)>, QueryError> {
    let sides = sides(range);
    if sides.is_empty() || *filter == Filter::All {
        return Ok(Vec::new());
    }
    let looked = look(context, filter, range, sides).await;
    let hint = "traces that match outside the range and reach into it were not looked for; narrow \
                the range or add conditions";
    Ok(context.work.further(looked, hint)?.unwrap_or_default())
}

async fn look(
    context: Context<'_>,
    filter: &Filter,
    range: TimeRange,
    sides: Vec<(TimeRange, Order)>,
) -> Result<Vec<(TraceId, u64)>, QueryError> {
    let mut found: FxHashMap<TraceId, TraceSpans> = FxHashMap::default();
    for (side, order) in sides {
        for (id, trace) in on_side(context, filter, side, order).await? {
            found
                .entry(id)
                .and_modify(|known| known.join(&trace))
                .or_insert(trace);
        }
    }
    let ids: Vec<TraceId> = found.keys().copied().collect();
    let (mut inside, mut matching) = (FxHashMap::default(), FxHashMap::default());
    of_traces(context, &Filter::All, range, &ids, &mut inside).await?;
    let ids: Vec<TraceId> = inside.into_keys().collect();
    of_traces(context, filter, range, &ids, &mut matching).await?;
    let traces = ids.into_iter().filter(|id| !matching.contains_key(id));
    Ok(traces
        .filter_map(|id| Some((id, found.get(&id)?.newest)))
        .collect())
}

/// What lies before and after a range, and from which end it is read: the one that is nearer.
fn sides(range: TimeRange) -> Vec<(TimeRange, Order)> {
    let mut sides = Vec::new();
    if range.start > 0 {
        let before = TimeRange {
            start: 0,
            end: range.start,
        };
        sides.push((before, Order::Newest));
    }
    if range.end < u64::MAX {
        let after = TimeRange {
            start: range.end,
            end: u64::MAX,
        };
        sides.push((after, Order::Oldest));
    }
    sides
}

async fn on_side(
    context: Context<'_>,
    filter: &Filter,
    side: TimeRange,
    order: Order,
) -> Result<FxHashMap<TraceId, TraceSpans>, QueryError> {
    let limit = context.sizes.outside_traces;
    let selection = context.selection(Signal::Traces, filter.clone(), side);
    let aside = context.work.aside(EVERYWHERE)?;
    let all = context
        .sources
        .traces(selection.clone(), order, limit, &aside)
        .await;
    let whole = !aside.is_cut();
    context.work.take_over(aside);
    if let Ok((found, false)) = all
        && whole
    {
        return Ok(found);
    }
    let mut near = selection;
    match order {
        Order::Newest => near.range.start = side.end.saturating_sub(REACH_NANO),
        Order::Oldest => near.range.end = side.start.saturating_add(REACH_NANO),
    }
    let near_is_all = near.range == side;
    let (found, more) = context
        .sources
        .traces(near, order, limit, context.work)
        .await?;
    if !near_is_all {
        let hint = "a trace that reaches into the range and matches only further outside of it \
                    may be missing; widen the range or add conditions";
        context.work.cut("reach", REACH, hint);
    }
    if more {
        let hint = "traces that match outside the range and reach into it were looked for among \
                    so many; add conditions";
        context.work.cut("traces", limit, hint);
    }
    Ok(found)
}
