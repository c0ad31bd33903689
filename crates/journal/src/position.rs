//! Where a record starts, or the log ends.

use std::fmt;

/// A place in the log; ordered as the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Segment number; 0 stands before every segment.
    pub segment: u64,
    /// Byte offset in the segment file.
    pub offset: u64,
}

impl Position {
    /// Before everything that a log can hold.
    pub const START: Self = Self {
        segment: 0,
        offset: 0,
    };

    /// Sixteen bytes that sort as the positions do.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.segment.to_be_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self {
            segment: (both >> 64) as u64,
            offset: both as u64,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}
