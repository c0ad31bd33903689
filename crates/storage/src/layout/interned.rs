//! Resources, scopes and metrics. Each block has a list of its own, but blocks repeat the same
//! few: a list is read once, and each entry of it is decoded once, where it is asked for.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use model::{Metric, Resource, Scope};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::{BlockReader, BytesColumn, Kind};
use crate::table::Damage;

/// Encoded bytes of what is kept for one answer, of each kind; the rest is decoded each time.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// And of what is kept for the next answer, of all kinds; more is let go.
const KEPT_AFTER_BYTES_MAX: usize = 1 << 20;

/// What was decoded so far.
#[derive(Default)]
pub(crate) struct Interned {
    pub(super) resources: Known<Resource>,
    pub(super) scopes: Known<Scope>,
    metrics: Known<Metric>,
}

impl Interned {
    /// Whether it is more than should be kept while nobody asks.
    pub(crate) fn is_large(&self) -> bool {
        let bytes = self.resources.bytes() + self.scopes.bytes() + self.metrics.bytes();
        bytes > KEPT_AFTER_BYTES_MAX
    }

    /// The resources of a block.
    pub(super) fn resources(&self, reader: &BlockReader) -> Result<Vec<Arc<Resource>>, Damage> {
        self.resources.all(reader, "resources")
    }

    /// The scopes of a block.
    pub(super) fn scopes(&self, reader: &BlockReader) -> Result<Vec<Arc<Scope>>, Damage> {
        self.scopes.all(reader, "scopes")
    }

    /// The metrics of a block.
    pub(super) fn metrics(&self, reader: &BlockReader) -> Result<Vec<Arc<Metric>>, Damage> {
        self.metrics.all(reader, "metrics")
    }
}

/// The list of a block, of which some are decoded.
pub(super) struct SharedList<T> {
    encoded: Option<BytesColumn>,
    decoded: Vec<OnceLock<Arc<T>>>,
}

impl<T> SharedList<T> {
    pub(super) fn len(&self) -> usize {
        self.decoded.len()
    }
}

/// Things of one kind.
pub(super) struct Known<T>(Mutex<Kept<T>>);

struct Kept<T> {
    /// Lists by the hash of their stored bytes. Blocks of one file often have the same.
    lists: FxHashMap<u64, (Bytes, Arc<SharedList<T>>)>,
    /// Entries by the hash of their encoding.
    entries: FxHashMap<u64, (Box<[u8]>, Arc<T>)>,
    bytes: usize,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            lists: FxHashMap::default(),
            entries: FxHashMap::default(),
            bytes: 0,
        }))
    }
}

impl<T> Kept<T> {
    fn has_room(&mut self, bytes: usize) -> bool {
        let fits = self.bytes.saturating_add(bytes) <= KEPT_BYTES_MAX;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }
}

impl<T> Known<T> {
    fn bytes(&self) -> usize {
        self.0.lock().bytes
    }
}

impl<T: DeserializeOwned> Known<T> {
    /// The list of a block.
    pub(super) fn list(
        &self,
        reader: &BlockReader,
        name: &str,
    ) -> Result<Arc<SharedList<T>>, Damage> {
        let failed = |error: crate::block::BlockError| Damage(error.to_string());
        let stored = reader.payload(name, Kind::Bytes).map_err(failed)?;
        let stored = stored.unwrap_or_default();
        let hash = xxh3_64(&stored);
        if let Some((known, list)) = self.0.lock().lists.get(&hash)
            && *known == stored
        {
            return Ok(list.clone());
        }
        let encoded = reader.bytes(name).map_err(failed)?;
        let count = encoded.as_ref().map_or(0, BytesColumn::len);
        let list = Arc::new(SharedList {
            decoded: std::iter::repeat_with(OnceLock::new).take(count).collect(),
            encoded,
        });
        let bytes = list.encoded.as_ref().map_or(0, BytesColumn::memory_bytes);
        let mut kept = self.0.lock();
        if kept.has_room(bytes) {
            // A part of the block would keep its file mapped for as long as the answer takes.
            let stored = Bytes::copy_from_slice(&stored);
            kept.lists.insert(hash, (stored, list.clone()));
        }
        Ok(list)
    }

    /// One entry of a list. Panics where the list has no such entry.
    pub(super) fn entry<'a>(
        &self,
        list: &'a SharedList<T>,
        index: usize,
    ) -> Result<&'a Arc<T>, Damage> {
        let cell = &list.decoded[index];
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let bytes = list.encoded.as_ref().map_or(&[][..], |all| all.get(index));
        let decoded = self.decode(bytes)?;
        Ok(cell.get_or_init(|| decoded))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Arc<T>, Damage> {
        let hash = xxh3_64(bytes);
        if let Some((known, entry)) = self.0.lock().entries.get(&hash)
            && **known == *bytes
        {
            return Ok(entry.clone());
        }
        let decoded = postcard::from_bytes(bytes).map_err(|error| Damage(error.to_string()))?;
        let decoded = Arc::new(decoded);
        let mut kept = self.0.lock();
        if kept.has_room(bytes.len()) {
            kept.entries
                .insert(hash, (bytes.into(), Arc::clone(&decoded)));
        }
        Ok(decoded)
    }

    /// All entries of a block's list.
    fn all(&self, reader: &BlockReader, name: &str) -> Result<Vec<Arc<T>>, Damage> {
        let list = self.list(reader, name)?;
        let entry = |index| self.entry(&list, index).cloned();
        (0..list.len()).map(entry).collect()
    }
}
