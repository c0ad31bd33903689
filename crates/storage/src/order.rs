//! The order of rows in a file, and how they are cut into blocks.

use std::sync::Arc;

use model::Signal;
use rustc_hash::FxHashMap;

use crate::block;
use crate::chunk::{Chunk, Span32, Val};
use crate::layout::{RowRef, TYPES, type_code};

/// Above this many attribute keys rows of one service go together: blocks would otherwise have
/// more columns than pays.
const KEYS_FOR_TRACE_ORDER_MAX: usize = 300;

/// Columns of attributes that a block may have: half of what it can hold.
const BLOCK_COLUMNS_MAX: usize = block::MAX_COLUMNS / 2;
/// Bytes of text that a block may have: half of what a column can hold.
const BLOCK_BYTES_MAX: usize = block::MAX_TEXT_BYTES / 2;
/// The most columns of one key: for rows, events and links, each with values of every type.
const COLUMNS_OF_KEY: usize = 3 * TYPES.len();

/// The order of spans or log records in the file, which decides how well they compress and how many
/// blocks a trace lies in.
pub(crate) fn ordered(signal: Signal, chunks: &[Arc<Chunk>], mut rows: Vec<RowRef>) -> Vec<RowRef> {
    let chunk_of = |at: &RowRef| &chunks[at.chunk as usize];
    let time_of = |at: &RowRef| chunk_of(at).time(at.row as usize);
    let mut keys: Vec<&str> = chunks.iter().flat_map(|chunk| chunk.keys.iter()).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() > KEYS_FOR_TRACE_ORDER_MAX {
        let ranks = service_ranks(chunks);
        rows.sort_by_cached_key(|at| {
            let (chunk, row) = (chunk_of(at), at.row as usize);
            let resource = match signal {
                Signal::Traces => chunk.spans[row].resource,
                _ => chunk.logs[row].resource,
            };
            let rank = ranks[at.chunk as usize][resource as usize];
            (rank, chunk.time(row))
        });
        return rows;
    }
    let trace_of = |at: &RowRef| chunk_of(at).trace_ids[at.row as usize];
    let mut first: FxHashMap<model::TraceId, u64> = FxHashMap::default();
    for at in &rows {
        let time = time_of(at);
        first
            .entry(trace_of(at))
            .and_modify(|t| *t = time.min(*t))
            .or_insert(time);
    }
    rows.sort_by_cached_key(|at| {
        let (trace, time) = (trace_of(at), time_of(at));
        let first = if trace.is_zero() { time } else { first[&trace] };
        (first, trace, time)
    });
    rows
}

/// The place of the service of each resource of each chunk among all services.
fn service_ranks(chunks: &[Arc<Chunk>]) -> Vec<Vec<usize>> {
    let services = chunks.iter().map(|chunk| {
        let resources = chunk.resources.iter();
        resources.map(|entry| entry.value.service()).collect()
    });
    let named: Vec<Vec<&str>> = services.collect();
    let mut all: Vec<&str> = named.iter().flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    let rank = |service: &&str| all.partition_point(|other| other < service);
    named
        .iter()
        .map(|services| services.iter().map(rank).collect())
        .collect()
}

/// Cuts rows into as few blocks of at most `block_rows` as there can be, all of about the same
/// length: where there are several each is about half full at least, and a merge has nothing to
/// join. What would have more columns or text than a block can have is cut again.
pub(crate) fn cut<'r>(
    signal: Signal,
    chunks: &[Arc<Chunk>],
    rows: &'r [RowRef],
    block_rows: usize,
) -> Vec<&'r [RowRef]> {
    let blocks = rows.len().div_ceil(block_rows.max(1));
    let start = |block: usize| rows.len() * block / blocks;
    let even = (0..blocks).map(|block| &rows[start(block)..start(block + 1)]);
    match Load::new(signal, chunks) {
        None => even.collect(),
        Some(mut load) => even.flat_map(|rows| load.cut(rows)).collect(),
    }
}

/// What a block is to hold so far, where rows may have more than one can hold.
struct Load<'c> {
    signal: Signal,
    chunks: &'c [Arc<Chunk>],
    /// The number of each key of each chunk among those of all chunks.
    keys: Vec<Vec<u32>>,
    /// The last block with a column, by key, level and type.
    seen: Vec<u32>,
    block: u32,
    columns: usize,
    bytes: usize,
}

impl<'c> Load<'c> {
    /// None where all rows together have less than a block can hold, as they mostly have.
    fn new(signal: Signal, chunks: &'c [Arc<Chunk>]) -> Option<Self> {
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        let mut number = |key: &'c str| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        };
        let of_chunk = |chunk: &'c Arc<Chunk>| chunk.keys.iter().map(&mut number).collect();
        let keys = chunks.iter().map(of_chunk).collect();
        let columns = numbers.len() * COLUMNS_OF_KEY;
        let bytes: usize = chunks.iter().map(|chunk| chunk.heap_bytes()).sum();
        if columns <= BLOCK_COLUMNS_MAX && bytes <= BLOCK_BYTES_MAX {
            return None;
        }
        Some(Self {
            signal,
            chunks,
            keys,
            seen: vec![0; columns],
            block: 0,
            columns: 0,
            bytes: 0,
        })
    }

    fn cut<'r>(&mut self, rows: &'r [RowRef]) -> Vec<&'r [RowRef]> {
        let mut blocks = Vec::new();
        let mut first = 0;
        self.begin();
        for (at, row) in rows.iter().enumerate() {
            self.add(*row);
            let full = self.columns > BLOCK_COLUMNS_MAX || self.bytes > BLOCK_BYTES_MAX;
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
    }

    fn add(&mut self, at: RowRef) {
        let (chunk, row) = (&self.chunks[at.chunk as usize], at.row as usize);
        let keys = at.chunk as usize;
        let (attributes, resource, own_bytes) = match self.signal {
            Signal::Traces => {
                let span = &chunk.spans[row];
                for event in &chunk.events[span.events.range()] {
                    self.attributes(chunk, keys, event.attributes, 1);
                    self.bytes += size_of_val(event) + event.name.length as usize;
                }
                for link in &chunk.links[span.links.range()] {
                    self.attributes(chunk, keys, link.attributes, 2);
                    self.bytes += size_of_val(link) + link.trace_state.length as usize;
                }
                let texts = [span.name, span.status_message, span.trace_state];
                let bytes: usize = texts.iter().map(|text| text.length as usize).sum();
                (span.attributes, span.resource, bytes)
            }
            _ => {
                let log = &chunk.logs[row];
                let texts = [log.severity_text, log.event_name];
                let bytes: usize = texts.iter().map(|text| text.length as usize).sum();
                (log.attributes, log.resource, bytes + text_bytes(log.body))
            }
        };
        self.bytes += own_bytes + chunk.resources[resource as usize].encoded.len();
        self.attributes(chunk, keys, attributes, 0);
    }

    fn attributes(&mut self, chunk: &Chunk, keys: usize, list: Span32, level: usize) {
        for attribute in &chunk.attributes[list.range()] {
            let key = self.keys[keys][attribute.key as usize] as usize;
            let kind = usize::from(type_code(attribute.value));
            let seen = &mut self.seen[key * COLUMNS_OF_KEY + level * TYPES.len() + kind];
            if std::mem::replace(seen, self.block) != self.block {
                self.columns += 1;
            }
            self.bytes += size_of_val(attribute) + text_bytes(attribute.value);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_evenly_and_each_is_in_one_block() {
        for count in 0..200 {
            let row = |row| RowRef { chunk: 0, row };
            let rows: Vec<RowRef> = (0..count).map(row).collect();
            let blocks = cut(Signal::Logs, &[], &rows, 16);
            assert_eq!(blocks.concat(), rows);
            assert_eq!(blocks.len(), rows.len().div_ceil(16));
            let lengths = || blocks.iter().map(|block| block.len());
            let (least, most) = (lengths().min(), lengths().max());
            assert!(most <= Some(16));
            assert!(blocks.len() < 2 || least >= Some(8), "{count}");
        }
    }
}
