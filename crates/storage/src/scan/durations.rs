//! Span durations by group, as mergeable histograms.
//!
//! Buckets are those of an `HdrHistogram` of two significant digits over nanoseconds: up to 255 each
//! value has its own, beyond that each power of two is cut into 128.

use parking_lot::Mutex;

use super::groups::{Cells, Groups, check_fields};
use super::tally::{Place, Tally};
use super::{Scan, Stop, Unit, parallel};
use crate::eval::Compiled;
use crate::filter::Field;
use crate::message::{Durations, Reply, Selection};
use crate::table::{Damage, Mask, Table, duration};

/// Parts of a power of two.
const PARTS: u64 = 128;
/// How many buckets there are.
const BUCKETS: usize = 58 * PARTS as usize;

/// The bucket of a duration.
fn bucket_of(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(8);
    let bucket = u64::from(shift) * PARTS + (nanos >> shift);
    usize::try_from(bucket).expect("there are few buckets")
}

/// The longest duration of a bucket.
fn longest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PARTS).saturating_sub(1);
    let part = bucket - shift * PARTS;
    part << shift | ((1 << shift) - 1)
}

/// Counts the durations of rows, and of those the failed ones.
fn rows(tally: &Mutex<Tally>, table: &dyn Table, mask: &Mask, by: &[Field]) -> Result<(), Damage> {
    let (times, ends) = (table.times()?, table.ends()?);
    let failed = table.matching(&Field::Status, mask, &|cell| cell.text() == "error")?;
    let groups = Groups::new(table, mask, by)?;
    let mut cells = Cells::new(groups.len().saturating_mul(BUCKETS), 0);
    for row in mask.iter() {
        let nanos = duration(times[row], ends[row]).unsigned_abs();
        *cells.at(groups.of_row[row] as usize * BUCKETS + bucket_of(nanos)) += 1;
    }
    let mut errors = vec![0u64; groups.len()];
    for row in failed.iter() {
        errors[groups.of_row[row] as usize] += 1;
    }
    let mut tally = tally.lock();
    let mut places: Vec<Option<Place>> = vec![None; groups.len()];
    for (cell, rows) in cells.into_iter().filter(|(_, rows)| *rows > 0) {
        let group = cell / BUCKETS;
        let place = *places[group].get_or_insert_with(|| tally.place(&groups.key(group)));
        tally.add(place, longest_of(cell % BUCKETS), u64::from(rows));
    }
    for (place, errors) in places.into_iter().zip(errors) {
        if let Some(place) = place {
            tally.add_errors(place, errors);
        }
    }
    Ok(())
}

pub(super) fn run(
    scan: &Scan<'_>,
    selection: &Selection,
    by: &[Field],
    groups: usize,
) -> Result<(), Stop> {
    check_fields(by)?;
    let filter = Compiled::new(&selection.filter, selection.signal)?;
    let units = scan.units(selection);
    let tally = Mutex::new(Tally::new(scan));
    let each = |(): &mut (), unit: &Unit| {
        if let Some((opened, mask)) = scan.select(unit, selection, &filter)? {
            scan.undamaged(unit, rows(&tally, opened.table(), &mask, by));
        }
        Ok(())
    };
    let (_, stopped) = parallel::over(&units, units.iter().map(Unit::rows).sum(), each)?;
    let largest = tally.into_inner().largest(groups);
    largest.note(scan, "groups", groups);
    let list = largest.groups.into_iter().map(|group| Durations {
        key: group.key,
        count: group.rows,
        errors: group.errors,
        buckets: group.buckets,
    });
    let mut list: Vec<Durations> = list.collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
    scan.reply(Reply::Durations(list))?;
    stopped
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;

    #[test]
    fn buckets_are_those_of_the_histogram() {
        let mut random = fastrand::Rng::with_seed(1);
        // No duration is longer than 63 bits hold.
        let powers = (0..63).flat_map(|power| {
            let one = 1u64 << power;
            [one - 1, one, one + 1]
        });
        let others = (0..2_000).map(|_| random.u64(..) >> random.u32(1..64));
        for nanos in powers.chain(others).chain([i64::MAX.unsigned_abs()]) {
            let mut histogram: Histogram<u64> = Histogram::new(2).unwrap();
            histogram.record(nanos).unwrap();
            let expected = histogram.iter_recorded().next().unwrap();
            let bucket = bucket_of(nanos);
            assert!(bucket < BUCKETS, "{nanos}");
            assert_eq!(longest_of(bucket), expected.value_iterated_to(), "{nanos}");
        }
    }
}
