//! Labels of series, worked out once.
//!
//! What a series is to Prometheus follows from what identifies it, and queries come back to the
//! same series again and again.

use std::sync::Arc;

use model::metric::{MetricKind, Temporality};
use model::prometheus::{self, Promotion};
use parking_lot::Mutex;
use promql::Labels;
use rustc_hash::FxHashMap;
use storage::message::SeriesSamples;

/// Series that are kept; then all are forgotten.
const KEPT_MAX: usize = 100_000;

/// What a series is to Prometheus.
#[derive(Debug)]
pub struct Seen {
    /// Labels with the metric's name but without the suffixes of its parts; none where the name
    /// leaves nothing for Prometheus.
    pub labels: Option<Labels>,
    /// Labels of the `target_info` of its resource.
    pub target: Option<Labels>,
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Its temporality.
    pub temporality: Temporality,
}

/// Series by what identifies them.
#[derive(Debug, Default)]
pub struct SeenSeries(Mutex<FxHashMap<u128, Arc<Seen>>>);

impl SeenSeries {
    /// What the series of these samples is.
    pub fn get(&self, part: &SeriesSamples, promotion: &Promotion) -> Arc<Seen> {
        if let Some(seen) = self.0.lock().get(&part.id) {
            return Arc::clone(seen);
        }
        let mut series = (*part.series).clone();
        promotion.apply(&mut series);
        let series = &series;
        let name = prometheus::base_name(series);
        let labels = (!name.is_empty()).then(|| {
            Labels::new(prometheus::base_labels(series)).with(prometheus::NAME_LABEL, &name)
        });
        let seen = Arc::new(Seen {
            labels,
            target: prometheus::target_info(series).map(Labels::new),
            kind: series.metric.kind,
            temporality: series.metric.temporality,
        });
        let mut kept = self.0.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(part.id, Arc::clone(&seen));
        seen
    }
}
