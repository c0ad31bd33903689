//! When the disk is nearly full: files come before the log.
//!
//! Rows in memory need room to become files, and the log that has them is freed only then. A log
//! that took the last of the room, or took first what is made on a full disk, would never give it
//! back. So nothing is taken while there is less room than the rows in memory may need, nor, once
//! something could not be written for want of room, until they are in files.

use super::Committer;

/// Free bytes that the log never takes at least: what a flush writes beside the rows.
const LEFT_FREE: u64 = 1 << 20;
/// How often a flush writes the checkpoint before what was there goes: twice into a file, once into
/// the log, and it may have grown.
const CHECKPOINT_COPIES: u64 = 4;

/// What is known of the disk, and of what its room is needed for.
pub(super) struct Disk {
    /// Free when it was last looked at.
    free_bytes: u64,
    /// The log could not be written for want of room, and nothing was written to files since.
    full: bool,
    /// Bytes of the log with the rows of the head, and with those of the sealed one. Files take less.
    head_bytes: u64,
    sealed_bytes: u64,
    /// What the last checkpoint takes, once.
    checkpoint_bytes: u64,
}

impl Disk {
    /// A sealed head at the start is one that could not be written to files.
    pub(super) fn new(head_bytes: u64, sealed_bytes: u64, checkpoint_bytes: u64) -> Self {
        Self {
            checkpoint_bytes,
            free_bytes: u64::MAX,
            // Where that was for want of room is not asked: it is tried again at once.
            full: sealed_bytes > 0,
            head_bytes,
            sealed_bytes,
        }
    }

    pub(super) fn note_full(&mut self) {
        self.full = true;
    }

    pub(super) fn note_checkpoint(&mut self, bytes: usize) {
        self.checkpoint_bytes = bytes as u64;
    }

    /// What is to be free beside the room for files of rows.
    fn left_free(&self) -> u64 {
        LEFT_FREE.max(self.checkpoint_bytes.saturating_mul(CHECKPOINT_COPIES))
    }

    pub(super) fn appended(&mut self, bytes: usize) {
        self.head_bytes = self.head_bytes.saturating_add(bytes as u64);
    }

    pub(super) fn sealed(&mut self) {
        self.sealed_bytes = std::mem::take(&mut self.head_bytes);
    }

    pub(super) fn flushed(&mut self) {
        self.sealed_bytes = 0;
        self.full = false;
    }

    /// Whether the head should be written to files while there is room for them.
    pub(super) fn is_scarce(&self) -> bool {
        let needed = self.head_bytes.saturating_mul(2);
        self.full || self.free_bytes < self.left_free().saturating_add(needed)
    }

    /// Whether files of all rows may need the room that is left, were there so many bytes more.
    fn is_needed(&self, bytes: usize) -> bool {
        let log = self.head_bytes.saturating_add(self.sealed_bytes);
        let needed = log.saturating_add(bytes as u64);
        self.free_bytes < self.left_free().saturating_add(needed)
    }
}

impl Committer {
    /// Asks how much room there is. Where that is not known, writing will tell.
    pub(super) fn look_at_disk(&mut self) {
        let space = self.core.env.files.space(&self.core.root);
        self.disk.free_bytes = space.map_or(u64::MAX, |space| space.free_bytes);
        if !self.holds_rows() {
            // There is nothing to write to files first.
            self.disk.flushed();
        }
    }

    /// Why a batch of so many bytes must not take room on the disk now.
    pub(super) fn no_disk(&self, bytes: usize) -> Option<String> {
        let failure = self.flusher.failure();
        let full = self.disk.full || failure.as_ref().is_some_and(|failure| failure.full);
        (full || self.disk.is_needed(bytes)).then(|| {
            let because =
                failure.map_or_else(String::new, |failure| format!(": {}", failure.reason));
            format!("what room the disk has is for rows in memory to be written to files{because}")
        })
    }

    /// Whether rows are in memory that are not in files.
    pub(super) fn holds_rows(&self) -> bool {
        self.flushing.is_some() || self.growth.bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_checkpoint_has_its_room_too() {
        let mut disk = Disk::new(0, 0, 0);
        disk.free_bytes = 3 << 20;
        assert!(!disk.is_needed(1 << 20) && !disk.is_scarce());
        disk.note_checkpoint(1 << 20);
        assert!(disk.is_needed(0) && disk.is_scarce());
        disk.free_bytes = 5 << 20;
        assert!(!disk.is_needed(1 << 20) && !disk.is_scarce());
    }
}
