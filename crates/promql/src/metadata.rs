//! What Prometheus' metadata API says about a metric.

use serde::Serialize;

/// Type, help and unit of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Metadata {
    /// `counter`, `gauge`, `histogram`, `summary`, `unknown` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Description.
    pub help: String,
    /// Unit, as in the name of the metric.
    pub unit: String,
}
