//! The fields table: which fields the rows of a file have, and which values, with counts.
//!
//! Services, operations, fields, completion and label values are read from it, without touching rows. For each field
//! (a name and a kind) it holds the number of rows, the number of distinct values, and up to 1,000 of the most
//! frequent values of up to 256 bytes each, and 131,072 of all attributes of rows together. What a cap cut off is never silent: rows whose value is not listed are
//! counted, and a number of distinct values that is only a lower bound says so.
//!
//! A file is, all integers little-endian: a header (magic `TLFT`, 2 bytes of version, 2 reserved), one section for
//! each field, the directory, and a trailer (length and CRC-32C of the directory, version, 2 reserved bytes, magic).
//! A section is the values in rising order as a list of strings and their counts as a stream of integers, both laid
//! out as in blocks. The directory is a varint of rows without a listed field, a varint count of fields, and for
//! each field, sorted by name and kind: how many bytes of its name equal the name before and how many follow
//! (varints), those bytes, a byte of kind (16 added when the number of distinct values is a lower bound), and as
//! varints the rows, the distinct values, the rows whose value is not listed, the listed values and the length of
//! its section; then the CRC-32C of the section.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::block::Kind;
use crate::block::codes::{Strings, decode_strings};
use crate::block::ints::{self, Depth};
use crate::block::wire::{Cursor, Decoded, Malformed};

mod merge;
#[cfg(test)]
mod tests;
mod writer;

pub use merge::merge;
pub(crate) use writer::FieldsTableWriter;
use writer::Rest;

const MAGIC: [u8; 4] = *b"TLFT";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8;
const TRAILER_BYTES: usize = 16;

/// Marks, in the kind byte, a number of distinct values that is a lower bound.
const LOWER_BOUND: u8 = 16;

/// The most values that a table lists for one field.
pub const MAX_LISTED_VALUES: usize = 1000;

/// How the names of attributes of rows begin. Their keys are the sender's choice, and there may be thousands.
pub(crate) const ATTRIBUTES: &str = "attr:";

/// The most values that a table lists of all attributes of rows together: where these have more, each lists about as
/// many of its most frequent ones as any other.
pub const MAX_VALUES: usize = 1 << 17;

/// Longer values are counted but not listed.
pub const MAX_VALUE_BYTES: usize = 256;

/// The most fields in one table.
pub const MAX_FIELDS: usize = 1 << 16;

/// Longer names are counted but not listed.
pub const MAX_FIELD_NAME_BYTES: usize = 1 << 10;

/// How many values of one field are followed while a table is built, so that the most frequent ones are listed
/// although they are not the first.
const MAX_FOLLOWED_VALUES: usize = 4 * MAX_LISTED_VALUES;

/// The most bytes of names and values that are followed while a table is built.
const MAX_FOLLOWED_BYTES: usize = 32 << 20;

/// Why a fields table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsTableError {
    #[error("not a fields table: {what}")]
    NotAFieldsTable { what: &'static str },
    #[error("fields table version {found} is not known, this program reads version {VERSION}")]
    Version { found: u16 },
    #[error("fields table directory is damaged: its checksum does not match")]
    DirectoryChecksum,
    #[error("fields table directory is malformed: {what}")]
    Directory { what: &'static str },
    #[error("the values of field {name:?} are damaged: their checksum does not match")]
    ValuesChecksum { name: Box<str> },
    #[error("the values of field {name:?} are malformed: {what}")]
    Values { name: Box<str>, what: &'static str },
}

/// How many distinct values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distinct {
    Exactly(u64),
    /// Not all of them were followed.
    AtLeast(u64),
}

impl Distinct {
    /// The number, whether or not it is exact.
    pub fn known(self) -> u64 {
        match self {
            Distinct::Exactly(count) | Distinct::AtLeast(count) => count,
        }
    }
}

/// What the directory says about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    pub name: Box<str>,
    /// Values of numeric kinds are listed as text.
    pub kind: Kind,
    /// The sum of the counts of all values, listed or not.
    pub rows: u64,
    pub distinct: Distinct,
    /// Rows whose value is not listed. When `distinct` is a lower bound, some of them may have a listed value.
    pub unlisted_rows: u64,
    /// How many values are listed.
    pub listed: usize,
    start: usize,
    end: usize,
    checksum: u32,
}

/// A listed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue {
    pub value: String,
    /// In how many rows it was counted.
    pub rows: u64,
}

/// What is known of a field while a table is built.
#[derive(Debug, Default)]
struct Followed {
    values: FxHashMap<Box<str>, u64>,
    unlisted_rows: u64,
    /// The least number of distinct values that a merged table or a caller told of.
    at_least: u64,
    bounded: bool,
}

/// Builds a table from counts of values, in any order, with bounded memory.
#[derive(Debug, Default)]
pub struct FieldsTableBuilder {
    fields: FxHashMap<(Box<str>, Kind), Followed>,
    followed_bytes: usize,
    unlisted_field_rows: u64,
}

impl FieldsTableBuilder {
    pub fn new() -> Self {
        FieldsTableBuilder::default()
    }

    /// Counts `rows` rows in which field `name` has `value`.
    pub fn add(&mut self, name: &str, kind: Kind, value: &str, rows: u64) {
        let room = self.followed_bytes < MAX_FOLLOWED_BYTES;
        let Some(field) = self.field(name, kind, rows) else {
            return;
        };
        if let Some(count) = field.values.get_mut(value) {
            *count = count.saturating_add(rows);
            return;
        }
        if value.len() > MAX_VALUE_BYTES || field.values.len() >= MAX_FOLLOWED_VALUES || !room {
            field.unlisted_rows = field.unlisted_rows.saturating_add(rows);
            field.at_least = field.at_least.max(1);
            field.bounded = true;
            return;
        }
        field.values.insert(value.into(), rows);
        self.followed_bytes += value.len() + size_of::<(Box<str>, u64)>();
    }

    /// Counts rows in which field `name` has values that shall not be listed, such as unique ids; at least
    /// `distinct` different ones.
    pub fn add_unlisted(&mut self, name: &str, kind: Kind, rows: u64, distinct: u64) {
        if let Some(field) = self.field(name, kind, rows) {
            field.unlisted_rows = field.unlisted_rows.saturating_add(rows);
            field.at_least = field.at_least.max(distinct);
            field.bounded = true;
        }
    }

    /// The field to count for; None, after counting the rows, when there are too many fields.
    fn field(&mut self, name: &str, kind: Kind, rows: u64) -> Option<&mut Followed> {
        let full = self.fields.len() >= MAX_FIELDS || self.followed_bytes >= MAX_FOLLOWED_BYTES;
        let key = (Box::from(name), kind);
        let known = self.fields.contains_key(&key);
        if !known && (full || name.len() > MAX_FIELD_NAME_BYTES) {
            self.unlisted_field_rows = self.unlisted_field_rows.saturating_add(rows);
            return None;
        }
        if !known {
            self.followed_bytes += name.len() + size_of::<((Box<str>, Kind), Followed)>();
        }
        Some(self.fields.entry(key).or_default())
    }

    /// The whole table.
    pub fn finish(self) -> Vec<u8> {
        let mut fields: Vec<((Box<str>, Kind), Followed)> = self.fields.into_iter().collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        let values = fields
            .iter()
            .map(|((name, _), field)| (&**name, field.values.len()));
        let mut writer = FieldsTableWriter::new(share(values));
        writer.unlisted_fields(self.unlisted_field_rows);
        for ((name, kind), field) in fields {
            let values = field.values.iter().map(|(value, rows)| (&**value, *rows));
            let rest = Rest {
                rows: field.unlisted_rows,
                at_least: field.at_least,
                bounded: field.bounded,
            };
            writer.write(&name, kind, values.collect(), rest);
        }
        writer.finish()
    }
}

/// How many values each attribute of rows may list, where the fields of a table have so many: as many as all
/// others, or all that it has.
pub(crate) fn share<'n>(values: impl Iterator<Item = (&'n str, usize)>) -> usize {
    let values = values.filter(|(name, _)| name.starts_with(ATTRIBUTES));
    let mut values: Vec<usize> = values
        .map(|(_, count)| count.min(MAX_LISTED_VALUES))
        .collect();
    values.sort_unstable();
    let mut left = MAX_VALUES;
    for (at, count) in values.iter().enumerate() {
        let fields = values.len() - at;
        if count * fields > left {
            return left / fields;
        }
        left -= count;
    }
    MAX_LISTED_VALUES
}

/// An open fields table.
#[derive(Debug, Clone)]
pub struct FieldsTable {
    bytes: Bytes,
    fields: Vec<FieldInfo>,
    unlisted_field_rows: u64,
}

impl FieldsTable {
    /// Reads the directory of a table, which must fill `bytes` exactly.
    pub fn open(bytes: Bytes) -> Result<Self, FieldsTableError> {
        const NOT: fn(&'static str) -> FieldsTableError =
            |what| FieldsTableError::NotAFieldsTable { what };
        let short = NOT("it is shorter than a header and a trailer");
        let body = bytes
            .len()
            .checked_sub(TRAILER_BYTES)
            .filter(|body| *body >= HEADER_BYTES)
            .ok_or(short)?;
        let trailer = &bytes[body..];
        if bytes[..4] != MAGIC || trailer[12..] != MAGIC {
            return Err(NOT("it does not start and end with the magic number"));
        }
        for version in [&bytes[4..8], &trailer[8..12]] {
            let found = u16::from_le_bytes([version[0], version[1]]);
            if found != VERSION {
                return Err(FieldsTableError::Version { found });
            }
            if version[2..] != [0, 0] {
                return Err(NOT("reserved bytes are in use"));
            }
        }
        let mut cursor = Cursor::new(trailer);
        let (Ok(length), Ok(checksum)) = (cursor.u32(), cursor.u32()) else {
            return Err(NOT("it is shorter than a header and a trailer"));
        };
        let start = body
            .checked_sub(length as usize)
            .filter(|start| *start >= HEADER_BYTES);
        let start = start.ok_or(NOT("its directory is longer than the file"))?;
        if crc32c::crc32c(&bytes[start..body]) != checksum {
            return Err(FieldsTableError::DirectoryChecksum);
        }
        let malformed = |error: Malformed| FieldsTableError::Directory { what: error.0 };
        let (unlisted_field_rows, fields) =
            read_directory(&bytes[start..body], start).map_err(malformed)?;
        Ok(FieldsTable {
            bytes,
            fields,
            unlisted_field_rows,
        })
    }

    /// What it reads from.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All fields, sorted by name and kind.
    pub fn fields(&self) -> &[FieldInfo] {
        &self.fields
    }

    /// The fields of all kinds that share a name.
    pub fn named(&self, name: &str) -> &[FieldInfo] {
        let start = self.fields.partition_point(|field| &*field.name < name);
        let end = start + self.fields[start..].partition_point(|field| &*field.name == name);
        &self.fields[start..end]
    }

    /// How often a value was counted for a field beyond the caps on fields.
    pub fn unlisted_field_rows(&self) -> u64 {
        self.unlisted_field_rows
    }

    /// The listed values of a field of this table, in rising order of their text.
    pub fn values(&self, field: &FieldInfo) -> Result<Vec<FieldValue>, FieldsTableError> {
        let listed = self.listed(field)?;
        let owned = |(value, rows): (&str, u64)| FieldValue {
            value: value.to_owned(),
            rows,
        };
        Ok(listed.iter().map(owned).collect())
    }

    /// The same, all in one piece of memory.
    pub(crate) fn listed(&self, field: &FieldInfo) -> Result<Listed, FieldsTableError> {
        let name = || field.name.clone();
        let section = self
            .bytes
            .get(field.start..field.end)
            .ok_or(FieldsTableError::Values {
                name: name(),
                what: "they lie outside the table",
            })?;
        if crc32c::crc32c(section) != field.checksum {
            return Err(FieldsTableError::ValuesChecksum { name: name() });
        }
        read_values(section, field.listed).map_err(|error| FieldsTableError::Values {
            name: name(),
            what: error.0,
        })
    }
}

/// The listed values of a field, and in how many rows each was counted.
#[derive(Debug)]
pub(crate) struct Listed {
    values: Strings,
    rows: Vec<u64>,
}

impl Listed {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.rows.iter().enumerate().map(|(at, rows)| {
            let value = str::from_utf8(self.values.get(at));
            (value.expect("values were UTF-8 when they were read"), *rows)
        })
    }
}

fn read_values(section: &[u8], listed: usize) -> Decoded<Listed> {
    let mut cursor = Cursor::new(section);
    let values = decode_strings(&mut cursor, listed)?;
    let rows = ints::decode(&mut cursor, listed, Depth::Outer)?;
    cursor.finish()?;
    for at in 0..listed {
        let value = values.get(at);
        if value.len() > MAX_VALUE_BYTES {
            return Err(Malformed("a value is too long"));
        }
        if str::from_utf8(value).is_err() {
            return Err(Malformed("a value is not UTF-8"));
        }
    }
    Ok(Listed { values, rows })
}

fn read_directory(directory: &[u8], end: usize) -> Decoded<(u64, Vec<FieldInfo>)> {
    let mut cursor = Cursor::new(directory);
    let unlisted_field_rows = cursor.varint()?;
    let count = cursor.bounded(MAX_FIELDS, "it has too many fields")?;
    let mut fields: Vec<FieldInfo> = Vec::with_capacity(count.min(directory.len() / 8));
    let mut start = HEADER_BYTES;
    for _ in 0..count {
        let previous = fields.last().map_or("", |field| &field.name);
        let field = read_entry(&mut cursor, previous, start)?;
        if field.end > end {
            return Err(Malformed("its values are longer than the file"));
        }
        if fields
            .last()
            .is_some_and(|last| (&last.name, last.kind) >= (&field.name, field.kind))
        {
            return Err(Malformed("its fields are not in order"));
        }
        start = field.end;
        fields.push(field);
    }
    if start != end {
        return Err(Malformed("its values are shorter than the file"));
    }
    cursor.finish()?;
    Ok((unlisted_field_rows, fields))
}

fn read_entry(cursor: &mut Cursor<'_>, previous: &str, start: usize) -> Decoded<FieldInfo> {
    let shared = cursor.bounded(previous.len(), "a name shares more than there is")?;
    let length = cursor.bounded(MAX_FIELD_NAME_BYTES - shared, "a name is too long")?;
    let mut name = previous.as_bytes()[..shared].to_vec();
    name.extend_from_slice(cursor.take(length)?);
    let name = String::from_utf8(name).map_err(|_| Malformed("a name is not UTF-8"))?;
    let head = cursor.u8()?;
    let kind = Kind::from_u8(head & !LOWER_BOUND).ok_or(Malformed("a kind is not known"))?;
    let rows = cursor.varint()?;
    let distinct = cursor.varint()?;
    let distinct = match head & LOWER_BOUND {
        0 => Distinct::Exactly(distinct),
        _ => Distinct::AtLeast(distinct),
    };
    let unlisted_rows = cursor.varint()?;
    let listed = cursor.bounded(MAX_LISTED_VALUES, "a field lists too many values")?;
    let length = cursor.bounded(u32::MAX as usize, "the values of a field are too long")?;
    let checksum = cursor.u32()?;
    Ok(FieldInfo {
        name: name.into(),
        kind,
        rows,
        distinct,
        unlisted_rows,
        listed,
        start,
        end: start + length,
        checksum,
    })
}
