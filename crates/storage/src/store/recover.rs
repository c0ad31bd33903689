//! Opening: partitions as of the checkpoint, and the WAL beyond it replayed into the head.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::EntryKind;
use journal::{ErrorKind, Item, Journal, Log, Position, Recovery};
use model::room::Room;
use model::row::Reject;
use model::value::KeyValueRef;
use model::{Signal, Tenant};
use rustc_hash::FxHashSet;

use super::checkpoint::{Checkpoint, Unread};
use super::commit::{grown_bytes, push};
use super::contents::content_of;
use super::counters::signal_index;
use super::flusher::Sealed;
use super::record::{Logged, Record};
use super::stamps::Stamps;
use super::{Core, OpenError, Options, add, flusher, rebuild, record};
use crate::chunk::SeriesGate;
use crate::downsampling;
use crate::flush::Heads;
use crate::partition::{self, LOST, Partition, PartitionKey, day_from_name, day_from_set_aside};
use crate::points::{Growth, Known, SeriesEntry};
use crate::retention;
use crate::write::Batch;

/// What a store starts with.
pub(super) struct Recovered {
    pub journal: Journal,
    pub stamps: Stamps,
    /// The last flush that counts.
    pub flush: u64,
    /// Everything before this position is in files.
    pub position: Position,
    /// Whether the log has a record of the checkpoint of that flush.
    pub recorded: bool,
    /// Whether both files of the checkpoint say it, so that the log before it may go.
    pub may_free: bool,
    /// What the checkpoint takes, once.
    pub checkpoint_bytes: u64,
    pub growth: Growth,
    /// A head that could not be written to files while the WAL was replayed.
    pub sealed: Option<Sealed>,
}

/// Reads partitions and replays the WAL. Rows are replayed exactly once: those before the
/// checkpoint's position are in files, those after it are not.
pub(super) fn recover(core: &Core, wal_dir: &Path) -> Result<Recovered, OpenError> {
    let folder = |source| OpenError::Folder {
        dir: core.root.clone(),
        source,
    };
    // Before anything is written.
    core.clock_watch.look(core);
    let checkpoint = find_checkpoint(core, wal_dir)?;
    checkpoint.keep(&core.env, &core.root).map_err(folder)?;
    open_partitions(core, checkpoint.flush).map_err(folder)?;
    downsampling::open(core, checkpoint.flush).map_err(folder)?;
    let options = journal::Options {
        segment_min: checkpoint.wal_segment.max(1),
        read_from: checkpoint.position(),
        segment_bytes: segment_bytes(&core.options),
        // What there was memory for can be written down.
        record_bytes_max: core.options.in_flight_bytes,
        ..journal::Options::default()
    };
    let gone = gone_before(core, wal_dir, checkpoint.position());
    let (mut journal, recovery) = Journal::open(&core.env, wal_dir, options)?;
    // Should the end of the log be lost, new records must not get positions that count as written.
    journal.advance_to(checkpoint.position())?;
    count_lost(core, &recovery, &gone);
    let mut replay = Replay::new(core, &checkpoint);
    let mut reader = journal.read_from(checkpoint.position());
    for item in &mut reader {
        let item = item?;
        replay.record(&item.payload, item.next);
    }
    core.known.sweep(core.env.clock.unix_nanos());
    let Replay {
        flush,
        stamps,
        heads,
        growth,
        sealed,
        recorded,
        ..
    } = replay;
    {
        let mut view = core.view.write();
        view.active = Arc::new(heads);
        view.sealed = sealed.as_ref().map(|sealed| sealed.heads.clone());
    }
    core.counters
        .head_bytes
        .store(growth.bytes as u64, std::sync::atomic::Ordering::Relaxed);
    let (checkpoint, _) = Checkpoint::read(&core.env, &core.root)?;
    let position = checkpoint.position();
    let may_free = checkpoint.keep(&core.env, &core.root).map_err(folder)?;
    if may_free {
        let settled = &core.settled_flush;
        settled.store(checkpoint.flush, std::sync::atomic::Ordering::Release);
    }
    if core.options.count_spans {
        core.counting.begin(journal.end());
    }
    let recorded = recorded == flush;
    if recorded
        && may_free
        && let Err(error) = journal.truncate_before(core.counting.in_files(position))
    {
        if error.kind() == ErrorKind::Fatal {
            return Err(error.into());
        }
        tracing::warn!(%error, "wal segments stay until the next flush");
    }
    let bytes = journal.bytes();
    core.counters
        .wal_bytes
        .store(bytes, std::sync::atomic::Ordering::Relaxed);
    Ok(Recovered {
        journal,
        stamps,
        flush,
        position,
        recorded,
        may_free,
        checkpoint_bytes: checkpoint.bytes().map_err(folder)?,
        growth,
        sealed,
    })
}

/// The checkpoint to begin with: that of its files, or what can be said without them.
fn find_checkpoint(core: &Core, wal_dir: &Path) -> Result<Checkpoint, OpenError> {
    match Checkpoint::find(&core.env, &core.root) {
        Ok(Some((checkpoint, damaged))) => {
            if damaged {
                add(&core.counters.damaged_files, 1);
                tracing::error!(
                    "a copy of the checkpoint is damaged or missing; another one is whole, and the \
                     next flush replaces them"
                );
            }
            Ok(checkpoint)
        }
        Ok(None) if rebuild::had_checkpoint(core, wal_dir)? => {
            rebuild::rebuild(core, wal_dir, "both of its files are missing")
        }
        Ok(None) => Ok(Checkpoint::default()),
        Err(Unread::Damaged(reason)) => rebuild::rebuild(core, wal_dir, &reason),
        Err(unread) => Err(unread.of(&core.root)),
    }
}

/// What is gone from a log.
#[derive(Default)]
struct Gone {
    /// Where the next segment says how long it was.
    bytes: u64,
    segments: u64,
}

/// What is gone between the position where the log is to go on and the first segment that is
/// there: to the log alone it looks as if it had been freed.
fn gone_before(core: &Core, wal_dir: &Path, position: Position) -> Gone {
    let mut gone = Gone::default();
    // What is wrong with it is said when it is opened to be written.
    let Ok(log) = Log::open(&core.env, wal_dir, position) else {
        return gone;
    };
    if !matches!(
        core.env.files.stat(&log.path_of(position.segment)),
        Ok(None)
    ) {
        return gone;
    }
    let looked = log.each(&mut |item| {
        match item {
            Item::Missing { after, segments } if after == position.segment => {
                gone.segments = segments;
            }
            Item::Damaged { segment, from, to } if segment == position.segment => {
                gone.bytes = to - from;
                gone.segments = 1;
            }
            _ => {}
        }
        false
    });
    if let Err(error) = looked {
        tracing::warn!(%error, "whether the log lacks its beginning is not known");
    }
    gone
}

/// Counts what the log has lost, and says so.
fn count_lost(core: &Core, recovery: &Recovery, gone: &Gone) {
    let lost_bytes = recovery.corrupt_bytes + gone.bytes;
    let lost_segments = recovery.missing_segments + gone.segments;
    add(&core.counters.wal_lost_bytes, lost_bytes);
    add(&core.counters.wal_lost_segments, lost_segments);
    add(&core.counters.wal_torn_bytes, recovery.torn_bytes);
    if recovery.is_damaged() || lost_segments > 0 {
        tracing::error!(
            lost_bytes,
            lost_segments,
            regions = recovery.corrupt_regions,
            "the wal is damaged, the rest of it is replayed"
        );
    }
}

/// Several segments, so that space comes back in parts, and none much longer than a head: what of
/// it is in files takes space for as long as the rest is not.
fn segment_bytes(options: &Options) -> u64 {
    let most = journal::Options::default().segment_bytes;
    let bytes = (options.wal_bytes / 8).min(options.head_bytes as u64);
    bytes.clamp(64 << 10, most)
}

/// Lets in the series that were let in before, and has zeros where they were.
pub(crate) struct Again<'a> {
    /// Places of those that were not, ascending.
    refused: &'a [u32],
    place: u32,
    /// Places of zeros, ascending.
    zeros: &'a [u32],
    /// Where they are active again, and since which second.
    active: Option<(Arc<Known>, u64)>,
    /// Whether zeros will be stored where counters begin.
    stores_zeros: bool,
}

impl<'a> Again<'a> {
    pub(crate) fn new(refused: &'a [u32], zeros: &'a [u32]) -> Self {
        Self {
            refused,
            place: 0,
            zeros,
            active: None,
            stores_zeros: false,
        }
    }

    fn is_refused(&self) -> bool {
        self.refused.binary_search(&self.place).is_ok()
    }
}

impl SeriesGate for Again<'_> {
    fn begins(&mut self, place: u32, id: u128, times: (u64, u64)) -> bool {
        let begins = self.zeros.binary_search(&place).is_ok();
        if let Some((known, _)) = self.active.as_ref().filter(|_| self.stores_zeros) {
            // What comes next of the counter goes by what was decided then.
            known
                .starts
                .begins(id, times, if begins { 0 } else { u64::MAX });
        }
        begins
    }

    fn known(&mut self, id: u128) -> Option<Arc<SeriesEntry>> {
        // It may have been let in, forgotten, and refused.
        if self.is_refused() {
            return None;
        }
        let (known, second) = self.active.as_ref()?;
        let entry = known.touch(id, *second)?;
        self.place += 1;
        Some(entry)
    }

    fn admit(
        &mut self,
        entry: SeriesEntry,
        _: &[KeyValueRef<'_>],
    ) -> Result<Arc<SeriesEntry>, Reject> {
        let refused = self.is_refused();
        self.place += 1;
        if refused {
            // Why is not written down: it was counted, and told, when the batch came.
            return Err(Reject::SeriesLimit);
        }
        Ok(match &self.active {
            Some((known, second)) => known.restore(entry, *second),
            None => Arc::new(entry),
        })
    }
}

struct Replay<'a> {
    core: &'a Core,
    flush: u64,
    stamps: Stamps,
    heads: Heads,
    growth: Growth,
    sealed: Option<Sealed>,
    /// The flush of the last checkpoint that the log has.
    recorded: u64,
}

impl<'c> Replay<'c> {
    fn new(core: &'c Core, checkpoint: &Checkpoint) -> Self {
        Self {
            core,
            flush: checkpoint.flush,
            stamps: checkpoint.stamps.clone(),
            heads: Heads::default(),
            growth: Growth::default(),
            sealed: None,
            recorded: 0,
        }
    }

    fn record(&mut self, payload: &bytes::Bytes, next: Position) {
        let record = match record::read_any(payload) {
            Some(Logged::Batch(record)) => *record,
            Some(Logged::Checkpoint(checkpoint)) => {
                self.recorded = checkpoint.flush;
                return;
            }
            None => {
                add(&self.core.counters.wal_malformed, 1);
                tracing::error!("a wal record is not a batch, left out");
                return;
            }
        };
        let Record {
            batch,
            refused_series: refused,
            zeros,
            received_unix_nano: received,
            covers: _,
        } = record;
        if let Some(stamp) = &batch.stamp {
            let _ = self.stamps.insert(stamp);
        }
        let mut gate = Again::new(&refused, &zeros);
        if batch.signal == Signal::Metrics {
            let second = arrival(&batch, received) / model::time::NANOS_PER_SECOND;
            gate.active = Some((self.core.known.of(&batch.tenant), second));
            gate.stores_zeros = self.core.options.start_zero_samples;
        }
        // It was let in before, when there was room.
        let mut room = Room::unlimited();
        match self
            .core
            .decode(&batch, &mut gate, &mut room, received.unwrap_or(0))
        {
            Ok(chunk) => {
                if batch.stamp.is_none() && chunk.undated == 0 && self.core.repeat_nanos() > 0 {
                    let now = self.core.env.clock.unix_nanos();
                    self.stamps.contents.forget(now, self.core.repeat_nanos());
                    self.stamps.contents.insert(content_of(&batch), now);
                }
                let rows = chunk.rows() as u64;
                add(&self.core.counters.rows[signal_index(batch.signal)], rows);
                if batch.signal == Signal::Metrics {
                    let head = self.heads.points.entry(batch.tenant).or_default();
                    self.growth += head.append(&chunk);
                } else {
                    self.growth.bytes += grown_bytes(&chunk);
                    let key = (batch.tenant, batch.signal);
                    push(self.heads.rows.entry(key).or_default(), Arc::new(chunk));
                }
            }
            Err(error) => {
                add(&self.core.counters.wal_malformed, 1);
                tracing::error!(%error, "a batch in the wal does not decode, left out");
            }
        }
        if self.growth.is_full(self.core.options.head_bytes) && self.sealed.is_none() {
            self.flush(next);
        }
    }

    /// The WAL may hold more than a head: files are written on the way. Where that is impossible
    /// (the disk is full) the head is kept for the flush thread to try again, and the rest of the
    /// WAL, which is what was in memory before, becomes the head that follows.
    fn flush(&mut self, position: Position) {
        let next = self.heads.following(&self.core.known);
        let heads = std::mem::replace(&mut self.heads, next);
        self.growth = Growth::default();
        let sealed = Sealed {
            heads: Arc::new(heads),
            position,
            stamps: self.stamps.clone(),
        };
        let commit = || flusher::commit(self.core, self.flush + 1, &sealed, &|_| ());
        let committed = commit().or_else(|error| {
            if self.core.failures.first().is_some() {
                return Err(error);
            }
            // Retention may make room.
            retention::maintain(self.core);
            commit()
        });
        match committed {
            Ok(checkpoint) => {
                self.flush += 1;
                let first = checkpoint.write_first(&self.core.env, &self.core.root);
                if let Err(error) = first {
                    add(&self.core.counters.flush_errors, 1);
                    tracing::warn!(%error, "the first file of the checkpoint is not written yet");
                }
            }
            Err(error) => {
                add(&self.core.counters.flush_errors, 1);
                tracing::error!(%error, "rows of the wal cannot be written to files yet");
                self.sealed = Some(sealed);
            }
        }
    }
}

/// When a batch came by our clock, of which its receipt is by that of its sender; 0 where it is not
/// known.
fn arrival(batch: &Batch, received: Option<u64>) -> u64 {
    let clock = batch.stamp.as_ref().and_then(|stamp| stamp.clock);
    let ahead = clock.map_or(0, |clock| clock.offset_nano);
    received.map_or(0, |received| received.saturating_add_signed(ahead))
}

fn open_partitions(core: &Core, flush_max: u64) -> std::io::Result<()> {
    let mut view = core.view.write();
    let partitions = Arc::make_mut(&mut view.partitions);
    each_partition(core, &mut |key, folder| {
        if key.resolution.is_some() {
            return Ok(());
        }
        let partition = open_partition(core, &key, &folder, flush_max)?;
        partitions.insert(key, Arc::new(partition));
        Ok(())
    })
}

/// Opens what is in the folder of a partition, and counts what is not to be had of it.
pub(crate) fn open_partition(
    core: &Core,
    key: &PartitionKey,
    folder: &PartitionFolder,
    flush_max: u64,
) -> std::io::Result<Partition> {
    let mut partition = Partition::open(&core.open, &core.root, key.clone(), flush_max)?;
    if folder.has_lost && !partition.unread.contains(&LOST) {
        tracing::error!(dir = %folder.dir.display(),
            "a folder of this day was set aside as it did not list, its rows are missing from answers");
        partition.unread.push(LOST);
    }
    add(&core.counters.damaged_files, partition.unread.len() as u64);
    Ok(partition)
}

/// A folder of a partition.
pub(crate) struct PartitionFolder {
    pub dir: PathBuf,
    /// Another one of the same day was set aside since it did not list.
    pub has_lost: bool,
}

/// Shows every folder of a partition, of rows and of buckets.
pub(crate) fn each_partition(
    core: &Core,
    see: &mut dyn FnMut(PartitionKey, PartitionFolder) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let files = &core.env.files;
    let dirs = |dir: &Path| -> std::io::Result<Vec<String>> {
        let entries = files.list(dir)?;
        let dirs = entries.into_iter().filter(|e| e.kind == EntryKind::Dir);
        Ok(dirs.map(|e| e.name).collect())
    };
    for tenant_name in dirs(&core.root)? {
        let Some(tenant) = Tenant::new(&tenant_name) else {
            continue;
        };
        let tenant_dir = core.root.join(&tenant_name);
        for signal_name in dirs(&tenant_dir)? {
            let Some((signal, resolution)) = partition::of_folder(&signal_name) else {
                continue;
            };
            let names = dirs(&tenant_dir.join(&signal_name))?;
            let lost: FxHashSet<u32> = names.iter().filter_map(|n| day_from_set_aside(n)).collect();
            for day in names.iter().filter_map(|name| day_from_name(name)) {
                let key = PartitionKey {
                    tenant: tenant.clone(),
                    signal,
                    resolution,
                    day,
                };
                let dir = key.dir(&core.root);
                let folder = PartitionFolder {
                    dir: dir.clone(),
                    has_lost: lost.contains(&day),
                };
                // Whoever is told has to know which of very many it is.
                see(key, folder).map_err(|error| {
                    std::io::Error::new(error.kind(), format!("{}: {error}", dir.display()))
                })?;
            }
        }
    }
    Ok(())
}
