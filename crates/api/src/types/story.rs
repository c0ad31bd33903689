//! A story: all that belongs to one id, and why.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{AlertView, Completeness, LogView, SpanView};

/// Answer of `GET story/{id}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoryAnswer {
    /// The id asked for.
    pub id: String,
    /// Spans of every trace in the story, in causal order, inferred ones among them.
    pub spans: Vec<SpanView>,
    /// Span ids that are named as parents but were not found.
    pub missing_parents: Vec<String>,
    /// Log records of the story, by time.
    pub logs: Vec<LogView>,
    /// Exemplars that point into the story.
    pub exemplars: Vec<ExemplarView>,
    /// Alerts of the story's services that were active in its time.
    pub alerts: Vec<AlertView>,
    /// Why each trace, value and row belongs to the story.
    pub joins: Vec<Join>,
    /// Values shared by too many traces to be followed.
    pub hubs: Vec<Hub>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One step of the way from the id to a part of its story.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Join {
    /// From which trace id or value.
    pub from: String,
    /// To which trace id, span id or value.
    pub to: String,
    /// By what: `trace_id`, `link`, or the correlation key.
    pub by: String,
    /// One sentence.
    pub reason: String,
}

/// A value that too many traces share.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hub {
    /// Correlation key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// At least this many traces share it.
    pub traces: u64,
}

/// An exemplar of a metric.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExemplarView {
    /// Metric name.
    pub metric: String,
    /// Service name.
    pub service: String,
    /// When.
    pub time_unix_nano: u64,
    /// Value.
    pub value: f64,
    /// Trace id.
    pub trace_id: String,
    /// Span id.
    pub span_id: String,
    /// Attributes of the series and the exemplar.
    pub attributes: Json,
}
