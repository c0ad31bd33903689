//! OTLP series and points as Prometheus series and samples.
//!
//! - gauge and sum: one series; a delta sum is added up;
//! - histogram: `_bucket` with `le`, `_count`, `_sum`, added up where delta, or one series of native
//!   histograms with custom bounds where its naming has it so;
//! - exponential histogram: one series of native histograms;
//! - summary: one series per `quantile`, `_count`, `_sum`;
//! - each resource with attributes beyond its identity: `target_info`.
//!
//! A point without a recorded value ends the series of its metric with a stale marker.

mod convert;
mod output;
mod totals;

use std::sync::Arc;

use model::metric::{MetricKind, PointValue, Temporality};
use model::prometheus::{Naming, Promotion};
use model::{DataPoint, TimeRange, prometheus};
use promql::histogram::Exponential;
use promql::{FloatHistogram, Labels, Matcher, Samples};
use rustc_hash::FxHashMap;
use storage::message::{
    DeltaSamples, ExponentialSamples, HistogramSamples, SeriesPoints, SeriesSamples,
};

use super::seen::{Seen, SeenSeries, Texts};
use convert::convert;
use output::{Output, Targets};
use totals::Totals;

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
    let mut texts = Texts::default();
    let mut sets = Vec::new();
    let mut add = |pairs: &[(String, String)]| {
        let labels = texts.labels(pairs);
        if all_match(matchers, &labels) {
            sets.push(labels);
        }
    };
    let wants_info = wants_info(matchers);
    let mut last = None;
    for part in parts {
        let (series, metric) = (&part.series, &part.series.metric);
        let name = prometheus::base_name(series);
        let kind = prometheus::view_kind(metric);
        if !matches!(kind, MetricKind::Histogram | MetricKind::Summary) && !name.is_empty() {
            let mut pairs = prometheus::base_labels(series);
            // As the last of its name it is the one that counts.
            pairs.push((prometheus::NAME_LABEL.to_owned(), name));
            add(&pairs);
        }
        // Neighbours are of one resource, mostly.
        let target = (Arc::as_ptr(&series.resource), Naming::of(metric));
        if wants_info && last != Some(target) {
            last = Some(target);
            prometheus::target_info(series)
                .iter()
                .for_each(|info| add(info));
        }
    }
    sets
}

/// Suffixes of the Prometheus series that a series yields, and the label that those of the first
/// have besides, with a value for each bucket or quantile.
fn suffixes(kind: MetricKind) -> (&'static [&'static str], Option<&'static str>) {
    match kind {
        MetricKind::Histogram => (&["_bucket", "_sum", "_count"], Some("le")),
        MetricKind::Summary => (&["", "_sum", "_count"], Some("quantile")),
        _ => (&[""], None),
    }
}

/// The labels of all Prometheus series that match, for matchers that look at no bound or quantile:
/// these have no value here.
pub fn labels_without_bounds(
    parts: &[SeriesPoints],
    matchers: &[Matcher],
    see: &mut dyn FnMut(&str, Option<&str>),
) {
    for part in parts {
        let name = prometheus::base_name(&part.series);
        let labels = Labels::new(prometheus::base_labels(&part.series));
        let (suffixes, bound) = suffixes(prometheus::view_kind(&part.series.metric));
        for (at, suffix) in suffixes.iter().enumerate() {
            let labels = labels.with(prometheus::NAME_LABEL, &format!("{name}{suffix}"));
            if name.is_empty() || !all_match(matchers, &labels) {
                continue;
            }
            labels
                .iter()
                .for_each(|(name, value)| see(name, Some(value)));
            if let Some(bound) = bound.filter(|_| at == 0) {
                see(bound, None);
            }
        }
        let target = prometheus::target_info(&part.series).map(Labels::new);
        if let Some(labels) = target.filter(|labels| all_match(matchers, labels)) {
            labels
                .iter()
                .for_each(|(name, value)| see(name, Some(value)));
        }
    }
}

/// Every label that a Prometheus series of these points has, but for bounds and quantiles.
#[cfg(test)]
pub(crate) fn all_labels(part: &SeriesPoints) -> Vec<(String, String)> {
    let name = prometheus::base_name(&part.series);
    let (suffixes, bound) = suffixes(prometheus::view_kind(&part.series.metric));
    let mut labels = prometheus::base_labels(&part.series);
    labels.extend(prometheus::target_info(&part.series).into_iter().flatten());
    let named = |suffix: &&str| (prometheus::NAME_LABEL.to_owned(), format!("{name}{suffix}"));
    labels.extend(suffixes.iter().map(named));
    labels.extend(bound.map(|bound| (bound.to_owned(), String::new())));
    labels
}

/// Whether `target_info` may be among what matches.
pub(super) fn wants_info(matchers: &[Matcher]) -> bool {
    let info = Labels::new([(prometheus::NAME_LABEL, prometheus::TARGET_INFO)]);
    let mut by_name = matchers
        .iter()
        .filter(|matcher| matcher.name == prometheus::NAME_LABEL);
    by_name.all(|matcher| matcher.matches_labels(&info))
}

/// Prometheus series in the making, from parts of the answers of sources as they come.
pub(super) struct View<'a> {
    seen: &'a SeenSeries,
    promotion: &'a Promotion,
    output: Output<'a>,
    wants_info: bool,
    targets: Targets,
    joined: FxHashMap<Identity, Vec<(u128, DataPoint)>>,
    /// Deltas that came by column.
    deltas: FxHashMap<Identity, Vec<(u128, DeltaSamples)>>,
}

impl<'a> View<'a> {
    /// Of series that match.
    pub(super) fn new(
        (seen, promotion): (&'a SeenSeries, &'a Promotion),
        matchers: &'a [Matcher],
    ) -> Self {
        Self {
            seen,
            promotion,
            output: Output::new(matchers),
            wants_info: wants_info(matchers),
            targets: Targets::default(),
            joined: FxHashMap::default(),
            deltas: FxHashMap::default(),
        }
    }

    /// Takes a part of an answer.
    pub(super) fn add(&mut self, parts: Vec<SeriesSamples>) {
        let seen = self.seen.all(&parts, self.promotion);
        for (part, seen) in parts.into_iter().zip(seen) {
            self.add_one(part, &seen);
        }
    }

    fn add_one(&mut self, part: SeriesSamples, seen: &Seen) {
        if self.wants_info
            && let Some(labels) = &seen.target
        {
            self.targets.add(labels, &part.times_ms);
            if let Some(histograms) = &part.histograms {
                self.targets.add(labels, &histograms.times_ms);
            }
            if let Some(histograms) = &part.exponentials {
                self.targets.add(labels, &histograms.times_ms);
            }
            let times = part.points.iter().map(|point| point.time_unix_nano);
            let deltas = part.deltas.iter().flat_map(|deltas| &deltas.times);
            times
                .chain(deltas.copied())
                .for_each(|time| self.targets.add_one(labels, time));
        }
        let Some(labels) = &seen.labels else {
            return;
        };
        if !part.values.is_empty() {
            let samples = Samples {
                times: part.times_ms,
                floats: part.values,
                counts: part.counts,
                ..Samples::default()
            };
            self.output.add(labels, samples);
        }
        if let Some(histograms) = part.histograms {
            self.add_histograms(labels, histograms);
        }
        if let Some(histograms) = part.exponentials
            && self.output.wants(labels)
        {
            self.output.add(labels, exponentials(&histograms));
        }
        let identity = || Identity {
            labels: labels.clone(),
            kind: seen.kind,
            temporality: seen.temporality,
        };
        if let Some(deltas) = part.deltas {
            let parts = self.deltas.entry(identity()).or_default();
            parts.push((part.id, deltas));
        }
        if !part.points.is_empty() {
            // What carries exemplars alone must not stand in the way of a sample of the same time.
            let points = part.points.into_iter();
            let points =
                points.filter(|point| point.is_stale() || point.value != PointValue::Empty);
            // What several resources count under the same labels is added up.
            let of = match seen.temporality {
                Temporality::Delta => part.id,
                _ => 0,
            };
            let points = points.map(|point| (of, point));
            self.joined.entry(identity()).or_default().extend(points);
        }
    }

    /// Adds the series of histograms with bounds: of buckets, their count and their sum.
    fn add_histograms(&mut self, labels: &Labels, histograms: HistogramSamples) {
        let HistogramSamples {
            times_ms,
            bounds,
            buckets,
            counts,
            sums,
        } = histograms;
        let parts = self.seen.bounded(labels, &bounds);
        let mut add = |labels: &Labels, floats: Vec<f64>| {
            let samples = Samples {
                times: Arc::clone(&times_ms),
                floats,
                ..Samples::default()
            };
            self.output.add(labels, samples);
        };
        for ((labels, bound), floats) in parts.buckets.iter().zip(&bounds).zip(buckets) {
            if !bound.is_infinite() {
                add(labels, floats);
            }
        }
        add(&parts.infinite, counts.clone());
        add(&parts.count, counts);
        if !sums.is_empty() {
            add(&parts.sum, sums);
        }
    }

    /// Adds the totals of deltas. What several places have of the same labels is joined as points are.
    fn add_deltas(&mut self) {
        let mut totals = Totals::default();
        for (identity, parts) in std::mem::take(&mut self.deltas) {
            match &parts[..] {
                [(_, deltas)]
                    if deltas.times.is_sorted_by(|one, next| one < next)
                        && !self.joined.contains_key(&identity) =>
                {
                    totals.add(&identity.labels, deltas, &mut self.output);
                }
                _ => {
                    let points = parts.iter();
                    let points = points
                        .flat_map(|(id, deltas)| totals::points(deltas).map(|point| (*id, point)));
                    self.joined.entry(identity).or_default().extend(points);
                }
            }
        }
    }

    /// The series, with their samples in the range.
    pub(super) fn finish(mut self, range: TimeRange) -> Vec<promql::Series> {
        self.output.range = range;
        self.add_deltas();
        self.targets.finish(&mut self.output);
        for (identity, mut points) in self.joined {
            let place = |(of, point): &(u128, DataPoint)| {
                (point.time_unix_nano, point.start_unix_nano, *of)
            };
            points.sort_by_key(place);
            // Two sources may hold the same point; of a series there is one at a time, the last
            // that was stored.
            points.dedup_by(|later, kept| {
                let same = place(later) == place(kept);
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
            let points: Vec<DataPoint> = points.into_iter().map(|(_, point)| point).collect();
            convert(&identity, &points, &mut self.output);
        }
        self.output.finish()
    }
}

/// Exponential histograms as samples.
fn exponentials(histograms: &ExponentialSamples) -> Samples {
    let columns = &histograms.columns;
    let histogram = |row: usize| {
        Arc::new(FloatHistogram::exponential(&Exponential {
            count: columns.counts[row],
            sum: columns.sums[row],
            scale: columns.scales[row],
            zero_count: columns.zero_counts[row],
            zero_threshold: columns.zero_thresholds[row],
            positive: columns.positive.row(row),
            negative: columns.negative.row(row),
        }))
    };
    let lists = [
        columns.counts.len(),
        columns.sums.len(),
        columns.scales.len(),
    ];
    let others = [columns.zero_counts.len(), columns.zero_thresholds.len()];
    let rows = lists
        .into_iter()
        .chain(others)
        .fold(histograms.times_ms.len(), usize::min);
    Samples {
        histogram_times: histograms.times_ms[..rows].to_vec(),
        histograms: (0..rows).map(histogram).collect(),
        ..Samples::default()
    }
}

/// A bound as the value of `le` or `quantile`: digits without an exponent.
pub(super) fn bound_text(bound: f64) -> String {
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    bound.to_string()
}
