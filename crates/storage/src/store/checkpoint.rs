//! The checkpoint: up to which flush files count, and from which WAL position on to replay.
//!
//! `store/CHECKPOINT` is JSON, replaced by rename. It is the one commit point of a flush that
//! touches several partitions. Nothing else says what it says, so it is there twice: two sealed
//! copies (see [`crate::sealed`]), each of whole sectors. `store/CHECKPOINT.spare` is the same once
//! more, for a file that is lost or damaged as a whole. It is written first, when all files of the
//! flush are durable, and a start goes by the later one of the two: so from then on the flush
//! counts, and nothing is written again under its number, whether or not the other file can be
//! written as well. The WAL is freed only after both, and after a record of the WAL says the same a
//! third time: see [`super::rebuild`].

use std::path::Path;

use env::Env;
use journal::Position;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::stamps::Stamps;
use crate::sealed;

/// In version 1 the file was the JSON alone.
const VERSION: u32 = 2;
/// Damage rarely reaches from one copy into the other where each has sectors of its own.
const SECTOR_BYTES: usize = 4_096;

/// What a flush commits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u32,
    /// Files of flushes up to this one count; 0 before the first.
    pub flush: u64,
    /// Everything before this WAL position is in files.
    pub wal_segment: u64,
    pub wal_offset: u64,
    /// Stamps of the batches before that position.
    pub(super) stamps: Stamps,
}

impl Checkpoint {
    /// The file's name in the store's folder.
    pub(crate) const NAME: &str = "CHECKPOINT";
    /// That of the one that is read where the first does not.
    pub(crate) const SPARE: &str = "CHECKPOINT.spare";

    pub(super) fn new(flush: u64, position: Position, stamps: Stamps) -> Self {
        Self {
            version: VERSION,
            flush,
            wal_segment: position.segment,
            wal_offset: position.offset,
            stamps,
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            segment: self.wal_segment,
            offset: self.wal_offset,
        }
    }

    /// Reads the checkpoint of a store; the default for a new store. Also says whether any of it is
    /// damaged.
    pub(crate) fn read(env: &Env, root: &Path) -> Result<(Self, bool), OpenError> {
        let found = Self::find(env, root).map_err(|unread| unread.of(root))?;
        Ok(found.unwrap_or_default())
    }

    /// The same; nothing where both files are missing.
    pub(super) fn find(env: &Env, root: &Path) -> Result<Option<(Self, bool)>, Unread> {
        let first = Self::read_file(env, &root.join(Self::NAME));
        if let Err(unread @ Unread::Later(_)) = first {
            return Err(unread);
        }
        match (first, Self::read_file(env, &root.join(Self::SPARE))) {
            // A process that ended between the two had all files of the later one durable.
            (Ok(Some((first, _))), Ok(Some((spare, damaged)))) if spare.flush > first.flush => {
                Ok(Some((spare, damaged)))
            }
            (Ok(Some((first, _))), Err(unread)) => {
                tracing::error!(?unread, "the spare of the checkpoint does not read");
                Ok(Some((first, true)))
            }
            (Ok(Some(read)), Ok(_)) => Ok(Some(read)),
            (Ok(None), Ok(Some((spare, damaged)))) => {
                // At the first flush it may not have been written yet; later it is replaced.
                let missing = spare.flush > 1;
                if missing {
                    tracing::error!("the checkpoint is missing, its spare is used");
                }
                Ok(Some((spare, damaged || missing)))
            }
            (Ok(None), Ok(None)) => Ok(None),
            (Err(unread), Ok(Some((spare, _)))) => {
                tracing::error!(?unread, "the checkpoint does not read, its spare is used");
                Ok(Some((spare, true)))
            }
            // What the system does not let be read may be whole.
            (Err(refused @ Unread::Refused(_)), _) | (_, Err(refused @ Unread::Refused(_))) => {
                Err(refused)
            }
            (_, Err(later @ Unread::Later(_))) => Err(later),
            (Err(unread), _) | (Ok(_), Err(unread)) => Err(unread),
        }
    }

    /// Whether a process ended before it had written the second of the two files, or the spare one is
    /// gone.
    fn is_half_written(env: &Env, root: &Path) -> bool {
        let read = |name| Self::read_file(env, &root.join(name));
        match (read(Self::NAME), read(Self::SPARE)) {
            (Ok(Some((first, _))), Ok(Some((spare, _)))) => first.flush != spare.flush,
            (Ok(None), Ok(Some(_))) | (Ok(Some(_)), Ok(None)) => true,
            _ => false,
        }
    }

    /// Makes durable what was found: that a process before saw a file under its name does not say
    /// that the name lasts, and files and segments of the log are removed by what it says. Says
    /// whether both files say it, before which none of the log may go.
    pub(super) fn keep(&self, env: &Env, root: &Path) -> std::io::Result<bool> {
        let (first, spare) = (root.join(Self::NAME), root.join(Self::SPARE));
        if Self::read_file(env, &spare).is_err()
            && matches!(Self::read_file(env, &first), Ok(Some(_)))
        {
            // It may read the next time, and say more than what was found: what it would make count is
            // removed now.
            match env.files.remove_file(&spare) {
                // It did not even say whether it is there.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            env.files.sync_dir(root)?;
        }
        let mut both = true;
        if Self::is_half_written(env, root)
            && let Err(error) = self.write(env, root)
        {
            both = false;
            tracing::warn!(%error, "one of the two files of the checkpoint is not up to date, the \
                log keeps what is in files");
        }
        env.files.sync_dir(root)?;
        Ok(both)
    }

    /// The checkpoint of a record of the log.
    pub(super) fn from_record(json: &[u8]) -> Option<Self> {
        let checkpoint: Self = serde_json::from_slice(json).ok()?;
        (checkpoint.version <= VERSION).then_some(checkpoint)
    }

    /// What is wrong with the spare one, where it is there.
    pub(crate) fn spare_damage(env: &Env, root: &Path) -> Option<String> {
        match Self::read_file(env, &root.join(Self::SPARE)) {
            Ok(Some((_, true))) => Some("one of its two copies is damaged".to_owned()),
            Ok(_) => None,
            Err(unread) => Some(unread.of(root).to_string()),
        }
    }

    /// Reads one file, if it is there.
    fn read_file(env: &Env, path: &Path) -> Result<Option<(Self, bool)>, Unread> {
        let read = || match env.files.stat(path)? {
            Some(_) => env.files.read(path).map(Some),
            None => Ok(None),
        };
        let read = env::read_patiently(read).map_err(|error| {
            // A bad sector: the file is as good as lost.
            if env::is_unreadable(&error) {
                Unread::Damaged(error.to_string())
            } else {
                Unread::Refused(error.to_string())
            }
        });
        let Some(bytes) = read? else {
            return Ok(None);
        };
        let (json, damaged) = sound_copy(&bytes);
        let checkpoint: Self =
            serde_json::from_slice(json).map_err(|error| Unread::Damaged(error.to_string()))?;
        if checkpoint.version > VERSION {
            return Err(Unread::Later(checkpoint.version));
        }
        Ok(Some((checkpoint, damaged)))
    }

    /// Replaces both files of the checkpoint durably. The files that it makes count must be durable.
    pub(super) fn write(&self, env: &Env, root: &Path) -> std::io::Result<()> {
        self.write_spare(env, root)?;
        env.files.sync_dir(root)?;
        self.write_first(env, root)
    }

    /// Replaces the spare one, by which a start may go from then on; it is sure to once the folder
    /// is synced. After an error it is what it was.
    pub(super) fn write_spare(&self, env: &Env, root: &Path) -> std::io::Result<()> {
        let path = root.join(Self::SPARE);
        let unnamed = root.join(format!("{}.tmp", Self::SPARE));
        let file = env.files.create(&unnamed)?;
        file.write_at(&self.content()?, 0)?;
        file.sync_data()?;
        drop(file);
        match env.files.rename(&unnamed, &path) {
            // An error may hide that it was done.
            Err(_) if matches!(env.files.stat(&unnamed), Ok(None)) => Ok(()),
            renamed => renamed,
        }
    }

    /// Replaces the other one durably, once the spare one is durable.
    pub(super) fn write_first(&self, env: &Env, root: &Path) -> std::io::Result<()> {
        env.files
            .write_atomic(&root.join(Self::NAME), &self.content()?)
    }

    /// What it takes in each place.
    pub(super) fn bytes(&self) -> std::io::Result<u64> {
        Ok(self.json()?.len() as u64)
    }

    fn json(&self) -> std::io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(std::io::Error::other)
    }

    fn content(&self) -> std::io::Result<Vec<u8>> {
        let json = self.json()?;
        Ok(sealed::seal_padded(json, SECTOR_BYTES).repeat(2))
    }
}

/// Why a file is no checkpoint.
#[derive(Debug)]
pub(super) enum Unread {
    Damaged(String),
    /// The system does not let it be read.
    Refused(String),
    /// It is of a later version.
    Later(u32),
}

impl Unread {
    pub(super) fn of(self, root: &Path) -> OpenError {
        let reason = match self {
            Self::Damaged(reason) | Self::Refused(reason) => reason,
            Self::Later(version) => {
                format!(
                    "version {version}, this program reads up to version {VERSION}; use a newer build"
                )
            }
        };
        OpenError::Checkpoint {
            path: root.join(Checkpoint::NAME),
            reason,
        }
    }
}

/// The first copy that has its checksum, and whether one of the two has not; the whole file where
/// none has, as in version 1.
fn sound_copy(bytes: &[u8]) -> (&[u8], bool) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let sound = |copy| sealed::unseal(copy).ok().flatten();
    match (sound(first), sound(second)) {
        (Some(first), second) => (first, second.is_none()),
        (None, Some(second)) => (second, true),
        (None, None) => (bytes, false),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use testkit::{Failure, FaultFiles, MemoryFiles, Op, Plan};

    use super::*;

    #[test]
    fn a_flipped_bit_is_seen_and_costs_nothing() {
        let files = MemoryFiles::new();
        let (env, _) = testkit::env(1, Arc::new(files.clone()));
        let root = Path::new("/store");
        env.files.create_dir_all(root).unwrap();
        let position = Position {
            segment: 3,
            offset: 1_234,
        };
        let checkpoint = Checkpoint::new(7, position, Stamps::default());
        checkpoint.write(&env, root).unwrap();
        let read = || Checkpoint::read(&env, root).unwrap();
        assert_eq!(read(), (checkpoint.clone(), false));
        let bytes = env.files.read(&root.join(Checkpoint::NAME)).unwrap().len();
        for at in 0..bytes {
            files.flip_bit(&root.join(Checkpoint::NAME), at, (at % 8) as u8);
            assert_eq!(read(), (checkpoint.clone(), true), "byte {at}");
            files.flip_bit(&root.join(Checkpoint::NAME), at, (at % 8) as u8);
        }
    }

    #[test]
    fn version_1_reads_and_later_ones_are_refused() {
        let files = MemoryFiles::new();
        let (env, _) = testkit::env(1, Arc::new(files));
        let root = Path::new("/store");
        env.files.create_dir_all(root).unwrap();
        let mut checkpoint = Checkpoint::new(7, Position::START, Stamps::default());
        for (version, readable) in [(1, true), (2, true), (3, false)] {
            checkpoint.version = version;
            let json = serde_json::to_vec(&checkpoint).unwrap();
            env.files
                .write_atomic(&root.join(Checkpoint::NAME), &json)
                .unwrap();
            let read = Checkpoint::read(&env, root);
            assert_eq!(read.is_ok_and(|(read, _)| read == checkpoint), readable);
        }
    }

    #[test]
    fn a_spare_that_does_not_read_once_says_nothing_later() {
        let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
        let (env, _) = testkit::env(1, Arc::new(files.clone()));
        let root = Path::new("/store");
        env.files.create_dir_all(root).unwrap();
        let first = Checkpoint::new(7, Position::START, Stamps::default());
        first.write(&env, root).unwrap();
        // The process ends before it writes the other file.
        let later = Checkpoint::new(8, Position::START, Stamps::default());
        later.write_spare(&env, root).unwrap();
        files.plan(Plan {
            path_contains: Checkpoint::SPARE.to_owned(),
            ..Plan::always(Op::Read, Failure::Io)
        });
        let (found, damaged) = Checkpoint::read(&env, root).unwrap();
        assert_eq!((&found, damaged), (&first, true));
        assert!(found.keep(&env, root).unwrap());
        files.heal();
        assert_eq!(Checkpoint::read(&env, root).unwrap(), (first, false));
    }

    #[test]
    fn a_file_that_is_lost_or_damaged_as_a_whole_has_a_spare() {
        let files = MemoryFiles::new();
        let (env, _) = testkit::env(1, Arc::new(files.clone()));
        let root = Path::new("/store");
        env.files.create_dir_all(root).unwrap();
        assert_eq!(Checkpoint::read(&env, root).unwrap(), Default::default());
        let checkpoint = Checkpoint::new(7, Position::START, Stamps::default());
        checkpoint.write(&env, root).unwrap();
        let put = |name: &str, content: &[u8]| {
            env.files.create(&root.join(name)).unwrap();
            env.files.write_atomic(&root.join(name), content).unwrap();
        };
        for content in [&b""[..], b"{", &[0; 8_192]] {
            put(Checkpoint::NAME, content);
            let read = Checkpoint::read(&env, root).unwrap();
            assert_eq!(read, (checkpoint.clone(), true));
        }
        // Both are needed to hide what counts.
        put(Checkpoint::SPARE, b"");
        assert!(Checkpoint::read(&env, root).is_err());
        env.files.remove_file(&root.join(Checkpoint::NAME)).unwrap();
        assert!(Checkpoint::read(&env, root).is_err());
        checkpoint.write(&env, root).unwrap();
        env.files.remove_file(&root.join(Checkpoint::NAME)).unwrap();
        assert_eq!(Checkpoint::read(&env, root).unwrap(), (checkpoint, true));
        // A process may end before it has written the first one of all.
        let checkpoint = Checkpoint::new(1, Position::START, Stamps::default());
        checkpoint.write(&env, root).unwrap();
        env.files.remove_file(&root.join(Checkpoint::NAME)).unwrap();
        assert_eq!(Checkpoint::read(&env, root).unwrap(), (checkpoint, false));
    }
}
