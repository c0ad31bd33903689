//! OTLP series and points as Prometheus series and samples.
//!
//! - gauge and sum: one series; a delta sum is added up;
//! - histogram: `_bucket` with `le`, `_count`, `_sum`, added up where delta;
//! - exponential histogram: one series of native histograms;
//! - summary: one series per `quantile`, `_count`, `_sum`;
//! - each resource with attributes beyond its identity: `target_info`.
//!
//! A point without a recorded value ends the series of its metric with a stale marker.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::metric::{Histogram, MetricKind, PointValue, Summary, Temporality};
use model::prometheus::Promotion;
use model::{DataPoint, TimeRange, prometheus};
use promql::source::stale_nan;
use promql::{FloatHistogram, Labels, Matcher, Samples};
use rustc_hash::FxHashMap;
use storage::message::{SeriesPoints, SeriesSamples};

use super::seen::SeenSeries;

const NANOS_PER_MS: u64 = 1_000_000;

/// What makes points those of one stored series, whichever source or part they came in.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    labels: Labels,
    kind: MetricKind,
    temporality: Temporality,
}

pub(super) fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.matches_labels(labels))
}

/// Label sets that are known without points: all but buckets and quantiles.
pub fn label_sets(parts: &[SeriesPoints], matchers: &[Matcher]) -> Vec<Labels> {
    let mut sets = Vec::new();
    for part in parts {
        let name = prometheus::base_name(&part.series);
        let is_plain = !matches!(
            part.series.metric.kind,
            MetricKind::Histogram | MetricKind::Summary
        );
        if is_plain && !name.is_empty() {
            let labels = Labels::new(prometheus::base_labels(&part.series));
            sets.push(labels.with(prometheus::NAME_LABEL, &name));
        }
        sets.extend(prometheus::target_info(&part.series).map(Labels::new));
    }
    sets.retain(|labels| all_match(matchers, labels));
    sets
}

/// Every label that a Prometheus series of these points has, but for bounds and quantiles.
#[cfg(test)]
pub(crate) fn all_labels(part: &SeriesPoints) -> Vec<(String, String)> {
    let name = prometheus::base_name(&part.series);
    let suffixes: &[&str] = match part.series.metric.kind {
        MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        MetricKind::Summary => &["", "_sum", "_count"],
        _ => &[""],
    };
    let mut labels = prometheus::base_labels(&part.series);
    labels.extend(prometheus::target_info(&part.series).into_iter().flatten());
    let named = |suffix: &&str| (prometheus::NAME_LABEL.to_owned(), format!("{name}{suffix}"));
    labels.extend(suffixes.iter().map(named));
    match part.series.metric.kind {
        MetricKind::Histogram => labels.push(("le".to_owned(), String::new())),
        MetricKind::Summary => labels.push(("quantile".to_owned(), String::new())),
        _ => {}
    }
    labels
}

/// Collects the samples of Prometheus series.
struct Output<'a> {
    matchers: &'a [Matcher],
    range: TimeRange,
    /// Whether a label set is wanted, and its samples by time.
    series: FxHashMap<Labels, Option<BTreeMap<i64, Sample>>>,
}

#[derive(Clone)]
enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Output<'_> {
    fn push(&mut self, labels: &Labels, time_unix_nano: u64, sample: Sample) {
        // Totals are counted from midnight on, but shown where they were asked for.
        if !self.range.contains(time_unix_nano) {
            return;
        }
        let time_ms = i64::try_from(time_unix_nano / NANOS_PER_MS).unwrap_or(i64::MAX);
        self.insert(labels, time_ms, sample);
    }

    fn insert(&mut self, labels: &Labels, time_ms: i64, sample: Sample) {
        let matchers = self.matchers;
        let samples = self
            .series
            .entry(labels.clone())
            .or_insert_with(|| all_match(matchers, labels).then(BTreeMap::new));
        if let Some(samples) = samples {
            samples.insert(time_ms, sample);
        }
    }

    fn finish(self) -> Vec<promql::Series> {
        let wanted = self
            .series
            .into_iter()
            .filter_map(|(labels, samples)| Some((labels, samples?)));
        wanted
            .map(|(labels, by_time)| {
                let mut samples = Samples::default();
                for (time_ms, sample) in by_time {
                    match sample {
                        Sample::Float(value) => samples.push(time_ms, value),
                        Sample::Histogram(histogram) => samples.push_histogram(time_ms, histogram),
                    }
                }
                promql::Series { labels, samples }
            })
            .collect()
    }
}

/// Samples of one label set: of one stored series, mostly.
type Columns = Vec<(Arc<Vec<i64>>, Vec<f64>)>;

/// The Prometheus series that match, with their samples in the range.
pub fn series(
    parts: Vec<SeriesSamples>,
    (seen, promotion): (&SeenSeries, &Promotion),
    matchers: &[Matcher],
    range: TimeRange,
) -> Vec<promql::Series> {
    let mut output = Output {
        matchers,
        range,
        series: FxHashMap::default(),
    };
    let info = Labels::new([(prometheus::NAME_LABEL, prometheus::TARGET_INFO)]);
    let mut by_name = matchers
        .iter()
        .filter(|matcher| matcher.name == prometheus::NAME_LABEL);
    let wants_info = by_name.all(|matcher| matcher.matches_labels(&info));
    let mut joined: FxHashMap<Identity, Vec<DataPoint>> = FxHashMap::default();
    let mut columns: FxHashMap<Labels, Columns> = FxHashMap::default();
    for part in parts {
        let seen = seen.get(&part, promotion);
        if wants_info && let Some(labels) = &seen.target {
            for time_ms in part.times_ms.iter() {
                output.insert(labels, *time_ms, Sample::Float(1.0));
            }
            for point in &part.points {
                output.push(labels, point.time_unix_nano, Sample::Float(1.0));
            }
        }
        let Some(labels) = &seen.labels else {
            continue;
        };
        if !part.values.is_empty() && all_match(matchers, labels) {
            let column = (part.times_ms, part.values);
            columns.entry(labels.clone()).or_default().push(column);
        }
        if !part.points.is_empty() {
            let identity = Identity {
                labels: labels.clone(),
                kind: seen.kind,
                temporality: seen.temporality,
            };
            // What carries exemplars alone must not stand in the way of a sample of the same time.
            let points = part.points.into_iter();
            let points =
                points.filter(|point| point.is_stale() || point.value != PointValue::Empty);
            joined.entry(identity).or_default().extend(points);
        }
    }
    for (identity, mut points) in joined {
        points.sort_by_key(|point| (point.time_unix_nano, point.start_unix_nano));
        // Two sources may hold the same point; of a series there is one at a time, the last that
        // was stored.
        points.dedup_by(|later, kept| {
            let same = (later.time_unix_nano, later.start_unix_nano)
                == (kept.time_unix_nano, kept.start_unix_nano);
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        convert(&identity, &points, &mut output);
    }
    let mut series = Vec::with_capacity(columns.len());
    for (labels, mut columns) in columns {
        if columns.len() == 1 && !output.series.contains_key(&labels) {
            let (times, floats) = columns.swap_remove(0);
            let samples = Samples {
                times,
                floats,
                ..Samples::default()
            };
            series.push(promql::Series { labels, samples });
            continue;
        }
        for (times, floats) in columns {
            for (time_ms, value) in times.iter().zip(floats) {
                output.insert(&labels, *time_ms, Sample::Float(value));
            }
        }
    }
    series.extend(output.finish());
    series
}

fn convert(identity: &Identity, points: &[DataPoint], output: &mut Output<'_>) {
    let delta = identity.temporality == Temporality::Delta;
    match identity.kind {
        MetricKind::Gauge | MetricKind::Sum => numbers(&identity.labels, points, delta, output),
        MetricKind::Histogram => {
            let mut parts = Parts::new(&identity.labels, delta);
            for point in points {
                match &point.value {
                    _ if point.is_stale() => parts.end(point.time_unix_nano, output),
                    PointValue::Histogram(histogram) => {
                        parts.histogram(point.time_unix_nano, histogram, output);
                    }
                    _ => {}
                }
            }
        }
        MetricKind::Summary => {
            let mut parts = Parts::new(&identity.labels, false);
            for point in points {
                match &point.value {
                    _ if point.is_stale() => parts.end(point.time_unix_nano, output),
                    PointValue::Summary(summary) => {
                        parts.summary(point.time_unix_nano, summary, output);
                    }
                    _ => {}
                }
            }
        }
        MetricKind::ExponentialHistogram => native(&identity.labels, points, delta, output),
    }
}

#[allow(clippy::cast_precision_loss)]
fn numbers(labels: &Labels, points: &[DataPoint], delta: bool, output: &mut Output<'_>) {
    let mut total = 0.0;
    for point in points {
        let value = match point.value {
            _ if point.is_stale() => stale_nan(),
            PointValue::Int(int) if delta => add(&mut total, int as f64),
            PointValue::Double(double) if delta => add(&mut total, double),
            PointValue::Int(int) => int as f64,
            PointValue::Double(double) => double,
            _ => continue,
        };
        output.push(labels, point.time_unix_nano, Sample::Float(value));
    }
}

fn add(total: &mut f64, value: f64) -> f64 {
    *total += value;
    *total
}

fn native(labels: &Labels, points: &[DataPoint], delta: bool, output: &mut Output<'_>) {
    let mut total: Option<FloatHistogram> = None;
    for point in points {
        let time = point.time_unix_nano;
        if point.is_stale() {
            let stale = FloatHistogram {
                sum: stale_nan(),
                ..FloatHistogram::default()
            };
            output.push(labels, time, Sample::Histogram(Arc::new(stale)));
            continue;
        }
        let histogram = match &point.value {
            PointValue::Native(sent) => FloatHistogram::from_native(sent),
            PointValue::Exponential(sent) => FloatHistogram::from_exponential(sent),
            _ => continue,
        };
        let histogram = match total.take().filter(|_| delta) {
            None => histogram,
            Some(mut sum) => match sum.add(&histogram) {
                Ok(_) => sum,
                // Exponential histograms can always be reconciled; were that to fail, the total
                // would begin again, which reads as a reset.
                Err(_) => histogram,
            },
        };
        if delta {
            total = Some(histogram.clone());
        }
        output.push(labels, time, Sample::Histogram(Arc::new(histogram)));
    }
}

/// The float series of a histogram or summary.
struct Parts {
    sum: Labels,
    count: Labels,
    bucket: Labels,
    quantile: Labels,
    delta: bool,
    /// Running totals of a delta histogram by series.
    totals: FxHashMap<Labels, f64>,
    /// Series that have had a sample, to end them with a stale marker.
    known: Vec<Labels>,
    bounds: FxHashMap<u64, Labels>,
}

impl Parts {
    fn new(base: &Labels, delta: bool) -> Self {
        let named = |suffix: &str| {
            base.with(
                prometheus::NAME_LABEL,
                &format!("{}{suffix}", base.metric_name()),
            )
        };
        Self {
            sum: named("_sum"),
            count: named("_count"),
            bucket: named("_bucket"),
            quantile: base.clone(),
            delta,
            totals: FxHashMap::default(),
            known: Vec::new(),
            bounds: FxHashMap::default(),
        }
    }

    fn push(&mut self, labels: &Labels, time: u64, value: f64, output: &mut Output<'_>) {
        let first = !self.totals.contains_key(labels);
        let total = self.totals.entry(labels.clone()).or_insert(0.0);
        *total = if self.delta { *total + value } else { value };
        let value = *total;
        if first {
            self.known.push(labels.clone());
        }
        output.push(labels, time, Sample::Float(value));
    }

    fn bounded(&mut self, label: &str, bound: f64) -> Labels {
        let base = if label == "le" {
            &self.bucket
        } else {
            &self.quantile
        };
        let make = || base.with(label, &bound_text(bound));
        self.bounds
            .entry(bound.to_bits())
            .or_insert_with(make)
            .clone()
    }

    #[allow(clippy::cast_precision_loss)]
    fn histogram(&mut self, time: u64, histogram: &Histogram, output: &mut Output<'_>) {
        let mut cumulative = 0u64;
        for (bound, count) in histogram
            .explicit_bounds
            .iter()
            .zip(&histogram.bucket_counts)
        {
            cumulative = cumulative.saturating_add(*count);
            if bound.is_infinite() {
                continue;
            }
            let labels = self.bounded("le", *bound);
            self.push(&labels, time, cumulative as f64, output);
        }
        let infinite = self.bounded("le", f64::INFINITY);
        self.push(&infinite, time, histogram.count as f64, output);
        let (count, sum) = (self.count.clone(), self.sum.clone());
        self.push(&count, time, histogram.count as f64, output);
        if let Some(value) = histogram.sum {
            self.push(&sum, time, value, output);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn summary(&mut self, time: u64, summary: &Summary, output: &mut Output<'_>) {
        for (quantile, value) in &summary.quantiles {
            let labels = self.bounded("quantile", *quantile);
            self.push(&labels, time, *value, output);
        }
        let (count, sum) = (self.count.clone(), self.sum.clone());
        self.push(&count, time, summary.count as f64, output);
        self.push(&sum, time, summary.sum, output);
    }

    fn end(&mut self, time: u64, output: &mut Output<'_>) {
        for labels in &self.known {
            output.push(labels, time, Sample::Float(stale_nan()));
        }
    }
}

/// A bound as the value of `le` or `quantile`: digits without an exponent.
pub(super) fn bound_text(bound: f64) -> String {
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    bound.to_string()
}
