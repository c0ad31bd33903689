//! The series that are active, each kept once, and the bounds on how many may be.
//!
//! A series is active from its first point until none has come for an hour. While a tenant, or one
//! of its metrics, has as many as are allowed, points of further series are refused; those of
//! active ones go on. After a restart those that the log has are active since their points came,
//! and those that files have until an hour after their last point: they keep their places, without
//! being in memory whole before points come again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use model::Tenant;
use model::row::Reject;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::SeriesEntry;
use super::starts::CounterStarts;

/// A series of which no point came for this long is not active any more.
pub(crate) const ACTIVE_SECONDS: u64 = 3_600;
/// While there is no room, it is looked for this often.
const SWEEP_SECONDS: u64 = 60;
/// Parts of the table that are locked alone.
const SHARDS: usize = 16;

/// The active series of each tenant.
#[derive(Debug)]
pub(crate) struct KnownSeries {
    most: usize,
    of_metric: usize,
    tenants: RwLock<BTreeMap<Tenant, Arc<Known>>>,
}

impl KnownSeries {
    /// At most `most` per tenant, and `of_metric` per metric of it.
    pub(crate) fn new(most: usize, of_metric: usize) -> Self {
        Self {
            most,
            of_metric,
            tenants: RwLock::default(),
        }
    }

    /// Those of a tenant that has sent any.
    pub(crate) fn find(&self, tenant: &Tenant) -> Option<Arc<Known>> {
        self.tenants.read().get(tenant).cloned()
    }

    /// Those of a tenant that sends some.
    pub(crate) fn of(&self, tenant: &Tenant) -> Arc<Known> {
        if let Some(known) = self.tenants.read().get(tenant) {
            return Arc::clone(known);
        }
        let mut tenants = self.tenants.write();
        let known = tenants
            .entry(tenant.clone())
            .or_insert_with(|| Arc::new(Known::new(self.most, self.of_metric)));
        Arc::clone(known)
    }

    /// Forgets those that are not active any more.
    pub(crate) fn sweep(&self, unix_nano: u64) {
        let second = unix_nano / model::time::NANOS_PER_SECOND;
        let all: Vec<Arc<Known>> = self.tenants.read().values().cloned().collect();
        all.iter().for_each(|known| known.sweep(second));
    }

    /// How many each tenant has.
    pub(crate) fn counts(&self) -> Vec<(Tenant, usize)> {
        let tenants = self.tenants.read();
        let count = |(tenant, known): (&Tenant, &Arc<Known>)| (tenant.clone(), known.count());
        tenants.iter().map(count).collect()
    }
}

/// The active series of one tenant.
#[derive(Debug)]
pub(crate) struct Known {
    most: usize,
    of_metric: usize,
    count: AtomicUsize,
    /// How many each metric has, by a hash of its name.
    metrics: Mutex<FxHashMap<u64, usize>>,
    shards: [Mutex<FxHashMap<u128, Slot>>; SHARDS],
    /// Those that were active before the start, as far as no point of them has come since.
    earlier: Mutex<FxHashMap<u128, Earlier>>,
    /// Set once it is known which these are.
    recalled: OnceLock<()>,
    swept: Mutex<u64>,
    /// When they began, where that is asked for.
    pub(crate) starts: CounterStarts,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<SeriesEntry>,
    /// In which its last point came.
    second: u64,
}

/// A series of which nothing more is kept than its place.
#[derive(Debug)]
struct Earlier {
    metric: u64,
    second: u64,
}

fn is_active(last: u64, second: u64) -> bool {
    last.saturating_add(ACTIVE_SECONDS) > second
}

impl Known {
    fn new(most: usize, of_metric: usize) -> Self {
        Self {
            most,
            of_metric,
            count: AtomicUsize::new(0),
            metrics: Mutex::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            earlier: Mutex::default(),
            recalled: OnceLock::new(),
            swept: Mutex::new(0),
            starts: CounterStarts::default(),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn shard(&self, id: u128) -> &Mutex<FxHashMap<u128, Slot>> {
        // The map of a shard goes by other bits.
        &self.shards[(id >> 124) as usize % SHARDS]
    }

    /// A series that is known.
    pub(crate) fn get(&self, id: u128) -> Option<Arc<SeriesEntry>> {
        let shard = self.shard(id).lock();
        shard.get(&id).map(|slot| Arc::clone(&slot.entry))
    }

    /// A series that is known, of which a point has come.
    pub(crate) fn touch(&self, id: u128, second: u64) -> Option<Arc<SeriesEntry>> {
        let mut shard = self.shard(id).lock();
        let slot = shard.get_mut(&id)?;
        slot.second = slot.second.max(second);
        Some(Arc::clone(&slot.entry))
    }

    /// Adds a series, unless as many are active as may be.
    pub(crate) fn admit(
        &self,
        entry: SeriesEntry,
        second: u64,
    ) -> Result<Arc<SeriesEntry>, Reject> {
        let entry = Arc::new(entry);
        let add = || self.add(&entry, second, |metric| self.take_places(metric));
        add().or_else(|_| {
            self.sweep_again(second);
            add()
        })
    }

    /// Adds a series that was let in before the start, however many there are.
    pub(crate) fn restore(&self, entry: SeriesEntry, second: u64) -> Arc<SeriesEntry> {
        let entry = Arc::new(entry);
        let counted = self.add(&entry, second, |metric| {
            self.count_one(metric);
            Ok(())
        });
        counted.unwrap_or(entry)
    }

    /// Adds a series for which there is a place; another request may have brought it meanwhile.
    fn add(
        &self,
        entry: &Arc<SeriesEntry>,
        second: u64,
        take: impl FnOnce(u64) -> Result<(), Reject>,
    ) -> Result<Arc<SeriesEntry>, Reject> {
        let mut shard = self.shard(entry.id).lock();
        if let Some(slot) = shard.get(&entry.id) {
            return Ok(Arc::clone(&slot.entry));
        }
        if self.earlier.lock().remove(&entry.id).is_none() {
            take(metric_of(entry))?;
        }
        let slot = Slot {
            entry: Arc::clone(entry),
            second,
        };
        shard.insert(entry.id, slot);
        Ok(Arc::clone(entry))
    }

    /// Whether it is known which series were active before the start.
    pub(crate) fn has_recalled(&self) -> bool {
        self.recalled.get().is_some()
    }

    /// Has `find` say once which series were active before the start, and in which second.
    pub(crate) fn recall(&self, find: impl FnOnce(&mut dyn FnMut(&SeriesEntry, u64))) {
        self.recalled
            .get_or_init(|| find(&mut |entry, second| self.remember(entry, second)));
    }

    fn remember(&self, entry: &SeriesEntry, second: u64) {
        if self.shard(entry.id).lock().contains_key(&entry.id) {
            return;
        }
        let metric = metric_of(entry);
        let mut earlier = self.earlier.lock();
        let slot = earlier.entry(entry.id).or_insert_with(|| {
            self.count_one(metric);
            Earlier { metric, second }
        });
        slot.second = slot.second.max(second);
    }

    fn count_one(&self, metric: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        *self.metrics.lock().entry(metric).or_default() += 1;
    }

    /// A place among those of the tenant and one among those of the metric.
    fn take_places(&self, metric: u64) -> Result<(), Reject> {
        let add = |count: usize| (count < self.most).then_some(count + 1);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map_err(|_| Reject::SeriesLimit)?;
        let mut metrics = self.metrics.lock();
        let count = metrics.entry(metric).or_default();
        if *count >= self.of_metric {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Reject::MetricSeriesLimit);
        }
        *count += 1;
        Ok(())
    }

    fn sweep_again(&self, second: u64) {
        let due = second >= self.swept.lock().saturating_add(SWEEP_SECONDS);
        if due {
            self.sweep(second);
        }
    }

    fn sweep(&self, second: u64) {
        *self.swept.lock() = second;
        let mut gone = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.len();
            shard.retain(|id, slot| {
                let active = is_active(slot.second, second);
                if !active {
                    give_back(&mut self.metrics.lock(), metric_of(&slot.entry));
                    gone.push(*id);
                }
                active
            });
            self.swept_from(&mut shard, before);
        }
        self.starts.forget(&gone);
        let mut earlier = self.earlier.lock();
        let before = earlier.len();
        earlier.retain(|_, slot| {
            let active = is_active(slot.second, second);
            if !active {
                give_back(&mut self.metrics.lock(), slot.metric);
            }
            active
        });
        self.swept_from(&mut earlier, before);
    }

    /// Counts what went from a map of so many, which needs less room now.
    fn swept_from<T>(&self, map: &mut FxHashMap<u128, T>, before: usize) {
        self.count.fetch_sub(before - map.len(), Ordering::Relaxed);
        if map.capacity() > 2 * map.len() + 1_024 {
            map.shrink_to_fit();
        }
    }
}

fn metric_of(entry: &SeriesEntry) -> u64 {
    xxh3_64(entry.metric.value.name.as_bytes())
}

fn give_back(metrics: &mut FxHashMap<u64, usize>, metric: u64) {
    if let Some(count) = metrics.get_mut(&metric) {
        *count -= 1;
        if *count == 0 {
            metrics.remove(&metric);
        }
    }
}
