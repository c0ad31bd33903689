//! What a running process sees and what is durable, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4_096;

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Bytes },
    Resize(usize),
}

/// Contents are shared with forks until one of the two changes.
#[derive(Debug, Default, Clone)]
pub(super) struct Inode {
    pub(super) live: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    MakeDir(PathBuf),
    /// Of a file or of a folder with all that it holds.
    Rename(PathBuf, PathBuf),
    RemoveTree(PathBuf),
}

impl NameChange {
    /// The same where a folder was never renamed from `from` to `to` after all.
    pub(super) fn before_rename(self, from: &Path, to: &Path) -> Self {
        let back = |path: PathBuf| match path.strip_prefix(to) {
            Ok(below) => from.join(below),
            Err(_) => path,
        };
        match self {
            Self::Link(path, id) => Self::Link(back(path), id),
            Self::Unlink(path) => Self::Unlink(back(path)),
            Self::MakeDir(dir) => Self::MakeDir(back(dir)),
            Self::Rename(old, new) => Self::Rename(back(old), back(new)),
            Self::RemoveTree(dir) => Self::RemoveTree(back(dir)),
        }
    }
}

#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    pub(super) files: BTreeMap<PathBuf, usize>,
    pub(super) dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) live: Names,
    pub(super) durable: Names,
    /// Unsynced name changes with the folder whose sync makes them durable.
    pub(super) renames: Vec<(PathBuf, NameChange)>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) capacity: Option<u64>,
    /// Grows with every power cut; handles from before it are dead.
    pub(super) boot: u64,
}

/// In what pieces the unsynced part of a file is kept or lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pieces {
    /// As a disk writes.
    Sectors,
    /// As a system writes back.
    Pages,
    /// Each write whole or not at all: what came later may be there, and what came earlier not.
    Writes,
}

impl Pieces {
    /// Where the piece that holds this offset ends.
    fn end(self, offset: usize) -> usize {
        match self {
            Self::Sectors => (offset / SECTOR_BYTES + 1) * SECTOR_BYTES,
            Self::Pages => (offset / PAGE_BYTES + 1) * PAGE_BYTES,
            Self::Writes => usize::MAX,
        }
    }
}

/// Keeps a random part of what was not synced: of each piece a state that it once had, whatever
/// the others have, and any of the sizes.
pub(super) fn keep_some(content: &mut Vec<u8>, pending: Vec<Change>, random: &mut fastrand::Rng) {
    let pieces = [Pieces::Sectors, Pieces::Pages, Pieces::Writes][random.usize(..3)];
    let kept_of_ten = [1, 5, 9][random.usize(..3)];
    let keep = |random: &mut fastrand::Rng| random.u32(..10) < kept_of_ten;
    // Pieces that stay as they are, by their ends: a later write to them is lost, too.
    let mut closed = BTreeSet::new();
    for change in pending {
        match change {
            Change::Resize(size) => {
                if keep(random) {
                    content.resize(size, 0);
                }
            }
            Change::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    let piece = pieces.end(offset + at);
                    let end = piece.saturating_sub(offset).min(bytes.len());
                    if pieces == Pieces::Writes {
                        if keep(random) {
                            write_into(content, offset, &bytes);
                        }
                    } else if closed.contains(&piece) || !keep(random) {
                        closed.insert(piece);
                    } else {
                        write_into(content, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

pub(super) fn write_into(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

pub(super) fn missing(path: &Path) -> io::Error {
    io::Error::new(
        ErrorKind::NotFound,
        format!("{} does not exist", path.display()),
    )
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        self.files.get(path).copied().ok_or_else(|| missing(path))
    }

    pub(super) fn has_dir(&self, dir: &Path) -> bool {
        dir.as_os_str().is_empty() || dir.parent().is_none() || self.dirs.contains(dir)
    }

    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(path, id) => {
                self.files.insert(path.clone(), *id);
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::MakeDir(dir) => {
                self.dirs.insert(dir.clone());
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = self.files.remove(from) {
                    self.files.insert(to.clone(), id);
                } else if self.dirs.contains(from) {
                    self.rename_dir(from, to);
                }
            }
            NameChange::RemoveTree(dir) => {
                self.files.retain(|path, _| !path.starts_with(dir));
                self.dirs.retain(|path| !path.starts_with(dir));
            }
        }
    }
}

impl Names {
    /// Forgets what lies in a folder that is not there.
    pub(super) fn lose_orphans(&mut self) {
        let all = Self {
            files: BTreeMap::new(),
            dirs: self.dirs.clone(),
        };
        let is_there = |path: &Path| path.ancestors().skip(1).all(|dir| all.has_dir(dir));
        self.files.retain(|path, _| is_there(path));
        self.dirs.retain(|path| is_there(path));
    }

    fn rename_dir(&mut self, from: &Path, to: &Path) {
        let moved = |path: PathBuf| match path.strip_prefix(from) {
            // A name joined with nothing would end in a slash.
            Ok(below) if below.as_os_str().is_empty() => to.to_owned(),
            Ok(below) => to.join(below),
            Err(_) => path,
        };
        let files = std::mem::take(&mut self.files).into_iter();
        self.files = files.map(|(path, id)| (moved(path), id)).collect();
        let dirs = std::mem::take(&mut self.dirs).into_iter();
        self.dirs = dirs.map(moved).collect();
    }
}

impl State {
    pub(super) fn used(&self) -> u64 {
        let ids: BTreeSet<usize> = self.live.files.values().copied().collect();
        ids.iter()
            .map(|id| self.inodes[*id].live.len() as u64)
            .sum()
    }

    /// How far a file may grow.
    pub(super) fn room_for(&self, id: usize) -> usize {
        let Some(capacity) = self.capacity else {
            return usize::MAX;
        };
        let others = self.used() - self.inodes[id].live.len() as u64;
        capacity.saturating_sub(others) as usize
    }

    pub(super) fn change(&mut self, dir: PathBuf, change: NameChange) {
        self.live.apply(&change);
        self.renames.push((dir, change));
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        if !self.live.has_dir(&parent(path)) {
            return Err(missing(&parent(path)));
        }
        let id = self.inodes.len();
        self.inodes.push(Inode::default());
        self.change(parent(path), NameChange::Link(path.to_owned(), id));
        Ok(id)
    }
}
