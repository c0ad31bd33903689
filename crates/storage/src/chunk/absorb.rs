//! Joins small chunks into larger ones, so that a head of many tiny requests stays quick to
//! scan.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::sink::index32;
use super::{
    Attr, Chunk, Corr, EventRow, LinkRow, LogRow, PointRow, PointVal, Span32, SpanRow, Text, Val,
};

/// Where the parts of an absorbed chunk end up.
struct Moves {
    text: u32,
    attributes: u32,
    events: u32,
    links: u32,
    correlation: u32,
    keys: Vec<u32>,
    resources: Vec<u32>,
    scopes: Vec<u32>,
    series: Vec<u32>,
}

impl Moves {
    fn text(&self, text: Text) -> Text {
        if text.length == 0 {
            return Text::default();
        }
        Text {
            offset: text.offset + self.text,
            length: text.length,
        }
    }

    fn val(&self, value: Val) -> Val {
        match value {
            Val::Str(text) => Val::Str(self.text(text)),
            Val::Bytes(text) => Val::Bytes(self.text(text)),
            Val::Array(text) => Val::Array(self.text(text)),
            Val::KvList(text) => Val::KvList(self.text(text)),
            other => other,
        }
    }

    fn attributes(&self, span: Span32) -> Span32 {
        Span32 {
            first: span.first + self.attributes,
            count: span.count,
        }
    }

    fn correlation(&self, span: Span32) -> Span32 {
        Span32 {
            first: span.first + self.correlation,
            count: span.count,
        }
    }
}

/// Adds what is not there yet and says where each entry is.
fn merge<T>(into: &mut Vec<Arc<T>>, from: &[Arc<T>], hash: fn(&T) -> u64) -> Vec<u32> {
    let mut known: FxHashMap<u64, u32> = into
        .iter()
        .enumerate()
        .map(|(index, entry)| (hash(entry), index32(index)))
        .collect();
    from.iter()
        .map(|entry| {
            let next = index32(into.len());
            let index = *known.entry(hash(entry)).or_insert(next);
            if index == next {
                into.push(entry.clone());
            }
            index
        })
        .collect()
}

/// Gives back what a list has beyond its members, where that is worth a call.
fn shrink<T>(list: &mut Vec<T>) {
    if list.capacity() - list.len() > list.len() / 8 {
        list.shrink_to_fit();
    }
}

impl Chunk {
    /// Two chunks of one signal as one, in lists of just the length that they need.
    pub(crate) fn joined(one: &Chunk, other: &Chunk) -> Chunk {
        let mut joined = Chunk::new(one.signal);
        let sum = |length: fn(&Chunk) -> usize| length(one) + length(other);
        joined.text.reserve_exact(sum(|c| c.text.len()));
        joined.trace_ids.reserve_exact(sum(|c| c.trace_ids.len()));
        joined.spans.reserve_exact(sum(|c| c.spans.len()));
        joined.logs.reserve_exact(sum(|c| c.logs.len()));
        joined.points.reserve_exact(sum(|c| c.points.len()));
        joined.attributes.reserve_exact(sum(|c| c.attributes.len()));
        joined.events.reserve_exact(sum(|c| c.events.len()));
        joined.links.reserve_exact(sum(|c| c.links.len()));
        let pairs = sum(|c| c.correlation.len());
        joined.correlation.reserve_exact(pairs);
        joined.absorb(one);
        joined.absorb(other);
        joined
    }

    /// Gives back what its lists were made longer than they became: the head is full by what they
    /// take, so that it holds as many rows more.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.text);
        shrink(&mut self.trace_ids);
        shrink(&mut self.spans);
        shrink(&mut self.logs);
        shrink(&mut self.points);
        shrink(&mut self.attributes);
        shrink(&mut self.events);
        shrink(&mut self.links);
        shrink(&mut self.correlation);
    }

    /// Joins two chunks of one signal; the rows of `other` follow those of `self`.
    pub(crate) fn absorb(&mut self, other: &Chunk) {
        let moves = Moves {
            text: index32(self.text.len()),
            attributes: index32(self.attributes.len()),
            events: index32(self.events.len()),
            links: index32(self.links.len()),
            correlation: index32(self.correlation.len()),
            keys: other.keys.iter().map(|key| self.keys.intern(key)).collect(),
            resources: merge(&mut self.resources, &other.resources, |entry| entry.hash),
            scopes: merge(&mut self.scopes, &other.scopes, |entry| entry.hash),
            series: merge(&mut self.series, &other.series, |entry| entry.id as u64),
        };
        self.series_bytes += other.series_bytes;
        self.text.extend_from_slice(&other.text);
        self.trace_ids.extend_from_slice(&other.trace_ids);
        self.attributes
            .extend(other.attributes.iter().map(|attr| Attr {
                key: moves.keys[attr.key as usize],
                value: moves.val(attr.value),
            }));
        self.events
            .extend(other.events.iter().map(|event| EventRow {
                name: moves.text(event.name),
                attributes: moves.attributes(event.attributes),
                ..*event
            }));
        self.links.extend(other.links.iter().map(|link| LinkRow {
            trace_id: moves.text(link.trace_id),
            span_id: moves.text(link.span_id),
            trace_state: moves.text(link.trace_state),
            attributes: moves.attributes(link.attributes),
            ..*link
        }));
        self.correlation
            .extend(other.correlation.iter().map(|corr| Corr {
                key: moves.text(corr.key),
                value: moves.text(corr.value),
                source: corr.source,
            }));
        self.clocks.append(self.rows(), &other.clocks);
        let before = index32(self.rows());
        let ahead = other.ahead.iter().map(|(row, day)| (row + before, *day));
        self.ahead.extend(ahead);
        self.absorb_rows(other, &moves);
        self.min_time = self.min_time.min(other.min_time);
        self.max_time = self.max_time.max(other.max_time);
        self.max_end = self.max_end.max(other.max_end);
        self.duplicate_keys += other.duplicate_keys;
        self.undated += other.undated;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(*reason).or_default() += count;
        }
    }

    fn absorb_rows(&mut self, other: &Chunk, moves: &Moves) {
        self.spans.extend(other.spans.iter().map(|row| SpanRow {
            resource: moves.resources[row.resource as usize],
            scope: moves.scopes[row.scope as usize],
            name: moves.text(row.name),
            status_message: moves.text(row.status_message),
            trace_state: moves.text(row.trace_state),
            attributes: moves.attributes(row.attributes),
            events: Span32 {
                first: row.events.first + moves.events,
                ..row.events
            },
            links: Span32 {
                first: row.links.first + moves.links,
                ..row.links
            },
            correlation: moves.correlation(row.correlation),
            ..*row
        }));
        self.logs.extend(other.logs.iter().map(|row| LogRow {
            resource: moves.resources[row.resource as usize],
            scope: moves.scopes[row.scope as usize],
            severity_text: moves.text(row.severity_text),
            body: moves.val(row.body),
            attributes: moves.attributes(row.attributes),
            event_name: moves.text(row.event_name),
            correlation: moves.correlation(row.correlation),
            ..*row
        }));
        self.points.extend(other.points.iter().map(|row| PointRow {
            series: moves.series[row.series as usize],
            value: match row.value {
                PointVal::Encoded(text) => PointVal::Encoded(moves.text(text)),
                other => other,
            },
            exemplars: moves.text(row.exemplars),
            ..*row
        }));
    }
}
