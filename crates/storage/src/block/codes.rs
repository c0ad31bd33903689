//! Streams of codes, each of which names an entry of a dictionary.
//!
//! The reader knows the number of codes and of dictionary entries. A stream starts with its encoding:
//! - zero (0): all codes are 0;
//! - identity (1): code i is i;
//! - packed (2): frames of 128 codes at the width that the largest possible code needs;
//! - bytes (3): a blob of one byte per code;
//! - planes (4): a blob of the low bytes of all codes, then of their second bytes;
//! - runs (5): a varint count of runs, the code of each run as a stream of codes that is not runs, and the lengths
//!   of all runs as a stream of integers. A trace id in rows sorted by trace is identity codes with run lengths.

use super::ints::{self, Depth};
use super::pack::{pack_all, packed_len, unpack_all, unpack_one, width_of};
use super::wire::{Cursor, Decoded, Malformed, compress, put_blob, put_varint};

const ZERO: u8 = 0;
const IDENTITY: u8 = 1;
const PACKED: u8 = 2;
const BYTES: u8 = 3;
const PLANES: u8 = 4;
const RUNS: u8 = 5;

/// Shorter streams are packed without trying anything else.
const MIN_TRIED: usize = 64;

/// Appends codes, all of them below `bound`.
pub(crate) fn encode(out: &mut Vec<u8>, codes: &[u32], bound: usize) {
    let start = out.len();
    encode_flat(out, codes, bound);
    let flat = out.len() - start;
    if codes.len() < MIN_TRIED || flat < 16 {
        return;
    }
    let runs = 1 + codes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if runs * 2 > codes.len() {
        return;
    }
    let mut run_codes = Vec::with_capacity(runs);
    let mut lengths: Vec<u64> = Vec::with_capacity(runs);
    for run in codes.chunk_by(|a, b| a == b) {
        run_codes.push(run[0]);
        lengths.push(run.len() as u64);
    }
    let middle = out.len();
    out.push(RUNS);
    put_varint(out, runs as u64);
    encode_flat(out, &run_codes, bound);
    ints::encode_unsigned(out, &lengths, Depth::Inner);
    if out.len() - middle < flat {
        out.drain(start..middle);
    } else {
        out.truncate(middle);
    }
}

/// Appends codes without looking for runs.
fn encode_flat(out: &mut Vec<u8>, codes: &[u32], bound: usize) {
    if codes.iter().all(|code| *code == 0) {
        out.push(ZERO);
        return;
    }
    if codes
        .iter()
        .enumerate()
        .all(|(position, code)| *code as usize == position)
    {
        out.push(IDENTITY);
        return;
    }
    let width = width_of(bound.saturating_sub(1) as u64);
    let packed = packed_len(codes.len(), width);
    if codes.len() >= MIN_TRIED && bound <= 1 << 16 && width > 1 {
        let mut planes: Vec<u8> = codes.iter().map(|code| *code as u8).collect();
        let mut encoding = BYTES;
        if bound > 256 {
            encoding = PLANES;
            planes.extend(codes.iter().map(|code| (code >> 8) as u8));
        }
        // Packed codes are several times faster to read, so a smaller form must save a fifth.
        if let Some(compressed) = compress(&planes)
            && (compressed.len() + 6) * 5 < packed * 4
        {
            out.push(encoding);
            put_varint(out, planes.len() as u64);
            put_varint(out, compressed.len() as u64);
            out.extend_from_slice(&compressed);
            return;
        }
    }
    out.push(PACKED);
    pack_all(out, codes, width);
}

/// Reads `count` codes, which the caller has compared with its limit, and checks that all are below `bound`.
pub(crate) fn decode(from: &mut Cursor<'_>, count: usize, bound: usize) -> Decoded<Vec<u32>> {
    let encoding = from.u8()?;
    if encoding != RUNS {
        return decode_flat(encoding, from, count, bound);
    }
    let runs = from.bounded(count, "there are more runs than values")?;
    let encoding = from.u8()?;
    let run_codes = decode_flat(encoding, from, runs, bound)?;
    let lengths = ints::decode(from, runs, Depth::Inner)?;
    let mut codes = Vec::with_capacity(count);
    for (code, length) in run_codes.iter().zip(&lengths) {
        match usize::try_from(*length) {
            Ok(length) if length <= count - codes.len() => {
                codes.resize(codes.len() + length, *code);
            }
            _ => return Err(Malformed("runs are longer than the column")),
        }
    }
    if codes.len() != count {
        return Err(Malformed("runs are shorter than the column"));
    }
    Ok(codes)
}

/// Reads the codes at some positions below `count`, in the order asked for, each of which is below `bound`.
pub(crate) fn decode_at(
    from: &mut Cursor<'_>,
    count: usize,
    bound: usize,
    wanted: &[usize],
) -> Decoded<Vec<u32>> {
    let mut ahead = *from;
    if ahead.u8()? != PACKED || wanted.len() * 8 > count {
        let codes = decode(from, count, bound)?;
        return Ok(wanted.iter().map(|at| codes[*at]).collect());
    }
    let width = width_of(bound.saturating_sub(1) as u64);
    if width > 32 {
        return Err(Malformed("a packed code is wider than 32 bits"));
    }
    let bytes = ahead.take(packed_len(count, width))?;
    *from = ahead;
    let one = |at: &usize| match unpack_one(bytes, count, width, *at)? {
        code if (code as usize) < bound => Ok(code),
        _ => Err(Malformed("a code lies outside its dictionary")),
    };
    wanted.iter().map(one).collect()
}

fn decode_flat(
    encoding: u8,
    from: &mut Cursor<'_>,
    count: usize,
    bound: usize,
) -> Decoded<Vec<u32>> {
    const OUTSIDE: Malformed = Malformed("a code lies outside its dictionary");
    let codes = match encoding {
        ZERO if count == 0 || bound > 0 => return Ok(vec![0; count]),
        IDENTITY if count <= bound => return Ok((0..count as u32).collect()),
        ZERO | IDENTITY => return Err(OUTSIDE),
        PACKED => unpack_all(from, count, width_of(bound.saturating_sub(1) as u64))?,
        BYTES => {
            let bytes = from.blob()?;
            if bytes.len() != count {
                return Err(Malformed("codes are not as many as values"));
            }
            bytes.iter().map(|byte| u32::from(*byte)).collect()
        }
        PLANES => {
            let bytes = from.blob()?;
            if bytes.len() != count * 2 {
                return Err(Malformed("codes are not as many as values"));
            }
            let (low, high) = bytes.split_at(count);
            let pairs = low.iter().zip(high);
            pairs
                .map(|(low, high)| u32::from(*low) | u32::from(*high) << 8)
                .collect()
        }
        _ => return Err(Malformed("a code encoding is not known")),
    };
    if codes.iter().copied().max().unwrap_or(0) as usize >= bound && count > 0 {
        return Err(OUTSIDE);
    }
    Ok(codes)
}

/// Appends a list of byte strings: all lengths as integers, then their bytes as one blob.
pub(crate) fn encode_strings<T: AsRef<[u8]>>(out: &mut Vec<u8>, strings: &[T]) {
    let lengths: Vec<u64> = strings
        .iter()
        .map(|string| string.as_ref().len() as u64)
        .collect();
    ints::encode_unsigned(out, &lengths, Depth::Outer);
    let mut joined = Vec::with_capacity(lengths.iter().sum::<u64>() as usize);
    for string in strings {
        joined.extend_from_slice(string.as_ref());
    }
    put_blob(out, &joined);
}

/// Byte strings in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Strings {
    pub(crate) buffer: Vec<u8>,
    /// Where each string ends; one longer than the list, because it starts with 0.
    pub(crate) offsets: Vec<u32>,
}

impl Strings {
    pub(crate) fn new() -> Self {
        Strings {
            buffer: Vec::new(),
            offsets: vec![0],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        &self.buffer[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Ends the string that has been appended to the buffer.
    pub(crate) fn end(&mut self) {
        self.offsets.push(self.buffer.len() as u32);
    }
}

/// Reads what [`encode_strings`] wrote.
pub(crate) fn decode_strings(from: &mut Cursor<'_>, count: usize) -> Decoded<Strings> {
    let lengths = ints::decode(from, count, Depth::Outer)?;
    let buffer = from.blob()?.into_owned();
    let mut offsets = Vec::with_capacity(count + 1);
    let mut end = 0usize;
    offsets.push(0);
    for length in lengths {
        end = usize::try_from(length)
            .ok()
            .and_then(|length| end.checked_add(length))
            .filter(|end| *end <= buffer.len())
            .ok_or(Malformed("strings are longer than their bytes"))?;
        offsets.push(end as u32);
    }
    if end != buffer.len() {
        return Err(Malformed("strings are shorter than their bytes"));
    }
    Ok(Strings { buffer, offsets })
}
