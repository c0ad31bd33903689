//! Fills a chunk from a request.

mod attributes;
mod members;
mod received;
mod series;
mod storable;
mod zero;

use std::sync::Arc;

use model::correlation::CorrelationKeys;
use model::metric::PointValue;
use model::room::{NoRoom, Room};
use model::row::{
    LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef, UNDATED,
};
use model::{Metric, Resource, Scope, Signal, TraceId, ValueRef, value::KeyValueRef};
use rustc_hash::FxHashMap;

use super::shared::{self, Shared};
use super::{
    Chunk, EventRow, Expected, LinkRow, LogRow, PointRow, PointVal, Span32, SpanRow, Text, Val,
    encode_onto, encoded_bytes,
};
use crate::points::Entry;

pub(crate) use members::members;
pub(crate) use received::Received;
pub(crate) use series::SeriesGate;

/// A list of this size grows by half instead of twofold: what it takes beyond its rows counts too.
const LARGE_BYTES: usize = 1 << 20;
/// What has more members than this is measured before it is encoded.
const MEMBERS_MEASURED: usize = 256;

/// The [`RowSink`] that fills one chunk.
pub(crate) struct ChunkSink<'k> {
    chunk: Chunk,
    keys: &'k CorrelationKeys,
    resource: u32,
    scope: u32,
    metric: Option<Arc<Entry<Metric>>>,
    resources: Shared<u32>,
    scopes: Shared<u32>,
    metrics: Shared<Arc<Entry<Metric>>>,
    /// By id; why for a series that was refused.
    series: FxHashMap<u128, Result<u32, Reject>>,
    gate: &'k mut dyn SeriesGate,
    /// How many sets of attributes there were.
    set: u64,
    /// The last set that had a key, by the key's index.
    seen: Vec<u64>,
    /// Which key came after each the last time, the first of a set at 0, others one place after
    /// their index. Rows name the same keys in the same order, mostly.
    follows: Vec<u32>,
    /// Whether rows are correlated by a key, by its index, as far as it was asked.
    correlating: Vec<Option<bool>>,
    /// Keys of correlation pairs so far.
    pair_keys: Vec<Text>,
    scratch: Vec<u8>,
    room: &'k mut Room,
    /// What requests before this one became.
    expected: Option<&'k Expected>,
    received: Received,
    /// What the chunk's lists have taken of the room.
    lists: usize,
}

impl<'k> ChunkSink<'k> {
    /// The gate is asked once about each distinct series, in the order of their first points.
    /// Memory is taken from `room`.
    /// Rows without any time are of the time at which they were received, and those far ahead of it
    /// are filed under it.
    pub(crate) fn new(
        signal: Signal,
        keys: &'k CorrelationKeys,
        gate: &'k mut dyn SeriesGate,
        room: &'k mut Room,
        received: Received,
    ) -> Self {
        Self {
            chunk: Chunk::new(signal),
            keys,
            resource: 0,
            scope: 0,
            metric: None,
            resources: Shared::default(),
            scopes: Shared::default(),
            metrics: Shared::default(),
            series: FxHashMap::default(),
            gate,
            set: 0,
            seen: Vec::new(),
            follows: Vec::new(),
            correlating: Vec::new(),
            pair_keys: Vec::new(),
            scratch: Vec::new(),
            room,
            expected: None,
            received,
            lists: 0,
        }
    }

    /// The same for a request of so many bytes, with lists about as long as they become.
    pub(crate) fn expecting(mut self, expected: &'k Expected, request_bytes: usize) -> Self {
        expected.reserve(&mut self.chunk, request_bytes);
        self.expected = Some(expected);
        self
    }

    /// The chunk; the room then holds what it takes, and nothing of what filling it took.
    pub(crate) fn finish(mut self) -> Result<Chunk, NoRoom> {
        self.chunk.shrink();
        self.room.resize(self.chunk.heap_bytes())?;
        Ok(self.chunk)
    }

    /// Takes room for what the chunk's lists have grown by. They grow before they are filled, and
    /// memory that nothing was written to yet is not there, so that is early enough.
    #[inline]
    fn grown(&mut self) -> Result<(), NoRoom> {
        let per_key = size_of::<u64>() + size_of::<u32>() + size_of::<Option<bool>>();
        let own = self.scratch.capacity() + self.seen.capacity() * per_key;
        let lists = self.chunk.list_bytes() + own;
        if lists > self.lists {
            self.room.take(lists - self.lists)?;
            self.lists = lists;
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Text {
        self.push(text.as_bytes())
    }

    fn push(&mut self, bytes: &[u8]) -> Text {
        if bytes.is_empty() {
            return Text::default();
        }
        let text = Text {
            offset: index32(self.chunk.text.len()),
            length: index32(bytes.len()),
        };
        reserve(&mut self.chunk.text, bytes.len());
        self.chunk.text.extend_from_slice(bytes);
        text
    }

    /// Encodes into the arena something of so many members.
    fn encoded<T: serde::Serialize + ?Sized>(
        &mut self,
        value: &T,
        members: usize,
    ) -> Result<Text, NoRoom> {
        if members > MEMBERS_MEASURED {
            reserve(&mut self.chunk.text, encoded_bytes(value));
            self.grown()?;
        }
        let offset = self.chunk.text.len();
        encode_onto(value, &mut self.chunk.text);
        Ok(Text {
            offset: index32(offset),
            length: index32(self.chunk.text.len() - offset),
        })
    }

    fn val(&mut self, value: ValueRef<'_>) -> Val {
        match value {
            ValueRef::Empty => Val::Empty,
            ValueRef::Str(text) => Val::Str(self.text(text)),
            ValueRef::Bool(flag) => Val::Bool(flag),
            ValueRef::Int(int) => Val::Int(int),
            ValueRef::Double(double) => Val::Double(double),
            ValueRef::Bytes(bytes) => Val::Bytes(self.push(bytes)),
            ValueRef::Array(list) => Val::Array(self.push(list)),
            ValueRef::KvList(list) => Val::KvList(self.push(list)),
        }
    }

    /// Takes room for the nested values among these, which are unfolded to be encoded, and says how
    /// much that is: a list takes many times its bytes on the wire.
    #[inline]
    fn unfolded(&mut self, attributes: &[KeyValueRef<'_>]) -> Result<usize, NoRoom> {
        let nested = attributes.iter().map(|attribute| match attribute.value {
            ValueRef::Array(_) | ValueRef::KvList(_) => attribute.value.owned_bytes(),
            _ => 0,
        });
        let bytes = nested.sum();
        if bytes > 0 {
            self.room.take(bytes)?;
        }
        Ok(bytes)
    }

    /// The time of a row that has none.
    fn undated(&mut self) -> u64 {
        self.chunk.undated += 1;
        self.received.unix_nano
    }

    /// Called before the row is there.
    fn note_time(&mut self, time: u64, end: u64) {
        if time > self.received.latest_unix_nano {
            let row = index32(self.chunk.rows());
            self.chunk.ahead.push((row, self.received.day));
        }
        self.chunk.min_time = self.chunk.min_time.min(time);
        self.chunk.max_time = self.chunk.max_time.max(time);
        self.chunk.max_end = self.chunk.max_end.max(end).max(time);
    }

    fn events(&mut self, span: &SpanRef<'_>) -> Result<Span32, NoRoom> {
        let first = index32(self.chunk.events.len());
        for event in span.events {
            let (from, to) = event.attributes;
            let attributes =
                self.attributes(&span.nested_attributes[from as usize..to as usize])?;
            let name = self.text(event.name);
            self.chunk.events.push(EventRow {
                time: event.time_unix_nano,
                name,
                attributes,
                dropped_attributes: event.dropped_attributes_count,
            });
        }
        Ok(Span32 {
            first,
            count: index32(span.events.len()),
        })
    }

    fn links(&mut self, span: &SpanRef<'_>) -> Result<Span32, NoRoom> {
        let first = index32(self.chunk.links.len());
        for link in span.links {
            let (from, to) = link.attributes;
            let row = LinkRow {
                trace_id: self.push(link.trace_id),
                span_id: self.push(link.span_id),
                trace_state: self.text(link.trace_state),
                attributes: self.attributes(&span.nested_attributes[from as usize..to as usize])?,
                dropped_attributes: link.dropped_attributes_count,
                flags: link.flags,
            };
            self.chunk.links.push(row);
        }
        Ok(Span32 {
            first,
            count: index32(span.links.len()),
        })
    }
}

impl RowSink for ChunkSink<'_> {
    fn room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.room.take(bytes)
    }

    fn resource(&mut self, resource: &ResourceRef<'_>) -> Result<(), NoRoom> {
        // Requests may name a resource again for each of its rows.
        let nested = self.unfolded(resource.attributes)?;
        let hash = shared::resource_hash(resource, &mut self.scratch);
        self.room.give_back(nested);
        if let Some(index) = self.resources.get(hash) {
            self.resource = *index;
            return Ok(());
        }
        let before = self
            .expected
            .and_then(|of| of.resource(hash, &self.scratch));
        let entry = match before {
            Some(entry) => {
                self.room.take(entry.bytes)?;
                entry
            }
            None => {
                let entry: Entry<Resource> = shared::resource(resource, self.room)?;
                debug_assert_eq!(entry.hash, hash);
                let entry = Arc::new(entry);
                if let Some(expected) = self.expected {
                    expected.note_resource(&entry);
                }
                entry
            }
        };
        self.resource = index32(self.chunk.resources.len());
        self.resources.insert(hash, self.resource, self.room)?;
        self.chunk.resources.push(entry);
        self.grown()
    }

    fn scope(&mut self, scope: &ScopeRef<'_>) -> Result<(), NoRoom> {
        let nested = self.unfolded(scope.attributes)?;
        let hash = shared::scope_hash(scope, &mut self.scratch);
        self.room.give_back(nested);
        if let Some(index) = self.scopes.get(hash) {
            self.scope = *index;
            return Ok(());
        }
        let entry: Entry<Scope> = shared::scope(scope, self.room)?;
        debug_assert_eq!(entry.hash, hash);
        self.scope = index32(self.chunk.scopes.len());
        self.scopes.insert(entry.hash, self.scope, self.room)?;
        self.chunk.scopes.push(Arc::new(entry));
        self.grown()
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), NoRoom> {
        if let Some(reason) = storable::refusal(span.attributes, span.nested_attributes) {
            self.reject(reason, 1);
            return Ok(());
        }
        let nested = span.nested_attributes.len();
        reserve(&mut self.chunk.attributes, span.attributes.len() + nested);
        reserve(&mut self.chunk.events, span.events.len());
        reserve(&mut self.chunk.links, span.links.len());
        reserve(&mut self.chunk.trace_ids, 1);
        reserve(&mut self.chunk.spans, 1);
        self.grown()?;
        let first = self.chunk.correlation.len();
        let attributes = self.attributes(span.attributes)?;
        self.correlate_attributes(span.attributes, attributes);
        let (status, message) = span
            .status
            .map_or((None, ""), |(code, text)| (Some(code), text));
        let (start, end) = match (span.start_unix_nano, span.end_unix_nano) {
            (0, 0) => {
                let time = self.undated();
                (time, time)
            }
            // The day of its end is the better one to look for it.
            (0, end) => (end, end),
            times => times,
        };
        let row = SpanRow {
            span_id: span.span_id.0,
            parent: span.parent_span_id.map_or([0; 8], |id| id.0),
            start,
            end,
            resource: self.resource,
            scope: self.scope,
            name: self.text(span.name),
            kind: span.kind,
            status,
            status_message: self.text(message),
            trace_state: self.text(span.trace_state),
            flags: span.flags,
            attributes,
            dropped_attributes: span.dropped_attributes_count,
            events: self.events(span)?,
            dropped_events: span.dropped_events_count,
            links: self.links(span)?,
            dropped_links: span.dropped_links_count,
            correlation: self.correlation_since(first),
            encoded_bytes: span.encoded_bytes,
        };
        self.note_time(row.start, row.end);
        self.chunk.trace_ids.push(span.trace_id);
        self.chunk.spans.push(row);
        Ok(())
    }

    fn log(&mut self, log: &LogRef<'_>) -> Result<(), NoRoom> {
        if let Some(reason) = storable::refusal(log.attributes, &[]) {
            self.reject(reason, 1);
            return Ok(());
        }
        reserve(&mut self.chunk.attributes, log.attributes.len());
        reserve(&mut self.chunk.trace_ids, 1);
        reserve(&mut self.chunk.logs, 1);
        self.grown()?;
        let first = self.chunk.correlation.len();
        let attributes = self.attributes(log.attributes)?;
        self.correlate_attributes(log.attributes, attributes);
        let body = self.val(log.body);
        if let (ValueRef::Str(text), Val::Str(stored)) = (log.body, body) {
            self.correlate_body(first, text, stored);
        }
        let observed = match (log.time_unix_nano, log.observed_time_unix_nano) {
            (0, 0) => self.undated(),
            (_, observed) => observed,
        };
        let row = LogRow {
            time: log.time_unix_nano,
            observed,
            severity_number: log.severity_number,
            severity_text: self.text(log.severity_text),
            body,
            has_empty_body: log.has_empty_body && body == Val::Empty,
            span_id: log.span_id.map_or([0; 8], |id| id.0),
            resource: self.resource,
            scope: self.scope,
            attributes,
            dropped_attributes: log.dropped_attributes_count,
            flags: log.flags,
            event_name: self.text(log.event_name),
            correlation: self.correlation_since(first),
        };
        self.note_time(row.timestamp(), row.timestamp());
        self.chunk
            .trace_ids
            .push(log.trace_id.unwrap_or(TraceId([0; 16])));
        self.chunk.logs.push(row);
        Ok(())
    }

    fn metric(&mut self, metric: &MetricRef<'_>) -> Result<(), NoRoom> {
        // Requests may name a metric again for each of its points.
        self.scratch.clear();
        let flags = [
            metric.kind as u8,
            metric.temporality as u8,
            u8::from(metric.monotonic),
        ];
        self.scratch.extend_from_slice(&flags);
        for text in [metric.name, metric.description, metric.unit] {
            let length = index32(text.len()).to_le_bytes();
            self.scratch.extend_from_slice(&length);
            self.scratch.extend_from_slice(text.as_bytes());
        }
        let nested = self.unfolded(metric.metadata)?;
        shared::put_attributes(&mut self.scratch, metric.metadata);
        self.room.give_back(nested);
        let key = shared::hash(&self.scratch);
        if let Some(known) = self.metrics.get(key) {
            self.metric = Some(known.clone());
            return Ok(());
        }
        let entry: Entry<Metric> = shared::metric(metric, self.room)?;
        self.chunk.series_bytes += entry.bytes;
        let entry = Arc::new(entry);
        self.metric = Some(entry.clone());
        self.metrics.insert(key, entry, self.room)
    }

    fn point(&mut self, point: &PointRef<'_>) -> Result<(), NoRoom> {
        let Some(metric) = self.metric.clone() else {
            return Ok(());
        };
        let series = match self.series(&metric, point.attributes)? {
            Ok(series) => series,
            Err(reason) => {
                self.reject(reason, 1);
                return Ok(());
            }
        };
        if point.start_unix_nano > 0 && self.begins(series, &metric.value, point) {
            self.zero(series, point)?;
        }
        reserve(&mut self.chunk.points, 1);
        self.grown()?;
        let counts = &mut self.chunk.point_counts;
        counts.exemplars += point.exemplars.len() as u64;
        match point.value {
            PointValue::Int(_) | PointValue::Double(_) => counts.numbers += 1,
            PointValue::Empty => counts.numbers += u64::from(point.flags != 0),
            _ => counts.histograms += 1,
        }
        let time = match point.time_unix_nano {
            UNDATED => self.undated(),
            time => time,
        };
        let value = match point.value {
            PointValue::Int(int) => PointVal::Int(*int),
            PointValue::Double(double) => PointVal::Double(*double),
            other => PointVal::Encoded(self.encoded(other, members(other))?),
        };
        let exemplars = match point.exemplars {
            [] => Text::default(),
            list => self.encoded(list, list.len())?,
        };
        self.note_time(time, time);
        self.chunk.points.push(PointRow {
            series,
            start: point.start_unix_nano,
            time,
            flags: point.flags,
            value,
            exemplars,
        });
        Ok(())
    }

    fn reject(&mut self, reason: Reject, count: u64) {
        *self.chunk.rejected.entry(reason).or_default() += count;
    }
}

/// Makes a list long enough for so many more members.
#[inline]
fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        grow(list, more);
    }
}

#[cold]
fn grow<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() * size_of::<T>() < LARGE_BYTES {
        list.reserve(more);
    } else {
        list.reserve_exact(more.max(list.capacity() / 2));
    }
}

/// A request is at most `limits.request_bytes`, far below 4 GiB, and so is a chunk.
pub(super) fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a chunk stays below 2^32 bytes and rows")
}
