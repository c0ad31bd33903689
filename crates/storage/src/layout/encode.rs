//! Rows of chunks to the bytes of one block.

use std::sync::Arc;

use model::Signal;
use rustc_hash::FxHashMap;

use super::attributes::AttributeColumns;
use super::{EMPTY_BODY, PARENT_RAW, bodies, clock, nested, summary, type_code};
use crate::block::{BlockError, BlockWriter, Values};
use crate::chunk::{Chunk, Chunks, Corr, LogRow, Span32, Val};
use crate::filter::Level;
use crate::terms::Collector;

/// A row of one of several chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRef {
    pub chunk: u32,
    pub row: u32,
}

impl RowRef {
    pub(super) fn of(self, chunks: &[Arc<Chunk>]) -> (&Chunk, usize) {
        (&chunks[self.chunk as usize], self.row as usize)
    }
}

/// The rows, in this order, as one block. The collector is shown what they may be found by.
pub(crate) fn encode<'a>(
    signal: Signal,
    chunks: Chunks<'a>,
    rows: &[RowRef],
    terms: &mut Collector<'a>,
) -> Result<Vec<u8>, BlockError> {
    let count = u32::try_from(rows.len()).expect("blocks are cut at a few thousand rows");
    let mut writer = BlockWriter::new(count);
    match signal {
        Signal::Traces => spans(chunks, rows, &mut writer, terms),
        Signal::Logs => logs(chunks, rows, &mut writer, terms),
        // Points are written by series: see `crate::points`.
        Signal::Metrics => {}
    }
    writer.finish()
}

/// Writes a column of numbers unless all are zero, which a missing column stands for.
pub(super) fn uints(writer: &mut BlockWriter, name: &str, values: Vec<u64>) {
    if values.iter().any(|value| *value != 0) {
        writer.column(name, Values::UInt(values.into()));
    }
}

/// Writes a column of numbers unless all are zero, which a missing column stands for.
pub(super) fn ints(writer: &mut BlockWriter, name: &str, values: Vec<i64>) {
    if values.iter().any(|value| *value != 0) {
        writer.column(name, Values::Int(values.into()));
    }
}

/// Writes a column of text unless all are empty, which a missing column stands for.
pub(super) fn texts(writer: &mut BlockWriter, name: &str, values: Vec<&str>) {
    if values.iter().any(|value| !value.is_empty()) {
        writer.column(name, Values::Text(values));
    }
}

/// Things that rows share (resources, scopes, series), each written once per block.
#[derive(Default)]
pub(super) struct Shared<'a> {
    known: FxHashMap<(u32, u32), u64>,
    by_encoding: FxHashMap<&'a [u8], u64>,
    list: Vec<&'a [u8]>,
    /// Where each entry was seen first: its chunk and its index there.
    first: Vec<(u32, u32)>,
}

impl<'a> Shared<'a> {
    /// The index of an entry, known by its chunk and its index there.
    pub(super) fn index(&mut self, chunk: u32, index: u32, encoded: &'a [u8]) -> u64 {
        if let Some(index) = self.known.get(&(chunk, index)) {
            return *index;
        }
        let at = self.by_encoding(encoded);
        if at == self.first.len() as u64 {
            self.first.push((chunk, index));
        }
        self.known.insert((chunk, index), at);
        at
    }

    /// The index of an entry known by its encoding alone.
    pub(super) fn by_encoding(&mut self, encoded: &'a [u8]) -> u64 {
        let next = self.list.len() as u64;
        let at = *self.by_encoding.entry(encoded).or_insert(next);
        if at == next {
            self.list.push(encoded);
        }
        at
    }

    /// Brings the entries into the order of their encodings, so that blocks with the same entries
    /// have the same list. Returns the new index of each.
    fn sort(&mut self) -> Vec<u64> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        order.sort_unstable_by_key(|at| self.list[*at]);
        let mut places = vec![0; order.len()];
        for (place, at) in (0u64..).zip(&order) {
            places[*at] = place;
        }
        self.list = order.iter().map(|at| self.list[*at]).collect();
        self.first = order.iter().map(|at| self.first[*at]).collect();
        places
    }

    pub(super) fn write(self, name: &str, writer: &mut BlockWriter) {
        if !self.list.is_empty() {
            writer.column(name, Values::Bytes(self.list));
        }
    }
}

/// Collects the columns that spans and log records have in common.
struct Common<'a> {
    chunks: &'a [Arc<Chunk>],
    resources: Shared<'a>,
    scopes: Shared<'a>,
    resource: Vec<u64>,
    scope: Vec<u64>,
    /// When each row was: where a record has no time of its own, when it was observed.
    times: Vec<u64>,
    trace_ids: Vec<[u8; 16]>,
    dropped: Vec<u64>,
    flags: Vec<u64>,
    attributes: AttributeColumns<'a>,
    correlation: Correlation<'a>,
}

impl<'a> Common<'a> {
    fn new(chunks: Chunks<'a>) -> Self {
        Self {
            chunks: chunks.list,
            resources: Shared::default(),
            scopes: Shared::default(),
            resource: Vec::new(),
            scope: Vec::new(),
            times: Vec::new(),
            trace_ids: Vec::new(),
            dropped: Vec::new(),
            flags: Vec::new(),
            attributes: AttributeColumns::new(chunks),
            correlation: Correlation::default(),
        }
    }

    fn row(&mut self, at: RowRef, (resource, scope): (u32, u32), attributes: Span32) {
        let chunk = &*self.chunks[at.chunk as usize];
        let encoded = &chunk.resources[resource as usize].encoded;
        self.resource
            .push(self.resources.index(at.chunk, resource, encoded));
        let encoded = &chunk.scopes[scope as usize].encoded;
        self.scope.push(self.scopes.index(at.chunk, scope, encoded));
        self.times.push(chunk.time(at.row as usize));
        self.trace_ids.push(chunk.trace_ids[at.row as usize].0);
        self.attributes
            .row(at.chunk as usize, &chunk.attributes[attributes.range()]);
    }

    fn write(mut self, writer: &mut BlockWriter, terms: &mut Collector<'a>) {
        for (shared, indices) in [
            (&mut self.resources, &mut self.resource),
            (&mut self.scopes, &mut self.scope),
        ] {
            let places = shared.sort();
            for index in indices {
                *index = places[*index as usize];
            }
        }
        let mut services = Vec::with_capacity(self.resources.first.len());
        for ((chunk, index), rows) in self.resources.first.iter().zip(counts(&self.resource)) {
            let resource = &self.chunks[*chunk as usize].resources[*index as usize].value;
            services.push(resource.service());
            terms.service(resource.service(), rows);
            terms.shared(Level::Resource, &resource.attributes, rows);
        }
        if !services.is_empty() {
            writer.column("resource.service", Values::Text(services));
        }
        for ((chunk, index), rows) in self.scopes.first.iter().zip(counts(&self.scope)) {
            let scope = &self.chunks[*chunk as usize].scopes[*index as usize].value;
            terms.shared(Level::Scope, &scope.attributes, rows);
        }
        terms.trace_ids(&self.trace_ids);
        summary::encode(&self.times, &self.resource, writer);
        uints(writer, "resource", self.resource);
        uints(writer, "scope", self.scope);
        self.resources.write("resources", writer);
        self.scopes.write("scopes", writer);
        writer.column("trace_id", Values::Fixed16(self.trace_ids.into()));
        uints(writer, "attr.dropped", self.dropped);
        uints(writer, "flags", self.flags);
        self.attributes.write("attr", Level::Row, writer, terms);
        self.correlation.write(writer);
    }
}

/// How often each index comes.
#[allow(clippy::cast_possible_truncation)]
fn counts(indices: &[u64]) -> Vec<u64> {
    let mut counts = Vec::new();
    for index in indices {
        let index = *index as usize;
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        counts[index] += 1;
    }
    counts
}

/// Correlation pairs: the key, and where in the row the value stands.
#[derive(Default)]
struct Correlation<'a> {
    counts: Vec<u64>,
    keys: Vec<&'a str>,
    sources: Vec<u64>,
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    values: Vec<&'a str>,
}

impl<'a> Correlation<'a> {
    fn row(
        &mut self,
        chunk: &'a Chunk,
        pairs: Span32,
        attributes: Span32,
        body: Val,
        terms: &mut Collector<'a>,
    ) {
        self.counts.push(u64::from(pairs.count));
        for pair in &chunk.correlation[pairs.range()] {
            terms.correlation(chunk.bytes(pair.value));
            self.keys.push(chunk.str(pair.key));
            let whole = match pair.source {
                Corr::APART => Val::Empty,
                0 => body,
                source => chunk.attributes[attributes.range()][source as usize - 1].value,
            };
            match whole {
                // A slice of a text in this row: of the body, or the whole attribute.
                Val::Str(text) => {
                    let offset = if pair.source == 0 {
                        pair.value.offset - text.offset
                    } else {
                        0
                    };
                    self.sources.push(u64::from(pair.source) + 1);
                    self.offsets.push(u64::from(offset));
                    self.lengths.push(u64::from(pair.value.length));
                }
                // A member of a list: kept as it is.
                _ => {
                    self.sources.push(0);
                    self.offsets.push(0);
                    self.lengths.push(0);
                    self.values.push(chunk.str(pair.value));
                }
            }
        }
    }

    fn write(self, writer: &mut BlockWriter) {
        if self.keys.is_empty() {
            return;
        }
        uints(writer, "corr.count", self.counts);
        writer.column("corr.key", Values::Text(self.keys));
        uints(writer, "corr.source", self.sources);
        uints(writer, "corr.offset", self.offsets);
        uints(writer, "corr.length", self.lengths);
        if !self.values.is_empty() {
            writer.column("corr.value", Values::Text(self.values));
        }
    }
}

#[allow(clippy::cast_possible_wrap)]
fn spans<'a>(
    from: Chunks<'a>,
    rows: &[RowRef],
    writer: &mut BlockWriter,
    terms: &mut Collector<'a>,
) {
    let chunks = from.list;
    let mut common = Common::new(from);
    let mut time = Vec::with_capacity(rows.len());
    let mut duration = Vec::with_capacity(rows.len());
    let mut names = Vec::with_capacity(rows.len());
    let mut span_ids = Vec::with_capacity(rows.len());
    let (mut kind, mut status) = (Vec::new(), Vec::new());
    let (mut messages, mut states) = (Vec::new(), Vec::new());
    for at in rows {
        let (chunk, row) = at.of(chunks);
        let span = &chunk.spans[row];
        common.row(*at, (span.resource, span.scope), span.attributes);
        common.dropped.push(u64::from(span.dropped_attributes));
        common.flags.push(u64::from(span.flags));
        common
            .correlation
            .row(chunk, span.correlation, span.attributes, Val::Empty, terms);
        time.push(span.start);
        duration.push(span.end.wrapping_sub(span.start) as i64);
        names.push(chunk.str(span.name));
        span_ids.push(span.span_id);
        kind.push(i64::from(span.kind));
        // 0 says that no status was sent; codes are moved up by one, or down where negative.
        status.push(
            span.status
                .map_or(0, |code| i64::from(code) + i64::from(code >= 0)),
        );
        messages.push(chunk.str(span.status_message));
        states.push(chunk.str(span.trace_state));
    }
    parents(chunks, rows, &span_ids, writer);
    writer
        .column("time", Values::UInt(time.into()))
        .column("duration", Values::Int(duration.into()))
        .column("span_id", Values::Fixed8(span_ids.into()));
    let found = writer.text("name", &names);
    terms.span_names(&names, &found);
    let spans = || {
        rows.iter()
            .map(|at| &at.of(chunks).0.spans[at.row as usize])
    };
    terms.span_kinds(spans().map(|span| span.kind));
    terms.span_statuses(spans().map(|span| span.status.unwrap_or_default()));
    ints(writer, "kind", kind);
    ints(writer, "status", status);
    texts(writer, "status.message", messages);
    texts(writer, "trace_state", states);
    common.write(writer, terms);
    clock::encode(chunks, rows, writer);
    nested::encode(from, rows, writer, terms);
}

#[allow(clippy::cast_possible_wrap)]
fn parents(chunks: &[Arc<Chunk>], rows: &[RowRef], span_ids: &[[u8; 8]], writer: &mut BlockWriter) {
    let by_id: FxHashMap<[u8; 8], usize> = span_ids
        .iter()
        .enumerate()
        .map(|(row, id)| (*id, row))
        .collect();
    let mut distances = Vec::with_capacity(rows.len());
    let mut raw = Vec::new();
    for (index, at) in rows.iter().enumerate() {
        let (chunk, row) = at.of(chunks);
        let parent = chunk.spans[row].parent;
        if parent == [0; 8] {
            distances.push(0);
            continue;
        }
        match by_id.get(&parent) {
            Some(other) if *other != index => distances.push(index as i64 - *other as i64),
            _ => {
                distances.push(PARENT_RAW);
                raw.push(parent);
            }
        }
    }
    ints(writer, "parent", distances);
    if !raw.is_empty() {
        writer.column("parent.raw", Values::Fixed8(raw.into()));
    }
}

#[allow(clippy::cast_possible_wrap)]
fn logs<'a>(
    from: Chunks<'a>,
    rows: &[RowRef],
    writer: &mut BlockWriter,
    terms: &mut Collector<'a>,
) {
    let chunks = from.list;
    let mut common = Common::new(from);
    let mut time = Vec::with_capacity(rows.len());
    let mut observed = Vec::with_capacity(rows.len());
    let (mut span_ids, mut has_span) = (Vec::new(), Vec::new());
    let (mut severity, mut severity_text) = (Vec::new(), Vec::new());
    let mut event_names = Vec::new();
    let mut bodies = Bodies::default();
    for at in rows {
        let (chunk, row) = at.of(chunks);
        let log = &chunk.logs[row];
        common.row(*at, (log.resource, log.scope), log.attributes);
        common.dropped.push(u64::from(log.dropped_attributes));
        common.flags.push(u64::from(log.flags));
        common
            .correlation
            .row(chunk, log.correlation, log.attributes, log.body, terms);
        time.push(log.time);
        observed.push(log.observed.wrapping_sub(log.time) as i64);
        let has = log.span_id != [0; 8];
        has_span.push(has);
        if has {
            span_ids.push(log.span_id);
        }
        severity.push(i64::from(log.severity_number));
        severity_text.push(chunk.str(log.severity_text));
        event_names.push(chunk.str(log.event_name));
        bodies.row(chunk, log, terms);
    }
    writer
        .column("time", Values::UInt(time.into()))
        .column("observed", Values::Int(observed.into()))
        .column("span_id.present", Values::Bool(has_span.into()))
        .column("span_id", Values::Fixed8(span_ids.into()));
    let levels = severity.iter().zip(&severity_text);
    terms.severities(levels.filter_map(|(number, text)| {
        crate::table::severity(i32::try_from(*number).unwrap_or_default(), text)
    }));
    ints(writer, "severity", severity);
    texts(writer, "severity.text", severity_text);
    if event_names.iter().any(|name| !name.is_empty()) {
        let found = writer.text("event_name", &event_names);
        terms.record_event_names(&event_names, &found);
    }
    bodies.write(&common.times, writer, terms);
    common.write(writer, terms);
    clock::encode(chunks, rows, writer);
}

#[derive(Default)]
struct Bodies<'a> {
    kinds: Vec<u64>,
    text: Vec<&'a str>,
    ints: Vec<i64>,
    doubles: Vec<f64>,
    bytes: Vec<&'a [u8]>,
}

impl<'a> Bodies<'a> {
    fn row(&mut self, chunk: &'a Chunk, log: &LogRow, terms: &mut Collector<'a>) {
        let body = log.body;
        self.kinds.push(match log.has_empty_body {
            true => EMPTY_BODY,
            false => u64::from(type_code(body)),
        });
        if !matches!(body, Val::Empty | Val::Str(_)) {
            terms.nested_body(chunk.value(body));
        }
        match body {
            Val::Empty => {}
            Val::Str(text) => self.text.push(chunk.str(text)),
            Val::Int(int) => self.ints.push(int),
            Val::Bool(flag) => self.ints.push(i64::from(flag)),
            Val::Double(double) => self.doubles.push(double),
            Val::Bytes(text) | Val::Array(text) | Val::KvList(text) => {
                self.bytes.push(chunk.bytes(text));
            }
        }
    }

    fn write(self, times: &[u64], writer: &mut BlockWriter, terms: &mut Collector<'a>) {
        uints(writer, "body.kind", self.kinds);
        if !self.text.is_empty() {
            let (found, templates) = writer.templated("body", &self.text);
            terms.words(&self.text, &found);
            if let Some(templates) = templates.filter(|_| self.text.len() == times.len()) {
                bodies::encode(times, &found, &templates, writer);
            }
        }
        if !self.ints.is_empty() {
            writer.column("body.int", Values::Int(self.ints.into()));
        }
        if !self.doubles.is_empty() {
            writer.column("body.double", Values::Double(self.doubles.into()));
        }
        if !self.bytes.is_empty() {
            writer.column("body.bytes", Values::Bytes(self.bytes));
        }
    }
}
