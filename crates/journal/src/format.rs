//! Bytes of segment headers and record headers, as laid out in the crate's documentation.

use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"TLJOURNL";
/// The version that this build writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
/// Two copies of the header: where the first record starts.
pub(crate) const DATA_START: u64 = 2 * HEADER_BYTES as u64;
pub(crate) const RECORD_HEADER_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) segment: u64,
    pub(crate) salt: u64,
    pub(crate) previous_end: u64,
}

/// What the first bytes of a segment file are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Good(SegmentHeader),
    /// Written by a newer build.
    UnknownVersion(u32),
    /// Missing or damaged in both copies.
    Unreadable,
}

impl SegmentHeader {
    /// Both copies.
    pub(crate) fn encode(&self) -> [u8; DATA_START as usize] {
        let mut bytes = [0; DATA_START as usize];
        let (first, second) = bytes.split_at_mut(HEADER_BYTES);
        first[..8].copy_from_slice(&MAGIC);
        first[8..12].copy_from_slice(&VERSION.to_le_bytes());
        first[16..24].copy_from_slice(&self.segment.to_le_bytes());
        first[24..32].copy_from_slice(&self.salt.to_le_bytes());
        first[32..40].copy_from_slice(&self.previous_end.to_le_bytes());
        let checksum = crc32c::crc32c(&first[..60]);
        first[60..].copy_from_slice(&checksum.to_le_bytes());
        second.copy_from_slice(first);
        bytes
    }

    /// Reads whichever copy is intact. `segment` is the number in the file's name: a header
    /// that says otherwise belongs to another file.
    pub(crate) fn decode(bytes: &[u8], segment: u64) -> HeaderState {
        for copy in bytes.chunks_exact(HEADER_BYTES).take(2) {
            if copy[..8] != MAGIC || crc32c::crc32c(&copy[..60]) != u32_at(copy, 60) {
                continue;
            }
            let version = u32_at(copy, 8);
            if version != VERSION {
                return HeaderState::UnknownVersion(version);
            }
            let header = Self {
                segment: u64_at(copy, 16),
                salt: u64_at(copy, 24),
                previous_end: u64_at(copy, 32),
            };
            if header.segment == segment {
                return HeaderState::Good(header);
            }
        }
        HeaderState::Unreadable
    }

    /// The start of every record header's checksum in this segment.
    pub(crate) fn seed(&self) -> Seed {
        let salted = crc32c::crc32c(&self.salt.to_le_bytes());
        Seed(crc32c::crc32c_append(salted, &self.segment.to_le_bytes()))
    }
}

/// Checksum state that all records of a segment share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    fn header_checksum(self, offset: u64, length: u32) -> u32 {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        bytes[8..].copy_from_slice(&length.to_le_bytes());
        crc32c::crc32c_append(self.0, &bytes)
    }

    /// The header of a record of `length` bytes in all at `offset`.
    pub(crate) fn encode_record_header(
        self,
        offset: u64,
        length: u32,
        parts: &[&[u8]],
    ) -> [u8; RECORD_HEADER_BYTES] {
        let header = self.header_checksum(offset, length);
        let payload = parts
            .iter()
            .fold(header, |sum, part| crc32c::crc32c_append(sum, part));
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&header.to_le_bytes());
        bytes[8..].copy_from_slice(&payload.to_le_bytes());
        bytes
    }

    /// Reads a record header; `None` if the first twelve bytes are not one for this offset.
    pub(crate) fn decode_record_header(self, bytes: &[u8], offset: u64) -> Option<RecordHeader> {
        let length = u32_at(bytes, 0);
        if (length as usize) < RECORD_HEADER_BYTES {
            return None;
        }
        let checksum = u32_at(bytes, 4);
        (self.header_checksum(offset, length) == checksum).then(|| RecordHeader {
            length: u64::from(length),
            header_checksum: checksum,
            payload_checksum: u32_at(bytes, 8),
        })
    }
}

/// A record header whose own checksum holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) length: u64,
    header_checksum: u32,
    payload_checksum: u32,
}

impl RecordHeader {
    pub(crate) fn payload_matches(&self, payload: &[u8]) -> bool {
        crc32c::crc32c_append(self.header_checksum, payload) == self.payload_checksum
    }
}

pub(crate) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:020}.seg"))
}

/// The number in a segment's file name; `None` for other files, which are left alone.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number > 0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
