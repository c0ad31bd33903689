//! Counted series as OTLP metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::metric::{
    DataPoint, Exemplar, ExemplarValue, ExponentialHistogram, MetricKind, PointValue, Series,
    Temporality,
};
use model::prometheus::Naming;
use model::{KeyValue, Metric, Resource, Scope};

use super::histogram::{Example, Latency};
use super::state::Requests;
use super::table;

const SCOPE: &str = "throughline.spanmetrics";
/// The labels of span metrics before those that the configuration adds.
pub(super) const SPAN_LABELS: [&str; 4] = ["service", "span_name", "span_kind", "status_code"];
/// The labels of the service graph.
const EDGE_LABELS: [&str; 3] = ["client", "server", "connection_type"];
/// An example of a span that ended longer ago than this has the time at which it was counted, so
/// that it is found where it shows.
const LATE_NANOS: u64 = 60_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;

/// A histogram in the forms in which it is written.
struct Histograms {
    classic: Option<Arc<Metric>>,
    native: Option<Arc<Metric>>,
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
    scope: Arc<Scope>,
    /// Tells the counts of one collector from those of another. It is an attribute of the point:
    /// of a resource, Prometheus' view keeps nothing but what identifies the service.
    counted_by: KeyValue,
    dimensions: Vec<String>,
    calls: Arc<Metric>,
    latency: Histograms,
    requests: Arc<Metric>,
    failed: Arc<Metric>,
    client: Histograms,
    server: Histograms,
}

/// When points are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now: u64,
    /// When they were the last time; 0 if never.
    pub before: u64,
}

impl Moment {
    /// When a series that began at this time had counted nothing, so that the first it counted is
    /// an increase.
    fn nothing_yet(self, start: u64) -> u64 {
        let begun = start.max(self.before.saturating_add(NANOS_PER_MS));
        begun.min(self.now.saturating_sub(NANOS_PER_MS))
    }
}

fn metric(name: &str, description: &str, kind: MetricKind) -> Arc<Metric> {
    Arc::new(Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        // Without a unit the Prometheus name gets no suffix, as dashboards expect.
        unit: String::new(),
        kind,
        temporality: Temporality::Cumulative,
        monotonic: kind == MetricKind::Sum,
        // Dashboards know them by these names, however other metrics are named.
        metadata: vec![Naming::fixed()],
    })
}

impl Shapes {
    /// `forms` says whether histograms are written with bounds, and whether as native ones.
    pub(super) fn new(collector: &str, dimensions: &[String], forms: (bool, bool)) -> Self {
        let sum = |name, description| metric(name, description, MetricKind::Sum);
        let histograms = |name, description| Histograms::new(name, description, forms);
        Self {
            scope: Arc::new(Scope {
                name: SCOPE.to_owned(),
                ..Scope::default()
            }),
            counted_by: KeyValue::new("collector.instance.id", collector),
            dimensions: dimensions.to_vec(),
            calls: sum(
                "traces_spanmetrics_calls",
                "Spans by service, name, kind and status.",
            ),
            latency: histograms(
                "traces_spanmetrics_latency",
                "Durations of spans in seconds.",
            ),
            requests: sum(
                "traces_service_graph_request",
                "Requests between two services.",
            ),
            failed: sum(
                "traces_service_graph_request_failed",
                "Requests between two services of which a side failed.",
            ),
            client: histograms(
                "traces_service_graph_request_client_seconds",
                "Durations of requests as the caller saw them.",
            ),
            server: histograms(
                "traces_service_graph_request_server_seconds",
                "Durations of requests as the called service saw them.",
            ),
        }
    }

    fn labels<T>(&self, series: &table::Series<T>, rest: bool, names: &[&str]) -> Vec<KeyValue> {
        if rest {
            let mark = KeyValue::new("otel.metric.overflow", true);
            return vec![mark, self.counted_by.clone()];
        }
        let names = names
            .iter()
            .copied()
            .chain(self.dimensions.iter().map(String::as_str));
        let labels = names.zip(&series.values);
        labels
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| KeyValue::new(name, &**value))
            .chain([self.counted_by.clone()])
            .collect()
    }
}

/// The points of one tenant in the making.
pub(super) struct Points<'a> {
    shapes: &'a Shapes,
    at: Moment,
    resources: BTreeMap<Box<str>, Arc<Resource>>,
    rows: Vec<(Series, Vec<DataPoint>)>,
}

/// A series of which points are being written.
struct Target {
    resource: Arc<Resource>,
    labels: Vec<KeyValue>,
    start: u64,
    begun: bool,
}

impl<'a> Points<'a> {
    pub(super) fn new(shapes: &'a Shapes, at: Moment) -> Self {
        Self {
            shapes,
            at,
            resources: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    /// Rate, errors and duration. The resource is that of the service that they are about.
    pub(super) fn spans(&mut self, series: &mut table::Series<Latency>, rest: bool) {
        let shapes = self.shapes;
        let service = series.values.first().map_or("unknown_service", |name| name);
        let resource = self.resource(service);
        let target = Target {
            resource,
            labels: shapes.labels(series, rest, &SPAN_LABELS),
            start: series.start_unix_nano,
            begun: series.begun,
        };
        self.count(&target, &shapes.calls, series.counts.count);
        self.latency(&target, &shapes.latency, &mut series.counts);
    }

    /// Requests between services. They are of no single service, so the resource is empty.
    pub(super) fn edges(&mut self, series: &mut table::Series<Requests>, rest: bool) {
        let shapes = self.shapes;
        let target = Target {
            resource: self.resource(""),
            labels: shapes.labels(series, rest, &EDGE_LABELS),
            start: series.start_unix_nano,
            begun: series.begun,
        };
        let counts = &mut series.counts;
        self.count(&target, &shapes.requests, counts.total);
        self.count(&target, &shapes.failed, counts.failed);
        self.latency(&target, &shapes.client, &mut counts.client);
        self.latency(&target, &shapes.server, &mut counts.server);
    }

    fn resource(&mut self, service: &str) -> Arc<Resource> {
        if let Some(known) = self.resources.get(service) {
            return Arc::clone(known);
        }
        let named = || KeyValue::new("service.name", service);
        let resource = Arc::new(Resource {
            attributes: (!service.is_empty()).then(named).into_iter().collect(),
            ..Resource::default()
        });
        self.resources.insert(service.into(), Arc::clone(&resource));
        resource
    }

    fn count(&mut self, target: &Target, metric: &Arc<Metric>, count: u64) {
        let value = |count| PointValue::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let zero = (!target.begun).then(|| value(0));
        self.row(target, metric, zero, value(count), Vec::new());
    }

    /// A side that sent no span so far has no histogram.
    fn latency(&mut self, target: &Target, metrics: &Histograms, latency: &mut Latency) {
        if latency.count == 0 {
            return;
        }
        let first = !std::mem::replace(&mut latency.begun, true);
        let now = self.at.now;
        let examples: Vec<Exemplar> = latency
            .take_examples()
            .map(|example| exemplar(example, now))
            .collect();
        if let (Some(metric), Some(native)) = (&metrics.native, latency.native()) {
            let nothing = ExponentialHistogram {
                sum: Some(0.0),
                scale: native.scale,
                ..ExponentialHistogram::default()
            };
            let zero = first.then_some(PointValue::Exponential(nothing));
            let value = PointValue::Exponential(native);
            self.row(target, metric, zero, value, examples.clone());
        }
        if let Some(metric) = &metrics.classic {
            let zero = first.then(|| PointValue::Histogram(latency.classic_zero()));
            let value = PointValue::Histogram(latency.classic());
            self.row(target, metric, zero, value, examples);
        }
    }

    fn row(
        &mut self,
        target: &Target,
        metric: &Arc<Metric>,
        zero: Option<PointValue>,
        value: PointValue,
        exemplars: Vec<Exemplar>,
    ) {
        let nothing_yet = self.at.nothing_yet(target.start);
        // Of a start that a clock set back has put behind its points, nothing can be said.
        let start = target.start.min(nothing_yet);
        let point = |time_unix_nano, value, exemplars| DataPoint {
            start_unix_nano: start,
            time_unix_nano,
            flags: 0,
            value,
            exemplars,
        };
        let zero = zero.map(|zero| point(nothing_yet, zero, Vec::new()));
        let series = Series {
            resource: Arc::clone(&target.resource),
            scope: Arc::clone(&self.shapes.scope),
            metric: Arc::clone(metric),
            attributes: target.labels.clone(),
        };
        let points = zero
            .into_iter()
            .chain([point(self.at.now, value, exemplars)]);
        self.rows.push((series, points.collect()));
    }

    /// Requests of at most so many series each.
    pub(super) fn encode(mut self, most: usize) -> Vec<Vec<u8>> {
        // Neighbours of one resource and metric share what describes these.
        self.rows.sort_by(|(a, _), (b, _)| {
            let services = a.resource.service().cmp(b.resource.service());
            services.then_with(|| a.metric.name.cmp(&b.metric.name))
        });
        let requests = self.rows.chunks(most);
        requests
            .map(|rows| otlp::encode::metrics(rows.iter().map(|(series, points)| (series, points))))
            .collect()
    }
}

fn exemplar(example: Example, now: u64) -> Exemplar {
    let is_late = example.time_unix_nano.saturating_add(LATE_NANOS) < now;
    let time = if is_late || example.time_unix_nano > now {
        now
    } else {
        example.time_unix_nano
    };
    Exemplar {
        filtered_attributes: Vec::new(),
        time_unix_nano: time,
        value: ExemplarValue::Double(example.seconds),
        span_id: example.span_id.0.to_vec(),
        trace_id: example.trace_id.0.to_vec(),
    }
}
