//! The points of one tenant that are not in files yet: a buffer for each series.
//!
//! The commit thread alone adds points, in the order in which requests are committed. Readers see
//! what is there at the moment at which they look; once a head is sealed nothing is added.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimeRange;
use model::metric::PointValue;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::block::{CHUNK_ROWS_MAX, PointWriter};
use super::index::IndexBuilder;
use super::select::{Selector, TermSource};
use super::{PointValues, Points, SeriesEntry, Starts};
use crate::block::BlockError;
use crate::chunk::{Chunk, PointRow, PointVal, decode_point_value, encode_onto};
use crate::partition::day_of;

/// A buffer begins with room for so many points.
const FIRST_POINTS: usize = 4;
/// Beyond this many buffers grow by half.
const LARGE_POINTS: usize = 32;

/// What the words of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Int,
    Double,
    /// Where the encoded value lies in the arena: offset in the upper half, length in the lower.
    Any,
}

/// What few points have.
#[derive(Debug, Default)]
struct Rare {
    empty: Vec<u32>,
    flags: Vec<(u32, u32)>,
    exemplars: Vec<(u32, Box<[u8]>)>,
    /// Encoded values.
    arena: Vec<u8>,
    /// What the members take but for the arena.
    bytes: usize,
}

/// The points of one series in the order in which they came.
#[derive(Debug)]
struct Buffer {
    entry: Arc<SeriesEntry>,
    /// Time and value of each.
    points: Vec<(u64, u64)>,
    form: Form,
    /// By time.
    sorted: bool,
    starts: Starts,
    rare: Option<Box<Rare>>,
}

fn index32(row: usize) -> u32 {
    u32::try_from(row).expect("a head is sealed long before 2^32 points")
}

impl Buffer {
    fn new(entry: Arc<SeriesEntry>) -> Self {
        Self {
            entry,
            points: Vec::new(),
            form: Form::Int,
            sorted: true,
            starts: Starts::Same(0),
            rare: None,
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Makes room for one more point.
    fn reserve(&mut self) {
        if self.points.len() == self.points.capacity() {
            let more = match self.points.capacity() {
                0 => FIRST_POINTS,
                small if small < LARGE_POINTS => small,
                large => large / 2,
            };
            self.points.reserve_exact(more);
        }
    }

    fn push(&mut self, chunk: &Chunk, point: &PointRow) {
        self.reserve();
        let rows = self.points.len();
        let row = index32(rows);
        if let Some((last, _)) = self.points.last()
            && point.time < *last
        {
            self.sorted = false;
        }
        self.starts.push(rows, point.start);
        let word = self.word(chunk, point.value, rows);
        self.points.push((point.time, word));
        if point.flags != 0 {
            let rare = self.rare();
            rare.flags.push((row, point.flags));
            rare.bytes += size_of::<(u32, u32)>();
        }
        if point.exemplars.length > 0 {
            let exemplars: Box<[u8]> = chunk.bytes(point.exemplars).into();
            let rare = self.rare();
            rare.bytes += exemplars.len() + 2 * size_of::<(u32, Box<[u8]>)>();
            rare.exemplars.push((row, exemplars));
        }
    }

    #[allow(clippy::cast_sign_loss)]
    fn word(&mut self, chunk: &Chunk, value: PointVal, rows: usize) -> u64 {
        match (value, self.form) {
            (PointVal::Int(int), Form::Int) => int as u64,
            (PointVal::Double(double), Form::Double) => double.to_bits(),
            (PointVal::Double(double), Form::Int) if rows == 0 => {
                self.form = Form::Double;
                double.to_bits()
            }
            (PointVal::Encoded(text), form) => {
                let encoded = chunk.bytes(text);
                let empty =
                    form != Form::Any && matches!(decode_point_value(encoded), PointValue::Empty);
                if empty {
                    let rare = self.rare();
                    rare.empty.push(index32(rows));
                    rare.bytes += size_of::<u32>();
                    return self.points.last().map_or(0, |(_, word)| *word);
                }
                self.become_any();
                self.arena(|arena| arena.extend_from_slice(encoded))
            }
            (value, _) => {
                let value = match value {
                    PointVal::Int(int) => PointValue::Int(int),
                    PointVal::Double(double) => PointValue::Double(double),
                    PointVal::Encoded(_) => unreachable!("handled above"),
                };
                self.become_any();
                self.arena(|arena| encode_onto(&value, arena))
            }
        }
    }

    /// Adds to the arena and says where.
    fn arena(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let arena = &mut self.rare().arena;
        let offset = arena.len();
        write(arena);
        let length = arena.len() - offset;
        u64::from(index32(offset)) << 32 | u64::from(index32(length))
    }

    /// Encodes all values.
    fn become_any(&mut self) {
        if self.form == Form::Any {
            return;
        }
        for row in 0..self.points.len() {
            let value = self.value(row);
            self.points[row].1 = self.arena(|arena| encode_onto(&value, arena));
        }
        self.form = Form::Any;
        if let Some(rare) = &mut self.rare {
            rare.empty.clear();
        }
    }

    #[allow(clippy::cast_possible_wrap)]
    fn value(&self, row: usize) -> PointValue {
        let word = self.points[row].1;
        let rare = self.rare.as_deref();
        let is_empty = |rare: &Rare| rare.empty.binary_search(&index32(row)).is_ok();
        match self.form {
            _ if rare.is_some_and(is_empty) => PointValue::Empty,
            Form::Int => PointValue::Int(word as i64),
            Form::Double => PointValue::Double(f64::from_bits(word)),
            Form::Any => {
                let (offset, length) = ((word >> 32) as usize, (word & 0xffff_ffff) as usize);
                let bytes = rare.map_or(&[][..], |rare| &rare.arena[offset..offset + length]);
                decode_point_value(bytes)
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let of = |rare: &Rare| size_of::<Rare>() + rare.bytes + rare.arena.capacity();
        let rare = self.rare.as_deref().map_or(0, of);
        self.points.capacity() * size_of::<(u64, u64)>() + self.starts.heap_bytes() + rare
    }

    /// All of its points, by time.
    #[allow(clippy::cast_possible_wrap)]
    fn points(&self) -> Points {
        let words = self.points.iter().map(|(_, word)| *word);
        let values = match self.form {
            Form::Int => PointValues::Int(words.map(|word| word as i64).collect()),
            Form::Double => PointValues::Double(words.map(f64::from_bits).collect()),
            Form::Any => {
                PointValues::Any((0..self.points.len()).map(|row| self.value(row)).collect())
            }
        };
        let mut points = Points {
            times: self.points.iter().map(|(time, _)| *time).collect(),
            starts: self.starts.clone(),
            values,
            ..Points::default()
        };
        if let Some(rare) = &self.rare {
            points.empty.clone_from(&rare.empty);
            points.flags.clone_from(&rare.flags);
            points.exemplars.clone_from(&rare.exemplars);
        }
        points.sort();
        points
    }

    /// Its points in a range of time, by time.
    fn points_in(&self, range: TimeRange) -> Points {
        let inside = |row: &(u64, u64)| range.contains(row.0);
        match (self.points.first(), self.points.last()) {
            (Some(first), Some(last)) if self.sorted && inside(first) && inside(last) => {
                self.points()
            }
            _ => {
                let points = self.points();
                let first = points.times.partition_point(|time| *time < range.start);
                let end = points.times.partition_point(|time| *time < range.end);
                points.slice(first..end.max(first))
            }
        }
    }
}

/// The points of one tenant in memory.
#[derive(Default)]
pub(crate) struct PointHead(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    buffers: Vec<Buffer>,
    by_id: FxHashMap<u128, u32>,
    index: IndexBuilder,
    rows: u64,
    bytes: usize,
    times: Option<(u64, u64)>,
    /// Points by day.
    days: BTreeMap<u32, u64>,
}

impl std::fmt::Debug for PointHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PointHead")
            .field("rows", &self.rows())
            .finish()
    }
}

/// About what a series takes in a head beside its points and its terms.
const SERIES_BYTES: usize = size_of::<Buffer>() + size_of::<(u128, u32)>() + 8;

impl PointHead {
    /// Adds the points of a chunk, and returns by how many bytes it has grown.
    pub(crate) fn append(&self, chunk: &Chunk) -> usize {
        let mut guard = self.0.write();
        let inner = &mut *guard;
        let mut slots: Vec<Option<u32>> = vec![None; chunk.series.len()];
        let before = inner.bytes;
        // Points of one day follow one another, mostly.
        let mut run = (0, 0);
        for point in &chunk.points {
            let place = point.series as usize;
            let slot = match slots[place] {
                Some(slot) => slot,
                None => *slots[place].insert(inner.slot(&chunk.series[place])),
            };
            let buffer = &mut inner.buffers[slot as usize];
            let bytes = buffer.heap_bytes();
            buffer.push(chunk, point);
            inner.bytes += buffer.heap_bytes().saturating_sub(bytes);
            let day = day_of(point.time);
            if day != run.0 {
                inner.add_day(run);
                run = (day, 0);
            }
            run.1 += 1;
        }
        inner.add_day(run);
        inner.rows += chunk.points.len() as u64;
        if !chunk.points.is_empty() {
            let (min, max) = inner.times.unwrap_or((u64::MAX, 0));
            inner.times = Some((min.min(chunk.min_time), max.max(chunk.max_time)));
        }
        inner.bytes - before
    }

    pub(crate) fn rows(&self) -> u64 {
        self.0.read().rows
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.read().bytes
    }

    /// Smallest and largest time.
    pub(crate) fn times(&self) -> (u64, u64) {
        self.0.read().times.unwrap_or((u64::MAX, 0))
    }

    /// Points by day.
    pub(crate) fn days(&self) -> BTreeMap<u32, u64> {
        self.0.read().days.clone()
    }

    /// Looks at the terms of its series.
    pub(crate) fn terms<T>(&self, look: impl FnOnce(&dyn TermSource) -> T) -> T {
        look(&self.0.read().index)
    }

    /// Calls `each` with every series that may match and its points in the range, if any. Without
    /// `points` these are left empty. Stops with the first error.
    pub(crate) fn read<E>(
        &self,
        selector: &Selector,
        range: TimeRange,
        points: bool,
        mut each: impl FnMut(&Arc<SeriesEntry>, Points) -> Result<(), E>,
    ) -> Result<(), E> {
        /// Series that are read while writers wait.
        const AT_ONCE: usize = 256;
        let selected: Vec<u32> = self.terms(|terms| selector.series(terms)).iter().collect();
        for part in selected.chunks(AT_ONCE) {
            let mut found = Vec::with_capacity(part.len());
            {
                let inner = self.0.read();
                for slot in part {
                    let buffer = &inner.buffers[*slot as usize];
                    let inside = || buffer.points.iter().any(|(time, _)| range.contains(*time));
                    if points {
                        let points = buffer.points_in(range);
                        if !points.is_empty() {
                            found.push((Arc::clone(&buffer.entry), points));
                        }
                    } else if inside() {
                        found.push((Arc::clone(&buffer.entry), Points::default()));
                    }
                }
            }
            for (entry, points) in found {
                each(&entry, points)?;
            }
        }
        Ok(())
    }

    /// All series in the order of files.
    pub(crate) fn ordered(&self) -> Vec<(Arc<SeriesEntry>, u32)> {
        let inner = self.0.read();
        let mut list: Vec<(Arc<SeriesEntry>, u32)> = (0..)
            .zip(&inner.buffers)
            .map(|(slot, buffer)| (Arc::clone(&buffer.entry), slot))
            .collect();
        list.sort_unstable_by(|(one, _), (other, _)| one.order().cmp(&other.order()));
        list
    }

    /// All points of a series by its place among them, by time.
    pub(crate) fn points_of(&self, slot: u32) -> Points {
        self.0.read().buffers[slot as usize].points()
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
        let inner = self.0.read();
        let mut writer = PointWriter::default();
        for buffer in &inner.buffers {
            let mut times: Vec<u64> = buffer.points.iter().map(|(time, _)| *time).collect();
            times.sort_unstable();
            writer.series(&buffer.entry);
            for times in times.chunks(CHUNK_ROWS_MAX) {
                writer.points(&Points {
                    times: times.to_vec(),
                    values: PointValues::Int(vec![0; times.len()]),
                    ..Points::default()
                });
            }
        }
        writer.finish()
    }
}

impl Inner {
    fn add_day(&mut self, (day, points): (u32, u64)) {
        if points > 0 {
            *self.days.entry(day).or_default() += points;
        }
    }

    /// The place of a series, which is added if it is new.
    fn slot(&mut self, entry: &Arc<SeriesEntry>) -> u32 {
        if let Some(slot) = self.by_id.get(&entry.id) {
            return *slot;
        }
        let slot = index32(self.buffers.len());
        let terms = self.index.heap_bytes();
        self.index.add(entry);
        self.buffers.push(Buffer::new(Arc::clone(entry)));
        self.by_id.insert(entry.id, slot);
        self.bytes += SERIES_BYTES + entry.bytes + self.index.heap_bytes() - terms;
        slot
    }
}

#[cfg(test)]
mod tests;
