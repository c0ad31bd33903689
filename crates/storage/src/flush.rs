//! From a sealed head to files: order the rows, cut them into blocks, write blocks, id tables,
//! field tables and index.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use env::Env;
use model::{Signal, Tenant};
use rustc_hash::FxHashMap;

use crate::chunk::Chunk;
use crate::idtable;
use crate::index::{BlockTerms, TermIndex};
use crate::layout::{self, RowRef};
use crate::partition::{
    BlockFile, BlockMeta, FileError, Partition, PartitionKey, day_of, directory, file_path,
};
use crate::terms::{Collector, truncated};

/// Above this many attribute keys in a flush, rows of one service go together: blocks would
/// otherwise have more columns than pays.
const KEYS_FOR_TRACE_ORDER_MAX: usize = 300;

/// Partitions of a tenant and signal that one flush writes at most.
pub(crate) const DAYS_MAX: usize = 32;

/// The chunks of one tenant and signal.
pub(crate) type Heads = BTreeMap<(Tenant, Signal), Vec<Arc<Chunk>>>;

/// Why a flush stopped. What it wrote does not count; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Block(#[from] crate::block::BlockError),
    #[error(transparent)]
    Index(#[from] crate::index::IndexError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writes the heads as flush `flush` and returns the partitions that changed, with the new files
/// in them. Nothing counts until the checkpoint says so.
pub(crate) fn flush(
    env: &Env,
    root: &Path,
    flush: u64,
    block_rows: usize,
    heads: &Heads,
    partitions: &BTreeMap<PartitionKey, Arc<Partition>>,
) -> Result<Vec<Arc<Partition>>, FlushError> {
    let mut changed = Vec::new();
    for ((tenant, signal), chunks) in heads {
        for (day, rows) in by_day(chunks) {
            let key = PartitionKey {
                tenant: tenant.clone(),
                signal: *signal,
                day,
            };
            let dir = key.dir(root);
            let known = partitions.get(&key);
            if known.is_none() {
                make_dir(env, root, &key)?;
            }
            let rows = ordered(*signal, chunks, rows);
            let blocks = write_files(env, &dir, flush, *signal, block_rows, chunks, &rows)?;
            let index = match known {
                _ if blocks.len() > 1 => Some(add_to_index(env, &dir, flush, known, &blocks)?),
                Some(partition) => partition.index.clone(),
                None => None,
            };
            let file = BlockFile::open(env, &dir, *signal, flush)?;
            let mut files = known.map_or_else(Vec::new, |partition| partition.files.clone());
            files.push(Arc::new(file));
            changed.push(Arc::new(Partition { key, files, index }));
        }
    }
    Ok(changed)
}

/// The partition's index with the blocks of this flush.
fn add_to_index(
    env: &Env,
    dir: &Path,
    flush: u64,
    known: Option<&Arc<Partition>>,
    blocks: &[BlockTerms],
) -> Result<Arc<TermIndex>, FlushError> {
    let index = known.and_then(|partition| partition.index.as_ref());
    let index = TermIndex::open_for_flush(env, &dir.join("index"), index)?;
    let mut files = known.iter().flat_map(|partition| partition.files.iter());
    let before = files.rfind(|file| file.blocks.len() > 1);
    let before = before.map(|file| file.flush);
    Ok(Arc::new(index.add(flush, before, blocks)?))
}

fn make_dir(env: &Env, root: &Path, key: &PartitionKey) -> std::io::Result<()> {
    let dir = key.dir(root);
    env.files.create_dir_all(&dir)?;
    // A folder is durable once each folder above it knows of it.
    let mut above = dir.as_path();
    env.files.sync_dir(above)?;
    while above != root {
        let Some(parent) = above.parent() else { break };
        env.files.sync_dir(parent)?;
        above = parent;
    }
    Ok(())
}

/// The rows of each partition. Above [`DAYS_MAX`] days the rows of those with the fewest go
/// together to the latest day among them: each partition costs files and fsyncs, and a request may
/// name thousands of days. Searching goes by the times of blocks, so they are found all the same.
fn by_day(chunks: &[Arc<Chunk>]) -> BTreeMap<u32, Vec<RowRef>> {
    let mut days: BTreeMap<u32, Vec<RowRef>> = BTreeMap::new();
    for (index, chunk) in chunks.iter().enumerate() {
        for row in 0..chunk.rows() {
            let at = RowRef {
                chunk: u32::try_from(index).expect("a head has few chunks"),
                row: u32::try_from(row).expect("a chunk has fewer than 2^32 rows"),
            };
            days.entry(day_of(chunk.time(row))).or_default().push(at);
        }
    }
    if days.len() > DAYS_MAX {
        let mut by_rows: Vec<(usize, u32)> =
            days.iter().map(|(day, rows)| (rows.len(), *day)).collect();
        by_rows.sort_unstable();
        by_rows.truncate(days.len() + 1 - DAYS_MAX);
        let mut rare: Vec<u32> = by_rows.into_iter().map(|(_, day)| day).collect();
        rare.sort_unstable();
        let rows = rare.iter().filter_map(|day| days.remove(day)).flatten();
        let rows = rows.collect();
        days.extend(rare.last().map(|latest| (*latest, rows)));
    }
    days
}

/// The order of the rows in the file, which decides how well they compress and how many blocks a
/// trace lies in.
fn ordered(signal: Signal, chunks: &[Arc<Chunk>], mut rows: Vec<RowRef>) -> Vec<RowRef> {
    let chunk_of = |at: &RowRef| &chunks[at.chunk as usize];
    let time_of = |at: &RowRef| chunk_of(at).time(at.row as usize);
    if signal == Signal::Metrics {
        let encoded = |at: &RowRef| {
            let chunk = chunk_of(at);
            let series = &chunk.series[chunk.points[at.row as usize].series as usize];
            (
                &series.series.metric.name,
                &series.resource.encoded,
                &series.scope.encoded,
                &series.metric.encoded,
                &series.attributes,
            )
        };
        rows.sort_by(|a, b| {
            encoded(a)
                .cmp(&encoded(b))
                .then(time_of(a).cmp(&time_of(b)))
        });
        return rows;
    }
    let mut keys: Vec<&str> = chunks.iter().flat_map(|chunk| chunk.keys.iter()).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() > KEYS_FOR_TRACE_ORDER_MAX {
        let service = |at: &RowRef| {
            let chunk = chunk_of(at);
            let row = at.row as usize;
            let resource = match signal {
                Signal::Traces => chunk.spans[row].resource,
                _ => chunk.logs[row].resource,
            };
            chunk.resources[resource as usize].value.service()
        };
        rows.sort_by(|a, b| service(a).cmp(service(b)).then(time_of(a).cmp(&time_of(b))));
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

/// Writes the three files of a flush in one partition, and returns the terms for the index.
fn write_files(
    env: &Env,
    dir: &Path,
    flush: u64,
    signal: Signal,
    block_rows: usize,
    chunks: &[Arc<Chunk>],
    rows: &[RowRef],
) -> Result<Vec<BlockTerms>, FlushError> {
    let path = file_path(dir, flush, "blocks");
    let file = env.files.create(&path)?;
    let mut metas = Vec::new();
    let mut pairs: Vec<(u64, u32)> = Vec::new();
    let mut collector = Collector::new();
    let mut offset = 0u64;
    for (ordinal, rows) in rows.chunks(block_rows).enumerate() {
        let bytes = layout::encode(signal, chunks, rows, &mut collector)?;
        file.write_vectored_at(&[&bytes], offset)?;
        let mut meta = BlockMeta {
            offset,
            length: u32::try_from(bytes.len()).map_err(|_| too_large())?,
            rows: u32::try_from(rows.len()).expect("blocks are cut at a few thousand rows"),
            min_time: u64::MAX,
            max_time: 0,
            max_end: 0,
        };
        for at in rows {
            let chunk = &chunks[at.chunk as usize];
            let time = chunk.time(at.row as usize);
            let end = match signal {
                Signal::Traces => chunk.spans[at.row as usize].end.max(time),
                _ => time,
            };
            meta.min_time = meta.min_time.min(time);
            meta.max_time = meta.max_time.max(time);
            meta.max_end = meta.max_end.max(end);
        }
        offset += u64::from(meta.length);
        metas.push(meta);
        let ordinal = u32::try_from(ordinal).expect("a flush has far fewer than 2^32 blocks");
        let terms = collector.take_terms().into_iter();
        pairs.extend(terms.map(|term| (term, ordinal)));
    }
    file.write_vectored_at(&[&directory(signal, &metas)], offset)?;
    file.sync_data()?;
    let (mut single, shared) = split(pairs, metas.len(), flush);
    write_whole(
        env,
        &file_path(dir, flush, "ids"),
        &idtable::build(&mut single),
    )?;
    write_whole(env, &file_path(dir, flush, "fields"), &collector.fields())?;
    env.files.sync_dir(dir)?;
    Ok(shared)
}

fn too_large() -> std::io::Error {
    std::io::Error::other("a block of more than 4 GiB")
}

fn write_whole(env: &Env, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = env.files.create(path)?;
    file.write_vectored_at(&[bytes], 0)?;
    file.sync_data()
}

/// Terms of one block alone, for the id table, and terms that blocks share, for the index.
fn split(
    mut pairs: Vec<(u64, u32)>,
    blocks: usize,
    file: u64,
) -> (Vec<(u64, u32)>, Vec<BlockTerms>) {
    pairs.sort_unstable();
    let mut shared: Vec<BlockTerms> = (0..blocks)
        .map(|ordinal| BlockTerms {
            file,
            ordinal: u32::try_from(ordinal).expect("a flush has far fewer than 2^32 blocks"),
            terms: Vec::new(),
        })
        .collect();
    let mut single = Vec::new();
    for run in pairs.chunk_by(|a, b| truncated(a.0) == truncated(b.0)) {
        if let [pair] = run {
            single.push(*pair);
            continue;
        }
        for (term, ordinal) in run {
            shared[*ordinal as usize].terms.push(truncated(*term));
        }
    }
    shared.iter_mut().for_each(|block| block.terms.dedup());
    (single, shared)
}
