//! Rows that lie together, and how they are opened.

use std::sync::Arc;

use model::Signal;

use super::Share;
use crate::chunk::Chunk;
use crate::eval::Branches;
use crate::layout::{BlockTable, Interned};
use crate::partition::{BlockFile, BlockMeta, FileEntry};
use crate::points::head::PointHead;
use crate::table::{Damage, Table};

/// Rows that lie together: a chunk of the head or a block of a file.
#[derive(Clone)]
pub(crate) enum Unit {
    Chunk(Arc<Chunk>),
    /// Points in memory.
    Points(Arc<PointHead>),
    /// A block, whose file need not be open until the block is read.
    Block {
        file: Arc<FileEntry>,
        ordinal: usize,
        block: BlockMeta,
        /// Which alternatives of the filter its rows may pass.
        branches: Branches,
    },
    /// A block of a file that is held open: its folder may belong to another process.
    Held {
        file: Arc<BlockFile>,
        ordinal: usize,
    },
}

impl Unit {
    /// What is known of a block without reading it.
    fn meta(&self) -> Option<&BlockMeta> {
        match self {
            Unit::Block { block, .. } => Some(block),
            Unit::Held { file, ordinal } => file.blocks.get(*ordinal),
            Unit::Chunk(_) | Unit::Points(_) => None,
        }
    }

    /// The file and the block of it, of a unit that is on the disk.
    pub(super) fn place(&self) -> Option<(&FileEntry, usize)> {
        match self {
            Unit::Block { file, ordinal, .. } => Some((file, *ordinal)),
            Unit::Chunk(_) | Unit::Points(_) | Unit::Held { .. } => None,
        }
    }

    /// Which alternatives of the filter its rows may pass.
    pub(super) fn branches(&self) -> Branches {
        match self {
            Unit::Block { branches, .. } => *branches,
            Unit::Chunk(_) | Unit::Points(_) | Unit::Held { .. } => Branches::ALL,
        }
    }

    /// Smallest time, largest time, largest end.
    pub(crate) fn times(&self) -> (u64, u64, u64) {
        match self {
            Unit::Chunk(chunk) => (chunk.min_time, chunk.max_time, chunk.max_end),
            Unit::Points(head) => {
                let (min, max) = head.times();
                (min, max, max)
            }
            Unit::Block { .. } | Unit::Held { .. } => self.meta().map_or((0, 0, 0), |meta| {
                (meta.min_time, meta.max_time, meta.max_end)
            }),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Unit::Chunk(chunk) => chunk.rows() as u64,
            Unit::Points(head) => head.rows(),
            Unit::Block { .. } | Unit::Held { .. } => {
                self.meta().map_or(0, |meta| u64::from(meta.rows))
            }
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Unit::Chunk(chunk) => chunk.heap_bytes() as u64,
            Unit::Points(head) => head.heap_bytes() as u64,
            Unit::Block { .. } | Unit::Held { .. } => {
                self.meta().map_or(0, |meta| u64::from(meta.length))
            }
        }
    }

    pub(crate) fn open(&self, interned: &Arc<Interned>) -> Result<Opened, Damage> {
        let (signal, bytes) = match self {
            Unit::Chunk(chunk) => return Ok(Opened::Chunk(chunk.clone())),
            Unit::Points(head) => {
                let block = head.block().map_err(|error| Damage(error.to_string()))?;
                (Signal::Metrics, block.into())
            }
            Unit::Block { file, ordinal, .. } => (file.home.place.signal, file.block(*ordinal)?),
            Unit::Held { file, ordinal } => (file.signal(), file.block(*ordinal)),
        };
        let table = BlockTable::open(signal, bytes, interned.clone())?;
        Ok(Opened::Block(Box::new(table)))
    }
}

/// A unit whose rows can be read.
pub(crate) enum Opened {
    Chunk(Arc<Chunk>),
    Block(Box<BlockTable>),
}

impl Opened {
    /// The same, with memory for what is decoded of it.
    pub(super) fn with(mut self, share: Option<Share>) -> Self {
        if let Opened::Block(block) = &mut self {
            block.memory = share;
        }
        self
    }

    /// Whether all of it reads.
    pub(super) fn verify(&self) -> Result<(), Damage> {
        match self {
            Opened::Chunk(_) => Ok(()),
            Opened::Block(block) => {
                let verified = block.reader().verify();
                verified.map_err(|error| Damage(error.to_string()))
            }
        }
    }

    pub(crate) fn table(&self) -> &dyn Table {
        match self {
            Opened::Chunk(chunk) => &**chunk,
            Opened::Block(block) => &**block,
        }
    }
}
