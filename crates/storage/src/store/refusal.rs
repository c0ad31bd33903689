//! Why a batch is asked to come again, as counters name it.

/// What is in the way of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many bytes wait for the commit thread.
    Pending,
    /// Batches in work take what memory they may.
    Memory,
    /// The heads in memory are full, and cannot be written to files.
    Head,
    /// The WAL is as long as it may be.
    Wal,
    /// The WAL cannot be written.
    Disk,
    /// Too many files wait to be merged.
    Merge,
}

impl Refusal {
    /// Every reason, in the order of the counters.
    pub(crate) const ALL: [Refusal; 6] = [
        Refusal::Pending,
        Refusal::Memory,
        Refusal::Head,
        Refusal::Wal,
        Refusal::Disk,
        Refusal::Merge,
    ];

    /// The value of the label `reason`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Refusal::Pending => "pending_bytes",
            Refusal::Memory => "memory",
            Refusal::Head => "head_full",
            Refusal::Wal => "wal_full",
            Refusal::Disk => "wal_write",
            Refusal::Merge => "unmerged_files",
        }
    }
}
