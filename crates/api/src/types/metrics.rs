//! Metric data points as they were sent.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Completeness;

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

/// Answer of `GET metrics/cardinality`: of what there are most series, or most samples. Series are
/// counted as they are stored: a histogram is one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CardinalityAnswer {
    /// All series that were selected.
    pub series: u64,
    /// Their samples in the range.
    pub samples: u64,
    /// The heaviest metrics, as values of `__name__`.
    pub metrics: Vec<ValueCardinality>,
    /// The labels with most values.
    pub labels: Vec<LabelCardinality>,
    /// The heaviest values of the label asked for, or of all labels but the name.
    pub values: Vec<ValueCardinality>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// The series with a value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValueCardinality {
    /// The label.
    pub label: String,
    /// The value.
    pub value: String,
    /// How many.
    pub series: u64,
    /// Their samples.
    pub samples: u64,
}

/// The series with a label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelCardinality {
    /// The label.
    pub label: String,
    /// Its distinct values; over several collectors those of the one with most.
    pub values: u64,
    /// How many.
    pub series: u64,
    /// Their samples.
    pub samples: u64,
}
