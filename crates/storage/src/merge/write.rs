//! Writes one file of several.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use env::{Env, File};
use model::Signal;

use super::MergeError;
use crate::block::BlockReader;
use crate::chunk::{Chunk, Chunks, KeyNumbers};
use crate::fields_table::{self, FieldsTable};
use crate::flush::FlushError;
use crate::idtable::{self, GONE, IdTable};
use crate::index::BlockTerms;
use crate::layout::{BlockTable, RowRef};
use crate::order::{cut, is_heavy, ordered};
use crate::partition::{BlockFile, BlocksWriter, FileId, UNFINISHED, split_terms, write_whole};
use crate::points::{self, POINTS_PER_ROW, file::PointFile};
use crate::terms::Collector;
use crate::whole::if_whole;

/// What is to be merged, and within which bounds.
pub(crate) struct Task<'a> {
    pub env: &'a Env,
    /// The partition's folder.
    pub dir: &'a Path,
    pub signal: Signal,
    /// Files that lie side by side, in the order of their flushes.
    pub files: &'a [Arc<BlockFile>],
    /// Rows of a full block.
    pub block_rows: usize,
    /// Blocks of fewer rows are put in order and written anew; others are copied.
    pub small_rows: usize,
    /// Memory that rows may take while they are put in order.
    pub memory_bytes: usize,
    /// Asked between two blocks.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
}

/// A merged file that is written and does not count yet.
pub(crate) struct Written {
    pub id: FileId,
    /// For the index: terms that blocks share that were written anew.
    pub shared: Vec<BlockTerms>,
    /// Rows that were put in order, and not copied in their blocks.
    pub ordered_rows: u64,
}

/// Writes the merged file under a name that does not count, and the files beside it.
pub(crate) fn write(task: &Task<'_>) -> Result<Written, MergeError> {
    let ids: Vec<FileId> = task.files.iter().map(|file| file.id).collect();
    let id = FileId::merged(&ids).ok_or(MergeError::NoName)?;
    if task.signal == Signal::Metrics {
        return write_points(task, id);
    }
    let path = id.path(task.dir, UNFINISHED);
    let mut merge = Merge {
        writer: BlocksWriter::create_merged(task.env, &path, task.signal, id.number())?,
        task,
        pairs: Vec::new(),
        listed: Vec::new(),
        counted: Vec::new(),
        ordered_rows: 0,
    };
    let places = merge.blocks()?;
    merge.finish(id, &places)
}

/// The same for points, which are merged by series.
fn write_points(task: &Task<'_>, id: FileId) -> Result<Written, MergeError> {
    let path_of = |extension: &str| match extension {
        "blocks" => id.path(task.dir, UNFINISHED),
        extension => id.path(task.dir, extension),
    };
    let mut into = PointFile::create(task.env, path_of, task.block_rows * POINTS_PER_ROW)?;
    // Chunks and terms are taken from what is mapped.
    let is_whole = || task.files.iter().all(|file| file.is_whole());
    let written = if_whole(is_whole, || -> Result<(), MergeError> {
        let places = points::merge::merge(task.files, task.go_on, &mut into)?;
        Ok(into.finish(|terms| places.write_terms(task.files, terms))?)
    });
    written.ok_or_else(|| MergeError::not_whole(task.files))??;
    task.env.files.sync_dir(task.dir)?;
    let file = BlockFile::open_unfinished(task.env, task.dir, task.signal, id);
    let file = file.map_err(FlushError::File)?;
    let (read, written) = (task.files.iter().map(|file| file.rows()).sum(), file.rows());
    if read != written {
        return Err(MergeError::Rows { read, written });
    }
    Ok(Written {
        id,
        shared: Vec::new(),
        ordered_rows: 0,
    })
}

/// Rows that wait to be put in order.
#[derive(Default)]
struct Gathered {
    chunks: Vec<Arc<Chunk>>,
    bytes: usize,
}

/// A file that is merged. Its blocks are read and not mapped: a page that was looked at through the
/// mapping would stay with the process until the file is gone, and a merge looks at all of them.
pub(crate) struct Part<'a> {
    pub file: &'a BlockFile,
    bytes: Box<dyn File>,
}

impl<'a> Part<'a> {
    pub(crate) fn open(env: &Env, dir: &Path, file: &'a BlockFile) -> Result<Self, MergeError> {
        let bytes = env.files.open(&file.id.path(dir, "blocks"));
        let bytes = bytes.map_err(|error| MergeError::unread(file.id, error))?;
        Ok(Self { file, bytes })
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, ordinal: usize) -> Result<Bytes, MergeError> {
        let meta = &self.file.blocks[ordinal];
        let mut bytes = vec![0; meta.length as usize];
        let read = self.bytes.read_exact_at(&mut bytes, meta.offset);
        let unread = |error| MergeError::unread(self.file.id, error).of_block(ordinal);
        read.map_err(unread)?;
        Ok(bytes.into())
    }
}

struct Merge<'a> {
    task: &'a Task<'a>,
    writer: BlocksWriter,
    /// Terms of blocks that were written anew.
    pairs: Vec<(u64, u32)>,
    /// Tables of fields of files that have one.
    listed: Vec<&'a FieldsTable>,
    /// And of rows that were put in order and had none.
    counted: Vec<FieldsTable>,
    ordered_rows: u64,
}

impl Merge<'_> {
    /// Writes all blocks; returns for each file where its blocks are now.
    fn blocks(&mut self) -> Result<Vec<Vec<u32>>, MergeError> {
        let files = self.task.files;
        let tabled: Vec<bool> = files.iter().map(|file| has_tables(file)).collect();
        let is_small = |rows: u32| (rows as usize) < self.task.small_rows;
        let small = files.iter().zip(&tabled).filter(|(_, tabled)| **tabled);
        let small = small.flat_map(|(file, _)| &file.blocks);
        // One alone stays as it is: there is nothing to join it with.
        let join = small.filter(|block| is_small(block.rows)).count() > 1;
        let mut places = Vec::with_capacity(files.len());
        let (mut small, mut untabled) = (Gathered::default(), Gathered::default());
        for (file, tabled) in files.iter().zip(tabled) {
            let part = Part::open(self.task.env, self.task.dir, file)?;
            let mut of_file = vec![GONE; file.blocks.len()];
            for (ordinal, place) in of_file.iter_mut().enumerate() {
                if !(self.task.go_on)() {
                    return Err(MergeError::Cancelled);
                }
                if !tabled {
                    self.gather(&part, ordinal, &mut untabled, true)?;
                } else if !join
                    || !is_small(file.blocks[ordinal].rows)
                    || !self.gather(&part, ordinal, &mut small, false)?
                {
                    *place = self.copy(&part, ordinal)?;
                }
            }
            self.listed.extend(file.fields().filter(|_| tabled));
            places.push(of_file);
        }
        self.write_ordered(&mut small, false)?;
        self.write_ordered(&mut untabled, true)?;
        Ok(places)
    }

    /// Copies a block that is sound.
    fn copy(&mut self, part: &Part<'_>, ordinal: usize) -> Result<u32, MergeError> {
        let (file, bytes) = (part.file, part.block(ordinal)?);
        let reader = BlockReader::open(bytes.clone());
        let sound = reader.and_then(|reader| reader.verify().map(|()| reader.rows()));
        let rows = sound.map_err(|error| damaged(file, ordinal, &error))?;
        let meta = file.blocks[ordinal];
        if rows != meta.rows {
            return Err(damaged(file, ordinal, &OTHER_ROWS));
        }
        Ok(self
            .writer
            .write_block(&bytes, meta, file.origin(ordinal))?)
    }

    /// Adds the rows of a block to those that wait, and writes them where they are too many. False for
    /// a block whose few rows are as much as others hold in many: unless the table of fields is to be
    /// made of them, too, it stays as it is.
    fn gather(
        &mut self,
        part: &Part<'_>,
        ordinal: usize,
        gathered: &mut Gathered,
        count_fields: bool,
    ) -> Result<bool, MergeError> {
        let (file, bytes) = (part.file, part.block(ordinal)?);
        let table = BlockTable::open(self.task.signal, bytes, Arc::default());
        let chunk = table.and_then(|table| table.thaw());
        let chunk = chunk.map_err(|error| damaged(file, ordinal, &error))?;
        if chunk.rows() != file.blocks[ordinal].rows as usize {
            return Err(damaged(file, ordinal, &OTHER_ROWS));
        }
        let chunk = Arc::new(chunk);
        if !count_fields && is_heavy(self.task.signal, &chunk) {
            return Ok(false);
        }
        gathered.bytes += chunk.heap_bytes();
        gathered.chunks.push(chunk);
        if gathered.bytes >= self.task.memory_bytes {
            self.write_ordered(gathered, count_fields)?;
        }
        Ok(true)
    }

    /// Writes the rows that wait as full blocks. The values of their fields are counted where no
    /// table has them.
    fn write_ordered(
        &mut self,
        gathered: &mut Gathered,
        count_fields: bool,
    ) -> Result<(), MergeError> {
        let Gathered { chunks: list, .. } = std::mem::take(gathered);
        let keys = &KeyNumbers::of(&list);
        let chunks = Chunks { list: &list, keys };
        let rows = list.iter().enumerate().flat_map(|(index, chunk)| {
            (0..chunk.rows()).map(move |row| RowRef {
                chunk: u32::try_from(index).expect("a file has far fewer than 2^32 blocks"),
                row: u32::try_from(row).expect("a block has fewer than 2^32 rows"),
            })
        });
        let rows = ordered(self.task.signal, chunks, rows.collect());
        let mut collector = Collector::new();
        for rows in cut(self.task.signal, chunks, &rows, self.task.block_rows) {
            if !(self.task.go_on)() {
                return Err(MergeError::Cancelled);
            }
            let ordinal = self.writer.write_rows(chunks, rows, &mut collector)?;
            let terms = collector.take_terms().into_iter();
            self.pairs.extend(terms.map(|term| (term, ordinal)));
            self.ordered_rows += rows.len() as u64;
        }
        if count_fields && !rows.is_empty() {
            let table = FieldsTable::open(collector.fields().into());
            let table = table.map_err(|error| FlushError::Io(std::io::Error::other(error)))?;
            self.counted.push(table);
        }
        Ok(())
    }

    /// Writes what goes beside the blocks, and makes all of it durable.
    fn finish(self, id: FileId, places: &[Vec<u32>]) -> Result<Written, MergeError> {
        let Task {
            env, dir, files, ..
        } = self.task;
        let (mut single, shared) = split_terms(self.pairs, id.number());
        let unreadable = |error| FlushError::Io(std::io::Error::other(error));
        let written = IdTable::open(idtable::build(&mut single).into()).map_err(unreadable)?;
        let own: Vec<u32> = (0..).take(self.writer.blocks()).collect();
        let copied = |places: &[u32]| places.iter().any(|place| *place != GONE);
        let tables = files.iter().zip(places);
        let mut tables: Vec<(&IdTable, &[u32])> = tables
            .filter(|(_, places)| copied(places))
            .filter_map(|(file, places)| Some((file.ids()?, places.as_slice())))
            .collect();
        tables.push((&written, &own));
        let ids = idtable::merge(&tables).map_err(unreadable)?;
        write_whole(env, &id.path(dir, "ids"), &ids)?;
        let tables: Vec<&FieldsTable> = self.listed.into_iter().chain(&self.counted).collect();
        let fields = fields_table::merge(&tables)
            .map_err(|error| FlushError::Io(std::io::Error::other(error)))?;
        write_whole(env, &id.path(dir, "fields"), &fields)?;
        self.writer.finish(!shared.is_empty())?;
        env.files.sync_dir(dir)?;
        let file = BlockFile::open_unfinished(env, dir, self.task.signal, id);
        let file = file.map_err(FlushError::File)?;
        let read = files.iter().map(|file| file.rows()).sum();
        if file.rows() != read {
            let written = file.rows();
            return Err(MergeError::Rows { read, written });
        }
        Ok(Written {
            id,
            shared,
            ordered_rows: self.ordered_rows,
        })
    }
}

/// Whether the tables beside the blocks are there and sound. Blocks of a file without them are
/// read to make them anew.
fn has_tables(file: &BlockFile) -> bool {
    let ids = file.ids();
    let count = file.blocks.len();
    let sound = ids.is_some_and(|ids| {
        ids.pairs()
            .all(|pair| pair.is_ok_and(|(_, ordinal)| (ordinal as usize) < count))
    });
    let fields = file.fields();
    sound
        && fields.is_some_and(|fields| {
            fields
                .fields()
                .iter()
                .all(|field| fields.listed(field).is_ok())
        })
}

const OTHER_ROWS: &str = "a block has not as many rows as it should";

fn damaged(file: &BlockFile, ordinal: usize, reason: &dyn ToString) -> MergeError {
    MergeError::Damaged {
        file: file.id,
        block: Some(ordinal),
        reason: reason.to_string(),
    }
}
