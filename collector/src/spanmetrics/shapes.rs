//! The metrics that are written, with their names and labels.

use std::sync::Arc;

use model::metric::{MetricKind, Temporality};
use model::prometheus::Naming;
use model::{KeyValue, Metric, Resource, Scope};

use super::points::{EDGE_LABELS, SPAN_LABELS};
use super::target;

const SCOPE: &str = "throughline.spanmetrics";

/// A histogram in the forms in which it is written.
pub(super) struct Histograms {
    pub classic: Option<Arc<Metric>>,
    pub native: Option<Arc<Metric>>,
}

impl Histograms {
    fn new(name: &str, description: &str, (classic, native): (bool, bool)) -> Self {
        let form = |kind| metric(name, description, kind);
        Self {
            classic: classic.then(|| form(MetricKind::Histogram)),
            native: native.then(|| form(MetricKind::ExponentialHistogram)),
        }
    }
}

/// What is written, and with which labels.
pub(super) struct Shapes {
    pub scope: Arc<Scope>,
    /// Tells the counts of one collector from those of another. It is an attribute of the point:
    /// of a resource, Prometheus' view keeps nothing but what identifies the service.
    counted_by: KeyValue,
    /// The labels of spans after the fixed ones.
    dimensions: Vec<String>,
    /// Whether the identity of the resource is among what spans are counted by.
    with_identity: bool,
    pub calls: Arc<Metric>,
    pub size: Arc<Metric>,
    pub latency: Histograms,
    pub target: Arc<Metric>,
    pub requests: Arc<Metric>,
    pub failed: Arc<Metric>,
    pub unpaired: Arc<Metric>,
    pub dropped: Arc<Metric>,
    pub client: Histograms,
    pub server: Histograms,
    pub transit: Histograms,
}

fn metric(name: &str, description: &str, kind: MetricKind) -> Arc<Metric> {
    let is_gauge = kind == MetricKind::Gauge;
    Arc::new(Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        // Without a unit the Prometheus name gets no suffix, as dashboards expect.
        unit: String::new(),
        kind,
        temporality: if is_gauge {
            Temporality::None
        } else {
            Temporality::Cumulative
        },
        monotonic: kind == MetricKind::Sum,
        // Dashboards know them by these names, however other metrics are named.
        metadata: vec![Naming::fixed()],
    })
}

impl Shapes {
    /// `forms` says whether histograms are written with bounds, and whether as native ones.
    pub(super) fn new(
        collector: &str,
        dimensions: &[String],
        with_identity: bool,
        forms: (bool, bool),
    ) -> Self {
        let sum = |name, description| metric(name, description, MetricKind::Sum);
        let histograms = |name, description| Histograms::new(name, description, forms);
        let labels = dimensions.iter();
        Self {
            scope: Arc::new(Scope {
                name: SCOPE.to_owned(),
                ..Scope::default()
            }),
            counted_by: KeyValue::new("collector.instance.id", collector),
            dimensions: labels.map(|name| config::Dimensions::key(name)).collect(),
            with_identity,
            calls: sum(
                "traces_spanmetrics_calls",
                "Spans by service, name, kind and status.",
            ),
            size: sum(
                "traces_spanmetrics_size",
                "Bytes of spans in the encoding of OTLP.",
            ),
            latency: histograms(
                "traces_spanmetrics_latency",
                "Durations of spans in seconds.",
            ),
            target: metric(
                "traces_target_info",
                "What the resources of spans say of the services that sent them.",
                MetricKind::Gauge,
            ),
            requests: sum(
                "traces_service_graph_request",
                "Requests between two services.",
            ),
            failed: sum(
                "traces_service_graph_request_failed",
                "Requests between two services of which a side failed.",
            ),
            unpaired: sum(
                "traces_service_graph_unpaired_spans",
                "Spans whose other side did not come.",
            ),
            dropped: sum(
                "traces_service_graph_dropped_spans",
                "Spans that could not wait for their other side, since too many did.",
            ),
            client: histograms(
                "traces_service_graph_request_client_seconds",
                "Durations of requests as the caller saw them.",
            ),
            server: histograms(
                "traces_service_graph_request_server_seconds",
                "Durations of requests as the called service saw them.",
            ),
            transit: histograms(
                "traces_service_graph_request_messaging_system_seconds",
                "How long messages were on their way from producer to consumer.",
            ),
        }
    }

    /// The resource and the labels of spans that are counted by these values. The resource is that
    /// of the service that they are about.
    pub(super) fn spans(&self, values: &[Box<str>]) -> (Resource, Vec<KeyValue>) {
        let Some(service) = values.first() else {
            return (target::resource("unknown_service", &[]), self.rest());
        };
        let (fixed, further) = values.split_at(SPAN_LABELS.len().min(values.len()));
        let identity = if self.with_identity {
            target::IDENTITY
        } else {
            0
        };
        let (identity, dimensions) = further.split_at(identity.min(further.len()));
        let names = self.dimensions.iter().map(String::as_str);
        let labels = SPAN_LABELS.into_iter().zip(fixed);
        let labels = self.labels(labels.chain(names.zip(dimensions)));
        (target::resource(service, identity), labels)
    }

    /// The same of a service that is there. What tells nothing has no labels.
    pub(super) fn target(&self, values: &[Box<str>]) -> Option<(Resource, Vec<KeyValue>)> {
        let identity = values.get(1..=target::IDENTITY)?;
        let labels = target::labels(values).chain([self.counted_by.clone()]);
        Some((target::resource(&values[0], identity), labels.collect()))
    }

    /// The labels of what is counted between two services.
    pub(super) fn edges(&self, values: &[Box<str>]) -> Vec<KeyValue> {
        if values.is_empty() {
            return self.rest();
        }
        self.labels(EDGE_LABELS.into_iter().zip(values))
    }

    fn rest(&self) -> Vec<KeyValue> {
        let mark = KeyValue::new("otel.metric.overflow", true);
        vec![mark, self.counted_by.clone()]
    }

    fn labels<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a Box<str>)>) -> Vec<KeyValue> {
        labels
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| KeyValue::new(name, &**value))
            .chain([self.counted_by.clone()])
            .collect()
    }
}
