//! Columns of doubles, kept bit for bit: every NaN payload and the sign of zero come back.
//!
//! - constant: the 8 bytes of the value, little-endian as everywhere here;
//! - dictionary: a varint count of distinct bit patterns, 8 bytes each, then one code per value;
//! - decimal: an exponent byte e of at most 18, a stream of zigzag coded integers m, where value = m / 10^e computed
//!   in doubles, a varint count of exceptions, their positions as a stream of integers and 8 bytes for each;
//! - planes: a blob of the first byte of all values, then of their second bytes, and so on.

use super::Encoding;
use super::codes;
use super::distinct::distinct_u64;
use super::ints::{self, Depth};
use super::wire::{Cursor, Decoded, Malformed, put_blob, put_varint, unzigzag, zigzag};

const MAX_DICTIONARY: usize = 256;
pub(crate) const MAX_EXPONENT: usize = 18;

/// Beyond this integers are not exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

pub(crate) const POWERS: [f64; MAX_EXPONENT + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Appends the payload of a column, returning the encoding and, where it is known, the number of distinct values.
pub(crate) fn encode(out: &mut Vec<u8>, values: &[f64]) -> (Encoding, Option<u32>) {
    let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
    if let Some(first) = bits.first()
        && bits.iter().all(|value| value == first)
    {
        out.extend_from_slice(&first.to_le_bytes());
        return (Encoding::Constant, Some(1));
    }
    let dictionary = distinct_u64(&bits, MAX_DICTIONARY);
    let distinct = dictionary
        .as_ref()
        .map(|(distinct, _)| distinct.len() as u32);
    let start = out.len();
    let decimal = encode_decimal(out, values);
    let decimal_len = out.len() - start;
    if let Some((distinct, codes)) = dictionary
        && distinct.len() * 2 <= values.len()
    {
        let mut dictionary = Vec::new();
        put_varint(&mut dictionary, distinct.len() as u64);
        for value in &distinct {
            dictionary.extend_from_slice(&value.to_le_bytes());
        }
        codes::encode(&mut dictionary, &codes, distinct.len());
        if !decimal || dictionary.len() < decimal_len {
            out.truncate(start);
            out.extend_from_slice(&dictionary);
            return (Encoding::Dictionary, Some(distinct.len() as u32));
        }
    }
    if decimal {
        return (Encoding::Decimal, distinct);
    }
    let mut planes = Vec::with_capacity(bits.len() * 8);
    for plane in 0..8 {
        planes.extend(bits.iter().map(|value| (value >> (plane * 8)) as u8));
    }
    put_blob(out, &planes);
    (Encoding::Planes, distinct)
}

/// The integer that gives exactly `value` when divided by ten to the power `exponent`.
pub(crate) fn mantissa(value: f64, exponent: usize) -> Option<i64> {
    let scaled = (value * POWERS[exponent]).round();
    if scaled.is_nan() || scaled.abs() > MAX_EXACT {
        return None;
    }
    let mantissa = scaled as i64;
    let back = mantissa as f64 / POWERS[exponent];
    (back.to_bits() == value.to_bits()).then_some(mantissa)
}

/// Appends the decimal form; false, with nothing appended, when more than one value in eight has none.
fn encode_decimal(out: &mut Vec<u8>, values: &[f64]) -> bool {
    let step = (values.len() / 64).max(1);
    let mut exponent = 0;
    let (mut sampled, mut misses) = (0, 0);
    for value in values.iter().step_by(step) {
        sampled += 1;
        match (exponent..=MAX_EXPONENT).find(|exponent| mantissa(*value, *exponent).is_some()) {
            Some(found) => exponent = found,
            None => misses += 1,
        }
        if misses > 8 + sampled / 8 {
            return false;
        }
    }
    let mut mantissas = Vec::with_capacity(values.len());
    let mut exceptions: Vec<u64> = Vec::new();
    let mut previous = 0;
    for (position, value) in values.iter().enumerate() {
        if let Some(found) = mantissa(*value, exponent) {
            previous = zigzag(found);
        } else {
            // The value before it in its place is free for every integer encoding.
            exceptions.push(position as u64);
        }
        mantissas.push(previous);
    }
    if exceptions.len() * 8 > values.len() {
        return false;
    }
    out.push(exponent as u8);
    ints::encode_unsigned(out, &mantissas, Depth::Outer);
    put_varint(out, exceptions.len() as u64);
    ints::encode_unsigned(out, &exceptions, Depth::Outer);
    for position in &exceptions {
        out.extend_from_slice(&values[*position as usize].to_bits().to_le_bytes());
    }
    true
}

/// Reads `count` values, which the caller has compared with its limit.
pub(crate) fn decode(from: &mut Cursor<'_>, encoding: Encoding, count: usize) -> Decoded<Vec<f64>> {
    match encoding {
        Encoding::Constant => Ok(vec![f64::from_bits(from.u64()?); count]),
        Encoding::Dictionary => {
            let entries = from.bounded(
                MAX_DICTIONARY,
                "a dictionary of doubles is larger than its limit",
            )?;
            let bytes = from.take(entries * 8)?;
            let (words, _) = bytes.as_chunks::<8>();
            let codes = codes::decode(from, count, entries)?;
            let value = |code: &u32| f64::from_bits(u64::from_le_bytes(words[*code as usize]));
            Ok(codes.iter().map(value).collect())
        }
        Encoding::Decimal => decode_decimal(from, count),
        Encoding::Planes => {
            let planes = from.blob()?;
            if planes.len() != count * 8 {
                return Err(Malformed("doubles are not as many as stated"));
            }
            let mut bits = vec![0u64; count];
            for (plane, bytes) in planes.chunks_exact(count.max(1)).enumerate() {
                for (bits, byte) in bits.iter_mut().zip(bytes) {
                    *bits |= u64::from(*byte) << (plane * 8);
                }
            }
            Ok(bits.into_iter().map(f64::from_bits).collect())
        }
        _ => Err(Malformed("doubles cannot have this encoding")),
    }
}

fn decode_decimal(from: &mut Cursor<'_>, count: usize) -> Decoded<Vec<f64>> {
    let power = *POWERS
        .get(usize::from(from.u8()?))
        .ok_or(Malformed("a decimal exponent is out of range"))?;
    let mantissas = ints::decode(from, count, Depth::Outer)?;
    let decimal = |mantissa: u64| unzigzag(mantissa) as f64 / power;
    let mut values: Vec<f64> = mantissas.into_iter().map(decimal).collect();
    let exceptions = from.bounded(count, "there are more exceptions than values")?;
    let positions = ints::decode(from, exceptions, Depth::Outer)?;
    for position in positions {
        let value = f64::from_bits(from.u64()?);
        let slot = usize::try_from(position)
            .ok()
            .and_then(|position| values.get_mut(position));
        *slot.ok_or(Malformed("an exception lies outside its column"))? = value;
    }
    Ok(values)
}
