//! Checks everything in a data folder that can be checked, without changing it.
//!
//! Every checksum, every column and every row of every block is read, and what is said twice is
//! compared: the directory of a file with its blocks, the index with the searches that rows have to
//! be found by, the tables of fields with counts taken anew, the log with the checkpoint. What
//! counts is what the checkpoint says, so the folder may be open meanwhile.

mod blocks;
mod coverage;
mod fields;
mod log;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use env::Env;
use model::row::Decode;
use serde::Serialize;

use crate::folder::{FlushFiles, Folder, FolderError, PartitionFiles};
use crate::index::TermIndex;
use crate::layout::Interned;
use crate::partition::{INDEX, PartitionKey};
use crate::store::{Checkpoint, SOURCES, check_sources};

use coverage::Coverage;
use fields::Tally;

/// Findings that are listed; more are counted.
const FINDINGS_MAX: usize = 1_000;

/// What was checked, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    pub checked: Checked,
    /// The first so many.
    pub findings: Vec<Finding>,
    /// Findings that are not listed.
    pub more: u64,
    /// Whether any finding, listed or not, is more than a note.
    pub damaged: bool,
}

/// How much was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// The last flush that counts.
    pub flush: u64,
    pub partitions: u64,
    /// Blocks files.
    pub files: u64,
    pub blocks: u64,
    pub rows: u64,
    pub columns: u64,
    /// Searches that were looked up in id tables and indexes.
    pub searches: u64,
    pub wal_records: u64,
    /// Rows that were in the log alone when it was looked at. Of an open folder some may have been
    /// flushed and merged since, and be among the others too.
    pub wal_rows: u64,
    /// Bytes of files of partitions and of the log.
    pub bytes: u64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Below the data folder.
    pub file: String,
    /// Its position in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    pub what: String,
    /// What becomes of that.
    pub costs: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Rows are gone, or answers are wrong.
    Loss,
    /// Damage that costs no row and no answer.
    Damage,
    /// Not damage.
    Note,
}

/// Checks a data folder. `decoder` reads the requests in the log.
pub fn verify(env: &Env, dir: &Path, decoder: &dyn Decode) -> Result<Report, FolderError> {
    let mut report = Report::default();
    let mut folder = match Folder::open(env, dir, &|_| false) {
        Err(FolderError::Checkpoint(error)) => {
            report.add(Finding {
                severity: Severity::Loss,
                file: "store/CHECKPOINT".to_owned(),
                block: None,
                what: error.to_string(),
                costs: "the start is refused: nobody knows which files count; restore the folder"
                    .to_owned(),
            });
            return Ok(report);
        }
        folder => folder?,
    };
    report.checked.flush = folder.checkpoint.flush;
    checkpoint(&folder, &mut report);
    match folder.wal.take() {
        Some(log) => log::check(log, decoder, &mut report)?,
        // Until the first flush there may be none yet.
        None if folder.checkpoint.flush == 0 => {}
        None => report.add(Finding {
            severity: Severity::Loss,
            file: "wal".to_owned(),
            block: None,
            what: "the folder of the log is missing".to_owned(),
            costs: "rows since the last flush, if there were any".to_owned(),
        }),
    }
    let interned = Arc::new(Interned::default());
    for PartitionFiles { key, dir, .. } in std::mem::take(&mut folder.partitions) {
        let Some((partition, index)) = open_partition(&mut folder, &key, &dir)? else {
            continue;
        };
        report.checked.partitions += 1;
        check_partition(&folder, &partition, index, &interned, &mut report);
    }
    for stray in std::mem::take(&mut folder.strays) {
        let (severity, costs) = if stray.costs_rows {
            (Severity::Loss, "all rows of the day that were in it")
        } else {
            (Severity::Note, "room on the disk")
        };
        report.add(Finding {
            severity,
            file: stray.path,
            block: None,
            what: stray.what.to_owned(),
            costs: costs.to_owned(),
        });
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, finding: Finding) {
        self.damaged |= finding.severity < Severity::Note;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// Adds findings about one file.
struct About<'a> {
    report: &'a mut Report,
    /// The file's path, without the extension where it is of a flush.
    name: &'a str,
}

impl About<'_> {
    fn add(
        &mut self,
        severity: Severity,
        extension: &str,
        block: Option<usize>,
        what: impl Into<String>,
        costs: impl Into<String>,
    ) {
        self.report.add(Finding {
            severity,
            file: format!("{}{extension}", self.name),
            block: block.map(|block| block as u64),
            what: what.into(),
            costs: costs.into(),
        });
    }
}

fn checkpoint(folder: &Folder, report: &mut Report) {
    if folder.checkpoint_damaged {
        report.add(Finding {
            severity: Severity::Damage,
            file: "store/CHECKPOINT".to_owned(),
            block: None,
            what: "it does not read, or one of its two copies does not".to_owned(),
            costs: "nothing while another is whole; the next flush replaces them".to_owned(),
        });
    }
    if let Some(what) = Checkpoint::spare_damage(&folder.env, &folder.dir.join("store")) {
        report.add(Finding {
            severity: Severity::Damage,
            file: format!("store/{}", Checkpoint::SPARE),
            block: None,
            what,
            costs: "nothing while the checkpoint is whole; the next flush replaces both".to_owned(),
        });
    }
    let path = folder.dir.join("store").join(SOURCES);
    let read = match folder.env.files.read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        read => read.map_err(|error| error.to_string()),
    };
    if let Err(what) = read.and_then(|bytes| check_sources(&bytes)) {
        report.add(Finding {
            severity: Severity::Damage,
            file: folder.shown(&path),
            block: None,
            what,
            costs: "agents are listed again as they are heard of".to_owned(),
        });
    }
}

fn check_partition(
    folder: &Folder,
    partition: &PartitionFiles,
    index: Result<Option<TermIndex>, String>,
    interned: &Arc<Interned>,
    report: &mut Report,
) {
    let index = match index {
        Ok(index) => index,
        Err(what) => {
            let blocks = partition.files.iter().flat_map(|file| &file.blocks);
            let is_needed = blocks
                .into_iter()
                .any(|file| !file.indexed_files.is_empty());
            let (severity, costs) = if is_needed {
                let costs = "time: blocks of this day are searched without it; the next flush of \
                             the day begins a new one";
                (Severity::Damage, costs)
            } else {
                // A crash came while the first flush that needs one was making it.
                (Severity::Note, "nothing: no file that counts needs it")
            };
            report.add(Finding {
                severity,
                file: folder.shown(&partition.dir.join(INDEX)),
                block: None,
                what,
                costs: costs.to_owned(),
            });
            None
        }
    };
    for file in &partition.files {
        check_file(partition, file, index.as_ref(), interned, report);
    }
}

/// How often a partition that changes is looked at before its index is taken for what it says.
const TRIES: usize = 5;

/// A partition and its index, as they were at the same moment.
type Opened = (PartitionFiles, Result<Option<TermIndex>, String>);

/// Opens a partition's files and its index, of which every byte is checked; nothing where the
/// partition was dropped meanwhile.
fn open_partition(
    folder: &mut Folder,
    key: &PartitionKey,
    dir: &Path,
) -> Result<Option<Opened>, FolderError> {
    let strays = folder.strays.len();
    let mut last = None;
    // Flushes and merges go on meanwhile.
    for _ in 0..TRIES {
        folder.strays.truncate(strays);
        let Some(partition) = folder.partition(key, dir)? else {
            return Ok(None);
        };
        let path = dir.join(INDEX);
        // A crash may have come before the first list of segments.
        let list = folder.env.files.stat(&path.join("meta.json"));
        let begun = list.map_or(true, |list| list.is_some());
        let index = if partition.has_index && begun {
            let index = TermIndex::open_checked(&folder.env, &path);
            index.map(Some).map_err(|error| error.to_string())
        } else {
            Ok(None)
        };
        let again = folder.names(dir);
        let is_same = again.is_some_and(|names| names == partition.names);
        let done = is_same && index.is_ok();
        last = Some((partition, index));
        if done {
            break;
        }
    }
    Ok(last)
}

/// Checks the files of one flush.
fn check_file(
    partition: &PartitionFiles,
    file: &FlushFiles,
    index: Option<&TermIndex>,
    interned: &Arc<Interned>,
    report: &mut Report,
) {
    let signal = partition.key.signal;
    report.checked.files += 1;
    report.checked.bytes += file.bytes.iter().flatten().sum::<u64>();
    let mut about = About {
        report,
        name: &file.name,
    };
    let blocks = match &file.blocks {
        Ok(blocks) => blocks,
        Err(error) => {
            let what = match file.bytes[0] {
                None => "it is missing, its other files are there".to_owned(),
                Some(_) => error.to_string(),
            };
            let costs = "all rows of the file are missing from answers";
            about.add(Severity::Loss, ".blocks", None, what, costs);
            return;
        }
    };
    blocks::check_directory(blocks, file.bytes[0].unwrap_or(0), &mut about);
    let mut coverage = Coverage::new(blocks, (signal, file.bytes[1].is_some()), index, &mut about);
    let mut tally = Tally::new(blocks, &mut about);
    for ordinal in 0..blocks.blocks.len() {
        let table = blocks::check(blocks, ordinal, signal, interned, &mut about);
        let Some(table) = table else {
            tally.incomplete();
            continue;
        };
        let looked = coverage.check(&table, ordinal, signal, &mut about);
        if let Err(damage) = looked.and_then(|()| tally.count(&table, signal)) {
            tally.incomplete();
            blocks::unreadable(blocks, ordinal, &damage.0, &mut about);
        }
    }
    tally.finish(&mut about);
}
