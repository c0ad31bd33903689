//! Which files are merged when.
//!
//! Files are of a tier by their size, each tier [`FAN`] times as large as the one before. In a
//! partition that still gets rows, [`FAN`] neighbours of a tier or below are merged into one: a row
//! is copied about once per tier, and a partition has about [`FAN`] files of each. In a partition
//! that gets no more rows, any two neighbours are merged. In neither case is a file written again
//! for the sake of much smaller ones: rows that trickle in must not have the whole partition
//! written over and over. A file that is large enough stays as it is, and splits the partition
//! into runs. What is large enough goes by what retention keeps, too: files are what it drops, so
//! there must be several of them within its bound. Nor is anything merged across the last flush of a
//! file of buckets ([`crate::downsampling`]): once some rows of a day were dropped, what came after
//! that flush has to be told from what the buckets were made of.

use std::ops::Range;
use std::sync::Arc;

use model::Signal;

use crate::partition::{FileEntry, FileId, Partition, day_of};
use crate::retention::Retention;

/// Files that become one, at least, and by how much tiers differ.
const FAN: usize = 8;
/// The same of points: each file has every series again, which is most of what a small one takes.
const FAN_OF_POINTS: usize = 3;
/// Files that become one, at most.
const FILES_MAX: usize = 64;
/// The largest file of the first tier.
const FIRST_TIER_BYTES: u64 = 64 << 10;
/// No file becomes larger than this by merging, and one of half as much is large enough.
const BYTES_MAX: u64 = 512 << 20;
/// The same where retention keeps so many times as much.
const FILES_OF_BOUND: u64 = 8;
/// The same for id tables, which are in memory while they are merged.
const IDS_BYTES_MAX: u64 = 20 << 20;
/// A partition of a day before this one gets no more rows once none came for so long.
const QUIET_NANOS: u64 = 3_600 * model::time::NANOS_PER_SECOND;
/// The largest file may have so many times the bytes of the others together, where rows may still
/// come and where they do not, ...
const LOPSIDED: u64 = 1;
const LOPSIDED_CLOSED: u64 = 4;
/// ... unless it is this small.
const LARGE_BYTES: u64 = 256 << 10;

/// Whether a partition gets no more rows, as far as one can tell.
pub(crate) fn is_closed(partition: &Partition, now_unix_nano: u64) -> bool {
    let quiet = partition.added_unix_nano.saturating_add(QUIET_NANOS) <= now_unix_nano;
    quiet && partition.key.day < day_of(now_unix_nano)
}

/// When neighbours are worth a merge.
#[derive(Clone, Copy)]
struct Rule {
    /// Files at least.
    least: usize,
    lopsided: u64,
    /// No file becomes larger, and one of half as much is large enough.
    bytes_max: u64,
}

impl Rule {
    fn of(partition: &Partition, now_unix_nano: u64, retention: &Retention) -> Self {
        let key = &partition.key;
        let bound = retention.bytes(&key.tenant, key.signal);
        let bytes_max = bound.map_or(BYTES_MAX, |bound| BYTES_MAX.min(bound / FILES_OF_BOUND));
        if is_closed(partition, now_unix_nano) {
            return Self {
                least: 2,
                lopsided: LOPSIDED_CLOSED,
                bytes_max,
            };
        }
        let least = match partition.key.signal {
            Signal::Metrics => FAN_OF_POINTS,
            _ => FAN,
        };
        Self {
            least,
            lopsided: LOPSIDED,
            bytes_max,
        }
    }
}

/// The files of a partition that are to be merged next, if any; `bucketed` are the last flushes of
/// files of buckets.
pub(crate) fn pick(
    partition: &Partition,
    bucketed: &[u64],
    now_unix_nano: u64,
    retention: &Retention,
) -> Option<Range<usize>> {
    let rule = Rule::of(partition, now_unix_nano, retention);
    let runs = runs(partition, bucketed, rule);
    let tiers = runs.iter().flat_map(|run| &partition.files[run.clone()]);
    let last = tiers.map(|file| tier(file)).max()?;
    (0..=last).find_map(|most| {
        let mut found = None;
        for run in &runs {
            let mut at = run.start;
            let files = &partition.files;
            for part in files[run.clone()].split(|file| tier(file) > most) {
                found = found.or_else(|| window(part, at, rule));
                at += part.len() + 1;
            }
        }
        found
    })
}

/// The files that wait to be merged: those of the next merge of each partition and of all that
/// would follow it at once.
pub(crate) fn waiting(
    partition: &Partition,
    bucketed: &[u64],
    now_unix_nano: u64,
    retention: &Retention,
) -> (u64, u64) {
    let rule = Rule::of(partition, now_unix_nano, retention);
    let (mut count, mut bytes) = (0, 0);
    for run in runs(partition, bucketed, rule) {
        let files = &partition.files[run];
        let last = files.iter().map(|file| tier(file)).max().unwrap_or(0);
        let due = (0..=last).rev().find_map(|most| {
            let parts = files.split(|file| tier(file) > most);
            let due = parts.filter(|part| window(part, 0, rule).is_some());
            let due: Vec<&FileEntry> = due.flatten().map(|file| &**file).collect();
            (!due.is_empty()).then_some(due)
        });
        for file in due.into_iter().flatten() {
            count += 1;
            bytes += file.size_bytes;
        }
    }
    (count, bytes)
}

/// Runs of files that may be merged: nothing between them that cannot be read or is large enough,
/// and no end of what is in buckets.
fn runs(partition: &Partition, bucketed: &[u64], rule: Rule) -> Vec<Range<usize>> {
    let files = &partition.files;
    let alone = |file: &FileEntry| {
        let unread = |id: &FileId| file.id.overlaps(*id);
        // Earlier builds wrote points as rows; those files stay as they are.
        let of_rows = partition.key.signal == Signal::Metrics && !file.has_series;
        file.size_bytes >= rule.bytes_max / 2
            || file.ids_bytes >= IDS_BYTES_MAX / 2
            || of_rows
            || file.is_damaged()
            || partition.apart().any(unread)
    };
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, file) in files.iter().enumerate() {
        if alone(file) {
            continue;
        }
        let joins = |run: &Range<usize>| {
            let last = files[run.end - 1].id.last;
            let between = last + 1..file.id.first;
            let unread = |id: &FileId| id.first < between.end && id.last >= between.start;
            let ends = |flush: &u64| (last..file.id.first).contains(flush);
            run.end == at && !partition.apart().any(unread) && !bucketed.iter().any(ends)
        };
        match runs.last_mut() {
            Some(run) if joins(run) => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// The first neighbours of a list, which begins at `start`, that are worth a merge.
fn window(files: &[Arc<FileEntry>], start: usize, rule: Rule) -> Option<Range<usize>> {
    let mut begin = 0;
    while files.len() - begin >= 2 {
        let (mut bytes, mut ids_bytes, mut largest) = (0, 0, 0);
        let mut end = begin;
        for file in files[begin..].iter().take(FILES_MAX) {
            if bytes + file.size_bytes > rule.bytes_max
                || ids_bytes + file.ids_bytes > IDS_BYTES_MAX
            {
                break;
            }
            bytes += file.size_bytes;
            ids_bytes += file.ids_bytes;
            largest = largest.max(file.size_bytes);
            end += 1;
        }
        let even = largest <= LARGE_BYTES || largest <= rule.lopsided * (bytes - largest);
        // What comes of them is merged no more, so no others need to be waited for.
        let full = end - begin >= 2 && end < files.len() && bytes >= rule.bytes_max / 2;
        if (end - begin >= rule.least || full) && even {
            return Some(start + begin..start + end);
        }
        begin += 1;
    }
    None
}

fn tier(file: &FileEntry) -> u32 {
    let units = (file.size_bytes / FIRST_TIER_BYTES).max(1);
    units.ilog2() / FAN.ilog2()
}
