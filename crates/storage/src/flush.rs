//! From a sealed head to files: rows by day, cut into blocks; writes blocks, id tables,
//! field tables and index.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use env::Env;
use model::{Signal, Tenant};

use crate::chunk::{Chunk, Chunks, KeyNumbers};
use crate::idtable;
use crate::index::{BlockTerms, IndexError};
use crate::layout::RowRef;
use crate::order::{cut, ordered};
use crate::partition::{
    BlocksWriter, FileEntry, FileError, FileId, OpenFiles, Partition, PartitionKey, split_terms,
    write_whole,
};
use crate::points::{self, KnownSeries, head::PointHead};
use crate::terms::Collector;

/// How much of the work for a row is done once it is in a block, by how long it takes in a flush of spans.
const BLOCK_STEPS: u64 = 6;
/// Once the tables beside the blocks are written, and once the index has its terms.
const TABLE_STEPS: u64 = 1;
const INDEX_STEPS: u64 = 1;
/// All work for a row or point.
pub(crate) const ROW_STEPS: u64 = BLOCK_STEPS + TABLE_STEPS + INDEX_STEPS;

/// Partitions of a tenant and signal that one flush writes at most.
pub(crate) const DAYS_MAX: usize = 32;

/// What is in memory and not in files yet.
#[derive(Clone, Default)]
pub(crate) struct Heads {
    /// Chunks of spans and log records.
    pub rows: BTreeMap<(Tenant, Signal), Vec<Arc<Chunk>>>,
    /// Points of metrics.
    pub points: BTreeMap<Tenant, Arc<PointHead>>,
}

impl Heads {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.points.values().all(|head| head.rows() == 0)
    }

    /// Rows and points.
    pub(crate) fn count(&self) -> u64 {
        let rows = self.rows.values().flatten();
        let rows: u64 = rows.map(|chunk| chunk.rows() as u64).sum();
        rows + self.points.values().map(|head| head.rows()).sum::<u64>()
    }

    /// Those that follow when these are sealed. Points go on with the series that are there,
    /// where these are active, mostly.
    pub(crate) fn following(&self, known: &KnownSeries) -> Self {
        let used = self.points.iter().filter(|(_, head)| head.rows() > 0);
        let points = used.filter_map(|(tenant, head)| {
            let active = known.find(tenant).map_or(0, |known| known.count());
            let series = head.series();
            let follows = !series.is_stale(active);
            let next = || PointHead::with_series(Arc::clone(series));
            follows.then(|| (tenant.clone(), Arc::new(next())))
        });
        Self {
            rows: BTreeMap::new(),
            points: points.collect(),
        }
    }
}

/// Why a flush stopped. What it wrote does not count; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Block(#[from] crate::block::BlockError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl FlushError {
    /// Whether there was no room on the disk.
    pub(crate) fn is_storage_full(&self) -> bool {
        let system = match self {
            Self::Io(error) | Self::File(FileError::Io(error)) => Some(error),
            Self::Index(error) => error.system(),
            Self::Block(_) | Self::File(FileError::Damaged(_)) => None,
        };
        let is_full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        system.is_some_and(|error| is_full(error.kind()))
    }
}

/// Writes the heads as flush `flush` and returns the partitions that changed, with the new files
/// in them. Nothing counts until the checkpoint says so. `done` is told of steps of the work,
/// [`ROW_STEPS`] for each row and point.
pub(crate) fn flush(
    open: &Arc<OpenFiles>,
    root: &Path,
    flush: u64,
    block_rows: usize,
    heads: &Heads,
    partitions: &BTreeMap<PartitionKey, Arc<Partition>>,
    done: &dyn Fn(u64),
) -> Result<Vec<Arc<Partition>>, FlushError> {
    let env = &open.env;
    let mut changed = Vec::new();
    for (tenant, head) in &heads.points {
        points::flush(
            open,
            root,
            flush,
            block_rows,
            (tenant, head),
            partitions,
            &mut changed,
        )?;
        done(head.rows() * ROW_STEPS);
    }
    for ((tenant, signal), list) in &heads.rows {
        let keys = &KeyNumbers::of(list);
        let chunks = Chunks { list, keys };
        for (day, rows) in by_day(list) {
            let key = PartitionKey {
                tenant: tenant.clone(),
                signal: *signal,
                resolution: None,
                day,
            };
            let dir = key.dir(root);
            let known = partitions.get(&key);
            // The folder of one without files may be there and not last: a process may have ended
            // when it had just made it.
            if known.is_none_or(|known| known.files.is_empty()) {
                env.files.create_dir_all(&dir)?;
            }
            let rows = ordered(*signal, chunks, rows);
            let files = NewFiles {
                env,
                dir: &dir,
                id: FileId::flush(flush),
                signal: *signal,
                block_rows,
                done,
            };
            let shared = files.write(chunks, &rows)?;
            let mut partition = known.map_or_else(
                || Partition::new(open, root, key),
                |known| (**known).clone(),
            );
            let file = FileEntry::look(&partition.home, FileId::flush(flush))?;
            if !file.indexed_files.is_empty() {
                add_to_index(flush, &mut partition, &shared)?;
            }
            done(rows.len() as u64 * INDEX_STEPS);
            partition.files.push(Arc::new(file));
            partition.added_unix_nano = env.clock.unix_nanos();
            changed.push(Arc::new(partition));
        }
    }
    Ok(changed)
}

/// Adds the blocks of this flush to the partition's index.
fn add_to_index(
    flush: u64,
    partition: &mut Partition,
    blocks: &[BlockTerms],
) -> Result<(), FlushError> {
    let needed = partition.files.iter().flat_map(|file| &file.indexed_files);
    let before = needed.copied().filter(|file| FileId::is_flush(*file)).max();
    let index = partition.index();
    Ok(index.add(|index| index.add_flush(flush, before, blocks))?)
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
            days.entry(chunk.day(row)).or_default().push(at);
        }
    }
    let counts = days.iter().map(|(day, rows)| (*day, rows.len() as u64));
    let together = together(&counts.collect());
    if let Some(latest) = together.last() {
        let rows = together.iter().filter_map(|day| days.remove(day)).flatten();
        let rows = rows.collect();
        days.insert(*latest, rows);
    }
    days
}

/// The days that go together, in order: none where there are few enough.
pub(crate) fn together(rows_of: &BTreeMap<u32, u64>) -> Vec<u32> {
    if rows_of.len() <= DAYS_MAX {
        return Vec::new();
    }
    let mut by_rows: Vec<(u64, u32)> = rows_of.iter().map(|(day, rows)| (*rows, *day)).collect();
    by_rows.sort_unstable();
    by_rows.truncate(rows_of.len() + 1 - DAYS_MAX);
    let mut rare: Vec<u32> = by_rows.into_iter().map(|(_, day)| day).collect();
    rare.sort_unstable();
    rare
}

/// The three files of a flush in one partition.
struct NewFiles<'f> {
    env: &'f Env,
    dir: &'f Path,
    id: FileId,
    signal: Signal,
    block_rows: usize,
    done: &'f dyn Fn(u64),
}

impl NewFiles<'_> {
    /// Writes them, and returns the terms for the index.
    fn write(&self, chunks: Chunks<'_>, rows: &[RowRef]) -> Result<Vec<BlockTerms>, FlushError> {
        let (env, dir, id) = (self.env, self.dir, self.id);
        let mut writer = BlocksWriter::create(env, &id.path(dir, "blocks"), self.signal)?;
        let mut pairs: Vec<(u64, u32)> = Vec::new();
        let mut collector = Collector::new();
        for rows in cut(self.signal, chunks, rows, self.block_rows) {
            let ordinal = writer.write_rows(chunks, rows, &mut collector)?;
            let terms = collector.take_terms().into_iter();
            pairs.extend(terms.map(|term| (term, ordinal)));
            (self.done)(rows.len() as u64 * BLOCK_STEPS);
        }
        writer.finish(true)?;
        // What the collector has counted is let go of before the terms are put in order.
        write_whole(env, &id.path(dir, "fields"), &collector.fields())?;
        let (mut single, shared) = split_terms(pairs, id.number());
        write_whole(env, &id.path(dir, "ids"), &idtable::build(&mut single))?;
        env.files.sync_dir(dir)?;
        (self.done)(rows.len() as u64 * TABLE_STEPS);
        Ok(shared)
    }
}
