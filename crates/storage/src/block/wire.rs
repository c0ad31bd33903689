//! The small pieces that all of this crate's stored formats are written with: little-endian integers, variable
//! length integers, and blobs that are compressed where it pays. The reading half trusts nothing: each length is
//! compared with the bytes that are there and with a limit before anything is allocated.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// The most bytes that one blob, or the text of one column, may decode to.
pub(crate) const MAX_DECODED_BYTES: usize = 256 << 20;

/// The level of all compression in stored files: level 3 saved 0.07 bytes a row and cost twice the time.
const ZSTD_LEVEL: i32 = 1;

/// Blobs below this many bytes are stored as they are: a zstd frame costs about a dozen bytes.
const MIN_COMPRESSED: usize = 48;

/// The stored bytes break a rule of the format. The caller adds which file or column it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) type Decoded<T> = Result<T, Malformed>;

thread_local! {
    // A context is about a megabyte and costs more to create than a small blob costs to compress.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses `bytes` at the level of all stored files; None when the library refuses, which callers answer by
/// storing the bytes as they are.
pub(crate) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(ZSTD_LEVEL).ok();
        }
        slot.as_mut()?.compress(bytes).ok()
    })
}

/// Decompresses to exactly `length` bytes, which the caller has compared with its limit.
pub(crate) fn decompress(bytes: &[u8], length: usize) -> Decoded<Vec<u8>> {
    let decoded = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        slot.as_mut()?.decompress(bytes, length).ok()
    });
    match decoded {
        Some(decoded) if decoded.len() == length => Ok(decoded),
        _ => Err(Malformed(
            "compressed bytes do not decode to the stated length",
        )),
    }
}

/// Appends seven bits a byte, low bits first, the top bit set on all but the last byte.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes `put_varint` appends.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Maps small negative and positive numbers to small unsigned ones: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a blob: its length, its stored length (zero when it is stored as it is), then the bytes.
pub(crate) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    if bytes.len() >= MIN_COMPRESSED
        && let Some(packed) = compress(bytes)
        && packed.len() + packed.len() / 32 < bytes.len()
    {
        put_varint(out, packed.len() as u64);
        out.extend_from_slice(&packed);
        return;
    }
    put_varint(out, 0);
    out.extend_from_slice(bytes);
}

/// A position in stored bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed("it ends before its content does"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed("it ends before its content does"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Decoded<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Decoded<u64> {
        // Most are of one byte.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed(
            "a variable length integer is longer than 64 bits",
        ))
    }

    pub(crate) fn zigzag(&mut self) -> Decoded<i64> {
        Ok(unzigzag(self.varint()?))
    }

    /// A varint that may be at most `limit`.
    pub(crate) fn bounded(&mut self, limit: usize, what: &'static str) -> Decoded<usize> {
        match usize::try_from(self.varint()?) {
            Ok(value) if value <= limit => Ok(value),
            _ => Err(Malformed(what)),
        }
    }

    /// What [`put_blob`] wrote.
    pub(crate) fn blob(&mut self) -> Decoded<std::borrow::Cow<'a, [u8]>> {
        let length = self.bounded(MAX_DECODED_BYTES, "a blob is larger than the limit")?;
        let stored = self.bounded(MAX_DECODED_BYTES, "a blob is larger than the limit")?;
        if stored == 0 {
            return Ok(self.take(length)?.into());
        }
        Ok(decompress(self.take(stored)?, length)?.into())
    }

    /// Fails when anything is left over: a reader that stops early has misunderstood what it read.
    pub(crate) fn finish(self) -> Decoded<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes are left over after its content"))
        }
    }
}
