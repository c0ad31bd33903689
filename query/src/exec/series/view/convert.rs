//! Points that are not plain numbers as samples: totals of deltas, histograms and summaries.

use std::sync::Arc;

use model::metric::{Histogram, MetricKind, PointValue, Summary, Temporality};
use model::{DataPoint, prometheus};
use promql::source::stale_nan;
use promql::{FloatHistogram, Labels, Samples};
use rustc_hash::FxHashMap;

use super::output::{Column, Output};
use super::{Identity, bound_text};

/// Adds the samples of the points of one series, which come by time.
pub(super) fn convert(identity: &Identity, points: &[DataPoint], output: &mut Output<'_>) {
    let labels = &identity.labels;
    let delta = identity.temporality == Temporality::Delta;
    match identity.kind {
        MetricKind::Gauge | MetricKind::Sum => numbers(labels, points, delta, output),
        MetricKind::ExponentialHistogram => native(labels, points, delta, output),
        kind => {
            let mut parts = Parts::new(labels, delta && kind == MetricKind::Histogram);
            for point in points {
                let time = output.time(point.time_unix_nano);
                match &point.value {
                    _ if point.is_stale() => parts.end(time),
                    PointValue::Histogram(histogram) if kind == MetricKind::Histogram => {
                        parts.histogram(time, histogram, output);
                    }
                    PointValue::Summary(summary) if kind == MetricKind::Summary => {
                        parts.summary(time, summary, output);
                    }
                    _ => {}
                }
            }
            parts.finish(output);
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn numbers(labels: &Labels, points: &[DataPoint], delta: bool, output: &mut Output<'_>) {
    if !output.wants(labels) {
        return;
    }
    let mut column = Column::default();
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
        if let Some(time_ms) = output.time(point.time_unix_nano) {
            column.push(time_ms, value);
        }
    }
    let samples = Samples {
        times: Arc::new(column.times),
        floats: column.values,
        ..Samples::default()
    };
    output.add(labels, samples);
}

fn add(total: &mut f64, value: f64) -> f64 {
    *total += value;
    *total
}

fn native(labels: &Labels, points: &[DataPoint], delta: bool, output: &mut Output<'_>) {
    if !output.wants(labels) {
        return;
    }
    let mut samples = Samples::default();
    let mut total: Option<FloatHistogram> = None;
    for point in points {
        let time = output.time(point.time_unix_nano);
        let histogram = match &point.value {
            _ if point.is_stale() => FloatHistogram {
                sum: stale_nan(),
                ..FloatHistogram::default()
            },
            PointValue::Native(sent) => FloatHistogram::from_native(sent),
            PointValue::Exponential(sent) => FloatHistogram::from_exponential(sent),
            PointValue::Histogram(sent) => FloatHistogram::from_bounded(sent),
            _ => continue,
        };
        let histogram = if delta && !point.is_stale() {
            let sum = added(total.take(), histogram);
            total.insert(sum).clone()
        } else {
            histogram
        };
        let Some(time_ms) = time else { continue };
        if samples.histogram_times.last() == Some(&time_ms) {
            samples.histogram_times.pop();
            samples.histograms.pop();
        }
        samples.push_histogram(time_ms, Arc::new(histogram));
    }
    output.add(labels, samples);
}

/// A total and what came since.
fn added(total: Option<FloatHistogram>, histogram: FloatHistogram) -> FloatHistogram {
    match total {
        None => histogram,
        Some(mut sum) => match sum.add(&histogram) {
            Ok(_) => sum,
            // Exponential histograms can always be reconciled; were that to fail, the total
            // would begin again, which reads as a reset.
            Err(_) => histogram,
        },
    }
}

/// A float series of a histogram or summary.
struct Part {
    labels: Labels,
    wanted: bool,
    /// Whether it has had a sample, in the range or before it.
    begun: bool,
    /// What its last sample was, or the running total of deltas.
    total: f64,
    column: Column,
}

/// The float series of a histogram or summary.
struct Parts {
    base: Labels,
    delta: bool,
    parts: Vec<Part>,
    /// Those without a bound, by suffix.
    plain: FxHashMap<&'static str, usize>,
    /// Those with one, by its bits.
    bounded: FxHashMap<u64, usize>,
    /// The bounds of the histogram before, and the series of each that is finite.
    layout: (Vec<f64>, Vec<Option<usize>>),
}

impl Parts {
    fn new(base: &Labels, delta: bool) -> Self {
        Self {
            base: base.clone(),
            delta,
            parts: Vec::new(),
            plain: FxHashMap::default(),
            bounded: FxHashMap::default(),
            layout: Default::default(),
        }
    }

    fn named(&self, suffix: &str) -> Labels {
        let name = format!("{}{suffix}", self.base.metric_name());
        self.base.with(prometheus::NAME_LABEL, &name)
    }

    fn part(&mut self, labels: Labels, output: &mut Output<'_>) -> usize {
        self.parts.push(Part {
            wanted: output.wants(&labels),
            labels,
            begun: false,
            total: 0.0,
            column: Column::default(),
        });
        self.parts.len() - 1
    }

    /// The series with this suffix, which is there from now on.
    fn plain(&mut self, suffix: &'static str, output: &mut Output<'_>) -> usize {
        if let Some(at) = self.plain.get(suffix) {
            return *at;
        }
        let at = self.part(self.named(suffix), output);
        self.plain.insert(suffix, at);
        at
    }

    /// The series of a bound, which is there from now on.
    fn bounded(&mut self, suffix: &str, label: &str, bound: f64, output: &mut Output<'_>) -> usize {
        if let Some(at) = self.bounded.get(&bound.to_bits()) {
            return *at;
        }
        let labels = self.named(suffix).with(label, &bound_text(bound));
        let at = self.part(labels, output);
        self.bounded.insert(bound.to_bits(), at);
        at
    }

    /// Points before the range have no time; their deltas count.
    #[inline]
    fn push(&mut self, at: usize, time: Option<i64>, value: f64) {
        let part = &mut self.parts[at];
        if !part.wanted {
            return;
        }
        part.begun = true;
        part.total = if self.delta {
            part.total + value
        } else {
            value
        };
        if let Some(time_ms) = time {
            part.column.push(time_ms, part.total);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn histogram(&mut self, time: Option<i64>, histogram: &Histogram, output: &mut Output<'_>) {
        if self.layout.0 != histogram.explicit_bounds || self.layout.0.is_empty() {
            let places = histogram.explicit_bounds.iter().map(|bound| {
                let finite = !bound.is_infinite();
                finite.then(|| self.bounded("_bucket", "le", *bound, output))
            });
            let places = places.collect();
            self.layout = (histogram.explicit_bounds.clone(), places);
        }
        let mut cumulative = 0u64;
        let bounds = self.layout.1.len().min(histogram.bucket_counts.len());
        for (place, count) in histogram.bucket_counts[..bounds].iter().enumerate() {
            cumulative = cumulative.saturating_add(*count);
            if let Some(at) = self.layout.1[place] {
                self.push(at, time, cumulative as f64);
            }
        }
        let infinite = self.bounded("_bucket", "le", f64::INFINITY, output);
        self.push(infinite, time, histogram.count as f64);
        let count = self.plain("_count", output);
        self.push(count, time, histogram.count as f64);
        if let Some(value) = histogram.sum {
            let sum = self.plain("_sum", output);
            self.push(sum, time, value);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn summary(&mut self, time: Option<i64>, summary: &Summary, output: &mut Output<'_>) {
        for (quantile, value) in &summary.quantiles {
            let at = self.bounded("", "quantile", *quantile, output);
            self.push(at, time, *value);
        }
        let count = self.plain("_count", output);
        self.push(count, time, summary.count as f64);
        let sum = self.plain("_sum", output);
        self.push(sum, time, summary.sum);
    }

    /// Ends all series that have had a sample.
    fn end(&mut self, time: Option<i64>) {
        let Some(time_ms) = time else { return };
        for part in self.parts.iter_mut().filter(|part| part.begun) {
            part.column.push(time_ms, stale_nan());
        }
    }

    /// Hands them over. Those with the same times share them.
    fn finish(self, output: &mut Output<'_>) {
        let mut times: Arc<Vec<i64>> = Arc::default();
        for part in self.parts {
            if *times != part.column.times {
                times = Arc::new(part.column.times);
            }
            let samples = Samples {
                times: Arc::clone(&times),
                floats: part.column.values,
                ..Samples::default()
            };
            output.add(&part.labels, samples);
        }
    }
}
