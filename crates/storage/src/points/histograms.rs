//! Histograms of one series by column, those with explicit bounds first of all: who wants numbers need
//! not take each histogram apart.

use std::ops::Range;

use model::metric::Histogram;

use crate::block::wire::{Cursor, Decoded, Malformed};
use crate::message::ExponentialColumns;

/// The place of an explicit histogram among the forms of `PointValue`, as postcard has it.
const HISTOGRAM: u64 = 3;

/// Histograms by time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HistogramColumns {
    /// The bits of the bounds.
    pub bounds: Vec<u64>,
    /// Of each bucket the counts of all histograms.
    pub buckets: Vec<Vec<u64>>,
    pub counts: Vec<u64>,
    /// Sums, where all have one; else there are none.
    pub sums: Vec<f64>,
}

/// Histograms of one series by time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HistogramLists {
    Bounded(HistogramColumns),
    Exponential(ExponentialColumns),
}

impl Default for HistogramLists {
    fn default() -> Self {
        Self::Bounded(HistogramColumns::default())
    }
}

impl HistogramLists {
    /// Histograms as a head keeps them, if they can be taken together.
    pub(super) fn of_encoded<'a>(
        encoded: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    ) -> Option<Self> {
        let bounded = HistogramColumns::of_encoded(encoded.clone());
        bounded
            .map(Self::Bounded)
            .or_else(|| ExponentialColumns::of_encoded(encoded).map(Self::Exponential))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bounded(columns) => columns.len(),
            Self::Exponential(columns) => columns.counts.len(),
        }
    }

    /// Whether another list can be taken together with it.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bounded(columns), Self::Bounded(other)) => columns.is_alike(other),
            (Self::Exponential(_), Self::Exponential(_)) => true,
            _ => false,
        }
    }

    /// Keeps these rows alone.
    pub(crate) fn keep(&mut self, rows: &Range<usize>) {
        match self {
            Self::Bounded(columns) => columns.keep(rows),
            Self::Exponential(columns) => columns.keep(rows),
        }
    }

    /// Adds those of another list that is alike.
    pub(crate) fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::Bounded(columns), Self::Bounded(other)) => columns.append(other),
            (Self::Exponential(columns), Self::Exponential(other)) => columns.append(other),
            _ => {}
        }
    }
}

/// Keeps these rows of a column alone.
pub(super) fn cut<T>(list: &mut Vec<T>, rows: &Range<usize>) {
    list.truncate(rows.end);
    list.drain(..rows.start.min(list.len()));
}

/// Reads how many members a list has.
pub(super) fn length(from: &mut Cursor<'_>) -> Decoded<usize> {
    usize::try_from(from.varint()?).map_err(|_| Malformed("a list is too long"))
}

impl HistogramColumns {
    /// Histograms as a head keeps them, if all have the same bounds and members.
    pub(super) fn of_encoded<'a>(
        encoded: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Option<HistogramColumns> {
        let mut columns = HistogramColumns::default();
        columns.counts.reserve(encoded.len());
        for (row, bytes) in encoded.enumerate() {
            if !columns.push(Cursor::new(bytes), row).unwrap_or(false) {
                return None;
            }
        }
        Some(columns)
    }

    /// Adds a histogram; false where it is none, or not as those before.
    fn push(&mut self, mut from: Cursor<'_>, row: usize) -> Decoded<bool> {
        if from.varint()? != HISTOGRAM {
            return Ok(false);
        }
        self.counts.push(from.varint()?);
        let has_sum = from.u8()? != 0;
        if row > 0 && has_sum == self.sums.is_empty() {
            return Ok(false);
        }
        if has_sum {
            self.sums.push(f64::from_bits(from.u64()?));
        }
        let buckets = length(&mut from)?;
        if row == 0 {
            if buckets > from.remaining() {
                return Err(Malformed("a list is too long"));
            }
            self.buckets = vec![Vec::new(); buckets];
        }
        if buckets != self.buckets.len() {
            return Ok(false);
        }
        for column in &mut self.buckets {
            column.push(from.varint()?);
        }
        let bounds = length(&mut from)?;
        if bounds > from.remaining() / 8 {
            return Err(Malformed("a list is too long"));
        }
        let (words, _) = from.take(bounds * 8)?.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        if row == 0 {
            self.bounds = words.collect();
            return Ok(true);
        }
        Ok(bounds == self.bounds.len() && words.eq(self.bounds.iter().copied()))
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether another list is of the same bounds and members.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        let has_sums = |one: &Self| one.sums.len() == one.len();
        self.bounds == other.bounds
            && self.buckets.len() == other.buckets.len()
            && has_sums(self) == has_sums(other)
    }

    /// Keeps these rows alone.
    pub(crate) fn keep(&mut self, rows: &Range<usize>) {
        cut(&mut self.counts, rows);
        cut(&mut self.sums, rows);
        for column in &mut self.buckets {
            cut(column, rows);
        }
    }

    /// Adds those of another list that is alike.
    pub(crate) fn append(&mut self, other: &Self) {
        self.counts.extend_from_slice(&other.counts);
        self.sums.extend_from_slice(&other.sums);
        for (column, more) in self.buckets.iter_mut().zip(&other.buckets) {
            column.extend_from_slice(more);
        }
    }

    /// One of them.
    pub(crate) fn histogram(&self, row: usize) -> Histogram {
        Histogram {
            count: self.counts[row],
            sum: self.sums.get(row).copied(),
            bucket_counts: self.buckets.iter().map(|column| column[row]).collect(),
            explicit_bounds: self.bounds.iter().copied().map(f64::from_bits).collect(),
            ..Histogram::default()
        }
    }

    /// How many values lie at each bound or below it, as far as there are buckets.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn cumulative(&self) -> Vec<Vec<f64>> {
        let mut below = vec![0u64; self.len()];
        let finite = self.bounds.len().min(self.buckets.len());
        let column = |column: &Vec<u64>| {
            let add = |(below, count): (&mut u64, &u64)| {
                *below = below.saturating_add(*count);
                *below as f64
            };
            below.iter_mut().zip(column).map(add).collect()
        };
        self.buckets[..finite].iter().map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::metric::PointValue;

    use super::*;
    use crate::chunk::encode;

    fn histogram(count: u64, sum: Option<f64>, buckets: &[u64]) -> Histogram {
        Histogram {
            count,
            sum,
            bucket_counts: buckets.to_vec(),
            explicit_bounds: vec![0.5, 2.0, f64::INFINITY],
            min: Some(0.25),
            max: None,
        }
    }

    fn columns(list: &[Histogram]) -> Option<HistogramColumns> {
        let encoded = list.iter().cloned().map(PointValue::Histogram);
        let encoded: Vec<Vec<u8>> = encoded.map(|value| encode(&value)).collect();
        HistogramColumns::of_encoded(encoded.iter().map(Vec::as_slice))
    }

    #[test]
    fn histograms_of_one_kind_are_columns() {
        let list = [
            histogram(3, Some(1.5), &[1, 2, 0, 0]),
            histogram(700, Some(-2.0), &[100, 200, 300, 100]),
            histogram(701, Some(f64::NAN), &[100, u64::MAX, 300, 100]),
        ];
        let mut all = columns(&list).unwrap();
        for (row, one) in list.iter().enumerate().take(2) {
            let min = one.min;
            assert_eq!(
                Histogram {
                    min,
                    ..all.histogram(row)
                },
                *one
            );
        }
        let most = u64::MAX as f64;
        assert_eq!(
            all.cumulative(),
            [[1.0, 100.0, 100.0], [3.0, 300.0, most], [3.0, 600.0, most]]
        );
        let other = all.clone();
        all.keep(&(1..2));
        all.append(&other);
        assert_eq!(
            (all.counts.as_slice(), all.sums.len()),
            (&[700, 3, 700, 701][..], 4)
        );
        assert_eq!(all.buckets[0], [100, 1, 100, 100]);
    }

    #[test]
    fn histograms_that_differ_are_none() {
        let one = histogram(3, Some(1.5), &[1, 2, 0, 0]);
        let mut bounds = one.clone();
        bounds.explicit_bounds[1] = 3.0;
        for other in [
            histogram(3, None, &[1, 2, 0, 0]),
            histogram(3, Some(1.5), &[1, 2, 0]),
            bounds,
        ] {
            assert_eq!(columns(&[one.clone(), other.clone()]), None);
            assert_eq!(columns(&[other, one.clone()]), None);
        }
        let number = encode(&PointValue::Double(1.0));
        let encoded = std::iter::once(number.as_slice());
        assert_eq!(HistogramColumns::of_encoded(encoded), None);
        assert!(columns(&[]).is_some_and(|none| none.len() == 0));
        // Bytes that break off are none either.
        let whole = encode(&PointValue::Histogram(one));
        for end in 0..whole.len() - 12 {
            let encoded = std::iter::once(&whole[..end]);
            assert_eq!(HistogramColumns::of_encoded(encoded), None, "{end}");
        }
    }
}
