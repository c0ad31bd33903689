//! Rows counted by time and fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Cells, Groups, Opened, Scan, Stop, Unit, parallel};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::layout::{KnownKeys, KnownTemplates, MINUTE_NANOS, Summary};
use crate::message::{Count, Reply, Selection};
use crate::table::{Damage, Mask, Table};

/// Groups held while counting, over all buckets; more are cut.
const CELLS_MAX: usize = 1_000_000;

/// What one thread counted, by group and bucket.
#[derive(Default)]
struct Counted {
    /// Where the group of a key is.
    places: FxHashMap<Vec<String>, usize>,
    groups: Vec<FxHashMap<u64, u64>>,
    /// Buckets of all groups.
    cells: usize,
    /// Groups of the block before, and where they are.
    known: KnownKeys,
    /// What templates of bodies tell of the words that are asked for.
    templates: KnownTemplates,
    known_places: (Arc<[Vec<String>]>, Vec<usize>),
}

pub(super) fn run(
    scan: &Scan<'_>,
    selection: &Selection,
    step_nano: Option<u64>,
    by: &[Field],
    groups: usize,
) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let buckets = Buckets(step_nano.map(|step| step.max(1)));
    let units = scan.units(selection);
    let each = |counted: &mut Counted, unit: &Unit| {
        counted.unit(scan, selection, &filter, (buckets, by), unit)?;
        if counted.cells > CELLS_MAX {
            let hint = "group by fewer values or use a wider step";
            scan.cut("groups", CELLS_MAX, hint);
            return Err(Stop::Limit);
        }
        Ok(())
    };
    let (threads, stopped) = parallel::over(&units, units.iter().map(Unit::rows).sum(), each)?;
    let mut all = Counted::default();
    for counted in threads {
        for (key, place) in counted.places {
            for (start, count) in &counted.groups[place] {
                all.add(&key, *start, *count);
            }
        }
    }
    let counts = largest(scan, all, groups);
    scan.reply(Reply::Counts(counts))?;
    stopped
}

/// Buckets of time, or one for all of it.
#[derive(Clone, Copy)]
struct Buckets(Option<u64>);

impl Buckets {
    fn start(self, time: u64) -> u64 {
        self.0.map_or(0, |step| time - time % step)
    }

    /// How many there are from one to another, given by their starts.
    fn between(self, first: u64, last: u64) -> usize {
        let steps = self.0.map_or(0, |step| (last - first) / step);
        usize::try_from(steps).map_or(usize::MAX, |steps| steps.saturating_add(1))
    }

    /// Whether each minute lies in one bucket.
    fn hold_minutes(self) -> bool {
        self.0.is_none_or(|step| step.is_multiple_of(MINUTE_NANOS))
    }

    /// The first time after the bucket with this start.
    fn end(self, start: u64) -> u64 {
        self.0.map_or(u64::MAX, |step| start.saturating_add(step))
    }
}

impl Counted {
    fn place(&mut self, key: &[String]) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = self.groups.len();
        self.groups.push(FxHashMap::default());
        self.places.insert(key.to_vec(), place);
        place
    }

    fn add(&mut self, key: &[String], start: u64, count: u64) {
        if count > 0 {
            let place = self.place(key);
            self.add_at(place, start, count);
        }
    }

    fn add_at(&mut self, place: usize, start: u64, count: u64) {
        let cells = &mut self.groups[place];
        let before = cells.len();
        *cells.entry(start).or_default() += count;
        self.cells += cells.len() - before;
    }

    /// Counts the matching rows of a unit.
    fn unit(
        &mut self,
        scan: &Scan<'_>,
        selection: &Selection,
        filter: &Compiled,
        (buckets, by): (Buckets, &[Field]),
        unit: &Unit,
    ) -> Result<(), Stop> {
        let (min_time, max_time, max_end) = unit.times();
        let (first, last) = (buckets.start(min_time), buckets.start(max_time));
        let inside =
            selection.range.contains(min_time) && selection.range.contains(max_time.max(max_end));
        scan.check()?;
        if matches!(filter, Compiled::All) && inside && by.is_empty() && first == last {
            // Every row counts, all in one bucket: the directory knows how many.
            self.add(&[], first, unit.rows());
            return Ok(());
        }
        let Some(opened) = scan.undamaged(scan.open(unit)) else {
            return Ok(());
        };
        if inside && (first == last || buckets.hold_minutes()) {
            let start = |minute| {
                if first == last {
                    first
                } else {
                    buckets.start(minute)
                }
            };
            let counted = self.by_sums(&opened, filter, by, start);
            if scan.undamaged(counted).unwrap_or(true) {
                return Ok(());
            }
        }
        if let Some((opened, mask)) = scan.select_opened(opened, unit, selection, filter)? {
            let counted = self.table(opened.table(), &mask, by, (buckets, first, last));
            scan.undamaged(counted);
        }
        Ok(())
    }

    /// Counts by sums that a block holds, all of whose rows are in time; false where it holds none
    /// that tell. The bucket of a minute begins as `start` says.
    fn by_sums(
        &mut self,
        opened: &Opened,
        filter: &Compiled,
        by: &[Field],
        start: impl Fn(u64) -> u64,
    ) -> Result<bool, Damage> {
        let Opened::Block(block) = opened else {
            return Ok(false);
        };
        if matches!(filter, Compiled::All) {
            let summary = block.summary(by, &mut self.known)?;
            return Ok(summary
                .map(|summary| self.minutes(&summary, start))
                .is_some());
        }
        if !by.is_empty() || !filter.is_of_bodies() {
            return Ok(false);
        }
        let decide = |literals: &[&[u8]]| filter.passes_bodies(literals);
        let passing = block.passing_bodies(decide, &mut self.templates)?;
        let Some(passing) = passing else {
            return Ok(false);
        };
        for (minute, rows) in passing {
            self.add(&[], start(minute), rows);
        }
        Ok(true)
    }

    /// Counts by minutes, each of which lies in the bucket that begins as `start` says.
    fn minutes(&mut self, summary: &Summary, start: impl Fn(u64) -> u64) {
        if !Arc::ptr_eq(&self.known_places.0, &summary.keys) {
            let places = summary.keys.iter().map(|key| self.place(key)).collect();
            self.known_places = (Arc::clone(&summary.keys), places);
        }
        for (minute, group, rows) in &summary.cells {
            let place = self.known_places.1[*group as usize];
            if *rows > 0 {
                self.add_at(place, start(*minute), *rows);
            }
        }
    }

    /// Counts rows of a table, whose times lie in the buckets from `first` to `last`.
    fn table(
        &mut self,
        table: &dyn Table,
        mask: &Mask,
        by: &[Field],
        (buckets, first, last): (Buckets, u64, u64),
    ) -> Result<(), Damage> {
        if first == last {
            self.one_bucket(table, mask, by, first)
        } else {
            self.rows(table, mask, by, (buckets, first, last))
        }
    }

    /// Counts rows that lie in one bucket.
    fn one_bucket(
        &mut self,
        table: &dyn Table,
        mask: &Mask,
        by: &[Field],
        start: u64,
    ) -> Result<(), Damage> {
        if by.is_empty() {
            self.add(&[], start, mask.count() as u64);
            return Ok(());
        }
        let groups = Groups::new(table, mask, by)?;
        let mut counts = vec![0u64; groups.keys.len()];
        if mask.is_full(table.rows()) {
            for group in &groups.of_row {
                counts[*group as usize] += 1;
            }
        } else {
            for row in mask.iter() {
                counts[groups.of_row[row] as usize] += 1;
            }
        }
        for (key, count) in groups.keys.iter().zip(counts) {
            self.add(key, start, count);
        }
        Ok(())
    }

    /// Counts rows by their times, which lie in the buckets from `first` to `last`.
    fn rows(
        &mut self,
        table: &dyn Table,
        mask: &Mask,
        by: &[Field],
        (buckets, first, last): (Buckets, u64, u64),
    ) -> Result<(), Damage> {
        let times = table.times()?;
        let groups = Groups::new(table, mask, by)?;
        let width = groups.keys.len();
        let mut starts: Vec<u64> = Vec::new();
        let mut slots: FxHashMap<u64, usize> = FxHashMap::default();
        let mut cells = Cells::new(buckets.between(first, last).saturating_mul(width), 0);
        // Rows of one bucket come one after the other, mostly.
        let (mut range, mut slot) = (0..0, 0);
        for row in mask.iter() {
            let time = times[row];
            if !range.contains(&time) {
                let start = buckets.start(time);
                range = start..buckets.end(start);
                slot = *slots.entry(start).or_insert_with(|| {
                    starts.push(start);
                    starts.len() - 1
                });
            }
            *cells.at(slot * width + groups.of_row[row] as usize) += 1;
        }
        for (cell, count) in cells.into_iter().filter(|(_, count)| *count > 0) {
            let key = &groups.keys[cell % width];
            self.add(key, starts[cell / width], u64::from(count));
        }
        Ok(())
    }
}

/// The buckets of the largest groups, by group and time.
fn largest(scan: &Scan<'_>, counted: Counted, groups: usize) -> Vec<Count> {
    let sorted = |(key, place): (Vec<String>, usize)| {
        let cells = counted.groups[place].iter();
        let cells: BTreeMap<u64, u64> = cells.map(|(at, count)| (*at, *count)).collect();
        (key, (cells.values().sum::<u64>(), cells))
    };
    let mut list: Vec<_> = counted.places.into_iter().map(sorted).collect();
    list.retain(|(_, (total, _))| *total > 0);
    list.sort_by(|a, b| a.0.cmp(&b.0));
    if list.len() > groups {
        scan.cut(
            "groups",
            groups,
            "the smallest groups are left out; raise the limit",
        );
        list.sort_by_key(|(_, (total, _))| std::cmp::Reverse(*total));
        list.truncate(groups);
        list.sort_by(|a, b| a.0.cmp(&b.0));
    }
    list.into_iter()
        .flat_map(|(key, (_, buckets))| {
            buckets
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(move |(start, count)| Count {
                    start_unix_nano: start,
                    key: key.clone(),
                    count,
                })
        })
        .collect()
}
