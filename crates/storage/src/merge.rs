//! Merging: files that lie side by side in a partition become one.
//!
//! Each flush adds a file to every partition that it has rows of. A merge takes a run of them and
//! writes one in their place. Blocks that are about full are copied as they are, and keep the name
//! under which the index has their terms; the rows of small ones are put in order and written as
//! full blocks ([`write`]). Which files are merged when is [`policy`]'s; how the new file takes the
//! place of the old ones so that a crash leaves one or the others is the store's.
//!
//! Invariants: what is merged has the rows that its parts had, each once; a file of which anything
//! does not read is never merged, and nothing is merged across it.

#[cfg(test)]
mod cost;
pub(crate) mod policy;
mod write;

use std::sync::Arc;

use crate::flush::FlushError;
use crate::partition::{BlockFile, FileId};

pub(crate) use write::{Task, Written, write};

/// Why files were not merged. They stay as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// The store is about to close, or the files are not there any more.
    #[error("the merge was given up")]
    Cancelled,
    /// A file does not read to its end.
    #[error("file {file} does not read: {reason}")]
    Damaged {
        /// Which one.
        file: FileId,
        /// Which block of it, where that is known.
        block: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// What was written is not what was read.
    #[error("{written} rows were written of {read}")]
    Rows {
        /// Rows of the files that were merged.
        read: u64,
        /// Rows of what was written.
        written: u64,
    },
    /// There is no name for the result.
    #[error("these files cannot be merged")]
    NoName,
    /// The new file could not be written.
    #[error(transparent)]
    Write(#[from] FlushError),
}

impl MergeError {
    /// Of a part that the disk does not give.
    pub(crate) fn unread(file: FileId, error: std::io::Error) -> Self {
        if is_shortage(&error) {
            return error.into();
        }
        Self::Damaged {
            file,
            block: None,
            reason: error.to_string(),
        }
    }

    /// The same, of a block.
    pub(crate) fn of_block(mut self, ordinal: usize) -> Self {
        if let Self::Damaged { block, .. } = &mut self {
            *block = Some(ordinal);
        }
        self
    }

    /// Of parts that are mapped, of which the disk did not give all.
    pub(crate) fn not_whole(files: &[Arc<BlockFile>]) -> Self {
        let error = std::io::Error::other("the disk did not give a part of it");
        match files.iter().find(|file| !file.is_whole()) {
            Some(file) => Self::unread(file.id, error),
            None => error.into(),
        }
    }
}

/// Whether the system has too little of something, whichever file is read.
fn is_shortage(error: &std::io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE))
}

impl From<std::io::Error> for MergeError {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error.into())
    }
}
