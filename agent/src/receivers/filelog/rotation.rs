//! Files that appear, move, are emptied and go away.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{FileId, FileState, Head};
use super::discover::{self, Found};
use super::poller::{Poller, nanos};
use super::tracked::Tracked;
use crate::options::StartAt;

/// A removed file that is still held open is given up when nothing came for this long.
const REMOVED_IDLE_NANOS: u64 = 5_000_000_000;
/// A shorter beginning that two files share does not make them the same.
const CERTAIN_BYTES: u64 = 256;

impl Tracked {
    /// A file that an earlier run has read. Its treatment is that of a set that it has to be given.
    pub(super) fn restored(id: FileId, state: FileState) -> Self {
        Self {
            id,
            path: state.path(),
            lineage: Arc::from(state.lineage()),
            set: usize::MAX,
            file: None,
            bytes: state.offset,
            drained: true,
            pending: Vec::new(),
            active_at: 0,
            next_look: u64::MAX,
            pending_since: 0,
            orphan: true,
            verified: false,
            state,
        }
    }

    fn new(id: FileId, found: &Found) -> Self {
        let state = FileState::new(&found.path, &found.path);
        Self {
            set: found.set,
            bytes: found.bytes,
            drained: false,
            next_look: 0,
            orphan: false,
            verified: true,
            ..Self::restored(id, state)
        }
    }

    /// Takes a file that begins so for a copy: it is not read, and not held open.
    fn pass_over(&mut self, start: &[u8]) {
        self.state.copy = true;
        self.state.head = Head::of(start);
        self.state.offset = self.bytes;
        self.drained = true;
        self.file = None;
    }

    fn move_to(&mut self, path: &Path) {
        self.path = path.to_owned();
        self.state.set_path(path);
    }
}

impl Poller {
    /// Matches the patterns against the disk.
    pub(super) fn discover(&mut self, now: u64) {
        let (found, unreadable) = discover::discover(&self.sets);
        self.problem("unreadable", unreadable);
        let unix = self.env.clock.unix_nanos();
        let mut new = Vec::new();
        let mut changed = Vec::new();
        for (id, found) in &found {
            let Some(file) = self.files.get_mut(id) else {
                new.push((*id, found.clone()));
                continue;
            };
            file.state.seen_unix_nano = unix;
            let moved = file.path != found.path;
            // Nobody else gets the number of a file that is open.
            if file.file.is_none() && (moved || file.state.copy && file.bytes != found.bytes) {
                changed.push((*id, found.clone()));
            }
            if file.orphan {
                file.orphan = false;
                file.next_look = 0;
            }
            file.set = found.set;
            if moved {
                file.move_to(&found.path);
                file.next_look = 0;
                self.dirty_files.insert(*id);
            }
        }
        new.extend(self.others(changed));
        self.adopt_all(new, &found, now);
        self.look_for_orphans(&found, now);
        self.forget(now, unix);
        self.fresh = false;
    }

    fn adopt_all(
        &mut self,
        mut new: Vec<(FileId, Found)>,
        found: &BTreeMap<FileId, Found>,
        now: u64,
    ) {
        if new.is_empty() {
            return;
        }
        // Of files that appear together the older ones were written first.
        new.sort_by_key(|(id, found)| (found.modified_nanos, *id));
        let by_path = self.by_path();
        for (id, file) in new {
            if self.files.len() >= self.options.filelog.files_max {
                self.problem("too_many_files", 1);
                continue;
            }
            let path = file.path.clone();
            match self.adopt(id, &file, found, &by_path, now) {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot read a log file");
                    self.problem("unreadable", 1);
                }
            }
        }
    }

    fn by_path(&self) -> HashMap<PathBuf, Vec<FileId>> {
        let mut by_path: HashMap<PathBuf, Vec<FileId>> = HashMap::new();
        for file in self.files.values() {
            by_path.entry(file.path.clone()).or_default().push(file.id);
        }
        by_path
    }

    /// Of files that are not any more where or what they were, those that are others now: the file
    /// system gave their number to another file, or what was passed over as a copy is written to.
    /// What was known of these is forgotten.
    fn others(&mut self, changed: Vec<(FileId, Found)>) -> Vec<(FileId, Found)> {
        if changed.is_empty() {
            return changed;
        }
        let by_path = self.by_path();
        let mut others = Vec::new();
        for (id, found) in changed {
            let Some(mut file) = self.files.remove(&id) else {
                continue;
            };
            match self.is_still(&mut file, &found, &by_path) {
                Ok(false) => {
                    let bytes = file.bytes;
                    if !file.state.copy {
                        self.give_up(&mut file, bytes);
                    }
                    others.push((id, found));
                }
                Ok(true) => {
                    self.dirty_files.insert(id);
                    self.files.insert(id, file);
                }
                Err(error) => {
                    tracing::warn!(path = %found.path.display(), %error, "cannot read a log file");
                    self.problem("unreadable", 1);
                    self.files.insert(id, file);
                }
            }
        }
        others
    }

    fn is_still(
        &self,
        file: &mut Tracked,
        found: &Found,
        by_path: &HashMap<PathBuf, Vec<FileId>>,
    ) -> io::Result<bool> {
        file.move_to(&found.path);
        if file.open()?.is_none() {
            // It was moved since, and is compared under its next name.
            return Ok(true);
        }
        if !file.state.copy {
            let state = file.state.clone();
            return Ok(found.bytes >= state.offset && file.matches_state(&state)?);
        }
        let has_grown = found.bytes > file.bytes;
        let start = file.start()?;
        // Earlier builds did not note how copies begin.
        let is_known = file.state.head.bytes > 0;
        if is_known && !file.state.head.matches(&start) {
            return Ok(false);
        }
        file.bytes = found.bytes;
        if is_known && has_grown && !discover::is_compressed(&start) {
            let original = self.original_of(file, by_path)?;
            if original.is_none() {
                return Ok(false);
            }
        }
        file.pass_over(&start);
        Ok(true)
    }

    /// Starts to follow a file that was not known.
    fn adopt(
        &mut self,
        id: FileId,
        found: &Found,
        all: &BTreeMap<FileId, Found>,
        by_path: &HashMap<PathBuf, Vec<FileId>>,
        now: u64,
    ) -> io::Result<()> {
        let mut file = Tracked::new(id, found);
        file.active_at = now;
        file.state.seen_unix_nano = self.env.clock.unix_nanos();
        file.state.order = self.next_order;
        self.next_order += 1;
        if file.open()?.is_none() {
            // It was moved since, and is found under its next name.
            return Ok(());
        }
        let start = file.start()?;
        if discover::is_compressed(&start) {
            self.problem("compressed_files_passed_over", 1);
            file.pass_over(&start);
        } else if let Some(original) = self.original_of(&mut file, by_path)? {
            // Until the original is emptied there is nothing in the copy that it lacks.
            file.pass_over(&start);
            tracing::debug!(path = %file.path.display(), original = %original.display(), "a log file was copied");
        } else if let Some(before) = self.same_under_another_id(&mut file, all, by_path)? {
            if let Some(gone) = self.files.remove(&before) {
                file.lineage = gone.lineage;
                file.state = gone.state;
                file.move_to(&found.path);
                self.forgotten.insert(before);
            }
        } else if self.fresh && self.sets[found.set].options.start_at == StartAt::End {
            file.skip_to_end()?;
            file.drained = true;
        }
        // A file that has just been forgotten under this number must not be removed again.
        self.forgotten.remove(&id);
        self.dirty_files.insert(id);
        self.files.insert(id, file);
        Ok(())
    }

    /// The followed file that this one was copied from, as `copytruncate` does. While that one is not
    /// emptied a copy is no longer than it: a longer one only begins in the same way. One that is
    /// still being made may end before what was read.
    fn original_of(
        &self,
        file: &mut Tracked,
        by_path: &HashMap<PathBuf, Vec<FileId>>,
    ) -> io::Result<Option<PathBuf>> {
        let name = file
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let ends = name
            .char_indices()
            .filter(|(at, c)| *at > 0 && matches!(c, '.' | '-' | '_'));
        for (end, _) in ends {
            let path = file.path.with_file_name(&name[..end]);
            for id in by_path.get(&path).into_iter().flatten() {
                let Some(original) = self.files.get(id) else {
                    continue;
                };
                let state = &original.state;
                if state.copy || state.offset == 0 {
                    continue;
                }
                let mut same = Tracked::restored(*id, state.clone());
                let is_all = file.bytes >= state.offset;
                let is_copy = if same.matches_state(state)? {
                    let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    (is_all || file.bytes >= CERTAIN_BYTES)
                        && file.bytes <= bytes
                        && file.is_beginning_of(&mut same)?
                } else {
                    is_all && file.matches_state(state)?
                };
                if is_copy {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    /// A file that had this path, is gone, and had the same content: the disk was given another
    /// number by a reboot, or the file was restored. A short beginning proves nothing, unless
    /// the inode is the same.
    fn same_under_another_id(
        &self,
        file: &mut Tracked,
        all: &BTreeMap<FileId, Found>,
        by_path: &HashMap<PathBuf, Vec<FileId>>,
    ) -> io::Result<Option<FileId>> {
        for id in by_path.get(&file.path).into_iter().flatten() {
            let Some(before) = self.files.get(id) else {
                continue;
            };
            let gone = !all.contains_key(id) && before.file.is_none() && !before.state.copy;
            let certain =
                id.ino == file.id.ino || u64::from(before.state.head.bytes) >= CERTAIN_BYTES;
            if gone
                && certain
                && before.state.offset > 0
                && file.bytes >= before.state.offset
                && file.matches_state(&before.state)?
            {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    /// Files that no pattern names any more may have been renamed: their rest is still read.
    fn look_for_orphans(&mut self, found: &BTreeMap<FileId, Found>, now: u64) {
        let mut by_folder: HashMap<PathBuf, HashSet<FileId>> = HashMap::new();
        for file in self.files.values_mut() {
            let newly = !file.orphan || file.next_look == u64::MAX && !file.verified;
            if found.contains_key(&file.id) || !newly {
                continue;
            }
            file.orphan = true;
            file.next_look = if file.file.is_some() { 0 } else { u64::MAX };
            file.verified |= file.file.is_some();
            if let Some(folder) = file.path.parent() {
                let wanted = by_folder.entry(folder.to_owned()).or_default();
                wanted.insert(file.id);
            }
        }
        for (folder, wanted) in by_folder {
            let mut missing = wanted.clone();
            for (id, path) in discover::find_in_folder(&folder, &wanted) {
                missing.remove(&id);
                let Some(file) = self.files.get_mut(&id) else {
                    continue;
                };
                file.move_to(&path);
                file.next_look = 0;
                file.active_at = now;
                self.dirty_files.insert(id);
            }
            for id in missing {
                self.lost(id);
            }
        }
    }

    /// A file is gone, and with it what was not read of it, unless it is held open.
    fn lost(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        file.verified = true;
        if file.file.is_some() || file.state.copy {
            return;
        }
        let unread = file.bytes.saturating_sub(file.state.offset);
        if unread > 0 {
            tracing::error!(path = %file.path.display(), unread, "a log file was removed before it was read");
        }
        self.problem("lost_bytes", unread);
    }

    /// Lets go of files that are gone for good.
    fn forget(&mut self, now: u64, unix: u64) {
        let keep = nanos(self.options.filelog.forget_after);
        let mut gone = Vec::new();
        let mut unfinished = Vec::new();
        for file in self.files.values().filter(|file| file.orphan) {
            let removed = file.file.as_ref().is_some_and(|open| {
                use std::os::unix::fs::MetadataExt;
                open.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
            });
            let idle = now.saturating_sub(file.active_at) >= REMOVED_IDLE_NANOS;
            if removed && file.drained && idle {
                if file.pending.is_empty() {
                    gone.push(file.id);
                } else {
                    unfinished.push(file.id);
                }
            } else if unix.saturating_sub(file.state.seen_unix_nano) >= keep {
                gone.push(file.id);
            }
        }
        for id in unfinished {
            if let Some(mut file) = self.files.remove(&id) {
                self.emit_pending(&mut file);
                self.files.insert(id, file);
                self.commit_if_full(None);
            }
        }
        for id in gone {
            self.files.remove(&id);
            self.dirty_files.remove(&id);
            self.forgotten.insert(id);
        }
    }

    /// A file holds something else than what was read: it was emptied. What was not read may
    /// have been copied away; then the copy is read from there on, before the file itself.
    pub(super) fn replaced(&mut self, file: &mut Tracked, bytes_before: u64) {
        self.problem("truncations", 1);
        let copy = self.copy_of(file);
        if let Some(id) = copy {
            file.pending.clear();
            self.dirty_files.insert(id);
        } else {
            self.give_up(file, bytes_before);
        }
        tracing::info!(path = %file.path.display(), copy = copy.is_some(), "a log file was emptied");
        file.state.restart();
        file.state.order = self.next_order;
        self.next_order += 1;
        // Its turn comes again after that of the copy.
        file.drained = false;
        file.verified = true;
        file.next_look = 0;
        self.dirty_files.insert(file.id);
        self.dirty_lineages.insert(Arc::clone(&file.lineage));
    }

    /// Counts what was not read of a file that is not there any more, and takes what there is of its
    /// last line.
    fn give_up(&mut self, file: &mut Tracked, bytes: u64) {
        let read = file.state.offset + file.pending.len() as u64;
        self.problem("lost_bytes", bytes.saturating_sub(read));
        if file.pending.is_empty() || file.state.skipping {
            file.pending.clear();
        } else {
            self.emit_pending(file);
        }
    }

    /// Finds the copy of an emptied file and sets it to go on where the file was left.
    fn copy_of(&mut self, file: &Tracked) -> Option<FileId> {
        if file.state.offset == 0 {
            return None;
        }
        for (id, path) in discover::rotated_siblings(&file.path) {
            if self.files.get(&id).is_some_and(|known| !known.state.copy) {
                continue;
            }
            let found = Found {
                bytes: std::fs::metadata(&path).map_or(0, |metadata| metadata.len()),
                path,
                modified_nanos: 0,
                set: file.set,
            };
            let mut copy = Tracked::new(id, &found);
            let known = self.files.get(&id);
            copy.orphan = known.is_none_or(|known| known.orphan);
            let matches =
                copy.bytes >= file.state.offset && copy.matches_state(&file.state).unwrap_or(false);
            if !matches {
                continue;
            }
            let path = copy.path.clone();
            copy.state = file.state.clone();
            copy.state.seen_unix_nano = self.env.clock.unix_nanos();
            copy.move_to(&path);
            copy.lineage = Arc::clone(&file.lineage);
            copy.active_at = self.env.clock.monotonic_nanos();
            self.forgotten.remove(&id);
            self.files.insert(id, copy);
            return Some(id);
        }
        None
    }
}

/// The first set one of whose patterns names a path.
pub(super) fn set_of(sets: &[discover::FileSet], path: &Path) -> usize {
    let names = |set: &discover::FileSet| {
        let mut includes = set.options.include.iter();
        includes.any(|include| {
            glob::Pattern::new(include).is_ok_and(|pattern| pattern.matches_path(path))
        })
    };
    sets.iter().position(names).unwrap_or(0)
}
