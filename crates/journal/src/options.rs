//! How a journal is opened, and what opening found.

use crate::Position;

/// Sizes of a journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment is closed before it would grow beyond this. A single larger record gets a
    /// segment of its own.
    pub segment_bytes: u64,
    /// A longer payload is refused.
    pub record_bytes_max: usize,
    /// Reserve disk space ahead of the writes. A sync then has no file size to write, which
    /// makes it several times cheaper, and a full disk shows up before a record is half
    /// written.
    pub preallocate: bool,
    /// New segments are numbered from here at least. See [`crate::Journal::advance_to`] for
    /// whoever keeps whole positions elsewhere.
    pub segment_min: u64,
    /// What lies before this is not read any more: damage there is no loss, and not counted.
    pub read_from: Position,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            record_bytes_max: 128 << 20,
            preallocate: true,
            segment_min: 1,
            read_from: Position::START,
        }
    }
}

/// What [`crate::Journal::open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub segments: u64,
    /// Good records.
    pub records: u64,
    /// Bytes of good records, headers included.
    pub record_bytes: u64,
    /// Cut from the end of the last segment: a write that a crash interrupted.
    pub torn_bytes: u64,
    /// Damaged stretches in front of good records or in closed segments.
    pub corrupt_regions: u64,
    pub corrupt_bytes: u64,
    /// Segments set aside because neither copy of their header could be read; their bytes
    /// count as corrupt too.
    pub quarantined_segments: u64,
    /// Segments that should lie between the first and the last one and do not, quarantined
    /// ones included.
    pub missing_segments: u64,
}

impl Recovery {
    /// Whether something that had been written may be gone, torn tail aside.
    pub fn is_damaged(&self) -> bool {
        self.corrupt_regions > 0 || self.quarantined_segments > 0 || self.missing_segments > 0
    }
}
