//! Span durations by group, as mergeable histograms.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{Groups, Scan, Stop, Unit, parallel};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::message::{Durations, Reply, Selection};
use crate::table::{Damage, Mask, Table, duration};

/// Groups held while counting; rows of later groups are cut.
const GROUPS_MAX: usize = 20_000;
/// Significant digits of the histograms.
const DIGITS: u8 = 2;

struct Group {
    errors: u64,
    histogram: Histogram<u64>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            errors: 0,
            histogram: Histogram::new(DIGITS).expect("2 digits are allowed"),
        }
    }
}

impl Group {
    fn record(&mut self, nanos: u64) {
        self.histogram
            .record(nanos)
            .expect("the histogram grows to hold any value");
    }

    fn add(&mut self, other: &Group) {
        self.errors += other.errors;
        self.histogram
            .add(&other.histogram)
            .expect("the histogram grows to hold any value");
    }
}

/// What one thread found.
#[derive(Default)]
struct Found {
    groups: BTreeMap<Vec<String>, Group>,
    /// Whether a group was left out.
    full: bool,
}

impl Found {
    fn add(&mut self, key: Vec<String>, group: &Group) {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            self.full = true;
            return;
        }
        self.groups.entry(key).or_default().add(group);
    }

    fn rows(&mut self, table: &dyn Table, mask: &Mask, by: &[Field]) -> Result<(), Damage> {
        let (times, ends) = (table.times()?, table.ends()?);
        let failed = table.matching(&Field::Status, mask, &|cell| cell.text() == "error")?;
        let groups = Groups::new(table, mask, by)?;
        let mut here: Vec<Group> = groups.keys.iter().map(|_| Group::default()).collect();
        for row in mask.iter() {
            let nanos = duration(times[row], ends[row]).unsigned_abs();
            here[groups.of_row[row] as usize].record(nanos);
        }
        for row in failed.iter() {
            here[groups.of_row[row] as usize].errors += 1;
        }
        let seen = groups.keys.into_iter().zip(here);
        for (key, group) in seen.filter(|(_, group)| !group.histogram.is_empty()) {
            self.add(key, &group);
        }
        Ok(())
    }
}

pub(super) fn run(
    scan: &Scan<'_>,
    selection: &Selection,
    by: &[Field],
    groups: usize,
) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let units = scan.units(selection);
    let each = |found: &mut Found, unit: &Unit| {
        if let Some((opened, mask)) = scan.select(unit, selection, &filter)? {
            scan.undamaged(found.rows(opened.table(), &mask, by));
        }
        Ok(())
    };
    let (threads, stopped) = parallel::over(&units, units.iter().map(Unit::rows).sum(), each)?;
    let mut all = Found::default();
    for found in threads {
        all.full |= found.full;
        for (key, group) in found.groups {
            all.add(key, &group);
        }
    }
    let Found {
        groups: found,
        full,
    } = all;
    if full || found.len() > groups {
        let value = groups.min(GROUPS_MAX);
        scan.cut(
            "groups",
            value,
            "the smallest groups are left out; raise the limit",
        );
    }
    let mut list: Vec<Durations> = found
        .into_iter()
        .map(|(key, group)| Durations {
            key,
            count: group.histogram.len(),
            errors: group.errors,
            buckets: group
                .histogram
                .iter_recorded()
                .map(|value| (value.value_iterated_to(), value.count_at_value()))
                .collect(),
        })
        .collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
    list.truncate(groups);
    scan.reply(Reply::Durations(list))?;
    stopped
}
