//! What a data folder holds, and which part of it takes how much.
//!
//! Read from directories and footers alone: no column is decoded. Only the rows that are in no file
//! yet are counted by decoding the log.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use env::Env;
use model::correlation::CorrelationKeys;
use model::row::Decode;
use serde::Serialize;

use crate::block::BlockReader;
use crate::folder::{Folder, FolderError, PartitionFiles, chunk_of, failed};
use crate::partition::{BlockFile, EXTENSIONS, INDEX, day_name};
use crate::store::{Logged, read_record};

#[cfg(test)]
mod tests;

/// A data folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Stat {
    /// The last flush that counts.
    pub flush: u64,
    /// By tenant, signal or resolution, and day.
    pub partitions: Vec<PartitionStat>,
    /// Rows that are in the log alone, by tenant and signal.
    pub head: Vec<HeadStat>,
    /// The log.
    pub wal: WalStat,
    /// Names that are none of the store's, or that do not count.
    pub strays: Vec<StrayStat>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PartitionStat {
    pub tenant: String,
    /// `traces`, `logs`, `metrics`; `metrics-5m` and `metrics-1h` of downsampled metrics, whose rows
    /// are values of buckets.
    pub signal: String,
    /// `YYYY-MM-DD`, UTC.
    pub day: String,
    pub rows: u64,
    /// Blocks files: one for each flush that had rows of the partition, until they are merged.
    pub files: u64,
    pub blocks: u64,
    /// Of all files of the partition.
    pub bytes: u64,
    /// Bytes of blocks files by what they are taken by; the sum is their size.
    pub columns: Vec<ColumnStat>,
    /// Bytes of the other files: `ids`, `fields`, and of the tantivy index by component.
    pub index: Vec<IndexStat>,
    /// Blocks files and blocks that do not read, and so are in no other figure but `bytes`.
    pub unreadable: u64,
}

/// One column over all blocks of a partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnStat {
    /// An attribute's key, or a column's name in the format.
    pub name: String,
    pub kind: ColumnKind,
    pub bytes: u64,
}

/// What a column is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Rows.
    Intrinsic,
    /// Attributes of rows.
    Attribute,
    /// Attributes of events of spans.
    EventAttribute,
    /// Attributes of links of spans.
    LinkAttribute,
    /// Directories of blocks and of files.
    Directory,
}

/// One kind of files beside the blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexStat {
    pub part: String,
    pub bytes: u64,
}

/// Rows that are in no file yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadStat {
    pub tenant: String,
    pub signal: String,
    pub rows: u64,
}

/// The log from the checkpoint on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WalStat {
    pub segments: u64,
    /// Of its files, reserved space included.
    pub bytes: u64,
    /// From the checkpoint on.
    pub records: u64,
    /// Records that do not read.
    pub unreadable: u64,
}

/// A name that is none of the store's, or that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StrayStat {
    /// Below the data folder.
    pub path: String,
    pub what: String,
}

/// Looks at a data folder. `decoder` counts the rows of the log.
pub fn stat(env: &Env, dir: &Path, decoder: &dyn Decode) -> Result<Stat, FolderError> {
    let mut folder = Folder::open(env, dir, &|_| true)?;
    let mut partitions = Vec::new();
    for partition in &folder.partitions {
        partitions.push(of_partition(&folder, partition)?);
    }
    partitions.sort_by(|a: &PartitionStat, b| {
        (&a.tenant, &a.signal, &a.day).cmp(&(&b.tenant, &b.signal, &b.day))
    });
    let (head, wal) = match folder.wal.take() {
        Some(log) => of_log(log, decoder)?,
        None => Default::default(),
    };
    let strays = folder.strays.into_iter().map(|stray| StrayStat {
        path: stray.path,
        what: stray.what.to_owned(),
    });
    Ok(Stat {
        flush: folder.checkpoint.flush,
        partitions,
        head,
        wal,
        strays: strays.collect(),
    })
}

fn of_partition(folder: &Folder, partition: &PartitionFiles) -> Result<PartitionStat, FolderError> {
    let mut stat = PartitionStat {
        tenant: partition.key.tenant.to_string(),
        signal: partition.key.folder_name(),
        day: day_name(partition.key.day),
        ..PartitionStat::default()
    };
    let mut columns: BTreeMap<(ColumnKind, String), u64> = BTreeMap::new();
    let mut parts: BTreeMap<String, u64> = BTreeMap::new();
    for file in &partition.files {
        for (extension, bytes) in EXTENSIONS.iter().zip(file.bytes) {
            stat.bytes += bytes.unwrap_or(0);
            if let Some(bytes) = bytes.filter(|_| *extension != "blocks") {
                *parts.entry((*extension).to_owned()).or_default() += bytes;
            }
        }
        match &file.blocks {
            Ok(blocks) => {
                stat.files += 1;
                stat.rows += blocks.rows();
                stat.blocks += blocks.blocks.len() as u64;
                stat.unreadable += of_file(blocks, file.bytes[0].unwrap_or(0), &mut columns);
            }
            Err(_) => stat.unreadable += 1,
        }
    }
    if partition.has_index {
        of_index(folder, &partition.dir.join(INDEX), &mut parts)?;
    }
    stat.bytes += parts
        .iter()
        .filter(|(part, _)| !EXTENSIONS.contains(&part.as_str()))
        .map(|(_, bytes)| bytes)
        .sum::<u64>();
    stat.columns = columns
        .into_iter()
        .map(|((kind, name), bytes)| ColumnStat { name, kind, bytes })
        .collect();
    stat.index = parts
        .into_iter()
        .map(|(part, bytes)| IndexStat { part, bytes })
        .collect();
    Ok(stat)
}

/// Adds up the columns of a blocks file; says how many blocks do not read.
fn of_file(
    file: &BlockFile,
    file_bytes: u64,
    columns: &mut BTreeMap<(ColumnKind, String), u64>,
) -> u64 {
    let mut unreadable = 0;
    let mut add = |kind, name: &str, bytes: u64| {
        *columns.entry((kind, name.to_owned())).or_default() += bytes;
    };
    let in_blocks: u64 = file.blocks.iter().map(|meta| u64::from(meta.length)).sum();
    let directory = file_bytes.saturating_sub(in_blocks);
    add(ColumnKind::Directory, "of files", directory);
    for ordinal in 0..file.blocks.len() {
        let bytes = file.block(ordinal);
        let mut rest = bytes.len() as u64;
        let Ok(reader) = BlockReader::open(bytes) else {
            unreadable += 1;
            continue;
        };
        for column in reader.columns() {
            let (kind, name) = named(&column.id.name);
            add(kind, name, u64::from(column.bytes));
            rest -= u64::from(column.bytes);
        }
        add(ColumnKind::Directory, "of blocks", rest);
    }
    unreadable
}

/// What a column is of, and the key of an attribute.
fn named(column: &str) -> (ColumnKind, &str) {
    for (prefix, kind) in [
        ("attr.", ColumnKind::Attribute),
        ("event.attr.", ColumnKind::EventAttribute),
        ("link.attr.", ColumnKind::LinkAttribute),
    ] {
        let rest = column.strip_prefix(prefix);
        // `attr.T:KEY`; the directory of attributes has names without a colon.
        if let Some((of_type, key)) = rest.and_then(|rest| rest.split_once(':'))
            && of_type.len() == 1
        {
            return (kind, key);
        }
    }
    (ColumnKind::Intrinsic, column)
}

/// Adds up the files of a tantivy index by component.
fn of_index(
    folder: &Folder,
    dir: &Path,
    parts: &mut BTreeMap<String, u64>,
) -> Result<(), FolderError> {
    let entries = match folder.env.files.list(dir) {
        // Retention was here.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed(dir))?,
    };
    for entry in entries {
        let component = match entry.name.rsplit_once('.') {
            Some((_, "json")) | None => "index meta",
            Some((_, "term")) => "index terms",
            Some((_, "idx")) => "index postings",
            Some((_, "fast")) => "index blocks",
            Some((_, "fieldnorm")) => "index norms",
            Some((_, "pos")) => "index positions",
            Some((_, "store")) => "index store",
            Some((_, "del")) => "index deletes",
            Some(_) => "index other",
        };
        *parts.entry(component.to_owned()).or_default() += entry.bytes;
    }
    Ok(())
}

fn of_log(
    log: journal::Log,
    decoder: &dyn Decode,
) -> Result<(Vec<HeadStat>, WalStat), FolderError> {
    let mut wal = WalStat {
        segments: log.segments() as u64,
        bytes: log.bytes(),
        ..WalStat::default()
    };
    let keys = CorrelationKeys::default();
    let mut rows: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
    log.each(&mut |item| {
        match item {
            journal::Item::Record { payload, .. } => {
                let record = match read_record(&payload) {
                    Some(Logged::Batch(record)) => Some(record),
                    Some(Logged::Checkpoint(_)) => return true,
                    None => None,
                };
                wal.records += 1;
                let chunk = record
                    .as_ref()
                    .map(|record| chunk_of(record, &keys, decoder));
                match (record, chunk) {
                    (Some(record), Some(Ok(chunk))) => {
                        let key = (record.batch.tenant.to_string(), record.batch.signal.name());
                        *rows.entry(key).or_default() += chunk.rows() as u64;
                    }
                    _ => wal.unreadable += 1,
                }
            }
            journal::Item::Damaged { .. } | journal::Item::Unreadable { .. } => wal.unreadable += 1,
            journal::Item::Torn { .. } | journal::Item::Missing { .. } => {}
        }
        true
    })?;
    let head = rows.into_iter().map(|((tenant, signal), rows)| HeadStat {
        tenant,
        signal: signal.to_owned(),
        rows,
    });
    Ok((head.collect(), wal))
}
