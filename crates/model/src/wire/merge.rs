//! Messages that were sent twice where there is room for one: protobuf takes them for one message
//! in two parts.
//!
//! No encoder of OTLP writes such a thing, so it may cost something, but not much: the parts are
//! copied together, within limits that no value of a real sender comes near.

use std::cell::{Cell, OnceCell};

use super::{Reader, put_bytes, put_field};
use crate::row::DecodeError;

/// How many messages of a request may have been sent in parts.
const COUNT_MAX: usize = 256;
/// How long each may be.
const BYTES_MAX: usize = 64 << 10;

/// Messages that came in parts, put together. They live as long as the request is read.
#[derive(Debug, Default)]
pub struct Joined {
    messages: OnceCell<Box<[OnceCell<Vec<u8>>]>>,
    count: Cell<usize>,
}

impl Joined {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    fn keep(&self, message: Vec<u8>) -> Option<&[u8]> {
        let messages = self
            .messages
            .get_or_init(|| (0..COUNT_MAX).map(|_| OnceCell::new()).collect());
        let at = self.count.get();
        self.count.set(at + 1);
        Some(messages.get(at)?.get_or_init(|| message))
    }
}

fn keep<'a>(reader: &Reader<'a>, message: Vec<u8>) -> Result<&'a [u8], DecodeError> {
    let kept = reader.joined.and_then(|joined| joined.keep(message));
    kept.ok_or_else(|| reader.error("too many fields that are sent twice"))
}

fn check_length(reader: &Reader<'_>, bytes: usize) -> Result<(), DecodeError> {
    if bytes > BYTES_MAX {
        return Err(reader.error("a long value that is sent twice"));
    }
    Ok(())
}

/// A message in two parts; the second alone where there is nothing to keep them in.
pub(super) fn join<'a>(
    reader: &Reader<'a>,
    one: &'a [u8],
    other: &'a [u8],
) -> Result<&'a [u8], DecodeError> {
    if reader.joined.is_none() {
        return Ok(other);
    }
    check_length(reader, one.len() + other.len())?;
    keep(reader, [one, other].concat())
}

/// A valid `AnyValue` rewritten so that nothing in it is sent twice.
pub(super) fn value<'a>(reader: &Reader<'a>, message: &[u8]) -> Result<&'a [u8], DecodeError> {
    check_length(reader, message.len())?;
    let mut out = Vec::with_capacity(message.len());
    put_merged_value(&mut out, message)?;
    keep(reader, out)
}

/// A valid `KeyValue` rewritten so that nothing in it is sent twice.
pub(super) fn pair<'a>(reader: &Reader<'a>, message: &[u8]) -> Result<&'a [u8], DecodeError> {
    check_length(reader, message.len())?;
    let mut out = Vec::with_capacity(message.len());
    put_merged_pair(&mut out, message)?;
    keep(reader, out)
}

/// Appends the one value that counts. Lists add up, unless a value of another type is between
/// them.
fn put_merged_value(out: &mut Vec<u8>, message: &[u8]) -> Result<(), DecodeError> {
    let (mut present, mut first, mut last) = (0, 0, 0);
    let mut reader = Reader::new(message);
    while let Some((number, _)) = reader.next()? {
        last += 1;
        if matches!(number, 1..=8) && number != present {
            (present, first) = (number, last);
        }
    }
    let (mut list, mut scalar) = (Vec::new(), None);
    let mut reader = Reader::new(message);
    let mut at = 0;
    while let Some((number, field)) = reader.next()? {
        at += 1;
        if at < first || number != present {
            continue;
        }
        match number {
            5 | 6 => put_merged_items(&mut list, field.bytes(&reader)?, number == 6)?,
            _ => scalar = Some(field),
        }
    }
    match scalar {
        None if present == 0 => {}
        None => put_bytes(out, present, &list),
        Some(field) => put_field(out, present, field),
    }
    Ok(())
}

fn put_merged_items(list: &mut Vec<u8>, part: &[u8], pairs: bool) -> Result<(), DecodeError> {
    let mut reader = Reader::new(part);
    while let Some((number, field)) = reader.next()? {
        if number != 1 {
            continue;
        }
        let mut item = Vec::new();
        let bytes = field.bytes(&reader)?;
        if pairs {
            put_merged_pair(&mut item, bytes)?;
        } else {
            put_merged_value(&mut item, bytes)?;
        }
        put_bytes(list, 1, &item);
    }
    Ok(())
}

fn put_merged_pair(out: &mut Vec<u8>, message: &[u8]) -> Result<(), DecodeError> {
    let (mut key, mut value) = (&[][..], Vec::new());
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => key = field.bytes(&reader)?,
            2 => value.extend_from_slice(field.bytes(&reader)?),
            _ => {}
        }
    }
    put_bytes(out, 1, key);
    let mut merged = Vec::new();
    put_merged_value(&mut merged, &value)?;
    put_bytes(out, 2, &merged);
    Ok(())
}
