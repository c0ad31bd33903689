//! Log records: pages of them, counts over time, and those that arrive.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Completeness;

/// Answer of `GET logs`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogsAnswer {
    /// Log records in the order asked for.
    pub logs: Vec<LogView>,
    /// Where the next page begins; none on the last.
    pub cursor: Option<String>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// Answer of `GET logs/records`: OTLP JSON that an OTLP endpoint takes, with its completeness.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordsAnswer {
    /// OTLP's `ResourceLogs`; the records of a scope are in the order asked for.
    #[serde(rename = "resourceLogs")]
    pub resource_logs: Vec<Json>,
    /// How many records there are in them.
    pub records: usize,
    /// Where the next page begins; none on the last.
    pub cursor: Option<String>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One log record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogView {
    /// When, as sent; when it was observed where the sender did not say.
    pub time_unix_nano: u64,
    /// When it was observed.
    pub observed_time_unix_nano: u64,
    /// Service name.
    pub service: String,
    /// Severity text as sent.
    pub severity_text: String,
    /// Severity number as sent.
    pub severity_number: i32,
    /// Body as plain JSON: text, or whatever was sent.
    pub body: Json,
    /// Trace id, or empty.
    pub trace_id: String,
    /// Span id, or empty.
    pub span_id: String,
    /// Event name, or empty.
    pub event_name: String,
    /// Attributes as a plain JSON object; of duplicate keys the last.
    pub attributes: Json,
    /// Resource attributes as a plain JSON object.
    pub resource: Json,
    /// Scope: `{name, version, attributes}`.
    pub scope: Json,
    /// Correlation: `{key: value}`.
    pub correlation: Json,
    /// What to add to its times, which are as sent, to correct the sender's clock.
    #[serde(skip_serializing_if = "is_zero")]
    pub clock_adjust_nano: i64,
}

impl LogView {
    /// When, after correction of the sender's clock.
    pub fn corrected_time_unix_nano(&self) -> u64 {
        self.time_unix_nano
            .saturating_add_signed(self.clock_adjust_nano)
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Answer of `GET logs/histogram`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistogramAnswer {
    /// Width of a bucket.
    pub step_nano: u64,
    /// The fields grouped by.
    pub by: Vec<String>,
    /// One per group, the largest first, each with its non-empty buckets by time and all of its
    /// rows.
    pub series: Vec<HistogramSeries>,
    /// All matching rows that were read: those of the series and the others.
    pub total: u64,
    /// Rows of groups that are left out; `cut` says why.
    pub other: u64,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One group of a histogram.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistogramSeries {
    /// The group's values, in the order of `by`. A text of more than 1,024 bytes is its beginning,
    /// length and digest.
    pub key: Vec<String>,
    /// Sum of the counts.
    pub total: u64,
    /// `[start_unix_nano, count]` pairs.
    pub buckets: Vec<(u64, u64)>,
}

/// One event of `GET logs/tail` (SSE, event name `logs`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TailEvent {
    /// Counts every matching record, sent or dropped, from 1.
    pub sequence: u64,
    /// Records dropped since the tail began because the reader was slow.
    pub dropped: u64,
    /// New records.
    pub logs: Vec<LogView>,
    /// Sources that are away at the moment; the tail asks them again until they are back.
    pub lost: Vec<String>,
    /// Sources that came back with this event, and what is missing of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<TailGap>,
}

/// What a tail lacks of a source that was away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TailGap {
    /// Which source.
    pub source: String,
    /// Records that it acknowledged from here on may be missing...
    pub from_unix_nano: u64,
    /// ...until here.
    pub until_unix_nano: u64,
}
