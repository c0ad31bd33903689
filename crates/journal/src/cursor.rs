//! Walks the records of one segment file and finds the way back after damage.

use std::io;

use bytes::Bytes;
use env::{File, is_unreadable, read_patiently};

use crate::format::{RECORD_HEADER_BYTES, RecordHeader, Seed};

/// How much is read at once; a longer record is read alone.
const CHUNK_BYTES: u64 = 256 << 10;
/// How much is given up at least where the disk does not give what is asked for.
const HOLE_BYTES: u64 = 4 << 10;

/// What lies at the cursor.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good record; `next` is the offset after it.
    Record { at: u64, next: u64, payload: Bytes },
    /// Damage, with a good record at `next`.
    Damaged { at: u64, next: u64 },
    /// No good record from `at` to the limit. `garbage_bytes` reaches to the last byte that is
    /// not zero; 0 means a clean end.
    End { at: u64, garbage_bytes: u64 },
}

/// Reads forward from an offset up to a limit.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: Box<dyn File>,
    seed: Seed,
    offset: u64,
    limit: u64,
    chunk: Bytes,
    chunk_at: u64,
    passes_holes: bool,
    hole_end: u64,
}

impl Cursor {
    pub(crate) fn new(file: Box<dyn File>, seed: Seed, offset: u64, limit: u64) -> Self {
        Self {
            file,
            seed,
            offset,
            limit,
            chunk: Bytes::new(),
            chunk_at: 0,
            passes_holes: false,
            hole_end: 0,
        }
    }

    /// Takes what the disk does not give for zeroes, and so for damage, where it would otherwise be
    /// an error.
    pub(crate) fn pass_holes(mut self) -> Self {
        self.passes_holes = true;
        self
    }

    /// Where the last part ends that the disk did not give; 0 if it gave everything.
    pub(crate) fn hole_end(&self) -> u64 {
        self.hole_end
    }

    /// Lets the cursor read further once more is durable.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The next good record, the damage in front of it, or the end.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let at = self.offset;
        let mut search_from = at + 1;
        if let Some(header) = self.header_at(at)? {
            let next = at + header.length;
            if let Some(payload) = self.payload_of(at, &header)? {
                self.offset = next;
                return Ok(Step::Record { at, next, payload });
            }
            // The length is sound, so the record after this one starts exactly there.
            search_from = next;
        }
        match self.search(search_from)? {
            Some(next) => {
                self.offset = next;
                Ok(Step::Damaged { at, next })
            }
            None => Ok(Step::End {
                at,
                garbage_bytes: self.last_nonzero(at)?.map_or(0, |last| last + 1 - at),
            }),
        }
    }

    /// The record header at an offset, if its checksum holds and the record ends in time.
    fn header_at(&mut self, at: u64) -> io::Result<Option<RecordHeader>> {
        let seed = self.seed;
        let limit = self.limit;
        let bytes = self.window(at, RECORD_HEADER_BYTES as u64)?;
        if bytes.len() < RECORD_HEADER_BYTES {
            return Ok(None);
        }
        let header = seed.decode_record_header(bytes, at);
        Ok(header.filter(|header| header.length <= limit - at))
    }

    fn payload_of(&mut self, at: u64, header: &RecordHeader) -> io::Result<Option<Bytes>> {
        let got = self.window(at, header.length)?.len() as u64;
        if got < header.length {
            return Ok(None);
        }
        let start = (at - self.chunk_at) as usize;
        let end = start + header.length as usize;
        let payload = self.chunk.slice(start + RECORD_HEADER_BYTES..end);
        Ok(header.payload_matches(&payload).then_some(payload))
    }

    /// The first offset from `from` on at which a whole good record lies. Each byte is looked
    /// at once as a possible header; a header that holds skips its payload, so hostile content
    /// cannot make this quadratic.
    fn search(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at + RECORD_HEADER_BYTES as u64 <= self.limit {
            let Some(candidate) = self.next_header(at)? else {
                return Ok(None);
            };
            let Some(header) = self.header_at(candidate)? else {
                at = candidate + 1;
                continue;
            };
            if self.payload_of(candidate, &header)?.is_some() {
                return Ok(Some(candidate));
            }
            at = candidate + header.length;
        }
        Ok(None)
    }

    /// The first offset from `from` on whose twelve bytes are a header that holds.
    fn next_header(&mut self, from: u64) -> io::Result<Option<u64>> {
        let seed = self.seed;
        let limit = self.limit;
        let mut at = from;
        loop {
            let bytes = self.window(at, CHUNK_BYTES)?;
            if bytes.len() < RECORD_HEADER_BYTES {
                return Ok(None);
            }
            let starts = bytes.len() - RECORD_HEADER_BYTES + 1;
            let mut index = 0;
            while index < starts {
                let rest = &bytes[index..];
                // Preallocated space is long and zero: pass it a page at a time.
                if rest.len() >= 4096 && rest[..4096].iter().all(|byte| *byte == 0) {
                    index += 4096 - RECORD_HEADER_BYTES + 1;
                    continue;
                }
                let offset = at + index as u64;
                let header = seed.decode_record_header(rest, offset);
                if header.is_some_and(|header| header.length <= limit - offset) {
                    return Ok(Some(offset));
                }
                index += 1;
            }
            at += index as u64;
        }
    }

    fn last_nonzero(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut last = None;
        let mut at = from;
        while at < self.limit {
            let bytes = self.window(at, CHUNK_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len() as u64;
            if let Some(index) = bytes.iter().rposition(|byte| *byte != 0) {
                last = Some(at + index as u64);
            }
            at += length;
        }
        Ok(last)
    }

    /// The bytes from `at` on: `want` of them, or what is left up to the limit.
    fn window(&mut self, at: u64, want: u64) -> io::Result<&[u8]> {
        let want = want.min(self.limit.saturating_sub(at));
        let have_end = self.chunk_at + self.chunk.len() as u64;
        if at < self.chunk_at || at + want > have_end {
            let size = want.max(CHUNK_BYTES).min(self.limit.saturating_sub(at));
            let mut buffer = vec![0; size as usize];
            let read = match self.file.read_full_at(&mut buffer, at) {
                Err(error) if self.passes_holes && is_unreadable(&error) => {
                    self.read_around_holes(&mut buffer, at)?
                }
                read => read?,
            };
            buffer.truncate(read);
            self.chunk = Bytes::from(buffer);
            self.chunk_at = at;
        }
        let start = (at - self.chunk_at) as usize;
        let end = (start + want as usize).min(self.chunk.len());
        Ok(&self.chunk[start.min(end)..end])
    }

    /// Fills the buffer part by part and leaves zero what does not read. Each attempt may take a
    /// disk seconds, so twice as much is given up each time, until something reads again.
    fn read_around_holes(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        let mut part_bytes = HOLE_BYTES;
        while done < buffer.len() {
            let begin = at + done as u64;
            let end = (begin / HOLE_BYTES * HOLE_BYTES + part_bytes).min(at + buffer.len() as u64);
            let part = &mut buffer[done..(end - at) as usize];
            match read_patiently(|| self.file.read_full_at(part, begin)) {
                Ok(read) if read < part.len() => return Ok(done + read),
                Ok(_) => part_bytes = HOLE_BYTES,
                Err(error) if is_unreadable(&error) => {
                    part.fill(0);
                    self.hole_end = self.hole_end.max(end);
                    part_bytes *= 2;
                }
                Err(error) => return Err(error),
            }
            done = (end - at) as usize;
        }
        Ok(done)
    }
}
