//! A copy of a data folder as of one moment, which opens as a data folder of its own.
//!
//! Files of partitions and closed segments of the log never change, so the copy holds further
//! names of them (hard links) and takes no room at first; where links are impossible they are
//! copied, if there is room for them. What goes on being written or replaced is copied: the log's last
//! segment up to what is durable, the checkpoint and the list of agents. Nothing is flushed for it.
//!
//! The copy is what a power cut at that moment would leave: the files that the checkpoint counts,
//! and the log from its position on. So opening it needs nothing that opening after a crash does
//! not. While it is taken no flush and no merge is committed and no partition is dropped; rows are
//! taken in. What has to be copied of an open store is therefore copied before that, again and again
//! until little is left that came meanwhile, and what counts no more by then is removed from the copy.
//!
//! It is put together in `DIR/snapshot.partial`, where links are possible, and gets its name when
//! it is whole and durable. On another file system it is copied from there to `NAME.partial`, and
//! that gets the name. What an interrupted one leaves in the data folder is removed at the next
//! start.

mod copier;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use env::{EntryKind, Env, Files, LockFile};
use journal::Position;
use serde::{Deserialize, Serialize};

use crate::store::{Checkpoint, Core, SOURCES};
use copier::{Copier, copy};

#[cfg(test)]
mod tests;

/// Where it is put together.
pub(crate) const PARTIAL: &str = "snapshot.partial";
/// Bytes that are copied of an open store, where links are impossible, while flushes wait: a second
/// or two.
const LIVE_COPY_BYTES: u64 = 256 << 20;
/// How often the files of an open store are copied before that at most: what came while it was done
/// is little the next time.
const AHEAD_MAX: usize = 4;
/// Room on the disk that a copy leaves.
const LEFT_FREE: u64 = 64 << 20;

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
        "the file system of the data folder refuses hard links, and files are made faster than they \
         are copied; take the snapshot with the process stopped, or one of the file system"
    )]
    NoLinks,
    /// There are no links, or they do not reach there, and no room for copies.
    #[error(
        "the snapshot has to be copied, which takes {needed_bytes} bytes of the {free_bytes} that are \
         free at {dir}"
    )]
    NoRoom {
        /// Where.
        dir: PathBuf,
        /// What it takes, with what is to stay free.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
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
    let staged = can_link(files, dir, &staging).and_then(|links| {
        if !links {
            need_room(files, dir, bytes_below(files, dir)?)?;
        }
        stage(env, dir, &staging, whole, &mut Copier::new(files, u64::MAX))
    });
    finish(files, &staging, target, staged)
}

/// Takes a snapshot of an open store. Everything acknowledged before the call is in it.
pub(crate) fn of_store(core: &Core, target: &Path) -> Result<Snapshot, SnapshotError> {
    let _alone = core.snapshots.try_lock().ok_or(SnapshotError::Busy)?;
    let files = &*core.env.files;
    let dir = core.root.parent().unwrap_or(Path::new("."));
    let staging = prepare(files, dir, target)?;
    core.save_sources();
    let staged = stage_live(core, dir, &staging);
    finish(&*core.outside, &staging, target, staged)
}

fn stage_live(core: &Core, dir: &Path, staging: &Path) -> Result<Snapshot, SnapshotError> {
    let files = &*core.env.files;
    let mut copier = Copier::new(files, LIVE_COPY_BYTES);
    if !can_link(files, dir, staging)? {
        need_room(files, dir, bytes_below(files, dir)?)?;
        for _ in 0..AHEAD_MAX {
            let (checkpoint, _) = Checkpoint::read(&core.env, &core.root)?;
            let end = core.wal_end();
            let bytes = copier.ahead(dir, staging, &checkpoint, end)?;
            if bytes < LIVE_COPY_BYTES / 8 {
                break;
            }
        }
    }
    let taken = {
        // The checkpoint stands still, and with it the part of the log that it needs.
        let _changing = core.changing.lock();
        stage(&core.env, dir, staging, core.wal_end(), &mut copier)?
    };
    copier.remove_others()?;
    Ok(taken)
}

/// Whether files of the data folder may have further names.
fn can_link(files: &dyn Files, dir: &Path, staging: &Path) -> Result<bool, SnapshotError> {
    let (from, to) = (dir.join(LockFile::NAME), staging.join(LockFile::NAME));
    match files.hard_link(&from, &to) {
        Ok(()) => {
            files.remove_file(&to).map_err(failed("remove", &to))?;
            Ok(true)
        }
        Err(error) if copier::link_is_impossible(error.kind()) => Ok(false),
        Err(error) => Err(failed("link", &from)(error)),
    }
}

/// Bytes of all that a data folder stores.
fn bytes_below(files: &dyn Files, dir: &Path) -> Result<u64, SnapshotError> {
    fn sum(files: &dyn Files, dir: &Path) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in files.list(dir)? {
            bytes += match entry.kind {
                EntryKind::Dir => match sum(files, &dir.join(&entry.name)) {
                    // Dropped meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound => 0,
                    below => below?,
                },
                EntryKind::File | EntryKind::Other => entry.bytes,
            };
        }
        Ok(bytes)
    }
    let parts = ["store", "wal"].map(|part| dir.join(part));
    let mut bytes = 0;
    for part in &parts {
        bytes += sum(files, part).map_err(failed("list", part))?;
    }
    Ok(bytes)
}

/// Refuses what there is no room for.
fn need_room(files: &dyn Files, dir: &Path, bytes: u64) -> Result<(), SnapshotError> {
    let space = files.space(dir).map_err(failed("look at", dir))?;
    let needed_bytes = bytes.saturating_add(LEFT_FREE);
    if space.free_bytes < needed_bytes {
        return Err(SnapshotError::NoRoom {
            dir: dir.to_owned(),
            needed_bytes,
            free_bytes: space.free_bytes,
        });
    }
    Ok(())
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

/// Links and copies what belongs to the snapshot. The log goes up to `wal_end`.
fn stage(
    env: &Env,
    dir: &Path,
    staging: &Path,
    wal_end: Position,
    copier: &mut Copier<'_>,
) -> Result<Snapshot, SnapshotError> {
    let root = dir.join("store");
    let (checkpoint, _) = Checkpoint::read(env, &root)?;
    copier.begin(checkpoint.flush);
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
            need_room(files, above(target), taken.bytes)?;
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
    let parent = above(target);
    files.sync_dir(parent).map_err(failed("sync", parent))?;
    Ok(taken)
}

/// The folder that a snapshot is to lie in.
fn above(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
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
