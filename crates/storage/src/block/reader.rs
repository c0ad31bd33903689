//! Reads one block: the footer when it is opened, a column when it is asked for.

use std::sync::Arc;

use bytes::Bytes;

use super::directory::{Directory, Entry, read_footer};
use super::ints::{self, Depth};
use super::wire::{Cursor, Decoded, Malformed};
use super::{
    BlockError, BytesColumn, ColumnId, Encoding, FixedColumn, HEADER_BYTES, Kind, MAGIC,
    TRAILER_BYTES, TemplateColumn, TextColumn, VERSION, codes, doubles, text,
};

/// The smallest and largest value of a numeric column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    Int {
        min: i64,
        max: i64,
    },
    UInt {
        min: u64,
        max: u64,
    },
    /// In the order of `f64::total_cmp`, NaN values left out.
    Double {
        min: f64,
        max: f64,
    },
    Bool {
        min: bool,
        max: bool,
    },
}

/// What the directory says about a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    pub id: ColumnId,
    pub encoding: Encoding,
    /// How many values it has.
    pub count: u32,
    /// How many distinct values, where the encoder knew; exact, never an estimate.
    pub distinct: Option<u32>,
    /// None for kinds that are not numeric, and for columns without a number.
    pub range: Option<Range>,
    /// How many bytes it takes in the block.
    pub bytes: u32,
}

/// An open block. Cloning copies neither the directory nor the columns.
#[derive(Debug, Clone)]
pub struct BlockReader {
    bytes: Bytes,
    directory: Arc<Directory>,
}

impl BlockReader {
    /// Reads the footer of a block, which must fill `bytes` exactly.
    pub fn open(bytes: Bytes) -> Result<Self, BlockError> {
        const NOT: fn(&'static str) -> BlockError = |what| BlockError::NotABlock { what };
        let header: &[u8; HEADER_BYTES] = bytes
            .first_chunk()
            .ok_or(NOT("it is shorter than a header"))?;
        if header[..4] != MAGIC {
            return Err(NOT("it does not start with the magic number"));
        }
        check_version(u16::from_le_bytes([header[4], header[5]]))?;
        let body = bytes
            .len()
            .checked_sub(TRAILER_BYTES)
            .filter(|body| *body >= HEADER_BYTES);
        let body = body.ok_or(NOT("it is shorter than a header and a trailer"))?;
        let mut trailer = Cursor::new(&bytes[body..]);
        let short = |_| NOT("it is shorter than a header and a trailer");
        let length = trailer.u32().map_err(short)? as usize;
        let checksum = trailer.u32().map_err(short)?;
        let version = trailer.u16().map_err(short)?;
        let reserved = trailer.u16().map_err(short)?;
        if trailer.array().map_err(short)? != MAGIC {
            return Err(NOT("it does not end with the magic number"));
        }
        check_version(version)?;
        if reserved != 0 || header[6..] != [0, 0] {
            return Err(NOT("reserved bytes are in use"));
        }
        let start = body
            .checked_sub(length)
            .filter(|start| *start >= HEADER_BYTES);
        let start = start.ok_or(NOT("its footer is longer than the block"))?;
        let footer = &bytes[start..body];
        if crc32c::crc32c(footer) != checksum {
            return Err(BlockError::FooterChecksum);
        }
        let directory =
            read_footer(footer, start).map_err(|error| BlockError::Footer { what: error.0 })?;
        Ok(BlockReader {
            bytes,
            directory: Arc::new(directory),
        })
    }

    /// How many rows the block was written for.
    pub fn rows(&self) -> u32 {
        self.directory.rows
    }

    /// How many bytes the whole block takes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All columns, sorted by name and kind.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = ColumnInfo> {
        let entries = self.directory.entries.iter();
        entries.map(|entry| self.directory.info(entry))
    }

    /// What the directory says about one column.
    pub fn column(&self, name: &str, kind: Kind) -> Option<ColumnInfo> {
        let entry = self.directory.find(name, kind)?;
        Some(self.directory.info(entry))
    }

    /// How many columns there are.
    pub(crate) fn columns_len(&self) -> usize {
        self.directory.entries.len()
    }

    /// Bytes of the distinct values of all text and bytes columns with such names, as the columns state them; those
    /// that do not read say nothing.
    pub(crate) fn text_bytes(&self, named: impl Fn(&str) -> bool) -> u64 {
        let texts = self.directory.entries.iter();
        let texts = texts.filter(|entry| matches!(entry.kind, Kind::Text | Kind::Bytes));
        texts
            .filter(|entry| named(self.directory.name(entry)))
            .filter_map(|entry| {
                let payload = &self.bytes[entry.start..entry.start + entry.bytes as usize];
                Cursor::new(payload).varint().ok()
            })
            .fold(0, u64::saturating_add)
    }

    /// Whether there is such a column.
    pub fn has(&self, name: &str, kind: Kind) -> bool {
        self.directory.find(name, kind).is_some()
    }

    /// The columns of all kinds that share a name.
    pub fn named(&self, name: &str) -> Vec<ColumnInfo> {
        self.columns()
            .filter(|column| &*column.id.name == name)
            .collect()
    }

    /// The stored bytes of a column, checked. Equal ones are equal columns.
    pub(crate) fn payload(&self, name: &str, kind: Kind) -> Result<Option<Bytes>, BlockError> {
        self.read(name, kind, |_, bytes| Ok(bytes))
    }

    /// Whether every column has its checksum.
    pub fn verify(&self) -> Result<(), BlockError> {
        for column in &self.directory.entries {
            let bytes = &self.bytes[column.start..column.start + column.bytes as usize];
            if crc32c::crc32c(bytes) != column.checksum {
                let column = self.directory.id(column);
                return Err(BlockError::ColumnChecksum { column });
            }
        }
        Ok(())
    }

    /// Finds a column, checks its bytes and decodes them.
    pub(super) fn read<T>(
        &self,
        name: &str,
        kind: Kind,
        decode: impl FnOnce(&Entry, Bytes) -> Decoded<T>,
    ) -> Result<Option<T>, BlockError> {
        let Some(column) = self.directory.find(name, kind) else {
            return Ok(None);
        };
        let bytes = self
            .bytes
            .slice(column.start..column.start + column.bytes as usize);
        if crc32c::crc32c(&bytes) != column.checksum {
            return Err(BlockError::ColumnChecksum {
                column: self.directory.id(column),
            });
        }
        match decode(column, bytes) {
            Ok(values) => Ok(Some(values)),
            Err(error) => Err(BlockError::malformed(&self.directory.id(column), error)),
        }
    }

    /// Decodes a column and compares it with what the directory says of it.
    pub(crate) fn check(&self, column: &ColumnInfo) -> Result<(), BlockError> {
        let name = &*column.id.name;
        let (count, range) = match column.id.kind {
            Kind::Int => {
                let values = self.ints(name)?.unwrap_or_default();
                let range = values.iter().min().zip(values.iter().max());
                let range = range.map(|(min, max)| Range::Int {
                    min: *min,
                    max: *max,
                });
                (values.len(), range)
            }
            Kind::UInt => {
                let values = self.uints(name)?.unwrap_or_default();
                let range = values.iter().min().zip(values.iter().max());
                let range = range.map(|(min, max)| Range::UInt {
                    min: *min,
                    max: *max,
                });
                (values.len(), range)
            }
            Kind::Double => (self.doubles(name)?.map_or(0, |list| list.len()), None),
            Kind::Bool => (self.bools(name)?.map_or(0, |list| list.len()), None),
            Kind::Text => (self.text(name)?.map_or(0, |list| list.len()), None),
            Kind::Bytes => (self.bytes(name)?.map_or(0, |list| list.len()), None),
            Kind::Fixed8 => (self.fixed8(name)?.map_or(0, |list| list.len()), None),
            Kind::Fixed16 => (self.fixed16(name)?.map_or(0, |list| list.len()), None),
        };
        let differs = |what| BlockError::malformed(&column.id, Malformed(what));
        if count != column.count as usize {
            return Err(differs("it has not as many values as its directory says"));
        }
        if range.is_some() && column.range.is_some() && range != column.range {
            return Err(differs(
                "its values are not in the range that its directory says",
            ));
        }
        Ok(())
    }

    /// The values of an `Int` column, None when the block has no such column.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, BlockError> {
        let values = self.read(name, Kind::Int, |column, bytes| words(column, &bytes))?;
        Ok(values.map(|values| values.into_iter().map(|value| value as i64).collect()))
    }

    /// The values of a `UInt` column.
    pub fn uints(&self, name: &str) -> Result<Option<Vec<u64>>, BlockError> {
        self.read(name, Kind::UInt, |column, bytes| words(column, &bytes))
    }

    /// The values of a `Double` column.
    pub fn doubles(&self, name: &str) -> Result<Option<Vec<f64>>, BlockError> {
        self.read(name, Kind::Double, |column, bytes| {
            whole(&bytes, |from| match column.encoding {
                Encoding::Empty => Ok(Vec::new()),
                encoding => doubles::decode(from, encoding, column.count as usize),
            })
        })
    }

    /// The values of a `Bool` column.
    pub fn bools(&self, name: &str) -> Result<Option<Vec<bool>>, BlockError> {
        self.read(name, Kind::Bool, |column, bytes| {
            let count = column.count as usize;
            whole(&bytes, |from| match column.encoding {
                Encoding::Empty => Ok(Vec::new()),
                Encoding::Constant => Ok(vec![from.u8()? != 0; count]),
                _ => Ok(codes::decode(from, count, 2)?
                    .into_iter()
                    .map(|code| code == 1)
                    .collect()),
            })
        })
    }

    /// The values of a `Fixed8` column.
    pub fn fixed8(&self, name: &str) -> Result<Option<Vec<[u8; 8]>>, BlockError> {
        Ok(self.fixed8_column(name)?.map(FixedColumn::into_vec))
    }

    /// The values of a `Fixed16` column.
    pub fn fixed16(&self, name: &str) -> Result<Option<Vec<[u8; 16]>>, BlockError> {
        Ok(self.fixed16_column(name)?.map(FixedColumn::into_vec))
    }

    /// A `Fixed8` column with its distinct ids apart, where they are stored so.
    pub fn fixed8_column(&self, name: &str) -> Result<Option<FixedColumn<8>>, BlockError> {
        self.read(name, Kind::Fixed8, |column, bytes| {
            whole(&bytes, |from| fixed(column, from))
        })
    }

    /// A `Fixed16` column with its distinct ids apart, where they are stored so.
    pub fn fixed16_column(&self, name: &str) -> Result<Option<FixedColumn<16>>, BlockError> {
        self.read(name, Kind::Fixed16, |column, bytes| {
            whole(&bytes, |from| fixed(column, from))
        })
    }

    /// A `Text` column.
    pub fn text(&self, name: &str) -> Result<Option<TextColumn>, BlockError> {
        self.read(name, Kind::Text, |column, bytes| {
            let (strings, codes) = strings(column, &bytes)?;
            TextColumn::new(strings, codes).ok_or(Malformed("its text is not UTF-8"))
        })
    }

    /// A `Bytes` column.
    pub fn bytes(&self, name: &str) -> Result<Option<BytesColumn>, BlockError> {
        self.read(name, Kind::Bytes, |column, bytes| {
            let (strings, codes) = strings(column, &bytes)?;
            Ok(BytesColumn::new(strings, codes))
        })
    }

    /// A `Text` or `Bytes` column as templates; None when it is not stored so.
    pub fn templates(&self, name: &str, kind: Kind) -> Result<Option<TemplateColumn>, BlockError> {
        let stored = self.directory.find(name, kind);
        let stored = stored.map(|column| column.encoding);
        if stored != Some(Encoding::Templates) || !matches!(kind, Kind::Text | Kind::Bytes) {
            return Ok(None);
        }
        self.read(name, kind, |column, bytes| {
            let mut from = Cursor::new(&bytes);
            let head = text::decode_head(&mut from, column.count as usize)?;
            let bytes = bytes.slice(bytes.len() - from.remaining()..);
            let templates = text::decode_templates(&bytes, &head)?;
            Ok(TemplateColumn {
                id: self.directory.id(column),
                templates,
                bytes,
                codes: head.codes,
            })
        })
    }
}

#[cfg(test)]
impl BlockReader {
    /// The same directory over other bytes, one column of which is said to have `checksum`.
    pub(crate) fn with_damage(&self, column: &ColumnId, bytes: Bytes, checksum: u32) -> Self {
        let mut damaged = self.clone();
        damaged.bytes = bytes;
        let directory = Arc::make_mut(&mut damaged.directory);
        let at = directory
            .entries
            .iter()
            .position(|entry| directory.id(entry) == *column);
        if let Some(at) = at {
            directory.entries[at].checksum = checksum;
        }
        damaged
    }
}

fn check_version(found: u16) -> Result<(), BlockError> {
    if found == VERSION {
        return Ok(());
    }
    Err(BlockError::Version {
        found,
        known: VERSION,
    })
}

/// Decodes all of `bytes`.
fn whole<T>(bytes: &[u8], decode: impl FnOnce(&mut Cursor<'_>) -> Decoded<T>) -> Decoded<T> {
    let mut from = Cursor::new(bytes);
    let decoded = decode(&mut from)?;
    from.finish()?;
    Ok(decoded)
}

pub(super) fn words(column: &Entry, bytes: &[u8]) -> Decoded<Vec<u64>> {
    whole(bytes, |from| match column.encoding {
        Encoding::Empty => Ok(Vec::new()),
        _ => ints::decode(from, column.count as usize, Depth::Outer),
    })
}

fn fixed<const N: usize>(column: &Entry, from: &mut Cursor<'_>) -> Decoded<FixedColumn<N>> {
    let count = column.count as usize;
    let (entries, coded) = match column.encoding {
        Encoding::Empty => (0, false),
        Encoding::Raw => (count, false),
        _ => (
            from.bounded(count, "there are more distinct ids than values")?,
            true,
        ),
    };
    let (ids, _) = from.take(entries * N)?.as_chunks::<N>();
    let values = ids.to_vec();
    let codes = if coded {
        Some(codes::decode(from, count, entries)?)
    } else {
        None
    };
    Ok(FixedColumn { values, codes })
}

fn strings(column: &Entry, bytes: &[u8]) -> Decoded<(codes::Strings, Vec<u32>)> {
    if column.encoding == Encoding::Empty {
        Cursor::new(bytes).finish()?;
        return Ok((codes::Strings::new(), Vec::new()));
    }
    let mut from = Cursor::new(bytes);
    let head = text::decode_head(&mut from, column.count as usize)?;
    let rest = &bytes[bytes.len() - from.remaining()..];
    let strings = match column.encoding {
        Encoding::Templates => text::decode_templates(rest, &head)?.render(rest)?,
        _ => text::decode_dictionary(from, &head)?,
    };
    Ok((strings, head.codes))
}
