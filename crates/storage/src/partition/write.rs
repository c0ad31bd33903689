//! Writes the files of a partition.

use std::io;
use std::path::Path;

use env::{Env, File};
use model::Signal;

use super::directory::{BlockMeta, Origin, directory};
use crate::chunk::Chunks;
use crate::flush::FlushError;
use crate::index::BlockTerms;
use crate::layout::{self, RowRef};
use crate::terms::{Collector, truncated};

/// Writes a blocks file from its start to its end.
pub(crate) struct BlocksWriter {
    file: Box<dyn File>,
    signal: Signal,
    offset: u64,
    blocks: Vec<BlockMeta>,
    /// Of a merged file.
    origins: Option<Vec<Origin>>,
    /// What number the index knows the file by, if it is a merged one.
    number: u64,
}

impl BlocksWriter {
    /// Begins the file of a flush.
    pub(crate) fn create(env: &Env, path: &Path, signal: Signal) -> io::Result<Self> {
        Ok(Self {
            file: env.files.create(path)?,
            signal,
            offset: 0,
            blocks: Vec::new(),
            origins: None,
            number: 0,
        })
    }

    /// Begins a merged file.
    pub(crate) fn create_merged(
        env: &Env,
        path: &Path,
        signal: Signal,
        number: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            origins: Some(Vec::new()),
            number,
            ..Self::create(env, path, signal)?
        })
    }

    /// How many blocks were written.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Writes rows as one block and shows the collector what they may be found by; returns the
    /// block's ordinal.
    pub(crate) fn write_rows<'a>(
        &mut self,
        chunks: Chunks<'a>,
        rows: &[RowRef],
        terms: &mut Collector<'a>,
    ) -> Result<u32, FlushError> {
        let bytes = layout::encode(self.signal, chunks, rows, terms)?;
        let mut meta = BlockMeta {
            offset: 0,
            length: 0,
            rows: u32::try_from(rows.len()).expect("blocks are cut at a few thousand rows"),
            min_time: u64::MAX,
            max_time: 0,
            max_end: 0,
        };
        for at in rows {
            let chunk = &chunks.list[at.chunk as usize];
            let time = chunk.time(at.row as usize);
            let end = match self.signal {
                Signal::Traces => chunk.spans[at.row as usize].end.max(time),
                _ => time,
            };
            meta.min_time = meta.min_time.min(time);
            meta.max_time = meta.max_time.max(time);
            meta.max_end = meta.max_end.max(end);
        }
        let origin = Origin {
            file: self.number,
            ordinal: self.next(),
            indexed: true,
        };
        Ok(self.write_block(&bytes, meta, origin)?)
    }

    /// Writes a block as it is in another file.
    pub(crate) fn write_block(
        &mut self,
        bytes: &[u8],
        meta: BlockMeta,
        origin: Origin,
    ) -> io::Result<u32> {
        let ordinal = self.next();
        self.file.write_vectored_at(&[bytes], self.offset)?;
        let length = u32::try_from(bytes.len());
        let length = length.map_err(|_| io::Error::other("a block of more than 4 GiB"))?;
        self.blocks.push(BlockMeta {
            offset: self.offset,
            length,
            ..meta
        });
        if let Some(origins) = &mut self.origins {
            origins.push(origin);
        }
        self.offset += u64::from(length);
        Ok(ordinal)
    }

    fn next(&self) -> u32 {
        u32::try_from(self.blocks.len()).expect("a file has far fewer than 2^32 blocks")
    }

    /// Writes the directory and makes the file durable. Of the blocks that were written from
    /// rows, `indexed` says whether the index has terms.
    pub(crate) fn finish(mut self, indexed: bool) -> io::Result<()> {
        let own = self.origins.iter_mut().flatten();
        own.filter(|origin| origin.file == self.number)
            .for_each(|origin| origin.indexed = indexed);
        let directory = directory(self.signal, &self.blocks, self.origins.as_deref());
        self.file.write_vectored_at(&[&directory], self.offset)?;
        self.file.sync_data()
    }
}

/// Writes a file and makes it durable, but for its name.
pub(crate) fn write_whole(env: &Env, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = env.files.create(path)?;
    file.write_vectored_at(&[bytes], 0)?;
    file.sync_data()
}

/// Terms of one block alone, for the id table, and the terms that blocks of `file` share, for the
/// index.
pub(crate) fn split_terms(
    mut pairs: Vec<(u64, u32)>,
    file: u64,
) -> (Vec<(u64, u32)>, Vec<BlockTerms>) {
    pairs.sort_unstable();
    let mut shared: Vec<(u32, u64)> = Vec::new();
    // Terms of one block alone are moved to the front: a flush may have millions.
    let (mut singles, mut at) = (0, 0);
    while at < pairs.len() {
        let (term, ordinal) = pairs[at];
        let same = |pair: &&(u64, u32)| truncated(pair.0) == truncated(term);
        let run = at..at + pairs[at..].iter().take_while(same).count();
        at = run.end;
        // Two terms of one block may be cut to the same: that is not sharing.
        if pairs[run.clone()].iter().all(|pair| pair.1 == ordinal) {
            pairs[singles] = (term, ordinal);
            singles += 1;
        } else {
            let run = pairs[run].iter();
            shared.extend(run.map(|(term, ordinal)| (*ordinal, truncated(*term))));
        }
    }
    pairs.truncate(singles);
    shared.sort_unstable();
    shared.dedup();
    let blocks = shared.chunk_by(|a, b| a.0 == b.0).map(|block| BlockTerms {
        file,
        ordinal: block[0].0,
        terms: block.iter().map(|(_, term)| *term).collect(),
    });
    (pairs, blocks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_are_cut_to_the_same_in_one_block_stay_in_the_id_table() {
        let term = |upper: u64, lower: u64| upper << 24 | lower;
        let pairs = vec![
            (term(5, 1), 0),
            (term(5, 2), 0),
            (term(6, 0), 1),
            (term(7, 1), 0),
            (term(7, 2), 1),
            (term(8, 0), 0),
            (term(8, 0), 1),
        ];
        let (single, shared) = split_terms(pairs, 3);
        let single: Vec<(u64, u32)> = single.iter().map(|(term, at)| (term >> 24, *at)).collect();
        assert_eq!(single, [(5, 0), (6, 1)]);
        let shared: Vec<(u64, u32, Vec<u64>)> = shared
            .into_iter()
            .map(|block| (block.file, block.ordinal, block.terms))
            .collect();
        assert_eq!(shared, [(3, 0, vec![7, 8]), (3, 1, vec![7, 8])]);
    }
}
