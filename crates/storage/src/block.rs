//! The block format: one immutable, self-contained set of columns, the unit in which rows are stored and read.
//!
//! The format knows nothing of spans or logs. A block is, in this order: a header of 8 bytes (magic `TLBK`, version,
//! two reserved bytes), the payloads of all columns without gaps, the footer, and a trailer of 16 bytes (length and
//! CRC-32C of the footer, version, two reserved bytes, magic). The footer is the directory: for each column, sorted
//! by name and kind, its encoding, length, number of values, range and CRC-32C. `docs/formats/block.md` has every
//! byte.
//!
//! Invariants: a column decodes from its own bytes alone; what is decoded equals what was written, bit for bit; no
//! input makes reading panic, loop, or allocate more than the limits below; damaged bytes are an error that names
//! the column and never a wrong value.

pub(crate) mod codes;
mod column;
mod directory;
mod distinct;
pub(crate) mod doubles;
pub(crate) mod ints;
pub(crate) mod pack;
mod reader;
mod some;
mod text;
mod tokens;
pub(crate) mod wire;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;

pub use column::{BytesColumn, FixedColumn, TemplateColumn, TextColumn};
pub(crate) use distinct::{Distinct, Table, distinct_u64};
pub use reader::{BlockReader, ColumnInfo, Range};
pub(crate) use text::Templated;
pub(crate) use tokens::{MAX_VARIABLES, PLACE};
pub use writer::{BlockWriter, Values};

/// The first and the last four bytes of a block.
const MAGIC: [u8; 4] = *b"TLBK";

/// The only version so far.
const VERSION: u16 = 1;

const HEADER_BYTES: usize = 8;
const TRAILER_BYTES: usize = 16;

/// The most values in one column.
pub const MAX_VALUES: usize = 1 << 24;

/// The most columns in one block.
pub const MAX_COLUMNS: usize = 1 << 16;

/// The most bytes in the name of a column.
pub const MAX_NAME_BYTES: usize = 1 << 16;

/// The most bytes of distinct text in one column; repeated values count once.
pub const MAX_TEXT_BYTES: usize = wire::MAX_DECODED_BYTES;

/// The type of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Signed integers of 64 bits.
    Int = 0,
    /// Unsigned integers of 64 bits.
    UInt = 1,
    /// Doubles, kept bit for bit.
    Double = 2,
    Bool = 3,
    /// UTF-8 text.
    Text = 4,
    /// Any bytes.
    Bytes = 5,
    /// Ids of 8 bytes.
    Fixed8 = 6,
    /// Ids of 16 bytes.
    Fixed16 = 7,
}

impl Kind {
    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        const ALL: [Kind; 8] = [
            Kind::Int,
            Kind::UInt,
            Kind::Double,
            Kind::Bool,
            Kind::Text,
            Kind::Bytes,
            Kind::Fixed8,
            Kind::Fixed16,
        ];
        ALL.get(usize::from(value)).copied()
    }
}

/// Identifies a column: several kinds may share one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId {
    pub name: Box<str>,
    pub kind: Kind,
}

impl fmt::Display for ColumnId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} ({:?})", self.name, self.kind)
    }
}

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// No values.
    Empty = 0,
    /// One value for all.
    Constant = 1,
    /// Distinct values and codes.
    Dictionary = 2,
    /// Integers less the smallest of their frame, bit-packed.
    Packed = 3,
    /// Differences between neighbouring integers, bit-packed.
    Delta = 4,
    /// Doubles as integers over a power of ten.
    Decimal = 5,
    /// Doubles as eight compressed byte planes.
    Planes = 6,
    /// Ids as they are.
    Raw = 7,
    /// Text as templates and variables.
    Templates = 8,
}

impl Encoding {
    fn from_u8(value: u8) -> Option<Self> {
        const ALL: [Encoding; 9] = [
            Encoding::Empty,
            Encoding::Constant,
            Encoding::Dictionary,
            Encoding::Packed,
            Encoding::Delta,
            Encoding::Decimal,
            Encoding::Planes,
            Encoding::Raw,
            Encoding::Templates,
        ];
        ALL.get(usize::from(value)).copied()
    }

    /// Whether a column of `kind` may have this encoding.
    fn fits(self, kind: Kind) -> bool {
        match self {
            Encoding::Empty | Encoding::Constant | Encoding::Dictionary => true,
            Encoding::Packed | Encoding::Delta => matches!(kind, Kind::Int | Kind::UInt),
            Encoding::Decimal | Encoding::Planes => kind == Kind::Double,
            Encoding::Raw => matches!(kind, Kind::Fixed8 | Kind::Fixed16),
            Encoding::Templates => matches!(kind, Kind::Text | Kind::Bytes),
        }
    }
}

/// Why a block could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("not a block: {what}")]
    NotABlock { what: &'static str },
    #[error("block format version {found} is not known, this program reads version {known}")]
    Version { found: u16, known: u16 },
    #[error("block footer is damaged: its checksum does not match")]
    FooterChecksum,
    #[error("block footer is malformed: {what}")]
    Footer { what: &'static str },
    #[error("column {column} is damaged: its checksum does not match")]
    ColumnChecksum { column: ColumnId },
    #[error("column {column} is malformed: {what}")]
    Column {
        column: ColumnId,
        what: &'static str,
    },
    #[error("column {column} is too large for one block: {value} {what}, the limit is {limit}")]
    TooLarge {
        column: ColumnId,
        what: &'static str,
        value: usize,
        limit: usize,
    },
    #[error("column {column} was written twice")]
    Duplicate { column: ColumnId },
}

impl BlockError {
    fn malformed(column: &ColumnId, error: wire::Malformed) -> Self {
        BlockError::Column {
            column: column.clone(),
            what: error.0,
        }
    }
}
