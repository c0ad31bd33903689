//! Writes a fields table.

use super::{
    ATTRIBUTES, LOWER_BOUND, MAGIC, MAX_FIELD_NAME_BYTES, MAX_FIELDS, MAX_FOLLOWED_BYTES,
    MAX_LISTED_VALUES, MAX_VALUE_BYTES, TRAILER_BYTES, VERSION,
};
use crate::block::Kind;
use crate::block::codes::encode_strings;
use crate::block::ints::{self, Depth};
use crate::block::wire::put_varint;

/// What is not listed of a field's values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rest {
    pub rows: u64,
    /// The least number of distinct values that there are in all.
    pub at_least: u64,
    pub bounded: bool,
}

/// Writes a table field by field, in the order of their names and kinds. Unlike
/// [`super::FieldsTableBuilder`] it keeps no values, so that whoever has them all need not hold them twice.
pub(crate) struct FieldsTableWriter {
    sections: Vec<u8>,
    directory: Vec<u8>,
    previous: Vec<u8>,
    fields: usize,
    /// How many values an attribute of rows may list.
    most: usize,
    written_bytes: usize,
    unlisted_field_rows: u64,
}

impl FieldsTableWriter {
    /// A table whose attributes of rows list so many values at most: see [`super::share`].
    pub(crate) fn new(most: usize) -> Self {
        let mut sections = MAGIC.to_vec();
        sections.extend_from_slice(&VERSION.to_le_bytes());
        sections.extend_from_slice(&[0, 0]);
        Self {
            sections,
            directory: Vec::new(),
            previous: Vec::new(),
            fields: 0,
            most: most.min(MAX_LISTED_VALUES),
            written_bytes: 0,
            unlisted_field_rows: 0,
        }
    }

    /// Writes a field with the rows of its distinct values, and how many rows have others, within
    /// the bounds that a builder has.
    pub(crate) fn field(
        &mut self,
        name: &str,
        kind: Kind,
        mut values: Vec<(&str, u64)>,
        unlisted_rows: u64,
    ) {
        let before = values.len();
        let all = sum(&values);
        values.retain(|(value, _)| value.len() <= MAX_VALUE_BYTES);
        let bounded = unlisted_rows > 0 || values.len() < before;
        let rest = Rest {
            rows: unlisted_rows.saturating_add(all - sum(&values)),
            at_least: u64::from(bounded),
            bounded,
        };
        self.write(name, kind, values, rest);
    }

    /// Counts rows of fields that are not listed.
    pub(super) fn unlisted_fields(&mut self, rows: u64) {
        self.unlisted_field_rows = self.unlisted_field_rows.saturating_add(rows);
    }

    /// Writes a field whose values are short enough to be listed.
    pub(super) fn write(
        &mut self,
        name: &str,
        kind: Kind,
        mut values: Vec<(&str, u64)>,
        rest: Rest,
    ) {
        let full = self.fields >= MAX_FIELDS || self.written_bytes >= MAX_FOLLOWED_BYTES;
        if full || name.len() > MAX_FIELD_NAME_BYTES {
            self.unlisted_fields(sum(&values).saturating_add(rest.rows));
            return;
        }
        let most = match name.starts_with(ATTRIBUTES) {
            true => self.most,
            false => MAX_LISTED_VALUES,
        };
        let (out, directory) = (&mut self.sections, &mut self.directory);
        let name = name.as_bytes();
        let shared = name
            .iter()
            .zip(&self.previous)
            .take_while(|(a, b)| a == b)
            .count();
        put_varint(directory, shared as u64);
        put_varint(directory, (name.len() - shared) as u64);
        directory.extend_from_slice(&name[shared..]);
        let distinct = (values.len() as u64).max(rest.at_least);
        let mut unlisted_rows = rest.rows;
        if values.len() > most {
            values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let cut = values.drain(most..).map(|(_, rows)| rows);
            unlisted_rows = cut.fold(unlisted_rows, u64::saturating_add);
        }
        values.sort_unstable();
        let start = out.len();
        let counts: Vec<u64> = values.iter().map(|(_, rows)| *rows).collect();
        let texts: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
        encode_strings(out, &texts);
        ints::encode_unsigned(out, &counts, Depth::Outer);
        directory.push(kind as u8 | if rest.bounded { LOWER_BOUND } else { 0 });
        let rows = counts.iter().copied();
        put_varint(directory, rows.fold(unlisted_rows, u64::saturating_add));
        put_varint(directory, distinct);
        put_varint(directory, unlisted_rows);
        put_varint(directory, values.len() as u64);
        put_varint(directory, (out.len() - start) as u64);
        directory.extend_from_slice(&crc32c::crc32c(&out[start..]).to_le_bytes());
        self.previous = name.to_vec();
        self.fields += 1;
        self.written_bytes += name.len() + out.len() - start;
    }

    /// The whole table.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut directory = Vec::with_capacity(self.directory.len() + TRAILER_BYTES);
        put_varint(&mut directory, self.unlisted_field_rows);
        put_varint(&mut directory, self.fields as u64);
        directory.extend_from_slice(&self.directory);
        let mut out = self.sections;
        let checksum = crc32c::crc32c(&directory);
        out.extend_from_slice(&directory);
        out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC);
        out
    }
}

fn sum(values: &[(&str, u64)]) -> u64 {
    let rows = values.iter().map(|(_, rows)| *rows);
    rows.fold(0, u64::saturating_add)
}
