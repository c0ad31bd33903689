//! What every answer says about itself.

use serde::{Deserialize, Serialize};

/// What every answer says about itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Completeness {
    /// Work done.
    pub stats: Stats,
    /// What was left out and why; empty where nothing was.
    pub cut: Vec<Cut>,
    /// Up to when each source is complete.
    pub complete_to: Vec<Source>,
    /// What may be wrong with the question, such as a field that no row has; left out where
    /// there is nothing to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Completeness {
    /// Adds that of another part of the same answer. A source that both name keeps its worse state
    /// and its earlier time: the whole is as complete as its least complete part.
    pub fn join(&mut self, other: Completeness) {
        self.stats.blocks += other.stats.blocks;
        self.stats.rows += other.stats.rows;
        self.stats.bytes += other.stats.bytes;
        self.stats.elapsed_ms += other.stats.elapsed_ms;
        for cut in other.cut {
            if !self.cut.contains(&cut) {
                self.cut.push(cut);
            }
        }
        for source in other.complete_to {
            let same =
                |known: &&mut Source| known.source == source.source && known.kind == source.kind;
            match self.complete_to.iter_mut().find(same) {
                Some(known) => {
                    known.unix_nano = known.unix_nano.min(source.unix_nano);
                    known.state = known.state.max(source.state);
                }
                None => self.complete_to.push(source),
            }
        }
        for hint in other.hints {
            if !self.hints.contains(&hint) {
                self.hints.push(hint);
            }
        }
    }

    /// The sources that are lost.
    pub fn lost(&self) -> impl Iterator<Item = &Source> {
        let lost = |source: &&Source| source.state == SourceState::Lost;
        self.complete_to.iter().filter(lost)
    }
}

/// Work done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Blocks decoded in part or in whole.
    pub blocks: u64,
    /// Rows looked at.
    pub rows: u64,
    /// Bytes decoded.
    pub bytes: u64,
    /// Wall time in milliseconds.
    pub elapsed_ms: u64,
}

/// Something that an answer lacks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cut {
    /// Which limit was reached.
    pub limit: String,
    /// Its value.
    pub value: String,
    /// What to do about it.
    pub hint: String,
}

/// One source of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the agent or collector.
    pub source: String,
    /// `agent` or `collector`.
    pub kind: SourceKind,
    /// Everything before this is in the answer.
    pub unix_nano: u64,
    /// How it is doing.
    pub state: SourceState,
}

/// Who a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// An agent.
    Agent,
    /// A collector.
    Collector,
}

/// How a source is doing, the better before the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Up to date.
    Live,
    /// Behind.
    Lagging,
    /// Not heard of, or not reachable.
    Lost,
}

#[cfg(test)]
mod tests;
