//! The merge thread, and how a merged file takes the place of what it was merged from.
//!
//! The new file is written and synced under a name that does not count, with the files beside it.
//! The index is given the terms of what was written anew. Then the rename of the blocks file and
//! the sync of its folder make it count, the view is exchanged, and the old files are removed. A
//! crash before the rename leaves the old files, and after it both: then the merged one counts, and
//! the others are removed when the store opens ([`Partition::open`]). Files that queries hold are
//! removed once those are done ([`super::removals`]).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::counters::signal_index;
use super::{Core, add};
use crate::downsampling;
use crate::flush::FlushError;
use crate::merge::{self, MergeError, Task, Written, policy};
use crate::partition::{
    BlockFile, FileEntry, FileError, FileId, Partition, PartitionKey, UNFINISHED, remove_files,
};

/// For how long files are left alone after they could not be merged: for twice as long after each
/// time that follows.
const PAUSE_NANOS: u64 = 10 * model::time::NANOS_PER_SECOND;
/// How often that is doubled at most.
const DOUBLINGS_MAX: u32 = 8;

/// How the merge thread is told that there may be work.
#[derive(Default)]
pub(crate) struct Merging {
    wanted: Mutex<bool>,
    changed: Condvar,
    /// Held by whoever merges: one at a time.
    working: Mutex<Paused>,
}

/// What is left alone for a while.
#[derive(Default)]
struct Paused {
    merges: Pauses,
    downsampling: Pauses,
}

/// Partitions that are left alone for a while: what cannot be written now is read in vain each time.
#[derive(Default)]
pub(crate) struct Pauses(BTreeMap<PartitionKey, Pause>);

impl Pauses {
    /// Whether a partition is left alone.
    pub(crate) fn holds(&self, core: &Core, key: &PartitionKey) -> bool {
        let now = core.env.clock.monotonic_nanos();
        let pause = self.0.get(key);
        pause.is_some_and(|pause| now < pause.until_nanos)
    }

    pub(crate) fn begin(&mut self, core: &Core, key: &PartitionKey) {
        let now = core.env.clock.monotonic_nanos();
        self.0.entry(key.clone()).or_default().begin(now);
    }

    pub(crate) fn end(&mut self, key: &PartitionKey) {
        self.0.remove(key);
    }

    /// Forgets all partitions but these, which are in order.
    pub(crate) fn keep(&mut self, keys: &[PartitionKey]) {
        self.0.retain(|key, _| keys.binary_search(key).is_ok());
    }
}

#[derive(Default)]
struct Pause {
    failures: u32,
    /// By the clock that does not jump.
    until_nanos: u64,
}

impl Pause {
    fn begin(&mut self, now_nanos: u64) {
        let pause = PAUSE_NANOS << self.failures.min(DOUBLINGS_MAX);
        self.until_nanos = now_nanos.saturating_add(pause);
        self.failures = self.failures.saturating_add(1);
    }
}

impl Merging {
    /// Has the thread look for files to merge, or for whether the store closes.
    pub(crate) fn wake(&self) {
        *self.wanted.lock() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut wanted = self.wanted.lock();
        while !*wanted {
            self.changed.wait(&mut wanted);
        }
        *wanted = false;
    }
}

/// Starts the merge thread. It ends once the store closes.
pub(super) fn start(core: Arc<Core>) -> JoinHandle<()> {
    let guard = core.failures.guard("the thread that merges files");
    let run = move || {
        let _guard = guard;
        while !core.is_closing() {
            core.merging.wait();
            merge_all(&core);
        }
    };
    std::thread::Builder::new()
        .name("storage-merge".to_owned())
        .spawn(run)
        .expect("the system has threads to spare when a store opens")
}

/// Merges all that is due.
pub(crate) fn merge_all(core: &Core) {
    let mut paused = core.merging.working.lock();
    let keys: Vec<PartitionKey> = core.view.read().partitions.keys().cloned().collect();
    paused.merges.keep(&keys);
    for key in keys {
        if paused.merges.holds(core, &key) {
            continue;
        }
        while let Some((partition, files)) = due(core, &key) {
            match merge_files(core, &partition, files) {
                Ok(()) => {
                    paused.merges.end(&key);
                    drop(partition);
                    core.removals.sweep(core);
                    count_waiting(core);
                }
                Err(MergeError::Cancelled) => break,
                Err(error) => {
                    failed(core, &partition, &error);
                    if !matches!(error, MergeError::Damaged { .. }) {
                        paused.merges.begin(core, &key);
                        break;
                    }
                }
            }
        }
        if core.is_closing() {
            return;
        }
    }
    if downsampling::run(core, &mut paused.downsampling) {
        core.removals.sweep(core);
        core.merging.wake();
    }
}

/// Merges these files of a partition, due or not.
#[cfg(test)]
pub(crate) fn merge_some(
    core: &Core,
    partition: &Arc<Partition>,
    files: Range<usize>,
) -> Result<(), MergeError> {
    let _working = core.merging.working.lock();
    merge_files(core, partition, files)
}

/// Counts the files that are due to be merged.
pub(crate) fn count_waiting(core: &Core) {
    let (partitions, downsampled) = {
        let view = core.view.read();
        (view.partitions.clone(), Arc::clone(&view.downsampled))
    };
    let now = core.env.clock.unix_nanos();
    let mut waiting = [(0, 0); 3];
    for partition in partitions.values() {
        let bucketed = downsampling::last_flushes(&downsampled, &partition.key);
        let retention = &core.options.retention;
        let (files, bytes) = policy::waiting(partition, &bucketed, now, retention);
        let of_signal = &mut waiting[signal_index(partition.key.signal)];
        *of_signal = (of_signal.0 + files, of_signal.1 + bytes);
    }
    for (at, (files, bytes)) in waiting.into_iter().enumerate() {
        core.counters.waiting_files[at].store(files, Ordering::Relaxed);
        core.counters.waiting_bytes[at].store(bytes, Ordering::Relaxed);
    }
}

/// The partition with the files in it that are to be merged next.
fn due(core: &Core, key: &PartitionKey) -> Option<(Arc<Partition>, Range<usize>)> {
    // After a failed sync nobody knows what the disk holds.
    if core.is_closing() || core.failures.first().is_some() {
        return None;
    }
    let (mut partition, bucketed) = {
        let view = core.view.read();
        let bucketed = downsampling::last_flushes(&view.downsampled, key);
        (view.partitions.get(key).cloned()?, bucketed)
    };
    // A merged file counts whatever the checkpoint says. Until both files of it count a flush, a
    // start may yet go by the one that does not, and have the rows of that flush from the log.
    let settled = core.settled_flush.load(Ordering::Acquire);
    if partition.files.iter().any(|file| file.id.last > settled) {
        let files = &mut Arc::make_mut(&mut partition).files;
        files.retain(|file| file.id.last <= settled);
    }
    let now = core.env.clock.unix_nanos();
    let files = policy::pick(&partition, &bucketed, now, &core.options.retention)?;
    let bytes: u64 = partition.files[files.clone()]
        .iter()
        .map(|file| file.size_bytes)
        .sum();
    has_room(core, bytes).then_some((partition, files))
}

/// Whether the disk has room for so many bytes more: what is merged is there twice for a moment,
/// and must not take the room of what comes in.
pub(crate) fn has_room(core: &Core, bytes: u64) -> bool {
    let reserve = core.options.retention.reserve_bytes;
    core.env.files.space(&core.root).is_ok_and(|space| {
        space.free_bytes >= reserve.min(space.total_bytes / 10).saturating_add(bytes)
    })
}

fn failed(core: &Core, partition: &Partition, error: &MergeError) {
    add(&core.counters.merge_errors, 1);
    let dir = partition.key.dir(&core.root);
    tracing::error!(dir = %dir.display(), %error, "files are not merged, they stay as they are");
    if let MergeError::Damaged { file, block, .. } = error {
        for file in partition.files.iter().filter(|other| other.id == *file) {
            file.health.damaged.store(true, Ordering::Relaxed);
            // A query may have come upon it before.
            if block.is_none_or(|block| file.health.note_damaged(block)) {
                add(&core.counters.damaged_blocks, 1);
            }
        }
    }
}

fn merge_files(
    core: &Core,
    partition: &Arc<Partition>,
    files: Range<usize>,
) -> Result<(), MergeError> {
    let dir = partition.key.dir(&core.root);
    let files = &partition.files[files];
    let opened: Vec<Arc<BlockFile>> = files
        .iter()
        .map(|file| open(file))
        .collect::<Result<_, _>>()?;
    let go_on = || {
        let view = core.view.read();
        let known = view.partitions.get(&partition.key);
        let there = known.is_some_and(|known| place_of(known, files).is_some());
        there && !core.is_closing()
    };
    let task = Task {
        env: &core.env,
        dir: &dir,
        signal: partition.key.signal,
        files: &opened,
        block_rows: core.options.block_rows.max(1),
        small_rows: core.options.block_rows.div_ceil(2),
        memory_bytes: core.options.merge_bytes,
        go_on: &go_on,
    };
    let done = standing_back(|| merge::write(&task)).and_then(|written| {
        let ordered = written.ordered_rows;
        exchange(core, &partition.key, files, written)?;
        Ok(ordered)
    });
    match done {
        Ok(ordered) => {
            let counters = &core.counters;
            add(&counters.merges, 1);
            add(&counters.merged_files, files.len() as u64);
            add(
                &counters.merged_bytes,
                files.iter().map(|file| file.size_bytes).sum(),
            );
            add(
                &counters.merged_rows,
                files.iter().map(|file| file.rows()).sum(),
            );
            add(&counters.ordered_rows, ordered);
            Ok(())
        }
        Err(error) => {
            let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
            if let Some(id) = FileId::merged(&ids) {
                give_up(core, &dir, id);
            }
            // What retention drops meanwhile does not read either.
            match error {
                MergeError::Damaged { .. } if !go_on() => Err(MergeError::Cancelled),
                error => Err(error),
            }
        }
    }
}

/// Does work on a thread that stands back where others have some. The merge thread itself does not:
/// a flush would wait for it while it exchanges files, and whoever writes for the flush.
pub(crate) fn standing_back<T: Send>(
    work: impl FnOnce() -> Result<T, MergeError> + Send,
) -> Result<T, MergeError> {
    std::thread::scope(|scope| {
        let run = || {
            env::yield_to_other_threads();
            work()
        };
        let builder = std::thread::Builder::new().name("storage-rewrite".to_owned());
        let worker = builder.spawn_scoped(scope, run)?;
        let done = worker.join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Opens a file that is to be read whole.
pub(crate) fn open(file: &FileEntry) -> Result<Arc<BlockFile>, MergeError> {
    file.open().map_err(|error| match error {
        FileError::Damaged(reason) => MergeError::Damaged {
            file: file.id,
            block: None,
            reason,
        },
        FileError::Io(error) => MergeError::unread(file.id, error),
    })
}

/// Removes what a merge wrote that did not come to its end. What stays is removed at the next
/// start, or written over.
pub(crate) fn give_up(core: &Core, dir: &Path, id: FileId) {
    let files = &core.env.files;
    // Once it has its name it counts.
    if let Ok(None) = files.stat(&id.path(dir, "blocks"))
        && let Err(error) = remove_files(&core.env, dir, id)
    {
        tracing::warn!(dir = %dir.display(), %error, "what a merge wrote is not removed yet");
    }
}

/// Where these files lie in the partition, if it has them all.
fn place_of(partition: &Partition, files: &[Arc<FileEntry>]) -> Option<Range<usize>> {
    let first = files.first()?;
    let start = partition
        .files
        .iter()
        .position(|file| Arc::ptr_eq(file, first))?;
    let there = partition.files.get(start..start + files.len())?;
    let same = |(one, other)| Arc::ptr_eq(one, other);
    there
        .iter()
        .zip(files)
        .all(same)
        .then_some(start..start + files.len())
}

/// Puts what was written in the place of the files that it was merged from.
fn exchange(
    core: &Core,
    key: &PartitionKey,
    files: &[Arc<FileEntry>],
    written: Written,
) -> Result<(), MergeError> {
    let _changing = core.changing.lock();
    let Some(known) = core.view.read().partitions.get(key).cloned() else {
        return Err(MergeError::Cancelled);
    };
    let Some(place) = place_of(&known, files) else {
        return Err(MergeError::Cancelled);
    };
    let dir = key.dir(&core.root);
    let mut partition = (*known).clone();
    if !written.shared.is_empty() {
        add_to_index(&mut partition, &written).map_err(FlushError::Index)?;
    }
    let id = written.id;
    drop(written);
    if let Err(error) = rename(core, &dir, id) {
        if let Renamed::Unknown = error.1 {
            // It may count at the next start. Until then nothing may be merged that overlaps it.
            partition.unsure.push(id);
            show(core, partition);
        }
        return Err(error.0.into());
    }
    match FileEntry::look(&partition.home, id) {
        Ok(file) => {
            partition.files.splice(place, [Arc::new(file)]);
        }
        // What it was merged from reads, and nothing else has these rows: it stays until the merged
        // one was seen to read.
        Err(error) => {
            partition.unsure.push(id);
            show(core, partition);
            return Err(FlushError::File(error).into());
        }
    }
    show(core, partition);
    // The name must last before what it replaces goes. Where that fails the old files stay beside
    // it until the next start.
    core.env.files.sync_dir(&dir)?;
    core.removals.merged_away(&dir, files);
    Ok(())
}

/// What is known of a rename that failed.
pub(crate) enum Renamed {
    No,
    Unknown,
}

/// Gives a blocks file that is written the name under which it counts.
pub(crate) fn rename(core: &Core, dir: &Path, id: FileId) -> Result<(), (std::io::Error, Renamed)> {
    let files = &core.env.files;
    let path = id.path(dir, "blocks");
    let Err(error) = files.rename(&id.path(dir, UNFINISHED), &path) else {
        return Ok(());
    };
    match files.stat(&path) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err((error, Renamed::No)),
        Err(_) => Err((error, Renamed::Unknown)),
    }
}

fn show(core: &Core, partition: Partition) {
    core.view.write().put(partition);
}

/// Gives the partition's index the terms of blocks that were written anew.
fn add_to_index(
    partition: &mut Partition,
    written: &Written,
) -> Result<(), crate::index::IndexError> {
    let indexed = partition.files.iter().flat_map(|file| &file.indexed_files);
    let indexed: rustc_hash::FxHashSet<u64> = indexed.copied().collect();
    let needed = |file| indexed.contains(&file);
    let index = partition.index();
    index.add(|index| index.add_merged(written.id.number(), needed, &written.shared))
}
