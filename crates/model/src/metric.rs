//! Metrics: what identifies a series, and its data points.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use crate::native::{BucketSpan, NativeCounts, NativeHistogram, ResetHint};
use crate::resource::{Resource, Scope};
use crate::value::KeyValue;

/// Which OTLP metric type a series has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum MetricKind {
    /// A value that goes up and down.
    Gauge = 1,
    /// A running or delta sum.
    Sum = 2,
    /// A histogram with explicit bounds.
    Histogram = 3,
    /// A histogram with exponential buckets.
    ExponentialHistogram = 4,
    /// Quantiles calculated by the sender.
    Summary = 5,
}

impl MetricKind {
    /// The kind of this code on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        [
            Self::Gauge,
            Self::Sum,
            Self::Histogram,
            Self::ExponentialHistogram,
            Self::Summary,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == code)
    }
}

/// How the points of a sum or histogram relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Temporality {
    /// The kind has none (gauge, summary).
    None = 0,
    /// Each point counts what came since the one before.
    Delta = 1,
    /// Each point counts all since its start time.
    Cumulative = 2,
}

impl Temporality {
    /// The temporality of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::Delta, Self::Cumulative]
            .into_iter()
            .find(|t| *t as u8 == code)
    }
}

/// Everything about a metric but its points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// OTLP name.
    pub name: String,
    /// Help text.
    pub description: String,
    /// UCUM unit.
    pub unit: String,
    /// Type.
    pub kind: MetricKind,
    /// Temporality.
    pub temporality: Temporality,
    /// Whether a sum never goes down.
    pub monotonic: bool,
    /// Metadata attributes as sent.
    pub metadata: Vec<KeyValue>,
}

/// What a series is: resource, scope, metric and the attributes of its points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// What code made it.
    pub scope: Arc<Scope>,
    /// The metric.
    pub metric: Arc<Metric>,
    /// Attributes of every point of the series.
    pub attributes: Vec<KeyValue>,
}

/// One data point as it was sent, without its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataPoint {
    /// When the interval began; 0 where not sent.
    pub start_unix_nano: u64,
    /// When the value was taken.
    pub time_unix_nano: u64,
    /// OTLP data point flags; bit 0 says that no value was recorded.
    pub flags: u32,
    /// The value.
    pub value: PointValue,
    /// Exemplars as sent.
    pub exemplars: Vec<Exemplar>,
}

/// OTLP's flag that a point holds no value: the series went stale.
pub const FLAG_NO_RECORDED_VALUE: u32 = 1;

impl DataPoint {
    /// Whether the sender marked the series as stale at this point.
    pub fn is_stale(&self) -> bool {
        self.flags & FLAG_NO_RECORDED_VALUE != 0
    }
}

/// The value of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PointValue {
    /// Nothing set.
    Empty,
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// Explicit bounds.
    Histogram(Histogram),
    /// Exponential buckets.
    Exponential(ExponentialHistogram),
    /// Quantiles.
    Summary(Summary),
    /// A native histogram that came by a protocol of Prometheus.
    Native(NativeHistogram),
}

/// Explicit-bounds histogram.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// Values per bucket: none, or one more than there are bounds.
    pub bucket_counts: Vec<u64>,
    /// Upper bounds, inclusive.
    pub explicit_bounds: Vec<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
}

/// Exponential histogram.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ExponentialHistogram {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// Resolution: bucket bounds are powers of 2^(2^-scale).
    pub scale: i32,
    /// Values within the zero threshold.
    pub zero_count: u64,
    /// Buckets of positive values.
    pub positive: Option<Buckets>,
    /// Buckets of negative values.
    pub negative: Option<Buckets>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Half-width of the zero bucket.
    pub zero_threshold: f64,
}

/// A run of exponential buckets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Buckets {
    /// Index of the first.
    pub offset: i32,
    /// Counts.
    pub bucket_counts: Vec<u64>,
}

/// Quantiles calculated by the sender.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// (quantile 0 to 1, value) pairs.
    pub quantiles: Vec<(f64, f64)>,
}

/// One measured value kept as an example.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Exemplar {
    /// Attributes that the aggregation removed.
    pub filtered_attributes: Vec<KeyValue>,
    /// When.
    pub time_unix_nano: u64,
    /// The value.
    pub value: ExemplarValue,
    /// Span id bytes as sent.
    pub span_id: Vec<u8>,
    /// Trace id bytes as sent.
    pub trace_id: Vec<u8>,
}

/// The value of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum ExemplarValue {
    /// Nothing set.
    #[default]
    Empty,
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
}

impl ExemplarValue {
    /// The value as a float, if there is one.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> Option<f64> {
        match self {
            ExemplarValue::Empty => None,
            ExemplarValue::Int(int) => Some(int as f64),
            ExemplarValue::Double(double) => Some(double),
        }
    }
}
