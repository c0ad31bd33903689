//! The checkpoint: up to which flush files count, and from which WAL position on to replay.
//!
//! `store/CHECKPOINT` is JSON, replaced by rename. It is the one commit point of a flush that
//! touches several partitions. Nothing else says what it says, so it is there twice: two sealed
//! copies (see [`crate::sealed`]), each of whole sectors.

use std::path::Path;

use env::Env;
use journal::Position;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::stamps::Stamps;
use crate::sealed;

/// In version 1 the file was the JSON alone.
const VERSION: u32 = 2;
/// Damage rarely reaches from one copy into the other where each has sectors of its own.
const SECTOR_BYTES: usize = 4_096;

/// What a flush commits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u32,
    /// Files of flushes up to this one count; 0 before the first.
    pub flush: u64,
    /// Everything before this WAL position is in files.
    pub wal_segment: u64,
    pub wal_offset: u64,
    /// Stamps of the batches before that position.
    pub(super) stamps: Stamps,
}

impl Checkpoint {
    /// The file's name in the store's folder.
    pub(crate) const NAME: &str = "CHECKPOINT";

    pub(super) fn new(flush: u64, position: Position, stamps: Stamps) -> Self {
        Self {
            version: VERSION,
            flush,
            wal_segment: position.segment,
            wal_offset: position.offset,
            stamps,
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            segment: self.wal_segment,
            offset: self.wal_offset,
        }
    }

    /// Reads the checkpoint of a store; the default for a new store. Also says whether one of its
    /// copies is damaged.
    pub(crate) fn read(env: &Env, root: &Path) -> Result<(Self, bool), OpenError> {
        let path = root.join(Self::NAME);
        let wrong = |reason: String| OpenError::Checkpoint {
            path: path.clone(),
            reason,
        };
        let read = || match env.files.stat(&path)? {
            Some(_) => env.files.read(&path).map(Some),
            None => Ok(None),
        };
        let Some(bytes) = read().map_err(|error: std::io::Error| wrong(error.to_string()))? else {
            return Ok((Self::default(), false));
        };
        let (json, damaged) = sound_copy(&bytes);
        let checkpoint: Self =
            serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))?;
        if checkpoint.version > VERSION {
            return Err(wrong(format!(
                "version {}, this program reads up to version {VERSION}; use a newer build",
                checkpoint.version
            )));
        }
        Ok((checkpoint, damaged))
    }

    /// Replaces the checkpoint durably.
    pub(super) fn write(&self, env: &Env, root: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let copy = sealed::seal_padded(json, SECTOR_BYTES);
        env.files
            .write_atomic(&root.join(Self::NAME), &copy.repeat(2))
    }
}

/// The first copy that has its checksum, and whether one of the two has not; the whole file where
/// none has, as in version 1.
fn sound_copy(bytes: &[u8]) -> (&[u8], bool) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let sound = |copy| sealed::unseal(copy).ok().flatten();
    match (sound(first), sound(second)) {
        (Some(first), second) => (first, second.is_none()),
        (None, Some(second)) => (second, true),
        (None, None) => (bytes, false),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use testkit::MemoryFiles;

    use super::*;

    #[test]
    fn a_flipped_bit_is_seen_and_costs_nothing() {
        let files = MemoryFiles::new();
        let (env, _) = testkit::env(1, Arc::new(files.clone()));
        let root = Path::new("/store");
        env.files.create_dir_all(root).unwrap();
        let position = Position {
            segment: 3,
            offset: 1_234,
        };
        let checkpoint = Checkpoint::new(7, position, Stamps::default());
        checkpoint.write(&env, root).unwrap();
        let read = || Checkpoint::read(&env, root).unwrap();
        assert_eq!(read(), (checkpoint.clone(), false));
        let bytes = env.files.read(&root.join(Checkpoint::NAME)).unwrap().len();
        for at in 0..bytes {
            files.flip_bit(&root.join(Checkpoint::NAME), at, (at % 8) as u8);
            assert_eq!(read(), (checkpoint.clone(), true), "byte {at}");
            files.flip_bit(&root.join(Checkpoint::NAME), at, (at % 8) as u8);
        }
    }

    #[test]
    fn version_1_reads_and_later_ones_are_refused() {
        let files = MemoryFiles::new();
        let (env, _) = testkit::env(1, Arc::new(files));
        let root = Path::new("/store");
        env.files.create_dir_all(root).unwrap();
        let mut checkpoint = Checkpoint::new(7, Position::START, Stamps::default());
        for (version, readable) in [(1, true), (2, true), (3, false)] {
            checkpoint.version = version;
            let json = serde_json::to_vec(&checkpoint).unwrap();
            env.files
                .write_atomic(&root.join(Checkpoint::NAME), &json)
                .unwrap();
            let read = Checkpoint::read(&env, root);
            assert_eq!(read.is_ok_and(|(read, _)| read == checkpoint), readable);
        }
    }
}
