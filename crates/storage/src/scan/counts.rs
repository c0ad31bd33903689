//! Rows counted by time and fields.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::groups::{Cells, Groups, check_fields};
use super::tally::{Place, Tally};
use super::{Opened, Scan, Stop, Unit, parallel};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::layout::{KnownKeys, KnownTemplates, MINUTE_NANOS, Summary};
use crate::message::{CountGroup, Counts, Reply, Selection};
use crate::table::{Damage, Mask, Table};

pub(super) fn run(
    scan: &Scan<'_>,
    selection: &Selection,
    step_nano: Option<u64>,
    by: &[Field],
    groups: usize,
) -> Result<(), Stop> {
    check_fields(by)?;
    let counting = Counting {
        scan,
        selection,
        filter: Compiled::new(&selection.filter, selection.signal)?,
        buckets: Buckets(step_nano.map(|step| step.max(1))),
        by,
        tally: Mutex::new(Tally::new(scan)),
    };
    let units = scan.units(selection);
    let rows = units.iter().map(Unit::rows).sum();
    let each = |known: &mut Known, unit: &Unit| counting.unit(known, unit);
    let (_, stopped) = parallel::over(&units, rows, each)?;
    let largest = counting.tally.into_inner().largest(groups);
    largest.note(scan, "groups", groups);
    let list = largest.groups.into_iter().map(|group| CountGroup {
        key: group.key,
        buckets: group.buckets,
    });
    scan.reply(Reply::Counts(Counts {
        groups: list.collect(),
        other: largest.rest,
    }))?;
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

/// What a thread knows from the block before.
#[derive(Default)]
struct Known {
    /// Its groups, and where they are.
    keys: KnownKeys,
    /// What templates of bodies tell of the words that are asked for.
    templates: KnownTemplates,
    places: (Arc<[Vec<String>]>, Vec<Place>),
}

/// What all threads count together. Each of them counts a unit for itself and then adds it, so that
/// a group that has no room has none on any thread.
struct Counting<'a> {
    scan: &'a Scan<'a>,
    selection: &'a Selection,
    filter: Compiled,
    buckets: Buckets,
    by: &'a [Field],
    tally: Mutex<Tally>,
}

impl Counting<'_> {
    /// Counts the matching rows of a unit.
    fn unit(&self, known: &mut Known, unit: &Unit) -> Result<(), Stop> {
        let (scan, selection, buckets) = (self.scan, self.selection, self.buckets);
        let (min_time, max_time, max_end) = unit.times();
        let (first, last) = (buckets.start(min_time), buckets.start(max_time));
        let inside =
            selection.range.contains(min_time) && selection.range.contains(max_time.max(max_end));
        scan.check()?;
        let all = matches!(self.filter, Compiled::All);
        if all {
            scan.name_damaged(unit);
        }
        if all && inside && self.by.is_empty() && first == last {
            // Every row counts, all in one bucket: the directory knows how many.
            self.add_all(first, unit.rows());
            return Ok(());
        }
        let Some(opened) = scan.undamaged(unit, scan.open(unit)) else {
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
            let counted = self.by_sums(known, &opened, start);
            if scan.undamaged(unit, counted).unwrap_or(true) {
                return Ok(());
            }
        }
        if let Some((opened, mask)) = scan.select_opened(opened, unit, selection, &self.filter)? {
            scan.undamaged(unit, self.table(opened.table(), &mask, (first, last)));
        }
        Ok(())
    }

    /// Counts by sums that a block holds, all of whose rows are in time; false where it holds none
    /// that tell. The bucket of a minute begins as `start` says.
    fn by_sums(
        &self,
        known: &mut Known,
        opened: &Opened,
        start: impl Fn(u64) -> u64,
    ) -> Result<bool, Damage> {
        let Opened::Block(block) = opened else {
            return Ok(false);
        };
        if matches!(self.filter, Compiled::All) {
            let summary = block.summary(self.by, &mut known.keys)?;
            return Ok(summary
                .map(|summary| self.minutes(known, &summary, start))
                .is_some());
        }
        if !self.by.is_empty() || !self.filter.is_of_bodies() {
            return Ok(false);
        }
        let decide = |literals: &[&[u8]]| self.filter.passes_bodies(literals);
        let passing = block.passing_bodies(decide, &mut known.templates)?;
        let Some(passing) = passing else {
            return Ok(false);
        };
        for (minute, rows) in passing {
            self.add_all(start(minute), rows);
        }
        Ok(true)
    }

    /// Counts rows without fields.
    fn add_all(&self, start: u64, rows: u64) {
        if rows > 0 {
            let mut tally = self.tally.lock();
            let place = tally.place::<&str>(&[]);
            tally.add(place, start, rows);
        }
    }

    /// Counts by minutes, each of which lies in the bucket that begins as `start` says.
    fn minutes(&self, known: &mut Known, summary: &Summary, start: impl Fn(u64) -> u64) {
        let mut tally = self.tally.lock();
        if !Arc::ptr_eq(&known.places.0, &summary.keys) {
            let places = summary.keys.iter().map(|key| tally.place(key)).collect();
            known.places = (Arc::clone(&summary.keys), places);
        }
        for (minute, group, rows) in &summary.cells {
            if *rows > 0 {
                tally.add(known.places.1[*group as usize], start(*minute), *rows);
            }
        }
    }

    /// Counts rows of a table, whose times lie in the buckets from `first` to `last`.
    fn table(
        &self,
        table: &dyn Table,
        mask: &Mask,
        (first, last): (u64, u64),
    ) -> Result<(), Damage> {
        if first == last {
            self.one_bucket(table, mask, first)
        } else {
            self.rows(table, mask, (first, last))
        }
    }

    /// Counts rows that lie in one bucket.
    fn one_bucket(&self, table: &dyn Table, mask: &Mask, start: u64) -> Result<(), Damage> {
        if self.by.is_empty() {
            self.add_all(start, mask.count() as u64);
            return Ok(());
        }
        let groups = Groups::new(table, mask, self.by)?;
        let mut counts = vec![0u64; groups.len()];
        if mask.is_full(table.rows()) {
            for group in &groups.of_row {
                counts[*group as usize] += 1;
            }
        } else {
            for row in mask.iter() {
                counts[groups.of_row[row] as usize] += 1;
            }
        }
        let mut tally = self.tally.lock();
        for (group, rows) in counts.into_iter().enumerate() {
            if rows > 0 {
                let place = tally.place(&groups.key(group));
                tally.add(place, start, rows);
            }
        }
        Ok(())
    }

    /// Counts rows by their times, which lie in the buckets from `first` to `last`.
    fn rows(
        &self,
        table: &dyn Table,
        mask: &Mask,
        (first, last): (u64, u64),
    ) -> Result<(), Damage> {
        let buckets = self.buckets;
        let times = table.times()?;
        let groups = Groups::new(table, mask, self.by)?;
        let width = groups.len();
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
        let mut tally = self.tally.lock();
        let mut places: Vec<Option<Place>> = vec![None; width];
        for (cell, rows) in cells.into_iter().filter(|(_, rows)| *rows > 0) {
            let (slot, group) = (cell / width, cell % width);
            let place = *places[group].get_or_insert_with(|| tally.place(&groups.key(group)));
            tally.add(place, starts[slot], u64::from(rows));
        }
        Ok(())
    }
}
