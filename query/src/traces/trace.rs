//! One trace with its inferred spans.

use api::types::TraceAnswer;
use model::{TimeRange, TraceId};

use super::assemble::{Assembled, Links, TraceSpan, assemble, distinct};
use super::closure::{Bounds, Seed, walk};
use super::inferred::{Evidence, infer};
use super::rows::Rows;
use super::view;
use crate::error::QueryError;

/// Reads one trace in causal order. Empty where nothing is stored under this id.
pub async fn load(
    rows: &dyn Rows,
    trace: TraceId,
    range: TimeRange,
    bounds: Bounds,
) -> Result<Assembled, QueryError> {
    let closure = walk(rows, &Seed::Trace(trace), range, bounds).await?;
    let mut spans = distinct(closure.spans.into_iter().map(TraceSpan::from).collect());
    let hubs = closure.hubs.into_iter().map(|hub| hub.value).collect();
    let evidence = Evidence {
        spans: &spans,
        logs: &closure.logs,
        hubs: &hubs,
    };
    let inferred = infer(evidence);
    spans.extend(inferred.into_iter().map(|one| one.span));
    spans.retain(|span| span.span.trace_id == trace);
    Ok(assemble(spans, Links::Ignore))
}

/// The answer of `GET traces/{trace_id}`, but for its completeness: at most so many bytes of
/// spans; and how many spans are left out.
pub fn answer(trace: TraceId, forest: &Assembled, bytes: u64) -> (TraceAnswer, usize) {
    let (spans, left_out) = view::span_views_within(forest, bytes);
    let answer = TraceAnswer {
        trace_id: trace.to_string(),
        spans,
        missing_parents: forest
            .missing_parents
            .iter()
            .map(ToString::to_string)
            .collect(),
        ..TraceAnswer::default()
    };
    (answer, left_out)
}
