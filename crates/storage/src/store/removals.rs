//! Files that no longer count and go as soon as no query holds them.
//!
//! A query opens files when it comes to them, so those that it began with stay on the disk until it
//! is done. They count no more: were the process to end before they are removed, that is done at
//! the next start. Files that retention dropped count until then, since nothing else has their rows:
//! after a crash they are there again, and are dropped again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use super::{Core, add};
use crate::index::IndexError;
use crate::partition::{
    FileEntry, FileId, Home, Partition, PartitionKey, remove_dropped, remove_files,
};

/// What waits to be removed.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    waiting: Mutex<Vec<Removal>>,
    /// Bytes of what is being removed at the moment.
    going_bytes: AtomicU64,
}

#[derive(Debug)]
enum Removal {
    /// The files of one name, which were merged into another one.
    File {
        dir: PathBuf,
        id: FileId,
        bytes: u64,
        held: Weak<FileEntry>,
    },
    /// The files of one name, which were dropped from a partition that stays.
    DroppedFile {
        key: PartitionKey,
        dir: PathBuf,
        id: FileId,
        bytes: u64,
        held: Weak<FileEntry>,
    },
    /// The folder of a dropped partition.
    Dropped {
        dir: PathBuf,
        bytes: u64,
        held: Weak<Home>,
    },
}

impl Removal {
    fn is_held(&self) -> bool {
        let holders = match self {
            Removal::File { held, .. } | Removal::DroppedFile { held, .. } => held.strong_count(),
            Removal::Dropped { held, .. } => held.strong_count(),
        };
        holders > 0
    }

    fn bytes(&self) -> u64 {
        match self {
            Removal::File { bytes, .. }
            | Removal::DroppedFile { bytes, .. }
            | Removal::Dropped { bytes, .. } => *bytes,
        }
    }

    /// Whether it has to wait for another one: what a file was merged from would count again
    /// without it.
    fn is_after(&self, other: &Removal) -> bool {
        match (self, other) {
            (
                Removal::DroppedFile { dir, id, .. },
                Removal::File {
                    dir: place,
                    id: part,
                    ..
                },
            ) => dir == place && part.is_part_of(*id),
            _ => false,
        }
    }
}

impl Removals {
    /// Has files removed that were merged into another one, whose name lasts.
    pub(crate) fn merged_away(&self, dir: &Path, files: &[Arc<FileEntry>]) {
        let removals = files.iter().map(|file| Removal::File {
            dir: dir.to_owned(),
            id: file.id,
            bytes: file.size_bytes,
            held: Arc::downgrade(file),
        });
        self.waiting.lock().extend(removals);
    }

    /// Has files removed that were dropped from a partition.
    pub(crate) fn dropped_files(&self, core: &Core, key: &PartitionKey, files: &[Arc<FileEntry>]) {
        let removals = files.iter().map(|file| Removal::DroppedFile {
            key: key.clone(),
            dir: key.dir(&core.root),
            id: file.id,
            bytes: file.size_bytes,
            held: Arc::downgrade(file),
        });
        self.waiting.lock().extend(removals);
    }

    /// Has the folder of a dropped partition removed, by which so many bytes become free.
    pub(crate) fn dropped(&self, dir: PathBuf, bytes: u64, home: &Arc<Home>) {
        let held = Arc::downgrade(home);
        let removal = Removal::Dropped { dir, bytes, held };
        self.waiting.lock().push(removal);
    }

    /// The bytes that are free once nobody holds what waits.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        let waiting = self.waiting.lock();
        let bytes: u64 = waiting.iter().map(Removal::bytes).sum();
        bytes + self.going_bytes.load(Ordering::Relaxed)
    }

    /// Whether a folder waits to be removed.
    pub(crate) fn has(&self, folder: &Path) -> bool {
        let waiting = self.waiting.lock();
        let mut folders = waiting.iter().filter_map(|removal| match removal {
            Removal::Dropped { dir, .. } => Some(dir),
            Removal::File { .. } | Removal::DroppedFile { .. } => None,
        });
        folders.any(|dir| dir == folder)
    }

    /// How many wait.
    pub(super) fn count(&self) -> u64 {
        self.waiting.lock().len() as u64
    }

    /// Removes what nobody holds any more. What cannot be removed is left to the next start.
    pub(crate) fn sweep(&self, core: &Core) {
        let free: Vec<Removal> = {
            let mut waiting = self.waiting.lock();
            let (held, mut free): (Vec<_>, Vec<_>) = waiting.drain(..).partition(Removal::is_held);
            let early = |removal: &mut Removal| held.iter().any(|other| removal.is_after(other));
            let early: Vec<Removal> = free.extract_if(.., early).collect();
            *waiting = held.into_iter().chain(early).collect();
            let bytes = free.iter().map(Removal::bytes).sum();
            self.going_bytes.fetch_add(bytes, Ordering::Relaxed);
            free
        };
        let mut changed = FxHashSet::default();
        for removal in free {
            let bytes = removal.bytes();
            match removal {
                Removal::File { dir, id, .. } => {
                    if let Err(error) = remove_files(&core.env, &dir, id) {
                        add(&core.counters.merge_errors, 1);
                        tracing::error!(dir = %dir.display(), file = %id, %error,
                            "files that were merged are not removed, that is tried again at the \
                             next start");
                    }
                }
                Removal::DroppedFile { key, dir, id, .. } => {
                    // It counts until it is gone, so a snapshot that has listed it will link it.
                    let _changing = core.changing.lock();
                    if let Err(error) = remove_dropped(&core.env, &dir, id) {
                        add(&core.counters.retention_errors, 1);
                        tracing::error!(dir = %dir.display(), file = %id, %error,
                            "a dropped file is not removed, that is tried again at the next start");
                    }
                    changed.insert(key);
                }
                Removal::Dropped { dir, .. } => crate::retention::remove_folder(core, &dir),
            }
            self.going_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        for key in changed {
            self.tidy_index(core, &key);
        }
    }

    /// Removes from a partition's index what it has of files that are gone: the index takes room
    /// of the same bound.
    fn tidy_index(&self, core: &Core, key: &PartitionKey) {
        let _changing = core.changing.lock();
        let Some(partition) = core.view.read().partitions.get(key).cloned() else {
            return;
        };
        // Of a file that does not read nobody knows which others it needs, and it stays covered.
        if partition.apart().next().is_some() {
            return;
        }
        let kept = self.keep_needed(&partition);
        // Its index takes other room now.
        core.view.write().put((*partition).clone());
        if let Err(error) = kept {
            add(&core.counters.retention_errors, 1);
            tracing::error!(dir = %key.dir(&core.root).display(), %error,
                "an index goes on having terms of files that were dropped");
        }
    }

    fn keep_needed(&self, partition: &Partition) -> Result<(), IndexError> {
        let Some(index) = &partition.index else {
            return Ok(());
        };
        let mut needed: FxHashSet<u64> = FxHashSet::default();
        needed.extend(partition.files.iter().flat_map(|file| &file.indexed_files));
        // Queries that hold a file may yet ask the index for it.
        for removal in self.waiting.lock().iter() {
            if let Removal::File { held, .. } | Removal::DroppedFile { held, .. } = removal
                && let Some(file) = held.upgrade()
            {
                needed.extend(&file.indexed_files);
            }
        }
        match index.keep(|file| needed.contains(&file)) {
            Err(error) if !error.is_damage() => Err(error),
            _ => Ok(()),
        }
    }
}
