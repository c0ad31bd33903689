//! Protobuf wire primitives, and the encoding of attribute values.
//!
//! A [`Reader`] walks the fields of one message without copying. Values nested in rows
//! (`ArrayValue`, `KeyValueList`) stay in this encoding from the wire to the disk; [`validate`]
//! checks them once on the way in, [`decode_value`] unfolds them on the way out.

use crate::room::allocation;
use crate::row::DecodeError;
use crate::value::{KeyValue, KeyValueRef, Value, ValueRef};

/// How deep arrays and lists may nest, and how deep any message may.
pub const DEPTH_MAX: usize = 64;

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
}

/// Walks the fields of one encoded message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    /// A reader over a whole message.
    pub fn new(buffer: &'a [u8]) -> Self {
        Self {
            buffer,
            at: 0,
            base: 0,
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
        }
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
        let key = self.varint()?;
        let Ok(key) = u32::try_from(key) else {
            return Err(self.error("field key over 32 bits"));
        };
        let number = key >> 3;
        if number == 0 {
            return Err(self.error("field number 0"));
        }
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let length =
                    usize::try_from(length).map_err(|_| self.error("field length over memory"))?;
                Field::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group(number, 0)?;
                return self.next();
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(self.error("unknown wire type")),
        };
        Ok(Some((number, field)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        Ok(bytes
            .try_into()
            .expect("take returns as many bytes as asked"))
    }

    /// Skips a group (deprecated in protobuf, but legal as an unknown field).
    fn skip_group(&mut self, group: u32, depth: usize) -> Result<(), DecodeError> {
        if depth > DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        loop {
            if self.is_empty() {
                return Err(self.error("unterminated group"));
            }
            let key = self.varint()?;
            let number =
                u32::try_from(key >> 3).map_err(|_| self.error("field key over 32 bits"))?;
            match key & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = self.varint()?;
                    let length = usize::try_from(length)
                        .map_err(|_| self.error("field length over memory"))?;
                    self.take(length)?;
                }
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

/// Reads an encoded `AnyValue` and validates what is nested in it.
pub fn any_value<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    depth: usize,
) -> Result<ValueRef<'a>, DecodeError> {
    let mut reader = parent.nested(message);
    if depth > DEPTH_MAX {
        return Err(reader.error("attribute values nested too deep"));
    }
    let mut value = ValueRef::Empty;
    while let Some((number, field)) = reader.next()? {
        value = match number {
            1 => ValueRef::Str(field.text(&reader)?),
            2 => ValueRef::Bool(field.varint(&reader)? != 0),
            #[allow(clippy::cast_possible_wrap)]
            3 => ValueRef::Int(field.varint(&reader)? as i64),
            4 => ValueRef::Double(field.double(&reader)?),
            5 => {
                let list = field.bytes(&reader)?;
                validate_array(&reader, list, depth + 1)?;
                ValueRef::Array(list)
            }
            6 => {
                let list = field.bytes(&reader)?;
                validate_kvlist(&reader, list, depth + 1)?;
                ValueRef::KvList(list)
            }
            7 => ValueRef::Bytes(field.bytes(&reader)?),
            8 => {
                // An index into a profile's string table: it means nothing in the other signals.
                field.varint(&reader)?;
                continue;
            }
            _ => continue,
        };
    }
    Ok(value)
}

/// Reads an encoded `KeyValue`.
pub fn key_value<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    depth: usize,
) -> Result<KeyValueRef<'a>, DecodeError> {
    let mut reader = parent.nested(message);
    let mut pair = KeyValueRef {
        key: "",
        value: ValueRef::Empty,
    };
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => pair.key = field.text(&reader)?,
            2 => pair.value = any_value(&reader, field.bytes(&reader)?, depth)?,
            3 => drop(field.varint(&reader)?),
            _ => {}
        }
    }
    Ok(pair)
}

fn validate_array<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    depth: usize,
) -> Result<(), DecodeError> {
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        if number == 1 {
            any_value(&reader, field.bytes(&reader)?, depth)?;
        }
    }
    Ok(())
}

fn validate_kvlist<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
    depth: usize,
) -> Result<(), DecodeError> {
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        if number == 1 {
            key_value(&reader, field.bytes(&reader)?, depth)?;
        }
    }
    Ok(())
}

impl ValueRef<'_> {
    /// The owned tree. Nested encodings were validated when the row came in; one that does not
    /// read (a damaged block) becomes [`Value::Empty`] after the part that does.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Empty => Value::Empty,
            ValueRef::Str(text) => Value::Str(text.to_owned()),
            ValueRef::Bool(flag) => Value::Bool(flag),
            ValueRef::Int(int) => Value::Int(int),
            ValueRef::Double(double) => Value::Double(double),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            ValueRef::Array(list) => Value::Array(array_items(list).map(Self::to_value).collect()),
            ValueRef::KvList(list) => {
                Value::KvList(kvlist_items(list).map(KeyValueRef::to_key_value).collect())
            }
        }
    }

    /// About how many bytes [`Self::to_value`] allocates. A list takes many times its encoding,
    /// in which an empty member has two bytes.
    pub fn owned_bytes(self) -> usize {
        match self {
            ValueRef::Str(text) => allocation(text.len()),
            ValueRef::Bytes(bytes) => allocation(bytes.len()),
            ValueRef::Array(list) => {
                members_bytes::<Value>(array_items(list).map(Self::owned_bytes))
            }
            ValueRef::KvList(list) => {
                members_bytes::<KeyValue>(kvlist_items(list).map(KeyValueRef::owned_bytes))
            }
            ValueRef::Empty | ValueRef::Bool(_) | ValueRef::Int(_) | ValueRef::Double(_) => 0,
        }
    }
}

/// A list that grew member by member, whose members allocate so much each.
fn members_bytes<T>(members: impl Iterator<Item = usize>) -> usize {
    let (mut count, mut bytes) = (0usize, 0usize);
    for member in members {
        count += 1;
        bytes = bytes.saturating_add(member);
    }
    match count {
        0 => 0,
        _ => bytes.saturating_add(allocation(
            count.next_power_of_two().max(4) * size_of::<T>(),
        )),
    }
}

/// About how many bytes these attributes allocate once they are owned.
pub fn owned_bytes(attributes: &[KeyValueRef<'_>]) -> usize {
    let each = attributes.iter().map(|pair| pair.owned_bytes());
    allocation(attributes.len() * size_of::<KeyValue>()).saturating_add(each.sum())
}

impl KeyValueRef<'_> {
    /// About how many bytes [`Self::to_key_value`] allocates.
    pub fn owned_bytes(self) -> usize {
        allocation(self.key.len()).saturating_add(self.value.owned_bytes())
    }

    /// The owned attribute.
    pub fn to_key_value(self) -> KeyValue {
        KeyValue {
            key: self.key.to_owned(),
            value: self.value.to_value(),
        }
    }
}

/// The members of an encoded `ArrayValue`.
pub fn array_items(list: &[u8]) -> impl Iterator<Item = ValueRef<'_>> {
    items(list, |reader, message| any_value(reader, message, 0))
}

/// The members of an encoded `KeyValueList`.
pub fn kvlist_items(list: &[u8]) -> impl Iterator<Item = KeyValueRef<'_>> {
    items(list, |reader, message| key_value(reader, message, 0))
}

fn items<'a, T>(
    list: &'a [u8],
    read: impl Fn(&Reader<'a>, &'a [u8]) -> Result<T, DecodeError>,
) -> impl Iterator<Item = T> {
    let mut reader = Reader::new(list);
    std::iter::from_fn(move || {
        loop {
            let (number, field) = reader.next().ok()??;
            if number == 1 {
                return read(&reader, field.bytes(&reader).ok()?).ok();
            }
        }
    })
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

/// Appends the fields of an `AnyValue` message (not its own key and length).
pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Empty => {}
        Value::Str(text) => put_bytes(out, 1, text.as_bytes()),
        Value::Bool(flag) => {
            put_key(out, 2, 0);
            out.push(u8::from(*flag));
        }
        #[allow(clippy::cast_sign_loss)]
        Value::Int(int) => {
            put_key(out, 3, 0);
            put_varint(out, *int as u64);
        }
        Value::Double(double) => {
            put_key(out, 4, 1);
            out.extend_from_slice(&double.to_bits().to_le_bytes());
        }
        Value::Array(values) => put_bytes(out, 5, &encode_array(values)),
        Value::KvList(pairs) => put_bytes(out, 6, &encode_kvlist(pairs)),
        Value::Bytes(bytes) => put_bytes(out, 7, bytes),
    }
}

/// An encoded `ArrayValue`.
pub fn encode_array(values: &[Value]) -> Vec<u8> {
    let mut list = Vec::new();
    for value in values {
        let mut message = Vec::new();
        put_value(&mut message, value);
        put_bytes(&mut list, 1, &message);
    }
    list
}

/// An encoded `KeyValueList`.
pub fn encode_kvlist(pairs: &[KeyValue]) -> Vec<u8> {
    let mut list = Vec::new();
    for pair in pairs {
        let mut message = Vec::new();
        put_key_value(&mut message, pair);
        put_bytes(&mut list, 1, &message);
    }
    list
}

/// Appends the fields of a `KeyValue` message.
pub fn put_key_value(out: &mut Vec<u8>, pair: &KeyValue) {
    put_bytes(out, 1, pair.key.as_bytes());
    let mut value = Vec::new();
    put_value(&mut value, &pair.value);
    put_bytes(out, 2, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_come_back() {
        let value = Value::KvList(vec![
            KeyValue::new(
                "a",
                Value::Array(vec![Value::Int(-1), Value::Empty, "x".into()]),
            ),
            KeyValue::new("a", Value::Bytes(vec![0, 255])),
            KeyValue::new("", f64::NEG_INFINITY),
        ]);
        let mut message = Vec::new();
        put_value(&mut message, &value);
        let read = any_value(&Reader::new(&message), &message, 0).unwrap();
        assert_eq!(read.to_value(), value);
    }

    #[test]
    fn a_list_counts_what_it_takes_once_it_is_owned() {
        // A thousand empty members: two bytes each in the encoding.
        let list = [10, 0].repeat(1_000);
        let members = ValueRef::Array(&list).to_value();
        assert_eq!(members, Value::Array(vec![Value::Empty; 1_000]));
        let bytes = ValueRef::Array(&list).owned_bytes();
        let least = 1_000 * size_of::<Value>();
        assert!((least..=2 * least).contains(&bytes), "{bytes}");
        let pairs = ValueRef::KvList(&list).owned_bytes();
        let least = 1_000 * size_of::<KeyValue>();
        assert!((least..=2 * least).contains(&pairs), "{pairs}");
        // One in another counts both.
        let mut nested = Vec::new();
        put_bytes(&mut nested, 5, &list);
        let mut outer = Vec::new();
        put_bytes(&mut outer, 1, &nested);
        assert!(ValueRef::Array(&outer).owned_bytes() > bytes);
        let text = KeyValueRef {
            key: "key",
            value: ValueRef::Str("some text"),
        };
        assert_eq!(text.owned_bytes(), 32 + 32);
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let mut reader = Reader::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(reader.next().unwrap_err().reason, "truncated field");
        assert!(Reader::new(&[0xff; 11]).next().is_err());
        assert!(Reader::new(&[0x07]).next().is_err());
        let mut deep = Vec::new();
        for _ in 0..200 {
            let mut outer = Vec::new();
            put_bytes(&mut outer, 1, &deep);
            deep.clear();
            put_bytes(&mut deep, 5, &outer);
        }
        let error = any_value(&Reader::new(&deep), &deep, 0).unwrap_err();
        assert_eq!(error.reason, "attribute values nested too deep");
    }
}
