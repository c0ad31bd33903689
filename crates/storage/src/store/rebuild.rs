//! Opening without a checkpoint: what to go by where neither of its files reads.
//!
//! The log has the checkpoint, too: once a flush is committed, and before any of the log is freed,
//! the commit thread appends a record with it ([`super::record::checkpoint`]). From the position
//! that the last such record names everything is in the log, so files of later flushes may go and
//! their rows are replayed: nothing is lost, nothing is there twice.
//!
//! Where the log has no such record (an earlier build wrote it) or is itself damaged from there
//! on, nobody can tell which of its rows are in files. Then every file counts, and the log is set
//! aside: rows that had not been written to files are lost, and none is there twice. For every agent
//! in the log all that it numbered up to its highest number counts as stored, since those of which
//! the log does not read may be in files, so that what it sends again is not stored again.

use std::path::{Path, PathBuf};

use env::{EntryKind, Env};
use journal::{Item, Log, Position};

use super::checkpoint::Checkpoint;
use super::record::{self, Logged};
use super::stamps::Stamps;
use super::{Core, OpenError, add};
use crate::partition::FileId;

/// Begins the name of a log that was set aside.
pub(crate) const SET_ASIDE: &str = "wal.quarantined";

/// Whether a store without a checkpoint had one: it has files or log segments that a store has only
/// after its first flush.
pub(super) fn had_checkpoint(core: &Core, wal: &Path) -> Result<bool, OpenError> {
    let seen = Seen::of(core, wal)?;
    let begun_anew = seen.first_segment.is_some_and(|first| first > 1);
    // Files are merged only once they count.
    let flushed = seen.checkpoint.is_some() || begun_anew || seen.files.merged > 0;
    Ok(flushed || seen.first_segment.is_none() && seen.files.last > 0)
}

/// Makes a checkpoint of what there is, and writes it.
pub(super) fn rebuild(core: &Core, wal: &Path, reason: &str) -> Result<Checkpoint, OpenError> {
    let mut seen = Seen::of(core, wal)?;
    add(&core.counters.damaged_files, 1);
    add(&core.counters.rebuilt_checkpoints, 1);
    let folder = |source| OpenError::Folder {
        dir: core.root.clone(),
        source,
    };
    if let Some(checkpoint) = seen.usable() {
        tracing::error!(
            reason,
            flush = checkpoint.flush,
            "the checkpoint does not read, the one in the log is used; nothing is lost"
        );
        checkpoint.write(&core.env, &core.root).map_err(folder)?;
        return Ok(checkpoint);
    }
    add(&core.counters.wal_lost_bytes, seen.bytes);
    tracing::error!(
        reason,
        batches = seen.batches,
        bytes = seen.bytes,
        "the checkpoint does not read and the log does not say which of its rows are in files: \
         rows that were not are lost, the log is set aside"
    );
    let position = Position {
        segment: seen.last_segment.saturating_add(1),
        offset: 0,
    };
    seen.stamps.fill();
    let checkpoint = Checkpoint::new(seen.files.last, position, seen.stamps);
    // First, since it says what agents are not to send again: of a log that is set aside nobody
    // could tell. One that lies before the position is passed over where it is, and freed.
    checkpoint.write(&core.env, &core.root).map_err(folder)?;
    match set_aside(&core.env, wal) {
        Ok(Some(aside)) => tracing::error!(log = %aside.display(), "this is the log"),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "the log is not set aside, and will be freed"),
    }
    Ok(checkpoint)
}

/// Gives the log another name that is free.
fn set_aside(env: &Env, wal: &Path) -> std::io::Result<Option<PathBuf>> {
    if env.files.stat(wal)?.is_none() {
        return Ok(None);
    }
    let mut number = 1;
    let aside = loop {
        let aside = wal.with_file_name(format!("{SET_ASIDE}-{number}"));
        if env.files.stat(&aside)?.is_none() {
            break aside;
        }
        number += 1;
    };
    env.files.rename(wal, &aside)?;
    if let Some(dir) = wal.parent() {
        env.files.sync_dir(dir)?;
    }
    Ok(Some(aside))
}

/// The last flushes that have files.
#[derive(Default)]
struct LastFlushes {
    last: u64,
    /// Of merged files, all of which count.
    merged: u64,
}

/// What log and files say.
#[derive(Default)]
struct Seen {
    files: LastFlushes,
    first_segment: Option<u64>,
    last_segment: u64,
    /// The last one that is in the log.
    checkpoint: Option<Checkpoint>,
    /// The last segment of which something does not read.
    damaged_segment: Option<u64>,
    stamps: Stamps,
    batches: u64,
    bytes: u64,
}

impl Seen {
    fn of(core: &Core, wal: &Path) -> Result<Self, OpenError> {
        let mut seen = Self {
            files: last_flushes(core).map_err(|source| OpenError::Folder {
                dir: core.root.clone(),
                source,
            })?,
            ..Self::default()
        };
        let there = core.env.files.stat(wal);
        let there = there.map_err(|source| OpenError::Folder {
            dir: wal.to_owned(),
            source,
        })?;
        if there.is_none() {
            return Ok(seen);
        }
        let names = core.env.files.list(wal);
        let names = names.map_err(|source| OpenError::Folder {
            dir: wal.to_owned(),
            source,
        })?;
        let numbers = names
            .iter()
            .filter_map(|e| journal::segment_number(&e.name));
        seen.first_segment = numbers.clone().min();
        seen.last_segment = numbers.max().unwrap_or(0);
        let log = Log::open(&core.env, wal, Position::START)?;
        seen.bytes = log.bytes();
        log.each(&mut |item| {
            seen.item(item);
            true
        })?;
        Ok(seen)
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Record { payload, .. } => match record::read_any(&payload) {
                Some(Logged::Checkpoint(checkpoint)) => {
                    self.stamps = checkpoint.stamps.clone();
                    self.checkpoint = Some(*checkpoint);
                }
                Some(Logged::Batch(record)) => {
                    self.batches += 1;
                    if let Some(stamp) = &record.batch.stamp {
                        let _ = self.stamps.insert(stamp);
                    }
                }
                None => {}
            },
            // A write that did not come to its end: nothing of the log was freed after it.
            Item::Torn { .. } => {}
            Item::Damaged { segment, .. } | Item::Unreadable { segment, .. } => {
                self.damaged_segment = Some(segment);
            }
            Item::Missing { after, segments } => {
                // What was freed at its beginning is not missing.
                if self.first_segment.is_some_and(|first| after >= first) {
                    self.damaged_segment = Some(after + segments);
                }
            }
        }
    }

    /// The checkpoint in the log, if nothing can be lost or doubled by it.
    fn usable(&self) -> Option<Checkpoint> {
        let checkpoint = self.checkpoint.as_ref()?;
        let begin = checkpoint.position().segment;
        let is_there = self.first_segment.is_some_and(|first| first <= begin);
        // Files of later flushes are removed, so the log must have all of their rows.
        let later = self.files.last > checkpoint.flush;
        let whole = self.damaged_segment.is_none_or(|damaged| damaged < begin);
        let merged = self.files.merged > checkpoint.flush;
        (is_there && !merged && (whole || !later)).then(|| checkpoint.clone())
    }
}

fn last_flushes(core: &Core) -> std::io::Result<LastFlushes> {
    let mut found = LastFlushes::default();
    let files = &core.env.files;
    super::recover::each_partition(core, &mut |key, folder| {
        // What is downsampled follows from the rows.
        if key.resolution.is_some() {
            return Ok(());
        }
        let entries = match files.list(&folder.dir) {
            // It will be set aside as a whole.
            Err(error) if env::is_unreadable(&error) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let parsed = FileId::parse(&entry.name);
            let blocks = parsed.filter(|(_, extension)| *extension == "blocks");
            if let Some((id, _)) = blocks.filter(|_| entry.kind == EntryKind::File) {
                found.last = found.last.max(id.last);
                if id.is_merged() {
                    found.merged = found.merged.max(id.last);
                }
            }
        }
        Ok(())
    })?;
    Ok(found)
}
