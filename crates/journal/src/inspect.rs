//! Looks at a log from outside: nothing is locked, repaired or cut, so that a log to which another
//! process appends can be read, too.
//!
//! Segments are opened at once and read up to the size that they had then; a segment that is freed
//! later stays readable. What a writer has not yet written whole looks like damage for a moment,
//! so damage in the last segment is looked at twice.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use env::{Env, File};

use crate::cursor::{Cursor, Step};
use crate::format::{DATA_START, SegmentHeader, segment_path};
use crate::open::{Found, find_segments, io_error, missing_between};
use crate::{JournalError, Position};

/// What lies in a log, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A good record.
    Record {
        /// Where it starts.
        position: Position,
        payload: Bytes,
    },
    /// No good record between the two offsets.
    Damaged { segment: u64, from: u64, to: u64 },
    /// No good record up to the end of the log: a write that was interrupted, or is under way.
    Torn { segment: u64, from: u64, bytes: u64 },
    /// Neither copy of the header reads.
    Unreadable { segment: u64, bytes: u64 },
    /// So many segments between this one and the next are gone.
    Missing { after: u64, segments: u64 },
}

/// The segments of a log, opened for reading.
#[derive(Debug)]
pub struct Log {
    env: Env,
    dir: PathBuf,
    from: Position,
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    found: Found,
    file: Box<dyn File>,
}

impl Log {
    /// Opens the segments from a position on. An error with the kind `NotFound` means that a
    /// segment was freed meanwhile.
    pub fn open(env: &Env, dir: &Path, from: Position) -> Result<Self, JournalError> {
        let mut segments = Vec::new();
        for found in find_segments(env, dir)? {
            if found.number >= from.segment {
                let path = segment_path(dir, found.number);
                let file = env.files.open(&path);
                let file = file.map_err(|source| io_error("open", &path, source))?;
                segments.push(Segment { found, file });
            }
        }
        Ok(Self {
            env: env.clone(),
            dir: dir.to_owned(),
            from,
            segments,
        })
    }

    /// Bytes of its files, reserved space included.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.found.size).sum()
    }

    /// How many files it has.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The path of a segment.
    pub fn path_of(&self, segment: u64) -> PathBuf {
        segment_path(&self.dir, segment)
    }

    /// Shows everything from the position on, in order, until `see` says to stop (false).
    pub fn each(self, see: &mut dyn FnMut(Item) -> bool) -> Result<(), JournalError> {
        let Self {
            env,
            dir,
            from,
            segments,
        } = self;
        let mut segments = segments.into_iter().peekable();
        let lost = segments
            .peek()
            .and_then(|first| lost_before(&first.found, from));
        if let Some(item) = lost
            && !see(item)
        {
            return Ok(());
        }
        while let Some(Segment { found, file }) = segments.next() {
            let next = segments.peek().map(|segment| &segment.found);
            let Some(header) = found.header else {
                let (segment, bytes) = (found.number, found.size);
                let item = if next.is_none() && !found.has_data {
                    let from = 0;
                    Item::Torn {
                        segment,
                        from,
                        bytes,
                    }
                } else {
                    Item::Unreadable { segment, bytes }
                };
                if !see(item) {
                    return Ok(());
                }
                continue;
            };
            let begin = if found.number == from.segment {
                from.offset.max(DATA_START)
            } else {
                DATA_START
            };
            let closed_at = next
                .filter(|next| next.number == found.number + 1)
                .and_then(|next| next.header)
                .map(|next| next.previous_end)
                .filter(|end| *end > 0);
            let walk = Walk {
                env: &env,
                path: segment_path(&dir, found.number),
                number: found.number,
                header,
                closed_at,
                limit: closed_at.map_or(found.size, |end| end.min(found.size)),
                is_last: next.is_none(),
            };
            if !walk.each(file, begin, see)? {
                return Ok(());
            }
            let gone = next.map_or(0, |next| missing_between(&found, next));
            let missing = Item::Missing {
                after: found.number,
                segments: gone,
            };
            if gone > 0 && !see(missing) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What is gone between the position where reading begins and the first segment that is there.
fn lost_before(first: &Found, from: Position) -> Option<Item> {
    let end = first.header.map_or(0, |header| header.previous_end);
    // Without a previous end a gap in the numbers is meant.
    if from.segment == 0 || first.number <= from.segment || end == 0 {
        return None;
    }
    let (segment, from) = (from.segment, from.offset);
    if first.number > segment + 1 {
        return Some(Item::Missing {
            after: segment,
            segments: first.number - segment - 1,
        });
    }
    let to = end;
    (end > from).then_some(Item::Damaged { segment, from, to })
}

/// One segment.
struct Walk<'a> {
    env: &'a Env,
    path: PathBuf,
    number: u64,
    header: SegmentHeader,
    /// Where the next segment says that this one ends.
    closed_at: Option<u64>,
    limit: u64,
    is_last: bool,
}

impl Walk<'_> {
    /// False where `see` wants no more.
    fn each(
        &self,
        file: Box<dyn File>,
        begin: u64,
        see: &mut dyn FnMut(Item) -> bool,
    ) -> Result<bool, JournalError> {
        let segment = self.number;
        let seed = self.header.seed();
        let mut cursor = Cursor::new(file, seed, begin, self.limit).pass_holes();
        let mut looked_again = None;
        loop {
            let step = cursor.step();
            let step = step.map_err(|source| io_error("read", &self.path, source))?;
            let (at, item, is_end) = match step {
                Step::Record { at, payload, .. } => {
                    let position = Position {
                        segment,
                        offset: at,
                    };
                    if !see(Item::Record { position, payload }) {
                        return Ok(false);
                    }
                    continue;
                }
                Step::Damaged { at, next } => {
                    let (from, to) = (at, next);
                    (at, Item::Damaged { segment, from, to }, false)
                }
                Step::End { at, garbage_bytes } => {
                    match self.end(at, garbage_bytes, cursor.hole_end()) {
                        None => return Ok(true),
                        Some(item) => (at, item, true),
                    }
                }
            };
            if self.is_last && looked_again != Some(at) {
                looked_again = Some(at);
                let file = self.env.files.open(&self.path);
                let file = file.map_err(|source| io_error("open", &self.path, source))?;
                cursor = Cursor::new(file, seed, at, self.limit).pass_holes();
                continue;
            }
            if !see(item) {
                return Ok(false);
            }
            if is_end {
                return Ok(true);
            }
        }
    }

    /// What follows the last good record.
    fn end(&self, at: u64, garbage_bytes: u64, hole_end: u64) -> Option<Item> {
        let segment = self.number;
        if self.is_last && hole_end <= at {
            let (from, bytes) = (at, garbage_bytes);
            let torn = Item::Torn {
                segment,
                from,
                bytes,
            };
            return (garbage_bytes > 0).then_some(torn);
        }
        let seen_to = hole_end.max(at + garbage_bytes);
        let to = self.closed_at.unwrap_or(0).max(seen_to);
        let from = at;
        (to > at).then_some(Item::Damaged { segment, from, to })
    }
}

#[cfg(test)]
mod tests;
