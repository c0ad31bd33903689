//! Downsamples the days that are due.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::time::NANOS_PER_DAY;

use super::{Resolution, last_flush};
use crate::merge::MergeError;
use crate::partition::{BlockFile, FileEntry, FileId, Partition, PartitionKey, UNFINISHED};
use crate::points::merge::{Lost, unless_lost};
use crate::points::{self, POINTS_PER_ROW, file::PointFile};
use crate::retention::old_unix_nano;
use crate::store::merger::{self, Pauses, Renamed};
use crate::store::{Core, add};
use crate::whole::if_whole;

/// While rows still come to a day it is left alone: each time all of it is read.
const QUIET_NANOS: u64 = 600_000_000_000;
/// For how long rows that are to be dropped by age wait for their day to be downsampled.
const LAST_CHANCE_NANOS: u64 = NANOS_PER_DAY;

/// Downsamples a day that is due, and says whether there may be more: others have work, too.
/// Whoever calls holds what allows one to write at a time. Days that could not be written are left
/// alone for a while.
pub(crate) fn run(core: &Core, paused: &mut Pauses) -> bool {
    let Some(after) = core.options.downsampling.after else {
        return false;
    };
    // Not the partitions themselves: while one is held what retention drops of it stays on the disk.
    let keys: Vec<PartitionKey> = core.view.read().partitions.keys().cloned().collect();
    paused.keep(&keys);
    for key in keys {
        if core.is_closing() || core.failures.first().is_some() {
            return false;
        }
        if paused.holds(core, &key) {
            continue;
        }
        let partition = core.view.read().partitions.get(&key).cloned();
        let Some(task) = partition.and_then(|partition| due(core, &partition, after)) else {
            continue;
        };
        match merger::standing_back(|| write(core, &task)) {
            Ok(()) => {
                add(&core.counters.downsampled_days, 1);
                paused.end(&key);
                return true;
            }
            Err(MergeError::Cancelled) => return false,
            Err(error) => {
                failed(core, &task, &error);
                if task.passes_over || !matches!(error, MergeError::Damaged { .. }) {
                    paused.begin(core, &key);
                }
            }
        }
    }
    false
}

fn failed(core: &Core, task: &Task, error: &MergeError) {
    add(&core.counters.downsampling_errors, 1);
    let dir = task.partition.key.dir(&core.root);
    tracing::error!(dir = %dir.display(), %error, "a day of metrics is not downsampled");
    // What does not read is not asked again until the next start, or until its rows are to go.
    if let MergeError::Damaged { file, .. } = error {
        let damaged = task
            .partition
            .files
            .iter()
            .filter(|other| other.id == *file);
        damaged.for_each(|file| file.health.damaged.store(true, Ordering::Relaxed));
    }
}

/// A day that is to be downsampled.
struct Task {
    partition: Arc<Partition>,
    /// From which of its files on.
    from: usize,
    /// What comes of these.
    id: FileId,
    /// In which resolutions.
    keys: Vec<PartitionKey>,
    /// Whether what does not read is passed over: the rows are about to be dropped.
    passes_over: bool,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// When a day is to be downsampled, as far as is known by now.
fn due_unix_nano(partition: &Partition, after: Duration) -> u64 {
    let old = partition.end_unix_nano().saturating_add(nanos(after));
    old.max(partition.added_unix_nano.saturating_add(QUIET_NANOS))
}

fn due(core: &Core, partition: &Arc<Partition>, after: Duration) -> Option<Task> {
    let now = core.env.clock.unix_nanos();
    if due_unix_nano(partition, after) > now {
        return None;
    }
    let task = lacking(core, partition)?;
    // What cannot be read now would be missing for ever once the rows are dropped, so nothing is
    // passed over before they are about to be.
    let last = old_unix_nano(core, partition).map(|old| old.max(core.opened_unix_nano));
    let is_last = last.is_some_and(|last| now > last.saturating_add(LAST_CHANCE_NANOS / 2));
    if task.passes_over && !is_last {
        return None;
    }
    merger::has_room(core, partition.size_bytes()).then_some(task)
}

/// Whether a day has yet to be downsampled, for which there was no whole day to do so since it could
/// be and the store opened: its rows are not dropped by age until then. Where something of it does
/// not read, that is a day beyond its age, in the second half of which it is done without.
pub(crate) fn is_awaited(core: &Core, partition: &Arc<Partition>) -> bool {
    let Some(after) = core.options.downsampling.after else {
        return false;
    };
    let Some(task) = lacking(core, partition) else {
        return false;
    };
    let mut since = due_unix_nano(partition, after).max(core.opened_unix_nano);
    if task.passes_over {
        since = since.max(old_unix_nano(core, partition).unwrap_or(0));
    }
    core.env.clock.unix_nanos() < since.saturating_add(LAST_CHANCE_NANOS)
}

/// What of a day is not in its buckets yet.
fn lacking(core: &Core, partition: &Arc<Partition>) -> Option<Task> {
    let key = &partition.key;
    if key.signal != model::Signal::Metrics || key.resolution.is_some() {
        return None;
    }
    let damaged = partition.files.iter().any(|file| file.is_damaged());
    let passes_over = damaged || partition.apart().next().is_some();
    let now = core.env.clock.unix_nanos();
    let age = now.saturating_sub(partition.end_unix_nano());
    let catalog = Arc::clone(&core.view.read().downsampled);
    let kept = |resolution: &Resolution| {
        let most = core.options.downsampling.age(*resolution).map(nanos);
        most.is_none_or(|most| age < most)
    };
    let with = |resolution| PartitionKey {
        resolution: Some(resolution),
        ..key.clone()
    };
    let keys = Resolution::ALL.into_iter().filter(kept).map(with);
    let mut tasks = keys.filter_map(|key| {
        let from = lacks_from(&partition.files, catalog.get(&key).map(|known| &**known))?;
        Some((from, key))
    });
    // Of those that lack other files later.
    let (from, first) = tasks.next()?;
    let same = tasks.filter(|(other, _)| *other == from);
    let keys = std::iter::once(first).chain(same.map(|(_, key)| key));
    Some(Task {
        from,
        id: id_of(&partition.files[from..])?,
        keys: keys.collect(),
        partition: Arc::clone(partition),
        passes_over,
    })
}

/// What comes of these files.
fn id_of(files: &[Arc<FileEntry>]) -> Option<FileId> {
    Some(FileId {
        first: files.first()?.id.first,
        last: files.last()?.id.last,
        generation: 1,
    })
}

/// From which of these files on a resolution lacks their rows: all of it is made anew while all of
/// its rows are there. Nothing is made twice of one row.
fn lacks_from(files: &[Arc<FileEntry>], known: Option<&Partition>) -> Option<usize> {
    let id = id_of(files)?;
    let Some(known) = known else {
        return Some(0);
    };
    if !known.unsure.is_empty() || last_flush(known) >= id.last {
        return None;
    }
    let known = known.files.iter().map(|file| &file.id).chain(&known.unread);
    let others = known.filter(|other| **other != id && !other.is_part_of(id));
    let last = others.map(|other| other.last).max();
    let from = files.partition_point(|file| last.is_some_and(|last| file.id.first <= last));
    (from < files.len()).then_some(from)
}

/// A file of one resolution that is being written.
struct Writing<'e> {
    key: PartitionKey,
    dir: PathBuf,
    file: PointFile<'e>,
}

fn write(core: &Core, task: &Task) -> Result<(), MergeError> {
    let count = |error: &MergeError| {
        add(&core.counters.downsampling_lost, 1);
        tracing::error!(dir = %task.partition.key.dir(&core.root).display(), %error,
            "a day of metrics is downsampled without what does not read of it");
    };
    let lost: Lost<'_> = if task.passes_over { Some(&count) } else { None };
    let mut files: Vec<Arc<BlockFile>> = Vec::new();
    for file in &task.partition.files[task.from..] {
        files.extend(unless_lost(merger::open(file), lost)?);
    }
    if let Some(lost) = lost {
        let reason = "its blocks file does not read or is gone".to_owned();
        for file in task.partition.unread.iter().copied() {
            let block = None;
            lost(&MergeError::Damaged {
                file,
                block,
                reason: reason.clone(),
            });
        }
    }
    let mut begun = Vec::with_capacity(task.keys.len());
    for key in &task.keys {
        begun.push(begin(core, key, task.id)?);
    }
    let dirs: Vec<PathBuf> = begun.iter().map(|one| one.dir.clone()).collect();
    let done = fill(core, task, &files, lost, begun);
    if done.is_err() {
        dirs.iter()
            .for_each(|dir| merger::give_up(core, dir, task.id));
    }
    done
}

fn begin<'e>(core: &'e Core, key: &PartitionKey, id: FileId) -> Result<Writing<'e>, MergeError> {
    let env = &core.env;
    let dir = key.dir(&core.root);
    env.files.create_dir_all(&dir)?;
    let path_of = {
        let dir = dir.clone();
        move |extension: &str| match extension {
            "blocks" => id.path(&dir, UNFINISHED),
            extension => id.path(&dir, extension),
        }
    };
    let rows = core.options.block_rows.max(1) * POINTS_PER_ROW;
    Ok(Writing {
        key: key.clone(),
        dir,
        file: PointFile::create(env, path_of, rows)?,
    })
}

fn fill(
    core: &Core,
    task: &Task,
    files: &[Arc<BlockFile>],
    lost: Lost<'_>,
    begun: Vec<Writing<'_>>,
) -> Result<(), MergeError> {
    let go_on = || {
        let view = core.view.read();
        view.partitions.contains_key(&task.partition.key) && !core.is_closing()
    };
    let (mut keys, mut into) = (Vec::new(), Vec::new());
    for Writing { key, dir, file } in begun {
        let length = key.resolution.map_or(0, Resolution::milliseconds);
        into.push((length * 1_000_000, file));
        keys.push((key, dir));
    }
    // Chunks and terms are taken from what is mapped.
    let is_whole = || files.iter().all(|file| file.is_whole());
    let written = if_whole(is_whole, || -> Result<(), MergeError> {
        let places = points::merge::downsample(files, lost, &go_on, &mut into)?;
        for (_, file) in into {
            file.finish(|terms| places.write_terms(files, terms))?;
        }
        Ok(())
    });
    written.ok_or_else(|| MergeError::not_whole(files))??;
    for (key, dir) in keys {
        core.env.files.sync_dir(&dir)?;
        exchange(core, &key, &dir, task.id)?;
    }
    Ok(())
}

/// Makes a file that is written count, and shows it in the place of what it was made anew from.
fn exchange(core: &Core, key: &PartitionKey, dir: &Path, id: FileId) -> Result<(), MergeError> {
    let _changing = core.changing.lock();
    let known = core.view.read().downsampled.get(key).cloned();
    let mut kept = known.map_or_else(
        || Partition::new(&core.open, &core.root, key.clone()),
        |known| (*known).clone(),
    );
    if let Err((error, renamed)) = merger::rename(core, dir, id) {
        if let Renamed::Unknown = renamed {
            // It may count at the next start.
            kept.unsure.push(id);
            core.view.write().put(kept);
        }
        return Err(error.into());
    }
    let mut gone = Vec::new();
    match FileEntry::look(&kept.home, id) {
        Ok(file) => {
            kept.unread
                .retain(|other| *other != id && !other.is_part_of(id));
            gone = kept.insert(file);
        }
        Err(error) => {
            tracing::error!(dir = %dir.display(), file = %id, %error,
                "a file of buckets does not read");
            kept.unread.push(id);
        }
    }
    core.view.write().put(kept);
    // The name must last before what it replaces goes. Where that fails the old files stay beside
    // it until the next start.
    core.env.files.sync_dir(dir)?;
    core.removals.merged_away(dir, &gone);
    Ok(())
}
