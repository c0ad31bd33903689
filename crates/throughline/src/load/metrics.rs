//! Points of 40,000 series, or as many as are wished, one after the other, again and again.
//!
//! Three fifths are buckets of classic histograms (counters with the attribute `le`), a fifth
//! counts requests, and the others are counters and gauges of 38 further metrics. A point is known by its series (the labels
//! `load.series` says which) and its time, so its requests carry no `load.batch`: an attribute
//! of a point is part of its series.

use std::sync::Arc;

use model::metric::{MetricKind, PointValue, Series, Temporality};
use model::{DataPoint, KeyValue, Metric, Resource, Scope};

use super::LoadOptions;
use super::corpus::{RESOURCES, rng};
use super::remote_write;

/// How many series there are where nothing else is said.
pub const SERIES: u64 = 40_000;
const METRICS: usize = 40;
/// Bounds of the durations that are counted, in seconds.
const BOUNDS: [&str; 12] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
];
const ROUTES: [&str; 7] = [
    "/",
    "/cart",
    "/login",
    "/orders",
    "/orders/{id}",
    "/products/{id}",
    "/search",
];
/// What a scrape interval is where the rate does not say so.
const UNPACED_STEP_NANOS: u64 = 15_000_000_000;
/// How far back an unpaced run of unknown length is dated.
const UNPACED_PAST_NANOS: u64 = 86_400_000_000_000;

/// All series with what their values are made from.
pub(super) struct SeriesTable {
    seed: u64,
    shares: Shares,
    series: Vec<Series>,
    /// The labels of each series, for remote write.
    labels: Option<Vec<Vec<u8>>>,
    first_unix_nano: u64,
    step_nanos: u64,
}

impl SeriesTable {
    pub(super) fn new(
        options: &LoadOptions,
        start_unix_nano: u64,
        resources: &[Arc<Resource>],
        scope: &Arc<Scope>,
    ) -> Self {
        let metrics: Vec<_> = (0..METRICS).map(|index| Arc::new(metric(index))).collect();
        let shares = Shares::new(options.series);
        let count = usize::try_from(options.series).unwrap_or(usize::MAX);
        let series = (0..count).map(|index| {
            let shape = shares.shape(index);
            Series {
                resource: Arc::clone(&resources[index / shares.per_resource]),
                scope: Arc::clone(scope),
                metric: Arc::clone(&metrics[shape.metric]),
                attributes: attributes(index, &shape),
            }
        });
        // A paced run takes as long for a round of all series as the rate says.
        let step_nanos = options.rate.map_or(UNPACED_STEP_NANOS, |rate| {
            options.series.saturating_mul(1_000_000_000) / rate
        });
        let past = match (options.rate, options.items) {
            (Some(_), _) => 0,
            (None, Some(items)) => items.div_ceil(options.series).saturating_mul(step_nanos),
            (None, None) => UNPACED_PAST_NANOS,
        };
        let series: Vec<Series> = series.collect();
        let labels = options
            .remote_write
            .then(|| series.iter().map(remote_write::labels).collect());
        Self {
            seed: options.seed,
            shares,
            series,
            labels,
            first_unix_nano: start_unix_nano.saturating_sub(past),
            step_nanos,
        }
    }

    /// A request of these points.
    pub(super) fn request(&self, items: &[u64]) -> Vec<u8> {
        let points: Vec<_> = items
            .iter()
            .map(|item| {
                #[allow(clippy::cast_possible_truncation)]
                let index = (item % self.count()) as usize;
                (index, self.point(index, item / self.count()))
            })
            .collect();
        if let Some(labels) = &self.labels {
            let samples = points
                .iter()
                .map(|(index, point)| (&labels[*index][..], point));
            return remote_write::request(samples);
        }
        let rows = points
            .iter()
            .map(|(index, point)| (&self.series[*index], std::iter::once(point)));
        otlp::encode::metrics(rows)
    }

    fn count(&self) -> u64 {
        self.series.len() as u64
    }

    fn point(&self, index: usize, step: u64) -> DataPoint {
        let series = &self.series[index];
        // What the series is like, and what this step adds; buckets of one histogram share it.
        let bound = self.shares.shape(index).bound.unwrap_or(0);
        let drawn = (index - bound) as u64;
        let mut nature = rng(self.seed, drawn);
        let noise = rng(self.seed, step * self.count() + drawn).u32(..1_000);
        let value = if series.metric.kind == MetricKind::Sum {
            // A bucket counts what those below it count, and more.
            let below = i64::try_from(bound).unwrap_or_default() + 1;
            // The noise is less than one step adds, so the sum never goes down.
            let per_step = nature.i64(1..500) * below;
            let step = i64::try_from(step).unwrap_or(i64::MAX);
            let noise = per_step * i64::from(noise) / 1_000;
            PointValue::Int(step.saturating_mul(per_step).saturating_add(noise))
        } else {
            let level = f64::from(nature.u32(10..10_000));
            let spread = level * 0.05 * (f64::from(noise) / 1_000.0 - 0.5);
            PointValue::Double(((level + spread) * 100.0).round() / 100.0)
        };
        let sum = series.metric.kind == MetricKind::Sum;
        DataPoint {
            start_unix_nano: if sum { self.first_unix_nano } else { 0 },
            // The first point comes one step after the start.
            time_unix_nano: self.first_unix_nano + (step + 1) * self.step_nanos,
            flags: 0,
            value,
            exemplars: Vec::new(),
        }
    }
}

/// What a series is.
struct Shape {
    metric: usize,
    /// Which of its metric's series of the resource it is; buckets of one histogram share it.
    variant: usize,
    /// Of a bucket.
    bound: Option<usize>,
}

/// How the series of a resource are divided among metrics.
struct Shares {
    /// Series of one resource; the last resource has the rest.
    per_resource: usize,
    /// Those that count durations, one for each bound.
    buckets: usize,
    /// Those that count requests.
    requests: usize,
}

impl Shares {
    fn new(series: u64) -> Self {
        let series = usize::try_from(series).unwrap_or(usize::MAX);
        let per_resource = series.div_ceil(RESOURCES);
        Self {
            per_resource,
            buckets: per_resource * 3 / 5 / BOUNDS.len() * BOUNDS.len(),
            requests: per_resource / 5,
        }
    }

    fn shape(&self, index: usize) -> Shape {
        let within = index % self.per_resource;
        if within < self.buckets {
            return Shape {
                metric: 0,
                variant: within / BOUNDS.len(),
                bound: Some(within % BOUNDS.len()),
            };
        }
        let counting = within - self.buckets;
        let (metric, variant) = match counting.checked_sub(self.requests) {
            None => (1, counting),
            Some(rest) => (2 + rest % (METRICS - 2), rest / (METRICS - 2)),
        };
        Shape {
            metric,
            variant,
            bound: None,
        }
    }
}

fn metric(index: usize) -> Metric {
    let counter = index < 2 || index % 5 < 3;
    let subject = [
        "http", "db", "cache", "queue", "process", "pool", "disk", "net",
    ][index % 8];
    Metric {
        name: match index {
            0 => "load.request.duration.bucket".to_owned(),
            1 => "load.requests".to_owned(),
            _ if counter => format!("load.{subject}.events.{index}"),
            _ => format!("load.{subject}.level.{index}"),
        },
        description: String::new(),
        unit: if counter { "{event}" } else { "By" }.to_owned(),
        kind: if counter {
            MetricKind::Sum
        } else {
            MetricKind::Gauge
        },
        temporality: if counter {
            Temporality::Cumulative
        } else {
            Temporality::None
        },
        monotonic: counter,
        metadata: Vec::new(),
    }
}

fn attributes(index: usize, shape: &Shape) -> Vec<KeyValue> {
    let variant = shape.variant;
    let mut attributes = vec![
        KeyValue::new("http.route", ROUTES[variant % ROUTES.len()]),
        KeyValue::new("shard", format!("shard-{}", variant / ROUTES.len())),
        KeyValue::new("load.series", i64::try_from(index).unwrap_or(i64::MAX)),
    ];
    if let Some(bound) = shape.bound {
        attributes.push(KeyValue::new("le", BOUNDS[bound]));
    }
    attributes
}
