//! The directory at the end of a blocks file: where its blocks lie and what they span.
//!
//! Little-endian. Per block: offset (8 bytes), length (4), rows (4), smallest time, largest time,
//! largest end (8 each), and from version 2 on where the block was written first: the number of
//! that file (8), the block's ordinal in it (4), and 1 where that file has terms in the index, else
//! 0 (4). Then the number of blocks (4), the directory's CRC-32C (4), version (2), signal (1),
//! scheme of the file's terms (1), magic `TLBF` (4).

use std::io::ErrorKind;

use env::File;
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
/// Bytes at the end of a file that are read first: the whole directory of all but large files.
const TAIL_BYTES: u64 = 4 << 10;

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

fn damaged(what: &str) -> FileError {
    FileError::Damaged(format!("blocks file: {what}"))
}

/// Reads the directory of a blocks file of so many bytes, and nothing else of it.
pub(super) fn load_directory(
    signal: Signal,
    file: &dyn File,
    file_bytes: u64,
) -> Result<Directory, FileError> {
    let tail_of = |bytes: u64| {
        let mut tail = vec![0; usize::try_from(bytes).map_err(|_| damaged("too long"))?];
        match file.read_exact_at(&mut tail, file_bytes - bytes) {
            Ok(()) => Ok(tail),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(damaged("cut short")),
            Err(error) => Err(error.into()),
        }
    };
    let mut tail = tail_of(file_bytes.min(TAIL_BYTES))?;
    let whole = Trailer::read(signal, &tail)?.directory_bytes();
    if whole > tail.len() as u64 && whole <= file_bytes {
        tail = tail_of(whole)?;
    }
    read_directory(signal, &tail, file_bytes)
}

/// The end of a blocks file.
struct Trailer {
    blocks: u32,
    checksum: u32,
    entry_bytes: usize,
    scheme: u8,
}

impl Trailer {
    fn read(signal: Signal, tail: &[u8]) -> Result<Self, FileError> {
        let trailer: &[u8; TRAILER_BYTES] =
            tail.last_chunk().ok_or_else(|| damaged("too short"))?;
        if trailer[12..] != MAGIC {
            return Err(damaged("no magic number at its end"));
        }
        let version = u16::from_le_bytes([trailer[8], trailer[9]]);
        let entry_bytes = match version {
            PLAIN => ENTRY_BYTES,
            WITH_ORIGINS => ENTRY_BYTES + ORIGIN_BYTES,
            _ => {
                let reason = format!(
                    "version {version}, this program reads up to {WITH_ORIGINS}: use a newer \
                     build, unless it is damaged"
                );
                return Err(damaged(&reason));
            }
        };
        if trailer[10] != signal as u8 {
            return Err(damaged("it holds another signal"));
        }
        let word =
            |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes"));
        Ok(Self {
            blocks: word(0),
            checksum: word(4),
            entry_bytes,
            scheme: trailer[11],
        })
    }

    /// How long the directory is, with the trailer.
    fn directory_bytes(&self) -> u64 {
        u64::from(self.blocks) * self.entry_bytes as u64 + TRAILER_BYTES as u64
    }
}

/// Reads the directory of a blocks file of so many bytes, of which the last ones are given.
fn read_directory(signal: Signal, tail: &[u8], file_bytes: u64) -> Result<Directory, FileError> {
    let trailer = Trailer::read(signal, tail)?;
    let longer = || damaged("directory is longer than the file");
    let length = usize::try_from(trailer.directory_bytes()).map_err(|_| longer())?;
    let start = tail.len().checked_sub(length).ok_or_else(longer)?;
    let directory = &tail[start..];
    let entries = &directory[..length - TRAILER_BYTES];
    if crc32c::crc32c(&directory[..entries.len() + 4]) != trailer.checksum {
        return Err(damaged("directory checksum does not match"));
    }
    let mut blocks = Vec::with_capacity(trailer.blocks as usize);
    let mut origins = Vec::new();
    for entry in entries.chunks_exact(trailer.entry_bytes) {
        let (block, origin) = read_entry(entry);
        let end = block.offset.checked_add(u64::from(block.length));
        if end.is_none_or(|end| end > file_bytes - length as u64) {
            return Err(damaged("a block lies outside of the file"));
        }
        blocks.push(block);
        origins.extend(origin);
    }
    Ok(Directory {
        blocks,
        origins: (trailer.entry_bytes > ENTRY_BYTES).then_some(origins),
        scheme: trailer.scheme,
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
    fn a_directory_that_is_longer_than_the_first_look_is_read_whole() {
        let files = testkit::MemoryFiles::new();
        let path = std::path::Path::new("/blocks");
        let file = env::Files::create(&files, path).unwrap();
        let meta = |at: u64| BlockMeta {
            offset: at,
            length: 1,
            rows: 1,
            min_time: at,
            max_time: at,
            max_end: at,
        };
        let blocks: Vec<BlockMeta> = (0..500).map(meta).collect();
        let mut bytes = vec![0; blocks.len()];
        bytes.extend(directory(Signal::Logs, &blocks, None));
        file.write_at(&bytes, 0).unwrap();
        let whole = bytes.len() as u64;
        assert!(whole > TAIL_BYTES);
        let read = load_directory(Signal::Logs, &*file, whole).unwrap();
        assert_eq!(read.blocks, blocks);
        // Less than there should be, and nothing at all.
        for cut in [whole - 1, 20, 3, 0] {
            file.set_size(cut).unwrap();
            for said in [whole, cut] {
                let read = load_directory(Signal::Logs, &*file, said);
                assert!(
                    matches!(read, Err(FileError::Damaged(_))),
                    "{cut} of {said}"
                );
            }
        }
    }

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
            let read = |signal, bytes: &[u8]| read_directory(signal, bytes, bytes.len() as u64);
            let found = read(Signal::Logs, &bytes).unwrap();
            assert_eq!((found.blocks, found.origins), (vec![meta], origins));
            assert_eq!(found.scheme, terms::SCHEME);
            assert!(read(Signal::Traces, &bytes).is_err());
            for at in 3..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                // Another scheme is none of the directory's business; nothing else may change
                // unnoticed.
                if at != bytes.len() - 5 {
                    assert!(read(Signal::Logs, &damaged).is_err(), "byte {at}");
                }
            }
        }
    }
}
