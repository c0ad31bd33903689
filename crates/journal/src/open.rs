//! Opens a journal: reads every segment, counts and cuts damage, and continues the last one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Env, LockFile, is_unreadable, read_patiently};
use parking_lot::Mutex;

use crate::cursor::{Cursor, Step};
use crate::format::{
    DATA_START, HeaderState, SegmentHeader, VERSION, segment_number, segment_path,
};
use crate::journal::{Active, Journal, create_segment};
use crate::reader::{Segment, Shared, State};
use crate::{JournalError, Options, Position, Recovery};

/// A segment file before its records were looked at.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) size: u64,
    pub(crate) header: Option<SegmentHeader>,
    /// Whether anything but zeroes stands behind the place of the headers.
    pub(crate) has_data: bool,
}

pub(crate) fn open(
    env: &Env,
    dir: &Path,
    options: Options,
) -> Result<(Journal, Recovery), JournalError> {
    let failed = |action| {
        move |source| JournalError::Io {
            action,
            path: dir.to_owned(),
            source,
        }
    };
    env.files.create_dir_all(dir).map_err(failed("create"))?;
    let lock = LockFile::acquire(&*env.files, dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => JournalError::Locked(error),
        _ => failed("lock")(error),
    })?;

    let mut recovery = Recovery::default();
    let mut found = find_segments(env, dir)?;
    let mut number_min = options.segment_min.max(1);
    let mut damage = Damage {
        read_from: options.read_from,
        recovery: &mut recovery,
    };
    set_aside_unreadable(env, dir, &mut found, &mut damage, &mut number_min)?;
    let (mut segments, last) = check_segments(env, dir, &found, &mut damage)?;
    let active = active_segment(env, dir, last, number_min)?;
    sync(&*active.file, segment_path(dir, active.number))?;
    let dir_synced = env.files.sync_dir(dir);
    dir_synced.map_err(|source| JournalError::Sync {
        path: dir.to_owned(),
        source,
    })?;
    report(dir, &recovery);

    segments.entry(active.number).or_insert(Segment {
        end: DATA_START,
        seed: active.seed,
        has_holes: false,
    });
    let synced = Position {
        segment: active.number,
        offset: active.written,
    };
    let journal = Journal {
        env: env.clone(),
        dir: dir.to_owned(),
        options,
        _lock: lock,
        shared: Arc::new(Shared {
            files: Arc::clone(&env.files),
            dir: dir.to_owned(),
            state: Mutex::new(State { segments, synced }),
        }),
        active,
        buffer: Vec::new(),
        filled: Vec::new(),
        tail_dirty: false,
        doomed: Vec::new(),
        file_unsynced: false,
        dir_unsynced: false,
        failed: false,
    };
    Ok((journal, recovery))
}

/// What was found of the records of a segment.
#[derive(Clone, Copy, Debug)]
struct Checked {
    /// Where the good ones end.
    end: u64,
    /// Where it was written to, as far as that can be told.
    written: u64,
    /// Whether the disk did not give some of it.
    has_holes: bool,
}

/// The last segment with its header, and what its records are.
type Last<'f> = (&'f Found, SegmentHeader, Checked);

/// Reads every segment that has a header. Says where the good records of each end.
fn check_segments<'f>(
    env: &Env,
    dir: &Path,
    found: &'f [Found],
    damage: &mut Damage<'_>,
) -> Result<(BTreeMap<u64, Segment>, Option<Last<'f>>), JournalError> {
    let mut segments = BTreeMap::new();
    let mut last = None;
    for (index, segment) in found.iter().enumerate() {
        let following = found.get(index + 1);
        let Some(header) = segment.header else {
            continue;
        };
        let checked = check_segment(env, dir, segment, &header, following, damage)?;
        let known = Segment {
            end: checked.end,
            seed: header.seed(),
            has_holes: checked.has_holes,
        };
        segments.insert(segment.number, known);
        last = Some((segment, header, checked));
        if let Some(next) = following {
            let unread = next.number.saturating_sub(damage.read_from.segment);
            damage.recovery.missing_segments += missing_between(segment, next).min(unread);
        }
    }
    damage.recovery.segments = segments.len() as u64;
    Ok((segments, last))
}

/// The segment that is written on: the last one, or a new one where numbers before `number_min`
/// must not be used any more or the last one does not read as a whole.
fn active_segment(
    env: &Env,
    dir: &Path,
    last: Option<Last<'_>>,
    number_min: u64,
) -> Result<Active, JournalError> {
    let Some((segment, header, checked)) = last else {
        return create_segment(env, dir, number_min, 0);
    };
    if checked.has_holes {
        // What does not read may be acknowledged records: they are not cut off, and nothing is
        // written among them.
        let path = segment_path(dir, segment.number);
        let file = env.files.open_write(&path);
        let file = file.map_err(|source| io_error("open", &path, source))?;
        sync(&*file, path)?;
        let follows = number_min <= segment.number + 1;
        let number = number_min.max(segment.number + 1);
        return create_segment(env, dir, number, if follows { checked.written } else { 0 });
    }
    let end = checked.end;
    let active = continue_segment(env, dir, segment, &header, end)?;
    if active.number >= number_min {
        return Ok(active);
    }
    sync(&*active.file, segment_path(dir, active.number))?;
    // Without a previous end a gap in the numbers is meant.
    let follows = number_min == active.number + 1;
    create_segment(env, dir, number_min, if follows { end } else { 0 })
}

fn sync(file: &dyn env::File, path: PathBuf) -> Result<(), JournalError> {
    file.sync_data()
        .map_err(|source| JournalError::Sync { path, source })
}

/// All segments in order, with their headers. An unknown version is an error before anything
/// is changed.
pub(crate) fn find_segments(env: &Env, dir: &Path) -> Result<Vec<Found>, JournalError> {
    let entries = env.files.list(dir).map_err(|source| JournalError::Io {
        action: "list",
        path: dir.to_owned(),
        source,
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let Some(number) = segment_number(&entry.name) else {
            continue;
        };
        let path = segment_path(dir, number);
        let read = || {
            let file = env.files.open(&path)?;
            let mut bytes = vec![0; DATA_START as usize];
            let read = file.read_full_at(&mut bytes, 0)?;
            bytes.truncate(read);
            Ok((file, bytes))
        };
        let (file, bytes) = match read_patiently(read) {
            Ok((file, bytes)) => (Some(file), bytes),
            // The disk does not give it: as good as overwritten.
            Err(error) if is_unreadable(&error) => (None, Vec::new()),
            Err(source) => return Err(io_error("read", &path, source)),
        };
        let header = match SegmentHeader::decode(&bytes, number) {
            HeaderState::Good(header) => Some(header),
            HeaderState::Unreadable => None,
            HeaderState::UnknownVersion(version) => {
                return Err(JournalError::UnsupportedVersion {
                    path,
                    version,
                    supported: VERSION,
                });
            }
        };
        let has_data = match file {
            Some(file) if header.is_none() => match read_patiently(|| has_data(&*file)) {
                Err(error) if is_unreadable(&error) => true,
                has_data => has_data.map_err(|source| io_error("read", &path, source))?,
            },
            _ => true,
        };
        found.push(Found {
            number,
            size: entry.bytes,
            header,
            has_data,
        });
    }
    found.sort_by_key(|segment| segment.number);
    if let Some(last) = found.last_mut()
        && last.size < DATA_START
    {
        // Whatever there is of its headers, records it has none: it is begun anew, and what was cut
        // from it is counted.
        (last.header, last.has_data) = (None, false);
    }
    Ok(found)
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn has_data(file: &dyn env::File) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = DATA_START;
    loop {
        let read = file.read_full_at(&mut buffer, at)?;
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        if read < buffer.len() {
            return Ok(false);
        }
        at += read as u64;
    }
}

/// Removes a last segment whose creation a crash interrupted, and renames segments with data
/// but without a readable header, so that an operator can look at them.
fn set_aside_unreadable(
    env: &Env,
    dir: &Path,
    found: &mut Vec<Found>,
    damage: &mut Damage<'_>,
    number_min: &mut u64,
) -> Result<(), JournalError> {
    let last = found.last().map(|segment| segment.number);
    let mut kept = Vec::new();
    for segment in found.drain(..) {
        if segment.header.is_some() {
            kept.push(segment);
            continue;
        }
        let path = segment_path(dir, segment.number);
        if !segment.has_data && Some(segment.number) == last {
            damage.recovery.torn_bytes += segment.size;
            let removed = env.files.remove_file(&path);
            removed.map_err(|source| io_error("remove", &path, source))?;
            *number_min = (*number_min).max(segment.number);
            continue;
        }
        let mut aside = path.clone().into_os_string();
        aside.push(".quarantined");
        let renamed = env.files.rename(&path, Path::new(&aside));
        renamed.map_err(|source| io_error("set aside", &path, source))?;
        damage.recovery.quarantined_segments += 1;
        damage.recovery.corrupt_bytes += damage.lost(segment.number, 0, segment.size);
        // Its number had durable records: it must not be used again.
        *number_min = (*number_min).max(segment.number + 1);
        tracing::error!(
            segment = %path.display(),
            bytes = segment.size,
            "journal segment has no readable header; set aside as *.quarantined"
        );
    }
    *found = kept;
    Ok(())
}

/// Reads every record of a segment.
fn check_segment(
    env: &Env,
    dir: &Path,
    segment: &Found,
    header: &SegmentHeader,
    following: Option<&Found>,
    damage: &mut Damage<'_>,
) -> Result<Checked, JournalError> {
    let path = segment_path(dir, segment.number);
    let file = env
        .files
        .open(&path)
        .map_err(|source| io_error("open", &path, source))?;
    // The segment after this one says where this one was closed.
    let closed_at = following
        .filter(|next| next.number == segment.number + 1)
        .and_then(|next| next.header)
        .map(|next| next.previous_end)
        .filter(|end| *end > 0);
    let limit = closed_at.map_or(segment.size, |end| end.min(segment.size));
    let mut cursor = Cursor::new(file, header.seed(), DATA_START, limit).pass_holes();
    loop {
        match cursor
            .step()
            .map_err(|source| io_error("read", &path, source))?
        {
            Step::Record { at, next, .. } => {
                damage.recovery.records += 1;
                damage.recovery.record_bytes += next - at;
            }
            Step::Damaged { at, next } => damage.corrupt(&path, segment.number, at, next),
            Step::End { at, garbage_bytes } => {
                let hole_end = cursor.hole_end();
                let seen_to = hole_end.max(at + garbage_bytes);
                let written = closed_at.unwrap_or(0).max(seen_to);
                if following.is_none() && hole_end <= at {
                    damage.recovery.torn_bytes += garbage_bytes;
                } else if written > at {
                    damage.corrupt(&path, segment.number, at, written);
                }
                return Ok(Checked {
                    end: at,
                    written,
                    has_holes: hole_end > 0,
                });
            }
        }
    }
}

/// Segments that are gone between two that follow each other.
pub(crate) fn missing_between(segment: &Found, next: &Found) -> u64 {
    let gap_is_meant = next.header.is_some_and(|header| header.previous_end == 0);
    if gap_is_meant {
        return 0;
    }
    next.number - segment.number - 1
}

/// Counts what is found, and of damage what is still to be read.
struct Damage<'r> {
    read_from: Position,
    recovery: &'r mut Recovery,
}

impl Damage<'_> {
    /// How much of a damaged stretch is still to be read.
    fn lost(&self, segment: u64, from: u64, to: u64) -> u64 {
        let read_from = Position {
            segment,
            offset: from,
        }
        .max(self.read_from);
        if read_from.segment == segment {
            to.saturating_sub(read_from.offset)
        } else {
            0
        }
    }

    fn corrupt(&mut self, path: &Path, segment: u64, from: u64, to: u64) {
        let lost_bytes = self.lost(segment, from, to);
        let path = path.display();
        if lost_bytes == 0 {
            tracing::warn!(segment = %path, from, to, "journal is damaged where it is not read any more");
            return;
        }
        self.recovery.corrupt_regions += 1;
        self.recovery.corrupt_bytes += lost_bytes;
        tracing::error!(
            segment = %path,
            from,
            to,
            "journal is damaged; the records in this stretch are lost"
        );
    }
}

/// Opens the last segment for appending, cut after its last good record.
fn continue_segment(
    env: &Env,
    dir: &Path,
    segment: &Found,
    header: &SegmentHeader,
    end: u64,
) -> Result<Active, JournalError> {
    let path = segment_path(dir, segment.number);
    let file = env
        .files
        .open_write(&path)
        .map_err(|source| io_error("open", &path, source))?;
    if segment.size != end {
        file.set_size(end)
            .map_err(|source| io_error("cut", &path, source))?;
    }
    Ok(Active {
        number: segment.number,
        file: Arc::from(file),
        seed: header.seed(),
        written: end,
        allocated: end,
    })
}

fn report(dir: &Path, recovery: &Recovery) {
    if recovery.is_damaged() {
        tracing::error!(
            journal = %dir.display(),
            corrupt_regions = recovery.corrupt_regions,
            corrupt_bytes = recovery.corrupt_bytes,
            quarantined_segments = recovery.quarantined_segments,
            missing_segments = recovery.missing_segments,
            "journal opened with losses"
        );
    }
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            journal = %dir.display(),
            torn_bytes = recovery.torn_bytes,
            "cut an interrupted write from the end of the journal"
        );
    }
}
