//! Blocks of points that were opened lately: their series and directories are read once, however
//! many queries ask for them.

use std::sync::Arc;

use model::Metric;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::block::{Parts, PointBlock};
use super::{Entry, Known};
use crate::block::BlockReader;
use crate::partition::FileEntry;
use crate::table::Damage;

/// What all blocks that are kept may take.
const BYTES_MAX: usize = 96 << 20;

/// The blocks, by the serial of their file and their ordinal in it.
#[derive(Default)]
pub(crate) struct BlockCache {
    kept: Mutex<Kept>,
    parts: Parts,
}

#[derive(Default)]
struct Kept {
    blocks: FxHashMap<(u64, usize), Slot>,
    bytes: usize,
    /// Grows with each look.
    now: u64,
}

struct Slot {
    block: Arc<PointBlock>,
    bytes: usize,
    seen: u64,
}

impl BlockCache {
    /// A block of a file, which holds chunks of points.
    pub(crate) fn open(
        &self,
        file: &FileEntry,
        ordinal: usize,
        known: Option<&Known>,
    ) -> Result<Arc<PointBlock>, Damage> {
        let key = (file.serial, ordinal);
        {
            let mut kept = self.kept.lock();
            kept.now += 1;
            let now = kept.now;
            if let Some(slot) = kept.blocks.get_mut(&key) {
                if file.home.env().files.is_whole(slot.block.mapped()) {
                    slot.seen = now;
                    return Ok(Arc::clone(&slot.block));
                }
                kept.lose(&key);
            }
        }
        let reader = BlockReader::open(file.block(ordinal)?);
        let reader = reader.map_err(|error| Damage(error.to_string()))?;
        let block = Arc::new(PointBlock::open(&reader, &self.parts, known)?);
        let bytes = block.heap_bytes();
        let mut kept = self.kept.lock();
        let seen = kept.now;
        let slot = Slot {
            block: Arc::clone(&block),
            bytes,
            seen,
        };
        if kept.blocks.insert(key, slot).is_none() {
            kept.bytes += bytes;
        }
        if kept.bytes > BYTES_MAX {
            kept.forget();
        }
        Ok(block)
    }

    /// The metrics of a block, of whatever version, without its series.
    pub(crate) fn metrics(
        &self,
        file: &FileEntry,
        ordinal: usize,
    ) -> Result<Vec<Arc<Entry<Metric>>>, Damage> {
        let bytes = file.block(ordinal)?;
        let reader = BlockReader::open(bytes.clone()).map_err(|error| Damage(error.to_string()))?;
        let metrics = self.parts.metrics(&reader)?;
        if !file.home.env().files.is_whole(&bytes) {
            return Err(Damage("the disk did not give some of it".to_owned()));
        }
        Ok(metrics)
    }
}

impl Kept {
    fn lose(&mut self, key: &(u64, usize)) {
        if let Some(slot) = self.blocks.remove(key) {
            self.bytes -= slot.bytes;
        }
    }

    /// Forgets the half that was not asked for the longest.
    fn forget(&mut self) {
        let mut seen: Vec<u64> = self.blocks.values().map(|slot| slot.seen).collect();
        seen.sort_unstable();
        let middle = seen[seen.len() / 2];
        self.blocks.retain(|_, slot| slot.seen > middle);
        self.bytes = self.blocks.values().map(|slot| slot.bytes).sum();
    }
}
