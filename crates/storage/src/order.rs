//! The order of rows in a file, and how they are cut into blocks.

mod load;

use std::cmp::Reverse;
use std::hash::Hasher;
use std::sync::Arc;

use model::Signal;
use rustc_hash::{FxHashMap, FxHasher};

use crate::chunk::{Chunk, Chunks, Span32};
use crate::layout::RowRef;

use load::Load;
pub(crate) use load::is_heavy;

/// Above this many attribute keys rows with the same keys go together: blocks would otherwise have
/// more columns than pays.
pub(crate) const KEYS_FOR_TRACE_ORDER_MAX: usize = 300;

/// The order of spans or log records in the file, which decides how well they compress and how many
/// blocks a trace lies in.
pub(crate) fn ordered(signal: Signal, chunks: Chunks<'_>, mut rows: Vec<RowRef>) -> Vec<RowRef> {
    let chunk_of = |at: &RowRef| &chunks.list[at.chunk as usize];
    let time_of = |at: &RowRef| chunk_of(at).time(at.row as usize);
    if chunks.keys.count() > KEYS_FOR_TRACE_ORDER_MAX {
        let ranks = service_ranks(chunks.list);
        let kinds = Kinds::of(signal, chunks, &rows);
        rows.sort_by_cached_key(|at| {
            let resource = resource_of(signal, chunk_of(at), at.row as usize);
            let rank = ranks[at.chunk as usize][resource as usize];
            (rank, kinds.kind(at), time_of(at))
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

fn resource_of(signal: Signal, chunk: &Chunk, row: usize) -> u32 {
    match signal {
        Signal::Traces => chunk.spans[row].resource,
        _ => chunk.logs[row].resource,
    }
}

fn attributes_of(signal: Signal, chunk: &Chunk, row: usize) -> Span32 {
    match signal {
        Signal::Traces => chunk.spans[row].attributes,
        _ => chunk.logs[row].attributes,
    }
}

/// What rows have which keys. Those with a rare key in common mostly have others in common, too: where
/// they lie side by side each key has values in few blocks, and a block has few columns.
struct Kinds<'c> {
    signal: Signal,
    chunks: Chunks<'c>,
    /// How many rows have each key, by its number.
    rows_of: Vec<u32>,
}

impl<'c> Kinds<'c> {
    fn of(signal: Signal, chunks: Chunks<'c>, rows: &[RowRef]) -> Self {
        let mut kinds = Self {
            signal,
            chunks,
            rows_of: Vec::new(),
        };
        let mut rows_of = vec![0u32; chunks.keys.count()];
        for at in rows {
            kinds.keys(at).for_each(|key| rows_of[key] += 1);
        }
        kinds.rows_of = rows_of;
        kinds
    }

    fn keys(&self, at: &RowRef) -> impl Iterator<Item = usize> {
        let (index, chunk) = (at.chunk as usize, &self.chunks.list[at.chunk as usize]);
        let attributes = attributes_of(self.signal, chunk, at.row as usize);
        let attributes = chunk.attributes[attributes.range()].iter();
        attributes.map(move |attribute| self.chunks.keys.get(index, attribute.key))
    }

    /// By the rarest key, that of the most rows first, then by all keys.
    fn kind(&self, at: &RowRef) -> (Reverse<u32>, usize, u64) {
        let (mut rows, mut rarest) = (u32::MAX, 0);
        let mut all = FxHasher::default();
        for key in self.keys(at) {
            all.write_usize(key);
            if (self.rows_of[key], key) < (rows, rarest) {
                (rows, rarest) = (self.rows_of[key], key);
            }
        }
        (Reverse(rows), rarest, all.finish())
    }
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
/// join. What would have more columns or bytes than a block may have is cut again.
pub(crate) fn cut<'r>(
    signal: Signal,
    chunks: Chunks<'r>,
    rows: &'r [RowRef],
    block_rows: usize,
) -> impl Iterator<Item = &'r [RowRef]> {
    let blocks = rows.len().div_ceil(block_rows.max(1));
    let start = move |block: usize| rows.len() * block / blocks;
    let even = (0..blocks).map(move |block| &rows[start(block)..start(block + 1)]);
    // Only once a block is asked for are its rows looked at: whoever asks does so next.
    let mut load = Load::new(signal, chunks);
    even.flat_map(move |rows| match &mut load {
        None => vec![rows],
        Some(load) => load.cut(rows),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::KeyNumbers;

    #[test]
    fn rows_are_cut_evenly_and_each_is_in_one_block() {
        for count in 0..200 {
            let row = |row| RowRef { chunk: 0, row };
            let rows: Vec<RowRef> = (0..count).map(row).collect();
            let chunks = Chunks {
                list: &[],
                keys: &KeyNumbers::default(),
            };
            let blocks: Vec<&[RowRef]> = cut(Signal::Logs, chunks, &rows, 16).collect();
            assert_eq!(blocks.concat(), rows);
            assert_eq!(blocks.len(), rows.len().div_ceil(16));
            let lengths = || blocks.iter().map(|block| block.len());
            let (least, most) = (lengths().min(), lengths().max());
            assert!(most <= Some(16));
            assert!(blocks.len() < 2 || least >= Some(8), "{count}");
        }
    }
}
