//! Rows counted by time and fields.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{Groups, Scan, Stop};
use crate::eval::Compiled;
use crate::filter::{Field, Filter};
use crate::message::{Count, Reply, Selection};

/// Groups held while counting, over all buckets; more are cut.
const CELLS_MAX: usize = 1_000_000;

pub(super) fn run(
    scan: &mut Scan<'_>,
    selection: &Selection,
    step_nano: Option<u64>,
    by: &[Field],
    groups: usize,
) -> Result<(), Stop> {
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let mut cells: FxHashMap<(Vec<String>, u64), u64> = FxHashMap::default();
    let bucket = |time: u64| step_nano.map_or(0, |step| time - time % step.max(1));
    let mut stopped = Ok(());
    for unit in scan.units(selection) {
        let (min_time, max_time, max_end) = unit.times();
        let inside =
            selection.range.contains(min_time) && selection.range.contains(max_time.max(max_end));
        let whole = selection.filter == Filter::All
            && by.is_empty()
            && inside
            && bucket(min_time) == bucket(max_time);
        if whole {
            // Every row counts, and all into one bucket: the directory knows how many.
            scan.check()?;
            *cells.entry((Vec::new(), bucket(min_time))).or_default() += unit.rows();
            continue;
        }
        match scan.select(&unit, selection, &filter) {
            Ok(None) => {}
            Ok(Some((opened, mask))) => {
                let table = opened.table();
                let counted = table.times().and_then(|times| {
                    if by.is_empty() {
                        let mut last = (0, 0u64);
                        for row in mask.iter() {
                            let at = bucket(times[row]);
                            if at != last.0 && last.1 > 0 {
                                *cells.entry((Vec::new(), last.0)).or_default() += last.1;
                                last.1 = 0;
                            }
                            last = (at, last.1 + 1);
                        }
                        *cells.entry((Vec::new(), last.0)).or_default() += last.1;
                        return Ok(());
                    }
                    let groups = Groups::new(table, &mask, by)?;
                    let mut counts: FxHashMap<(u32, u64), u64> = FxHashMap::default();
                    for row in mask.iter() {
                        let cell = (groups.of_row[row], bucket(times[row]));
                        *counts.entry(cell).or_default() += 1;
                    }
                    for ((group, start), count) in counts {
                        let key = groups.keys[group as usize].clone();
                        *cells.entry((key, start)).or_default() += count;
                    }
                    Ok(())
                });
                scan.undamaged(counted);
            }
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
        if cells.len() > CELLS_MAX {
            scan.cut(
                "groups",
                CELLS_MAX,
                "group by fewer values or use a wider step",
            );
            stopped = Err(Stop::Limit);
            break;
        }
    }
    let counts = largest(scan, cells, groups);
    scan.reply(Reply::Counts(counts))?;
    stopped
}

/// The buckets of the largest groups, by group and time.
fn largest(
    scan: &mut Scan<'_>,
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
