//! A chunk: points of one series, without their times.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | low three bits: form of the values; next two: form of the starts; 32 if some have flags, 64 if some have exemplars, 128 if some numbers are missing |
//! | | starts: form 0 all are 0; 1 all are the zigzag difference to the first point's time; 2 zigzag difference of the first to its time, each other is the time of the point before; 3 a column of the differences to each point's time |
//! | | rows of missing numbers: varint count, the column of these |
//! | | flags: varint count, the column of their rows, the column of the flags |
//! | | exemplars: varint count, the column of their rows, the column of their lengths, a blob of lists of `Exemplar` in postcard |
//! | rest | values: form 0 a column of integers, 1 of doubles, 2 anything, 3 explicit histograms, 4 exponential histograms |
//!
//! How many points there are, and their times, the block says. Columns are described in
//! [`super::numbers`] and [`super::values`].

use model::metric::{FLAG_NO_RECORDED_VALUE, PointValue};

use super::numbers::{get_counts, get_doubles, get_ints, put_counts, put_doubles, put_ints};
use super::values::{
    get_any, get_exponential_columns, get_exponentials, get_histogram_columns, get_histograms,
    put_any, put_exponentials, put_histograms,
};
use super::{HistogramLists, PointValues, Points, Starts};
use crate::block::wire::{Cursor, Decoded, Malformed, put_blob, put_varint, zigzag};

const INTS: u8 = 0;
const DOUBLES: u8 = 1;
const ANY: u8 = 2;
const HISTOGRAMS: u8 = 3;
const EXPONENTIALS: u8 = 4;

const STARTS_NONE: u8 = 0;
const STARTS_SAME: u8 = 1;
const STARTS_CHAIN: u8 = 2;
const STARTS_EACH: u8 = 3;

const FLAGS: u8 = 32;
const EXEMPLARS: u8 = 64;
const MISSING: u8 = 128;

/// Appends all of these points as one chunk.
pub(crate) fn encode(out: &mut Vec<u8>, points: &Points) {
    let head = out.len();
    out.push(0);
    let mut bits = put_starts(out, points) << 3;
    if !points.empty.is_empty() {
        bits |= MISSING;
        put_rows(out, points.empty.iter().copied());
    }
    if !points.flags.is_empty() {
        bits |= FLAGS;
        put_rows(out, points.flags.iter().map(|(row, _)| *row));
        put_counts(out, points.flags.iter().map(|(_, flags)| u64::from(*flags)));
    }
    if !points.exemplars.is_empty() {
        bits |= EXEMPLARS;
        put_rows(out, points.exemplars.iter().map(|(row, _)| *row));
        let lengths = points.exemplars.iter().map(|(_, list)| list.len() as u64);
        put_counts(out, lengths);
        let all: Vec<u8> = points
            .exemplars
            .iter()
            .flat_map(|(_, list)| list.iter().copied())
            .collect();
        put_blob(out, &all);
    }
    bits |= match &points.values {
        PointValues::Int(list) => {
            put_ints(out, list);
            INTS
        }
        PointValues::Double(list) => {
            put_doubles(out, list);
            DOUBLES
        }
        PointValues::Any(list) => put_values(out, list),
    };
    out[head] = bits;
}

fn put_values(out: &mut Vec<u8>, list: &[PointValue]) -> u8 {
    if put_histograms(out, list) {
        HISTOGRAMS
    } else if put_exponentials(out, list) {
        EXPONENTIALS
    } else {
        put_any(out, list);
        ANY
    }
}

fn put_rows(out: &mut Vec<u8>, rows: impl ExactSizeIterator<Item = u32>) {
    put_varint(out, rows.len() as u64);
    put_counts(out, rows.map(u64::from));
}

fn get_rows(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<u32>> {
    let rows = from.bounded(count, "more rows than points")?;
    let rows = get_counts(from, rows)?;
    let mut list: Vec<u32> = Vec::with_capacity(rows.len());
    for row in rows {
        let row = u32::try_from(row)
            .ok()
            .filter(|row| (*row as usize) < count && list.last().is_none_or(|last| last < row))
            .ok_or(Malformed("rows of a sparse column are not in order"))?;
        list.push(row);
    }
    Ok(list)
}

/// Starts lie near times: differences wrap at 64 bits.
#[allow(clippy::cast_possible_wrap)]
fn put_starts(out: &mut Vec<u8>, points: &Points) -> u8 {
    let times = &points.times;
    let before = |time: u64, start: u64| time.wrapping_sub(start) as i64;
    let first = times.first().copied().unwrap_or(0);
    match &points.starts {
        Starts::Same(0) => STARTS_NONE,
        Starts::Same(start) => {
            put_varint(out, zigzag(before(first, *start)));
            STARTS_SAME
        }
        Starts::Each(list) if list[1..] == times[..times.len() - 1] => {
            put_varint(out, zigzag(before(first, list[0])));
            STARTS_CHAIN
        }
        Starts::Each(list) => {
            let column: Vec<i64> = times
                .iter()
                .zip(list)
                .map(|(time, start)| before(*time, *start))
                .collect();
            put_ints(out, &column);
            STARTS_EACH
        }
    }
}

#[allow(clippy::cast_sign_loss)]
fn get_starts(from: &mut Cursor<'_>, form: u8, times: &[u64]) -> Decoded<Starts> {
    let first = times.first().copied().unwrap_or(0);
    Ok(match form {
        STARTS_NONE => Starts::Same(0),
        STARTS_SAME => Starts::Same(first.wrapping_sub(from.zigzag()? as u64)),
        STARTS_CHAIN => {
            let mut list = Vec::with_capacity(times.len());
            list.push(first.wrapping_sub(from.zigzag()? as u64));
            list.extend_from_slice(&times[..times.len().saturating_sub(1)]);
            Starts::Each(list)
        }
        _ => {
            let column = get_ints(from, times.len())?;
            let start = |(time, before): (&u64, i64)| time.wrapping_sub(before as u64);
            Starts::Each(times.iter().zip(column).map(start).collect())
        }
    })
}

/// The points of a chunk but for their times.
struct Parts {
    starts: Starts,
    empty: Vec<u32>,
    flags: Vec<(u32, u32)>,
    exemplars: Vec<(u32, Box<[u8]>)>,
    values: PointValues,
}

fn parts(bytes: &[u8], times: &[u64]) -> Decoded<Parts> {
    let count = times.len();
    let mut from = Cursor::new(bytes);
    let head = from.u8()?;
    let starts = get_starts(&mut from, head >> 3 & 3, times)?;
    let empty = if head & MISSING != 0 {
        get_rows(&mut from, count)?
    } else {
        Vec::new()
    };
    let mut flags = Vec::new();
    if head & FLAGS != 0 {
        let rows = get_rows(&mut from, count)?;
        let list = get_counts(&mut from, rows.len())?;
        for (row, one) in rows.into_iter().zip(list) {
            let one = u32::try_from(one).map_err(|_| Malformed("flags are too large"))?;
            flags.push((row, one));
        }
    }
    let exemplars = if head & EXEMPLARS != 0 {
        get_exemplars(&mut from, count)?
    } else {
        Vec::new()
    };
    let values = match head & 7 {
        INTS => PointValues::Int(get_ints(&mut from, count)?),
        DOUBLES => PointValues::Double(get_doubles(&mut from, count)?),
        ANY => PointValues::Any(get_any(&mut from, count)?),
        HISTOGRAMS => PointValues::Any(get_histograms(&mut from, count)?),
        EXPONENTIALS => PointValues::Any(get_exponentials(&mut from, count)?),
        _ => return Err(Malformed("a form of points is not known")),
    };
    from.finish()?;
    Ok(Parts {
        starts,
        empty,
        flags,
        exemplars,
        values,
    })
}

/// The points of a chunk, of which these are the times; at least one.
pub(crate) fn decode(bytes: &[u8], times: &[u64]) -> Decoded<Points> {
    let Parts {
        starts,
        empty,
        flags,
        exemplars,
        values,
    } = parts(bytes, times)?;
    Ok(Points {
        times: times.to_vec(),
        starts,
        values,
        empty,
        flags,
        exemplars,
    })
}

/// Values, and the rows of those that are none.
pub(crate) type Doubles = (Vec<f64>, Vec<u32>);

/// The values of a chunk of numbers as doubles; none where it holds anything else. Points without
/// a recorded value are NaN with these bits; those without a value are named.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn decode_doubles(
    bytes: &[u8],
    times: &[u64],
    stale_bits: u64,
) -> Decoded<Option<Doubles>> {
    if !matches!(bytes.first().map(|head| head & 7), Some(INTS | DOUBLES)) {
        return Ok(None);
    }
    let parts = parts(bytes, times)?;
    let mut doubles: Vec<f64> = match parts.values {
        PointValues::Int(list) => list.into_iter().map(|int| int as f64).collect(),
        PointValues::Double(list) => list,
        PointValues::Any(_) => return Ok(None),
    };
    let mut empty = parts.empty;
    for (row, flags) in parts.flags {
        if flags & FLAG_NO_RECORDED_VALUE != 0 {
            doubles[row as usize] = f64::from_bits(stale_bits);
            empty.retain(|missing| *missing != row);
        }
    }
    Ok(Some((doubles, empty)))
}

/// A chunk of histograms of one kind by column; none where it holds anything else, or points with flags.
pub(crate) fn decode_histograms(bytes: &[u8], times: &[u64]) -> Decoded<Option<HistogramLists>> {
    let mut from = Cursor::new(bytes);
    let head = from.u8()?;
    let form = head & 7;
    if !matches!(form, HISTOGRAMS | EXPONENTIALS) || head & (FLAGS | MISSING) != 0 {
        return Ok(None);
    }
    get_starts(&mut from, head >> 3 & 3, times)?;
    if head & EXEMPLARS != 0 {
        get_exemplars(&mut from, times.len())?;
    }
    let columns = match form {
        HISTOGRAMS => HistogramLists::Bounded(get_histogram_columns(&mut from, times.len())?),
        _ => HistogramLists::Exponential(get_exponential_columns(&mut from, times.len())?),
    };
    from.finish()?;
    Ok(Some(columns))
}

fn get_exemplars(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<(u32, Box<[u8]>)>> {
    let rows = get_rows(from, count)?;
    let lengths = get_counts(from, rows.len())?;
    let bytes = from.blob()?;
    let mut rest = Cursor::new(&bytes);
    let mut list = Vec::with_capacity(rows.len());
    for (row, length) in rows.into_iter().zip(lengths) {
        let length = usize::try_from(length).map_err(|_| Malformed("a list is too long"))?;
        list.push((row, rest.take(length)?.into()));
    }
    rest.finish()?;
    Ok(list)
}

#[cfg(test)]
mod tests;
