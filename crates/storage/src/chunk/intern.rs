//! Interned attribute keys.

use rustc_hash::FxHashMap;

/// Distinct keys in the order of their first appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    keys: Vec<Box<str>>,
    by_key: FxHashMap<Box<str>, u32>,
}

impl Interner {
    /// The index of `key`, which is added if it is new.
    pub(crate) fn intern(&mut self, key: &str) -> u32 {
        if let Some(index) = self.by_key.get(key) {
            return *index;
        }
        let index = u32::try_from(self.keys.len()).expect("a request has fewer than 2^32 keys");
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
        self.keys.iter().map(|key| key.len() * 2 + 48).sum()
    }
}
