//! Exemplars of Prometheus series: where OTLP keeps them with a data point, Prometheus keeps
//! them with a series, that of the bucket that counts the value where there are buckets.

use std::collections::{BTreeMap, BTreeSet};

use model::metric::{Exemplar, MetricKind, PointValue};
use model::prometheus::Naming;
use model::time::NANOS_PER_SECOND;
use model::{TimeRange, prometheus};
use promql::{Labels, Matcher};
use rustc_hash::FxHashMap;
use serde::Serialize;
use storage::message::SeriesPoints;

use super::SeriesReader;
use super::view::{all_match, bound_text};
use crate::error::QueryError;

/// Points may be exported this long after the requests that they count.
const EXPORT_DELAY: u64 = 120 * NANOS_PER_SECOND;

/// The exemplars of one series, as Prometheus' API writes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub series_labels: Labels,
    /// Its exemplars by time.
    pub exemplars: Vec<ExemplarSample>,
}

/// One exemplar, as Prometheus' API writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExemplarSample {
    /// Its own labels: `trace_id`, `span_id` and the filtered attributes.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: String,
    /// Seconds since 1970.
    pub timestamp: f64,
}

/// All that tells exemplars of a series apart, by time first. Cumulative points repeat theirs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    time_unix_nano: u64,
    value_bits: u64,
    labels: BTreeMap<String, String>,
}

type Collected = FxHashMap<Labels, BTreeSet<Found>>;

impl SeriesReader<'_> {
    /// Exemplars in the range of the series that match any of the selectors, the newest where
    /// there are too many.
    pub async fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        let exported = TimeRange {
            start: range.start,
            end: range.end.saturating_add(EXPORT_DELAY),
        };
        let mut collected = Collected::default();
        let mut without_value = 0u64;
        for matchers in selectors {
            for part in self.promoted(matchers, exported, true).await? {
                without_value += collect(&part, matchers, range, &mut collected);
            }
        }
        let work = self.0.work;
        if without_value > 0 {
            let hint = "exemplars without a value are left out; \
                        read them with /api/v1/metrics/points";
            work.cut("exemplars_without_value", without_value, hint);
        }
        let most = self.0.sizes.rows;
        let (series, cut) = finish(collected, most);
        if cut {
            let hint = "these are the newest; narrow the range or the query";
            work.cut("exemplars", most, hint);
        }
        Ok(series)
    }
}

/// Collects the exemplars of a series and counts those without a value.
fn collect(
    part: &SeriesPoints,
    matchers: &[Matcher],
    range: TimeRange,
    collected: &mut Collected,
) -> u64 {
    let name = prometheus::base_name(&part.series);
    if name.is_empty() {
        return 0;
    }
    let base =
        Labels::new(prometheus::base_labels(&part.series)).with(prometheus::NAME_LABEL, &name);
    let native = prometheus::view_kind(&part.series.metric) != MetricKind::Histogram;
    let bucket = base.with(prometheus::NAME_LABEL, &format!("{name}_bucket"));
    let naming = prometheus::naming(&part.series.metric);
    let mut without_value = 0;
    for point in &part.points {
        for exemplar in &point.exemplars {
            let time_unix_nano = match exemplar.time_unix_nano {
                0 => point.time_unix_nano,
                time => time,
            };
            if !range.contains(time_unix_nano) {
                continue;
            }
            let value = exemplar.value.as_f64();
            let labels = match (&point.value, value) {
                _ if native => base.clone(),
                (PointValue::Histogram(histogram), Some(value)) => {
                    bucket.with("le", &bucket_of(&histogram.explicit_bounds, value))
                }
                (PointValue::Histogram(_), None) => bucket.clone(),
                _ => base.clone(),
            };
            let Some(value) = value else {
                without_value += 1;
                continue;
            };
            if all_match(matchers, &labels) {
                collected.entry(labels).or_default().insert(Found {
                    time_unix_nano,
                    value_bits: value.to_bits(),
                    labels: own_labels(exemplar, naming),
                });
            }
        }
    }
    without_value
}

/// `le` of the bucket that counts this value first.
fn bucket_of(bounds: &[f64], value: f64) -> String {
    let bound = bounds.iter().copied().find(|bound| value <= *bound);
    bound_text(bound.unwrap_or(f64::INFINITY))
}

fn own_labels(exemplar: &Exemplar, naming: Naming) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for kv in &exemplar.filtered_attributes {
        let name = naming.label_name(&kv.key);
        let value = kv.value.to_text();
        if !name.is_empty() && !value.is_empty() {
            labels.insert(name, value);
        }
    }
    let ids = [
        ("trace_id", &exemplar.trace_id),
        ("span_id", &exemplar.span_id),
    ];
    for (name, id) in ids {
        if id.iter().any(|byte| *byte != 0) {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            // Prometheus' own exemplars have it as a label, under a name of the sender's choice.
            if !labels.values().any(|value| *value == hex) {
                labels.insert(name.to_owned(), hex);
            }
        }
    }
    labels
}

/// The newest exemplars by series, and whether there were more.
#[allow(clippy::cast_precision_loss)]
fn finish(collected: Collected, most: usize) -> (Vec<SeriesExemplars>, bool) {
    let each = collected
        .into_iter()
        .flat_map(|(labels, found)| found.into_iter().map(move |one| (one, labels.clone())));
    let mut all: Vec<(Found, Labels)> = each.collect();
    all.sort_unstable();
    let left_out = all.len().saturating_sub(most);
    let mut by_series: BTreeMap<Labels, Vec<ExemplarSample>> = BTreeMap::new();
    for (found, series) in all.drain(left_out..) {
        by_series.entry(series).or_default().push(ExemplarSample {
            labels: found.labels,
            value: promql::format::api_value(f64::from_bits(found.value_bits)),
            timestamp: (found.time_unix_nano / 1_000_000) as f64 / 1e3,
        });
    }
    let series = by_series
        .into_iter()
        .map(|(labels, exemplars)| SeriesExemplars {
            series_labels: labels,
            exemplars,
        });
    (series.collect(), left_out > 0)
}
