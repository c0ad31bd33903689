//! The machine's file system.

use std::fs;
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use bytes::Bytes;

use crate::files::{Entry, EntryKind, File, Files, Lock, Space};
use crate::mapping::{self, Mapping};

/// Plain system calls, no buffering.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealFiles;

#[derive(Debug)]
struct RealFile(fs::File);

#[derive(Debug)]
struct RealLock {
    /// The lock lives as long as the descriptor.
    _file: fs::File,
}

impl Lock for RealLock {}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_vectored_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        if let [only] = parts {
            return self.0.write_all_at(only, offset);
        }
        let mut slices: Vec<IoSlice<'_>> = parts
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| IoSlice::new(part))
            .collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            // The kernel takes at most 1024 slices (IOV_MAX) in one call.
            let batch = &left[..left.len().min(1024)];
            match rustix::io::pwritev(&self.0, batch, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    #[cfg(target_os = "linux")]
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let size = self.size()?;
        if bytes <= size {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::empty();
        loop {
            match rustix::fs::fallocate(&self.0, flags, size, bytes - size) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    return Err(ErrorKind::Unsupported.into());
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn preallocate(&self, _bytes: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

fn opened(result: io::Result<fs::File>) -> io::Result<Box<dyn File>> {
    Ok(Box::new(RealFile(result?)))
}

impl Files for RealFiles {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        opened(fs::File::open(path))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        opened(fs::File::options().read(true).write(true).open(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut options = fs::File::options();
        opened(
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path),
        )
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        opened(
            fs::File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path),
        )
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let file = fs::File::open(path)?;
        if file.metadata()?.len() == 0 {
            // An empty mapping is an error to the kernel, but not to us.
            return Ok(Bytes::new());
        }
        Ok(Bytes::from_owner(Mapping::new(&file)?))
    }

    fn is_whole(&self, mapped: &[u8]) -> bool {
        mapping::is_whole(mapped)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(entry(name.to_string_lossy().into_owned(), &metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for item in fs::read_dir(dir)? {
            let item = item?;
            let Ok(name) = item.file_name().into_string() else {
                continue;
            };
            match item.metadata() {
                Ok(metadata) => entries.push(entry(name, &metadata)),
                // Removed between the listing and the look at it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// A quarter of what the kernel allows a process.
    fn maps_max(&self) -> usize {
        let allowed = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let allowed = allowed.and_then(|text| text.trim().parse::<usize>().ok());
        allowed.map_or(16_384, |allowed| (allowed / 4).max(64))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut options = fs::File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

fn modified_unix_nano(metadata: &fs::Metadata) -> u64 {
    let modified = metadata.modified().ok();
    let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

fn entry(name: String, metadata: &fs::Metadata) -> Entry {
    let kind = if metadata.is_file() {
        EntryKind::File
    } else if metadata.is_dir() {
        EntryKind::Dir
    } else {
        EntryKind::Other
    };
    let bytes = if kind == EntryKind::File {
        metadata.len()
    } else {
        0
    };
    Entry {
        name,
        kind,
        bytes,
        modified_unix_nano: modified_unix_nano(metadata),
        has_other_names: kind == EntryKind::File && metadata.nlink() > 1,
    }
}

#[cfg(test)]
mod tests;
