//! Several answers to one request become one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::{LogRecord, Span, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use storage::digest;
use storage::filter::Field;
use storage::message::{CountGroup, Counts, Durations, FieldCount, Order, ValueCount};

/// Rows in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether the limit left rows out that exist or may exist.
    pub more: bool,
}

/// Which of two versions of a span says more: the one that ended last, then the one with more
/// attributes, events and links.
pub(crate) fn says_more(one: &Span, other: &Span) -> Ordering {
    let size = |span: &Span| span.attributes.len() + span.events.len() + span.links.len();
    let ended = one.end_unix_nano.cmp(&other.end_unix_nano);
    ended.then_with(|| size(one).cmp(&size(other)))
}

/// Merges spans, stops at the limits, and of those with the same start and ids returns the one
/// that says most.
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
    let mut merged: Vec<Span> = parts.into_iter().flatten().collect();
    ordered(
        &mut merged,
        order,
        |span| span.start_unix_nano,
        digest::span,
    );
    // A source that stopped at the limit is complete down to its last row, and so is what is
    // merged down to as many rows, copies among them: with these left out first, rows of other
    // sources beyond that would take their places.
    more |= truncate(&mut merged, limit);
    if several {
        // Copies lie side by side. A zero span id stands for none, so such spans are not the
        // same one.
        let key = |span: &Span| (span.start_unix_nano, span.trace_id, span.span_id, span.kind);
        merged.dedup_by(|span, kept| {
            let is_same = !span.span_id.is_zero() && key(span) == key(kept);
            if is_same && says_more(span, kept).is_gt() {
                std::mem::swap(span, kept);
            }
            is_same
        });
    }
    if let Some(traces) = traces {
        let mut seen: FxHashSet<TraceId> = FxHashSet::default();
        // The rows up to and with the first row of the last wanted trace are complete; those
        // after it are so only in sources that have not stopped by then.
        let end = merged.iter().position(|span| {
            seen.insert(span.trace_id);
            seen.len() >= traces
        });
        if let Some(end) = end {
            more |= end + 1 < merged.len();
            merged.truncate(end + 1);
        }
    }
    Rows { rows: merged, more }
}

/// Merges log records and stops at the limit.
pub(super) fn logs(parts: Vec<Vec<LogRecord>>, order: Order, limit: usize) -> Rows<LogRecord> {
    let mut more = parts.iter().any(|part| part.len() >= limit);
    let mut merged: Vec<LogRecord> = parts.into_iter().flatten().collect();
    ordered(&mut merged, order, LogRecord::timestamp, digest::log);
    more |= truncate(&mut merged, limit);
    Rows { rows: merged, more }
}

fn distinct_traces(spans: &[Span]) -> usize {
    spans
        .iter()
        .map(|span| span.trace_id)
        .collect::<FxHashSet<_>>()
        .len()
}

/// Brings rows into the readers' order: by time, those of one time by digest.
fn ordered<T>(rows: &mut [T], order: Order, time: impl Fn(&T) -> u64, digest: impl Fn(&T) -> u64) {
    // Rust's merge sort finds the few sorted runs by itself.
    match order {
        Order::Newest => rows.sort_by_key(|row| std::cmp::Reverse(time(row))),
        Order::Oldest => rows.sort_by_key(&time),
    }
    for tied in rows.chunk_by_mut(|a, b| time(a) == time(b)) {
        if tied.len() > 1 {
            tied.sort_by_cached_key(&digest);
        }
    }
}

/// Cuts to the limit; says whether rows were left out.
fn truncate<T>(rows: &mut Vec<T>, limit: usize) -> bool {
    let cut = rows.len() > limit && limit > 0;
    if cut {
        rows.truncate(limit);
    }
    cut
}

/// Adds up counts.
#[derive(Default)]
pub(super) struct Summed {
    groups: BTreeMap<Vec<String>, BTreeMap<u64, u64>>,
    other: u64,
}

impl Summed {
    pub(super) fn add(&mut self, counts: Counts) {
        self.other += counts.other;
        for CountGroup { key, buckets } in counts.groups {
            let group = self.groups.entry(key).or_default();
            for (start_unix_nano, rows) in buckets {
                *group.entry(start_unix_nano).or_default() += rows;
            }
        }
    }

    pub(super) fn finish(self) -> Counts {
        let groups = self.groups.into_iter().map(|(key, buckets)| CountGroup {
            key,
            buckets: buckets.into_iter().collect(),
        });
        Counts {
            groups: groups.collect(),
            other: self.other,
        }
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
