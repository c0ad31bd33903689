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
