//! When the head is full: it is handed to the flush thread, and the log before it is freed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::Position;

use super::super::add;
use super::super::checkpoint::Checkpoint;
use super::super::flusher::{Sealed, Share};
use super::super::record;
use super::super::refusal::Refusal;
use super::Committer;
use crate::points::Growth;

/// The part of a head that may fill before anything of the one before it is written, as a divisor.
const AHEAD_OF_FLUSH: usize = 4;
/// A head that fills faster than the one before it is written makes a group wait for this long at
/// most. Rows of thousands of attributes, which take longest to write, need about as much.
const PACE_MAX: Duration = Duration::from_millis(80);
/// How often a flush may fail before whoever waits for it goes on without.
const FLUSH_PATIENCE: u32 = 3;

impl Committer {
    /// Seals the head when it is full, or has half of what the WAL may hold: the other half is
    /// for what comes while it is being written. Sooner where the disk has little room.
    pub(super) fn make_room(&mut self) {
        if self.growth.is_full(self.core.options.head_bytes) {
            // At most two heads are in memory: while one is being written the other may grow by
            // half, then writers wait; where it cannot be written, they are asked to come again.
            if self.flusher.failure().is_none() && !self.may_grow() && self.wait_for_flush(1) {
                self.seal();
            }
        } else if (self.needed_bytes() >= self.core.options.wal_bytes / 2 || self.disk.is_scarce())
            && self.flushing.is_none()
            // What is being freed does not count.
            && self.freeing.is_none()
            && self.growth.bytes > 0
        {
            self.seal();
        }
    }

    /// Whether the head may become larger than it should, since the one before it is still being
    /// written: a flush takes about as long as a head to fill where senders are fast, and all of
    /// them would wait for the one that takes longer.
    fn may_grow(&self) -> bool {
        let head_bytes = self.core.options.head_bytes;
        let most = head_bytes.saturating_add(head_bytes / 2);
        self.flushing.is_some() && !self.growth.is_full(most)
    }

    /// While a head is being written the next one fills no faster than that, beyond a part that it
    /// may always fill: where senders are faster than the disk or the processor each of their
    /// requests waits for a little, instead of all of them for the rest of a flush.
    pub(super) fn keep_pace(&self) {
        if self.flushing.is_none() {
            return;
        }
        let (bytes, most) = (self.growth.bytes, self.core.options.head_bytes);
        let ahead = most / AHEAD_OF_FLUSH;
        let may = |share: Share| bytes <= ahead + share.of(most - ahead);
        self.flusher.wait_until(may, PACE_MAX);
    }

    /// Why a batch of so many bytes cannot be taken now.
    pub(super) fn no_room(&self, bytes: usize) -> Option<(Refusal, String)> {
        let options = &self.core.options;
        let because = || {
            let failure = self.flusher.failure();
            failure.map_or_else(String::new, |failure| format!(": {}", failure.reason))
        };
        if let Some(reason) = self.no_disk(bytes) {
            return Some((Refusal::Disk, reason));
        }
        let full = self.flushing.is_some() && self.growth.is_full(options.head_bytes);
        if full && (!self.may_grow() || self.flusher.failure().is_some()) {
            let reason = format!("rows in memory cannot be written to files{}", because());
            return Some((Refusal::Head, reason));
        }
        let waiting = &self.core.counters.waiting_files;
        let waiting: u64 = waiting
            .iter()
            .map(|files| files.load(Ordering::Relaxed))
            .sum();
        if waiting > options.unmerged_files {
            let reason = format!("{waiting} files wait to be merged, which has to catch up");
            return Some((Refusal::Merge, reason));
        }
        let length = self.journal.bytes().saturating_add(bytes as u64);
        // A batch longer than the bound must pass some time: then, when nothing else is there.
        if self.holds_rows() && length > options.wal_bytes {
            let reason = format!(
                "the write-ahead log has its {} bytes, and what it holds is not in files yet{}",
                options.wal_bytes,
                because()
            );
            return Some((Refusal::Wal, reason));
        }
        None
    }

    /// Hands the head to the flush thread.
    fn seal(&mut self) {
        let position = self.journal.end();
        let heads = {
            let mut view = self.core.view.write();
            let next = Arc::new(view.active.following(&self.core.known));
            let heads = std::mem::replace(&mut view.active, next);
            view.sealed = Some(heads.clone());
            heads
        };
        self.growth = Growth::default();
        self.core.counters.head_bytes.store(0, Ordering::Relaxed);
        self.flushing = Some(position);
        self.disk.sealed();
        self.flusher.send(Sealed {
            heads,
            position,
            stamps: self.stamps.clone(),
        });
    }

    /// Deals with a flush that has ended, and says up to where the log may be freed.
    pub(super) fn flushed(&mut self, position: Position) -> Option<Position> {
        // Whoever waited for this flush has dealt with it already.
        if self.flushing != Some(position) {
            return None;
        }
        self.flushing = None;
        self.flush += 1;
        self.disk.flushed();
        Some(self.record(position))
    }

    /// Has the log say that all before a position is in files, and says up to where it may be freed
    /// then: before that a file of the checkpoint that is lost has a spare in the log.
    pub(super) fn record(&mut self, position: Position) -> Position {
        // Where all of a segment is in files, what the checkpoint says goes into the next one: it
        // would keep all of it otherwise.
        let position = match self.journal.leave_consumed(position) {
            Ok(true) => self.journal.end(),
            Ok(false) => position,
            Err(error) => {
                self.fail_if_fatal(&error);
                tracing::warn!(%error, "a used up wal segment stays until the next flush");
                position
            }
        };
        self.record_checkpoint(position);
        position
    }

    /// Has the log freed up to a position, whenever the flush thread comes to it.
    pub(super) fn free(&mut self, position: Position) {
        if self.freeing.is_none_or(|freeing| freeing < position) {
            self.freeing = Some(position);
            self.flusher.free(position);
        }
    }

    /// Bytes of the log that are kept for the counts of spans alone.
    fn kept_bytes(&self) -> u64 {
        let counting = &self.core.counting;
        let (kept_from, in_files) = counting.kept();
        if kept_from >= in_files {
            return 0;
        }
        // What is about to be freed is kept no more.
        let freed = self.journal.bytes_before(kept_from);
        self.journal.bytes_before(in_files).saturating_sub(freed)
    }

    /// Bytes of the log with rows that are not in files.
    fn needed_bytes(&self) -> u64 {
        self.journal.bytes().saturating_sub(self.kept_bytes())
    }

    /// Keeps no more of the log for the counts of spans than may be, and nothing where the disk has
    /// little room.
    pub(super) fn keep_less(&mut self) {
        let kept = self.kept_bytes();
        if kept == 0 {
            return;
        }
        let most = if self.disk.is_scarce() {
            0
        } else {
            self.core.options.wal_bytes
        };
        if self.core.counting.is_too_much(kept, most) {
            add(&self.core.counters.uncovered_bytes, kept);
            tracing::warn!(
                bytes = kept,
                "the log has no room for spans until their counts are written"
            );
            let position = self.core.counting.kept().1;
            self.free(position);
        }
    }

    /// Frees the log up to a position, before which all is in files and the log says so.
    pub(super) fn truncate(&mut self, position: Position) {
        let position = self.core.counting.in_files(position);
        if let Err(error) = self.journal.truncate_before(position) {
            self.fail_if_fatal(&error);
            tracing::warn!(%error, "wal segments stay until the next flush");
        }
        self.freed();
    }

    /// Looks at what is left once some of the log was freed.
    pub(super) fn freed(&mut self) {
        self.count_log();
        self.look_at_disk();
    }

    pub(super) fn count_log(&self) {
        let bytes = self.journal.bytes();
        self.core.counters.wal_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Has the log say what the checkpoint says. That it cannot is no reason to stop, nor to keep
    /// what may be freed, without which a full disk would stay full: the files of the checkpoint say
    /// it twice.
    fn record_checkpoint(&mut self, position: Position) {
        if self.core.failures.first().is_some() {
            return;
        }
        // Stamps of what came since are in the log, too.
        let checkpoint = Checkpoint::new(self.flush, position, self.stamps.clone());
        let Ok(record) = record::checkpoint(&checkpoint) else {
            return;
        };
        self.disk.note_checkpoint(record.len());
        let begin = self.journal.end();
        let appended = self.journal.append(&record);
        let done = appended.and_then(|_| self.journal.sync());
        let Err(error) = done else { return };
        self.fail_if_fatal(&error);
        tracing::warn!(%error, "the log does not say what the checkpoint says until the next flush");
        if let Err(error) = self.journal.rollback_to(begin) {
            self.fail(&error);
        }
    }

    /// Waits for the flush under way, if any; false, with it still under way, once it has failed
    /// so many times.
    fn wait_for_flush(&mut self, patience: u32) -> bool {
        let Some(position) = self.flushing else {
            return true;
        };
        let done = self.flusher.wait(position, patience);
        if done && let Some(position) = self.flushed(position) {
            // Whoever waits needs the room.
            self.truncate(position);
        }
        done
    }

    /// Writes both heads to files; false where that is impossible.
    pub(super) fn flush_all(&mut self) -> bool {
        if let Some(position) = self.freeing.take() {
            self.truncate(position);
        }
        if !self.wait_for_flush(FLUSH_PATIENCE) {
            return false;
        }
        if self.core.view.read().active.is_empty() {
            return true;
        }
        self.seal();
        self.wait_for_flush(FLUSH_PATIENCE)
    }
}
