//! What a reader answers with: the parts of each kind of answer.

use std::sync::Arc;

use model::metric::Series;
use model::{DataPoint, LogRecord, Metric, Signal, Span, TraceId};
use serde::{Deserialize, Serialize};

use super::summary::Summary;
use crate::chunk::members;
use crate::filter::Field;

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Spans, in order within and between parts.
    Spans(Vec<Span>),
    /// Log records, in order within and between parts.
    Logs(Vec<LogRecord>),
    /// Counts per group and bucket.
    Counts(Counts),
    /// Durations per group.
    Durations(Vec<Durations>),
    /// Traces.
    Traces(Vec<TraceSpans>),
    /// Field names.
    Fields(Vec<FieldCount>),
    /// Field values.
    Values(Vec<ValueCount>),
    /// Series with points in time order; a series may come in several parts.
    Series(Vec<SeriesPoints>),
    /// Series with samples; a series may come in several parts.
    Samples(Vec<SeriesSamples>),
    /// Names or values of labels.
    Labels(Vec<String>),
    /// New rows.
    Tail(Tail),
    /// What the store holds.
    Status(Status),
    /// The last part.
    End(Summary),
    /// How many series there are.
    Cardinality(Box<Cardinality>),
    /// Metrics; one may come more than once.
    Metrics(Vec<Arc<Metric>>),
}

/// Rows by group. Those of the groups and the others are together all that were read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The largest groups, each with all of its rows; by key.
    pub groups: Vec<CountGroup>,
    /// Rows of groups that are left out.
    pub other: u64,
}

/// Rows of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountGroup {
    /// The group's texts. One of more than 1,024 bytes is its beginning, length and digest.
    pub key: Vec<String>,
    /// Starts of buckets in unix nanoseconds, 0 without buckets, and how many rows lie in each.
    pub buckets: Vec<(u64, u64)>,
}

impl CountGroup {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.buckets.iter().map(|(_, rows)| rows).sum()
    }
}

/// Span durations of one group, mergeable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// The group's texts.
    pub key: Vec<String>,
    /// How many spans.
    pub count: u64,
    /// How many of them with status error.
    pub errors: u64,
    /// Occupied buckets of an hdrhistogram over nanoseconds with 2 significant digits:
    /// (a value inside the bucket, count).
    pub buckets: Vec<(u64, u64)>,
}

/// The matching spans of one trace, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSpans {
    /// The trace.
    pub trace_id: TraceId,
    /// When the first of them began.
    pub start: u64,
    /// When the last of them began.
    pub newest: u64,
    /// When the last of them ended.
    pub end: u64,
    /// How many of them have status error.
    pub errors: u64,
}

impl TraceSpans {
    /// Takes more spans of the same trace in.
    pub fn join(&mut self, more: &TraceSpans) {
        self.start = self.start.min(more.start);
        self.newest = self.newest.max(more.newest);
        self.end = self.end.max(more.end);
        self.errors += more.errors;
    }
}

/// How often a field occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldCount {
    /// The field.
    pub field: Field,
    /// Value type: `string`, `int`, `double`, `bool`, `bytes`, `array`, `kvlist`.
    pub kind: String,
    /// Rows that have it.
    pub count: u64,
}

/// How often a value occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueCount {
    /// The value's text.
    pub value: String,
    /// Rows that have it.
    pub count: u64,
}

/// A series and some of its points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoints {
    /// The series.
    pub series: Series,
    /// Points by time.
    pub points: Vec<DataPoint>,
}

impl SeriesPoints {
    /// About what it takes in memory, where series share most of what they have.
    pub fn held_bytes(&self) -> usize {
        const OF_SERIES: usize = 64;
        let members = self.points.iter().map(|point| members(&point.value));
        OF_SERIES + size_of_val(&self.points[..]) + 8 * members.sum::<usize>()
    }
}

/// A series and its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesSamples {
    /// A hash of what identifies the series: two that have the same are one.
    pub id: u128,
    /// The series.
    pub series: Arc<Series>,
    /// Times of the values in milliseconds since 1970, strictly rising. Series whose points have
    /// the same times share the list.
    pub times_ms: Arc<Vec<i64>>,
    /// Values of a gauge or sum that is not delta. A point without a recorded value is a NaN with
    /// the bits of [`STALE_NAN_BITS`].
    pub values: Vec<f64>,
    /// How many samples each of the values stands for, where that was asked for.
    pub counts: Vec<f64>,
    /// Histograms with bounds that are not delta, where all are of one kind; else they are points.
    pub histograms: Option<HistogramSamples>,
    /// Exponential histograms that are not delta, where nothing else is among them; else they are
    /// points.
    pub exponentials: Option<ExponentialSamples>,
    /// Numbers of a sum of deltas, where nothing else is among them; else they are points.
    pub deltas: Option<DeltaSamples>,
    /// Points of all other series, by time.
    pub points: Vec<DataPoint>,
}

/// Histograms of the same bounds by column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistogramSamples {
    /// Times in milliseconds since 1970, strictly rising.
    pub times_ms: Arc<Vec<i64>>,
    /// Upper bounds as they were sent, as far as they have buckets.
    pub bounds: Vec<f64>,
    /// For each bound how many values are not above it.
    pub buckets: Vec<Vec<f64>>,
    /// How many values there are.
    pub counts: Vec<f64>,
    /// Their sums; none where they were not sent.
    pub sums: Vec<f64>,
}

/// Deltas by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeltaSamples {
    /// Times in unix nanoseconds, in order.
    pub times: Vec<u64>,
    /// When the interval of each began; 0 where that is not known.
    pub starts: Vec<u64>,
    /// What came in each.
    pub values: Vec<f64>,
}

/// Exponential histograms by column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExponentialSamples {
    /// Times in milliseconds since 1970, strictly rising.
    pub times_ms: Arc<Vec<i64>>,
    /// The histograms.
    pub columns: ExponentialColumns,
}

/// Exponential histograms by time, a value of each column for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExponentialColumns {
    /// How many values there are.
    pub counts: Vec<u64>,
    /// Their sums; 0 where none was sent.
    pub sums: Vec<f64>,
    /// Resolutions.
    pub scales: Vec<i32>,
    /// Values within the zero threshold.
    pub zero_counts: Vec<u64>,
    /// Half-widths of the zero bucket.
    pub zero_thresholds: Vec<f64>,
    /// Buckets of positive values.
    pub positive: BucketRuns,
    /// Buckets of negative values.
    pub negative: BucketRuns,
}

/// Buckets of several histograms, one histogram after the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BucketRuns {
    /// Of each histogram the index of its first bucket.
    pub offsets: Vec<i32>,
    /// Of each histogram how many buckets it and those before it have.
    pub ends: Vec<u32>,
    /// The counts of all buckets.
    pub counts: Vec<u64>,
}

impl BucketRuns {
    /// The index of the first bucket of a histogram, and the counts of its buckets.
    pub fn row(&self, row: usize) -> (i32, &[u64]) {
        let end = |row: usize| self.ends.get(row).map_or(0, |end| *end as usize);
        let first = row.checked_sub(1).map_or(0, end);
        let counts = self.counts.get(first..end(row)).unwrap_or_default();
        (self.offsets.get(row).copied().unwrap_or(0), counts)
    }
}

/// The bits of the value of a point without a recorded value: those of Prometheus' stale marker.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// How many series there are of something, and their samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Weight {
    /// Series as they are stored: a histogram is one.
    pub series: u64,
    /// Their points in the range.
    pub samples: u64,
}

impl Weight {
    /// Takes more in.
    pub fn add(&mut self, more: Weight) {
        self.series += more.series;
        self.samples += more.samples;
    }
}

/// The series with a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelWeight {
    /// The label.
    pub label: String,
    /// Its distinct values.
    pub values: u64,
    /// The lengths of its values, once for each series.
    pub bytes: u64,
    /// How many.
    pub weight: Weight,
}

/// The series with a value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueWeight {
    /// The label.
    pub label: String,
    /// The value.
    pub value: String,
    /// How many.
    pub weight: Weight,
}

/// Of what there are most series, or most samples.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cardinality {
    /// All that were selected.
    pub all: Weight,
    /// Distinct pairs of a label and a value.
    pub pairs: u64,
    /// The heaviest metrics, as values of `__name__`.
    pub metrics: Vec<ValueWeight>,
    /// The labels with most values.
    pub labels: Vec<LabelWeight>,
    /// The heaviest values.
    pub values: Vec<ValueWeight>,
}

/// New rows of a live tail. The first has none: it says that the tail has begun.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tail {
    /// Counts every matching row, sent or dropped, from 1: the number of the last row here.
    pub sequence: u64,
    /// Rows dropped since the tail began because the reader was slow.
    pub dropped: u64,
    /// New log records.
    pub logs: Vec<LogRecord>,
    /// New spans.
    pub spans: Vec<Span>,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Per signal and UTC day.
    pub partitions: Vec<PartitionStatus>,
    /// Rows in memory, also in the WAL.
    pub head_rows: u64,
    /// Bytes in the WAL.
    pub wal_bytes: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Signal.
    pub signal: Signal,
    /// UTC days since the epoch.
    pub day: u32,
    /// Rows.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}
