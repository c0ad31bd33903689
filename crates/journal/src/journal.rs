//! The appending side.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Env, File, LockFile};

use crate::format::{DATA_START, RECORD_HEADER_BYTES, Seed, SegmentHeader, segment_path};
use crate::reader::{Segment, Shared, Tail};
use crate::{ErrorKind, JournalError, Options, Position, Reader, Recovery};

/// Records up to this size are gathered in memory before they are written.
const DIRECT_BYTES: usize = 64 << 10;
/// The gathering buffer is written out when it would grow beyond this.
const BUFFER_BYTES: usize = 1 << 20;
/// Disk space is reserved in steps of this size, so that a quiet journal stays small.
const PREALLOCATE_STEP_BYTES: u64 = 16 << 20;
/// A fully consumed current segment is replaced once it is this long: often enough to give the
/// space back, rarely enough that a consumer may free after every batch.
const REPLACE_CONSUMED_BYTES: u64 = 1 << 20;

/// A segment file open for writing.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) seed: Seed,
    /// What the file holds of the log; the buffer follows.
    pub(crate) written: u64,
    /// Length of the file.
    pub(crate) allocated: u64,
}

/// A log open for appending. Dropping it loses what was not synced; [`Journal::close`] keeps it
/// and gives reserved space back.
#[derive(Debug)]
pub struct Journal {
    pub(crate) env: Env,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) _lock: LockFile,
    pub(crate) shared: Arc<Shared>,
    pub(crate) active: Active,
    /// Records that follow `active.written`.
    pub(crate) buffer: Vec<u8>,
    /// Segments filled since the last sync, for a rollback into one of them.
    pub(crate) filled: Vec<Active>,
    /// The file holds bytes after `active.written` that must never be read again.
    pub(crate) tail_dirty: bool,
    /// Files that were rolled back or half created and must go before anything is synced.
    pub(crate) doomed: Vec<u64>,
    pub(crate) file_unsynced: bool,
    pub(crate) dir_unsynced: bool,
    pub(crate) failed: bool,
}

impl Journal {
    /// Opens the log in `dir`, creating it if there is none, and repairs what a crash left.
    pub fn open(env: &Env, dir: &Path, options: Options) -> Result<(Self, Recovery), JournalError> {
        crate::open::open(env, dir, options)
    }

    /// Appends one record and returns where it starts. It is durable, and readers see it, once
    /// [`Self::sync`] has returned.
    pub fn append(&mut self, payload: &[u8]) -> Result<Position, JournalError> {
        self.append_parts(&[payload])
    }

    /// Appends one record whose payload is the parts one after another.
    pub fn append_parts(&mut self, parts: &[&[u8]]) -> Result<Position, JournalError> {
        self.usable()?;
        let payload_bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        let total = payload_bytes.saturating_add(RECORD_HEADER_BYTES);
        let length = match u32::try_from(total) {
            Ok(length) if payload_bytes <= self.options.record_bytes_max => length,
            _ => {
                return Err(JournalError::RecordTooLarge {
                    bytes: payload_bytes,
                    limit_bytes: self.options.record_bytes_max,
                });
            }
        };
        self.repair()?;
        let end = self.end().offset;
        if end > DATA_START && end + u64::from(length) > self.options.segment_bytes {
            self.next_segment(self.active.number + 1)?;
        }
        if self.buffer.len() + total > BUFFER_BYTES && total <= DIRECT_BYTES {
            self.flush()?;
        }
        let position = self.end();
        let header = self
            .active
            .seed
            .encode_record_header(position.offset, length, parts);
        if total <= DIRECT_BYTES {
            self.buffer.extend_from_slice(&header);
            parts
                .iter()
                .for_each(|part| self.buffer.extend_from_slice(part));
        } else {
            let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
            all.push(&header);
            all.extend_from_slice(parts);
            self.write_out(&all)?;
        }
        Ok(position)
    }

    /// Makes everything appended so far durable and visible to readers, and returns the end of
    /// it. After an error of kind `Retry` the records are still pending: call again, or roll
    /// back to [`Self::synced_end`].
    pub fn sync(&mut self) -> Result<Position, JournalError> {
        self.sync_ahead()?;
        self.filled.clear();
        let end = self.end();
        self.shared.state.lock().synced = end;
        Ok(end)
    }

    /// Has everything appended so far on the disk, where it is not decided yet whether it stays:
    /// readers do not see it, it may be rolled back, and [`Self::sync`] is quick then.
    pub fn sync_ahead(&mut self) -> Result<(), JournalError> {
        self.usable()?;
        self.repair()?;
        self.flush()?;
        if self.file_unsynced {
            self.sync_active()?;
        }
        if self.dir_unsynced {
            self.sync_dir()?;
        }
        Ok(())
    }

    /// Where the next record goes, unless it needs a new segment.
    pub fn end(&self) -> Position {
        Position {
            segment: self.active.number,
            offset: self.active.written + self.buffer.len() as u64,
        }
    }

    /// Everything before this is durable.
    pub fn synced_end(&self) -> Position {
        self.shared.state.lock().synced
    }

    /// Drops the records from `target` on, which must be a record's start or an end that was
    /// returned earlier, and not before [`Self::synced_end`]. That they are gone is durable
    /// after the next sync; a crash before that may bring back any of them.
    pub fn rollback_to(&mut self, target: Position) -> Result<(), JournalError> {
        self.usable()?;
        let (synced, end) = (self.synced_end(), self.end());
        let known = target.segment == self.active.number
            || self
                .filled
                .iter()
                .any(|filled| filled.number == target.segment);
        if target < synced || target > end || !known || target.offset < DATA_START {
            return Err(JournalError::RollbackOutOfRange {
                target,
                synced,
                end,
            });
        }
        if target.segment < self.active.number {
            self.reopen_filled(target.segment);
        }
        if target.offset >= self.active.written {
            self.buffer
                .truncate((target.offset - self.active.written) as usize);
        } else {
            self.buffer.clear();
            self.active.written = target.offset;
            self.tail_dirty = true;
        }
        Ok(())
    }

    /// Reads durable records from a position on, which is a record's start, an end returned
    /// earlier, or [`Position::START`]. Segments freed since are passed over. The reader does
    /// not borrow the journal and may live on another thread.
    pub fn read_from(&self, position: Position) -> Reader {
        self.tail().read_from(position)
    }

    /// A handle to read with from other threads.
    pub fn tail(&self) -> Tail {
        Tail {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Frees the segments that hold nothing from `position` on; returns how many. Only what is
    /// synced is ever freed. If nothing synced is left after `position`, the current segment is
    /// replaced by an empty one when it has grown enough to be worth it.
    pub fn truncate_before(&mut self, position: Position) -> Result<u64, JournalError> {
        self.usable()?;
        let position = position.min(self.synced_end());
        self.leave_consumed(position)?;
        let freed = self.shared.free(position, self.active.number);
        self.failed |= matches!(freed, Err(JournalError::Sync { .. }));
        freed
    }

    /// Begins a new segment if the current one is synced, holds nothing from `position` on, and has
    /// grown enough to be worth freeing as a whole; returns whether it did.
    pub fn leave_consumed(&mut self, position: Position) -> Result<bool, JournalError> {
        self.usable()?;
        let consumed = position == self.end() && position == self.synced_end();
        let worth = position.offset >= REPLACE_CONSUMED_BYTES.min(self.options.segment_bytes);
        if !consumed || !worth {
            return Ok(false);
        }
        self.next_segment(self.active.number + 1)?;
        // The new segment must outlive a crash, or numbering would start over.
        self.sync()?;
        Ok(true)
    }

    /// Makes sure that no record will ever get a position before `position`: if the log ends
    /// before it, because its folder was deleted or its tail was damaged, a segment with a
    /// later number is started. To be called after opening by whoever keeps a position of this
    /// log elsewhere and passes over what lies before it.
    pub fn advance_to(&mut self, position: Position) -> Result<(), JournalError> {
        self.usable()?;
        if self.end() < position {
            let number = position.segment.max(self.active.number) + 1;
            self.next_segment(number)?;
            self.sync()?;
        }
        Ok(())
    }

    /// Length of the log in bytes, pending records included, reserved space not.
    pub fn bytes(&self) -> u64 {
        let state = self.shared.state.lock();
        let closed = state.segments.range(..self.active.number);
        closed.map(|(_, segment)| segment.end).sum::<u64>() + self.end().offset
    }

    /// Length of the segments that hold nothing from a position on.
    pub fn bytes_before(&self, position: Position) -> u64 {
        let state = self.shared.state.lock();
        let closed = state.segments.range(..self.active.number);
        let used_up = closed.map_while(|(number, segment)| {
            let end = Position {
                segment: *number,
                offset: segment.end,
            };
            (end <= position).then_some(segment.end)
        });
        used_up.sum()
    }

    /// Number of segment files.
    pub fn segments(&self) -> usize {
        self.shared.state.lock().segments.len()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Syncs what is pending and gives reserved disk space back.
    pub fn close(mut self) -> Result<Position, JournalError> {
        let end = self.sync()?;
        self.trim()?;
        if self.file_unsynced {
            self.sync_active()?;
        }
        Ok(end)
    }

    fn usable(&self) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed {
                dir: self.dir.clone(),
            });
        }
        Ok(())
    }

    fn fail(&mut self, path: PathBuf, source: io::Error) -> JournalError {
        self.failed = true;
        JournalError::Sync { path, source }
    }

    fn active_path(&self) -> PathBuf {
        segment_path(&self.dir, self.active.number)
    }

    fn active_error(&self, action: &'static str, source: io::Error) -> JournalError {
        JournalError::Io {
            action,
            path: self.active_path(),
            source,
        }
    }

    fn sync_active(&mut self) -> Result<(), JournalError> {
        let synced = self.active.file.sync_data();
        synced.map_err(|source| self.fail(self.active_path(), source))?;
        self.file_unsynced = false;
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), JournalError> {
        let synced = self.env.files.sync_dir(&self.dir);
        synced.map_err(|source| self.fail(self.dir.clone(), source))?;
        self.dir_unsynced = false;
        Ok(())
    }

    /// Finishes what a failed write or a rollback left undone.
    fn repair(&mut self) -> Result<(), JournalError> {
        if !self.doomed.is_empty() {
            for number in &self.doomed {
                self.shared.remove(*number)?;
            }
            // Before the segment in front of them is cut: a later segment that came back would
            // make the cut look like damage.
            self.sync_dir()?;
            self.doomed.clear();
        }
        if self.tail_dirty {
            self.set_active_size(self.active.written)?;
            self.tail_dirty = false;
        }
        Ok(())
    }

    fn set_active_size(&mut self, bytes: u64) -> Result<(), JournalError> {
        let cut = self.active.file.set_size(bytes);
        cut.map_err(|source| self.active_error("cut", source))?;
        self.active.allocated = bytes;
        self.file_unsynced = true;
        Ok(())
    }

    /// Gives back the reserved space after the last written byte. The file is asked for its
    /// size because a reservation that failed may have grown it all the same.
    fn trim(&mut self) -> Result<(), JournalError> {
        let size = self.active.file.size();
        let size = size.map_err(|source| self.active_error("look at", source))?;
        if size > self.active.written {
            self.set_active_size(self.active.written)?;
        }
        Ok(())
    }

    /// Writes the buffer.
    fn flush(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.write_out(&[])
    }

    /// Writes the buffer and the given parts after it. If that fails, the parts were never
    /// there and the buffer still waits.
    fn write_out(&mut self, parts: &[&[u8]]) -> Result<(), JournalError> {
        let bytes = self.buffer.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let end = self.active.written + bytes as u64;
        self.reserve(end);
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
        all.push(&self.buffer);
        all.extend_from_slice(parts);
        let written = self
            .active
            .file
            .write_vectored_at(&all, self.active.written);
        if let Err(source) = written {
            // Part of it may have reached the file, and more of it than the next write covers.
            self.tail_dirty = true;
            return Err(self.active_error("write", source));
        }
        self.buffer.clear();
        self.active.written = end;
        self.active.allocated = self.active.allocated.max(end);
        self.file_unsynced = true;
        Ok(())
    }

    /// Reserves disk space for a write up to `end`. Where that is impossible the write itself
    /// is left to say whether there is room.
    fn reserve(&mut self, end: u64) {
        if !self.options.preallocate || end <= self.active.allocated {
            return;
        }
        let step = end.div_ceil(PREALLOCATE_STEP_BYTES) * PREALLOCATE_STEP_BYTES;
        let bytes = step.min(self.options.segment_bytes).max(end);
        if self.active.file.preallocate(bytes).is_ok() {
            self.active.allocated = bytes;
            self.file_unsynced = true;
        }
    }

    /// Closes the current segment, durably, and starts the one of the given number.
    fn next_segment(&mut self, number: u64) -> Result<(), JournalError> {
        self.repair()?;
        self.flush()?;
        self.trim()?;
        if self.file_unsynced {
            self.sync_active()?;
        }
        let end = self.active.written;
        // Without a previous end a gap in the numbers is meant.
        let previous_end = if number == self.active.number + 1 {
            end
        } else {
            0
        };
        let next = create_segment(&self.env, &self.dir, number, previous_end);
        let next = match next {
            Ok(next) => next,
            Err(error) => {
                self.failed = error.kind() == ErrorKind::Fatal;
                self.doomed.push(number);
                return Err(error);
            }
        };
        let mut state = self.shared.state.lock();
        if let Some(segment) = state.segments.get_mut(&self.active.number) {
            segment.end = end;
        }
        let entry = Segment {
            end: DATA_START,
            seed: next.seed,
            has_holes: false,
        };
        state.segments.insert(next.number, entry);
        drop(state);
        self.filled.push(std::mem::replace(&mut self.active, next));
        self.file_unsynced = true;
        self.dir_unsynced = true;
        Ok(())
    }

    /// Makes a segment filled since the last sync the current one again.
    fn reopen_filled(&mut self, number: u64) {
        self.buffer.clear();
        while self.active.number > number {
            let Some(previous) = self.filled.pop() else {
                break;
            };
            let dropped = std::mem::replace(&mut self.active, previous);
            self.shared.state.lock().segments.remove(&dropped.number);
            self.doomed.push(dropped.number);
        }
        self.tail_dirty = false;
        self.file_unsynced = true;
    }
}

/// Creates a segment file with a durable header, so that a segment with records but without a
/// header is always damage and never an interrupted creation. Its name is not durable yet.
pub(crate) fn create_segment(
    env: &Env,
    dir: &Path,
    number: u64,
    previous_end: u64,
) -> Result<Active, JournalError> {
    let path = segment_path(dir, number);
    let header = SegmentHeader {
        segment: number,
        salt: env.random.next_u64(),
        previous_end,
    };
    let created = env.files.create(&path).and_then(|file| {
        file.write_at(&header.encode(), 0)?;
        Ok(file)
    });
    let file = created.map_err(|source| JournalError::Io {
        action: "create",
        path: path.clone(),
        source,
    })?;
    let synced = file.sync_data();
    synced.map_err(|source| JournalError::Sync { path, source })?;
    Ok(Active {
        number,
        file: Arc::from(file),
        seed: header.seed(),
        written: DATA_START,
        allocated: DATA_START,
    })
}

#[cfg(test)]
mod tests;
