//! What is counted of spans, and how.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, SpanHistograms};

use super::histogram::Shape;

/// How spans are counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Time between emissions; at most a minute, or queries see gaps.
    pub interval: Duration,
    /// A series that counts nothing for this long is forgotten.
    pub idle: Duration,
    /// How durations are written.
    pub histograms: SpanHistograms,
    /// Rate, errors and durations; none to leave them out.
    pub spans: Option<SpanOptions>,
    /// The service graph; none to leave it out.
    pub graph: Option<GraphOptions>,
}

/// Rate, errors and durations of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanOptions {
    /// Attributes of spans, or else of their resources, that are labels too.
    pub dimensions: Vec<String>,
    /// Upper bounds of the buckets in seconds, ascending.
    pub bounds: Arc<[f64]>,
    /// Series of one tenant at most.
    pub series: usize,
    /// Whether what resources say of services is written, too.
    pub target_info: Option<TargetInfo>,
}

/// What resources say of the services that sent spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetInfo {
    /// Attributes that are left out.
    pub excluded: Vec<String>,
}

/// Requests between services.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphOptions {
    /// How long a span waits for the other side of its request.
    pub wait: Duration,
    /// Spans that wait at most.
    pub half_open: usize,
    /// Edges of one tenant at most.
    pub edges: usize,
    /// Attributes of a caller's span that name the other side where that sends no spans, the most
    /// telling one first.
    pub peer_attributes: Vec<String>,
    /// Upper bounds of the buckets in seconds, ascending.
    pub bounds: Arc<[f64]>,
    /// Whether a label says which side sends no spans.
    pub virtual_node_label: bool,
    /// Whether it is counted how long messages are on their way.
    pub messaging_latency: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::from_config(&Config::default()).expect("both are on by default")
    }
}

impl Options {
    /// What the configuration asks for; none where nothing is to be counted.
    pub fn from_config(config: &Config) -> Option<Self> {
        let (spans, graph) = (&config.span_metrics, &config.service_graph);
        let options = Self {
            interval: spans.interval,
            idle: spans.idle,
            histograms: spans.histograms,
            spans: spans.enabled.then(|| SpanOptions {
                dimensions: spans.dimensions.0.clone(),
                bounds: spans.buckets.0.clone().into(),
                series: spans.series,
                target_info: spans.target_info.then(|| TargetInfo {
                    excluded: spans.target_info_excluded.clone(),
                }),
            }),
            graph: graph.enabled.then(|| GraphOptions {
                wait: graph.wait,
                half_open: graph.half_open,
                edges: graph.edges,
                peer_attributes: graph.peer_attributes.clone(),
                bounds: graph.buckets.0.clone().into(),
                virtual_node_label: graph.virtual_node_label,
                messaging_latency: graph.messaging_latency,
            }),
        };
        (spans.enabled || graph.enabled).then_some(options)
    }

    pub(super) fn shape(&self, bounds: &Arc<[f64]>) -> Shape {
        Shape {
            bounds: Arc::clone(bounds),
            native: self.histograms != SpanHistograms::Classic,
        }
    }
}
