//! Protobuf wire primitives, and the encoding of attribute values.
//!
//! A [`Reader`] walks the fields of one message without copying. Values nested in rows
//! (`ArrayValue`, `KeyValueList`) stay in this encoding from the wire to the disk: [`any_value`]
//! checks them once on the way in, [`ValueRef::to_value`] unfolds them on the way out.
//!
//! What is accepted, and what it means, is what generated decoders make of it: of a field that is
//! sent twice the last counts, a message that is sent twice is the sum of both, and groups are
//! passed over where no field of that number is known.

mod merge;
mod values;

use crate::row::DecodeError;

pub use merge::Joined;
pub use values::{
    any_value, any_value_again, array_items, encode_array, encode_kvlist, key_value, kvlist_items,
    owned_bytes, put_key_value, put_value,
};

/// How deep messages and groups may nest in a request; the limit of most protobuf libraries.
pub const DEPTH_MAX: u32 = 100;

/// The text that is not there. Unlike `""` it has an address in memory: some C libraries compare
/// texts of no length by a load from where they say that they are, which takes a hundred times as
/// long where nothing is, and a request may have millions of them.
pub const EMPTY: &str = "-".split_at(0).0;

/// One field's payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
    /// Wire type 3, with all that is in it. No field of OTLP is one.
    Group,
}

/// Walks the fields of one encoded message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
    base: usize,
    /// In how many messages this one lies.
    depth: u32,
    joined: Option<&'a Joined>,
}

impl<'a> Reader<'a> {
    /// A reader over a whole message.
    pub fn new(buffer: &'a [u8]) -> Self {
        Self {
            buffer,
            at: 0,
            base: 0,
            depth: 0,
            joined: None,
        }
    }

    /// A reader over a whole message that keeps in `joined` the messages that were sent twice.
    /// Without it the last of them counts.
    pub fn joining(buffer: &'a [u8], joined: &'a Joined) -> Self {
        Self {
            joined: Some(joined),
            ..Self::new(buffer)
        }
    }

    /// A reader over a message that lies inside `self`'s buffer, so that error offsets stay
    /// those of the whole request.
    pub fn nested(&self, message: &'a [u8]) -> Reader<'a> {
        let base = (message.as_ptr() as usize)
            .checked_sub(self.buffer.as_ptr() as usize)
            .filter(|offset| *offset <= self.buffer.len())
            .map_or(self.base, |offset| self.base + offset);
        Reader {
            buffer: message,
            at: 0,
            base,
            depth: self.depth + 1,
            joined: self.joined,
        }
    }

    /// Of messages that hold each other: an error where they do so too often.
    #[inline]
    fn check_depth(&self) -> Result<(), DecodeError> {
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        Ok(())
    }

    /// Passes over a field that means nothing.
    #[inline]
    fn unknown(&self) -> Result<(), DecodeError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        Ok(())
    }

    /// An error at the present position.
    pub fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError {
            offset: self.base + self.at,
            reason,
        }
    }

    /// Whether all fields are read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.buffer.len()
    }

    /// Reads a base-128 varint.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some(&byte) = self.buffer.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        self.varint_slow()
    }

    fn varint_slow(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.buffer.get(self.at) else {
                return Err(self.error("truncated varint"));
            };
            if shift == 63 && byte > 1 {
                return Err(self.error("varint over 64 bits"));
            }
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("varint over 64 bits"))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.buffer.len());
        let Some(end) = end else {
            return Err(self.error("truncated field"));
        };
        let bytes = &self.buffer[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// The next field: its number and payload, or `None` at the end of the message.
    #[inline]
    #[allow(clippy::should_implement_trait)] // A wrong field is an error, not the end.
    pub fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let field = match wire_type {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Field::Bytes(self.delimited()?),
            3 => {
                self.skip_group(number, self.depth)?;
                Field::Group
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(self.error("unknown wire type")),
        };
        Ok(Some((number, field)))
    }

    /// The number and the wire type of the field that follows.
    #[inline]
    fn key(&mut self) -> Result<(u32, u32), DecodeError> {
        let key = self.varint()?;
        let Ok(key) = u32::try_from(key) else {
            return Err(self.error("field key over 32 bits"));
        };
        if key >> 3 == 0 {
            return Err(self.error("field number 0"));
        }
        Ok((key >> 3, key & 7))
    }

    /// The bytes after a length: a field's payload, or a message in a stream of such.
    #[inline]
    pub fn delimited(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| self.error("field length over memory"))?;
        self.take(length)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        Ok(bytes
            .try_into()
            .expect("take returns as many bytes as asked"))
    }

    /// Skips a group (deprecated in protobuf, but legal as an unknown field).
    fn skip_group(&mut self, group: u32, depth: u32) -> Result<(), DecodeError> {
        if depth >= DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        loop {
            if self.is_empty() {
                return Err(self.error("unterminated group"));
            }
            let (number, wire_type) = self.key()?;
            if wire_type != 4 && depth + 1 >= DEPTH_MAX {
                return Err(self.error("nested too deep"));
            }
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => drop(self.delimited()?),
                3 => self.skip_group(number, depth + 1)?,
                4 if number == group => return Ok(()),
                4 => return Err(self.error("group ends with another number")),
                5 => drop(self.take(4)?),
                _ => return Err(self.error("unknown wire type")),
            }
        }
    }

    /// `bytes` as text.
    #[inline]
    pub fn text(&self, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(bytes).map_err(|_| self.error("string is not UTF-8"))
    }
}

impl<'a> Field<'a> {
    /// The payload of a varint field.
    #[inline]
    pub fn varint(self, reader: &Reader<'_>) -> Result<u64, DecodeError> {
        match self {
            Field::Varint(value) => Ok(value),
            _ => Err(reader.error("expected a varint")),
        }
    }

    /// The payload of a fixed64 field.
    #[inline]
    pub fn fixed64(self, reader: &Reader<'_>) -> Result<u64, DecodeError> {
        match self {
            Field::Fixed64(value) => Ok(value),
            _ => Err(reader.error("expected a 64-bit value")),
        }
    }

    /// The payload of a fixed32 field.
    #[inline]
    pub fn fixed32(self, reader: &Reader<'_>) -> Result<u32, DecodeError> {
        match self {
            Field::Fixed32(value) => Ok(value),
            _ => Err(reader.error("expected a 32-bit value")),
        }
    }

    /// The payload of a double field.
    #[inline]
    pub fn double(self, reader: &Reader<'_>) -> Result<f64, DecodeError> {
        self.fixed64(reader).map(f64::from_bits)
    }

    /// The payload of a bytes or message field.
    #[inline]
    pub fn bytes(self, reader: &Reader<'_>) -> Result<&'a [u8], DecodeError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(reader.error("expected a length-delimited field")),
        }
    }

    /// The payload of a string field.
    #[inline]
    pub fn text(self, reader: &Reader<'a>) -> Result<&'a str, DecodeError> {
        reader.text(self.bytes(reader)?)
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[allow(clippy::cast_possible_truncation)]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)]
    out.push(value as u8);
}

/// Appends a field key.
pub fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

/// Appends a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_key(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field as it was read, but for groups, which nobody reads.
pub fn put_field(out: &mut Vec<u8>, number: u32, field: Field<'_>) {
    match field {
        Field::Varint(value) => {
            put_key(out, number, 0);
            put_varint(out, value);
        }
        Field::Fixed64(value) => {
            put_key(out, number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Field::Bytes(bytes) => put_bytes(out, number, bytes),
        Field::Fixed32(value) => {
            put_key(out, number, 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Field::Group => {}
    }
}

#[cfg(test)]
mod tests;
