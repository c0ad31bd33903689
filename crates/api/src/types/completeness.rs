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

/// How a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Up to date.
    Live,
    /// Behind.
    Lagging,
    /// Not heard of, or not reachable.
    Lost,
}
