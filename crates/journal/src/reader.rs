//! Reads what is durable, beside whoever appends.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use env::Files;
use parking_lot::Mutex;

use crate::cursor::{Cursor, Step};
use crate::format::{DATA_START, Seed, segment_path};
use crate::{JournalError, Position};

/// A closed or current segment as readers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where its records end. Unused for the segment that holds the synced end.
    pub(crate) end: u64,
    pub(crate) seed: Seed,
    /// Whether the disk did not give some of it when it was opened: what that was is counted, and
    /// passed over by readers.
    pub(crate) has_holes: bool,
}

/// What the appending side and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) dir: PathBuf,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) synced: Position,
}

/// A handle for threads that read while another one owns the [`crate::Journal`].
#[derive(Clone, Debug)]
pub struct Tail {
    pub(crate) shared: Arc<Shared>,
}

impl Tail {
    /// Reads from a position on; see [`crate::Journal::read_from`].
    pub fn read_from(&self, position: Position) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
            at: position,
            cursor: None,
            passes_holes_of: None,
            skipped_regions: 0,
            skipped_bytes: 0,
        }
    }

    /// Everything before this is durable and readable.
    pub fn synced_end(&self) -> Position {
        self.shared.state.lock().synced
    }

    /// Frees the segments that hold nothing from `position` on, in the place of whoever owns the
    /// journal: to remove a long file takes a while, for which nothing can be appended there.
    /// Returns how many it freed. See [`crate::Journal::truncate_before`].
    pub fn free_before(&self, position: Position) -> Result<u64, JournalError> {
        self.shared.free(position, self.synced_end().segment)
    }
}

impl Shared {
    /// Removes the segments before `below` that hold nothing synced from `position` on.
    pub(crate) fn free(&self, position: Position, below: u64) -> Result<u64, JournalError> {
        let free: Vec<u64> = {
            let state = self.state.lock();
            let position = position.min(state.synced);
            let whole = |(number, segment): (&u64, &Segment)| {
                let used_up = Position {
                    segment: *number,
                    offset: segment.end,
                } <= position;
                (*number < below && used_up).then_some(*number)
            };
            state.segments.iter().map_while(whole).collect()
        };
        for number in &free {
            self.remove(*number)?;
            self.state.lock().segments.remove(number);
        }
        if !free.is_empty() {
            let synced = self.files.sync_dir(&self.dir);
            synced.map_err(|source| JournalError::Sync {
                path: self.dir.clone(),
                source,
            })?;
        }
        Ok(free.len() as u64)
    }

    /// Removes the file of a segment, if it is there.
    pub(crate) fn remove(&self, number: u64) -> Result<(), JournalError> {
        let path = segment_path(&self.dir, number);
        match self.files.remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(JournalError::Io {
                action: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    /// Where to read on after this record.
    pub next: Position,
    pub payload: Bytes,
}

/// An iterator over durable records. After `None` it can be asked again once more was synced.
/// After an error it stands where it stood, so asking again retries.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    at: Position,
    cursor: Option<(u64, Cursor)>,
    /// The segment in which what the disk does not give is passed over.
    passes_holes_of: Option<u64>,
    skipped_regions: u64,
    skipped_bytes: u64,
}

impl Reader {
    /// Where the next record will be looked for.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Damaged stretches passed over by this reader.
    pub fn skipped_regions(&self) -> u64 {
        self.skipped_regions
    }

    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Takes what the disk does not give of the segment at hand for damage from now on, instead of
    /// standing before it: for whoever has asked often enough.
    pub fn pass_holes(&mut self) {
        self.passes_holes_of = Some(self.at.segment);
        self.cursor = None;
    }

    fn next_record(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let Some((number, segment, last)) = self.locate() else {
                return Ok(None);
            };
            let limit = segment.end;
            if self.at.offset >= limit {
                if last {
                    return Ok(None);
                }
                self.leave(number);
                continue;
            }
            if !self.open_segment(number, segment)? {
                self.leave(number);
                continue;
            }
            let Some((_, cursor)) = &mut self.cursor else {
                continue;
            };
            cursor.set_limit(limit);
            let step = cursor.step().map_err(|source| JournalError::Io {
                action: "read",
                path: segment_path(&self.shared.dir, number),
                source,
            })?;
            match step {
                Step::Record { next, payload, at } => {
                    let position = Position {
                        offset: at,
                        ..self.at
                    };
                    self.at.offset = next;
                    return Ok(Some(Record {
                        position,
                        next: self.at,
                        payload,
                    }));
                }
                Step::Damaged { at, next } => {
                    self.skip(at, next);
                    self.at.offset = next;
                }
                Step::End { at, .. } => {
                    self.skip(at, limit);
                    self.at.offset = limit;
                    self.cursor = None;
                }
            }
        }
    }

    /// Moves on to the first segment that still exists and returns its number, what it is up to where
    /// it may be read, and whether it is the last one.
    fn locate(&mut self) -> Option<(u64, Segment, bool)> {
        let state = self.shared.state.lock();
        let (&number, &segment) = state.segments.range(self.at.segment..).next()?;
        if number > state.synced.segment {
            return None;
        }
        if number != self.at.segment {
            self.at = Position {
                segment: number,
                offset: DATA_START,
            };
        }
        self.at.offset = self.at.offset.max(DATA_START);
        let last = number == state.synced.segment;
        let end = if last {
            state.synced.offset
        } else {
            segment.end
        };
        Some((number, Segment { end, ..segment }, last))
    }

    fn leave(&mut self, segment: u64) {
        self.cursor = None;
        self.at = Position {
            segment: segment + 1,
            offset: DATA_START,
        };
    }

    /// False if the segment was freed in the meantime.
    fn open_segment(&mut self, number: u64, segment: Segment) -> Result<bool, JournalError> {
        if self
            .cursor
            .as_ref()
            .is_some_and(|(open, _)| *open == number)
        {
            return Ok(true);
        }
        let path = segment_path(&self.shared.dir, number);
        match self.shared.files.open(&path) {
            Ok(file) => {
                let cursor = Cursor::new(file, segment.seed, self.at.offset, segment.end);
                let passes = segment.has_holes || self.passes_holes_of == Some(number);
                let cursor = if passes { cursor.pass_holes() } else { cursor };
                self.cursor = Some((number, cursor));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(JournalError::Io {
                action: "open",
                path,
                source,
            }),
        }
    }

    fn skip(&mut self, from: u64, to: u64) {
        self.skipped_regions += 1;
        self.skipped_bytes += to - from;
        tracing::error!(
            journal = %self.shared.dir.display(),
            segment = self.at.segment,
            from,
            to,
            "skipped damaged records in the journal"
        );
    }
}

impl Iterator for Reader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}
