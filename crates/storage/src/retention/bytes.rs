//! The bound on what a signal takes of the disk.
//!
//! Days go whole while that leaves no less than may stay. Of the next one, which may be today, files
//! go one by one, the oldest first, until the rest is within the bound: what stays is short of it by
//! less than a file, and files that are merged stay well below the bound
//! ([`crate::merge::policy`]). Files of a day go in the order in which their rows came, over all
//! tenants: it is that of their times, but for late rows, and no sender's clock changes it.
//!
//! The last file of all stays, even where it takes more than the bound alone, until there is a later
//! one: a bound that is too small for what is written at once does not empty the store. Only a bound
//! of nothing keeps nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Reason, bytes_of, drop_partition, oldest_first};
use crate::partition::{FileEntry, Partition, PartitionKey, day_name};
use crate::store::{Core, add};

#[cfg(test)]
mod tests;

/// A partition and its bytes on disk.
type Weighed = (Arc<Partition>, u64);

fn sum<'w>(list: impl IntoIterator<Item = &'w Weighed>) -> u64 {
    list.into_iter().map(|(_, bytes)| bytes).sum()
}

/// Drops the oldest of what is wanted until the rest takes no more than `most` bytes.
pub(super) fn by_bytes(core: &Core, most: u64, wanted: impl Fn(&PartitionKey) -> bool) {
    let partitions = oldest_first(core, wanted).into_iter();
    let weighed = partitions.map(|partition| {
        let bytes = bytes_of(core, &partition);
        (partition, bytes)
    });
    let is_of_rows = |(partition, _): &Weighed| partition.key.resolution.is_none();
    let (rows, buckets): (Vec<Weighed>, Vec<Weighed>) = weighed.partition(is_of_rows);
    let mut buckets = VecDeque::from(buckets);
    let (mut of_rows, mut of_buckets) = (sum(&rows), sum(&buckets));
    let mut days: VecDeque<&[Weighed]> = rows
        .chunk_by(|(one, _), (other, _)| one.key.day == other.key.day)
        .collect();
    while of_rows + of_buckets > most {
        let older = match (days.front(), buckets.front()) {
            (Some(day), Some((bucket, _))) => bucket.key.day < day[0].0.key.day,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if days.is_empty() || older && of_buckets > most / 2 {
            let Some((partition, bytes)) = buckets.pop_front() else {
                return;
            };
            if !drop_partition(core, &partition, Reason::Bytes) {
                return;
            }
            of_buckets -= bytes;
            continue;
        }
        let Some(day) = days.pop_front() else {
            return;
        };
        of_rows -= sum(day);
        let rest = of_rows + of_buckets;
        if rest < most {
            return drop_files(core, day, rest + sum(day) - most, days.is_empty());
        }
        for (partition, _) in day {
            if !drop_partition(core, partition, Reason::Bytes) {
                return;
            }
        }
    }
}

/// Drops files of a day until `excess` bytes are gone; of the last day not the last one.
fn drop_files(core: &Core, day: &[Weighed], excess: u64, is_last: bool) {
    // Of a merged file of which nobody knows whether it counts the parts have to stay.
    let settled = day
        .iter()
        .filter(|(partition, _)| partition.unsure.is_empty());
    let files = settled.flat_map(|(partition, _)| {
        let files = partition.files.iter();
        files.map(move |file| (file.id.last, &partition.key, file))
    });
    let mut files: Vec<(u64, &PartitionKey, &Arc<FileEntry>)> = files.collect();
    files.sort_by_key(|(flush, key, file)| (*flush, *key, file.id));
    if is_last {
        files.pop();
    }
    let mut gone = 0;
    let enough = files.iter().position(|(.., file)| {
        gone += file.size_bytes;
        gone >= excess
    });
    files.truncate(enough.map_or(files.len(), |last| last + 1));
    for (partition, _) in day {
        let own = files.iter().filter(|(_, key, _)| **key == partition.key);
        // Of a partition its first files go, as they are in the order of flushes.
        match own.count() {
            0 => {}
            all if all == partition.files.len() => {
                drop_partition(core, partition, Reason::Bytes);
            }
            count => drop_first(core, partition, count),
        }
    }
}

/// Takes the first files out of a partition.
fn drop_first(core: &Core, partition: &Arc<Partition>, count: usize) {
    let mut rest = (**partition).clone();
    let gone: Vec<Arc<FileEntry>> = rest.files.drain(..count).collect();
    let key = rest.key.clone();
    core.view.write().put(rest);
    let rows: u64 = gone.iter().map(|file| file.rows()).sum();
    let bytes: u64 = gone.iter().map(|file| file.size_bytes).sum();
    let at = Reason::Bytes as usize;
    add(&core.counters.dropped_files[at], count as u64);
    add(&core.counters.dropped_rows[at], rows);
    tracing::warn!(tenant = %key.tenant, signal = %key.signal, day = day_name(key.day),
        files = count, rows, bytes, reason = Reason::Bytes.label(),
        "dropped the oldest files of a partition");
    core.removals.dropped_files(core, &key, &gone);
}
