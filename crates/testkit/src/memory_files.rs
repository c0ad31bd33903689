//! A file system in memory that knows what would survive a power cut.
//!
//! Two states are kept side by side: what a running process sees, and what is durable. A
//! file's bytes and size become durable with `sync_data`, names in a folder with `sync_dir`, those
//! of new folders too. A power cut keeps all of the durable state and, by choice, none or a random
//! part of the rest: of a file any subset of its sectors, pages or writes (of one that was written
//! twice also the first state) and of its size changes, and any prefix of the name changes of a
//! folder. Files and folders are independent, but a folder that is lost takes with it all that it
//! holds. Removing a folder with what it holds is as many changes as there are files in it.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use env::{Entry, EntryKind, File, Files, Lock, Space};
use parking_lot::Mutex;

use state::{Change, NameChange, State, keep_some, missing, parent, write_into};

/// What happens to unsynced state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process died, the machine did not: everything written is still there.
    Nothing,
    /// Everything unsynced is gone.
    All,
    /// A random part of it survives.
    Random(u64),
}

/// Cheap to clone; clones share the content.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
    maps: Arc<Maps>,
}

/// What is mapped, and what was opened for reading.
#[derive(Debug, Default)]
struct Maps {
    live: AtomicUsize,
    most: AtomicUsize,
    /// 0 for any number.
    max: AtomicUsize,
    /// By the file's extension.
    opened: Mutex<BTreeMap<OsString, usize>>,
}

impl Maps {
    fn note(&self, path: &Path) {
        let extension = path.extension().unwrap_or_default().to_owned();
        *self.opened.lock().entry(extension).or_default() += 1;
    }
}

/// The content of a file as it was when it was mapped.
struct Mapped {
    content: Arc<Vec<u8>>,
    maps: Arc<Maps>,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.maps.live.fetch_sub(1, SeqCst);
    }
}

impl MemoryFiles {
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the bytes of all files together; a write beyond it fails with `StorageFull`
    /// after writing what fits.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Lets no more files be mapped at once, as a kernel does.
    pub fn set_maps_max(&self, maps: usize) {
        self.maps.max.store(maps, SeqCst);
    }

    /// How many files are mapped now, and how many were at most.
    pub fn maps(&self) -> (usize, usize) {
        (self.maps.live.load(SeqCst), self.maps.most.load(SeqCst))
    }

    /// How often files with these extensions were opened for reading or mapped since this was
    /// asked last.
    pub fn take_opened(&self, extensions: &[&str]) -> usize {
        let opened = std::mem::take(&mut *self.maps.opened.lock());
        let of = |extension: &&str| opened.get(OsStr::new(extension)).copied();
        extensions.iter().filter_map(of).sum()
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used()
    }

    /// Ends the life of every open handle and lock, and of unsynced state as `loss` says.
    pub fn power_cut(&self, loss: Loss) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.boot += 1;
        state.locks.clear();
        let mut random = match loss {
            Loss::Nothing => return,
            Loss::All => None,
            Loss::Random(seed) => Some(fastrand::Rng::with_seed(seed)),
        };
        for inode in &mut state.inodes {
            let pending = std::mem::take(&mut inode.pending);
            if let Some(random) = &mut random {
                keep_some(Arc::make_mut(&mut inode.durable), pending, random);
            }
            inode.live = inode.durable.clone();
        }
        let renames = std::mem::take(&mut state.renames);
        if let Some(random) = &mut random {
            let mut cut_dirs = BTreeSet::new();
            let mut cut_renames: Vec<(PathBuf, PathBuf)> = Vec::new();
            for (dir, mut change) in renames {
                for (from, to) in cut_renames.iter().rev() {
                    change = change.before_rename(from, to);
                }
                if !cut_dirs.contains(&dir) && random.bool() {
                    state.durable.apply(&change);
                    continue;
                }
                cut_dirs.insert(dir);
                if let NameChange::Rename(from, to) = change {
                    cut_renames.push((from, to));
                }
            }
        }
        state.durable.lose_orphans();
        state.live = state.durable.clone();
    }

    /// Flips one bit of a file, in what is seen and in what is durable: a disk error.
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u8) {
        let mut state = self.state.lock();
        let Some(&id) = state.live.files.get(path) else {
            return;
        };
        let inode = &mut state.inodes[id];
        for content in [&mut inode.live, &mut inode.durable] {
            if let Some(byte) = Arc::make_mut(content).get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// A copy of the durable and visible content that shares nothing with this one: to try
    /// several endings from the same state.
    pub fn fork(&self) -> Self {
        let state = self.state.lock();
        let copy = State {
            inodes: state.inodes.clone(),
            live: state.live.clone(),
            durable: state.durable.clone(),
            renames: state.renames.clone(),
            locks: BTreeSet::new(),
            capacity: state.capacity,
            boot: 0,
        };
        Self {
            state: Arc::new(Mutex::new(copy)),
            maps: Arc::default(),
        }
    }

    /// Tells one content from another: all names and bytes that are seen.
    pub fn digest(&self) -> u64 {
        let state = self.state.lock();
        let mut hasher = DefaultHasher::new();
        state.live.dirs.hash(&mut hasher);
        for (path, id) in &state.live.files {
            (path, &state.inodes[*id].live).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Every file that is seen, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().live.files.keys().cloned().collect()
    }

    fn handle(&self, state: &State, id: usize, writable: bool) -> Box<dyn File> {
        Box::new(MemoryFile {
            state: Arc::clone(&self.state),
            id,
            writable,
            boot: state.boot,
        })
    }

    fn open_as(&self, path: &Path, writable: bool) -> io::Result<Box<dyn File>> {
        let state = self.state.lock();
        let id = state.live.file(path)?;
        Ok(self.handle(&state, id, writable))
    }
}

#[derive(Debug)]
struct MemoryFile {
    state: Arc<Mutex<State>>,
    id: usize,
    writable: bool,
    boot: u64,
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.boot != self.boot {
            return Err(io::Error::other("the file was open before the power cut"));
        }
        act(&mut state)
    }

    fn with_write<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        if !self.writable {
            return Err(io::Error::from_raw_os_error(9));
        }
        self.with(act)
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state| {
            let content = &state.inodes[self.id].live;
            let start = (offset as usize).min(content.len());
            let count = buffer.len().min(content.len() - start);
            buffer[..count].copy_from_slice(&content[start..start + count]);
            Ok(count)
        })
    }

    fn write_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.with_write(|state| {
            let mut bytes = Bytes::from(parts.concat());
            let offset = offset as usize;
            let old_size = state.inodes[self.id].live.len();
            let end_max = state.room_for(self.id).max(old_size);
            let fits = end_max.saturating_sub(offset).min(bytes.len());
            let full = fits < bytes.len();
            bytes.truncate(fits);
            if !bytes.is_empty() {
                let inode = &mut state.inodes[self.id];
                write_into(Arc::make_mut(&mut inode.live), offset, &bytes);
                inode.pending.push(Change::Write { offset, bytes });
            }
            if full {
                return Err(io::Error::from_raw_os_error(28));
            }
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.inodes[self.id].live.len() as u64))
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.with_write(|state| {
            let inode = &mut state.inodes[self.id];
            Arc::make_mut(&mut inode.live).resize(bytes as usize, 0);
            inode.pending.push(Change::Resize(bytes as usize));
            Ok(())
        })
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let (size, room) = self.with_write(|state| {
            Ok((
                state.inodes[self.id].live.len() as u64,
                state.room_for(self.id) as u64,
            ))
        })?;
        if bytes <= size {
            return Ok(());
        }
        if bytes > room {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.set_size(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            let inode = &mut state.inodes[self.id];
            inode.pending.clear();
            inode.durable = Arc::clone(&inode.live);
            Ok(())
        })
    }
}

#[derive(Debug)]
struct MemoryLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    boot: u64,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

impl Files for MemoryFiles {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.maps.note(path);
        self.open_as(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open_as(path, true)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        let id = match state.live.files.get(path).copied() {
            Some(id) => {
                let inode = &mut state.inodes[id];
                Arc::make_mut(&mut inode.live).clear();
                inode.pending.push(Change::Resize(0));
                id
            }
            None => state.create(path)?,
        };
        Ok(self.handle(&state, id, true))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        if state.live.files.contains_key(path) || state.live.dirs.contains(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.create(path)?;
        Ok(self.handle(&state, id, true))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let id = state.live.file(path)?;
        Ok(state.inodes[id].live.to_vec())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        /// What the kernel says where there are too many mappings.
        const ENOMEM: i32 = 12;
        let maps = &self.maps;
        let max = maps.max.load(SeqCst);
        if max > 0 && maps.live.load(SeqCst) >= max {
            return Err(io::Error::from_raw_os_error(ENOMEM));
        }
        maps.note(path);
        let state = self.state.lock();
        let content = Arc::clone(&state.inodes[state.live.file(path)?].live);
        let live = maps.live.fetch_add(1, SeqCst) + 1;
        maps.most.fetch_max(live, SeqCst);
        let maps = Arc::clone(maps);
        Ok(Bytes::from_owner(Mapped { content, maps }))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        let state = self.state.lock();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let file = state.live.files.get(path).map(|id| Entry {
            name: name.clone(),
            kind: EntryKind::File,
            bytes: state.inodes[*id].live.len() as u64,
            modified_unix_nano: 0,
            has_other_names: state
                .live
                .files
                .values()
                .filter(|other| *other == id)
                .count()
                > 1,
        });
        let dir = || Entry {
            name,
            kind: EntryKind::Dir,
            bytes: 0,
            modified_unix_nano: 0,
            has_other_names: false,
        };
        Ok(file.or_else(|| state.live.dirs.contains(path).then(dir)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let paths: Vec<PathBuf> = {
            let state = self.state.lock();
            if !state.live.has_dir(dir) {
                return Err(missing(dir));
            }
            let all = state.live.files.keys().chain(&state.live.dirs);
            all.filter(|path| path.parent() == Some(dir))
                .cloned()
                .collect()
        };
        let mut entries = Vec::new();
        for path in paths {
            entries.extend(self.stat(&path)?);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.live.files.contains_key(dir) || state.live.has_dir(dir) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if state.live.files.contains_key(&parent(dir)) {
            return Err(ErrorKind::NotADirectory.into());
        }
        if !state.live.has_dir(&parent(dir)) {
            return Err(missing(&parent(dir)));
        }
        state.change(parent(dir), NameChange::MakeDir(dir.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.live.dirs.contains(from) {
            state.live.file(from)?;
        }
        if !state.live.has_dir(&parent(to)) {
            return Err(missing(&parent(to)));
        }
        state.change(
            parent(to),
            NameChange::Rename(from.to_owned(), to.to_owned()),
        );
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.live.file(from)?;
        if state.live.files.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.change(parent(to), NameChange::Link(to.to_owned(), id));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.live.file(path)?;
        state.change(parent(path), NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.live.dirs.contains(dir) {
            return Err(missing(dir));
        }
        let files = state.live.files.keys();
        let below: Vec<PathBuf> = files
            .filter(|path| path.starts_with(dir))
            .cloned()
            .collect();
        for path in below {
            state.change(parent(&path), NameChange::Unlink(path));
        }
        state.change(parent(dir), NameChange::RemoveTree(dir.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // The folder above a relative path.
        let dir = dir.strip_prefix(".").unwrap_or(dir);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if !state.live.has_dir(dir) {
            return Err(missing(dir));
        }
        let (synced, rest) = std::mem::take(&mut state.renames)
            .into_iter()
            .partition(|(of, _)| of == dir);
        let synced: Vec<(PathBuf, NameChange)> = synced;
        state.renames = rest;
        synced
            .iter()
            .for_each(|(_, change)| state.durable.apply(change));
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.state.lock();
        let total_bytes = state.capacity.unwrap_or(1 << 40);
        Ok(Space {
            free_bytes: total_bytes.saturating_sub(state.used()),
            total_bytes,
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state.lock();
        if !state.live.files.contains_key(path) {
            state.create(path)?;
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock {
            state: Arc::clone(&self.state),
            path: path.to_owned(),
            boot: state.boot,
        }))
    }
}

#[cfg(test)]
mod tests;
