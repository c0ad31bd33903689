//! The file system as the storage and queue paths use it: positioned reads and writes, and
//! explicit syncs of files and of folders.
//!
//! Durability rules that every caller may rely on and every implementation must keep:
//!
//! - What was written to a file is durable once [`File::sync_data`] returns `Ok`.
//! - That a file or folder exists under its name (after create, rename, hard link or remove) is
//!   durable once [`Files::sync_dir`] of the folder above it returns `Ok`. What a folder holds does
//!   not outlive it.
//! - [`Files::create_dir_all`] returns with the folders themselves durable.
//! - After a failed sync nothing is known about what reached the disk; a second sync that
//!   succeeds proves nothing. The caller must give up, not retry.

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::path::Path;

use bytes::Bytes;

/// An open file. Reads and writes name their offset, so one handle may be shared by threads.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 means end of file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the parts one after another at `offset`, in one system call where possible. On
    /// an error some leading part of the bytes may have been written.
    fn write_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Length in bytes, including preallocated space.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file, or extends it with zeroes.
    fn set_size(&self, bytes: u64) -> io::Result<()>;

    /// Reserves disk space so that the file is at least `bytes` long; the new part reads as
    /// zeroes. Fails with `StorageFull` when there is no room and with `Unsupported` where the
    /// file system cannot reserve.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes the content (and the size) durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_vectored_at(&[bytes], offset)
    }

    /// Writes at the current end of the file and returns where the bytes start. For one
    /// writer at a time: two concurrent appends may choose the same offset.
    fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.size()?;
        self.write_at(bytes, offset)?;
        Ok(offset)
    }

    /// Fills `buffer` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_full_at(buffer, offset)?;
        if read < buffer.len() {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("file ends {} bytes early", buffer.len() - read),
            ));
        }
        Ok(())
    }

    /// Fills as much of `buffer` as the file has from `offset` on; returns how much that was.
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// Whether the error says that the disk does not give what it was asked for, so that to ask often is
/// of no use: EIO, and what a file system says of its own checksums and structures.
pub fn is_unreadable(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    const EBADMSG: i32 = 74;
    const EUCLEAN: i32 = 117;
    matches!(error.raw_os_error(), Some(EIO | EBADMSG | EUCLEAN))
}

/// Reads, and where the disk does not give it a few times more, before that is believed: it may have
/// been a moment's fault.
pub fn read_patiently<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const MORE_TRIES: usize = 3;
    for _ in 0..MORE_TRIES {
        match read() {
            Err(error) if is_unreadable(&error) => {}
            done => return done,
        }
    }
    read()
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Dir,
    /// A socket, a device, a broken link: nothing that storage owns.
    Other,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
    /// Length of a file; 0 for anything else.
    pub bytes: u64,
    /// When a file was last written to, by the clock of then; 0 where that is not known.
    pub modified_unix_nano: u64,
    /// Whether a file has other names, too, so that it takes its room without this one.
    pub has_other_names: bool,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// Holds an exclusive lock until it is dropped.
pub trait Lock: Send + Sync + Debug {}

/// Names, folders and whole files.
pub trait Files: Send + Sync + Debug {
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Creates a file for reading and writing, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Creates a file for reading and writing; fails with `AlreadyExists` if there is one.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The whole content in memory of its own.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The whole content, mapped where the platform can. Only for files that are never
    /// shortened or overwritten while the bytes are in use (deleting them is fine). What the disk
    /// does not give when it is asked for reads as zeroes: see [`Self::is_whole`].
    fn map(&self, path: &Path) -> io::Result<Bytes>;

    /// Whether the disk gave all that was asked so far of what [`Self::map`] returned, of which
    /// these bytes are a part. Where it did not, some of what was read was zeroes instead.
    fn is_whole(&self, mapped: &[u8]) -> bool {
        let _ = mapped;
        true
    }

    /// What the path stands for, with its size; `None` if there is nothing.
    fn stat(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// The names in a folder in ascending order. Names that are not UTF-8 are left out: none
    /// of ours are.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Creates a folder; fails with `AlreadyExists` where anything has its name.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates a folder and its missing ancestors and makes them durable, each before anything is
    /// created in it. The last one that is there may have been made by a process that ended before
    /// it had done so, which is done now: those above it last, since it was made in them.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = dir;
        while let Some(above) = at.parent() {
            match self.stat(at)? {
                None => missing.push((at, above)),
                Some(entry) if entry.kind == EntryKind::Dir => {
                    keep_name(self.sync_dir(or_here(above)))?;
                    break;
                }
                Some(_) => return Err(ErrorKind::NotADirectory.into()),
            }
            at = above;
        }
        for (dir, above) in missing.into_iter().rev() {
            if let Err(error) = self.create_dir(dir) {
                // Somebody else may have been faster.
                let is_dir = |entry: Entry| entry.kind == EntryKind::Dir;
                if error.kind() != ErrorKind::AlreadyExists || !self.stat(dir)?.is_some_and(is_dir)
                {
                    return Err(error);
                }
            }
            self.sync_dir(or_here(above))?;
        }
        Ok(())
    }

    /// Gives a file another name in the same file system, replacing what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name; fails with `AlreadyExists` if that is taken.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all that it holds.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Room on the file system that holds `path`, which must exist.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// How many files one part of a process may keep mapped, about.
    fn maps_max(&self) -> usize {
        16_384
    }

    /// Takes an exclusive lock on a file, which is created if missing; fails with `WouldBlock`
    /// at once if somebody else, in this process or another, holds it. [`crate::LockFile`] is
    /// the friendlier way to call it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Replaces a file's content so that a reader, or a restart after a crash, sees either the
    /// old or the new content whole: writes `NAME.tmp`, syncs it, renames it, syncs the folder.
    fn write_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = Path::new(&temporary);
        let file = self.create(temporary)?;
        file.write_at(content, 0)?;
        file.sync_data()?;
        drop(file);
        self.rename(temporary, path)?;
        self.sync_dir(or_here(path.parent().unwrap_or(Path::new(""))))
    }
}

/// The folder above a path without one is the one that the process is in.
fn or_here(dir: &Path) -> &Path {
    match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    }
}

/// A folder that others made may lie in one that this process cannot open, or whose file system
/// syncs no folders: then that it lasts is not ours to see to.
fn keep_name(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if is_impossible(&error) => Ok(()),
        synced => synced,
    }
}

/// Whether a folder cannot be synced at all, so that nothing was tried.
pub(crate) fn is_impossible(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(
        error.kind(),
        InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported
    )
}
