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

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use env::Env;
use tantivy::columnar::Column;
use tantivy::directory::error::{OpenReadError, OpenWriteError};
use tantivy::indexer::LogMergePolicy;
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, Schema};
use tantivy::{
    DocSet, Index, InvertedIndexReader, SegmentReader, TERMINATED, TantivyDocument, TantivyError,
    Term,
};

use covered::Covered;
use directory::IndexFolder;

/// The writer's memory; tantivy's least is 15 MB.
const WRITER_BYTES: usize = 16_000_000;

/// Where a document's block is: the file in the upper, the block's ordinal in the lower bits.
const ORDINAL_BITS: u32 = 24;

/// Ends the name of a folder whose index is damaged.
const SET_ASIDE_SUFFIX: &str = ".quarantined";

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
    term: Field,
    block: Field,
    covered: Covered,
    /// Missing until the first use.
    segments: OnceLock<Result<Vec<Segment>, String>>,
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
    pub(crate) fn open_or_create(env: &Env, dir: &Path) -> Result<Self, IndexError> {
        // A crash may have come between the partition's folder and this one.
        env.files.create_dir_all(dir).map_err(TantivyError::from)?;
        let (schema, ..) = schema();
        Self::open(Index::open_or_create(IndexFolder::new(env, dir), schema)?)
    }

    /// Opens the index in a folder and checks every byte of it, without changing anything.
    pub(crate) fn open_checked(env: &Env, dir: &Path) -> Result<Self, IndexError> {
        let opened = Self::open(Index::open(IndexFolder::new(env, dir))?)?;
        opened.segments()?;
        Ok(opened)
    }

    fn open(index: Index) -> Result<Self, IndexError> {
        let (_, term, block) = schema();
        let payload = index.load_metas()?.payload;
        Ok(Self {
            index,
            term,
            block,
            covered: payload
                .and_then(|known| Covered::parse(&known))
                .unwrap_or_default(),
            segments: OnceLock::new(),
        })
    }

    /// Opens the index that a flush or a merge adds to. One that is damaged is set aside, and a new one covers
    /// what comes from now on.
    pub(crate) fn open_for_adding(
        env: &Env,
        dir: &Path,
        known: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, IndexError> {
        let opened = match known {
            Some(index) => Ok(index.clone()),
            None => Self::open_or_create(env, dir).map(Arc::new),
        };
        let sound = opened.and_then(|index| index.segments().map(|_| index.clone()));
        let Err(IndexError::Damaged(reason)) = sound else {
            return sound;
        };
        let mut aside = dir.as_os_str().to_owned();
        aside.push(SET_ASIDE_SUFFIX);
        tracing::error!(dir = %dir.display(), reason,
            "index is damaged, set aside as *{SET_ASIDE_SUFFIX}; what it covered is searched without it");
        let aside = Path::new(&aside);
        let exchange = || {
            if env.files.stat(aside)?.is_some() {
                env.files.remove_dir_all(aside)?;
            }
            env.files.rename(dir, aside)
        };
        exchange().map_err(TantivyError::from)?;
        Self::open_or_create(env, dir).map(Arc::new)
    }

    /// Whether the terms that blocks of the file of this number share are here.
    pub(crate) fn covers(&self, file: u64) -> bool {
        self.covered.contains(file)
    }

    /// Whether it was found to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self.segments.get(), Some(Err(_)))
    }

    /// The segments, of which every byte is checked before the first use. What the system refuses
    /// is tried again; damage is damage.
    fn segments(&self) -> Result<&[Segment], IndexError> {
        if self.segments.get().is_none() {
            let loaded = match self.load() {
                Ok(segments) => Ok(segments),
                Err(IndexError::Damaged(reason)) => {
                    tracing::error!(reason, "index is damaged, searching without it");
                    Err(reason)
                }
                Err(error) => return Err(error),
            };
            // Where another thread was faster, its result is as good.
            let _ = self.segments.set(loaded);
        }
        match self.segments.get() {
            Some(Ok(segments)) => Ok(segments),
            Some(Err(reason)) => Err(IndexError::Damaged(reason.clone())),
            None => Ok(&[]),
        }
    }

    fn load(&self) -> Result<Vec<Segment>, IndexError> {
        if let Some(file) = self.index.validate_checksum()?.iter().min() {
            let reason = format!("{} does not have its checksum", file.display());
            return Err(IndexError::Damaged(reason));
        }
        self.open_segments()
    }

    fn open_segments(&self) -> Result<Vec<Segment>, IndexError> {
        let open = |segment| -> Result<Segment, TantivyError> {
            let reader = SegmentReader::open(segment)?;
            Ok(Segment {
                inverted: reader.inverted_index(self.term)?,
                blocks: reader.fast_fields().u64("block")?,
            })
        };
        let segments = self.index.searchable_segments()?;
        Ok(segments.iter().map(open).collect::<Result<_, _>>()?)
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
        // Merging takes what it reads for good, and removes files that were not opened yet.
        self.segments()?;
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
        commit.set_payload(&covered.to_string());
        commit.commit()?;
        writer.wait_merging_threads()?;
        let added = Self::open(self.index.clone())?;
        // Checked above, or written just now.
        let _ = added.segments.set(Ok(added.open_segments()?));
        Ok(added)
    }

    /// Blocks that have the (truncated) term, as (file, ordinal).
    pub(crate) fn lookup(&self, term: u64) -> Result<Vec<(u64, u32)>, IndexError> {
        let term = Term::from_field_bytes(self.term, &term_bytes(term));
        let mut blocks = Vec::new();
        for segment in self.segments()? {
            let postings = segment
                .inverted
                .read_postings(&term, IndexRecordOption::Basic)
                .map_err(TantivyError::from)?;
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
