//! The footer of a block: which columns there are, and where.

use std::cmp::Ordering;

use super::reader::Range;
use super::wire::{Cursor, Decoded, MAX_DECODED_BYTES, Malformed};
use super::{
    ColumnId, ColumnInfo, Encoding, HEADER_BYTES, Kind, MAX_COLUMNS, MAX_NAME_BYTES, MAX_VALUES,
};

/// The footer. A query that opens hundreds of blocks looks at a few columns of each, so a column costs no allocation
/// of its own here.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) rows: u32,
    /// The names of all columns, one after the other.
    names: String,
    /// By name and kind.
    pub(super) entries: Vec<Entry>,
}

/// A column of the directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Where its name begins and ends in the names of all.
    name: (u32, u32),
    pub(super) kind: Kind,
    pub(super) encoding: Encoding,
    pub(super) count: u32,
    distinct: Option<u32>,
    range: Option<Range>,
    pub(super) bytes: u32,
    pub(super) start: usize,
    pub(super) checksum: u32,
}

impl Directory {
    pub(super) fn name(&self, entry: &Entry) -> &str {
        &self.names[entry.name.0 as usize..entry.name.1 as usize]
    }

    pub(super) fn find(&self, name: &str, kind: Kind) -> Option<&Entry> {
        let wanted = (name, kind);
        let found = self
            .entries
            .binary_search_by(|entry| (self.name(entry), entry.kind).cmp(&wanted));
        found.ok().map(|index| &self.entries[index])
    }

    pub(super) fn id(&self, entry: &Entry) -> ColumnId {
        ColumnId {
            name: self.name(entry).into(),
            kind: entry.kind,
        }
    }

    pub(super) fn info(&self, entry: &Entry) -> ColumnInfo {
        ColumnInfo {
            id: self.id(entry),
            encoding: entry.encoding,
            count: entry.count,
            distinct: entry.distinct,
            range: entry.range,
            bytes: entry.bytes,
        }
    }
}

/// Reads the directory. Columns lie one after the other in its order, up to the footer at `end`.
pub(super) fn read_footer(footer: &[u8], end: usize) -> Decoded<Directory> {
    let mut from = Cursor::new(footer);
    let rows = from.bounded(u32::MAX as usize, "it has too many rows")? as u32;
    let count = from.bounded(MAX_COLUMNS, "it has too many columns")?;
    let mut names: Vec<u8> = Vec::with_capacity(footer.len());
    let mut entries: Vec<Entry> = Vec::with_capacity(count.min(footer.len() / 8));
    let mut start = HEADER_BYTES;
    for _ in 0..count {
        let (name, order) = read_name(&mut from, &mut names, entries.last())?;
        let entry = read_entry(&mut from, name, start)?;
        start += entry.bytes as usize;
        if start > end {
            return Err(Malformed("its columns are longer than the block"));
        }
        let kind = entries.last().map(|last| last.kind);
        if order.then(kind.cmp(&Some(entry.kind))) != Ordering::Less {
            return Err(Malformed("its columns are not in order"));
        }
        entries.push(entry);
    }
    if start != end {
        return Err(Malformed("its columns are shorter than the block"));
    }
    from.finish()?;
    // Each name begins where the one before it ends.
    let names = String::from_utf8(names).ok();
    let names = names.filter(|names| {
        let whole = |entry: &Entry| names.is_char_boundary(entry.name.0 as usize);
        names.is_ascii() || entries.iter().all(whole)
    });
    Ok(Directory {
        rows,
        names: names.ok_or(Malformed("a column name is not UTF-8"))?,
        entries,
    })
}

/// Appends the name of a column, which begins as the one before it may, and compares the two.
fn read_name(
    from: &mut Cursor<'_>,
    names: &mut Vec<u8>,
    previous: Option<&Entry>,
) -> Decoded<((u32, u32), Ordering)> {
    let previous = previous.map_or(0..0, |entry| entry.name.0 as usize..entry.name.1 as usize);
    let shared = from.bounded(previous.len(), "a column name shares more than there is")?;
    let length = from.bounded(MAX_NAME_BYTES - shared, "a column name is too long")?;
    let rest = from.take(length)?;
    let order = names[previous.start + shared..previous.end].cmp(rest);
    let begin = names.len();
    names.extend_from_within(previous.start..previous.start + shared);
    names.extend_from_slice(rest);
    if names.len() > MAX_DECODED_BYTES {
        return Err(Malformed("its column names are too long"));
    }
    Ok(((begin as u32, names.len() as u32), order))
}

fn read_entry(from: &mut Cursor<'_>, name: (u32, u32), start: usize) -> Decoded<Entry> {
    let head = from.u8()?;
    let kind = Kind::from_u8(head & 0x0f).filter(|_| head < 0x40);
    let kind = kind.ok_or(Malformed("a column kind is not known"))?;
    let encoding =
        Encoding::from_u8(from.u8()?).ok_or(Malformed("a column encoding is not known"))?;
    if !encoding.fits(kind) {
        return Err(Malformed("a column kind cannot have its encoding"));
    }
    let bytes = from.bounded(u32::MAX as usize, "a column is too long")? as u32;
    let count = from.bounded(MAX_VALUES, "a column has too many values")? as u32;
    if (count == 0) != (encoding == Encoding::Empty) {
        return Err(Malformed("a column count does not agree with its encoding"));
    }
    let mut distinct = None;
    if head & 0x20 != 0 {
        distinct = Some(from.bounded(
            count as usize,
            "a column has more distinct values than values",
        )? as u32);
    }
    let mut range = None;
    if head & 0x10 != 0 {
        range = Some(read_range(from, kind)?);
    }
    let checksum = from.u32()?;
    Ok(Entry {
        name,
        kind,
        encoding,
        count,
        distinct,
        range,
        bytes,
        start,
        checksum,
    })
}

fn read_range(from: &mut Cursor<'_>, kind: Kind) -> Decoded<Range> {
    if kind == Kind::Double {
        let (min, max) = (f64::from_bits(from.u64()?), f64::from_bits(from.u64()?));
        return Ok(Range::Double { min, max });
    }
    let min = from.zigzag()? as u64;
    let max = min.wrapping_add(from.varint()?);
    match kind {
        Kind::Int => Ok(Range::Int {
            min: min as i64,
            max: max as i64,
        }),
        Kind::UInt => Ok(Range::UInt { min, max }),
        Kind::Bool => Ok(Range::Bool {
            min: min != 0,
            max: max != 0,
        }),
        _ => Err(Malformed("a column that is not numeric has a range")),
    }
}
