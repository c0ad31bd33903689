//! What the evaluation reads from: series, and the trait that selects them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// The bit pattern of the NaN that marks a series as stale.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The NaN that marks a series as stale.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a value is the stale marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The samples of a series in columns, each pair of columns sorted by time without repeats.
///
/// A float that is the stale marker, or a histogram whose sum is, ends the series until its next
/// sample.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Times of the floats in milliseconds since 1970. Series that were scraped together share
    /// one list, so whoever works out windows of times may do so once for all of them.
    pub times: Arc<Vec<i64>>,
    /// Values of the floats.
    pub floats: Vec<f64>,
    /// How many samples each float is the sum of, where a source has sums of old samples: none
    /// where each is one. Averages and counts of ranges go by them.
    pub counts: Vec<f64>,
    /// Times of the histograms in milliseconds since 1970.
    pub histogram_times: Vec<i64>,
    /// The histograms.
    pub histograms: Vec<Arc<FloatHistogram>>,
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.times.len() + self.histogram_times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a float; times must rise.
    pub fn push(&mut self, time_ms: i64, value: f64) {
        Arc::make_mut(&mut self.times).push(time_ms);
        self.floats.push(value);
    }

    /// Adds a histogram; times must rise.
    pub fn push_histogram(&mut self, time_ms: i64, histogram: Arc<FloatHistogram>) {
        self.histogram_times.push(time_ms);
        self.histograms.push(histogram);
    }
}

/// A series with the samples of a time range.
#[derive(Debug, Clone)]
pub struct Series {
    /// Labels, the metric name among them.
    pub labels: Labels,
    /// Samples.
    pub samples: Samples,
}

/// What a query wants of a source, with hints that a source may use to read less.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// All must hold.
    pub matchers: Vec<Matcher>,
    /// Samples at this time or before are not needed (exclusive).
    pub start_ms: i64,
    /// Samples after this time are not needed (inclusive).
    pub end_ms: i64,
    /// Samples at this time or before are needed by no selector of the query (exclusive). What is
    /// counted from a beginning on should begin at the same for all of them.
    pub earliest_ms: i64,
    /// Hint: distance between evaluation times; 0 for one evaluation.
    pub step_ms: i64,
    /// Hint: the first evaluation time, the offset taken away. Ranges end there and each step later.
    pub first_ms: i64,
    /// Hint: length of the range, 0 for an instant selector.
    pub range_ms: i64,
    /// Hint: samples beyond the ends of ranges are looked at, too (`anchored`, `smoothed`).
    pub extended: bool,
    /// Hint: the function or aggregation around the selector, empty for none.
    pub function: &'static str,
    /// Hint: labels that the aggregation around the selector keeps or drops.
    pub grouping: Vec<String>,
    /// Hint: whether `grouping` names the labels that are kept.
    pub by: bool,
    /// Series are not put in order. They have to come in the same order each time, since sums of the
    /// same numbers in another order differ in their last bits.
    pub unordered: bool,
    /// Of more samples than this, as far as a source can tell beforehand, it reads none but fails with
    /// [`SourceErrorKind::TooManySamples`].
    pub foreseen_max: usize,
    /// Which of the series are wanted: all, unless the source says that it can share them out.
    pub share: Share,
}

/// Some of the series that match: all shares of one number together are all series, and each series
/// is in one of them whole, wherever parts of it are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which share it is, from 0.
    pub index: u32,
    /// How many shares there are; positive.
    pub of: u32,
}

impl Share {
    /// All series.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// Whether a series is in it, by a hash that follows from its labels.
    pub fn holds(self, hash: u64) -> bool {
        hash % u64::from(self.of) == u64::from(self.index)
    }

    /// Two shares that together are this one.
    pub(crate) fn halves(self) -> [Self; 2] {
        let of = self.of.saturating_mul(2);
        [self.index, self.index.saturating_add(self.of)].map(|index| Self { index, of })
    }
}

/// What a source found.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    /// Series, each label set once.
    pub series: Vec<Series>,
    /// Which samples are further apart than they were taken.
    pub sparse: Sparse,
    /// What the user should know about the completeness of the answer.
    pub warnings: Vec<String>,
}

/// Samples of which a source keeps one in a while. The last one of a series may be as much older
/// at a step as they are apart. By default there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sparse {
    /// How far they are apart.
    pub apart_ms: i64,
    /// They are those before this time.
    pub until_ms: i64,
}

/// What to do about a failed selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// A limit was hit: narrow the query.
    Limit,
    /// The same where about so many samples are too many, at least.
    TooManySamples(usize),
    /// It took too long.
    Timeout,
    /// The caller went away.
    Cancelled,
    /// Try again later.
    Unavailable,
    /// Something broke.
    Internal,
}

/// A failed selection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What to do about it.
    pub kind: SourceErrorKind,
    /// What happened.
    pub message: String,
}

/// A future that a source returns.
pub type SelectFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Selected, SourceError>> + Send + 'a>>;

/// A place that holds series.
pub trait SeriesSource: Send + Sync {
    /// The series that match, with their samples in the range of the selection. Samples beyond
    /// the range and more exact matchers are allowed: the evaluation looks at times itself, but
    /// trusts that every series returned satisfies the matchers.
    fn select<'a>(&'a self, selection: &'a Selection) -> SelectFuture<'a>;

    /// Whether the series of a selection can be asked for in shares.
    fn shares(&self, _: &Selection) -> bool {
        false
    }
}
