//! What is known of a file of a partition without opening it.
//!
//! A store may have very many partitions, so a file costs some two hundred bytes while nobody asks
//! for its rows: its directory is read once, summed up and closed again. Whoever needs more opens
//! it, through [`OpenFiles`], which keeps those open that were asked for last. A file that was
//! merged away or dropped stays on the disk for as long as anybody has its entry: see
//! [`crate::store::removals`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use env::Env;
use model::TimeRange;

use super::file::{Health, Place, indexed_files_of};
use super::{BlockFile, FileError, FileId, OpenFiles};
use crate::table::Damage;
use crate::terms;

/// What the files of a partition share. It lives for as long as the partition or one of its files
/// is in use.
#[derive(Debug)]
pub(crate) struct Home {
    pub place: Arc<Place>,
    pub open: Arc<OpenFiles>,
}

impl Home {
    pub(crate) fn env(&self) -> &Env {
        &self.place.env
    }
}

/// A file of a partition, open or not.
#[derive(Debug)]
pub(crate) struct FileEntry {
    pub id: FileId,
    pub home: Arc<Home>,
    /// Tells it from other files that were known since the process began.
    pub serial: u64,
    rows: u64,
    pub min_time: u64,
    pub max_time: u64,
    pub max_end: u64,
    /// Bytes of all its files.
    pub size_bytes: u64,
    /// Bytes of its id table.
    pub ids_bytes: u64,
    has_ids: bool,
    /// Of points: it has an index of its series.
    pub has_series: bool,
    /// The files, by number, that the index must cover for its answer to hold for this one.
    pub indexed_files: Box<[u64]>,
    pub health: Arc<Health>,
}

impl FileEntry {
    /// Looks at a file that is there under its name.
    pub(crate) fn look(home: &Arc<Home>, id: FileId) -> Result<Self, FileError> {
        let sizes = home.place.sizes(id)?;
        Self::new(home, id, sizes)
    }

    /// The same where the sizes of its files are known.
    pub(crate) fn new(
        home: &Arc<Home>,
        id: FileId,
        sizes: [Option<u64>; 4],
    ) -> Result<Self, FileError> {
        let [blocks, ids, fields, series] = sizes;
        let blocks = blocks.ok_or(std::io::Error::from(std::io::ErrorKind::NotFound))?;
        let directory = home.place.directory(id, blocks)?;
        let metas = &directory.blocks;
        let smallest = metas.iter().map(|block| block.min_time).min();
        let largest = metas.iter().map(|block| block.max_time).max();
        let ends = metas.iter().map(|block| block.max_end).max();
        let of_points = home.place.signal == model::Signal::Metrics && ids.is_none();
        let health = Health::default();
        let terms = if of_points { series } else { ids };
        let unknown = !of_points && directory.scheme != terms::SCHEME;
        health
            .lacks_terms
            .store(terms.is_none() || unknown, Ordering::Relaxed);
        health
            .lacks_fields
            .store(fields.is_none(), Ordering::Relaxed);
        Ok(Self {
            id,
            home: Arc::clone(home),
            serial: home.open.serial(),
            rows: metas.iter().map(|block| u64::from(block.rows)).sum(),
            min_time: smallest.unwrap_or(u64::MAX),
            max_time: largest.unwrap_or(0),
            max_end: ends.unwrap_or(0),
            size_bytes: sizes.iter().flatten().sum(),
            ids_bytes: ids.unwrap_or(0),
            has_ids: ids.is_some(),
            has_series: of_points && series.is_some(),
            indexed_files: indexed_files_of(id, home.place.signal, ids.is_some(), &directory)
                .into(),
            health: Arc::new(health),
        })
    }

    /// Opens it, unless it is open.
    pub(crate) fn open(&self) -> Result<Arc<BlockFile>, FileError> {
        let open = &self.home.open;
        if let Some(file) = open.file(self.serial) {
            if file.is_whole() {
                return Ok(file);
            }
            // The disk did not give some of it, and may by now.
            open.forget(self.serial);
        }
        let file = open.with_room(
            || {
                let (place, health) = (self.home.place.clone(), self.health.clone());
                BlockFile::open_in(place, self.id, "blocks", self.has_ids, health)
            },
            |error| match error {
                FileError::Io(error) => Some(error),
                FileError::Damaged(_) => None,
            },
        )?;
        let file = Arc::new(file);
        open.put_file(self.serial, &file);
        Ok(file)
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, ordinal: usize) -> Result<Bytes, Damage> {
        let file = self.open();
        let block = file.and_then(|file| file.sound_block(ordinal));
        block.map_err(|error| Damage(error.to_string()))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether rows of it may lie in a range.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(self.min_time, self.max_end)
    }

    /// Whether all of its rows lie in a range.
    pub(crate) fn is_within(&self, range: TimeRange) -> bool {
        range.contains(self.min_time) && range.contains(self.max_time.max(self.max_end))
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.health.damaged.load(Ordering::Relaxed)
    }
}

impl Drop for FileEntry {
    fn drop(&mut self) {
        self.home.open.forget(self.serial);
    }
}
