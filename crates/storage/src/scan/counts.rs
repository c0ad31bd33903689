//! Rows counted by time and fields.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{Cells, Groups, Scan, Stop, Unit, parallel};
use crate::eval::Compiled;
use crate::filter::{Field, Filter};
use crate::message::{Count, Reply, Selection};
use crate::table::{Damage, Mask, Table};

/// Groups held while counting, over all buckets; more are cut.
const CELLS_MAX: usize = 1_000_000;

/// What one thread counted, by group and bucket.
#[derive(Default)]
struct Counted(FxHashMap<(Vec<String>, u64), u64>);

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
        let (min_time, max_time, max_end) = unit.times();
        let inside =
            selection.range.contains(min_time) && selection.range.contains(max_time.max(max_end));
        let (first, last) = (buckets.start(min_time), buckets.start(max_time));
        if selection.filter == Filter::All && by.is_empty() && inside && first == last {
            // Every row counts, and all into one bucket: the directory knows how many.
            scan.check()?;
            counted.add(Vec::new(), first, unit.rows());
            return Ok(());
        }
        if let Some((opened, mask)) = scan.select(unit, selection, &filter)? {
            let table = opened.table();
            let rows = if first == last {
                counted.one_bucket(table, &mask, by, first)
            } else {
                counted.rows(table, &mask, by, (buckets, first, last))
            };
            scan.undamaged(rows);
        }
        if counted.0.len() > CELLS_MAX {
            let hint = "group by fewer values or use a wider step";
            scan.cut("groups", CELLS_MAX, hint);
            return Err(Stop::Limit);
        }
        Ok(())
    };
    let (counted, stopped) = parallel::over(&units, units.iter().map(Unit::rows).sum(), each)?;
    let mut all = Counted::default();
    for Counted(cells) in counted {
        for ((key, start), count) in cells {
            all.add(key, start, count);
        }
    }
    let counts = largest(scan, all.0, groups);
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

    /// The first time after the bucket with this start.
    fn end(self, start: u64) -> u64 {
        self.0.map_or(u64::MAX, |step| start.saturating_add(step))
    }
}

impl Counted {
    fn add(&mut self, key: Vec<String>, start: u64, count: u64) {
        if count > 0 {
            *self.0.entry((key, start)).or_default() += count;
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
            self.add(Vec::new(), start, mask.count() as u64);
            return Ok(());
        }
        let groups = Groups::new(table, mask, by)?;
        let mut counts = vec![0u64; groups.keys.len()];
        for row in mask.iter() {
            counts[groups.of_row[row] as usize] += 1;
        }
        for (key, count) in groups.keys.into_iter().zip(counts) {
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
            let key = groups.keys[cell % width].clone();
            self.add(key, starts[cell / width], u64::from(count));
        }
        Ok(())
    }
}

/// The buckets of the largest groups, by group and time.
fn largest(
    scan: &Scan<'_>,
    cells: FxHashMap<(Vec<String>, u64), u64>,
    groups: usize,
) -> Vec<Count> {
    let mut by_key: BTreeMap<Vec<String>, (u64, BTreeMap<u64, u64>)> = BTreeMap::new();
    for ((key, start), count) in cells {
        let group = by_key.entry(key).or_default();
        group.0 += count;
        group.1.insert(start, count);
    }
    let mut list: Vec<_> = by_key.into_iter().collect();
    if list.len() > groups {
        scan.cut(
            "groups",
            groups,
            "the smallest groups are left out; raise the limit",
        );
        list.sort_by_key(|(_, (total, _))| std::cmp::Reverse(*total));
        list.truncate(groups);
        list.sort();
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
