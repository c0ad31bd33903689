//! What is counted of spans.

use std::time::Duration;

use crate::section::{Context, Value, choice, section};
use crate::yaml::Node;

section! {
    /// Rate, errors and durations of spans.
    pub struct SpanMetrics {
        /// Whether a collector counts them.
        enabled: bool = "true";
        /// Attributes of spans, or else of their resources, that are labels beside `service`, `span_name`, `span_kind` and `status_code`. One that is named as such a label has `__` before its name.
        dimensions: Dimensions = "[]";
        /// Upper bounds of the buckets of durations, in seconds.
        buckets: Bounds = "[0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384]";
        /// How durations are written, those of the service graph too.
        histograms: SpanHistograms = "both";
        /// Whether resources of spans become `traces_target_info`; span metrics have the labels `job` and `instance` of their own service then.
        target_info: bool = "false";
        /// Attributes of resources that are no labels of it.
        target_info_excluded: Vec<String> = "[]";
        /// Series of one tenant; what is beyond them is counted in one that is marked with `otel_metric_overflow`. All tenants together have ten times as many.
        series: usize = "10000", "1" to "1000000";
        /// Time between two points of a series, also of the service graph.
        interval: Duration = "15s", "1s" to "1m";
        /// A series that counts nothing for this long is forgotten, also of the service graph.
        idle: Duration = "1h", "1m" to "7d";
    }

    /// Requests between services.
    pub struct ServiceGraph {
        /// Whether a collector counts them.
        enabled: bool = "true";
        /// How long a span waits for that of the other side of its request.
        wait: Duration = "10s", "100ms" to "10m";
        /// Spans that wait at once; the one that waited longest goes where there are more.
        half_open: usize = "20000", "1" to "10000000";
        /// Edges of one tenant; what is beyond them is counted in one series, as with span metrics.
        edges: usize = "5000", "1" to "1000000";
        /// Attributes of a caller's span that name what it called where that sends no spans, the most telling one first.
        peer_attributes: Vec<String> = "[peer.service, service.peer.name, db.namespace, db.name, db.system.name, db.system, messaging.destination.name, messaging.system, rpc.service, server.address, net.peer.name]";
        /// Whether a label `virtual_node` says which side sends no spans: `client` or `server`.
        virtual_node_label: bool = "false";
        /// Whether `traces_service_graph_request_messaging_system_seconds` counts how long messages are on their way.
        messaging_latency: bool = "false";
        /// Upper bounds of the buckets of durations, in seconds.
        buckets: Bounds = "[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]";
    }
}

choice! {
    /// How durations of spans are written.
    pub enum SpanHistograms {
        /// With the bounds that are configured.
        Classic = "classic",
        /// As native histograms, which any query can merge and whose bounds are fine enough for all.
        Native = "native",
        /// As both.
        Both = "both",
    }
}

/// Upper bounds of buckets, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds(pub Vec<f64>);

impl Bounds {
    const MAX: usize = 160;
}

impl Value for Bounds {
    const KIND: &'static str = "a list of 1 to 160 numbers above 0, each above the one before it";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let items = node.items();
        let bounds = items
            .iter()
            .map(|item| item.as_text().and_then(|text| text.parse().ok()))
            .collect::<Option<Vec<f64>>>()
            .filter(|bounds| (1..=Self::MAX).contains(&bounds.len()));
        let Some(bounds) = bounds else {
            cx.expected(node, Self::KIND, None);
            return None;
        };
        let mut before = 0.0;
        for (item, bound) in items.iter().zip(&bounds) {
            if *bound <= before || !bound.is_finite() {
                cx.expected(item, "a number above the one before it", None);
                return None;
            }
            before = *bound;
        }
        Some(Self(bounds))
    }
}

/// Attributes that become labels of span metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimensions(pub Vec<String>);

impl Dimensions {
    /// How many there may be.
    pub const MAX: usize = 12;
    /// Labels that say which collector counted, and what: no attribute can be one.
    const TAKEN: [&'static str; 2] = ["collector_instance_id", "otel_metric_overflow"];
    /// Labels that are there already, or are made of the resource.
    const INTRINSIC: [&'static str; 7] = [
        "service",
        "span_name",
        "span_kind",
        "status_code",
        "status_message",
        "job",
        "instance",
    ];

    /// Under which key an attribute is a label beside those that are there already.
    pub fn key(name: &str) -> String {
        let label = model::prometheus::label_name(name);
        if Self::INTRINSIC.contains(&label.as_str()) {
            return format!("__{label}");
        }
        name.to_owned()
    }
}

impl Value for Dimensions {
    const KIND: &'static str = "a list of at most 12 attributes";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let names = Vec::<String>::read(node, cx)?;
        if names.len() > Self::MAX {
            cx.expected(node, Self::KIND, None);
            return None;
        }
        let label = |name: &str| model::prometheus::label_name(&Self::key(name));
        for (index, (name, item)) in names.iter().zip(node.items()).enumerate() {
            let own = label(name);
            let same = names[..index].iter().find(|other| label(other) == own);
            if let Some(other) = same {
                let message = format!("`{name}` is the label `{own}`, as `{other}` is");
                cx.error(item, message, None);
                return None;
            }
            if Self::TAKEN.contains(&own.as_str()) {
                let message = format!("span metrics have a label `{own}` of their own");
                cx.error(item, message, None);
                return None;
            }
        }
        Some(Self(names))
    }
}
