//! Services and their operations with request figures.

use serde::{Deserialize, Serialize};

use super::Completeness;

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
    /// Measured spans per second over the range; where its end is open, until now.
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
    /// Spans per second over the range; where its end is open, until now.
    pub rate: f64,
    /// Median duration.
    pub p50_nano: u64,
    /// 99th percentile.
    pub p99_nano: u64,
}
