//! The tantivy index of a partition: one document per block, with the terms that several blocks
//! of a file share. Terms of one block alone are in the file's id table.
//!
//! The index is derived from the blocks. It says which files it covers; a file it does not cover,
//! or all of them if it cannot be opened, is searched without it. So losing it costs time alone.

use std::path::Path;
use std::sync::Arc;

use tantivy::columnar::Column;
use tantivy::directory::MmapDirectory;
use tantivy::indexer::LogMergePolicy;
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, Schema};
use tantivy::{
    DocSet, Index, IndexReader, InvertedIndexReader, ReloadPolicy, TERMINATED, TantivyDocument,
    Term,
};

/// The writer's memory; tantivy's least is 15 MB.
const WRITER_BYTES: usize = 16_000_000;

/// Where a document's block is: the file in the upper, the block's ordinal in the lower bits.
const ORDINAL_BITS: u32 = 24;

/// An index that cannot be written or read; its message says why.
#[derive(Debug, thiserror::Error)]
#[error("index: {0}")]
pub(crate) struct IndexError(#[from] tantivy::TantivyError);

/// An open index, as of one commit.
pub(crate) struct TermIndex {
    index: Index,
    segments: Vec<Segment>,
    term: Field,
    block: Field,
    /// Files up to this flush have their documents here.
    covered: u64,
}

/// What a lookup asks of each segment.
struct Segment {
    inverted: Arc<InvertedIndexReader>,
    /// Where the blocks of the documents are.
    blocks: Column<u64>,
}

/// One block for the index.
pub(crate) struct BlockTerms {
    pub file: u64,
    pub ordinal: u32,
    /// Truncated terms.
    pub terms: Vec<u64>,
}

fn schema() -> (Schema, Field, Field) {
    let mut builder = Schema::builder();
    let term = builder.add_bytes_field("term", BytesOptions::default().set_indexed());
    let block = builder.add_u64_field("block", tantivy::schema::FAST);
    (builder.build(), term, block)
}

/// Terms are 40 bits: their upper three bytes are zero.
fn term_bytes(term: u64) -> [u8; 5] {
    let [_, _, _, bytes @ ..] = term.to_be_bytes();
    bytes
}

impl TermIndex {
    /// Opens the index in a folder, or makes an empty one.
    pub(crate) fn open_or_create(dir: &Path) -> Result<Self, IndexError> {
        let (schema, term, block) = schema();
        // A crash may have come between the partition's folder and this one.
        std::fs::create_dir_all(dir).map_err(tantivy::TantivyError::from)?;
        let directory = MmapDirectory::open(dir).map_err(tantivy::TantivyError::from)?;
        let index = Index::open_or_create(directory, schema)?;
        let reader: IndexReader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        let segments = reader
            .searcher()
            .segment_readers()
            .iter()
            .map(|segment| {
                Ok(Segment {
                    inverted: segment.inverted_index(term)?,
                    blocks: segment.fast_fields().u64("block")?,
                })
            })
            .collect::<Result<_, tantivy::TantivyError>>()?;
        let covered = index
            .load_metas()?
            .payload
            .and_then(|payload| payload.parse().ok())
            .unwrap_or_default();
        Ok(Self {
            index,
            segments,
            term,
            block,
            covered,
        })
    }

    /// The last flush whose files the index covers.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// Adds the blocks of one flush and commits; returns the index as of then.
    pub(crate) fn add(
        &self,
        dir: &Path,
        flush: u64,
        blocks: &[BlockTerms],
    ) -> Result<Self, IndexError> {
        let mut writer = self.index.writer_with_num_threads(1, WRITER_BYTES)?;
        writer.set_merge_policy(Box::new(LogMergePolicy::default()));
        for block in blocks {
            let mut document = TantivyDocument::default();
            document.add_u64(
                self.block,
                block.file << ORDINAL_BITS | u64::from(block.ordinal),
            );
            for term in &block.terms {
                document.add_bytes(self.term, &term_bytes(*term));
            }
            writer.add_document(document)?;
        }
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&flush.to_string());
        commit.commit()?;
        writer.wait_merging_threads()?;
        Self::open_or_create(dir)
    }

    /// Blocks that have the (truncated) term, as (file, ordinal).
    pub(crate) fn lookup(&self, term: u64) -> Result<Vec<(u64, u32)>, IndexError> {
        let term = Term::from_field_bytes(self.term, &term_bytes(term));
        let mut blocks = Vec::new();
        for segment in &self.segments {
            let postings = segment
                .inverted
                .read_postings(&term, IndexRecordOption::Basic)
                .map_err(tantivy::TantivyError::from)?;
            let Some(mut postings) = postings else {
                continue;
            };
            let mut doc = postings.doc();
            while doc != TERMINATED {
                if let Some(block) = segment.blocks.first(doc) {
                    let ordinal = block & ((1 << ORDINAL_BITS) - 1);
                    blocks.push((
                        block >> ORDINAL_BITS,
                        u32::try_from(ordinal).expect("masked to 24 bits"),
                    ));
                }
                doc = postings.advance();
            }
        }
        Ok(blocks)
    }
}
