//! The checkpoint: up to which flush files count, and from which WAL position on to replay.
//!
//! `store/CHECKPOINT` is JSON, replaced by rename. It is the one commit point of a flush that
//! touches several partitions.

use std::path::Path;

use env::Env;
use journal::Position;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::stamps::Stamps;

const VERSION: u32 = 1;

/// What a flush commits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// Files of flushes up to this one count; 0 before the first.
    pub flush: u64,
    /// Everything before this WAL position is in files.
    pub wal_segment: u64,
    pub wal_offset: u64,
    /// Stamps of the batches before that position.
    pub stamps: Stamps,
}

impl Checkpoint {
    pub(super) fn new(flush: u64, position: Position, stamps: Stamps) -> Self {
        Self {
            version: VERSION,
            flush,
            wal_segment: position.segment,
            wal_offset: position.offset,
            stamps,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            segment: self.wal_segment,
            offset: self.wal_offset,
        }
    }

    /// Reads the checkpoint of a store; the default for a new store.
    pub(super) fn read(env: &Env, root: &Path) -> Result<Self, OpenError> {
        let path = root.join("CHECKPOINT");
        let wrong = |reason: String| OpenError::Checkpoint {
            path: path.clone(),
            reason,
        };
        if env
            .files
            .stat(&path)
            .map_err(|error| wrong(error.to_string()))?
            .is_none()
        {
            return Ok(Self::default());
        }
        let bytes = env
            .files
            .read(&path)
            .map_err(|error| wrong(error.to_string()))?;
        let checkpoint: Self =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if checkpoint.version != VERSION {
            return Err(wrong(format!(
                "version {}, this program reads version {VERSION}",
                checkpoint.version
            )));
        }
        Ok(checkpoint)
    }

    /// Replaces the checkpoint durably.
    pub(super) fn write(&self, env: &Env, root: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let (path, temporary) = (root.join("CHECKPOINT"), root.join("CHECKPOINT.tmp"));
        let file = env.files.create(&temporary)?;
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        env.files.rename(&temporary, &path)?;
        env.files.sync_dir(root)
    }
}
