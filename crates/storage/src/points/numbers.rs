//! Columns of numbers inside a chunk of points.
//!
//! Integers: 1 byte form, then
//! - 0: a stream of integers (docs/formats/block.md);
//! - 1, a line: zigzag slope in 2^-16 a row, then the stream of what remains of each value when
//!   the line's height at its row is taken away. What grows at a constant rate with some noise
//!   takes a bit less a value this way than by differences, which have the noise of two rows.
//!
//! Doubles: 1 byte form, then
//! - 0, constant: 8 bytes;
//! - 1, decimal: 1 byte exponent e, a column of integers m, varint exceptions, the stream of their
//!   rows, 8 bytes for each. Value = m / 10^e, computed in doubles;
//! - 2, planes: a blob of the lowest byte of all values, then of their second bytes, and so on.

use crate::block::doubles::{MAX_EXPONENT, POWERS, mantissa};
use crate::block::ints::{self, Depth};
use crate::block::wire::{Cursor, Decoded, Malformed, put_blob, put_varint, zigzag};

const STREAM: u8 = 0;
const LINE: u8 = 1;

const CONSTANT: u8 = 0;
const DECIMAL: u8 = 1;
const PLANES: u8 = 2;

/// Fewer values are not worth a line.
const LINE_MIN: usize = 8;
/// One value in so many may have no decimal form.
const EXCEPTION_SHARE: usize = 8;
/// Values that show whether there may be a decimal form.
const SAMPLES: usize = 16;
/// Lines that would overflow are left to differences.
const LINE_MAX: i128 = 1 << 62;

#[allow(clippy::cast_sign_loss)]
fn put_stream(out: &mut Vec<u8>, values: &[i64]) {
    let base = values.iter().copied().min().unwrap_or(0);
    let words: Vec<u64> = values.iter().map(|value| *value as u64).collect();
    ints::encode(out, &words, base as u64, Depth::Inner);
}

#[allow(clippy::cast_possible_wrap)]
fn get_stream(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<i64>> {
    let words = ints::decode(from, count, Depth::Inner)?;
    Ok(words.into_iter().map(|word| word as i64).collect())
}

/// The height of a line at a row.
#[inline]
#[allow(clippy::cast_possible_wrap)]
fn height(slope: i64, row: usize) -> i64 {
    slope.wrapping_mul(row as i64) >> 16
}

/// The slope of the line through the means of the first and the last quarter of the values, where
/// it may be worth a try.
fn slope(values: &[i64]) -> Option<i64> {
    let quarter = values.len() / 4;
    if values.len() < LINE_MIN {
        return None;
    }
    let sum = |part: &[i64]| part.iter().map(|value| i128::from(*value)).sum::<i128>();
    let rise = sum(&values[values.len() - quarter..]) - sum(&values[..quarter]);
    let rows = i128::try_from(quarter * (values.len() - quarter)).ok()?;
    let slope = i64::try_from((rise << 16) / rows).ok()?;
    let height = i128::from(slope) * i128::try_from(values.len()).ok()?;
    (slope != 0 && height.abs() < LINE_MAX).then_some(slope)
}

/// Appends a column of integers; its reader knows how many there are.
pub(super) fn put_ints(out: &mut Vec<u8>, values: &[i64]) {
    let start = out.len();
    out.push(STREAM);
    put_stream(out, values);
    let Some(slope) = slope(values) else { return };
    let rest: Vec<i64> = values
        .iter()
        .enumerate()
        .map(|(row, value)| value.wrapping_sub(height(slope, row)))
        .collect();
    let mut line = vec![LINE];
    put_varint(&mut line, zigzag(slope));
    put_stream(&mut line, &rest);
    if line.len() < out.len() - start {
        out.truncate(start);
        out.extend_from_slice(&line);
    }
}

/// Reads a column of integers.
pub(super) fn get_ints(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<i64>> {
    match from.u8()? {
        STREAM => get_stream(from, count),
        LINE => {
            let slope = from.zigzag()?;
            let mut values = get_stream(from, count)?;
            // The height of each row is that of the one before it and the slope: adding is faster.
            let mut height = 0i64;
            for value in &mut values {
                *value = value.wrapping_add(height >> 16);
                height = height.wrapping_add(slope);
            }
            Ok(values)
        }
        _ => Err(Malformed("a form of integers is not known")),
    }
}

/// Appends a column of counts.
#[allow(clippy::cast_possible_wrap)]
pub(super) fn put_counts(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let values: Vec<i64> = values.map(|value| value as i64).collect();
    put_ints(out, &values);
}

/// Reads a column of counts.
#[allow(clippy::cast_sign_loss)]
pub(super) fn get_counts(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<u64>> {
    let values = get_ints(from, count)?;
    Ok(values.into_iter().map(|value| value as u64).collect())
}

/// Appends a column of doubles.
pub(super) fn put_doubles(out: &mut Vec<u8>, values: &[f64]) {
    let first = values.first().map_or(0, |value| value.to_bits());
    if values.iter().all(|value| value.to_bits() == first) {
        out.push(CONSTANT);
        out.extend_from_slice(&first.to_le_bytes());
        return;
    }
    if put_decimal(out, values) {
        return;
    }
    out.push(PLANES);
    let planes: Vec<u8> = (0..8)
        .flat_map(|plane| {
            let byte = move |value: &f64| value.to_le_bytes()[plane];
            values.iter().map(byte)
        })
        .collect();
    put_blob(out, &planes);
}

/// The exponent at which nearly all of some values have a decimal form.
fn exponent(values: &[f64]) -> Option<usize> {
    let step = (values.len() / SAMPLES).max(1);
    let (mut exponent, mut misses) = (0, 0);
    for value in values.iter().step_by(step) {
        match (exponent..=MAX_EXPONENT).find(|exponent| mantissa(*value, *exponent).is_some()) {
            Some(found) => exponent = found,
            None => misses += 1,
        }
    }
    (misses * EXCEPTION_SHARE <= SAMPLES).then_some(exponent)
}

/// Appends the decimal form; false, with nothing appended, where too many values have none.
fn put_decimal(out: &mut Vec<u8>, values: &[f64]) -> bool {
    let Some(exponent) = exponent(values) else {
        return false;
    };
    let mut mantissas = Vec::with_capacity(values.len());
    let mut exceptions: Vec<i64> = Vec::new();
    let mut previous = 0;
    for (row, value) in (0..).zip(values) {
        match mantissa(*value, exponent) {
            Some(found) => previous = found,
            None => exceptions.push(row),
        }
        mantissas.push(previous);
    }
    if exceptions.len() * EXCEPTION_SHARE > values.len() {
        return false;
    }
    out.push(DECIMAL);
    out.push(u8::try_from(exponent).expect("an exponent is at most 18"));
    put_ints(out, &mantissas);
    put_varint(out, exceptions.len() as u64);
    if !exceptions.is_empty() {
        put_stream(out, &exceptions);
    }
    for (row, value) in (0..).zip(values) {
        if exceptions.binary_search(&row).is_ok() {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
    true
}

/// Reads a column of doubles.
pub(super) fn get_doubles(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<f64>> {
    match from.u8()? {
        CONSTANT => Ok(vec![f64::from_bits(from.u64()?); count]),
        DECIMAL => get_decimal(from, count),
        PLANES => {
            let planes = from.blob()?;
            if planes.len() != count.saturating_mul(8) {
                return Err(Malformed("doubles are not as many as stated"));
            }
            let value = |row: usize| {
                f64::from_le_bytes(std::array::from_fn(|plane| planes[plane * count + row]))
            };
            Ok((0..count).map(value).collect())
        }
        _ => Err(Malformed("a form of doubles is not known")),
    }
}

#[allow(clippy::cast_precision_loss)]
fn get_decimal(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<f64>> {
    let power = *POWERS
        .get(usize::from(from.u8()?))
        .ok_or(Malformed("a decimal exponent is out of range"))?;
    let mantissas = get_ints(from, count)?;
    let mut values: Vec<f64> = mantissas
        .into_iter()
        .map(|mantissa| mantissa as f64 / power)
        .collect();
    let exceptions = from.bounded(count, "there are more exceptions than values")?;
    if exceptions == 0 {
        return Ok(values);
    }
    for row in get_stream(from, exceptions)? {
        let value = f64::from_bits(from.u64()?);
        let slot = usize::try_from(row)
            .ok()
            .and_then(|row| values.get_mut(row));
        *slot.ok_or(Malformed("an exception lies outside its column"))? = value;
    }
    Ok(values)
}

/// Appends a list of times.
///
/// 1 byte form, then 0: varint first time, zigzag step; each is one step after the one before. 1:
/// a stream of integers.
#[allow(clippy::cast_possible_wrap)]
pub(super) fn put_times(out: &mut Vec<u8>, times: &[u64]) {
    let step = match times {
        [first, second, ..] => second.wrapping_sub(*first),
        _ => 0,
    };
    let regular = times
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    if regular {
        out.push(0);
        put_varint(out, times.first().copied().unwrap_or(0));
        put_varint(out, zigzag(step as i64));
        return;
    }
    out.push(1);
    ints::encode_unsigned(out, times, Depth::Inner);
}

/// Reads a list of times.
#[allow(clippy::cast_sign_loss)]
pub(super) fn get_times(bytes: &[u8], count: usize) -> Decoded<Vec<u64>> {
    let mut from = Cursor::new(bytes);
    let times = match from.u8()? {
        0 => {
            let first = from.varint()?;
            let step = from.zigzag()? as u64;
            let at = |row: usize| first.wrapping_add(step.wrapping_mul(row as u64));
            (0..count).map(at).collect()
        }
        1 => ints::decode(&mut from, count, Depth::Inner)?,
        _ => return Err(Malformed("a form of times is not known")),
    };
    from.finish()?;
    Ok(times)
}
