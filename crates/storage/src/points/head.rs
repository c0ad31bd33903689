//! The points of one tenant that are not in files yet: a buffer for each series.
//!
//! The commit thread alone adds points, in the order in which requests are committed. Readers see
//! what is there at the moment at which they look; once a head is sealed nothing is added. Which
//! series there are, a head shares with those before and after it: see [`super::table`].

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Metric, TimeRange};
use parking_lot::RwLock;

use super::block::{CHUNK_ROWS_MAX, PointWriter};
use super::buffer::Buffer;
use super::select::TermSource;
#[cfg(test)]
use super::select::{Selector, WhileWanted};
use super::table::HeadSeries;
use super::{Entry, HistogramLists, PointValues, Points, SeriesEntry};
use crate::block::BlockError;
use crate::chunk::Chunk;
use crate::partition::day_of;

/// A head may take so much for each of its series that the heads before it had too, beyond what
/// heads may take else: what is flushed with a few points of each series costs more than it holds.
const SERIES_ALLOWANCE: usize = 320;

/// Series that are read while writers wait.
const AT_ONCE: usize = 256;

/// By how much a head has grown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    /// In bytes.
    pub bytes: usize,
    /// What it may take for its series, in bytes.
    pub allowance: usize,
}

impl Growth {
    /// Whether a head that has grown so much is full, where heads may have so many bytes.
    pub(crate) fn is_full(&self, head_bytes: usize) -> bool {
        self.bytes >= head_bytes.max(self.allowance)
    }
}

impl std::ops::AddAssign for Growth {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.allowance += more.allowance;
    }
}

/// Points of a series that are read.
pub(crate) enum HeadPoints {
    Points(Box<Points>),
    /// Numbers and their times.
    Numbers(Arc<Vec<u64>>, Vec<f64>),
    /// Explicit histograms and their times.
    Histograms(Arc<Vec<u64>>, Box<HistogramLists>),
}

/// The points of one tenant in memory.
#[derive(Default)]
pub(crate) struct PointHead {
    series: Arc<HeadSeries>,
    /// Series that were there when the head began.
    before: u32,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the place of the series in the table.
    buffers: Vec<Buffer>,
    rows: u64,
    bytes: usize,
    times: Option<(u64, u64)>,
    /// Points by the day under which they are filed.
    days: BTreeMap<u32, u64>,
}

impl std::fmt::Debug for PointHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PointHead")
            .field("rows", &self.rows())
            .finish()
    }
}

impl PointHead {
    /// The head that follows others with these series.
    pub(crate) fn with_series(series: Arc<HeadSeries>) -> Self {
        Self {
            before: series.count(),
            series,
            inner: RwLock::default(),
        }
    }

    /// The series that the next head may begin with.
    pub(crate) fn series(&self) -> &Arc<HeadSeries> {
        &self.series
    }

    /// Adds the points of a chunk, and returns by how much it has grown.
    pub(crate) fn append(&self, chunk: &Chunk) -> Growth {
        let (slots, bytes) = self.series.slots(chunk.series.iter());
        let mut growth = Growth {
            bytes,
            allowance: 0,
        };
        let mut guard = self.inner.write();
        let inner = &mut *guard;
        // Points of one day follow one another, mostly.
        let mut run = (0, 0);
        for (row, point) in chunk.points.iter().enumerate() {
            let slot = slots[point.series as usize];
            let room = inner.room(slot);
            let buffer = &mut inner.buffers[slot as usize];
            if buffer.is_empty() && slot < self.before {
                growth.allowance += SERIES_ALLOWANCE;
            }
            let bytes = buffer.heap_bytes();
            let day = match chunk.ahead.is_empty() {
                true => day_of(point.time),
                false => chunk.day(row),
            };
            buffer.push(chunk, point, day);
            growth.bytes += room + buffer.heap_bytes().saturating_sub(bytes);
            if day != run.0 {
                inner.add_day(run);
                run = (day, 0);
            }
            run.1 += 1;
        }
        inner.add_day(run);
        inner.rows += chunk.points.len() as u64;
        inner.bytes += growth.bytes;
        if !chunk.points.is_empty() {
            let (min, max) = inner.times.unwrap_or((u64::MAX, 0));
            inner.times = Some((min.min(chunk.min_time), max.max(chunk.max_time)));
        }
        growth
    }

    pub(crate) fn rows(&self) -> u64 {
        self.inner.read().rows
    }

    /// What it has grown by, the series that it brought to the table included.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.inner.read().bytes
    }

    /// Smallest and largest time.
    pub(crate) fn times(&self) -> (u64, u64) {
        self.inner.read().times.unwrap_or((u64::MAX, 0))
    }

    /// Points by the day under which they are filed.
    pub(crate) fn days(&self) -> BTreeMap<u32, u64> {
        self.inner.read().days.clone()
    }

    /// Looks at the terms of its series.
    pub(crate) fn terms<T>(&self, look: impl FnOnce(&dyn TermSource) -> T) -> T {
        self.series.terms(look)
    }

    /// The series that may match, by their places, as long as they are wanted.
    #[cfg(test)]
    pub(crate) fn selected(&self, selector: &Selector, wanted: &dyn Fn() -> bool) -> Vec<u32> {
        let series = self.terms(|terms| selector.series(&WhileWanted::new(terms, wanted)));
        series.iter().collect()
    }

    /// A series by its place.
    pub(crate) fn entry(&self, slot: u32) -> Arc<SeriesEntry> {
        self.series.entry(slot)
    }

    /// Calls `each` with these series and their points in the range, if they have any; without
    /// `points` these are left empty. Of a series with `columns` all numbers come as such, and so do
    /// explicit histograms of one kind; series share lists of times. Stops with the first error.
    pub(crate) fn read<E>(
        &self,
        selected: &[u32],
        range: TimeRange,
        (points, columns): (bool, impl Fn(&SeriesEntry) -> bool),
        mut each: impl FnMut(&Arc<SeriesEntry>, HeadPoints) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut times: Arc<Vec<u64>> = Arc::default();
        for part in selected.chunks(AT_ONCE) {
            let mut found = Vec::with_capacity(part.len());
            {
                let inner = self.inner.read();
                for slot in part {
                    // A series that came since has no points yet.
                    let Some(buffer) = inner.buffers.get(*slot as usize) else {
                        continue;
                    };
                    if !points {
                        if buffer.times().any(|time| range.contains(time)) {
                            let none = HeadPoints::Points(Box::default());
                            found.push((self.series.entry(*slot), none));
                        }
                        continue;
                    }
                    let entry = self.series.entry(*slot);
                    let by_column = columns(&entry).then(|| buffer.columns(&mut times));
                    let points = by_column.flatten().or_else(|| {
                        let points = buffer.points_in(range);
                        (!points.is_empty()).then(|| HeadPoints::Points(Box::new(points)))
                    });
                    found.extend(points.map(|points| (entry, points)));
                }
            }
            for (entry, points) in found {
                each(&entry, points)?;
            }
        }
        Ok(())
    }

    /// Shows the metrics of its series, each as often as there are some of it in a row.
    pub(crate) fn each_metric(&self, mut see: impl FnMut(&Arc<Entry<Metric>>)) {
        let used: Vec<u32> = {
            let inner = self.inner.read();
            let used = (0..).zip(&inner.buffers);
            let used = used.filter(|(_, buffer)| !buffer.is_empty());
            used.map(|(slot, _)| slot).collect()
        };
        let mut last = None;
        for slot in used {
            let entry = self.series.entry(slot);
            if last.replace(entry.metric.hash) != Some(entry.metric.hash) {
                see(&entry.metric);
            }
        }
    }

    /// All series in the order of files.
    pub(crate) fn ordered(&self) -> Vec<(Arc<SeriesEntry>, u32)> {
        let inner = self.inner.read();
        let used = (0..).zip(&inner.buffers);
        let used = used.filter(|(_, buffer)| !buffer.is_empty());
        let mut list: Vec<(Arc<SeriesEntry>, u32)> = used
            .map(|(slot, _)| (self.series.entry(slot), slot))
            .collect();
        list.sort_unstable_by(|(one, _), (other, _)| one.order().cmp(&other.order()));
        list
    }

    /// All points of a series by its place among them, by time.
    pub(crate) fn points_of(&self, slot: u32) -> Points {
        self.inner.read().buffers[slot as usize].points()
    }

    /// The same of those points that are filed under these days.
    pub(crate) fn points_of_days(&self, slot: u32, days: &[u32]) -> Points {
        self.inner.read().buffers[slot as usize].points_of_days(days)
    }

    /// A block of all points.
    pub(crate) fn whole_block(&self) -> Result<Vec<u8>, BlockError> {
        let mut writer = PointWriter::default();
        for (entry, slot) in self.ordered() {
            let points = self.points_of(slot);
            writer.series(&entry);
            for first in (0..points.len()).step_by(CHUNK_ROWS_MAX) {
                let end = points.len().min(first + CHUNK_ROWS_MAX);
                writer.points(&points.slice(first..end));
            }
        }
        writer.finish()
    }

    /// A block of the series and times of all points, without their values: filters over rows
    /// look at nothing else.
    pub(crate) fn block(&self) -> Result<Vec<u8>, BlockError> {
        let mut writer = PointWriter::default();
        let slots: Vec<u32> = (0..self.series.count()).collect();
        for part in slots.chunks(AT_ONCE) {
            for (slot, mut times) in self.times_in(part) {
                times.sort_unstable();
                writer.series(&self.series.entry(slot));
                for times in times.chunks(CHUNK_ROWS_MAX) {
                    writer.points(&Points {
                        times: times.to_vec(),
                        values: PointValues::Int(vec![0; times.len()]),
                        ..Points::default()
                    });
                }
            }
        }
        writer.finish()
    }

    /// The times of these series, as far as they have points.
    pub(crate) fn times_in(&self, slots: &[u32]) -> Vec<(u32, Vec<u64>)> {
        let inner = self.inner.read();
        let of = |slot: &u32| {
            let buffer = inner.buffers.get(*slot as usize)?;
            (!buffer.is_empty()).then(|| (*slot, buffer.times().collect()))
        };
        slots.iter().filter_map(of).collect()
    }
}

impl Inner {
    fn add_day(&mut self, (day, points): (u32, u64)) {
        if points > 0 {
            *self.days.entry(day).or_default() += points;
        }
    }

    /// Makes room for the buffer of a series, and returns the bytes that it takes.
    fn room(&mut self, slot: u32) -> usize {
        let length = slot as usize + 1;
        let before = self.buffers.capacity();
        if self.buffers.len() < length {
            self.buffers.resize_with(length, Buffer::default);
        }
        (self.buffers.capacity() - before) * size_of::<Buffer>()
    }
}

#[cfg(test)]
mod tests;
