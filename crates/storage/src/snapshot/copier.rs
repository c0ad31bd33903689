//! Puts files into a snapshot: as further names where that is possible, else as copies.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use env::{EntryKind, Files};
use journal::Position;
use model::Tenant;

use super::{Snapshot, SnapshotError, failed};
use crate::partition::{self, Listed, day_from_name};
use crate::store::Checkpoint;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Copies the first bytes of a file, durably.
pub(super) fn copy(
    files: &dyn Files,
    from: &Path,
    to: &Path,
    bytes: u64,
) -> Result<(), SnapshotError> {
    let source = files.open(from).map_err(failed("open", from))?;
    let target = files.create_new(to).map_err(failed("create", to))?;
    let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(bytes).unwrap_or(COPY_BYTES))];
    let mut at = 0;
    while at < bytes {
        let want = usize::try_from(bytes - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = &mut buffer[..want];
        let read = source.read_exact_at(part, at);
        read.map_err(failed("read", from))?;
        target.write_at(part, at).map_err(failed("write", to))?;
        at += want as u64;
    }
    target.sync_data().map_err(failed("sync", to))
}

/// Whether a file that cannot be linked for this reason can be copied.
pub(super) fn link_is_impossible(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::CrossesDevices
            | ErrorKind::Unsupported
            | ErrorKind::PermissionDenied
            | ErrorKind::TooManyLinks
    )
}

/// Puts files into the snapshot and counts them.
pub(super) struct Copier<'a> {
    files: &'a dyn Files,
    pub(super) taken: Snapshot,
    /// Bytes that may yet be copied where links are impossible.
    instead_of_links: u64,
    /// What was copied before the snapshot began, and whether it belongs to it. Files do not change,
    /// and no name comes twice.
    copied: BTreeMap<PathBuf, Copied>,
    /// Whether it has not begun.
    is_ahead: bool,
}

struct Copied {
    bytes: u64,
    belongs: bool,
}

impl<'a> Copier<'a> {
    /// Nothing is there yet. So many bytes are copied at most, once it has begun, where links are
    /// impossible.
    pub(super) fn new(files: &'a dyn Files, instead_of_links: u64) -> Self {
        Self {
            files,
            taken: Snapshot::default(),
            instead_of_links,
            copied: BTreeMap::new(),
            is_ahead: false,
        }
    }

    /// Begins a snapshot as of a flush.
    pub(super) fn begin(&mut self, flush: u64) {
        self.is_ahead = false;
        self.taken = Snapshot {
            flush,
            ..Snapshot::default()
        };
    }

    /// Copies what does not change any more, while the store goes on; returns how many bytes that
    /// were. What goes meanwhile is left out.
    pub(super) fn ahead(
        &mut self,
        dir: &Path,
        staging: &Path,
        checkpoint: &Checkpoint,
        wal_end: Position,
    ) -> Result<u64, SnapshotError> {
        let before: u64 = self.copied.values().map(|copied| copied.bytes).sum();
        self.is_ahead = true;
        let below = |part: &str| (dir.join(part), staging.join(part));
        let (store, wal) = (below("store"), below("wal"));
        self.partitions(&store.0, &store.1, checkpoint.flush)?;
        self.log(&wal.0, &wal.1, checkpoint.position(), wal_end)?;
        let after: u64 = self.copied.values().map(|copied| copied.bytes).sum();
        Ok(after - before)
    }

    /// Removes what was copied before and does not belong to the snapshot.
    pub(super) fn remove_others(&self) -> Result<(), SnapshotError> {
        let others = self.copied.iter().filter(|(_, copied)| !copied.belongs);
        for (path, _) in others {
            let removed = self.files.remove_file(path);
            removed.map_err(failed("remove", path))?;
            if let Some(dir) = path.parent() {
                self.files.sync_dir(dir).map_err(failed("sync", dir))?;
            }
        }
        Ok(())
    }

    /// Another name for a file that never changes, or a copy.
    fn link(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<(), SnapshotError> {
        if self.is_ahead {
            return self.copy_ahead(from, to, bytes);
        }
        if let Some(copied) = self.copied.get_mut(to) {
            copied.belongs = true;
            self.count_copy(bytes);
            return Ok(());
        }
        match self.files.hard_link(from, to) {
            Ok(()) => {
                self.taken.linked_files += 1;
                self.taken.bytes += bytes;
                Ok(())
            }
            Err(error) if link_is_impossible(error.kind()) => {
                let left = self.instead_of_links.checked_sub(bytes);
                self.instead_of_links = left.ok_or(SnapshotError::NoLinks)?;
                self.copy(from, to, bytes)
            }
            Err(error) => Err(failed("link", from)(error)),
        }
    }

    fn copy_ahead(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<(), SnapshotError> {
        // What an index says of itself is replaced under its name.
        let changes = to.extension().is_some_and(|extension| extension == "json");
        if changes || self.copied.contains_key(to) {
            return Ok(());
        }
        match copy(self.files, from, to, bytes) {
            Err(SnapshotError::Io { source, path, .. })
                if path == from && source.kind() == ErrorKind::NotFound => {}
            done => {
                done?;
                let copied = Copied {
                    bytes,
                    belongs: false,
                };
                self.copied.insert(to.to_owned(), copied);
            }
        }
        Ok(())
    }

    fn count_copy(&mut self, bytes: u64) {
        self.taken.copied_files += 1;
        self.taken.bytes += bytes;
        self.taken.copied_bytes += bytes;
    }

    fn copy(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<(), SnapshotError> {
        copy(self.files, from, to, bytes)?;
        self.count_copy(bytes);
        Ok(())
    }

    /// Copies a small file that may be replaced at any moment, if it is there.
    pub(super) fn copy_whole(&mut self, from: &Path, to: &Path) -> Result<(), SnapshotError> {
        let content = match self.files.read(from) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.map_err(failed("read", from))?,
        };
        let write = || {
            let file = self.files.create_new(to)?;
            file.write_at(&content, 0)?;
            file.sync_data()
        };
        write().map_err(failed("write", to))?;
        self.count_copy(content.len() as u64);
        Ok(())
    }

    fn list(&self, dir: &Path, kind: EntryKind) -> Result<Vec<(String, u64)>, SnapshotError> {
        let entries = self.files.list(dir).map_err(failed("list", dir))?;
        let wanted = entries.into_iter().filter(|entry| entry.kind == kind);
        Ok(wanted.map(|entry| (entry.name, entry.bytes)).collect())
    }

    /// Every partition, with the files of flushes that count.
    pub(super) fn partitions(
        &mut self,
        from: &Path,
        to: &Path,
        flush_max: u64,
    ) -> Result<(), SnapshotError> {
        for (tenant, _) in self.list(from, EntryKind::Dir)? {
            if Tenant::new(&tenant).is_none() {
                continue;
            }
            let below = Path::new(&tenant);
            for (signal, _) in self.list(&from.join(below), EntryKind::Dir)? {
                if partition::of_folder(&signal).is_none() {
                    continue;
                }
                let below = below.join(&signal);
                for (day, _) in self.list(&from.join(&below), EntryKind::Dir)? {
                    if day_from_name(&day).is_some() {
                        let below = below.join(&day);
                        let (from, to) = (from.join(&below), to.join(&below));
                        match self.partition(&from, &to, flush_max) {
                            // Dropped meanwhile.
                            Err(SnapshotError::Io { source, .. })
                                if self.is_ahead && source.kind() == ErrorKind::NotFound => {}
                            done => done?,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn partition(&mut self, from: &Path, to: &Path, flush_max: u64) -> Result<(), SnapshotError> {
        let made = self.files.create_dir_all(to);
        made.map_err(failed("create", to))?;
        let found = self.list(from, EntryKind::File)?;
        let listed = Listed::new(found.iter().map(|(name, _)| name.as_str()), flush_max);
        for (name, bytes) in &found {
            if listed.counts(name) {
                let bytes = *bytes;
                self.link(&from.join(name), &to.join(name), bytes)?;
            }
        }
        let index = from.join(partition::INDEX);
        let found = self.files.stat(&index).map_err(failed("look at", &index))?;
        if found.is_some() {
            let to = to.join(partition::INDEX);
            let made = self.files.create_dir_all(&to);
            made.map_err(failed("create", &to))?;
            for (name, bytes) in self.list(&index, EntryKind::File)? {
                // What was to replace a file and did not counts for nothing.
                if !name.ends_with(".tmp") {
                    self.link(&index.join(&name), &to.join(&name), bytes)?;
                }
            }
            self.files.sync_dir(&to).map_err(failed("sync", &to))?;
        }
        self.files.sync_dir(to).map_err(failed("sync", to))
    }

    /// The segments of the log between two positions. The last of them may be written on, in the
    /// data folder or in the copy: it is copied up to the end.
    pub(super) fn log(
        &mut self,
        from: &Path,
        to: &Path,
        begin: Position,
        end: Position,
    ) -> Result<(), SnapshotError> {
        let mut segments: Vec<(u64, String, u64)> = Vec::new();
        for (name, bytes) in self.list(from, EntryKind::File)? {
            let number = journal::segment_number(&name);
            let number = number.filter(|number| (begin.segment..=end.segment).contains(number));
            segments.extend(number.map(|number| (number, name, bytes)));
        }
        let before = self.taken.bytes;
        if begin < end {
            let last = segments.pop();
            for (number, name, bytes) in segments {
                match self.link(&from.join(&name), &to.join(&name), bytes) {
                    // It ends where the log is to be read from, and was freed since it was listed.
                    Err(SnapshotError::Io { source, .. })
                        if number == begin.segment && source.kind() == ErrorKind::NotFound => {}
                    linked => linked?,
                }
            }
            if let Some((number, name, bytes)) = last.filter(|_| !self.is_ahead) {
                let bytes = if number == end.segment {
                    bytes.min(end.offset)
                } else {
                    bytes
                };
                self.copy(&from.join(&name), &to.join(&name), bytes)?;
            }
        }
        self.taken.wal_bytes = self.taken.bytes - before;
        self.files.sync_dir(to).map_err(failed("sync", to))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use testkit::{FaultFiles, MemoryFiles, Op};

    use super::*;

    #[test]
    fn a_used_up_segment_that_is_freed_meanwhile_is_left_out() {
        let memory = MemoryFiles::new();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        let (from, to) = (Path::new("/wal"), Path::new("/snapshot"));
        for dir in [from, to] {
            files.create_dir_all(dir).unwrap();
        }
        for number in 4..=6 {
            let path = from.join(format!("{number:020}.seg"));
            files.create(&path).unwrap().write_at(&[7; 300], 0).unwrap();
        }
        let of_first = from.join(format!("{:020}.seg", 4));
        let there = memory.clone();
        files.watch(move |change| {
            if change.op == Op::Link {
                let _ = there.remove_file(&of_first);
            }
        });
        let position = |segment, offset| Position { segment, offset };
        let mut copier = Copier::new(&files, 0);
        copier.begin(1);
        let (begin, end) = (position(4, 300), position(6, 200));
        copier.log(from, to, begin, end).unwrap();
        let names = files.list(to).unwrap();
        let sizes: Vec<u64> = names.iter().map(|entry| entry.bytes).collect();
        assert_eq!(sizes, [300, 200]);
        assert_eq!(copier.taken.wal_bytes, 500);
        // Any other one has rows that are needed.
        memory.remove_file(&to.join(&names[0].name)).unwrap();
        memory.remove_file(&to.join(&names[1].name)).unwrap();
        let of_next = from.join(&names[0].name);
        files.watch(move |change| {
            if change.op == Op::Link {
                let _ = memory.remove_file(&of_next);
            }
        });
        assert!(copier.log(from, to, begin, end).is_err());
    }
}
