//! Rows counted by group, in a bounded part of the memory that all scans share for it.
//!
//! Every group that is held at the end was counted from its first row on, so its numbers are exact
//! however many others there are. Where memory runs out, the groups with fewest rows are let go, a
//! quarter of the memory at a time. The rows of a group that was let go are the rest, those counted
//! before and those that come later: it stays known by its digest and is not taken in again. Once
//! these digests are half of what is held, no group is taken in any more. Held groups and the rest
//! are together all rows, always.

use model::room::{NoRoom, Room, allocation};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::Scan;
use crate::table::SHOWN_BYTES_MAX;

/// What the groups of one scan may take.
const TALLY_BYTES_MAX: u64 = 32 << 20;

/// What every scan may take for groups, whatever others hold.
const OWN_BYTES: usize = 256 << 10;

/// About what an entry of a table takes: those here have 24 bytes and one of control, and a table
/// that has just grown is a little under half full.
const ENTRY_BYTES: usize = 64;

/// Two groups of which one digest is the same are one.
type Digest = (u64, u64);

/// Which group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    slot: u32,
    /// A place of a group that was let go names none, also where its slot has another.
    generation: u32,
}

/// The place of what is not held.
const NOWHERE: Place = Place {
    slot: u32::MAX,
    generation: 0,
};

#[derive(Debug, Default)]
struct Group {
    key: Vec<String>,
    rows: u64,
    errors: u64,
    cells: u32,
    generation: u32,
}

/// Rows by group and bucket.
#[derive(Debug)]
pub(super) struct Tally {
    places: FxHashMap<Digest, Place>,
    groups: Vec<Group>,
    /// Slots without a group.
    free: Vec<u32>,
    cells: FxHashMap<(u32, u64), u64>,
    /// Rows of no held group.
    rest: u64,
    /// Groups that were let go.
    let_go: u64,
    /// Whether no group is taken in any more.
    closed: bool,
    /// Why there was no more memory.
    full: Option<NoRoom>,
    used: usize,
    most_used: usize,
    /// For making digests.
    buffer: Vec<u8>,
    /// For what goes beyond [`OWN_BYTES`].
    room: Room,
}

/// One group at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summed {
    pub key: Vec<String>,
    pub rows: u64,
    pub errors: u64,
    /// By bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// The largest groups, by key, and what is known of the others.
#[derive(Debug)]
pub(super) struct Largest {
    pub groups: Vec<Summed>,
    /// Rows of all others.
    pub rest: u64,
    /// Held groups that were too many, and the rows of the largest of them.
    left_out: (usize, u64),
    let_go: u64,
    full: Option<NoRoom>,
    most_used: usize,
}

impl Tally {
    pub(super) fn new(scan: &Scan<'_>) -> Self {
        let most = TALLY_BYTES_MAX.min(scan.limits.answer_bytes);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self::within(scan.core.grouping.room(most.saturating_sub(OWN_BYTES)))
    }

    fn within(room: Room) -> Self {
        Self {
            places: FxHashMap::default(),
            groups: Vec::new(),
            free: Vec::new(),
            cells: FxHashMap::default(),
            rest: 0,
            let_go: 0,
            closed: false,
            full: None,
            used: 0,
            most_used: 0,
            buffer: Vec::new(),
            room,
        }
    }

    /// The place of a group, which is taken in if there is room.
    pub(super) fn place<T: AsRef<str>>(&mut self, key: &[T]) -> Place {
        let digest = digest(key, &mut self.buffer);
        if let Some(place) = self.places.get(&digest) {
            return *place;
        }
        if self.closed {
            return NOWHERE;
        }
        let bytes = ENTRY_BYTES + group_bytes(key);
        if !self.take(bytes) {
            self.make_room();
            if !self.take(bytes) {
                // Its rows are in the rest from now on, and nothing remembers that of it alone.
                self.closed = true;
                return NOWHERE;
            }
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            u32::try_from(self.groups.len() - 1).expect("so many groups do not fit into the bound")
        });
        let group = &mut self.groups[slot as usize];
        group.key = key.iter().map(|text| text.as_ref().to_owned()).collect();
        let place = Place {
            slot,
            generation: group.generation,
        };
        self.places.insert(digest, place);
        place
    }

    /// Counts rows of a group in one of its buckets.
    pub(super) fn add(&mut self, place: Place, bucket: u64, rows: u64) {
        let Some(slot) = self.held(place) else {
            self.rest += rows;
            return;
        };
        if let Some(cell) = self.cells.get_mut(&(place.slot, bucket)) {
            *cell += rows;
        } else if self.take_cell(place) {
            self.cells.insert((place.slot, bucket), rows);
            self.groups[slot].cells += 1;
        } else {
            self.rest += rows;
            return;
        }
        self.groups[slot].rows += rows;
    }

    /// Says of some rows of a group, which are counted apart, that they failed.
    pub(super) fn add_errors(&mut self, place: Place, errors: u64) {
        if let Some(slot) = self.held(place) {
            self.groups[slot].errors += errors;
        }
    }

    fn held(&self, place: Place) -> Option<usize> {
        let slot = place.slot as usize;
        let group = self.groups.get(slot)?;
        (group.generation == place.generation).then_some(slot)
    }

    /// Takes memory for one more bucket of a group, which is let go where there is none.
    fn take_cell(&mut self, place: Place) -> bool {
        if self.take(ENTRY_BYTES) {
            return true;
        }
        self.make_room();
        let Some(slot) = self.held(place) else {
            return false;
        };
        let taken = self.take(ENTRY_BYTES);
        if !taken {
            self.let_go(slot);
            self.drop_cells();
        }
        taken
    }

    fn take(&mut self, bytes: usize) -> bool {
        let used = self.used + bytes;
        let beyond = used.saturating_sub(OWN_BYTES);
        if beyond > self.room.used()
            && let Err(full) = self.room.take(beyond - self.room.used())
        {
            self.full = Some(full);
            return false;
        }
        self.used = used;
        self.most_used = self.most_used.max(used);
        true
    }

    /// Lets the smallest groups go, of groups of one size the oldest: those had longest to grow.
    fn make_room(&mut self) {
        let entries = self.places.len() * ENTRY_BYTES;
        self.closed |= entries >= self.used / 2;
        let enough = self.used - self.used / 4;
        let is_free: rustc_hash::FxHashSet<u32> = self.free.iter().copied().collect();
        let slots = (0u32..).zip(&self.groups);
        let mut held: Vec<(u64, u32)> = slots
            .filter(|(slot, _)| !is_free.contains(slot))
            .map(|(slot, group)| (group.rows, slot))
            .collect();
        held.sort_unstable();
        for (_, slot) in held {
            if self.used <= enough {
                break;
            }
            self.let_go(slot as usize);
        }
        self.drop_cells();
    }

    /// Lets a group go. Its cells are to be dropped before another has its slot.
    fn let_go(&mut self, slot: usize) {
        let group = &mut self.groups[slot];
        let bytes = group_bytes(&group.key) + group.cells as usize * ENTRY_BYTES;
        self.rest += group.rows;
        *group = Group {
            generation: group.generation + 1,
            ..Group::default()
        };
        self.free
            .push(u32::try_from(slot).expect("slots are numbered so"));
        self.let_go += 1;
        self.used -= bytes;
        let beyond = self.used.saturating_sub(OWN_BYTES);
        self.room.give_back(self.room.used().saturating_sub(beyond));
    }

    fn drop_cells(&mut self) {
        let groups = &self.groups;
        self.cells
            .retain(|(slot, _), _| groups[*slot as usize].cells > 0);
    }

    /// The groups with most rows; of groups of one size those with the least key.
    pub(super) fn largest(mut self, groups: usize) -> Largest {
        let mut order: Vec<usize> = (0..self.groups.len())
            .filter(|slot| self.groups[*slot].rows > 0)
            .collect();
        order.sort_unstable_by(|a, b| {
            let (a, b) = (&self.groups[*a], &self.groups[*b]);
            b.rows.cmp(&a.rows).then_with(|| a.key.cmp(&b.key))
        });
        let others = order.split_off(groups.min(order.len()));
        let rows = |slot: &usize| self.groups[*slot].rows;
        let left_out = (others.len(), others.first().map_or(0, rows));
        let rest = self.rest + others.iter().map(rows).sum::<u64>();
        order.sort_unstable_by(|a, b| self.groups[*a].key.cmp(&self.groups[*b].key));
        let mut index_of = vec![usize::MAX; self.groups.len()];
        let mut list: Vec<Summed> = Vec::with_capacity(order.len());
        for slot in order {
            index_of[slot] = list.len();
            let group = &mut self.groups[slot];
            list.push(Summed {
                key: std::mem::take(&mut group.key),
                rows: group.rows,
                errors: group.errors,
                buckets: Vec::with_capacity(group.cells as usize),
            });
        }
        for ((slot, bucket), rows) in self.cells {
            if let Some(group) = list.get_mut(index_of[slot as usize]) {
                group.buckets.push((bucket, rows));
            }
        }
        for group in &mut list {
            group.buckets.sort_unstable();
        }
        Largest {
            groups: list,
            rest,
            left_out,
            let_go: self.let_go,
            full: self.full,
            most_used: self.most_used,
        }
    }
}

impl Largest {
    /// Notes what is missing, and how much memory there was for the rest.
    pub(super) fn note(&self, scan: &Scan<'_>, limit: &str, asked: usize) {
        if let (number @ 1.., rows) = self.left_out {
            let hint = format!(
                "{number} more, of at most {rows} rows each, are left out; raise the limit"
            );
            scan.cut(limit, asked, &hint);
        }
        let why = match self.full {
            None => "",
            Some(NoRoom::Never(_)) => "group by fewer values or use a wider step",
            Some(NoRoom::Now(_)) => "other queries hold memory for groups: ask again",
        };
        if self.full.is_some() {
            let number = self.let_go;
            let hint = format!(
                "memory ran out: {number} groups with fewest rows by then were let go and others \
                 not taken in; those that are here are exact; {why}"
            );
            scan.cut("group_bytes", self.most_used, &hint);
        }
        let mut texts = self.groups.iter().flat_map(|group| &group.key);
        if texts.any(|text| text.len() > SHOWN_BYTES_MAX) {
            let hint = "longer texts are shown by their beginning, length and digest";
            scan.cut("text_bytes", SHOWN_BYTES_MAX, hint);
        }
    }
}

/// What a group takes, but for its entry and its cells.
fn group_bytes<T: AsRef<str>>(key: &[T]) -> usize {
    let texts: usize = key.iter().map(|text| allocation(text.as_ref().len())).sum();
    // The list of groups may have just grown to twice what it holds.
    2 * size_of::<Group>() + allocation(size_of::<String>() * key.len()) + texts
}

fn digest<T: AsRef<str>>(key: &[T], bytes: &mut Vec<u8>) -> Digest {
    bytes.clear();
    for text in key {
        let text = text.as_ref().as_bytes();
        // With the length before it no text runs into the next.
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    let digest = xxh3_128(bytes);
    let half = |shift: u32| (digest >> shift) as u64;
    (half(64), half(0))
}

#[cfg(test)]
mod tests;
