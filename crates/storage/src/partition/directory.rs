//! The directory at the end of a blocks file: where its blocks lie and what they span.
//!
//! Little-endian. Per block: offset (8 bytes), length (4), rows (4), smallest time, largest time,
//! largest end (8 each), and from version 2 on where the block was written first: the number of
//! that file (8), the block's ordinal in it (4), and 1 where that file has terms in the index, else
//! 0 (4). Then the number of blocks (4), the directory's CRC-32C (4), version (2), signal (1),
//! scheme of the file's terms (1), magic `TLBF` (4).

use bytes::Bytes;
use model::Signal;

use super::file::FileError;
use crate::terms;

const MAGIC: [u8; 4] = *b"TLBF";
/// Of files of one flush: each block was written there first.
const PLAIN: u16 = 1;
/// Of merged files.
const WITH_ORIGINS: u16 = 2;
const ENTRY_BYTES: usize = 40;
const ORIGIN_BYTES: usize = 16;
const TRAILER_BYTES: usize = 16;

/// Where a block lies and what it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    pub offset: u64,
    pub length: u32,
    pub rows: u32,
    pub min_time: u64,
    pub max_time: u64,
    pub max_end: u64,
}

/// Which block it was when it was written first. Under that name the index has its terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    /// The number of the file, see [`super::FileId::number`].
    pub file: u64,
    pub ordinal: u32,
    /// Whether that file has terms in the index: those that several of its blocks share.
    pub indexed: bool,
}

/// What a directory says.
#[derive(Debug)]
pub(super) struct Directory {
    pub blocks: Vec<BlockMeta>,
    /// In version 1 nothing: the file itself is where its blocks were written first.
    pub origins: Option<Vec<Origin>>,
    /// By which scheme the file's terms were made.
    pub scheme: u8,
}

/// The directory and trailer of a blocks file; origins are of a merged file's blocks.
pub(crate) fn directory(
    signal: Signal,
    blocks: &[BlockMeta],
    origins: Option<&[Origin]>,
) -> Vec<u8> {
    let entry = ENTRY_BYTES + origins.map_or(0, |_| ORIGIN_BYTES);
    let mut out = Vec::with_capacity(blocks.len() * entry + TRAILER_BYTES);
    for (at, block) in blocks.iter().enumerate() {
        out.extend_from_slice(&block.offset.to_le_bytes());
        out.extend_from_slice(&block.length.to_le_bytes());
        out.extend_from_slice(&block.rows.to_le_bytes());
        out.extend_from_slice(&block.min_time.to_le_bytes());
        out.extend_from_slice(&block.max_time.to_le_bytes());
        out.extend_from_slice(&block.max_end.to_le_bytes());
        if let Some(origin) = origins.map(|origins| origins[at]) {
            out.extend_from_slice(&origin.file.to_le_bytes());
            out.extend_from_slice(&origin.ordinal.to_le_bytes());
            out.extend_from_slice(&u32::from(origin.indexed).to_le_bytes());
        }
    }
    let count = u32::try_from(blocks.len()).expect("a file has far fewer than 2^32 blocks");
    out.extend_from_slice(&count.to_le_bytes());
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    let version = origins.map_or(PLAIN, |_| WITH_ORIGINS);
    out.extend_from_slice(&version.to_le_bytes());
    out.push(signal as u8);
    out.push(terms::SCHEME);
    out.extend_from_slice(&MAGIC);
    out
}

/// How long the directory of so many blocks is, of a merged file or of one of a flush.
pub(super) fn directory_bytes(blocks: usize, merged: bool) -> u64 {
    let entry = ENTRY_BYTES + if merged { ORIGIN_BYTES } else { 0 };
    (blocks * entry + TRAILER_BYTES) as u64
}

/// Reads the directory of a whole blocks file.
pub(super) fn read_directory(signal: Signal, bytes: &Bytes) -> Result<Directory, FileError> {
    let damaged = |what: &str| FileError::Damaged(format!("blocks file: {what}"));
    let body = bytes
        .len()
        .checked_sub(TRAILER_BYTES)
        .ok_or_else(|| damaged("too short"))?;
    let trailer = &bytes[body..];
    if trailer[12..] != MAGIC {
        return Err(damaged("no magic number at its end"));
    }
    let version = u16::from_le_bytes([trailer[8], trailer[9]]);
    let entry_bytes = match version {
        PLAIN => ENTRY_BYTES,
        WITH_ORIGINS => ENTRY_BYTES + ORIGIN_BYTES,
        _ => {
            let reason = format!(
                "version {version}, this program reads up to {WITH_ORIGINS}: use a newer build, \
                 unless it is damaged"
            );
            return Err(damaged(&reason));
        }
    };
    if trailer[10] != signal as u8 {
        return Err(damaged("it holds another signal"));
    }
    let word = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes"));
    let start = (word(0) as usize)
        .checked_mul(entry_bytes)
        .and_then(|length| body.checked_sub(length))
        .ok_or_else(|| damaged("directory is longer than the file"))?;
    if crc32c::crc32c(&bytes[start..body + 4]) != word(4) {
        return Err(damaged("directory checksum does not match"));
    }
    let mut blocks = Vec::with_capacity(word(0) as usize);
    let mut origins = Vec::new();
    for entry in bytes[start..body].chunks_exact(entry_bytes) {
        let (block, origin) = read_entry(entry);
        let end = block.offset.checked_add(u64::from(block.length));
        if end.is_none_or(|end| end > start as u64) {
            return Err(damaged("a block lies outside of the file"));
        }
        blocks.push(block);
        origins.extend(origin);
    }
    Ok(Directory {
        blocks,
        origins: (version == WITH_ORIGINS).then_some(origins),
        scheme: trailer[11],
    })
}

fn read_entry(entry: &[u8]) -> (BlockMeta, Option<Origin>) {
    let u64_at = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
    let u32_at = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"));
    let block = BlockMeta {
        offset: u64_at(0),
        length: u32_at(8),
        rows: u32_at(12),
        min_time: u64_at(16),
        max_time: u64_at(24),
        max_end: u64_at(32),
    };
    let origin = (entry.len() > ENTRY_BYTES).then(|| Origin {
        file: u64_at(40),
        ordinal: u32_at(48),
        indexed: u32_at(52) != 0,
    });
    (block, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_reads_back_and_damage_is_seen() {
        let meta = BlockMeta {
            offset: 0,
            length: 3,
            rows: 2,
            min_time: 1,
            max_time: 9,
            max_end: 9,
        };
        let origin = Origin {
            file: 1 << 39,
            ordinal: 7,
            indexed: true,
        };
        for origins in [None, Some(vec![origin])] {
            let mut bytes = b"abc".to_vec();
            bytes.extend(directory(Signal::Logs, &[meta], origins.as_deref()));
            let read = read_directory(Signal::Logs, &Bytes::from(bytes.clone())).unwrap();
            assert_eq!((read.blocks, read.origins), (vec![meta], origins));
            assert_eq!(read.scheme, terms::SCHEME);
            assert!(read_directory(Signal::Traces, &Bytes::from(bytes.clone())).is_err());
            for at in 3..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                // Another scheme is none of the directory's business; nothing else may change
                // unnoticed.
                if at != bytes.len() - 5 {
                    assert!(
                        read_directory(Signal::Logs, &damaged.into()).is_err(),
                        "byte {at}"
                    );
                }
            }
        }
    }
}
