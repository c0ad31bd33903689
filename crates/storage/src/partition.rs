//! A partition: the rows of one tenant, signal and UTC day on disk.
//!
//! Its folder `TENANT/SIGNAL/YYYY-MM-DD` holds three files per name, and the index. The name is the
//! flush that wrote the files in 16 hex digits; that of merged files is the first and the last
//! flush and a generation, `FIRST-LAST-GG` ([`FileId`]).
//!
//! - `F.blocks`: the blocks one after the other, then a [`directory`];
//! - `F.ids`: the id table, terms that few blocks have (not of metrics);
//! - `F.series`: which series have which label (of metrics alone);
//! - `F.fields`: the table of field values;
//! - `index/`: tantivy, terms that several blocks of a file share; not there where each file has
//!   but one block.
//!
//! Rows lie in the partition of their day, except where a flush has rows of very many days: see
//! [`crate::flush`]. What is kept of old metrics in buckets of time has partitions of its own,
//! `TENANT/metrics-5m/YYYY-MM-DD`: see [`crate::downsampling`].
//!
//! Of each file the store keeps an [`entry`] in memory, which tells where in time its rows lie; files
//! are opened when they are asked for ([`open_files`]).
//!
//! A file of a flush later than the store's checkpoint does not count and is removed when the
//! store opens, and so is one whose rows are in a merged file, and one that retention dropped.
//! Files never change; a partition is an immutable list of them, and readers keep the list they
//! began with. Of a file whose blocks are gone and whose others are there the rows are missing.

mod directory;
mod entry;
mod file;
mod id;
mod lost;
mod names;
mod open_files;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use env::{Entry, Env};
use model::{Signal, Tenant};
use rustc_hash::FxHashSet;

use crate::downsampling::Resolution;
use crate::index::PartitionIndex;

pub(crate) use directory::{BlockMeta, directory};
pub(crate) use entry::{FileEntry, Home};
pub(crate) use file::{BlockFile, EXTENSIONS, FileError, Place, UNFINISHED};
pub(crate) use id::FileId;
pub(crate) use lost::{LOST, day_from_set_aside};
pub(crate) use names::{Listed, remove_dropped, remove_files};
use names::{remove_leftovers, remove_merged_away, sizes_of};
pub(crate) use open_files::OpenFiles;
pub(crate) use write::{BlocksWriter, split_terms, write_whole};

/// The folder of the index in that of a partition.
pub(crate) const INDEX: &str = "index";

/// Ends the name of a folder whose partition was dropped and that is being removed.
const DROPPED_SUFFIX: &str = ".dropped";

/// Which partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub tenant: Tenant,
    pub signal: Signal,
    /// How long the buckets are that it holds in place of rows; nothing where it holds rows.
    pub resolution: Option<Resolution>,
    /// UTC days since the epoch.
    pub day: u32,
}

impl PartitionKey {
    /// The folder below the store's.
    pub(crate) fn dir(&self, root: &Path) -> PathBuf {
        root.join(self.tenant.as_str())
            .join(self.folder_name())
            .join(day_name(self.day))
    }

    /// The name of the folder of its signal.
    pub(crate) fn folder_name(&self) -> String {
        folder_name(self.signal, self.resolution)
    }

    /// What the folder is called while it is being removed.
    pub(crate) fn dropped_dir(&self, root: &Path) -> PathBuf {
        self.dir(root)
            .with_file_name(format!("{}{DROPPED_SUFFIX}", day_name(self.day)))
    }
}

/// The folder of a signal below that of a tenant, or of one of its resolutions.
fn folder_name(signal: Signal, resolution: Option<Resolution>) -> String {
    match resolution {
        None => signal.name().to_owned(),
        Some(resolution) => format!("{}-{}", signal.name(), resolution.name()),
    }
}

/// What a folder of this name below that of a tenant holds.
pub(crate) fn of_folder(name: &str) -> Option<(Signal, Option<Resolution>)> {
    let buckets = Resolution::ALL.map(Some).into_iter();
    let buckets = buckets.map(|resolution| (Signal::Metrics, resolution));
    let rows = Signal::ALL.into_iter().map(|signal| (signal, None));
    rows.chain(buckets)
        .find(|(signal, resolution)| folder_name(*signal, *resolution) == name)
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

/// The day of a folder that was dropped: `YYYY-MM-DD.dropped`, see [`crate::retention`].
pub(crate) fn day_from_dropped(name: &str) -> Option<u32> {
    day_from_name(name.strip_suffix(DROPPED_SUFFIX)?)
}

/// One partition as of some flush.
#[derive(Clone)]
pub(crate) struct Partition {
    pub key: PartitionKey,
    pub home: Arc<Home>,
    /// In the order of their flushes.
    pub files: Vec<Arc<FileEntry>>,
    /// Files that count and do not read. Nothing is merged across them.
    pub unread: Vec<FileId>,
    /// Merged files of which nobody knows whether they count or read: the disk failed when they were
    /// to. What they were merged from is there. Nothing is merged across them, either.
    pub unsure: Vec<FileId>,
    /// When a file was added since the store opened; 0 where none was.
    pub added_unix_nano: u64,
    /// Missing where no file has several blocks.
    pub index: Option<Arc<PartitionIndex>>,
    measured: Measured,
}

/// Bytes that were counted once. A copy, which is made to be changed, is counted anew.
#[derive(Default)]
struct Measured(OnceLock<u64>);

impl Clone for Measured {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Partition {
    /// A partition without files.
    pub(crate) fn new(open: &Arc<OpenFiles>, root: &Path, key: PartitionKey) -> Self {
        let place = Place::new(&open.env, &key.dir(root), key.signal);
        Self {
            key,
            home: Arc::new(Home {
                place: Arc::new(place),
                open: Arc::clone(open),
            }),
            files: Vec::new(),
            unread: Vec::new(),
            unsure: Vec::new(),
            added_unix_nano: 0,
            index: None,
            measured: Measured::default(),
        }
    }

    /// Looks at the files that count, those of flushes up to `flush_max` and what they became;
    /// removes the others. What counts not at all has to be seen and to go: once a flush of its number
    /// counts, it would, too. So a folder that does not list is an error, or set aside ([`lost`]).
    pub(crate) fn open(
        open: &Arc<OpenFiles>,
        root: &Path,
        key: PartitionKey,
        flush_max: u64,
    ) -> std::io::Result<Self> {
        let env = &open.env;
        let dir = key.dir(root);
        let mut partition = Self::new(open, root, key);
        let entries = match env::read_patiently(|| env.files.list(&dir)) {
            Err(error) if env::is_unreadable(&error) => {
                let aside = lost::set_aside(env, &dir)?;
                tracing::error!(dir = %dir.display(), %error, aside = %aside.display(),
                    "the folder of a partition does not list, its rows are missing from answers");
                partition.unread.push(LOST);
                return Ok(partition);
            }
            entries => entries?,
        };
        let names = entries.iter().map(|entry| entry.name.as_str());
        let Listed {
            files,
            missing,
            leftovers,
        } = Listed::new(names, flush_max);
        remove_leftovers(env, &dir, &leftovers)?;
        let sizes = sizes_of(&entries);
        let (mut merged, mut merged_away) = (Vec::new(), Vec::new());
        for id in files {
            if merged.iter().any(|other| id.is_part_of(*other)) {
                merged_away.push(id);
                continue;
            }
            let sizes = sizes.get(&id).copied().unwrap_or_default();
            match FileEntry::new(&partition.home, id, sizes) {
                Ok(file) => {
                    merged.extend(id.is_merged().then_some(id));
                    partition.files.push(Arc::new(file));
                }
                // What the system refuses now it may give later: it is tried again.
                Err(error) => {
                    partition.unread.push(id);
                    tracing::error!(file = %id.path(&dir, "blocks").display(), %error,
                        "blocks file does not read, its rows are missing from answers");
                }
            }
        }
        if let Err(error) = remove_merged_away(env, &dir, &merged_away) {
            tracing::warn!(dir = %dir.display(), %error,
                "files that were merged are not removed, that is tried again at the next start");
        }
        for id in &missing {
            tracing::error!(file = %id.path(&dir, "blocks").display(),
                "blocks file is gone while the files beside it are there, its rows are missing \
                 from answers");
        }
        partition.unread.extend(missing);
        partition.files.sort_by_key(|file| file.id);
        // Files of one block have none.
        if entries.iter().any(|entry| entry.name == INDEX) {
            partition.index = Some(Arc::new(PartitionIndex::new(&partition.home)));
        }
        Ok(partition)
    }

    /// The index, which is made where there is none.
    pub(crate) fn index(&mut self) -> Arc<PartitionIndex> {
        let made = || Arc::new(PartitionIndex::new(&self.home));
        Arc::clone(self.index.get_or_insert_with(made))
    }

    /// Files that nothing is merged across.
    pub(crate) fn apart(&self) -> impl Iterator<Item = &FileId> {
        self.unread.iter().chain(&self.unsure)
    }

    /// Puts a file into its place among the others; those that were merged into it go.
    pub(crate) fn insert(&mut self, file: FileEntry) -> Vec<Arc<FileEntry>> {
        let replaced = |other: &mut Arc<FileEntry>| other.id.is_part_of(file.id);
        let gone = self.files.extract_if(.., replaced).collect();
        let at = self.files.partition_point(|other| other.id < file.id);
        self.files.insert(at, Arc::new(file));
        gone
    }

    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows()).sum()
    }

    /// How many of its files' tables were found not to read.
    pub(crate) fn lacking_tables(&self) -> u64 {
        let lacking = |file: &Arc<FileEntry>| {
            let health = &file.health;
            let parts = [&health.lacks_terms, &health.lacks_fields];
            let lacks = parts.into_iter().filter(|part| part.load(Relaxed));
            lacks.count() as u64
        };
        self.files.iter().map(lacking).sum()
    }

    /// Whether its index was found to be damaged, or is not there.
    pub(crate) fn lacks_index(&self) -> bool {
        match &self.index {
            Some(index) => index.is_damaged(),
            None => self.files.iter().any(|file| !file.indexed_files.is_empty()),
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Bytes of everything in the partition's folder that counts: the index and damaged files too,
    /// but neither what is being written nor what goes once no query holds it. The folder is looked
    /// at once: a partition that changes is another one.
    pub(crate) fn disk_bytes(&self, env: &Env, root: &Path) -> std::io::Result<u64> {
        if let Some(bytes) = self.measured.0.get() {
            return Ok(*bytes);
        }
        let bytes = self.measure(env, root, |_| true)?;
        Ok(*self.measured.0.get_or_init(|| bytes))
    }

    /// Bytes of these that are free once its folder is gone: a snapshot keeps what it has a name for.
    pub(crate) fn room_bytes(&self, env: &Env, root: &Path) -> std::io::Result<u64> {
        self.measure(env, root, |entry| !entry.has_other_names)
    }

    fn measure(
        &self,
        env: &Env,
        root: &Path,
        wanted: impl Fn(&Entry) -> bool,
    ) -> std::io::Result<u64> {
        let dir = self.key.dir(root);
        let files = self.files.iter().map(|file| &file.id);
        let known: FxHashSet<FileId> = files.chain(self.apart()).copied().collect();
        let counts = |entry: &Entry| {
            let file = FileId::parse(&entry.name);
            file.is_none_or(|(id, extension)| extension != UNFINISHED && known.contains(&id))
        };
        let entries = env.files.list(&dir)?.into_iter();
        let counting = entries.filter(|entry| counts(entry) && wanted(entry));
        let mut bytes: u64 = counting.map(|entry| entry.bytes).sum();
        let index = dir.join(INDEX);
        if env.files.stat(&index)?.is_some() {
            bytes += env
                .files
                .list(&index)?
                .iter()
                .filter(|entry| wanted(entry))
                .map(|entry| entry.bytes)
                .sum::<u64>();
        }
        Ok(bytes)
    }

    /// The first and the last time of its day.
    pub(crate) fn day_unix_nano(&self) -> (u64, u64) {
        let begin = u64::from(self.key.day).saturating_mul(model::time::NANOS_PER_DAY);
        (begin, begin.saturating_add(model::time::NANOS_PER_DAY - 1))
    }

    /// The first time after its day.
    pub(crate) fn end_unix_nano(&self) -> u64 {
        (u64::from(self.key.day) + 1).saturating_mul(model::time::NANOS_PER_DAY)
    }

    /// The time of its newest row; the end of its day where no file of it reads, and where rows
    /// are of a later time: they came on that day from a clock that is wrong.
    pub(crate) fn newest_unix_nano(&self) -> u64 {
        let end = self.end_unix_nano();
        let files = self.files.iter().filter(|file| file.rows() > 0);
        let newest = files.map(|file| file.max_time).max();
        newest.map_or(end, |newest| newest.min(end))
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
}
