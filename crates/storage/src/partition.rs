//! A partition: the rows of one tenant, signal and UTC day on disk.
//!
//! Its folder `TENANT/SIGNAL/YYYY-MM-DD` holds three files per flush, named by the flush in 16
//! hex digits, and the index:
//!
//! - `F.blocks`: the blocks one after the other, then a directory;
//! - `F.ids`: the id table, terms that one block alone has;
//! - `F.fields`: the table of field values;
//! - `index/`: tantivy, terms that several blocks of a file share; not there where each file has
//!   but one block.
//!
//! Rows lie in the partition of their day, except where a flush has rows of very many days: see
//! [`crate::flush`].
//!
//! A file of a flush later than the store's checkpoint does not count and is removed when the
//! store opens. Files never change; a partition is an immutable list of them, and readers keep
//! the list they began with.
//!
//! The blocks file ends, little-endian, with per block: offset (8 bytes), length (4), rows (4),
//! smallest time, largest time, largest end (8 each); then the number of blocks (4), the
//! directory's CRC-32C (4), version (2), signal (1), scheme of the file's terms (1), magic `TLBF` (4).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use model::{Signal, Tenant};

use crate::fields_table::FieldsTable;
use crate::idtable::IdTable;
use crate::index::TermIndex;
use crate::terms;

const MAGIC: [u8; 4] = *b"TLBF";
const VERSION: u16 = 1;
const ENTRY_BYTES: usize = 40;
const TRAILER_BYTES: usize = 16;

/// Ends the name of a folder whose partition was dropped and that is being removed.
const DROPPED_SUFFIX: &str = ".dropped";

/// Which partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub tenant: Tenant,
    pub signal: Signal,
    /// UTC days since the epoch.
    pub day: u32,
}

impl PartitionKey {
    /// The folder below the store's.
    pub(crate) fn dir(&self, root: &Path) -> PathBuf {
        root.join(self.tenant.as_str())
            .join(self.signal.name())
            .join(day_name(self.day))
    }

    /// What the folder is called while it is being removed.
    pub(crate) fn dropped_dir(&self, root: &Path) -> PathBuf {
        self.dir(root)
            .with_file_name(format!("{}{DROPPED_SUFFIX}", day_name(self.day)))
    }
}

/// The UTC day of a time.
pub(crate) fn day_of(unix_nano: u64) -> u32 {
    u32::try_from(unix_nano / model::time::NANOS_PER_DAY).expect("2^64 ns are 213,504 days")
}

/// `YYYY-MM-DD` of a day since the epoch (Howard Hinnant's civil-from-days).
pub(crate) fn day_name(day: u32) -> String {
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    let y = yoe + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

/// The day of a folder's name.
pub(crate) fn day_from_name(name: &str) -> Option<u32> {
    let mut parts = name.split('-');
    let mut next = || parts.next()?.parse::<i64>().ok();
    let (y, m, d) = (next()?, next()?, next()?);
    let y = y - i64::from(m <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let day = u32::try_from(era * 146_097 + doe - 719_468).ok()?;
    (day_name(day) == name).then_some(day)
}

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

/// The directory and trailer of a blocks file.
pub(crate) fn directory(signal: Signal, blocks: &[BlockMeta]) -> Vec<u8> {
    let mut out = Vec::with_capacity(blocks.len() * ENTRY_BYTES + TRAILER_BYTES);
    for block in blocks {
        out.extend_from_slice(&block.offset.to_le_bytes());
        out.extend_from_slice(&block.length.to_le_bytes());
        out.extend_from_slice(&block.rows.to_le_bytes());
        out.extend_from_slice(&block.min_time.to_le_bytes());
        out.extend_from_slice(&block.max_time.to_le_bytes());
        out.extend_from_slice(&block.max_end.to_le_bytes());
    }
    let count = u32::try_from(blocks.len()).expect("a flush has far fewer than 2^32 blocks");
    out.extend_from_slice(&count.to_le_bytes());
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.push(signal as u8);
    out.push(terms::SCHEME);
    out.extend_from_slice(&MAGIC);
    out
}

/// How long the directory of so many blocks is.
pub(crate) fn directory_bytes(blocks: usize) -> u64 {
    (blocks * ENTRY_BYTES + TRAILER_BYTES) as u64
}

/// The day of a folder that was dropped: `YYYY-MM-DD.dropped`, see [`crate::retention`].
pub(crate) fn day_from_dropped(name: &str) -> Option<u32> {
    day_from_name(name.strip_suffix(DROPPED_SUFFIX)?)
}

/// Why a file of a partition is set aside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Damaged(String),
}

fn read_directory(signal: Signal, bytes: &Bytes) -> Result<Vec<BlockMeta>, FileError> {
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
    if version != VERSION {
        return Err(damaged(&format!(
            "version {version}, this program reads {VERSION}: use a newer build, unless it is damaged"
        )));
    }
    if trailer[10] != signal as u8 {
        return Err(damaged("it holds another signal"));
    }
    let word = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes"));
    let start = (word(0) as usize)
        .checked_mul(ENTRY_BYTES)
        .and_then(|length| body.checked_sub(length))
        .ok_or_else(|| damaged("directory is longer than the file"))?;
    if crc32c::crc32c(&bytes[start..body + 4]) != word(4) {
        return Err(damaged("directory checksum does not match"));
    }
    let mut blocks = Vec::with_capacity(word(0) as usize);
    for entry in bytes[start..body].chunks_exact(ENTRY_BYTES) {
        let u64_at =
            |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
        let u32_at =
            |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"));
        let block = BlockMeta {
            offset: u64_at(0),
            length: u32_at(8),
            rows: u32_at(12),
            min_time: u64_at(16),
            max_time: u64_at(24),
            max_end: u64_at(32),
        };
        let end = block.offset.checked_add(u64::from(block.length));
        if end.is_none_or(|end| end > start as u64) {
            return Err(damaged("a block lies outside of the file"));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// The files of one flush in one partition, open.
#[derive(Debug)]
pub(crate) struct BlockFile {
    pub flush: u64,
    pub blocks: Vec<BlockMeta>,
    bytes: Bytes,
    /// Missing where the file is damaged, or its terms are of another scheme: every block is a
    /// candidate then.
    pub ids: Option<IdTable>,
    pub fields: Option<FieldsTable>,
    /// Bytes of all three files.
    pub size_bytes: u64,
}

/// The path of one file of a flush.
pub(crate) fn file_path(dir: &Path, flush: u64, extension: &str) -> PathBuf {
    dir.join(format!("{flush:016x}.{extension}"))
}

/// The flush and the extension of a file's name; nothing for names that are not of a flush.
pub(crate) fn flush_of(name: &str) -> Option<(u64, &str)> {
    let (flush, extension) = name.split_once('.')?;
    Some((u64::from_str_radix(flush, 16).ok()?, extension))
}

impl BlockFile {
    pub(crate) fn open(
        env: &Env,
        dir: &Path,
        signal: Signal,
        flush: u64,
    ) -> Result<Self, FileError> {
        let bytes = env.files.map(&file_path(dir, flush, "blocks"))?;
        let blocks = read_directory(signal, &bytes)?;
        let side = |extension: &str| {
            env.files
                .map(&file_path(dir, flush, extension))
                .map_err(|error| error.to_string())
        };
        let warn = |extension: &str, error: String| {
            tracing::error!(dir = %dir.display(), flush, extension, error,
                "side file does not read, searching without it");
        };
        let mut size_bytes = bytes.len() as u64;
        let scheme = bytes[bytes.len() - TRAILER_BYTES + 11];
        let ids = side("ids").and_then(|bytes| {
            size_bytes += bytes.len() as u64;
            if scheme != terms::SCHEME {
                return Err(format!("terms of scheme {scheme}"));
            }
            IdTable::open(bytes).map_err(|error| error.to_string())
        });
        let fields = side("fields").and_then(|bytes| {
            size_bytes += bytes.len() as u64;
            FieldsTable::open(bytes).map_err(|error| error.to_string())
        });
        Ok(Self {
            flush,
            blocks,
            bytes,
            ids: ids.map_err(|error| warn("ids", error)).ok(),
            fields: fields.map_err(|error| warn("fields", error)).ok(),
            size_bytes,
        })
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, ordinal: usize) -> Bytes {
        let block = &self.blocks[ordinal];
        let offset = usize::try_from(block.offset).expect("checked against the file's length");
        self.bytes.slice(offset..offset + block.length as usize)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }
}

/// One partition as of some flush.
#[derive(Clone)]
pub(crate) struct Partition {
    pub key: PartitionKey,
    pub files: Vec<Arc<BlockFile>>,
    /// Missing where no file has several blocks, and where it cannot be opened: every block of
    /// those files is a candidate then.
    pub index: Option<Arc<TermIndex>>,
}

impl Partition {
    /// Opens the files of flushes up to `flush_max`; removes later ones.
    pub(crate) fn open(
        env: &Env,
        root: &Path,
        key: PartitionKey,
        flush_max: u64,
    ) -> std::io::Result<(Self, u64)> {
        let dir = key.dir(root);
        let mut partition = Self {
            key,
            files: Vec::new(),
            index: None,
        };
        let mut damaged = 0;
        for entry in env.files.list(&dir)? {
            let Some((flush, extension)) = flush_of(&entry.name) else {
                continue;
            };
            if flush > flush_max {
                env.files.remove_file(&dir.join(&entry.name))?;
                continue;
            }
            if extension != "blocks" {
                continue;
            }
            match BlockFile::open(env, &dir, partition.key.signal, flush) {
                Ok(file) => partition.files.push(Arc::new(file)),
                // Whole, for all that is known: what the system refuses now it may give later.
                Err(FileError::Io(error)) => {
                    let path = dir.join(&entry.name);
                    let reason = format!("cannot open {}: {error}", path.display());
                    return Err(std::io::Error::new(error.kind(), reason));
                }
                Err(error) => {
                    damaged += 1;
                    tracing::error!(file = %dir.join(&entry.name).display(), %error,
                        "blocks file does not read, its rows are missing from answers");
                }
            }
        }
        partition.files.sort_by_key(|file| file.flush);
        // Files of one block have none.
        let index = dir.join("index");
        if env.files.stat(&index)?.is_some() {
            partition.index = open_index(env, &index);
        }
        Ok((partition, damaged))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows()).sum()
    }

    /// How many of its files' id and field tables do not read.
    pub(crate) fn lacking_tables(&self) -> u64 {
        let lacking = |file: &Arc<BlockFile>| {
            u64::from(file.ids.is_none()) + u64::from(file.fields.is_none())
        };
        self.files.iter().map(lacking).sum()
    }

    /// Whether its index is damaged, or did not open.
    pub(crate) fn lacks_index(&self) -> bool {
        match &self.index {
            Some(index) => index.is_damaged(),
            None => self.files.iter().any(|file| file.blocks.len() > 1),
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Bytes of everything in the partition's folder: the index and damaged files too.
    pub(crate) fn disk_bytes(&self, env: &Env, root: &Path) -> std::io::Result<u64> {
        let dir = self.key.dir(root);
        let mut bytes: u64 = env.files.list(&dir)?.iter().map(|entry| entry.bytes).sum();
        let index = dir.join("index");
        if env.files.stat(&index)?.is_some() {
            bytes += env
                .files
                .list(&index)?
                .iter()
                .map(|entry| entry.bytes)
                .sum::<u64>();
        }
        Ok(bytes)
    }

    /// The time of its newest row; the end of its day where no file of it reads.
    pub(crate) fn newest_unix_nano(&self) -> u64 {
        let blocks = self.files.iter().flat_map(|file| &file.blocks);
        blocks.map(|block| block.max_time).max().unwrap_or_else(|| {
            (u64::from(self.key.day) + 1).saturating_mul(model::time::NANOS_PER_DAY)
        })
    }
}

/// Opens an index. One that does not open is left for the next flush to try, and searched without.
fn open_index(env: &Env, dir: &Path) -> Option<Arc<TermIndex>> {
    match TermIndex::open_or_create(env, dir) {
        Ok(index) => Some(Arc::new(index)),
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "index does not open, searching without it");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_names_agree() {
        for (day, name) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
        ] {
            assert_eq!(day_name(day), name);
            assert_eq!(day_from_name(name), Some(day));
        }
        let last = day_of(u64::MAX);
        assert_eq!(day_from_name(&day_name(last)), Some(last));
        assert_eq!(day_from_name("2026-02-30"), None);
        assert_eq!(day_from_name("index"), None);
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
        let mut bytes = b"abc".to_vec();
        bytes.extend(directory(Signal::Logs, &[meta]));
        let read = read_directory(Signal::Logs, &Bytes::from(bytes.clone())).unwrap();
        assert_eq!(read, [meta]);
        assert!(read_directory(Signal::Traces, &Bytes::from(bytes.clone())).is_err());
        for at in 3..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            // The byte after the signal is reserved; nothing else may change unnoticed.
            if at != bytes.len() - 5 {
                assert!(
                    read_directory(Signal::Logs, &damaged.into()).is_err(),
                    "byte {at}"
                );
            }
        }
    }
}
