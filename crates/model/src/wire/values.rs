//! Attribute values: `AnyValue` and what is nested in it.

use super::merge::{self, join};
use super::{EMPTY, Reader, put_bytes, put_key, put_varint};
use crate::room::allocation;
use crate::row::DecodeError;
use crate::value::{KeyValue, KeyValueRef, Value, ValueRef};

/// Reads an encoded `AnyValue` and validates what is nested in it.
pub fn any_value<'a>(parent: &Reader<'a>, message: &'a [u8]) -> Result<ValueRef<'a>, DecodeError> {
    match scan_value(parent, message)? {
        (_, true) if parent.joined.is_some() => {
            let message = merge::value(parent, message)?;
            Ok(scan_value(parent, message)?.0)
        }
        (value, _) => Ok(value),
    }
}

/// Reads an encoded `KeyValue`.
pub fn key_value<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
) -> Result<KeyValueRef<'a>, DecodeError> {
    match scan_pair(parent, message)? {
        (_, true) if parent.joined.is_some() => {
            let message = merge::pair(parent, message)?;
            Ok(scan_pair(parent, message)?.0)
        }
        (pair, _) => Ok(pair),
    }
}

/// Reads an encoded `AnyValue` that goes on in `message`, where a singular field is sent again.
pub fn any_value_again<'a>(
    parent: &Reader<'a>,
    before: &'a [u8],
    message: &'a [u8],
) -> Result<(&'a [u8], ValueRef<'a>), DecodeError> {
    let message = join(parent, before, message)?;
    Ok((message, any_value(parent, message)?))
}

/// A value, and whether some message in it is sent twice, so that it is not all of the value.
fn scan_value<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
) -> Result<(ValueRef<'a>, bool), DecodeError> {
    let mut reader = parent.nested(message);
    reader.check_depth()?;
    let mut value = ValueRef::Empty;
    let mut twice = false;
    while let Some((number, field)) = reader.next()? {
        value = match number {
            1 => ValueRef::Str(field.text(&reader)?),
            2 => ValueRef::Bool(field.varint(&reader)? != 0),
            #[allow(clippy::cast_possible_wrap)]
            3 => ValueRef::Int(field.varint(&reader)? as i64),
            4 => ValueRef::Double(field.double(&reader)?),
            5 => {
                let list = field.bytes(&reader)?;
                twice |= scan_array(&reader, list)? | matches!(value, ValueRef::Array(_));
                ValueRef::Array(list)
            }
            6 => {
                let list = field.bytes(&reader)?;
                twice |= scan_kvlist(&reader, list)? | matches!(value, ValueRef::KvList(_));
                ValueRef::KvList(list)
            }
            7 => ValueRef::Bytes(field.bytes(&reader)?),
            8 => {
                // An index into a profile's string table: to the other signals no value.
                field.varint(&reader)?;
                ValueRef::Empty
            }
            _ => {
                reader.unknown()?;
                continue;
            }
        };
    }
    Ok((value, twice))
}

fn scan_pair<'a>(
    parent: &Reader<'a>,
    message: &'a [u8],
) -> Result<(KeyValueRef<'a>, bool), DecodeError> {
    let mut reader = parent.nested(message);
    reader.check_depth()?;
    let mut pair = KeyValueRef {
        key: EMPTY,
        value: ValueRef::Empty,
    };
    let (mut values, mut twice) = (0, false);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => pair.key = field.text(&reader)?,
            2 => {
                let inner;
                (pair.value, inner) = scan_value(&reader, field.bytes(&reader)?)?;
                values += 1;
                twice |= inner | (values > 1);
            }
            3 => drop(field.varint(&reader)?),
            _ => reader.unknown()?,
        }
    }
    Ok((pair, twice))
}

fn scan_array<'a>(parent: &Reader<'a>, message: &'a [u8]) -> Result<bool, DecodeError> {
    let mut reader = parent.nested(message);
    reader.check_depth()?;
    let mut twice = false;
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => twice |= scan_value(&reader, field.bytes(&reader)?)?.1,
            _ => reader.unknown()?,
        }
    }
    Ok(twice)
}

fn scan_kvlist<'a>(parent: &Reader<'a>, message: &'a [u8]) -> Result<bool, DecodeError> {
    let mut reader = parent.nested(message);
    reader.check_depth()?;
    let mut twice = false;
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => twice |= scan_pair(&reader, field.bytes(&reader)?)?.1,
            _ => reader.unknown()?,
        }
    }
    Ok(twice)
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
    items(list, any_value)
}

/// The members of an encoded `KeyValueList`.
pub fn kvlist_items(list: &[u8]) -> impl Iterator<Item = KeyValueRef<'_>> {
    items(list, key_value)
}

fn items<'a, T>(
    list: &'a [u8],
    read: fn(&Reader<'a>, &'a [u8]) -> Result<T, DecodeError>,
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
