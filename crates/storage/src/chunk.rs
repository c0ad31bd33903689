//! Rows in memory: what one or several requests became on the way in.
//!
//! Points of metrics stay in one only until they are committed: see [`crate::points::head`].
//!
//! A chunk holds the rows of one tenant and signal. Fixed-size fields lie in row structs; text
//! and nested values lie in one arena that rows point into; attribute keys, resources, scopes
//! and series are interned per chunk. A chunk is filled through [`model::row::RowSink`], never
//! changes once it is published, and is read through [`crate::table::Table`] like a block.

mod absorb;
mod clocks;
mod expected;
mod intern;
mod key_numbers;
mod owned;
mod shared;
mod show;
mod sink;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::metric::{Exemplar, PointValue};
use model::row::Reject;
use model::{Resource, Scope, Signal, TraceId};
use rustc_hash::FxHashMap;

use crate::partition::day_of;
use crate::write::Points;

pub(crate) use clocks::Clocks;
pub(crate) use expected::Expected;
pub(crate) use intern::Interner;
pub(crate) use key_numbers::{Chunks, KeyNumbers};
pub(crate) use owned::summary_resource;
pub(crate) use sink::{ChunkSink, Received, SeriesGate, members};

use crate::points::{Entry, SeriesEntry};

/// A range of the arena.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub offset: u32,
    pub length: u32,
}

/// A range of one of the chunk's side vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span32 {
    pub first: u32,
    pub count: u32,
}

impl Span32 {
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.count as usize
    }
}

/// An attribute value; text and nested encodings lie in the arena.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Val {
    Empty,
    Str(Text),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Text),
    Array(Text),
    KvList(Text),
}

/// One attribute; the key is an index into [`Chunk::keys`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Attr {
    pub key: u32,
    pub value: Val,
}

/// One (key, value) by which a row is correlated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corr {
    pub key: Text,
    pub value: Text,
    /// Where the value stands: 0 for a slice of the body, `n` for attribute `n - 1` of the row,
    /// [`Corr::APART`] where it stands by itself.
    pub source: u32,
}

impl Corr {
    /// The source of a value that is no slice of a text of its row any more.
    pub(crate) const APART: u32 = u32::MAX;
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SpanRow {
    pub span_id: [u8; 8],
    /// Zero for none.
    pub parent: [u8; 8],
    pub start: u64,
    pub end: u64,
    pub resource: u32,
    pub scope: u32,
    pub name: Text,
    pub kind: i32,
    /// `None` where no status was sent.
    pub status: Option<i32>,
    pub status_message: Text,
    pub trace_state: Text,
    pub flags: u32,
    pub attributes: Span32,
    pub dropped_attributes: u32,
    pub events: Span32,
    pub dropped_events: u32,
    pub links: Span32,
    pub dropped_links: u32,
    pub correlation: Span32,
    /// Its length as it was sent; 0 where it comes from a file.
    pub encoded_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EventRow {
    pub time: u64,
    pub name: Text,
    pub attributes: Span32,
    pub dropped_attributes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LinkRow {
    pub trace_id: Text,
    pub span_id: Text,
    pub trace_state: Text,
    pub attributes: Span32,
    pub dropped_attributes: u32,
    pub flags: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogRow {
    pub time: u64,
    pub observed: u64,
    pub severity_number: i32,
    pub severity_text: Text,
    pub body: Val,
    pub has_empty_body: bool,
    /// Zero for none.
    pub span_id: [u8; 8],
    pub resource: u32,
    pub scope: u32,
    pub attributes: Span32,
    pub dropped_attributes: u32,
    pub flags: u32,
    pub event_name: Text,
    pub correlation: Span32,
}

impl LogRow {
    /// When the record belongs in time.
    pub(crate) fn timestamp(&self) -> u64 {
        if self.time != 0 {
            self.time
        } else {
            self.observed
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PointRow {
    pub series: u32,
    pub start: u64,
    pub time: u64,
    pub flags: u32,
    pub value: PointVal,
    /// Encoded `[Exemplar]`; empty for none.
    pub exemplars: Text,
}

/// The value of a point; what is not one number is encoded in the arena.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PointVal {
    Int(i64),
    Double(f64),
    /// Encoded [`PointValue`].
    Encoded(Text),
}

/// Rows in memory; see the module.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub signal: Signal,
    pub text: Vec<u8>,
    pub keys: Interner,
    pub resources: Vec<Arc<Entry<Resource>>>,
    pub scopes: Vec<Arc<Entry<Scope>>>,
    pub series: Vec<Arc<SeriesEntry>>,
    /// About how much memory the series take that came with it, and their metrics.
    pub series_bytes: usize,
    /// Of spans and log records, beside the rows so that a lookup by id touches little memory;
    /// zero for none.
    pub trace_ids: Vec<TraceId>,
    pub spans: Vec<SpanRow>,
    pub logs: Vec<LogRow>,
    pub points: Vec<PointRow>,
    pub attributes: Vec<Attr>,
    pub events: Vec<EventRow>,
    pub links: Vec<LinkRow>,
    pub correlation: Vec<Corr>,
    /// How far the senders' clocks were off.
    pub clocks: Clocks,
    /// Rows refused while this chunk was filled.
    pub rejected: FxHashMap<Reject, u64>,
    /// Rows whose attributes name a key twice.
    pub duplicate_keys: u64,
    /// Rows that were sent without a time.
    pub undated: u64,
    /// What the points were while this chunk was filled.
    pub point_counts: Points,
    /// Rows whose time is far ahead of the clock, in order, each with the day on which it came: it
    /// is filed under that.
    pub ahead: Vec<(u32, u32)>,
    /// Smallest start or time of a row.
    pub min_time: u64,
    /// Largest start or time of a row.
    pub max_time: u64,
    /// Largest end of a span, or time of a row.
    pub max_end: u64,
}

impl Chunk {
    pub(crate) fn new(signal: Signal) -> Self {
        Self {
            signal,
            text: Vec::new(),
            keys: Interner::default(),
            resources: Vec::new(),
            scopes: Vec::new(),
            series: Vec::new(),
            series_bytes: 0,
            trace_ids: Vec::new(),
            spans: Vec::new(),
            logs: Vec::new(),
            points: Vec::new(),
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            correlation: Vec::new(),
            clocks: Clocks::default(),
            rejected: FxHashMap::default(),
            duplicate_keys: 0,
            undated: 0,
            point_counts: Points::default(),
            ahead: Vec::new(),
            min_time: u64::MAX,
            max_time: 0,
            max_end: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self.signal {
            Signal::Traces => self.spans.len(),
            Signal::Logs => self.logs.len(),
            Signal::Metrics => self.points.len(),
        }
    }

    /// The time that orders a row: a span's start, a record's or point's time.
    pub(crate) fn time(&self, row: usize) -> u64 {
        match self.signal {
            Signal::Traces => self.spans[row].start,
            Signal::Logs => self.logs[row].timestamp(),
            Signal::Metrics => self.points[row].time,
        }
    }

    /// The day under which a row is filed.
    pub(crate) fn day(&self, row: usize) -> u32 {
        let at = self
            .ahead
            .binary_search_by_key(&row, |(row, _)| *row as usize);
        at.map_or_else(|_| day_of(self.time(row)), |at| self.ahead[at].1)
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let resources = self.resources.iter().map(|entry| entry.bytes);
        let scopes = self.scopes.iter().map(|entry| entry.bytes);
        let shared = resources.chain(scopes).sum::<usize>();
        self.list_bytes() + shared + self.series_bytes + self.clocks.heap_bytes()
    }

    /// How many of them are its own lists.
    #[inline]
    pub(crate) fn list_bytes(&self) -> usize {
        fn of<T>(list: &Vec<T>) -> usize {
            list.capacity() * size_of::<T>()
        }
        of(&self.text)
            + self.keys.heap_bytes()
            + of(&self.resources)
            + of(&self.scopes)
            + of(&self.series)
            + of(&self.trace_ids)
            + of(&self.spans)
            + of(&self.logs)
            + of(&self.points)
            + of(&self.attributes)
            + of(&self.events)
            + of(&self.links)
            + of(&self.correlation)
            + of(&self.ahead)
    }

    #[inline]
    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        &self.text[text.offset as usize..text.offset as usize + text.length as usize]
    }

    #[inline]
    pub(crate) fn str(&self, text: Text) -> &str {
        std::str::from_utf8(self.bytes(text)).expect("text in the arena was UTF-8 when it came in")
    }

    pub(crate) fn value(&self, value: Val) -> model::ValueRef<'_> {
        use model::ValueRef;
        match value {
            Val::Empty => ValueRef::Empty,
            Val::Str(text) => ValueRef::Str(self.str(text)),
            Val::Bool(flag) => ValueRef::Bool(flag),
            Val::Int(int) => ValueRef::Int(int),
            Val::Double(double) => ValueRef::Double(double),
            Val::Bytes(text) => ValueRef::Bytes(self.bytes(text)),
            Val::Array(text) => ValueRef::Array(self.bytes(text)),
            Val::KvList(text) => ValueRef::KvList(self.bytes(text)),
        }
    }
}

/// The encoding of resources, scopes, metrics and points inside blocks and chunks.
pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data always encodes into memory")
}

/// The same, behind what is there already.
pub(crate) fn encode_onto<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    *out = postcard::to_extend(value, std::mem::take(out))
        .expect("plain data always encodes into memory");
}

/// How long the encoding is.
pub(crate) fn encoded_bytes<T: serde::Serialize + ?Sized>(value: &T) -> usize {
    let size = postcard::ser_flavors::Size::default();
    postcard::serialize_with_flavor(value, size).expect("plain data always has a size")
}

/// Reads the exemplars of a point, which are nothing where there are none; none where they are
/// damaged.
pub(crate) fn decode_exemplars(bytes: &[u8]) -> Vec<Exemplar> {
    if bytes.is_empty() {
        Vec::new()
    } else {
        postcard::from_bytes(bytes).unwrap_or_default()
    }
}

/// Reads an encoded point value; [`PointValue::Empty`] where it is damaged.
pub(crate) fn decode_point_value(bytes: &[u8]) -> PointValue {
    postcard::from_bytes(bytes).unwrap_or(PointValue::Empty)
}
