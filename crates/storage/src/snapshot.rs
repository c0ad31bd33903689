//! A copy of a data folder as of one moment, which opens as a data folder of its own.
//!
//! Files of partitions and closed segments of the log never change, so the copy holds further
//! names of them (hard links) and takes no room at first; where links are impossible they are
//! copied, of an open store only as long as there are few bytes to copy: it commits no flush
//! meanwhile. What goes on being written or replaced is copied: the log's last segment up to what is
//! durable, the checkpoint and the list of agents. Nothing is flushed for it.
//!
//! The copy is what a power cut at that moment would leave: the files that the checkpoint counts,
//! and the log from its position on. So opening it needs nothing that opening after a crash does
//! not. While it is taken no flush and no merge is committed and no partition is dropped; rows are
//! taken in.
//!
//! It is put together in `DIR/snapshot.partial`, where links are possible, and gets its name when
//! it is whole and durable. On another file system it is copied from there to `NAME.partial`, and
//! that gets the name. What an interrupted one leaves in the data folder is removed at the next
//! start.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use env::{EntryKind, Env, Files, LockFile};
use journal::Position;
use model::Tenant;
use serde::{Deserialize, Serialize};

use crate::partition::{self, Listed, day_from_name};
use crate::store::{Checkpoint, Core, SOURCES};

#[cfg(test)]
mod tests;

/// Where it is put together.
pub(crate) const PARTIAL: &str = "snapshot.partial";
/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;
/// Bytes that are copied of an open store where links are impossible: a second or two, for which
/// flushes wait.
const LIVE_COPY_BYTES: u64 = 256 << 20;

/// What was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last flush whose files are there.
    pub flush: u64,
    /// Files that are further names of the data folder's.
    pub linked_files: u64,
    /// Files of its own.
    pub copied_files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the files of its own.
    pub copied_bytes: u64,
    /// Bytes of the log.
    pub wal_bytes: u64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The folder cannot have this name.
    #[error("snapshot {target}: {reason}")]
    Target {
        /// The name.
        target: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// There is nothing to take.
    #[error("{dir} is not the data folder of a collector: it has neither store nor wal")]
    NotAFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// A process has the folder open: it has to take the snapshot itself.
    #[error("{0}")]
    InUse(io::Error),
    /// The store would stand still for too long.
    #[error(
        "the file system of the data folder refuses hard links, and to copy all files while the \
         store is open would hold up what comes in; take the snapshot with the process stopped, or \
         one of the file system"
    )]
    NoLinks,
    /// Another one is being taken.
    #[error("another snapshot is being taken")]
    Busy,
    /// It did not come to its end.
    #[error("the work stopped: {0}")]
    Stopped(String),
    /// The checkpoint does not read.
    #[error(transparent)]
    Checkpoint(#[from] crate::OpenError),
    /// The system refuses.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Takes a snapshot of a folder that no process has open.
pub fn of_folder(env: &Env, dir: &Path, target: &Path) -> Result<Snapshot, SnapshotError> {
    let files = &*env.files;
    let has = |name: &str| Ok(files.stat(&dir.join(name))?.is_some());
    let found = has("store").and_then(|store| Ok(store && has("wal")?));
    if !found.map_err(failed("look at", dir))? {
        return Err(SnapshotError::NotAFolder {
            dir: dir.to_owned(),
        });
    }
    let _lock = LockFile::acquire(files, dir).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => SnapshotError::InUse(error),
        _ => failed("lock", dir)(error),
    })?;
    let staging = prepare(files, dir, target)?;
    let whole = Position {
        segment: u64::MAX,
        offset: u64::MAX,
    };
    let staged = stage(env, dir, &staging, whole, u64::MAX);
    finish(files, &staging, target, staged)
}

/// Takes a snapshot of an open store. Everything acknowledged before the call is in it.
pub(crate) fn of_store(core: &Core, target: &Path) -> Result<Snapshot, SnapshotError> {
    let _alone = core.snapshots.try_lock().ok_or(SnapshotError::Busy)?;
    let files = &*core.env.files;
    let dir = core.root.parent().unwrap_or(Path::new("."));
    let staging = prepare(files, dir, target)?;
    core.save_sources();
    let staged = {
        // The checkpoint stands still, and with it the part of the log that it needs.
        let _changing = core.changing.lock();
        stage(&core.env, dir, &staging, core.wal_end(), LIVE_COPY_BYTES)
    };
    finish(&*core.outside, &staging, target, staged)
}

/// Removes what an interrupted snapshot left in a data folder.
pub(crate) fn remove_partial(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let partial = dir.join(PARTIAL);
    match files.stat(&partial)? {
        Some(_) => files.remove_dir_all(&partial),
        None => Ok(()),
    }
}

/// The folder in which a whole copy waits on another file system for its name.
fn partial_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Checks the name and makes the folder in which the snapshot is put together.
fn prepare(files: &dyn Files, dir: &Path, target: &Path) -> Result<PathBuf, SnapshotError> {
    let refuse = |reason| {
        Err(SnapshotError::Target {
            target: target.to_owned(),
            reason,
        })
    };
    let parent = match target.parent() {
        Some(parent) if target.file_name().is_some() => parent,
        _ => return refuse("it has to name a new folder"),
    };
    let inside = |name: &str| target.starts_with(dir.join(name));
    if inside("store") || inside("wal") || inside(PARTIAL) {
        return refuse("it lies among the files of the store");
    }
    for taken in [target, &partial_of(target)] {
        let found = files.stat(taken).map_err(failed("look at", taken))?;
        if found.is_some() && taken == target {
            return refuse("it is there already; name a new folder");
        }
        if found.is_some() {
            return refuse("what an interrupted one left is there (NAME.partial); remove it first");
        }
    }
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let above = files.stat(parent).map_err(failed("look at", parent))?;
    if above.is_none_or(|above| above.kind != EntryKind::Dir) {
        return refuse("the folder above it is not there");
    }
    remove_partial(files, dir).map_err(failed("remove", &dir.join(PARTIAL)))?;
    let staging = dir.join(PARTIAL);
    for part in ["store", "wal"] {
        let part = staging.join(part);
        let made = files.create_dir_all(&part);
        made.map_err(failed("create", &part))?;
    }
    Ok(staging)
}

/// Links and copies what belongs to the snapshot. The log goes up to `wal_end`. Where links are
/// impossible so many bytes are copied instead.
fn stage(
    env: &Env,
    dir: &Path,
    staging: &Path,
    wal_end: Position,
    copied_max: u64,
) -> Result<Snapshot, SnapshotError> {
    let root = dir.join("store");
    let (checkpoint, _) = Checkpoint::read(env, &root)?;
    let mut copier = Copier {
        files: &*env.files,
        taken: Snapshot {
            flush: checkpoint.flush,
            ..Snapshot::default()
        },
        instead_of_links: copied_max,
    };
    copier.partitions(&root, &staging.join("store"), checkpoint.flush)?;
    let wal = (dir.join("wal"), staging.join("wal"));
    copier.log(&wal.0, &wal.1, checkpoint.position(), wal_end)?;
    for name in [SOURCES, Checkpoint::SPARE, Checkpoint::NAME] {
        let from = root.join(name);
        copier.copy_whole(&from, &staging.join("store").join(name))?;
    }
    let top = staging.join("store");
    env.files.sync_dir(&top).map_err(failed("sync", &top))?;
    Ok(copier.taken)
}

/// Gives the snapshot its name, or takes back what there is of it.
fn finish(
    files: &dyn Files,
    staging: &Path,
    target: &Path,
    staged: Result<Snapshot, SnapshotError>,
) -> Result<Snapshot, SnapshotError> {
    let named = staged.and_then(|taken| name(files, staging, target, taken));
    let left = match files.stat(staging) {
        Ok(Some(_)) => files.remove_dir_all(staging),
        _ => Ok(()),
    };
    if let Err(error) = left {
        tracing::warn!(dir = %staging.display(), %error,
            "the folder in which a snapshot was put together stays until the next start");
    }
    named
}

fn name(
    files: &dyn Files,
    staging: &Path,
    target: &Path,
    taken: Snapshot,
) -> Result<Snapshot, SnapshotError> {
    let (taken, from) = match files.rename(staging, target) {
        Ok(()) => (taken, None),
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            let partial = partial_of(target);
            let copied = copy_tree(files, staging, &partial);
            if copied.is_err() {
                let _ = files.remove_dir_all(&partial);
            }
            let (copied_files, copied_bytes) = copied?;
            let all = Snapshot {
                linked_files: 0,
                copied_files,
                copied_bytes,
                ..taken
            };
            (all, Some(partial))
        }
        Err(error) => return Err(failed("name", target)(error)),
    };
    if let Some(partial) = from {
        let renamed = files.rename(&partial, target);
        renamed.map_err(failed("name", target))?;
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    files.sync_dir(parent).map_err(failed("sync", parent))?;
    Ok(taken)
}

/// Copies a folder with all that it holds, durably. Says how many files and bytes that were.
fn copy_tree(files: &dyn Files, from: &Path, to: &Path) -> Result<(u64, u64), SnapshotError> {
    files.create_dir_all(to).map_err(failed("create", to))?;
    let mut total = (0, 0);
    for entry in files.list(from).map_err(failed("list", from))? {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        let (count, bytes) = match entry.kind {
            EntryKind::Dir => copy_tree(files, &from, &to)?,
            EntryKind::File => {
                copy(files, &from, &to, entry.bytes)?;
                (1, entry.bytes)
            }
            EntryKind::Other => (0, 0),
        };
        total = (total.0 + count, total.1 + bytes);
    }
    files.sync_dir(to).map_err(failed("sync", to))?;
    Ok(total)
}

/// Copies the first bytes of a file, durably.
fn copy(files: &dyn Files, from: &Path, to: &Path, bytes: u64) -> Result<(), SnapshotError> {
    let source = files.open(from).map_err(failed("open", from))?;
    let target = files.create_new(to).map_err(failed("create", to))?;
    let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(bytes).unwrap_or(COPY_BYTES))];
    let mut at = 0;
    while at < bytes {
        let want = usize::try_from(bytes - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = &mut buffer[..want];
        let read = source.read_exact_at(part, at);
        read.map_err(failed("read", from))?;
        target.write_at(part, at).map_err(failed("write", to))?;
        at += want as u64;
    }
    target.sync_data().map_err(failed("sync", to))
}

/// Whether a file that cannot be linked for this reason can be copied.
fn link_is_impossible(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::CrossesDevices
            | ErrorKind::Unsupported
            | ErrorKind::PermissionDenied
            | ErrorKind::TooManyLinks
    )
}

/// Puts files into the snapshot and counts them.
struct Copier<'a> {
    files: &'a dyn Files,
    taken: Snapshot,
    /// Bytes that may yet be copied where links are impossible.
    instead_of_links: u64,
}

impl Copier<'_> {
    /// Another name for a file that never changes.
    fn link(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<(), SnapshotError> {
        match self.files.hard_link(from, to) {
            Ok(()) => {
                self.taken.linked_files += 1;
                self.taken.bytes += bytes;
                Ok(())
            }
            Err(error) if link_is_impossible(error.kind()) => {
                let left = self.instead_of_links.checked_sub(bytes);
                self.instead_of_links = left.ok_or(SnapshotError::NoLinks)?;
                self.copy(from, to, bytes)
            }
            Err(error) => Err(failed("link", from)(error)),
        }
    }

    fn copy(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<(), SnapshotError> {
        copy(self.files, from, to, bytes)?;
        self.taken.copied_files += 1;
        self.taken.bytes += bytes;
        self.taken.copied_bytes += bytes;
        Ok(())
    }

    /// Copies a small file that may be replaced at any moment, if it is there.
    fn copy_whole(&mut self, from: &Path, to: &Path) -> Result<(), SnapshotError> {
        let content = match self.files.read(from) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.map_err(failed("read", from))?,
        };
        let write = || {
            let file = self.files.create_new(to)?;
            file.write_at(&content, 0)?;
            file.sync_data()
        };
        write().map_err(failed("write", to))?;
        self.taken.copied_files += 1;
        self.taken.bytes += content.len() as u64;
        self.taken.copied_bytes += content.len() as u64;
        Ok(())
    }

    fn list(&self, dir: &Path, kind: EntryKind) -> Result<Vec<(String, u64)>, SnapshotError> {
        let entries = self.files.list(dir).map_err(failed("list", dir))?;
        let wanted = entries.into_iter().filter(|entry| entry.kind == kind);
        Ok(wanted.map(|entry| (entry.name, entry.bytes)).collect())
    }

    /// Every partition, with the files of flushes that count.
    fn partitions(&mut self, from: &Path, to: &Path, flush_max: u64) -> Result<(), SnapshotError> {
        for (tenant, _) in self.list(from, EntryKind::Dir)? {
            if Tenant::new(&tenant).is_none() {
                continue;
            }
            let below = Path::new(&tenant);
            for (signal, _) in self.list(&from.join(below), EntryKind::Dir)? {
                if partition::of_folder(&signal).is_none() {
                    continue;
                }
                let below = below.join(&signal);
                for (day, _) in self.list(&from.join(&below), EntryKind::Dir)? {
                    if day_from_name(&day).is_some() {
                        let below = below.join(&day);
                        self.partition(&from.join(&below), &to.join(&below), flush_max)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn partition(&mut self, from: &Path, to: &Path, flush_max: u64) -> Result<(), SnapshotError> {
        let made = self.files.create_dir_all(to);
        made.map_err(failed("create", to))?;
        let found = self.list(from, EntryKind::File)?;
        let listed = Listed::new(found.iter().map(|(name, _)| name.as_str()), flush_max);
        for (name, bytes) in &found {
            if listed.counts(name) {
                let bytes = *bytes;
                self.link(&from.join(name), &to.join(name), bytes)?;
            }
        }
        let index = from.join(partition::INDEX);
        let found = self.files.stat(&index).map_err(failed("look at", &index))?;
        if found.is_some() {
            let to = to.join(partition::INDEX);
            let made = self.files.create_dir_all(&to);
            made.map_err(failed("create", &to))?;
            for (name, bytes) in self.list(&index, EntryKind::File)? {
                // What was to replace a file and did not counts for nothing.
                if !name.ends_with(".tmp") {
                    self.link(&index.join(&name), &to.join(&name), bytes)?;
                }
            }
            self.files.sync_dir(&to).map_err(failed("sync", &to))?;
        }
        self.files.sync_dir(to).map_err(failed("sync", to))
    }

    /// The segments of the log between two positions. The last of them may be written on, in the
    /// data folder or in the copy: it is copied up to the end.
    fn log(
        &mut self,
        from: &Path,
        to: &Path,
        begin: Position,
        end: Position,
    ) -> Result<(), SnapshotError> {
        let mut segments: Vec<(u64, String, u64)> = Vec::new();
        for (name, bytes) in self.list(from, EntryKind::File)? {
            let number = journal::segment_number(&name);
            let number = number.filter(|number| (begin.segment..=end.segment).contains(number));
            segments.extend(number.map(|number| (number, name, bytes)));
        }
        let before = self.taken.bytes;
        if begin < end {
            let last = segments.pop();
            for (_, name, bytes) in segments {
                self.link(&from.join(&name), &to.join(&name), bytes)?;
            }
            if let Some((number, name, bytes)) = last {
                let bytes = if number == end.segment {
                    bytes.min(end.offset)
                } else {
                    bytes
                };
                self.copy(&from.join(&name), &to.join(&name), bytes)?;
            }
        }
        self.taken.wal_bytes = self.taken.bytes - before;
        self.files.sync_dir(to).map_err(failed("sync", to))
    }
}
