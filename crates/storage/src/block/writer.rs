//! Encodes one block.

use std::borrow::Cow;

use super::distinct::{Distinct, distinct};
use super::ints::{self, Depth};
use super::text::{self, Templated};
use super::wire::{put_varint, zigzag};
use super::{
    BlockError, ColumnId, Encoding, Kind, MAGIC, MAX_COLUMNS, MAX_NAME_BYTES, MAX_TEXT_BYTES,
    MAX_VALUES, VERSION, codes, doubles,
};

/// The values of one column. Their number need not be the number of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Values<'a> {
    Int(Cow<'a, [i64]>),
    UInt(Cow<'a, [u64]>),
    Double(Cow<'a, [f64]>),
    Bool(Cow<'a, [bool]>),
    Text(Vec<&'a str>),
    Bytes(Vec<&'a [u8]>),
    Fixed8(Cow<'a, [[u8; 8]]>),
    Fixed16(Cow<'a, [[u8; 16]]>),
}

impl Values<'_> {
    /// The kind of column that holds these values.
    pub fn kind(&self) -> Kind {
        match self {
            Values::Int(_) => Kind::Int,
            Values::UInt(_) => Kind::UInt,
            Values::Double(_) => Kind::Double,
            Values::Bool(_) => Kind::Bool,
            Values::Text(_) => Kind::Text,
            Values::Bytes(_) => Kind::Bytes,
            Values::Fixed8(_) => Kind::Fixed8,
            Values::Fixed16(_) => Kind::Fixed16,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Values::Int(values) => values.len(),
            Values::UInt(values) => values.len(),
            Values::Double(values) => values.len(),
            Values::Bool(values) => values.len(),
            Values::Text(values) => values.len(),
            Values::Bytes(values) => values.len(),
            Values::Fixed8(values) => values.len(),
            Values::Fixed16(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A column that is encoded and waits for the directory.
#[derive(Debug)]
struct Written {
    id: ColumnId,
    encoding: Encoding,
    count: usize,
    distinct: Option<u32>,
    /// The smallest and largest value as the directory stores them: see [`put_range`].
    range: Option<(u64, u64)>,
    start: usize,
    end: usize,
}

/// Collects the columns of one block. The first error is kept and returned by [`finish`](Self::finish).
#[derive(Debug)]
pub struct BlockWriter {
    rows: u32,
    payload: Vec<u8>,
    columns: Vec<Written>,
    error: Option<BlockError>,
}

impl BlockWriter {
    /// Starts a block of `rows` rows.
    pub fn new(rows: u32) -> Self {
        BlockWriter {
            rows,
            payload: Vec::new(),
            columns: Vec::new(),
            error: None,
        }
    }

    /// Encodes one column. A name may come once for each kind.
    pub fn column(&mut self, name: &str, values: Values<'_>) -> &mut Self {
        if self.error.is_none()
            && let Err(error) = self.try_column(name, values)
        {
            self.error = Some(error);
        }
        self
    }

    /// Encodes a column of text and tells which of its values are distinct.
    pub(crate) fn text(&mut self, name: &str, values: &[&str]) -> Distinct {
        self.templated(name, values).0
    }

    /// The same, and which templates the distinct values have, where they are stored so.
    pub(crate) fn templated(
        &mut self,
        name: &str,
        values: &[&str],
    ) -> (Distinct, Option<Templated>) {
        let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let found = distinct(&bytes);
        let mut templates = None;
        if self.error.is_none()
            && let Err(error) = self.try_write(name, Kind::Text, bytes.len(), |out, id| {
                let (encoded, chosen) = encode_text(out, id, &bytes, &found)?;
                templates = chosen;
                Ok(encoded)
            })
        {
            self.error = Some(error);
        }
        (found, templates)
    }

    fn try_column(&mut self, name: &str, values: Values<'_>) -> Result<(), BlockError> {
        self.try_write(name, values.kind(), values.len(), |out, id| {
            encode(out, id, values)
        })
    }

    fn try_write(
        &mut self,
        name: &str,
        kind: Kind,
        count: usize,
        encode: impl FnOnce(&mut Vec<u8>, &ColumnId) -> Result<Encoded, BlockError>,
    ) -> Result<(), BlockError> {
        let id = ColumnId {
            name: name.into(),
            kind,
        };
        limit(&id, "name bytes", name.len(), MAX_NAME_BYTES)?;
        limit(&id, "columns", self.columns.len() + 1, MAX_COLUMNS)?;
        limit(&id, "values", count, MAX_VALUES)?;
        let start = self.payload.len();
        let (encoding, distinct, range) = encode(&mut self.payload, &id)?;
        self.columns.push(Written {
            id,
            encoding,
            count,
            distinct,
            range,
            start,
            end: self.payload.len(),
        });
        Ok(())
    }

    /// The whole block, or the first error of any column.
    pub fn finish(mut self) -> Result<Vec<u8>, BlockError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.columns.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(pair) = self
            .columns
            .windows(2)
            .find(|pair| pair[0].id == pair[1].id)
        {
            return Err(BlockError::Duplicate {
                column: pair[0].id.clone(),
            });
        }
        let mut block = Vec::with_capacity(self.payload.len() + 64 + self.columns.len() * 32);
        block.extend_from_slice(&MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&[0, 0]);
        for column in &self.columns {
            block.extend_from_slice(&self.payload[column.start..column.end]);
        }
        let footer = block.len();
        put_varint(&mut block, u64::from(self.rows));
        put_varint(&mut block, self.columns.len() as u64);
        let mut previous = "";
        for column in &self.columns {
            put_entry(
                &mut block,
                column,
                previous,
                &self.payload[column.start..column.end],
            );
            previous = &column.id.name;
        }
        let length = block.len() - footer;
        let checksum = crc32c::crc32c(&block[footer..]);
        block.extend_from_slice(&(length as u32).to_le_bytes());
        block.extend_from_slice(&checksum.to_le_bytes());
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&[0, 0]);
        block.extend_from_slice(&MAGIC);
        Ok(block)
    }
}

fn limit(
    column: &ColumnId,
    what: &'static str,
    value: usize,
    limit: usize,
) -> Result<(), BlockError> {
    if value <= limit {
        return Ok(());
    }
    Err(BlockError::TooLarge {
        column: column.clone(),
        what,
        value,
        limit,
    })
}

/// Appends the directory entry of one column; `previous` is the name of the entry before.
fn put_entry(out: &mut Vec<u8>, column: &Written, previous: &str, payload: &[u8]) {
    let name = column.id.name.as_bytes();
    let shared = name
        .iter()
        .zip(previous.as_bytes())
        .take_while(|(a, b)| a == b)
        .count();
    put_varint(out, shared as u64);
    put_varint(out, (name.len() - shared) as u64);
    out.extend_from_slice(&name[shared..]);
    let ranged = if column.range.is_some() { 0x10 } else { 0 };
    let counted = if column.distinct.is_some() { 0x20 } else { 0 };
    out.push(column.id.kind as u8 | ranged | counted);
    out.push(column.encoding as u8);
    put_varint(out, payload.len() as u64);
    put_varint(out, column.count as u64);
    if let Some(distinct) = column.distinct {
        put_varint(out, u64::from(distinct));
    }
    if let Some((min, max)) = column.range {
        put_range(out, column.id.kind, min, max);
    }
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
}

/// Appends the smallest value and, for integers, how far the largest lies above it.
fn put_range(out: &mut Vec<u8>, kind: Kind, min: u64, max: u64) {
    if kind == Kind::Double {
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(&max.to_le_bytes());
    } else {
        put_varint(out, zigzag(min as i64));
        put_varint(out, max.wrapping_sub(min));
    }
}

type Encoded = (Encoding, Option<u32>, Option<(u64, u64)>);

fn encode(out: &mut Vec<u8>, id: &ColumnId, values: Values<'_>) -> Result<Encoded, BlockError> {
    if values.is_empty() {
        return Ok((Encoding::Empty, Some(0), None));
    }
    Ok(match values {
        Values::Int(values) => {
            let (min, max) = range(values.iter().copied());
            let words: Vec<u64> = values.iter().map(|value| *value as u64).collect();
            encode_ints(out, &words, min as u64, max as u64)
        }
        Values::UInt(values) => {
            let (min, max) = range(values.iter().copied());
            encode_ints(out, &values, min, max)
        }
        Values::Double(values) => {
            let (encoding, distinct) = doubles::encode(out, &values);
            (encoding, distinct, double_range(&values))
        }
        Values::Bool(values) => {
            let codes: Vec<u32> = values.iter().map(|value| u32::from(*value)).collect();
            let (min, max) = range(codes.iter().map(|code| u64::from(*code)));
            let distinct = Some(1 + u32::from(min != max));
            if min == max {
                out.push(min as u8);
                (Encoding::Constant, distinct, Some((min, max)))
            } else {
                codes::encode(out, &codes, 2);
                (Encoding::Dictionary, distinct, Some((min, max)))
            }
        }
        Values::Text(values) => {
            let values: Vec<&[u8]> = values.into_iter().map(str::as_bytes).collect();
            encode_text(out, id, &values, &distinct(&values))?.0
        }
        Values::Bytes(values) => encode_text(out, id, &values, &distinct(&values))?.0,
        Values::Fixed8(values) => encode_fixed(out, &values),
        Values::Fixed16(values) => encode_fixed(out, &values),
    })
}

/// The smallest and largest of values that are not none.
fn range<T: Ord + Copy + Default>(values: impl Iterator<Item = T>) -> (T, T) {
    values
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((min, max)) => Some((value.min(min), value.max(max))),
        })
        .unwrap_or_default()
}

/// The range of the values that are numbers.
fn double_range(values: &[f64]) -> Option<(u64, u64)> {
    let mut numbers = values.iter().copied().filter(|value| !value.is_nan());
    let first = numbers.next()?;
    let (min, max) = numbers.fold((first, first), |(min, max), value| {
        let smaller = value.total_cmp(&min).is_lt();
        let larger = value.total_cmp(&max).is_gt();
        (
            if smaller { value } else { min },
            if larger { value } else { max },
        )
    });
    Some((min.to_bits(), max.to_bits()))
}

fn encode_ints(out: &mut Vec<u8>, values: &[u64], min: u64, max: u64) -> Encoded {
    let (encoding, distinct) = match ints::encode(out, values, min, Depth::Outer) {
        ints::Chosen::Constant => (Encoding::Constant, Some(1)),
        ints::Chosen::Packed => (Encoding::Packed, None),
        ints::Chosen::Delta => (Encoding::Delta, None),
        ints::Chosen::Dictionary { distinct } => (Encoding::Dictionary, Some(distinct)),
    };
    (encoding, distinct, Some((min, max)))
}

fn encode_text(
    out: &mut Vec<u8>,
    id: &ColumnId,
    values: &[&[u8]],
    found: &Distinct,
) -> Result<(Encoded, Option<Templated>), BlockError> {
    if values.is_empty() {
        return Ok(((Encoding::Empty, Some(0), None), None));
    }
    let chosen = text::encode(out, values, found).map_err(|value| BlockError::TooLarge {
        column: id.clone(),
        what: "distinct bytes",
        value,
        limit: MAX_TEXT_BYTES,
    })?;
    let encoding = match chosen.distinct {
        1 => Encoding::Constant,
        _ if chosen.templates.is_some() => Encoding::Templates,
        _ => Encoding::Dictionary,
    };
    let encoded = (encoding, Some(chosen.distinct as u32), None);
    Ok((encoded, chosen.templates))
}

/// Ids: a varint count of distinct ids, the ids and codes where that is smaller, else the ids as they are.
fn encode_fixed<const N: usize>(out: &mut Vec<u8>, values: &[[u8; N]]) -> Encoded {
    let found = distinct(values);
    let entries = found.first.len();
    let start = out.len();
    if entries < values.len() {
        put_varint(out, entries as u64);
        for at in &found.first {
            out.extend_from_slice(&values[*at as usize]);
        }
        codes::encode(out, &found.codes, entries);
        if out.len() - start < values.len() * N {
            let encoding = if entries == 1 {
                Encoding::Constant
            } else {
                Encoding::Dictionary
            };
            return (encoding, Some(entries as u32), None);
        }
        out.truncate(start);
    }
    out.extend_from_slice(values.as_flattened());
    (Encoding::Raw, Some(entries as u32), None)
}
