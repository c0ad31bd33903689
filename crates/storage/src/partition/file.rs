//! The files of a partition: how they are named, and how one is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use env::Env;
use model::Signal;

use super::directory::{BlockMeta, Origin, directory_bytes, read_directory};
use crate::fields_table::FieldsTable;
use crate::idtable::IdTable;
use crate::points::index::SeriesIndex;
use crate::terms;

/// The files that one name stands for: `ids` not of metrics, `series` of metrics alone.
pub(crate) const EXTENSIONS: [&str; 4] = ["blocks", "ids", "fields", "series"];
/// What the blocks file of a merge is called until it counts.
pub(crate) const UNFINISHED: &str = "blocks.tmp";

/// Bits of a file's number that hold its last flush. With the generation above them a number has
/// 40 bits, as many as the index has room for.
const FLUSH_BITS: u32 = 34;
/// What comes of merging files of this generation cannot be told apart from others.
const GENERATION_MAX: u8 = 63;

/// Which file of a partition: that of one flush, or what those of a run of flushes became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// The first flush whose rows may be in it.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// 0 for the file of one flush; one more than that of the last part of a merged one.
    pub generation: u8,
}

impl FileId {
    /// The file of one flush.
    pub(crate) fn flush(flush: u64) -> Self {
        Self {
            first: flush,
            last: flush,
            generation: 0,
        }
    }

    /// What these files become, in their order; nothing where there is no such name.
    pub(crate) fn merged(files: &[FileId]) -> Option<Self> {
        let (first, last) = (files.first()?, files.last()?);
        let possible = last.generation < GENERATION_MAX && last.last < 1 << FLUSH_BITS;
        possible.then(|| Self {
            first: first.first,
            last: last.last,
            generation: last.generation + 1,
        })
    }

    pub(crate) fn is_merged(self) -> bool {
        self.generation > 0
    }

    /// Whether its rows are in `other`, which was merged from it among others.
    pub(crate) fn is_part_of(self, other: FileId) -> bool {
        self != other && self.first >= other.first && self.last <= other.last
    }

    /// Whether some flush may have rows in both.
    pub(crate) fn overlaps(self, other: FileId) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// By what the index names the file. The number of a flush's file is the flush. A number never
    /// comes twice in a partition: of two files that end with the same flush one is the last part
    /// of what the other was merged from.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << FLUSH_BITS | self.last
    }

    /// Whether a number is that of a flush's file.
    pub(crate) fn is_flush(number: u64) -> bool {
        number < 1 << FLUSH_BITS
    }

    /// The path of one of its files.
    pub(crate) fn path(self, dir: &Path, extension: &str) -> PathBuf {
        dir.join(format!("{self}.{extension}"))
    }

    /// The file that a name in a partition's folder is of, and the rest of the name.
    pub(crate) fn parse(name: &str) -> Option<(Self, &str)> {
        let (stem, extension) = name.split_once('.')?;
        let number = |text: &str| {
            let digits = text.bytes();
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let valid = digits.len() == 16 && digits.clone().all(lower);
            valid.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let mut parts = stem.split('-');
        let first = number(parts.next()?)?;
        let Some(last) = parts.next() else {
            return Some((Self::flush(first), extension));
        };
        let generation = parts.next().filter(|text| text.len() == 2)?;
        let id = Self {
            first,
            last: number(last)?,
            generation: u8::from_str_radix(generation, 16).ok()?,
        };
        let known = id.generation > 0 && id.generation <= GENERATION_MAX && id.first <= id.last;
        // Written again it is the same name, so that no two names are one file.
        let same = id.to_string() == stem;
        (known && same).then_some((id, extension))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.first)?;
        if self.is_merged() {
            write!(f, "-{:016x}-{:02x}", self.last, self.generation)?;
        }
        Ok(())
    }
}

/// Why a file of a partition is set aside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Damaged(String),
}

/// The three files of one name, open.
#[derive(Debug)]
pub(crate) struct BlockFile {
    pub id: FileId,
    pub blocks: Vec<BlockMeta>,
    /// Of a merged file.
    origins: Option<Vec<Origin>>,
    /// The files, by number, that the index must cover for its answer to hold for this one.
    pub needs: Vec<u64>,
    bytes: Bytes,
    /// Missing where the file is damaged, or its terms are of another scheme: every block is a
    /// candidate then.
    pub ids: Option<IdTable>,
    pub fields: Option<FieldsTable>,
    /// Of points: which series have which label. Missing where the file is damaged, or of an
    /// earlier build: every block is a candidate then.
    pub series: Option<SeriesIndex>,
    /// Tells it from other files that were opened.
    pub serial: u64,
    /// Bytes of all its files.
    pub size_bytes: u64,
    /// Found not to read to its end: it stays as it is, since nothing else has its rows.
    pub damaged: AtomicBool,
}

/// The serial of the next file that is opened.
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl BlockFile {
    pub(crate) fn open(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
    ) -> Result<Self, FileError> {
        Self::open_as(env, dir, signal, id, "blocks")
    }

    /// Opens what a merge wrote, before it counts.
    pub(crate) fn open_unfinished(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
    ) -> Result<Self, FileError> {
        Self::open_as(env, dir, signal, id, UNFINISHED)
    }

    fn open_as(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
        extension: &str,
    ) -> Result<Self, FileError> {
        let bytes = env.files.map(&id.path(dir, extension))?;
        let directory = read_directory(signal, &bytes)?;
        let side = |extension: &str| {
            env.files
                .map(&id.path(dir, extension))
                .map_err(|error| error.to_string())
        };
        let warn = |extension: &str, error: String| {
            tracing::error!(dir = %dir.display(), file = %id, extension, error,
                "side file does not read, searching without it");
        };
        let mut size_bytes = bytes.len() as u64;
        // Earlier builds wrote an id table for points, too.
        let ids = env.files.stat(&id.path(dir, "ids"));
        let of_points = signal == Signal::Metrics && !matches!(ids, Ok(Some(_)));
        let (mut series, mut ids) = (None, None);
        if of_points {
            let read = side("series").and_then(|bytes| {
                size_bytes += bytes.len() as u64;
                SeriesIndex::open(bytes).map_err(|error| error.0.to_owned())
            });
            let count = directory.blocks.len();
            let read = read.and_then(|index| match index.blocks().len() == count {
                true => Ok(index),
                false => Err("it is of other blocks".to_owned()),
            });
            series = read.map_err(|error| warn("series", error)).ok();
        } else {
            let read = side("ids").and_then(|bytes| {
                size_bytes += bytes.len() as u64;
                if directory.scheme != terms::SCHEME {
                    return Err(format!("terms of scheme {}", directory.scheme));
                }
                IdTable::open(bytes).map_err(|error| error.to_string())
            });
            let read = read.and_then(|ids| Ok(ids.over(side("ids")?)));
            ids = read.map_err(|error| warn("ids", error)).ok();
        }
        let fields = side("fields").and_then(|bytes| {
            size_bytes += bytes.len() as u64;
            FieldsTable::open(bytes).map_err(|error| error.to_string())
        });
        // Opening looked at a few pages of each file, and the kernel put those around them into
        // this process, too. Of hundreds of files that is more memory than all else; a mapping
        // that was not looked at yet has none of it.
        let fields = fields.and_then(|fields| Ok(fields.over(side("fields")?)));
        let bytes = env.files.map(&id.path(dir, extension))?;
        Ok(Self {
            id,
            needs: if of_points {
                Vec::new()
            } else {
                needs(id, directory.blocks.len(), directory.origins.as_deref())
            },
            blocks: directory.blocks,
            origins: directory.origins,
            bytes,
            ids,
            fields: fields.map_err(|error| warn("fields", error)).ok(),
            series,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            size_bytes,
            damaged: AtomicBool::new(false),
        })
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, ordinal: usize) -> Bytes {
        let block = &self.blocks[ordinal];
        let offset = usize::try_from(block.offset).expect("checked against the file's length");
        self.bytes.slice(offset..offset + block.length as usize)
    }

    /// Where a block was written first.
    pub(crate) fn origin(&self, ordinal: usize) -> Origin {
        match &self.origins {
            Some(origins) => origins[ordinal],
            None => Origin {
                file: self.id.number(),
                ordinal: u32::try_from(ordinal).expect("a directory has fewer than 2^32 blocks"),
                indexed: self.blocks.len() > 1,
            },
        }
    }

    /// How long the directory at the end of the blocks file is.
    pub(crate) fn directory_bytes(&self) -> u64 {
        directory_bytes(self.blocks.len(), self.origins.is_some())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }
}

/// The files whose terms of several blocks are in the index. The one block of a file shares its
/// terms with none.
fn needs(id: FileId, blocks: usize, origins: Option<&[Origin]>) -> Vec<u64> {
    let Some(origins) = origins else {
        return if blocks > 1 {
            vec![id.number()]
        } else {
            Vec::new()
        };
    };
    let indexed = origins.iter().filter(|origin| origin.indexed);
    let mut needs: Vec<u64> = indexed.map(|origin| origin.file).collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_say_what_was_merged() {
        let files = [FileId::flush(1), FileId::flush(7)];
        let merged = FileId::merged(&files).unwrap();
        let again = FileId::merged(&[merged, FileId::flush(8)]).unwrap();
        for id in [files[1], merged, again] {
            let name = format!("{id}.ids");
            assert_eq!(FileId::parse(&name), Some((id, "ids")));
        }
        assert_eq!(merged.to_string(), "0000000000000001-0000000000000007-01");
        assert!(files[0].is_part_of(merged) && merged.is_part_of(again));
        assert!(!merged.is_part_of(merged) && !FileId::flush(8).is_part_of(merged));
        assert!(merged.overlaps(FileId::flush(4)) && !merged.overlaps(FileId::flush(8)));
        let numbers = [files[1], merged, again].map(FileId::number);
        assert_eq!(numbers[0], 7);
        assert!(numbers.is_sorted() && !FileId::is_flush(numbers[1]));
        assert!(numbers[2] < 1 << 40);
    }

    #[test]
    fn other_names_are_of_no_file() {
        for name in [
            "index",
            "1.blocks",
            "000000000000000G.blocks",
            "0000000000000001-0000000000000002.blocks",
            "0000000000000001-0000000000000002-00.blocks",
            "0000000000000001-0000000000000002-40.blocks",
            "0000000000000001-0000000000000002-0A.blocks",
            "0000000000000003-0000000000000002-01.blocks",
            "0000000000000001-0000000000000002-01-01.blocks",
            "+000000000000001.blocks",
        ] {
            assert_eq!(FileId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn files_that_trickle_in_have_names_for_ever() {
        let mut file = FileId::flush(1);
        for flush in 2..1_000 {
            file = FileId::merged(&[file, FileId::flush(flush)]).unwrap();
            assert_eq!(file.generation, 1);
        }
    }

    #[test]
    fn there_is_no_name_beyond_the_last_generation() {
        let last = FileId {
            generation: GENERATION_MAX,
            ..FileId::flush(3)
        };
        assert_eq!(FileId::merged(&[FileId::flush(2), last]), None);
        assert_eq!(FileId::merged(&[FileId::flush(1 << FLUSH_BITS)]), None);
        assert_eq!(FileId::merged(&[]), None);
    }
}
