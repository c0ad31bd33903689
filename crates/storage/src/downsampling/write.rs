//! Downsamples the days that are due.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::time::NANOS_PER_DAY;

use super::{Resolution, last_flush};
use crate::merge::MergeError;
use crate::partition::{BlockFile, FileEntry, FileId, Partition, PartitionKey, UNFINISHED};
use crate::points::{self, POINTS_PER_ROW, file::PointFile};
use crate::store::merger::{self, Pauses, Renamed};
use crate::store::{Core, add};
use crate::whole::if_whole;

/// While rows still come to a day it is left alone: each time all of it is read.
const QUIET_NANOS: u64 = 600_000_000_000;

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
                if !matches!(error, MergeError::Damaged { .. }) {
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
    // What does not read is not asked again until the next start.
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
    id: FileId,
    /// In which resolutions.
    keys: Vec<PartitionKey>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn due(core: &Core, partition: &Arc<Partition>, after: Duration) -> Option<Task> {
    if partition.key.signal != model::Signal::Metrics {
        return None;
    }
    let now = core.env.clock.unix_nanos();
    let end = (u64::from(partition.key.day) + 1).saturating_mul(NANOS_PER_DAY);
    let old = end.saturating_add(nanos(after)) <= now;
    let quiet = partition.added_unix_nano.saturating_add(QUIET_NANOS) <= now;
    // What cannot be read now would be missing for ever once the rows are dropped.
    let whole = partition.apart().next().is_none();
    let sound = |file: &Arc<FileEntry>| !file.is_damaged();
    if !(old && quiet && whole && partition.files.iter().all(sound)) {
        return None;
    }
    let (first, last) = (partition.files.first()?, partition.files.last()?);
    let id = FileId {
        first: first.id.first,
        last: last.id.last,
        generation: 1,
    };
    let keys = wanted(core, &partition.key, id, now - end);
    let bytes = partition.size_bytes();
    if keys.is_empty() || !merger::has_room(core, bytes) {
        return None;
    }
    Some(Task {
        partition: Arc::clone(partition),
        id,
        keys,
    })
}

/// In which resolutions a day lacks rows of these flushes.
fn wanted(core: &Core, of_rows: &PartitionKey, id: FileId, age: u64) -> Vec<PartitionKey> {
    let catalog = Arc::clone(&core.view.read().downsampled);
    let lacks = |key: &PartitionKey| {
        let Some(known) = catalog.get(key) else {
            return true;
        };
        // Nothing is made twice of one row: what there is was made of some of these, or of others.
        let ids = known
            .files
            .iter()
            .map(|file| file.id)
            .chain(known.unread.iter().copied());
        let mut apart = ids.map(|other| !other.overlaps(id) || other == id || other.is_part_of(id));
        known.unsure.is_empty() && last_flush(known) < id.last && apart.all(|apart| apart)
    };
    let kept = |resolution: &Resolution| {
        let most = core.options.downsampling.age(*resolution).map(nanos);
        most.is_none_or(|most| age < most)
    };
    let key = |resolution| PartitionKey {
        resolution: Some(resolution),
        ..of_rows.clone()
    };
    let keys = Resolution::ALL.into_iter().filter(kept).map(key);
    keys.filter(lacks).collect()
}

/// A file of one resolution that is being written.
struct Writing<'e> {
    key: PartitionKey,
    dir: PathBuf,
    file: PointFile<'e>,
}

fn write(core: &Core, task: &Task) -> Result<(), MergeError> {
    let files = task.partition.files.iter();
    let files: Vec<Arc<BlockFile>> = files
        .map(|file| merger::open(file))
        .collect::<Result<_, _>>()?;
    let mut begun = Vec::with_capacity(task.keys.len());
    for key in &task.keys {
        begun.push(begin(core, key, task.id)?);
    }
    let dirs: Vec<PathBuf> = begun.iter().map(|one| one.dir.clone()).collect();
    let done = fill(core, task, &files, begun);
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
        let places = points::merge::downsample(files, &go_on, &mut into)?;
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
