//! Interned attribute keys.

use model::room::allocation;
use rustc_hash::FxHashMap;

/// Distinct keys in the order of their first appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    keys: Vec<Box<str>>,
    by_key: FxHashMap<Box<str>, u32>,
    /// What the keys themselves take.
    text_bytes: usize,
}

impl Interner {
    /// The index of `key`, which is added if it is new.
    pub(crate) fn intern(&mut self, key: &str) -> u32 {
        if let Some(index) = self.by_key.get(key) {
            return *index;
        }
        let index = u32::try_from(self.keys.len()).expect("a request has fewer than 2^32 keys");
        self.text_bytes += 2 * allocation(key.len());
        self.keys.push(key.into());
        self.by_key.insert(key.into(), index);
        index
    }

    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, index: u32) -> &str {
        &self.keys[index as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text_bytes
            + self.keys.capacity() * size_of::<Box<str>>()
            + self.by_key.capacity() * size_of::<(Box<str>, u32)>()
    }
}
