//! How an answer came about, and what it lacks: the end of each.

use serde::{Deserialize, Serialize};

/// How an answer came about, and what it lacks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Work done.
    pub stats: Stats,
    /// What was left out and why.
    pub cuts: Vec<Cut>,
    /// Up to when each source is complete.
    pub sources: Vec<Source>,
}

/// Work done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Blocks decoded in part or in whole.
    pub blocks: u64,
    /// Rows looked at.
    pub rows: u64,
    /// Bytes decoded.
    pub bytes: u64,
    /// Wall time.
    pub elapsed_ms: u64,
    /// What of it is downsampled.
    pub buckets: BucketStats,
}

impl Stats {
    /// Adds what another source or request took.
    pub fn add(&mut self, other: Stats) {
        let Stats {
            blocks,
            rows,
            bytes,
            elapsed_ms,
            buckets,
        } = other;
        self.blocks += blocks;
        self.rows += rows;
        self.bytes += bytes;
        self.elapsed_ms = self.elapsed_ms.max(elapsed_ms);
        self.buckets.add(buckets);
    }
}

/// What of an answer is made of buckets of downsampled samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketStats {
    /// How long the longest are; 0 where all samples are as they were sent.
    pub longest_ms: u64,
    /// No day that is answered from them ends later.
    pub until_unix_nano: u64,
    /// Whether any are of series that are no plain numbers: of deltas these have the sum, of other
    /// points the first, the last and those around resets.
    pub points: bool,
}

impl BucketStats {
    /// Adds those of another part.
    pub fn add(&mut self, other: BucketStats) {
        let BucketStats {
            longest_ms,
            until_unix_nano,
            points,
        } = other;
        self.longest_ms = self.longest_ms.max(longest_ms);
        self.until_unix_nano = self.until_unix_nano.max(until_unix_nano);
        self.points |= points;
    }
}

/// Something that an answer lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Which limit: `rows`, `bytes`, `time`, `groups`, `series`, `damage`, `source`, ...
    pub limit: String,
    /// Its value.
    pub value: String,
    /// What to do.
    pub hint: String,
}

/// Up to when one source of data is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the agent or collector.
    pub name: String,
    /// Which of the two.
    pub kind: SourceKind,
    /// Everything before this is here; 0 where nothing is known.
    pub unix_nano: u64,
    /// How it is doing.
    pub state: SourceState,
}

/// Who a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    /// An agent.
    Agent,
    /// A collector.
    Collector,
}

/// How a source is doing, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SourceState {
    /// Up to date.
    Live,
    /// Behind.
    Lagging,
    /// Not heard of, or not reachable.
    Lost,
}
