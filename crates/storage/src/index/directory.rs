//! Where tantivy keeps an index: a folder of the store's own files, so that tests see every call.
//!
//! Three things differ from tantivy's own folder. `meta.json` is sealed (see [`crate::sealed`]),
//! and is durable under its name once it is written. The list of managed files is the folder's listing, so that what a crash leaves behind is collected
//! too, and adding a file costs no list. Locks are not needed: the store's folder is locked, and
//! one flush runs at a time.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use env::{EntryKind, Env, File, Files};
use parking_lot::Mutex;
use stable_deref_trait::StableDeref;
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

use crate::sealed;

/// tantivy's names for its two lists.
const META: &str = "meta.json";
const MANAGED: &str = ".managed.json";
/// tantivy looks at so many bytes at the end of a file, and panics where there are fewer.
const FOOTER_BYTES_MIN: usize = 8;
/// Bytes of a file that are written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Files that are written and not durable yet.
type Unsynced = Arc<Mutex<Vec<Box<dyn File>>>>;

/// A folder of an index.
#[derive(Clone, Debug)]
pub(super) struct IndexFolder {
    files: Arc<dyn Files>,
    dir: PathBuf,
    unsynced: Unsynced,
    /// What is mapped.
    mapped: Arc<Mutex<Vec<Weak<Bytes>>>>,
}

impl IndexFolder {
    pub(super) fn new(env: &Env, dir: &Path) -> Self {
        Self {
            files: env.files.clone(),
            dir: dir.to_owned(),
            unsynced: Unsynced::default(),
            mapped: Arc::default(),
        }
    }

    /// Whether the disk gave all that was asked of what is mapped.
    pub(super) fn is_whole(&self) -> bool {
        let mapped = self.mapped.lock();
        let mut mapped = mapped.iter().filter_map(Weak::upgrade);
        mapped.all(|bytes| self.files.is_whole(&bytes))
    }

    fn note(&self, bytes: &Arc<Bytes>) {
        let mut mapped = self.mapped.lock();
        mapped.retain(|bytes| bytes.strong_count() > 0);
        mapped.push(Arc::downgrade(bytes));
    }

    /// Makes durable what was written. A commit makes half a dozen files, and nothing depends on
    /// any of them before `meta.json` names it: synced one after the other, they share most of what
    /// the disk has to do for each, for which the log would wait.
    fn sync_files(&self) -> io::Result<()> {
        let files = std::mem::take(&mut *self.unsynced.lock());
        files.iter().try_for_each(|file| file.sync_data())
    }

    /// The names of all files, as the list that tantivy would keep of those it made.
    fn managed(&self) -> io::Result<Vec<u8>> {
        let mut names = Vec::new();
        for entry in self.files.list(&self.dir)? {
            if entry.kind == EntryKind::File && !entry.name.starts_with('.') {
                names.push(entry.name);
            }
        }
        Ok(serde_json::to_vec(&names)?)
    }
}

fn open_error(error: io::Error, path: &Path) -> OpenReadError {
    if error.kind() == ErrorKind::NotFound {
        OpenReadError::FileDoesNotExist(path.to_owned())
    } else {
        OpenReadError::wrap_io_error(error, path.to_owned())
    }
}

/// Reads `meta.json`. Folders that tantivy alone wrote have it unsealed, and it is taken as it is.
fn unsealed(content: Vec<u8>) -> io::Result<Vec<u8>> {
    match sealed::unseal(&content) {
        Ok(Some(inner)) => Ok(inner.to_vec()),
        Ok(None) => Ok(content),
        Err(broken) => Err(io::Error::new(ErrorKind::InvalidData, broken)),
    }
}

impl Directory for IndexFolder {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let bytes = self.files.map(&self.dir.join(path));
        let bytes = bytes.map_err(|error| open_error(error, path))?;
        if bytes.len() < FOOTER_BYTES_MIN {
            let cut = io::Error::new(ErrorKind::InvalidData, "it ends before its footer");
            return Err(open_error(cut, path));
        }
        let bytes = Arc::new(bytes);
        self.note(&bytes);
        Ok(Arc::new(Mapped(OwnedBytes::new(Stable(bytes)))))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        let removed = self.files.remove_file(&self.dir.join(path));
        removed.map_err(|error| match error.kind() {
            ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
            _ => DeleteError::IoError {
                io_error: Arc::new(error),
                filepath: path.to_owned(),
            },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        let found = self.files.stat(&self.dir.join(path));
        found
            .map(|entry| entry.is_some())
            .map_err(|error| open_error(error, path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = self.files.create_new(&self.dir.join(path));
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.to_owned()),
            _ => OpenWriteError::wrap_io_error(error, path.to_owned()),
        })?;
        Ok(BufWriter::new(Box::new(Writer {
            file: Some(file),
            written: 0,
            buffer: Vec::new(),
            unsynced: self.unsynced.clone(),
        })))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let read = if path == Path::new(MANAGED) {
            self.managed()
        } else {
            self.files.read(&self.dir.join(path)).and_then(unsealed)
        };
        read.map_err(|error| open_error(error, path))
    }

    fn atomic_write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        if path == Path::new(MANAGED) {
            return Ok(());
        }
        debug_assert_eq!(path, Path::new(META), "nothing else is written so");
        self.sync_files()?;
        self.files
            .write_atomic(&self.dir.join(path), &sealed::seal(content.to_vec()))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.sync_files()?;
        self.files.sync_dir(&self.dir)
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// Bytes whose slice stays where it is when they are moved.
struct Stable(Arc<Bytes>);

impl Deref for Stable {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: `Bytes` is a pointer and a length into memory that its owner keeps elsewhere, on the heap
// or mapped; moving the `Bytes` moves neither, and it is never changed through a shared reference.
#[expect(
    unsafe_code,
    reason = "tantivy asks for this promise and Bytes does not make it"
)]
unsafe impl StableDeref for Stable {}

/// A mapped file.
struct Mapped(OwnedBytes);

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({} bytes)", self.0.len())
    }
}

impl HasLen for Mapped {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FileHandle for Mapped {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.start > range.end || range.end > self.0.len() {
            let reason = format!("{range:?} of a file of {} bytes", self.0.len());
            return Err(io::Error::new(ErrorKind::UnexpectedEof, reason));
        }
        Ok(self.0.slice(range))
    }
}

/// Writes a file from its start to its end, where it joins those that are to be made durable.
struct Writer {
    /// Gone at the end.
    file: Option<Box<dyn File>>,
    written: u64,
    buffer: Vec<u8>,
    unsynced: Unsynced,
}

impl Writer {
    fn write_out(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && !self.buffer.is_empty()
        {
            file.write_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(bytes.len())
    }

    /// What is in the buffer waits for the end: until then nobody reads the file.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for Writer {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.write_out()?;
        self.unsynced.lock().extend(self.file.take());
        Ok(())
    }
}
