//! The order of rows in a file, and how they are cut into blocks.

use std::sync::Arc;

use model::Signal;
use rustc_hash::FxHashMap;

use crate::chunk::Chunk;
use crate::layout::RowRef;

/// Above this many attribute keys rows of one service go together: blocks would otherwise have
/// more columns than pays.
const KEYS_FOR_TRACE_ORDER_MAX: usize = 300;

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
/// join.
pub(crate) fn cut(rows: &[RowRef], block_rows: usize) -> impl Iterator<Item = &[RowRef]> {
    let blocks = rows.len().div_ceil(block_rows.max(1));
    let start = move |block: usize| rows.len() * block / blocks;
    (0..blocks).map(move |block| &rows[start(block)..start(block + 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_evenly_and_each_is_in_one_block() {
        for count in 0..200 {
            let row = |row| RowRef { chunk: 0, row };
            let rows: Vec<RowRef> = (0..count).map(row).collect();
            let blocks: Vec<&[RowRef]> = cut(&rows, 16).collect();
            assert_eq!(blocks.concat(), rows);
            assert_eq!(blocks.len(), rows.len().div_ceil(16));
            let lengths = || blocks.iter().map(|block| block.len());
            let (least, most) = (lengths().min(), lengths().max());
            assert!(most <= Some(16));
            assert!(blocks.len() < 2 || least >= Some(8), "{count}");
        }
    }
}
