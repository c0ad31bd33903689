//! Retention: which partitions are dropped, and how.
//!
//! Whole partitions go, the oldest day first: those whose newest row is older than the signal's
//! age, and the oldest of all while the file system has less room than its reserve. While a signal
//! takes more bytes than it may its oldest go, too, and of the last day that has to give way no more
//! than its oldest files ([`bytes`]). A tenant may have an age of its own, and a bound
//! on its own bytes. The age and the bytes of a signal are what an
//! operator asked for, and hold for any day. The reserve is there by default, so it spares the
//! current UTC day and later ones: a disk that others filled must not empty the store of what it
//! has just been told.
//!
//! What is dropped by age goes by the wall clock once that can be trusted ([`clock`]).
//!
//! Downsampled metrics have ages of their own, and rows that are to be downsampled wait for it for up to
//! a day beyond theirs. They share the bytes of their signal with its rows:
//! the oldest rows go first, and buckets older than these once buckets take half. For the reserve
//! they go last, since they are little and all that is left of their days.
//!
//! A partition leaves the view first; queries that hold it keep its files mapped. Then its folder
//! is renamed to `YYYY-MM-DD.dropped`, that name is made durable, and only then is the folder
//! removed, so that after a crash a folder of a day is whole or has no such name. What a crash
//! leaves of dropped folders is removed when the store opens. Rows that come later for a dropped
//! day make a new partition, until retention drops that too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{EntryKind, Space};
use model::{Signal, Tenant};

use crate::downsampling::is_awaited;
use crate::partition::{Partition, PartitionKey, day_from_dropped, day_name, day_of, of_folder};
use crate::store::{Core, add};

mod bytes;
mod clock;
#[cfg(test)]
mod tests;

use bytes::by_bytes;
pub(crate) use clock::ClockWatch;

/// How long and how much of one signal is kept. The default keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Partitions whose newest row is older are dropped.
    pub age: Option<Duration>,
    /// The oldest partitions, or files of one, are dropped while the signal's take more.
    pub bytes: Option<u64>,
}

/// How long and how much of each signal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    /// Spans.
    pub traces: Policy,
    /// Log records.
    pub logs: Policy,
    /// Metric data points.
    pub metrics: Policy,
}

impl Policies {
    /// The policy of a signal.
    pub fn of(&self, signal: Signal) -> Policy {
        match signal {
            Signal::Traces => self.traces,
            Signal::Logs => self.logs,
            Signal::Metrics => self.metrics,
        }
    }
}

/// What is kept. The default keeps everything; the defaults of a server are in its config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Of everybody: the age of tenants that have none of their own, the bytes of all together.
    pub all: Policies,
    /// Of one tenant: an age instead of everybody's, and a bound on the tenant's own bytes.
    pub tenants: BTreeMap<Tenant, Policies>,
    /// Room kept free on the file system, or a tenth of it where that is less; 0 for none.
    pub reserve_bytes: u64,
}

impl Retention {
    /// How long a tenant's rows of a signal are kept; nothing for ever.
    pub fn age(&self, tenant: &Tenant, signal: Signal) -> Option<Duration> {
        let own = self.tenants.get(tenant);
        own.and_then(|own| own.of(signal).age)
            .or(self.all.of(signal).age)
    }

    /// The bound on the bytes of a signal that a tenant's files count for, the smaller one where
    /// there are two.
    pub(crate) fn bytes(&self, tenant: &Tenant, signal: Signal) -> Option<u64> {
        let own = self.tenants.get(tenant);
        let own = own.and_then(|own| own.of(signal).bytes);
        own.into_iter().chain(self.all.of(signal).bytes).min()
    }
}

/// Why a partition was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its newest row is older than the signal's age.
    Age,
    /// The signal takes more bytes than it may.
    Bytes,
    /// The file system has too little room.
    Reserve,
}

impl Reason {
    /// Every reason, in the order of the counters.
    pub(crate) const ALL: [Reason; 3] = [Reason::Age, Reason::Bytes, Reason::Reserve];

    /// The value of the label `reason`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Reason::Age => "age",
            Reason::Bytes => "bytes",
            Reason::Reserve => "disk_reserve",
        }
    }
}

/// Drops what is no longer kept, and removes what nobody reads any more.
pub(crate) fn maintain(core: &Core) {
    drop_old(core);
    core.removals.sweep(core);
}

fn drop_old(core: &Core) {
    let _changing = core.changing.lock();
    let retention = &core.options.retention;
    let knows_ages = core.clock_watch.look(core);
    for signal in Signal::ALL {
        if knows_ages {
            by_age(core, signal);
        }
        for (tenant, own) in &retention.tenants {
            if let Some(most) = own.of(signal).bytes {
                by_bytes(core, most, |key| {
                    key.signal == signal && key.tenant == *tenant
                });
            }
        }
        if let Some(most) = retention.all.of(signal).bytes {
            by_bytes(core, most, |key| key.signal == signal);
        }
    }
    if retention.reserve_bytes == 0 {
        return;
    }
    // Asked for before the room: what is removed between the two is counted twice then, and would
    // not be counted at all the other way round.
    let waiting = core.removals.waiting_bytes();
    match core.env.files.space(&core.root) {
        Ok(space) => by_reserve(core, space, waiting),
        Err(error) => {
            failed(core);
            tracing::error!(%error, "room on the disk is not known, its reserve is not kept");
        }
    }
}

/// The partitions that `wanted` picks, the oldest day first, and of a day rows first.
fn oldest_first(core: &Core, wanted: impl Fn(&PartitionKey) -> bool) -> Vec<Arc<Partition>> {
    let view = core.view.read();
    let wanted = view.all().filter(|partition| wanted(&partition.key));
    let mut list: Vec<Arc<Partition>> = wanted.cloned().collect();
    list.sort_by_key(|partition| partition.key.day);
    list
}

fn by_age(core: &Core, signal: Signal) {
    let now = core.env.clock.unix_nanos();
    for partition in oldest_first(core, |key| key.signal == signal) {
        let is_old = old_unix_nano(core, &partition).is_some_and(|old| now > old);
        if is_old && !is_awaited(core, &partition) {
            drop_partition(core, &partition, Reason::Age);
        }
    }
}

/// After which time a partition is dropped by age, if ever.
pub(crate) fn old_unix_nano(core: &Core, partition: &Partition) -> Option<u64> {
    let key = &partition.key;
    // Buckets go by the end of their day: while it counts as young they may be made anew.
    let (age, newest) = match key.resolution {
        None => (
            core.options.retention.age(&key.tenant, key.signal),
            partition.newest_unix_nano(),
        ),
        Some(resolution) => (
            core.options.downsampling.age(resolution),
            partition.end_unix_nano(),
        ),
    };
    let age = u64::try_from(age?.as_nanos()).unwrap_or(u64::MAX);
    Some(newest.saturating_add(age))
}

/// Drops days until the reserve is free, those of which none would be passed over: a snapshot has other
/// names for their files. `waiting` is what becomes free by itself: whatever waits to
/// be removed until the last query that began with it is done. More must not go meanwhile, however
/// often this is looked at.
fn by_reserve(core: &Core, space: Space, waiting: u64) {
    let reserve = core
        .options
        .retention
        .reserve_bytes
        .min(space.total_bytes / 10);
    let mut free = space.free_bytes.saturating_add(waiting);
    if free >= reserve {
        return;
    }
    let today = day_of(core.env.clock.unix_nanos());
    let of_rows = oldest_first(core, |key| key.day < today && key.resolution.is_none());
    let of_buckets = oldest_first(core, |key| key.resolution.is_some());
    let mut passed_over = 0;
    for partition in of_rows.into_iter().chain(of_buckets) {
        if free >= reserve {
            return;
        }
        let bytes = room_of(core, &partition);
        if bytes == 0 {
            passed_over += 1;
            continue;
        }
        if !drop_partition(core, &partition, Reason::Reserve) {
            return;
        }
        free = free.saturating_add(bytes);
    }
    if free < reserve {
        tracing::error!(
            free_bytes = free,
            reserve_bytes = reserve,
            in_snapshots = passed_over,
            "the disk has less room than its reserve and no partition before today is left to \
             drop that would free any; free some, remove snapshots, or lower retention.reserve_bytes"
        );
    }
}

/// Bytes of a partition on the disk.
fn bytes_of(core: &Core, partition: &Partition) -> u64 {
    let bytes = partition.disk_bytes(&core.env, &core.root);
    bytes.unwrap_or_else(|error| without_list(core, partition, &error))
}

/// Bytes that are free once a partition is gone.
fn room_of(core: &Core, partition: &Partition) -> u64 {
    let bytes = partition.room_bytes(&core.env, &core.root);
    bytes.unwrap_or_else(|error| without_list(core, partition, &error))
}

fn without_list(core: &Core, partition: &Partition, error: &std::io::Error) -> u64 {
    failed(core);
    let dir = partition.key.dir(&core.root);
    tracing::error!(dir = %dir.display(), %error, "a partition's folder does not list");
    partition.size_bytes()
}

fn failed(core: &Core) {
    add(&core.counters.retention_errors, 1);
}

/// Takes a partition out of the view, then its folder off the disk. False, with the partition
/// back in the view, where the folder cannot be renamed.
fn drop_partition(core: &Core, partition: &Arc<Partition>, reason: Reason) -> bool {
    let key = &partition.key;
    let dropped = key.dropped_dir(&core.root);
    let (rows, bytes) = (partition.rows(), bytes_of(core, partition));
    let room = room_of(core, partition);
    core.view.write().remove(key);
    let renamed = partition
        .home
        .place
        .rename(&dropped, |dir| rename_away(core, dir, &dropped));
    if let Err(error) = renamed {
        core.view.write().put(Arc::clone(partition));
        failed(core);
        tracing::error!(dir = %key.dir(&core.root).display(), %error,
            "a partition is to be dropped and its folder cannot be renamed, it stays");
        return false;
    }
    if key.resolution.is_some() {
        add(&core.counters.dropped_buckets[reason as usize], 1);
    } else {
        add(&core.counters.dropped_partitions[reason as usize], 1);
        add(&core.counters.dropped_rows[reason as usize], rows);
    }
    tracing::warn!(tenant = %key.tenant, signal = key.folder_name(), day = day_name(key.day), rows,
        bytes, reason = reason.label(), "dropped a partition");
    core.removals.dropped(dropped, room, &partition.home);
    true
}

/// Removes the folder of a dropped partition.
pub(crate) fn remove_folder(core: &Core, dropped: &Path) {
    if let Err(error) = remove(core, dropped) {
        failed(core);
        tracing::error!(dir = %dropped.display(), %error,
            "a dropped partition's folder is not removed, that is tried again at the next start");
    }
}

/// Drops one partition, whatever its age.
#[cfg(test)]
pub(crate) fn drop_now(core: &Core, key: &PartitionKey) {
    let _changing = core.changing.lock();
    let partition = core.view.read().get(key).cloned();
    if let Some(partition) = partition {
        drop_partition(core, &partition, Reason::Age);
    }
}

fn rename_away(core: &Core, dir: &Path, dropped: &Path) -> std::io::Result<()> {
    let files = &core.env.files;
    if core.removals.has(dropped) {
        // The same day was dropped before, and a query that began then still reads it.
        return Err(std::io::ErrorKind::ResourceBusy.into());
    }
    // Left over if it could not be removed when the same day was dropped before.
    if files.stat(dropped)?.is_some() {
        files.remove_dir_all(dropped)?;
    }
    files.rename(dir, dropped)
}

/// Removes a folder once its name is known to last.
fn remove(core: &Core, dropped: &Path) -> std::io::Result<()> {
    let files = &core.env.files;
    if let Some(parent) = dropped.parent() {
        files.sync_dir(parent)?;
    }
    files.remove_dir_all(dropped)
}

/// Removes what a crash left of dropped folders. That it cannot is no reason not to open: such a
/// folder is never read.
pub(crate) fn remove_dropped(core: &Core) {
    if let Err(error) = try_remove_dropped(core) {
        failed(core);
        tracing::error!(%error, "folders of dropped partitions are not removed");
    }
}

fn try_remove_dropped(core: &Core) -> std::io::Result<()> {
    let files = &core.env.files;
    for tenant in files.list(&core.root)? {
        if tenant.kind != EntryKind::Dir || Tenant::new(&tenant.name).is_none() {
            continue;
        }
        let tenant = core.root.join(&tenant.name);
        for signal in files.list(&tenant)? {
            if signal.kind != EntryKind::Dir || of_folder(&signal.name).is_none() {
                continue;
            }
            let dir = tenant.join(&signal.name);
            for entry in files.list(&dir)? {
                if entry.kind == EntryKind::Dir && day_from_dropped(&entry.name).is_some() {
                    remove(core, &dir.join(&entry.name))?;
                }
            }
        }
    }
    Ok(())
}
