//! Where points of the selected series are: heads, and blocks of files, of which an index says which
//! series they have.

use std::ops::Range;
use std::sync::Arc;

use model::TimeRange;
use rustc_hash::FxHashSet;

use super::buckets::Day;
use super::{Search, Stop, Unit, Wanted, candidates};
use crate::downsampling::Resolution;
use crate::message::{BucketStats, Matcher};
use crate::partition::{BlockMeta, FileEntry, FileId, Partition};
use crate::points::Set;
use crate::points::head::PointHead;
use crate::points::labels::DELTA;
use crate::points::select::{TermSource, WhileWanted};
use crate::terms::need_of_matchers;

/// Series of a head that are read at once.
const HEAD_SERIES: usize = 1_024;

/// A place where points of selected series are.
pub(super) enum Place {
    /// These series of a head.
    Head {
        head: Arc<PointHead>,
        series: Vec<u32>,
    },
    /// These series of a block, by their place in the file.
    Block {
        file: Arc<FileEntry>,
        ordinal: usize,
        block: BlockMeta,
        /// All series of the block.
        among: Range<u32>,
        /// Those that are selected in all of the file.
        series: Arc<Set>,
        /// How many of them the block has.
        count: usize,
        /// How many of these are series of deltas.
        deltas: usize,
        /// Where it has buckets of samples, how long these are.
        buckets: Option<Resolution>,
    },
    /// The same of a block where the times of these series alone are wanted.
    Times {
        file: Arc<FileEntry>,
        ordinal: usize,
        among: Range<u32>,
        series: Arc<Set>,
        count: usize,
    },
    /// The same of a head.
    TimesOfHead {
        head: Arc<PointHead>,
        series: Vec<u32>,
    },
    /// A block that does not say which of its series may match.
    Unsorted(Unit),
}

impl Place {
    pub(super) fn rows(&self) -> u64 {
        match self {
            Place::Head { head, series } => {
                let in_head = u64::from(head.series().count()).max(1);
                head.rows() * series.len() as u64 / in_head
            }
            Place::Block {
                block,
                among,
                count,
                ..
            } => {
                let in_block = among.len().max(1) as u64;
                u64::from(block.rows) * *count as u64 / in_block
            }
            Place::Times { count, .. } => *count as u64,
            Place::TimesOfHead { series, .. } => series.len() as u64,
            Place::Unsorted(unit) => unit.rows(),
        }
    }

    /// How many series are read, or how many points of a place that does not tell. Of series whose
    /// times alone are wanted few have others than those before them.
    pub(super) fn series(&self) -> usize {
        match self {
            Place::Times { .. } | Place::TimesOfHead { .. } => 0,
            Place::Head { series, .. } => series.len(),
            Place::Block { count, .. } => *count,
            Place::Unsorted(unit) => usize::try_from(unit.rows()).unwrap_or(usize::MAX),
        }
    }

    /// About how many of the rows are in a range of time, or in another one where they are of deltas,
    /// if they are spread evenly.
    pub(super) fn rows_in(&self, range: TimeRange, of_deltas: TimeRange) -> u64 {
        let rows = self.rows();
        match self {
            Place::Head { head, .. } => share(rows, head.times(), range),
            Place::Block {
                block,
                count,
                deltas,
                ..
            } => {
                let times = (block.min_time, block.max_time);
                let rows_of_deltas = rows * *deltas as u64 / (*count).max(1) as u64;
                share(rows - rows_of_deltas, times, range) + share(rows_of_deltas, times, of_deltas)
            }
            Place::Times { .. } | Place::TimesOfHead { .. } => 0,
            Place::Unsorted(unit) => {
                let (min, max, _) = unit.times();
                share(rows, (min, max), range)
            }
        }
    }

    /// Which file of its partition it is of.
    fn file(&self) -> Option<FileId> {
        match self {
            Place::Block { file, .. }
            | Place::Times { file, .. }
            | Place::Unsorted(Unit::Block { file, .. }) => Some(file.id),
            Place::Head { .. } | Place::TimesOfHead { .. } | Place::Unsorted(_) => None,
        }
    }

    /// What tells the file or head from others.
    fn whole(&self) -> usize {
        match self {
            Place::Head { head, .. } | Place::TimesOfHead { head, .. } => Arc::as_ptr(head).addr(),
            Place::Block { file, .. } | Place::Times { file, .. } => Arc::as_ptr(file).addr(),
            Place::Unsorted(_) => 0,
        }
    }
}

/// How many files and heads these places are of, in which each comes once.
pub(super) fn wholes(places: &[Place]) -> usize {
    let changes = |pair: &[Place]| pair[0].whole() != pair[1].whole();
    1 + places.windows(2).filter(|pair| changes(pair)).count()
}

/// How many series the file or head has that has most of them.
pub(super) fn most_series(places: &[Place]) -> usize {
    let of_one = places.chunk_by(|one, next| one.whole() == next.whole());
    let counts = of_one.map(|parts| parts.iter().map(Place::series).sum());
    counts.max().unwrap_or(0)
}

/// How many of the rows of some time are in a range.
fn share(rows: u64, (min, max): (u64, u64), range: TimeRange) -> u64 {
    let (first, end) = (range.start.max(min), range.end.min(max.saturating_add(1)));
    let all = u128::from(max.saturating_sub(min)) + 1;
    let inside = u128::from(rows) * u128::from(end.saturating_sub(first)) / all;
    u64::try_from(inside).unwrap_or(u64::MAX)
}

fn overlaps(block: &BlockMeta, range: TimeRange) -> bool {
    range.overlaps(block.min_time, block.max_time)
}

impl Search<'_> {
    /// The blocks of a partition that may hold selected series, in the order of the flushes; of one
    /// whose day is answered from buckets those that came later.
    pub(super) fn places_of(
        &self,
        partition: &Partition,
        day: Option<&Day>,
        matchers: &[Matcher],
        places: &mut Vec<Place>,
    ) -> Result<(), Stop> {
        let wanted = |file: &FileEntry| day.is_none_or(|day| day.lacks(file));
        let before = places.len();
        // Files without an index of their series. What the system refused once it may give the next
        // time, so these are looked at without one whatever it says then.
        let mut unsorted: FxHashSet<u64> = FxHashSet::default();
        for file in partition.files.iter().filter(|file| wanted(file)) {
            if !self.places_in(file, None, places)? {
                unsorted.insert(file.serial);
            }
        }
        if !unsorted.is_empty() {
            let need = need_of_matchers(matchers);
            let mut found = candidates::Found::default();
            let wanted = candidates::Wanted::all(&need);
            candidates::of_partition(partition, self.of_deltas, &wanted, &mut found);
            self.scan.account.lock().unread_files += found.unread;
            let is_unsorted = |unit: &Unit| match unit {
                Unit::Block { file, .. } => unsorted.contains(&file.serial),
                _ => false,
            };
            let units = found.units.into_iter().filter(is_unsorted);
            places.extend(units.map(Place::Unsorted));
            // Of points at one time the one counts that was stored last.
            places[before..].sort_by_key(Place::file);
        }
        Ok(())
    }

    /// The series that are read, and those of which the times are enough: that say when their target
    /// was there, and nothing else that may match.
    fn selected(&self, terms: &dyn TermSource) -> (Set, Set) {
        if self.wanted == Wanted::Samples {
            self.selector.own_and_others(terms)
        } else {
            (self.selector.series(terms), Set::default())
        }
    }

    /// The series of a head that may match, in parts that threads share.
    pub(super) fn places_of_head(
        &self,
        head: &Arc<PointHead>,
        places: &mut Vec<Place>,
    ) -> Result<(), Stop> {
        let (min, max) = head.times();
        if !self.of_deltas.overlaps(min, max) {
            return Ok(());
        }
        let wanted = || self.scan.check().is_ok();
        let (own, others) = head.terms(|terms| self.selected(&WhileWanted::new(terms, &wanted)));
        self.scan.check()?;
        let parts = |series: Set| -> Vec<Vec<u32>> {
            let series: Vec<u32> = series.iter().collect();
            series.chunks(HEAD_SERIES).map(<[u32]>::to_vec).collect()
        };
        places.extend(parts(own).into_iter().map(|series| Place::Head {
            head: Arc::clone(head),
            series,
        }));
        places.extend(parts(others).into_iter().map(|series| Place::TimesOfHead {
            head: Arc::clone(head),
            series,
        }));
        Ok(())
    }

    /// The blocks of buckets of a day, which the answer then says it is made of.
    pub(super) fn places_of_buckets(&self, day: &Day, places: &mut Vec<Place>) -> Result<(), Stop> {
        let before = places.len();
        self.scan.account.lock().unread_files += day.kept.unread.len() as u64;
        for file in &day.kept.files {
            if !self.places_in(file, Some(day.resolution), places)? {
                self.places_in_blocks(file, day.resolution, places);
            }
        }
        if places.len() > before {
            self.scan.downsampled(BucketStats {
                longest_ms: day.resolution.milliseconds(),
                until_unix_nano: day.kept.day_unix_nano().1,
                points: false,
            });
        }
        Ok(())
    }

    /// The same of a file of buckets without an index, whose series are looked at one by one.
    fn places_in_blocks(
        &self,
        entry: &Arc<FileEntry>,
        resolution: Resolution,
        places: &mut Vec<Place>,
    ) {
        let (_, range) = self.ranges(Some(resolution));
        let Some(file) = self.scan.open_file(entry) else {
            return;
        };
        for (ordinal, meta) in file.blocks.iter().enumerate() {
            if !overlaps(meta, range) {
                continue;
            }
            let known = self.known.as_deref();
            let block = self.scan.core.blocks.open(entry, ordinal, known);
            let Some(block) = self.scan.undamaged_at(Some((entry, ordinal)), block) else {
                continue;
            };
            let series = (0..).zip(&block.series);
            let may = series.filter(|(_, entry)| self.matchers.may_match(&entry.series()));
            let may = Set::of(&mut may.map(|(at, _)| at).collect::<Vec<u32>>());
            places.push(Place::Block {
                file: Arc::clone(entry),
                ordinal,
                block: *meta,
                among: 0..u32::try_from(block.series.len()).unwrap_or(u32::MAX),
                count: may.iter().count(),
                series: Arc::new(may),
                deltas: 0,
                buckets: Some(resolution),
            });
        }
    }

    /// The blocks of a file that may hold selected series; false where it does not say which.
    fn places_in(
        &self,
        entry: &Arc<FileEntry>,
        buckets: Option<Resolution>,
        places: &mut Vec<Place>,
    ) -> Result<bool, Stop> {
        let (range, of_deltas) = self.ranges(buckets);
        if !of_deltas.overlaps(entry.min_time, entry.max_time) {
            return Ok(true);
        }
        self.scan.check()?;
        let Some(file) = self.scan.open_file(entry) else {
            return Ok(true);
        };
        let found = file.with_series(|index| {
            let wanted = || self.scan.check().is_ok();
            let (mut selected, mut others) = self.selected(&WhileWanted::new(index, &wanted));
            // Of buckets there are few.
            if buckets.is_some() {
                selected = Set::union([selected, std::mem::take(&mut others)]);
            }
            let deltas = index.find(&[DELTA]).intersection(&selected);
            ((selected, others, deltas), index.blocks())
        });
        let Some(((selected, others, deltas), of_blocks)) = found else {
            return Ok(false);
        };
        self.scan.check()?;
        if selected.is_empty() && others.is_empty() {
            return Ok(true);
        }
        let [selected, others, deltas] = [selected, others, deltas].map(Arc::new);
        for (ordinal, (block, series)) in file.blocks.iter().zip(of_blocks).enumerate() {
            let count = others.count_within(series.clone());
            if count > 0 && overlaps(block, range) {
                places.push(Place::Times {
                    file: Arc::clone(entry),
                    ordinal,
                    among: series.clone(),
                    series: Arc::clone(&others),
                    count,
                });
            }
            let wanted = if overlaps(block, range) {
                &selected
            } else if overlaps(block, of_deltas) {
                &deltas
            } else {
                continue;
            };
            let count = wanted.count_within(series.clone());
            if count > 0 {
                places.push(Place::Block {
                    file: Arc::clone(entry),
                    ordinal,
                    block: *block,
                    among: series.clone(),
                    series: Arc::clone(wanted),
                    count,
                    deltas: deltas.count_within(series.clone()),
                    buckets,
                });
            }
        }
        Ok(true)
    }
}
