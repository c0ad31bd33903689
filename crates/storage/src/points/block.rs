//! Blocks of points: the points of each series as chunks, and what several chunks share.
//!
//! | column | kind | holds |
//! |---|---|---|
//! | `resources`, `scopes`, `metrics` | bytes | one each, in postcard |
//! | `series.def` | bytes, per series | varint indices of its resource, scope and metric, then its attributes, a list of `KeyValue` in postcard |
//! | `times` | bytes, per list | varint number of times, then a list of times (see [`super::numbers`]) |
//! | `chunk.series` | unsigned, per chunk | which series; chunks of one series follow one another, by time |
//! | `chunk.times` | unsigned, per chunk | which list of times; it says how many points there are |
//! | `chunk.bytes` | unsigned, per chunk | its length |
//! | `chunk.held` | unsigned, per chunk | what it holds of the series ([`Held`]); missing where all are points as they were sent |
//! | `chunks` | bytes, one value | all chunks one after the other, see [`super::codec`] |
//!
//! A block has as many rows as its chunks have points, in their order.

use std::sync::{Arc, OnceLock};

use model::{DataPoint, Metric, Resource, Scope};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::numbers::{get_times, put_times};
use super::reduce::Held;
use super::{Entry, HistogramLists, Known, Points, SeriesEntry, codec, series_id};
use crate::block::wire::{Cursor, Malformed, put_varint};
use crate::block::{BlockError, BlockReader, BlockWriter, BytesColumn, Values};
use crate::table::Damage;

/// Points of one chunk at most.
pub(crate) const CHUNK_ROWS_MAX: usize = 480;
/// A block is full with so many series.
const SERIES_MAX: usize = 8_192;
/// Or so many bytes of chunks.
const BYTES_MAX: usize = 4 << 20;

/// What series share, each written once.
struct Distinct<T> {
    known: FxHashMap<u64, u64>,
    list: Vec<Arc<Entry<T>>>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self {
            known: FxHashMap::default(),
            list: Vec::new(),
        }
    }
}

impl<T> Distinct<T> {
    fn index(&mut self, entry: &Arc<Entry<T>>) -> u64 {
        let next = self.list.len() as u64;
        let index = *self.known.entry(entry.hash).or_insert(next);
        if index == next {
            self.list.push(Arc::clone(entry));
        }
        index
    }

    fn write(&self, name: &str, writer: &mut BlockWriter) {
        let list = self.list.iter().map(|entry| &*entry.encoded).collect();
        writer.column(name, Values::Bytes(list));
    }
}

/// A block that is being written.
#[derive(Default)]
pub(crate) struct PointWriter {
    resources: Distinct<Resource>,
    scopes: Distinct<Scope>,
    metrics: Distinct<Metric>,
    series: Vec<Vec<u8>>,
    times: Vec<Vec<u8>>,
    times_by_hash: FxHashMap<u128, u64>,
    chunk_series: Vec<u64>,
    chunk_times: Vec<u64>,
    chunk_bytes: Vec<u64>,
    chunk_held: Vec<u64>,
    chunks: Vec<u8>,
    rows: usize,
    times_range: Option<(u64, u64)>,
}

impl PointWriter {
    /// Points so far.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Smallest and largest time so far.
    pub(crate) fn times(&self) -> (u64, u64) {
        self.times_range.unwrap_or((u64::MAX, 0))
    }

    /// Whether the next chunk belongs into another block, which may have so many rows.
    pub(crate) fn is_full(&self, rows: usize) -> bool {
        self.rows >= rows || self.chunks.len() >= BYTES_MAX
    }

    /// Whether the next series belongs into another block.
    pub(crate) fn is_full_of_series(&self) -> bool {
        self.series.len() >= SERIES_MAX
    }

    /// Begins the next series.
    pub(crate) fn series(&mut self, entry: &SeriesEntry) {
        let mut def = Vec::with_capacity(entry.attributes.len() + 6);
        put_varint(&mut def, self.resources.index(&entry.resource));
        put_varint(&mut def, self.scopes.index(&entry.scope));
        put_varint(&mut def, self.metrics.index(&entry.metric));
        def.extend_from_slice(&entry.attributes);
        self.series.push(def);
    }

    /// Adds points of the series that was begun last, by time, no more than a chunk may have.
    pub(crate) fn points(&mut self, points: &Points) {
        self.held(Held::Sent, points);
    }

    /// The same of what is kept of the series.
    pub(crate) fn held(&mut self, held: Held, points: &Points) {
        let start = self.chunks.len();
        codec::encode(&mut self.chunks, points);
        self.chunk(&points.times, self.chunks.len() - start, held);
    }

    /// Adds a chunk of the series that was begun last as it is.
    pub(crate) fn encoded(&mut self, times: &[u64], chunk: &[u8]) {
        self.chunks.extend_from_slice(chunk);
        self.chunk(times, chunk.len(), Held::Sent);
    }

    fn chunk(&mut self, times: &[u64], bytes: usize, held: Held) {
        let words = times.iter().flat_map(|time| time.to_le_bytes());
        let hash = xxh3_128(&words.collect::<Vec<u8>>());
        let next = self.times.len() as u64;
        let list = *self.times_by_hash.entry(hash).or_insert(next);
        if list == next {
            let mut encoded = Vec::new();
            put_varint(&mut encoded, times.len() as u64);
            put_times(&mut encoded, times);
            self.times.push(encoded);
        }
        self.chunk_series.push(self.series.len() as u64 - 1);
        self.chunk_times.push(list);
        self.chunk_bytes.push(bytes as u64);
        self.chunk_held.push(held as u64);
        self.rows += times.len();
        let (first, last) = (times[0], times[times.len() - 1]);
        let (min, max) = self.times();
        self.times_range = Some((min.min(first), max.max(last)));
    }

    /// The bytes of the block.
    pub(crate) fn finish(self) -> Result<Vec<u8>, BlockError> {
        let rows = u32::try_from(self.rows).expect("a block is full long before that");
        let mut writer = BlockWriter::new(rows);
        self.resources.write("resources", &mut writer);
        self.scopes.write("scopes", &mut writer);
        self.metrics.write("metrics", &mut writer);
        writer
            .column("series.def", Values::Bytes(slices(&self.series)))
            .column("times", Values::Bytes(slices(&self.times)))
            .column("chunk.series", Values::UInt(self.chunk_series.into()))
            .column("chunk.times", Values::UInt(self.chunk_times.into()))
            .column("chunk.bytes", Values::UInt(self.chunk_bytes.into()))
            .column("chunks", Values::Bytes(vec![&self.chunks]));
        if self.chunk_held.iter().any(|held| *held != 0) {
            writer.column("chunk.held", Values::UInt(self.chunk_held.into()));
        }
        writer.finish()
    }
}

fn slices(list: &[Vec<u8>]) -> Vec<&[u8]> {
    list.iter().map(Vec::as_slice).collect()
}

/// Resources, scopes and metrics that were read, each kept once.
#[derive(Default)]
pub(crate) struct Parts {
    resources: Shared<Resource>,
    scopes: Shared<Scope>,
    metrics: Shared<Metric>,
}

impl Parts {
    /// The metrics of a block.
    pub(super) fn metrics(&self, reader: &BlockReader) -> Result<Vec<Arc<Entry<Metric>>>, Damage> {
        self.metrics.list(reader, "metrics")
    }
}

/// Things of one kind that are kept; others are decoded each time.
const SHARED_MAX: usize = 20_000;

struct Shared<T>(Mutex<FxHashMap<u64, Arc<Entry<T>>>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: DeserializeOwned> Shared<T> {
    fn list(&self, reader: &BlockReader, name: &str) -> Result<Vec<Arc<Entry<T>>>, Damage> {
        let column = reader
            .bytes(name)
            .map_err(|error| Damage(error.to_string()))?;
        let Some(column) = column else {
            return Ok(Vec::new());
        };
        column.iter().map(|bytes| self.one(bytes, name)).collect()
    }

    fn one(&self, bytes: &[u8], name: &str) -> Result<Arc<Entry<T>>, Damage> {
        let hash = xxh3_64(bytes);
        let mut known = self.0.lock();
        if let Some(entry) = known.get(&hash)
            && *entry.encoded == *bytes
        {
            return Ok(Arc::clone(entry));
        }
        let value: T =
            postcard::from_bytes(bytes).map_err(|error| Damage(format!("{name}: {error}")))?;
        let entry = Arc::new(Entry::of_encoded(Arc::new(value), bytes));
        if known.len() >= SHARED_MAX {
            known.clear();
        }
        known.insert(hash, Arc::clone(&entry));
        Ok(entry)
    }
}

/// The series of a block, each the same as those that are `known` where they are.
pub(crate) fn series(
    reader: &BlockReader,
    parts: &Parts,
    known: Option<&Known>,
) -> Result<Vec<Arc<SeriesEntry>>, Damage> {
    let resources = parts.resources.list(reader, "resources")?;
    let scopes = parts.scopes.list(reader, "scopes")?;
    let metrics = parts.metrics(reader)?;
    let Some(defs) = column(reader, "series.def")? else {
        return Ok(Vec::new());
    };
    let one = |def: &[u8]| {
        let damage = || Damage("series definition".to_owned());
        let mut from = Cursor::new(def);
        let mut index = || {
            let index = from.varint().ok()?;
            usize::try_from(index).ok()
        };
        let (resource, scope, metric) = (index(), index(), index());
        let resource = resource
            .and_then(|at| resources.get(at))
            .ok_or_else(damage)?;
        let scope = scope.and_then(|at| scopes.get(at)).ok_or_else(damage)?;
        let metric = metric.and_then(|at| metrics.get(at)).ok_or_else(damage)?;
        let attributes = &def[def.len() - from.remaining()..];
        let id = series_id(attributes, resource.hash, scope.hash, metric.hash);
        if let Some(entry) = known.and_then(|known| known.get(id)) {
            return Ok(entry);
        }
        postcard::from_bytes::<Vec<model::KeyValue>>(attributes).map_err(|_| damage())?;
        let bytes = attributes.len() + size_of::<SeriesEntry>();
        let parts = (resource, scope, metric);
        Ok(Arc::new(SeriesEntry::new(parts, attributes, id, bytes)))
    };
    defs.iter().map(one).collect()
}

fn column(reader: &BlockReader, name: &str) -> Result<Option<BytesColumn>, Damage> {
    reader
        .bytes(name)
        .map_err(|error| Damage(error.to_string()))
}

/// Whether the points of a block are chunks; before, each was a row.
pub(crate) fn has_chunks(reader: &BlockReader) -> bool {
    reader.column("chunks", crate::block::Kind::Bytes).is_some()
}

/// Where a chunk is, and what it is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkPlace {
    pub series: u32,
    pub held: Held,
    times: u32,
    start: usize,
    end: usize,
}

/// A list of times, decoded when it is first asked for.
struct Times {
    encoded: Box<[u8]>,
    count: usize,
    decoded: OnceLock<Arc<Vec<u64>>>,
}

/// An open block of points.
pub(crate) struct PointBlock {
    pub series: Vec<Arc<SeriesEntry>>,
    chunks: Vec<ChunkPlace>,
    times: Vec<Times>,
    payload: BytesColumn,
}

fn malformed(error: Malformed) -> Damage {
    Damage(error.0.to_owned())
}

impl PointBlock {
    pub(crate) fn open(
        reader: &BlockReader,
        parts: &Parts,
        known: Option<&Known>,
    ) -> Result<Self, Damage> {
        let series = series(reader, parts, known)?;
        let missing = |what: &str| Damage(format!("no column {what}"));
        let uints = |name: &str| {
            let list = reader
                .uints(name)
                .map_err(|error| Damage(error.to_string()))?;
            list.ok_or_else(|| missing(name))
        };
        let payload = column(reader, "chunks")?.ok_or_else(|| missing("chunks"))?;
        let times = column(reader, "times")?.ok_or_else(|| missing("times"))?;
        let times = times.iter().map(times_of).collect::<Result<Vec<_>, _>>()?;
        let (of_series, of_times) = (uints("chunk.series")?, uints("chunk.times")?);
        let lengths = uints("chunk.bytes")?;
        let held = reader.uints("chunk.held");
        let held = held.map_err(|error| Damage(error.to_string()))?;
        if held
            .as_ref()
            .is_some_and(|held| held.len() != lengths.len())
        {
            return Err(Damage("chunks are not as many as stated".to_owned()));
        }
        if payload.len() != 1 || [of_times.len(), lengths.len()] != [of_series.len(); 2] {
            return Err(Damage("chunks are not as many as stated".to_owned()));
        }
        let mut chunks: Vec<ChunkPlace> = Vec::with_capacity(lengths.len());
        let mut rows = 0u64;
        for (at, length) in lengths.iter().enumerate() {
            let wrong = || Damage("a chunk is not where it should be".to_owned());
            let below = |index: u64, count: usize| {
                let index = u32::try_from(index).ok();
                index
                    .filter(|index| (*index as usize) < count)
                    .ok_or_else(wrong)
            };
            let start = chunks.last().map_or(0, |last| last.end);
            let length = usize::try_from(*length).map_err(|_| wrong())?;
            let end = start.checked_add(length).ok_or_else(wrong)?;
            let held = held.as_ref().map_or(0, |held| held[at]);
            let held = usize::try_from(held).ok();
            let held = held.and_then(|held| Held::ALL.get(held));
            let place = ChunkPlace {
                series: below(of_series[at], series.len())?,
                held: *held.ok_or_else(wrong)?,
                times: below(of_times[at], times.len())?,
                start,
                end,
            };
            if chunks.last().is_some_and(|last| last.series > place.series) {
                return Err(wrong());
            }
            rows += times[place.times as usize].count as u64;
            chunks.push(place);
        }
        let end = chunks.last().map_or(0, |last| last.end);
        if end != payload.get(0).len() || rows != u64::from(reader.rows()) {
            return Err(Damage("chunks have not the stated length".to_owned()));
        }
        Ok(Self {
            series,
            chunks,
            times,
            payload,
        })
    }

    /// The chunks of a series, by time.
    pub(crate) fn chunks_of(&self, series: u32) -> &[ChunkPlace] {
        let first = self.chunks.partition_point(|chunk| chunk.series < series);
        let end = self.chunks.partition_point(|chunk| chunk.series <= series);
        &self.chunks[first..end]
    }

    /// The times of a chunk; the same list for chunks that share it.
    pub(crate) fn times(&self, chunk: &ChunkPlace) -> Result<&Arc<Vec<u64>>, Damage> {
        let times = &self.times[chunk.times as usize];
        if let Some(decoded) = times.decoded.get() {
            return Ok(decoded);
        }
        let decoded = get_times(&times.encoded, times.count).map_err(malformed)?;
        Ok(times.decoded.get_or_init(|| Arc::new(decoded)))
    }

    /// Bytes that its chunks are read from.
    pub(crate) fn mapped(&self) -> &[u8] {
        self.payload.get(0)
    }

    /// The stored bytes of a chunk.
    pub(crate) fn bytes(&self, chunk: &ChunkPlace) -> &[u8] {
        &self.payload.get(0)[chunk.start..chunk.end]
    }

    /// The points of a chunk.
    pub(crate) fn points(&self, chunk: &ChunkPlace) -> Result<Points, Damage> {
        codec::decode(self.bytes(chunk), self.times(chunk)?).map_err(malformed)
    }

    /// The values of a chunk of numbers, see [`codec::decode_doubles`].
    pub(crate) fn doubles(
        &self,
        chunk: &ChunkPlace,
        stale_bits: u64,
    ) -> Result<Option<codec::Doubles>, Damage> {
        let times = self.times(chunk)?;
        codec::decode_doubles(self.bytes(chunk), times, stale_bits).map_err(malformed)
    }

    /// The histograms of a chunk, see [`codec::decode_histograms`].
    pub(crate) fn histograms(&self, chunk: &ChunkPlace) -> Result<Option<HistogramLists>, Damage> {
        codec::decode_histograms(self.bytes(chunk), self.times(chunk)?).map_err(malformed)
    }

    /// All points in their order, each with the index of its series.
    pub(crate) fn all(&self) -> Result<Vec<(usize, DataPoint)>, Damage> {
        let mut found = Vec::new();
        for chunk in &self.chunks {
            let points = self.points(chunk)?;
            let rows = 0..points.len();
            found.extend(rows.map(|row| (chunk.series as usize, points.point(row))));
        }
        Ok(found)
    }

    /// For each row the index of its series, and its time.
    pub(crate) fn rows(&self) -> Result<(Vec<u32>, Vec<u64>), Damage> {
        let (mut series, mut times) = (Vec::new(), Vec::new());
        for chunk in &self.chunks {
            let list = self.times(chunk)?;
            times.extend_from_slice(list);
            series.resize(times.len(), chunk.series);
        }
        Ok((series, times))
    }

    /// About how much memory it takes, what it shares with others left out.
    pub(crate) fn heap_bytes(&self) -> usize {
        let times = self
            .times
            .iter()
            .map(|list| list.encoded.len() + 8 * list.count + 64);
        self.payload.get(0).len()
            + self.chunks.len() * size_of::<ChunkPlace>()
            + times.sum::<usize>()
            + self
                .series
                .iter()
                .map(|entry| entry.bytes + 32)
                .sum::<usize>()
    }
}

fn times_of(bytes: &[u8]) -> Result<Times, Damage> {
    let mut from = Cursor::new(bytes);
    let count = from
        .bounded(CHUNK_ROWS_MAX, "a chunk has more points than it may")
        .map_err(malformed)?;
    if count == 0 {
        return Err(Damage("a chunk without points".to_owned()));
    }
    Ok(Times {
        encoded: bytes[bytes.len() - from.remaining()..].into(),
        count,
        decoded: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests;
