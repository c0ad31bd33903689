//! Bit packing in frames of 128 values.
//!
//! A full frame of width w is laid out in four lanes, so that it is packed and unpacked with vector instructions:
//! value i belongs to lane i mod 4; the 32 values of a lane, w bits each and low bits first, fill w words of 32
//! bits; word k of lane l is the little-endian word at index 4k + l of the frame. The last frame, when it holds
//! fewer than 128 values, is a plain bit stream, low bits first, padded to a byte. Values wider than 32 bits are
//! two packings: their low 32 bits at width 32, then the other bits at width w - 32.

use bitpacking::{BitPacker, BitPacker4x};

use super::wire::{Cursor, Decoded, Malformed};

/// Values in a full frame.
pub(crate) const FRAME: usize = BitPacker4x::BLOCK_LEN;

/// Bits that `value` needs.
pub(crate) fn width_of(value: u64) -> u8 {
    (64 - value.leading_zeros()) as u8
}

/// Bytes that one frame of `count` values of `width` bits takes.
pub(crate) fn frame_len(count: usize, width: u8) -> usize {
    let bits = |width: usize| (count * width).div_ceil(8);
    match usize::from(width) {
        narrow @ 0..=32 => bits(narrow),
        wide => bits(32) + bits(wide - 32),
    }
}

/// Appends the low `width` bits (at most 32) of up to 128 values.
fn pack_narrow(out: &mut Vec<u8>, values: &[u32], width: u8) {
    let start = out.len();
    out.resize(start + frame_len(values.len(), width), 0);
    let target = &mut out[start..];
    if values.len() == FRAME {
        BitPacker4x::new().compress(values, target, width);
        return;
    }
    let mut pending = 0u64;
    let mut bits = 0;
    let mut bytes = target.iter_mut();
    for value in values {
        pending |= u64::from(*value) << bits;
        bits += u32::from(width);
        while bits >= 8 {
            if let Some(byte) = bytes.next() {
                *byte = pending as u8;
            }
            pending >>= 8;
            bits -= 8;
        }
    }
    if bits > 0
        && let Some(byte) = bytes.next()
    {
        *byte = pending as u8;
    }
}

/// Reads `values.len()` values (at most 128) of `width` bits (at most 32).
fn unpack_narrow(from: &mut Cursor<'_>, values: &mut [u32], width: u8) -> Decoded<()> {
    let bytes = from.take(frame_len(values.len(), width))?;
    if values.len() == FRAME {
        BitPacker4x::new().decompress(bytes, values, width);
        return Ok(());
    }
    let mask = (1u64 << width) - 1;
    let mut bit = 0;
    for value in values {
        // Eight bytes hold any value, wherever in the first of them it begins.
        let rest = &bytes[bit / 8..];
        let word = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        *value = (word >> (bit % 8) & mask) as u32;
        bit += usize::from(width);
    }
    Ok(())
}

/// Appends one frame of at most 128 values, of which all but the low `width` bits are ignored.
pub(crate) fn pack_frame(out: &mut Vec<u8>, values: &[u64], width: u8) {
    let mut part = [0u32; FRAME];
    let part = &mut part[..values.len()];
    let low = width.min(32);
    let mask = (1u64 << low) - 1;
    for (part, value) in part.iter_mut().zip(values) {
        *part = (value & mask) as u32;
    }
    pack_narrow(out, part, low);
    if width > 32 {
        let mask = (1u64 << (width - 32)) - 1;
        for (part, value) in part.iter_mut().zip(values) {
            *part = ((value >> 32) & mask) as u32;
        }
        pack_narrow(out, part, width - 32);
    }
}

/// Reads one frame of `values.len()` values, at most 128.
pub(crate) fn unpack_frame(from: &mut Cursor<'_>, values: &mut [u64], width: u8) -> Decoded<()> {
    if width > 64 {
        return Err(Malformed("a packed integer is wider than 64 bits"));
    }
    let mut part = [0u32; FRAME];
    let part = &mut part[..values.len()];
    unpack_narrow(from, part, width.min(32))?;
    for (value, part) in values.iter_mut().zip(part.iter()) {
        *value = u64::from(*part);
    }
    if width > 32 {
        unpack_narrow(from, part, width - 32)?;
        for (value, part) in values.iter_mut().zip(part.iter()) {
            *value |= u64::from(*part) << 32;
        }
    }
    Ok(())
}

/// Appends all of `values`, frame by frame, at one width of at most 32 bits.
pub(crate) fn pack_all(out: &mut Vec<u8>, values: &[u32], width: u8) {
    for frame in values.chunks(FRAME) {
        pack_narrow(out, frame, width);
    }
}

/// Bytes that [`pack_all`] appends.
pub(crate) fn packed_len(count: usize, width: u8) -> usize {
    count / FRAME * frame_len(FRAME, width) + frame_len(count % FRAME, width)
}

/// Reads what [`pack_all`] wrote. `count` has been compared with its limit.
pub(crate) fn unpack_all(from: &mut Cursor<'_>, count: usize, width: u8) -> Decoded<Vec<u32>> {
    if width > 32 {
        return Err(Malformed("a packed code is wider than 32 bits"));
    }
    if packed_len(count, width) > from.remaining() {
        return Err(Malformed("it ends before its content does"));
    }
    let mut values = vec![0u32; count];
    for frame in values.chunks_mut(FRAME) {
        unpack_narrow(from, frame, width)?;
    }
    Ok(values)
}

/// Reads one value of what [`pack_all`] wrote; `bytes` are all of it.
pub(crate) fn unpack_one(bytes: &[u8], count: usize, width: u8, at: usize) -> Decoded<u32> {
    let start = at / FRAME * FRAME;
    let skipped = start / FRAME * frame_len(FRAME, width);
    let rest = bytes.get(skipped..).unwrap_or_default();
    let mut frame = [0u32; FRAME];
    let frame = &mut frame[..FRAME.min(count - start)];
    unpack_narrow(&mut Cursor::new(rest), frame, width)?;
    Ok(frame[at - start])
}
