//! Exponential histograms by column: who wants samples need not take each histogram apart.

use std::ops::Range;

use model::metric::{Buckets, ExponentialHistogram};

use super::histograms::{cut, length};
use crate::block::wire::{Cursor, Decoded, Malformed};
use crate::message::{BucketRuns, ExponentialColumns};

/// The place of an exponential histogram among the forms of `PointValue`, as postcard has it.
const EXPONENTIAL: u64 = 4;

impl BucketRuns {
    /// Adds those of a histogram, which are the last of `counts`.
    pub(crate) fn end(&mut self, offset: i32) -> Decoded<()> {
        let end = u32::try_from(self.counts.len());
        self.ends
            .push(end.map_err(|_| Malformed("too many buckets"))?);
        self.offsets.push(offset);
        Ok(())
    }

    fn range(&self, rows: &Range<usize>) -> Range<usize> {
        let end = |rows: usize| match rows {
            0 => 0,
            rows => self.ends[rows - 1] as usize,
        };
        end(rows.start)..end(rows.end)
    }

    fn keep(&mut self, rows: &Range<usize>) {
        let buckets = self.range(rows);
        cut(&mut self.offsets, rows);
        cut(&mut self.ends, rows);
        let first = u32::try_from(buckets.start).unwrap_or(u32::MAX);
        self.ends.iter_mut().for_each(|end| *end -= first);
        cut(&mut self.counts, &buckets);
    }

    fn append(&mut self, other: &Self) {
        let before = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
        let ends = other.ends.iter().map(|end| end.saturating_add(before));
        self.ends.extend(ends);
        self.offsets.extend_from_slice(&other.offsets);
        self.counts.extend_from_slice(&other.counts);
    }

    /// Reads the buckets of one histogram.
    fn push(&mut self, from: &mut Cursor<'_>) -> Decoded<()> {
        let mut offset = 0;
        if from.u8()? != 0 {
            let sent = from.zigzag()?;
            offset = i32::try_from(sent).map_err(|_| Malformed("an offset is too large"))?;
            let buckets = length(from)?;
            if buckets > from.remaining() {
                return Err(Malformed("a list is too long"));
            }
            for _ in 0..buckets {
                self.counts.push(from.varint()?);
            }
        }
        self.end(offset)
    }

    fn buckets(&self, row: usize) -> Option<Buckets> {
        let (offset, counts) = self.row(row);
        (!counts.is_empty()).then(|| Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        })
    }
}

impl ExponentialColumns {
    /// Histograms as a head keeps them, if all are exponential ones.
    pub(super) fn of_encoded<'a>(encoded: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut columns = Self::default();
        for bytes in encoded {
            if !columns.push(Cursor::new(bytes)).unwrap_or(false) {
                return None;
            }
        }
        Some(columns)
    }

    /// Adds a histogram; false where it is none.
    fn push(&mut self, mut from: Cursor<'_>) -> Decoded<bool> {
        let optional = |from: &mut Cursor<'_>| {
            let is_there = from.u8()? != 0;
            let bits = if is_there { from.u64()? } else { 0 };
            Ok::<f64, Malformed>(f64::from_bits(bits))
        };
        if from.varint()? != EXPONENTIAL {
            return Ok(false);
        }
        self.counts.push(from.varint()?);
        self.sums.push(optional(&mut from)?);
        let scale = i32::try_from(from.zigzag()?);
        self.scales
            .push(scale.map_err(|_| Malformed("a scale is too large"))?);
        self.zero_counts.push(from.varint()?);
        self.positive.push(&mut from)?;
        self.negative.push(&mut from)?;
        // The smallest and the largest value.
        optional(&mut from)?;
        optional(&mut from)?;
        self.zero_thresholds.push(f64::from_bits(from.u64()?));
        Ok(true)
    }

    /// Keeps these rows alone.
    pub(crate) fn keep(&mut self, rows: &Range<usize>) {
        cut(&mut self.counts, rows);
        cut(&mut self.sums, rows);
        cut(&mut self.scales, rows);
        cut(&mut self.zero_counts, rows);
        cut(&mut self.zero_thresholds, rows);
        self.positive.keep(rows);
        self.negative.keep(rows);
    }

    /// Adds those of another list.
    pub(crate) fn append(&mut self, other: &Self) {
        self.counts.extend_from_slice(&other.counts);
        self.sums.extend_from_slice(&other.sums);
        self.scales.extend_from_slice(&other.scales);
        self.zero_counts.extend_from_slice(&other.zero_counts);
        self.zero_thresholds
            .extend_from_slice(&other.zero_thresholds);
        self.positive.append(&other.positive);
        self.negative.append(&other.negative);
    }

    /// One of them, as far as samples are made of it.
    pub(crate) fn histogram(&self, row: usize) -> ExponentialHistogram {
        ExponentialHistogram {
            count: self.counts[row],
            sum: Some(self.sums[row]),
            scale: self.scales[row],
            zero_count: self.zero_counts[row],
            positive: self.positive.buckets(row),
            negative: self.negative.buckets(row),
            min: None,
            max: None,
            zero_threshold: self.zero_thresholds[row],
        }
    }
}

#[cfg(test)]
mod tests {
    use model::metric::PointValue;

    use super::*;
    use crate::chunk::encode;

    fn histogram(count: u64, sum: Option<f64>, offset: i32, counts: &[u64]) -> PointValue {
        PointValue::Exponential(ExponentialHistogram {
            count,
            sum,
            scale: -3,
            zero_count: 7,
            positive: (!counts.is_empty()).then(|| Buckets {
                offset,
                bucket_counts: counts.to_vec(),
            }),
            negative: None,
            min: Some(0.5),
            max: None,
            zero_threshold: 0.25,
        })
    }

    fn columns(list: &[PointValue]) -> Option<ExponentialColumns> {
        let encoded: Vec<Vec<u8>> = list.iter().map(encode).collect();
        ExponentialColumns::of_encoded(encoded.iter().map(Vec::as_slice))
    }

    fn back(columns: &ExponentialColumns) -> Vec<ExponentialHistogram> {
        let rows = 0..columns.counts.len();
        rows.map(|row| columns.histogram(row)).collect()
    }

    #[test]
    fn histograms_are_rows_of_columns() {
        let list = [
            histogram(3, Some(1.5), -4, &[1, 2]),
            histogram(0, None, 0, &[]),
            histogram(700, Some(f64::MAX), i32::MAX, &[u64::MAX, 0, 3]),
        ];
        let mut all = columns(&list).unwrap();
        let expected: Vec<ExponentialHistogram> = list
            .iter()
            .map(|value| match value {
                PointValue::Exponential(sent) => ExponentialHistogram {
                    sum: Some(sent.sum.unwrap_or(0.0)),
                    min: None,
                    ..sent.clone()
                },
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(back(&all), expected);
        let other = all.clone();
        all.keep(&(1..3));
        assert_eq!(back(&all), expected[1..]);
        all.append(&other);
        assert_eq!(back(&all), [&expected[1..], &expected[..]].concat());
        all.keep(&(5..5));
        assert_eq!(all, ExponentialColumns::default());
    }

    #[test]
    fn what_is_no_exponential_histogram_is_none() {
        let one = histogram(3, Some(1.5), -4, &[1, 2]);
        assert_eq!(columns(&[one.clone(), PointValue::Double(1.0)]), None);
        // Bytes that break off are none either.
        let whole = encode(&one);
        for end in 0..whole.len() {
            let encoded = std::iter::once(&whole[..end]);
            assert_eq!(ExponentialColumns::of_encoded(encoded), None, "{end}");
        }
    }
}
