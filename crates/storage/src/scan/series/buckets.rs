//! Which days are answered from buckets instead of samples, and what is read of these.

use std::sync::Arc;

use model::{Tenant, TimeRange};

use super::join::{Numbers, Part};
use super::{Search, Wanted};
use crate::downsampling::{Resolution, last_flush};
use crate::message::{Aggregate, BucketStats, Rollup, STALE_NAN_BITS};
use crate::partition::{FileEntry, Partition, PartitionKey};
use crate::points::block::{ChunkPlace, PointBlock};
use crate::points::reduce::Held;
use crate::store::View;
use crate::table::Damage;

const NANOS_PER_MS: u64 = 1_000_000;

/// A day that is answered from buckets.
pub(in crate::scan) struct Day {
    pub(super) day: u32,
    pub(super) resolution: Resolution,
    pub(in crate::scan) kept: Arc<Partition>,
}

impl Day {
    /// Whether rows of a file came after what the buckets were made from. Where it has others,
    /// too, those are read twice until the buckets are made anew, which is better than not at all.
    pub(super) fn lacks(&self, file: &FileEntry) -> bool {
        file.id.last > last_flush(&self.kept)
    }
}

/// The range of buckets for one of samples. It begins earlier where the last sample of each is wanted:
/// that stands for what follows until the next bucket ends.
pub(super) fn range_in(range: TimeRange, rollup: Rollup, resolution: Resolution) -> TimeRange {
    let before = match rollup.aggregate {
        Aggregate::Last => resolution.milliseconds() * NANOS_PER_MS,
        _ => 0,
    };
    TimeRange {
        start: range.start.saturating_sub(before),
        ..range
    }
}

/// The days of a tenant that overlap the range and are answered from buckets.
pub(in crate::scan) fn days(
    view: &View,
    tenant: &Tenant,
    range: TimeRange,
    rollup: Rollup,
) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for (key, kept) in view.downsampled.iter() {
        let Some(resolution) = key.resolution else {
            continue;
        };
        let range = range_in(range, rollup, resolution);
        let overlaps = |file: &Arc<FileEntry>| range.overlaps(file.min_time, file.max_time);
        // What does not read may have buckets of any time, as its day has rows.
        let may_overlap = !kept.unread.is_empty() || kept.files.iter().any(overlaps);
        if key.tenant != *tenant || !may_overlap {
            continue;
        }
        let of_rows = PartitionKey {
            resolution: None,
            ..key.clone()
        };
        let raw = view.partitions.get(&of_rows);
        let fits = resolution.milliseconds() <= rollup.resolution_ms;
        let whole = raw.is_some_and(|raw| is_whole(raw, kept));
        let mixed = raw.is_some_and(|raw| is_mixed(raw, kept));
        if whole && (mixed || !fits || !kept.unread.is_empty()) {
            continue;
        }
        let day = Day {
            day: key.day,
            resolution,
            kept: Arc::clone(kept),
        };
        // The catalog has the finest of a tenant first: of several that fit the coarsest is read,
        // of those that do not, but are all that is left, the finest; unless it lacks rows.
        let last = last_flush(kept);
        match days.iter_mut().find(|known| known.day == key.day) {
            Some(known) if !whole && last < last_flush(&known.kept) => {}
            Some(known) if fits || last > last_flush(&known.kept) => *known = day,
            Some(_) => {}
            None => days.push(day),
        }
    }
    days
}

/// Whether the rows that buckets were made from are still there.
fn is_whole(raw: &Partition, kept: &Partition) -> bool {
    let first = |files: &[Arc<FileEntry>]| files.first().map_or(u64::MAX, |file| file.id.first);
    raw.apart().next().is_none() && first(&raw.files) <= first(&kept.files)
}

/// Whether any file has rows that buckets were made from and others that came later.
fn is_mixed(raw: &Partition, kept: &Partition) -> bool {
    let last = last_flush(kept);
    let mixed = |file: &Arc<FileEntry>| file.id.first <= last && file.id.last > last;
    raw.files.iter().any(mixed)
}

impl Search<'_> {
    /// Reads a block of buckets, of which `first` is the place of its first series in the file.
    pub(super) fn read_buckets(
        &self,
        number: usize,
        (file, ordinal, length): (&FileEntry, usize, Resolution),
        first: u32,
        series: &[u32],
    ) -> Result<(), Damage> {
        let known = self.known.as_deref();
        let block = self.scan.core.blocks.open(file, ordinal, known)?;
        let (mut rows, mut points) = (0, false);
        let (mut parts, mut found) = (Vec::new(), Vec::with_capacity(series.len()));
        self.each_of(&block, (first, series), |at, entry| {
            self.parts_of(&block, at, self.range_of(entry, Some(length)), &mut parts)?;
            for part in parts.drain(..) {
                rows += part.rows();
                points |= matches!(part, Part::Points(_));
                found.push((entry, part));
            }
            Ok(())
        })?;
        self.scan.account(1, rows, rows * 8);
        self.add_whole(number, &block, found)?;
        if points {
            self.scan.downsampled(BucketStats {
                points,
                ..BucketStats::default()
            });
        }
        Ok(())
    }

    /// What is wanted of the buckets of a series of a block.
    fn parts_of(
        &self,
        block: &PointBlock,
        series: u32,
        range: TimeRange,
        parts: &mut Vec<Part>,
    ) -> Result<(), Damage> {
        let entry = &block.series[series as usize];
        let chunks = block.chunks_of(series);
        if self.wanted == Wanted::Nothing {
            for chunk in chunks {
                let times = block.times(chunk)?;
                if times.iter().any(|time| range.contains(*time)) {
                    parts.push(Part::Nothing);
                    break;
                }
            }
            return Ok(());
        }
        for chunk in chunks.iter().filter(|chunk| chunk.held == Held::Sent) {
            let points = block.points(chunk)?;
            parts.extend(self.part_of(entry, points, range, &mut Arc::default()));
        }
        let numbers: Vec<Numbers> = match self.rollup.aggregate {
            Aggregate::Last => columns(block, chunks, Held::Last)?,
            Aggregate::Min => columns(block, chunks, Held::Min)?,
            Aggregate::Max => columns(block, chunks, Held::Max)?,
            Aggregate::Sum => columns(block, chunks, Held::Sum)?,
            Aggregate::Average => {
                let sums = columns(block, chunks, Held::Sum)?;
                let counts = columns(block, chunks, Held::Count)?;
                let pairs = sums.into_iter().zip(counts);
                pairs.map(|(sum, count)| sum.with_counts(count)).collect()
            }
            Aggregate::Ends => vec![ends(block, chunks, false)?],
            Aggregate::Counter => vec![ends(block, chunks, true)?],
        };
        let inside = numbers
            .into_iter()
            .map(|numbers| self.wanted_of(numbers, range));
        let some = inside.filter(|numbers| !numbers.is_empty());
        parts.extend(some.map(Part::Numbers));
        Ok(())
    }
}

fn columns(block: &PointBlock, chunks: &[ChunkPlace], held: Held) -> Result<Vec<Numbers>, Damage> {
    let mut found = Vec::new();
    for chunk in chunks.iter().filter(|chunk| chunk.held == held) {
        if let Some((values, empty)) = block.doubles(chunk, STALE_NAN_BITS)? {
            found.push(Numbers::new(Arc::clone(block.times(chunk)?), values, empty));
        }
    }
    Ok(found)
}

/// The first and last values of all buckets, and what lies between them for counters.
fn ends(block: &PointBlock, chunks: &[ChunkPlace], peaks: bool) -> Result<Numbers, Damage> {
    let mut samples: Vec<(u64, f64)> = Vec::new();
    for numbers in columns(block, chunks, Held::First)? {
        samples.extend(numbers.pairs());
    }
    if peaks {
        for numbers in columns(block, chunks, Held::Peak)? {
            for (time, peak) in numbers.pairs() {
                samples.push((time.saturating_add(NANOS_PER_MS), peak));
                samples.push((time.saturating_add(2 * NANOS_PER_MS), 0.0));
            }
        }
    }
    for numbers in columns(block, chunks, Held::Last)? {
        samples.extend(numbers.pairs());
    }
    // A bucket of one sample has it as its first and its last.
    samples.sort_by_key(|(time, _)| *time);
    samples.dedup_by_key(|(time, _)| *time);
    let (times, values): (Vec<u64>, Vec<f64>) = samples.into_iter().unzip();
    Ok(Numbers::new(times.into(), values, Vec::new()))
}
