//! What a block is to hold, where rows may have more than one should.

use std::sync::Arc;

use model::Signal;
use rustc_hash::FxHashSet;

use super::{attributes_of, resource_of};
use crate::block;
use crate::chunk::{Attr, Chunk, Chunks, KeyNumbers, Span32, Val};
use crate::layout::{RowRef, TYPES, type_code};

/// Columns of attributes that a block may have: half of what it can hold.
const COLUMNS_MAX: usize = block::MAX_COLUMNS / 2;
/// Bytes that the rows of a block may have, as they came: whoever reads it has no more in memory, but for
/// a row that is larger alone.
const BYTES_MAX: usize = 8 << 20;
/// What a row or a value of an attribute counts for beside its text.
const VALUE_BYTES: usize = 8;
/// The most columns of one key: for rows, events and links, each with values of every type.
const COLUMNS_OF_KEY: usize = 3 * TYPES.len();

/// What a block is to hold so far.
pub(super) struct Load<'c> {
    signal: Signal,
    chunks: Chunks<'c>,
    /// The last block with a column, by key, level and type; empty where all columns together are few
    /// enough.
    seen: Vec<u32>,
    /// The resources of the block so far, by their hashes, and the last of them.
    resources: FxHashSet<u64>,
    resource: Option<u64>,
    block: u32,
    columns: usize,
    bytes: usize,
}

/// Whether the rows of a block have at least half of the bytes that one may have: it is not joined with
/// others, however few they are.
pub(crate) fn is_heavy(signal: Signal, chunk: &Arc<Chunk>) -> bool {
    let list = std::slice::from_ref(chunk);
    let keys = &KeyNumbers::default();
    let mut load = Load::of(signal, Chunks { list, keys }, 0);
    let rows = (0..).take(chunk.rows()).map(|row| RowRef { chunk: 0, row });
    rows.for_each(|row| load.add(row));
    load.bytes >= BYTES_MAX / 2
}

impl<'c> Load<'c> {
    /// None where all rows together have less than a block may have.
    pub(super) fn new(signal: Signal, chunks: Chunks<'c>) -> Option<Self> {
        let columns = chunks.keys.count() * COLUMNS_OF_KEY;
        let heap = chunks.list.iter().map(|chunk| chunk.heap_bytes());
        if columns <= COLUMNS_MAX && heap.sum::<usize>() <= BYTES_MAX {
            return None;
        }
        let counted = if columns > COLUMNS_MAX { columns } else { 0 };
        Some(Self::of(signal, chunks, counted))
    }

    fn of(signal: Signal, chunks: Chunks<'c>, columns: usize) -> Self {
        Self {
            signal,
            chunks,
            seen: vec![0; columns],
            resources: FxHashSet::default(),
            resource: None,
            block: 0,
            columns: 0,
            bytes: 0,
        }
    }

    pub(super) fn cut<'r>(&mut self, rows: &'r [RowRef]) -> Vec<&'r [RowRef]> {
        let mut blocks = Vec::new();
        let mut first = 0;
        self.begin();
        for (at, row) in rows.iter().enumerate() {
            self.add(*row);
            let full = self.columns > COLUMNS_MAX || self.bytes > BYTES_MAX;
            if full && at > first {
                blocks.push(&rows[first..at]);
                first = at;
                self.begin();
                self.add(*row);
            }
        }
        blocks.push(&rows[first..]);
        blocks
    }

    fn begin(&mut self) {
        self.block += 1;
        self.columns = 0;
        self.bytes = 0;
        self.resources.clear();
        self.resource = None;
    }

    fn add(&mut self, at: RowRef) {
        let (chunk, row) = (&self.chunks.list[at.chunk as usize], at.row as usize);
        let from = at.chunk as usize;
        self.bytes += VALUE_BYTES;
        match self.signal {
            Signal::Traces => {
                let span = &chunk.spans[row];
                for event in &chunk.events[span.events.range()] {
                    self.attributes(chunk, from, event.attributes, 1);
                    self.bytes += VALUE_BYTES + event.name.length as usize;
                }
                for link in &chunk.links[span.links.range()] {
                    self.attributes(chunk, from, link.attributes, 2);
                    self.bytes += size_of_val(link) + link.trace_state.length as usize;
                }
                let texts = [span.name, span.status_message, span.trace_state];
                self.bytes += texts.map(|text| text.length as usize).iter().sum::<usize>();
            }
            _ => {
                let log = &chunk.logs[row];
                let texts = [log.severity_text, log.event_name];
                self.bytes += texts.map(|text| text.length as usize).iter().sum::<usize>();
                self.bytes += text_bytes(log.body);
            }
        }
        self.attributes(chunk, from, attributes_of(self.signal, chunk, row), 0);
        let resource = &chunk.resources[resource_of(self.signal, chunk, row) as usize];
        if self.resource != Some(resource.hash) {
            self.resource = Some(resource.hash);
            if self.resources.insert(resource.hash) {
                self.bytes += resource.encoded.len();
            }
        }
    }

    fn attributes(&mut self, chunk: &Chunk, from: usize, list: Span32, level: usize) {
        let list = &chunk.attributes[list.range()];
        for attribute in list {
            self.bytes += VALUE_BYTES + text_bytes(attribute.value);
        }
        if !self.seen.is_empty() {
            self.columns(from, list, level);
        }
    }

    fn columns(&mut self, from: usize, list: &[Attr], level: usize) {
        for attribute in list {
            let key = self.chunks.keys.get(from, attribute.key);
            let kind = usize::from(type_code(attribute.value));
            let seen = &mut self.seen[key * COLUMNS_OF_KEY + level * TYPES.len() + kind];
            if std::mem::replace(seen, self.block) != self.block {
                self.columns += 1;
            }
        }
    }
}

fn text_bytes(value: Val) -> usize {
    match value {
        Val::Str(text) | Val::Bytes(text) | Val::Array(text) | Val::KvList(text) => {
            text.length as usize
        }
        _ => 0,
    }
}
