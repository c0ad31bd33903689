//! Files of which a failed sync is reported, whoever's call it was.
//!
//! Many hands sync: the WAL, flushes, the index, the checkpoint, retention. After any failed sync
//! nobody knows what the disk holds, and one that succeeds later proves nothing, so that trying
//! again is no way out. To say so here, once, is to forget it nowhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::files::is_impossible;
use crate::{Entry, Failures, File, Files, Lock, Space};

/// Other files, whose failed syncs are reported.
#[derive(Debug)]
pub struct StrictFiles {
    inner: Arc<dyn Files>,
    failures: Failures,
}

impl StrictFiles {
    /// These files, with their failed syncs reported here.
    pub fn over(inner: Arc<dyn Files>, failures: Failures) -> Self {
        Self { inner, failures }
    }

    fn wrap(&self, path: &Path, file: io::Result<Box<dyn File>>) -> io::Result<Box<dyn File>> {
        Ok(Box::new(StrictFile {
            inner: file?,
            path: path.to_owned(),
            failures: self.failures.clone(),
        }))
    }
}

fn report(failures: &Failures, path: &Path, error: &io::Error) {
    failures.report(format!(
        "{} cannot be made durable: {error}; what the disk holds is not known until the next start",
        path.display()
    ));
}

/// Whether a folder could not even be opened or cannot be synced, so that nothing was tried.
fn is_untried(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
        || error.kind() == io::ErrorKind::NotFound
        || is_impossible(error)
}

#[derive(Debug)]
struct StrictFile {
    inner: Box<dyn File>,
    path: PathBuf,
    failures: Failures,
}

impl File for StrictFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.inner.write_vectored_at(parts, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_size(bytes)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.inner.preallocate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner
            .sync_data()
            .inspect_err(|error| report(&self.failures, &self.path, error))
    }
}

impl Files for StrictFiles {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, self.inner.open(path))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, self.inner.open_write(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, self.inner.create(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, self.inner.create_new(path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.map(path)
    }

    fn is_whole(&self, mapped: &[u8]) -> bool {
        self.inner.is_whole(mapped)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.inner.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir).inspect_err(|error| {
            if !is_untried(error) {
                report(&self.failures, dir, error);
            }
        })
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn maps_max(&self) -> usize {
        self.inner.maps_max()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }
}
