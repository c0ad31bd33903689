//! Compares ways to keep which block of a file has a value that no other block of it has: what they cost to build and
//! to merge, what they take, and how long a lookup takes. The figures in `docs/adr/0003-id-table-beside-tantivy.md` are
//! this program's: `cargo run --release -p storage --example term_tables`.
//!
//! Flushes of 25 blocks, each with 7,000 values of its own, which is what 4,000 spans have; a value is a hash of 40
//! bits. CPU is that of the whole process, in steps of 10 ms; everything is in memory, so nothing waits for a disk.

#![allow(
    clippy::print_stdout,
    reason = "printing figures is all that this program does"
)]

use std::any::Any;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use storage::idtable::{self, IdTable};
use tantivy::directory::TerminatingWrite;
use tantivy::index::SegmentComponent;
use tantivy::indexer::{NoMergePolicy, doc_id_mapping::DocIdMapping};
use tantivy::schema::document::ErasedDocument;
use tantivy::schema::{BytesOptions, Field, FieldType, IndexRecordOption, Schema, Value};
use tantivy::{
    DocId, DocSet, Index, IndexWriter, PluginMergeContext, PluginWriter, PluginWriterContext,
    Segment, SegmentPlugin, SegmentReader, TERMINATED, TantivyDocument, Term,
};
use tantivy_sstable::{Dictionary, SSTable, VecU32ValueSSTable};

const FLUSHES: usize = 10;
const BLOCKS: usize = 25;
const VALUES: usize = 7_000;
const LOOKUPS: usize = 20_000;

type Failure = Box<dyn std::error::Error>;

/// Hashes of 64 bits and the block that has each, for each flush.
type Flushes = Vec<Vec<(u64, u32)>>;

fn main() -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(3);
    let flushes: Flushes = (0..FLUSHES)
        .map(|_| {
            let pair = |at: usize| (random.u64(..), (at / VALUES) as u32);
            (0..BLOCKS * VALUES).map(pair).collect()
        })
        .collect();
    println!(
        "{:44} {:>9} {:>7} {:>10} {:>9} {:>7}",
        "", "build", "B/value", "lookup", "merge", "B/value"
    );
    id_tables(&flushes)?.print("id table in a file of its own");
    in_tantivy(&flushes, true)?.print("id table as a segment plugin of tantivy");
    in_tantivy(&flushes, false)?.print("terms of tantivy");
    sstables(&flushes)?.print("sstable dictionary of tantivy, lists in it");
    Ok(())
}

/// CPU of this process so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

#[derive(Default)]
struct Figures {
    build: f64,
    bytes: usize,
    lookup_ns: f64,
    merge: f64,
    merged_bytes: usize,
}

impl Figures {
    fn print(&self, name: &str) {
        let values = (FLUSHES * BLOCKS * VALUES) as f64;
        let per_million = |seconds: f64| seconds * 1e6 / values;
        println!(
            "{name:44} {:>7.3} s {:>7.2} {:>7.0} ns {:>7.3} s {:>7.2}",
            per_million(self.build),
            self.bytes as f64 / values,
            self.lookup_ns,
            per_million(self.merge),
            self.merged_bytes as f64 / values
        );
    }
}

/// Nanoseconds a lookup in one of the parts, each of which is asked for values of its own.
fn lookups(
    flushes: &Flushes,
    mut find: impl FnMut(usize, u64) -> Result<Vec<u32>, Failure>,
) -> Result<f64, Failure> {
    let start = Instant::now();
    for number in 0..LOOKUPS {
        let part = number % flushes.len();
        let (hash, block) = flushes[part][number * 7_919 % flushes[part].len()];
        if !find(part, hash)?.contains(&block) {
            return Err("a value is not found where it is".into());
        }
    }
    Ok(start.elapsed().as_nanos() as f64 / LOOKUPS as f64)
}

fn id_tables(flushes: &Flushes) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    let begin = cpu();
    let mut tables = Vec::new();
    for pairs in flushes {
        tables.push(IdTable::open(idtable::build(&mut pairs.clone()).into())?);
    }
    figures.build = cpu() - begin;
    figures.bytes = tables.iter().map(IdTable::size_bytes).sum();
    figures.lookup_ns = lookups(flushes, |part, hash| Ok(tables[part].lookup(hash)?))?;
    let begin = cpu();
    let moved: Vec<Vec<u32>> = (0..tables.len())
        .map(|part| {
            let first = (part * BLOCKS) as u32;
            (first..first + BLOCKS as u32).collect()
        })
        .collect();
    let parts: Vec<_> = tables.iter().zip(moved.iter().map(Vec::as_slice)).collect();
    figures.merged_bytes = idtable::merge(&parts)?.len();
    figures.merge = cpu() - begin;
    Ok(figures)
}

fn key(hash: u64) -> [u8; 5] {
    let [_, _, _, bytes @ ..] = (hash >> 24).to_be_bytes();
    bytes
}

fn sstables(flushes: &Flushes) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    let begin = cpu();
    let mut parts = Vec::new();
    for pairs in flushes {
        let pairs = pairs.iter().map(|(hash, block)| (key(*hash), *block));
        parts.push(sstable(pairs.collect())?);
    }
    figures.build = cpu() - begin;
    figures.bytes = parts.iter().map(Vec::len).sum();
    let mut open = Vec::new();
    for part in &parts {
        open.push(Dictionary::<VecU32ValueSSTable>::from_bytes(
            tantivy::directory::OwnedBytes::new(part.clone()),
        )?);
    }
    figures.lookup_ns = lookups(flushes, |part, hash| {
        Ok(open[part].get(key(hash))?.unwrap_or_default())
    })?;
    let begin = cpu();
    let mut all = Vec::new();
    for (part, dictionary) in open.iter().enumerate() {
        let mut stream = dictionary.stream()?;
        while stream.advance() {
            let key: [u8; 5] = stream.key().try_into()?;
            let blocks = stream.value().iter();
            all.extend(blocks.map(|block| (key, block + (part * BLOCKS) as u32)));
        }
    }
    figures.merged_bytes = sstable(all)?.len();
    figures.merge = cpu() - begin;
    Ok(figures)
}

fn sstable(mut pairs: Vec<([u8; 5], u32)>) -> Result<Vec<u8>, Failure> {
    pairs.sort_unstable();
    let mut writer = VecU32ValueSSTable::writer(Vec::new());
    for run in pairs.chunk_by(|a, b| a.0 == b.0) {
        let blocks = run.iter().map(|(_, block)| *block).collect();
        writer.insert(run[0].0, &blocks)?;
    }
    Ok(writer.finish()?)
}

/// A document stands for a block, as in the store's index: its terms are tantivy's, or an id table's beside them.
fn in_tantivy(flushes: &Flushes, plugin: bool) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    let mut schema = Schema::builder();
    let term = schema.add_bytes_field("term", BytesOptions::default().set_indexed());
    let ids = schema.add_custom_field("ids", "ids", serde_json::Value::Null);
    let mut builder = Index::builder().schema(schema.build());
    if plugin {
        builder = builder.register_plugin(Arc::new(IdPlugin));
    }
    let index = builder.create_in_ram()?;
    let mut writer: IndexWriter = index.writer_with_num_threads(1, 256 << 20)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let begin = cpu();
    for pairs in flushes {
        for block in pairs.chunks(VALUES) {
            let mut document = TantivyDocument::default();
            if plugin {
                let hashes: Vec<u8> = block
                    .iter()
                    .flat_map(|(hash, _)| hash.to_le_bytes())
                    .collect();
                document.add_custom(ids, &hashes);
            } else {
                block
                    .iter()
                    .for_each(|(hash, _)| document.add_bytes(term, &key(*hash)));
            }
            writer.add_document(document)?;
        }
        writer.commit()?;
    }
    figures.build = cpu() - begin;
    let size = |index: &Index| -> Result<usize, Failure> {
        let searcher = index.reader()?.searcher();
        Ok(usize::try_from(
            searcher.space_usage()?.total().get_bytes(),
        )?)
    };
    figures.bytes = size(&index)?;
    let searcher = index.reader()?.searcher();
    // Segments in the order of the flushes: the first value of each says which it is.
    let readers = searcher.segment_readers();
    let mut find: Vec<Find> = Vec::new();
    for reader in readers {
        find.push(Find::new(reader, term, plugin)?);
    }
    let mut order = Vec::new();
    for pairs in flushes {
        let here = |find: &Find| find.blocks(pairs[0].0).is_ok_and(|found| !found.is_empty());
        order.push(find.iter().position(here).ok_or("a flush has no segment")?);
    }
    figures.lookup_ns = lookups(flushes, |part, hash| find[order[part]].blocks(hash))?;
    let begin = cpu();
    writer.merge(&index.searchable_segment_ids()?).wait()?;
    figures.merge = cpu() - begin;
    figures.merged_bytes = size(&index)?;
    Ok(figures)
}

/// One open segment.
enum Find {
    Terms(Arc<tantivy::InvertedIndexReader>, Field),
    Ids(IdTable),
}

impl Find {
    fn new(reader: &SegmentReader, term: Field, plugin: bool) -> Result<Self, Failure> {
        if plugin {
            return Ok(Find::Ids(open_ids(reader)?));
        }
        Ok(Find::Terms(reader.inverted_index(term)?, term))
    }

    fn blocks(&self, hash: u64) -> Result<Vec<u32>, Failure> {
        match self {
            Find::Ids(table) => Ok(table.lookup(hash)?),
            Find::Terms(inverted, field) => {
                let term = Term::from_field_bytes(*field, &key(hash));
                let mut found = Vec::new();
                if let Some(mut postings) =
                    inverted.read_postings(&term, IndexRecordOption::Basic)?
                {
                    let mut document = postings.doc();
                    while document != TERMINATED {
                        found.push(document);
                        document = postings.advance();
                    }
                }
                Ok(found)
            }
        }
    }
}

fn open_ids(reader: &SegmentReader) -> tantivy::Result<IdTable> {
    let file = reader.open_read(SegmentComponent::Custom("ids".to_owned()))?;
    let bytes = file.read_bytes()?.to_vec();
    IdTable::open(bytes.into()).map_err(of_table)
}

fn of_table(error: idtable::IdTableError) -> tantivy::TantivyError {
    tantivy::TantivyError::InternalError(error.to_string())
}

/// An id table that tantivy writes and merges with its segments.
struct IdPlugin;

struct IdWriter {
    field: Option<Field>,
    pairs: Vec<(u64, u32)>,
}

impl SegmentPlugin for IdPlugin {
    fn extensions(&self) -> &[&str] {
        &["ids"]
    }

    fn create_writer(
        &self,
        context: &PluginWriterContext<'_>,
    ) -> tantivy::Result<Box<dyn PluginWriter>> {
        let schema = context.segment.schema();
        let mut fields = schema.fields();
        let custom = fields.find(|(_, entry)| matches!(entry.field_type(), FieldType::Custom(_)));
        Ok(Box::new(IdWriter {
            field: custom.map(|(field, _)| field),
            pairs: Vec::new(),
        }))
    }

    fn merge(&self, context: PluginMergeContext<'_>) -> tantivy::Result<()> {
        let mut tables = Vec::new();
        let mut offset = 0;
        for reader in context.readers {
            let moved: Vec<u32> = (offset..offset + reader.max_doc()).collect();
            tables.push((open_ids(reader)?, moved));
            offset += reader.max_doc();
        }
        let parts: Vec<_> = tables
            .iter()
            .map(|(table, moved)| (table, moved.as_slice()))
            .collect();
        write_ids(
            context.target_segment,
            &idtable::merge(&parts).map_err(of_table)?,
        )
    }
}

fn write_ids(segment: &Segment, bytes: &[u8]) -> tantivy::Result<()> {
    let mut file = segment.open_write(SegmentComponent::Custom("ids".to_owned()))?;
    file.write_all(bytes)?;
    file.terminate()?;
    Ok(())
}

impl PluginWriter for IdWriter {
    fn add_document(
        &mut self,
        id: DocId,
        document: &dyn ErasedDocument,
        _: &Schema,
    ) -> tantivy::Result<()> {
        let document = document.as_any().downcast_ref::<TantivyDocument>();
        let (Some(document), Some(field)) = (document, self.field) else {
            return Ok(());
        };
        for value in document.get_all(field) {
            let hashes = value.as_custom().unwrap_or_default().as_chunks::<8>().0;
            let hashes = hashes.iter().map(|bytes| u64::from_le_bytes(*bytes));
            self.pairs.extend(hashes.map(|hash| (hash, id)));
        }
        Ok(())
    }

    fn serialize(
        mut self: Box<Self>,
        segment: &Segment,
        _: Option<&DocIdMapping>,
    ) -> tantivy::Result<()> {
        write_ids(segment, &idtable::build(&mut self.pairs))
    }

    fn mem_usage(&self) -> usize {
        self.pairs.capacity() * size_of::<(u64, u32)>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
