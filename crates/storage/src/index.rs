//! The tantivy index of a partition: one document per block, with the terms that several blocks
//! of a file share. Terms of one block alone are in the file's id table.
//!
//! The index is derived from the blocks. It says which files it covers; a file it does not cover,
//! or all of them if it cannot be opened, is searched without it. So losing it costs time alone.
//! A file of one block shares no terms: it needs no index, and is never missing here.

use std::fmt;
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
    covered: Covered,
}

/// The flushes whose files have their documents in the index: first and last of each run, in
/// order, as the commit's payload `1-7,9-12`. A flush between the two that is not in the index
/// has no file of several blocks in this partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Covered(Vec<(u64, u64)>);

impl Covered {
    fn parse(payload: &str) -> Option<Self> {
        let run = |run: &str| {
            let (first, last) = run.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        payload.split(',').map(run).collect::<Option<_>>().map(Self)
    }

    fn contains(&self, flush: u64) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&flush))
    }

    /// With `flush`, where `before` is the last one before it that had to be covered.
    fn with(&self, flush: u64, before: Option<u64>) -> Self {
        let mut runs = self.0.clone();
        let whole = before.is_none_or(|before| runs.last().is_some_and(|run| run.1 >= before));
        match runs.last_mut() {
            Some(run) if whole => run.1 = run.1.max(flush),
            _ => runs.push((flush, flush)),
        }
        Self(runs)
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        Ok(())
    }
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
            .and_then(|payload| Covered::parse(&payload))
            .unwrap_or_default();
        Ok(Self {
            index,
            segments,
            term,
            block,
            covered,
        })
    }

    /// Whether the terms that blocks of this flush's file share are here.
    pub(crate) fn covers(&self, flush: u64) -> bool {
        self.covered.contains(flush)
    }

    /// Adds the blocks of one flush and commits; returns the index as of then. `before` is the
    /// last flush before it with a file of several blocks in the partition: if that one is not
    /// here (the index was lost since, or did not open then), the gap is remembered.
    pub(crate) fn add(
        &self,
        dir: &Path,
        flush: u64,
        before: Option<u64>,
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
        commit.set_payload(&self.covered.with(flush, before).to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_covered_flushes_grow_and_remember_gaps() {
        let covered = Covered::default().with(3, None).with(9, Some(3));
        assert_eq!(covered.to_string(), "3-9");
        assert_eq!(Covered::parse("3-9").unwrap(), covered);
        // Flush 12 is missing.
        let covered = covered.with(14, Some(12)).with(15, Some(14));
        assert_eq!(covered.to_string(), "3-9,14-15");
        assert_eq!(Covered::parse("3-9,14-15").unwrap(), covered);
        assert!(covered.contains(9) && covered.contains(14) && !covered.contains(12));
        // A flush that was tried before.
        assert_eq!(covered.with(15, Some(14)), covered);
        // An index that was lost begins anew, without what was before.
        assert_eq!(Covered::default().with(20, Some(15)).to_string(), "20-20");
        for other in ["", "7", "3-", "3-9,", "a-b"] {
            assert_eq!(Covered::parse(other), None, "{other}");
        }
    }
}
