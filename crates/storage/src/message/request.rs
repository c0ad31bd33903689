//! What a reader is asked.

use model::{Signal, Tenant, TimeRange};
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
        /// With more samples than this, as heads and files tell, there is an error before any is read.
        foreseen: usize,
        /// How many series at most.
        limit: usize,
        /// Which of the series.
        share: SeriesShare,
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
    /// The metrics that any series is of, without their series. Answered by [`Reply::Metrics`], in
    /// no order.
    Metrics {
        /// Whose.
        tenant: Tenant,
        /// How many at most.
        limit: usize,
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
    /// Whether of the numbers, or the histograms with bounds, of each series the last one is enough.
    /// There may be more.
    pub newest: bool,
}

impl Rollup {
    /// Every sample, else the last of each bucket.
    pub const EVERYTHING: Self = Self {
        resolution_ms: 0,
        aggregate: Aggregate::Last,
        newest: false,
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

/// Some of the series that match. All shares of one number together are all series, and series with
/// the same labels in the Prometheus view are in the same share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesShare {
    /// Which share, from 0.
    pub index: u32,
    /// How many there are; 0 is as good as 1.
    pub of: u32,
    /// What decides.
    pub by: SharedBy,
}

impl SeriesShare {
    /// All series.
    pub const ALL: Self = Self {
        index: 0,
        of: 1,
        by: SharedBy::Labels,
    };
}

/// By what series are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharedBy {
    /// Their labels.
    Labels,
    /// `job` and `instance` alone, where other labels may be added to those that are stored.
    Target,
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
