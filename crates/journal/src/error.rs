//! What can go wrong, and what the caller should do about it.

use std::io;
use std::path::PathBuf;

use crate::Position;

/// What a caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing was acknowledged and nothing is broken: try again later.
    Retry,
    /// It is unknown what the disk holds: end the process.
    Fatal,
    /// The call itself is wrong and will stay so.
    Invalid,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot sync {}: {source}; what it holds is unknown until a restart", path.display())]
    Sync { path: PathBuf, source: io::Error },
    #[error("journal {} is unusable since a sync failed", dir.display())]
    Failed { dir: PathBuf },
    #[error("record of {bytes} bytes is larger than the limit of {limit_bytes} bytes")]
    RecordTooLarge { bytes: usize, limit_bytes: usize },
    #[error(
        "{} has journal format version {version}, this build reads up to {supported}; \
         use a newer build or move the file away",
        path.display()
    )]
    UnsupportedVersion {
        path: PathBuf,
        version: u32,
        supported: u32,
    },
    #[error("{0}")]
    Locked(io::Error),
    #[error(
        "cannot roll back to {target}: the journal is durable up to {synced} and ends at {end}"
    )]
    RollbackOutOfRange {
        target: Position,
        synced: Position,
        end: Position,
    },
}

impl JournalError {
    /// Whether the disk does not give what was asked for: to ask again may be of no use.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { source, .. } if env::is_unreadable(source))
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Retry,
            Self::Sync { .. } | Self::Failed { .. } => ErrorKind::Fatal,
            Self::RecordTooLarge { .. }
            | Self::UnsupportedVersion { .. }
            | Self::Locked(_)
            | Self::RollbackOutOfRange { .. } => ErrorKind::Invalid,
        }
    }

    /// The full disk is the one condition that callers tell apart from other retries.
    pub fn is_storage_full(&self) -> bool {
        let is_full = |kind| {
            matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        matches!(self, Self::Io { source, .. } if is_full(source.kind()))
    }
}
