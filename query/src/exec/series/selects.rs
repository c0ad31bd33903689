//! Whether a PromQL selector means an OTLP series.
//!
//! A series is meant if any of its Prometheus series matches, or the metric's own Prometheus
//! name: a histogram `x` answers to `x`, `x_bucket`, `x_count` and `x_sum`. A source looks
//! neither at `le` nor at `quantile`, and may send more than was asked for; here it is exact.

use model::metric::{MetricKind, PointValue};
use model::prometheus;
use promql::{Labels, Matcher};
use rustc_hash::FxHashSet;
use storage::message::SeriesPoints;

use super::view::{all_match, bound_text};

/// Whether all matchers hold for any of the Prometheus series of these points. A metric whose
/// name leaves nothing for Prometheus is found by its labels.
pub fn selects(part: &SeriesPoints, matchers: &[Matcher]) -> bool {
    let name = prometheus::base_name(&part.series);
    let base = Labels::new(prometheus::base_labels(&part.series));
    if name.is_empty() {
        return all_match(matchers, &base);
    }
    let named = |suffix: &str| base.with(prometheus::NAME_LABEL, &format!("{name}{suffix}"));
    let matches = |suffix: &str| all_match(matchers, &named(suffix));
    let bounded = |suffix: &str, label: &str| {
        if !matchers.iter().any(|matcher| matcher.name == label) {
            return matches(suffix);
        }
        let labels = named(suffix);
        let texts = bounds(part).into_iter().map(f64::from_bits);
        texts
            .map(|bound| labels.with(label, &bound_text(bound)))
            .any(|labels| all_match(matchers, &labels))
    };
    match prometheus::view_kind(&part.series.metric) {
        MetricKind::Gauge | MetricKind::Sum | MetricKind::ExponentialHistogram => matches(""),
        MetricKind::Histogram => {
            matches("") || matches("_count") || matches("_sum") || bounded("_bucket", "le")
        }
        MetricKind::Summary => matches("_count") || matches("_sum") || bounded("", "quantile"),
    }
}

/// The bits of all bounds and quantiles of the points.
fn bounds(part: &SeriesPoints) -> FxHashSet<u64> {
    let mut bounds = FxHashSet::default();
    for point in &part.points {
        match &point.value {
            PointValue::Histogram(histogram) => {
                bounds.extend(
                    histogram
                        .explicit_bounds
                        .iter()
                        .map(|bound| bound.to_bits()),
                );
                bounds.insert(f64::INFINITY.to_bits());
            }
            PointValue::Summary(summary) => {
                bounds.extend(
                    summary
                        .quantiles
                        .iter()
                        .map(|(quantile, _)| quantile.to_bits()),
                );
            }
            _ => {}
        }
    }
    bounds
}
