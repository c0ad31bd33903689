//! Rows on the ingest path, borrowed from the request's bytes.
//!
//! A [`Decode`] implementation walks an OTLP request once and hands each row to a [`RowSink`].
//! Nothing is allocated per row: strings and lists point into the request, and the decoder
//! reuses its scratch vectors. The trait lives here because the wire (`otlp`) and the store
//! (`storage`) may not know each other.

use crate::metric::{Exemplar, MetricKind, PointValue, Temporality};
use crate::resource::EntityRef;
use crate::room::NoRoom;
use crate::value::{KeyValueRef, ValueRef};
use crate::{Format, Signal, SpanId, TraceId};

/// A borrowed resource with its envelope's schema URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceRef<'a> {
    /// Attributes as sent.
    pub attributes: &'a [KeyValueRef<'a>],
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Entities that the resource stands for.
    pub entity_refs: &'a [EntityRef],
    /// Schema URL of the envelope.
    pub schema_url: &'a str,
}

/// A borrowed scope with its envelope's schema URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeRef<'a> {
    /// Name.
    pub name: &'a str,
    /// Version.
    pub version: &'a str,
    /// Attributes as sent.
    pub attributes: &'a [KeyValueRef<'a>],
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Schema URL of the envelope.
    pub schema_url: &'a str,
}

/// A borrowed span; see [`crate::Span`] for the fields.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct SpanRef<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub trace_state: &'a str,
    pub flags: u32,
    pub name: &'a str,
    pub kind: i32,
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    pub attributes: &'a [KeyValueRef<'a>],
    pub dropped_attributes_count: u32,
    pub events: &'a [EventRef<'a>],
    pub dropped_events_count: u32,
    pub links: &'a [LinkRef<'a>],
    pub dropped_links_count: u32,
    /// `None` where no status was sent.
    pub status: Option<(i32, &'a str)>,
    /// Attributes of all events and links, one after the other; events and links hold ranges.
    pub nested_attributes: &'a [KeyValueRef<'a>],
    /// Length of the span as it was sent, in protobuf.
    pub encoded_bytes: u32,
}

/// A borrowed span event.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct EventRef<'a> {
    pub time_unix_nano: u64,
    pub name: &'a str,
    /// First and one past the last index into [`SpanRef::nested_attributes`].
    pub attributes: (u32, u32),
    pub dropped_attributes_count: u32,
}

/// A borrowed span link.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct LinkRef<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a str,
    /// First and one past the last index into [`SpanRef::nested_attributes`].
    pub attributes: (u32, u32),
    pub dropped_attributes_count: u32,
    pub flags: u32,
}

/// A borrowed log record; see [`crate::LogRecord`] for the fields.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct LogRef<'a> {
    pub time_unix_nano: u64,
    pub observed_time_unix_nano: u64,
    pub severity_number: i32,
    pub severity_text: &'a str,
    pub body: ValueRef<'a>,
    pub has_empty_body: bool,
    pub attributes: &'a [KeyValueRef<'a>],
    pub dropped_attributes_count: u32,
    pub flags: u32,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub event_name: &'a str,
}

/// A borrowed metric; see [`crate::Metric`] for the fields.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct MetricRef<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    pub kind: MetricKind,
    pub temporality: Temporality,
    pub monotonic: bool,
    pub metadata: &'a [KeyValueRef<'a>],
}

/// The time of a data point that has none of its own: the sink gives it that of its receipt. A time
/// of 0 is one that samples may have.
pub const UNDATED: u64 = u64::MAX;

/// A borrowed data point; see [`crate::DataPoint`] for the fields.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct PointRef<'a> {
    pub attributes: &'a [KeyValueRef<'a>],
    pub start_unix_nano: u64,
    pub time_unix_nano: u64,
    pub flags: u32,
    pub value: &'a PointValue,
    pub exemplars: &'a [Exemplar],
}

/// Why one row of an otherwise good request is refused. Counted, and answered as
/// `partial_success`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reject {
    /// A span's trace id is not 16 bytes or is all zero.
    InvalidTraceId,
    /// A span's span id is not 8 bytes or is all zero.
    InvalidSpanId,
    /// A sum or histogram without a temporality.
    UnspecifiedTemporality,
    /// A data point without a time.
    ZeroTime,
    /// A metric without a name.
    EmptyMetricName,
    /// A histogram whose counts do not fit its bounds.
    MalformedHistogram,
    /// A sample of a series with a label twice.
    DuplicateLabel,
    /// A sample of a series with a label without a name.
    EmptyLabel,
    /// A sample of a series without `__name__`.
    MissingName,
    /// A sample whose series names a symbol that the request does not have.
    UnknownSymbol,
    /// A sample before 1970, or after what 64 bits of nanoseconds can say.
    TimeOutOfRange,
    /// A point of a series beyond those that may be active.
    SeriesLimit,
    /// A point of a kind of data that another one follows in the same metric, which can have one.
    SeveralKinds,
    /// A point of a series beyond those that one metric may have active.
    MetricSeriesLimit,
    /// A point of a series with more labels than a series may have.
    TooManyLabels,
    /// A point of a series with a label whose name is too long.
    LongLabelName,
    /// A point of a series with a name, or a label's value, that is too long.
    LongLabelValue,
    /// A row with more attribute keys than can be stored.
    TooManyAttributes,
    /// A row with an attribute key that is too long to be stored.
    LongAttributeKey,
}

impl Reject {
    /// Every reason.
    pub const ALL: [Reject; 19] = [
        Reject::InvalidTraceId,
        Reject::InvalidSpanId,
        Reject::UnspecifiedTemporality,
        Reject::ZeroTime,
        Reject::EmptyMetricName,
        Reject::MalformedHistogram,
        Reject::DuplicateLabel,
        Reject::EmptyLabel,
        Reject::MissingName,
        Reject::UnknownSymbol,
        Reject::TimeOutOfRange,
        Reject::SeriesLimit,
        Reject::SeveralKinds,
        Reject::MetricSeriesLimit,
        Reject::TooManyLabels,
        Reject::LongLabelName,
        Reject::LongLabelValue,
        Reject::TooManyAttributes,
        Reject::LongAttributeKey,
    ];

    /// The reason as a counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Reject::InvalidTraceId => "invalid_trace_id",
            Reject::InvalidSpanId => "invalid_span_id",
            Reject::UnspecifiedTemporality => "unspecified_temporality",
            Reject::ZeroTime => "zero_time",
            Reject::EmptyMetricName => "empty_metric_name",
            Reject::MalformedHistogram => "malformed_histogram",
            Reject::DuplicateLabel => "duplicate_label",
            Reject::EmptyLabel => "empty_label",
            Reject::MissingName => "missing_name",
            Reject::UnknownSymbol => "unknown_symbol",
            Reject::TimeOutOfRange => "time_out_of_range",
            Reject::SeriesLimit => "series_limit",
            Reject::SeveralKinds => "several_kinds",
            Reject::MetricSeriesLimit => "metric_series_limit",
            Reject::TooManyLabels => "too_many_labels",
            Reject::LongLabelName => "long_label_name",
            Reject::LongLabelValue => "long_label_value",
            Reject::TooManyAttributes => "too_many_attributes",
            Reject::LongAttributeKey => "long_attribute_key",
        }
    }

    /// The reason as a sentence for the sender.
    pub fn message(self) -> &'static str {
        match self {
            Reject::InvalidTraceId => "span with a trace id that is not 16 bytes or is all zero",
            Reject::InvalidSpanId => "span with a span id that is not 8 bytes or is all zero",
            Reject::UnspecifiedTemporality => {
                "sum or histogram with unspecified aggregation temporality"
            }
            Reject::ZeroTime => "data point with a time of 0",
            Reject::EmptyMetricName => "metric without a name",
            Reject::MalformedHistogram => {
                "histogram whose bucket counts do not fit its bounds or spans"
            }
            Reject::DuplicateLabel => "sample with a label twice",
            Reject::EmptyLabel => "sample with a label that has an empty name",
            Reject::MissingName => "sample without a metric name",
            Reject::UnknownSymbol => "sample that refers to a symbol that is not in the request",
            Reject::TimeOutOfRange => "sample before 1970 or after 2553",
            Reject::SeriesLimit => {
                "data point of a new series, while as many are active as limits.series allows"
            }
            Reject::SeveralKinds => {
                "data point of a metric with several kinds of data, of which the last counts"
            }
            Reject::MetricSeriesLimit => {
                "data point of a new series, while its metric has as many as limits.metric_series \
                 allows"
            }
            Reject::TooManyLabels => {
                "data point of a series with more labels than limits.series_labels allows"
            }
            Reject::LongLabelName => {
                "data point of a series with a label name longer than limits.label_name_bytes"
            }
            Reject::LongLabelValue => {
                "data point of a series with a name or label value longer than \
                 limits.label_value_bytes"
            }
            Reject::TooManyAttributes => {
                "span or log record with more than 49152 distinct attribute keys"
            }
            Reject::LongAttributeKey => {
                "span or log record with an attribute key of more than 32768 bytes"
            }
        }
    }
}

/// Takes the rows of a request, in the order sent. A resource holds for the scopes after it, a
/// scope for the rows after it. A sink that has no room ends the decoding.
pub trait RowSink {
    /// The decoder's own lists are about to take so many bytes more. It asks before they do, seldom
    /// (lists grow in steps and are reused), and keeps them until the request is decoded.
    fn room(&mut self, bytes: usize) -> Result<(), NoRoom>;
    /// The resource of the scopes that follow.
    fn resource(&mut self, resource: &ResourceRef<'_>) -> Result<(), NoRoom>;
    /// The scope of the rows that follow.
    fn scope(&mut self, scope: &ScopeRef<'_>) -> Result<(), NoRoom>;
    /// One span.
    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), NoRoom>;
    /// One log record.
    fn log(&mut self, log: &LogRef<'_>) -> Result<(), NoRoom>;
    /// The metric of the points that follow.
    fn metric(&mut self, metric: &MetricRef<'_>) -> Result<(), NoRoom>;
    /// One data point.
    fn point(&mut self, point: &PointRef<'_>) -> Result<(), NoRoom>;
    /// `count` rows were refused.
    fn reject(&mut self, reason: Reject, count: u64);
}

/// The request's bytes are not a request of its signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf at byte {offset}: {reason}")]
pub struct DecodeError {
    /// Where in the request.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Why a request was not decoded to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecoded {
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Its sink has no room for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Reads requests as they were received.
pub trait Decode: Send + Sync {
    /// Hands every row of `request` to `sink`, the same ones in the same order each time. On an
    /// error the sink may have seen some rows: its owner takes them back.
    fn decode(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded>;
}
