//! Writes a file of points: its blocks, its series index and its table of field values.
//!
//! Series come in the order of [`SeriesEntry::order`], the points of each by time. They are cut
//! into chunks, chunks go into blocks, and the points of a series are split between blocks only
//! where one would have more rows than it may.

use std::ops::Range;
use std::path::PathBuf;

use env::{Env, File};
use model::Signal;

use super::block::{CHUNK_ROWS_MAX, PointWriter};
use super::index::IndexWriter;
use super::reduce::Held;
use super::{PointValues, Points, SeriesEntry, fields};
use crate::chunk::members;
use crate::fields_table::FieldsTableBuilder;
use crate::flush::FlushError;
use crate::partition::{BlockMeta, directory, write_whole};

/// A chunk has about so many counts, bounds and quantiles at most.
const CHUNK_MEMBERS_MAX: usize = 1 << 18;

/// And about so many bytes of exemplars: what is larger decoded than a column may be cannot be read.
const CHUNK_EXEMPLAR_BYTES_MAX: usize = 16 << 20;

/// A file of points that is being written.
pub(crate) struct PointFile<'e> {
    env: &'e Env,
    file: Box<dyn File>,
    /// The path of each file by its extension.
    path_of: Box<dyn Fn(&str) -> PathBuf + 'e>,
    block_rows: usize,
    block: PointWriter,
    metas: Vec<BlockMeta>,
    offset: u64,
    /// The series of each block.
    series: Vec<Range<u32>>,
    /// The first series of the block at hand.
    first: u32,
    /// Series so far.
    count: u32,
    fields: FieldsTableBuilder,
}

impl<'e> PointFile<'e> {
    /// Creates the file; a block has about `block_rows` points.
    pub(crate) fn create(
        env: &'e Env,
        path_of: impl Fn(&str) -> PathBuf + 'e,
        block_rows: usize,
    ) -> Result<Self, FlushError> {
        let file = env.files.create(&path_of("blocks"))?;
        Ok(Self {
            env,
            file,
            path_of: Box::new(path_of),
            block_rows: block_rows.max(1),
            block: PointWriter::default(),
            metas: Vec::new(),
            offset: 0,
            series: Vec::new(),
            first: 0,
            count: 0,
            fields: FieldsTableBuilder::new(),
        })
    }

    /// Begins the next series, of so many points, and returns its place in the file.
    pub(crate) fn series(&mut self, entry: &SeriesEntry, points: u64) -> Result<u32, FlushError> {
        if self.block.is_full(self.block_rows) || self.block.is_full_of_series() {
            self.end_block()?;
            self.first = self.count;
        }
        let place = self.count;
        self.count += 1;
        fields::count(&mut self.fields, entry, points);
        self.block.series(entry);
        Ok(place)
    }

    /// Adds points of the series that was begun last, by time.
    pub(crate) fn points(
        &mut self,
        entry: &SeriesEntry,
        points: &Points,
    ) -> Result<(), FlushError> {
        let mut first = 0;
        while first < points.len() {
            self.room(entry)?;
            let rows = chunk_rows(points, first);
            if rows == points.len() {
                self.block.points(points);
            } else {
                self.block.points(&points.slice(first..first + rows));
            }
            first += rows;
        }
        Ok(())
    }

    /// Adds what is kept of the series that was begun last. Columns of its buckets, which are read
    /// together, stay in one block: they are short.
    pub(crate) fn held(
        &mut self,
        entry: &SeriesEntry,
        held: Held,
        points: &Points,
    ) -> Result<(), FlushError> {
        let mut first = 0;
        while first < points.len() {
            if held == Held::Sent {
                self.room(entry)?;
            }
            let rows = chunk_rows(points, first);
            self.block.held(held, &points.slice(first..first + rows));
            first += rows;
        }
        Ok(())
    }

    /// Adds a chunk of the series that was begun last as it is.
    pub(crate) fn encoded(
        &mut self,
        entry: &SeriesEntry,
        times: &[u64],
        chunk: &[u8],
    ) -> Result<(), FlushError> {
        self.room(entry)?;
        self.block.encoded(times, chunk);
        Ok(())
    }

    /// Makes room for a chunk of the series that was begun last: the series goes on in the next
    /// block where this one is full.
    fn room(&mut self, entry: &SeriesEntry) -> Result<(), FlushError> {
        if self.block.is_full(self.block_rows) {
            self.end_block()?;
            self.first = self.count - 1;
            self.block.series(entry);
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), FlushError> {
        let block = std::mem::take(&mut self.block);
        if block.rows() == 0 {
            return Ok(());
        }
        let (min_time, max_time) = block.times();
        let rows = u32::try_from(block.rows()).expect("a block is full long before that");
        let bytes = block.finish()?;
        self.file.write_vectored_at(&[&bytes], self.offset)?;
        let meta = BlockMeta {
            offset: self.offset,
            length: u32::try_from(bytes.len())
                .map_err(|_| std::io::Error::other("a block of more than 4 GiB"))?,
            rows,
            min_time,
            max_time,
            max_end: max_time,
        };
        self.offset += u64::from(meta.length);
        self.metas.push(meta);
        self.series.push(self.first..self.count);
        Ok(())
    }

    /// Writes the rest, and makes all of it durable but for the names of the files. The terms of
    /// all series come from `terms`.
    pub(crate) fn finish(mut self, terms: impl FnOnce(&mut IndexWriter)) -> Result<(), FlushError> {
        self.end_block()?;
        let directory = directory(Signal::Metrics, &self.metas, None);
        self.file.write_vectored_at(&[&directory], self.offset)?;
        self.file.sync_data()?;
        let mut index = IndexWriter::default();
        terms(&mut index);
        let index = index.finish(self.count, &self.series);
        write_whole(self.env, &(self.path_of)("series"), &index)?;
        write_whole(self.env, &(self.path_of)("fields"), &self.fields.finish())?;
        Ok(())
    }
}

/// How many of these points go into the chunk that begins with the first of them: one at least.
fn chunk_rows(points: &Points, first: usize) -> usize {
    let most = CHUNK_ROWS_MAX.min(points.len() - first);
    let PointValues::Any(list) = &points.values else {
        return rows_of_exemplars(points, first, most);
    };
    let (mut sum, mut rows) = (0, 0);
    for value in &list[first..first + most] {
        sum += members(value);
        if sum > CHUNK_MEMBERS_MAX && rows > 0 {
            break;
        }
        rows += 1;
    }
    rows_of_exemplars(points, first, rows)
}

/// How many of so many rows have no more exemplars than a chunk may have.
fn rows_of_exemplars(points: &Points, first: usize, rows: usize) -> usize {
    let from = points
        .exemplars
        .partition_point(|(row, _)| (*row as usize) < first);
    let mut bytes = 0;
    for (row, exemplars) in &points.exemplars[from..] {
        let before = *row as usize - first;
        bytes += exemplars.len();
        if before >= rows {
            break;
        }
        if bytes > CHUNK_EXEMPLAR_BYTES_MAX && before > 0 {
            return before;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use model::metric::{Histogram, PointValue};

    use super::*;

    fn rows(points: &Points) -> Vec<usize> {
        let mut list = Vec::new();
        let mut first = 0;
        while first < points.len() {
            list.push(chunk_rows(points, first));
            first += list[list.len() - 1];
        }
        list
    }

    #[test]
    fn a_chunk_holds_no_more_than_can_be_read() {
        let mut points = Points {
            times: (0..1_000).collect(),
            values: PointValues::Int(vec![0; 1_000]),
            ..Points::default()
        };
        assert_eq!(rows(&points), [480, 480, 40]);
        let exemplars = |megabytes: usize| vec![0u8; megabytes << 20].into_boxed_slice();
        points.exemplars = vec![(0, exemplars(20)), (1, exemplars(7)), (5, exemplars(7))];
        points.exemplars.push((6, exemplars(7)));
        assert_eq!(rows(&points), [1, 5, 480, 480, 34]);
        let wide = Histogram {
            bucket_counts: vec![0; CHUNK_MEMBERS_MAX / 2],
            ..Histogram::default()
        };
        let points = Points {
            times: (0..3).collect(),
            values: PointValues::Any(vec![PointValue::Histogram(wide); 3]),
            ..Points::default()
        };
        assert_eq!(rows(&points).iter().sum::<usize>(), 3);
        assert!(rows(&points).len() > 1);
    }
}
