//! What a reader is asked and what it answers: plain messages, so that the same calls work in
//! process and over the network.
//!
//! An answer is a stream of [`Reply`]s that ends with one [`Reply::End`]. Dropping the stream
//! cancels the work. A stream that ends without `End` was cut off.

use std::sync::Arc;

use model::metric::Series;
use model::{DataPoint, LogRecord, Signal, Span, Tenant, TimeRange, TraceId};
use serde::{Deserialize, Serialize};

use crate::filter::{Field, Filter};

/// Which rows a request is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Whose rows.
    pub tenant: Tenant,
    /// Of which signal.
    pub signal: Signal,
    /// Which of them.
    pub filter: Filter,
    /// When. A span is inside if any instant between its start and end is.
    pub range: TimeRange,
}

/// How much a request may use up. Reaching one of them ends the scan with what was found and a
/// [`Cut`] in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time for the whole request.
    pub timeout_ms: u64,
    /// Decoded bytes held or looked at.
    pub scanned_bytes: u64,
    /// Memory that the rows of the answer may take, once they are built. More is no answer but
    /// [`ReadError::TooLarge`](crate::read::ReadError::TooLarge): who asks holds them all. Groups
    /// take no more either: the smallest are left out.
    pub answer_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: 30_000,
            scanned_bytes: 1 << 30,
            answer_bytes: 64 << 20,
        }
    }
}

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Latest time first.
    Newest,
    /// Earliest time first.
    Oldest,
}

/// A place in the total order of rows: by time in the order asked for, then by
/// [digest](crate::digest), rows that are equal in both by count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// A span's start or a record's time.
    pub time: u64,
    /// The digest of the row there.
    pub digest: u64,
    /// How many rows of this time and digest come before the place.
    pub copies: u64,
}

/// How much of each row is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Columns {
    /// Everything.
    Full,
    /// Ids, parent, times, clock offset, name, kind, status code and the resource's
    /// `service.name`: enough for a list of traces. Other members hold their defaults.
    Summary,
}

/// A question to a reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Rows of traces or logs in time order. Answered by [`Reply::Spans`] or [`Reply::Logs`].
    Rows {
        /// Which.
        selection: Selection,
        /// In which order.
        order: Order,
        /// How many at most: the first of them in the total order that [`Place`] describes.
        limit: usize,
        /// Stop once rows of this many distinct traces were sent (spans only).
        traces: Option<usize>,
        /// Begin after this place.
        after: Option<Place>,
        /// How much of each.
        columns: Columns,
    },
    /// Rows counted by time and fields. Answered by [`Reply::Counts`].
    Counts {
        /// Which.
        selection: Selection,
        /// Width of a time bucket in nanoseconds, aligned to the epoch; none for no buckets.
        step_nano: Option<u64>,
        /// Group by the text of these; a row without the field has an empty text.
        by: Vec<Field>,
        /// How many groups at most; the rows of the smallest are [`Counts::other`].
        groups: usize,
    },
    /// Span durations by group. Answered by [`Reply::Durations`].
    Durations {
        /// Which.
        selection: Selection,
        /// Group by the text of these.
        by: Vec<Field>,
        /// How many groups at most.
        groups: usize,
    },
    /// Traces with matching spans. Answered by [`Reply::Traces`], in no order.
    Traces {
        /// Which spans.
        selection: Selection,
        /// From which end of the range the spans are read.
        order: Order,
        /// How many traces at most: no more blocks are read once there are more.
        limit: usize,
    },
    /// Names of fields with counts. Answered by [`Reply::Fields`].
    Fields {
        /// Over which rows.
        selection: Selection,
    },
    /// Values of one field with counts. Answered by [`Reply::Values`].
    Values {
        /// Over which rows.
        selection: Selection,
        /// Of which field.
        field: Field,
        /// Only values that begin with this.
        prefix: String,
        /// How many at most, most frequent first.
        limit: usize,
    },
    /// Metric series with their points. Answered by [`Reply::Series`].
    Series {
        /// Whose.
        tenant: Tenant,
        /// When; empty points where only the series are wanted.
        range: TimeRange,
        /// Conditions on the Prometheus view of the labels, `__name__` included. A series comes
        /// if it *may* yield a Prometheus series that matches: `le` and `quantile` are not
        /// looked at, and `x_bucket`, `x_sum`, `x_count` select the histogram or summary `x`.
        matchers: Vec<Matcher>,
        /// Whether points are wanted, or only which series exist.
        points: bool,
        /// How many series at most.
        limit: usize,
    },
    /// Metric series with their samples, numbers as columns. Answered by [`Reply::Samples`].
    Samples {
        /// Whose.
        tenant: Tenant,
        /// When.
        range: TimeRange,
        /// Series of deltas come with all of their points since this, so that totals can be
        /// counted, if it is before the range.
        deltas_since: u64,
        /// As for [`Request::Series`].
        matchers: Vec<Matcher>,
        /// What is wanted where samples are downsampled.
        rollup: Rollup,
        /// With more samples than this, or more series than `limit`, there is an error.
        samples: usize,
        /// How many series at most.
        limit: usize,
    },
    /// Names of labels of metric series, or the values of one, in order. Answered by
    /// [`Reply::Labels`]. Files that overlap the range answer whole.
    Labels {
        /// Whose.
        tenant: Tenant,
        /// When.
        range: TimeRange,
        /// As for [`Request::Series`].
        matchers: Vec<Matcher>,
        /// The label whose values are wanted; none for names. `le` and `quantile` of classic
        /// histograms and summaries are in their points: they are named, but have no values here.
        label: Option<String>,
        /// How many at most.
        limit: usize,
    },
    /// New rows as they are acknowledged. Answered by [`Reply::Tail`] until dropped; has no
    /// time limit.
    Tail {
        /// Which; the range is not looked at.
        selection: Selection,
        /// How many rows may wait for a slow reader before newer ones are dropped and counted.
        buffer: usize,
    },
    /// What the store holds. Answered by [`Reply::Status`].
    Status {
        /// Whose.
        tenant: Tenant,
    },
    /// How many metric series there are, and of what. Answered by [`Reply::Cardinality`].
    Cardinality {
        /// Whose.
        tenant: Tenant,
        /// Series with points in this range, and the number of these.
        range: TimeRange,
        /// Which of them, and what of them.
        of: CardinalityOf,
    },
}

/// Which series are counted, and how much of the counts is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardinalityOf {
    /// As for [`Request::Series`].
    pub matchers: Vec<Matcher>,
    /// The label whose values are wanted; none for those of all labels but the name.
    pub label: Option<String>,
    /// Whether what has most samples is wanted, rather than what has most series.
    pub by_samples: bool,
    /// How many series are looked at.
    pub series: usize,
    /// How many metrics, labels and values are listed each.
    pub listed: usize,
}

/// What is wanted where samples were downsampled: buckets instead of every sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// Buckets may be so long; 0 where every sample is wanted. Where these are gone, buckets come
    /// all the same, the finest that are there.
    pub resolution_ms: u64,
    /// What of each bucket.
    pub aggregate: Aggregate,
}

impl Rollup {
    /// Every sample, else the last of each bucket.
    pub const EVERYTHING: Self = Self {
        resolution_ms: 0,
        aggregate: Aggregate::Last,
    };
}

/// What of a bucket of samples is wanted. Series that are not plain numbers come as points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregate {
    /// The last sample.
    Last,
    /// The first and the last.
    Ends,
    /// Samples that make a counter grow as all of them do.
    Counter,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The sum.
    Sum,
    /// The sum and, in [`SeriesSamples::counts`], of how many: samples count once each.
    Average,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex,
    /// `!~`, anchored at both ends.
    NotRegex,
}

/// A condition on a label; a label that is missing has the empty value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// Label name in the Prometheus view.
    pub name: String,
    /// Operator.
    pub op: MatchOp,
    /// Value or pattern.
    pub value: String,
}

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
    /// Points of all other series, by time.
    pub points: Vec<DataPoint>,
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
