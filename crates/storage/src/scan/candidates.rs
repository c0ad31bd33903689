//! Which chunks and blocks can hold rows that match, by time and by index.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{Signal, Tenant, TimeRange};

use super::Unit;
use crate::partition::Partition;
use crate::points::head::PointHead;
use crate::store::View;
use crate::terms::{Need, truncated};

/// Blocks of a partition by where they were written first (file, ordinal), or all of them.
enum Candidates {
    All,
    Some(BTreeSet<(u64, u32)>),
}

/// Lookups of one partition; a term asked for twice is looked up once.
struct Lookups<'a> {
    partition: &'a Partition,
    known: HashMap<u64, BTreeSet<(u64, u32)>>,
}

impl Lookups<'_> {
    fn find(&mut self, need: &Need) -> Candidates {
        match need {
            Need::Anything => Candidates::All,
            Need::Term(term) => Candidates::Some(self.term(*term)),
            Need::All(needs) => {
                let mut all: Option<BTreeSet<(u64, u32)>> = None;
                for need in needs {
                    let Candidates::Some(found) = self.find(need) else {
                        continue;
                    };
                    all = Some(match all {
                        None => found,
                        Some(all) => all.intersection(&found).copied().collect(),
                    });
                    if all.as_ref().is_some_and(BTreeSet::is_empty) {
                        break;
                    }
                }
                all.map_or(Candidates::All, Candidates::Some)
            }
            Need::Any(needs) => {
                let mut any = BTreeSet::new();
                for need in needs {
                    match self.find(need) {
                        Candidates::All => return Candidates::All,
                        Candidates::Some(found) => any.extend(found),
                    }
                }
                Candidates::Some(any)
            }
        }
    }

    fn term(&mut self, term: u64) -> BTreeSet<(u64, u32)> {
        if let Some(known) = self.known.get(&term) {
            return known.clone();
        }
        let mut found = BTreeSet::new();
        let index = self.partition.index.as_ref();
        let shared = index.map(|index| index.lookup(truncated(term)));
        if let Some(Err(error)) = &shared
            && !error.is_damage()
        {
            tracing::error!(%error, "index lookup failed, searching without it");
        }
        let indexed = |other: &u64| matches!((&shared, index), (Some(Ok(_)), Some(index)) if index.covers(*other));
        for file in &self.partition.files {
            let ids = file.ids.as_ref().map(|ids| ids.lookup(term));
            let blocks = 0..file.blocks.len();
            let name = |ordinal| {
                let origin = file.origin(ordinal);
                (origin.file, origin.ordinal)
            };
            match ids {
                Some(Ok(ordinals)) if file.needs.iter().all(indexed) => {
                    let ordinals = ordinals.into_iter().map(|ordinal| ordinal as usize);
                    let known = ordinals.filter(|ordinal| blocks.contains(ordinal));
                    found.extend(known.map(name));
                }
                // Without both halves of the index every block of the file may match.
                _ => found.extend(blocks.map(name)),
            }
        }
        if let Some(Ok(blocks)) = shared {
            found.extend(blocks);
        }
        self.known.insert(term, found.clone());
        found
    }
}

/// The points of a tenant in memory.
pub(super) fn point_heads(view: &View, tenant: &Tenant) -> Vec<Arc<PointHead>> {
    let heads = [view.sealed.as_ref(), Some(&view.active)];
    let points = heads.into_iter().flatten();
    points
        .filter_map(|heads| heads.points.get(tenant).cloned())
        .collect()
}

/// The units that can hold matching rows.
pub(super) fn units(
    view: &View,
    tenant: &Tenant,
    signal: Signal,
    range: TimeRange,
    need: &Need,
) -> Vec<Unit> {
    let mut units = Vec::new();
    let key = (tenant.clone(), signal);
    let heads = [Some(&view.active), view.sealed.as_ref()];
    for chunk in heads
        .into_iter()
        .flatten()
        .filter_map(|heads| heads.rows.get(&key))
        .flatten()
    {
        if range.overlaps(chunk.min_time, chunk.max_end) {
            units.push(Unit::Chunk(chunk.clone()));
        }
    }
    if signal == Signal::Metrics {
        let overlaps = |head: &Arc<PointHead>| {
            let (min, max) = head.times();
            head.rows() > 0 && range.overlaps(min, max)
        };
        let points = point_heads(view, tenant).into_iter();
        units.extend(points.filter(overlaps).map(Unit::Points));
    }
    for partition in view.partitions.values() {
        if partition.key.tenant == *tenant && partition.key.signal == signal {
            of_partition(partition, range, need, &mut units);
        }
    }
    units
}

pub(super) fn of_partition(
    partition: &Partition,
    range: TimeRange,
    need: &Need,
    units: &mut Vec<Unit>,
) {
    let overlaps = |file: &crate::partition::BlockFile| {
        file.blocks
            .iter()
            .any(|block| range.overlaps(block.min_time, block.max_end))
    };
    if !partition.files.iter().any(|file| overlaps(file)) {
        return;
    }
    let mut lookups = Lookups {
        partition,
        known: HashMap::new(),
    };
    let candidates = lookups.find(need);
    for file in &partition.files {
        for (ordinal, block) in file.blocks.iter().enumerate() {
            if !range.overlaps(block.min_time, block.max_end) {
                continue;
            }
            let candidate = match &candidates {
                Candidates::All => true,
                Candidates::Some(set) => {
                    let origin = file.origin(ordinal);
                    set.contains(&(origin.file, origin.ordinal))
                }
            };
            if candidate {
                units.push(Unit::Block {
                    file: Arc::clone(file),
                    ordinal,
                    signal: partition.key.signal,
                });
            }
        }
    }
}
