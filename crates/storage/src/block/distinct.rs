//! Finds the distinct values of a column while it is encoded.

use xxhash_rust::xxh3::xxh3_64;

/// The distinct values of a column, in the order in which they first appear.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    /// For each distinct value, the position of its first appearance.
    pub(crate) first: Vec<u32>,
    /// For each value, which distinct value it is.
    pub(crate) codes: Vec<u32>,
}

/// An open-addressing table from bytes to their number; the bytes themselves stay with the caller.
#[derive(Debug)]
pub(crate) struct Table {
    /// Number of the entry plus one, zero when free; a power of two of them.
    slots: Vec<u32>,
    /// The upper half of each entry's hash, which spares most comparisons of unequal bytes.
    hashes: Vec<u64>,
}

impl Table {
    pub(crate) fn for_entries(expected: usize) -> Self {
        let slots = (expected.saturating_mul(2)).max(16).next_power_of_two();
        Table {
            slots: vec![0; slots],
            hashes: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The number of the entry that has `hash` and for which `same` holds, or a new number and true.
    pub(crate) fn number(&mut self, hash: u64, mut same: impl FnMut(u32) -> bool) -> (u32, bool) {
        if self.hashes.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                0 => {
                    let number = self.hashes.len() as u32;
                    self.hashes.push(hash);
                    self.slots[slot] = number + 1;
                    return (number, true);
                }
                taken => {
                    let number = taken - 1;
                    if self.hashes[number as usize] == hash && same(number) {
                        return (number, false);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The number of the entry that has `hash` and for which `same` holds.
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let number = self.slots[slot].checked_sub(1)?;
            if self.hashes[number as usize] == hash && same(number) {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>() + self.hashes.capacity() * size_of::<u64>()
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        self.slots = vec![0; mask + 1];
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut slot = *hash as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number as u32 + 1;
        }
    }
}

/// Numbers the distinct values. A value equal to its predecessor, the most common case in sorted rows, is not hashed.
pub(crate) fn distinct<T: AsRef<[u8]>>(values: &[T]) -> Distinct {
    let mut found = Distinct {
        first: Vec::new(),
        codes: Vec::with_capacity(values.len()),
    };
    let mut table = Table::for_entries(values.len().min(4096));
    let mut previous: Option<(&[u8], u32)> = None;
    for (position, value) in values.iter().enumerate() {
        let value = value.as_ref();
        if let Some((bytes, code)) = previous
            && bytes == value
        {
            found.codes.push(code);
            continue;
        }
        let first = &found.first;
        let (code, new) = table.number(xxh3_64(value), |number| {
            values[first[number as usize] as usize].as_ref() == value
        });
        if new {
            found.first.push(position as u32);
        }
        found.codes.push(code);
        previous = Some((value, code));
    }
    found
}

/// The distinct integers in rising order and each value's place among them; None when there are more than `limit`.
pub(crate) fn distinct_u64(values: &[u64], limit: usize) -> Option<(Vec<u64>, Vec<u32>)> {
    let mut table = Table::for_entries(limit * 2);
    let mut seen: Vec<u64> = Vec::new();
    let mut codes: Vec<u32> = Vec::with_capacity(values.len());
    for value in values {
        if let Some(code) = codes.last()
            && seen[*code as usize] == *value
        {
            codes.push(*code);
            continue;
        }
        // A multiplication spreads the bits well enough for integers, of which the high half is then used.
        let hash = value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        let (code, new) = table.number(hash, |number| seen[number as usize] == *value);
        if new {
            if table.len() > limit {
                return None;
            }
            seen.push(*value);
        }
        codes.push(code);
    }
    let mut order: Vec<u32> = (0..seen.len() as u32).collect();
    order.sort_unstable_by_key(|code| seen[*code as usize]);
    let mut place = vec![0u32; seen.len()];
    for (rank, code) in order.iter().enumerate() {
        place[*code as usize] = rank as u32;
    }
    for code in &mut codes {
        *code = place[*code as usize];
    }
    let sorted = order.iter().map(|code| seen[*code as usize]).collect();
    Some((sorted, codes))
}
