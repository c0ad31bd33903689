//! The files of a partition, open.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use env::Env;
use model::Signal;
use parking_lot::{Mutex, RwLock};

use super::FileId;
use super::directory::{BlockMeta, Directory, Origin, directory_bytes, load_directory};
use crate::fields_table::FieldsTable;
use crate::idtable::IdTable;
use crate::points::index::SeriesIndex;
use crate::terms;
use crate::whole::if_whole;

/// The files that one name stands for: `ids` not of metrics, `series` of metrics alone.
pub(crate) const EXTENSIONS: [&str; 4] = ["blocks", "ids", "fields", "series"];
/// What the blocks file of a merge is called until it counts.
pub(crate) const UNFINISHED: &str = "blocks.tmp";

/// Why a file of a partition is not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Damaged(String),
}

/// Bytes of a block that are read at once.
const PART_BYTES: usize = 128 << 10;

/// Where the files of a partition are. Their folder is renamed when the partition is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub env: Env,
    pub signal: Signal,
    dir: RwLock<PathBuf>,
}

impl Place {
    pub(crate) fn new(env: &Env, dir: &Path, signal: Signal) -> Self {
        Self {
            env: env.clone(),
            signal,
            dir: RwLock::new(dir.to_owned()),
        }
    }

    /// Does something in the folder, which keeps its name meanwhile.
    pub(crate) fn within<T>(&self, work: impl FnOnce(&Path) -> T) -> T {
        work(&self.dir.read())
    }

    /// Gives the folder another name.
    pub(crate) fn rename(
        &self,
        to: &Path,
        rename: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut dir = self.dir.write();
        rename(&dir)?;
        to.clone_into(&mut dir);
        Ok(())
    }

    /// The path of a file of it, for messages.
    pub(crate) fn shown(&self, id: FileId, extension: &str) -> String {
        self.within(|dir| id.path(dir, extension).display().to_string())
    }

    /// Bytes of each of the files of a name, in the order of [`EXTENSIONS`].
    pub(crate) fn sizes(&self, id: FileId) -> std::io::Result<[Option<u64>; 4]> {
        let mut sizes = [None; 4];
        for (size, extension) in sizes.iter_mut().zip(EXTENSIONS) {
            let found = self.within(|dir| self.env.files.stat(&id.path(dir, extension)))?;
            *size = found.map(|entry| entry.bytes);
        }
        Ok(sizes)
    }

    /// Reads the directory of a blocks file of so many bytes.
    pub(super) fn directory(&self, id: FileId, file_bytes: u64) -> Result<Directory, FileError> {
        let file = self.within(|dir| self.env.files.open(&id.path(dir, "blocks")))?;
        load_directory(self.signal, &*file, file_bytes)
    }
}

/// What was found out about the files of a name when they were used.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The blocks do not read to their end: they stay as they are, since nothing else has their
    /// rows.
    pub damaged: AtomicBool,
    /// Blocks that were found not to read, by ordinal.
    damaged_blocks: Mutex<BTreeSet<usize>>,
    /// The id table or the series index does not read.
    pub lacks_terms: AtomicBool,
    /// The table of field values does not read.
    pub lacks_fields: AtomicBool,
}

impl Health {
    /// Notes that a block does not read, and says whether that was not known.
    pub(crate) fn note_damaged(&self, ordinal: usize) -> bool {
        self.damaged_blocks.lock().insert(ordinal)
    }

    /// Whether a block was found not to read.
    pub(crate) fn is_known_damaged(&self, ordinal: usize) -> bool {
        self.damaged_blocks.lock().contains(&ordinal)
    }
}

/// The three files of one name, open. What lies beside the blocks is opened when it is asked for.
#[derive(Debug)]
pub(crate) struct BlockFile {
    pub id: FileId,
    pub blocks: Vec<BlockMeta>,
    /// Of a merged file.
    origins: Option<Vec<Origin>>,
    /// The files, by number, that the index must cover for its answer to hold for this one.
    pub indexed_files: Vec<u64>,
    place: Arc<Place>,
    bytes: Bytes,
    /// By which scheme its terms were made.
    scheme: u8,
    /// Which series have which label, and no id table.
    of_points: bool,
    ids: OnceLock<Option<IdTable>>,
    fields: OnceLock<Option<FieldsTable>>,
    series: OnceLock<Option<SeriesIndex>>,
    /// A bit for each block that was read to its end once.
    sound: Box<[AtomicU64]>,
    health: Arc<Health>,
}

impl BlockFile {
    /// Opens all files of a name.
    pub(crate) fn open(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
    ) -> Result<Self, FileError> {
        let file = Self::open_blocks(env, dir, signal, id)?;
        file.ids();
        file.series();
        file.fields();
        Ok(file)
    }

    /// Opens the blocks of a name.
    pub(crate) fn open_blocks(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
    ) -> Result<Self, FileError> {
        Self::open_as(env, dir, signal, id, "blocks")
    }

    /// Opens what a merge wrote, before it counts.
    pub(crate) fn open_unfinished(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
    ) -> Result<Self, FileError> {
        Self::open_as(env, dir, signal, id, UNFINISHED)
    }

    fn open_as(
        env: &Env,
        dir: &Path,
        signal: Signal,
        id: FileId,
        extension: &str,
    ) -> Result<Self, FileError> {
        let place = Arc::new(Place::new(env, dir, signal));
        let ids = env.files.stat(&id.path(dir, "ids"));
        Self::open_in(
            place,
            id,
            extension,
            matches!(ids, Ok(Some(_))),
            Arc::default(),
        )
    }

    pub(super) fn open_in(
        place: Arc<Place>,
        id: FileId,
        extension: &str,
        has_ids: bool,
        health: Arc<Health>,
    ) -> Result<Self, FileError> {
        // The directory is read, and not looked at in the mapping: the kernel would put the pages
        // around it into this process, too. Of hundreds of files that is more memory than all else.
        let (file, bytes) = place.within(|dir| {
            let path = id.path(dir, extension);
            let files = &place.env.files;
            std::io::Result::Ok((files.open(&path)?, files.map(&path)?))
        })?;
        let directory = load_directory(place.signal, &*file, bytes.len() as u64)?;
        // Earlier builds wrote an id table for points, too.
        let of_points = place.signal == Signal::Metrics && !has_ids;
        let blocks = directory.blocks.len();
        Ok(Self {
            id,
            indexed_files: indexed_files_of(id, place.signal, has_ids, &directory),
            blocks: directory.blocks,
            origins: directory.origins,
            place,
            bytes,
            scheme: directory.scheme,
            of_points,
            ids: OnceLock::new(),
            fields: OnceLock::new(),
            series: OnceLock::new(),
            sound: (0..blocks.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            health,
        })
    }

    /// The id table. Missing where it is damaged, or its terms are of another scheme: every block
    /// is a candidate then.
    pub(crate) fn ids(&self) -> Option<&IdTable> {
        if self.of_points {
            return None;
        }
        self.side(&self.ids, "ids", &self.health.lacks_terms, |bytes| {
            if self.scheme != terms::SCHEME {
                return Err(format!("terms of scheme {}", self.scheme));
            }
            IdTable::open(bytes).map_err(|error| error.to_string())
        })
    }

    /// The table of field values, unless it is damaged.
    pub(crate) fn fields(&self) -> Option<&FieldsTable> {
        self.side(&self.fields, "fields", &self.health.lacks_fields, |bytes| {
            FieldsTable::open(bytes).map_err(|error| error.to_string())
        })
    }

    /// Of points: which series have which label. Missing where it is damaged, or the file is of an
    /// earlier build: every block is a candidate then.
    pub(crate) fn series(&self) -> Option<&SeriesIndex> {
        if !self.of_points {
            return None;
        }
        self.side(&self.series, "series", &self.health.lacks_terms, |bytes| {
            let index = SeriesIndex::open(bytes).map_err(|error| error.0.to_owned())?;
            match index.blocks().len() == self.blocks.len() {
                true => Ok(index),
                false => Err("it is of other blocks".to_owned()),
            }
        })
    }

    /// What is read of the series index; nothing where there is none. Its bytes are checked when it
    /// is opened and not again.
    pub(crate) fn with_series<'a, T>(
        &'a self,
        read: impl FnOnce(&'a SeriesIndex) -> T,
    ) -> Option<T> {
        let index = self.series()?;
        let files = &self.place.env.files;
        let found = if_whole(|| files.is_whole(index.bytes()), || read(index));
        if found.is_none() {
            self.health.lacks_terms.store(true, Ordering::Relaxed);
        }
        found
    }

    /// Whether the disk gave all that was asked of what is mapped.
    pub(crate) fn is_whole(&self) -> bool {
        let files = &self.place.env.files;
        let ids = self.ids.get().and_then(Option::as_ref);
        let fields = self.fields.get().and_then(Option::as_ref);
        let series = self.series.get().and_then(Option::as_ref);
        let mapped = [
            Some(&*self.bytes),
            ids.map(IdTable::bytes),
            fields.map(FieldsTable::bytes),
            series.map(SeriesIndex::bytes),
        ];
        mapped
            .into_iter()
            .flatten()
            .all(|bytes| files.is_whole(bytes))
    }

    /// Opens a file that lies beside the blocks, once. What the system refuses is tried again.
    fn side<'a, T>(
        &self,
        known: &'a OnceLock<Option<T>>,
        extension: &str,
        lacking: &AtomicBool,
        open: impl FnOnce(Bytes) -> Result<T, String>,
    ) -> Option<&'a T> {
        if let Some(known) = known.get() {
            return known.as_ref();
        }
        let files = &self.place.env.files;
        let path = |dir: &Path| self.id.path(dir, extension);
        let mapped = self.place.within(|dir| files.map(&path(dir)));
        let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let refused = matches!(&mapped, Err(error) if !gone(error));
        let opened = mapped.map_err(|error| error.to_string()).and_then(open);
        let opened = opened.inspect_err(|error| {
            tracing::error!(
                file = self.place.shown(self.id, extension),
                error,
                "side file does not read, searching without it"
            );
        });
        lacking.store(opened.is_err(), Ordering::Relaxed);
        if refused {
            return None;
        }
        known.get_or_init(|| opened.ok()).as_ref()
    }

    pub(crate) fn signal(&self) -> Signal {
        self.place.signal
    }

    /// The bytes of a block, mapped, once it is known that the disk gives them: a page that it does
    /// not give would cost the mapping as a whole, and read first it costs the block alone. For
    /// whoever answers from a file that stays open, or writes another one from it.
    pub(crate) fn sound_block(&self, ordinal: usize) -> Result<Bytes, FileError> {
        let (word, bit) = (&self.sound[ordinal / 64], 1 << (ordinal % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            self.read_through(ordinal)?;
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(self.block(ordinal))
    }

    fn read_through(&self, ordinal: usize) -> Result<(), FileError> {
        let path = |dir: &Path| self.id.path(dir, "blocks");
        let file = self
            .place
            .within(|dir| self.place.env.files.open(&path(dir)))?;
        let block = &self.blocks[ordinal];
        let mut part = vec![0; PART_BYTES.min(block.length as usize)];
        let (mut offset, end) = (block.offset, block.offset + u64::from(block.length));
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let bytes = left.min(part.len());
            file.read_exact_at(&mut part[..bytes], offset)?;
            offset += bytes as u64;
        }
        Ok(())
    }

    /// The bytes of a block, mapped, wherever they are known to be sound, or damage is what is
    /// looked for: whoever reads them looks afterwards whether the disk gave all of the file.
    pub(crate) fn block(&self, ordinal: usize) -> Bytes {
        let block = &self.blocks[ordinal];
        let offset = usize::try_from(block.offset).expect("checked against the file's length");
        self.bytes.slice(offset..offset + block.length as usize)
    }

    /// Where a block was written first.
    pub(crate) fn origin(&self, ordinal: usize) -> Origin {
        match &self.origins {
            Some(origins) => origins[ordinal],
            None => Origin {
                file: self.id.number(),
                ordinal: u32::try_from(ordinal).expect("a directory has fewer than 2^32 blocks"),
                indexed: self.blocks.len() > 1,
            },
        }
    }

    /// How long the directory at the end of the blocks file is.
    pub(crate) fn directory_bytes(&self) -> u64 {
        directory_bytes(self.blocks.len(), self.origins.is_some())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }
}

/// The files whose terms of several blocks are in the index; none of points that have an index of
/// their series.
pub(super) fn indexed_files_of(
    id: FileId,
    signal: Signal,
    has_ids: bool,
    directory: &Directory,
) -> Vec<u64> {
    if signal == Signal::Metrics && !has_ids {
        return Vec::new();
    }
    let Some(origins) = directory.origins.as_deref() else {
        // The one block of a file shares its terms with none.
        return match directory.blocks.len() {
            0 | 1 => Vec::new(),
            _ => vec![id.number()],
        };
    };
    let indexed = origins.iter().filter(|origin| origin.indexed);
    let mut files: Vec<u64> = indexed.map(|origin| origin.file).collect();
    files.sort_unstable();
    files.dedup();
    files
}
