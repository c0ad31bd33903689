//! Counted series as OTLP metrics.

use std::collections::HashMap;
use std::sync::Arc;

use model::metric::{DataPoint, Exemplar, ExemplarValue, ExponentialHistogram, PointValue, Series};
use model::{KeyValue, Metric, Resource};

use super::counts::{Calls, Losses, Presence, Requests};
use super::histogram::{Example, Latency, NATIVE_SCALE};
use super::shapes::{Histograms, Shapes};
use super::table::{Taken, Values};
use super::zero::Zero;

/// The labels of span metrics before those that the configuration adds.
pub(super) const SPAN_LABELS: [&str; 4] = ["service", "span_name", "span_kind", "status_code"];
/// The labels of the service graph.
pub(super) const EDGE_LABELS: [&str; 4] = ["client", "server", "connection_type", "virtual_node"];
/// An example of a span that ended longer ago than this has the time at which it was counted, so
/// that it is found where it shows.
const LATE_NANOS: u64 = 60_000_000_000;

/// A series that is to be written.
#[derive(Debug)]
pub(super) enum Item {
    Spans(Taken<Calls>),
    Edges(Box<Taken<Requests>>),
    Losses(Taken<Losses>),
    Target(Taken<Presence>),
}

impl Item {
    /// About what it takes when it is encoded: its labels stand at each of its points.
    pub(super) fn bytes(&self) -> usize {
        /// What a point takes beside its labels.
        const POINT: usize = 256;
        let (values, points) = match self {
            Self::Spans(taken) => (&taken.values, 4),
            Self::Edges(taken) => (&taken.values, 6),
            Self::Losses(taken) => (&taken.values, 2),
            Self::Target(taken) => (&taken.values, 1),
        };
        points * (POINT + values.iter().map(|value| value.len() + 16).sum::<usize>())
    }
}

/// An OTLP request of these series at a moment.
pub(super) fn encode(shapes: &Shapes, now: u64, items: &[Item]) -> Vec<u8> {
    let mut points = Points {
        shapes,
        now,
        resources: HashMap::new(),
        rows: Vec::new(),
    };
    for item in items {
        match item {
            Item::Spans(taken) => points.spans(taken),
            Item::Edges(taken) => points.edges(taken),
            Item::Losses(taken) => points.losses(taken),
            Item::Target(taken) => points.target(taken),
        }
    }
    points.encode()
}

/// The points of one tenant in the making.
struct Points<'a> {
    shapes: &'a Shapes,
    now: u64,
    /// By what they are made of, each with its number, so that neighbours share them.
    resources: HashMap<Vec<KeyValueText>, (usize, Arc<Resource>)>,
    /// The number of the resource comes first.
    rows: Vec<(usize, Series, Vec<DataPoint>)>,
}

/// Key and value of an attribute of a resource.
type KeyValueText = (String, String);

/// A series of which points are being written.
struct Target {
    number: usize,
    resource: Arc<Resource>,
    labels: Vec<KeyValue>,
    start: u64,
    zero: Zero,
}

impl Points<'_> {
    /// Rate, errors, duration and size.
    fn spans(&mut self, taken: &Taken<Calls>) {
        let (resource, labels) = self.shapes.spans(&taken.values);
        let target = self.of(resource, labels, taken.start_unix_nano, taken.counts.zero);
        let (shapes, counts) = (self.shapes, &taken.counts);
        self.count(&target, &shapes.calls, counts.latency.count);
        self.count(&target, &shapes.size, counts.bytes);
        self.latency(&target, &shapes.latency, &counts.latency);
    }

    /// Requests between services. They are of no single service, so the resource is empty.
    fn edges(&mut self, taken: &Taken<Requests>) {
        let target = self.between(&taken.values, taken.start_unix_nano, taken.counts.zero);
        let (shapes, counts) = (self.shapes, &taken.counts);
        self.count(&target, &shapes.requests, counts.total);
        self.count(&target, &shapes.failed, counts.failed);
        self.latency(&target, &shapes.client, &counts.client);
        self.latency(&target, &shapes.server, &counts.server);
        self.latency(&target, &shapes.transit, &counts.transit);
    }

    /// Spans that became no request.
    fn losses(&mut self, taken: &Taken<Losses>) {
        let target = self.between(&taken.values, taken.start_unix_nano, taken.counts.zero);
        let (shapes, counts) = (self.shapes, &taken.counts);
        self.count(&target, &shapes.unpaired, counts.unpaired);
        self.count(&target, &shapes.dropped, counts.dropped);
    }

    /// That a service is there.
    fn target(&mut self, taken: &Taken<Presence>) {
        if let Some((resource, labels)) = self.shapes.target(&taken.values) {
            let target = self.of(resource, labels, 0, Zero::None);
            let metric = &self.shapes.target;
            self.row(&target, metric, None, PointValue::Int(1), Vec::new());
        }
    }

    fn between(&mut self, values: &Values, start: u64, zero: Zero) -> Target {
        let labels = self.shapes.edges(values);
        self.of(Resource::default(), labels, start, zero)
    }

    fn of(&mut self, resource: Resource, labels: Vec<KeyValue>, start: u64, zero: Zero) -> Target {
        let attributes = resource.attributes.iter();
        let key = attributes.map(|kv| (kv.key.clone(), kv.value.to_text()));
        let next = self.resources.len();
        let known = self.resources.entry(key.collect());
        let (number, resource) = known.or_insert_with(|| (next, Arc::new(resource)));
        Target {
            number: *number,
            resource: Arc::clone(resource),
            labels,
            start,
            zero,
        }
    }

    fn count(&mut self, target: &Target, metric: &Arc<Metric>, count: u64) {
        let value = |count| PointValue::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let zero = target.zero.due().map(|time| (time, value(0)));
        self.row(target, metric, zero, value(count), Vec::new());
    }

    /// A side that sent no span so far has no histogram.
    fn latency(&mut self, target: &Target, metrics: &Histograms, latency: &Latency) {
        if latency.count == 0 {
            return;
        }
        let exemplars: Vec<Exemplar> = latency
            .examples()
            .map(|example| exemplar(example, self.now))
            .collect();
        let zero = latency.zero.due();
        if let (Some(metric), Some(native)) = (&metrics.native, latency.native()) {
            let nothing = ExponentialHistogram {
                sum: Some(0.0),
                scale: NATIVE_SCALE,
                ..ExponentialHistogram::default()
            };
            let zero = zero.map(|time| (time, PointValue::Exponential(nothing)));
            let value = PointValue::Exponential(native);
            self.row(target, metric, zero, value, exemplars.clone());
        }
        if let Some(metric) = &metrics.classic {
            let zero = zero.map(|time| (time, PointValue::Histogram(latency.classic_zero())));
            let value = PointValue::Histogram(latency.classic());
            self.row(target, metric, zero, value, exemplars);
        }
    }

    fn row(
        &mut self,
        target: &Target,
        metric: &Arc<Metric>,
        zero: Option<(u64, PointValue)>,
        value: PointValue,
        exemplars: Vec<Exemplar>,
    ) {
        // Of a start that a clock set back has put behind its points, nothing can be said.
        let start = target
            .zero
            .time()
            .map_or(target.start, |zero| target.start.min(zero))
            .min(self.now);
        let point = |time_unix_nano, value, exemplars| DataPoint {
            start_unix_nano: start,
            time_unix_nano,
            flags: 0,
            value,
            exemplars,
        };
        let zero = zero.map(|(time, zero)| point(time, zero, Vec::new()));
        let series = Series {
            resource: Arc::clone(&target.resource),
            scope: Arc::clone(&self.shapes.scope),
            metric: Arc::clone(metric),
            attributes: target.labels.clone(),
        };
        let points = zero.into_iter().chain([point(self.now, value, exemplars)]);
        self.rows.push((target.number, series, points.collect()));
    }

    fn encode(mut self) -> Vec<u8> {
        // Neighbours of one resource and metric share what describes these.
        self.rows.sort_by(|(a, left, _), (b, right, _)| {
            let metrics = || left.metric.name.cmp(&right.metric.name);
            a.cmp(b).then_with(metrics)
        });
        let rows = self.rows.iter();
        otlp::encode::metrics(rows.map(|(_, series, points)| (series, points)))
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
