//! Request and response types of the native API, as JSON.
//!
//! 64-bit times and durations are JSON numbers; clients in languages whose numbers are doubles
//! lose nanoseconds unless they parse them as integers.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

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

/// Body of every 4xx and 5xx answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiError {
    /// `invalid_query`, `invalid_parameter`, `not_found`, `overloaded`, `unavailable`, `timeout`, `internal`.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// Where in the query it begins, in bytes.
    pub start: Option<usize>,
    /// Where in the query it ends.
    pub end: Option<usize>,
    /// What to do, e.g. the nearest known name.
    pub hint: Option<String>,
}

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

/// Answer of `GET metrics/points`: OTLP JSON that an OTLP endpoint takes, with its completeness.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PointsAnswer {
    /// OTLP's `ResourceMetrics`; the points of a metric are in time order.
    #[serde(rename = "resourceMetrics")]
    pub resource_metrics: Vec<Json>,
    /// How many data points there are in them.
    pub points: usize,
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
    /// One per group, each with its non-empty buckets by time.
    pub series: Vec<HistogramSeries>,
    /// Sum of all counts.
    pub total: u64,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One group of a histogram.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistogramSeries {
    /// The group's values, in the order of `by`.
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
    /// Sources that were lost since the tail began.
    pub lost: Vec<String>,
}

/// Answer of `GET services`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicesAnswer {
    /// Services by name.
    pub services: Vec<ServiceView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One service with its request figures over the range, from server and consumer spans (all
/// spans where it has none of those).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceView {
    /// Name.
    pub name: String,
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Spans with status error, among those measured.
    pub errors: u64,
    /// Measured spans per second over the range.
    pub rate: f64,
    /// Median duration.
    pub p50_nano: u64,
    /// 99th percentile.
    pub p99_nano: u64,
}

/// Answer of `GET services/{service}/operations`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationsAnswer {
    /// Operations by number of spans.
    pub operations: Vec<OperationView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One operation of a service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationView {
    /// Span name.
    pub name: String,
    /// Span kind by name.
    pub kind: String,
    /// Spans.
    pub spans: u64,
    /// Spans with status error.
    pub errors: u64,
    /// Spans per second over the range.
    pub rate: f64,
    /// Median duration.
    pub p50_nano: u64,
    /// 99th percentile.
    pub p99_nano: u64,
}

/// Answer of `GET fields`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldsAnswer {
    /// Fields by count.
    pub fields: Vec<FieldView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldView {
    /// As written in a query.
    pub name: String,
    /// Value type.
    pub kind: String,
    /// Rows that have it.
    pub count: u64,
}

/// Answer of `GET fields/{field}/values`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValuesAnswer {
    /// Values by count.
    pub values: Vec<ValueView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValueView {
    /// The value's text.
    pub value: String,
    /// Rows that have it.
    pub count: u64,
}

/// Answer of `GET search/complete`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompleteAnswer {
    /// What stands at the cursor: `field`, `value` or `nothing`.
    pub context: String,
    /// The field whose value is being typed, or empty.
    pub field: String,
    /// First byte of the query that a suggestion replaces.
    pub start: usize,
    /// One past the last byte that it replaces.
    pub end: usize,
    /// Best first.
    pub suggestions: Vec<CompletionView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One suggestion.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompletionView {
    /// As written in a query.
    pub text: String,
    /// Rows that have it; 0 where that was not counted.
    pub count: u64,
}

/// Answer of `GET search/highlight`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HighlightAnswer {
    /// Parts of the query in order.
    pub tokens: Vec<TokenView>,
    /// What is wrong with the query, if anything.
    pub error: Option<ApiError>,
}

/// A part of a query text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenView {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// `field`, `operator`, `value`, `quoted`, `regex`, `word`, `parenthesis` or `error`.
    pub class: String,
}

/// Answer of `GET rules`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesAnswer {
    /// Groups in file order.
    pub groups: Vec<RuleGroupView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// A rule group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleGroupView {
    /// Name.
    pub name: String,
    /// File.
    pub file: String,
    /// Seconds between evaluations.
    pub interval_seconds: f64,
    /// When last evaluated.
    pub last_evaluation_unix_nano: u64,
    /// How long that took.
    pub evaluation_nano: u64,
    /// Rules in order.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleView {
    /// Name of the alert or recorded series.
    pub name: String,
    /// `alerting` or `recording`.
    pub kind: String,
    /// Expression.
    pub query: String,
    /// Seconds before pending becomes firing.
    pub for_seconds: f64,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Annotations, not expanded.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// The last error, or empty.
    pub last_error: String,
    /// `inactive`, `pending` or `firing`: the worst of its alerts.
    pub state: String,
    /// Its active alerts.
    pub alerts: Vec<AlertView>,
}

/// Answer of `GET alerts`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertsAnswer {
    /// Active alerts: firing first, then pending, each by start.
    pub alerts: Vec<AlertView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// An active alert.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertView {
    /// Alert name.
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
    /// All labels, `alertname` included.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Expanded annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Value of the expression.
    pub value: f64,
    /// Since when the condition holds.
    pub active_since_unix_nano: u64,
    /// Since when it fires; 0 while pending.
    pub firing_since_unix_nano: u64,
    /// Expression.
    pub query: String,
}
