//! Values that are not numbers, by column: a histogram's buckets change little from one point to
//! the next, so each bucket is a column of its own.
//!
//! Explicit histograms of one list of bounds: varint bounds, 8 bytes each; varint buckets; 1 byte
//! which of sum (1), min (2) and max (4) are there; columns of integers: counts, then each bucket's;
//! columns of doubles: sum, min, max as far as they are there.
//!
//! Exponential histograms: columns of integers: count, scale, zero count; 1 byte as above; columns
//! of doubles: sum, min, max as far as they are there, zero threshold; then for the positive and
//! the negative buckets, columns of integers: their number plus 1 (0 for none), offset, and all
//! counts in turn, less the count at the same place of the point before where that has as many from
//! the same offset.
//!
//! Anything else: the lengths of the values' encodings (`PointValue` in postcard) as a column of
//! integers, then a blob of them.

use std::ops::Range;

use model::metric::{Buckets, ExponentialHistogram, Histogram, PointValue};

use super::HistogramColumns;
use super::numbers::{get_counts, get_doubles, get_ints, put_counts, put_doubles, put_ints};
use crate::block::wire::{Cursor, Decoded, Malformed, put_blob, put_varint};
use crate::chunk::encode_onto;
use crate::message::{BucketRuns, ExponentialColumns};

const SUM: u8 = 1;
const MIN: u8 = 2;
const MAX: u8 = 4;

/// A bucket list longer than this is taken for damage.
const BUCKETS_MAX: usize = 1 << 24;

/// Which members are there; none where points differ in it.
fn presence<'a>(mut members: impl Iterator<Item = [&'a Option<f64>; 3]>) -> Option<u8> {
    let bits = |[sum, min, max]: [&Option<f64>; 3]| {
        u8::from(sum.is_some()) * SUM
            + u8::from(min.is_some()) * MIN
            + u8::from(max.is_some()) * MAX
    };
    let first = bits(members.next()?);
    members.all(|other| bits(other) == first).then_some(first)
}

fn put_optional<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = &'a Option<f64>>) {
    let values: Vec<f64> = values.map(|value| value.unwrap_or_default()).collect();
    put_doubles(out, &values);
}

fn get_optional(from: &mut Cursor<'_>, count: usize, is_there: bool) -> Decoded<Vec<Option<f64>>> {
    if !is_there {
        return Ok(vec![None; count]);
    }
    Ok(get_doubles(from, count)?.into_iter().map(Some).collect())
}

/// Appends explicit histograms; false, with nothing appended, where these are not of one shape.
pub(super) fn put_histograms(out: &mut Vec<u8>, values: &[PointValue]) -> bool {
    let mut list: Vec<&Histogram> = Vec::with_capacity(values.len());
    for value in values {
        let PointValue::Histogram(histogram) = value else {
            return false;
        };
        list.push(histogram);
    }
    let Some(first) = list.first() else {
        return false;
    };
    let same = |other: &&Histogram| {
        other.bucket_counts.len() == first.bucket_counts.len()
            && other.explicit_bounds.len() == first.explicit_bounds.len()
            && other
                .explicit_bounds
                .iter()
                .zip(&first.explicit_bounds)
                .all(|(one, other)| one.to_bits() == other.to_bits())
    };
    let members = list.iter().map(|h| [&h.sum, &h.min, &h.max]);
    let (true, Some(there)) = (list.iter().all(same), presence(members)) else {
        return false;
    };
    put_varint(out, first.explicit_bounds.len() as u64);
    for bound in &first.explicit_bounds {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
    put_varint(out, first.bucket_counts.len() as u64);
    out.push(there);
    put_counts(out, list.iter().map(|h| h.count));
    for bucket in 0..first.bucket_counts.len() {
        put_counts(out, list.iter().map(|h| h.bucket_counts[bucket]));
    }
    if there & SUM != 0 {
        put_optional(out, list.iter().map(|h| &h.sum));
    }
    if there & MIN != 0 {
        put_optional(out, list.iter().map(|h| &h.min));
    }
    if there & MAX != 0 {
        put_optional(out, list.iter().map(|h| &h.max));
    }
    true
}

/// Smallest and largest values.
type Extremes = [Vec<Option<f64>>; 2];

/// Reads explicit histograms by column.
fn get_columns(from: &mut Cursor<'_>, count: usize) -> Decoded<(HistogramColumns, Extremes)> {
    let bounds = from.bounded(BUCKETS_MAX, "a histogram has too many bounds")?;
    let (words, _) = from.take(bounds * 8)?.as_chunks::<8>();
    let buckets = from.bounded(BUCKETS_MAX, "a histogram has too many buckets")?;
    let there = from.u8()?;
    let mut columns = HistogramColumns {
        bounds: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
        counts: get_counts(from, count)?,
        ..HistogramColumns::default()
    };
    for _ in 0..buckets {
        columns.buckets.push(get_counts(from, count)?);
    }
    if there & SUM != 0 {
        columns.sums = get_doubles(from, count)?;
    }
    let mins = get_optional(from, count, there & MIN != 0)?;
    let maxs = get_optional(from, count, there & MAX != 0)?;
    Ok((columns, [mins, maxs]))
}

/// Reads explicit histograms, of which smallest and largest values are left out.
pub(super) fn get_histogram_columns(
    from: &mut Cursor<'_>,
    count: usize,
) -> Decoded<HistogramColumns> {
    get_columns(from, count).map(|(columns, _)| columns)
}

/// Reads explicit histograms.
pub(super) fn get_histograms(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<PointValue>> {
    let (columns, [mins, maxs]) = get_columns(from, count)?;
    let one = |row: usize| {
        PointValue::Histogram(Histogram {
            min: mins[row],
            max: maxs[row],
            ..columns.histogram(row)
        })
    };
    Ok((0..count).map(one).collect())
}

/// Appends exponential histograms; false, with nothing appended, where these are not of one shape.
pub(super) fn put_exponentials(out: &mut Vec<u8>, values: &[PointValue]) -> bool {
    let mut list: Vec<&ExponentialHistogram> = Vec::with_capacity(values.len());
    for value in values {
        let PointValue::Exponential(histogram) = value else {
            return false;
        };
        list.push(histogram);
    }
    let members = list.iter().map(|h| [&h.sum, &h.min, &h.max]);
    let Some(there) = presence(members) else {
        return false;
    };
    put_counts(out, list.iter().map(|h| h.count));
    let scales: Vec<i64> = list.iter().map(|h| i64::from(h.scale)).collect();
    put_ints(out, &scales);
    put_counts(out, list.iter().map(|h| h.zero_count));
    out.push(there);
    if there & SUM != 0 {
        put_optional(out, list.iter().map(|h| &h.sum));
    }
    if there & MIN != 0 {
        put_optional(out, list.iter().map(|h| &h.min));
    }
    if there & MAX != 0 {
        put_optional(out, list.iter().map(|h| &h.max));
    }
    let thresholds: Vec<f64> = list.iter().map(|h| h.zero_threshold).collect();
    put_doubles(out, &thresholds);
    put_buckets(out, list.iter().map(|h| h.positive.as_ref()));
    put_buckets(out, list.iter().map(|h| h.negative.as_ref()));
    true
}

fn put_buckets<'a>(out: &mut Vec<u8>, list: impl Iterator<Item = Option<&'a Buckets>> + Clone) {
    let lengths = list
        .clone()
        .map(|buckets| buckets.map_or(0, |buckets| buckets.bucket_counts.len() as u64 + 1));
    put_counts(out, lengths);
    let offsets: Vec<i64> = list
        .clone()
        .map(|buckets| buckets.map_or(0, |buckets| i64::from(buckets.offset)))
        .collect();
    put_ints(out, &offsets);
    let mut counts = Vec::new();
    let mut previous: Option<&Buckets> = None;
    for buckets in list {
        if let Some(buckets) = buckets {
            let same = previous.filter(|previous| alike(previous, buckets));
            for (place, count) in buckets.bucket_counts.iter().enumerate() {
                let before = same.map_or(0, |same| same.bucket_counts[place]);
                counts.push(count.wrapping_sub(before));
            }
        }
        previous = buckets;
    }
    put_counts(out, counts.into_iter());
}

fn alike(one: &Buckets, other: &Buckets) -> bool {
    one.offset == other.offset && one.bucket_counts.len() == other.bucket_counts.len()
}

/// Reads buckets, and of each point whether it has any list of them.
fn get_runs(from: &mut Cursor<'_>, count: usize) -> Decoded<(BucketRuns, Vec<bool>)> {
    let lengths = get_counts(from, count)?;
    let offsets = get_ints(from, count)?;
    let all = lengths.iter().fold(0u64, |sum, length| {
        sum.saturating_add(length.saturating_sub(1))
    });
    let all = usize::try_from(all)
        .ok()
        .filter(|all| *all <= BUCKETS_MAX)
        .ok_or(Malformed("a histogram has too many buckets"))?;
    let mut rest = &get_counts(from, all)?[..];
    let mut runs = BucketRuns::default();
    runs.counts.reserve_exact(all);
    let mut before: Option<(i32, Range<usize>)> = None;
    for (length, offset) in lengths.iter().zip(offsets) {
        let Some(length) = length.checked_sub(1) else {
            before = None;
            runs.end(0)?;
            continue;
        };
        let length = usize::try_from(length).map_err(|_| Malformed("too many buckets"))?;
        let offset =
            i32::try_from(offset).map_err(|_| Malformed("a bucket offset is too large"))?;
        let first = runs.counts.len();
        // Those of all points together are as many as were read.
        let (own, others) = rest.split_at(length);
        rest = others;
        match before {
            Some((same, range)) if same == offset && range.len() == length => {
                for (place, count) in range.zip(own) {
                    let count = count.wrapping_add(runs.counts[place]);
                    runs.counts.push(count);
                }
            }
            _ => runs.counts.extend_from_slice(own),
        }
        before = Some((offset, first..first + length));
        runs.end(offset)?;
    }
    Ok((runs, lengths.iter().map(|length| *length > 0).collect()))
}

/// Smallest and largest values, and of each point whether it has lists of positive and negative
/// buckets.
type ExponentialRest = (Extremes, [Vec<bool>; 2]);

fn get_exponential_parts(
    from: &mut Cursor<'_>,
    count: usize,
) -> Decoded<(ExponentialColumns, Vec<Option<f64>>, ExponentialRest)> {
    let counts = get_counts(from, count)?;
    let scales = get_ints(from, count)?.into_iter().map(i32::try_from);
    let scales = scales.collect::<Result<_, _>>();
    let zero_counts = get_counts(from, count)?;
    let there = from.u8()?;
    let sums = get_optional(from, count, there & SUM != 0)?;
    let mins = get_optional(from, count, there & MIN != 0)?;
    let maxs = get_optional(from, count, there & MAX != 0)?;
    let zero_thresholds = get_doubles(from, count)?;
    let (positive, has_positive) = get_runs(from, count)?;
    let (negative, has_negative) = get_runs(from, count)?;
    let columns = ExponentialColumns {
        counts,
        sums: sums.iter().map(|sum| sum.unwrap_or(0.0)).collect(),
        scales: scales.map_err(|_| Malformed("a scale is too large"))?,
        zero_counts,
        zero_thresholds,
        positive,
        negative,
    };
    Ok((columns, sums, ([mins, maxs], [has_positive, has_negative])))
}

/// Reads exponential histograms, of which smallest and largest values are left out.
pub(super) fn get_exponential_columns(
    from: &mut Cursor<'_>,
    count: usize,
) -> Decoded<ExponentialColumns> {
    get_exponential_parts(from, count).map(|(columns, ..)| columns)
}

/// Reads exponential histograms.
pub(super) fn get_exponentials(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<PointValue>> {
    let (columns, sums, ([mins, maxs], [has_positive, has_negative])) =
        get_exponential_parts(from, count)?;
    let buckets = |runs: &BucketRuns, row: usize| {
        let (offset, counts) = runs.row(row);
        Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        }
    };
    let one = |row: usize| {
        PointValue::Exponential(ExponentialHistogram {
            count: columns.counts[row],
            sum: sums[row],
            scale: columns.scales[row],
            zero_count: columns.zero_counts[row],
            positive: has_positive[row].then(|| buckets(&columns.positive, row)),
            negative: has_negative[row].then(|| buckets(&columns.negative, row)),
            min: mins[row],
            max: maxs[row],
            zero_threshold: columns.zero_thresholds[row],
        })
    };
    Ok((0..count).map(one).collect())
}

/// Appends values of any type.
pub(super) fn put_any(out: &mut Vec<u8>, values: &[PointValue]) {
    let mut lengths = Vec::with_capacity(values.len());
    let mut bytes = Vec::new();
    for value in values {
        let before = bytes.len();
        encode_onto(value, &mut bytes);
        lengths.push((bytes.len() - before) as u64);
    }
    put_counts(out, lengths.into_iter());
    put_blob(out, &bytes);
}

/// Reads values of any type.
pub(super) fn get_any(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<PointValue>> {
    let lengths = get_counts(from, count)?;
    let bytes = from.blob()?;
    let mut rest = Cursor::new(&bytes);
    let mut list = Vec::with_capacity(count);
    for length in lengths {
        let length = usize::try_from(length).map_err(|_| Malformed("a value is too long"))?;
        let value = postcard::from_bytes(rest.take(length)?)
            .map_err(|_| Malformed("a value of a point does not decode"))?;
        list.push(value);
    }
    rest.finish()?;
    Ok(list)
}
