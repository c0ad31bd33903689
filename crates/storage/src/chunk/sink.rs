//! Fills a chunk from a request.

use std::sync::Arc;

use model::correlation::CorrelationKeys;
use model::metric::{PointValue, Series};
use model::row::{LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef};
use model::{KeyValue, Metric, Resource, Scope, Signal, TraceId, ValueRef, value::KeyValueRef};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Attr, Chunk, Corr, EventRow, LinkRow, LogRow, MetricEntry, PointRow, PointVal, ResourceEntry,
    ScopeEntry, SeriesEntry, Span32, SpanRow, Text, Val, encode, encode_exemplars,
};

/// The [`RowSink`] that fills one chunk.
pub(crate) struct ChunkSink<'k> {
    chunk: Chunk,
    keys: &'k CorrelationKeys,
    resource: u32,
    scope: u32,
    metric: Option<Arc<MetricEntry>>,
    resources: FxHashMap<u64, u32>,
    scopes: FxHashMap<u64, u32>,
    metrics: FxHashMap<u64, Arc<MetricEntry>>,
    /// None for a series that was refused.
    series: FxHashMap<u64, Option<u32>>,
    admit: &'k mut dyn FnMut(u64) -> bool,
    scratch: Vec<u8>,
}

impl<'k> ChunkSink<'k> {
    /// `admit` decides, once for each distinct series in the order of their first points and by
    /// a hash of what identifies it, whether its points are taken.
    pub(crate) fn new(
        signal: Signal,
        keys: &'k CorrelationKeys,
        admit: &'k mut dyn FnMut(u64) -> bool,
    ) -> Self {
        Self {
            chunk: Chunk::new(signal),
            keys,
            resource: 0,
            scope: 0,
            metric: None,
            resources: FxHashMap::default(),
            scopes: FxHashMap::default(),
            metrics: FxHashMap::default(),
            series: FxHashMap::default(),
            admit,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Chunk {
        self.chunk
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
        self.chunk.text.extend_from_slice(bytes);
        text
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

    fn attributes(&mut self, attributes: &[KeyValueRef<'_>]) -> Span32 {
        let first = index32(self.chunk.attributes.len());
        let mut seen = 0u128;
        for attribute in attributes {
            let key = self.chunk.keys.intern(attribute.key);
            let value = self.val(attribute.value);
            self.chunk.attributes.push(Attr { key, value });
            // A filter over the low bits of the keys: only a hit is worth the search.
            let bit = 1u128 << (key & 127);
            if seen & bit != 0
                && self.chunk.attributes[first as usize..]
                    .iter()
                    .rev()
                    .skip(1)
                    .any(|other| other.key == key)
            {
                self.chunk.duplicate_keys += 1;
            }
            seen |= bit;
        }
        Span32 {
            first,
            count: index32(attributes.len()),
        }
    }

    /// Correlation pairs of a row's own attributes.
    fn correlate_attributes(&mut self, attributes: &[KeyValueRef<'_>]) {
        let keys = self.keys;
        let row_first = self.chunk.correlation.len();
        for (index, attribute) in attributes.iter().enumerate() {
            if !keys.contains(attribute.key) {
                continue;
            }
            let mut pairs: Vec<(&str, &str)> = Vec::new();
            keys.attribute(attribute.key, attribute.value, &mut |key, value| {
                pairs.push((key, value));
            });
            for (key, value) in pairs {
                if self.chunk.correlation.len() - row_first >= model::correlation::PAIRS_PER_ROW_MAX
                {
                    return;
                }
                let key = self.text(key);
                let value = self.text(value);
                self.chunk.correlation.push(Corr {
                    key,
                    value,
                    source: index32(index) + 1,
                });
            }
        }
    }

    /// Correlation pairs in a body that is text; values are slices of the stored body.
    fn correlate_body(&mut self, row_first: usize, body: &str, stored: Text) {
        let keys = self.keys;
        let mut pairs: Vec<(&str, Text)> = Vec::new();
        keys.text(body, &mut |key, value| {
            let offset = value.as_ptr() as usize - body.as_ptr() as usize;
            let value = Text {
                offset: stored.offset + index32(offset),
                length: index32(value.len()),
            };
            pairs.push((key, value));
        });
        for (key, value) in pairs {
            let row = &self.chunk.correlation[row_first..];
            let value_bytes = self.chunk.bytes(value);
            if row.len() >= model::correlation::PAIRS_PER_ROW_MAX {
                return;
            }
            if row
                .iter()
                .any(|other| self.chunk.bytes(other.value) == value_bytes)
            {
                continue;
            }
            let key = self.text(key);
            self.chunk.correlation.push(Corr {
                key,
                value,
                source: 0,
            });
        }
    }

    fn correlation_since(&self, first: usize) -> Span32 {
        Span32 {
            first: index32(first),
            count: index32(self.chunk.correlation.len() - first),
        }
    }

    fn note_time(&mut self, time: u64, end: u64) {
        self.chunk.min_time = self.chunk.min_time.min(time);
        self.chunk.max_time = self.chunk.max_time.max(time);
        self.chunk.max_end = self.chunk.max_end.max(end).max(time);
    }

    fn events(&mut self, span: &SpanRef<'_>) -> Span32 {
        let first = index32(self.chunk.events.len());
        for event in span.events {
            let (from, to) = event.attributes;
            let attributes = self.attributes(&span.nested_attributes[from as usize..to as usize]);
            let name = self.text(event.name);
            self.chunk.events.push(EventRow {
                time: event.time_unix_nano,
                name,
                attributes,
                dropped_attributes: event.dropped_attributes_count,
            });
        }
        Span32 {
            first,
            count: index32(span.events.len()),
        }
    }

    fn links(&mut self, span: &SpanRef<'_>) -> Span32 {
        let first = index32(self.chunk.links.len());
        for link in span.links {
            let (from, to) = link.attributes;
            let row = LinkRow {
                trace_id: self.push(link.trace_id),
                span_id: self.push(link.span_id),
                trace_state: self.text(link.trace_state),
                attributes: self.attributes(&span.nested_attributes[from as usize..to as usize]),
                dropped_attributes: link.dropped_attributes_count,
                flags: link.flags,
            };
            self.chunk.links.push(row);
        }
        Span32 {
            first,
            count: index32(span.links.len()),
        }
    }

    /// The series of the current metric with these attributes.
    /// The series of a point; none if it was refused.
    fn series(&mut self, metric: &Arc<MetricEntry>, attributes: &[KeyValueRef<'_>]) -> Option<u32> {
        self.scratch.clear();
        for attribute in attributes {
            encode_attribute(&mut self.scratch, attribute);
        }
        self.scratch.extend_from_slice(&self.resource.to_le_bytes());
        self.scratch.extend_from_slice(&self.scope.to_le_bytes());
        self.scratch
            .extend_from_slice(&(Arc::as_ptr(metric) as usize).to_le_bytes());
        let hash = xxh3_64(&self.scratch);
        if let Some(index) = self.series.get(&hash) {
            return *index;
        }
        let series = Series {
            resource: self.chunk.resources[self.resource as usize]
                .resource
                .clone(),
            scope: self.chunk.scopes[self.scope as usize].scope.clone(),
            metric: metric.metric.clone(),
            attributes: owned(attributes),
        };
        let mut encoded = Vec::new();
        for part in [
            &self.chunk.resources[self.resource as usize].encoded,
            &self.chunk.scopes[self.scope as usize].encoded,
            &metric.encoded,
        ] {
            encoded.extend_from_slice(&index32(part.len()).to_le_bytes());
            encoded.extend_from_slice(part);
        }
        encoded.extend_from_slice(&encode(&series.attributes));
        if !(self.admit)(xxh3_64(&encoded)) {
            self.series.insert(hash, None);
            return None;
        }
        let index = index32(self.chunk.series.len());
        self.chunk.series.push(Arc::new(SeriesEntry {
            series,
            encoded: encoded.into(),
        }));
        self.series.insert(hash, Some(index));
        Some(index)
    }
}

impl RowSink for ChunkSink<'_> {
    fn resource(&mut self, resource: &ResourceRef<'_>) {
        let resource = Resource {
            attributes: owned(resource.attributes),
            dropped_attributes_count: resource.dropped_attributes_count,
            entity_refs: resource.entity_refs.to_vec(),
            schema_url: resource.schema_url.to_owned(),
        };
        let encoded = encode(&resource);
        let next = index32(self.chunk.resources.len());
        self.resource = *self.resources.entry(xxh3_64(&encoded)).or_insert(next);
        if self.resource == next {
            self.chunk.resources.push(Arc::new(ResourceEntry {
                resource: Arc::new(resource),
                encoded: encoded.into(),
            }));
        }
    }

    fn scope(&mut self, scope: &ScopeRef<'_>) {
        let scope = Scope {
            name: scope.name.to_owned(),
            version: scope.version.to_owned(),
            attributes: owned(scope.attributes),
            dropped_attributes_count: scope.dropped_attributes_count,
            schema_url: scope.schema_url.to_owned(),
        };
        let encoded = encode(&scope);
        let next = index32(self.chunk.scopes.len());
        self.scope = *self.scopes.entry(xxh3_64(&encoded)).or_insert(next);
        if self.scope == next {
            self.chunk.scopes.push(Arc::new(ScopeEntry {
                scope: Arc::new(scope),
                encoded: encoded.into(),
            }));
        }
    }

    fn span(&mut self, span: &SpanRef<'_>) {
        let first = self.chunk.correlation.len();
        self.correlate_attributes(span.attributes);
        let (status, message) = span
            .status
            .map_or((None, ""), |(code, text)| (Some(code), text));
        let row = SpanRow {
            span_id: span.span_id.0,
            parent: span.parent_span_id.map_or([0; 8], |id| id.0),
            start: span.start_unix_nano,
            end: span.end_unix_nano,
            resource: self.resource,
            scope: self.scope,
            name: self.text(span.name),
            kind: span.kind,
            status,
            status_message: self.text(message),
            trace_state: self.text(span.trace_state),
            flags: span.flags,
            attributes: self.attributes(span.attributes),
            dropped_attributes: span.dropped_attributes_count,
            events: self.events(span),
            dropped_events: span.dropped_events_count,
            links: self.links(span),
            dropped_links: span.dropped_links_count,
            correlation: self.correlation_since(first),
        };
        self.note_time(row.start, row.end);
        self.chunk.trace_ids.push(span.trace_id);
        self.chunk.spans.push(row);
    }

    fn log(&mut self, log: &LogRef<'_>) {
        let first = self.chunk.correlation.len();
        self.correlate_attributes(log.attributes);
        let body = self.val(log.body);
        if let (ValueRef::Str(text), Val::Str(stored)) = (log.body, body) {
            self.correlate_body(first, text, stored);
        }
        let row = LogRow {
            time: log.time_unix_nano,
            observed: log.observed_time_unix_nano,
            severity_number: log.severity_number,
            severity_text: self.text(log.severity_text),
            body,
            span_id: log.span_id.map_or([0; 8], |id| id.0),
            resource: self.resource,
            scope: self.scope,
            attributes: self.attributes(log.attributes),
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
    }

    fn metric(&mut self, metric: &MetricRef<'_>) {
        let metric = Metric {
            name: metric.name.to_owned(),
            description: metric.description.to_owned(),
            unit: metric.unit.to_owned(),
            kind: metric.kind,
            temporality: metric.temporality,
            monotonic: metric.monotonic,
            metadata: owned(metric.metadata),
        };
        let encoded = encode(&metric);
        let entry = self.metrics.entry(xxh3_64(&encoded)).or_insert_with(|| {
            Arc::new(MetricEntry {
                metric: Arc::new(metric),
                encoded: encoded.into(),
            })
        });
        self.metric = Some(entry.clone());
    }

    fn point(&mut self, point: &PointRef<'_>) {
        let Some(metric) = self.metric.clone() else {
            return;
        };
        let Some(series) = self.series(&metric, point.attributes) else {
            return self.reject(Reject::SeriesLimit, 1);
        };
        let value = match point.value {
            PointValue::Int(int) => PointVal::Int(*int),
            PointValue::Double(double) => PointVal::Double(*double),
            other => PointVal::Encoded(self.push(&encode(other))),
        };
        let exemplars = self.push(&encode_exemplars(point.exemplars));
        self.note_time(point.time_unix_nano, point.time_unix_nano);
        self.chunk.points.push(PointRow {
            series,
            start: point.start_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
            value,
            exemplars,
        });
    }

    fn reject(&mut self, reason: Reject, count: u64) {
        *self.chunk.rejected.entry(reason).or_default() += count;
    }
}

fn owned(attributes: &[KeyValueRef<'_>]) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|attribute| attribute.to_key_value())
        .collect()
}

/// A request is at most `limits.request_bytes`, far below 4 GiB, and so is a chunk.
pub(super) fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a chunk stays below 2^32 bytes and rows")
}

fn encode_attribute(out: &mut Vec<u8>, attribute: &KeyValueRef<'_>) {
    let mut part = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&index32(bytes.len()).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    part(0, attribute.key.as_bytes());
    match attribute.value {
        ValueRef::Empty => part(1, &[]),
        ValueRef::Str(text) => part(2, text.as_bytes()),
        ValueRef::Bool(flag) => part(3, &[u8::from(flag)]),
        ValueRef::Int(int) => part(4, &int.to_le_bytes()),
        ValueRef::Double(double) => part(5, &double.to_bits().to_le_bytes()),
        ValueRef::Bytes(bytes) => part(6, bytes),
        ValueRef::Array(list) => part(7, list),
        ValueRef::KvList(list) => part(8, list),
    }
}
