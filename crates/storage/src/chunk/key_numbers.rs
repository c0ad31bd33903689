//! The attribute keys of several chunks, numbered as one list.
//!
//! Each chunk has its own list of keys. Whoever goes through the rows of many of them, once for each block
//! that they become, finds a column by its key's number instead of its text.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Chunk;

/// The number of each key of each chunk.
#[derive(Debug, Default)]
pub(crate) struct KeyNumbers {
    of_chunk: Vec<Vec<u32>>,
    count: usize,
}

impl KeyNumbers {
    pub(crate) fn of(chunks: &[Arc<Chunk>]) -> Self {
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        let mut of_chunk = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let keys = chunk.keys.iter().map(|key| {
                let next = u32::try_from(numbers.len()).expect("a head has fewer than 2^32 keys");
                *numbers.entry(key).or_insert(next)
            });
            of_chunk.push(keys.collect());
        }
        Self {
            count: numbers.len(),
            of_chunk,
        }
    }

    /// How many keys there are in all.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The number of a key that has this index in its chunk.
    #[inline]
    pub(crate) fn get(&self, chunk: usize, key: u32) -> usize {
        self.of_chunk[chunk][key as usize] as usize
    }
}

/// Chunks whose rows become blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunks<'a> {
    pub list: &'a [Arc<Chunk>],
    pub keys: &'a KeyNumbers,
}
