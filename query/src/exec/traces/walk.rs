//! A walk over matching spans from new to old that yields each trace at its newest.

use std::collections::hash_map::Entry;

use model::{Signal, TimeRange, TraceId};
use rustc_hash::FxHashMap;
use storage::digest;
use storage::filter::Filter;
use storage::message::{Columns, Order, Place};

use super::Context;
use crate::error::QueryError;
use crate::sources::RowsRequest;

/// Where a walk is.
pub(super) struct Walk<'a> {
    context: Context<'a>,
    filter: Filter,
    range: TimeRange,
    after: Option<Place>,
    seen: FxHashMap<TraceId, u64>,
    exhausted: bool,
}

impl<'a> Walk<'a> {
    /// A walk over the matching spans of a range, from the newest, or from those that began at
    /// `from`.
    pub(super) fn new(
        context: Context<'a>,
        filter: &Filter,
        range: TimeRange,
        from: Option<u64>,
    ) -> Self {
        Self {
            context,
            filter: filter.clone(),
            range,
            after: from.map(|time| Place {
                time,
                digest: 0,
                copies: 0,
            }),
            seen: FxHashMap::default(),
            exhausted: false,
        }
    }

    /// Whether there are no more traces.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The next traces, at least `wanted` unless there are no more, with the start of the newest
    /// matching span of each.
    pub(super) async fn next(&mut self, wanted: usize) -> Result<Vec<(TraceId, u64)>, QueryError> {
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
            match found.rows.last() {
                None => self.exhausted = true,
                // Copies of the last span are of its trace, which was seen.
                Some(last) => {
                    self.after = Some(Place {
                        time: last.start_unix_nano,
                        digest: digest::span(last),
                        copies: u64::MAX,
                    });
                }
            }
            if !self.exhausted && !self.context.work.has_budget() {
                let hint = "older traces were not looked at; narrow the time range";
                self.context.work.cut("time", "query limits", hint);
                self.exhausted = true;
            }
        }
        Ok(fresh)
    }
}
