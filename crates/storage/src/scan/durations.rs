//! Span durations by group, as mergeable histograms.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{Groups, Scan, Stop};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::message::{Durations, Reply, Selection};
use crate::table::duration;

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

pub(super) fn run(
    scan: &mut Scan<'_>,
    selection: &Selection,
    by: &[Field],
    groups: usize,
) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let mut found: BTreeMap<Vec<String>, Group> = BTreeMap::new();
    let mut full = false;
    let mut stopped = Ok(());
    for unit in scan.units(selection) {
        match scan.select(&unit, selection, &filter) {
            Ok(None) => {}
            Ok(Some((opened, mask))) => {
                let table = opened.table();
                let counted = (|| {
                    let (times, ends) = (table.times()?, table.ends()?);
                    let mut errors = vec![false; table.rows()];
                    table.visit(&Field::Status, &mask, &mut |row, cell| {
                        errors[row] = cell.text() == "error";
                    })?;
                    let groups = Groups::new(table, &mask, by)?;
                    let mut here: Vec<Group> =
                        groups.keys.iter().map(|_| Group::default()).collect();
                    for row in mask.iter() {
                        let group = &mut here[groups.of_row[row] as usize];
                        group.errors += u64::from(errors[row]);
                        let nanos = duration(times[row], ends[row]).unsigned_abs();
                        group.record(nanos);
                    }
                    for (key, group) in groups.keys.into_iter().zip(here) {
                        if found.len() >= GROUPS_MAX && !found.contains_key(&key) {
                            full = true;
                            continue;
                        }
                        found.entry(key).or_default().add(&group);
                    }
                    Ok(())
                })();
                scan.undamaged(counted);
            }
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
    }
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
