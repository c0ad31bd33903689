//! Writing protobuf by hand: the primitives of [`model::wire`] with proto3's rule that a default
//! value is not written.

use model::wire::{put_bytes, put_key, put_varint};

/// Appends a message field whose members `fill` appends.
pub(crate) fn message(out: &mut Vec<u8>, number: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(out, number);
    fill(out);
    end(out, start);
}

/// Appends the key of a message field and room for its length; see [`end`].
pub(crate) fn begin(out: &mut Vec<u8>, number: u32) -> usize {
    put_key(out, number, 2);
    // One byte is enough for most messages; `end` makes more room for the others.
    out.push(0);
    out.len()
}

/// Writes the length of the message that began at `start`.
pub(crate) fn end(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    let mut encoded = Vec::with_capacity(10);
    put_varint(&mut encoded, length as u64);
    let extra = encoded.len() - 1;
    if extra > 0 {
        out.resize(out.len() + extra, 0);
        out.copy_within(start..start + length, start + extra);
    }
    out[start - 1..start + extra].copy_from_slice(&encoded);
}

/// Appends a string field that is not empty.
pub(crate) fn text(out: &mut Vec<u8>, number: u32, text: &str) {
    bytes(out, number, text.as_bytes());
}

/// Appends a bytes field that is not empty.
pub(crate) fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, number, bytes);
    }
}

/// Appends a varint field that is not zero.
pub(crate) fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_key(out, number, 0);
        put_varint(out, value);
    }
}

/// Appends an enum or int32 field that is not zero.
#[allow(clippy::cast_sign_loss)]
pub(crate) fn int32(out: &mut Vec<u8>, number: u32, value: i32) {
    varint(out, number, i64::from(value) as u64);
}

/// A zigzag-coded integer.
#[allow(clippy::cast_sign_loss)]
pub(crate) fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

/// Appends a fixed64 field that is not zero.
pub(crate) fn fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_fixed64(out, number, value);
    }
}

/// Appends a fixed64 field, zero or not.
pub(crate) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_key(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a fixed32 field that is not zero.
pub(crate) fn fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    if value != 0 {
        put_key(out, number, 5);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a double field, zero or not.
pub(crate) fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_fixed64(out, number, value.to_bits());
}

/// Appends an optional double field.
pub(crate) fn optional_double(out: &mut Vec<u8>, number: u32, value: Option<f64>) {
    if let Some(value) = value {
        put_double(out, number, value);
    }
}

/// Appends a packed list of 64-bit values that is not empty.
pub(crate) fn packed_fixed64(
    out: &mut Vec<u8>,
    number: u32,
    values: impl ExactSizeIterator<Item = u64>,
) {
    if values.len() == 0 {
        return;
    }
    put_key(out, number, 2);
    put_varint(out, values.len() as u64 * 8);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a packed list of varints that is not empty.
pub(crate) fn packed_varint(out: &mut Vec<u8>, number: u32, values: &[u64]) {
    if !values.is_empty() {
        message(out, number, |out| {
            values.iter().for_each(|value| put_varint(out, *value))
        });
    }
}
