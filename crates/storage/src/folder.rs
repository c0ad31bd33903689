//! A data folder looked at from outside: read only and as of one checkpoint, also while a process
//! has it open.
//!
//! What counts is what the checkpoint says. A process that has the folder open moves the checkpoint,
//! drops partitions and frees segments meanwhile, so everything is opened first, and anew where the
//! checkpoint is another one afterwards. From then on files stay readable, whatever becomes of their
//! names.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use env::{Entry, EntryKind, Env};
use journal::JournalError;
use model::correlation::CorrelationKeys;
use model::room::Room;
use model::row::Decode;
use model::{Signal, Tenant};

use crate::OpenError;
use crate::chunk::{Chunk, ChunkSink, Received};
use crate::partition::{
    BlockFile, EXTENSIONS, FileError, FileId, INDEX, Listed, PartitionKey, day_from_dropped,
    day_from_name, day_from_set_aside, of_folder,
};
use crate::store::rebuild::SET_ASIDE;
use crate::store::{Again, Checkpoint, Record, SOURCES, decode_batch};

/// How often a folder that changes is looked at before it is given up.
const TRIES: usize = 20;
/// What else a data folder has beside `store` and `wal`.
const KNOWN: [&str; 8] = [
    "lock",
    "endpoints.json",
    "endpoints.lock",
    "admin.key",
    "agent",
    "query",
    "store",
    "wal",
];

/// Why a folder cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is none.
    #[error("{dir} is not the data folder of a collector: it has no folder store")]
    NotAFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The checkpoint does not read: nobody knows what counts.
    #[error(transparent)]
    Checkpoint(#[from] OpenError),
    /// The log cannot be read.
    #[error("wal: {0}")]
    Wal(#[from] JournalError),
    /// It changed under every look.
    #[error("the folder changes faster than it can be looked at; try again")]
    Restless,
    /// The condition on rows is wrong.
    #[error(transparent)]
    Filter(#[from] crate::read::ReadError),
    /// Who takes the rows cannot go on.
    #[error("{0}")]
    Output(io::Error),
}

impl FolderError {
    /// Whether something was there when its folder was listed, and then no more.
    fn is_change(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Wal(JournalError::Io { source, .. }) => {
                source.kind() == ErrorKind::NotFound
            }
            _ => false,
        }
    }
}

/// The files of one name in a partition: of a flush, or merged.
pub(crate) struct FlushFiles {
    /// The path without the extension, below the data folder.
    pub name: String,
    /// Open, or why not.
    pub blocks: Result<BlockFile, FileError>,
    /// Bytes by extension: `blocks`, `ids`, `fields`, `series`; nothing where there is none.
    pub bytes: [Option<u64>; 4],
}

/// One partition.
pub(crate) struct PartitionFiles {
    pub key: PartitionKey,
    pub dir: PathBuf,
    pub files: Vec<FlushFiles>,
    pub has_index: bool,
    /// Every name in its folder.
    pub names: Vec<String>,
}

/// A name that is none of the store's, or that does not count.
pub(crate) struct Stray {
    /// Below the data folder.
    pub path: String,
    pub what: &'static str,
    /// Whether rows are missing from answers for it.
    pub costs_rows: bool,
}

/// A data folder as of one checkpoint.
pub(crate) struct Folder {
    pub env: Env,
    pub dir: PathBuf,
    pub checkpoint: Checkpoint,
    /// A copy of the checkpoint is damaged.
    pub checkpoint_damaged: bool,
    pub partitions: Vec<PartitionFiles>,
    pub wal: Option<journal::Log>,
    pub strays: Vec<Stray>,
}

impl Folder {
    /// Opens the log, and the blocks of the partitions that `opens` picks: of these, rows are in
    /// either. The others are listed.
    pub(crate) fn open(
        env: &Env,
        dir: &Path,
        opens: &dyn Fn(&PartitionKey) -> bool,
    ) -> Result<Self, FolderError> {
        let root = dir.join("store");
        let found = env.files.stat(&root).map_err(failed(&root))?;
        if found.is_none() {
            return Err(FolderError::NotAFolder {
                dir: dir.to_owned(),
            });
        }
        for _ in 0..TRIES {
            let (checkpoint, _) = Checkpoint::read(env, &root)?;
            match Self::at(env, dir, checkpoint, opens) {
                Ok(folder) => {
                    if Checkpoint::read(env, &root)?.0 == folder.checkpoint {
                        return Ok(folder);
                    }
                }
                Err(error) if error.is_change() => {}
                Err(error) => return Err(error),
            }
        }
        Err(FolderError::Restless)
    }

    /// A partition as it is now, with all of its files open; nothing where it was dropped meanwhile.
    /// Rows that were flushed since the folder was opened are left out, unless they were merged with
    /// others. What else is there goes to the strays.
    pub(crate) fn partition(
        &mut self,
        key: &PartitionKey,
        dir: &Path,
    ) -> Result<Option<PartitionFiles>, FolderError> {
        let mut look = Look {
            env: &self.env,
            dir: &self.dir,
            flush_max: self.checkpoint.flush,
            opens: &|_| true,
            open: BlockFile::open,
            partitions: Vec::new(),
            strays: Vec::new(),
        };
        let looked = look.partition(key.clone(), dir.to_owned());
        let Look {
            mut partitions,
            strays,
            ..
        } = look;
        self.strays.extend(strays);
        match looked {
            Ok(()) => Ok(partitions.pop()),
            Err(error) if error.is_change() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn at(
        env: &Env,
        dir: &Path,
        checkpoint: Checkpoint,
        opens: &dyn Fn(&PartitionKey) -> bool,
    ) -> Result<Self, FolderError> {
        let root = dir.join("store");
        let (_, checkpoint_damaged) = Checkpoint::read(env, &root)?;
        let mut look = Look {
            env,
            dir,
            flush_max: checkpoint.flush,
            opens,
            open: BlockFile::open_blocks,
            partitions: Vec::new(),
            strays: Vec::new(),
        };
        look.top()?;
        let wal = dir.join("wal");
        let found = env.files.stat(&wal).map_err(failed(&wal))?;
        let log = if found.is_some() {
            look.wal(&wal)?;
            Some(journal::Log::open(env, &wal, checkpoint.position())?)
        } else {
            None
        };
        look.store(&root)?;
        Ok(Self {
            env: env.clone(),
            dir: dir.to_owned(),
            checkpoint,
            checkpoint_damaged,
            partitions: look.partitions,
            wal: log,
            strays: look.strays,
        })
    }

    /// The names in a folder of it, if it is there.
    pub(crate) fn names(&self, dir: &Path) -> Option<Vec<String>> {
        let entries = self.env.files.list(dir).ok()?;
        Some(names_of(&entries))
    }

    /// A path as findings name it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        shown(&self.dir, path)
    }
}

fn names_of(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.name.clone()).collect()
}

fn shown(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    move |source| FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Lists and opens what there is.
struct Look<'a> {
    env: &'a Env,
    dir: &'a Path,
    flush_max: u64,
    /// Whether the files of a partition are opened, and how.
    opens: &'a dyn Fn(&PartitionKey) -> bool,
    open: fn(&Env, &Path, Signal, FileId) -> Result<BlockFile, FileError>,
    partitions: Vec<PartitionFiles>,
    strays: Vec<Stray>,
}

impl Look<'_> {
    fn list(&self, dir: &Path) -> Result<Vec<Entry>, FolderError> {
        self.env.files.list(dir).map_err(failed(dir))
    }

    fn stray(&mut self, path: &Path, what: &'static str) {
        let path = shown(self.dir, path);
        let costs_rows = false;
        self.strays.push(Stray {
            path,
            what,
            costs_rows,
        });
    }

    fn lost(&mut self, path: &Path, what: &'static str) {
        self.stray(path, what);
        if let Some(stray) = self.strays.last_mut() {
            stray.costs_rows = true;
        }
    }

    fn top(&mut self) -> Result<(), FolderError> {
        for entry in self.list(self.dir)? {
            let path = self.dir.join(&entry.name);
            if entry.name == crate::snapshot::PARTIAL {
                self.stray(&path, "a snapshot that is being taken or was interrupted");
            } else if entry.name.starts_with(SET_ASIDE) {
                self.stray(
                    &path,
                    "a log that a start without a checkpoint could not use",
                );
            } else if !KNOWN.contains(&entry.name.as_str()) {
                self.stray(&path, "not a file of the data folder");
            }
        }
        Ok(())
    }

    fn wal(&mut self, wal: &Path) -> Result<(), FolderError> {
        for entry in self.list(wal)? {
            let path = wal.join(&entry.name);
            if entry.name.ends_with(".seg.quarantined") {
                self.stray(&path, "a segment that did not read when the log was opened");
            } else if entry.name != "lock" && journal::segment_number(&entry.name).is_none() {
                self.stray(&path, "not a file of the log");
            }
        }
        Ok(())
    }

    fn store(&mut self, root: &Path) -> Result<(), FolderError> {
        for entry in self.list(root)? {
            let dir = root.join(&entry.name);
            match (entry.kind, Tenant::new(&entry.name)) {
                (EntryKind::Dir, Some(tenant)) => self.tenant(&tenant, &dir)?,
                _ if [Checkpoint::NAME, Checkpoint::SPARE, SOURCES].contains(&&*entry.name) => {}
                _ => self.stray(&dir, "not a file of the store"),
            }
        }
        Ok(())
    }

    fn tenant(&mut self, tenant: &Tenant, dir: &Path) -> Result<(), FolderError> {
        for entry in self.list(dir)? {
            let dir = dir.join(&entry.name);
            let Some((signal, resolution)) = of_folder(&entry.name) else {
                self.stray(&dir, "not the folder of a signal");
                continue;
            };
            for entry in self.list(&dir)? {
                let dir = dir.join(&entry.name);
                if let Some(day) = day_from_name(&entry.name) {
                    let tenant = tenant.clone();
                    let key = PartitionKey {
                        tenant,
                        signal,
                        resolution,
                        day,
                    };
                    self.partition(key, dir)?;
                } else if day_from_dropped(&entry.name).is_some() {
                    self.stray(&dir, "a dropped partition that is being removed");
                } else if day_from_set_aside(&entry.name).is_some() {
                    self.lost(&dir, "the folder of a day, set aside when it did not list");
                } else {
                    self.stray(&dir, "not the folder of a day");
                }
            }
        }
        Ok(())
    }

    /// Opens the files of a partition that count.
    fn partition(&mut self, key: PartitionKey, dir: PathBuf) -> Result<(), FolderError> {
        if !(self.opens)(&key) {
            self.partitions.push(PartitionFiles {
                key,
                dir,
                files: Vec::new(),
                has_index: false,
                names: Vec::new(),
            });
            return Ok(());
        }
        for _ in 0..TRIES {
            let strays = self.strays.len();
            let entries = match self.env.files.list(&dir) {
                Err(error) if env::is_unreadable(&error) => {
                    self.lost(&dir, "the folder of a day, which does not list");
                    return Ok(());
                }
                entries => entries.map_err(failed(&dir))?,
            };
            let opened = self.open_files(&key, &dir, &entries);
            // A listing that was made while names came and went may have neither the old nor the
            // new ones.
            let files = match opened {
                Ok(files) if names_of(&self.list(&dir)?) == names_of(&entries) => files,
                Err(error) if !error.is_change() => return Err(error),
                _ => {
                    self.strays.truncate(strays);
                    continue;
                }
            };
            let has_index = entries.iter().any(|entry| entry.name == INDEX);
            self.partitions.push(PartitionFiles {
                key,
                dir,
                files,
                has_index,
                names: names_of(&entries),
            });
            return Ok(());
        }
        Err(failed(&dir)(ErrorKind::NotFound.into()))
    }

    fn open_files(
        &mut self,
        key: &PartitionKey,
        dir: &Path,
        entries: &[Entry],
    ) -> Result<Vec<FlushFiles>, FolderError> {
        let names = entries.iter().map(|entry| entry.name.as_str());
        let listed = Listed::new(names, self.flush_max);
        let mut ids: Vec<(FileId, [Option<u64>; 4])> = Vec::new();
        for entry in entries {
            let path = dir.join(&entry.name);
            let parsed = FileId::parse(&entry.name).and_then(|(id, extension)| {
                let at = EXTENSIONS.iter().position(|known| *known == extension)?;
                Some((id, at))
            });
            match parsed {
                _ if listed.leftovers.contains(&entry.name.as_str()) => {
                    self.stray(
                        &path,
                        "of a flush or a merge that does not count (yet), or dropped",
                    );
                }
                Some((id, _)) if listed.is_merged_away(id) => {
                    self.stray(&path, "merged into another file, and about to be removed");
                }
                Some((id, at)) => {
                    if ids.last().is_none_or(|last| last.0 != id) {
                        ids.push((id, [None; 4]));
                    }
                    if let Some((_, bytes)) = ids.last_mut() {
                        bytes[at] = Some(entry.bytes);
                    }
                }
                None if entry.name == INDEX => {}
                None if entry.name == "index.quarantined" => {
                    self.stray(&path, "an index that was found to be damaged");
                }
                None => self.stray(&path, "not a file of a partition"),
            }
        }
        let mut files = Vec::new();
        for (id, bytes) in ids {
            let blocks = (self.open)(self.env, dir, key.signal, id);
            // Listed a moment ago and gone: dropped with its partition, or replaced.
            if let Err(FileError::Io(error)) = &blocks
                && error.kind() == ErrorKind::NotFound
                && bytes[0].is_some()
            {
                return Err(failed(dir)(ErrorKind::NotFound.into()));
            }
            let name = shown(self.dir, &dir.join(id.to_string()));
            files.push(FlushFiles {
                name,
                blocks,
                bytes,
            });
        }
        Ok(files)
    }
}

/// The rows of a WAL record.
pub(crate) fn chunk_of(
    record: &Record,
    keys: &CorrelationKeys,
    decoder: &dyn Decode,
) -> Result<Chunk, String> {
    let mut gate = Again::new(&record.refused_series, &record.zeros);
    let mut room = Room::unlimited();
    let received = Received {
        unix_nano: record.received_unix_nano.unwrap_or(0),
        ..Received::UNKNOWN
    };
    let batch = &record.batch;
    let sink = ChunkSink::new(batch.signal, keys, &mut gate, &mut room, received);
    decode_batch(decoder, batch, sink).map_err(|error| error.to_string())
}
