//! Interned attribute keys.

use model::wire::EMPTY;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::Table;

/// Distinct keys in the order of their first appearance. A request may name thousands, most of them a few
/// times, so that they lie in one text.
#[derive(Debug)]
pub(crate) struct Interner {
    text: String,
    /// Where each key ends.
    ends: Vec<u32>,
    places: Table,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            text: String::new(),
            ends: Vec::new(),
            places: Table::for_entries(0),
        }
    }
}

impl Interner {
    /// The index of `key`, which is added if it is new.
    pub(crate) fn intern(&mut self, key: &str) -> u32 {
        let (text, ends) = (&self.text, &self.ends);
        let same = |index| slice(text, ends, index) == key;
        let (index, new) = self.places.number(xxh3_64(key.as_bytes()), same);
        if new {
            self.text.push_str(key);
            let end = u32::try_from(self.text.len()).expect("a request is shorter than 4 GiB");
            self.ends.push(end);
        }
        index
    }

    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        let same = |index| self.get(index) == key;
        self.places.find(xxh3_64(key.as_bytes()), same)
    }

    pub(crate) fn get(&self, index: u32) -> &str {
        slice(&self.text, &self.ends, index)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).take(self.ends.len()).map(|index| self.get(index))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>() + self.places.heap_bytes()
    }
}

fn slice<'t>(text: &'t str, ends: &[u32], index: u32) -> &'t str {
    let index = index as usize;
    let start = match index {
        0 => 0,
        index => ends[index - 1],
    };
    match &text[start as usize..ends[index] as usize] {
        // Of no other key than this.
        "" => EMPTY,
        key => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_place_of_their_first_appearance() {
        let mut keys = Interner::default();
        let names: Vec<String> = (0..1_000).map(|n| format!("k{}", n % 500)).collect();
        let indices: Vec<u32> = names.iter().map(|name| keys.intern(name)).collect();
        assert_eq!(indices[..500], indices[500..]);
        assert_eq!(indices[..500], (0..500).collect::<Vec<u32>>());
        assert_eq!(keys.intern(""), 500);
        assert_eq!((keys.get(7), keys.get(500)), ("k7", ""));
        assert_eq!((keys.find("k499"), keys.find("k500")), (Some(499), None));
        let all: Vec<&str> = keys.iter().collect();
        assert_eq!((all.len(), all[0], all[500]), (501, "k0", ""));
        assert_eq!(Interner::default().find(""), None);
    }
}
