//! The series that a tenant's heads have: a place for each, and the terms that it is found by.
//!
//! Heads that follow one another have much the same series, and what a series takes here is more
//! than what a few of its points take. So a head goes on with the table of the one before it, and
//! a table is given up once it holds about twice as many series as are active.

use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::index::{IndexBuilder, IndexWriter};
use super::select::{Each, TermSource};
use super::{SeriesEntry, Set};

/// Stands for a series that is not there.
pub(crate) const ABSENT: u32 = u32::MAX;

/// Series that a table may have beyond twice those that are active.
const SPARE_SERIES: usize = 4_096;

/// The series of a tenant's heads.
#[derive(Default)]
pub(crate) struct HeadSeries(RwLock<Table>);

#[derive(Default)]
struct Table {
    entries: Vec<Arc<SeriesEntry>>,
    by_id: FxHashMap<u128, u32>,
    index: IndexBuilder,
}

impl HeadSeries {
    pub(crate) fn count(&self) -> u32 {
        self.0.read().index.count()
    }

    /// Whether the next head should begin with another table, while so many series are active.
    pub(crate) fn is_stale(&self, active: usize) -> bool {
        self.0.read().entries.len() > 2 * active + SPARE_SERIES
    }

    /// The places of these series, of which the new ones are added, and by how many bytes the
    /// table grew.
    pub(crate) fn slots<'e>(
        &self,
        series: impl Iterator<Item = &'e Arc<SeriesEntry>> + Clone,
    ) -> (Vec<u32>, usize) {
        // Most are there, and readers need not wait for these.
        let table = self.0.read();
        let find = |entry: &Arc<SeriesEntry>| table.by_id.get(&entry.id).copied();
        let mut slots: Vec<u32> = series
            .clone()
            .map(|one| find(one).unwrap_or(ABSENT))
            .collect();
        drop(table);
        if !slots.contains(&ABSENT) {
            return (slots, 0);
        }
        let mut table = self.0.write();
        let mut grown = 0;
        for (slot, entry) in slots.iter_mut().zip(series) {
            if *slot == ABSENT {
                let (added, bytes) = table.slot(entry);
                *slot = added;
                grown += bytes;
            }
        }
        (slots, grown)
    }

    /// The series of a place that is taken.
    pub(crate) fn entry(&self, slot: u32) -> Arc<SeriesEntry> {
        Arc::clone(&self.0.read().entries[slot as usize])
    }

    /// Looks at the terms of the series that there are now.
    pub(crate) fn terms<T>(&self, look: impl FnOnce(&dyn TermSource) -> T) -> T {
        look(&Moment {
            table: &self.0,
            count: self.count(),
        })
    }

    /// Writes the terms of the series that have a place in a file: the places come by those in
    /// the table, [`ABSENT`] for those without one.
    pub(crate) fn write_terms(&self, places: &[u32], into: &mut IndexWriter) {
        let mut after = None;
        loop {
            // Whoever adds series waits meanwhile.
            let table = self.0.read();
            let Some(last) = table.index.write_some(after.as_deref(), places, into) else {
                return;
            };
            after = Some(last);
        }
    }
}

/// The terms of a table as of one moment. Whoever adds series waits for no longer than it takes to
/// copy some of them.
struct Moment<'t> {
    table: &'t RwLock<Table>,
    count: u32,
}

impl TermSource for Moment<'_> {
    fn count(&self) -> u32 {
        self.count
    }

    fn find(&self, key: &[u8]) -> Set {
        self.table.read().index.find(key).below(self.count)
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) {
        let mut last: Option<Box<[u8]>> = None;
        loop {
            let some = self.table.read().index.some_of(prefix, last.as_deref());
            let Some((key, _)) = some.last() else { return };
            last = Some(key.clone());
            for (key, having) in some {
                if let Some(series) = having.below(self.count)
                    && !each(&key[prefix.len()..], &|| series.clone())
                {
                    return;
                }
            }
        }
    }
}

impl Table {
    /// The place of a series, which is added if it is new, and by how many bytes the table grew.
    fn slot(&mut self, entry: &Arc<SeriesEntry>) -> (u32, usize) {
        if let Some(slot) = self.by_id.get(&entry.id) {
            return (*slot, 0);
        }
        let slot = u32::try_from(self.entries.len()).expect("far fewer than 2^32 are active");
        let before = self.heap_bytes();
        self.index.add(entry);
        self.entries.push(Arc::clone(entry));
        self.by_id.insert(entry.id, slot);
        // Those that are not known any more live here alone.
        (slot, self.heap_bytes() - before + entry.bytes)
    }

    fn heap_bytes(&self) -> usize {
        self.index.heap_bytes()
            + self.entries.capacity() * size_of::<Arc<SeriesEntry>>()
            + self.by_id.capacity() * (size_of::<(u128, u32)>() + 1)
    }
}
