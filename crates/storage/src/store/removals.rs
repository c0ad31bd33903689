//! Files that no longer count and go as soon as no query holds them.
//!
//! A query opens files when it comes to them, so those that it began with stay on the disk until it
//! is done. They count no more: were the process to end before they are removed, that is done at
//! the next start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Core, add};
use crate::partition::{FileEntry, FileId, Home, remove_files};

/// What waits to be removed.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    waiting: Mutex<Vec<Removal>>,
}

#[derive(Debug)]
enum Removal {
    /// The files of one name, which were merged into another one.
    File {
        dir: PathBuf,
        id: FileId,
        held: Weak<FileEntry>,
    },
    /// The folder of a dropped partition.
    Dropped { dir: PathBuf, held: Weak<Home> },
}

impl Removal {
    fn is_held(&self) -> bool {
        let holders = match self {
            Removal::File { held, .. } => held.strong_count(),
            Removal::Dropped { held, .. } => held.strong_count(),
        };
        holders > 0
    }
}

impl Removals {
    /// Has files removed that were merged into another one, whose name lasts.
    pub(crate) fn merged_away(&self, dir: &Path, files: &[Arc<FileEntry>]) {
        let removals = files.iter().map(|file| Removal::File {
            dir: dir.to_owned(),
            id: file.id,
            held: Arc::downgrade(file),
        });
        self.waiting.lock().extend(removals);
    }

    /// Has the folder of a dropped partition removed.
    pub(crate) fn dropped(&self, dir: PathBuf, home: &Arc<Home>) {
        let held = Arc::downgrade(home);
        self.waiting.lock().push(Removal::Dropped { dir, held });
    }

    /// Whether a folder waits to be removed.
    pub(crate) fn has(&self, folder: &Path) -> bool {
        let waiting = self.waiting.lock();
        let mut folders = waiting.iter().filter_map(|removal| match removal {
            Removal::Dropped { dir, .. } => Some(dir),
            Removal::File { .. } => None,
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
            waiting
                .extract_if(.., |removal| !removal.is_held())
                .collect()
        };
        for removal in free {
            match removal {
                Removal::File { dir, id, .. } => {
                    if let Err(error) = remove_files(&core.env, &dir, id) {
                        add(&core.counters.merge_errors, 1);
                        tracing::error!(dir = %dir.display(), file = %id, %error,
                            "files that were merged are not removed, that is tried again at the \
                             next start");
                    }
                }
                Removal::Dropped { dir, .. } => crate::retention::remove_folder(core, &dir),
            }
        }
    }
}
