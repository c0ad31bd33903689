//! The id table: which blocks of a file hold a value that occurs in few of them, such as a trace or request id.
//!
//! It stores pairs of a 40-bit hash and a block ordinal, sorted, four to five bytes a pair; a term dictionary took
//! twelve and thirty times the CPU. Two values may share a hash, so a block that the table names need not hold the
//! value, but a block that holds it is always named.
//!
//! A file is, all integers little-endian:
//! - header: magic `TLIT`, version (2 bytes), 2 reserved bytes;
//! - groups of 128 pairs, the last one fewer: a byte of hash width, a byte of ordinal width, the smallest ordinal as
//!   a varint, the differences between neighbouring hashes (the first against the group's first hash, so 0) as one
//!   packed frame, the ordinals less the smallest as another, and the CRC-32C of the group's directory entry and of
//!   all these bytes. Frames are laid out as in blocks;
//! - directory, for each group: its first hash (5 bytes) and where it ends in the file (5 bytes);
//! - trailer: number of pairs (8 bytes), CRC-32C of the directory and those 8 bytes, magic.
//!
//! Opening reads the trailer and checks the directory; nothing is decoded or allocated before a lookup.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;

use crate::block::pack::{FRAME, pack_frame, unpack_frame, width_of};
use crate::block::wire::{Cursor, Decoded, Malformed, put_varint};

#[cfg(test)]
mod tests;

const MAGIC: [u8; 4] = *b"TLIT";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8;
const TRAILER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 10;
const CHECKSUM_BYTES: usize = 4;

/// How many bits of a hash are dropped.
const DROPPED_BITS: u32 = 24;

/// Why an id table could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTableError {
    #[error("not an id table: {what}")]
    NotAnIdTable { what: &'static str },
    #[error("id table version {found} is not known, this program reads version {VERSION}")]
    Version { found: u16 },
    #[error("id table directory is damaged: its checksum does not match")]
    DirectoryChecksum,
    #[error("group {group} of the id table is damaged: its checksum does not match")]
    GroupChecksum { group: usize },
    #[error("group {group} of the id table is malformed: {what}")]
    Group { group: usize, what: &'static str },
    #[error("it names block {ordinal}, which its file does not have")]
    Ordinal { ordinal: u32 },
}

/// Builds a table. The pairs, each a 64-bit hash and a block ordinal, are sorted in place; repeated ones are stored
/// once.
pub fn build(pairs: &mut [(u64, u32)]) -> Vec<u8> {
    for (hash, _) in pairs.iter_mut() {
        *hash >>= DROPPED_BITS;
    }
    pairs.sort_unstable();
    let mut writer = Writer::new(pairs.len());
    for (hash, ordinal) in pairs.iter() {
        writer.push(*hash, *ordinal);
    }
    writer.finish()
}

/// Says of a block that it is not there any more.
pub const GONE: u32 = u32::MAX;

/// Merges tables into one. For each its blocks' new ordinals are given, by their old ones, or [`GONE`];
/// new ordinals rise with the old ones. Takes the memory of one group per table and of the result.
pub fn merge(tables: &[(&IdTable, &[u32])]) -> Result<Vec<u8>, IdTableError> {
    let mut writer = Writer::new(tables.iter().map(|(table, _)| table.len()).sum());
    let mut sources: Vec<Pairs<'_>> = tables.iter().map(|(table, _)| table.pairs()).collect();
    let mut heap = BinaryHeap::with_capacity(sources.len());
    for (index, source) in sources.iter_mut().enumerate() {
        if let Some(pair) = source.next_moved(tables[index].1)? {
            heap.push(Reverse((pair, index)));
        }
    }
    while let Some(Reverse(((hash, ordinal), index))) = heap.pop() {
        writer.push(hash, ordinal);
        if let Some(pair) = sources[index].next_moved(tables[index].1)? {
            heap.push(Reverse((pair, index)));
        }
    }
    Ok(writer.finish())
}

/// Writes sorted pairs group by group.
struct Writer {
    out: Vec<u8>,
    directory: Vec<u8>,
    hashes: [u64; FRAME],
    ordinals: [u64; FRAME],
    filled: usize,
    pairs: u64,
}

impl Writer {
    fn new(expected: usize) -> Self {
        let mut out = Vec::with_capacity(expected * 5 + 64);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        Writer {
            out,
            directory: Vec::with_capacity(expected / FRAME * ENTRY_BYTES + ENTRY_BYTES),
            hashes: [0; FRAME],
            ordinals: [0; FRAME],
            filled: 0,
            pairs: 0,
        }
    }

    /// Adds a pair that does not come before the last one; a repetition is left out.
    fn push(&mut self, hash: u64, ordinal: u32) {
        if self.filled == FRAME {
            self.write_group();
            // The last pair stays in place, so that a repetition is seen across groups.
            self.filled = 0;
        }
        let last = if self.filled > 0 {
            self.filled - 1
        } else {
            FRAME - 1
        };
        let repeated = self.hashes[last] == hash && self.ordinals[last] == u64::from(ordinal);
        if repeated && self.pairs > 0 {
            return;
        }
        self.hashes[self.filled] = hash;
        self.ordinals[self.filled] = u64::from(ordinal);
        self.filled += 1;
        self.pairs += 1;
    }

    fn write_group(&mut self) {
        let hashes = &self.hashes[..self.filled];
        let ordinals = &self.ordinals[..self.filled];
        let first = hashes[0];
        let mut differences = [0u64; FRAME];
        let mut moved = [0u64; FRAME];
        let (differences, moved) = (&mut differences[..self.filled], &mut moved[..self.filled]);
        let mut previous = first;
        let mut seen = 0;
        for (difference, hash) in differences.iter_mut().zip(hashes) {
            *difference = hash - previous;
            previous = *hash;
            seen |= *difference;
        }
        let smallest = ordinals.iter().copied().min().unwrap_or(0);
        let mut widest = 0;
        for (moved, ordinal) in moved.iter_mut().zip(ordinals) {
            *moved = ordinal - smallest;
            widest |= *moved;
        }
        let start = self.out.len();
        self.out.push(width_of(seen));
        self.out.push(width_of(widest));
        put_varint(&mut self.out, smallest);
        pack_frame(&mut self.out, differences, width_of(seen));
        pack_frame(&mut self.out, moved, width_of(widest));
        let end = self.out.len() + CHECKSUM_BYTES;
        let entry = self.directory.len();
        self.directory.extend_from_slice(&first.to_le_bytes()[..5]);
        self.directory
            .extend_from_slice(&(end as u64).to_le_bytes()[..5]);
        let checksum = group_checksum(&self.directory[entry..], &self.out[start..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.write_group();
        }
        self.directory.extend_from_slice(&self.pairs.to_le_bytes());
        let checksum = crc32c::crc32c(&self.directory);
        self.out.extend_from_slice(&self.directory);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out.extend_from_slice(&MAGIC);
        self.out
    }
}

fn group_checksum(entry: &[u8], group: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(entry), group)
}

/// An open id table.
#[derive(Debug, Clone)]
pub struct IdTable {
    bytes: Bytes,
    pairs: usize,
    groups: usize,
    directory: usize,
}

impl IdTable {
    /// Opens a table, which must fill `bytes` exactly.
    pub fn open(bytes: Bytes) -> Result<Self, IdTableError> {
        const NOT: fn(&'static str) -> IdTableError = |what| IdTableError::NotAnIdTable { what };
        if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
            return Err(NOT("it is shorter than a header and a trailer"));
        }
        if bytes[..4] != MAGIC || bytes[bytes.len() - 4..] != MAGIC {
            return Err(NOT("it does not start and end with the magic number"));
        }
        let found = u16::from_le_bytes([bytes[4], bytes[5]]);
        if found != VERSION {
            return Err(IdTableError::Version { found });
        }
        if bytes[6..8] != [0, 0] {
            return Err(NOT("reserved bytes are in use"));
        }
        let trailer = bytes.len() - TRAILER_BYTES;
        let mut cursor = Cursor::new(&bytes[trailer..]);
        let (Ok(pairs), Ok(checksum)) = (cursor.u64(), cursor.u32()) else {
            return Err(NOT("it is shorter than a header and a trailer"));
        };
        let pairs = usize::try_from(pairs)
            .map_err(|_| NOT("it is larger than this machine can address"))?;
        let groups = pairs.div_ceil(FRAME);
        let directory = groups
            .checked_mul(ENTRY_BYTES)
            .and_then(|length| trailer.checked_sub(length))
            .filter(|directory| *directory >= HEADER_BYTES)
            .ok_or(NOT("its directory is longer than the file"))?;
        if crc32c::crc32c(&bytes[directory..trailer + 8]) != checksum {
            return Err(IdTableError::DirectoryChecksum);
        }
        let table = IdTable {
            bytes,
            pairs,
            groups,
            directory,
        };
        let end = if groups == 0 {
            HEADER_BYTES
        } else {
            table.end_of(groups - 1)
        };
        if end != directory {
            return Err(NOT("its groups do not end where its directory starts"));
        }
        Ok(table)
    }

    /// How many pairs it has.
    pub fn len(&self) -> usize {
        self.pairs
    }

    /// What it reads from.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it has no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// How many bytes it takes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The ordinals of the blocks that may hold the value with this 64-bit hash, in rising order.
    pub fn lookup(&self, hash: u64) -> Result<Vec<u32>, IdTableError> {
        let hash = hash >> DROPPED_BITS;
        let mut found = Vec::new();
        let mut group = self.first_group(hash);
        let mut decoded = Group::new();
        while group < self.groups && self.first_hash(group) <= hash {
            self.decode(group, &mut decoded)?;
            let hashes = &decoded.hashes[..decoded.count];
            let start = hashes.partition_point(|other| *other < hash);
            let equal = hashes[start..]
                .iter()
                .take_while(|other| **other == hash)
                .count();
            found.extend(
                decoded.ordinals[start..start + equal]
                    .iter()
                    .map(|ordinal| *ordinal as u32),
            );
            if start + equal < decoded.count {
                break;
            }
            group += 1;
        }
        Ok(found)
    }

    /// All pairs in order, the hashes cut to 40 bits.
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs {
            table: self,
            group: 0,
            decoded: Group::new(),
            next: 0,
        }
    }

    /// The first group that may hold `hash`.
    fn first_group(&self, hash: u64) -> usize {
        // Hashes are evenly spread, so the group is close to where its share of the range lies: start there and
        // widen by doubling, which touches a page or two where a plain binary search touches a dozen.
        let guess = ((u128::from(hash) * self.groups as u128) >> (64 - DROPPED_BITS)) as usize;
        let mut low = guess.min(self.groups);
        let mut high = low;
        let mut step = 1;
        while low > 0 && self.first_hash(low - 1) >= hash {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < self.groups && self.first_hash(high) < hash {
            high = (high + step).min(self.groups);
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_hash(middle) < hash {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // The hash may also be at the end of the group before.
        low.saturating_sub(1)
    }

    fn entry(&self, group: usize) -> &[u8] {
        let start = self.directory + group * ENTRY_BYTES;
        &self.bytes[start..start + ENTRY_BYTES]
    }

    fn first_hash(&self, group: usize) -> u64 {
        five_bytes(&self.entry(group)[..5])
    }

    fn end_of(&self, group: usize) -> usize {
        five_bytes(&self.entry(group)[5..]) as usize
    }

    fn decode(&self, group: usize, into: &mut Group) -> Result<(), IdTableError> {
        let malformed = |error: Malformed| IdTableError::Group {
            group,
            what: error.0,
        };
        let start = if group == 0 {
            HEADER_BYTES
        } else {
            self.end_of(group - 1)
        };
        let end = self.end_of(group);
        if end > self.directory || start + CHECKSUM_BYTES > end {
            return Err(malformed(Malformed("it lies outside the file")));
        }
        let (stored, checksum) = self.bytes[start..end].split_at(end - start - CHECKSUM_BYTES);
        if group_checksum(self.entry(group), stored).to_le_bytes() != checksum {
            return Err(IdTableError::GroupChecksum { group });
        }
        let count = (self.pairs - group * FRAME).min(FRAME);
        into.read(stored, count, self.first_hash(group))
            .map_err(malformed)
    }
}

fn five_bytes(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// One decoded group.
#[derive(Debug)]
struct Group {
    hashes: [u64; FRAME],
    ordinals: [u64; FRAME],
    count: usize,
}

impl Group {
    fn new() -> Self {
        Group {
            hashes: [0; FRAME],
            ordinals: [0; FRAME],
            count: 0,
        }
    }

    fn read(&mut self, stored: &[u8], count: usize, first: u64) -> Decoded<()> {
        let mut cursor = Cursor::new(stored);
        let hash_width = cursor.u8()?;
        let ordinal_width = cursor.u8()?;
        let smallest = cursor.varint()?;
        unpack_frame(&mut cursor, &mut self.hashes[..count], hash_width)?;
        unpack_frame(&mut cursor, &mut self.ordinals[..count], ordinal_width)?;
        cursor.finish()?;
        let mut hash = first;
        for slot in &mut self.hashes[..count] {
            hash = hash
                .checked_add(*slot)
                .ok_or(Malformed("its hashes exceed 64 bits"))?;
            *slot = hash;
        }
        for slot in &mut self.ordinals[..count] {
            let ordinal = slot
                .checked_add(smallest)
                .filter(|ordinal| *ordinal <= u64::from(u32::MAX));
            *slot = ordinal.ok_or(Malformed("a block ordinal exceeds 32 bits"))?;
        }
        self.count = count;
        Ok(())
    }
}

/// The pairs of a table in order. Ends after the first error.
#[derive(Debug)]
pub struct Pairs<'a> {
    table: &'a IdTable,
    group: usize,
    decoded: Group,
    next: usize,
}

impl Pairs<'_> {
    /// The next pair of a block that is still there, with its new ordinal.
    fn next_moved(&mut self, places: &[u32]) -> Result<Option<(u64, u32)>, IdTableError> {
        while let Some((hash, ordinal)) = self.next().transpose()? {
            match places.get(ordinal as usize) {
                Some(&GONE) => {}
                Some(place) => return Ok(Some((hash, *place))),
                None => return Err(IdTableError::Ordinal { ordinal }),
            }
        }
        Ok(None)
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<(u64, u32), IdTableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.decoded.count {
            if self.group == self.table.groups {
                return None;
            }
            if let Err(error) = self.table.decode(self.group, &mut self.decoded) {
                self.group = self.table.groups;
                self.next = self.decoded.count;
                return Some(Err(error));
            }
            self.group += 1;
            self.next = 0;
        }
        let pair = (
            self.decoded.hashes[self.next],
            self.decoded.ordinals[self.next] as u32,
        );
        self.next += 1;
        Some(Ok(pair))
    }
}
