//! The series index of a file: which of its series have which label.
//!
//! `F.series`, little-endian; varint, streams and strings as in docs/formats/block.md:
//!
//! | part | bytes |
//! |---|---|
//! | header | magic `TLSX`, version 1 (2), 2 zero bytes |
//! | sets | of several series, one for each term that is on more than one: see [`super::set`] |
//! | blocks | varint blocks; the stream of the ordinals of their first series, the stream of their numbers of series |
//! | terms | a finite state transducer (the one that tantivy's term dictionary is made of): key -> twice where its set begins, or twice the series plus 1 where it is on one alone |
//! | trailer | series (4), where blocks begin (8), where terms begin (8), CRC-32C (4) of all that precedes it, version (2), 2 zero bytes, magic `TLSX` |
//!
//! The ordinal of a series is its place in the file, which has series in the order of
//! [`super::SeriesEntry::order`]. Terms are those of [`super::labels`].

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::Bytes;
use tantivy_fst::map::OpBuilder;
use tantivy_fst::raw::Fst;
use tantivy_fst::{IntoStreamer, Map, MapBuilder, Streamer};

use super::SeriesEntry;
use super::labels::Terms;
use super::select::{Each, TermSource};
use super::set::Set;
use super::table::ABSENT;
use crate::block::ints::{self, Depth};
use crate::block::wire::{Cursor, Decoded, Malformed, put_varint};

const MAGIC: [u8; 4] = *b"TLSX";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8;
const TRAILER_BYTES: usize = 32;
/// Marks the place of a set of one series, which is the place.
const ALONE: u64 = 1;

/// The series that have a term.
#[derive(Clone)]
pub(super) enum Having {
    /// Most values of labels are on one series.
    One(u32),
    More(Set),
}

impl Having {
    /// Those below a number, if there are any.
    pub(super) fn below(self, count: u32) -> Option<Set> {
        let set = match self {
            Having::One(ordinal) if ordinal >= count => return None,
            Having::One(ordinal) => Set::one(ordinal),
            Having::More(set) => set.below(count),
        };
        (!set.is_empty()).then_some(set)
    }

    fn runs(&self) -> usize {
        match self {
            Having::One(_) => 1,
            Having::More(set) => set.runs(),
        }
    }

    fn set(&self) -> Set {
        match self {
            Having::One(ordinal) => Set::one(*ordinal),
            Having::More(set) => set.clone(),
        }
    }

    fn push(&mut self, ordinal: u32) {
        if let Having::One(first) = self {
            *self = Having::More(Set::one(*first));
        }
        if let Having::More(set) = self {
            set.push(ordinal);
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Having::One(_) => 0,
            Having::More(set) => set.heap_bytes() + ALLOCATION_BYTES,
        }
    }
}

/// About what an allocator takes for itself.
const ALLOCATION_BYTES: usize = 16;

/// Collects the terms of series: those of a file that is being written, or those of heads.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    terms: Terms,
    sets: BTreeMap<Box<[u8]>, Having>,
    count: u32,
    bytes: usize,
}

impl IndexBuilder {
    /// Adds the next series.
    pub(crate) fn add(&mut self, entry: &SeriesEntry) {
        let ordinal = self.count;
        let (sets, bytes) = (&mut self.sets, &mut self.bytes);
        self.terms.each(entry, |key| {
            if let Some(having) = sets.get_mut(key) {
                let before = having.heap_bytes();
                having.push(ordinal);
                *bytes += having.heap_bytes() - before;
                return;
            }
            // A node of the tree is two thirds full on average.
            *bytes += key.len() + ALLOCATION_BYTES + 3 * size_of::<(Box<[u8]>, Having)>() / 2;
            sets.insert(key.into(), Having::One(ordinal));
        });
        self.count += 1;
    }

    /// About how much memory it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the terms of all series.
    pub(crate) fn write(&self, into: &mut IndexWriter) {
        for (key, having) in &self.sets {
            into.add(key, &having.set());
        }
    }

    /// Writes some terms, those that come after one, with the series that have a place in the
    /// file: places come by ordinal. Returns the last term that was looked at, if any.
    pub(crate) fn write_some(
        &self,
        after: Option<&[u8]>,
        places: &[u32],
        into: &mut IndexWriter,
    ) -> Option<Box<[u8]>> {
        /// Series of terms that are looked at in one call, about.
        const WORK: usize = 1 << 16;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut list = Vec::new();
        let mut work = 0;
        for (key, having) in self.sets.range::<[u8], _>((from, Bound::Unbounded)) {
            list.clear();
            match having {
                Having::One(ordinal) => place(places, *ordinal, &mut list),
                Having::More(set) => set.iter().for_each(|one| place(places, one, &mut list)),
            }
            work += 1 + list.len();
            into.add(key, &Set::of(&mut list));
            last = Some(key);
            if work > WORK {
                break;
            }
        }
        last.cloned()
    }

    /// Some terms that begin so, those that come after one; none where there are no more.
    pub(super) fn some_of(&self, prefix: &[u8], after: Option<&[u8]>) -> Vec<(Box<[u8]>, Having)> {
        /// Terms, and runs of their series, that are copied in one call, about.
        const WORK: usize = 1 << 13;
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let range = self.sets.range::<[u8], _>((from, Bound::Unbounded));
        let mut work = 0;
        range
            .take_while(|(key, having)| {
                let more = work < WORK && key.starts_with(prefix);
                work += 1 + having.runs();
                more
            })
            .map(|(key, having)| (key.clone(), having.clone()))
            .collect()
    }

    /// The index of a file whose blocks have these series.
    #[cfg(test)]
    pub(crate) fn finish(self, blocks: &[Range<u32>]) -> Vec<u8> {
        let mut writer = IndexWriter::default();
        self.write(&mut writer);
        writer.finish(self.count, blocks)
    }
}

/// Adds the place of a series, if it has one.
fn place(places: &[u32], ordinal: u32, list: &mut Vec<u32>) {
    match places.get(ordinal as usize) {
        None | Some(&ABSENT) => {}
        Some(place) => list.push(*place),
    }
}

/// An index that is being written, term by term in their order.
pub(crate) struct IndexWriter {
    out: Vec<u8>,
    terms: MapBuilder<Vec<u8>>,
}

impl Default for IndexWriter {
    fn default() -> Self {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        Self {
            out,
            terms: MapBuilder::memory(),
        }
    }
}

impl IndexWriter {
    /// Adds the next term; one that is on no series is left out.
    pub(crate) fn add(&mut self, key: &[u8], set: &Set) {
        if set.is_empty() {
            return;
        }
        let place = match set.only() {
            Some(ordinal) => u64::from(ordinal) << 1 | ALONE,
            None => (self.out.len() as u64) << 1,
        };
        self.terms
            .insert(key, place)
            .expect("keys come in order, each once");
        if set.only().is_none() {
            set.put(&mut self.out);
        }
    }

    /// Writes the terms of several files as those of the one that they became: the places of the
    /// series of each file in the new one.
    pub(crate) fn merge(&mut self, files: &[(&SeriesIndex, &[u32])]) {
        let mut builder = OpBuilder::new();
        for (index, _) in files {
            builder.push(index.terms.stream());
        }
        let mut union = builder.union();
        let mut list = Vec::new();
        while let Some((key, sets)) = union.next() {
            list.clear();
            for found in sets {
                let (index, places) = files[found.index];
                let set = index.set(found.value);
                set.iter().for_each(|one| place(places, one, &mut list));
            }
            self.add(key, &Set::of(&mut list));
        }
    }

    /// The bytes of the index of so many series.
    pub(crate) fn finish(self, count: u32, blocks: &[Range<u32>]) -> Vec<u8> {
        let Self { mut out, terms } = self;
        let at_blocks = out.len() as u64;
        put_varint(&mut out, blocks.len() as u64);
        let first: Vec<u64> = blocks.iter().map(|block| u64::from(block.start)).collect();
        let length = |block: &Range<u32>| u64::from(block.end - block.start);
        let counts: Vec<u64> = blocks.iter().map(length).collect();
        ints::encode_unsigned(&mut out, &first, Depth::Inner);
        ints::encode_unsigned(&mut out, &counts, Depth::Inner);
        let at_terms = out.len() as u64;
        out.extend(terms.into_inner().expect("writing to memory does not fail"));
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&at_blocks.to_le_bytes());
        out.extend_from_slice(&at_terms.to_le_bytes());
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC);
        out
    }
}

impl TermSource for IndexBuilder {
    fn count(&self) -> u32 {
        self.count
    }

    fn find(&self, key: &[u8]) -> Set {
        self.sets.get(key).map(Having::set).unwrap_or_default()
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (key, having) in self.sets.range::<[u8], _>(from) {
            let Some(rest) = key.strip_prefix(prefix) else {
                return;
            };
            if !each(rest, &|| having.set()) {
                return;
            }
        }
    }
}

/// An open series index.
pub(crate) struct SeriesIndex {
    bytes: Bytes,
    count: u32,
    terms: Map<Bytes>,
    /// The series of each block.
    blocks: Vec<Range<u32>>,
}

impl std::fmt::Debug for SeriesIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeriesIndex")
            .field("count", &self.count)
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl SeriesIndex {
    /// Opens an index and checks all of its bytes.
    pub(crate) fn open(bytes: Bytes) -> Decoded<Self> {
        let body = bytes
            .len()
            .checked_sub(TRAILER_BYTES)
            .filter(|body| *body >= HEADER_BYTES)
            .ok_or(Malformed("it is too short"))?;
        let mut trailer = Cursor::new(&bytes[body..]);
        let count = trailer.u32()?;
        let (at_blocks, at_terms) = (trailer.u64()?, trailer.u64()?);
        let checked = body + TRAILER_BYTES - trailer.remaining();
        let checksum = trailer.u32()?;
        let (version, _) = (trailer.u16()?, trailer.u16()?);
        if trailer.array()? != MAGIC || bytes[..4] != MAGIC {
            return Err(Malformed("it has no magic number"));
        }
        if version != VERSION {
            return Err(Malformed("its version is not known"));
        }
        if crc32c::crc32c(&bytes[..checked]) != checksum {
            return Err(Malformed("its checksum does not match"));
        }
        let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= body);
        let (Some(at_blocks), Some(at_terms)) = (place(at_blocks), place(at_terms)) else {
            return Err(Malformed("its parts lie outside of it"));
        };
        if at_blocks < HEADER_BYTES || at_terms < at_blocks {
            return Err(Malformed("its parts are not in order"));
        }
        let blocks = read_blocks(&bytes[at_blocks..at_terms], count)?;
        let terms = Fst::new(bytes.slice(at_terms..body));
        let terms = Map::from(terms.map_err(|_| Malformed("its terms do not read"))?);
        Ok(Self {
            bytes: bytes.slice(..at_blocks),
            count,
            terms,
            blocks,
        })
    }

    /// What it reads from.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The series of each block.
    pub(crate) fn blocks(&self) -> &[Range<u32>] {
        &self.blocks
    }

    fn set(&self, place: u64) -> Set {
        let at = place >> 1;
        if place & ALONE != 0 {
            let mut set = Set::default();
            let ordinal = u32::try_from(at).ok();
            ordinal
                .filter(|at| *at < self.count)
                .into_iter()
                .for_each(|at| set.push(at));
            return set;
        }
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(at..).unwrap_or_default();
        // The checksum was right: a set that does not read was never written.
        Set::get(&mut Cursor::new(bytes), self.count).unwrap_or_else(|_| Set::all(self.count))
    }
}

fn read_blocks(bytes: &[u8], count: u32) -> Decoded<Vec<Range<u32>>> {
    let mut from = Cursor::new(bytes);
    let blocks = from.bounded(u32::MAX as usize, "too many blocks")?;
    if blocks > bytes.len().saturating_mul(64) + 1 {
        return Err(Malformed("more blocks than its bytes can hold"));
    }
    let first = ints::decode(&mut from, blocks, Depth::Inner)?;
    let counts = ints::decode(&mut from, blocks, Depth::Inner)?;
    from.finish()?;
    let block = |(first, length): (u64, u64)| {
        let end = first.checked_add(length)?;
        let end = u32::try_from(end).ok().filter(|end| *end <= count)?;
        Some(u32::try_from(first).ok()?..end)
    };
    let list: Option<Vec<_>> = first.into_iter().zip(counts).map(block).collect();
    list.ok_or(Malformed("a block has series that are not there"))
}

impl TermSource for SeriesIndex {
    fn count(&self) -> u32 {
        self.count
    }

    fn find(&self, key: &[u8]) -> Set {
        self.terms
            .get(key)
            .map_or_else(Set::default, |at| self.set(at))
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) {
        let mut stream = self.terms.range().ge(prefix).into_stream();
        while let Some((key, at)) = stream.next() {
            let Some(rest) = key.strip_prefix(prefix) else {
                return;
            };
            if !each(rest, &|| self.set(at)) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
