//! Traces: in a list, and one whole with its spans.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Completeness;

/// Answer of `GET traces`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TracesAnswer {
    /// Found traces in the order asked for.
    pub traces: Vec<TraceSummary>,
    /// Where the next page begins; none on the last.
    pub cursor: Option<String>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One trace in a list.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceSummary {
    /// Trace id.
    pub trace_id: String,
    /// Service of the root span, or of the earliest span where the root is missing.
    pub root_service: String,
    /// Name of that span.
    pub root_name: String,
    /// Start of the earliest span, after correction of the senders' clocks.
    pub start_unix_nano: u64,
    /// From the start of the earliest span to the end of the latest.
    pub duration_nano: u64,
    /// Spans in the trace.
    pub span_count: u64,
    /// Spans with status error.
    pub error_count: u64,
    /// Services by number of spans.
    pub services: Vec<ServiceCount>,
}

/// A service in a trace summary.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCount {
    /// Service name.
    pub name: String,
    /// Its spans.
    pub spans: u64,
    /// Its spans with status error.
    pub errors: u64,
}

/// Answer of `GET traces/{trace_id}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceAnswer {
    /// Trace id.
    pub trace_id: String,
    /// Spans in causal order: parents before children, siblings by time.
    pub spans: Vec<SpanView>,
    /// Span ids that are named as parents but were not found.
    pub missing_parents: Vec<String>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One span of a trace or story: the members of OTLP JSON, and where it stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SpanView {
    /// Trace id.
    pub trace_id: String,
    /// Span id.
    pub span_id: String,
    /// Parent's span id; empty on a root.
    pub parent_span_id: String,
    /// W3C trace state.
    pub trace_state: String,
    /// Flags as sent.
    pub flags: u32,
    /// Operation name.
    pub name: String,
    /// OTLP kind number.
    pub kind: i32,
    /// Start, unix nanoseconds as a decimal string (OTLP JSON).
    #[serde(with = "decimal")]
    pub start_time_unix_nano: u64,
    /// End, unix nanoseconds as a decimal string (OTLP JSON).
    #[serde(with = "decimal")]
    pub end_time_unix_nano: u64,
    /// Attributes in OTLP JSON: `[{key, value: {stringValue}}]`.
    pub attributes: Vec<Json>,
    /// Dropped attributes.
    pub dropped_attributes_count: u32,
    /// Events in OTLP JSON.
    pub events: Vec<Json>,
    /// Dropped events.
    pub dropped_events_count: u32,
    /// Links in OTLP JSON.
    pub links: Vec<Json>,
    /// Dropped links.
    pub dropped_links_count: u32,
    /// `{code, message}` in OTLP JSON.
    pub status: StatusView,
    /// Service name.
    pub service: String,
    /// Resource in OTLP JSON.
    pub resource: Json,
    /// Scope in OTLP JSON.
    pub scope: Json,
    /// Correlation, as of a log record: `{key: value}`.
    pub correlation: Json,
    /// Span ids of the children, by start.
    pub children: Vec<String>,
    /// 0 for a root.
    pub depth: u32,
    /// Whether it was made up from the logs of a service that sends no spans.
    pub inferred: bool,
    /// How sure its place is, 0 to 1; 1 for a span that was sent.
    pub confidence: f64,
    /// What to add to its times, which are as sent, to correct the sender's clock.
    #[serde(rename = "clock_adjust_nano")]
    pub clock_adjust_nano: i64,
}

impl SpanView {
    /// Start after correction of the sender's clock.
    pub fn corrected_start_unix_nano(&self) -> u64 {
        self.start_time_unix_nano
            .saturating_add_signed(self.clock_adjust_nano)
    }

    /// End after correction of the sender's clock.
    pub fn corrected_end_unix_nano(&self) -> u64 {
        self.end_time_unix_nano
            .saturating_add_signed(self.clock_adjust_nano)
    }
}

/// Status of a span.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusView {
    /// 0 unset, 1 ok, 2 error.
    pub code: i32,
    /// Message.
    pub message: String,
}

/// 64-bit integers as decimal strings, read from strings and numbers.
pub mod decimal {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a decimal string.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a decimal string or a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(number),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
