//! Which chunks and blocks can hold rows that match, by time and by index.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Signal, Tenant, TimeRange};
use rustc_hash::FxHashSet;

use super::Unit;
use crate::eval::Branches;
use crate::filter::Filter;
use crate::index::TermIndex;
use crate::partition::{BlockFile, Partition};
use crate::points::head::PointHead;
use crate::store::View;
use crate::table::Mask;
use crate::terms::{Need, truncated};

/// What may hold matching rows.
#[derive(Default)]
pub(super) struct Found {
    pub units: Vec<Unit>,
    /// Files that do not open.
    pub unread: u64,
}

/// What rows need, as a whole or by the alternatives of the filter.
pub(super) struct Wanted<'n> {
    needs: &'n [Need],
    by_branch: bool,
}

impl<'n> Wanted<'n> {
    pub(super) fn all(need: &'n Need) -> Self {
        Self {
            needs: std::slice::from_ref(need),
            by_branch: false,
        }
    }

    /// What a filter needs, of which each alternative is looked up alone.
    pub(super) fn of(filter: &Filter, need: &'n Need) -> Self {
        match (filter, need) {
            (Filter::Or(list), Need::Any(needs))
                if list.len() == needs.len() && needs.len() <= Branches::MAX =>
            {
                Self {
                    needs,
                    by_branch: true,
                }
            }
            _ => Self::all(need),
        }
    }

    fn is_anything(&self) -> bool {
        *self.needs == [Need::Anything]
    }

    /// Which alternatives a block may pass, given the blocks of each; nothing for all blocks.
    fn branches(&self, found: &[Option<Mask>], ordinal: usize) -> Branches {
        let may = |mask: &Option<Mask>| mask.as_ref().is_none_or(|mask| mask.has(ordinal));
        if !self.by_branch {
            return if found.iter().all(may) {
                Branches::ALL
            } else {
                Branches::NONE
            };
        }
        let passed = found.iter().enumerate().filter(|(_, mask)| may(mask));
        passed.fold(Branches::NONE, |all, (place, _)| all.with(place))
    }
}

/// Lookups in the index of one partition; a term asked for twice is looked up once.
struct Lookups {
    index: Option<Arc<TermIndex>>,
    /// Blocks that have a term, by where they were written first; nothing where the index does not
    /// read.
    known: HashMap<u64, Option<FxHashSet<(u64, u32)>>>,
}

impl Lookups {
    fn new(partition: &Partition) -> Self {
        let index = partition.index.as_ref().map(|index| index.get());
        if let Some(Err(error)) = &index
            && !error.is_damage()
        {
            tracing::error!(%error, "index does not open, searching without it");
        }
        Self {
            index: index.and_then(Result::ok).flatten(),
            known: HashMap::new(),
        }
    }

    /// Whether the index has the terms that blocks of a file share.
    fn covers(&self, file: &BlockFile) -> bool {
        let index = self.index.as_ref();
        let covered = |file: &u64| index.is_some_and(|index| index.covers(*file));
        file.indexed_files.iter().all(covered)
    }

    fn term(&mut self, term: u64) -> Option<&FxHashSet<(u64, u32)>> {
        let index = self.index.as_ref()?;
        let found = self.known.entry(term).or_insert_with(|| {
            let found = index.lookup(truncated(term));
            let found = found.inspect_err(|error| {
                tracing::error!(%error, "index lookup failed, searching without it");
            });
            found.ok().map(|blocks| blocks.into_iter().collect())
        });
        found.as_ref()
    }

    /// The blocks of a file that may hold rows; nothing for all of them.
    fn find(&mut self, file: &BlockFile, covered: bool, need: &Need) -> Option<Mask> {
        match need {
            Need::Anything => None,
            Need::Term(term) => self.blocks(file, covered, *term),
            Need::All(needs) => {
                let mut all: Option<Mask> = None;
                for need in needs {
                    let Some(found) = self.find(file, covered, need) else {
                        continue;
                    };
                    let both = match all {
                        None => found,
                        Some(mut all) => {
                            all.intersect(&found);
                            all
                        }
                    };
                    if both.is_empty() {
                        return Some(both);
                    }
                    all = Some(both);
                }
                all
            }
            Need::Any(needs) => {
                let mut any = Mask::none(file.blocks.len());
                for need in needs {
                    any.union(&self.find(file, covered, need)?);
                }
                Some(any)
            }
        }
    }

    /// The blocks of a file that may have a term. Without both halves of the index that is every
    /// block.
    fn blocks(&mut self, file: &BlockFile, covered: bool, term: u64) -> Option<Mask> {
        if !covered {
            return None;
        }
        let ordinals = file.ids()?.lookup(term).ok()?;
        let mut mask = Mask::none(file.blocks.len());
        for ordinal in ordinals {
            let ordinal = ordinal as usize;
            if ordinal < file.blocks.len() {
                mask.set(ordinal);
            }
        }
        if file.indexed_files.is_empty() {
            return Some(mask);
        }
        let shared = self.term(term)?;
        if !shared.is_empty() {
            for ordinal in 0..file.blocks.len() {
                let origin = file.origin(ordinal);
                if shared.contains(&(origin.file, origin.ordinal)) {
                    mask.set(ordinal);
                }
            }
        }
        Some(mask)
    }
}

/// The points of a tenant in memory.
pub(super) fn point_heads(view: &View, tenant: &Tenant) -> Vec<Arc<PointHead>> {
    let heads = [view.sealed.as_ref(), Some(&view.active)];
    let points = heads.into_iter().flatten();
    points
        .filter_map(|heads| heads.points.get(tenant).cloned())
        .filter(|head| head.rows() > 0)
        .collect()
}

/// The units that can hold matching rows.
pub(super) fn units(
    view: &View,
    tenant: &Tenant,
    signal: Signal,
    range: TimeRange,
    wanted: &Wanted<'_>,
) -> Found {
    let mut found = Found::default();
    let units = &mut found.units;
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
            of_partition(partition, range, wanted, &mut found);
        }
    }
    found
}

/// The blocks of a partition. Files outside of the range are not opened.
pub(super) fn of_partition(
    partition: &Partition,
    range: TimeRange,
    wanted: &Wanted<'_>,
    found: &mut Found,
) {
    let mut lookups: Option<Lookups> = None;
    for entry in partition.files.iter().filter(|file| file.overlaps(range)) {
        let file = match entry.open() {
            Ok(file) => file,
            Err(error) => {
                found.unread += 1;
                let path = entry.home.place.shown(entry.id, "blocks");
                tracing::error!(path, %error, "blocks file does not open");
                continue;
            }
        };
        let candidates = if wanted.is_anything() {
            Vec::new()
        } else {
            let lookups = lookups.get_or_insert_with(|| Lookups::new(partition));
            let covered = lookups.covers(&file);
            let needs = wanted.needs.iter();
            needs
                .map(|need| lookups.find(&file, covered, need))
                .collect()
        };
        let blocks = file.blocks.iter().enumerate();
        for (ordinal, block) in blocks.filter(|(_, b)| range.overlaps(b.min_time, b.max_end)) {
            let branches = wanted.branches(&candidates, ordinal);
            if branches != Branches::NONE {
                found.units.push(Unit::Block {
                    file: Arc::clone(entry),
                    ordinal,
                    block: *block,
                    branches,
                });
            }
        }
    }
}
