//! Several answers to one request become one.

use std::collections::BTreeMap;

use model::{LogRecord, Span, SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use storage::filter::Field;
use storage::message::{Count, Durations, FieldCount, Order, ValueCount};

/// How many rows beyond the limit may share their time with the last: what a reader promises.
pub(super) const TIES_MAX: usize = 1_000;

/// Rows in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether the limit left rows out that exist or may exist.
    pub more: bool,
}

/// Merges spans, returns each (trace, span, kind) once, and stops at the limits.
pub(super) fn spans(
    parts: Vec<Vec<Span>>,
    order: Order,
    limit: usize,
    traces: Option<usize>,
) -> Rows<Span> {
    let several = parts.len() > 1;
    let mut more = parts.iter().any(|part| {
        part.len() >= limit || traces.is_some_and(|traces| distinct_traces(part) >= traces)
    });
    let mut merged = ordered(parts, order, |span: &Span| span.start_unix_nano);
    if several {
        let mut seen: FxHashSet<(TraceId, SpanId, i32)> = FxHashSet::default();
        // A zero span id stands for none, so such spans are not the same one.
        merged.retain(|span| {
            span.span_id.is_zero() || seen.insert((span.trace_id, span.span_id, span.kind))
        });
    }
    more |= truncate(&mut merged, limit, |span| span.start_unix_nano);
    if let Some(traces) = traces {
        let mut seen: FxHashSet<TraceId> = FxHashSet::default();
        // The rows up to and with the first row of the last wanted trace are complete; those
        // after it are so only in sources that have not stopped by then.
        let end = merged.iter().position(|span| {
            seen.insert(span.trace_id);
            seen.len() >= traces
        });
        if let Some(end) = end {
            let time = merged[end].start_unix_nano;
            let tied = merged[end..]
                .iter()
                .take_while(|span| span.start_unix_nano == time)
                .count();
            more |= end + tied < merged.len();
            merged.truncate(end + tied);
        }
    }
    Rows { rows: merged, more }
}

/// Merges log records and stops at the limit.
pub(super) fn logs(parts: Vec<Vec<LogRecord>>, order: Order, limit: usize) -> Rows<LogRecord> {
    let mut more = parts.iter().any(|part| part.len() >= limit);
    let mut merged = ordered(parts, order, LogRecord::timestamp);
    more |= truncate(&mut merged, limit, LogRecord::timestamp);
    Rows { rows: merged, more }
}

fn distinct_traces(spans: &[Span]) -> usize {
    spans
        .iter()
        .map(|span| span.trace_id)
        .collect::<FxHashSet<_>>()
        .len()
}

/// A stable sort of what are a few sorted runs: Rust's merge sort finds the runs by itself.
fn ordered<T>(parts: Vec<Vec<T>>, order: Order, time: impl Fn(&T) -> u64) -> Vec<T> {
    let mut merged: Vec<T> = parts.into_iter().flatten().collect();
    match order {
        Order::Newest => merged.sort_by_key(|row| std::cmp::Reverse(time(row))),
        Order::Oldest => merged.sort_by_key(time),
    }
    merged
}

/// Cuts to the limit and the rows tied with the last; says whether rows were left out.
fn truncate<T>(rows: &mut Vec<T>, limit: usize, time: impl Fn(&T) -> u64) -> bool {
    if rows.len() <= limit || limit == 0 {
        return false;
    }
    let last = time(&rows[limit - 1]);
    let tied = rows[limit..]
        .iter()
        .take(TIES_MAX)
        .take_while(|row| time(row) == last)
        .count();
    let cut = rows.len() > limit + tied;
    rows.truncate(limit + tied);
    cut
}

/// Adds up counts.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<(Vec<String>, u64), u64>);

impl Counts {
    pub(super) fn add(&mut self, counts: Vec<Count>) {
        for Count {
            start_unix_nano,
            key,
            count,
        } in counts
        {
            *self.0.entry((key, start_unix_nano)).or_default() += count;
        }
    }

    pub(super) fn finish(self) -> Vec<Count> {
        let counts = self.0.into_iter();
        counts
            .map(|((key, start_unix_nano), count)| Count {
                start_unix_nano,
                key,
                count,
            })
            .collect()
    }
}

/// Adds up durations.
#[derive(Default)]
pub(super) struct DurationGroups(BTreeMap<Vec<String>, (u64, u64, BTreeMap<u64, u64>)>);

impl DurationGroups {
    pub(super) fn add(&mut self, groups: Vec<Durations>) {
        for Durations {
            key,
            count,
            errors,
            buckets,
        } in groups
        {
            let group = self.0.entry(key).or_default();
            group.0 += count;
            group.1 += errors;
            for (value, count) in buckets {
                *group.2.entry(value).or_default() += count;
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Durations> {
        let groups = self.0.into_iter();
        groups
            .map(|(key, (count, errors, buckets))| Durations {
                key,
                count,
                errors,
                buckets: buckets.into_iter().collect(),
            })
            .collect()
    }
}

/// Adds up fields.
#[derive(Default)]
pub(super) struct Fields(FxHashMap<(Field, String), u64>);

impl Fields {
    pub(super) fn add(&mut self, fields: Vec<FieldCount>) {
        for FieldCount { field, kind, count } in fields {
            *self.0.entry((field, kind)).or_default() += count;
        }
    }

    pub(super) fn finish(self) -> Vec<FieldCount> {
        let fields = self.0.into_iter();
        let mut all: Vec<FieldCount> = fields
            .map(|((field, kind), count)| FieldCount { field, kind, count })
            .collect();
        all.sort_by_cached_key(|field| {
            let name = crate::lang::field_text(&field.field);
            (std::cmp::Reverse(field.count), name, field.kind.clone())
        });
        all
    }
}

/// Adds up values.
#[derive(Default)]
pub(super) struct Values(FxHashMap<String, u64>);

impl Values {
    pub(super) fn add(&mut self, values: Vec<ValueCount>) {
        for ValueCount { value, count } in values {
            *self.0.entry(value).or_default() += count;
        }
    }

    pub(super) fn finish(self, limit: usize) -> Vec<ValueCount> {
        let values = self.0.into_iter();
        let mut all: Vec<ValueCount> = values
            .map(|(value, count)| ValueCount { value, count })
            .collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        all.truncate(limit);
        all
    }
}

#[cfg(test)]
mod tests;
