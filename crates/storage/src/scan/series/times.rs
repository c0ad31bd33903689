//! Reads when targets were there: of series that say nothing else that is wanted, the times alone.
//! Those of one target share their times, mostly, and of each list one of them is enough.

use std::sync::Arc;

use model::TimeRange;
use model::prometheus::Naming;
use rustc_hash::FxHashSet;

use super::Search;
use super::join::Part;
use crate::partition::FileEntry;
use crate::points::SeriesEntry;
use crate::points::head::PointHead;
use crate::table::Damage;

/// What the target of a series, which has its labels from the resource, is called after.
type Target = (u64, Naming);

fn target_of(entry: &SeriesEntry) -> Target {
    (entry.resource.hash, Naming::of(&entry.metric.value))
}

/// Those in a range of a list that rises; nothing where there are none.
fn within(times: &Arc<Vec<u64>>, range: TimeRange) -> Option<Part> {
    let first = times.partition_point(|time| *time < range.start);
    let end = times.partition_point(|time| *time < range.end);
    (first < end).then(|| Part::Times(Arc::clone(times), first..end))
}

impl Search<'_> {
    pub(super) fn read_times(
        &self,
        number: usize,
        (file, ordinal): (&FileEntry, usize),
        first: u32,
        series: &[u32],
    ) -> Result<(), Damage> {
        let known = self.known.as_deref();
        let block = self.scan.core.blocks.open(file, ordinal, known)?;
        // Lists of a block are decoded once and stay as long as it does.
        let mut seen: FxHashSet<(Target, *const Vec<u64>)> = FxHashSet::default();
        let (mut found, mut rows) = (Vec::new(), 0);
        self.each_of(&block, (first, series), |at, entry| {
            let target = target_of(entry);
            for chunk in block.chunks_of(at) {
                let times = block.times(chunk)?;
                if seen.insert((target, Arc::as_ptr(times))) {
                    let part = within(times, self.range);
                    rows += part.as_ref().map_or(0, Part::rows);
                    found.extend(part.map(|part| (entry, part)));
                }
            }
            Ok(())
        })?;
        self.scan.account(1, rows, rows * 8);
        self.add_whole(number, &block, found)
    }

    pub(super) fn read_times_of_head(&self, number: usize, head: &PointHead, series: &[u32]) {
        let mut seen: FxHashSet<(Target, Arc<Vec<u64>>)> = FxHashSet::default();
        let (mut found, mut rows) = (Vec::new(), 0);
        for (slot, mut times) in head.times_in(series) {
            let entry = head.entry(slot);
            if !self.share.holds(&entry) {
                continue;
            }
            times.sort_unstable();
            let times = Arc::new(times);
            if seen.insert((target_of(&entry), Arc::clone(&times)))
                && let Some(part) = within(&times, self.range)
            {
                rows += part.rows();
                found.push((entry, part));
            }
        }
        self.scan.account(1, rows, rows * 8);
        self.add_all(number, found);
    }
}
