//! A checksummed segment log: the collector's write-ahead log and the agent's disk queue.
//!
//! One thread appends records and syncs them in groups; any number of [`Reader`]s follow what
//! is durable; whole segments are freed once everything in them has been used. All calls are
//! synchronous, so callers run a journal on a thread of its own.
//!
//! # Layout on disk
//!
//! A folder holds `lock` (see [`env::LockFile`]) and one file per segment, named by its number
//! with twenty digits: `00000000000000000001.seg`. Numbers start at 1, grow by one and are
//! never used for a second time once a record of that segment was durable. All integers are
//! little-endian. A segment starts with two identical copies of a 64-byte header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `TLJOURNL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 8 | segment number |
//! | 24 | 8 | salt, random per segment |
//! | 32 | 8 | where the previous segment ends, 0 if there was none |
//! | 40 | 20 | zero |
//! | 60 | 4 | CRC32C of bytes 0..60 |
//!
//! Records follow from offset 128 without gaps:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the record with this header, at least 12 |
//! | 4 | 4 | header checksum: CRC32C of salt, segment number, record offset (8 bytes each) and the length |
//! | 8 | 4 | payload checksum: CRC32C continued from the header checksum over the payload |
//! | 12 | length - 12 | payload |
//!
//! The salt and the offset in the header checksum mean that bytes inside a payload, or left
//! over from another file, are never mistaken for a record, not even on purpose. A length is
//! never zero, so zeroes (preallocated space) are never a record either.
//!
//! # What opening does
//!
//! Every record is checked. A damaged payload loses that record alone, because its length has
//! its own checksum; a damaged record header loses what lies between it and the next record
//! whose two checksums hold, which is searched for byte by byte. In the last segment a damaged
//! part with no good record after it is a torn write and is cut off; elsewhere it counts as
//! corrupt. A segment with both header copies damaged is renamed to `*.seg.quarantined`. What the
//! disk does not give (a bad sector) counts as overwritten, up to the next 4 KiB that read again, and
//! a last segment with such a hole is neither cut nor written on: a new one follows it.
//! Damage is counted in [`Recovery`] and logged as an error, and never stops a start; only an
//! unknown format version (and a folder in use) does. What was recovered is synced before
//! `open` returns, so that what a reader sees is durable.
//!
//! # Errors
//!
//! [`ErrorKind::Retry`]: a write, open or rename failed, nothing was acknowledged, the same call
//! may succeed later (records appended and not yet synced stay pending until they are synced or
//! rolled back). [`ErrorKind::Fatal`]: a sync failed, so nobody knows what the disk holds; end
//! the process. [`ErrorKind::Invalid`]: the call can never succeed as it is.

mod cursor;
mod error;
mod format;
mod inspect;
mod journal;
mod open;
mod options;
mod position;
mod reader;

pub use error::{ErrorKind, JournalError};
pub use format::segment_number;
pub use inspect::{Item, Log};
pub use journal::Journal;
pub use options::{Options, Recovery};
pub use position::Position;
pub use reader::{Reader, Record, Tail};
