//! How far each file has been read, as it is stored in the queue beside the lines it covers.
//!
//! Keys are `f` + device + inode for a [`FileState`] and `c` + path for the [`Assembler`] of a
//! lineage (the files that held one path, one after the other). Values are postcard.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::assemble::Assembler;
use crate::queue::Update;
use crate::queue::state::fnv1a;

/// How much of a file's beginning identifies it.
pub(super) const HEAD_BYTES: usize = 1024;
/// How many bytes before the offset must still be there.
pub(super) const TAIL_BYTES: usize = 64;

/// What the kernel calls a file, until it gives the number to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

/// A hash over the first bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) bytes: u16,
    pub(super) hash: u64,
}

impl Head {
    pub(super) fn of(content: &[u8]) -> Self {
        let content = &content[..content.len().min(HEAD_BYTES)];
        Self {
            bytes: u16::try_from(content.len()).expect("at most HEAD_BYTES"),
            hash: fnv1a(content),
        }
    }

    /// Whether content starts with the same bytes.
    pub(super) fn matches(&self, content: &[u8]) -> bool {
        let bytes = usize::from(self.bytes);
        content
            .get(..bytes)
            .is_some_and(|start| fnv1a(start) == self.hash)
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileState {
    /// Where it was last seen; bytes, since paths need not be UTF-8.
    path: Vec<u8>,
    /// The path that it had when it was first seen.
    lineage: Vec<u8>,
    /// Older files of a lineage come first.
    pub(super) order: u64,
    /// Everything before is in the queue, or in the lineage's assembler.
    pub(super) offset: u64,
    pub(super) head: Head,
    /// The bytes just before the offset.
    pub(super) tail: Vec<u8>,
    /// The offset lies inside a line that is too long.
    pub(super) skipping: bool,
    /// Holds nothing that another file does not hold.
    pub(super) copy: bool,
    pub(super) seen_unix_nano: u64,
}

impl FileState {
    pub(super) fn new(path: &Path, lineage: &Path) -> Self {
        Self {
            path: path.as_os_str().as_bytes().to_vec(),
            lineage: lineage.as_os_str().as_bytes().to_vec(),
            order: 0,
            offset: 0,
            head: Head::default(),
            tail: Vec::new(),
            skipping: false,
            copy: false,
            seen_unix_nano: 0,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.path.clone()))
    }

    pub(super) fn set_path(&mut self, path: &Path) {
        self.path = path.as_os_str().as_bytes().to_vec();
    }

    pub(super) fn lineage(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.lineage.clone()))
    }

    /// Moves behind bytes that were consumed; `read` ends with them.
    pub(super) fn advance(&mut self, bytes: usize, read: &[u8]) {
        self.offset += bytes as u64;
        let tail = &read[read.len().saturating_sub(TAIL_BYTES)..];
        self.tail.clear();
        self.tail.extend_from_slice(tail);
    }

    /// Starts over, as when the file was emptied.
    pub(super) fn restart(&mut self) {
        self.offset = 0;
        self.head = Head::default();
        self.tail.clear();
        self.skipping = false;
        self.copy = false;
    }
}

fn file_key(id: FileId) -> Vec<u8> {
    let mut key = vec![b'f'];
    key.extend_from_slice(&id.dev.to_be_bytes());
    key.extend_from_slice(&id.ino.to_be_bytes());
    key
}

pub(super) fn file_update(id: FileId, state: Option<&FileState>) -> Update {
    let encode =
        |state: &FileState| postcard::to_stdvec(state).expect("bytes and integers serialise");
    (file_key(id), state.map(encode))
}

pub(super) fn lineage_update(path: &Path, assembler: &Assembler) -> Update {
    let mut key = vec![b'c'];
    key.extend_from_slice(path.as_os_str().as_bytes());
    let encode = || postcard::to_stdvec(assembler).expect("strings and integers serialise");
    (key, (!assembler.is_empty()).then(encode))
}

/// A value read back.
#[derive(Debug)]
pub(super) enum Restored {
    File(FileId, FileState),
    Lineage(PathBuf, Assembler),
}

pub(super) fn restore(key: &[u8], value: &[u8]) -> Option<Restored> {
    match key.split_first()? {
        (b'f', id) => {
            let id = FileId {
                dev: u64::from_be_bytes(id.get(..8)?.try_into().ok()?),
                ino: u64::from_be_bytes(id.get(8..)?.try_into().ok()?),
            };
            Some(Restored::File(id, postcard::from_bytes(value).ok()?))
        }
        (b'c', path) => {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            Some(Restored::Lineage(path, postcard::from_bytes(value).ok()?))
        }
        _ => None,
    }
}
