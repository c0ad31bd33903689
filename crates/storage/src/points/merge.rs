//! Makes one file of points out of several.
//!
//! Series of all files come in one order, so the files are read side by side, a block of each at a
//! time. Chunks that are full are copied as they are; smaller ones of a series become larger ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::block::{CHUNK_ROWS_MAX, ChunkPlace, Parts, PointBlock};
use super::file::PointFile;
use super::index::{IndexBuilder, IndexWriter};
use super::reduce::reduce;
use super::table::ABSENT;
use super::{Points, SeriesEntry};
use crate::block::BlockReader;
use crate::flush::FlushError;
use crate::merge::MergeError;
use crate::partition::{BlockFile, FileError};
use crate::table::Damage;

/// A chunk with so many points is not worth being made larger.
const FULL_ROWS: usize = CHUNK_ROWS_MAX * 3 / 4;

/// A file that is read from its first series to its last.
struct Source<'f> {
    file: &'f BlockFile,
    lost: Lost<'f>,
    /// The block after the one at hand.
    next: usize,
    block: Option<Arc<PointBlock>>,
    /// The series at hand, in the block.
    series: u32,
    /// Where the series so far are in the new file.
    places: Vec<u32>,
}

/// Who is told of what does not read and is passed over; an error where nobody is.
pub(crate) type Lost<'f> = Option<&'f dyn Fn(&MergeError)>;

/// What was read, or nothing where it is damaged and passed over.
pub(crate) fn unless_lost<T>(
    read: Result<T, MergeError>,
    lost: Lost<'_>,
) -> Result<Option<T>, MergeError> {
    match (read, lost) {
        (Err(error @ MergeError::Damaged { .. }), Some(lost)) => {
            lost(&error);
            Ok(None)
        }
        (read, _) => read.map(Some),
    }
}

/// A chunk of a block.
struct Chunk<'f> {
    file: &'f BlockFile,
    block: Arc<PointBlock>,
    place: ChunkPlace,
}

impl Chunk<'_> {
    fn times(&self) -> Result<&Arc<Vec<u64>>, MergeError> {
        self.read(self.block.times(&self.place))
    }

    fn points(&self) -> Result<Points, MergeError> {
        self.read(self.block.points(&self.place))
    }

    fn read<T>(&self, read: Result<T, Damage>) -> Result<T, MergeError> {
        read.map_err(|damage| damaged(self.file, &damage))
    }
}

impl<'f> Source<'f> {
    fn open(file: &'f BlockFile, parts: &Parts, lost: Lost<'f>) -> Result<Self, MergeError> {
        let mut source = Self {
            file,
            lost,
            next: 0,
            block: None,
            series: 0,
            places: Vec::new(),
        };
        source.next_block(parts)?;
        Ok(source)
    }

    fn next_block(&mut self, parts: &Parts) -> Result<(), MergeError> {
        self.block = None;
        self.series = 0;
        while self.block.is_none() && self.next < self.file.blocks.len() {
            let block = open_block(self.file, self.next, parts);
            self.block = unless_lost(block, self.lost)?.map(Arc::new);
            self.next += 1;
        }
        Ok(())
    }

    /// The series at hand; none at the end.
    fn entry(&self) -> Option<&Arc<SeriesEntry>> {
        self.block.as_ref()?.series.get(self.series as usize)
    }

    /// Takes the chunks of the series at hand, also where it goes on in the next block; the series
    /// will have this place.
    fn take(
        &mut self,
        parts: &Parts,
        place: u32,
        chunks: &mut Vec<Chunk<'f>>,
    ) -> Result<(), MergeError> {
        let Some(id) = self.entry().map(|entry| entry.id) else {
            return Ok(());
        };
        self.places.push(place);
        while self.entry().is_some_and(|entry| entry.id == id) {
            if let Some(block) = &self.block {
                let own = block.chunks_of(self.series).iter();
                chunks.extend(own.map(|place| Chunk {
                    file: self.file,
                    block: Arc::clone(block),
                    place: *place,
                }));
            }
            self.series += 1;
            while self.block.is_some() && self.entry().is_none() {
                self.next_block(parts)?;
            }
        }
        Ok(())
    }
}

fn open_block(file: &BlockFile, ordinal: usize, parts: &Parts) -> Result<PointBlock, MergeError> {
    let bytes = file.sound_block(ordinal);
    let bytes = bytes.map_err(|error| unread(file, error).of_block(ordinal))?;
    let failed = |damage: Damage| damaged(file, &damage).of_block(ordinal);
    let reader = BlockReader::open(bytes);
    let reader = reader.map_err(|error| failed(Damage(error.to_string())))?;
    PointBlock::open(&reader, parts, None).map_err(failed)
}

/// A source by the series at hand, the smallest first; of one series, the earlier file first.
struct Waiting {
    entry: Arc<SeriesEntry>,
    source: usize,
}

impl Waiting {
    fn key(&self) -> ((&str, [&[u8]; 4]), usize) {
        (self.entry.order(), self.source)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Of a block that does not read.
fn unread(file: &BlockFile, error: FileError) -> MergeError {
    match error {
        FileError::Io(error) => MergeError::unread(file.id, error),
        FileError::Damaged(reason) => damaged(file, &Damage(reason)),
    }
}

fn damaged(file: &BlockFile, damage: &Damage) -> MergeError {
    MergeError::Damaged {
        file: file.id,
        block: None,
        reason: damage.0.clone(),
    }
}

/// Where the series of each merged file are in the new one, and the terms of those of files that
/// have no index of them.
pub(crate) struct Places {
    of_files: Vec<Vec<u32>>,
    /// Of all series, where any file has no index that agrees with it.
    built: Option<IndexBuilder>,
}

impl Places {
    /// Writes the terms of all series of these files, which were merged.
    pub(crate) fn write_terms(&self, files: &[Arc<BlockFile>], into: &mut IndexWriter) {
        if let Some(built) = &self.built {
            return built.write(into);
        }
        let indexes = files.iter().filter_map(|file| file.series());
        let places = self.of_files.iter().map(Vec::as_slice);
        into.merge(&indexes.zip(places).collect::<Vec<_>>());
    }
}

/// Writes all points of some files, in the order of their flushes, to one. Whether to go on is
/// asked now and then.
pub(crate) fn merge(
    files: &[Arc<BlockFile>],
    go_on: &dyn Fn() -> bool,
    into: &mut PointFile<'_>,
) -> Result<Places, MergeError> {
    each_series(files, None, go_on, &mut |entry, chunks| {
        one_series(entry, chunks, into)?;
        Ok(true)
    })
}

/// Writes what is kept of all points of some files in buckets of these lengths, to a file for each.
/// What does not read is passed over where somebody is told.
pub(crate) fn downsample(
    files: &[Arc<BlockFile>],
    lost: Lost<'_>,
    go_on: &dyn Fn() -> bool,
    into: &mut [(u64, PointFile<'_>)],
) -> Result<Places, MergeError> {
    each_series(files, lost, go_on, &mut |entry, chunks| {
        let mut points = Points::default();
        for chunk in chunks {
            if let Some(read) = unless_lost(chunk.points(), lost)? {
                points.append(&read);
            }
        }
        points.sort();
        let mut written = false;
        for (resolution, file) in into.iter_mut() {
            let temporality = entry.metric.value.temporality;
            let kept = reduce(&points, temporality, *resolution);
            if kept.is_empty() {
                continue;
            }
            written = true;
            let rows = kept.iter().map(|(_, list)| list.len() as u64).sum();
            file.series(entry, rows)?;
            for (held, list) in &kept {
                file.held(entry, *held, list)?;
            }
        }
        Ok(written)
    })
}

/// Takes a series and all of its chunks, and says whether the series goes on in the new file.
type Each<'a> = dyn FnMut(&Arc<SeriesEntry>, &[Chunk<'_>]) -> Result<bool, MergeError> + 'a;

fn each_series(
    files: &[Arc<BlockFile>],
    lost: Lost<'_>,
    go_on: &dyn Fn() -> bool,
    each: &mut Each<'_>,
) -> Result<Places, MergeError> {
    /// Series between two looks at whether to go on.
    const SERIES_BETWEEN_LOOKS: usize = 256;
    let parts = Parts::default();
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        sources.push(Source::open(file, &parts, lost)?);
    }
    let waiting = |sources: &[Source<'_>], source: usize| {
        let entry = sources[source].entry().map(Arc::clone)?;
        Some(Reverse(Waiting { entry, source }))
    };
    let mut heap: BinaryHeap<Reverse<Waiting>> = (0..sources.len())
        .filter_map(|at| waiting(&sources, at))
        .collect();
    // An index has the series of what is passed over, too.
    let indexed = lost.is_none() && files.iter().all(|file| file.series().is_some());
    let mut built = (!indexed).then(IndexBuilder::default);
    let mut count = 0;
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    let mut holding: Vec<usize> = Vec::new();
    let mut looks = (0..SERIES_BETWEEN_LOOKS).cycle();
    while let Some(Reverse(first)) = heap.pop() {
        if looks.next() == Some(0) && !go_on() {
            return Err(MergeError::Cancelled);
        }
        chunks.clear();
        holding.clear();
        let mut at = Some(first.source);
        while let Some(source) = at {
            sources[source].take(&parts, count, &mut chunks)?;
            holding.push(source);
            heap.extend(waiting(&sources, source));
            let same = |next: &Reverse<Waiting>| next.0.entry.id == first.entry.id;
            at = match heap.peek().is_some_and(same) {
                true => heap.pop().map(|next| next.0.source),
                false => None,
            };
        }
        if each(&first.entry, &chunks)? {
            if let Some(built) = &mut built {
                built.add(&first.entry);
            }
            count += 1;
        } else {
            for source in &holding {
                let place = sources[*source].places.last_mut();
                *place.expect("it was just taken") = ABSENT;
            }
        }
    }
    let of_files = sources.into_iter().map(|source| source.places).collect();
    Ok(Places { of_files, built })
}

/// Writes all chunks of a series.
fn one_series(
    entry: &SeriesEntry,
    chunks: &[Chunk<'_>],
    into: &mut PointFile<'_>,
) -> Result<(), MergeError> {
    let mut ranges = Vec::with_capacity(chunks.len());
    let mut rows = 0;
    for (number, chunk) in chunks.iter().enumerate() {
        let times = chunk.times()?;
        ranges.push((times[0], times[times.len() - 1], number));
        rows += times.len() as u64;
    }
    let stored = ranges.clone();
    ranges.sort_unstable();
    into.series(entry, rows)?;
    let apart = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
    if !apart {
        // Of one time the last that was stored counts, so they stay in that order.
        ranges = stored;
    }
    let mut pending = Points::default();
    for (_, _, number) in ranges {
        let chunk = &chunks[number];
        let times = chunk.times()?;
        if apart && times.len() >= FULL_ROWS {
            write(entry, &mut pending, into)?;
            into.encoded(entry, times, chunk.block.bytes(&chunk.place))?;
        } else {
            pending.append(&chunk.points()?);
        }
    }
    pending.sort();
    write(entry, &mut pending, into)?;
    Ok(())
}

fn write(
    entry: &SeriesEntry,
    pending: &mut Points,
    into: &mut PointFile<'_>,
) -> Result<(), FlushError> {
    if !pending.is_empty() {
        into.points(entry, pending)?;
        *pending = Points::default();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
