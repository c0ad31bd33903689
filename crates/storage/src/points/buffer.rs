//! The points of one series in a head.

use std::sync::Arc;

use model::TimeRange;
use model::metric::PointValue;

use super::head::HeadPoints;
use super::{HistogramLists, PointValues, Points, Starts};
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
    /// Points that are filed under another day than their own, and that.
    elsewhere: Vec<(u32, u32)>,
    /// Encoded values.
    arena: Vec<u8>,
    /// What the members take but for the arena.
    bytes: usize,
}

/// The points of one series in the order in which they came.
#[derive(Debug)]
pub(super) struct Buffer {
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

impl Default for Buffer {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            form: Form::Int,
            sorted: true,
            starts: Starts::Same(0),
            rare: None,
        }
    }
}

impl Buffer {
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The times of its points, as they came.
    pub(super) fn times(&self) -> impl Iterator<Item = u64> + '_ {
        self.points.iter().map(|(time, _)| *time)
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

    /// Adds a point that is filed under this day.
    pub(super) fn push(&mut self, chunk: &Chunk, point: &PointRow, day: u32) {
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
        if day != day_of(point.time) {
            let rare = self.rare();
            rare.elsewhere.push((row, day));
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

    pub(super) fn heap_bytes(&self) -> usize {
        let of = |rare: &Rare| size_of::<Rare>() + rare.bytes + rare.arena.capacity();
        let rare = self.rare.as_deref().map_or(0, of);
        self.points.capacity() * size_of::<(u64, u64)>() + self.starts.heap_bytes() + rare
    }

    /// All of its points, by time.
    pub(super) fn points(&self) -> Points {
        let mut points = self.unsorted();
        points.sort();
        points
    }

    /// Those of its points that are filed under these days, which are in order, by time.
    pub(super) fn points_of_days(&self, days: &[u32]) -> Points {
        let elsewhere = self.rare.as_deref().map_or(&[][..], |rare| &rare.elsewhere);
        if elsewhere.is_empty() {
            return of_days(&self.points(), days);
        }
        let all = self.unsorted();
        let mut points = Points::default();
        for (row, time) in all.times.iter().enumerate() {
            let at = elsewhere.binary_search_by_key(&row, |(row, _)| *row as usize);
            let day = at.map_or_else(|_| day_of(*time), |at| elsewhere[at].1);
            if days.binary_search(&day).is_ok() {
                points.append(&all.slice(row..row + 1));
            }
        }
        points.sort();
        points
    }

    /// All of its points as they came.
    #[allow(clippy::cast_possible_wrap)]
    fn unsorted(&self) -> Points {
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
        points
    }

    /// Its points by column, if all are numbers, or histograms of one kind, by time and
    /// without anything that few points have. `last` are the times of the series before.
    #[allow(clippy::cast_possible_wrap, clippy::cast_precision_loss)]
    pub(super) fn columns(&self, last: &mut Arc<Vec<u64>>) -> Option<HeadPoints> {
        let rare = self.rare.as_deref();
        let is_plain = |rare: &Rare| rare.flags.is_empty() && rare.empty.is_empty();
        if !self.sorted || self.is_empty() || !rare.is_none_or(is_plain) {
            return None;
        }
        let words = self.points.iter().map(|(_, word)| *word);
        let values: Vec<f64> = match self.form {
            Form::Int => words.map(|word| word as i64 as f64).collect(),
            Form::Double => words.map(f64::from_bits).collect(),
            Form::Any => {
                let histograms = self.histograms(rare?)?;
                let times = self.shared_times(last);
                return Some(HeadPoints::Histograms(times, Box::new(histograms)));
            }
        };
        Some(HeadPoints::Numbers(self.shared_times(last), values))
    }

    /// The list of its times, which mostly is that of the series before.
    fn shared_times(&self, last: &mut Arc<Vec<u64>>) -> Arc<Vec<u64>> {
        if !self.times().eq(last.iter().copied()) {
            *last = Arc::new(self.times().collect());
        }
        Arc::clone(last)
    }

    fn histograms(&self, rare: &Rare) -> Option<HistogramLists> {
        HistogramLists::of_encoded(self.points.iter().map(|(_, word)| {
            let (offset, length) = ((word >> 32) as usize, (word & 0xffff_ffff) as usize);
            &rare.arena[offset..offset + length]
        }))
    }

    /// Its points in a range of time, by time.
    pub(super) fn points_in(&self, range: TimeRange) -> Points {
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

/// The points of these days, by time.
fn of_days(points: &Points, days: &[u32]) -> Points {
    let mut found = Points::default();
    let mut first = 0;
    while first < points.len() {
        let day = day_of(points.times[first]);
        let end = points.times.partition_point(|time| day_of(*time) <= day);
        if days.binary_search(&day).is_ok() {
            found.append(&points.slice(first..end));
        }
        first = end;
    }
    found
}
