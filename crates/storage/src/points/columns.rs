//! Points of one series as columns.

use std::ops::Range;

use model::DataPoint;
use model::metric::PointValue;

use crate::chunk::{decode_exemplars, encode, members};

/// When the intervals of points began.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Starts {
    /// All at this time; 0 where none was sent.
    Same(u64),
    /// Each at its own.
    Each(Vec<u64>),
}

impl Starts {
    pub(crate) fn get(&self, row: usize) -> u64 {
        match self {
            Starts::Same(start) => *start,
            Starts::Each(list) => list[row],
        }
    }

    /// Adds the start of the point after the first `rows`.
    pub(crate) fn push(&mut self, rows: usize, start: u64) {
        match self {
            Starts::Same(same) if rows == 0 => *same = start,
            Starts::Same(same) if *same == start => {}
            Starts::Same(same) => {
                let mut list = vec![*same; rows];
                list.push(start);
                *self = Starts::Each(list);
            }
            Starts::Each(list) => list.push(start),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Starts::Same(_) => 0,
            Starts::Each(list) => list.capacity() * size_of::<u64>(),
        }
    }
}

/// Values of points, all of one form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PointValues {
    Int(Vec<i64>),
    Double(Vec<f64>),
    /// Histograms, summaries, and series whose points are of several types.
    Any(Vec<PointValue>),
}

/// Points in the order of their times, or in the order in which they came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Points {
    pub times: Vec<u64>,
    pub starts: Starts,
    pub values: PointValues,
    /// Rows of numbers that have no value; what the column holds there means nothing.
    pub empty: Vec<u32>,
    /// Rows whose flags are not 0, and their flags.
    pub flags: Vec<(u32, u32)>,
    /// Rows with exemplars, and those, encoded.
    pub exemplars: Vec<(u32, Box<[u8]>)>,
}

impl Default for Points {
    fn default() -> Self {
        Self {
            times: Vec::new(),
            starts: Starts::Same(0),
            values: PointValues::Int(Vec::new()),
            empty: Vec::new(),
            flags: Vec::new(),
            exemplars: Vec::new(),
        }
    }
}

/// Values of a sparse column in these rows, counted from the first of them.
fn sparse<T: Clone>(list: &[(u32, T)], rows: &Range<usize>) -> Vec<(u32, T)> {
    let first = index32(rows.start);
    let from = list.partition_point(|(row, _)| *row < first);
    let to = list.partition_point(|(row, _)| (*row as usize) < rows.end);
    list[from..to]
        .iter()
        .map(|(row, value)| (row - first, value.clone()))
        .collect()
}

impl Points {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// About what they take once each is a point of its own.
    pub(crate) fn held_bytes(&self) -> usize {
        let members = match &self.values {
            PointValues::Any(list) => list.iter().map(members).sum(),
            PointValues::Int(_) | PointValues::Double(_) => 0,
        };
        let exemplars = self.exemplars.iter().map(|(_, list)| list.len());
        // An exemplar's ids and attributes are lists of their own once decoded.
        const DECODED: usize = 4;
        self.len() * size_of::<DataPoint>() + 8 * members + DECODED * exemplars.sum::<usize>()
    }

    /// Adds a point.
    pub(crate) fn push(&mut self, point: &DataPoint) {
        let exemplars = if point.exemplars.is_empty() {
            Vec::new()
        } else {
            encode(&point.exemplars)
        };
        self.push_parts(
            (point.time_unix_nano, point.start_unix_nano),
            point.flags,
            &point.value,
            &exemplars,
        );
    }

    /// Adds a point of this time and start whose exemplars are encoded.
    pub(crate) fn push_parts(
        &mut self,
        (time, start): (u64, u64),
        flags: u32,
        value: &PointValue,
        exemplars: &[u8],
    ) {
        let rows = self.len();
        let row = index32(rows);
        self.times.push(time);
        self.starts.push(rows, start);
        match (&mut self.values, value) {
            (PointValues::Int(list), PointValue::Int(int)) => list.push(*int),
            (PointValues::Double(list), PointValue::Double(double)) => list.push(*double),
            (PointValues::Int(list), PointValue::Double(double)) if self.empty.len() == rows => {
                let mut doubles = vec![0.0; list.len()];
                doubles.push(*double);
                self.values = PointValues::Double(doubles);
            }
            (PointValues::Int(list), PointValue::Empty) => {
                list.push(list.last().copied().unwrap_or(0));
                self.empty.push(row);
            }
            (PointValues::Double(list), PointValue::Empty) => {
                list.push(list.last().copied().unwrap_or(0.0));
                self.empty.push(row);
            }
            _ => self.any().push(value.clone()),
        }
        if flags != 0 {
            self.flags.push((row, flags));
        }
        if !exemplars.is_empty() {
            self.exemplars.push((row, exemplars.into()));
        }
    }

    /// The values as a list of any, into which they are turned.
    fn any(&mut self) -> &mut Vec<PointValue> {
        if !matches!(self.values, PointValues::Any(_)) {
            let rows = match &self.values {
                PointValues::Int(list) => list.len(),
                PointValues::Double(list) => list.len(),
                PointValues::Any(list) => list.len(),
            };
            let list = (0..rows).map(|row| self.value(row)).collect();
            self.values = PointValues::Any(list);
            self.empty.clear();
        }
        match &mut self.values {
            PointValues::Any(list) => list,
            _ => unreachable!("they were just turned into any"),
        }
    }

    pub(crate) fn value(&self, row: usize) -> PointValue {
        if !self.empty.is_empty() && self.empty.binary_search(&index32(row)).is_ok() {
            return PointValue::Empty;
        }
        match &self.values {
            PointValues::Int(list) => PointValue::Int(list[row]),
            PointValues::Double(list) => PointValue::Double(list[row]),
            PointValues::Any(list) => list[row].clone(),
        }
    }

    pub(crate) fn flags(&self, row: usize) -> u32 {
        let found = self
            .flags
            .binary_search_by_key(&index32(row), |(row, _)| *row);
        found.map_or(0, |at| self.flags[at].1)
    }

    fn exemplars(&self, row: usize) -> &[u8] {
        let found = self
            .exemplars
            .binary_search_by_key(&index32(row), |(row, _)| *row);
        found.map_or(&[], |at| &self.exemplars[at].1)
    }

    /// One of them, as it was sent.
    pub(crate) fn point(&self, row: usize) -> DataPoint {
        DataPoint {
            start_unix_nano: self.starts.get(row),
            time_unix_nano: self.times[row],
            flags: self.flags(row),
            value: self.value(row),
            exemplars: decode_exemplars(self.exemplars(row)),
        }
    }

    /// All of them, as they were sent.
    pub(crate) fn into_data_points(mut self) -> Vec<DataPoint> {
        let values = match &mut self.values {
            PointValues::Any(list) => std::mem::take(list),
            _ => (0..self.len()).map(|row| self.value(row)).collect(),
        };
        let point = |(row, value)| DataPoint {
            start_unix_nano: self.starts.get(row),
            time_unix_nano: self.times[row],
            flags: self.flags(row),
            value,
            exemplars: decode_exemplars(self.exemplars(row)),
        };
        values.into_iter().enumerate().map(point).collect()
    }

    /// Some of them.
    pub(crate) fn slice(&self, rows: Range<usize>) -> Points {
        let empty: Vec<(u32, ())> = self.empty.iter().map(|row| (*row, ())).collect();
        Points {
            times: self.times[rows.clone()].to_vec(),
            starts: match &self.starts {
                Starts::Same(start) => Starts::Same(*start),
                Starts::Each(list) => Starts::Each(list[rows.clone()].to_vec()),
            },
            values: match &self.values {
                PointValues::Int(list) => PointValues::Int(list[rows.clone()].to_vec()),
                PointValues::Double(list) => PointValues::Double(list[rows.clone()].to_vec()),
                PointValues::Any(list) => PointValues::Any(list[rows.clone()].to_vec()),
            },
            empty: sparse(&empty, &rows)
                .into_iter()
                .map(|(row, ())| row)
                .collect(),
            flags: sparse(&self.flags, &rows),
            exemplars: sparse(&self.exemplars, &rows),
        }
    }

    /// Adds all points of another list of the same series.
    pub(crate) fn append(&mut self, other: &Points) {
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        let plain = matches!(
            (&self.values, &other.values),
            (PointValues::Int(_), PointValues::Int(_))
                | (PointValues::Double(_), PointValues::Double(_))
        );
        if !plain {
            for row in 0..other.len() {
                self.push_parts(
                    (other.times[row], other.starts.get(row)),
                    other.flags(row),
                    &other.value(row),
                    other.exemplars(row),
                );
            }
            return;
        }
        let rows = self.len();
        let first = index32(rows);
        match (&mut self.values, &other.values) {
            (PointValues::Int(list), PointValues::Int(more)) => list.extend_from_slice(more),
            (PointValues::Double(list), PointValues::Double(more)) => list.extend_from_slice(more),
            _ => unreachable!("both are of one form"),
        }
        match (&mut self.starts, &other.starts) {
            (Starts::Same(same), Starts::Same(more)) if same == more => {}
            _ => {
                for row in 0..other.len() {
                    self.starts.push(rows + row, other.starts.get(row));
                }
            }
        }
        self.times.extend_from_slice(&other.times);
        self.empty.extend(other.empty.iter().map(|row| row + first));
        let flags = other.flags.iter().map(|(row, flags)| (row + first, *flags));
        self.flags.extend(flags);
        let exemplars = other.exemplars.iter();
        self.exemplars
            .extend(exemplars.map(|(row, encoded)| (row + first, encoded.clone())));
    }

    /// Puts them in the order of their times; those of one time stay in the order they are in.
    pub(crate) fn sort(&mut self) {
        if self.times.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|row| self.times[*row]);
        let mut sorted = Points {
            values: match &self.values {
                PointValues::Int(list) => {
                    PointValues::Int(order.iter().map(|row| list[*row]).collect())
                }
                PointValues::Double(list) => {
                    PointValues::Double(order.iter().map(|row| list[*row]).collect())
                }
                PointValues::Any(list) => {
                    PointValues::Any(order.iter().map(|row| list[*row].clone()).collect())
                }
            },
            ..Points::default()
        };
        for (at, row) in order.iter().enumerate() {
            sorted.times.push(self.times[*row]);
            sorted.starts.push(at, self.starts.get(*row));
            let flags = self.flags(*row);
            if flags != 0 {
                sorted.flags.push((index32(at), flags));
            }
            let exemplars = self.exemplars(*row);
            if !exemplars.is_empty() {
                sorted.exemplars.push((index32(at), exemplars.into()));
            }
            if self.empty.binary_search(&index32(*row)).is_ok() {
                sorted.empty.push(index32(at));
            }
        }
        *self = sorted;
    }
}

fn index32(row: usize) -> u32 {
    u32::try_from(row).expect("a series has fewer than 2^32 points in one head or chunk")
}
