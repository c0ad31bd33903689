//! The tantivy index of a partition: one document per block, with the terms that several blocks
//! of a file share. Terms of one block alone are in the file's id table.
//!
//! The index is derived from the blocks. It says which files it covers; another file,
//! or every file if the index cannot be read, is searched without it. So losing it costs time
//! alone. A file of one block shares no terms: it needs no index, and is never missing here.
//! Everything in it has a checksum, which is checked when it is first used: a damaged index
//! would leave out blocks and nobody could tell.

mod covered;
mod directory;
mod partition;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use env::Env;
use tantivy::columnar::Column;
use tantivy::directory::error::{OpenReadError, OpenWriteError};
use tantivy::fastfield::AliveBitSet;
use tantivy::index::SegmentId;
use tantivy::indexer::LogMergePolicy;
use tantivy::query::RangeQuery;
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, Schema};
use tantivy::{
    DocSet, Index, IndexWriter, InvertedIndexReader, SegmentReader, TERMINATED, TantivyDocument,
    TantivyError, Term,
};

use covered::Covered;
use directory::IndexFolder;
pub(crate) use partition::PartitionIndex;

use crate::whole::if_whole;

/// The writer's memory; tantivy's least is 15 MB.
const WRITER_BYTES: usize = 16_000_000;

/// Where a document's block is: the file in the upper, the block's ordinal in the lower bits.
pub(crate) const ORDINAL_BITS: u32 = 24;

/// Segments are written anew where more of their documents than this are of files that are gone.
const GONE_RATIO: f32 = 0.3;

/// Files of a segment that are mapped while it is open.
const MAPS_OF_SEGMENT: usize = 6;

/// An index that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The system refuses; it may not the next time.
    #[error("index: {0}")]
    Io(TantivyError),
    /// What is there is not what was written.
    #[error("index is damaged: {0}")]
    Damaged(String),
}

impl IndexError {
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// What the system says.
    pub(crate) fn system(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io(TantivyError::IoError(error)) => Some(error),
            Self::Io(TantivyError::OpenReadError(OpenReadError::IoError { io_error, .. })) => {
                Some(io_error)
            }
            _ => None,
        }
    }
}

impl From<TantivyError> for IndexError {
    fn from(error: TantivyError) -> Self {
        let of_system =
            |kind: ErrorKind| !matches!(kind, ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
        let may_pass = match &error {
            TantivyError::IoError(error) => of_system(error.kind()),
            TantivyError::OpenReadError(OpenReadError::IoError { io_error, .. }) => {
                of_system(io_error.kind())
            }
            TantivyError::OpenWriteError(OpenWriteError::IoError { .. })
            | TantivyError::OpenDirectoryError(_)
            | TantivyError::LockFailure(..)
            | TantivyError::ErrorInThread(_)
            | TantivyError::SystemError(_) => true,
            _ => false,
        };
        if may_pass {
            Self::Io(error)
        } else {
            Self::Damaged(error.to_string())
        }
    }
}

/// An open index, as of one commit.
pub(crate) struct TermIndex {
    index: Index,
    folder: IndexFolder,
    term: Field,
    block: Field,
    covered: Covered,
    segments: Vec<Segment>,
}

/// What a lookup asks of each segment.
struct Segment {
    inverted: Arc<InvertedIndexReader>,
    /// Where the blocks of the documents are.
    blocks: Column<u64>,
    /// Documents that were not removed; missing where none was.
    alive: Option<AliveBitSet>,
}

impl Segment {
    fn is_alive(&self, doc: u32) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(doc))
    }

    /// The files of its documents.
    fn files(&self) -> impl Iterator<Item = u64> {
        let docs = (0..self.blocks.num_docs()).filter(|doc| self.is_alive(*doc));
        docs.filter_map(|doc| Some(self.blocks.first(doc)? >> ORDINAL_BITS))
    }
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
    /// Opens the index in a folder, or makes an empty one. Every byte of it is checked, but for
    /// segments that were checked before.
    fn open_or_create(env: &Env, dir: &Path, checked: &[SegmentId]) -> Result<Self, IndexError> {
        // A crash may have come between the partition's folder and this one.
        env.files.create_dir_all(dir).map_err(TantivyError::from)?;
        let (schema, ..) = schema();
        let folder = IndexFolder::new(env, dir);
        let index = Index::open_or_create(folder.clone(), schema)?;
        Self::checked(index, folder, checked)
    }

    /// Opens the index in a folder without changing anything; nothing where none was made yet.
    fn open(env: &Env, dir: &Path, checked: &[SegmentId]) -> Result<Option<Self>, IndexError> {
        let folder = IndexFolder::new(env, dir);
        if !Index::exists(&folder).map_err(TantivyError::from)? {
            return Ok(None);
        }
        let index = Index::open(folder.clone())?;
        Self::checked(index, folder, checked).map(Some)
    }

    /// Opens the index in a folder and checks every byte of it, without changing anything.
    pub(crate) fn open_checked(env: &Env, dir: &Path) -> Result<Self, IndexError> {
        let folder = IndexFolder::new(env, dir);
        Self::checked(Index::open(folder.clone())?, folder, &[])
    }

    fn checked(
        index: Index,
        folder: IndexFolder,
        checked: &[SegmentId],
    ) -> Result<Self, IndexError> {
        let segments = index.searchable_segment_ids()?;
        if !segments.iter().all(|segment| checked.contains(segment))
            && let Some(file) = index.validate_checksum()?.iter().min()
        {
            let reason = format!("{} does not have its checksum", file.display());
            return Err(IndexError::Damaged(reason));
        }
        Self::as_of_now(index, folder)
    }

    fn as_of_now(index: Index, folder: IndexFolder) -> Result<Self, IndexError> {
        let (_, term, block) = schema();
        let payload = index.load_metas()?.payload;
        let open = |segment| -> Result<Segment, TantivyError> {
            let reader = SegmentReader::open(segment)?;
            Ok(Segment {
                inverted: reader.inverted_index(term)?,
                blocks: reader.fast_fields().u64("block")?,
                alive: reader.alive_bitset().cloned(),
            })
        };
        let segments = index.searchable_segments()?;
        Ok(Self {
            term,
            block,
            covered: payload
                .and_then(|known| Covered::parse(&known))
                .unwrap_or_default(),
            segments: segments.iter().map(open).collect::<Result<_, _>>()?,
            index,
            folder,
        })
    }

    /// Whether the disk gave all that was asked of it since it was checked.
    pub(crate) fn is_whole(&self) -> bool {
        self.folder.is_whole()
    }

    /// Which segments it has.
    fn segment_ids(&self) -> Result<Vec<SegmentId>, IndexError> {
        Ok(self.index.searchable_segment_ids()?)
    }

    /// How many files are mapped, about.
    pub(crate) fn maps(&self) -> usize {
        self.segments.len() * MAPS_OF_SEGMENT
    }

    /// Whether the terms that blocks of the file of this number share are here.
    pub(crate) fn covers(&self, file: u64) -> bool {
        self.covered.contains(file)
    }

    /// Adds the blocks of one flush and commits, durably; returns the index as of then. `before`
    /// is the last flush before it with a file of several blocks in the partition: if that one is
    /// not here (the index was lost since), the gap is remembered.
    pub(crate) fn add_flush(
        &self,
        flush: u64,
        before: Option<u64>,
        blocks: &[BlockTerms],
    ) -> Result<Self, IndexError> {
        self.add(&self.covered.with_flush(flush, before), blocks)
    }

    /// The same for what a merge wrote anew. The files that are merged stay covered: they count
    /// until the merged one does. Other merged files that are not `needed` any more do not.
    pub(crate) fn add_merged(
        &self,
        file: u64,
        needed: impl Fn(u64) -> bool,
        blocks: &[BlockTerms],
    ) -> Result<Self, IndexError> {
        self.add(&self.covered.with_merged(file, needed), blocks)
    }

    fn add(&self, covered: &Covered, blocks: &[BlockTerms]) -> Result<Self, IndexError> {
        let writer = self.writer()?;
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
        self.commit(writer, covered)
    }

    /// Removes the documents of files that are not needed and commits, durably; returns the index
    /// as of then, or nothing where there are none. What is covered stays so: nobody asks for
    /// those files any more.
    pub(crate) fn without_others(
        &self,
        needed: impl Fn(u64) -> bool,
    ) -> Result<Option<Self>, IndexError> {
        let there: BTreeSet<u64> = self.segments.iter().flat_map(Segment::files).collect();
        let there: Vec<u64> = there.into_iter().collect();
        let runs = there.chunk_by(|one, other| needed(*one) == needed(*other));
        let gone: Vec<&[u64]> = runs.filter(|run| !needed(run[0])).collect();
        if gone.is_empty() {
            return Ok(None);
        }
        let writer = self.writer()?;
        for run in gone {
            let at = |file: u64| Term::from_field_u64(self.block, file << ORDINAL_BITS);
            let begin = Bound::Included(at(run[0]));
            let end = Bound::Excluded(at(run[run.len() - 1] + 1));
            writer.delete_query(Box::new(RangeQuery::new(begin, end)))?;
        }
        self.commit(writer, &self.covered).map(Some)
    }

    fn writer(&self) -> Result<IndexWriter, IndexError> {
        let writer = self.index.writer_with_num_threads(1, WRITER_BYTES)?;
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(GONE_RATIO);
        writer.set_merge_policy(Box::new(policy));
        Ok(writer)
    }

    fn commit(&self, mut writer: IndexWriter, covered: &Covered) -> Result<Self, IndexError> {
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&covered.to_string());
        commit.commit()?;
        writer.wait_merging_threads()?;
        Self::as_of_now(self.index.clone(), self.folder.clone())
    }

    /// Blocks that have the (truncated) term, as (file, ordinal).
    pub(crate) fn lookup(&self, term: u64) -> Result<Vec<(u64, u32)>, IndexError> {
        let lost = || {
            let reason = std::io::Error::other("the disk did not give some of it");
            Err(TantivyError::from(reason).into())
        };
        if_whole(|| self.is_whole(), || self.find(term)).unwrap_or_else(lost)
    }

    fn find(&self, term: u64) -> Result<Vec<(u64, u32)>, IndexError> {
        let term = Term::from_field_bytes(self.term, &term_bytes(term));
        let mut blocks = Vec::new();
        for segment in &self.segments {
            let postings = segment
                .inverted
                .read_postings(&term, IndexRecordOption::Basic)
                .map_err(TantivyError::from)?;
            let Some(mut postings) = postings else {
                continue;
            };
            let mut doc = postings.doc();
            while doc != TERMINATED {
                let block = segment.blocks.first(doc);
                if let Some(block) = block.filter(|_| segment.is_alive(doc)) {
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
