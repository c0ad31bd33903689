//! One file being read: opening, looking, taking lines.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{FileId, FileState, HEAD_BYTES, Head, TAIL_BYTES};
use super::discover::id_of;

/// A file and how far it was read.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) id: FileId,
    pub(super) state: FileState,
    pub(super) path: PathBuf,
    pub(super) lineage: Arc<Path>,
    /// Index of its set of files.
    pub(super) set: usize,
    pub(super) file: Option<File>,
    /// Length at the last look.
    pub(super) bytes: u64,
    /// Read to the end at the last look.
    pub(super) drained: bool,
    /// A line without its end, up to the end of the file.
    pub(super) pending: Vec<u8>,
    /// When the file last had something new (the clock's monotonic time).
    pub(super) active_at: u64,
    /// Not looked at before this monotonic time.
    pub(super) next_look: u64,
    /// When `pending` was first seen (unix time).
    pub(super) pending_since: u64,
    /// No pattern names it any more: it was renamed away or removed.
    pub(super) orphan: bool,
    /// Whether its stored fingerprint was compared since it was opened for the first time.
    pub(super) verified: bool,
}

/// What a look at a file shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing new.
    Same,
    /// There is more to read.
    Grown,
    /// What was read is not there any more: the file was emptied, and maybe filled again.
    Replaced,
    /// Another file has its name now.
    Renamed,
    /// It is gone, and nobody holds it open.
    Gone,
}

/// Lines that a read yielded.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Bytes consumed, line ends included.
    pub(super) bytes: usize,
    pub(super) lines: u64,
    /// Bytes of lines that were too long, beyond what was kept of them.
    pub(super) cut_bytes: u64,
    pub(super) replaced: bool,
}

impl Tracked {
    /// Opens the file if it is not open; makes sure that it is the file that is meant.
    pub(super) fn open(&mut self) -> io::Result<Option<&File>> {
        if self.file.is_none() {
            let file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            if id_of(&file.metadata()?) != self.id {
                return Ok(None);
            }
            self.file = Some(file);
        }
        Ok(self.file.as_ref())
    }

    /// Compares the file with what is known of it, without reading new bytes.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        let metadata = match &self.file {
            Some(file) => file.metadata()?,
            None => match std::fs::metadata(&self.path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Gone),
                Err(error) => return Err(error),
            },
        };
        if id_of(&metadata) != self.id {
            return Ok(Look::Renamed);
        }
        self.bytes = metadata.len();
        if self.bytes < self.state.offset {
            return Ok(Look::Replaced);
        }
        if !self.verified {
            self.verified = true;
            if !self.matches_state(&self.state.clone())? {
                return Ok(Look::Replaced);
            }
        }
        if self.bytes > self.state.offset + self.pending.len() as u64 {
            return Ok(Look::Grown);
        }
        if self.bytes < self.state.offset + self.pending.len() as u64 {
            if !self.matches_state(&self.state.clone())? {
                return Ok(Look::Replaced);
            }
            // A line that was not ended was taken back, or a part of it.
            self.pending.clear();
            if self.bytes > self.state.offset {
                return Ok(Look::Grown);
            }
        }
        Ok(Look::Same)
    }

    /// Whether this file begins as `state` says and has its tail before its offset.
    pub(super) fn matches_state(&mut self, state: &FileState) -> io::Result<bool> {
        let Some(file) = self.open()? else {
            return Ok(false);
        };
        let mut start = vec![0; usize::from(state.head.bytes)];
        let read = read_full_at(file, &mut start, 0)?;
        if !state.head.matches(&start[..read]) {
            return Ok(false);
        }
        let mut tail = vec![0; state.tail.len()];
        let at = state.offset.saturating_sub(tail.len() as u64);
        let read = read_full_at(file, &mut tail, at)?;
        Ok(tail[..read] == state.tail[..])
    }

    /// Whether this file is what `other` begins with, as far as its first and last bytes tell.
    pub(super) fn is_beginning_of(&mut self, other: &mut Self) -> io::Result<bool> {
        let bytes = self.bytes;
        let end = bytes.saturating_sub(TAIL_BYTES as u64);
        for (at, length) in [(0, HEAD_BYTES), (end, TAIL_BYTES)] {
            let length = length.min(usize::try_from(bytes).unwrap_or(length));
            let (Some(mine), Some(theirs)) = (self.open()?, other.open()?) else {
                return Ok(false);
            };
            let (mut of_mine, mut of_theirs) = (vec![0; length], vec![0; length]);
            let read = read_full_at(mine, &mut of_mine, at)?;
            if read < length
                || read_full_at(theirs, &mut of_theirs, at)? < length
                || of_mine != of_theirs
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first bytes of the file.
    pub(super) fn start(&mut self) -> io::Result<Vec<u8>> {
        let Some(file) = self.open()? else {
            return Ok(Vec::new());
        };
        let mut start = vec![0; HEAD_BYTES];
        let read = read_full_at(file, &mut start, 0)?;
        start.truncate(read);
        Ok(start)
    }

    /// Takes the stored position from the end of what is there now.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        let bytes = self.bytes;
        let Some(file) = self.open()? else {
            return Ok(());
        };
        let length = TAIL_BYTES.min(usize::try_from(bytes).unwrap_or(TAIL_BYTES));
        let mut tail = vec![0; length];
        let read = read_full_at(file, &mut tail, bytes - length as u64)?;
        // The next line end that comes ends a line whose beginning was there before.
        let midline = tail[..read].last().is_some_and(|last| *last != b'\n');
        self.state.offset = bytes;
        self.state.tail = tail[..read].to_vec();
        self.state.skipping = midline;
        self.renew_head()
    }

    /// Extends the fingerprint once more of the beginning was read.
    pub(super) fn renew_head(&mut self) -> io::Result<()> {
        let known = usize::from(self.state.head.bytes);
        let read = usize::try_from(self.state.offset).unwrap_or(usize::MAX);
        if known >= HEAD_BYTES || read <= known {
            return Ok(());
        }
        let mut start = self.start()?;
        start.truncate(read);
        self.state.head = Head::of(&start);
        Ok(())
    }

    /// Reads up to `want` new bytes and hands each complete line to `line`, with whether it was
    /// cut, for as long as that wants more. `buffer` is scratch space.
    pub(super) fn take_lines(
        &mut self,
        buffer: &mut Vec<u8>,
        want: usize,
        line_bytes_max: usize,
        line: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> io::Result<Taken> {
        let mut want = want.max(1);
        loop {
            let tail = self.state.tail.len();
            let at = self.state.offset - tail as u64;
            let Some(file) = self.open()? else {
                return Ok(Taken::default());
            };
            buffer.resize(tail + want, 0);
            let read = read_full_at(file, buffer, at)?;
            if read < tail || buffer[..tail] != self.state.tail[..] {
                return Ok(Taken {
                    replaced: true,
                    ..Taken::default()
                });
            }
            let full = read == buffer.len();
            let data = &buffer[tail..read];
            let mut taken = Taken::default();
            if self.state.skipping {
                match memchr::memchr(b'\n', data) {
                    Some(end) => {
                        taken.bytes = end + 1;
                        taken.cut_bytes = end as u64;
                        self.state.skipping = false;
                    }
                    None => {
                        taken.bytes = data.len();
                        taken.cut_bytes = data.len() as u64;
                    }
                }
            }
            let mut goes_on = true;
            while goes_on && let Some(length) = memchr::memchr(b'\n', &data[taken.bytes..]) {
                let text = &data[taken.bytes..taken.bytes + length];
                let kept = text.len().min(line_bytes_max);
                goes_on = line(&text[..kept], kept < text.len());
                taken.cut_bytes += (text.len() - kept) as u64;
                taken.bytes += length + 1;
                taken.lines += 1;
            }
            if taken.bytes == 0 && full {
                if want <= line_bytes_max {
                    want = line_bytes_max + 1;
                    continue;
                }
                // A whole buffer without a line end: keep its beginning, pass over the rest.
                line(&data[..line_bytes_max], true);
                taken.lines = 1;
                taken.cut_bytes = (data.len() - line_bytes_max) as u64;
                taken.bytes = data.len();
                self.state.skipping = true;
            }
            self.pending.clear();
            self.drained = !full && goes_on;
            if self.drained {
                self.pending.extend_from_slice(&data[taken.bytes..]);
            }
            self.bytes = self.bytes.max(at + read as u64);
            self.state
                .advance(taken.bytes, &buffer[..tail + taken.bytes]);
            return Ok(taken);
        }
    }

    /// Consumes the line without an end that the file has at its end.
    pub(super) fn take_pending(&mut self) -> Vec<u8> {
        let pending = std::mem::take(&mut self.pending);
        let mut read = std::mem::take(&mut self.state.tail);
        read.extend_from_slice(&pending);
        self.state.advance(pending.len(), &read);
        pending
    }
}

fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
